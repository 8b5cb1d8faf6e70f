"""Method ``toulbar2``: the reduced costs as a cost function network, in a process of their own.

toulbar2's options, timers and signal handlers are global to its process, so every solve gets a fresh one: two solves
may then run side by side, and one that overruns can be ended from outside without losing what it found, which it says
as it goes. Its mode BTD is not used: 1.4.0.1 claimed wrong optima there.

Which setting is best depends on the graph. Eliminating variables of degree up to 8 before the search wins by orders of
magnitude where that solves the problem (3-trees of 1,000 variables with 12 choices: 2 to 3 s against more than 25) and
loses by as much where it does not (a grid of 20 x 20 with 12 choices: 8 s against 0.014); virtual arc consistency won
in none of seven classes measured. So a greedy elimination is simulated first.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from dynamap_solvers.methods._backend import Claim, Clock, conclude, ready
from dynamap_solvers.methods._child import Follower, ask
from dynamap_solvers.methods._conflict import explain
from dynamap_solvers.methods._integers import IntegerCosts, integer_costs
from dynamap_solvers.methods._reduced import ReducedCosts
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason

__all__ = ["SETTINGS", "solve_toulbar2"]

SETTINGS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "default": MappingProxyType({}),
        "elimination": MappingProxyType({"elimDegree_preprocessing": 8}),
        "vac": MappingProxyType({"vac": 1}),
    }
)
"""Options of toulbar2 by name; all else is as pytoulbar2 has it."""

_COUNTS_BELOW = 2**53  # pytoulbar2 takes costs as doubles
_MAX_WIDTH = 8
_MAX_CELLS = 2**24


def solve_toulbar2(problem: SelectionProblem, options: Options, *, setting: str = "") -> Solution:
    """Solve by toulbar2 on one thread; a usage limit becomes one knapsack constraint per live set.

    ``seconds`` has the start of the process, its imports included, as ``start``.

    Args:
        problem: one cost set.
        options: ``threads`` is not used; the gap is watched from outside.
        setting: one of :data:`SETTINGS`; chosen by the graph if not given.

    Raises:
        ProblemError: if costs may add up to ``2**53`` or more.
        SolverError: if the process fails.
    """
    clock = Clock()
    reduced = ready(problem, options, "toulbar2", clock)
    if not isinstance(reduced, ReducedCosts):
        return reduced
    costs = integer_costs(reduced, top_below=_COUNTS_BELOW, backend="toulbar2")
    document = _document(costs, options)
    if options.warm_start is not None and problem.is_feasible(options.warm_start):
        lowered = reduced.lower(options.warm_start)
        if lowered is not None:
            document["top"] = costs.value(lowered) + 1  # what is not better than that, or as good, is of no interest
    document["options"] = dict(SETTINGS[setting or ("elimination" if _is_thin(reduced) else "default")])
    clock.lap("build")
    claim = _claim(document, costs, options, clock)
    return conclude(problem, options, "toulbar2", reduced, explain(problem, reduced, claim, options), clock)


def _document(costs: IntegerCosts, options: Options) -> dict[str, Any]:
    """What the process is told. A forbidden cell is null; costs are exact integers."""
    reduced = costs.reduced
    starts = reduced.starts.tolist()
    count = len(reduced.ends)
    heights = np.bincount(reduced.row_table, minlength=count)
    widths = np.bincount(reduced.column_table, minlength=count)
    table_starts = np.concatenate([[0], np.cumsum(heights * widths)])
    cell_table = reduced.row_table[reduced.cell_row]
    row = reduced.cell_row - (np.cumsum(heights) - heights)[cell_table]
    column = reduced.cell_column - (np.cumsum(widths) - widths)[cell_table]
    full = np.full(int(table_starts[-1]), -1, np.int64)  # -1: forbidden, as costs are not negative
    full[table_starts[cell_table] + row * widths[cell_table] + column] = costs.cells
    document: dict[str, Any] = {
        "seed": options.seed + 1,  # 0 and less have a meaning of their own
        "unary": [costs.unary[a:b].tolist() for a, b in itertools.pairwise(starts)],
        "ends": reduced.ends.tolist(),
        "tables": [full[a:b].tolist() for a, b in itertools.pairwise(table_starts)],
        "knapsacks": _knapsacks(reduced),
        "top": costs.top,
    }
    return document


def _knapsacks(reduced: ReducedCosts) -> list[dict[str, Any]]:
    sets = reduced.sets
    if sets is None:
        return []
    rows = []
    for k in range(sets.count):
        members = sets.members(k).tolist()
        used = [sets.used[reduced.starts[i] : reduced.starts[i + 1]].tolist() for i in members]
        rows.append({"variables": members, "used": used, "room": int(sets.room[k])})
    return rows


def _claim(document: dict[str, Any], costs: IntegerCosts, options: Options, clock: Clock) -> Claim:
    said = _Follower(options, "toulbar2", costs)
    answer = ask("_toulbar2_child.py", document, options, said, clock, grace=0.0)
    if answer is None:
        assert said.stop is not None
        bound = None if said.lower is None else costs.bound(said.lower)
        reason = f"toulbar2 was ended: {said.stop}."
        return Claim(picked=said.picked, bound=bound, stopped=said.stop, nodes=said.nodes, reason=reason)
    if answer["picked"] is None:
        return Claim(stopped=StopReason.PROVED, infeasible=True, nodes=answer["nodes"])
    value = round(answer["cost"])
    return Claim(
        picked=tuple(answer["picked"]),
        bound=costs.bound(value),
        stopped=StopReason.PROVED,
        nodes=answer["nodes"],
        slack=costs.slack(value),
    )


class _Follower(Follower):
    """Reads ``New solution: 12 (...)`` with the choices in the next line, ``Optimality gap: [10, 12]``, ``9 nodes``."""

    _announced: int | None = None

    def take(self, line: str) -> None:
        """Understand one line."""
        if self._announced is not None:
            picked = tuple(int(word) for word in line.split())
            if len(picked) == self.costs.reduced.num_variables:
                self.best(picked, self._announced)
            self._announced = None
        elif found := re.match(r"New solution: (\d+) ", line):
            self._announced = int(found[1])
        elif found := re.match(r"(?:Optimality gap|Initial lower and upper bounds): \[(\d+), ", line):
            self.proved(int(found[1]))
        if found := re.search(r"(\d+) nodes", line):
            self.nodes = int(found[1])


def _is_thin(reduced: ReducedCosts) -> bool:
    """Whether eliminating a variable of least degree, again and again, ends within the degree and size of a table."""
    sizes = np.diff(reduced.starts).tolist()
    around: list[set[int]] = [set() for _ in sizes]
    for i, j in reduced.ends.tolist():
        around[i].add(j)
        around[j].add(i)
    queue = [(len(near), i) for i, near in enumerate(around)]
    heapq.heapify(queue)
    gone = [False] * len(sizes)
    while queue:
        degree, i = heapq.heappop(queue)
        if gone[i] or degree != len(around[i]):
            continue
        near = around[i]
        if degree > _MAX_WIDTH or sizes[i] * math.prod(sizes[j] for j in near) > _MAX_CELLS:
            return False
        gone[i] = True
        for j in near:
            around[j] |= near
            around[j] -= {i, j}
            heapq.heappush(queue, (len(around[j]), j))
    return True
