"""The ``overlay`` preset: what the generated hardware does, with the formulas of ``dynamap_rtl.layer_timing``."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from dynamap_opt.algorithms import Algorithm
from dynamap_opt.algorithms.winograd import Winograd
from dynamap_opt.layouts import NHWC, Layout, LayoutKind
from dynamap_opt.program import ConvShape, Program, Stage, StageKind
from dynamap_rtl import Dataflow, Overlay
from dynamap_rtl.layer_timing import LayerCycles
from dynamap_rtl.sizes import Sizes
from dynamap_rtl.vector_timing import vector_cycles
from dynamap_solvers import FORBIDDEN

from .base import Precision, ShapeBatch, StageCycles, prefer_family

__all__ = ["OverlayCost", "toeplitz_shape"]


def toeplitz_shape(conv: ConvShape) -> ConvShape:
    """The convolution a layer is when its input is stored as the Toeplitz matrix: 1x1 over the output's pixels."""
    elements = conv.in_channels * conv.kernel[0] * conv.kernel[1]
    return ConvShape(conv.out_height, conv.out_width, elements, conv.out_height, conv.out_width, conv.out_channels)


@dataclass(frozen=True)
class OverlayCost:
    """Cycles of each stage's program.

    Stages read and write ``nhwc``: the storer writes every pixel once. Only what the host writes, the network's input,
    may lie there as the matrix im2col multiplies by.

    Args:
        program: whose tensors are loaded and stored.
        overlay: port, memories and transforms.
        choices: algorithms to choose from.
        prefer: a family that is used wherever it is legal; None leaves the choice open.
    """

    program: Program
    overlay: Overlay
    choices: Sequence[Algorithm]
    prefer: str | None = None
    name: str = "overlay"
    plain_inputs: bool = False
    bounded: bool = True

    def algorithms(self, stage: Stage) -> tuple[Algorithm, ...]:
        """The legal ones that the overlay can do: its transforms may be fewer than what there is to choose from."""
        if stage.conv is None:
            return ()
        tiles = self.overlay.winograd
        possible = (a for a in self.choices if not isinstance(a, Winograd) or a.tile in tiles)
        return prefer_family((a for a in possible if a.is_legal(stage.conv)), self.prefer)

    def accepted_layouts(self, stage: Stage, position: int) -> tuple[Layout, ...]:
        """``nhwc``, and for a network input that im2col reads its Toeplitz matrix."""
        conv = stage.conv
        if position != 0 or conv is None or stage.kind is not StageKind.ARRAY or conv.groups > 1:
            return (NHWC,)
        if self.program.writers[self.program.tensors[stage.inputs[0]].group]:
            return (NHWC,)
        found = (algorithm.layout(conv) for algorithm in self.algorithms(stage))
        return (NHWC, *(layout for layout in found if layout is not None and layout.kind is LayoutKind.TOEPLITZ))[:2]

    def products(self, stage: Stage, algorithm: Algorithm | None) -> int:
        """Those the algorithm runs; kn2row's fewer where it meets padding."""
        if stage.conv is None or algorithm is None:
            return 0
        return min(stage.conv.macs, sum(gemm.macs for gemm in algorithm.gemms(stage.conv)))

    def signature(self, stage: Stage) -> Hashable:
        """Geometry, whether the input is a slice, and whether the host writes it."""
        from_host = bool(stage.inputs) and not self.program.writers[self.program.tensors[stage.inputs[0]].group]
        return stage.kind, stage.conv, stage.window, self._contiguous(stage), from_host

    def cycles(
        self,
        stage: Stage,
        algorithm: Algorithm | None,
        dataflow: Dataflow,
        in_layout: Layout,
        out_layout: Layout,
        shapes: ShapeBatch,
    ) -> StageCycles | None:
        """Of the stage's program."""
        if out_layout != NHWC:
            return None
        sizes = self._sizes(shapes)
        if stage.conv is None or algorithm is None:
            assert stage.window is not None
            return _stage(vector_cycles(stage.window, sizes)) if in_layout == NHWC else None
        conv, contiguous = stage.conv, self._contiguous(stage)
        if in_layout != NHWC:
            if in_layout != algorithm.layout(conv) or in_layout.kind is not LayoutKind.TOEPLITZ:
                return None
            conv, contiguous = toeplitz_shape(conv), True
        if shapes.precision is Precision.FLOOR:
            floor = algorithm.floor(conv, dataflow, sizes, self.overlay, contiguous=contiguous)
            return StageCycles(floor, floor, floor, floor)
        bound = shapes.precision is Precision.BOUND
        return _stage(algorithm.cycles(conv, dataflow, sizes, self.overlay, contiguous=contiguous, bound=bound))

    def _sizes(self, shapes: ShapeBatch) -> Sizes:
        if "sizes" not in shapes.memo:
            shapes.memo["sizes"] = self.overlay.sizes(shapes.p1, shapes.p2)
        sizes = shapes.memo["sizes"]
        assert isinstance(sizes, Sizes)
        return sizes

    def _contiguous(self, stage: Stage) -> bool:
        """Whether neighbouring pixels of the first input lie side by side."""
        if not stage.inputs:
            return True
        tensor = self.program.tensors[stage.inputs[0]]
        return not tensor.pixel_runs or tensor.pixels == 1


def _stage(cycles: LayerCycles) -> StageCycles:
    total = np.where(cycles.valid, cycles.total, FORBIDDEN)
    return StageCycles(total, cycles.load, cycles.compute, cycles.store)
