"""One cost set made ready for a backend: flat arrays of what is left when everything that needs no search is done.

Choices nobody can take go, parallel edges add up, the least of every row and column of a table moves to the
variables, the least of every variable to the offset, and tables that come out 0 go. What remains is not negative, and
``objective(problem) = offset + objective(reduced)``. Everything is vectorised over all tables at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.methods._usage import LiveSets, live_sets_of
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["ReducedCosts", "reduce_costs"]

_FLOAT_TARGET = 20  # float costs are scaled so that the largest is about 2**20, far above absolute tolerances of 1e-6
_ROUNDS = 64  # of arc consistency; it is never needed, and a long chain could take as many rounds as it has variables

_Ints = NDArray[np.int64]
_Costs = NDArray[Any]  # int64 or float64


@dataclass(frozen=True, eq=False)
class ReducedCosts:
    """What is left of one cost set. N choices, n variables, T tables of M allowed cells with R rows and C columns.

    Attributes:
        starts: ``(n + 1,)`` where the choices of each variable start.
        choice: ``(N,)`` the choice of the problem each one is.
        unary: ``(N,)`` costs.
        ends: ``(T, 2)`` the variables of each table's rows and columns, the smaller first.
        row_table: ``(R,)`` the table of each row, ascending; ``row_choice``: the choice (of N) it stands for.
        row_choice: see there.
        column_table: ``(C,)`` likewise for columns.
        column_choice: see there.
        cell_row: ``(M,)`` the row of each cell, ascending; cells that are forbidden are not listed.
        cell_column: ``(M,)`` its column.
        cells: ``(M,)`` costs.
        sets: the usage limit, or None where it cannot bind.
        offset: exact int for integer problems; no assignment costs less.
        conflict: one sentence where no assignment is allowed, else empty; then the arrays mean nothing.
        table_of_edge: ``(m,)`` the table each edge of the problem went to, -1 where none is left.
        row_shift: ``(R,)`` and ``column_shift`` ``(C,)`` what moved from a table to the variables. Only complete if
            made with ``keep_all``.
        column_shift: see there.
        is_integer: whether costs are exact.
    """

    starts: _Ints
    choice: _Ints
    unary: _Costs
    ends: _Ints
    row_table: _Ints
    row_choice: _Ints
    column_table: _Ints
    column_choice: _Ints
    cell_row: _Ints
    cell_column: _Ints
    cells: _Costs
    sets: LiveSets | None
    offset: int | float
    conflict: str
    table_of_edge: _Ints
    row_shift: _Costs
    column_shift: _Costs
    is_integer: bool

    @property
    def num_variables(self) -> int:
        """How many variables; none ever leaves."""
        return len(self.starts) - 1

    @property
    def is_trivial(self) -> bool:
        """Whether choosing per variable the cheapest choice is the optimum."""
        return not len(self.cells) and not len(self.row_table) and self.sets is None

    def cheapest(self) -> tuple[int, ...]:
        """Per variable the (reduced) choice with the least cost of its own, ties to the first."""
        least = np.minimum.reduceat(self.unary, self.starts[:-1]) if self.num_variables else self.unary
        hit = np.flatnonzero(self.unary == np.repeat(least, np.diff(self.starts)))
        return tuple((hit[np.searchsorted(hit, self.starts[:-1])] - self.starts[:-1]).tolist())

    def lift(self, picked: Sequence[int]) -> tuple[int, ...]:
        """The assignment of the problem that one of the reduced costs stands for."""
        return tuple(self.choice[self.starts[:-1] + np.asarray(picked, np.int64)].tolist())

    def lower(self, assignment: Sequence[int]) -> tuple[int, ...] | None:
        """An assignment of the problem in reduced choices; None where it takes a choice that is gone."""
        sizes = np.diff(self.starts)
        wanted = np.repeat(np.asarray(assignment, np.int64), sizes)
        hit = np.flatnonzero(self.choice == wanted)
        if len(hit) != self.num_variables:
            return None
        return tuple((hit - self.starts[:-1]).tolist())

    def scale(self, exact_below: float) -> tuple[int | float, float]:
        """What 1 shall be worth to a backend, and the largest cost in that unit.

        For integers the common divisor of all costs, for floats a power of two.

        Raises:
            ProblemError: if an integer cost is ``exact_below`` or more, so that the backend could not tell two
                objectives apart.
        """
        largest = max((a.max().item() for a in (self.unary, self.cells) if a.size), default=0)
        if not self.is_integer:
            unit = 2.0 ** (math.frexp(largest)[1] - _FLOAT_TARGET) if largest > 0 else 1.0
            return unit, largest / unit
        divisor = _gcd(self.unary, _gcd(self.cells, 0)) or 1
        if largest // divisor >= exact_below:
            raise ProblemError(
                f"Costs within a table differ by {largest}; this backend tells integers apart only below "
                f"{exact_below:.0f} (times their common divisor, {divisor}); scale the costs down."
            )
        return divisor, float(largest // divisor)


def reduce_costs(problem: SelectionProblem, *, keep_all: bool = False) -> ReducedCosts:
    """Make one cost set ready; ``O(M)`` with a few passes over the tables.

    Args:
        problem: one cost set.
        keep_all: strike out only what is forbidden by itself, so that shifts and rows cover all that is left and dual
            values can be carried back to the edges of the problem.
    """
    assert not problem.is_batched, "solve() hands methods one cost set"
    limit = FINITE_LIMIT if problem.is_integer else np.inf
    sizes, starts, ends = problem.sizes, problem.unary_starts, problem.edge_ends.astype(np.int64)
    count = problem.num_variables
    unary: _Costs = problem.unary_costs
    alive = unary < limit
    variable = np.repeat(np.arange(count), sizes)
    conflict = ""
    if not _supported(alive, starts).all():
        gone = int(np.flatnonzero(~_supported(alive, starts))[0])
        conflict = f"Every choice of variable {problem.names[gone]!r} is forbidden by itself."
    if problem.usage_costs is not None and not conflict and not keep_all:
        intervals = np.asarray(problem.intervals, np.int64).reshape(-1, 2)
        lives = np.repeat(intervals[:, 0] < intervals[:, 1], sizes)
        alive &= ~(lives & (problem.usage_costs > problem.usage_limit))
        if not _supported(alive, starts).all():
            gone = int(np.flatnonzero(~_supported(alive, starts))[0])
            conflict = (
                f"Every allowed choice of variable {problem.names[gone]!r} alone uses more than the limit of "
                f"{problem.usage_limit}."
            )
    tables, costs, allowed, table_ends, table_of_edge = _merged(problem, ends, limit)
    row_table, row_choice, column_table, column_choice, cell_row, cell_column = _layout(starts, sizes, table_ends)
    if not conflict and not keep_all and not allowed.all():
        conflict = _arc_consistency(
            problem, alive, starts, variable, tables, allowed, (row_choice, column_choice), (cell_row, cell_column)
        )
    # Compress to what is alive. Rows and columns of living choices stay even without cells: their links rule them out.
    new_choice = np.cumsum(alive) - 1
    new_starts = np.concatenate([[0], np.cumsum(np.bincount(variable[alive], minlength=count))]).astype(np.int64)
    rows, columns = alive[row_choice], alive[column_choice]
    keep = allowed & rows[cell_row] & columns[cell_column]
    new_row, new_column = np.cumsum(rows) - 1, np.cumsum(columns) - 1
    cell_row, cell_column, cells = new_row[cell_row[keep]], new_column[cell_column[keep]], costs[keep]
    row_table, row_choice = row_table[rows], new_choice[row_choice[rows]]
    column_table, column_choice = column_table[columns], new_choice[column_choice[columns]]
    unary = unary[alive]
    row_shift = _take_minima(cells, cell_row, len(row_table))
    column_shift = _take_minima(cells, cell_column, len(column_table))
    np.add.at(unary, row_choice, row_shift)
    np.add.at(unary, column_choice, column_shift)
    # A table matters if something in it costs, or if not every pair is allowed.
    total = len(table_ends)
    cell_table = row_table[cell_row]
    cost_any = np.bincount(cell_table[cells != 0], minlength=total) > 0
    full = np.bincount(row_table, minlength=total) * np.bincount(column_table, minlength=total)
    matters = cost_any | (np.bincount(cell_table, minlength=total) < full)
    if keep_all:
        matters[:] = True
    if not matters.all():
        new_table = np.cumsum(matters) - 1
        rows, columns, keep = matters[row_table], matters[column_table], matters[cell_table]
        new_row, new_column = np.cumsum(rows) - 1, np.cumsum(columns) - 1
        cell_row, cell_column, cells = new_row[cell_row[keep]], new_column[cell_column[keep]], cells[keep]
        row_table, row_choice, row_shift = new_table[row_table[rows]], row_choice[rows], row_shift[rows]
        column_table, column_choice = new_table[column_table[columns]], column_choice[columns]
        column_shift = column_shift[columns]
        table_ends = table_ends[matters]
        table_of_edge = np.where(matters[table_of_edge], new_table[table_of_edge], -1)
    offset: int | float = 0 if problem.is_integer else 0.0
    if count and not conflict:
        lows = np.minimum.reduceat(unary, new_starts[:-1])
        unary = unary - np.repeat(lows, np.diff(new_starts))
        offset = sum(lows.tolist()) if problem.is_integer else math.fsum(lows.tolist())
    sets = None
    if problem.usage_costs is not None and count and not conflict:
        intervals = np.asarray(problem.intervals, np.int64).reshape(-1, 2)
        sets, over = live_sets_of(problem.usage_costs[alive], new_starts, intervals, problem.usage_limit)
        if len(over):
            conflict = _over_limit(problem, over, int(sets.least[over].sum()))
        elif not sets.count:
            sets = None
    return ReducedCosts(
        starts=new_starts,
        choice=(np.arange(len(variable)) - np.repeat(starts[:-1], sizes))[alive],
        unary=unary,
        ends=table_ends,
        row_table=row_table,
        row_choice=row_choice,
        column_table=column_table,
        column_choice=column_choice,
        cell_row=cell_row,
        cell_column=cell_column,
        cells=cells,
        sets=sets,
        offset=offset,
        conflict=conflict,
        table_of_edge=table_of_edge,
        row_shift=row_shift,
        column_shift=column_shift,
        is_integer=problem.is_integer,
    )


def _merged(
    problem: SelectionProblem, ends: _Ints, limit: float
) -> tuple[_Ints, _Costs, NDArray[np.bool_], _Ints, _Ints]:
    """Tables with the smaller variable first, parallel edges added up: table of each cell, costs, allowed, ends."""
    sizes = problem.sizes
    costs: _Costs = problem.pair_costs
    flipped = ends[:, 0] > ends[:, 1]
    low, high = ends.min(axis=1, initial=np.iinfo(np.int64).max), ends.max(axis=1, initial=-1)
    keys, table_of_edge = np.unique(low * max(problem.num_variables, 1) + high, return_inverse=True)
    table_ends = np.stack(np.divmod(keys, max(problem.num_variables, 1)), axis=1) if len(keys) else ends[:0]
    extent = sizes[table_ends[:, 0]] * sizes[table_ends[:, 1]]
    table_starts = np.concatenate([[0], np.cumsum(extent)]).astype(np.int64)
    tables = np.repeat(np.arange(len(keys)), extent)
    if not flipped.any() and len(keys) == len(ends) and (np.diff(keys[table_of_edge]) > 0).all():
        allowed = costs < limit
        return tables, np.where(allowed, costs, 0), allowed, table_ends, table_of_edge
    cells = np.diff(problem.pair_starts)
    inside = np.arange(len(costs)) - np.repeat(problem.pair_starts[:-1], cells)
    target = np.repeat(table_starts[table_of_edge], cells)
    turn = np.repeat(flipped, cells)
    row, column = np.divmod(inside, np.repeat(sizes[ends[:, 1]], cells))
    target += np.where(turn, column * np.repeat(sizes[ends[:, 0]], cells) + row, inside)
    forbidden = costs >= limit
    allowed = np.ones(len(tables), np.bool_)
    allowed[target[forbidden]] = False
    merged: _Costs = np.zeros(len(tables), costs.dtype)
    finite = np.where(forbidden, 0, costs)
    if len(keys) == len(ends):
        merged[target] = finite
    else:
        np.add.at(merged, target, finite)
        merged[~allowed] = 0
    return tables, merged, allowed, table_ends, table_of_edge


def _layout(starts: _Ints, sizes: _Ints, ends: _Ints) -> tuple[_Ints, _Ints, _Ints, _Ints, _Ints, _Ints]:
    """Rows, columns and cells of full tables, row by row: see :class:`ReducedCosts`."""
    heights, widths = sizes[ends[:, 0]], sizes[ends[:, 1]]
    row_table, column_table = np.repeat(np.arange(len(ends)), heights), np.repeat(np.arange(len(ends)), widths)
    row_choice = _ramps(starts[ends[:, 0]], heights)
    column_choice = _ramps(starts[ends[:, 1]], widths)
    row_width = widths[row_table]
    cell_row = np.repeat(np.arange(len(row_table)), row_width)
    column_starts = np.cumsum(widths) - widths
    cell_column = _ramps(column_starts[row_table], row_width)
    return row_table, row_choice, column_table, column_choice, cell_row, cell_column


def _ramps(begins: _Ints, lengths: _Ints) -> _Ints:
    """``begins[k], begins[k] + 1, ...``, ``lengths[k]`` of them, one after the other."""
    shift = begins - (np.cumsum(lengths) - lengths)
    ramps: _Ints = np.arange(int(lengths.sum())) + np.repeat(shift, lengths)
    return ramps


def _supported(alive: NDArray[np.bool_], starts: _Ints) -> NDArray[np.bool_]:
    """Per variable whether it has a choice left."""
    if len(starts) == 1:
        return np.ones(0, np.bool_)
    return np.logical_or.reduceat(alive, starts[:-1])


def _arc_consistency(
    problem: SelectionProblem,
    alive: NDArray[np.bool_],
    starts: _Ints,
    variable: _Ints,
    tables: _Ints,
    allowed: NDArray[np.bool_],
    choices: tuple[_Ints, _Ints],
    lines: tuple[_Ints, _Ints],
) -> str:
    """Strike choices without an allowed partner out of ``alive``; the sentence of a conflict, or ''."""
    holes = np.zeros(int(tables[-1]) + 1 if len(tables) else 0, np.bool_)
    holes[tables[~allowed]] = True
    at = np.flatnonzero(holes[tables] & allowed)
    # Rows and columns of tables without holes are supported as long as the neighbour has a choice.
    held = [np.ones(len(choice), np.bool_) for choice in choices]
    for side in (0, 1):
        held[side][lines[side][holes[tables]]] = False
    row, column = lines[0][at], lines[1][at]
    for _ in range(_ROUNDS):
        good = alive[choices[0][row]] & alive[choices[1][column]]
        changed = False
        for side, line in ((0, row), (1, column)):
            support = held[side].copy()
            support[line[good]] = True
            useless = np.flatnonzero(~support & alive[choices[side]])
            if len(useless):
                changed = True
                alive[choices[side][useless]] = False
                left = _supported(alive, starts)
                if not left.all():
                    gone = int(np.flatnonzero(~left)[0])
                    lost = useless[variable[choices[side][useless]] == gone][0]
                    partner = lines[1 - side][np.flatnonzero(lines[side] == lost)[0]]
                    other = int(variable[choices[1 - side][partner]])
                    return (
                        f"No choice of variable {problem.names[gone]!r} is left that goes with any choice left to "
                        f"{problem.names[other]!r}: their pairs are forbidden."
                    )
        if not changed:
            break
    return ""


def _take_minima(cells: _Costs, line: _Ints, count: int) -> _Costs:
    """Subtract the least of each line from ``cells`` in place and return what was subtracted."""
    top = np.iinfo(np.int64).max if cells.dtype == np.int64 else np.inf
    low: _Costs = np.full(count, top, cells.dtype)
    np.minimum.at(low, line, cells)
    low[low == top] = 0
    cells -= low[line]
    return low


def _gcd(values: _Costs, known: int) -> int:
    for at in range(0, len(values), 4096):
        if known == 1:
            break
        known = math.gcd(known, int(np.gcd.reduce(values[at : at + 4096])))
    return known


def _over_limit(problem: SelectionProblem, over: NDArray[np.intp], least: int) -> str:
    names = ", ".join(repr(problem.names[i]) for i in over[:4])
    more = f" and {len(over) - 4} more" if len(over) > 4 else ""
    return (
        f"Variables {names}{more} live at one time and use at least {least} together, above the limit of "
        f"{problem.usage_limit}."
    )
