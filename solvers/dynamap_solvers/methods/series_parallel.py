"""Method ``series-parallel``: R0, RI and RII reductions to a point and back-substitution."""

from __future__ import annotations

import time

from dynamap_solvers.batch import solve_with_plan
from dynamap_solvers.methods._conflict import with_reason
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution
from dynamap_solvers.series_parallel import plan_of

__all__ = ["solve_series_parallel"]


def solve_series_parallel(problem: SelectionProblem, options: Options) -> Solution:
    """Solve a problem whose graph is series-parallel, in ``O((n + m) d^3)``; the time limit is not looked at.

    Raises:
        NotSeriesParallelError: with a witness, if it is not (variables with one choice are cut out first).
    """
    started = time.perf_counter()
    plan = plan_of(problem)
    seconds = {"build": time.perf_counter() - started}
    return with_reason(problem, solve_with_plan(problem, plan, seed=options.seed, seconds=seconds), options)
