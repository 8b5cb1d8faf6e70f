"""OR-tools CP-SAT: a Boolean per choice and per allowed pair of choices."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynamap_solvers.bench.contestants import Claim, Settings, integer_bound
from dynamap_solvers.bench.peers._polytope import check_plain, pick
from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem
from dynamap_solvers.result import StopReason

__all__ = ["build", "solve"]

_Model = tuple[SelectionProblem, Any, list[Any]]


def build(problem: SelectionProblem, settings: Settings) -> _Model:  # noqa: ARG001 - given when solving
    """The model and the Booleans of the choices.

    Raises:
        ProblemError: for float costs, which CP-SAT does not take exactly.
    """
    from ortools.sat.python import cp_model  # noqa: PLC0415 - only where the peer runs

    check_plain(problem)
    if not problem.is_integer:
        raise ProblemError("CP-SAT is exact on integer costs only.")
    model = cp_model.CpModel()
    starts, pair_starts = problem.unary_starts.tolist(), problem.pair_starts.tolist()
    sizes, unary = problem.sizes.tolist(), problem.unary_costs.tolist()
    pick_one = [model.new_bool_var("") for _ in unary]
    for i in range(len(sizes)):
        model.add_exactly_one(pick_one[starts[i] : starts[i + 1]])
    terms, weights = [], []
    for column, cost in enumerate(unary):
        if cost >= FINITE_LIMIT:
            model.add(pick_one[column] == 0)
        else:
            terms.append(pick_one[column])
            weights.append(cost)
    for e, (i, j) in enumerate(problem.edge_ends.tolist()):
        table = problem.pair_costs[pair_starts[e] : pair_starts[e + 1]].reshape(sizes[i], sizes[j])
        cells = np.full(table.shape, None, object)
        for a, b in np.argwhere(table < FINITE_LIMIT).tolist():
            cells[a, b] = model.new_bool_var("")
            terms.append(cells[a, b])
            weights.append(int(table[a, b]))
        for end, count, lines in ((i, sizes[i], cells), (j, sizes[j], cells.T)):
            for a in range(count):
                line = [cell for cell in lines[a] if cell is not None]
                model.add(cp_model.LinearExpr.sum(line) == pick_one[starts[end] + a])
    if problem.usage_costs is not None:
        used = problem.usage_costs.tolist()
        for members in problem.live_sets():
            columns = [column for i in members for column in range(starts[i], starts[i + 1]) if used[column]]
            total = cp_model.LinearExpr.weighted_sum([pick_one[c] for c in columns], [used[c] for c in columns])
            model.add(total <= problem.usage_limit)
    model.minimize(cp_model.LinearExpr.weighted_sum(terms, weights))
    return problem, model, pick_one


def solve(model: _Model, settings: Settings) -> Claim:
    """Run it and read what it proved."""
    from ortools.sat.python import cp_model  # noqa: PLC0415 - only where the peer runs

    problem, program, pick_one = model
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = settings.time_limit
    solver.parameters.num_workers = settings.threads or 1
    solver.parameters.random_seed = settings.seed
    solver.parameters.linearization_level = 2  # far better here: its relaxation then knows the local polytope
    status = solver.solve(program)
    if status == cp_model.INFEASIBLE:
        return Claim(assignment=None, bound=None, stopped=StopReason.PROVED, infeasible=True)
    found = None
    if status in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        found = pick(problem, np.array([solver.value(choice) for choice in pick_one], np.float64))
    stopped = StopReason.PROVED if status == cp_model.OPTIMAL else StopReason.TIME_LIMIT
    return Claim(assignment=found, bound=integer_bound(solver.best_objective_bound, problem), stopped=stopped)
