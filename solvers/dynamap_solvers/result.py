"""What a solve returns: what was proved, why it stopped, and what was found, kept apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.certificates import Certificate
from dynamap_solvers.errors import SolverError
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["FLOAT_GAP", "Solution", "Status", "StopReason", "infeasible", "price", "proved"]

FLOAT_GAP = 1e-9
"""A float objective counts as proved when the bound is this near, relative to it or the largest single cost."""


class Status(StrEnum):
    """What is known about the problem."""

    OPTIMAL = "optimal"
    """An assignment is known and no other is better."""
    FEASIBLE = "feasible"
    """An assignment is known; a better one may exist."""
    INFEASIBLE = "infeasible"
    """No assignment is allowed."""
    UNKNOWN = "unknown"
    """No assignment is known, and it is not known that there is none."""


class StopReason(StrEnum):
    """Why the method stopped."""

    PROVED = "proved"
    """There was nothing left to show: optimal or infeasible."""
    TIME_LIMIT = "time-limit"
    """The time limit came first."""
    GAP_LIMIT = "gap-limit"
    """The gap asked for was reached before the optimum was proved."""
    CANCELLED = "cancelled"
    """The progress callback said stop."""
    MEMORY_LIMIT = "memory-limit"
    """The method ran out of the memory it may use."""
    INCONCLUSIVE = "inconclusive"
    """The backend ended by itself, but its numbers do not prove its claim (tolerances, a failure)."""

    @property
    def is_proof(self) -> bool:
        """Whether there was nothing left to show."""
        return self is StopReason.PROVED


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The outcome of one solve.

    Attributes:
        status: what is known.
        stop_reason: why the method stopped; ``proved`` exactly for optimal and infeasible.
        method: the method that produced the outcome (``auto`` names the one it chose).
        objective: the cost of ``assignment``, recomputed from the problem by shared code, an int for integer problems;
            None without an assignment.
        bound: no assignment costs less; None where nothing is known or the problem is infeasible. Equal to the
            objective when optimal in an integer problem, within :data:`FLOAT_GAP` in a float one.
        assignment: one choice index per variable, or None.
        seconds: wall time by phase (``simplify``, ``build``, ``search``, ``lift``: those that apply).
        certificate: a proof that :func:`dynamap_solvers.check` can check, where the method makes one.
        nodes: nodes of the search tree, None where the method has none.
        seed: the seed the method was given.
        reason: one sentence on why the problem is infeasible or nothing was proved; empty otherwise.
    """

    status: Status
    stop_reason: StopReason
    method: str
    objective: int | float | None = None
    bound: int | float | None = None
    assignment: tuple[int, ...] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    certificate: Certificate | None = None
    nodes: int | None = None
    seed: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        optimal = self.status is Status.OPTIMAL
        found = optimal or self.status is Status.FEASIBLE
        proved = optimal or self.status is Status.INFEASIBLE
        assert found == (self.assignment is not None) == (self.objective is not None)
        assert proved == (self.stop_reason is StopReason.PROVED)
        assert not optimal or self.objective == self.bound or isinstance(self.objective, float)

    @property
    def gap(self) -> float:
        """``(objective - bound) / |objective|``: 0 when they meet, infinite where one of them is missing or 0."""
        if self.objective is None or self.bound is None:
            return math.inf
        if self.objective == self.bound:
            return 0.0
        return float(self.objective - self.bound) / abs(float(self.objective)) if self.objective else math.inf

    def __str__(self) -> str:
        """In a line: what is known, by which method, why it stopped if that is not a proof, and the reason if any."""
        parts = [f"{self.status} by {self.method}"]
        if self.objective is not None:
            parts.append(f"objective {_number(self.objective)}")
        if not self.stop_reason.is_proof:
            if self.bound is not None:
                parts.append(f"bound {_number(self.bound)}")
                if math.isfinite(self.gap):
                    parts.append(f"gap {self.gap:.2%}")
            parts.append(f"stopped by {self.stop_reason}")
        text = f"{parts[0]}: {', '.join(parts[1:])}" if len(parts) > 1 else parts[0]
        return f"{text}{'. ' if len(parts) > 1 else ': '}{self.reason}" if self.reason else text

    def objective_value(self) -> int | float:
        """The objective, for callers who cannot go on without one.

        Raises:
            SolverError: if no assignment was found.
        """
        if self.objective is None:
            raise SolverError(f"There is no objective: the status is {self.status}. {self.reason}".rstrip())
        return self.objective

    def assignment_value(self) -> tuple[int, ...]:
        """The assignment, for callers who cannot go on without one.

        Raises:
            SolverError: if none was found.
        """
        if self.assignment is None:
            raise SolverError(f"There is no assignment: the status is {self.status}. {self.reason}".rstrip())
        return self.assignment


