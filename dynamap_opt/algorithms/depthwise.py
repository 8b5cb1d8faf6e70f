"""Grouped and depthwise convolutions, several groups at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from dynamap_opt.layouts import AxisWindows, Layout
from dynamap_opt.program import ConvShape
from dynamap_rtl import Dataflow, Gemm, Overlay
from dynamap_rtl.layer_timing import LayerCycles, convolution_cycles, convolution_floor
from dynamap_rtl.sizes import IntArray, Sizes

from .im2col import Im2col

__all__ = ["Depthwise"]


@dataclass(frozen=True)
class Depthwise:
    """im2col of a grouped convolution with groups packed block-diagonally, so that a tile serves several of them."""

    name: str = "depthwise"
    family: str = "depthwise"
    source: str = "this project: block-diagonal packing, docs/explanation/cost-model.md"
    activation_bytes: int = 1
    weight_bytes: int = 1
    _im2col: Im2col = field(default=Im2col(), repr=False)

    def is_legal(self, conv: ConvShape) -> bool:
        """More than one group."""
        return conv.groups > 1

    def gemms(self, conv: ConvShape) -> tuple[Gemm, ...]:
        """One product a group, before packing."""
        return self._im2col.gemms(conv)

    def published_gemms(self, conv: ConvShape) -> tuple[Gemm, ...] | None:  # noqa: ARG002 - the protocol's signature
        """DYNAMAP has no depthwise convolution."""
        return None

    def cycles(
        self, conv: ConvShape, dataflow: Dataflow, sizes: Sizes, overlay: Overlay, *, contiguous: bool, bound: bool
    ) -> LayerCycles:
        """As ``program.convolution`` runs it."""
        return convolution_cycles(
            conv,
            sizes,
            dataflow,
            kn2row=False,
            contiguous=contiguous,
            divides=bool(overlay.winograd),
            bound=bound,
        )

    def floor(
        self, conv: ConvShape, dataflow: Dataflow, sizes: Sizes, overlay: Overlay, *, contiguous: bool
    ) -> IntArray:
        """As ``convolution_floor``."""
        return convolution_floor(
            conv, sizes, dataflow, kn2row=False, contiguous=contiguous, divides=bool(overlay.winograd)
        )

    def windows(self, conv: ConvShape) -> tuple[AxisWindows, AxisWindows] | None:
        """The convolution's own."""
        return self._im2col.windows(conv)

    def layout(self, conv: ConvShape) -> Layout | None:
        """The Toeplitz matrix."""
        return self._im2col.layout(conv)
