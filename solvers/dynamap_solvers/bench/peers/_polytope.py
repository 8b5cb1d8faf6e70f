"""The local-polytope integer program as one sparse matrix, made without a loop over variables or edges.

Columns: ``x_i[a]`` for every choice, then ``y_ij[a, b]`` for every allowed pair of choices. Rows: ``sum_a x_i[a] = 1``;
per edge ``sum_b y_ij[a, b] = x_i[a]`` and ``sum_a y_ij[a, b] = x_j[b]``; per maximal set of variables in use together
``usage <= limit``. Costs are shifted so that the least of every variable and edge is 0 (Koster et al. 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["Program", "check_plain", "local_polytope", "pick"]

_USAGE_SCALE = 1000.0  # usage rows are scaled to a limit of 1000, so that tolerances mean the same in all of them


@dataclass(frozen=True, eq=False)
class Program:
    """Minimise ``costs . z + offset`` subject to ``lower <= A z <= upper`` and ``0 <= z <= 1``.

    Attributes:
        problem: what it encodes.
        num_choices: the first so many columns are the ``x``, which are integer; the rest follow by themselves.
        costs: per column.
        column_upper: per column; 0 for a forbidden choice.
        starts: of the columns in ``rows`` and ``values`` (compressed sparse columns), one more than columns.
        rows: row of every entry.
        values: of every entry.
        lower: per row.
        upper: per row.
        offset: what the shift took away.
    """

    problem: SelectionProblem
    num_choices: int
    costs: NDArray[np.float64]
    column_upper: NDArray[np.float64]
    starts: NDArray[np.int32]
    rows: NDArray[np.int32]
    values: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    offset: float


def check_plain(problem: SelectionProblem) -> None:
    """Refuse what peers are not made to take here."""
    if problem.fixed or problem.ties:
        raise ProblemError("Peers are benchmarked on problems without fixed variables and ties.")


def local_polytope(problem: SelectionProblem) -> Program:
    """The program of one cost set.

    Raises:
        ProblemError: if the problem has fixed variables or ties.
    """
    check_plain(problem)
    limit = FINITE_LIMIT if problem.is_integer else np.inf
    sizes, ends = problem.sizes, problem.edge_ends.astype(np.int64)
    n, m, choices = len(sizes), len(ends), int(sizes.sum())
    starts = problem.unary_starts
    unary, unary_offset = _shifted(problem.unary_costs, starts[:-1], limit)
    pair, pair_offset = _shifted(problem.pair_costs, problem.pair_starts[:-1], limit)
    rows_of_edge, columns_of_edge = (sizes[ends[:, k]] for k in (0, 1))
    cells = rows_of_edge * columns_of_edge
    edge = np.repeat(np.arange(m), cells)
    within = np.arange(cells.sum()) - np.repeat(problem.pair_starts[:-1], cells)
    a, b = within // columns_of_edge[edge], within % columns_of_edge[edge]
    allowed = np.flatnonzero(problem.pair_costs < limit)
    # Rows: n of the form "one", then per edge those of its first end and those of its second.
    link_starts = n + np.concatenate([[0], np.cumsum(rows_of_edge + columns_of_edge)]).astype(np.int64)
    first_row = (link_starts[edge] + a)[allowed]
    second_row = (link_starts[edge] + rows_of_edge[edge] + b)[allowed]
    entries: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []  # columns, rows, values
    entries.append((np.arange(choices), np.repeat(np.arange(n), sizes), np.ones(choices)))
    for side, rows_before in ((0, np.zeros(m, np.int64)), (1, rows_of_edge)):
        count = sizes[ends[:, side]]
        inside = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        columns = np.repeat(starts[ends[:, side]], count) + inside
        rows = np.repeat(link_starts[:-1] + rows_before, count) + inside
        entries.append((columns, rows, np.full(len(columns), -1.0)))
    y = choices + np.arange(len(allowed))
    entries += [(y, first_row, np.ones(len(allowed))), (y, second_row, np.ones(len(allowed)))]
    lower = np.concatenate([np.ones(n), np.zeros(int(link_starts[-1]) - n)])
    upper = lower.copy()
    if problem.usage_costs is not None:
        live = list(problem.live_sets())
        scale = _USAGE_SCALE / max(problem.usage_limit, 1)
        for r, members in enumerate(live):
            columns = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in members])
            entries.append((columns, np.full(len(columns), len(lower) + r), problem.usage_costs[columns] * scale))
        lower = np.concatenate([lower, np.full(len(live), -np.inf)])
        upper = np.concatenate([upper, np.full(len(live), problem.usage_limit * scale)])
    columns, rows, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    order = np.argsort(columns, kind="stable")
    total = choices + len(allowed)
    return Program(
        problem=problem,
        num_choices=choices,
        costs=np.concatenate([unary, pair[allowed]]),
        column_upper=np.concatenate([(problem.unary_costs < limit).astype(np.float64), np.ones(len(allowed))]),
        starts=np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=total))]).astype(np.int32),
        rows=rows[order].astype(np.int32),
        values=values[order].astype(np.float64),
        lower=lower,
        upper=upper,
        offset=unary_offset + pair_offset,
    )


def pick(problem: SelectionProblem, numbers: NDArray[np.float64]) -> tuple[int, ...]:
    """Per variable the choice whose number is nearest to 1, from the numbers of all choices."""
    starts = problem.unary_starts
    order = np.lexsort((-numbers, np.repeat(np.arange(problem.num_variables), problem.sizes)))
    return tuple((order[starts[:-1]] - starts[:-1]).tolist())


def _shifted(costs: NDArray[Any], starts: NDArray[np.int64], limit: float) -> tuple[NDArray[np.float64], float]:
    """Costs less the least of their table, and what was taken in all; forbidden ones become 0."""
    if not costs.size:
        return np.zeros(0), 0.0
    least = np.minimum.reduceat(costs, starts)
    least = np.where(least < limit, least, 0)
    lengths = np.diff(np.append(starts, costs.size))
    shifted = np.where(costs < limit, costs - np.repeat(least, lengths), 0)
    return shifted.astype(np.float64), float(least.sum())
