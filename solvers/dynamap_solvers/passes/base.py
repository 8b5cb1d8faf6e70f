"""What a simplification is: a smaller problem with the same optimum, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._drops import Drop
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, CostArray, SelectionProblem

__all__ = ["Drop", "Simplification", "chosen_labels", "restrict", "saturated", "unchanged"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Simplification:
    """A smaller problem and the way back.

    :meth:`lift` turns an assignment of it into one of the original, and
    ``objective(original) = objective(smaller) + offset`` for every lifted assignment.

    Attributes:
        problem: the smaller problem.
        kept: per variable of the original the choices that are left, ascending, flat.
        kept_starts: where each variable's begin in ``kept``, ``(n + 1,)``.
        position: per variable of the original its index in ``problem``, or -1 if it left; then one choice is left.
        offset: what to add to objectives of ``problem``: ``()`` or ``(batch,)``, FORBIDDEN or inf where a fixed choice
            is forbidden.
        dropped: the choices struck out, in order.
        conflict: one sentence if a variable lost all its choices, so that no assignment is allowed; else empty.
        modified: whether ``problem`` is another object than the original.
    """

    problem: SelectionProblem
    kept: NDArray[np.int64]
    kept_starts: NDArray[np.int64]
    position: NDArray[np.int64]
    offset: CostArray
    dropped: Sequence[Drop] = ()
    conflict: str = ""
    modified: bool = True

    def lift(self, assignment: Sequence[int] | NDArray[Any]) -> tuple[int, ...]:
        """The assignment of the original problem that an assignment of the smaller one stands for."""
        chosen = np.append(np.asarray(assignment, np.int64), 0)  # position -1 reads the 0 at the end
        return tuple(self.kept[self.kept_starts[:-1] + chosen[self.position]].tolist())

    def lower(self, assignment: Sequence[int]) -> tuple[int, ...] | None:
        """The assignment of the smaller problem that stands for one of the original; None where a choice left."""
        result = [0] * self.problem.num_variables
        for i, (x, at) in enumerate(zip(assignment, self.position.tolist(), strict=True)):
            kept = self.kept[self.kept_starts[i] : self.kept_starts[i + 1]]
            found = np.flatnonzero(kept == x)
            if not found.size:
                return None
            if at >= 0:
                result[at] = int(found[0])
        return tuple(result)

    @property
    def impossible(self) -> bool:
        """Whether it is clear already that no assignment (of the one cost set) is allowed."""
        limit = FINITE_LIMIT if self.problem.is_integer else np.inf
        return bool(self.conflict) or bool(np.all(self.offset >= limit))


def unchanged(problem: SelectionProblem, *, dropped: Sequence[Drop] = (), conflict: str = "") -> Simplification:
    """The simplification that does nothing, or finds a conflict."""
    sizes = problem.sizes
    return Simplification(
        problem=problem,
        kept=np.arange(int(sizes.sum())) - np.repeat(problem.unary_starts[:-1], sizes),
        kept_starts=problem.unary_starts,
        position=np.arange(problem.num_variables),
        offset=np.zeros((), problem.dtype),
        dropped=dropped,
        conflict=conflict,
        modified=False,
    )


def restrict(problem: SelectionProblem, alive: NDArray[np.bool_], dropped: Sequence[Drop]) -> Simplification:
    """Keep only some choices, ``alive`` flat over all variables, at least one of each; variables and edges stay."""
    starts = problem.unary_starts
    sizes = np.add.reduceat(alive, starts[:-1], dtype=np.int64) if problem.num_variables else problem.sizes
    ends = problem.edge_ends.astype(np.int64)
    pair_alive = _pair_alive(problem, alive)
    names = problem.choice_names
    smaller = SelectionProblem.from_flat(
        domain_sizes=sizes,
        unary=problem.unary_costs[..., alive],
        edges=ends,
        pair=problem.pair_costs[..., pair_alive],
        names=problem.structure.given_names,
        choice_names=None
        if names is None
        else [
            [label for label, left in zip(labels, alive[a:b].tolist(), strict=True) if left]
            for labels, a, b in zip(names, starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        ],
        usage=None if problem.usage_costs is None else problem.usage_costs[alive],
        intervals=problem.intervals,
        usage_limit=problem.usage_limit,
        name=problem.name,
    )
    every = np.arange(len(alive)) - np.repeat(starts[:-1], problem.sizes)
    return Simplification(
        problem=smaller,
        kept=every[alive],
        kept_starts=smaller.unary_starts,
        position=np.arange(problem.num_variables),
        offset=np.zeros((), problem.dtype),
        dropped=dropped,
    )


def _pair_alive(problem: SelectionProblem, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which cells of all tables have both choices left."""
    sizes, starts, ends = problem.sizes, problem.unary_starts, problem.edge_ends.astype(np.int64)
    if not len(ends):
        return np.zeros(0, np.bool_)
    rows, columns = sizes[ends[:, 0]], sizes[ends[:, 1]]
    # One entry per row of every table: whether its choice is left, and where its columns' choices begin.
    row_of = np.arange(int(rows.sum())) - np.repeat(np.cumsum(rows) - rows, rows)
    row_alive = alive[np.repeat(starts[ends[:, 0]], rows) + row_of]
    width = np.repeat(columns, rows)
    first = np.repeat(starts[ends[:, 1]], rows)
    cell = np.arange(int(width.sum())) - np.repeat(np.cumsum(width) - width, width)
    both: NDArray[np.bool_] = np.repeat(row_alive, width) & alive[np.repeat(first, width) + cell]
    return both


def saturated(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """The sum, with forbidden cells staying exactly at the forbidden value; batch axes lead and broadcast."""
    total: NDArray[Any] = np.asarray(left + right)
    if total.dtype == np.int64:
        # Negative costs may have pulled a forbidden sum below FORBIDDEN, never below FINITE_LIMIT.
        total[total >= FINITE_LIMIT] = FORBIDDEN
    return total


def chosen_labels(problem: SelectionProblem, stay: Sequence[int]) -> tuple[tuple[str, ...], ...] | None:
    """The choice names of some variables."""
    names = problem.choice_names
    return None if names is None else tuple(names[i] for i in stay)
