"""What can be chosen for every stage of a program, and what it costs: everything the mapping problem needs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl import Dataflow
from dynamap_solvers import FORBIDDEN

from .algorithms import Algorithm
from .costs import CostModel, Precision, ShapeBatch, StageCycles
from .layouts import NHWC, Layout
from .program import Program, Stage, StageKind

__all__ = ["MappingTables", "StageTable", "build_tables"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class StageTable:
    """Choices of one stage, and what they cost.

    Attributes:
        stage: whose.
        model: prices them.
        in_layouts: layouts its first input may have.
        out_layouts: layouts its output may have.
        algorithms: legal ones; ``(None,)`` for a stage that is not on the array.
        dataflows: to choose from; one of them where the array is not used, so that it is no choice.
    """

    stage: Stage
    model: CostModel
    in_layouts: tuple[Layout, ...]
    out_layouts: tuple[Layout, ...]
    algorithms: tuple[Algorithm | None, ...]
    dataflows: tuple[Dataflow, ...]

    @property
    def kind(self) -> Hashable:
        """Equal for stages whose choices are the same at the same cost."""
        return self.model.signature(self.stage), self.in_layouts, self.out_layouts

    @property
    def choices(self) -> tuple[tuple[Algorithm | None, Dataflow, Layout], ...]:
        """Every (algorithm, dataflow, output layout), the last varying fastest."""
        return tuple((a, d, o) for a in self.algorithms for d in self.dataflows for o in self.out_layouts)

    def cycles(
        self, algorithm: Algorithm | None, dataflow: Dataflow, in_layout: Layout, out_layout: Layout, shapes: ShapeBatch
    ) -> StageCycles | None:
        """Cycles under one choice; the host's operators take none, and read and write ``nhwc``."""
        if self.stage.kind is StageKind.HOST:
            if in_layout != NHWC or out_layout != NHWC:
                return None
            none = np.zeros(shapes.p1.size, dtype=np.int64)
            return StageCycles(none, none, none, none)
        return self.model.cycles(self.stage, algorithm, dataflow, in_layout, out_layout, shapes)

    def latency(self, p1: int, p2: int) -> IntArray:
        """Cycles on one shape: (in_layouts, algorithms, dataflows, out_layouts), ``FORBIDDEN`` where impossible."""
        shapes = ShapeBatch.of(p1, p2)
        sides = (self.in_layouts, self.algorithms, self.dataflows, self.out_layouts)
        latency = np.full(tuple(map(len, sides)), FORBIDDEN, dtype=np.int64)
        for place in np.ndindex(latency.shape):
            i, a, d, o = place
            cycles = self.cycles(self.algorithms[a], self.dataflows[d], self.in_layouts[i], self.out_layouts[o], shapes)
            if cycles is not None:
                latency[place] = cycles.total[0]
        return latency

    def best_latency(self, shapes: ShapeBatch) -> IntArray:
        """Cycles with the best algorithm and dataflow: (in_layouts, out_layouts, shapes).

        Neither touches a neighbour, so that minimising over them first loses nothing. Where the model has lower
        bounds, a choice is priced only for shapes on which its bound is below the best so far.
        """
        found = shapes.memo.get(self.kind)
        if found is None:
            found = shapes.memo[self.kind] = self._best(shapes)
        assert isinstance(found, np.ndarray)
        return found

    def _best(self, shapes: ShapeBatch) -> IntArray:
        best = np.full((len(self.in_layouts), len(self.out_layouts), shapes.p1.size), FORBIDDEN, dtype=np.int64)
        options = [(algorithm, dataflow) for algorithm in self.algorithms for dataflow in self.dataflows]
        for i, in_layout in enumerate(self.in_layouts):
            for o, out_layout in enumerate(self.out_layouts):
                if self.model.bounded and shapes.precision is Precision.EXACT and len(options) > 1:
                    self._cheapest(options, in_layout, out_layout, shapes, best[i, o])
                    continue
                for algorithm, dataflow in options:
                    cycles = self.cycles(algorithm, dataflow, in_layout, out_layout, shapes)
                    if cycles is not None:
                        np.minimum(best[i, o], cycles.total, out=best[i, o])
        return best

    def _cheapest(
        self,
        options: Sequence[tuple[Algorithm | None, Dataflow]],
        in_layout: Layout,
        out_layout: Layout,
        shapes: ShapeBatch,
        best: IntArray,
    ) -> None:
        """Lower ``best`` to the least cycles of the options, the most promising first."""
        loose = ShapeBatch(shapes.p1, shapes.p2, Precision.BOUND)
        bounds = []
        for option in options:
            cycles = self.cycles(*option, in_layout, out_layout, loose)
            if cycles is not None:
                bounds.append((cycles.total, option))
        for bound, option in sorted(bounds, key=lambda pair: float(np.minimum(pair[0], FORBIDDEN >> 20).sum())):
            open_ = np.flatnonzero(bound < best)
            if not open_.size:
                continue
            some = ShapeBatch(shapes.p1[open_], shapes.p2[open_])
            cycles = self.cycles(*option, in_layout, out_layout, some)
            assert cycles is not None
            best[open_] = np.minimum(best[open_], cycles.total)


