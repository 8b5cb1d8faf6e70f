"""Who takes part in a benchmark: the methods of this package and its peers, behind one small interface.

A contestant builds a model from a problem and solves the model; the two are timed apart. For our methods building is
making the :class:`SelectionProblem` from flat arrays, checks included, and solving is all the rest. For a peer the
problem is there already and building is the making of its own model. What a peer claims is priced by the same code as
our results, outside the time taken.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dynamap_solvers.batch import BatchSolution
from dynamap_solvers.errors import ProblemError, SolverError, UnknownMethodError
from dynamap_solvers.methods import METHODS
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason, infeasible, price
from dynamap_solvers.solve import solve, solve_batch

__all__ = [
    "BATCH_SAMPLE",
    "Claim",
    "Contestant",
    "Settings",
    "choose_contestants",
    "integer_bound",
    "judge",
    "ours",
    "rebuilt",
]

BATCH_SAMPLE = 20
"""Of a batch, methods that take one cost set at a time solve only this many; all report the sum of these optima."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every run of a benchmark is given alike.

    Attributes:
        time_limit: seconds for one solve; a run that does not end by itself is ended soon after.
        repeat: how often a run is repeated, as long as all together take under two seconds; medians are reported.
        seed: for methods that randomise.
        threads: for methods that can use several; None for what our methods take by themselves, and one for peers.
        memory_limit: bytes a run may have resident before it is ended, None for no limit.
    """

    time_limit: float = 60.0
    repeat: int = 25
    seed: int = 0
    threads: int | None = None
    memory_limit: int | None = None

    def __post_init__(self) -> None:
        if not (self.time_limit > 0 and math.isfinite(self.time_limit)):
            raise ProblemError(f"The time limit is {self.time_limit}; give a positive number of seconds.")
        for label, value, least in (
            ("number of repetitions", self.repeat, 1),
            ("number of threads", 1 if self.threads is None else self.threads, 1),
            ("seed", self.seed, 0),
            ("memory limit", 1 if self.memory_limit is None else self.memory_limit, 1),
        ):
            if value < least:
                raise ProblemError(f"The {label} is {value}; give an integer of at least {least}.")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a peer says of a problem, before it is judged.

    Attributes:
        assignment: one choice index per variable, or None.
        bound: no assignment costs less, or None.
        stopped: why it stopped; ``proved`` with an assignment says that it is optimal.
        infeasible: whether it proved that there is no assignment.
    """

    assignment: tuple[int, ...] | None
    bound: float | None
    stopped: StopReason
    infeasible: bool = False


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One entry of a benchmark. Its functions must be importable by name: they run in a process of their own.

    Attributes:
        name: what tables call it.
        summary: what it is, in a line.
        build: from the problem what ``solve`` takes; timed as building.
        solve: from that and the settings a :class:`Solution`, a :class:`Claim` or, for a whole batch, a
            :class:`BatchSolution`; timed as solving.
        requires: modules that must be installed.
        distribution: the package whose version is part of a result's key; empty for our own.
        takes_usage: whether it takes problems with a resource limit.
        takes_batch: whether it solves a whole batch in one call.
        reference: whether it only measures, without claiming anything.
    """

    name: str
    summary: str
    build: Callable[[SelectionProblem, Settings], Any]
    solve: Callable[[Any, Settings], Any]
    requires: tuple[str, ...] = ()
    distribution: str = ""
    takes_usage: bool = True
    takes_batch: bool = False
    reference: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Required modules that are not installed; nothing is imported to find out."""
        return tuple(module for module in self.requires if importlib.util.find_spec(module) is None)


def rebuilt(problem: SelectionProblem, settings: Settings | None = None) -> SelectionProblem:  # noqa: ARG001 - a `build`
    """The same problem made anew from its flat arrays, which are not copied: what building costs a caller."""
    return SelectionProblem.from_flat(
        domain_sizes=problem.sizes,
        unary=problem.unary_costs,
        edges=problem.edge_ends,
        pair=problem.pair_costs,
        usage=problem.usage_costs,
        intervals=problem.intervals,
        usage_limit=problem.usage_limit,
        fixed=problem.fixed,
        ties=problem.ties,
        name=problem.name,
    )


