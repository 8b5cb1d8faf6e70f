"""Dual certificates: costs moved from tables to their ends until the cheapest cells add up to the bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.certificates._exact import Cells, ExactProblem, compare, read_exact, strike_out
from dynamap_solvers.errors import CertificateError
from dynamap_solvers.problem import SelectionProblem

__all__ = ["DualCertificate", "check_dual", "proved_by_dual"]

Numbers = NDArray[np.int64] | NDArray[np.float64]


def _nothing() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class DualCertificate:
    """A reparametrisation: a point of the dual of the local-polytope relaxation (Werner, IEEE TPAMI 29(7), 2007).

    With ``a_e`` and ``b_e`` moved to the two ends of each edge and a multiplier ``l_r >= 0`` for each set of variables
    that use the resource together, no assignment costs less than

        sum_i min_x (c_i[x] + sum_e moved to i [x] + sum_r l_r u_i[x])
        + sum_e min_xy (T_e[x, y] - a_e[x] - b_e[y]) - sum_r l_r limit,

    because for every allowed assignment the moved costs cancel and ``sum u <= limit``. In an integer problem the bound
    is rounded up.

    Attributes:
        at_first: what moves from each edge to its first end, one number per choice, edge after edge:
            ``sum of d_i over edges (i, j)`` of them, int64, or float64 in float problems.
        at_second: to its second end, ``sum of d_j``.
        rows: a multiplier, int64, for each set of ``problem.live_sets()`` in that order; may be empty for none.
        denominator: what all the numbers above are divided by; 1 or more.
        dropped: ``(variable, choice, by)``: choices struck out before, which no minimum looks at.
            :func:`~dynamap_solvers.certificates.strike_out` has the rules.
    """

    at_first: Numbers
    at_second: Numbers
    rows: NDArray[np.int64]
    denominator: int = 1
    dropped: Sequence[tuple[int, int, int]] = ()


def check_dual(problem: SelectionProblem, certificate: DualCertificate, *, bound: float | None) -> None:
    """Check that a reparametrisation proves that no assignment costs less than ``bound``.

    Takes ``O(n d + m d^2)``. The bound may be below what the certificate proves.

    Raises:
        CertificateError: naming what does not fit the problem, or both values if the bound is not proved.
        ProblemError: if the problem is a batch.
    """
    exact = read_exact(problem)
    compare(exact, bound, proved_by_dual(exact, certificate), what="the dual proves", exact=False)


def proved_by_dual(problem: ExactProblem, certificate: DualCertificate) -> Fraction | None:
    """The bound that a reparametrisation proves, exactly; None where it proves that nothing is allowed.

    Raises:
        CertificateError: naming what does not fit the problem.
    """
    left, risen = strike_out(problem, certificate.dropped)
    if not all(left):
        return None
    if certificate.denominator < 1:
        raise CertificateError(f"The denominator of the dual is {certificate.denominator}; it must be at least 1.")
    ends = (certificate.at_first, certificate.at_second)
    for k, (numbers, name) in enumerate(zip(ends, ("at_first", "at_second"), strict=True)):
        wanted = sum(len(problem.unary[edge[k]]) for edge in problem.edges)
        if numbers.shape != (wanted,):
            raise CertificateError(
                f"The dual has {numbers.shape} numbers {name}; by the choices of the edges' ends it "
                f"must have ({wanted},)."
            )
    moved, finer = _in_units(problem, ends)
    unit = finer * certificate.denominator  # everything below counts 1 / (scale * unit)
    unary = [[int(cell) * unit for cell in costs.tolist()] for costs in problem.unary]
    total = _charge_usage(problem, certificate.rows, unary, price=problem.scale * finer)
    at = [0, 0]
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        parts = []
        for k, end in enumerate((i, j)):
            part = moved[k][at[k] : at[k] + len(unary[end])]
            at[k] += len(part)
            parts.append(part)
            own = unary[end]
            for x, amount in enumerate(part):
                own[x] += amount
        least = _least(problem, table, parts[0], parts[1], left[i], left[j], unit)
        if least is None:
            return None
        total += least
    for costs, choices, moved_to in zip(problem.unary, left, unary, strict=True):
        open_ = [moved_to[x] for x in choices if costs[x] < problem.top // 2]
        if not open_:
            return None
        total += min(open_)
    proved = Fraction(total, problem.scale * unit) - risen
    return Fraction(math.ceil(proved)) if problem.is_integer else proved


def _in_units(problem: ExactProblem, ends: tuple[Numbers, Numbers]) -> tuple[list[list[int]], int]:
    """The numbers times ``scale * finer`` as Python integers, and the power of two that makes them whole."""
    lists: list[list[Any]] = [numbers.tolist() for numbers in ends]
    for numbers, name in zip(lists, ("at_first", "at_second"), strict=True):
        for place, number in enumerate(numbers):
            if isinstance(number, float) and not math.isfinite(number):
                raise CertificateError(f"Number {place} {name} of the dual is {number}; it must be finite.")
    finest = max((number.as_integer_ratio()[1] for numbers in lists for number in numbers), default=1)
    finer = max(finest // problem.scale, 1)
    times = problem.scale * finer
    whole = [
        [number * times if isinstance(number, int) else int(Fraction(number) * times) for number in numbers]
        for numbers in lists
    ]
    return whole, finer


def _charge_usage(problem: ExactProblem, rows: NDArray[np.int64], unary: list[list[int]], *, price: int) -> int:
    """Add to each choice what its usage costs at the multipliers; returns minus what the limit is worth."""
    multipliers = rows.tolist()
    if not multipliers:
        return 0
    if len(multipliers) != len(problem.rows):
        raise CertificateError(
            f"The dual has {len(multipliers)} multipliers for {len(problem.rows)} sets of variables that use the "
            "resource together; give one each, or none."
        )
    total = 0
    for number, (multiplier, members) in enumerate(zip(multipliers, problem.rows, strict=True)):
        if multiplier < 0:
            raise CertificateError(f"Multiplier {number} of the dual is {multiplier}; it must not be negative.")
        if multiplier:
            total -= multiplier * price * problem.limit
            for i in members:
                for x, used in enumerate(problem.usage[i]):
                    unary[i][x] += multiplier * price * used
    return total


def _least(
    problem: ExactProblem,
    table: Cells,
    first: list[int],
    second: list[int],
    rows: list[int],
    columns: list[int],
    unit: int,
) -> int | None:
    """The least of ``T[x, y] * unit - first[x] - second[y]`` over allowed cells of the choices left."""
    cells = table[np.ix_(rows, columns)]
    allowed = problem.allowed(cells)
    if not allowed.any():
        return None
    from_row, from_column = [first[x] for x in rows], [second[y] for y in columns]
    largest = max(unit, int(np.abs(cells[allowed]).max()) * unit, *map(abs, from_row), *map(abs, from_column))
    # Three numbers below 2**61 in magnitude add up in int64; otherwise Python integers do.
    kind: Any = np.int64 if cells.dtype == np.int64 and largest < 2**61 else object
    taken = np.add.outer(np.array(from_row, kind), np.array(from_column, kind))
    return int((np.where(allowed, cells, 0).astype(kind) * unit - taken)[allowed].min())
