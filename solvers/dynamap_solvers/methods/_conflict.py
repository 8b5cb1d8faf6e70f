"""Why a problem has no assignment, in a sentence a person can act on: asked only once a backend says so.

Is it the limit? Then the least limit that would do is named. Is it the forbidden pairs? Then a set of them that cannot
be kept together is narrowed down by leaving out half, a quarter, ... of them (the deletion filter of Chinneck &
Dravnieks 1991, in chunks). Each question is a small integer program; a budget keeps the answers cheap, and without
them the sentence is just less precise.
"""

from __future__ import annotations

import importlib.util
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.methods._backend import Claim
from dynamap_solvers.methods._local_polytope import LocalPolytope, local_polytope
from dynamap_solvers.methods._reduced import ReducedCosts, reduce_costs
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, Status, StopReason

__all__ = ["explain", "why_infeasible", "with_reason"]

_BUDGET_SECONDS = 2.0
_NAMED = 6


def explain(problem: SelectionProblem, reduced: ReducedCosts, claim: Claim, options: Options) -> Claim:
    """The claim, with the reason filled in where it says that no assignment is allowed."""
    if not claim.infeasible or importlib.util.find_spec("highspy") is None:
        return claim
    program = local_polytope(reduced, exact_below=math.inf)
    remaining = options.remaining()
    deadline = time.perf_counter() + min(_BUDGET_SECONDS, remaining if remaining is not None else _BUDGET_SECONDS)
    asking = _Asking(program, options, deadline)
    everything = np.ones(len(program.reduced.ends), np.bool_)
    if program.reduced.sets is not None:
        picked = asking.assignment(everything, least_usage=True)
        if picked is not None:
            peak = problem.peak_usage(program.reduced.lift(picked))
            reason = (
                f"No allowed assignment keeps the usage limit of {problem.usage_limit}; forbidden cells alone can be "
                f"kept. {'The least' if asking.proved else 'A'} limit that can be kept is {peak}."
            )
            return replace(claim, reason=reason)
        if not asking.proved:
            return replace(claim, reason="Forbidden cells and the usage limit exclude each other.")
    core = _narrow(asking, _with_holes(program))
    variables = np.unique(program.reduced.ends[core])
    names = ", ".join(repr(problem.names[int(i)]) for i in variables[:_NAMED])
    more = f" and {len(variables) - _NAMED} more" if len(variables) > _NAMED else ""
    reason = f"The forbidden pairs between variables {names}{more} exclude each other: every joint choice takes one."
    return replace(claim, reason=reason)


def why_infeasible(problem: SelectionProblem, options: Options) -> str:
    """Why a problem that was proved to have no assignment has none."""
    reduced = reduce_costs(problem)
    if reduced.conflict:
        return reduced.conflict
    claim = explain(problem, reduced, Claim(stopped=StopReason.PROVED, infeasible=True), options)
    return claim.reason or "Forbidden cells and limits exclude each other."


def with_reason(problem: SelectionProblem, found: Solution, options: Options) -> Solution:
    """A solution with the reason narrowed down where it says that nothing is allowed."""
    if found.status is not Status.INFEASIBLE:
        return found
    return replace(found, reason=why_infeasible(problem, options))


def _with_holes(program: LocalPolytope) -> NDArray[np.bool_]:
    """The tables that forbid something."""
    reduced = program.reduced
    count = len(reduced.ends)
    full = np.bincount(reduced.row_table, minlength=count) * np.bincount(reduced.column_table, minlength=count)
    return np.bincount(reduced.row_table[reduced.cell_row], minlength=count) < full


def _narrow(asking: _Asking, core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fewer tables that still exclude each other; not the fewest where the budget ends first."""
    chunk = max(int(core.sum()) // 2, 1)
    while True:
        members = np.flatnonzero(core)
        for at in range(0, len(members), chunk):
            trial = core.copy()
            trial[members[at : at + chunk]] = False
            if asking.assignment(trial) is None and asking.proved:
                core = trial
            if asking.late:
                return core
        if chunk == 1:
            return core
        chunk = max(chunk // 2, 1)


class _Asking:
    """Questions to HiGHS about parts of the program, without costs.

    Attributes:
        proved: whether the last answer is proved.
    """

    def __init__(self, program: LocalPolytope, options: Options, deadline: float) -> None:
        self.proved = False
        self._program = program
        self._options = options
        self._deadline = deadline

    @property
    def late(self) -> bool:
        """Whether the budget is used up."""
        return time.perf_counter() >= self._deadline

    def assignment(self, tables: NDArray[np.bool_], *, least_usage: bool = False) -> tuple[int, ...] | None:
        """An assignment that keeps the pairs of some tables, of least excess usage if asked (else usage is free)."""
        from dynamap_solvers.methods.highs import load, run_plain  # noqa: PLC0415  # they use explain() in turn

        self.proved = False
        if self.late:
            return None
        program, reduced = self._program, self._program.reduced
        columns = program.num_columns
        lower, upper, bounds = program.lower.copy(), program.upper.copy(), program.bounds.copy()
        rows = reduced.num_variables + np.arange(len(reduced.row_table))
        others = rows[-1:] + 1 + np.arange(len(reduced.column_table)) if len(rows) else rows
        for index, table in ((rows, reduced.row_table), (others, reduced.column_table)):
            free = index[~tables[table]]
            lower[free], upper[free] = -np.inf, np.inf
        highs: Any = None
        if reduced.sets is not None:
            top = program.usage_row
            if program.chain:
                bounds[columns - reduced.sets.count :] = np.inf
            elif not least_usage:
                upper[top:] = np.inf
        changed = replace(program, costs=np.zeros(columns), lower=lower, upper=upper, bounds=bounds)
        highs = load(changed)
        if least_usage and reduced.sets is not None:
            self._add_excess(highs, changed)
        self.proved, numbers = run_plain(highs, self._deadline, self._options.seed)
        return None if numbers is None else program.pick(numbers)

    @staticmethod
    def _add_excess(highs: Any, program: LocalPolytope) -> None:
        """A last column: by how much the limit is exceeded, which is to be least."""
        sets = program.reduced.sets
        assert sets is not None
        top, columns = program.usage_row, program.num_columns
        if not program.chain:
            rows = np.arange(top, top + sets.count, dtype=np.int32)
            highs.addCol(1.0, 0.0, np.inf, sets.count, rows, np.full(sets.count, -1.0))
            return
        highs.addCol(1.0, 0.0, np.inf, 0, np.zeros(0, np.int32), np.zeros(0))
        for k, room in enumerate((sets.room * program.usage_unit).tolist()):
            index = np.array([columns - sets.count + k, columns], np.int32)
            highs.addRow(-np.inf, room, 2, index, np.array([1.0, -1.0]))
