"""Method ``auto``: simplify, then the cheapest exact method for what is left."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace

from dynamap_solvers import _kernel
from dynamap_solvers.batch import solve_by_reductions
from dynamap_solvers.certificates import ReductionCertificate
from dynamap_solvers.elimination import EliminationOrder, find_order
from dynamap_solvers.errors import NotSeriesParallelError
from dynamap_solvers.methods._conflict import with_reason
from dynamap_solvers.methods._cut_network import Unfitting
from dynamap_solvers.methods._lift import lifted_certificate
from dynamap_solvers.methods._parts import solve_in_parts
from dynamap_solvers.methods.branch_and_bound import (
    Searching,
    solve_branch_and_bound,
)
from dynamap_solvers.methods.highs import solve_highs
from dynamap_solvers.methods.min_cut import solve_min_cut
from dynamap_solvers.methods.tree_decomposition import best_order, cheap_order, fits, solve_along, undominated
from dynamap_solvers.options import Options
from dynamap_solvers.passes import drop_forbidden
from dynamap_solvers.passes.base import Simplification
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, Status, infeasible, price

__all__ = ["solve_auto"]

_THIN = 8  # width up to which elimination is tried before bounds
_ELIMINATE_THIN = 2e11  # cells: minutes, but bounds are loose on thin graphs and search does not end at all
_ELIMINATE_WIDE = 1e10  # cells: a few seconds
_ELIMINATE_AT_ONCE = 1e7  # cells: no longer than a search takes to begin
_ELIMINATE_SOON = 2e9  # cells: about a second
_SEARCH_WIDE = 1 / 16  # cells that search looks at for each eliminated, memory counted in: in about the same time
_SEARCH_THIN = 1 / 32  # where it seldom ends
_FIRST_LOOK = 50  # how often a first look may go over all tables
_LONGER_LOOK = 400  # and where the graph is wide: bounds are tighter there and elimination is dear
_LEAST_LOOK = 3e7  # cells it may take at least: no longer than to find a good order
_SMALL = 2e4  # cells of tables up to which a first look takes hardly longer than all else does at least
_HOPELESS = 1e18


def solve_auto(problem: SelectionProblem, options: Options) -> Solution:
    """Simplify, then whatever is cheapest; the certificate says which it was.

    Series-parallel graphs are reduced. Elsewhere forbidden choices go. Small problems are searched for a little while,
    which may settle them; what is cheap to eliminate is eliminated. Then dominated choices go, then wide graphs are
    searched for a while. What is thin enough is eliminated along the best order found; where that is much work, branch
    and bound first gets as long as it would take, or on thin graphs a part of that: so much work, counted in cells, for
    results must not depend on the machine. Problems with two choices that a minimum cut solves are given to it. What is
    left falls into components and blocks where it can and is searched: by branch and bound in the compiled kernel,
    without one by HiGHS. Problems with a resource limit go to the search at once.
    """
    if problem.usage_costs is not None:
        return _search(problem, options)
    try:
        # Reductions cope with forbidden cells by themselves, so that small problems need no other look.
        reduced = solve_by_reductions(problem, seed=options.seed, seconds={"simplify": 0.0})
    except NotSeriesParallelError:
        pass
    else:
        if reduced.status is not Status.INFEASIBLE:
            return reduced
    first = drop_forbidden(problem)
    before = options.elapsed
    if first.conflict:
        return infeasible(method="auto", reason=first.conflict, seconds={"simplify": before}, seed=options.seed)
    try:
        return with_reason(problem, _reduced(problem, first, options, before), options)
    except NotSeriesParallelError:
        pass
    with ExitStack() as stack:
        has_kernel = _kernel.library() is not None
        searching = None
        cells = len(first.problem.pair_costs)
        if has_kernel and cells <= _SMALL and int(first.problem.sizes.max()) > 2:
            searching = stack.enter_context(Searching(first.problem, _lowered(first, options)))
            found = searching.go_on(_FIRST_LOOK * cells)
            if found is not None:
                return _lifted(problem, first, found, before)
        order = cheap_order(first.problem)
        if order is not None:
            before = options.elapsed
            stack.close()
            return solve_along(problem, first, order, options, {"simplify": before})
        smaller = undominated(first)
        before = options.elapsed
        if smaller.conflict:
            return infeasible(method="auto", reason=smaller.conflict, seconds={"simplify": before}, seed=options.seed)
        core = smaller.problem
        if core is not first.problem:
            searching = None

        def search(work: float) -> Solution | None:
            """Go on where the search of this problem stopped, if there is one."""
            nonlocal searching
            searching = searching or stack.enter_context(Searching(core, _lowered(smaller, options)))
            return searching.go_on(work)

        searches = has_kernel and int(core.sizes.max()) > 2
        # Good orders take longer to find than a look that may settle all.
        if searches and _is_wide(core):
            found = search(max(_LONGER_LOOK * len(core.pair_costs), _LEAST_LOOK))
            if found is not None:
                return _lifted(problem, smaller, found, before)
        order = best_order(core)
        before = options.elapsed
        if order is not None and _can_eliminate(core, order):
            share = _share_of_search(order) if searches else 0.0
            found = search(share * order.price) if share else None
            if found is not None:
                return _lifted(problem, smaller, found, before)
            stack.close()  # elimination may want the memory
            return solve_along(problem, smaller, order, options, {"simplify": before})
        if int(core.sizes.max()) <= 2:
            try:
                return _lifted(problem, smaller, solve_min_cut(core, options), before)
            except Unfitting:
                pass
        whole = solve_in_parts(core, _lowered(smaller, options), solve_auto)
        if whole is None:
            whole = search(math.inf) if has_kernel else solve_highs(core, _lowered(smaller, options))
        assert whole is not None
        return _lifted(problem, smaller, whole, before)


def _is_wide(problem: SelectionProblem) -> bool:
    """Whether the first order that comes to hand is wider than what elimination is best at."""
    order = find_order(problem.edge_ends, problem.sizes, tries=1, most_cells=_HOPELESS)
    return order is None or order.width > _THIN


def _can_eliminate(problem: SelectionProblem, order: EliminationOrder) -> bool:
    most = _ELIMINATE_WIDE if order.width > _THIN else _ELIMINATE_THIN
    return order.work_cells <= most and fits(problem, order)


def _share_of_search(order: EliminationOrder) -> float:
    """What part of the work of elimination a search gets before it."""
    if order.width > _THIN:
        return _SEARCH_WIDE if order.work_cells > _ELIMINATE_AT_ONCE else 0.0
    return _SEARCH_THIN if order.work_cells > _ELIMINATE_SOON else 0.0


def _search(problem: SelectionProblem, options: Options) -> Solution:
    if _kernel.library() is None:
        return solve_highs(problem, options)
    return solve_branch_and_bound(problem, options)


def _lowered(smaller: Simplification, options: Options) -> Options:
    """The options with the warm start in terms of the smaller problem."""
    if options.warm_start is None or not smaller.modified:
        return options
    return replace(options, warm_start=smaller.lower(options.warm_start))


def _lifted(problem: SelectionProblem, smaller: Simplification, found: Solution, before: float) -> Solution:
    """The solution of the smaller problem as one of the original, priced by that."""
    seconds = {"simplify": before + found.seconds.get("simplify", 0.0)} | {
        phase: spent for phase, spent in found.seconds.items() if phase != "simplify"
    }
    if not smaller.modified:
        return replace(found, seconds=seconds)
    certificate = lifted_certificate(problem, smaller, found.certificate)
    if found.assignment is None:
        return replace(found, seconds=seconds, certificate=certificate)
    return price(
        problem,
        assignment=smaller.lift(found.assignment),
        bound=found.bound,
        method=found.method,
        stopped=found.stop_reason,
        seconds=seconds,
        certificate=certificate,
        nodes=found.nodes,
        seed=found.seed,
        reason=found.reason,
    )


def _reduced(problem: SelectionProblem, first: Simplification, options: Options, before: float) -> Solution:
    """By the series-parallel reductions of what a simplification left.

    Raises:
        NotSeriesParallelError: if the graph is not series-parallel.
    """
    found = solve_by_reductions(first.problem, seed=options.seed, seconds={"simplify": before})
    if not first.modified:
        return found
    assert isinstance(found.certificate, ReductionCertificate)
    certificate = replace(found.certificate, dropped=tuple((i, x) for i, x, _ in first.dropped))
    if found.assignment is None:
        return replace(found, certificate=certificate)
    return price(
        problem,
        assignment=first.lift(found.assignment),
        bound=found.bound,
        method=found.method,
        stopped=found.stop_reason,
        seconds=found.seconds,
        certificate=certificate,
        seed=options.seed,
    )
