"""A problem as the verifier sees it: one cost set in exact integers, without fixed choices and ties.

Shares no code with what solves, simplifies or prices. Certificates number variables, edges and choices as this does:

- A fixed variable, and with it all variables tied to it, keeps that one choice, which becomes choice 0.
- The members of a tie become the first of them: costs and usages add up, a table between two members gives its
  diagonal. The variables that remain keep their order, the other edges theirs.
- A member that uses the resource over another interval than the first one's stays, and a table at the end of the list
  forbids that the two choose differently.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import CertificateError, ProblemError
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem

__all__ = ["Cells", "ExactProblem", "compare", "neighbours", "read_exact", "shown", "strike_out"]

Cells = NDArray[Any]  # int64, or Python ints of any size
_FLOAT_TOLERANCE = Fraction(1, 10**9)


@dataclass(frozen=True, eq=False)
class ExactProblem:
    """Costs in units of ``1 / scale``: int64 for integer problems, where the scale is 1, else Python integers.

    Attributes:
        unary: per variable the cost of each choice.
        edges: the two variables of each table.
        pair: per edge its table.
        usage: per variable what each choice uses of the resource, 0 where it uses it at no time.
        rows: the largest sets of variables that use the resource at one time, in order of time.
        limit: what a row may use together.
        top: the cost of a forbidden cell. Finite costs add up to less than half of it in magnitude, so a sum is
            finite exactly if it is below the half.
        scale: a power of two.
        magnitude: all finite costs of the original problem, in magnitude, added up.
        is_integer: whether claims are compared exactly.
    """

    unary: list[Cells]
    edges: list[tuple[int, int]]
    pair: list[Cells]
    usage: list[list[int]]
    rows: list[list[int]]
    limit: int
    top: int
    scale: int
    magnitude: Fraction
    is_integer: bool

    def plus(self, left: Cells, right: Cells) -> Cells:
        """The sum, forbidden where a term is."""
        total = left + right
        total[total >= self.top // 2] = self.top
        return np.asarray(total)

    def allowed(self, cells: Cells) -> NDArray[np.bool_]:
        """Which cells are not forbidden."""
        return np.asarray(cells < self.top // 2, np.bool_)

    def value(self, units: int) -> Fraction:
        """A sum of costs as a number."""
        return Fraction(units, self.scale)


def read_exact(problem: SelectionProblem) -> ExactProblem:
    """Read a problem and take out what is fixed and tied.

    Raises:
        ProblemError: if it is a batch.
        CertificateError: if variables tied to each other are fixed to different choices, so that nothing is left.
    """
    if problem.is_batched:
        raise ProblemError("A certificate proves nothing about a batch; take instance(k).")
    unary, pair, top, scale, magnitude = _exact_costs(problem)
    edges = list(problem.edges)
    intervals = list(problem.intervals) or [(0, 0)] * problem.num_variables
    usage = [
        [0] * len(costs) if problem.usage is None or start >= end else problem.usage[i].tolist()
        for i, (costs, (start, end)) in enumerate(zip(unary, intervals, strict=True))
    ]

    chosen = dict(problem.fixed)
    for group in problem.ties:
        wanted = {chosen[i] for i in group if i in chosen}
        if len(wanted) > 1:
            raise CertificateError(f"Variables {list(group)} are tied and fixed to different choices; nothing is left.")
        chosen.update({i: x for i in group for x in wanted})
    for i, x in chosen.items():
        unary[i] = unary[i][x : x + 1]
        usage[i] = usage[i][x : x + 1]
    for e, (i, j) in enumerate(edges):
        rows = slice(chosen[i], chosen[i] + 1) if i in chosen else slice(None)
        columns = slice(chosen[j], chosen[j] + 1) if j in chosen else slice(None)
        pair[e] = pair[e][rows, columns]

    plain = ExactProblem(unary, edges, pair, usage, [], problem.usage_limit, top, scale, magnitude, problem.is_integer)
    stand_for = list(range(len(unary)))
    agree: list[tuple[int, int]] = []
    for first, *others in problem.ties:
        for i in others:
            if any(usage[i]) and (not any(usage[first]) or intervals[i] != intervals[first]):
                agree.append((first, i))
                continue
            stand_for[i] = first
            unary[first] = plain.plus(unary[first], unary[i])
            usage[first] = [a + b for a, b in zip(usage[first], usage[i], strict=True)]
    stay = [i for i, first in enumerate(stand_for) if i == first]
    number = {i: at for at, i in enumerate(stay)}
    kept_edges, kept_pair = [], []
    for (i, j), table in zip(edges, pair, strict=True):
        if stand_for[i] == stand_for[j]:
            unary[stand_for[i]] = plain.plus(unary[stand_for[i]], np.diagonal(table))
        else:
            kept_edges.append((number[stand_for[i]], number[stand_for[j]]))
            kept_pair.append(table)
    for i, j in agree:
        size = len(unary[i])
        table = np.full((size, size), top, unary[i].dtype)
        np.fill_diagonal(table, 0)
        kept_edges.append((number[i], number[j]))
        kept_pair.append(table)
    return ExactProblem(
        unary=[unary[i] for i in stay],
        edges=kept_edges,
        pair=kept_pair,
        usage=[usage[i] for i in stay],
        rows=[] if problem.usage is None else _rows([intervals[i] for i in stay]),
        limit=problem.usage_limit,
        top=top,
        scale=scale,
        magnitude=magnitude,
        is_integer=problem.is_integer,
    )


def _exact_costs(problem: SelectionProblem) -> tuple[list[Cells], list[Cells], int, int, Fraction]:
    if problem.is_integer:
        total = sum(
            int(np.abs(np.where(cells >= FORBIDDEN, 0, cells)).sum(dtype=object))
            for cells in (problem.unary_costs, problem.pair_costs)
        )
        return list(problem.unary), list(problem.pair), FORBIDDEN, 1, Fraction(total)
    everything = [*problem.unary_costs.tolist(), *problem.pair_costs.tolist()]
    finite = [cell.as_integer_ratio() for cell in everything if not math.isinf(cell)]
    scale = max((denominator for _, denominator in finite), default=1)
    units = sum(abs(numerator) * (scale // denominator) for numerator, denominator in finite)
    top = 4 * units + 4

    def exact(cell: float) -> int:
        return top if math.isinf(cell) else int(Fraction(cell) * scale)

    def table(array: NDArray[Any]) -> Cells:
        cells = np.empty(array.size, object)
        cells[:] = [exact(cell) for cell in array.reshape(-1).tolist()]
        return cells.reshape(array.shape)

    return [table(a) for a in problem.unary], [table(a) for a in problem.pair], top, scale, Fraction(units, scale)


def _rows(intervals: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Who is there together: a set is largest when someone leaves after someone came."""
    begins: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for i, (start, end) in enumerate(intervals):
        if start < end:
            begins.setdefault(start, []).append(i)
            ends.setdefault(end, []).append(i)
    rows: list[list[int]] = []
    here: set[int] = set()
    grew = False
    for time in sorted({*begins, *ends}):
        if time in ends and grew:
            rows.append(sorted(here))
            grew = False
        here.difference_update(ends.get(time, ()))
        if time in begins:
            here.update(begins[time])
            grew = True
    return rows


