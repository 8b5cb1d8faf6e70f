"""Joint exploration: every array shape a board can hold, each with its exact optimal mapping.

The latency of a network is a function of the shape and the mapping together; its minimum over both is found by solving
the mapping problem of every shape, in batches over shapes. No shape is skipped and none is estimated, so that the best
of them is the global optimum (docs/explanation/mapping.md has the argument).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers import FORBIDDEN, NotSeriesParallelError, Status, solve

from .costs import Precision, ShapeBatch
from .errors import DynamapError, NoMappingError
from .selection import BatchedSelection, mapping_problem
from .tables import MappingTables, StageTable

__all__ = ["RUNNERS_UP", "ArrayShapes", "Exploration", "all_shapes", "explore_shapes", "square_shapes"]

IntArray = NDArray[np.int64]

# Vectors of this many shapes keep a stage's tables in a core's level-2 cache.
_CHUNK = 8192
# Shapes that are priced exactly at a time, and those that a first guess is made from.
_BATCH, _SCOUTS = 128, 256
# How much above the least bound of a few the latency of the best is expected.
_GUESS = 1.1
#: Shapes behind the best one whose latency is made exact as well.
RUNNERS_UP = 5


@dataclass(frozen=True)
class ArrayShapes:
    """Array shapes as two vectors of equal length."""

    p1: IntArray
    p2: IntArray

    def __len__(self) -> int:
        return int(self.p1.size)


@dataclass(frozen=True)
class Exploration:
    """The least latency of every shape.

    Attributes:
        shapes: the shapes, rows ascending, then columns.
        latency_cycles: optimum of each, shape (shapes,); see ``exact``.
        best: index of the least; among equals the one with the fewest elements, then the most rows.
        exact: which entries are exact, shape (shapes,); the others are lower bounds no better than the best one. All
            are, if None.
    """

    shapes: ArrayShapes
    latency_cycles: IntArray
    best: int
    exact: NDArray[np.bool_] | None = None

    @property
    def exact_everywhere(self) -> bool:
        """Whether no entry is a lower bound."""
        return self.exact is None or bool(self.exact.all())

    @property
    def best_shape(self) -> tuple[int, int]:
        """(P1, P2) of the optimum."""
        return int(self.shapes.p1[self.best]), int(self.shapes.p2[self.best])

    def pareto(self) -> list[tuple[int, int, int]]:
        """(P1, P2, cycles) of every shape that no other beats in both elements and latency, fewest elements first.

        Empty where some latencies are lower bounds only, which say nothing about who beats whom.
        """
        if not self.exact_everywhere:
            return []
        elements = self.shapes.p1 * self.shapes.p2
        order = np.lexsort((-self.shapes.p1, self.latency_cycles, elements))
        cycles = self.latency_cycles[order]
        before = np.concatenate(([np.iinfo(np.int64).max], np.minimum.accumulate(cycles)[:-1]))
        front = order[cycles < before]
        return [(int(self.shapes.p1[k]), int(self.shapes.p2[k]), int(self.latency_cycles[k])) for k in front]


def all_shapes(elements: int) -> ArrayShapes:
    """Every (P1, P2) with P1·P2 <= elements; about elements · (ln elements + 0.15) of them.

    Raises:
        DynamapError: when not even 1x1 fits.

    >>> len(all_shapes(6239))
    55476
    """
    if elements < 1:
        raise DynamapError("the board is too small for a 1x1 array; array_dsp must be at least 1")
    rows = np.arange(1, elements + 1, dtype=np.int64)
    columns = elements // rows
    p1 = np.repeat(rows, columns)
    starts = np.repeat(np.cumsum(columns) - columns, columns)
    return ArrayShapes(p1, np.arange(p1.size, dtype=np.int64) - starts + 1)


def square_shapes(elements: int) -> ArrayShapes:
    """Every (P, P) with P² <= elements."""
    side = np.arange(1, int(np.sqrt(max(1, elements))) + 2, dtype=np.int64)
    side = side[side * side <= max(1, elements)]
    return ArrayShapes(side, side)


def explore_shapes(
    tables: MappingTables,
    shapes: ArrayShapes,
    *,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Exploration:
    """Solve the mapping problem of every shape exactly.

    Args:
        tables: the program's.
        shapes: to explore, at least one.
        threads: chunks of shapes worked on at a time.
        progress: called with (shapes done, shapes in all) after every chunk.

    Where the layouts' graph is not series-parallel, shapes are solved by integer programming in the order of a lower
    bound, until the bound of the next exceeds the best found: only that many are solved, and the best is still exact.
    """
    try:
        selection = BatchedSelection(tables)
    except NotSeriesParallelError:
        return _explore_by_bound(tables, shapes, progress)
    if tables.model.bounded:
        return _explore_promising(tables, selection, shapes, threads, progress)
    latency = np.empty(len(shapes), dtype=np.int64)

    def run(start: int) -> int:
        part = slice(start, start + _CHUNK)
        latency[part] = selection.evaluate(shapes.p1[part], shapes.p2[part])
        return latency[part].size

    done = 0
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for size in pool.map(run, range(0, len(shapes), _CHUNK)):
            done += size
            if progress is not None:
                progress(done, len(shapes))
    return Exploration(shapes, latency, _best(shapes, latency))


def _explore_promising(
    tables: MappingTables,
    selection: BatchedSelection,
    shapes: ArrayShapes,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> Exploration:
    """Price exactly only shapes whose lower bound leaves a chance, from the most promising on.

    Bounds are sums over the stages, each with its favourite layouts. A floor of every stage comes first; where their
    sum is below a threshold, floors are replaced by better bounds, stage by stage, until the sum is not. The threshold
    is a guess; when the best found turns out to be above it, shapes between are looked at again.
    """
    kinds: dict[object, tuple[StageTable, int]] = {}
    for table in tables.stages:
        key = (tables.model.signature(table.stage), table.in_layouts, table.out_layouts)
        kinds[key] = (table, kinds.get(key, (table, 0))[1] + 1)
    stages = list(kinds.values())
    never = tables.impossible_cycles

    def bounds(table: StageTable, batch: ShapeBatch) -> IntArray:
        return np.asarray(np.minimum(table.best_latency(batch).min(axis=(0, 1)), never), dtype=np.int64)

    floors = np.empty((len(stages), len(shapes)), dtype=np.int64)
    chunks = [np.arange(start, min(len(shapes), start + _CHUNK)) for start in range(0, len(shapes), _CHUNK)]

    def all_floors(chunk: NDArray[np.intp]) -> int:
        batch = ShapeBatch(shapes.p1[chunk], shapes.p2[chunk], Precision.FLOOR)
        for row, (table, times) in enumerate(stages):
            floors[row, chunk] = times * bounds(table, batch)
        return chunk.size

    done = 0
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for size in pool.map(all_floors, chunks):
            done += size
            if progress is not None:
                progress(done, len(shapes))
    total = floors.sum(axis=0)
    typical = np.sort(floors, axis=1)[:, : max(1, len(shapes) // 100)].mean(axis=1)
    heaviest_first = np.argsort(-typical)
    better = np.zeros(floors.shape, dtype=bool)

    def tighten(chosen: NDArray[np.intp], threshold: float) -> None:
        """Better bounds for some shapes, as long as they stay below the threshold."""
        for row in heaviest_first:
            chosen = chosen[total[chosen] < threshold]
            if not chosen.size:
                return
            todo = chosen[~better[row, chosen]]
            if todo.size:
                table, times = stages[row]
                batch = ShapeBatch(shapes.p1[todo], shapes.p2[todo], Precision.BOUND)
                found = np.maximum(times * bounds(table, batch), floors[row, todo])
                total[todo] += found - floors[row, todo]
                better[row, todo] = True

    # The most promising floors say where the optimum may be.
    first = np.argsort(total, kind="stable")[:_SCOUTS]
    tighten(first, np.inf)
    threshold = _GUESS * float(total[first].min())
    exact = np.zeros(len(shapes), dtype=bool)
    latency = total
    while True:
        threshold = min(threshold, never)
        open_ = np.flatnonzero((latency < threshold) & ~exact)
        with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
            parts = np.array_split(open_, max(1, threads))
            list(pool.map(tighten, parts, [threshold] * len(parts)))
        order = np.lexsort((-shapes.p1, shapes.p1 * shapes.p2, latency))
        order = order[(latency[order] < threshold) & ~exact[order]]
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            known = np.sort(latency[exact])
            if known.size > RUNNERS_UP and latency[chosen[0]] > known[RUNNERS_UP]:
                break
            latency[chosen] = selection.evaluate(shapes.p1[chosen], shapes.p2[chosen])
            exact[chosen] = True
        known = np.sort(latency[exact])
        wanted = min(RUNNERS_UP + 1, len(shapes))
        if threshold == never or (known.size >= wanted and known[wanted - 1] < threshold):
            break
        threshold = float(known[wanted - 1]) + 1 if known.size >= wanted else 2 * threshold
    latency[latency >= never] = FORBIDDEN
    candidates = np.flatnonzero(exact)
    part = ArrayShapes(shapes.p1[candidates], shapes.p2[candidates])
    best = int(candidates[_best(part, latency[candidates])])
    return Exploration(shapes, latency, best, exact=exact)


def _best(shapes: ArrayShapes, latency: IntArray) -> int:
    if not latency.size or int(latency.min()) >= FORBIDDEN:
        raise NoMappingError("no choice of algorithms and layouts can run this network; allow more algorithms")
    return int(np.lexsort((-shapes.p1, shapes.p1 * shapes.p2, latency))[0])


def _explore_by_bound(
    tables: MappingTables, shapes: ArrayShapes, progress: Callable[[int, int], None] | None
) -> Exploration:
    latency = BatchedSelection.lower_bound(tables, shapes.p1, shapes.p2)
    order = np.lexsort((-shapes.p1, shapes.p1 * shapes.p2, latency))
    solved = np.zeros(len(shapes), dtype=bool)
    least = FORBIDDEN
    for count, index in enumerate(order):
        # Shapes of equal latency are solved too, so that ties are broken as everywhere else.
        if latency[index] > least:
            break
        decision = mapping_problem(tables, int(shapes.p1[index]), int(shapes.p2[index]))
        solution = solve(decision.problem, method="ilp")
        if solution.status is not Status.OPTIMAL:
            raise NoMappingError(
                f"the mapping of array {shapes.p1[index]}x{shapes.p2[index]} was not proved optimal "
                f"({solution.status}, {solution.stop_reason}); allow fewer algorithms"
            )
        latency[index] = solution.objective_value()
        solved[index] = True
        least = min(least, int(latency[index]))
        if progress is not None:
            progress(count + 1, len(shapes))
    candidates = np.flatnonzero(solved)
    part = ArrayShapes(shapes.p1[candidates], shapes.p2[candidates])
    return Exploration(shapes, latency, int(candidates[_best(part, latency[candidates])]), exact=solved)
