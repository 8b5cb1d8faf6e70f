"""The local polytope of a selection problem as flat arrays, in numbers a float64 solver can be trusted with.

Variables ``x_i[a]`` in {0, 1} and ``y_ij[a, b] >= 0`` with ``sum_a x_i[a] = 1``, ``sum_b y_ij[a, b] = x_i[a]`` and
``sum_a y_ij[a, b] = x_j[b]``: the relaxation of Schlesinger (1976) and Koster, van Hoesel & Kolen (1998). With integral
``x`` the ``y`` are forced, so they stay continuous. Forbidden pairs get no variable.

Usage limits come in one of two forms with the same relaxation: one row per live set, or, where that would take more
coefficients than there are choices, a chain: ``u_k = u_(k-1) + what enters - what leaves``, ``0 <= u_k <= room_k``,
which takes two coefficients per choice however many variables live at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.methods._reduced import ReducedCosts
from dynamap_solvers.methods._usage import LiveSets

__all__ = ["LocalPolytope", "local_polytope"]

_ROWS_UP_TO = 8  # usage coefficients per choice, up to which live sets are written out
_USAGE_TARGET = 10  # usages are scaled so that the largest is about 2**10

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LocalPolytope:
    """Minimise ``costs @ v`` with ``lower <= A v <= upper``, ``0 <= v <= bounds``; the first ``choices`` are binary.

    Columns: all x, variable after variable; all y, table after table; the chain's u where there is one. Rows: one per
    variable ("choose one"), the links of all table rows, the links of all table columns, the usage rows.

    Attributes:
        reduced: what it was made from; ``objective(problem) = reduced.offset + unit * objective(program)``.
        costs: float64 per column, not negative.
        bounds: float64 per column, ``inf`` for y.
        column_starts: int32 ``(columns + 1,)``: A by columns.
        row_index: int32 per coefficient, ascending within a column.
        values: float64 per coefficient.
        lower: float64 per row.
        upper: float64 per row.
        unit: what 1 in the program is worth: for integers the common divisor of all costs, for floats a power of two.
        largest: the largest cost of the program.
        usage_unit: what the usages of the program were multiplied by.
        chain: whether the usage is a chain.
    """

    reduced: ReducedCosts
    costs: _Floats
    bounds: _Floats
    column_starts: NDArray[np.int32]
    row_index: NDArray[np.int32]
    values: _Floats
    lower: _Floats
    upper: _Floats
    unit: int | float
    largest: float
    usage_unit: float
    chain: bool

    @property
    def choices(self) -> int:
        """How many x there are: the columns that are binary."""
        return len(self.reduced.unary)

    @property
    def num_columns(self) -> int:
        """All variables of the program."""
        return len(self.costs)

    @property
    def num_rows(self) -> int:
        """All rows of the program."""
        return len(self.lower)

    @property
    def usage_row(self) -> int:
        """The first usage row."""
        return self.reduced.num_variables + len(self.reduced.row_table) + len(self.reduced.column_table)

    def bound(self, value: float | None) -> int | float:
        """The bound of the problem that a bound of the program proved by a float64 solver stands for.

        An integer problem has integer multiples of the divisor as objectives, so the bound is rounded up, after
        stepping back by what float64 may have got wrong: 1e-6, or 2**-50 of the value where that is more.
        """
        offset = self.reduced.offset
        if value is None or not math.isfinite(value):
            return offset
        if self.reduced.is_integer:
            steps = math.ceil(value - max(1e-6, abs(value) * 2.0**-50))
            return offset + int(self.unit) * max(steps, 0)
        return offset + max(value, 0.0) * self.unit

    def gaps(self, gap: float) -> tuple[float, float]:
        """The relative and the absolute gap at which a backend that cannot be watched may stop.

        Backends measure by the objective of the program, ours is ``offset + unit`` times that. Where the offset is
        negative, a share of the program's objective may be more than that share of ours, so none is passed on.
        """
        offset = float(self.reduced.offset) / float(self.unit)
        return (gap, gap * offset) if offset >= 0 else (0.0, 0.0)

    def cost(self, value: float) -> float:
        """An objective of the program as one of the problem, for reports: rounded."""
        return float(self.reduced.offset) + value * float(self.unit)

    def pick(self, numbers: _Floats) -> tuple[int, ...]:
        """Per variable the (reduced) choice whose x is nearest to 1."""
        x = np.asarray(numbers[: self.choices], np.float64)
        starts = self.reduced.starts
        if not len(x):
            return ()
        most = np.maximum.reduceat(x, starts[:-1])
        hit = np.flatnonzero(x == np.repeat(most, np.diff(starts)))
        return tuple((hit[np.searchsorted(hit, starts[:-1])] - starts[:-1]).tolist())

    def point(self, picked: Sequence[int]) -> _Floats | None:
        """The point of the program for reduced choices; None where one takes a forbidden pair."""
        reduced = self.reduced
        numbers = np.zeros(self.num_columns)
        numbers[reduced.starts[:-1] + np.asarray(picked, np.int64)] = 1.0
        taken = np.flatnonzero(
            (numbers[reduced.row_choice] > 0)[reduced.cell_row]
            & (numbers[reduced.column_choice] > 0)[reduced.cell_column]
        )
        if len(taken) != len(reduced.ends):
            return None
        numbers[self.choices + taken] = 1.0
        if self.chain:
            sets = reduced.sets
            assert sets is not None
            x = numbers[: self.choices]
            change = np.zeros(sets.count + 1)
            inside = np.flatnonzero(sets.first <= sets.last)
            used = np.add.reduceat(x * sets.used, reduced.starts[:-1])[inside]
            np.add.at(change, sets.first[inside], used)
            np.subtract.at(change, sets.last[inside] + 1, used)
            numbers[self.choices + len(reduced.cells) :] = np.cumsum(change)[:-1] * self.usage_unit
        return numbers


def local_polytope(reduced: ReducedCosts, *, exact_below: float) -> LocalPolytope:
    """Write the program; ``O(M)``, no loop over tables.

    Raises:
        ProblemError: if an integer cost that is left is ``exact_below`` or more, so that the backend could not tell
            two objectives apart.
    """
    unit, largest = reduced.scale(exact_below)
    n, rows, columns = reduced.num_variables, len(reduced.row_table), len(reduced.column_table)
    choices, cells = len(reduced.unary), len(reduced.cells)
    # Coefficients of x as triples, ordered by column afterwards; those of y come in order by themselves.
    at = np.arange(choices)
    triples = [
        (at, np.repeat(np.arange(n), np.diff(reduced.starts)), np.ones(choices)),
        (reduced.row_choice, n + np.arange(rows), np.full(rows, -1.0)),
        (reduced.column_choice, n + rows + np.arange(columns), np.full(columns, -1.0)),
    ]
    lower, upper = np.zeros(n + rows + columns), np.zeros(n + rows + columns)
    lower[:n] = upper[:n] = 1.0
    bounds = np.concatenate([np.ones(choices), np.full(cells, np.inf)])
    sets, chain, usage_unit = reduced.sets, False, 1.0
    extra: tuple[_Ints, _Ints, _Floats] = (at[:0], at[:0], np.zeros(0))  # starts, rows, values of the u columns
    if sets is not None:
        sizes = np.diff(reduced.starts)
        most = max(int(np.max(sets.used, initial=0)), 1)
        usage_unit = 2.0 ** -max(0, math.frexp(most)[1] - _USAGE_TARGET)
        first, last = np.repeat(sets.first, sizes), np.repeat(sets.last, sizes)
        used, room = sets.used * usage_unit, sets.room * usage_unit
        uses = np.flatnonzero((first <= last) & (sets.used > 0))
        chain = sets.memberships(sizes) > _ROWS_UP_TO * choices
        top = n + rows + columns
        if chain:
            leaves = uses[last[uses] + 1 < sets.count]
            triples += [
                (uses, top + first[uses], -used[uses]),
                (leaves, top + last[leaves] + 1, used[leaves]),
            ]
            lower, upper = (np.concatenate([side, np.zeros(sets.count)]) for side in (lower, upper))
            bounds = np.concatenate([bounds, room])
            extra = _chain_columns(sets, top)
        else:
            length = (last - first + 1)[uses]
            begins = np.cumsum(length) - length
            which = np.arange(int(length.sum())) + np.repeat(first[uses] - begins, length)
            triples.append((np.repeat(uses, length), top + which, np.repeat(used[uses], length)))
            lower = np.concatenate([lower, np.full(sets.count, -np.inf)])
            upper = np.concatenate([upper, room])
    column, row, value = (np.concatenate(parts) for parts in zip(*triples, strict=True))
    order = np.lexsort((row, column))
    y_rows = np.empty((cells, 2), np.int64)
    y_rows[:, 0] = n + reduced.cell_row
    y_rows[:, 1] = n + rows + reduced.cell_column
    starts = np.concatenate(
        [
            [0],
            np.cumsum(np.bincount(column, minlength=choices)),
            len(column) + 2 * np.arange(1, cells + 1),
            len(column) + 2 * cells + extra[0],
        ]
    )
    scaled = [a // unit if reduced.is_integer else a / unit for a in (reduced.unary, reduced.cells)]
    return LocalPolytope(
        reduced=reduced,
        costs=np.concatenate([*scaled, np.zeros(len(extra[0]))]).astype(np.float64),
        bounds=bounds,
        column_starts=starts.astype(np.int32),
        row_index=np.concatenate([row[order], y_rows.ravel(), extra[1]]).astype(np.int32),
        values=np.concatenate([value[order], np.ones(2 * cells), extra[2]]),
        lower=lower,
        upper=upper,
        unit=unit,
        largest=largest,
        usage_unit=usage_unit,
        chain=chain,
    )


def _chain_columns(sets: LiveSets, top: int) -> tuple[_Ints, _Ints, _Floats]:
    """The coefficients of u: 1 in its own row, -1 in the next; ends of the columns, rows, values."""
    k = np.arange(sets.count)
    row: NDArray[Any] = np.stack([top + k, top + k + 1], axis=1).ravel()[:-1]
    value = np.tile([1.0, -1.0], sets.count)[:-1]
    ends = np.minimum(2 * (k + 1), 2 * sets.count - 1)
    return ends, row, value
