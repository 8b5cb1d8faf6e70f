"""One question, many methods: the two calls that answer it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dynamap_solvers.batch import BatchSolution
from dynamap_solvers.errors import ProblemError, SolverError, UnknownMethodError
from dynamap_solvers.methods import METHODS
from dynamap_solvers.options import Options, ProgressCallback
from dynamap_solvers.passes import canonical
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.registry import Method
from dynamap_solvers.result import Solution, infeasible, price
from dynamap_solvers.series_parallel import plan_of

__all__ = ["method_names", "solve", "solve_batch"]


def solve(
    problem: SelectionProblem,
    *,
    method: str = "auto",
    time_limit: float | None = None,
    gap: float = 0.0,
    seed: int = 0,
    warm_start: Sequence[int] | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
    methods: Mapping[str, Method] = METHODS,
) -> Solution:
    """Solve one selection problem exactly, or say how far the method got.

    Thread-safe; keeps no state but what it derives from a graph (see ``SelectionProblem.with_costs``); same seed, same
    outcome, as far as no time limit and no callback interfere.

    Args:
        problem: one cost set; for a batch use :func:`solve_batch` or ``problem.instance(k)``.
        method: one of :func:`method_names`.
        time_limit: seconds of wall time, building included; None for no limit.
        gap: stop when ``(objective - bound) / |objective|`` is at most this.
        seed: for methods that randomise, 0 to 2**31 - 1.
        warm_start: an assignment to begin with. The result is never worse than it, where it is allowed.
        threads: how many a method may use; None for as many as this process has processors where large tables are
            eliminated, which has the same outcome for any number, and for one elsewhere.
        progress: called now and then with a :class:`~dynamap_solvers.Progress`; returning False cancels.
        methods: the registry to look in; to try a method of one's own.

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
    chosen = methods.get(method)
    if chosen is None:
        raise UnknownMethodError(f"There is no method {method!r}; the methods are {', '.join(methods)}.")
    if problem.is_batched:
        raise ProblemError("The problem is a batch of cost sets; use solve_batch, or solve one of them: instance(k).")
    if warm_start is not None:
        problem.evaluate(warm_start)  # says what is wrong with it
        warm_start = tuple(int(x) for x in warm_start)
    options = Options(
        time_limit=time_limit, gap=gap, seed=seed, warm_start=warm_start, threads=threads, progress=progress
    )
    if problem.usage_costs is not None and not chosen.takes_usage:
        raise ProblemError(f"Method {method!r} takes no problem with a usage limit; use 'auto' or 'ilp'.")
    if chosen.missing:
        raise SolverError(
            f"Method {method!r} needs {' and '.join(chosen.missing)}, which is not installed; {chosen.remedy} or use "
            "another method."
        )
    structure = problem.structure
    if not structure.fixed and not structure.ties:
        return _no_worse(problem, chosen.run(problem, options), warm_start)
    smaller = canonical(problem)
    if smaller.conflict:
        return infeasible(method=method, reason=smaller.conflict, seconds={"simplify": options.elapsed}, seed=seed)
    lowered = None if warm_start is None else smaller.lower(warm_start)
    found = chosen.run(smaller.problem, replace(options, warm_start=lowered))
    if found.assignment is not None:
        found = price(
            problem,
            assignment=smaller.lift(found.assignment),
            bound=found.bound,
            method=found.method,
            stopped=found.stop_reason,
            seconds=found.seconds,
            certificate=found.certificate,
            nodes=found.nodes,
            seed=found.seed,
            reason=found.reason,
        )
    return _no_worse(problem, found, warm_start)


def _no_worse(problem: SelectionProblem, found: Solution, warm_start: tuple[int, ...] | None) -> Solution:
    """The solution, with the warm start in it where a method that makes no use of warm starts found nothing better."""
    if warm_start is None or found.stop_reason.is_proof or not problem.is_feasible(warm_start):
        return found
    if found.objective is not None and problem.evaluate(warm_start) >= found.objective:
        return found
    return price(
        problem,
        assignment=warm_start,
        bound=found.bound,
        method=found.method,
        stopped=found.stop_reason,
        seconds=found.seconds,
        certificate=found.certificate,
        nodes=found.nodes,
        seed=found.seed,
        reason=found.reason,
    )


def solve_batch(problem: SelectionProblem, *, threads: int = 1) -> BatchSolution:
    """Solve every cost set of a batch on one series-parallel graph.

    Variables with one choice are cut out of the graph first, so they may have any degree.

    Args:
        problem: a batch; a problem without a batch axis is a batch of one.
        threads: chunks of the batch worked on at a time.

    Raises:
        NotSeriesParallelError: if the rest of the graph is not series-parallel.
        ProblemError: if the problem has a resource limit, fixed choices or ties.
    """
    if problem.usage_costs is not None:
        raise ProblemError("A batch with a usage limit cannot be reduced; solve its instances one by one.")
    if problem.fixed or problem.ties:
        raise ProblemError("A batch has no fixed choices and no ties; give it the problem that canonical makes.")
    started = time.perf_counter()
    plan = plan_of(problem)
    planned = time.perf_counter()
    objectives, _ = plan.solve(problem, assignments=False, threads=threads)
    seconds = {"plan": planned - started, "evaluate": time.perf_counter() - planned}
    return BatchSolution(problem=problem, plan=plan, objectives=objectives, threads=threads, seconds=seconds)


def method_names() -> tuple[str, ...]:
    """The names of the registered methods, ``auto`` first."""
    return tuple(METHODS)