def neighbours(problem: ExactProblem) -> list[dict[int, Cells]]:
    """Per variable and neighbour the sum of the tables between them, own choices first."""
    result: list[dict[int, Cells]] = [{} for _ in problem.unary]
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        for a, b, cells in ((i, j, table), (j, i, table.T)):
            result[a][b] = problem.plus(result[a][b], cells) if b in result[a] else cells
    return result


def strike_out(problem: ExactProblem, dropped: Iterable[tuple[int, int, int]]) -> tuple[list[list[int]], Fraction]:
    """Follow choices being struck out one after another and say which are left.

    Args:
        problem: the problem.
        dropped: ``(variable, choice, by)``. With ``by`` = -1 the choice is forbidden: by itself, by using more than
            the limit, or together with every choice still left to some neighbour. Otherwise choice ``by`` of the same
            variable, still left, is as good whatever the others choose: it uses no more, its own cost exceeds that of
            the choice by at most what the tables save, each taken at its worst over the choices still left to the
            neighbour (the dead-end elimination of R. F. Goldstein, Biophys. J. 66, 1994), and it is allowed wherever
            the choice is. Several tables with one neighbour count as their sum.

    In a float problem a choice that saves a little, up to 1e-9 of all magnitudes, may go as well, because who struck it
    out had to round; what it saves is remembered.

    Returns:
        Per variable the choices that are left, ascending; and by how much the optimum may have risen, 0 in integer
        problems.

    Raises:
        CertificateError: naming the first choice that may not be struck out.
    """
    left = [list(range(len(costs))) for costs in problem.unary]
    around = neighbours(problem)
    in_row = {i for row in problem.rows for i in row}
    tolerated = 0 if problem.is_integer else int(_FLOAT_TOLERANCE * problem.magnitude * problem.scale)
    risen = 0
    for variable, choice, by in dropped:
        label = f"Choice {choice} of variable {variable}"
        if not 0 <= variable < len(left) or choice not in left[variable]:
            raise CertificateError(f"{label} is struck out, but it does not exist or went before.")
        own = problem.unary[variable]
        gone = not problem.allowed(own[choice : choice + 1])[0]
        gone |= variable in in_row and problem.usage[variable][choice] > problem.limit
        gone |= any(not problem.allowed(table[choice, left[j]]).any() for j, table in around[variable].items())
        if by == -1:
            if not gone:
                raise CertificateError(f"{label} is struck out, but it is not forbidden.")
        elif by == choice or by not in left[variable]:
            raise CertificateError(f"{label} is struck out because of choice {by}, which is not left.")
        elif not gone:
            worse = _worse_by(problem, around[variable], left, variable, choice, by)
            if worse is None or worse > tolerated:
                raise CertificateError(f"{label} is struck out, but choice {by} may be worse.")
            risen += max(worse, 0)
        left[variable].remove(choice)
    return left, problem.value(risen)