@dataclass(frozen=True)
class MappingTables:
    """A program with the tables of its stages and the layouts open to each group of tensors."""

    program: Program
    model: CostModel
    stages: tuple[StageTable, ...]
    layouts: Mapping[str, tuple[Layout, ...]]

    @property
    def impossible_cycles(self) -> int:
        """More than any possible latency, and so little that one for every stage can be added up."""
        return FORBIDDEN // (4 * len(self.stages))

    @cached_property
    def shared(self) -> frozenset[str]:
        """Groups with a layout to choose that no single writer chooses for a single reader."""
        readers, writers = self.program.readers, self.program.writers
        return frozenset(
            group
            for group, layouts in self.layouts.items()
            if len(layouts) > 1 and (len(readers[group]) > 1 or len(writers[group]) != 1)
        )

    def group_of_input(self, table: StageTable) -> str:
        """The group of a stage's first input."""
        return self.program.tensors[table.stage.inputs[0]].group

    def group_of_output(self, table: StageTable) -> str:
        """The group of a stage's output."""
        return self.program.tensors[table.stage.output].group


def build_tables(program: Program, model: CostModel, dataflows: Sequence[Dataflow] = tuple(Dataflow)) -> MappingTables:
    """Tables of every stage."""
    layouts = {group: _group_layouts(program, model, group) for group in program.readers}
    tables = []
    for stage in program.stages:
        algorithms: tuple[Algorithm | None, ...] = model.algorithms(stage)
        on_array = stage.kind is StageKind.ARRAY
        if not on_array:
            algorithms = (None,)
        in_layouts = layouts[program.tensors[stage.inputs[0]].group] if stage.inputs else (NHWC,)
        out_layouts = layouts[program.tensors[stage.output].group]
        tables.append(
            StageTable(
                stage=stage,
                model=model,
                in_layouts=in_layouts,
                out_layouts=out_layouts,
                algorithms=algorithms,
                dataflows=tuple(dataflows) if on_array else (dataflows[0],),
            )
        )
    return MappingTables(program, model, tuple(tables), layouts)


def _group_layouts(program: Program, model: CostModel, group: str) -> tuple[Layout, ...]:
    """What every reader of a group can take; ``nhwc`` alone for what the host reads, and perhaps for what it writes."""
    accepted = [model.accepted_layouts(stage, position) for stage, position in program.readers[group]]
    members = [tensor for tensor in program.tensors.values() if tensor.group == group]
    from_host = any(tensor.name in program.network.inputs for tensor in members)
    if not accepted or any(tensor.fixed for tensor in members) or (from_host and model.plain_inputs):
        return (NHWC,)
    return tuple(layout for layout in accepted[0] if all(layout in others for others in accepted[1:]))
