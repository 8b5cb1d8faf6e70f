"""Costs as the search kernel wants them: small non-negative integers, forbidden cells apart, nothing lost on the way.

Integer costs lose the least of each variable and table, which goes into an offset, and are multiplied by a power of two
so that shares of them can be moved about without much rounding. Float costs are multiplied by a power of two, which is
exact, and rounded to integers, which is off by at most half a unit a term; the sum of what was rounded away is kept and
taken off every bound. With some 2**52 units for the sum of all the largest costs it is far below
:data:`dynamap_solvers.FLOAT_GAP` up to thousands of terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel.search import FORBIDS, LAMBDA_PLACES, Rows
from dynamap_solvers.problem import FINITE_LIMIT, CostArray, SelectionProblem

__all__ = ["WorkUnits", "rows_of", "work_units"]

_TOTAL_BITS = 52
_TOTAL_BITS_WITH_ROWS = 62 - LAMBDA_PLACES  # messages times 2**LAMBDA_PLACES fit into int64: certificates need that
_MOST_PLACES = 16
_COARSE_BITS = 55

_Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class WorkUnits:
    """The costs of a problem in work units: ``cost = offset + units * 2**-places``.

    Attributes:
        unary: int64 flat, from 0, ``FORBIDS`` where forbidden.
        pair: int64 flat.
        places: binary places; below 0 where integers are so large that units are coarser than 1.
        offset: int in integer problems, float otherwise.
        rounded: what rounding may have added to an assignment's units at most.
        is_integer: whether the problem is.
    """

    unary: _Ints
    pair: _Ints
    places: int
    offset: int | float
    rounded: int
    is_integer: bool

    @property
    def quantum(self) -> int:
        """How many units an improvement has at least."""
        return 2 ** max(self.places, 0) if self.is_integer else 1

    def objective(self, units: int) -> int | float:
        """The cost of so many units; approximate in float problems and where units are coarse."""
        if self.is_integer:
            return self.offset + (units >> self.places if self.places >= 0 else units << -self.places)
        return self.offset + math.ldexp(units, -self.places)

    def bound(self, units: int) -> int | float:
        """What no assignment is below, if none is below so many units."""
        if self.is_integer:
            return self.offset + (-((-units) >> self.places) if self.places >= 0 else units << -self.places)
        return self.offset + math.ldexp(units - self.rounded, -self.places)


def work_units(problem: SelectionProblem) -> WorkUnits:
    """Scale the costs of one cost set."""
    has_rows = problem.usage_costs is not None
    unary_starts, pair_starts = problem.unary_starts, problem.pair_starts
    if not problem.is_integer:
        return _floats(problem, has_rows=has_rows)
    unary, low_unary, span_unary = _from_zero(problem.unary_costs, unary_starts)
    pair, low_pair, span_pair = _from_zero(problem.pair_costs, pair_starts)
    total = span_unary + span_pair
    places = min((_TOTAL_BITS_WITH_ROWS if has_rows else _TOTAL_BITS) - total.bit_length(), _MOST_PLACES)
    if places < 0:
        places = min(_COARSE_BITS - total.bit_length(), 0)
    for costs in (unary, pair):
        finite = costs < FINITE_LIMIT
        if places >= 0:
            np.left_shift(costs, places, out=costs, where=finite)
        else:
            np.right_shift(costs, -places, out=costs, where=finite)
        costs[~finite] = FORBIDS
    return WorkUnits(
        unary=unary,
        pair=pair,
        places=places,
        offset=low_unary + low_pair,
        rounded=0,
        is_integer=True,
    )


def _from_zero(costs: CostArray, starts: _Ints) -> tuple[_Ints, int, int]:
    """Costs less the least of their group, the sum of the least, and the sum of what is then the largest."""
    groups = len(starts) - 1
    if groups == 0:
        return np.zeros(0, np.int64), 0, 0
    finite = costs < FINITE_LIMIT
    low = np.minimum.reduceat(costs, starts[:-1])
    low[low >= FINITE_LIMIT] = 0  # all forbidden
    moved = np.where(finite, costs - np.repeat(low, np.diff(starts)), FINITE_LIMIT)
    largest = np.maximum.reduceat(np.where(finite, moved, 0), starts[:-1])
    return moved, int(low.sum()), int(largest.sum())


def _floats(problem: SelectionProblem, *, has_rows: bool) -> WorkUnits:
    arrays = (problem.unary_costs, problem.pair_costs)
    starts = (problem.unary_starts, problem.pair_starts)
    low = [_least(costs, at) for costs, at in zip(arrays, starts, strict=True)]
    total = 0.0
    for costs, at in zip(arrays, starts, strict=True):
        if len(at) > 1:
            finite = np.abs(np.where(np.isfinite(costs), costs, 0.0))
            total += float(np.maximum.reduceat(finite, at[:-1]).sum())
    places = (_TOTAL_BITS_WITH_ROWS if has_rows else _TOTAL_BITS) - math.frexp(total)[1] if total else 0
    scaled, offset, rounded = [], 0, 0.0
    for costs, at, least in zip(arrays, starts, low, strict=True):
        finite = np.isfinite(costs)
        exact = np.ldexp(np.where(finite, costs, 0.0), places)
        units = np.rint(exact)
        if len(at) > 1:
            off = np.abs(np.where(finite, exact - units, 0.0))
            rounded += float(np.maximum.reduceat(off, at[:-1]).sum())
        whole = units.astype(np.int64)
        base = np.rint(np.ldexp(least, places)).astype(np.int64)
        offset += int(base.sum())
        scaled.append(np.where(finite, whole - np.repeat(base, np.diff(at)), FORBIDS))
    return WorkUnits(
        unary=scaled[0],
        pair=scaled[1],
        places=places,
        offset=math.ldexp(offset, -places),
        rounded=math.ceil(rounded * (1 + 1e-9)),  # the sum itself is rounded
        is_integer=False,
    )


def _least(costs: CostArray, starts: _Ints) -> NDArray[np.float64]:
    if len(starts) < 2:
        return np.zeros(0)
    low = np.minimum.reduceat(costs, starts[:-1])
    return np.where(np.isfinite(low), low, 0.0)


def rows_of(problem: SelectionProblem) -> Rows | None:
    """The usage limit as rows, one for each of ``problem.live_sets()`` in that order; None without one.

    A variable lives in consecutive maximal live sets, because they are the maximal cliques of an interval graph in
    order of time. ``O(n log n)``.
    """
    if problem.usage_costs is None:
        return None
    count = problem.num_variables
    low, high = np.zeros(count, np.int32), np.zeros(count, np.int32)
    events = sorted(
        [(end, 0, i) for i, (start, end) in enumerate(problem.intervals) if start < end]
        + [(start, 1, i) for i, (start, end) in enumerate(problem.intervals) if start < end]
    )
    row = 0
    grew = False
    for _, is_start, i in events:
        if is_start:
            low[i] = row
        else:
            row += grew  # the set is maximal exactly where an end follows a start
            high[i] = row
        grew = bool(is_start)
    if row == 0:
        return None
    capacity = np.full(row, problem.usage_limit, np.int64)
    return Rows(capacity=capacity, low=low, high=high, usage=np.ascontiguousarray(problem.usage_costs))