def _worse_by(
    problem: ExactProblem, around: dict[int, Cells], left: list[list[int]], variable: int, choice: int, by: int
) -> int | None:
    """How much dearer ``by`` can be than the choice, None without limit."""
    own = problem.unary[variable]
    if not problem.allowed(own[by : by + 1])[0] or problem.usage[variable][by] > problem.usage[variable][choice]:
        return None
    worse = int(own[by]) - int(own[choice])
    for j, table in around.items():
        cells, instead = table[choice, left[j]], table[by, left[j]]
        matter = problem.allowed(cells)  # where the choice is forbidden itself, the other need not be allowed
        if not problem.allowed(instead[matter]).all():
            return None
        worse += int((instead[matter] - cells[matter]).max())
    return worse


def compare(problem: ExactProblem, bound: float | None, proved: Fraction | None, *, what: str, exact: bool) -> None:
    """Compare a claim with what was proved.

    Args:
        problem: says whether there is a tolerance: 1e-9 of all magnitudes for float problems.
        bound: the claim; None says that no assignment is allowed.
        proved: likewise.
        what: the subject of the message, as in "the cut".
        exact: whether the claim must meet what was proved, or may be less.

    Raises:
        CertificateError: giving both values.
    """
    message = f"The claimed bound is {bound}, but {what} {shown(proved)}."
    if bound is not None and not math.isfinite(bound):
        raise CertificateError(f"The claimed bound is {bound}; claim a finite number, or None for infeasible.")
    if proved is None or bound is None:
        if (bound is None and proved is not None) or (exact and bound is not None):
            raise CertificateError(message)
        return
    tolerance = Fraction(0) if problem.is_integer else _FLOAT_TOLERANCE * problem.magnitude
    above = Fraction(bound) - proved
    if above > tolerance or (exact and above < -tolerance):
        raise CertificateError(message)


def shown(value: Fraction | None) -> str:
    """A proved value in a message."""
    if value is None:
        return "no allowed assignment"
    return str(value.numerator) if value.denominator == 1 else str(float(value))
