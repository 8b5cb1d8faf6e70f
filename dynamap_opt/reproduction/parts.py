"""The parts of a reproduction: each one question about one network, answered by the library's public calls.

A part is a function of values that other processes can be sent; its result is a value that JSON holds, so that it is
kept as soon as it is there.
"""

from __future__ import annotations

import statistics
import time
from functools import lru_cache
from itertools import pairwise

import numpy as np

from dynamap_models.ir import Network
from dynamap_opt.api import load_model
from dynamap_opt.board import Board
from dynamap_opt.comparison import StrategyResult, compare_strategies
from dynamap_opt.errors import DynamapError
from dynamap_opt.explanation import explain_plan, mapper_of
from dynamap_opt.lowering import lower
from dynamap_opt.mapper import Mapper
from dynamap_opt.mapping import make_plan, map_network
from dynamap_opt.plan import LayerPlan, Plan
from dynamap_opt.residency import peak_bytes, solve_residency
from dynamap_opt.study import SurveyRow, survey
from dynamap_opt.verification import verify_plan
from dynamap_solvers import Status, solve

from .bounds import ComputeBounds, compute_bounds
from .results import (
    ArrayResult,
    Check,
    LayerUse,
    NetworkResult,
    ResidencyResult,
    TimeResult,
    VariantResult,
)

__all__ = [
    "VARIANTS",
    "Model",
    "array_part",
    "bounds_part",
    "network_of",
    "network_part",
    "other_part",
    "residency_part",
    "time_part",
    "variant_part",
]

#: A zoo name, the path of an ONNX file, or, where everything runs in this process, a network.
Model = str | Network

_KN2ROW = "kn2row"
# Budgets as shares of what keeping everything on chip takes, and seconds for each.
_BUDGETS, _BUDGET_SECONDS = (0.0, 0.25, 0.5, 0.75, 1.0), 30.0
# Explorations are timed this often, solves of one mapping problem that often.
_EXPLORATIONS, _SOLVES = 3, 9


#: What goes beyond the paper's choices, per preset: algorithms (None for all there are) and products a slice.
VARIANTS: dict[str, dict[str, tuple[tuple[str, ...] | None, int]]] = {
    "paper": {"two products a DSP": (None, 2)},
    "overlay": {
        "the paper's three": (("im2col", "kn2row", "depthwise", "winograd-f2-2d"), 1),
        "and F(4x4,3x3)": (("im2col", "kn2row", "depthwise", "winograd-f2-2d", "winograd-f4-2d"), 1),
        "and 1-D F(2,3), without F(4,3)": (("im2col", "kn2row", "depthwise", "winograd-f2-2d", "winograd-f2-1d"), 1),
        "two products a DSP": (None, 2),
    },
}


@lru_cache(maxsize=8)
def _named(model: str) -> Network:
    return load_model(model)


def network_of(model: Model) -> Network:
    """The network; named ones are read once a process."""
    return model if isinstance(model, Network) else _named(model)


def network_part(model: Model, board: Board, preset: str) -> NetworkResult:
    """Every strategy, and the joint optimum layer by layer, with its checks."""
    network = network_of(model)
    strategies = compare_strategies(network, board, cost=preset, allow_host=True, threads=1)
    best = strategies[0]
    plan = map_network(network, board, array=best.array, cost=preset, allow_host=True)
    narrow = map_network(network, board, array=best.array, cost=preset, allow_host=True, dataflows=["NS"])
    mapper = mapper_of(plan, network)
    problem = mapper.decision(*plan.array).problem
    on_array = [
        (row, other, stage.conv)
        for row, other, stage in zip(plan.layers, narrow.layers, mapper.program.stages, strict=True)
        if stage.conv is not None
    ]
    return NetworkResult(
        network=network.name,
        preset=preset,
        macs=network.macs,
        strategies=strategies,
        layers=tuple(
            LayerUse(
                name=row.name,
                operation=row.operation,
                kernel=conv.kernel,
                stride=conv.stride,
                macs=row.macs,
                algorithm=row.algorithm,
                dataflow=row.dataflow or "",
                cycles=row.cycles,
                load_cycles=row.load_cycles,
                compute_cycles=row.compute_cycles,
                store_cycles=row.store_cycles,
                array_utilization=_while_computing(row),
                utilization=row.utilization,
                ns_utilization=_while_computing(other),
                ns_compute_cycles=other.compute_cycles,
                without_kn2row_cycles=_without_kn2row(plan, mapper, row.name) if row.algorithm == _KN2ROW else None,
            )
            for row, other, conv in on_array
        ),
        off_array_cycles=sum(row.cycles for row in plan.layers if row.dataflow is None),
        method=plan.method,
        variables=problem.num_variables,
        edges=len(problem.edges),
        host_operators=plan.host_operators,
        checks=_checks(plan, mapper, strategies),
    )


def _while_computing(row: LayerPlan) -> float:
    """Utilization in the cycles of computing alone; rounded, so that a full array's is 1 and not a little more."""
    return round(row.utilization * row.cycles / max(1, row.compute_cycles), 12)


def _without_kn2row(plan: Plan, mapper: Mapper, layer: str) -> int | None:
    (found,) = explain_plan(plan, mapper, layer=layer)
    totals = [c.total_cycles for c in found.choices if c.algorithm != _KN2ROW and c.total_cycles is not None]
    return min(totals, default=None)


