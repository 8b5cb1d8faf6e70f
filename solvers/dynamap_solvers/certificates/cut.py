"""Cut certificates: a flow as large as a cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.certificates._exact import ExactProblem, compare, neighbours, read_exact, shown, strike_out
from dynamap_solvers.errors import CertificateError, ProblemError
from dynamap_solvers.problem import SelectionProblem

__all__ = ["CutCertificate", "check_cut"]


@dataclass(frozen=True, eq=False, kw_only=True)
class CutCertificate:
    """A flow and a cut of a network in which the cheapest cut is the optimum.

    Once choices are struck out, every variable has one or two left. Its lower one gets label 0 and its higher one
    label 1, the other way round where ``flipped``. Two variables ``i < j`` with two choices each whose tables add up
    to ``A B / C D`` by label share an arc from i to j with capacity ``B + C - A - D`` and one back with 0; where B
    (C) is forbidden, the arc from i to j (from j to i) has no limit and B (C) is put at what makes the rest add up,
    ``A + D - C`` (``A + D - B``; both forbidden: B = A, C = D). There remain ``A``, ``C - A`` if i takes label 1 and
    ``D - C`` if j does. With its own costs and these, ``u_i`` is what label 1 of variable i costs more than label 0:
    the capacity of an arc from the source, or, if negative, of one to the sink. An assignment costs a constant and the
    arcs that lead from label 0 (the source's side) to label 1.

    Attributes:
        flipped: bool ``(n,)``.
        side: True where a variable has label 1, the sink's side of the cut, bool ``(n,)``.
        flow: the net flow from i to j for each such pair, in ascending order of ``(i, j)``, int64. What comes from the
            source or goes to the sink is what the other flows of a variable leave over.
        exponent: flows count units of ``2**-exponent``.
        dropped: ``(variable, choice, by)``: choices struck out before. Where they leave a variable without a choice,
            they prove alone that no assignment is allowed.
    """

    flipped: NDArray[np.bool_]
    side: NDArray[np.bool_]
    flow: NDArray[np.int64]
    exponent: int = 0
    dropped: Sequence[tuple[int, int, int]] = ()


def check_cut(problem: SelectionProblem, certificate: CutCertificate, *, bound: float | None) -> None:
    """Check that a flow and a cut prove that ``bound`` is the optimum.

    In an integer problem the flow must keep every capacity and the cut must be as large. In a float problem, where the
    flow was rounded, what it exceeds capacities by is taken off the bound (it is a dual solution all the same), and
    both ends are checked to 1e-9, relative to the sum of magnitudes. Takes ``O(n + m)`` in plain Python.

    Raises:
        CertificateError: naming the first arc or variable that does not fit, or both values if they differ.
        ProblemError: if the problem is a batch or has a resource limit.
    """
    if problem.usage is not None:
        raise ProblemError("A cut proves nothing about a resource limit; take the problem without it.")
    exact = read_exact(problem)
    left, risen = strike_out(exact, certificate.dropped)
    if not all(left):
        compare(exact, bound, None, what="the choices struck out leave", exact=True)
        return
    network = _Network(exact, left, certificate.flipped.tolist())
    proved = network.follow(certificate.flow.tolist(), certificate.exponent) - risen
    paid = network.cut(certificate.side.tolist())
    tolerance = 0 if exact.is_integer else exact.magnitude / 10**9
    if paid is None or paid - proved > tolerance:
        raise CertificateError(f"The cut costs {shown(paid)}, but the flow proves {shown(proved)} only.")
    compare(exact, bound, proved, what="the flow proves", exact=True)


class _Network:
    """The network of a certificate, built from the problem as :class:`CutCertificate` says."""

    def __init__(self, problem: ExactProblem, left: list[list[int]], flipped: list[bool]) -> None:
        count = len(left)
        if len(flipped) != count:
            raise CertificateError(f"The certificate labels {len(flipped)} variables; the problem has {count}.")
        labelled: list[tuple[int, int]] = []  # the choice of either label, twice the same where one is left
        for i, (choices, turn) in enumerate(zip(left, flipped, strict=True)):
            if len(choices) > 2:
                raise CertificateError(f"Variable {i} has {len(choices)} choices left; a cut decides between two.")
            low, high = choices[0], choices[-1]
            labelled.append((high, low) if turn else (low, high))
        self.problem = problem
        self.constant = 0
        self.forbidden = False  # whether labels without a choice between them pay a forbidden cost
        self.two = [len(choices) == 2 for choices in left]
        self.more: list[int] = []  # what label 1 costs more than label 0
        for i, (zero, one) in enumerate(labelled):
            costs = [self.cost(problem.unary[i][x], f"Choice {x} of variable {i}") for x in (zero, one)]
            self.constant += costs[0]
            self.more.append(costs[1] - costs[0])
        self.pairs: list[tuple[int, int]] = []
        self.capacity: list[tuple[int | None, int | None]] = []  # there and back, None without limit
        for i, around in enumerate(neighbours(problem)):
            for j in sorted(around):
                if i < j:
                    cells = [[int(around[j][x, y]) for y in labelled[j]] for x in labelled[i]]
                    self.add(i, j, cells)

    def cost(self, cell: int, label: str) -> int:
        if cell >= self.problem.top // 2:
            raise CertificateError(f"{label} is forbidden and should have been struck out.")
        return int(cell)

    def add(self, i: int, j: int, cells: list[list[int]]) -> None:
        """Split one table into arcs and what remains."""
        half = self.problem.top // 2
        a = self.cost(cells[0][0], f"Label 0 of both variables {i} and {j}")
        d = self.cost(cells[1][1], f"Label 1 of both variables {i} and {j}")
        b, c = cells[0][1], cells[1][0]
        there: int | None = 0
        back: int | None = 0
        if b >= half and c >= half:
            b, c, there, back = a, d, None, None
        elif b >= half:
            b, there = a + d - c, None
        elif c >= half:
            c, back = a + d - b, None
        else:
            there = b + c - a - d
        if self.problem.is_integer and there is not None and there < 0:
            raise CertificateError(
                f"Variables {i} and {j} would rather have different labels, by {-there}; a cut cannot say so."
            )
        self.constant += a
        self.more[i] += c - a
        self.more[j] += d - c
        if self.two[i] and self.two[j]:
            self.pairs.append((i, j))
            self.capacity.append((there, back))

    def follow(self, flow: list[int], exponent: int) -> Fraction:
        """What the flow proves: the constant, what it carries, and less what it carries too much."""
        if len(flow) != len(self.pairs):
            raise CertificateError(f"The certificate has {len(flow)} flows; the network has {len(self.pairs)} pairs.")
        unit = Fraction(self.problem.scale) / Fraction(2) ** exponent  # costs are counted in 1 / scale
        strict = self.problem.is_integer
        slack = Fraction(0)
        more = [Fraction(cost) for cost in self.more]
        for (i, j), (there, back), units in zip(self.pairs, self.capacity, flow, strict=True):
            carried = units * unit
            for a, b, limit, amount in ((i, j, there, carried), (j, i, back, -carried)):
                if limit is not None and amount > limit:
                    if strict:
                        raise CertificateError(
                            f"The flow from variable {a} to {b} is {amount}; the capacity is {limit}."
                        )
                    slack += amount - limit
            more[i] -= carried
            more[j] += carried
        proved = self.constant - slack
        for i, (before, after) in enumerate(zip(self.more, more, strict=True)):
            if strict and not min(before, 0) <= after <= max(before, 0):
                raise CertificateError(
                    f"The flows of variable {i} leave over {before - after}; its arc to the terminal has {before}."
                )
            proved += min(after, Fraction(0))
        return proved / self.problem.scale

    def cut(self, side: list[bool]) -> Fraction | None:
        """What the labels cost, None if they are not allowed."""
        if len(side) != len(self.two):
            raise CertificateError(f"The cut has {len(side)} variables; the problem has {len(self.two)}.")
        total = self.constant + sum(cost for cost, one in zip(self.more, side, strict=True) if one)
        for (i, j), (there, back) in zip(self.pairs, self.capacity, strict=True):
            if side[i] != side[j]:
                paid = there if side[j] else back
                if paid is None:
                    return None
                total += paid
        return self.problem.value(total)
