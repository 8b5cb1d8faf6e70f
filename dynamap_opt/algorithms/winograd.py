"""Winograd's minimal filtering F(m, 3), in two dimensions and, for 1xn and nx1 kernels, in one (Lavin, Gray 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from dynamap_opt.layouts import AxisWindows, Layout, LayoutKind
from dynamap_opt.program import ConvShape
from dynamap_rtl import Dataflow, Gemm, Overlay, ceil_div
from dynamap_rtl.layer_blocks import WinogradShape
from dynamap_rtl.layer_timing import LayerCycles, winograd_cycles, winograd_floor
from dynamap_rtl.sizes import IntArray, Sizes

from .base import axis_windows

__all__ = ["Winograd"]

_TAPS = 3  # r of F(m, r)


@dataclass(frozen=True)
class Winograd:
    """F(m, 3) along one or both axes.

    A kernel longer than three elements is cut into ⌈K/3⌉ parts, whose products accumulate before the output transform:
    the reduced dimension is Cin times the number of parts. Scaled to integers the transforms are exact, so that the
    result equals im2col's bit for bit; ``weight_bytes`` holds the scaled transformed weight.
    """

    tile: int
    dimensions: int
    weight_bytes: int
    activation_bytes: int = 2
    family: str = "winograd"
    source: str = "Lavin, Gray, Fast algorithms for convolutional neural networks, CVPR 2016, arXiv 1509.09308"

    @property
    def name(self) -> str:
        """As ``winograd-f4-2d``."""
        return f"winograd-f{self.tile}-{self.dimensions}d"

    def is_legal(self, conv: ConvShape) -> bool:
        """Unit stride and dilation, one group, three or more kernel elements along exactly the transformed axes."""
        if conv.stride != (1, 1) or conv.dilation != (1, 1) or conv.groups != 1:
            return False
        transformed = sum(extent >= _TAPS for extent in conv.kernel)
        plain = sum(extent == 1 for extent in conv.kernel)
        return transformed == self.dimensions and transformed + plain == 2

    def gemms(self, conv: ConvShape) -> tuple[Gemm, ...]:
        """One product per position of the transformed tile."""
        tiles = positions = parts = 1
        for axis in (0, 1):
            windows = self._axis(conv, axis)
            tiles *= windows.count
            positions *= windows.taps
            parts *= windows.parts
        return (Gemm(tiles, conv.in_channels * parts, conv.out_channels, positions),)

    def published_gemms(self, conv: ConvShape) -> tuple[Gemm, ...] | None:
        """Square kernels with F(2x2, 3x3): ⌈H1·H2/m²⌉ tiles, (m+r-1)² · ⌈K1·K2/r²⌉ products (released: not rounded)."""
        if self.tile != 2 or conv.kernel[0] != conv.kernel[1] or not self.is_legal(conv):
            return None
        tiles = ceil_div(conv.in_height * conv.in_width, self.tile**2)
        parts = ceil_div(conv.kernel[0] * conv.kernel[1], _TAPS**2)
        return (Gemm(tiles, conv.in_channels, conv.out_channels, (self.tile + _TAPS - 1) ** 2 * parts),)

    def cycles(
        self,
        conv: ConvShape,
        dataflow: Dataflow,
        sizes: Sizes,
        overlay: Overlay,
        *,
        contiguous: bool,  # noqa: ARG002 - pixels are read one by one
        bound: bool,
    ) -> LayerCycles:
        """As ``program.winograd`` runs it."""
        return winograd_cycles(WinogradShape(conv, self.tile), sizes, dataflow, tiles=overlay.winograd, bound=bound)

    def floor(
        self,
        conv: ConvShape,
        dataflow: Dataflow,
        sizes: Sizes,
        overlay: Overlay,  # noqa: ARG002 - the protocol's signature
        *,
        contiguous: bool,  # noqa: ARG002 - pixels are read one by one
    ) -> IntArray:
        """As ``winograd_floor``."""
        return winograd_floor(WinogradShape(conv, self.tile), sizes, dataflow)

    def windows(self, conv: ConvShape) -> tuple[AxisWindows, AxisWindows] | None:
        """Overlapping input tiles."""
        return self._axis(conv, 0), self._axis(conv, 1)

    def layout(self, conv: ConvShape) -> Layout | None:
        """Input tiles, stored one after another."""
        rows, columns = self._axis(conv, 0), self._axis(conv, 1)
        steps = [str(windows.step) for windows in (rows, columns) if windows.taps > 1]
        shape = f"{conv.kernel[0]}x{conv.kernel[1]}"
        return Layout(LayoutKind.TILES, f"tiles-f{'x'.join(steps)}-{shape}", rows, columns)

    def _axis(self, conv: ConvShape, axis: int) -> AxisWindows:
        if conv.kernel[axis] < _TAPS:
            return axis_windows(conv, axis)
        return AxisWindows(
            size=(conv.in_height, conv.in_width)[axis],
            count=ceil_div((conv.out_height, conv.out_width)[axis], self.tile),
            step=self.tile,
            pad=conv.pads[axis],
            taps=self.tile + _TAPS - 1,
            parts=ceil_div(conv.kernel[axis], _TAPS),
            part_step=_TAPS,
        )
