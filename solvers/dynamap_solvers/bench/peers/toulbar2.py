"""toulbar2 through pytoulbar2, its functions added the fastest way its interface offers."""

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
    if len(set(problem.sizes.tolist())) == 1:
        _add_arrays(network, problem, unary, pair)
    else:
        _add_one_by_one(network.CFN.wcsp, problem, unary, pair)
    return problem, network, offset


def solve(model: _Model, settings: Settings) -> Claim:
    """Run it and read what it proved: its limit counts whole seconds of processor time."""
    problem, network, offset = model
    answer = network.Solve(timeLimit=math.ceil(settings.time_limit))
    limited = bool(network.Option.limited)  # its own bound may stay behind after a search that was completed
    return Claim(
        assignment=None if answer is None else tuple(int(x) for x in answer[0]),
        bound=integer_bound(network.GetDDualBound() + offset, problem) if limited else None,
        stopped=StopReason.TIME_LIMIT if limited else StopReason.PROVED,
        infeasible=answer is None and not limited,
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


def _add_arrays(network: Any, problem: SelectionProblem, unary: NDArray[Any], pair: NDArray[Any]) -> None:
    """All at once, where all variables have as many choices: about twice as fast as one by one."""
    n, d = problem.num_variables, int(problem.sizes[0])
    network.AddVariables(n, "x", 0, d - 1)
    network.AddFunctions(np.arange(n, dtype=np.int32), unary.reshape(n, d).astype(np.float64))
    if problem.num_edges:
        scopes = np.ascontiguousarray(problem.edge_ends, np.int32)
        network.AddFunctions(scopes, pair.reshape(-1, d, d).astype(np.float64))


def _add_one_by_one(wcsp: Any, problem: SelectionProblem, unary: NDArray[Any], pair: NDArray[Any]) -> None:
    """What pytoulbar2 does for a function, without its checks of every value."""
    starts = problem.unary_starts.tolist()
    costs = unary.tolist()
    for i in range(problem.num_variables):
        wcsp.makeEnumeratedVariable(f"x{i}", 0, starts[i + 1] - starts[i] - 1)
    for i in range(problem.num_variables):
        wcsp.postUnaryConstraint(i, costs[starts[i] : starts[i + 1]], False)
    starts = problem.pair_starts.tolist()
    costs = pair.tolist()
    for e, (i, j) in enumerate(problem.edge_ends.tolist()):
        wcsp.postBinaryConstraint(i, j, costs[starts[e] : starts[e + 1]], False)
