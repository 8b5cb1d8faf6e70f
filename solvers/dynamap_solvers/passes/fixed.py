"""Take out variables with one choice."""

from __future__ import annotations

import numpy as np

from dynamap_solvers.passes.base import Simplification, chosen_labels, saturated
from dynamap_solvers.passes.forbidden import drop_forbidden
from dynamap_solvers.problem import CostArray, SelectionProblem

__all__ = ["drop_fixed", "simplify"]


def drop_fixed(problem: SelectionProblem) -> Simplification:
    """Take out every variable with one choice: its pair costs move to its neighbours, which cuts the graph there.

    Works on batches. A fixed variable that uses the resource stays, without edges, because the limit counts it.
    """
    one = (problem.sizes == 1).tolist()
    uses = [
        problem.usage is not None and problem.intervals[i][0] < problem.intervals[i][1] and bool(problem.usage[i].any())
        for i in range(problem.num_variables)
    ]
    unary: list[CostArray] = list(problem.unary)
    offset: CostArray = np.zeros((), problem.dtype)
    for i, fixed in enumerate(one):
        if fixed:
            offset = saturated(offset, unary[i][..., 0])
            unary[i] = np.zeros(1, problem.dtype)
    edges, pair = [], []
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        if one[i] and one[j]:
            offset = saturated(offset, table[..., 0, 0])
        elif one[i]:
            unary[j] = saturated(unary[j], table[..., 0, :])
        elif one[j]:
            unary[i] = saturated(unary[i], table[..., :, 0])
        else:
            edges.append((i, j))
            pair.append(table)
    stay = [i for i, fixed in enumerate(one) if not fixed or uses[i]]
    position = np.full(problem.num_variables, -1)
    position[stay] = np.arange(len(stay))
    smaller = SelectionProblem(
        unary=tuple(unary[i] for i in stay),
        edges=tuple((int(position[i]), int(position[j])) for i, j in edges),
        pair=tuple(pair),
        names=tuple(problem.names[i] for i in stay),
        choice_names=chosen_labels(problem, stay),
        usage=None if problem.usage is None else tuple(problem.usage[i] for i in stay),
        intervals=tuple(problem.intervals[i] for i in stay) if problem.usage is not None else (),
        usage_limit=problem.usage_limit,
        name=problem.name,
    )
    every = np.arange(int(problem.sizes.sum())) - np.repeat(problem.unary_starts[:-1], problem.sizes)
    return Simplification(
        problem=smaller, kept=every, kept_starts=problem.unary_starts, position=position, offset=offset
    )


def simplify(problem: SelectionProblem) -> Simplification:
    """:func:`drop_forbidden`, then :func:`drop_fixed`, with one way back for both."""
    first = drop_forbidden(problem)
    if first.conflict:
        return first
    second = drop_fixed(first.problem)
    return Simplification(
        problem=second.problem,
        kept=first.kept,
        kept_starts=first.kept_starts,
        position=second.position,
        offset=second.offset,
        dropped=first.dropped,
    )
