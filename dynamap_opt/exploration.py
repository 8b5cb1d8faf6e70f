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

from .costs import Precision
from .errors import DynamapError, NoMappingError
from .selection import BatchedSelection, mapping_problem
from .shape_bounds import ShapeBounds
from .tables import MappingTables

__all__ = [
    "RUNNERS_UP",
    "ArrayShapes",
    "Chance",
    "Exploration",
    "all_shapes",
    "among_the_best",
    "explore_shapes",
    "square_shapes",
]

IntArray = NDArray[np.int64]
Indices = NDArray[np.intp]

# Vectors of this many shapes keep a stage's tables in a core's level-2 cache.
_CHUNK = 8192
# Shapes whose bounds say where to begin.
_SCOUTS = 512
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


#: From latencies of all shapes, with more than any for what is not known, the most cycles with which each could be what
#: is looked for.
Chance = Callable[[ArrayShapes, IntArray], IntArray]


def among_the_best(behind: int) -> Chance:
    """The least latency and so many behind it."""

    def chance(shapes: ArrayShapes, latency: IntArray) -> IntArray:
        most = np.partition(latency, behind)[behind] if behind < len(shapes) else latency.max()
        return np.full(len(shapes), most, dtype=np.int64)

    return chance


def explore_shapes(
    tables: MappingTables,
    shapes: ArrayShapes,
    *,
    chance: Chance | None = None,
    closeness: Precision = Precision.FLOOR,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Exploration:
    """Solve the mapping problem of every shape exactly, or of every shape that may be what is looked for.

    Where exact latencies take long, every shape gets a lower bound, and those that it leaves a chance are made exact:
    under ``overlay``, and where the layouts' graph is not series-parallel, so that a shape takes an integer programme.

    Args:
        tables: the program's.
        shapes: to explore, at least one.
        chance: what to look for instead of the best and the ``RUNNERS_UP`` behind it. Where the layouts' graph is not
            series-parallel, it is the best shape alone.
        closeness: of all bounds, at least.
        threads: chunks of shapes worked on at a time.
        progress: called with (shapes done, shapes in all) after every chunk; shapes made exact count once more.

    Raises:
        NoMappingError: when no shape can run the network.
    """
    report = progress or (lambda *_: None)
    solver: _Reductions | _Programmes
    try:
        solver = _Reductions(BatchedSelection(tables))
    except NotSeriesParallelError:
        solver, wanted = _Programmes(tables, shapes), among_the_best(0)
    else:
        if not tables.model.bounded or len(shapes) <= RUNNERS_UP + 1:
            return _explore_every(solver.selection, shapes, threads, report)
        wanted = chance or among_the_best(RUNNERS_UP)
    bounds = ShapeBounds(
        tables,
        shapes.p1,
        shapes.p2,
        closeness if tables.model.bounded else Precision.EXACT,
        threads=threads,
        progress=lambda done: report(done, len(shapes)),
    )
    return _explore_promising(bounds, shapes, wanted, solver, report)


@dataclass(frozen=True)
class _Reductions:
    """Exact latencies of shapes with exactly priced stages. Many at a time take little longer than few."""

    selection: BatchedSelection
    few: int = 24
    growth: int = 8

    def solve(self, bounds: ShapeBounds, chosen: Indices) -> IntArray:
        return self.selection.combine(lambda table: bounds.best_latency(table, chosen), chosen.size)


@dataclass(frozen=True)
class _Programmes:
    """The same where each takes an integer programme, so that one after the other is solved."""

    tables: MappingTables
    shapes: ArrayShapes
    few: int = 1
    growth: int = 0

    def solve(self, bounds: ShapeBounds, chosen: Indices) -> IntArray:  # noqa: ARG002 - called as the other
        return np.array([self._one(int(self.shapes.p1[k]), int(self.shapes.p2[k])) for k in chosen], dtype=np.int64)

    def _one(self, p1: int, p2: int) -> int:
        solution = solve(mapping_problem(self.tables, p1, p2).problem, method="ilp")
        if solution.status is not Status.OPTIMAL:
            raise NoMappingError(
                f"the mapping of array {p1}x{p2} was not proved optimal ({solution.status}, {solution.stop_reason}); "
                "allow fewer algorithms"
            )
        return int(solution.objective_value())


def _explore_promising(
    bounds: ShapeBounds,
    shapes: ArrayShapes,
    chance: Chance,
    solver: _Reductions | _Programmes,
    progress: Callable[[int, int], None],
) -> Exploration:
    """Make exact only shapes whose lower bound leaves a chance, from the most promising on.

    A few made exact give a limit. With it, bounds of the others are raised, and in rounds of growing size the most
    promising are made exact: stage by stage, and only as long as the sum is within the limit.
    """
    latency, exact, done = bounds.total, np.zeros(len(shapes), dtype=bool), len(shapes)

    def ranked(some: Indices) -> tuple[Indices, int]:
        """Some shapes, the most promising first, and how many are what is looked for if their bounds are exact."""
        known = np.where(exact, latency, FORBIDDEN)
        known[some] = latency[some]
        promise = latency[some] / np.maximum(1, chance(shapes, known)[some])
        order = np.lexsort((-shapes.p1[some], shapes.p1[some] * shapes.p2[some], promise))
        return some[order], int((promise <= 1).sum())

    limit, together = np.full(len(shapes), bounds.never - 1), 0
    while (open_ := np.flatnonzero(~exact & (latency <= limit))).size:
        bounds.raise_to(Precision.BOUND, open_ if together else ranked(open_)[0][:_SCOUTS], limit)
        near, found = ranked(open_[(bounds.precision(open_) >= Precision.BOUND) & (latency[open_] <= limit[open_])])
        progress(done, done + near.size)
        together = max(solver.few, found, solver.growth * together)
        chosen = near[:together]
        bounds.raise_to(Precision.EXACT, chosen, limit)
        done += chosen.size
        chosen = chosen[latency[chosen] <= limit[chosen]]
        if chosen.size:
            latency[chosen] = solver.solve(bounds, chosen)
            exact[chosen] = True
            limit = np.minimum(limit, chance(shapes, np.where(exact, latency, FORBIDDEN)))
    progress(done, done)
    latency[latency >= bounds.never] = FORBIDDEN
    candidates = np.flatnonzero(exact)
    part = ArrayShapes(shapes.p1[candidates], shapes.p2[candidates])
    return Exploration(shapes, latency, int(candidates[_best(part, latency[candidates])]), exact=exact)


def _explore_every(
    selection: BatchedSelection, shapes: ArrayShapes, threads: int, progress: Callable[[int, int], None]
) -> Exploration:
    latency = np.empty(len(shapes), dtype=np.int64)

    def run(start: int) -> int:
        part = slice(start, start + _CHUNK)
        latency[part] = selection.evaluate(shapes.p1[part], shapes.p2[part])
        return latency[part].size

    done = 0
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for size in pool.map(run, range(0, len(shapes), _CHUNK)):
            done += size
            progress(done, len(shapes))
    return Exploration(shapes, latency, _best(shapes, latency))


def _best(shapes: ArrayShapes, latency: IntArray) -> int:
    if not latency.size or int(latency.min()) >= FORBIDDEN:
        raise NoMappingError("no choice of algorithms and layouts can run this network; allow more algorithms")
    return int(np.lexsort((-shapes.p1, shapes.p1 * shapes.p2, latency))[0])
