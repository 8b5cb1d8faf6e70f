"""Method ``cvxpy``: the local polytope through cvxpy: the relaxation with its dual values, then the integer program.

The relaxation's dual values, rounded and priced again in exact integers, are the bound; where rounding the relaxation
gives an assignment that meets it, that is the proof, and it stands by itself (see ``certificate``). Else the
mixed-integer form follows, solved by HiGHS.

cvxpy offers no way to interrupt a solver: cancelling and gaps take effect between the two, and at the time limit.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.methods._backend import Claim, Clock, Watch, conclude, ready, watched
from dynamap_solvers.methods._conflict import explain
from dynamap_solvers.methods._dual_bound import DualBound, certificate_of, dual_bound
from dynamap_solvers.methods._local_polytope import LocalPolytope, local_polytope
from dynamap_solvers.methods._reduced import ReducedCosts, reduce_costs
from dynamap_solvers.methods.highs import EXACT_BELOW
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason

__all__ = ["relaxation_bound", "solve_cvxpy"]

_Floats = NDArray[np.float64]


def solve_cvxpy(problem: SelectionProblem, options: Options) -> Solution:
    """Solve the relaxation; where that does not prove the optimum, the integer program.

    Raises:
        ProblemError: if the problem's integers spread over more than float64 can tell apart.
    """
    clock = Clock()
    small = ready(problem, options, "cvxpy", clock)
    if not isinstance(small, ReducedCosts):
        return small
    reduced = reduce_costs(problem, keep_all=True)
    clock.lap("simplify")
    program = local_polytope(reduced, exact_below=EXACT_BELOW)
    model = _Model(program)
    clock.lap("build")
    watch = Watch(options, "cvxpy")
    relaxed = model.solve(options, watch, integer=False)
    proof = relaxed.proof
    certificate = None if proof is None else certificate_of(problem, program, proof)
    claim = Claim(
        picked=relaxed.picked,
        bound=None if proof is None else proof.bound,
        stopped=relaxed.stopped,
        infeasible=relaxed.infeasible,
        nodes=0,
        reason=relaxed.reason,
        certificate=certificate,
    )
    clock.lap("search")
    if not relaxed.infeasible and relaxed.stopped is StopReason.PROVED:
        found = conclude(problem, options, "cvxpy", reduced, claim, clock)
        watch.bound, watch.objective = found.bound, found.objective
        if found.stop_reason.is_proof or options.reached(found.objective, found.bound):
            return found
        if watch.check() and watch.stop is not None:
            ended = replace(claim, stopped=watch.stop, reason=f"Stopped after the relaxation ({watch.stop.value}).")
            return conclude(problem, options, "cvxpy", reduced, ended, clock)
        searched = model.solve(options, watch, integer=True)
        clock.lap("search")
        floor = -math.inf if proof is None else proof.bound
        claim = Claim(
            picked=searched.picked,
            bound=max(searched.bound, floor) if searched.bound is not None else claim.bound,
            stopped=searched.stopped,
            infeasible=searched.infeasible,
            nodes=searched.nodes,
            reason=searched.reason,
            slack=searched.slack,
        )
        if proof is not None and claim.bound == proof.bound:
            claim = replace(claim, certificate=certificate)
        if claim.picked is None:
            claim = replace(claim, picked=relaxed.picked, slack=None)
    return conclude(problem, options, "cvxpy", reduced, explain(problem, reduced, claim, options), clock)


def relaxation_bound(problem: SelectionProblem, options: Options) -> tuple[LocalPolytope, DualBound] | None:
    """The relaxation's bound and what proves it, alone; None where there is none (infeasible, or a limit came)."""
    program = local_polytope(reduce_costs(problem, keep_all=True), exact_below=EXACT_BELOW)
    answer = _Model(program).solve(options, Watch(options, "cvxpy"), integer=False)
    return None if answer.proof is None else (program, answer.proof)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    stopped: StopReason
    reason: str = ""
    picked: tuple[int, ...] | None = None
    infeasible: bool = False
    proof: DualBound | None = None
    bound: int | float | None = None
    nodes: int | None = None
    slack: float | None = None


