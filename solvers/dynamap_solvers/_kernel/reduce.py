"""The kernel's part in :mod:`dynamap_solvers.series_parallel`; None everywhere without the library."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import address, library
from dynamap_solvers._rules import StepArrays
from dynamap_solvers.problem import SelectionProblem

__all__ = ["plan", "price"]

_INT = ctypes.c_int64


def plan(
    num_variables: int, ends: NDArray[np.int32], sizes: NDArray[np.int64], fixed: Sequence[int]
) -> tuple[StepArrays, list[int], list[tuple[int, int]]] | None:
    """Steps, the vertices of the core (ascending) and its edges (each once, ascending)."""
    lib = library()
    if lib is None:
        return None
    lib.dm_plan.restype = ctypes.c_void_p
    fixed_array = np.asarray(fixed, np.int32)
    sizes = np.ascontiguousarray(sizes)
    counts = np.zeros(4, np.int64)
    handle = lib.dm_plan(
        _INT(num_variables),
        _INT(len(ends)),
        address(ends),
        address(sizes),
        address(fixed_array),
        _INT(len(fixed_array)),
        address(counts),
    )
    if not handle:
        raise MemoryError
    try:
        steps, touched, left, core_tables = counts.tolist()
        arrays = StepArrays(
            np.empty(steps, np.int8),
            np.empty(steps, np.int32),
            np.empty(steps, np.int32),
            np.empty(steps + 1, np.int64),
            np.empty(touched, np.int32),
            np.empty(touched, np.int32),
        )
        core, core_ends = np.empty(left, np.int32), np.empty((core_tables, 2), np.int32)
        lib.dm_plan_copy(
            ctypes.c_void_p(handle),
            address(arrays.rule),
            address(arrays.vertex),
            address(arrays.produced),
            address(arrays.first),
            address(arrays.neighbours),
            address(arrays.tables),
            address(core),
            address(core_ends),
        )
    finally:
        lib.dm_plan_free(ctypes.c_void_p(handle))
    core_edges = sorted({(min(i, j), max(i, j)) for i, j in core_ends.tolist()})
    return arrays, core.tolist(), core_edges


def price(
    problem: SelectionProblem, steps: StepArrays, *, assignments: bool, threads: int
) -> tuple[NDArray[Any], NDArray[np.int32] | None] | None:
    """Objectives ``(batch,)`` and, if asked for, choices ``(batch, n)``."""
    lib = library()
    if lib is None:
        return None
    batch, count = problem.batch_size, problem.num_variables
    objectives = np.empty(batch, problem.dtype)
    choices = np.empty((batch, count), np.int32) if assignments else None
    unary, pair = np.ascontiguousarray(problem.unary_costs), np.ascontiguousarray(problem.pair_costs)
    run = lib.dm_price_i64 if problem.is_integer else lib.dm_price_f64
    item = unary.itemsize
    strides = [costs.shape[1] if costs.ndim == 2 else 0 for costs in (unary, pair)]

    def work(start: int, stop: int) -> None:
        failed = run(
            _INT(count),
            _INT(problem.num_edges),
            address(problem.edge_ends),
            address(problem.sizes),
            address(problem.unary_starts),
            address(problem.pair_starts),
            _INT(len(steps.rule)),
            address(steps.rule),
            address(steps.vertex),
            address(steps.produced),
            address(steps.first),
            address(steps.neighbours),
            address(steps.tables),
            ctypes.c_void_p(unary.ctypes.data + start * strides[0] * item),
            _INT(strides[0]),
            ctypes.c_void_p(pair.ctypes.data + start * strides[1] * item),
            _INT(strides[1]),
            _INT(stop - start),
            address(objectives[start:stop]),
            address(None if choices is None else choices[start:stop]),
        )
        if failed:
            raise MemoryError

    parts = min(max(threads, 1), batch)
    bounds = [batch * k // parts for k in range(parts + 1)]
    if parts == 1:
        work(0, batch)
    else:
        with ThreadPoolExecutor(parts) as executor:
            list(executor.map(work, bounds, bounds[1:]))  # list(): an exception in a part is raised here
    return objectives, choices
