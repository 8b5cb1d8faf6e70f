"""Strike out choices that another choice of the same variable makes superfluous."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._drops import Drop, Drops
from dynamap_solvers._kernel.eliminate import Stop
from dynamap_solvers._kernel.eliminate import dominated as kernel_dominated
from dynamap_solvers.errors import ProblemError
from dynamap_solvers.passes.base import Simplification, restrict, unchanged
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["drop_dominated"]


def drop_dominated(problem: SelectionProblem, *, stop: Stop | None = None) -> Simplification:
    """Soft dead-end elimination, until nothing changes; variables and edges stay.

    Choice ``a`` goes where a choice ``b``, still there, is never dearer (Goldstein 1994):
    ``c[a] - c[b] + sum over neighbours of min_y (T[a, y] - T[b, y]) >= 0``; with a resource, ``b`` must not use more of
    it either. Forbidden choices go as well. One optimum at least survives; others may not. ``O(m d^3)`` per round over
    changed variables, most pairs being refuted in ``O(degree)``.

    Args:
        problem: one cost set.
        stop: ends the pass early; what went so far went rightly.

    Raises:
        ProblemError: if the problem is a batch.
    """
    if problem.is_batched:
        raise ProblemError("Choices are struck out of one cost set at a time; take instance(k) of the batch.")
    usage = _usage(problem)
    found = kernel_dominated(problem, usage, stop=stop or Stop())
    if found is not None:
        alive, drops = found
        dropped: Sequence[Drop] = Drops(drops)
    else:
        alive, dropped = _in_numpy(problem, usage)
    if not dropped:
        return unchanged(problem)
    left = np.add.reduceat(alive, problem.unary_starts[:-1], dtype=np.int64)
    if not left.all():
        name = problem.structure.label(int(left.argmin()))
        sentence = f"No choice of variable {name!r} goes with what is left to its neighbours."
        return unchanged(problem, dropped=dropped, conflict=sentence)
    return restrict(problem, alive, dropped)


def _usage(problem: SelectionProblem) -> NDArray[np.int64] | None:
    """Usages, 0 for variables that never use the resource; None where there is none."""
    if problem.usage_costs is None:
        return None
    lives = np.array([start < end for start, end in problem.intervals], np.bool_)
    return np.where(np.repeat(lives, problem.sizes), problem.usage_costs, 0)


def _in_numpy(problem: SelectionProblem, usage: NDArray[np.int64] | None) -> tuple[NDArray[np.bool_], tuple[Drop, ...]]:
    limit = FINITE_LIMIT if problem.is_integer else np.inf
    flat = np.ones(len(problem.unary_costs), np.bool_)
    starts = problem.unary_starts.tolist()
    alive = [flat[starts[i] : starts[i + 1]] for i in range(problem.num_variables)]  # views
    around: list[list[tuple[int, NDArray[Any]]]] = [[] for _ in alive]
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        around[i].append((j, table))
        around[j].append((i, table.T))
    drops: list[Drop] = []
    queue = dict.fromkeys(range(len(alive)))
    while queue:
        i = next(iter(queue))
        del queue[i]
        before = len(drops)
        _look(
            i,
            problem.unary[i],
            None if usage is None else usage[starts[i] : starts[i + 1]],
            around,
            alive,
            limit,
            drops,
        )
        if len(drops) > before:
            queue.update(dict.fromkeys(j for j, _ in around[i]))
    return flat, tuple(drops)


def _look(
    i: int,
    costs: NDArray[Any],
    used: NDArray[np.int64] | None,
    around: list[list[tuple[int, NDArray[Any]]]],
    alive: list[NDArray[np.bool_]],
    limit: float,
    drops: list[Drop],
) -> None:
    tables = [table[:, alive[j]] for j, table in around[i]]
    if len(costs) == 1:
        return
    possible = np.asarray(costs < limit)
    for table in tables:
        possible = possible & (table < limit).any(axis=1)
    for a in np.flatnonzero(alive[i] & ~possible).tolist():
        alive[i][a] = False
        drops.append((i, a, -1))
    for a in np.flatnonzero(alive[i]).tolist():
        gain = costs[a] - costs  # per choice b; FORBIDDEN ones of b are no longer alive
        allowed = alive[i].copy()
        allowed[a] = False
        if used is not None:
            allowed &= used <= used[a]
        for table in tables:
            finite = table[a] < limit
            rest = table[:, finite]
            allowed &= (rest < limit).all(axis=1)
            gain = gain + np.where(rest < limit, table[a][finite] - np.where(rest < limit, rest, 0), 0).min(axis=1)
        better = np.flatnonzero(allowed & (gain >= 0))
        if better.size:
            alive[i][a] = False
            drops.append((i, a, int(better[0])))
