"""Fixed choices and ties, taken out before any method sees the problem."""

from __future__ import annotations

import numpy as np

from dynamap_solvers.passes.base import Drop, Simplification, restrict, saturated, unchanged
from dynamap_solvers.problem import CostArray, SelectionProblem

__all__ = ["canonical"]


def canonical(problem: SelectionProblem) -> Simplification:
    """The same problem without fixed choices and ties; works on batches.

    Fixed: the other choices go. Ties: the members of a group become its first one, their costs added, and tables
    between members give their diagonal. Where members use the resource over different intervals, which one variable
    could not, each but the first is joined to the first by a table that forbids choosing otherwise instead.
    """
    if not problem.fixed and not problem.ties:
        return unchanged(problem)
    fixed = dict(problem.fixed)
    for group in problem.ties:
        given = [(i, fixed[i]) for i in group if i in fixed]
        if any(x != given[0][1] for _, x in given):
            names = " and ".join(repr(problem.names[i]) for i, x in given if x != given[0][1] or i == given[0][0])
            return unchanged(problem, conflict=f"Variables {names} are tied and fixed to different choices.")
        fixed.update({i: given[0][1] for i in group if given})
    alive = np.ones(int(problem.sizes.sum()), np.bool_)
    dropped: list[Drop] = []
    for i, x in sorted(fixed.items()):
        start, size = int(problem.unary_starts[i]), problem.domain_sizes[i]
        alive[start : start + size] = np.arange(size) == x
        dropped += [(i, y, -1) for y in range(size) if y != x]
    first = restrict(problem, alive, tuple(dropped))
    if not problem.ties:
        return first
    merged = _merge(first.problem, problem.ties)
    return Simplification(
        problem=merged.problem,
        kept=first.kept,
        kept_starts=first.kept_starts,
        position=merged.position,
        offset=merged.offset,
        dropped=first.dropped,
    )


def _merge(problem: SelectionProblem, ties: tuple[tuple[int, ...], ...]) -> Simplification:
    leader = list(range(problem.num_variables))
    links: list[tuple[int, int]] = []  # members that stay, joined to their first
    for group in ties:
        for i in group[1:]:
            if _uses(problem, i) and (
                not _uses(problem, group[0]) or problem.intervals[i] != problem.intervals[group[0]]
            ):
                links.append((group[0], i))
            else:
                leader[i] = group[0]
    stay = [i for i, first in enumerate(leader) if i == first]
    place = {i: at for at, i in enumerate(stay)}
    position = np.array([place[first] for first in leader])
    unary: list[CostArray] = [problem.unary[i] for i in stay]
    usage = None if problem.usage is None else [problem.usage[i].copy() for i in stay]
    for i, first in enumerate(leader):
        if i != first:
            unary[place[first]] = saturated(unary[place[first]], problem.unary[i])
            if usage is not None and _uses(problem, i):
                usage[place[first]] += problem.usage[i] if problem.usage is not None else 0
    edges: list[tuple[int, int]] = []
    pair: list[CostArray] = []
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        a, b = place[leader[i]], place[leader[j]]
        if a == b:
            unary[a] = saturated(unary[a], np.diagonal(table, axis1=-2, axis2=-1))
        else:
            edges.append((a, b))
            pair.append(table)
    for i, j in links:
        size = problem.domain_sizes[i]
        edges.append((place[i], place[j]))
        agree = np.full((size, size), problem.infeasible_value, problem.dtype)
        np.fill_diagonal(agree, 0)
        pair.append(agree)
    smaller = SelectionProblem(
        unary=unary,
        edges=edges,
        pair=pair,
        names=[problem.names[i] for i in stay],
        choice_names=None if problem.choice_names is None else [problem.choice_names[i] for i in stay],
        usage=usage,
        intervals=[problem.intervals[i] for i in stay] if usage is not None else (),
        usage_limit=problem.usage_limit,
        name=problem.name,
    )
    return Simplification(
        problem=smaller,
        kept=np.arange(int(problem.sizes.sum())) - np.repeat(problem.unary_starts[:-1], problem.sizes),
        kept_starts=problem.unary_starts,
        position=position,
        offset=np.zeros((), problem.dtype),
    )


def _uses(problem: SelectionProblem, i: int) -> bool:
    """Whether a variable takes any of the resource at any time."""
    return (
        problem.usage is not None and problem.intervals[i][0] < problem.intervals[i][1] and bool(problem.usage[i].any())
    )
