"""What every convolution algorithm tells the cost models."""

from __future__ import annotations

from typing import Protocol

from dynamap_opt.layouts import AxisWindows, Layout
from dynamap_opt.program import ConvShape
from dynamap_rtl import Dataflow, Gemm, Overlay
from dynamap_rtl.layer_timing import LayerCycles
from dynamap_rtl.sizes import IntArray, Sizes

__all__ = ["Algorithm", "axis_windows"]


class Algorithm(Protocol):
    """One way to compute a convolution on the array; a value without state, so that tables can be shared.

    A Protocol, not a base class: an algorithm from outside only has to have these members
    (docs/explanation/cost-model.md lists what each means for the built-in ones).
    """

    @property
    def name(self) -> str:
        """Unique; lower case."""

    @property
    def family(self) -> str:
        """The paper's family it belongs to; ``--algorithms`` takes families as well as names."""

    @property
    def source(self) -> str:
        """The publication it comes from."""

    @property
    def activation_bytes(self) -> int:
        """Bytes in which one element of the left operand is kept on chip, transformed if it is."""

    @property
    def weight_bytes(self) -> int:
        """Bytes in which one element of the right operand is kept, transformed if it is."""

    def is_legal(self, conv: ConvShape) -> bool:
        """Whether it computes this convolution at all."""

    def gemms(self, conv: ConvShape) -> tuple[Gemm, ...]:
        """The products it runs, in order; ``a`` counts output positions, ``b`` is reduced, ``c`` counts outputs."""

    def published_gemms(self, conv: ConvShape) -> tuple[Gemm, ...] | None:
        """The products as DYNAMAP's cost model counts them; None where it has no formula."""

    def cycles(
        self, conv: ConvShape, dataflow: Dataflow, sizes: Sizes, overlay: Overlay, *, contiguous: bool, bound: bool
    ) -> LayerCycles:
        """Cycles of the whole layer on overlays of these sizes; ``contiguous`` and ``bound`` as in ``layer_timing``."""

    def floor(
        self, conv: ConvShape, dataflow: Dataflow, sizes: Sizes, overlay: Overlay, *, contiguous: bool
    ) -> IntArray:
        """A lower bound of the cycles, looser and far sooner than with ``bound``."""

    def windows(self, conv: ConvShape) -> tuple[AxisWindows, AxisWindows] | None:
        """Vertical and horizontal input windows its loader walks; None when it reads every element once."""

    def layout(self, conv: ConvShape) -> Layout | None:
        """The expanded layout it can read instead of ``nhwc``, if any."""


def axis_windows(conv: ConvShape, axis: int) -> AxisWindows:
    """The windows of a direct convolution along ``axis`` (0 vertical, 1 horizontal)."""
    return AxisWindows(
        size=(conv.in_height, conv.in_width)[axis],
        count=(conv.out_height, conv.out_width)[axis],
        step=conv.stride[axis],
        pad=conv.pads[axis],
        taps=conv.kernel[axis],
        spacing=conv.dilation[axis],
    )
