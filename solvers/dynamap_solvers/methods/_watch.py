"""Runs a kernel call that cannot look at the clock or at a callback itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from typing import TypeVar

from dynamap_solvers._kernel.eliminate import Stop
from dynamap_solvers.options import Options
from dynamap_solvers.result import StopReason

__all__ = ["watched"]

T = TypeVar("T")

_PATIENCE = 0.1


def watched(call: Callable[[Stop], T], options: Options, *, method: str) -> tuple[T, StopReason]:
    """Call with a flag that is set when the time is over or the callback cancels.

    Without a limit and a callback the call runs in this thread; else in another, and the callback in this one.

    Returns:
        What the call returned, and why it was stopped (``proved`` where it was not).
    """
    stop = Stop()
    if options.time_limit is None and options.progress is None:
        return call(stop), StopReason.PROVED
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(call, stop)
        stopped = StopReason.PROVED
        while True:
            left = options.remaining()
            try:
                return future.result(timeout=_PATIENCE if left is None else min(_PATIENCE, left + 0.001)), stopped
            except NotYetError:
                if stopped is not StopReason.PROVED:
                    continue
                if options.remaining() == 0:
                    stopped = StopReason.TIME_LIMIT
                elif not options.report(method=method):
                    stopped = StopReason.CANCELLED
                if stopped is not StopReason.PROVED:
                    stop.set()
            except BaseException:
                stop.set()
                raise
