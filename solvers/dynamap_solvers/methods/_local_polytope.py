"""The local polytope of a selection problem, in numbers a float64 solver can be trusted with.

Variables ``x_i[a]`` in {0, 1} and ``y_ij[a, b] >= 0`` with ``sum_a x_i[a] = 1``, ``sum_b y_ij[a, b] = x_i[a]`` and
``sum_a y_ij[a, b] = x_j[b]``: the relaxation of Schlesinger (1976) and Koster, van Hoesel & Kolen (1998). With integral
``x`` the ``y`` are forced, so they stay continuous. Forbidden pairs get no variable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.passes import merge_parallel
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["LocalPolytope", "PairTable", "UsageRow", "local_polytope"]

_FLOAT_TARGET = 20  # float costs are scaled so that the largest is about 2**20, far above absolute tolerances of 1e-6


@dataclass(frozen=True, eq=False)
class PairTable:
    """One pair of variables whose costs do not separate.

    Attributes:
        i: the variable of the rows.
        j: the variable of the columns.
        costs: float64 ``(d_i, d_j)``, not negative, 0 where forbidden.
        allowed: which cells get a variable.
    """

    i: int
    j: int
    costs: NDArray[np.float64]
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class UsageRow:
    """``sum_i used[i] . x_i <= limit`` for the variables that live at one time."""

    used: dict[int, NDArray[np.float64]]
    limit: float


@dataclass(frozen=True, eq=False)
class LocalPolytope:
    """The program; ``objective(problem) = offset + unit * objective(program)``.

    Attributes:
        unary: per variable the costs of its choices, float64, the least 0 in each.
        tables: the pairs that need pair variables.
        rows: the times at which the usage limit may bind.
        offset: exact int for integer problems. All costs of the program are >= 0, so it is a lower bound.
        unit: what 1 in the program is worth: for integers the common divisor of all costs, for floats a power of two.
        largest: the largest cost of the program.
    """

    unary: tuple[NDArray[np.float64], ...]
    tables: tuple[PairTable, ...]
    rows: tuple[UsageRow, ...]
    offset: int | float
    unit: int | float
    is_integer: bool
    largest: float

    def bound(self, value: float) -> int | float:
        """The bound of the problem that a proved bound of the program stands for.

        An integer problem has integer multiples of the divisor as objectives, so the bound is rounded up, after
        stepping back by what float64 may have got wrong: 1e-6, or 2**-50 of the value where that is more.
        """
        if not math.isfinite(value):
            return self.offset
        if self.is_integer:
            steps = math.ceil(value - max(1e-6, abs(value) * 2.0**-50))
            return self.offset + int(self.unit) * max(steps, 0)
        return self.offset + max(value, 0.0) * self.unit


def local_polytope(problem: SelectionProblem, *, exact_below: float) -> LocalPolytope:
    """Write the program of one cost set whose forbidden and fixed choices are gone.

    Row and column minima of pair tables move to the variables, minima of variables to the offset; tables that come
    out 0 need no pair variables.

    Raises:
        ProblemError: if an integer cost that is left is ``exact_below`` or more, so that the backend could not tell
            two objectives apart.
    """
    limit = FINITE_LIMIT if problem.is_integer else np.inf
    unary: list[NDArray[Any]] = [array.copy() for array in problem.unary]
    tables: list[tuple[int, int, NDArray[Any], NDArray[np.bool_]]] = []
    for (i, j), table in merge_parallel(problem).items():
        allowed = table < limit
        rest: NDArray[Any] = np.where(allowed, table, 0)
        for axis, end in ((1, i), (0, j)):
            low = np.min(rest, axis=axis, where=allowed, initial=limit)
            low = np.where(low >= limit, 0, low)  # a row without allowed cells: its choice is ruled out by the links
            unary[end] += low
            rest = np.where(allowed, rest - np.expand_dims(low, axis), 0)
        if not allowed.all() or rest.any():
            tables.append((i, j, rest, allowed))
    lows = [array.min().item() for array in unary]
    offset = sum(lows) if problem.is_integer else math.fsum(lows)
    unary = [array - low for array, low in zip(unary, lows, strict=True)]
    arrays = [*unary, *(rest for _, _, rest, _ in tables)]
    largest = max((array.max().item() for array in arrays), default=0)
    unit: int | float
    if problem.is_integer:
        unit = math.gcd(*(int(np.gcd.reduce(array, axis=None)) for array in arrays)) or 1
        largest //= unit
        if largest >= exact_below:
            raise ProblemError(
                f"Costs within a table differ by {largest * unit}; an ILP backend tells integers apart only below "
                f"{exact_below:.0f} (times their common divisor, {unit}); scale the costs down."
            )
        program = [(array // unit).astype(np.float64) for array in arrays]
    else:
        unit = 2.0 ** (math.frexp(largest)[1] - _FLOAT_TARGET) if largest > 0 else 1.0
        program = [array / unit for array in arrays]
    count = len(unary)
    return LocalPolytope(
        unary=tuple(program[:count]),
        tables=tuple(
            PairTable(i, j, costs, allowed) for (i, j, _, allowed), costs in zip(tables, program[count:], strict=True)
        ),
        rows=_usage_rows(problem),
        offset=offset,
        unit=unit,
        is_integer=problem.is_integer,
        largest=float(largest if problem.is_integer else largest / unit),
    )


def _usage_rows(problem: SelectionProblem) -> tuple[UsageRow, ...]:
    if problem.usage is None:
        return ()
    rows = []
    for live in problem.live_sets():
        base = sum(int(problem.usage[i].min()) for i in live)
        if sum(int(problem.usage[i].max()) for i in live) <= problem.usage_limit:
            continue
        used = {i: problem.usage[i] - problem.usage[i].min() for i in live if np.ptp(problem.usage[i])}
        divisor = math.gcd(*(int(np.gcd.reduce(array)) for array in used.values())) or 1
        # Dividing and rounding the limit down loses no integer point and keeps the numbers near 1.
        room = (problem.usage_limit - base) // divisor
        shrink = 2.0 ** -max(0, math.frexp(max((float(a.max()) for a in used.values()), default=1.0) / divisor)[1] - 10)
        rows.append(UsageRow({i: array // divisor * shrink for i, array in used.items()}, room * shrink))
    return tuple(rows)
