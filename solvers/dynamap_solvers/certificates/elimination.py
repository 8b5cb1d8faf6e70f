"""Elimination certificates: an order in which taking the variables out, one by one, gives the optimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dynamap_solvers.certificates._exact import Cells, ExactProblem, compare, read_exact, strike_out
from dynamap_solvers.errors import CertificateError, ProblemError
from dynamap_solvers.problem import SelectionProblem

__all__ = ["EliminationCertificate", "check_elimination"]


@dataclass(frozen=True)
class EliminationCertificate:
    """Why an objective is the least: choices nobody needs are struck out, then the variables are eliminated in order.

    Attributes:
        order: every variable with two or more choices left, once; the others may be left out.
        dropped: ``(variable, choice, by)`` in the order they were struck out: forbidden if ``by`` is -1, else
            dominated by the choice ``by``, still left then. :func:`~dynamap_solvers.certificates.strike_out` has the
            rules.
    """

    order: tuple[int, ...]
    dropped: Sequence[tuple[int, int, int]] = ()


_Function = tuple[tuple[int, ...], Cells]  # variables, and the cost of each combination of the choices left to them


def check_elimination(problem: SelectionProblem, certificate: EliminationCertificate, *, bound: float | None) -> None:
    """Check that an elimination order proves that ``bound`` is the optimum.

    To eliminate a variable: add up every function it occurs in and take the least over its choices, a function of the
    others in them (Bertele & Brioschi, *Nonserial dynamic programming*, 1972). Numpy does the adding, in int64 or, for
    float problems, in Python integers. No int64 wraps: a finite value is the sum of at most one cell of each original
    array, and the largest of these add up to less than ``2**60``; forbidden values are put back to ``2**61`` after
    every addition. Takes time and memory for the largest function, ``d**(width + 1)`` cells.

    Args:
        problem: one cost set, without a resource.
        certificate: the choices struck out and the order.
        bound: the claimed optimum; None claims that no assignment is allowed. Float claims are checked to 1e-9,
            relative to the sum of magnitudes.

    Raises:
        CertificateError: naming the first step that is not legal, or both values if the optimum is another.
        ProblemError: if the problem is a batch or has a resource limit.
    """
    if problem.usage is not None:
        raise ProblemError("An elimination order proves nothing about a resource limit; take the problem without it.")
    exact = read_exact(problem)
    left, risen = strike_out(exact, certificate.dropped)
    if not all(left):
        compare(exact, bound, None, what="the choices struck out leave", exact=True)
        return
    _check_order(certificate.order, left)
    total, functions = _functions(exact, left)
    where: list[set[int]] = [set() for _ in left]
    for number, (scope, _) in functions.items():
        for i in scope:
            where[i].add(number)
    fresh = len(functions)
    for variable in certificate.order:
        if not where[variable]:
            continue  # one choice: it went into its neighbours
        met = [functions.pop(number) for number in sorted(where[variable])]
        scope = tuple(sorted({i for own, _ in met for i in own} - {variable}))
        for i in scope:
            where[i] = {number for number in where[i] if number in functions} | {fresh}
        costs = _sum(exact, (*scope, variable), met, left).min(axis=-1, keepdims=True)
        if scope:
            functions[fresh] = scope, costs[..., 0]
            fresh += 1
        else:
            total = exact.plus(total, costs)
    least = int(total[0])
    compare(
        exact,
        bound,
        exact.value(least) - risen if least < exact.top // 2 else None,
        what="the elimination ends with",
        exact=True,
    )


def _check_order(order: Sequence[int], left: list[list[int]]) -> None:
    seen: set[int] = set()
    for place, variable in enumerate(order):
        if not 0 <= variable < len(left) or variable in seen:
            raise CertificateError(f"Place {place} of the order has variable {variable}, which is not there any more.")
        seen.add(variable)
    for variable, choices in enumerate(left):
        if len(choices) > 1 and variable not in seen:
            raise CertificateError(f"Variable {variable} has {len(choices)} choices left and is not in the order.")


def _functions(problem: ExactProblem, left: list[list[int]]) -> tuple[Cells, dict[int, _Function]]:
    """What is certain, shape (1,), and the functions of variables with two or more choices left."""
    total = np.zeros(1, problem.unary[0].dtype if problem.unary else np.int64)
    open_ = [len(choices) > 1 for choices in left]
    unary = [costs[choices] for costs, choices in zip(problem.unary, left, strict=True)]
    tables: list[_Function] = []
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        cells = table[np.ix_(left[i], left[j])]
        if open_[i] and open_[j]:
            tables.append(((i, j), cells))
        elif open_[j]:
            unary[j] = problem.plus(unary[j], cells[0])
        else:
            unary[i] = problem.plus(unary[i], cells[:, 0])
    for costs, still_open in zip(unary, open_, strict=True):
        if not still_open:
            total = problem.plus(total, costs)
    alone: list[_Function] = [((i,), costs) for i, costs in enumerate(unary) if open_[i]]
    return total, dict(enumerate(alone + tables))


def _sum(problem: ExactProblem, scope: tuple[int, ...], met: list[_Function], left: list[list[int]]) -> Cells:
    """The sum of functions as one of all the variables in ``scope``, an axis each."""
    total = np.zeros([len(left[i]) for i in scope], met[0][1].dtype)
    for own, cells in met:
        axes = sorted(range(len(own)), key=lambda axis: scope.index(own[axis]))
        shape = [len(left[i]) if i in own else 1 for i in scope]
        total = problem.plus(total, cells.transpose(axes).reshape(shape))
    return total
