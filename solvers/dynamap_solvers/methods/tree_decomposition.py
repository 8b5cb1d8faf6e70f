"""Method ``tree-decomposition``: bucket elimination along the best order found, its memory known beforehand."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._drops import Drops
from dynamap_solvers.certificates import EliminationCertificate
from dynamap_solvers.elimination import EliminationOrder, Stop, eliminate, find_order, order_of
from dynamap_solvers.errors import NotSeriesParallelError, ProblemError
from dynamap_solvers.methods._conflict import why_infeasible
from dynamap_solvers.methods._watch import watched
from dynamap_solvers.options import Options, available_threads
from dynamap_solvers.passes import drop_dominated, drop_forbidden
from dynamap_solvers.passes.base import Simplification
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem
from dynamap_solvers.result import FLOAT_GAP, Solution, StopReason, infeasible, price
from dynamap_solvers.series_parallel import plan_of

__all__ = ["MAX_BYTES", "best_order", "fits", "solve_along", "solve_tree_decomposition", "undominated"]

MAX_BYTES = 2**32
"""Elimination is refused where its tables would take more memory than this."""

_MOST_CELLS = 1e18  # no order beyond this is of any use
_UNWATCHED = 1e7  # cells: a few milliseconds, so that nobody looks at the clock meanwhile
_CHEAP = 40  # cells eliminated for each of the problem: in less time than dominated choices are found
_METHOD = "tree-decomposition"


def fits(problem: SelectionProblem, order: EliminationOrder) -> bool:
    """Whether the tables of an elimination keep within :data:`MAX_BYTES`."""
    return order.memory_bytes(problem) <= MAX_BYTES


def solve_tree_decomposition(problem: SelectionProblem, options: Options) -> Solution:
    """Strike out forbidden choices, and dominated ones where a core of treewidth 3 or more is left, then eliminate.

    Takes the time and memory of the order found (:class:`~dynamap_solvers.EliminationOrder`).

    Raises:
        ProblemError: before anything is allocated, if the tables would take more than :data:`MAX_BYTES`.
    """
    started = time.perf_counter()
    first = drop_forbidden(problem)
    if first.conflict:
        return infeasible(
            method=_METHOD, reason=first.conflict, seconds={"simplify": options.elapsed}, seed=options.seed
        )
    smaller, order = simplified(first)
    if smaller.conflict:
        return infeasible(
            method=_METHOD, reason=smaller.conflict, seconds={"simplify": options.elapsed}, seed=options.seed
        )
    if order is None or not fits(smaller.problem, order):
        needs = (
            "more than can be counted" if order is None else f"{order.memory_bytes(smaller.problem) / 2**30:,.1f} GiB"
        )
        raise ProblemError(
            f"Eliminating this graph would take {needs}, and the limit is {MAX_BYTES / 2**30:.0f} GiB"
            f"{'' if order is None else f' (width {order.width})'}; use method 'auto', 'branch-and-bound' or 'ilp'."
        )
    spent = time.perf_counter() - started
    return solve_along(problem, smaller, order, options, {"simplify": spent})


def simplified(first: Simplification) -> tuple[Simplification, EliminationOrder | None]:
    """:func:`undominated`, and the order that is best then; where elimination is cheap, that at once."""
    order = cheap_order(first.problem)
    if order is not None:
        return first, order
    smaller = undominated(first)
    return smaller, None if smaller.conflict else best_order(smaller.problem)


def best_order(problem: SelectionProblem) -> EliminationOrder | None:
    """The order to eliminate along, if any can be."""
    return order_of(problem, most_cells=_MOST_CELLS)


def cheap_order(problem: SelectionProblem) -> EliminationOrder | None:
    """The first order that comes to hand, if it is so cheap that nothing done before would pay."""
    cells = _CHEAP * max(1, len(problem.pair_costs))
    order = find_order(problem.edge_ends, problem.sizes, tries=1, most_cells=cells)
    return order if order is not None and order.price <= cells and fits(problem, order) else None


def undominated(first: Simplification) -> Simplification:
    """Dominated choices struck out, except where the graph is series-parallel and it would not pay."""
    try:
        plan_of(first.problem)
    except NotSeriesParallelError:
        second = drop_dominated(first.problem)
        if second.modified or second.conflict:
            return composed(first, second)
    return first


def composed(first: Simplification, second: Simplification) -> Simplification:
    """Two restrictions in a row, as one; both keep the variables."""
    if not first.modified:
        return replace(second, dropped=Drops.of(first.dropped) + second.dropped)
    drops = Drops.of(second.dropped).array.copy()
    starts = first.kept_starts[drops[:, 0]]
    dominated = drops[:, 2] >= 0
    drops[:, 1] = first.kept[starts + drops[:, 1]]
    drops[dominated, 2] = first.kept[(starts + drops[:, 2])[dominated]]
    return replace(
        second,
        kept=first.kept[np.repeat(first.kept_starts[:-1], second.problem.sizes) + second.kept],
        offset=first.offset,
        dropped=Drops.of(first.dropped) + Drops(drops),
        modified=True,
    )


def solve_along(
    problem: SelectionProblem,
    smaller: Simplification,
    order: EliminationOrder,
    options: Options,
    seconds: dict[str, float],
) -> Solution:
    """Eliminate a simplified problem along an order and price the outcome for the original."""
    started = time.perf_counter()

    def run(stop: Stop) -> tuple[int | float, NDArray[np.int32]] | None:
        return eliminate(smaller.problem, order.order, stop=stop, threads=options.threads or available_threads())

    if order.work_cells <= _UNWATCHED:
        done, stopped = run(Stop()), StopReason.PROVED
    else:
        done, stopped = watched(run, options, method=_METHOD)
    seconds = {**seconds, "search": time.perf_counter() - started}
    if done is None:
        reason = f"Elimination of {order.work_cells:.3g} cells was stopped."
        return price(
            problem,
            assignment=None,
            bound=None,
            method=_METHOD,
            stopped=stopped,
            seconds=seconds,
            seed=options.seed,
            reason=reason,
        )
    value, choices = done
    certificate = EliminationCertificate(order=tuple(order.order.tolist()), dropped=smaller.dropped)
    if value >= (FINITE_LIMIT if problem.is_integer else float("inf")):
        reason = why_infeasible(problem, options)
        return infeasible(method=_METHOD, reason=reason, seconds=seconds, certificate=certificate, seed=options.seed)
    # Dominance in floats is decided with rounding, so that the bound steps back by the stated tolerance.
    slack = 0 if problem.is_integer else FLOAT_GAP / 2 * max(problem.magnitude, abs(value))
    return price(
        problem,
        assignment=smaller.lift(choices),
        bound=value - slack if smaller.dropped else value,
        method=_METHOD,
        stopped=StopReason.PROVED,
        seconds=seconds,
        certificate=certificate,
        seed=options.seed,
    )
