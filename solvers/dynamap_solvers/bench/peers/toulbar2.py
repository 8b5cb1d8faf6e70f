"""toulbar2 through pytoulbar2, its functions added by whole arrays, which is the fastest its interface offers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.bench.contestants import Claim, Settings, integer_bound
from dynamap_solvers.bench.peers._polytope import check_plain
from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem
from dynamap_solvers.result import StopReason

__all__ = ["build", "solve"]

_EXACT_BELOW = 2.0**53
_Model = tuple[SelectionProblem, Any, float]


def build(options: Mapping[str, int], problem: SelectionProblem, settings: Settings) -> _Model:
    """The network and what its costs have been shifted by.

    Args:
        options: of toulbar2, by their names there; they are global to the process.
        problem: one cost set of integers.
        settings: the seed.

    Raises:
        ProblemError: for float costs, or sums beyond what float64, which the interface takes, can tell apart.
    """
    import pytoulbar2  # noqa: PLC0415 - only where the peer runs

    check_plain(problem)
    if not problem.is_integer:
        raise ProblemError("toulbar2 is benchmarked on integer costs only.")
    unary, pair, offset, top = _shifted(problem)
    network = pytoulbar2.CFN(ubinit=top, vac=options.get("vac", 0), seed=settings.seed + 1)
    for name, value in options.items():
        setattr(network.Option, name, value)
    sizes = problem.sizes
    borders = np.flatnonzero(np.diff(sizes, prepend=0, append=0))
    for first, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        network.AddVariables(end - first, f"x{first}_", 0, int(sizes[first]) - 1)
    for size in np.unique(sizes).tolist():
        members = np.flatnonzero(sizes == size)
        network.AddFunctions(members.astype(np.int32), _gathered(unary, problem.unary_starts, members, (size,)))
    if len(problem.edge_ends):
        rows, columns = sizes[problem.edge_ends].T
        shape_of_edge = rows * (int(sizes.max()) + 1) + columns
        for code in np.unique(shape_of_edge).tolist():
            members = np.flatnonzero(shape_of_edge == code)
            shape = (int(rows[members[0]]), int(columns[members[0]]))
            scopes = np.ascontiguousarray(problem.edge_ends[members], np.int32)
            network.AddFunctions(scopes, _gathered(pair, problem.pair_starts, members, shape))
    return problem, network, offset


def solve(model: _Model, settings: Settings) -> Claim:
    """Run it and read what it proved: its limit counts whole seconds of processor time."""
    problem, network, offset = model
    answer = network.Solve(timeLimit=math.ceil(settings.time_limit))
    bound = network.GetDDualBound()
    limited = bool(network.Option.limited) if hasattr(network.Option, "limited") else False
    if answer is None:
        proved = not limited
        return Claim(
            assignment=None,
            bound=None if proved else integer_bound(bound + offset, problem),
            stopped=StopReason.PROVED if proved else StopReason.TIME_LIMIT,
            infeasible=proved,
        )
    return Claim(
        assignment=tuple(int(x) for x in answer[0]),
        bound=integer_bound(bound + offset, problem),
        stopped=StopReason.TIME_LIMIT,  # counts only where the bound stays below the price
    )


def _shifted(problem: SelectionProblem) -> tuple[NDArray[Any], NDArray[Any], float, float]:
    """Costs without negative ones, what was added in all, and a cost above every allowed assignment's."""
    shifted: list[NDArray[Any]] = []
    offset, top = 0, 1
    for costs, starts in (
        (problem.unary_costs, problem.unary_starts[:-1]),
        (problem.pair_costs, problem.pair_starts[:-1]),
    ):
        if not costs.size:
            shifted.append(costs)
            continue
        moved = costs
        if costs.min() < 0:
            least = np.minimum(np.minimum.reduceat(costs, starts), 0)
            moved = costs - np.repeat(least, np.diff(np.append(starts, costs.size)))
            offset += int(least.sum())
        if costs.max() >= FINITE_LIMIT:
            moved = np.where(costs >= FINITE_LIMIT, -1, moved)
        top += int(np.maximum.reduceat(moved, starts).clip(0).sum())
        shifted.append(moved)
    if top >= _EXACT_BELOW:
        raise ProblemError("toulbar2 is benchmarked on costs that add up to less than 2**53 only.")
    unary, pair = (np.where(costs < 0, top, costs) if costs.size and costs.min() < 0 else costs for costs in shifted)
    return unary, pair, float(offset), float(top)


def _gathered(
    costs: NDArray[Any], starts: NDArray[np.int64], members: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """The tables of some variables or edges, all of one shape, as one array; a view where they are all there are."""
    if len(members) == len(starts) - 1:
        return costs.reshape(-1, *shape).astype(np.float64)
    return costs[starts[members, None] + np.arange(math.prod(shape))].reshape(-1, *shape).astype(np.float64)
