"""The usage limit of a problem as few, small rows: which sets of variables live at one time, and how tight it is.

A variable lives in consecutive maximal live sets (they are the cliques of an interval graph, in order of time), so a
set is never listed: each variable carries the first and the last set it is in. Time and memory are ``O(n log n)``
however many variables live at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LiveSets", "live_sets_of"]

_Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LiveSets:
    """``sum over i with first[i] <= k <= last[i] of used[x_i] <= room[k]`` for every set k.

    Attributes:
        used: int64 ``(N,)`` per choice: what it uses beyond the least its variable uses, over the common divisor.
        first: int64 ``(n,)`` per variable the first set it is in.
        last: int64 ``(n,)`` the last; less than ``first`` where it is in none.
        room: int64 ``(sets,)`` what the limit leaves beyond the least the set uses, over the divisor, rounded down.
        index: int64 ``(sets,)`` the position of each set in ``problem.live_sets()``.
        least: int64 ``(n,)`` the least each variable uses.
        divisor: of all usages beyond the least.
    """

    used: _Ints
    first: _Ints
    last: _Ints
    room: _Ints
    index: _Ints
    least: _Ints
    divisor: int

    @property
    def count(self) -> int:
        """How many sets there are."""
        return len(self.room)

    def memberships(self, sizes: _Ints) -> int:
        """The coefficients of the rows written out: choices times the sets their variable is in."""
        return int((np.maximum(self.last - self.first + 1, 0) * sizes).sum())

    def members(self, k: int) -> NDArray[np.intp]:
        """The variables of set k whose usage varies."""
        return np.flatnonzero((self.first <= k) & (k <= self.last))


def live_sets_of(
    usage: _Ints, starts: _Ints, intervals: NDArray[np.int64], limit: int
) -> tuple[LiveSets, NDArray[np.intp]]:
    """The sets in which the limit can bind, and the variables it rules out whatever they choose.

    A set goes if its variables cannot exceed the limit together, or if a neighbouring set has all its variables and
    no more room.

    Args:
        usage: ``(N,)`` per choice.
        starts: ``(n + 1,)`` where each variable's choices start.
        intervals: ``(n, 2)`` half-open, empty where the two are equal.
        limit: of the resource.

    Returns:
        The sets, and the variables of a set whose least usages exceed the limit (empty where there is none).
    """
    sizes = np.diff(starts)
    least = np.minimum.reduceat(usage, starts[:-1])
    most = np.maximum.reduceat(usage, starts[:-1])
    beyond = usage - np.repeat(least, sizes)
    begin, end = intervals[:, 0], intervals[:, 1]
    lives = begin < end
    moments = np.unique(begin[lives])
    ends = np.sort(end[lives])
    # A set is maximal exactly where somebody leaves before the next one enters.
    following = np.append(moments[1:], np.iinfo(np.int64).max)
    moments = moments[np.searchsorted(ends, following, "right") > np.searchsorted(ends, moments, "right")]
    first = np.searchsorted(moments, begin, "left")
    last = np.where(lives, np.searchsorted(moments, end, "left") - 1, -1)
    index = np.arange(len(moments))
    low = _sums(least, first, last, len(moments))
    high = _sums(most, first, last, len(moments))
    over = np.flatnonzero(low > limit)
    if len(over):
        k = int(over[0])
        nothing = LiveSets(beyond, first, last, limit - low, index, least, 1)
        return nothing, np.flatnonzero((first <= k) & (k <= last))
    varies = most > least
    keep = high > limit
    room = limit - low
    while True:
        index = index[keep]
        room = room[keep]
        # Positions of the old sets among the new: the first kept one from here, and the last kept one up to here.
        place = np.concatenate([[0], np.cumsum(keep)])
        first, last = place[first], np.where(last >= 0, place[last + 1] - 1, -1)
        first = np.where(varies, first, 0)
        last = np.where(varies, last, -1)
        keep = ~_dominated(first, last, room)
        if keep.all():
            break
    inside = np.repeat(first <= last, sizes)
    divisor = math.gcd(int(np.gcd.reduce(beyond[inside], initial=0)), 0) or 1
    return LiveSets(beyond // divisor, first, last, room // divisor, index, least, divisor), np.zeros(0, np.intp)


def _sums(value: _Ints, first: _Ints, last: _Ints, count: int) -> _Ints:
    """Per set the sum over its variables."""
    change: NDArray[Any] = np.zeros(count + 1, np.int64)
    inside = first <= last
    np.add.at(change, first[inside], value[inside])
    np.subtract.at(change, last[inside] + 1, value[inside])
    return np.cumsum(change)[:count]


def _dominated(first: _Ints, last: _Ints, room: _Ints) -> NDArray[np.bool_]:
    """Sets with no more variables than a neighbour and no less room. Of two that are equal one stays."""
    count = len(room)
    gone = np.zeros(count, np.bool_)
    if count < 2:
        return gone
    inside = first <= last
    leave = np.bincount(last[inside], minlength=count)
    enter = np.bincount(first[inside], minlength=count)
    gone[:-1] = (leave[:-1] == 0) & (room[:-1] >= room[1:])
    if not gone.any():
        gone[1:] = (enter[1:] == 0) & (room[1:] >= room[:-1])
    return gone