def _checks(plan: Plan, mapper: Mapper, strategies: tuple[StrategyResult, ...]) -> tuple[Check, ...]:
    best, *others = strategies
    faster = [other.strategy for other in others if other.latency_cycles < best.latency_cycles]
    second = solve(mapper.decision(*plan.array).problem, method="ilp")
    verified = verify_plan(plan, mapper)
    return (
        Check(
            name="no fixed strategy beats the joint optimum",
            holds=not faster,
            detail=", ".join(faster) or f"{len(others)} strategies are slower or equal",
        ),
        Check(
            name="the best array's mapping costs what the exploration says",
            holds=plan.status == "optimal" and plan.latency_cycles == best.latency_cycles,
            detail=f"{plan.latency_cycles:,} and {best.latency_cycles:,} cycles",
        ),
        Check(
            name="integer programming finds the same optimum",
            holds=second.status is Status.OPTIMAL and second.objective == plan.latency_cycles,
            detail=f"{second.status} by {second.method}: {second.objective} cycles",
        ),
        Check(
            name="the plan, priced again from the network alone, holds with its proof",
            holds=verified.holds and verified.proof_checked,
            detail="; ".join(verified.problems) or f"{verified.latency_cycles:,} cycles",
        ),
    )


def array_part(model: Model, board: Board, preset: str, array: tuple[int, int]) -> ArrayResult:
    """A network on an array that is given, and under published costs where that stands among all shapes."""
    network = network_of(model)
    mapper = Mapper(network, board, cost=preset, allow_host=True)
    try:
        plan: Plan | None = make_plan(mapper, mapper.explore(array, threads=1), array=array)
    except DynamapError:  # too large for the board, or not an overlay
        plan = None
    faster = small = small_cycles = None
    if plan is not None and not mapper.model.bounded:
        every = mapper.explore(threads=1)
        elements = every.shapes.p1 * every.shapes.p2
        fits = np.flatnonzero(elements <= array[0] * array[1])
        index = int(fits[np.lexsort((elements[fits], every.latency_cycles[fits]))[0]])
        if every.exact_everywhere:
            faster = int((every.latency_cycles < plan.latency_cycles).sum())
            small = (int(every.shapes.p1[index]), int(every.shapes.p2[index]))
            small_cycles = int(every.latency_cycles[index])
    rows = () if plan is None else plan.layers
    return ArrayResult(
        network=network.name,
        preset=preset,
        array=array,
        latency_cycles=None if plan is None else plan.latency_cycles,
        load_cycles=sum(row.load_cycles for row in rows),
        compute_cycles=sum(row.compute_cycles for row in rows),
        store_cycles=sum(row.store_cycles for row in rows),
        overlaps=preset != "paper",
        faster_shapes=faster,
        small_array=small,
        small_cycles=small_cycles,
    )


def bounds_part(model: Model, array: tuple[int, int]) -> ComputeBounds:
    """What no mapping on that array can go below."""
    return compute_bounds(lower(network_of(model), allow_host=True), array)


def variant_part(model: Model, board: Board, preset: str, variant: str) -> VariantResult:
    """The optimum of one of :data:`VARIANTS`."""
    algorithms, products = VARIANTS[preset][variant]
    plan = map_network(
        network_of(model), board, cost=preset, algorithms=algorithms, macs_per_dsp=products, allow_host=True, threads=1
    )
    return VariantResult(
        network=plan.model.name,
        preset=preset,
        variant=variant,
        array=plan.array,
        latency_cycles=plan.latency_cycles,
        latency_s=plan.latency_s,
    )


def other_part(model: Model, board: Board, preset: str) -> SurveyRow:
    """The optimum on one board, as ``dynamap survey`` has it."""
    (row,) = survey([model], [board], cost=preset)
    return row


def residency_part(model: Model, board: Board) -> ResidencyResult:
    """The least latency for growing budgets of on-chip memory."""
    network = network_of(model)
    mapper = Mapper(network, board, cost="paper", allow_host=True)
    exploration = mapper.explore(threads=1)
    latency = int(exploration.latency_cycles[exploration.best])
    needed = peak_bytes(mapper.program)
    found = [
        solve_residency(mapper, exploration.best_shape, int(share * needed), time_limit=_BUDGET_SECONDS)
        for share in _BUDGETS
    ]
    proved = [one for one in found if one.status == "optimal"]
    falling = all(more.latency_cycles <= less.latency_cycles for less, more in pairwise(proved))
    return ResidencyResult(
        network=network.name,
        array=exploration.best_shape,
        latency_cycles=latency,
        needed_bytes=needed,
        device_bytes=board.uram_bits // 8,
        budgets=tuple(found),
        checks=(
            Check(
                name="nothing on chip costs what the plan costs",
                holds=found[0].latency_cycles == latency,
                detail=f"{found[0].latency_cycles:,} and {latency:,} cycles",
            ),
            Check(
                name="more memory on chip is never slower, and never above its budget",
                holds=falling and all(one.peak_bytes <= one.limit_bytes for one in found),
                detail=", ".join(f"{one.latency_cycles:,}" for one in proved),
            ),
        ),
    )


def time_part(model: Model, board: Board, preset: str) -> TimeResult:
    """Time the search and the solve; to be run with nothing beside it."""
    network = network_of(model)
    searches, solves = [], []
    for _ in range(_EXPLORATIONS):
        start = time.perf_counter()
        mapper = Mapper(network, board, cost=preset, allow_host=True)
        exploration = mapper.explore(threads=1)
        plan = make_plan(mapper, exploration)
        searches.append(time.perf_counter() - start)
    for _ in range(_SOLVES):
        problem = mapper.decision(*plan.array).problem  # a new one: a problem keeps what was found out of its graph
        start = time.perf_counter()
        solve(problem)
        solves.append(time.perf_counter() - start)
    return TimeResult(
        network=network.name,
        preset=preset,
        shapes=len(exploration.shapes),
        variables=problem.num_variables,
        edges=len(problem.edges),
        explorations=_EXPLORATIONS,
        search_s=statistics.median(searches),
        solves=_SOLVES,
        solve_s=statistics.median(solves),
    )
