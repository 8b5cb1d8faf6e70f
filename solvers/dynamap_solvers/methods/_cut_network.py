"""A selection problem with two choices per variable as a network whose minimum cut is its optimum.

V. Kolmogorov & R. Zabih, *What energy functions can be minimized via graph cuts?*, IEEE TPAMI 26(2), 2004: a table
``A B / C D`` with ``A + D <= B + C`` is the sum of a constant, costs of the two choices and ``B + C - A - D`` where the
first variable takes its label 0 and the second its label 1. Which choice is labelled 0 is free for every variable;
labels that suit all tables exist exactly if no cycle has an odd number of tables with ``A + D > B + C``, and are found
by two-colouring (P. L. Hammer, P. Hansen & B. Simeone, *Roof duality, complementation and persistency in quadratic 0-1
optimization*, Math. Programming 28, 1984, call these problems unfrustrated).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.passes import Drop, Simplification, drop_forbidden, merge_parallel
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["NEVER", "CutNetwork", "Unfitting", "consistent", "cut_network"]

NEVER = 2**61
"""The capacity of an arc that may not be cut.

Costs add up to less than ``S = 2**60`` in magnitude. Each unary cost enters one terminal arc and each table at most two
with at most twice its largest cost, so terminal capacities add up to less than ``4 S`` and a flow, which counts those
of one side, is below ``2 S = NEVER``: no arc of that capacity is ever full. A residual capacity is at most
``NEVER + 2 S = 2**62`` there and ``4 S + 2 S < 2**63`` elsewhere, so nothing wraps.
"""


class Unfitting(ProblemError):  # noqa: N818  # named for what it says of a problem
    """The problem is not one that a minimum cut solves: the message names a variable, or the cycle of tables."""


@dataclass(frozen=True, eq=False)
class CutNetwork:
    """The network. Label 0 is the source's side; an arc is cut, and paid, where it leads from label 0 to label 1.

    Attributes:
        choices: per variable the choice labelled 0 and the one labelled 1, int64 ``(n, 2)``; the same where one is
            left.
        flipped: per variable whether its higher choice is the one labelled 0, ``(n,)``.
        ends: pairs ``i < j`` of variables with two choices left that share a table, ascending, int32 ``(p, 2)``.
        forward: capacity of the arc from i to j, int64 ``(p,)``, :data:`NEVER` where it may not be cut.
        backward: capacity of the arc from j to i.
        terminal: per variable the capacity of the arc from the source (positive) or to the sink (negative), ``(n,)``.
        constant: what is paid whatever is cut.
        exponent: capacities and the constant count units of ``2**-exponent``; 0 for integer problems.
        error: no assignment costs less than its cut by more than this many units: what rounding float costs to units
            may have changed; 0 for integer problems and for float costs that are multiples of the unit.
    """

    choices: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    ends: NDArray[np.int32]
    forward: NDArray[np.int64]
    backward: NDArray[np.int64]
    terminal: NDArray[np.int64]
    constant: int
    exponent: int
    error: int

    def cut_value(self, side: NDArray[np.bool_]) -> int:
        """The capacity of a cut in units, without the constant; ``side`` is True on the sink's side."""
        first, second = side[self.ends[:, 0]], side[self.ends[:, 1]]
        cut = int(self.forward[~first & second].sum(dtype=object)) + int(
            self.backward[first & ~second].sum(dtype=object)
        )
        away = (side & (self.terminal > 0)) | (~side & (self.terminal < 0))
        return cut + int(np.abs(self.terminal[away]).sum(dtype=object))

    def assignment(self, side: NDArray[np.bool_]) -> tuple[int, ...]:
        """The choices that the sides of a cut stand for."""
        return tuple(self.choices[np.arange(len(side)), side.astype(np.int64)].tolist())


def consistent(problem: SelectionProblem) -> Simplification:
    """Strike out choices nobody can take, parallel tables taken together: alone, each may leave what both forbid."""
    ends = np.sort(problem.edge_ends, axis=1)
    if problem.has_forbidden and len(np.unique(ends, axis=0)) < len(ends):
        merged = merge_parallel(problem)
        return drop_forbidden(problem.replace(edges=tuple(merged), pair=tuple(merged.values())))
    return drop_forbidden(problem)


