"""Smaller problems with the same optimum, and the way back.

Each function returns a :class:`Simplification`; ``lift`` turns an assignment of the smaller problem into one of the
original, and ``objective(original) = objective(smaller) + offset`` for every lifted assignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, CostArray, SelectionProblem

__all__ = ["Simplification", "drop_fixed", "drop_forbidden", "merge_parallel", "simplify"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Simplification:
    """A smaller problem and the way back.

    Attributes:
        problem: the smaller problem.
        kept: per variable of the original the choices that are left, ascending.
        position: per variable of the original its index in ``problem``, or -1 if it left; then one choice is left.
        offset: what to add to objectives of ``problem``: ``()`` or ``(batch,)``, FORBIDDEN or inf where a fixed choice
            is forbidden.
        dropped: the choices struck out, in order, as :class:`~dynamap_solvers.certificate.ReductionCertificate` has it.
        conflict: one sentence if a variable lost all its choices, so that no assignment is allowed; else empty.
    """

    problem: SelectionProblem
    kept: tuple[tuple[int, ...], ...]
    position: tuple[int, ...]
    offset: CostArray
    dropped: tuple[tuple[int, int], ...] = ()
    conflict: str = ""

    def lift(self, assignment: Sequence[int]) -> tuple[int, ...]:
        """The assignment of the original problem that an assignment of the smaller one stands for."""
        return tuple(
            kept[int(assignment[at])] if at >= 0 else kept[0] for kept, at in zip(self.kept, self.position, strict=True)
        )


def drop_forbidden(problem: SelectionProblem) -> Simplification:
    """Strike out choices nobody can take, until nothing changes; variables and edges stay.

    A choice goes if its own cost is forbidden, if its usage alone exceeds the limit, or if all its pairs with the
    choices left to some neighbour are forbidden (arc consistency). ``O(m d^2)`` per round over changed variables.

    Raises:
        ProblemError: if the problem is a batch, whose cost sets need not forbid the same cells.
    """
    if problem.is_batched:
        raise ProblemError("Choices are struck out of one cost set at a time; take instance(k) of the batch.")
    limit = FINITE_LIMIT if problem.is_integer else np.inf
    alive = [array < limit for array in problem.unary]
    dropped: list[tuple[int, int]] = []
    conflict = ""
    incident: list[list[tuple[int, NDArray[np.bool_]]]] = [[] for _ in alive]
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        allowed = table < limit
        if not allowed.all():
            incident[i].append((j, allowed))
            incident[j].append((i, allowed.T))
    for i, left in enumerate(alive):
        dropped += [(i, int(x)) for x in np.flatnonzero(~left)]
        if not left.any():
            conflict = conflict or f"Every choice of variable {problem.names[i]!r} is forbidden by itself."
        if problem.usage is not None and problem.intervals[i][0] < problem.intervals[i][1]:
            too_much = left & (problem.usage[i] > problem.usage_limit)
            dropped += [(i, int(x)) for x in np.flatnonzero(too_much)]
            alive[i] = left & ~too_much
            if not alive[i].any():
                conflict = conflict or (
                    f"Every allowed choice of variable {problem.names[i]!r} alone uses more than the limit of "
                    f"{problem.usage_limit}."
                )
    changed = set(range(len(alive)))
    while changed and not conflict:
        j = changed.pop()
        for i, allowed in ((i, allowed.T) for i, allowed in incident[j]):  # rows: choices of i, columns: of j
            useless = alive[i] & ~allowed[:, alive[j]].any(axis=1)
            if useless.any():
                dropped += [(i, int(x)) for x in np.flatnonzero(useless)]
                alive[i] = alive[i] & ~useless
                changed.add(i)
                if not alive[i].any():
                    conflict = (
                        f"No choice of variable {problem.names[i]!r} is left that goes with any choice left to "
                        f"{problem.names[j]!r}."
                    )
                    break
    identity = tuple(range(problem.num_variables))
    zero = np.zeros((), problem.dtype)
    if conflict or not dropped:
        every = tuple(tuple(range(size)) for size in problem.domain_sizes)
        return Simplification(
            problem=problem, kept=every, position=identity, offset=zero, dropped=tuple(dropped), conflict=conflict
        )
    kept = tuple(tuple(int(x) for x in np.flatnonzero(left)) for left in alive)
    smaller = replace(
        problem,
        unary=tuple(array[left] for array, left in zip(problem.unary, alive, strict=True)),
        pair=tuple(
            table[np.ix_(alive[i], alive[j])] for (i, j), table in zip(problem.edges, problem.pair, strict=True)
        ),
        usage=None
        if problem.usage is None
        else tuple(used[left] for used, left in zip(problem.usage, alive, strict=True)),
        choice_names=_labels(problem, kept, identity),
    )
    return Simplification(problem=smaller, kept=kept, position=identity, offset=zero, dropped=tuple(dropped))


def drop_fixed(problem: SelectionProblem) -> Simplification:
    """Take out every variable with one choice: its pair costs move to its neighbours, which cuts the graph there.

    Works on batches. A fixed variable that uses the resource stays, without edges, because the limit counts it.
    """
    one = [size == 1 for size in problem.domain_sizes]
    uses = [
        problem.usage is not None and problem.intervals[i][0] < problem.intervals[i][1] and bool(problem.usage[i].any())
        for i in range(problem.num_variables)
    ]
    unary: list[CostArray] = list(problem.unary)
    offset: CostArray = np.zeros((), problem.dtype)
    for i, fixed in enumerate(one):
        if fixed:
            offset = _saturated(offset, unary[i][..., 0])
            unary[i] = np.zeros(1, problem.dtype)
    edges, pair = [], []
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        if one[i] and one[j]:
            offset = _saturated(offset, table[..., 0, 0])
        elif one[i]:
            unary[j] = _saturated(unary[j], table[..., 0, :])
        elif one[j]:
            unary[i] = _saturated(unary[i], table[..., :, 0])
        else:
            edges.append((i, j))
            pair.append(table)
    stay = [i for i, fixed in enumerate(one) if not fixed or uses[i]]
    place = {i: at for at, i in enumerate(stay)}
    position = tuple(place.get(i, -1) for i in range(problem.num_variables))
    every = tuple(tuple(range(size)) for size in problem.domain_sizes)
    smaller = SelectionProblem(
        unary=tuple(unary[i] for i in stay),
        edges=tuple((place[i], place[j]) for i, j in edges),
        pair=tuple(pair),
        names=tuple(problem.names[i] for i in stay),
        choice_names=_labels(problem, every, stay),
        usage=None if problem.usage is None else tuple(problem.usage[i] for i in stay),
        intervals=tuple(problem.intervals[i] for i in stay) if problem.usage is not None else (),
        usage_limit=problem.usage_limit,
        name=problem.name,
    )
    return Simplification(problem=smaller, kept=every, position=position, offset=offset)


def simplify(problem: SelectionProblem) -> Simplification:
    """:func:`drop_forbidden`, then :func:`drop_fixed`, with one way back for both."""
    first = drop_forbidden(problem)
    if first.conflict:
        return first
    second = drop_fixed(first.problem)
    return Simplification(
        problem=second.problem,
        kept=first.kept,
        position=second.position,
        offset=second.offset,
        dropped=first.dropped,
    )


def merge_parallel(problem: SelectionProblem) -> dict[tuple[int, int], CostArray]:
    """One table per pair ``(i, j)``, ``i < j``, of variables that share edges: the sum of their tables.

    Forbidden stays forbidden; otherwise integer sums are exact, by the rule of :class:`SelectionProblem`.
    """
    merged: dict[tuple[int, int], CostArray] = {}
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        key, cells = ((i, j), table) if i < j else ((j, i), table.swapaxes(-1, -2))
        merged[key] = _saturated(merged[key], cells) if key in merged else cells
    return merged


def _saturated(left: CostArray, right: CostArray) -> CostArray:
    """The sum, with forbidden cells staying exactly at the forbidden value; batch axes lead and broadcast."""
    total: NDArray[Any] = np.asarray(left + right)
    if total.dtype == np.int64:
        # Negative costs may have pulled a forbidden sum below FORBIDDEN, never below FINITE_LIMIT.
        total[total >= FINITE_LIMIT] = FORBIDDEN
    return total


def _labels(
    problem: SelectionProblem, kept: Sequence[Sequence[int]], stay: Iterable[int]
) -> tuple[tuple[str, ...], ...] | None:
    names = problem.choice_names
    return None if names is None else tuple(tuple(names[i][x] for x in kept[i]) for i in stay)
