"""The kernel's part in :mod:`dynamap_solvers.series_parallel`; None everywhere without the library."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import Located, function, location
from dynamap_solvers._rules import COUNTS, StepArrays
from dynamap_solvers.problem import SelectionProblem

__all__ = ["plan", "price"]


def plan(graph: Located, fixed: Sequence[int] | None) -> tuple[StepArrays, list[int], list[tuple[int, int]]] | None:
    """Steps, the vertices of the core (ascending) and its edges (each once, ascending).

    Args:
        graph: the numbers of variables and edges, ``sizes``, ``edge_ends`` and any array.
        fixed: vertices to cut out first; None for those with one choice.
    """
    run = function("dm_plan", "ii ppp pi p")
    if run is None:
        return None
    variables, edges = graph.arguments[:2]
    packed = np.empty(COUNTS + 1 + 5 * variables + 10 * edges, np.int32)
    located = Located((), packed)
    cut = None if fixed is None else np.asarray(fixed, np.int32)
    cuts = (None, -1) if cut is None else (location(cut), len(cut))
    whole = run(*graph.arguments, *cuts, *located.arguments)
    if whole < 0:
        raise MemoryError
    packed.setflags(write=False)
    if whole:
        return StepArrays(packed, located), [], []
    steps, touched, left, left_tables = packed[:COUNTS].tolist()
    at = COUNTS + 4 * steps + 1 + 2 * touched
    ends = packed[at + left : at + left + 2 * left_tables].reshape(-1, 2)
    core_edges = sorted({(min(i, j), max(i, j)) for i, j in ends.tolist()})
    return StepArrays(packed, located), packed[at : at + left].tolist(), core_edges


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
    objective, choice = location(objectives), None if choices is None else location(choices)

    def work(start: int, stop: int) -> int:
        return run(
            *graph,
            unary + 8 * start * strides[0],
            pair + 8 * start * strides[1],
            *strides,
            stop - start,
            *steps.located.arguments,
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
