"""Method ``ortools``: the local polytope in integers, solved by OR-tools CP-SAT in a process of its own.

One Boolean per choice and per allowed pair, "exactly one" per variable and per row and column of a table given what it
stands for: CP-SAT's relaxation is then the local polytope. It runs in a process of its own because OR-tools does not
load where another version of HiGHS has been loaded.
"""

from __future__ import annotations

import json
from typing import Any

from dynamap_solvers.methods._backend import Claim, Clock, conclude, ready
from dynamap_solvers.methods._child import GRACE_SECONDS, Follower, ask
from dynamap_solvers.methods._conflict import explain
from dynamap_solvers.methods._integers import IntegerCosts, integer_costs
from dynamap_solvers.methods._reduced import ReducedCosts
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason

__all__ = ["solve_ortools"]

_COUNTS_BELOW = 2**53  # CP-SAT counts in int64, but says its bound as a double


def solve_ortools(problem: SelectionProblem, options: Options) -> Solution:
    """Solve by CP-SAT with as many workers as threads; takes warm starts as hints.

    ``seconds`` has the start of the process, its imports included, as ``start``.

    Raises:
        ProblemError: if costs may add up to ``2**53`` or more.
        SolverError: if the process fails.
    """
    clock = Clock()
    reduced = ready(problem, options, "ortools", clock)
    if not isinstance(reduced, ReducedCosts):
        return reduced
    costs = integer_costs(reduced, top_below=_COUNTS_BELOW, backend="CP-SAT")
    document = _document(costs, options)
    claim = _claim(document, costs, options, clock)
    return conclude(problem, options, "ortools", reduced, explain(problem, reduced, claim, options), clock)


def _document(costs: IntegerCosts, options: Options) -> dict[str, Any]:
    """What the process is told: the reduced costs, and per live set its choices, usages and room."""
    reduced, sets = costs.reduced, costs.reduced.sets
    limits = []
    for k in range(0 if sets is None else sets.count):
        assert sets is not None
        choices = [c for i in sets.members(k) for c in range(reduced.starts[i], reduced.starts[i + 1]) if sets.used[c]]
        limits.append({"choices": choices, "used": sets.used[choices].tolist(), "room": int(sets.room[k])})
    lowered = None if options.warm_start is None else reduced.lower(options.warm_start)
    return {
        "starts": reduced.starts.tolist(),
        "unary": costs.unary.tolist(),
        "cells": costs.cells.tolist(),
        "lines": [
            {"of_cell": reduced.cell_row.tolist(), "choice": reduced.row_choice.tolist()},
            {"of_cell": reduced.cell_column.tolist(), "choice": reduced.column_choice.tolist()},
        ],
        "limits": limits,
        "warm": None if lowered is None else list(lowered),
        "seed": options.seed,
        "threads": options.threads or 1,
    }


def _claim(document: dict[str, Any], costs: IntegerCosts, options: Options, clock: Clock) -> Claim:
    said = _Follower(options, "ortools", costs)
    answer = ask("_ortools_child.py", document, options, said, clock, grace=GRACE_SECONDS)
    bound = None if said.lower is None else costs.bound(said.lower)
    if answer is None:
        assert said.stop is not None
        reason = f"CP-SAT was ended: {said.stop}."
        return Claim(picked=said.picked, bound=bound, stopped=said.stop, nodes=said.nodes, reason=reason)
    status, nodes = answer["status"], answer["nodes"]
    if status == "INFEASIBLE":
        return Claim(stopped=StopReason.PROVED, infeasible=True, nodes=nodes)
    picked = None if answer["picked"] is None else tuple(answer["picked"])
    if answer["bound"] is not None:
        bound = costs.bound(answer["bound"])
    if status == "OPTIMAL":
        slack = costs.slack(answer["bound"])
        return Claim(picked=picked, bound=bound, stopped=StopReason.PROVED, nodes=nodes, slack=slack)
    stopped = said.stop or (StopReason.TIME_LIMIT if options.remaining() == 0 else StopReason.INCONCLUSIVE)
    reason = f"CP-SAT stopped with the status {status}."
    return Claim(picked=picked, bound=bound, stopped=stopped, nodes=nodes, reason=reason)


class _Follower(Follower):
    """Reads JSON, an object a line: ``{"picked": [...], "value": 12}`` or ``{"bound": 10}``."""

    def take(self, line: str) -> None:
        """Understand one line."""
        said = json.loads(line)
        if "picked" in said:
            self.best(tuple(said["picked"]), said["value"])
        else:
            self.proved(said["bound"])
