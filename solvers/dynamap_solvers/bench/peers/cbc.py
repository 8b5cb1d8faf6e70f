"""The CBC that PuLP bundles (of 2019), as a process of its own, on an MPS file."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from dynamap_solvers.bench.contestants import Claim, Settings, integer_bound
from dynamap_solvers.bench.peers._polytope import Program, local_polytope, pick
from dynamap_solvers.bench.peers.highs import ABSOLUTE_GAP
from dynamap_solvers.bench.peers.scip import write_mps
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import StopReason

__all__ = ["build", "solve"]

_GRACE_SECONDS = 2.0
_Model = tuple[Program, "tempfile.TemporaryDirectory[str]"]


def build(problem: SelectionProblem, settings: Settings) -> _Model:  # noqa: ARG001 - given when solving
    """The program and the folder that holds its file."""
    program = local_polytope(problem)
    folder = tempfile.TemporaryDirectory(prefix="dynamap-cbc-")
    write_mps(program, Path(folder.name, "model.mps"))
    return program, folder


def solve(model: _Model, settings: Settings) -> Claim:
    """Run it, end it where it overruns its limit, and believe only what its log supports."""
    from pulp.apis.coin_api import pulp_cbc_path  # noqa: PLC0415 - only where the peer runs

    program, folder = model
    with folder:
        answer, log = Path(folder.name, "answer"), Path(folder.name, "log")
        command = [str(pulp_cbc_path), "model.mps", "-sec", f"{settings.time_limit:.3f}", "-timeMode", "elapsed"]
        gap = ABSOLUTE_GAP if program.problem.is_integer else 0
        command += ["-ratio", "0", "-allow", str(gap), "-randomCbcSeed", str(settings.seed + 1)]
        command += ["-solve", "-printingOptions", "all", "-solution", "answer"]
        started = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                command, cwd=folder.name, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                process.wait(settings.time_limit + _GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        late = time.perf_counter() - started >= settings.time_limit
        said = log.read_text(errors="replace")
        lines = answer.read_text(errors="replace").splitlines() if answer.exists() else []
    headline = lines[0] if lines else ""
    if headline.startswith(("Infeasible", "Integer infeasible")) and not late:
        return Claim(assignment=None, bound=None, stopped=StopReason.PROVED, infeasible=True)
    found = None
    if "objective value" in headline and "no integer" not in headline and "nfeasible" not in headline:
        numbers = np.zeros(program.num_choices)
        for line in lines[1:]:
            match = re.match(r"(?:\*\*)?\s*\d+\s+c(\d+)\s+(\S+)", line)
            if match and int(match[1]) < program.num_choices:
                numbers[int(match[1])] = float(match[2])
        found = pick(program.problem, numbers)
    # CBC says Optimal after a time limit too: its word counts only in time and where its log agrees.
    proved = headline.startswith("Optimal") and "Result - Optimal solution found" in said and not late
    bounds = re.findall(r"^Lower bound:\s+(\S+)", said, re.MULTILINE)
    bound = float(bounds[-1]) if bounds else None
    return Claim(
        assignment=found,
        bound=integer_bound(bound, program.problem),
        stopped=StopReason.PROVED if proved else StopReason.TIME_LIMIT if late else StopReason.INCONCLUSIVE,
    )
