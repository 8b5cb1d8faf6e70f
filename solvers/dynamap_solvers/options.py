"""What a caller may ask of a solve, and what it can watch and stop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dynamap_solvers.errors import ProblemError

__all__ = ["Options", "Progress", "ProgressCallback", "available_threads"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a solve stands.

    Attributes:
        method: the method at work.
        phase: what it is doing (``simplify``, ``build``, ``search``, ...).
        seconds: since the solve began.
        objective: of the best assignment so far, as the method prices it; None without one.
        bound: proved so far; None where nothing is.
        nodes: of the search tree so far; None where there is none.
    """

    method: str
    phase: str
    seconds: float
    objective: int | float | None = None
    bound: int | float | None = None
    nodes: int | None = None


ProgressCallback = Callable[[Progress], bool | None]
"""Called from the solving thread every tenth of a second or so; returning False cancels the solve."""


def available_threads() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one solve; the clock starts when the object is made.

    Attributes:
        time_limit: seconds of wall time, building included; None for no limit.
        gap: stop when ``(objective - bound) / |objective|`` is at most this; 0 asks for the optimum.
        seed: for methods that randomise, 0 to 2**31 - 1.
        warm_start: an assignment to begin with, or None.
        threads: how many a method may use; None for :func:`available_threads` where it is an elimination, which has the
            same outcome for any number, and for one elsewhere.
        progress: see :data:`ProgressCallback`.

    Raises:
        ProblemError: if an option is out of range.
    """

    time_limit: float | None = None
    gap: float = 0.0
    seed: int = 0
    warm_start: tuple[int, ...] | None = None
    threads: int | None = None
    progress: ProgressCallback | None = None
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.time_limit is not None and not 0 < self.time_limit < math.inf:
            raise ProblemError(f"The time limit is {self.time_limit}; give a positive number of seconds, or None.")
        if not 0 <= self.gap < math.inf:
            raise ProblemError(f"The gap is {self.gap}; give a number of at least 0, as 0.01 for one percent.")
        if not 0 <= self.seed < 2**31:
            raise ProblemError(f"The seed is {self.seed}; give an integer from 0 to 2**31 - 1.")
        if self.threads is not None and self.threads < 1:
            raise ProblemError(f"There are {self.threads} threads; give at least 1, or None.")

    @property
    def elapsed(self) -> float:
        """Seconds since the clock started."""
        return time.perf_counter() - self.started

    def remaining(self) -> float | None:
        """Seconds left, not below 0; None without a limit."""
        return None if self.time_limit is None else max(self.time_limit - self.elapsed, 0.0)

    def report(
        self,
        *,
        method: str,
        phase: str = "search",
        objective: float | None = None,
        bound: float | None = None,
        nodes: int | None = None,
    ) -> bool:
        """Tell the caller where things stand; False when it cancels. Integers stay integers."""
        if self.progress is None:
            return True
        now = Progress(method=method, phase=phase, seconds=self.elapsed, objective=objective, bound=bound, nodes=nodes)
        return self.progress(now) is not False

    def reached(self, objective: float | None, bound: float | None) -> bool:
        """Whether the gap between them is as small as asked."""
        if objective is None or bound is None:
            return False
        return objective - bound <= self.gap * abs(objective)
