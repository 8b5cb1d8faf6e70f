"""Method ``ilp-scip``: the local polytope through PuLP, solved by SCIP in this process (needs PySCIPOpt)."""

from __future__ import annotations

import math
from typing import Any

from dynamap_solvers.methods._backend import Claim, Watch, watched
from dynamap_solvers.methods._pulp import PulpModel, solve_with_pulp
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason

__all__ = ["solve_ilp_scip"]

_EXACT_BELOW = 2.0**46  # SCIP compares objectives to 1e-9 relative, and takes 1e20 as infinite


def solve_ilp_scip(problem: SelectionProblem, options: Options) -> Solution:
    """Solve by SCIP on one thread. It checks limits between nodes and rounds and may overrun a time limit a little.

    Raises:
        ProblemError: if the problem's integers spread over more than SCIP can tell apart.
    """
    return solve_with_pulp(problem, options, method="ilp-scip", backend=_run, exact_below=_EXACT_BELOW)


def _run(model: PulpModel, options: Options, watch: Watch) -> Claim:
    import pulp  # noqa: PLC0415  # importing this package shall cost numpy only

    program = model.program
    relative, absolute = program.gaps(options.gap)
    warm = options.warm_start is not None
    solver = pulp.SCIP_PY(msg=False, timeLimit=options.remaining(), gapRel=relative, warmStart=warm)
    lowered = None if options.warm_start is None else program.reduced.lower(options.warm_start)
    point = None if lowered is None else program.point(lowered)
    if point is not None:
        for column, value in zip(model.columns, point.tolist(), strict=True):
            column.setInitialValue(value, check=False)
    solver.buildSolverModel(model.problem)
    scip: Any = model.problem.solverModel
    scip.setParam("randomization/randomseedshift", options.seed)
    scip.setParam("limits/absgap", max(absolute, 0.99 if program.reduced.is_integer else 0.0))
    # PuLP's callSolver would hold the interpreter for the whole search.
    watched(scip.optimizeNogil, watch, scip.interruptSolve)
    status = str(scip.getStatus())
    nodes = int(scip.getNTotalNodes())
    if status in {"infeasible", "inforunbd"}:  # costs are not negative: it cannot be unbounded
        return Claim(stopped=StopReason.PROVED, infeasible=True, nodes=nodes)
    picked = None
    if scip.getNSols():
        best = scip.getBestSol()
        picked = model.pick(lambda column: float(best[column.solverVar]))
    value = float(scip.getDualbound())
    bound = program.bound(value) if math.isfinite(value) and abs(value) < scip.infinity() else None
    slack = None
    if status in {"optimal", "gaplimit"} and picked is not None:
        stopped, reason = StopReason.PROVED, ""
        slack = 1e-6 * max(abs(value) * float(program.unit), program.largest * float(program.unit) * 1e-3)
    elif watch.stop is not None:
        stopped, reason = watch.stop, f"SCIP was stopped: {watch.stop}."
    elif status == "timelimit":
        stopped, reason = StopReason.TIME_LIMIT, "SCIP stopped at the time limit."
    else:
        stopped, reason = StopReason.INCONCLUSIVE, f"SCIP stopped with the status {status}."
    return Claim(picked=picked, bound=bound, stopped=stopped, nodes=nodes, reason=reason, slack=slack)
