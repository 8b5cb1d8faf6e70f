"""Enumeration: the judge of small cases, vectorised and simple enough to trust by reading."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.options import Options
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, SelectionProblem
from dynamap_solvers.result import Solution, StopReason, infeasible, price

__all__ = ["MAX_ASSIGNMENTS", "solve_brute_force"]

MAX_ASSIGNMENTS = 2**22
"""Problems with more assignments than this are refused."""

_BLOCK = 2**16


def solve_brute_force(problem: SelectionProblem, options: Options) -> Solution:
    """Price every assignment, in blocks; ties go to the first in lexicographic order.

    Raises:
        ProblemError: if there are more than :data:`MAX_ASSIGNMENTS` assignments, or the problem is a batch.
    """
    if problem.is_batched:
        raise ProblemError("Enumeration takes one cost set at a time; take instance(k) of the batch.")
    count = math.prod(problem.domain_sizes)
    if count > MAX_ASSIGNMENTS:
        raise ProblemError(
            f"The problem has {count} assignments and enumeration takes at most {MAX_ASSIGNMENTS}; use method 'auto'."
        )
    started = time.perf_counter()
    best_cost: int | float = problem.infeasible_value
    best: tuple[int, ...] | None = None
    done = 0
    cancelled = False
    while done < count:
        if done and options.remaining() == 0:
            break
        if done and not options.report(method="brute-force", objective=None if best is None else best_cost, nodes=done):
            cancelled = True
            break
        numbers = np.arange(done, min(done + _BLOCK, count))
        choices = _decode(numbers, problem.domain_sizes)
        costs = _block_costs(problem, choices, len(numbers))
        k = int(costs.argmin())
        if costs[k] < min(best_cost, FINITE_LIMIT if problem.is_integer else math.inf):
            best_cost = costs[k].item()
            best = tuple(int(x[k]) for x in choices)
        done += len(numbers)
    seconds = {"search": time.perf_counter() - started}
    if done < count:
        return price(
            problem,
            assignment=best,
            bound=None,
            method="brute-force",
            stopped=StopReason.CANCELLED if cancelled else StopReason.TIME_LIMIT,
            seconds=seconds,
            nodes=done,
            seed=options.seed,
            reason=f"Enumeration stopped after {done} of {count} assignments.",
        )
    if best is None:
        reason = f"All {count} assignments take a forbidden cell or exceed the usage limit."
        return infeasible(method="brute-force", reason=reason, seconds=seconds, nodes=count, seed=options.seed)
    return price(
        problem,
        assignment=best,
        bound=best_cost,
        method="brute-force",
        stopped=StopReason.PROVED,
        seconds=seconds,
        nodes=count,
        seed=options.seed,
    )


def _decode(numbers: NDArray[np.intp], sizes: tuple[int, ...]) -> list[NDArray[np.intp]]:
    """The digits of numbers in the mixed base of the domain sizes, most significant first (numpy's own stops at 64)."""
    digits: list[NDArray[np.intp]] = []
    for size in reversed(sizes):
        numbers, digit = np.divmod(numbers, size)
        digits.append(digit)
    return digits[::-1]


def _block_costs(problem: SelectionProblem, choices: list[NDArray[np.intp]], length: int) -> NDArray[Any]:
    """The cost of each assignment of a block; FORBIDDEN or inf where it is not allowed."""
    costs: NDArray[Any] = np.zeros(length, problem.dtype)
    forbidden = np.zeros(length, np.bool_)
    limit = FINITE_LIMIT if problem.is_integer else np.inf
    terms = [array[x] for array, x in zip(problem.unary, choices, strict=True)]
    terms += [table[choices[i], choices[j]] for (i, j), table in zip(problem.edges, problem.pair, strict=True)]
    for term in terms:
        forbidden |= term >= limit
        costs += np.where(term >= limit, 0, term)
    if problem.usage is not None:
        for live in problem.live_sets():
            used = sum((problem.usage[i][choices[i]] for i in live), np.zeros(length, np.int64))
            forbidden |= used > problem.usage_limit
    costs[forbidden] = FORBIDDEN if problem.is_integer else np.inf
    return costs
