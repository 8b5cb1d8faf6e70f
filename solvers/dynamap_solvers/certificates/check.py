"""Check a certificate, or everything a solution says, with code that solves nothing."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from dynamap_solvers.certificates.cut import CutCertificate, check_cut
from dynamap_solvers.certificates.dual import DualCertificate, check_dual
from dynamap_solvers.certificates.elimination import EliminationCertificate, check_elimination
from dynamap_solvers.certificates.reduction import ReductionCertificate, check_reduction
from dynamap_solvers.errors import CertificateError, ProblemError
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem
from dynamap_solvers.series_parallel import ReductionPlan

if TYPE_CHECKING:
    from dynamap_solvers.result import Solution  # which needs the certificates

__all__ = ["Certificate", "check", "check_certificate"]

Certificate = ReductionCertificate | EliminationCertificate | DualCertificate | CutCertificate

_FLOAT_TOLERANCE = Fraction(1, 10**9)


def check_certificate(
    problem: SelectionProblem, certificate: Certificate | ReductionPlan, *, bound: float | None
) -> None:
    """Check that a certificate proves that no assignment of a problem costs less than ``bound``.

    The certificate numbers variables, edges and choices as they are once fixed choices and ties are taken out
    (:mod:`dynamap_solvers.certificates`).

    Args:
        problem: one cost set, as posed.
        certificate: of any kind.
        bound: the claim, an int for integer problems; None claims that no assignment is allowed. A dual may prove more
            than is claimed; the others prove the optimum, and the claim must be it. Float claims are checked to 1e-9,
            relative to the sum of magnitudes.

    Raises:
        CertificateError: naming the first step that fails, or the claim and what is proved.
        ProblemError: if the problem is a batch, or has a resource limit that this kind of certificate ignores.
    """
    if isinstance(certificate, ReductionCertificate | ReductionPlan):
        check_reduction(problem, certificate, bound=bound)
    elif isinstance(certificate, EliminationCertificate):
        check_elimination(problem, certificate, bound=bound)
    elif isinstance(certificate, DualCertificate):
        check_dual(problem, certificate, bound=bound)
    elif isinstance(certificate, CutCertificate):
        check_cut(problem, certificate, bound=bound)
    else:
        raise ProblemError(f"{type(certificate).__name__} is no kind of certificate.")


def check(problem: SelectionProblem, solution: Solution) -> None:
    """Check all that a solution says: its assignment, what it costs, its bound and its status.

    Raises:
        CertificateError: naming what is wrong, or that there is no certificate for a bound or for infeasibility.
        ProblemError: as :func:`check_certificate`.
    """
    if problem.is_batched:
        raise ProblemError("A solution is of one cost set; take instance(k) of the batch.")
    tolerance = Fraction(0)
    if solution.assignment is not None:
        cost, magnitude = _priced(problem, [int(x) for x in solution.assignment])
        tolerance = Fraction(0) if problem.is_integer else _FLOAT_TOLERANCE * magnitude
        if solution.objective is None or abs(Fraction(solution.objective) - cost) > tolerance:
            raise CertificateError(f"The assignment costs {float(cost):g}, not {solution.objective} as claimed.")
    infeasible = solution.status == "infeasible"
    if solution.status == "optimal" and (
        solution.objective is None
        or solution.bound is None
        or Fraction(solution.objective) - Fraction(solution.bound) > tolerance
    ):
        raise CertificateError(
            f"The solution is called optimal, but its bound {solution.bound} is not its objective {solution.objective}."
        )
    if solution.bound is None and not infeasible:
        return
    if solution.certificate is None:
        claim = "that nothing is allowed" if infeasible else f"the bound {solution.bound}"
        raise CertificateError(f"The solution claims {claim}, but method {solution.method!r} gave no certificate.")
    check_certificate(problem, solution.certificate, bound=None if infeasible else solution.bound)


def _priced(problem: SelectionProblem, assignment: list[int]) -> tuple[Fraction, Fraction]:
    """The exact cost of an assignment, and the magnitudes it is made of; plain Python on the problem as posed."""
    if len(assignment) != problem.num_variables:
        raise CertificateError(f"The assignment has {len(assignment)} choices for {problem.num_variables} variables.")
    for i, (x, size) in enumerate(zip(assignment, problem.domain_sizes, strict=True)):
        if not 0 <= x < size:
            raise CertificateError(f"Variable {i} has no choice {x}.")
        if problem.fixed.get(i, x) != x:
            raise CertificateError(f"Variable {i} takes choice {x}, but is fixed to {problem.fixed[i]}.")
    for group in problem.ties:
        if len({assignment[i] for i in group}) > 1:
            raise CertificateError(f"Variables {list(group)} are tied, but choose differently.")
    cells = [
        ("variable", i, costs[x].item()) for i, (costs, x) in enumerate(zip(problem.unary, assignment, strict=True))
    ]
    cells += [
        ("edge", e, table[assignment[i], assignment[j]].item())
        for e, ((i, j), table) in enumerate(zip(problem.edges, problem.pair, strict=True))
    ]
    for what, k, cell in cells:
        if cell == FORBIDDEN if problem.is_integer else math.isinf(cell):
            raise CertificateError(f"The assignment takes a forbidden cell of {what} {k}.")
    if problem.usage is not None:
        _check_usage(problem, assignment)
    exact = [Fraction(cell) for _, _, cell in cells]
    return sum(exact, Fraction(0)), sum(map(abs, exact), Fraction(0))


def _check_usage(problem: SelectionProblem, assignment: list[int]) -> None:
    """Add up what is in use whenever somebody begins."""
    change: dict[int, int] = {}
    for (start, end), used, x in zip(problem.intervals, problem.usage or (), assignment, strict=True):
        if start < end:
            change[start] = change.get(start, 0) + int(used[x])
            change[end] = change.get(end, 0) - int(used[x])
    total = 0
    for time in sorted(change):
        total += change[time]
        if total > problem.usage_limit:
            raise CertificateError(f"At time {time} the assignment uses {total}; the limit is {problem.usage_limit}.")
