"""Pricing a reduction plan for a batch of cost sets, chunk by chunk, in numpy.

Inside, the batch axis comes last: every operation then runs over contiguous stretches of cost sets, however few
choices a variable has. A chunk is as long as keeps a few tables near the cores.
"""

from __future__ import annotations

import math
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._rules import Reduction, Rule
from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, CostArray

__all__ = ["assign", "minimise"]

_CHUNK_CELLS = 1 << 17  # 1 MiB of the largest table: fastest of 2**14..2**18, where calls and cache misses balance
_CHUNK_LIMITS = 16, 8192
_BROADCAST_CELLS = 1 << 13  # below this the calls cost more than the cells

_Array = NDArray[Any]  # int64 or float64, batch axis last, of length 1 where all cost sets share the array
_Kept = tuple[_Array, tuple[_Array, ...]]


class _Pool:
    """Buffers to use again: fresh ones come from the operating system page by page, a fifth of the whole time."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._free: dict[int, list[_Array]] = {}

    def take(self, shape: tuple[int, ...]) -> _Array:
        """An array of unknown content."""
        size = math.prod(shape)
        free = self._free.get(size)
        return (free.pop() if free else np.empty(size, self._dtype)).reshape(shape)

    def give(self, array: _Array) -> None:
        """Return an array that nobody reads any more."""
        self._free.setdefault(array.size, []).append(array.reshape(-1))


def minimise(
    num_variables: int,
    edges: Sequence[tuple[int, int]],
    steps: Sequence[Reduction],
    unary: Sequence[CostArray],
    pair: Sequence[CostArray],
    *,
    threads: int,
) -> CostArray:
    """See :meth:`dynamap_solvers.series_parallel.ReductionPlan.evaluate`."""
    batch, dtype = _check(num_variables, edges, unary, pair)
    objectives = np.empty(batch, dtype)

    def work(chunk: slice, pool: _Pool) -> None:
        objectives[chunk], _ = _forward(edges, steps, _load(unary, 1, chunk), _load(pair, 2, chunk), pool, keep=False)

    _run(work, batch, _chunk_length(edges, steps, unary), threads, dtype)
    return _mark_infeasible(objectives)


def assign(
    num_variables: int,
    edges: Sequence[tuple[int, int]],
    steps: Sequence[Reduction],
    unary: Sequence[CostArray],
    pair: Sequence[CostArray],
    *,
    threads: int,
) -> tuple[CostArray, NDArray[np.intp]]:
    """See :meth:`dynamap_solvers.series_parallel.ReductionPlan.assign`."""
    batch, dtype = _check(num_variables, edges, unary, pair)
    objectives = np.empty(batch, dtype)
    choices = np.zeros((batch, num_variables), np.intp)

    def work(chunk: slice, pool: _Pool) -> None:
        objectives[chunk], kept = _forward(edges, steps, _load(unary, 1, chunk), _load(pair, 2, chunk), pool, keep=True)
        choices[chunk] = _backward(steps, kept, num_variables, chunk.stop - chunk.start).T

    _run(work, batch, _chunk_length(edges, steps, unary), threads, dtype)
    return _mark_infeasible(objectives), choices


def _check(
    num_variables: int, edges: Sequence[tuple[int, int]], unary: Sequence[CostArray], pair: Sequence[CostArray]
) -> tuple[int, np.dtype[Any]]:
    """The batch size and dtype, once the shapes are known to fit."""
    if len(unary) != num_variables or len(pair) != len(edges):
        raise ProblemError(
            f"The plan is for {num_variables} variables and {len(edges)} edges; got {len(unary)} unary arrays and "
            f"{len(pair)} pair tables."
        )
    batch = 1
    sizes = [array.shape[-1] if array.ndim else 0 for array in unary]
    expected = [(size,) for size in sizes] + [(sizes[i], sizes[j]) for i, j in edges]
    dtypes = {array.dtype for array in (*unary, *pair)}
    if dtypes - {np.dtype(np.int64)} and dtypes - {np.dtype(np.float64)}:
        raise ProblemError(f"Costs have the dtypes {sorted(map(str, dtypes))}; give int64 or float64 throughout.")
    for k, (array, shape) in enumerate(zip((*unary, *pair), expected, strict=True)):
        label = f"variable {k}" if k < num_variables else f"edge {k - num_variables}"
        if array.shape[-len(shape) :] != shape or array.ndim > len(shape) + 1 or 0 in array.shape:
            raise ProblemError(f"The costs of {label} have shape {array.shape}; give {shape} or (batch, *{shape}).")
        if array.ndim > len(shape) and array.shape[0] != batch:
            if batch != 1:
                raise ProblemError(f"The costs of {label} have a batch axis of {array.shape[0]}, others of {batch}.")
            batch = array.shape[0]
    return batch, dtypes.pop() if dtypes else np.dtype(np.int64)


def _chunk_length(edges: Sequence[tuple[int, int]], steps: Sequence[Reduction], unary: Sequence[CostArray]) -> int:
    sizes = [array.shape[-1] for array in unary]
    cells = max((sizes[i] * sizes[j] for i, j in edges), default=1)
    for step in steps:
        if step.rule is Rule.RII:
            j, k = step.neighbours
            cells = max(cells, sizes[j] * sizes[k])
    shortest, longest = _CHUNK_LIMITS
    return min(max(_CHUNK_CELLS // cells, shortest), longest)


def _run(work: Callable[[slice, _Pool], None], batch: int, length: int, threads: int, dtype: np.dtype[Any]) -> None:
    rounds = -(-batch // (length * max(threads, 1)))
    length = max(-(-batch // (rounds * max(threads, 1))), _CHUNK_LIMITS[0])  # as many chunks for each thread, alike
    chunks = [slice(start, min(start + length, batch)) for start in range(0, batch, length)]
    if threads <= 1 or len(chunks) == 1:
        pool = _Pool(dtype)
        for chunk in chunks:
            work(chunk, pool)
        return
    pools: queue.SimpleQueue[_Pool] = queue.SimpleQueue()
    for _ in range(threads):
        pools.put(_Pool(dtype))

    def borrow(chunk: slice) -> None:
        pool = pools.get()
        try:
            work(chunk, pool)
        finally:
            pools.put(pool)

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(borrow, chunks))  # list(): an exception in a chunk is raised here


def _load(arrays: Sequence[CostArray], rank: int, chunk: slice) -> list[_Array]:
    """A chunk of each array with the batch axis last; a copy only where the memory is not laid out so already."""
    loaded: list[_Array] = []
    for array in arrays:
        if array.ndim == rank:
            loaded.append(array[..., None])
            continue
        part = np.moveaxis(array[chunk], 0, -1)
        loaded.append(part if part.strides[-1] == part.itemsize else np.ascontiguousarray(part))
    return loaded


def _clamp(costs: _Array) -> _Array:
    """Saturate a fresh array at FORBIDDEN in place; ``inf`` saturates by itself."""
    if costs.dtype == np.int64:
        np.minimum(costs, FORBIDDEN, out=costs)
    return costs


def _mark_infeasible(objectives: _Array) -> _Array:
    # A sum with a forbidden cell and negative costs lies between FINITE_LIMIT and FORBIDDEN.
    if objectives.dtype == np.int64:
        objectives[objectives >= FINITE_LIMIT] = FORBIDDEN
    return objectives


def _forward(
    edges: Sequence[tuple[int, int]],
    steps: Sequence[Reduction],
    unary: list[_Array],
    pair: list[_Array],
    pool: _Pool,
    *,
    keep: bool,
) -> tuple[_Array, list[_Kept]]:
    """Apply the reductions to one chunk.

    Returns:
        The objectives ``(chunk,)`` or ``(1,)``, and per step, if asked, what back-substitution needs: the costs of
        the vertex and its tables, axes (vertex, neighbour), at the moment it left.
    """
    tables: dict[int, tuple[int, _Array]] = {t: (edges[t][0], table) for t, table in enumerate(pair)}
    produced: dict[int, _Array] = {}  # the buffers behind the tables that are ours to give back
    total: _Array = np.zeros(1, unary[0].dtype if unary else np.int64)
    kept: list[_Kept] = []

    def oriented(table: int, first_end: int) -> _Array:
        row_end, cells = tables.pop(table)
        return cells if row_end == first_end else cells.swapaxes(0, 1)

    for step in steps:
        vertex = step.vertex
        own = tuple(oriented(t, step.neighbours[0] if vertex < 0 else vertex) for t in step.tables)
        arising: _Array | None = None
        if step.rule is Rule.PARALLEL:
            arising = _add(own[0], own[1], pool)
        elif step.rule is Rule.R0:
            total = _clamp(total + unary[vertex].min(axis=0))
        elif step.rule is Rule.RI:
            j = step.neighbours[0]
            through = _add(unary[vertex][:, None], own[0], pool)
            unary[j] = _clamp(unary[j] + through.min(axis=0))
            pool.give(through)
        elif step.rule is Rule.RII:
            through = _add(unary[vertex][:, None], own[0], pool)
            arising = _series(through, own[1], pool)
            pool.give(through)
        else:
            if unary[vertex].shape[0] != 1:
                raise ProblemError(
                    f"The plan holds variable {vertex} fixed, but it has {unary[vertex].shape[0]} choices."
                )
            total = _clamp(total + unary[vertex][0])
            for j, table in zip(step.neighbours, own, strict=True):
                unary[j] = _clamp(unary[j] + table[0])
        if arising is not None:
            produced[step.produced] = _clamp(arising)
            tables[step.produced] = step.neighbours[0], arising
        if keep:
            kept.append((unary[vertex], own))
        else:
            for t in step.tables:
                if t in produced:
                    pool.give(produced.pop(t))
    return total, kept


def _add(left: _Array, right: _Array, pool: _Pool) -> _Array:
    # RI and RII read up to three saturated terms before the next clamp: 3 * FORBIDDEN < 2**63, nothing wraps.
    out = pool.take(np.broadcast_shapes(left.shape, right.shape))
    np.add(left, right, out=out)
    return out


def _series(left: _Array, right: _Array, pool: _Pool) -> _Array:
    """``min_x (left[x, y] + right[x, z])``, shape ``(y, z, chunk)``: the min-plus product that RII is."""
    best = pool.take((left.shape[1], right.shape[1], max(left.shape[2], right.shape[2])))
    if best.size * left.shape[0] <= _BROADCAST_CELLS:
        np.min(left[:, :, None] + right[:, None, :], axis=0, out=best)
        return best
    # Choice by choice, so that the temporary is no larger than the table that arises; both come from the pool.
    candidate = pool.take(best.shape)
    np.add(left[0][:, None], right[0][None], out=best)
    for x in range(1, left.shape[0]):
        np.add(left[x][:, None], right[x][None], out=candidate)
        np.minimum(best, candidate, out=best)
    pool.give(candidate)
    return best


def _backward(steps: Sequence[Reduction], kept: list[_Kept], num_variables: int, length: int) -> NDArray[np.intp]:
    """Choices ``(n, chunk)``: each vertex takes what is cheapest given its neighbours at the moment it left."""
    choices = np.zeros((num_variables, length), np.intp)
    across = np.arange(length)
    for step, (costs, own) in zip(reversed(steps), reversed(kept), strict=True):
        if step.rule in {Rule.PARALLEL, Rule.FIXED}:
            continue
        value = costs
        for j, table in zip(step.neighbours, own, strict=True):
            value = value + table[:, choices[j], across if table.shape[2] > 1 else 0]
        choices[step.vertex] = value.argmin(axis=0)
    return choices
