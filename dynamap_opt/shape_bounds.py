"""Lower bounds of the latency on every array shape, raised stage by stage for those that matter."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .costs import Precision, ShapeBatch
from .tables import MappingTables, StageTable

__all__ = ["ShapeBounds"]

IntArray = NDArray[np.int64]
Indices = NDArray[np.intp]

_Result = TypeVar("_Result")

# Vectors of this many shapes keep a stage's tables in a core's level-2 cache; fewer than the other take a thread no
# less time than twice as many.
_MOST, _LEAST = 8192, 2048


class ShapeBounds:
    """A sum over the stages for every shape, each stage with its favourite layouts and priced as closely as asked for.

    Attributes:
        total: the sums in cycles, shape (shapes,).
        never: what a stage that cannot be done counts; no sum without one reaches it.

    Args:
        tables: the program's.
        p1: rows of the shapes.
        p2: columns, likewise.
        precision: of every stage on every shape to begin with.
        threads: parts of the shapes worked on at a time.
        progress: called with the number of shapes done after every part.
    """

    def __init__(
        self,
        tables: MappingTables,
        p1: IntArray,
        p2: IntArray,
        precision: Precision,
        *,
        threads: int,
        progress: Callable[[int], None],
    ) -> None:
        self._p1, self._p2, self._threads = p1, p2, max(1, threads)
        self.never = tables.impossible_cycles
        alike: dict[Hashable, list[StageTable]] = {}
        for table in tables.stages:
            alike.setdefault(table.kind, []).append(table)
        self._rows = {kind: row for row, kind in enumerate(alike)}
        self._stages = [(stages[0], len(stages)) for stages in alike.values()]
        self._best = [
            np.empty((len(table.in_layouts), len(table.out_layouts), p1.size), dtype=np.int64)
            for table, _ in self._stages
        ]
        self._precision = np.full((len(self._stages), p1.size), precision, dtype=np.uint8)
        self.total = np.zeros(p1.size, dtype=np.int64)

        def start(part: Indices) -> None:
            batch = ShapeBatch(p1[part], p2[part], precision)
            for best, (table, times) in zip(self._best, self._stages, strict=True):
                best[..., part] = np.minimum(table.best_latency(batch), self.never)
                self.total[part] += times * _least(best[..., part])

        done = 0
        for part, _ in self._in_parts(start, np.arange(p1.size)):
            done += part.size
            progress(done)
        # What a stage adds where a chance is left. As long as nothing else is known, what counts much adds much.
        few = np.argsort(self.total, kind="stable")[: max(1, p1.size // 100)]
        weights = [
            times * _least(best[..., few]).mean() for best, (_, times) in zip(self._best, self._stages, strict=True)
        ]
        self._gains = {closer: np.array(weights) for closer in Precision}

    def precision(self, chosen: Indices) -> NDArray[np.uint8]:
        """Of the stage priced least closely on each of some shapes."""
        return np.asarray(self._precision[:, chosen].min(axis=0, initial=Precision.EXACT), dtype=np.uint8)

    def raise_to(self, precision: Precision, chosen: Indices, limit: IntArray) -> None:
        """Price the stages of some shapes more closely, as long as a shape's sum is at most its ``limit``.

        Args:
            precision: to be had.
            chosen: indices of the shapes.
            limit: in cycles, one for every shape there is.
        """
        gains = self._gains[precision]
        order = np.argsort(-gains, kind="stable")  # what adds most tells soonest what has no chance

        def work(part: Indices) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            added, count = np.zeros((2, len(self._stages)))
            for row in order:
                part = part[self.total[part] <= limit[part]]
                todo = part[self._precision[row, part] < precision]
                if not todo.size:
                    continue
                table, times = self._stages[row]
                old = self._best[row][..., todo]
                new = table.best_latency(ShapeBatch(self._p1[todo], self._p2[todo], precision))
                new = np.minimum(new if precision is Precision.EXACT else np.maximum(new, old), self.never)
                more = times * (_least(new) - _least(old))
                self.total[todo] += more
                self._best[row][..., todo] = new
                self._precision[row, todo] = precision
                added[row], count[row] = more.sum(dtype=np.float64), todo.size
            return added, count

        found = [result for _, result in self._in_parts(work, chosen)]
        added, count = np.sum(found, axis=0)
        gains[count > 0] = added[count > 0] / count[count > 0]

    def best_latency(self, table: StageTable, chosen: Indices) -> IntArray:
        """:meth:`StageTable.best_latency` on some shapes, as closely as the stage is priced there."""
        return self._best[self._rows[table.kind]][..., chosen]

    def _in_parts(self, work: Callable[[Indices], _Result], chosen: Indices) -> Iterator[tuple[Indices, _Result]]:
        """Parts of some shapes, and what is made of them."""
        count = max(-(-chosen.size // _MOST), min(self._threads, chosen.size // _LEAST), 1)
        # Shapes with as many columns together: vector stages cost the same on them, and are priced once.
        parts = np.array_split(chosen[np.argsort(self._p2[chosen], kind="stable")], count)
        with ThreadPoolExecutor(max_workers=self._threads) as pool:
            yield from zip(parts, pool.map(work, parts), strict=True)


def _least(best: IntArray) -> IntArray:
    return np.asarray(best.min(axis=(0, 1)), dtype=np.int64)
