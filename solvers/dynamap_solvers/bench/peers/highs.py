"""HiGHS through highspy: the local polytope as one matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dynamap_solvers.bench.contestants import Claim, Settings, integer_bound
from dynamap_solvers.bench.peers._polytope import Program, local_polytope, pick
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import StopReason

__all__ = ["ABSOLUTE_GAP", "build", "loaded", "solve"]

ABSOLUTE_GAP = 0.5
"""Objectives are integers: a bound less than 1 below the incumbent proves it."""


def loaded(program: Program) -> Any:
    """A silent HiGHS with the program in it, constant included."""
    import highspy  # noqa: PLC0415 - only where the peer runs

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(program.costs), len(program.lower)
    lp.col_cost_ = program.costs
    lp.col_lower_ = np.zeros(len(program.costs))
    lp.col_upper_ = program.column_upper
    lp.row_lower_, lp.row_upper_ = program.lower, program.upper
    lp.offset_ = program.offset
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = program.starts, program.rows, program.values
    kinds = [highspy.HighsVarType.kInteger] * program.num_choices
    lp.integrality_ = kinds + [highspy.HighsVarType.kContinuous] * (len(program.costs) - program.num_choices)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.passModel(lp)
    return solver


def build(problem: SelectionProblem, settings: Settings) -> tuple[Program, Any]:
    """The program and a solver that holds it."""
    program = local_polytope(problem)
    solver = loaded(program)
    for option, value in (
        ("threads", settings.threads or 1),
        ("random_seed", settings.seed),
        ("time_limit", settings.time_limit),
        ("mip_rel_gap", 0.0),
        ("mip_abs_gap", ABSOLUTE_GAP if problem.is_integer else 0.0),
    ):
        solver.setOptionValue(option, value)
    return program, solver


def solve(model: tuple[Program, Any], settings: Settings) -> Claim:  # noqa: ARG001 - set when building
    """Run it and read what it proved."""
    program, solver = model
    solver.run()
    status, info = solver.getModelStatus().name, solver.getInfo()
    if status in {"kInfeasible", "kUnboundedOrInfeasible"}:  # every column is bounded
        return Claim(assignment=None, bound=None, stopped=StopReason.PROVED, infeasible=True)
    found = None
    if int(info.primal_solution_status) == 2:  # kSolutionStatusFeasible
        found = pick(program.problem, np.asarray(solver.getSolution().col_value[: program.num_choices]))
    bound = float(info.mip_dual_bound)
    return Claim(
        assignment=found,
        bound=integer_bound(bound if math.isfinite(bound) else None, program.problem),
        stopped={"kOptimal": StopReason.PROVED, "kTimeLimit": StopReason.TIME_LIMIT}.get(
            status, StopReason.INCONCLUSIVE
        ),
    )
