"""The outcome of solving one graph with many cost sets: objectives at once, assignments when asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import reduce as kernel_reduce
from dynamap_solvers._rules import StepArrays
from dynamap_solvers.certificates import ReductionCertificate
from dynamap_solvers.errors import SolverError
from dynamap_solvers.problem import FINITE_LIMIT, CostArray, SelectionProblem
from dynamap_solvers.result import Solution, StopReason, infeasible, price, proved
from dynamap_solvers.series_parallel import ReductionPlan, core_left, plan_of

__all__ = ["BatchSolution"]


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchSolution:
    """Optimal objectives of every cost set of a batch, proved by one sequence of reductions.

    Attributes:
        problem: the batch.
        plan: the reductions, which hold for every cost set.
        objectives: the optima, shape ``(batch,)``; FORBIDDEN (or inf) where no assignment is allowed. Exact for
            integers; for floats as the reductions add up, see :meth:`solution` for the price by shared code.
        threads: chunks worked on at a time.
        seconds: wall time by phase (``plan``, ``evaluate``).
    """

    problem: SelectionProblem
    plan: ReductionPlan
    objectives: CostArray
    threads: int = 1
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Which cost sets have an allowed assignment, shape ``(batch,)``."""
        return np.asarray(self.objectives < (FINITE_LIMIT if self.problem.is_integer else np.inf))

    def assignment(self, k: int) -> tuple[int, ...]:
        """An optimal assignment of cost set ``k``, by back-substitution for it alone.

        Raises:
            SolverError: if that cost set has no allowed assignment.
            ProblemError: if there is no cost set ``k``.
        """
        found = self.solution(k).assignment
        if found is None:
            raise SolverError(f"Cost set {k} has no allowed assignment.")
        return found

    def assignments(self) -> NDArray[Any]:
        """Optimal assignments of all cost sets, shape ``(batch, n)``; rows of -1 where none is allowed."""
        _, choices = self.plan.solve(self.problem, threads=self.threads)
        assert choices is not None
        choices[~self.feasible] = -1
        return choices

    def solution(self, k: int) -> Solution:
        """Cost set ``k`` as :func:`dynamap_solvers.solve` would return it, certificate included."""
        return solve_with_plan(self.problem.instance(k), self.plan, seed=0, seconds=self.seconds)


def solve_by_reductions(problem: SelectionProblem, *, seed: int, seconds: Mapping[str, float]) -> Solution:
    """Reduce the graph of one cost set to a point and back-substitute; ``seconds`` are those of the phases before.

    Raises:
        NotSeriesParallelError: with a witness, if the graph is not series-parallel.
    """
    started = time.perf_counter()
    memo = problem.structure.memo
    found = None if "reduction plan" in memo else kernel_reduce.at_once(problem)
    if found is None:
        plan = plan_of(problem)
        seconds = {**seconds, "build": time.perf_counter() - started}
        return solve_with_plan(problem, plan, seed=seed, seconds=seconds)
    if isinstance(found, kernel_reduce.Core):
        error = memo["reduction plan"] = core_left(*found)
        raise error
    objective, priced, assignment, packed = found
    plan = memo["reduction plan"] = ReductionPlan(problem.num_variables, problem.edge_ends, StepArrays(packed))
    certificate = ReductionCertificate(plan)
    seconds = {**seconds, "search": time.perf_counter() - started}
    if priced is not None and priced == objective:
        return proved(
            assignment,
            objective=priced,
            method="series-parallel",
            seconds=seconds,
            certificate=certificate,
            seed=seed,
        )
    return _concluded(problem, assignment, objective, certificate, seed=seed, seconds=seconds)


def solve_with_plan(
    problem: SelectionProblem, plan: ReductionPlan, *, seed: int, seconds: Mapping[str, float]
) -> Solution:
    """Price a plan for one cost set and back-substitute; ``seconds`` are those of the phases before."""
    started = time.perf_counter()
    objectives, choices = plan.solve(problem)
    assert choices is not None
    seconds = {**seconds, "search": time.perf_counter() - started}
    certificate = ReductionCertificate(plan)
    return _concluded(problem, choices[0], objectives.item(0), certificate, seed=seed, seconds=seconds)


def _concluded(
    problem: SelectionProblem,
    assignment: tuple[int, ...] | NDArray[Any],
    bound: float,
    certificate: ReductionCertificate,
    *,
    seed: int,
    seconds: Mapping[str, float],
) -> Solution:
    if bound >= problem.infeasible_value:
        reason = "The reductions end with forbidden cells only: every assignment takes one."
        return infeasible(method="series-parallel", reason=reason, seconds=seconds, certificate=certificate, seed=seed)
    return price(
        problem,
        assignment=assignment,
        bound=bound,
        method="series-parallel",
        stopped=StopReason.PROVED,
        seconds=seconds,
        certificate=certificate,
        seed=seed,
    )
