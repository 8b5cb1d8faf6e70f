"""Backends in a process of their own: watched, and ended from outside where they overrun."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from dynamap_solvers.methods._backend import Watch
from dynamap_solvers.result import StopReason

__all__ = ["GRACE_SECONDS", "wait_for"]

GRACE_SECONDS = 1.0
"""How long a process may overrun its time limit before it is ended: it may still be writing down what it found."""

_POLL_SECONDS = 0.1


def wait_for(process: subprocess.Popen[Any], watch: Watch, limit: float | None) -> bool:
    """Wait until a process ends by itself; end it after ``limit`` seconds and the grace, or when the watch says stop.

    Returns:
        Whether it ended by itself. It has ended in any case, also where an exception leaves this function.
    """
    started = time.perf_counter()
    wait = _POLL_SECONDS / 20  # most solves are short
    try:
        while True:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                wait = min(2 * wait, _POLL_SECONDS)
            else:
                return True
            if watch.check() and watch.stop is not StopReason.TIME_LIMIT:
                return False
            if limit is not None and time.perf_counter() - started > limit + GRACE_SECONDS:
                return False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
