"""What every method that calls somebody else's solver shares: how a claim is read, watched and turned into a result.

A backend makes a :class:`Claim`; :func:`conclude` believes as much of it as the numbers support. The assignment is
priced again by the problem, a bound counts only where the backend's own report supports it, and "infeasible" is not
believed against a feasible assignment in hand.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from dynamap_solvers.certificates import Certificate
from dynamap_solvers.methods._reduced import ReducedCosts, reduce_costs
from dynamap_solvers.options import Options
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem
from dynamap_solvers.result import Solution, StopReason, infeasible, price

__all__ = ["Claim", "Clock", "Watch", "conclude", "ready", "watched"]

_POLL_SECONDS = 0.1
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a backend said.

    Attributes:
        picked: per variable the reduced choice, or None without an assignment.
        bound: of the problem's objective (offset and unit applied), or None.
        stopped: why it stopped, as far as it says.
        infeasible: whether it says it proved that there is no assignment.
        nodes: of its search tree, or None.
        reason: one sentence where nothing was proved.
        slack: by how much the price of its assignment may differ from its bound where it claims the optimum; None
            where that is not to be compared.
        certificate: a proof of ``bound``, where there is one.
    """

    picked: tuple[int, ...] | None = None
    bound: int | float | None = None
    stopped: StopReason
    infeasible: bool = False
    nodes: int | None = None
    reason: str = ""
    slack: float | None = None
    certificate: Certificate | None = None


@dataclass
class Clock:
    """Wall time by phase; a phase ends where the next one begins."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, phase: str) -> None:
        """Book what passed since the last lap on a phase."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now

    def move(self, phase: str, to: str, seconds: float) -> None:
        """Book part of a phase on another one, as a backend in another process reports it."""
        seconds = min(max(seconds, 0.0), self.seconds.get(phase, 0.0))
        self.seconds[phase] = self.seconds.get(phase, 0.0) - seconds
        self.seconds[to] = self.seconds.get(to, 0.0) + seconds


class Watch:
    """Between a running backend and the caller: the backend's thread leaves numbers, the caller's thread reports them.

    Attributes:
        objective: of the best assignment so far, of the problem, rounded as the backend has it.
        bound: proved so far, likewise.
        nodes: so far.
        stop: why the backend shall stop; None while it may go on.
    """

    def __init__(self, options: Options, method: str) -> None:
        self.objective: int | float | None = None
        self.bound: int | float | None = None
        self.nodes: int | None = None
        self.stop: StopReason | None = None
        self._options = options
        self._method = method

    def check(self) -> bool:
        """Report to the caller; whether the backend shall stop, for its reason see :attr:`stop`."""
        options = self._options
        if self.stop is not None:
            return True
        if not options.report(
            method=self._method, phase="search", objective=self.objective, bound=self.bound, nodes=self.nodes
        ):
            self.stop = StopReason.CANCELLED
        elif options.gap > 0 and options.reached(self.objective, self.bound):
            self.stop = StopReason.GAP_LIMIT
        elif options.remaining() == 0:
            self.stop = StopReason.TIME_LIMIT
        return self.stop is not None


def watched(work: Callable[[], _T], watch: Watch, halt: Callable[[], None]) -> _T:
    """Run ``work`` in a thread of its own while the calling thread watches; ``halt`` asks it to stop, again and again.

    The thread is new each time: HiGHS keeps its workers per thread, and would refuse another number of them in an old
    one. The progress callback runs in the caller's thread. An interrupt (Ctrl-C) halts the backend before it goes on.
    """
    outcome: list[_T] = []
    failure: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # handed to the calling thread below
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="dynamap-backend")
    thread.start()
    try:
        wait = _POLL_SECONDS / 10  # most solves are short
        while not done.wait(wait):
            wait = _POLL_SECONDS
            if watch.check():
                halt()
    finally:
        while thread.is_alive():
            if not done.is_set():
                halt()
            thread.join(_POLL_SECONDS)
    if failure:
        raise failure[0]
    return outcome[0]


def ready(problem: SelectionProblem, options: Options, method: str, clock: Clock) -> ReducedCosts | Solution:
    """The costs made ready for a backend, or the solution where none is needed."""
    reduced = reduce_costs(problem)
    clock.lap("simplify")
    if reduced.conflict:
        return infeasible(method=method, reason=reduced.conflict, seconds=clock.seconds, seed=options.seed)
    if reduced.is_trivial:  # the minimum is choice by choice; nothing to ask a backend
        claim = Claim(picked=reduced.cheapest(), bound=reduced.offset, stopped=StopReason.PROVED)
        clock.lap("search")
        return conclude(problem, options, method, reduced, claim, clock)
    if options.gap > 0 and options.warm_start is not None:
        cost = problem.evaluate(options.warm_start)
        if cost < problem.infeasible_value and options.reached(cost, reduced.offset):
            claim = Claim(stopped=StopReason.GAP_LIMIT, reason="The warm start is within the gap asked for.")
            return conclude(problem, options, method, reduced, claim, clock)
    return reduced


def conclude(
    problem: SelectionProblem, options: Options, method: str, reduced: ReducedCosts, claim: Claim, clock: Clock
) -> Solution:
    """Turn a claim into a solution; the assignment is the better of the backend's and the warm start."""
    limit = FINITE_LIMIT if problem.is_integer else math.inf
    reason = claim.reason
    assignment = None if claim.picked is None else reduced.lift(claim.picked)
    cost = problem.evaluate(assignment) if assignment is not None else problem.infeasible_value
    bound = reduced.offset if claim.bound is None else max(claim.bound, reduced.offset)
    certificate = claim.certificate
    compared = claim.stopped is StopReason.PROVED and assignment is not None and claim.slack is not None
    if compared and abs(cost - bound) > (claim.slack or 0.0) and not options.reached(cost, bound):
        # A backend that is done has an objective equal to its bound. Where the price of its assignment is another by
        # more than rounding, it did not solve this program, and no bound of its is worth anything.
        reason = f"The backend claims the optimum {bound}, but its assignment costs {cost}."
        bound, certificate = reduced.offset, None
    if assignment is not None and cost >= limit:
        reason = reason or "The assignment the backend returned takes a forbidden cell or exceeds the usage limit."
        assignment = None
    if options.warm_start is not None:
        warm = problem.evaluate(options.warm_start)
        if warm < limit and (assignment is None or warm < cost):
            assignment, cost = options.warm_start, warm
    if claim.infeasible:
        if assignment is None:
            return infeasible(
                method=method,
                reason=reason or "Forbidden cells and limits exclude each other.",
                seconds=clock.seconds,
                nodes=claim.nodes,
                seed=options.seed,
            )
        reason = "The backend claims that no assignment is allowed, but the warm start is."
        bound = reduced.offset
    stopped = claim.stopped
    if assignment is not None and options.gap > 0 and options.reached(cost, bound):
        stopped = StopReason.GAP_LIMIT  # where it is proved as well, price() says so
    return price(
        problem,
        assignment=assignment,
        bound=bound,
        method=method,
        stopped=stopped,
        seconds=clock.seconds,
        certificate=certificate,
        nodes=claim.nodes,
        seed=options.seed,
        reason=reason,
    )
