"""One question, many methods: the registry and the two calls that answer it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from dynamap_solvers.batch import BatchSolution, solve_with_plan
from dynamap_solvers.brute_force import solve_brute_force
from dynamap_solvers.certificate import ReductionCertificate
from dynamap_solvers.errors import NotSeriesParallelError, ProblemError, SolverError, UnknownMethodError
from dynamap_solvers.ilp import solve_ilp_cbc, solve_ilp_highs
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, infeasible, price
from dynamap_solvers.series_parallel import reduce_graph
from dynamap_solvers.simplify import drop_forbidden

__all__ = ["METHODS", "Method", "method_names", "solve", "solve_batch"]


class _Run(Protocol):
    def __call__(self, problem: SelectionProblem, *, time_limit: float | None, seed: int) -> Solution: ...


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of the registry.

    Attributes:
        name: what ``solve`` calls it.
        run: the function; takes one cost set.
        summary: what it is, in a line.
        takes_usage: whether it takes problems with a resource limit.
        any_graph: whether it takes every graph.
        heeds_time_limit: whether it stops at a time limit; the others take polynomial time.
    """

    name: str
    run: _Run
    summary: str
    takes_usage: bool
    any_graph: bool
    heeds_time_limit: bool


def solve(
    problem: SelectionProblem, *, method: str = "auto", time_limit: float | None = None, seed: int = 0
) -> Solution:
    """Solve one selection problem exactly, or say how far the method got.

    Args:
        problem: one cost set; for a batch use :func:`solve_batch` or ``problem.instance(k)``.
        method: one of :func:`method_names`.
        time_limit: seconds of wall time, building included; None for no limit.
        seed: for methods that randomise; same seed, same outcome, as far as no time limit interferes.

    Raises:
        UnknownMethodError: if there is no such method.
        NotSeriesParallelError: by ``series-parallel`` on a graph that is not.
        ProblemError: if the problem is a batch, or one the method cannot take, or an option is out of range.
        SolverError: if the backend of the method is not installed.

    Example:
        >>> import numpy as np
        >>> problem = SelectionProblem(
        ...     unary=(np.array([0, 3]), np.array([2, 0])), edges=((0, 1),), pair=(np.array([[9, 9], [0, 1]]),)
        ... )
        >>> solution = solve(problem)
        >>> solution.status.value, solution.objective, solution.bound, solution.assignment
        ('optimal', 4, 4, (1, 1))
    """
    chosen = METHODS.get(method)
    if chosen is None:
        raise UnknownMethodError(f"There is no method {method!r}; the methods are {', '.join(method_names())}.")
    if problem.is_batched:
        raise ProblemError("The problem is a batch of cost sets; use solve_batch, or solve one of them: instance(k).")
    if time_limit is not None and not (time_limit > 0 and math.isfinite(time_limit)):
        raise ProblemError(f"The time limit is {time_limit}; give a positive number of seconds, or None.")
    if not 0 <= seed < 2**31:
        raise ProblemError(f"The seed is {seed}; give an integer from 0 to 2**31 - 1.")
    if problem.usage is not None and not chosen.takes_usage:
        raise ProblemError(f"Method {method!r} takes no problem with a usage limit; use 'auto' or 'ilp'.")
    return chosen.run(problem, time_limit=time_limit, seed=seed)


def solve_batch(problem: SelectionProblem, *, threads: int = 1) -> BatchSolution:
    """Solve every cost set of a batch on one series-parallel graph.

    Variables with one choice are cut out of the graph first, so they may have any degree.

    Args:
        problem: a batch; a problem without a batch axis is a batch of one.
        threads: chunks of the batch worked on at a time.

    Raises:
        NotSeriesParallelError: if the rest of the graph is not series-parallel.
        ProblemError: if the problem has a resource limit.
    """
    if problem.usage is not None:
        raise ProblemError("A batch with a usage limit cannot be reduced; solve its instances one by one.")
    started = time.perf_counter()
    sizes = problem.domain_sizes
    fixed = [i for i, size in enumerate(sizes) if size == 1]
    plan = reduce_graph(problem.num_variables, problem.edges, domain_sizes=sizes, fixed=fixed)
    planned = time.perf_counter()
    objectives = plan.evaluate(problem.unary, problem.pair, threads=threads)
    seconds = {"plan": planned - started, "evaluate": time.perf_counter() - planned}
    return BatchSolution(problem=problem, plan=plan, objectives=objectives, threads=threads, seconds=seconds)


def method_names() -> tuple[str, ...]:
    """The names of the registered methods, ``auto`` first."""
    return tuple(METHODS)


def _auto(problem: SelectionProblem, *, time_limit: float | None, seed: int) -> Solution:
    """Strike out forbidden choices, then reductions where they reach the end, else the ILP."""
    started = time.perf_counter()
    smaller = drop_forbidden(problem)
    seconds = {"simplify": time.perf_counter() - started}
    if smaller.conflict:
        return infeasible(method="auto", reason=smaller.conflict, seconds=seconds, seed=seed)
    if problem.usage is None:
        sizes = smaller.problem.domain_sizes
        fixed = [i for i, size in enumerate(sizes) if size == 1]
        try:
            plan = reduce_graph(problem.num_variables, problem.edges, domain_sizes=sizes, fixed=fixed)
        except NotSeriesParallelError:
            pass
        else:
            reduced = solve_with_plan(smaller.problem, plan, seconds=seconds, seed=seed)
            certificate = ReductionCertificate(plan, smaller.dropped)
            seconds["search"] = time.perf_counter() - started - seconds["simplify"]
            if reduced.assignment is None:
                return replace(reduced, certificate=certificate, seconds=seconds)
            return price(
                problem,
                assignment=smaller.lift(reduced.assignment),
                bound=reduced.bound,
                method=reduced.method,
                stopped=reduced.stop_reason,
                seconds=seconds,
                certificate=certificate,
                seed=seed,
            )
    return solve_ilp_highs(problem, time_limit=time_limit, seed=seed)


def _series_parallel(problem: SelectionProblem, *, time_limit: float | None, seed: int) -> Solution:  # noqa: ARG001  # polynomial: runs to its end
    started = time.perf_counter()
    plan = reduce_graph(problem.num_variables, problem.edges, domain_sizes=problem.domain_sizes)
    planned = time.perf_counter()
    solution = solve_with_plan(problem, plan, seconds={}, seed=seed)
    return replace(solution, seconds={"build": planned - started, "search": time.perf_counter() - planned})


_REGISTERED = (
    Method(
        name="auto",
        run=_auto,
        summary="strikes out forbidden choices, then series-parallel where it applies, else ilp",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
    ),
    Method(
        name="series-parallel",
        run=_series_parallel,
        summary="R0, RI and RII reductions to a point (Scholz & Eckstein 2002), with the sequence as certificate",
        takes_usage=False,
        any_graph=False,
        heeds_time_limit=False,
    ),
    Method(
        name="ilp",
        run=solve_ilp_highs,
        summary="local-polytope integer program through PuLP, solved by HiGHS",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
    ),
    Method(
        name="ilp-highs",
        run=solve_ilp_highs,
        summary="the same as ilp",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
    ),
    Method(
        name="ilp-cbc",
        run=solve_ilp_cbc,
        summary="the same program solved by the CBC that PuLP bundles",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
    ),
    Method(
        name="brute-force",
        run=solve_brute_force,
        summary="enumeration, up to 2**22 assignments",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _REGISTERED})
"""Every method by name."""

if len(METHODS) != len(_REGISTERED):
    raise SolverError("Two methods are registered under one name.")
