"""Cost tables of a program: everything the mapping problem needs, most of it independent of the array's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl import Dataflow
from dynamap_solvers import FORBIDDEN

from .algorithms import Algorithm
from .costs import CostModel
from .errors import DynamapError
from .layouts import NHWC, Layout
from .program import Program, Stage, StageKind

__all__ = ["ComputeCache", "MappingTables", "StageTable", "build_tables"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class StageTable:
    """Choices and costs of one stage.

    Attributes:
        stage: whose.
        model: gives compute cycles and latency.
        in_layouts: layouts its first input may have.
        out_layouts: layouts its output may have.
        algorithms: legal ones; ``(None,)`` for a stage that is not on the array.
        dataflows: to choose from; one of them where the array is not used, so that it is no choice.
        load: cycles, shape (in_layouts, algorithms), ``FORBIDDEN`` where impossible.
        store: cycles, shape (algorithms, out_layouts), likewise.
    """

    stage: Stage
    model: CostModel
    in_layouts: tuple[Layout, ...]
    out_layouts: tuple[Layout, ...]
    algorithms: tuple[Algorithm | None, ...]
    dataflows: tuple[Dataflow, ...]
    load: IntArray
    store: IntArray

    @property
    def choices(self) -> tuple[tuple[Algorithm | None, Dataflow, Layout], ...]:
        """Every (algorithm, dataflow, output layout), the last varying fastest."""
        return tuple((a, d, o) for a in self.algorithms for d in self.dataflows for o in self.out_layouts)

    def latency(self, p1: int, p2: int) -> IntArray:
        """Cycles on one shape: (in_layouts, algorithms, dataflows, out_layouts), ``FORBIDDEN`` where impossible."""
        compute = np.array(
            [[self.model.compute_cycles(self.stage, a, d, p1, p2) for d in self.dataflows] for a in self.algorithms],
            dtype=np.int64,
        )
        load = self.load[:, :, None, None]
        store = self.store[None, :, None, :]
        if self.stage.kind is StageKind.HOST:
            total = np.zeros(1, dtype=np.int64) + 0 * load + 0 * store + 0 * compute[None, :, :, None]
        else:
            total = np.asarray(self.model.latency(load, compute[None, :, :, None], store))
        return np.where((load >= FORBIDDEN) | (store >= FORBIDDEN), FORBIDDEN, total).astype(np.int64)

    def best_latency(self, p1: IntArray, p2: IntArray, cache: ComputeCache) -> IntArray:
        """Cycles with the best algorithm and dataflow: (in_layouts, out_layouts, shapes).

        Neither touches a neighbour, so that minimising over them first loses nothing.
        """
        n_in, n_out = len(self.in_layouts), len(self.out_layouts)
        best = np.full((n_in, n_out, p1.size), FORBIDDEN, dtype=np.int64)
        if self.stage.kind is StageKind.HOST:
            best[self.load[:, 0] < FORBIDDEN] = 0
            return best
        for index, algorithm in enumerate(self.algorithms):
            compute = cache.best(self, algorithm, p1, p2)
            for i in range(n_in):
                for o in range(n_out):
                    load, store = int(self.load[i, index]), int(self.store[index, o])
                    if load < FORBIDDEN and store < FORBIDDEN:
                        np.minimum(best[i, o], self.model.latency(load, compute, store), out=best[i, o])
        return best


@dataclass
class ComputeCache:
    """Compute cycles of equal convolutions, shared within one set of array shapes."""

    _found: dict[object, IntArray] = field(default_factory=dict)

    def best(self, table: StageTable, algorithm: Algorithm | None, p1: IntArray, p2: IntArray) -> IntArray:
        """Least cycles over the dataflows, one for each shape."""
        stage = table.stage
        channels = 0 if stage.conv is not None else id(table)
        key = (stage.conv, channels, None if algorithm is None else algorithm.name)
        if key not in self._found:
            every = [table.model.compute_cycles(stage, algorithm, d, p1, p2) for d in table.dataflows]
            least = every[0]
            for cycles in every[1:]:
                least = np.minimum(least, cycles)
            self._found[key] = np.asarray(least, dtype=np.int64)
        return self._found[key]


@dataclass(frozen=True)
class MappingTables:
    """A program with the tables of its stages and the layouts open to each group of tensors."""

    program: Program
    model: CostModel
    stages: tuple[StageTable, ...]
    layouts: Mapping[str, tuple[Layout, ...]]

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
    """Tables of every stage; O(stages x layouts x algorithms) besides the walk over each tensor's windows.

    Raises:
        DynamapError: when a stage would move so much data that 64-bit sums of cycles might overflow.
    """
    layouts = {group: _group_layouts(program, model, group) for group in program.readers}
    tables = []
    for stage in program.stages:
        algorithms: tuple[Algorithm | None, ...] = model.algorithms(stage)
        on_array = stage.kind is StageKind.ARRAY
        if not on_array:
            algorithms = (None,)
        in_layouts = layouts[program.tensors[stage.inputs[0]].group] if stage.inputs else (NHWC,)
        out_layouts = layouts[program.tensors[stage.output].group]
        load = [[_cycles(stage, model.load_cycles(stage, a, layout)) for a in algorithms] for layout in in_layouts]
        store = [[_cycles(stage, model.store_cycles(stage, a, layout)) for layout in out_layouts] for a in algorithms]
        tables.append(
            StageTable(
                stage=stage,
                model=model,
                in_layouts=in_layouts,
                out_layouts=out_layouts,
                algorithms=algorithms,
                dataflows=tuple(dataflows) if on_array else (dataflows[0],),
                load=np.array(load, dtype=np.int64).reshape(len(in_layouts), len(algorithms)),
                store=np.array(store, dtype=np.int64).reshape(len(algorithms), len(out_layouts)),
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


def _cycles(stage: Stage, cycles: int | None) -> int:
    """``FORBIDDEN`` for what is impossible; refuses what would overflow."""
    if cycles is not None and cycles >= FORBIDDEN // 2:
        raise DynamapError(f"layer {stage.name!r} moves so much data that its cycles exceed 2**60; split it")
    return FORBIDDEN if cycles is None else cycles
