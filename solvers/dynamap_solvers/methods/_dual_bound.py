"""Dual values of the local polytope made into a bound that holds exactly, whatever rounding made them.

Any reparametrisation bounds the optimum from below: with ``d`` moved from tables to variables and a price ``l >= 0`` on
every live set,

    sum_i min_x (c_i + sum_e d_e,i + sum_k l_k u_i)[x] + sum_e min_xy (T_e - d_e,i[x] - d_e,j[y]) - sum_k l_k room_k.

So a float64 solver's dual values are rounded to multiples of ``1 / denominator`` and the bound is computed again in
integers; nothing the solver said about its objective is used (Schlesinger 1976; Werner 2007, section 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.certificates import DualCertificate
from dynamap_solvers.methods._local_polytope import LocalPolytope
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["DualBound", "certificate_of", "dual_bound"]

_MAX_BITS = 30
_ROOM_BITS = 60
_FLOAT_SLACK = 2.0**-44  # what sums of a few dozen terms in float64 may lose, relative to their magnitudes

_Numbers = NDArray[Any]


@dataclass(frozen=True, eq=False)
class DualBound:
    """A proved bound and what proves it, in units of the program over ``denominator``.

    Attributes:
        rows: ``(R,)`` what moves from each table row to its choice, int64; float64 for float problems.
        columns: ``(C,)`` likewise for columns.
        prices: ``(sets,)`` per live set, not negative, per unit of its ``used``.
        denominator: a power of two; 1 for float problems.
        bound: of the problem.
        plain: what is proved without rounding up to a multiple of the common divisor or to the trivial bound.
    """

    rows: _Numbers
    columns: _Numbers
    prices: _Numbers
    denominator: int
    bound: int | float
    plain: int | float


def dual_bound(
    program: LocalPolytope,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    prices: NDArray[np.float64],
    *,
    room_bits: int = _ROOM_BITS,
) -> DualBound | None:
    """Round dual values and compute what they prove; None where they are not numbers or too large.

    Args:
        program: the relaxation.
        rows: ``(R,)`` dual values of the links of table rows, in the sense ``costs - A^T dual >= 0``.
        columns: ``(C,)`` likewise of table columns.
        prices: ``(sets,)`` of live sets, in costs of the program per usage of the program; negative ones count as 0.
        room_bits: how large the numbers may get.
    """
    reduced = program.reduced
    sets = reduced.sets
    prices = np.maximum(prices, 0.0) * program.usage_unit
    if not (np.isfinite(rows).all() and np.isfinite(columns).all() and np.isfinite(prices).all()):
        return None
    count = len(reduced.ends)
    cell_table = reduced.row_table[reduced.cell_row]
    if not reduced.num_variables or len(np.unique(cell_table)) < count:
        return None
    # What the largest number may come to, so that nothing below leaves int64.
    load = np.zeros(len(reduced.unary))
    np.add.at(load, reduced.row_choice, np.abs(rows))
    np.add.at(load, reduced.column_choice, np.abs(columns))
    held = np.zeros(reduced.num_variables)
    if sets is not None:
        held = _over_sets(np.append(0.0, np.cumsum(prices)), sets.first, sets.last)
        load += np.repeat(held, np.diff(reduced.starts)) * sets.used
    most = program.largest + max(float(load.max(initial=0.0)), 2.0 * float(np.abs(rows).max(initial=0.0)), 1.0)
    most += 2.0 * float(np.abs(columns).max(initial=0.0))
    moved: _Numbers = rows
    others: _Numbers = columns
    paid_per: _Numbers = prices
    if reduced.is_integer:
        bits = min(_MAX_BITS, room_bits - math.frexp(most)[1] - 1)
        if bits < 0:
            return None
        scale = 1 << bits
        moved, others = (np.rint(side * scale).astype(np.int64) for side in (rows, columns))
        paid_per = np.floor(prices * scale).astype(np.int64)
        unary: _Numbers = reduced.unary // program.unit * scale
        cells: _Numbers = reduced.cells // program.unit * scale
    else:
        scale = 1
        unary, cells = reduced.unary / program.unit, reduced.cells / program.unit
    np.add.at(unary, reduced.row_choice, moved)
    np.add.at(unary, reduced.column_choice, others)
    paid: list[Any] = []
    if sets is not None:
        held = _over_sets(np.concatenate([paid_per[:0], [0], np.cumsum(paid_per)]), sets.first, sets.last)
        unary += (np.repeat(held, np.diff(reduced.starts)) * sets.used).astype(unary.dtype)
        paid = [-price * room for price, room in zip(paid_per.tolist(), sets.room.tolist(), strict=True)]
    cells = cells - moved[reduced.cell_row] - others[reduced.cell_column]
    least: _Numbers = np.full(count, np.iinfo(np.int64).max if reduced.is_integer else np.inf, cells.dtype)
    np.minimum.at(least, cell_table, cells)
    terms = np.minimum.reduceat(unary, reduced.starts[:-1]).tolist() + least.tolist() + paid
    bound: int | float
    plain: int | float
    if reduced.is_integer:
        plain = reduced.offset - (-sum(terms) * int(program.unit) // scale)
        bound = reduced.offset + int(program.unit) * max(-(-sum(terms) // scale), 0)
    else:
        slack = _FLOAT_SLACK * (most * (reduced.num_variables + 2 * count) + math.fsum(map(abs, paid)))
        plain = reduced.offset + (math.fsum(terms) - slack) * program.unit
        bound = max(plain, reduced.offset)
    return DualBound(rows=moved, columns=others, prices=paid_per, denominator=scale, bound=bound, plain=plain)


def _over_sets(running: _Numbers, first: NDArray[np.int64], last: NDArray[np.int64]) -> _Numbers:
    """Per variable the sum over the sets it is in, from running sums."""
    inside = first <= last
    held = running[np.where(inside, last + 1, 0)] - running[np.where(inside, first, 0)]
    return np.where(inside, held, 0)


def certificate_of(problem: SelectionProblem, program: LocalPolytope, proof: DualBound) -> DualCertificate | None:
    """Carry a bound back to the edges of the problem, as a proof of its own.

    The program must be of costs reduced with ``keep_all``. None where the certificate could not prove the whole bound:
    with parallel edges, whose tables do not share a reparametrisation of their sum; where the bound was rounded up to a
    multiple of the costs' common divisor; where usages were divided or float problems have a limit; and where the
    numbers would leave int64.
    """
    reduced = program.reduced
    if proof.plain < proof.bound or (reduced.sets is not None and not reduced.is_integer):
        return None
    if len(np.unique(reduced.table_of_edge)) < len(reduced.table_of_edge):
        return None
    largest = max(
        (
            float(np.abs(shift).max()) * proof.denominator + float(np.abs(moved).max()) * float(program.unit)
            for shift, moved in ((reduced.row_shift, proof.rows), (reduced.column_shift, proof.columns))
            if len(shift)
        ),
        default=0.0,
    )
    if reduced.is_integer and largest >= FINITE_LIMIT:
        return None
    rows = reduced.row_shift * proof.denominator + proof.rows * program.unit
    columns = reduced.column_shift * proof.denominator + proof.columns * program.unit
    variable = np.repeat(np.arange(reduced.num_variables), np.diff(reduced.starts))
    shares: list[list[_Numbers]] = [[], []]
    limit = FINITE_LIMIT if problem.is_integer else np.inf
    # Rows and columns of one table lie together, ascending.
    row_ends, column_ends = (
        np.searchsorted(table, np.arange(len(reduced.ends) + 1)) for table in (reduced.row_table, reduced.column_table)
    )
    for e, (i, j) in enumerate(problem.edges):
        t = int(reduced.table_of_edge[e])
        sides = []
        for moved, choice, ends, end in (
            (rows, reduced.row_choice, row_ends, min(i, j)),
            (columns, reduced.column_choice, column_ends, max(i, j)),
        ):
            share: _Numbers = np.zeros(problem.sizes[end], rows.dtype)
            own = slice(ends[t], ends[t + 1])
            known = np.zeros(len(share), np.bool_)
            known[reduced.choice[choice[own]]] = True
            share[known] = moved[own]
            assert (variable[choice[own]] == end).all()
            sides.append((share, known))
        if i > j:
            sides.reverse()
        (first, known_first), (second, known_second) = sides
        if not (known_first.all() and known_second.all()):
            _fill(problem, e, limit, proof.denominator, first, known_first, second, known_second)
        shares[0].append(first)
        shares[1].append(second)
    prices = np.zeros(sum(1 for _ in problem.live_sets()) if problem.usage is not None else 0, np.int64)
    if reduced.sets is not None:
        # Usages were divided by their divisor; a price per original unit need not be a multiple of 1 / denominator.
        whole = proof.prices * program.unit
        if (whole % reduced.sets.divisor).any():
            return None
        prices[reduced.sets.index] = whole // reduced.sets.divisor
    empty: _Numbers = np.zeros(0, rows.dtype)
    return DualCertificate(
        at_first=np.concatenate([empty, *shares[0]]),
        at_second=np.concatenate([empty, *shares[1]]),
        rows=prices,
        denominator=proof.denominator,
    )


def _fill(
    problem: SelectionProblem,
    e: int,
    limit: float,
    scale: int,
    first: _Numbers,
    known_first: NDArray[np.bool_],
    second: _Numbers,
    known_second: NDArray[np.bool_],
) -> None:
    """Shares of choices that are forbidden by themselves: what keeps their pairs from being the least of the table."""
    table = problem.pair[e]
    allowed = table < limit
    top = np.iinfo(np.int64).max if problem.is_integer else np.inf
    rest: _Numbers = np.where(allowed, table, 0) * scale - first[:, None] - second[None, :]
    both = allowed & known_first[:, None] & known_second[None, :]
    least = np.min(rest, initial=top, where=both)
    lows = np.min(rest, axis=1, initial=top, where=allowed & known_second[None, :])
    first[~known_first] = np.where(lows < top, lows - least, 0)[~known_first]
    rest = np.where(allowed, table, 0) * scale - first[:, None] - second[None, :]
    lows = np.min(rest, axis=0, initial=top, where=allowed)
    second[~known_second] = np.where(lows < top, lows - least, 0)[~known_second]
