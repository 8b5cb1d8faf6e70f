"""The ``paper`` preset: DYNAMAP's published formulas (Meng et al., FPGA 2021), to stand beside published numbers.

Compute is the published GEMM count plus one initialisation of max(P1, P2) cycles; communication is a sum beside it, not
hidden behind it. A tensor with one reader costs one transfer, priced by the two algorithms at its ends; a tensor with
several has a stored format of its own, and costs one transfer to write and one for every reader. Pooling and
element-wise layers take no compute time. docs/explanation/cost-model.md lists where this departs from the authors'
released code.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from dynamap_opt.algorithms import Algorithm
from dynamap_opt.layouts import NHWC, Layout, LayoutKind
from dynamap_opt.program import Program, Stage, StageKind, StoredTensor
from dynamap_rtl import Cycles, Dataflow, TimingConvention, array_cycles

from .base import ShapeBatch, StageCycles, prefer_family

__all__ = ["WINOGRAD_FORMAT", "PaperCost", "transfer_cycles"]

_TILE, _TAPS = 2, 3

#: Scattered transform-domain tiles, as a Winograd convolution writes them.
WINOGRAD_FORMAT = Layout(LayoutKind.TILES, "winograd")


def transfer_cycles(
    tensor: StoredTensor, kernel: tuple[int, int], *, source: Layout, family: str, bytes_per_cycle: Fraction
) -> int:
    """Cycles to hand a tensor to a consumer of the given algorithm family (the published transition costs).

    To im2col H·W·C·K1·K2 bytes, to kn2row (and whatever is no convolution) H·W·C. To Winograd
    H·W·C·((m+r-1)/m)², from Winograd divided by m², otherwise by the efficiency C/(C + m²) of short bursts.
    """
    amount = Fraction(tensor.size)
    if family == "im2col":
        amount *= kernel[0] * kernel[1]
    elif family == "winograd":
        amount *= Fraction(_TILE + _TAPS - 1, _TILE) ** 2
        if source == WINOGRAD_FORMAT:
            amount /= _TILE**2
        else:
            amount *= Fraction(tensor.channels + _TILE**2, tensor.channels)
    return -((-amount) // bytes_per_cycle)


@dataclass(frozen=True)
class PaperCost:
    """The published model over a program.

    Args:
        program: whose tensors are handed on.
        choices: algorithms to choose from; those without a published formula are left out.
        bytes_per_cycle: DRAM bandwidth over clock, exactly.
        prefer: a family that is used wherever it is legal; None leaves the choice open.
    """

    program: Program
    choices: Sequence[Algorithm]
    bytes_per_cycle: Fraction
    prefer: str | None = None
    name: str = "paper"
    plain_inputs: bool = True
    bounded: bool = False

    @cached_property
    def _shared(self) -> frozenset[str]:
        """Groups with a stored format of their own."""
        readers, writers = self.program.readers, self.program.writers
        return frozenset(group for group in readers if len(readers[group]) > 1 or len(writers[group]) != 1)

    def algorithms(self, stage: Stage) -> tuple[Algorithm, ...]:
        """The legal ones with a published formula."""
        conv = stage.conv
        if conv is None:
            return ()
        legal = (a for a in self.choices if a.is_legal(conv) and a.published_gemms(conv) is not None)
        return prefer_family(legal, self.prefer)

    def accepted_layouts(self, stage: Stage, position: int) -> tuple[Layout, ...]:  # noqa: ARG002 - every input alike
        """Both formats: a reader converts."""
        return (NHWC,) if stage.kind is StageKind.HOST else (NHWC, WINOGRAD_FORMAT)

    def load_cycles(self, stage: Stage, algorithm: Algorithm | None, layout: Layout) -> int | None:
        """The transfer of every input."""
        return sum(self.input_cycles(stage, algorithm, layout, position) for position in range(len(stage.inputs)))

    def input_cycles(self, stage: Stage, algorithm: Algorithm | None, layout: Layout, position: int) -> int:
        """The transfer of one input, the first in ``layout``.

        The format of further inputs does not matter: only a Winograd consumer's cost depends on it.
        """
        if stage.kind is StageKind.HOST:
            return 0
        tensor = self.program.tensors[stage.inputs[position]]
        if position:
            return self._transfer(tensor, (1, 1), NHWC, "none")
        kernel = (1, 1) if stage.conv is None else stage.conv.kernel
        return self._transfer(tensor, kernel, layout, "none" if algorithm is None else algorithm.family)

    def store_cycles(self, stage: Stage, algorithm: Algorithm | None, layout: Layout) -> int | None:
        """Nothing towards a single reader, who has paid; the transfer into the stored format otherwise."""
        if stage.kind is StageKind.HOST:
            return 0 if layout == NHWC else None
        target = self.program.tensors[stage.output]
        is_winograd = algorithm is not None and algorithm.family == "winograd"
        produced = WINOGRAD_FORMAT if is_winograd else NHWC
        if target.group not in self._shared:
            if target.fixed or not self.program.readers[target.group]:
                return self._transfer(target, (1, 1), produced, "none") if layout == NHWC else None
            return 0 if layout == produced else None
        family = "winograd" if layout == WINOGRAD_FORMAT else "none"
        return self._transfer(target, (1, 1), produced, family)

    def compute_cycles(
        self, stage: Stage, algorithm: Algorithm | None, dataflow: Dataflow, p1: Cycles, p2: Cycles
    ) -> Cycles:
        """The published count."""
        if stage.conv is None or algorithm is None:
            return 0 * p1
        gemms = algorithm.published_gemms(stage.conv)
        assert gemms is not None
        return array_cycles(dataflow, gemms, p1, p2, convention=TimingConvention.PUBLISHED)

    def products(self, stage: Stage, algorithm: Algorithm | None) -> int:
        """As published: of a 7x7 map under Winograd 13 tiles, ⌈H1·H2/m²⌉, where there are 16.

        The direct ones of an algorithm that has no published formula.
        """
        if stage.conv is None or algorithm is None:
            return 0
        gemms = algorithm.published_gemms(stage.conv)
        return stage.conv.macs if gemms is None else min(stage.conv.macs, sum(gemm.macs for gemm in gemms))

    def signature(self, stage: Stage) -> Hashable:
        """None but itself: transfers depend on every tensor around it."""
        return stage.name

    def cycles(
        self,
        stage: Stage,
        algorithm: Algorithm | None,
        dataflow: Dataflow,
        in_layout: Layout,
        out_layout: Layout,
        shapes: ShapeBatch,
    ) -> StageCycles | None:
        """The sum of transfers and compute."""
        load, store = self.load_cycles(stage, algorithm, in_layout), self.store_cycles(stage, algorithm, out_layout)
        if load is None or store is None:
            return None
        key = (stage.conv, None if algorithm is None else algorithm.name, dataflow)
        if key not in shapes.memo:
            shapes.memo[key] = np.asarray(self.compute_cycles(stage, algorithm, dataflow, shapes.p1, shapes.p2))
        compute = shapes.memo[key]
        assert isinstance(compute, np.ndarray)
        return StageCycles(load + compute + store, load + 0 * compute, compute, store + 0 * compute)

    def _transfer(self, tensor: StoredTensor, kernel: tuple[int, int], source: Layout, family: str) -> int:
        # A flattened map is one pixel with many channels; published costs know no slices.
        plain = replace(tensor, pixel_runs=())
        return transfer_cycles(plain, kernel, source=source, family=family, bytes_per_cycle=self.bytes_per_cycle)
