"""Method ``auto``: simplify, then the cheapest exact method for what is left."""

from __future__ import annotations

import time
from dataclasses import replace

from dynamap_solvers.batch import solve_with_plan
from dynamap_solvers.certificate import ReductionCertificate
from dynamap_solvers.errors import NotSeriesParallelError
from dynamap_solvers.methods.ilp import solve_ilp_highs
from dynamap_solvers.options import Options
from dynamap_solvers.passes import drop_forbidden
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, infeasible, price
from dynamap_solvers.series_parallel import plan_of

__all__ = ["solve_auto"]


def solve_auto(problem: SelectionProblem, options: Options) -> Solution:
    """Strike out forbidden choices, then reductions where they reach the end, else the ILP."""
    started = time.perf_counter()
    smaller = drop_forbidden(problem)
    seconds = {"simplify": time.perf_counter() - started}
    if smaller.conflict:
        return infeasible(method="auto", reason=smaller.conflict, seconds=seconds, seed=options.seed)
    if problem.usage_costs is None:
        try:
            plan = plan_of(smaller.problem)
        except NotSeriesParallelError:
            pass
        else:
            reduced = solve_with_plan(smaller.problem, plan, seed=options.seed)
            certificate = ReductionCertificate(plan, tuple((i, x) for i, x, _ in smaller.dropped))
            seconds["search"] = time.perf_counter() - started - seconds["simplify"]
            if not smaller.modified or reduced.assignment is None:
                return replace(reduced, certificate=certificate, seconds=seconds)
            return price(
                problem,
                assignment=smaller.lift(reduced.assignment),
                bound=reduced.bound,
                method=reduced.method,
                stopped=reduced.stop_reason,
                seconds=seconds,
                certificate=certificate,
                seed=options.seed,
            )
    return solve_ilp_highs(problem, options)
