"""Strike out choices nobody can take: arc consistency."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.passes.base import Drop, Simplification, restrict, unchanged
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["drop_forbidden"]


def drop_forbidden(problem: SelectionProblem) -> Simplification:
    """Strike out choices nobody can take, until nothing changes; variables and edges stay.

    A choice goes if its own cost is forbidden, if its usage alone exceeds the limit, or if all its pairs with the
    choices left to some neighbour are forbidden (arc consistency, Mackworth 1977). ``O(m d^2)`` per round over changed
    variables; nothing where no cell is forbidden.

    Raises:
        ProblemError: if the problem is a batch, whose cost sets need not forbid the same cells.
    """
    if problem.is_batched:
        raise ProblemError("Choices are struck out of one cost set at a time; take instance(k) of the batch.")
    if not problem.has_forbidden and problem.usage_costs is None:
        return unchanged(problem)
    limit = FINITE_LIMIT if problem.is_integer else np.inf
    flat = problem.unary_costs < limit
    starts = problem.unary_starts.tolist()
    alive = [flat[a:b] for a, b in pairwise(starts)]  # views: changing them changes flat
    dropped: list[Drop] = []
    for i, left in enumerate(alive):  # changed in place
        dropped += [(i, int(x), -1) for x in np.flatnonzero(~left)]
        if not left.any():
            return _conflict(problem, dropped, f"Every choice of variable {problem.names[i]!r} is forbidden by itself.")
        if problem.usage is not None and problem.intervals[i][0] < problem.intervals[i][1]:
            too_much = left & (problem.usage[i] > problem.usage_limit)
            dropped += [(i, int(x), -1) for x in np.flatnonzero(too_much)]
            np.logical_and(left, ~too_much, out=left)
            if not left.any():
                return _conflict(
                    problem,
                    dropped,
                    f"Every allowed choice of variable {problem.names[i]!r} alone uses more than the limit of "
                    f"{problem.usage_limit}.",
                )
    conflict = _propagate(problem, alive, _tables_that_forbid(problem, limit), dropped)
    if conflict:
        return _conflict(problem, dropped, conflict)
    if not dropped:
        return unchanged(problem)
    return restrict(problem, flat, tuple(dropped))


def _tables_that_forbid(problem: SelectionProblem, limit: float) -> list[list[tuple[int, NDArray[np.bool_]]]]:
    """Per variable its neighbours, each with the allowed cells; tables that allow everything are left out."""
    incident: list[list[tuple[int, NDArray[np.bool_]]]] = [[] for _ in range(problem.num_variables)]
    if not problem.num_edges:
        return incident
    forbidden = problem.pair_costs >= limit
    for e in np.flatnonzero(np.logical_or.reduceat(forbidden, problem.pair_starts[:-1])).tolist():
        i, j = problem.edges[e]
        allowed = ~forbidden[problem.pair_starts[e] : problem.pair_starts[e + 1]].reshape(
            problem.domain_sizes[i], problem.domain_sizes[j]
        )
        incident[i].append((j, allowed))
        incident[j].append((i, allowed.T))
    return incident


def _propagate(
    problem: SelectionProblem,
    alive: list[NDArray[np.bool_]],
    incident: list[list[tuple[int, NDArray[np.bool_]]]],
    dropped: list[Drop],
) -> str:
    """Strike out until nothing changes; a sentence where a variable is left without a choice."""
    changed = dict.fromkeys(range(len(alive)))  # a set in order of insertion, so that the outcome is always the same
    while changed:
        j = next(iter(changed))
        del changed[j]
        for i, towards in incident[j]:
            allowed = towards.T  # rows: choices of i, columns: of j
            useless = alive[i] & ~allowed[:, alive[j]].any(axis=1)
            if useless.any():
                dropped += [(i, int(x), -1) for x in np.flatnonzero(useless)]
                alive[i] &= ~useless
                changed[i] = None
                if not alive[i].any():
                    return (
                        f"No choice of variable {problem.names[i]!r} is left that goes with any choice left to "
                        f"{problem.names[j]!r}."
                    )
    return ""


def _conflict(problem: SelectionProblem, dropped: list[Drop], sentence: str) -> Simplification:
    return unchanged(problem, dropped=tuple(dropped), conflict=sentence)
