"""The kernel's part in :mod:`dynamap_solvers.series_parallel`; None everywhere without the library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import Located, function, location
from dynamap_solvers._rules import COUNTS, StepArrays
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem

CoreEdges = Callable[[], list[tuple[int, int]]]
"""The edges of a core (each once, ascending), made when asked for."""

__all__ = ["AtOnce", "Core", "CoreEdges", "at_once", "plan", "price"]


def plan(graph: Located, fixed: Sequence[int] | None) -> tuple[StepArrays, list[int], CoreEdges] | None:
    """Steps, the vertices of the core (ascending) and its edges.

    Args:
        graph: the numbers of variables and edges, ``sizes``, ``edge_ends`` and any array.
        fixed: vertices to cut out first; None for those with one choice.
    """
    run = function("dm_plan", "ii ppp pi p")
    if run is None:
        return None
    variables, edges = graph.arguments[:2]
    packed = np.empty(_room(variables, edges), np.int32)
    cut = None if fixed is None else np.asarray(fixed, np.int32)
    cuts = (None, -1) if cut is None else (location(cut), len(cut))
    whole = run(*graph.arguments, *cuts, location(packed))
    if whole < 0:
        raise MemoryError
    packed.setflags(write=False)
    return StepArrays(packed), *(([], list) if whole else _core(packed))


def _room(variables: int, edges: int) -> int:
    """How many numbers a plan takes at most."""
    return COUNTS + 1 + 5 * variables + 10 * edges


def _core(packed: NDArray[np.int32]) -> tuple[list[int], CoreEdges]:
    """The vertices of a core (ascending) and its edges."""
    steps, touched, left, left_tables = packed[:COUNTS].tolist()
    at = COUNTS + 4 * steps + 1 + 2 * touched
    ends = packed[at + left : at + left + 2 * left_tables].reshape(-1, 2)
    return packed[at : at + left].tolist(), lambda: sorted({(min(i, j), max(i, j)) for i, j in ends.tolist()})


class Core(NamedTuple):
    """What is left of a graph that does not reduce to nothing."""

    vertices: list[int]
    edges: CoreEdges


class AtOnce(NamedTuple):
    """What :func:`at_once` found."""

    objective: int | float
    """FORBIDDEN or inf where nothing is allowed."""
    price: int | None
    """Of the assignment by the judge; None in float problems and where nothing is allowed."""
    assignment: tuple[int, ...]
    """Attains the objective."""
    packed: NDArray[np.int32]
    """The plan, see :class:`StepArrays`."""


def at_once(problem: SelectionProblem) -> AtOnce | Core | None:
    """Plan, solve and price one cost set in one call; ``O((n + m) d^3)``. None without the kernel."""
    run = function("dm_reduce_i64" if problem.is_integer else "dm_reduce_f64", "ii ppppp p")
    if run is None:
        return None
    arguments = problem.located.arguments
    packed_at = 2 + arguments[0]
    out = np.empty(packed_at + _room(*arguments[:2]) // 2 + 1, np.int64)
    done = run(*arguments, location(out))
    if done < 0:
        raise MemoryError
    out.setflags(write=False)
    packed = out[packed_at:].view(np.int32)
    if not done:
        return Core(*_core(packed))
    chosen = tuple(out[2:packed_at].tolist())
    if problem.is_integer:
        objective, price = out[:2].tolist()
        return AtOnce(objective, price if objective < FORBIDDEN else None, chosen, packed)
    return AtOnce(out[:1].view(np.float64).item(), None, chosen, packed)


def price(
    problem: SelectionProblem, steps: StepArrays, *, assignments: bool, threads: int
) -> tuple[NDArray[Any], NDArray[np.int32] | None] | None:
    """Objectives ``(batch,)`` and, if asked for, choices ``(batch, n)``.

    None also where the plan cuts out a variable with several choices.
    """
    run = function(f"dm_price_{'i64' if problem.is_integer else 'f64'}", "ii ppp pp iii ppp")
    if run is None:
        return None
    batch, count = problem.batch_size, problem.num_variables
    objectives = np.empty(batch, problem.dtype)
    choices = np.empty((batch, count), np.int32) if assignments else None
    *graph, unary, pair = problem.located.arguments
    strides = [costs.shape[1] if costs.ndim == 2 else 0 for costs in (problem.unary_costs, problem.pair_costs)]
    packed = location(steps.packed)
    objective, choice = location(objectives), None if choices is None else location(choices)

    def work(start: int, stop: int) -> int:
        return run(
            *graph,
            unary + 8 * start * strides[0],
            pair + 8 * start * strides[1],
            *strides,
            stop - start,
            packed,
            objective + 8 * start,
            None if choice is None else choice + 4 * start * count,
        )

    parts = min(max(threads, 1), batch)
    if parts == 1:
        failed = work(0, batch)
    else:
        bounds = [batch * k // parts for k in range(parts + 1)]
        with ThreadPoolExecutor(parts) as executor:
            failed = max(executor.map(work, bounds, bounds[1:]))
    if failed == 1:
        raise MemoryError
    return None if failed else (objectives, choices)