def integer_bound(bound: float | None, problem: SelectionProblem) -> float | None:
    """A peer's bound in floating point as one of an integer objective: rounded up, its tolerance forgiven."""
    if bound is None or not math.isfinite(bound):
        return None
    return math.ceil(bound - 1e-4 - 1e-9 * abs(bound)) if problem.is_integer else bound


def judge(problem: SelectionProblem, said: Any, *, method: str) -> Solution:
    """A claim priced by the problem; a solution, being priced already, as it is."""
    if isinstance(said, Solution):
        return said
    if not isinstance(said, Claim):
        raise SolverError(f"Contestant {method!r} returned a {type(said).__name__}; return a Solution or a Claim.")
    if said.infeasible:
        return infeasible(method=method, reason="The peer says so.", seconds={})
    bound = said.bound
    if said.assignment is not None and said.stopped is StopReason.PROVED:
        # Taken at its word: its bound carries the tolerances of floating point, and a false word comes out where it
        # is compared with the others.
        bound = problem.evaluate(said.assignment)
    return price(problem, assignment=said.assignment, bound=bound, method=method, stopped=said.stopped, seconds={})


def _solve(name: str, problem: SelectionProblem, settings: Settings) -> Solution:
    return solve(problem, method=name, time_limit=settings.time_limit, seed=settings.seed, threads=settings.threads)


def _solve_batch(problem: SelectionProblem, settings: Settings) -> BatchSolution:
    return solve_batch(problem, threads=settings.threads or 1)


def _arrays(problem: SelectionProblem, settings: Settings) -> tuple[Any, Any]:  # noqa: ARG001 - a `build`
    return problem.unary_costs, problem.pair_costs


def _read_once(arrays: tuple[Any, Any], settings: Settings) -> None:  # noqa: ARG001 - a `solve`
    for array in arrays:
        np.add.reduce(array.reshape(-1))


MEMORY_PASS = Contestant(
    name="memory-pass",
    summary="reference: one pass over all cost arrays in memory (their sum, by numpy)",
    build=_arrays,
    solve=_read_once,
    takes_batch=True,
    reference=True,
)

BATCH = Contestant(
    name="batch",
    summary="all cost sets of a batch in one call of solve_batch",
    build=rebuilt,
    solve=_solve_batch,
    takes_usage=False,
    takes_batch=True,
)


def ours() -> dict[str, Contestant]:
    """A contestant for every registered method, under the method's name, and for :func:`solve_batch`."""
    methods = {
        name: Contestant(
            name=name,
            summary=method.summary,
            build=rebuilt,
            solve=partial(_solve, name),
            requires=method.requires,
            takes_usage=method.takes_usage,
        )
        for name, method in METHODS.items()
    }
    return methods | {BATCH.name: BATCH}


def choose_contestants(names: Iterable[str] | None, registry: Mapping[str, Contestant]) -> tuple[Contestant, ...]:
    """The contestants of the given names.

    ``ours`` stands for every method of this package, ``peers`` for every installed peer; None for ``auto`` and the
    peers. Names given twice count once.

    Raises:
        UnknownMethodError: for a name that is neither.
        SolverError: for a contestant asked for by name whose package is not installed, or where none is left.
    """
    chosen: dict[str, Contestant] = {}
    own = set(ours())
    for name in ("auto", "peers") if names is None else names:
        if name in {"ours", "peers"}:
            group = [c for c in registry.values() if not c.reference and (c.name in own) == (name == "ours")]
            chosen |= {c.name: c for c in group if not c.missing}
        elif name not in registry:
            known = ", ".join(n for n, c in registry.items() if not c.reference)
            raise UnknownMethodError(f"There is no method {name!r} to benchmark; give ours, peers, or among {known}.")
        elif registry[name].missing:
            missing = ", ".join(registry[name].missing)
            raise SolverError(f"Method {name!r} needs {missing}, which is not installed; install it or leave it out.")
        else:
            chosen[name] = registry[name]
    if not chosen:
        raise SolverError("No method is left to benchmark; name at least one that is installed.")
    return tuple(chosen.values())