class _Model:
    """The program in cvxpy's terms: equalities, written-out live sets, and the rooms of a chain."""

    def __init__(self, program: LocalPolytope) -> None:
        from scipy import sparse  # noqa: PLC0415  # comes with cvxpy; importing this package shall cost numpy only

        self._program = program
        matrix = sparse.csc_array(
            (program.values, program.row_index, program.column_starts), (program.num_rows, program.num_columns)
        ).tocsr()
        self._equal = program.lower == program.upper
        self._equalities, self._limits = matrix[self._equal], matrix[~self._equal]
        self._chained = program.reduced.sets.count if program.chain and program.reduced.sets is not None else 0

    def solve(self, options: Options, watch: Watch, *, integer: bool) -> _Answer:
        """One solve, as what it proved."""
        import cvxpy  # noqa: PLC0415  # as above

        program = self._program
        choices = program.choices
        # Without an upper bound on x its dual values are all in the rows; "choose one" bounds it anyway.
        x = cvxpy.Variable(choices, boolean=True) if integer else cvxpy.Variable(choices, nonneg=True)
        rest = program.num_columns - choices
        parts = [x, cvxpy.Variable(rest, nonneg=True)] if rest else [x]
        v = cvxpy.hstack(parts) if rest else x
        constraints = [self._equalities @ v == program.upper[self._equal]]
        if self._limits.shape[0]:
            constraints.append(self._limits @ v <= program.upper[~self._equal])
        if self._chained:
            constraints.append(v[-self._chained :] <= program.bounds[-self._chained :])
        model = cvxpy.Problem(cvxpy.Minimize(program.costs @ v), constraints)
        settings: dict[str, Any] = {"random_seed": options.seed, "threads": options.threads or 1}
        remaining = options.remaining()
        if remaining is not None:
            if remaining == 0:
                return _Answer(stopped=StopReason.TIME_LIMIT, reason="The time limit came first.")
            settings["time_limit"] = remaining
        if integer:
            settings |= {"mip_rel_gap": 0.0, "mip_abs_gap": 0.99 if program.reduced.is_integer else 0.0}

        def work() -> str:
            try:
                with warnings.catch_warnings():
                    # cvxpy warns that a solution at a limit may be inaccurate; it is priced again here.
                    warnings.simplefilter("ignore")
                    model.solve(solver=cvxpy.HIGHS, highs_options=settings)
            except cvxpy.error.SolverError as error:
                return f"cvxpy: {error}"
            return ""

        error = watched(work, watch, lambda: None)
        status = str(model.status)
        if status in {cvxpy.INFEASIBLE, cvxpy.settings.INFEASIBLE_OR_UNBOUNDED} and not error:
            return _Answer(stopped=StopReason.PROVED, infeasible=True)  # costs are not negative: not unbounded
        numbers = x.value
        picked = None if numbers is None or len(numbers) != choices else program.pick(np.asarray(numbers))
        info = None if model.solver_stats is None else model.solver_stats.extra_stats
        if status == cvxpy.OPTIMAL and not error:
            stopped, reason = StopReason.PROVED, ""
        else:
            late = options.remaining() == 0
            stopped = watch.stop or (StopReason.TIME_LIMIT if late else StopReason.INCONCLUSIVE)
            reason = error or f"cvxpy stopped with the status {status}."
        if not integer:
            proof = self._proof(constraints) if stopped is StopReason.PROVED else None
            return _Answer(stopped=stopped, reason=reason, picked=picked, proof=proof)
        value = None if info is None else float(info.mip_dual_bound)
        if info is None or value is None or not math.isfinite(value):
            return _Answer(stopped=stopped, reason=reason, picked=picked)
        floor = program.largest * float(program.unit) * 1e-3
        return _Answer(
            stopped=stopped,
            reason=reason,
            picked=picked,
            bound=program.bound(value),
            nodes=max(int(info.mip_node_count), 0),
            slack=1e-6 * max(abs(value) * float(program.unit), floor),
        )

    def _proof(self, constraints: list[Any]) -> DualBound | None:
        """Cvxpy's dual values are those of ``costs + A^T dual``: the other sign for equalities."""
        program = self._program
        n, rows = program.reduced.num_variables, len(program.reduced.row_table)
        duals = [constraint.dual_value for constraint in constraints]
        if any(dual is None for dual in duals):
            return None
        links = -np.asarray(duals[0], np.float64)[n : program.usage_row]
        prices = np.asarray(duals[-1], np.float64) if len(duals) > 1 else np.zeros(0)
        return dual_bound(program, links[:rows], links[rows:], prices)
