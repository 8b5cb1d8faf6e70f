"""Methods ``highs`` and what ``ilp-highs`` shares with it: the local polytope handed to HiGHS as arrays.

HiGHS runs in this process, in a thread of its own. It checks limits and interrupts at its own pace and may overrun a
time limit a little, between two steps of presolve or of cut separation.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import SolverError
from dynamap_solvers.methods._backend import Claim, Clock, Watch, conclude, ready, watched
from dynamap_solvers.methods._conflict import explain
from dynamap_solvers.methods._local_polytope import LocalPolytope, local_polytope
from dynamap_solvers.methods._reduced import ReducedCosts
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason

__all__ = ["EXACT_BELOW", "begin_with", "load", "run_highs", "run_plain", "set_options", "solve_highs"]

EXACT_BELOW = 2.0**50
"""Integer costs of the program must stay below this for float64 to tell objectives apart."""


def solve_highs(problem: SelectionProblem, options: Options) -> Solution:
    """Solve the integer program by HiGHS, given as arrays: the fast road for large problems.

    Takes warm starts; stops at a gap or when cancelled; reports incumbents and bounds. Building is ``O(cells)``.

    Raises:
        ProblemError: if the problem's integers spread over more than float64 can tell apart.
    """
    clock = Clock()
    reduced = ready(problem, options, "highs", clock)
    if not isinstance(reduced, ReducedCosts):
        return reduced
    program = local_polytope(reduced, exact_below=EXACT_BELOW)
    highs = load(program)
    set_options(highs, program, options)
    if options.warm_start is not None:
        begin_with(highs, program, options.warm_start)
    clock.lap("build")
    claim = run_highs(highs, program, Watch(options, "highs"), options)
    clock.lap("search")
    return conclude(problem, options, "highs", reduced, explain(problem, reduced, claim, options), clock)


def load(program: LocalPolytope) -> Any:
    """A silent ``highspy.Highs`` that holds the program.

    Raises:
        SolverError: if HiGHS does not take it, which would be a defect here.
    """
    import highspy  # noqa: PLC0415  # importing this package shall cost numpy only

    highs: Any = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    integrality = np.zeros(program.num_columns, np.int32)
    integrality[: program.choices] = int(highspy.HighsVarType.kInteger)
    status = highs.passModel(
        program.num_columns,
        program.num_rows,
        len(program.values),
        int(highspy.MatrixFormat.kColwise),
        int(highspy.ObjSense.kMinimize),
        0.0,
        program.costs,
        np.zeros(program.num_columns),
        program.bounds,
        program.lower,
        program.upper,
        program.column_starts,
        program.row_index,
        program.values,
        integrality,
    )
    if status == highspy.HighsStatus.kError:
        raise SolverError("HiGHS refused the integer program; report this with the problem.")
    return highs


def set_options(highs: Any, program: LocalPolytope, options: Options) -> None:
    """Seed, threads, time left and gaps; the absolute gap is less than one step of an integer objective."""
    highs.setOptionValue("random_seed", options.seed)
    highs.setOptionValue("threads", options.threads or 1)
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("mip_abs_gap", 0.99 if program.reduced.is_integer else 0.0)
    remaining = options.remaining()
    if remaining is not None:
        highs.setOptionValue("time_limit", remaining)


def begin_with(highs: Any, program: LocalPolytope, warm_start: tuple[int, ...]) -> None:
    """Give HiGHS an assignment of the problem to begin with, where the program allows it."""
    import highspy  # noqa: PLC0415  # as above

    lowered = program.reduced.lower(warm_start)
    point = None if lowered is None else program.point(lowered)
    if point is None:
        return
    solution = highspy.HighsSolution()
    solution.col_value = point.tolist()
    highs.setSolution(solution)


def run_highs(highs: Any, program: LocalPolytope, watch: Watch, options: Options) -> Claim:
    """Run a loaded HiGHS to its end, a limit or an interrupt, and read what it says."""
    import highspy  # noqa: PLC0415  # as above

    if options.remaining() == 0:
        reason = "The time limit came while building the program."
        return Claim(stopped=StopReason.TIME_LIMIT, reason=reason)
    halted = False

    def halt() -> None:
        nonlocal halted
        halted = True

    def look(event: Any) -> None:
        said = event.data_out
        if math.isfinite(said.mip_primal_bound):
            watch.objective = program.cost(said.mip_primal_bound)
        if math.isfinite(said.mip_dual_bound):
            watch.bound = program.cost(max(said.mip_dual_bound, 0.0))
        watch.nodes = max(int(said.mip_node_count), 0)
        if halted:
            event.interrupt()

    def look_at_lp(event: Any) -> None:
        if halted:
            event.interrupt()

    highs.cbMipInterrupt.subscribe(look)
    highs.cbMipImprovingSolution.subscribe(look)
    # HiGHS calls this at every simplex iteration, which costs Python more than the watching is worth on short LPs
    # unless somebody may want to cancel.
    if options.progress is not None:
        highs.cbSimplexInterrupt.subscribe(look_at_lp)
        highs.cbIpmInterrupt.subscribe(look_at_lp)
    try:
        watched(lambda: _run(highs), watch, halt)
    finally:
        highs.clearCallbacks()
        highs.disableCallbacks()
    status = highs.getModelStatus()
    info = highs.getInfo()
    nodes = max(int(info.mip_node_count), 0)
    if status in {highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible}:
        # Costs are not negative: it cannot be unbounded.
        return Claim(stopped=StopReason.PROVED, infeasible=True, nodes=nodes)
    picked = None
    if int(info.primal_solution_status) == int(highspy.SolutionStatus.kSolutionStatusFeasible):
        picked = program.pick(np.asarray(highs.getSolution().col_value))
    if status == highspy.HighsModelStatus.kOptimal:
        stopped, reason = StopReason.PROVED, ""
    elif status == highspy.HighsModelStatus.kTimeLimit:
        stopped, reason = StopReason.TIME_LIMIT, "HiGHS stopped at the time limit."
    elif status == highspy.HighsModelStatus.kInterrupt and watch.stop is not None:
        stopped, reason = watch.stop, f"HiGHS was stopped: {watch.stop}."
    else:
        stopped, reason = StopReason.INCONCLUSIVE, f"HiGHS stopped with the status {status.name[1:]}."
    value = float(info.mip_dual_bound)
    bound = program.bound(value) if math.isfinite(value) else None
    floor = float(program.largest) * float(program.unit) * 1e-3
    slack = 1e-6 * max(abs(program.cost(value) - float(program.reduced.offset)), floor) if bound is not None else None
    return Claim(picked=picked, bound=bound, stopped=stopped, nodes=nodes, reason=reason, slack=slack)


def run_plain(highs: Any, deadline: float, seed: int) -> tuple[bool, NDArray[np.float64] | None]:
    """Run a loaded HiGHS until ``time.perf_counter()`` reads ``deadline``: whether it ended, and its numbers if any."""
    import highspy  # noqa: PLC0415  # as above

    highs.setOptionValue("random_seed", seed)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("time_limit", max(deadline - time.perf_counter(), 0.0))
    thread = threading.Thread(target=_run, args=(highs,), name="dynamap-highs")
    thread.start()
    thread.join()
    status = highs.getModelStatus()
    found = int(highs.getInfo().primal_solution_status) == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    ended = status in {highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kInfeasible}
    return ended, np.asarray(highs.getSolution().col_value) if found else None


def _run(highs: Any) -> None:
    import highspy  # noqa: PLC0415  # as above

    try:
        highs.run()
    finally:
        # Its workers end with this thread anyway; since 1.16 they can be ended before, which Windows needs.
        reset = getattr(highspy.Highs, "resetThreadScheduler", None)
        if reset is not None:
            reset(False)
