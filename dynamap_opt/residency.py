"""What keeping tensors on chip would be worth: an exact what-if under the published costs.

Every stored tensor (a group that shares a buffer) lies in DRAM or stays on chip, from the stage that first writes it to
the one that last reads it. In DRAM it costs its published transfers. On chip it costs none, which is the most a circuit
could save, and takes its bytes of a budget that at no stage may be exceeded. Where tensors lie and which algorithm
computes each layer are chosen together: one selection problem with a resource limit over time (the form of the IOPDDL
contest, ASPLOS 2025), solved exactly for one array. The generated overlay does not keep tensors on chip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl import Dataflow
from dynamap_solvers import FORBIDDEN, SelectionProblem, Status, solve

from .algorithms import Algorithm
from .costs import PaperCost
from .errors import DynamapError, NoMappingError
from .layouts import Layout
from .mapper import Mapper
from .program import Program
from .tables import StageTable

__all__ = ["Residency", "ResidencyProblem", "peak_bytes", "residency_problem", "solve_residency"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Residency:
    """The optimum under one budget.

    Attributes:
        limit_bytes: the budget.
        latency_cycles: least latency found.
        lower_bound_cycles: no choice is faster; equal to the latency where that is proved optimal.
        resident: groups of tensors that stay on chip, in the order in which they are written.
        peak_bytes: the most of them at a time.
        status: ``optimal`` when proved.
    """

    limit_bytes: int
    latency_cycles: int
    lower_bound_cycles: int
    resident: tuple[str, ...]
    peak_bytes: int
    status: str


@dataclass(frozen=True)
class ResidencyProblem:
    """The selection problem with what its variables mean.

    The first variables are the stages, whose choices are algorithms; then come the groups of tensors, whose choices are
    the (layout, on chip) of ``places``.
    """

    problem: SelectionProblem
    groups: tuple[str, ...]
    places: tuple[tuple[tuple[Layout, bool], ...], ...]


def residency_problem(mapper: Mapper, array: tuple[int, int], limit_bytes: int) -> ResidencyProblem:
    """The problem of one array and budget, in integer cycles and bytes.

    Args:
        mapper: with cost preset ``paper``.
        array: (P1, P2).
        limit_bytes: on chip, for feature maps; at least 0.

    Raises:
        DynamapError: for another preset, which has no transfers to save, or a negative budget.
    """
    model, program = mapper.model, mapper.program
    if not isinstance(model, PaperCost):
        raise DynamapError(
            f"cost preset {model.name!r} does not price transfers apart; use 'paper' for tensors on chip"
        )
    if limit_bytes < 0:
        raise DynamapError(f"a budget of {limit_bytes} bytes cannot be; give 0 or more")
    tables = mapper.tables
    spans = _spans(program)
    groups = tuple(sorted(spans, key=lambda group: (spans[group], group)))
    places = tuple(
        tuple(
            (layout, chip)
            for layout in tables.layouts[g]
            for chip in ((False, True) if _may_stay(program, g) else (False,))
        )
        for g in groups
    )
    index = {group: len(tables.stages) + k for k, group in enumerate(groups)}
    unary = [_compute(model, table, array) for table in tables.stages]
    held: dict[str, IntArray] = {g: np.zeros(len(p), dtype=np.int64) for g, p in zip(groups, places, strict=True)}
    where = dict(zip(groups, places, strict=True))
    edges: list[tuple[int, int]] = []
    pair: list[IntArray] = []
    for number, table in enumerate(tables.stages):
        stage = table.stage
        for position, name in enumerate(stage.inputs):
            group = program.tensors[name].group
            costs = [
                [0 if chip else model.input_cycles(stage, algorithm, layout, position) for layout, chip in where[group]]
                for algorithm in table.algorithms
            ]
            if position == 0:
                edges.append((number, index[group]))
                pair.append(np.array(costs, dtype=np.int64))
            else:  # the same whatever computes the stage
                held[group] += np.array(costs[0], dtype=np.int64)
        target = program.tensors[stage.output].group
        edges.append((number, index[target]))
        pair.append(
            np.array([[_store(model, table, a, *place) for place in where[target]] for a in table.algorithms], np.int64)
        )
    sizes = _sizes(program)
    problem = SelectionProblem(
        unary=(*unary, *(held[group] for group in groups)),
        edges=edges,
        pair=pair,
        names=(*(table.stage.name for table in tables.stages), *(f"place of {group}" for group in groups)),
        usage=(
            *(np.zeros(len(table.algorithms), dtype=np.int64) for table in tables.stages),
            *(np.array([sizes[g] * chip for _, chip in p], np.int64) for g, p in zip(groups, places, strict=True)),
        ),
        intervals=(*((k, k + 1) for k in range(len(tables.stages))), *(spans[group] for group in groups)),
        usage_limit=limit_bytes,
        name=f"{program.network.name} on {array[0]}x{array[1]} with {limit_bytes} bytes on chip",
    )
    return ResidencyProblem(problem, groups, places)


def solve_residency(
    mapper: Mapper,
    array: tuple[int, int],
    limit_bytes: int,
    *,
    method: str = "auto",
    time_limit: float | None = None,
) -> Residency:
    """The least latency when tensors may stay on chip within a budget.

    Args:
        mapper: with cost preset ``paper``.
        array: (P1, P2).
        limit_bytes: on chip, for feature maps.
        method: of :func:`dynamap_solvers.solve`, one that takes a usage limit.
        time_limit: in seconds; what nothing was found for by then gets the optimum with nothing on chip, not proved.

    Raises:
        DynamapError: as :func:`residency_problem`.
        NoMappingError: when there is no mapping at all.
    """
    built = residency_problem(mapper, array, limit_bytes)
    solution = solve(built.problem, method=method, time_limit=time_limit)
    bound = 0 if solution.bound is None else math.ceil(solution.bound)
    if solution.assignment is None and limit_bytes > 0:  # nothing on chip is always possible, and quickly found
        without = solve_residency(mapper, array, 0, method=method)
        return replace(without, limit_bytes=limit_bytes, lower_bound_cycles=bound, status="feasible")
    if solution.assignment is None:
        raise NoMappingError(
            f"no mapping of {mapper.network.name!r} on {array[0]}x{array[1]} was found ({solution.status}, "
            f"{solution.stop_reason}); allow more algorithms or more time"
        )
    chosen = solution.assignment[len(mapper.tables.stages) :]
    resident = tuple(
        group for group, places, choice in zip(built.groups, built.places, chosen, strict=True) if places[choice][1]
    )
    return Residency(
        limit_bytes=limit_bytes,
        latency_cycles=int(solution.objective_value()),
        lower_bound_cycles=bound,
        resident=resident,
        peak_bytes=_peak(mapper.program, resident),
        status="optimal" if solution.status is Status.OPTIMAL else str(solution.status),
    )


def peak_bytes(program: Program) -> int:
    """Bytes that would be on chip at once if every tensor stayed there that may: a budget above it changes nothing."""
    return _peak(program, tuple(group for group in _spans(program) if _may_stay(program, group)))


def _peak(program: Program, groups: tuple[str, ...]) -> int:
    spans, sizes = _spans(program), _sizes(program)
    return max(
        (sum(sizes[g] for g in groups if spans[g][0] <= now < spans[g][1]) for now in range(len(program.stages))),
        default=0,
    )


def _spans(program: Program) -> dict[str, tuple[int, int]]:
    """For every group the stages between its first writer and its last reader; what the host writes is there first."""
    number = {stage.name: k for k, stage in enumerate(program.stages)}
    spans = {}
    for group in program.readers:
        writers = [number[stage.name] for stage in program.writers[group]]
        readers = [number[stage.name] for stage, _ in program.readers[group]]
        if writers or readers:
            start = min(writers) if writers else 0
            spans[group] = (start, max([*writers, *readers]) + 1)
    return spans


def _sizes(program: Program) -> dict[str, int]:
    """Bytes of every group: what stages and the host write into it; joins and views are the same bytes."""
    sizes = dict.fromkeys(program.readers, 0)
    for name in (*program.network.inputs, *(stage.output for stage in program.stages)):
        sizes[program.tensors[name].group] += program.tensors[name].size
    return sizes


def _may_stay(program: Program, group: str) -> bool:
    """What the host writes or reads, or computes with, lies in DRAM."""
    members = [tensor for tensor in program.tensors.values() if tensor.group == group]
    stages = (*program.writers[group], *(stage for stage, _ in program.readers[group]))
    return not (
        any(tensor.fixed or tensor.name in program.network.inputs for tensor in members)
        or any(stage.kind.value == "host" for stage in stages)
    )


def _compute(model: PaperCost, table: StageTable, array: tuple[int, int]) -> IntArray:
    """Cycles of every algorithm with its best dataflow, which touches nothing else."""
    return np.array(
        [
            min(int(model.compute_cycles(table.stage, algorithm, Dataflow(flow), *array)) for flow in table.dataflows)
            for algorithm in table.algorithms
        ],
        dtype=np.int64,
    )


def _store(model: PaperCost, table: StageTable, algorithm: Algorithm | None, layout: Layout, chip: bool) -> int:  # noqa: FBT001 - a pair taken apart
    cycles = model.store_cycles(table.stage, algorithm, layout)
    return FORBIDDEN if cycles is None else 0 if chip else cycles
