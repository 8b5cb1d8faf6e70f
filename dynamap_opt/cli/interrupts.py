"""Work that an interrupt at the terminal ends, even while it is inside a native library."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["INTERRUPTED", "interruptible"]

INTERRUPTED = 130
"""The exit code of an interrupted command, as of any program that a shell's interrupt ends."""

_GRACE_S = 1.0
_Result = TypeVar("_Result")


def interruptible(work: Callable[[], _Result], *, cancel: Callable[[], None]) -> _Result:
    """Do the work in a thread of its own, because only a main thread that waits in Python hears of an interrupt.

    Args:
        work: what to do; its result and its exceptions are passed on.
        cancel: asks the work to stop, which it may do within a second before the process ends as interrupted.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        done.wait()  # not Thread.join, which takes a thread for ended once an interrupt has ended the waiting
    except KeyboardInterrupt:
        cancel()
        done.wait(_GRACE_S)  # in which it puts away its temporary files
        # No exception can stop native code, and to finalise the interpreter under it, or under what it has left
        # running, may crash.
        sys.stderr.write("dynamap: interrupted\n")
        sys.stderr.flush()
        _end_children()
        os._exit(INTERRUPTED)
    if errors:
        raise errors[0]
    return results[0]


def _end_children() -> None:
    """End the processes this one has started, where the system names them (Linux): a solver may be one of them.

    At a terminal the interrupt reaches them as well; from a script it reaches this process only.
    """
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError, ValueError):
            for child in path.read_text(encoding="ascii").split():
                os.kill(int(child), signal.SIGKILL)