def cut_network(problem: SelectionProblem, dropped: Sequence[Drop] = ()) -> CutNetwork:
    """Build the network. Takes ``O(n + m)``, in numpy but for the search for labels where some table needs it.

    Args:
        problem: one cost set without a resource, fixed choices or ties.
        dropped: the choices nobody can take, closed under arc consistency over merged parallel tables.

    Raises:
        Unfitting: if more than two choices of a variable are left, or no labels suit all tables.
    """
    choices = _left(problem, dropped)
    unary, pair, exponent, error = _in_units(problem)
    ends, tables, open_ = _merged_tables(problem, choices, pair)
    finite = np.where(open_, tables, 0)
    excess = finite[:, 0, 0] + finite[:, 1, 1] - finite[:, 0, 1] - finite[:, 1, 0]
    if not problem.is_integer:
        # A table that is modular but for the rounding of its costs (0.1 + 0.2 against 0.3) suits either labelling.
        slight = 2 + (np.abs(finite).max(axis=(1, 2)) >> 50) if len(finite) else np.zeros(0, np.int64)
        excess = np.where(np.abs(excess) <= slight, 0, excess)
    closed_even = ~open_[:, 0, 0] | ~open_[:, 1, 1]
    closed_odd = ~open_[:, 0, 1] | ~open_[:, 1, 0]
    odd = np.where(closed_even | closed_odd, closed_even, excess > 0)
    even = np.where(closed_even | closed_odd, closed_odd, excess < 0)
    flipped = _labels(problem, ends, odd, even)
    choices = np.where(flipped[:, None], choices[:, ::-1], choices)
    for axis in (0, 1):
        turn = flipped[ends[:, axis]]
        tables[turn] = np.flip(tables[turn], 1 + axis)
        open_[turn] = np.flip(open_[turn], 1 + axis)
    flat = unary[problem.unary_starts[:-1, None] + choices]
    forward, backward, first, second, added = _arcs(tables, open_)
    clamped = np.minimum(forward, 0)  # slight excess of float tables, see above
    terminal = flat[:, 1] - flat[:, 0]
    np.add.at(terminal, ends[:, 0], first)
    np.add.at(terminal, ends[:, 1], second)
    constant = int(flat[:, 0].sum()) + int(added.sum()) + int(np.minimum(terminal, 0).sum(dtype=object))
    # A variable with one choice left is one whose two choices cost the same: its tables only move to the other end.
    two = choices[:, 0] != choices[:, 1]
    joined = two[ends[:, 0]] & two[ends[:, 1]]
    return CutNetwork(
        choices=choices,
        flipped=flipped,
        ends=ends[joined],
        forward=(forward - clamped)[joined],
        backward=backward[joined],
        terminal=terminal,
        constant=constant,
        exponent=exponent,
        error=error - int(clamped.sum()),
    )


def _left(problem: SelectionProblem, dropped: Sequence[Drop]) -> NDArray[np.int64]:
    """The lowest and the highest choice left of each variable, which must be all that is left."""
    alive = np.ones(int(problem.unary_starts[-1]), np.bool_)
    for variable, choice, _ in dropped:
        alive[problem.unary_starts[variable] + choice] = False
    if not problem.num_variables:
        return np.zeros((0, 2), np.int64)
    left = np.add.reduceat(alive, problem.unary_starts[:-1], dtype=np.int64)
    wrong = np.flatnonzero(left > 2)
    if wrong.size:
        label = problem.structure.label(int(wrong[0]))
        raise Unfitting(
            f"Method 'min-cut' takes two choices per variable, but {left[wrong[0]]} choices of variable {label!r} are "
            "allowed; use 'auto'."
        )
    every = np.flatnonzero(alive)
    last = np.cumsum(left) - 1
    return np.stack([every[last - left + 1], every[last]], axis=1) - problem.unary_starts[:-1, None]


def _in_units(problem: SelectionProblem) -> tuple[NDArray[Any], NDArray[Any], int, int]:
    """All costs as integers, forbidden ones at 2**61, and the exponent and the error of :class:`CutNetwork`."""
    unary, pair = problem.unary_costs, problem.pair_costs
    if problem.is_integer:
        return unary, pair, 0, 0
    # The largest magnitudes add up to less than 2**59 units: rounding half a unit each cannot bring them to 2**60.
    total = _total(unary, problem.unary_starts) + _total(pair, problem.pair_starts)
    exponent = 59 - math.frexp(total)[1] if total else 0
    while exponent > 0 and all(_whole(costs, exponent - 16) for costs in (unary, pair)):
        exponent -= 16  # small numbers are easier to read, and exact as well
    rounded = [_units(costs, exponent) for costs in (unary, pair)]
    exact = all(_whole(costs, exponent) for costs in (unary, pair))
    return rounded[0], rounded[1], exponent, 0 if exact else (problem.num_variables + problem.num_edges + 1) // 2 + 1


def _total(costs: NDArray[Any], starts: NDArray[np.int64]) -> float:
    """The largest finite magnitudes of all segments, added up."""
    sizes = np.where(np.isfinite(costs), np.abs(costs), 0.0)
    return float(np.maximum.reduceat(sizes, starts[:-1]).sum()) if costs.size else 0.0


def _whole(costs: NDArray[Any], exponent: int) -> bool:
    scaled = np.ldexp(costs[np.isfinite(costs)], exponent)
    back = np.ldexp(scaled, -exponent)  # scaling may have gone below the smallest float
    return bool((scaled == np.rint(scaled)).all()) and bool((back == costs[np.isfinite(costs)]).all())


