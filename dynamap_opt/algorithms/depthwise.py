"""Grouped and depthwise convolutions, several groups at a time."""

from __future__ import annotations

from dataclasses import dataclass

from dynamap_opt.program import ConvShape
from dynamap_rtl import Gemm

from .im2col import Im2col

__all__ = ["Depthwise"]


@dataclass(frozen=True)
class Depthwise(Im2col):
    """im2col of a grouped convolution with groups packed block-diagonally, so that a tile serves several of them."""

    name: str = "depthwise"
    family: str = "depthwise"
    source: str = "this project: block-diagonal packing, docs/explanation/cost-model.md"

    def is_legal(self, conv: ConvShape) -> bool:
        """More than one group."""
        return conv.groups > 1

    def published_gemms(self, conv: ConvShape) -> tuple[Gemm, ...] | None:  # noqa: ARG002 - the protocol's signature
        """DYNAMAP has no depthwise convolution."""
        return None
