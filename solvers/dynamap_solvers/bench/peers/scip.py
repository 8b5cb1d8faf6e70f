"""SCIP through PySCIPOpt. The program goes by an MPS file, far faster than a call per row."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dynamap_solvers.bench.contestants import Claim, Settings, integer_bound
from dynamap_solvers.bench.peers._polytope import Program, local_polytope, pick
from dynamap_solvers.bench.peers.highs import ABSOLUTE_GAP, loaded
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import StopReason

__all__ = ["build", "solve", "write_mps"]


def write_mps(program: Program, path: Path) -> None:
    """The program as an MPS file, by HiGHS, columns named ``c0, c1, ...`` in order."""
    solver = loaded(program)
    for column in range(len(program.costs)):
        solver.passColName(column, f"c{column}")
    for row in range(len(program.lower)):
        solver.passRowName(row, f"r{row}")
    solver.writeModel(str(path))


def build(problem: SelectionProblem, settings: Settings) -> tuple[Program, Any]:
    """The program and a solver that has read it."""
    import pyscipopt  # noqa: PLC0415 - only where the peer runs

    program = local_polytope(problem)
    model = pyscipopt.Model()
    model.hideOutput()
    with tempfile.TemporaryDirectory(prefix="dynamap-scip-") as folder:
        path = Path(folder, "model.mps")
        write_mps(program, path)
        model.readProblem(str(path))
    model.setParam("limits/time", settings.time_limit)
    model.setParam("limits/absgap", ABSOLUTE_GAP if problem.is_integer else 0.0)
    model.setParam("randomization/randomseedshift", settings.seed)
    return program, model


def solve(model: tuple[Program, Any], settings: Settings) -> Claim:  # noqa: ARG001 - set when building
    """Run it and read what it proved."""
    program, solver = model
    solver.optimize()
    status = solver.getStatus()
    if status in {"infeasible", "inforunbd"}:
        return Claim(assignment=None, bound=None, stopped=StopReason.PROVED, infeasible=True)
    found = None
    if solver.getNSols():
        best = solver.getBestSol()
        numbers = np.zeros(program.num_choices)
        for variable in solver.getVars():
            column = int(variable.name.removeprefix("t_").removeprefix("c"))
            if column < program.num_choices:
                numbers[column] = solver.getSolVal(best, variable)
        found = pick(program.problem, numbers)
    bound = solver.getDualbound()
    stopped = {"timelimit": StopReason.TIME_LIMIT, "optimal": StopReason.PROVED, "gaplimit": StopReason.PROVED}
    return Claim(
        assignment=found,
        bound=integer_bound(bound if math.isfinite(bound) and abs(bound) < 1e20 else None, program.problem),
        stopped=stopped.get(status, StopReason.INCONCLUSIVE),
    )
