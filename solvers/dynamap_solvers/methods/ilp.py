"""Integer programming through PuLP: HiGHS in this process, or the CBC that PuLP bundles in one of its own.

PuLP writes the model and its files; what the backend says is read here with suspicion, because PuLP files a time
limit under ``Optimal`` and old CBC says ``Optimal`` after one: the assignment is priced again by the problem, a bound
is taken only where the backend's own report supports it, and ``optimal`` needs the two to meet.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dynamap_solvers.errors import ProblemError, SolverError
from dynamap_solvers.methods._local_polytope import LocalPolytope, local_polytope
from dynamap_solvers.options import Options
from dynamap_solvers.passes import simplify
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem
from dynamap_solvers.result import Solution, StopReason, infeasible, price

__all__ = ["solve_ilp_cbc", "solve_ilp_highs"]

_HIGHS_EXACT_BELOW = 2.0**50
_CBC_EXACT_BELOW = 1e12  # PuLP writes MPS files with 13 significant digits
_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class _Report:
    """What a backend said.

    Attributes:
        picked: per variable the choice its numbers round to, or None without an assignment.
        bound: a bound of the program it proved, or None.
        stopped: why it stopped, as far as it says.
        infeasible: whether it proved that there is no assignment.
        nodes: of its search tree.
        reason: one sentence where nothing was proved.
    """

    picked: tuple[int, ...] | None
    bound: float | None
    stopped: StopReason
    infeasible: bool = False
    nodes: int | None = None
    reason: str = ""


_Backend = Callable[["_PulpModel", float | None, int], _Report]


def solve_ilp_highs(problem: SelectionProblem, options: Options) -> Solution:
    """Solve by HiGHS. The time limit covers building; HiGHS checks it at its own pace and may overrun it a little.

    Raises:
        ProblemError: if the problem is a batch, or its integers spread over more than float64 can tell apart.
        SolverError: if highspy is not installed.
    """
    return _solve(problem, "ilp-highs", _run_highs, _HIGHS_EXACT_BELOW, options.time_limit, options.seed)


def solve_ilp_cbc(problem: SelectionProblem, options: Options) -> Solution:
    """Solve by CBC, in a process that is ended from outside where it overruns the time limit by a second.

    Raises:
        ProblemError: if the problem is a batch, or its integers spread over more digits than a model file holds.
        SolverError: if PuLP bundles no CBC for this platform and none is on the path.
    """
    return _solve(problem, "ilp-cbc", _run_cbc, _CBC_EXACT_BELOW, options.time_limit, options.seed)


def _solve(
    problem: SelectionProblem, method: str, backend: _Backend, exact_below: float, time_limit: float | None, seed: int
) -> Solution:
    if problem.is_batched:
        raise ProblemError("The integer program takes one cost set at a time; take instance(k) of the batch.")
    started = time.perf_counter()
    seconds: dict[str, float] = {}
    smaller = simplify(problem)
    seconds["simplify"] = time.perf_counter() - started
    if smaller.conflict:
        return infeasible(method=method, reason=smaller.conflict, seconds=seconds, seed=seed)
    offset = smaller.offset.item()
    if offset >= (FINITE_LIMIT if problem.is_integer else math.inf):
        reason = "Two variables with one choice left each forbid each other."
        return infeasible(method=method, reason=reason, seconds=seconds, seed=seed)
    program = local_polytope(smaller.problem, exact_below=exact_below)
    if not program.tables and not program.rows:  # the minimum is choice by choice; nothing to ask a backend
        report = _Report(tuple(int(costs.argmin()) for costs in program.unary), 0.0, StopReason.PROVED)
        seconds["build"] = time.perf_counter() - started - seconds["simplify"]
    else:
        model = _PulpModel(program)
        seconds["build"] = time.perf_counter() - started - seconds["simplify"]
        left = None if time_limit is None else time_limit - (time.perf_counter() - started)
        if left is not None and left <= 0:
            report = _Report(
                None, None, StopReason.TIME_LIMIT, reason="The time limit came while building the program."
            )
        else:
            report = backend(model, left, seed)
        seconds["search"] = time.perf_counter() - started - sum(seconds.values())
    if report.infeasible:
        reason = "The integer program has no solution: forbidden cells and limits exclude each other."
        return infeasible(method=method, reason=reason, seconds=seconds, nodes=report.nodes, seed=seed)
    assignment = None if report.picked is None else smaller.lift(report.picked)
    floor = program.offset + offset
    bound = program.bound(report.bound if report.bound is not None else 0.0) + offset
    reason = report.reason
    if report.stopped is StopReason.PROVED and assignment is not None:
        # A backend that is done has an objective equal to its bound. Where the price of its assignment is another by
        # more than rounding, it did not solve this program, and no bound of its is worth anything.
        cost = problem.evaluate(assignment)
        if abs(cost - bound) > 1e-6 * max(abs(cost - floor), program.largest * program.unit * 1e-3):
            reason = f"The backend claims the optimum {bound}, but its assignment costs {cost}."
            bound = floor
    return price(
        problem,
        assignment=assignment,
        bound=bound,
        method=method,
        stopped=report.stopped,
        seconds=seconds,
        nodes=report.nodes,
        seed=seed,
        reason=reason,
    )


class _PulpModel:
    """The program as a PuLP problem; ``columns[i][a]`` is the variable of choice a of variable i."""

    def __init__(self, program: LocalPolytope) -> None:
        import pulp  # noqa: PLC0415  # importing this package shall cost numpy only

        self.program = program
        self.problem = pulp.LpProblem("selection", pulp.LpMinimize)
        self._pulp = pulp
        add = self.problem.add_variable
        self.columns: list[list[Any]] = [
            [add(f"x{i}_{a}", 0, 1, pulp.LpInteger) for a in range(len(costs))] for i, costs in enumerate(program.unary)
        ]
        objective = [
            (column, float(cost))
            for columns, costs in zip(self.columns, program.unary, strict=True)
            for column, cost in zip(columns, costs, strict=True)
        ]
        for i, columns in enumerate(self.columns):
            self._row(f"one_{i}", [(column, 1.0) for column in columns], pulp.LpConstraintEQ, 1.0)
        for t, table in enumerate(program.tables):
            cells = {
                (a, b): add(f"y{t}_{a}_{b}", 0, None, pulp.LpContinuous) for a, b in np.argwhere(table.allowed).tolist()
            }
            objective += [(cell, float(table.costs[at])) for at, cell in cells.items()]
            for axis, end in enumerate((table.i, table.j)):
                links: list[list[tuple[Any, float]]] = [[(column, -1.0)] for column in self.columns[end]]
                for at, cell in cells.items():
                    links[at[axis]].append((cell, 1.0))
                for a, link in enumerate(links):
                    self._row(f"link_{t}_{axis}_{a}", link, pulp.LpConstraintEQ, 0.0)
        for r, row in enumerate(program.rows):
            terms = [
                (column, float(used))
                for i, usage in row.used.items()
                for column, used in zip(self.columns[i], usage, strict=True)
                if used
            ]
            self._row(f"usage_{r}", terms, pulp.LpConstraintLE, row.limit)
        self.problem.setObjective(pulp.LpAffineExpression(objective))

    def _row(self, name: str, terms: list[tuple[Any, float]], sense: int, right: float) -> None:
        pulp = self._pulp
        self.problem.addConstraint(pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, name, right))

    def pick(self, value: Callable[[Any], float]) -> tuple[int, ...]:
        """Per variable the choice whose number is nearest to 1."""
        return tuple(max(range(len(columns)), key=lambda a: value(columns[a])) for columns in self.columns)


def _run_highs(model: _PulpModel, time_limit: float | None, seed: int) -> _Report:
    import pulp  # noqa: PLC0415  # as above

    solver = pulp.HiGHS(msg=False, gapRel=0.0, gapAbs=0.0, timeLimit=time_limit, random_seed=seed)
    if not solver.available():
        raise SolverError("HiGHS is not available: install highspy, or use method 'ilp-cbc'.")
    # The steps of PuLP's own solve without its last, which files a time limit under Optimal and reads a solution where
    # there may be none.
    solver.createAndConfigureSolver(model.problem)
    solver.buildSolverModel(model.problem)
    solver.callSolver(model.problem)
    highs: Any = model.problem.solverModel
    status = highs.getModelStatus().name
    info = highs.getInfo()
    nodes = max(int(info.mip_node_count), 0)
    if status in {"kInfeasible", "kUnboundedOrInfeasible"}:  # costs are not negative: it cannot be unbounded
        return _Report(None, None, StopReason.PROVED, infeasible=True, nodes=nodes)
    picked = None
    if int(info.primal_solution_status) == 2:  # kSolutionStatusFeasible
        numbers = list(highs.getSolution().col_value)
        picked = model.pick(lambda column: numbers[column.index])
    bound = float(info.mip_dual_bound)
    stopped = {"kOptimal": StopReason.PROVED, "kTimeLimit": StopReason.TIME_LIMIT}.get(status, StopReason.INCONCLUSIVE)
    reason = "" if stopped is StopReason.PROVED else f"HiGHS stopped with the status {status[1:]}."
    return _Report(picked, bound if math.isfinite(bound) else None, stopped, nodes=nodes, reason=reason)


def _run_cbc(model: _PulpModel, time_limit: float | None, seed: int) -> _Report:
    import pulp  # noqa: PLC0415  # as above

    path = _cbc_path()
    with tempfile.TemporaryDirectory(prefix="dynamap-cbc-") as folder:
        mps, found, log = (Path(folder, name) for name in ("model.mps", "model.sol", "cbc.log"))
        columns, column_names, row_names, _ = model.problem.writeMPS(str(mps), rename=1)
        command = [path, str(mps), "-randomSeed", str(seed + 1), "-randomCbcSeed", str(seed + 1)]
        command += ["-ratio", "0", "-allow", "0", "-timeMode", "elapsed"]
        if time_limit is not None:
            command += ["-sec", f"{time_limit:.3f}"]
        command += ["-solve", "-solution", str(found)]
        started = time.perf_counter()
        overrun = False
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # our own arguments, no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder
            )
            try:
                process.wait(None if time_limit is None else time_limit + _GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                overrun = True
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        took = time.perf_counter() - started
        said = log.read_text(errors="replace")
        if overrun or not found.exists():
            late = overrun or (time_limit is not None and took >= time_limit)
            return _Report(
                None,
                _cbc_bound(said),
                StopReason.TIME_LIMIT if late else StopReason.INCONCLUSIVE,
                reason="CBC had to be ended." if overrun else "CBC ended without writing a solution.",
            )
        headline = found.read_text(errors="replace").partition("\n")[0]
        reader = pulp.COIN_CMD(path=path, msg=False)
        _, values, *_ = reader.readsol_MPS(str(found), model.problem, columns, column_names, row_names)
    nodes_said = re.findall(r"^Enumerated nodes:\s+(\d+)", said, re.MULTILINE)
    nodes = int(nodes_said[-1]) if nodes_said else None
    late = time_limit is not None and took >= time_limit
    if headline.startswith(("Infeasible", "Integer infeasible")) and not late:
        return _Report(None, None, StopReason.PROVED, infeasible=True, nodes=nodes)
    price_said = re.search(r"objective value\s+(\S+)", headline)
    picked = None
    if price_said and not headline.startswith(("Infeasible", "Integer infeasible")) and "no integer" not in headline:
        picked = model.pick(lambda column: values[column.name])
    # CBC of 2019 says Optimal after a time limit too, so its word counts only in time and where its log agrees.
    proved = headline.startswith("Optimal") and "Result - Optimal solution found" in said and not late
    if proved and price_said:
        return _Report(picked, float(price_said[1]), StopReason.PROVED, nodes=nodes)
    stopped = StopReason.TIME_LIMIT if late or "time" in headline else StopReason.INCONCLUSIVE
    return _Report(picked, _cbc_bound(said), stopped, nodes=nodes, reason=f"CBC stopped with: {headline.strip()}.")


def _cbc_bound(log: str) -> float | None:
    bounds = re.findall(r"^Lower bound:\s+(\S+)", log, re.MULTILINE)
    with contextlib.suppress(IndexError, ValueError):
        return float(bounds[-1])
    return None


def _cbc_path() -> str:
    from pulp.apis.coin_api import pulp_cbc_path  # noqa: PLC0415  # as above

    if os.access(pulp_cbc_path, os.X_OK):
        return str(pulp_cbc_path)
    path = shutil.which("cbc")
    if path is None:
        raise SolverError(
            "CBC is not available: PuLP bundles none for this platform and none is on the path; use 'ilp'."
        )
    return path
