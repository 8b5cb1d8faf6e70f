"""Methods ``ilp`` and ``ilp-highs``: the local polytope through PuLP, solved by HiGHS in this process."""

from __future__ import annotations

from dynamap_solvers.methods._backend import Claim, Watch
from dynamap_solvers.methods._pulp import PulpModel, solve_with_pulp
from dynamap_solvers.methods.highs import EXACT_BELOW, begin_with, run_highs, set_options
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution

__all__ = ["solve_ilp_highs"]


def solve_ilp_highs(problem: SelectionProblem, options: Options) -> Solution:
    """Solve by HiGHS. The time limit covers building; HiGHS checks it at its own pace and may overrun it a little.

    Raises:
        ProblemError: if the problem's integers spread over more than float64 can tell apart.
    """
    return solve_with_pulp(problem, options, method="ilp-highs", backend=_run, exact_below=EXACT_BELOW)


def _run(model: PulpModel, options: Options, watch: Watch) -> Claim:
    import pulp  # noqa: PLC0415  # importing this package shall cost numpy only

    solver = pulp.HiGHS(msg=False)
    # The steps of PuLP's own solve without its last two: callSolver would hold this thread, and findSolutionValues
    # files a time limit under Optimal and reads a solution where there may be none. Columns keep their order.
    solver.createAndConfigureSolver(model.problem)
    solver.buildSolverModel(model.problem)
    highs = model.problem.solverModel
    set_options(highs, model.program, options)
    if options.warm_start is not None:
        begin_with(highs, model.program, options.warm_start)
    return run_highs(highs, model.program, watch, options)
