"""Method ``ilp-cbc``: the local polytope through PuLP, solved by the CBC that PuLP bundles, in a process of its own.

That CBC is of 2019. After a time limit it may say ``Optimal``, and it may overrun one by far, so its word counts only
in time and where its log agrees, and the limit is enforced from outside. It is given no warm start, which it ignores
or is harmed by.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from dynamap_solvers.errors import SolverError
from dynamap_solvers.methods._backend import Claim, Watch
from dynamap_solvers.methods._child import wait_for
from dynamap_solvers.methods._local_polytope import LocalPolytope
from dynamap_solvers.methods._pulp import PulpModel, solve_with_pulp
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason

__all__ = ["solve_ilp_cbc"]

_EXACT_BELOW = 1e12  # PuLP writes MPS files with 13 significant digits


def solve_ilp_cbc(problem: SelectionProblem, options: Options) -> Solution:
    """Solve by CBC, in a process that is ended from outside where it overruns the time limit by a second.

    Raises:
        ProblemError: if the problem's integers spread over more digits than a model file holds.
        SolverError: if PuLP bundles no CBC for this platform and none is on the path.
    """
    return solve_with_pulp(problem, options, method="ilp-cbc", backend=_run, exact_below=_EXACT_BELOW)


def _run(model: PulpModel, options: Options, watch: Watch) -> Claim:
    import pulp  # noqa: PLC0415  # importing this package shall cost numpy only

    path = _cbc_path()
    program = model.program
    with tempfile.TemporaryDirectory(prefix="dynamap-cbc-") as folder:
        mps, found, log = (Path(folder, name) for name in ("model.mps", "model.sol", "cbc.log"))
        columns, column_names, row_names, _ = model.problem.writeMPS(str(mps), rename=1)
        limit = options.remaining()
        command = [path, str(mps), *_arguments(program, options), "-solve", "-solution", str(found)]
        started = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # our own arguments, no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder
            )
            ended = wait_for(process, watch, limit)
        took = time.perf_counter() - started
        said = log.read_text(errors="replace")
        late = limit is not None and took >= limit
        if not ended or not found.exists():
            cancelled = watch.stop is not None and watch.stop is not StopReason.TIME_LIMIT
            if cancelled:
                assert watch.stop is not None
                return Claim(bound=_logged_bound(program, said), stopped=watch.stop, reason="CBC was ended.")
            return Claim(
                bound=_logged_bound(program, said),
                stopped=StopReason.TIME_LIMIT if late or not ended else StopReason.INCONCLUSIVE,
                reason="CBC had to be ended." if not ended else "CBC ended without writing a solution.",
            )
        headline = found.read_text(errors="replace").partition("\n")[0]
        reader = pulp.COIN_CMD(path=path, msg=False)
        _, values, *_ = reader.readsol_MPS(str(found), model.problem, columns, column_names, row_names)
    return _read(model, headline, said, values, late=late)


def _read(model: PulpModel, headline: str, said: str, values: dict[str, float], *, late: bool) -> Claim:
    program = model.program
    nodes_said = re.findall(r"^Enumerated nodes:\s+(\d+)", said, re.MULTILINE)
    nodes = int(nodes_said[-1]) if nodes_said else None
    nothing = headline.startswith(("Infeasible", "Integer infeasible"))
    if nothing and not late:
        return Claim(stopped=StopReason.PROVED, infeasible=True, nodes=nodes)
    price_said = re.search(r"objective value\s+(\S+)", headline)
    picked = None
    if price_said and not nothing and "no integer" not in headline:
        picked = model.pick(lambda column: values[column.name])
    # CBC of 2019 says Optimal after a time limit too, so its word counts only in time and where its log agrees.
    proved = headline.startswith("Optimal") and "Result - Optimal solution found" in said and not late
    within_gap = "(within gap tolerance)" in said
    if proved and price_said and not within_gap:
        value = float(price_said[1])
        slack = 1e-6 * max(abs(value) * float(program.unit), program.largest * float(program.unit) * 1e-3)
        return Claim(picked=picked, bound=program.bound(value), stopped=StopReason.PROVED, nodes=nodes, slack=slack)
    stopped = StopReason.TIME_LIMIT if late or "time" in headline else StopReason.INCONCLUSIVE
    reason = f"CBC stopped with: {headline.strip()}."
    return Claim(picked=picked, bound=_logged_bound(program, said), stopped=stopped, nodes=nodes, reason=reason)


def _arguments(program: LocalPolytope, options: Options) -> list[str]:
    arguments = ["-randomSeed", str(options.seed + 1), "-randomCbcSeed", str(options.seed + 1)]
    arguments += ["-timeMode", "elapsed"]
    relative, absolute = program.gaps(options.gap)
    arguments += ["-ratio", repr(relative), "-allow", repr(absolute)]
    if options.threads is not None and options.threads > 1:
        arguments += ["-threads", str(options.threads)]
    remaining = options.remaining()
    if remaining is not None:
        arguments += ["-sec", f"{remaining:.3f}"]
    return arguments


def _logged_bound(program: LocalPolytope, log: str) -> int | float | None:
    bounds: list[Any] = re.findall(r"^Lower bound:\s+(\S+)", log, re.MULTILINE)
    with contextlib.suppress(IndexError, ValueError):
        return program.bound(float(bounds[-1]))
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
