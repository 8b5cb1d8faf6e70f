"""Method ``auto``: simplify, then the cheapest exact method for what is left."""

from __future__ import annotations

from dataclasses import replace

from dynamap_solvers import _kernel
from dynamap_solvers.batch import solve_by_reductions
from dynamap_solvers.certificates import ReductionCertificate
from dynamap_solvers.elimination import find_order
from dynamap_solvers.errors import NotSeriesParallelError
from dynamap_solvers.methods._conflict import with_reason
from dynamap_solvers.methods._cut_network import Unfitting
from dynamap_solvers.methods._lift import lifted_certificate
from dynamap_solvers.methods._parts import solve_in_parts
from dynamap_solvers.methods.branch_and_bound import (
    Root,
    bound_and_incumbent,
    search_within,
    solve_branch_and_bound,
)
from dynamap_solvers.methods.highs import solve_highs
from dynamap_solvers.methods.min_cut import solve_min_cut
from dynamap_solvers.methods.tree_decomposition import fits, simplified, solve_along
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
_CELLS_A_SWEEP = 16  # cells eliminated in the time that the search takes for one of its own, memory counted in
_FIRST_LOOK = 50  # how often a first look at the bound may go over all tables where the graph is thin
_LONGER_LOOK = 400  # and where it is wide: bounds are tighter there and elimination is dear
_SMALL = 2e4  # cells of tables up to which a first look takes hardly longer than all else does at least
_HOPELESS = 1e18


def solve_auto(problem: SelectionProblem, options: Options) -> Solution:
    """Simplify, then whatever is cheapest; the certificate says which it was.

    Series-parallel graphs are reduced. Elsewhere forbidden choices go. Small problems and wide graphs are bounded for
    a little while, which may settle them. Then dominated choices go, and what is thin enough is eliminated along the
    best order found; where it is wide all the same, branch and bound first gets as long as that would take: so much
    work, counted in cells, for results must not depend on the machine. Problems with two choices that a minimum cut
    solves are given to it. What is left falls into components and blocks where it can and is searched: by branch and
    bound in the compiled kernel, without one by HiGHS. Problems with a resource limit go to the search at once.
    """
    if problem.usage_costs is not None:
        return _search(problem, options)
    try:
        # Reductions cope with forbidden cells by themselves, so that small problems need no other look.
        reduced = _reduced(problem, None, options, 0.0)
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
    searches = _kernel.library() is not None
    cells = len(first.problem.pair_costs)
    if searches and int(first.problem.sizes.max()) > 2:
        # Orders take longer than a short look, so that whether the graph is wide is asked later where there is one.
        looks = ([_FIRST_LOOK] if cells <= _SMALL else []) + [_LONGER_LOOK]
        for look in looks:
            if look == _LONGER_LOOK and not _is_wide(first.problem):
                break
            root = bound_and_incumbent(first.problem, _lowered(first, options), work=look * cells)
            if root.proved and root.assignment is not None:
                return _lifted(problem, first, _settled(first.problem, root, options), before)
    smaller, order = simplified(first)
    before = options.elapsed
    if smaller.conflict:
        return infeasible(method="auto", reason=smaller.conflict, seconds={"simplify": before}, seed=options.seed)
    core = smaller.problem
    if order is not None:
        wide = order.width > _THIN
        if order.work_cells <= (_ELIMINATE_WIDE if wide else _ELIMINATE_THIN) and fits(core, order):
            if wide and searches and order.work_cells > _ELIMINATE_AT_ONCE and int(core.sizes.max()) > 2:
                found = search_within(core, _lowered(smaller, options), order.price / _CELLS_A_SWEEP)
                if found is not None:
                    return _lifted(problem, smaller, found, before)
            return solve_along(problem, smaller, order, options, {"simplify": before})
    if int(core.sizes.max()) <= 2:
        try:
            return _lifted(problem, smaller, solve_min_cut(core, options), before)
        except Unfitting:
            pass
    whole = solve_in_parts(core, _lowered(smaller, options), solve_auto)
    if whole is not None:
        return _lifted(problem, smaller, whole, before)
    return _lifted(problem, smaller, _search(core, _lowered(smaller, options)), before)


def _is_wide(problem: SelectionProblem) -> bool:
    """Whether the first order that comes to hand is wider than what elimination is best at."""
    order = find_order(problem.edge_ends, problem.sizes, tries=1, most_cells=_HOPELESS)
    return order is None or order.width > _THIN


def _settled(problem: SelectionProblem, root: Root, options: Options) -> Solution:
    return price(
        problem,
        assignment=root.assignment,
        bound=root.bound,
        method="branch-and-bound",
        stopped=root.stopped,
        seconds=root.seconds,
        certificate=root.certificate if root.certified == root.bound else None,
        nodes=0,
        seed=options.seed,
    )


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


def _reduced(problem: SelectionProblem, first: Simplification | None, options: Options, before: float) -> Solution:
    """By the series-parallel reductions, of the problem itself or of what a simplification left of it.

    Raises:
        NotSeriesParallelError: if the graph is not series-parallel.
    """
    reducible = problem if first is None else first.problem
    found = solve_by_reductions(reducible, seed=options.seed, seconds={"simplify": before})
    if first is None or not first.modified:
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