def _number(value: float) -> str:
    """For people: integers whole, floats to six digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def price(
    problem: SelectionProblem,
    *,
    assignment: tuple[int, ...] | NDArray[Any] | None,
    bound: float | None,
    method: str,
    stopped: StopReason,
    seconds: Mapping[str, float],
    certificate: Certificate | None = None,
    nodes: int | None = None,
    seed: int = 0,
    reason: str = "",
) -> Solution:
    """Turn a method's claim into a solution: the only way an assignment gets an objective and ``optimal`` is said.

    The assignment is priced by ``problem.evaluate``; one that turns out not to be allowed is dropped. The status is
    optimal exactly when the bound reaches the price. A bound above the price is a contradiction between the method
    and the judge and proves nothing.

    Args:
        problem: the problem the caller posed (not a simplified one).
        assignment: what the method found, a tuple or an array of integers, or None.
        bound: a proved lower bound of the objective, or None.
        method: as in :class:`Solution`, like ``seconds``, ``certificate``, ``nodes``, ``seed`` and ``reason``.
        stopped: why the method stopped where the bound does not reach the price (``proved`` counts as inconclusive).
        seconds: see ``method``.
        certificate: see ``method``.
        nodes: see ``method``.
        seed: see ``method``.
        reason: see ``method``.
    """
    objective: int | float | None = None
    if assignment is not None:
        objective = problem.evaluate(assignment)
        if isinstance(assignment, np.ndarray):
            assignment = tuple(assignment.tolist())
        if objective >= (FINITE_LIMIT if problem.is_integer else math.inf):
            assignment, objective = None, None
            reason = reason or "The assignment the method returned takes a forbidden cell or exceeds the usage limit."
    status = Status.UNKNOWN if objective is None else Status.FEASIBLE
    stop: StopReason = StopReason.INCONCLUSIVE if stopped is StopReason.PROVED else stopped
    if objective is not None and bound is not None:
        slack = 0 if problem.is_integer else FLOAT_GAP * max(problem.magnitude, abs(objective))
        if bound > objective + slack:
            reason = f"The method claimed the bound {bound}, above the price {objective} of its own assignment."
            bound = None
        elif bound >= objective - slack:
            status, stop, reason = Status.OPTIMAL, StopReason.PROVED, ""
            bound = min(bound, objective)
    return Solution(
        status=status,
        stop_reason=stop,
        method=method,
        objective=objective,
        bound=bound,
        assignment=assignment,
        seconds=dict(seconds),
        certificate=certificate,
        nodes=nodes,
        seed=seed,
        reason=reason,
    )


def proved(
    assignment: tuple[int, ...],
    *,
    objective: int,
    method: str,
    seconds: dict[str, float],
    certificate: Certificate | None,
    seed: int,
) -> Solution:
    """What :func:`price` returns where the judge's price is the bound, as the caller has seen; quicker to make."""
    solution = Solution.__new__(Solution)
    solution.__dict__.update(
        status=Status.OPTIMAL,
        stop_reason=StopReason.PROVED,
        method=method,
        objective=objective,
        bound=objective,
        assignment=assignment,
        seconds=seconds,
        certificate=certificate,
        seed=seed,
    )
    return solution


def infeasible(
    *,
    method: str,
    reason: str,
    seconds: Mapping[str, float],
    certificate: Certificate | None = None,
    nodes: int | None = None,
    seed: int = 0,
) -> Solution:
    """The solution that says no assignment is allowed, and why."""
    return Solution(
        status=Status.INFEASIBLE,
        stop_reason=StopReason.PROVED,
        method=method,
        seconds=dict(seconds),
        certificate=certificate,
        nodes=nodes,
        seed=seed,
        reason=reason,
    )
