"""Why nothing is allowed, in one sentence: which constraints exclude each other, found by leaving constraints out."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel.search import FORBIDS, KernelSearch, Rows, Settings
from dynamap_solvers.methods._reduced import over_limit
from dynamap_solvers.methods._usage import live_sets_of
from dynamap_solvers.methods._work_units import rows_of
from dynamap_solvers.options import Options
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["explain"]

_BUDGET_SECONDS = 2.0
_NAMED = 6


def explain(problem: SelectionProblem, options: Options) -> str:
    """Narrow an infeasible problem down to tables, and perhaps the limit, that exclude each other.

    Deletion filter (Chinneck & Dravnieks 1991) in halving chunks: whatever can be left out with the rest still
    excluding itself is left out. Two seconds at most; then the sentence names more than it must. Where the least that
    variables alive at one time can use is above the limit already, nothing needs to be searched.
    """
    plainly = _plainly_over(problem)
    if plainly:
        return plainly
    remaining = options.remaining()
    budget = _BUDGET_SECONDS if remaining is None else min(_BUDGET_SECONDS, remaining)
    asking = _Asking(problem, time.perf_counter() + budget)
    rows = rows_of(problem)
    everything = np.ones(problem.num_edges, np.bool_)
    needs_limit = rows is not None and not asking.excludes(everything, None)
    kept = rows if needs_limit else None
    forbids = np.array([bool((table >= asking.limit).any()) for table in problem.pair], np.bool_)
    core = asking.narrow(forbids, kept) if asking.excludes(forbids, kept) else everything
    ends = np.unique(problem.edge_ends[core])
    names = ", ".join(repr(problem.names[int(i)]) for i in ends[:_NAMED])
    more = f" and {len(ends) - _NAMED} more" if len(ends) > _NAMED else ""
    if not needs_limit:
        if not len(ends):
            return "Every choice of some variable is forbidden by itself."
        return f"The forbidden pairs between variables {names}{more} exclude each other: every joint choice takes one."
    among = f" together with the forbidden pairs between variables {names}{more}" if len(ends) else ""
    return (
        f"No assignment keeps the usage limit of {problem.usage_limit}{among}; raise the limit, shorten intervals or "
        "allow choices that use less."
    )


def _plainly_over(problem: SelectionProblem) -> str:
    """The sentence where allowed choices of least usage exceed the limit at some time; else empty."""
    if problem.usage_costs is None:
        return ""
    allowed = problem.unary_costs < (FINITE_LIMIT if problem.is_integer else np.inf)
    starts = np.concatenate(([0], np.cumsum(allowed)))[problem.unary_starts]
    if not (np.diff(starts) > 0).all():
        return ""
    intervals = np.asarray(problem.intervals, np.int64).reshape(-1, 2)
    sets, over = live_sets_of(problem.usage_costs[allowed], starts, intervals, problem.usage_limit)
    return over_limit(problem, over, int(sets.least[over].sum())) if len(over) else ""


class _Asking:
    """Feasibility questions about parts of one problem, without its costs."""

    def __init__(self, problem: SelectionProblem, deadline: float) -> None:
        self.problem = problem
        self.deadline = deadline
        self.limit = FINITE_LIMIT if problem.is_integer else np.inf
        self.unary = np.where(problem.unary_costs < self.limit, 0, FORBIDS).astype(np.int64)
        self.pair = np.where(problem.pair_costs < self.limit, 0, FORBIDS).astype(np.int64)
        self.sizes = np.diff(problem.pair_starts)

    def excludes(self, edges: NDArray[np.bool_], rows: Rows | None) -> bool:
        """Whether these tables and rows are proved to allow nothing, in the time there is."""
        left = self.deadline - time.perf_counter()
        if left <= 0:
            return False
        starts = np.concatenate(([0], np.cumsum(self.sizes[edges])))
        with KernelSearch(
            starts=np.ascontiguousarray(self.problem.unary_starts),
            unary=self.unary,
            ends=np.ascontiguousarray(self.problem.edge_ends[edges]),
            pair_starts=starts,
            pair=self.pair[np.repeat(edges, self.sizes)],
            rows=rows,
            settings=Settings(max_cycle=0),
        ) as search:
            return search.run(left, left) and search.state().objective is None

    def narrow(self, core: NDArray[np.bool_], rows: Rows | None) -> NDArray[np.bool_]:
        """Fewer tables that still exclude each other."""
        chunk = max(int(core.sum()) // 2, 1)
        while core.any() and time.perf_counter() < self.deadline:
            members = np.flatnonzero(core)
            for at in range(0, len(members), chunk):
                trial = core.copy()
                trial[members[at : at + chunk]] = False
                if self.excludes(trial, rows):
                    core = trial
            if chunk == 1:
                break
            chunk //= 2
        return core
