"""kn2row: one 1x1 convolution per kernel element, results accumulated at shifted addresses (Vasudevan et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dynamap_opt.layouts import AxisWindows, Layout
from dynamap_opt.program import ConvShape
from dynamap_rtl import Gemm

from .direct import DirectConvolution

__all__ = ["Kn2row"]


@dataclass(frozen=True)
class Kn2row(DirectConvolution):
    """K1·K2 products (pixels x Cin) by (Cin x Cout) over the pixels each kernel element really meets.

    Stride and padding are honoured: the loader streams only the pixels whose result has a place in the output. That is
    our departure from the published H1·H2 pixels for every element, and never slower.
    """

    name: str = "kn2row"
    family: str = "kn2row"
    source: str = "Vasudevan, Anderson, Gregg, Parallel multi channel convolution using GEMM, arXiv 1704.04428"
    _element_by_element: ClassVar[bool] = True

    def is_legal(self, conv: ConvShape) -> bool:
        """More than one kernel element (otherwise it is im2col)."""
        return conv.kernel != (1, 1)

    def gemms(self, conv: ConvShape) -> tuple[Gemm, ...]:
        """Products of equal size together: (output pixels that element meets, Cin, Cout)."""
        sizes: dict[int, int] = {}
        for rows in conv.outputs_met(0):
            for columns in conv.outputs_met(1):
                if rows and columns:
                    sizes[rows * columns] = sizes.get(rows * columns, 0) + 1
        b, c = conv.in_channels // conv.groups, conv.out_channels // conv.groups
        return tuple(Gemm(a, b, c, times * conv.groups) for a, times in sorted(sizes.items()))

    def published_gemms(self, conv: ConvShape) -> tuple[Gemm, ...] | None:
        """H1·H2 pixels for every kernel element, whatever the stride."""
        if not self.is_legal(conv):
            return None
        elements = conv.kernel[0] * conv.kernel[1]
        b, c = conv.in_channels // conv.groups, conv.out_channels // conv.groups
        return (Gemm(conv.in_height * conv.in_width, b, c, elements * conv.groups),)

    def windows(self, conv: ConvShape) -> tuple[AxisWindows, AxisWindows] | None:  # noqa: ARG002 - the protocol's
        """None: the map is read once and streamed from the chip for every kernel element."""
        return None

    def layout(self, conv: ConvShape) -> Layout | None:  # noqa: ARG002 - the protocol's signature
        """Only ``nhwc``."""
        return None
