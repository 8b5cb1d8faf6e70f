"""Branch and bound on dual bounds, in the compiled kernel; no integer program needed.

The root is bounded by sequential reweighted message passing (TRW-S; Kolmogorov, IEEE TPAMI 37(5), 2015), with a usage
limit priced by Lagrange multipliers (volume algorithm; Barahona & Anbil 2000). What the incumbent rules out by reduced
costs goes, variables of degree two or less are eliminated exactly, incumbents come from rounding and from large
neighbourhoods solved by the same search. Where a gap stays, short cycles are covered by triplets (Sontag, Choe & Li
2012). What is then left is searched depth first, each node warm-started from its parent. All in 64-bit integers.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel.search import FORBIDS, KernelSearch, Pause, Settings
from dynamap_solvers.certificates import DualCertificate
from dynamap_solvers.methods._conflict import why_infeasible
from dynamap_solvers.methods._dual_messages import dual_certificate
from dynamap_solvers.methods._work_units import WorkUnits, rows_of, work_units
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason, infeasible, price

__all__ = ["Root", "Searching", "bound_and_incumbent", "solve_branch_and_bound"]

_NAME = "branch-and-bound"
_SLICE_SECONDS = 0.1
_FOREVER = 1e8
_REASONS = {
    StopReason.PROVED: "The costs are so large or so many that rounding leaves a gap.",
    StopReason.TIME_LIMIT: "The time limit came first.",
    StopReason.CANCELLED: "The progress callback cancelled the search.",
    StopReason.GAP_LIMIT: "The gap asked for was reached.",
    StopReason.MEMORY_LIMIT: "The search ran out of memory.",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Root:
    """What is known of a problem before branching.

    Attributes:
        bound: no assignment costs less; infinite where none is allowed.
        objective: of ``assignment``, priced by the problem; None without one.
        assignment: the best found, or None.
        alive: bool, flat over all choices: which of them may be in an assignment that is better than ``assignment``
            (or in any allowed one, where there is none yet). The others can go: where the smaller problem then has no
            assignment, ``assignment`` is optimal.
        proved: whether ``assignment`` is optimal, or None and nothing is allowed.
        stopped: why it stopped, where nothing is proved; ``proved`` also where all that precedes branching is done.
        certificate: proves ``certified``; None before the ascent ended, or where edges are parallel.
        certified: the part of ``bound`` that message passing alone proves.
        seconds: by phase.
    """

    bound: int | float
    objective: int | float | None
    assignment: tuple[int, ...] | None
    alive: NDArray[np.bool_]
    proved: bool
    stopped: StopReason
    certificate: DualCertificate | None
    certified: int | float | None
    seconds: dict[str, float]


def bound_and_incumbent(problem: SelectionProblem, options: Options, *, work: float = math.inf) -> Root:
    """Bound, round, improve and prune, but do not branch.

    Args:
        problem: one cost set.
        options: time limit, gap and the like.
        work: cells of tables to look at, about; then it stops as ``inconclusive``.

    Raises:
        SolverError: if the compiled kernel is not there.
    """
    started = time.perf_counter()
    units = work_units(problem)
    with _search(problem, units, options, only_root=True) as search:
        built = time.perf_counter()
        stopped = _run(search, units, options, work)
        state = search.state()
        found = search.best()
        proved = stopped is StopReason.PROVED and state.phase == "done"
        if proved and state.objective is None:
            bound: int | float = math.inf
        else:
            bound = units.bound(min(state.bound, FORBIDS))
        certificate = dual_certificate(problem, units, search)
        return Root(
            bound=bound,
            objective=None if found is None else problem.evaluate(found),
            assignment=found,
            alive=search.alive(),
            proved=proved,
            stopped=stopped,
            certificate=certificate,
            certified=None if certificate is None else units.bound(state.certified),
            seconds={"build": built - started, "search": time.perf_counter() - built},
        )


def solve_branch_and_bound(problem: SelectionProblem, options: Options) -> Solution:
    """Solve by branch and bound in the compiled kernel.

    The time limit, the gap and cancellation are looked at every tenth of a second or so. Float problems are searched
    in units so fine that all rounding together stays within the tolerance of :func:`~dynamap_solvers.result.price`,
    except with many thousands of terms, where the result may stay ``feasible`` with a gap of rounding only.

    Raises:
        SolverError: if the compiled kernel is not there.
    """
    with Searching(problem, options) as searching:
        found = searching.go_on(math.inf)
    assert found is not None
    return found


class Searching:
    """The same in portions, for those who may go another way; what was done is not done again.

    Args:
        problem: one cost set.
        options: time limit, gap and the like.

    Raises:
        SolverError: if the compiled kernel is not there.
    """

    def __init__(self, problem: SelectionProblem, options: Options) -> None:
        started = time.perf_counter()
        self.problem = problem
        self._options = options
        self._units = work_units(problem)
        self._search = _search(problem, self._units, options, only_root=False)
        self._built = time.perf_counter() - started
        self._searched = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._search.close()

    def go_on(self, work: float) -> Solution | None:
        """The outcome, or None where about ``work`` cells were looked at in all and nothing is settled."""
        problem, units, search, options = self.problem, self._units, self._search, self._options
        started = time.perf_counter()
        stopped = _run(search, units, options, work)
        self._searched += time.perf_counter() - started
        if stopped is StopReason.INCONCLUSIVE:
            return None
        state = search.state()
        assignment = search.best()
        bound = units.bound(state.bound) if state.bound < FORBIDS else None
        # The messages of the root prove the bound where nothing but message passing raised it.
        proves = bound is not None and state.certified > -FORBIDS and units.bound(state.certified) >= bound
        certificate = dual_certificate(problem, units, search) if proves else None
        seconds = {"build": self._built, "search": self._searched}
        if stopped is StopReason.PROVED and assignment is None:
            reason = why_infeasible(problem, options)
            return infeasible(method=_NAME, reason=reason, seconds=seconds, nodes=state.nodes, seed=options.seed)
        return price(
            problem,
            assignment=assignment,
            bound=bound,
            method=_NAME,
            stopped=stopped,
            seconds=seconds,
            certificate=certificate,
            nodes=state.nodes,
            seed=options.seed,
            reason=_REASONS[stopped],
        )


def _search(problem: SelectionProblem, units: WorkUnits, options: Options, *, only_root: bool) -> KernelSearch:
    rows = rows_of(problem)
    settings = Settings(quantum=units.quantum, seed=options.seed, only_root=only_root)
    if rows is not None:  # there the limit makes the gap, not the cycles
        settings = replace(settings, max_cycle=0)
    search = KernelSearch(
        starts=np.ascontiguousarray(problem.unary_starts),
        unary=units.unary,
        ends=np.ascontiguousarray(problem.edge_ends),
        pair_starts=np.ascontiguousarray(problem.pair_starts),
        pair=units.pair,
        rows=rows,
        settings=settings,
    )
    if options.warm_start is not None:
        search.offer(np.array(options.warm_start, np.int32))
    return search


def _run(search: KernelSearch, units: WorkUnits, options: Options, work: float) -> StopReason:
    """Let it run; ``proved`` when it ended by itself, ``inconclusive`` when it did so much work."""
    while True:
        remaining = options.remaining()
        left = _FOREVER if remaining is None else remaining
        try:
            pause = search.run(min(_SLICE_SECONDS, left), left, work)
        except MemoryError:
            return StopReason.MEMORY_LIMIT
        if pause is Pause.FINISHED:
            return StopReason.PROVED
        if pause is Pause.WORK:
            return StopReason.INCONCLUSIVE
        state = search.state()
        objective = None if state.objective is None else units.objective(state.objective)
        bound = units.bound(state.bound)
        if not options.report(method=_NAME, phase=state.phase, objective=objective, bound=bound, nodes=state.nodes):
            return StopReason.CANCELLED
        if options.gap > 0 and options.reached(objective, bound):
            return StopReason.GAP_LIMIT
        if options.remaining() == 0:
            return StopReason.TIME_LIMIT
