"""im2col: one product with the Toeplitz matrix of all windows (Chellapilla, Puri, Simard 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dynamap_opt.layouts import AxisWindows, Layout, LayoutKind
from dynamap_opt.program import ConvShape
from dynamap_rtl import Gemm

from .base import axis_windows
from .direct import DirectConvolution

__all__ = ["Im2col"]


@dataclass(frozen=True)
class Im2col(DirectConvolution):
    """(O1·O2 x K1·K2·Cin) by (K1·K2·Cin x Cout), once per group; legal for every convolution."""

    name: str = "im2col"
    family: str = "im2col"
    source: str = "Chellapilla, Puri, Simard, High performance convolutional neural networks, 2006"
    _element_by_element: ClassVar[bool] = False

    def is_legal(self, conv: ConvShape) -> bool:  # noqa: ARG002 - the protocol's signature
        """Every convolution."""
        return True

    def gemms(self, conv: ConvShape) -> tuple[Gemm, ...]:
        """One product a group."""
        reduced = conv.kernel[0] * conv.kernel[1] * (conv.in_channels // conv.groups)
        positions = conv.out_height * conv.out_width
        return (Gemm(positions, reduced, conv.out_channels // conv.groups, conv.groups),)

    def published_gemms(self, conv: ConvShape) -> tuple[Gemm, ...] | None:
        """The same."""
        return self.gemms(conv)

    def windows(self, conv: ConvShape) -> tuple[AxisWindows, AxisWindows] | None:
        """The convolution's own."""
        return axis_windows(conv, 0), axis_windows(conv, 1)

    def layout(self, conv: ConvShape) -> Layout | None:
        """The Toeplitz matrix, unless it is the tensor itself (1x1, stride 1)."""
        rows, columns = axis_windows(conv, 0), axis_windows(conv, 1)
        if rows.is_partition and columns.is_partition and rows.taps == columns.taps == 1:
            return None
        label = f"toeplitz-{conv.kernel[0]}x{conv.kernel[1]}"
        if conv.stride != (1, 1):
            label += f"s{conv.stride[0]}x{conv.stride[1]}" if conv.stride[0] != conv.stride[1] else f"s{conv.stride[0]}"
        if conv.dilation != (1, 1):
            label += f"d{conv.dilation[0]}x{conv.dilation[1]}"
        return Layout(LayoutKind.TOEPLITZ, label, rows, columns)
