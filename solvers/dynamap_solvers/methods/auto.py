"""Method ``auto``: simplify, then the cheapest exact method for what is left."""

from __future__ import annotations

from dataclasses import replace

from dynamap_solvers.batch import solve_with_plan
from dynamap_solvers.certificates import ReductionCertificate
from dynamap_solvers.errors import NotSeriesParallelError
from dynamap_solvers.methods.highs import solve_highs
from dynamap_solvers.methods.tree_decomposition import fits, simplified, solve_along
from dynamap_solvers.options import Options
from dynamap_solvers.passes import drop_forbidden
from dynamap_solvers.passes.base import Simplification
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, infeasible, price
from dynamap_solvers.series_parallel import plan_of

__all__ = ["solve_auto"]

_ELIMINATE_WORK = 1e9  # cells; a second or two, which is where search begins to win on wide graphs


def solve_auto(problem: SelectionProblem, options: Options) -> Solution:
    """Forbidden choices go; then reductions where they reach the end, elimination where it is cheap, else search.

    The certificate says which it was: a reduction sequence, an elimination order, or the bound of the search.
    """
    first = drop_forbidden(problem)
    seconds = {"simplify": options.elapsed}
    if first.conflict:
        return infeasible(method="auto", reason=first.conflict, seconds=seconds, seed=options.seed)
    if problem.usage_costs is None:
        try:
            return _reduced(problem, first, options)
        except NotSeriesParallelError:
            pass
        smaller, order = simplified(first)
        seconds = {"simplify": options.elapsed}
        if smaller.conflict:
            return infeasible(method="auto", reason=smaller.conflict, seconds=seconds, seed=options.seed)
        if order is not None and order.work_cells <= _ELIMINATE_WORK and fits(smaller.problem, order):
            return solve_along(problem, smaller, order, options, seconds)
    return solve_highs(problem, options)


def _reduced(problem: SelectionProblem, first: Simplification, options: Options) -> Solution:
    """By the series-parallel reductions.

    Raises:
        NotSeriesParallelError: if the graph is not series-parallel.
    """
    before = options.elapsed
    plan = plan_of(first.problem)
    planned = options.elapsed
    found = solve_with_plan(first.problem, plan, seed=options.seed)
    seconds = {"simplify": before, "build": planned - before, "search": options.elapsed - planned}
    if not first.modified:
        return replace(found, seconds=seconds)
    certificate = ReductionCertificate(plan, tuple((i, x) for i, x, _ in first.dropped))
    if found.assignment is None:
        return replace(found, certificate=certificate, seconds=seconds)
    return price(
        problem,
        assignment=first.lift(found.assignment),
        bound=found.bound,
        method=found.method,
        stopped=found.stop_reason,
        seconds=seconds,
        certificate=certificate,
        seed=options.seed,
    )
