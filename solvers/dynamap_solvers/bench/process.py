"""Starting, watching and ending the process that runs one contestant on one instance."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from dynamap_solvers.bench._child import Job
from dynamap_solvers.bench.results import Row

__all__ = ["run_job"]

_START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from dynamap_solvers.bench import _child; "
_MAKING_SECONDS = 600.0
_WARMING_SECONDS = 180.0
_LATE_FACTOR, _LATE_SECONDS = 1.05, 1.0
_LOOK_SECONDS = 0.05
_RUN_FACTOR, _RUN_GRACE_SECONDS = 2.0, 15.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_job(job: Job) -> Row:
    """Run it to its end, or to an end: past twice the time limit and a little, or past the memory limit.

    An exception in this process, an interrupt above all, ends the other one first.
    """
    allowed = _RUN_FACTOR * job.settings.time_limit + _RUN_GRACE_SECONDS
    if job.contestant.takes_batch:
        allowed += _MAKING_SECONDS  # a whole batch has no time limit of its own
    ready: dict[str, Any] = {}
    warm: dict[str, Any] = {}
    runs: list[dict[str, Any]] = []
    end: dict[str, Any] = {}
    with tempfile.TemporaryFile() as complaints, _started(job, complaints) as process:
        messages = _reader(process)
        patience = _MAKING_SECONDS
        while not end:
            message = _next(process, messages, patience, job.settings.memory_limit)
            event = message.pop("event")
            if event == "ready":
                ready, patience = message, _WARMING_SECONDS
            elif event == "warm":
                warm, patience = message, allowed
            elif event == "run":
                runs.append(message)
            else:
                end = {"event": event, **message}
        if end.get("kind") == "crashed" and not end.get("reason"):
            complaints.seek(0)
            said = complaints.read()[-2000:].decode(errors="replace").strip().splitlines()
            end["reason"] = f"The process ended with code {process.poll()}. {said[-1] if said else ''}".rstrip()
    return _row(job, ready, warm, runs, end)


@contextlib.contextmanager
def _started(job: Job, complaints: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(job.settings.threads or 1))
    process = subprocess.Popen(  # noqa: S603 - this interpreter, our own code
        [sys.executable, "-c", _START + "_child.main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env=environment,
        start_new_session=True,  # an interrupt at the terminal reaches this process, which ends the other one
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it ended already, and has said why
            process.stdin.write(pickle.dumps(sys.path))
            process.stdin.write(pickle.dumps(job))
            process.stdin.flush()
        yield process
    finally:
        _kill(process)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it with all it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # it leads its own group, which is there until it is waited for
        else:
            process.kill()
    process.wait()


def _reader(process: subprocess.Popen[bytes]) -> queue.SimpleQueue[bytes | None]:
    """Lines of its standard output, None at the end."""
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    assert process.stdout is not None
    stream = process.stdout

    def read() -> None:
        with contextlib.suppress(ValueError):  # closed while reading: the process has been ended
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _next(
    process: subprocess.Popen[bytes], lines: queue.SimpleQueue[bytes | None], patience: float, memory: int | None
) -> dict[str, Any]:
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=_LOOK_SECONDS)
            if line is not None:
                message: dict[str, Any] = json.loads(line)
                return message
            process.wait()
            return {"event": "failed", "kind": "crashed", "reason": ""}
        if memory is not None and (used := _resident(process.pid)) > memory:
            reason = f"It held {used:,} bytes, more than the {memory:,} allowed, and was ended."
            return {"event": "failed", "kind": "memory-limit", "reason": reason}
        if time.monotonic() > deadline:
            reason = f"It did not end by itself within {patience:.0f} s and was ended."
            return {"event": "failed", "kind": "killed", "reason": reason}


def _resident(pid: int) -> int:
    """Bytes a process and all it has started have resident; 0 where the system does not say (other than Linux)."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        own = int(pages) * os.sysconf("SC_PAGE_SIZE")
        started = [
            int(child)
            for path in Path(f"/proc/{pid}/task").glob("*/children")
            for child in path.read_text(encoding="ascii").split()
        ]
    except (OSError, IndexError, ValueError):  # it has ended meanwhile
        return 0
    return own + sum(map(_resident, started))


def _row(job: Job, ready: dict[str, Any], warm: dict[str, Any], runs: list[dict[str, Any]], end: dict[str, Any]) -> Row:
    facts: dict[str, Any] = {key: value for key, value in ready.items() if key != "seconds"} | warm
    facts |= {"instance": job.instance.name, "family": job.instance.family, "method": job.contestant.name}
    if runs:
        last = runs[-1]
        facts |= {key: last[key] for key in last if key not in {"build_seconds", "solve_seconds"}}
        totals = [run["build_seconds"] + run["solve_seconds"] for run in runs]
        facts |= {
            "build_seconds": statistics.median(run["build_seconds"] for run in runs),
            "solve_seconds": statistics.median(run["solve_seconds"] for run in runs),
            "total_seconds": (min(totals), max(totals)),
            "runs": len(runs),
            "peak_bytes": max((run["peak_bytes"] or 0 for run in runs), default=0) or None,
        }
    if end["event"] == "refused":
        facts |= {"status": "refused", "stop_reason": "refused", "reason": end["reason"]}
    elif end["event"] == "failed" and not runs:
        facts |= {"status": "unknown", "stop_reason": end["kind"], "reason": end["reason"]}
    return _in_time(Row.from_dict(facts), job)


def _in_time(row: Row, job: Job) -> Row:
    """The row, without the proof where that came only after the time limit and a little: others were not given more."""
    allowed = _LATE_FACTOR * job.settings.time_limit + _LATE_SECONDS
    if not row.proved or row.cost_sets > 1 or row.solve_seconds is None or row.solve_seconds <= allowed:
        return row
    status = "unknown" if row.objective is None else "feasible"
    reason = f"It proved its answer only after {row.solve_seconds:.1f} s."
    return replace(row, status=status, stop_reason="time-limit", reason=reason)
