"""One contestant on one instance, in a process of its own: what it measures it says in JSON lines.

The process reads a pickled job from standard input and ends when that closes, so that nothing outlives an interrupted
benchmark. What solvers print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dynamap_solvers.batch import BatchSolution
from dynamap_solvers.bench.contestants import BATCH_SAMPLE, Contestant, Settings, judge, rebuilt
from dynamap_solvers.bench.suites import Instance
from dynamap_solvers.bench.width import min_degree_width
from dynamap_solvers.errors import SolverError
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, Status

__all__ = ["Job", "main"]

_REPEAT_BUDGET_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the process is asked to do."""

    instance: Instance
    contestant: Contestant
    settings: Settings


def main() -> None:
    """Do the job on standard input."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(event: str, **facts: Any) -> None:
        lines.write(json.dumps({"event": event, **facts}) + "\n")
        lines.flush()

    code = 0
    try:
        job: Job = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
        threading.Thread(target=_end_with_the_parent, daemon=True).start()
        _work(job, say)
        say("done")
    except SolverError as error:
        say("refused", reason=str(error))
    except MemoryError:
        say("failed", kind="memory-limit", reason="There was not enough memory.")
    except Exception as error:  # noqa: BLE001 - whatever a contestant raises is its result, not the benchmark's end
        say("failed", kind="crashed", reason=f"{type(error).__name__}: {error}")
        code = 1
    sys.stderr.flush()
    os._exit(code)  # without the finalisers of native libraries, of which some do not return


def _end_with_the_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(3)


def _work(job: Job, say: Any) -> None:
    contestant, settings = job.contestant, job.settings
    started = time.perf_counter()
    source = job.instance.make(**job.instance.options)
    width = job.instance.treewidth_upper_bound
    if width is None and contestant.reference:  # once per instance is enough
        width = min_degree_width(source.num_variables, source.edge_ends)
    say(
        "ready",
        seconds=time.perf_counter() - started,
        variables=source.num_variables,
        edges=source.num_edges,
        max_choices=int(source.sizes.max(initial=0)),
        treewidth_upper_bound=width,
    )
    if source.usage_costs is not None and not contestant.takes_usage:
        raise SolverError(f"Method {contestant.name!r} takes no problem with a usage limit.")
    if contestant.takes_batch and not contestant.reference and not source.is_batched:
        raise SolverError(f"Method {contestant.name!r} is for batches.")
    started = time.perf_counter()
    for module in contestant.requires:
        importlib.import_module(module)
    imported = time.perf_counter()
    _warm_up(contestant, settings)
    say("warm", import_seconds=imported - started, first_call_seconds=time.perf_counter() - imported)
    spent = 0.0
    for _ in range(settings.repeat):
        base = _resident_bytes()
        _forget_peak()
        facts, claims = _run(contestant, source, settings)
        facts |= {"base_bytes": base, "peak_bytes": _peak_bytes()}
        say("run", **facts, **_judged(contestant, source, claims))
        spent += facts["build_seconds"] + facts["solve_seconds"]
        if spent > _REPEAT_BUDGET_SECONDS:
            break


def _warm_up(contestant: Contestant, settings: Settings) -> None:
    """One small solve, so that what happens once per process is timed apart."""
    shape = (2,) if contestant.takes_batch else ()
    problem = SelectionProblem.from_flat(
        domain_sizes=[2, 2],
        unary=np.ones((*shape, 4), np.int64),
        edges=[(0, 1)],
        pair=np.eye(2, dtype=np.int64).ravel(),
    )
    contestant.solve(contestant.build(problem, settings), settings)


def _run(contestant: Contestant, source: SelectionProblem, settings: Settings) -> tuple[dict[str, Any], list[Any]]:
    """Timed; a batch goes through a method that takes one cost set at a time one by one, a sample of it only."""
    if source.is_batched and not contestant.takes_batch:
        problems = [source.instance(k) for k in range(min(BATCH_SAMPLE, source.batch_size))]
        cost_sets = len(problems)
    else:
        # Made anew, so that no repetition profits from what another one has derived and kept.
        problems, cost_sets = [rebuilt(source)], source.batch_size
    build = search = 0.0
    claims = []
    for problem in problems:
        started = time.perf_counter()
        model = contestant.build(problem, settings)
        built = time.perf_counter()
        claims.append(contestant.solve(model, settings))
        search += time.perf_counter() - built
        build += built - started
    return {"build_seconds": build, "solve_seconds": search, "cost_sets": cost_sets}, claims


def _judged(contestant: Contestant, source: SelectionProblem, claims: list[Any]) -> dict[str, Any]:
    if contestant.reference:
        return {"status": "reference", "stop_reason": "measured"}
    if isinstance(claims[0], BatchSolution):
        batch = claims[0]
        sample = [batch.solution(k) for k in range(min(BATCH_SAMPLE, source.batch_size))]
    elif source.is_batched:
        sample = [judge(source.instance(k), claim, method=contestant.name) for k, claim in enumerate(claims)]
    else:
        return _facts(judge(source, claims[0], method=contestant.name))
    worst = next((s for s in sample if s.status is not Status.OPTIMAL), None)
    if worst is not None:
        return _facts(worst) | {"objective": None, "bound": None}
    total = sum(s.objective_value() for s in sample)
    return _facts(sample[0]) | {"objective": total, "bound": total}


def _facts(solution: Solution) -> dict[str, Any]:
    return {
        "status": solution.status.value,
        "stop_reason": solution.stop_reason.value,
        "objective": solution.objective,
        "bound": None if solution.bound is None or not np.isfinite(solution.bound) else solution.bound,
        "solved_by": solution.method,
        "reason": solution.reason,
    }


def _resident_bytes() -> int | None:
    return _from_status("VmRSS:")


def _forget_peak() -> None:
    """Let the system's record of the peak begin anew, where it can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _peak_bytes() -> int | None:
    """The most this process, or one it has started, has had resident."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    own = _from_status("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit)


def _from_status(label: str) -> int | None:
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    line = next((line for line in text.splitlines() if line.startswith(label)), "")
    return int(line.split()[1]) * 1024 if line else None