def _units(costs: NDArray[Any], exponent: int) -> NDArray[np.int64]:
    finite = np.isfinite(costs)
    return np.where(finite, np.rint(np.ldexp(np.where(finite, costs, 0.0), exponent)).astype(np.int64), 2**61)


def _merged_tables(
    problem: SelectionProblem, choices: NDArray[np.int64], pair: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
    """Pairs ``i < j`` of variables that share edges, ascending; their tables ``(p, 2, 2)``; which cells are allowed."""
    ends = problem.edge_ends.astype(np.int64)
    if (problem.sizes == 2).all() and (choices[:, 0] != choices[:, 1]).all():  # as they lie in memory
        cells = pair.reshape(-1, 2, 2).copy()
    else:
        cells = pair[_cells(problem, choices)]
    swap = ends[:, 0] > ends[:, 1]
    ends[swap] = ends[swap, ::-1]
    cells[swap] = cells[swap].transpose(0, 2, 1)
    keys = ends[:, 0] * problem.num_variables + ends[:, 1]
    order = np.argsort(keys, kind="stable")
    keys, cells, ends = keys[order], cells[order], ends[order]
    allowed = cells < FINITE_LIMIT
    tables = np.where(allowed, cells, 0)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    if len(starts) < len(keys):  # parallel tables
        tables = np.add.reduceat(tables, starts, axis=0)
        allowed = np.logical_and.reduceat(allowed, starts, axis=0)
    return ends[starts].astype(np.int32), tables, allowed


def _cells(problem: SelectionProblem, choices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the four cells of each table are among the pair costs, ``(m, 2, 2)``."""
    first, second = problem.edge_ends[:, 0], problem.edge_ends[:, 1]
    row = choices[first][:, :, None] * problem.sizes[second][:, None, None]
    where: NDArray[np.int64] = problem.pair_starts[:-1, None, None] + row + choices[second][:, None, :]
    return where


def _arcs(
    tables: NDArray[np.int64], open_: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Split tables: forward and backward capacities, what label 1 adds at either end, and constants."""
    a, b, c, d = tables[:, 0, 0], tables[:, 0, 1], tables[:, 1, 0], tables[:, 1, 1]
    no_b, no_c = ~open_[:, 0, 1], ~open_[:, 1, 0]
    # A forbidden cell gets an arc that is never cut; below it, any cost will do, and this one makes the rest modular.
    b = np.where(no_b, np.where(no_c, a, a + d - c), b)
    c = np.where(no_c, a + d - b, c)
    forward = np.where(no_b, NEVER, b + c - a - d)
    backward = np.where(no_c, NEVER, 0)
    return forward, backward, c - a, d - c, a


def _labels(
    problem: SelectionProblem, ends: NDArray[np.int32], odd: NDArray[np.bool_], even: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Two-colour the variables so that odd tables have different colours and even ones the same."""
    flipped = np.zeros(problem.num_variables, np.bool_)
    if not odd.any():
        return flipped
    adjacent: list[list[tuple[int, bool]]] = [[] for _ in range(problem.num_variables)]
    signed = np.flatnonzero(odd | even)
    for (i, j), sign in zip(ends[signed].tolist(), odd[signed].tolist(), strict=True):
        adjacent[i].append((j, sign))
        adjacent[j].append((i, sign))
    colour = [-1] * problem.num_variables
    parent = [-1] * problem.num_variables
    for root, links in enumerate(adjacent):
        if colour[root] >= 0 or not links:
            continue
        colour[root] = 0
        queue = deque([root])
        while queue:
            i = queue.popleft()
            for j, sign in adjacent[i]:
                if colour[j] < 0:
                    colour[j] = colour[i] ^ sign
                    parent[j] = i
                    queue.append(j)
                elif colour[j] != colour[i] ^ sign:
                    raise Unfitting(_frustrated(problem, _cycle(parent, i, j)))
    flipped[:] = np.array(colour) == 1
    return flipped


def _cycle(parent: list[int], i: int, j: int) -> list[int]:
    """The cycle that the edge i-j closes in the tree."""
    ways: list[list[int]] = []
    for v in (i, j):
        way = [v]
        while parent[way[-1]] >= 0:
            way.append(parent[way[-1]])
        ways.append(way)
    first, second = ways
    while len(first) > 1 and len(second) > 1 and first[-2] == second[-2]:
        first.pop()
        second.pop()
    return first + second[-2::-1]


def _frustrated(problem: SelectionProblem, cycle: list[int]) -> str:
    names = "-".join(repr(problem.structure.label(i)) for i in [*cycle[:10], *([] if len(cycle) > 10 else cycle[:1])])
    return (
        f"Method 'min-cut' needs tables that favour equal labels under some labelling, but the cycle {names}"
        f"{f'-... of {len(cycle)} variables' if len(cycle) > 10 else ''} has an odd number of tables that favour "
        "different ones; use 'auto'."
    )
