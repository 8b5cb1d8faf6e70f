"""Every array shape with a close lower bound of its latency, and the exact Pareto front of latency against elements.

Where cycles of the overlay take long to count, :mod:`~dynamap_opt.exploration` makes exact only what could be the best.
The front needs more, but far from all: a shape whose lower bound is no less than the latency of one with as few
elements cannot be on it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers import FORBIDDEN, NotSeriesParallelError

from .exploration import ArrayShapes, Exploration
from .mapper import Mapper
from .selection import BatchedSelection

__all__ = ["explore_front", "front_of"]

IntArray = NDArray[np.int64]

_CHUNK = 2048
_MOST = int(np.iinfo(np.int64).max)


def explore_front(
    mapper: Mapper, *, threads: int = 2, progress: Callable[[int, int], None] | None = None
) -> Exploration:
    """Explore every shape, so that all on the Pareto front of latency against elements are exact.

    Entries that are not exact are lower bounds: sums over the stages, each with its favourite layouts. Where the graph
    of layouts is not series-parallel, only the best shape is sure to be exact.

    Args:
        mapper: of the network and the board.
        threads: chunks of shapes worked on at a time.
        progress: called with (shapes done, shapes in all) after every chunk; shapes made exact count once more.

    Raises:
        NoMappingError: when no shape can run the network.
    """
    try:
        selection = BatchedSelection(mapper.tables)
    except NotSeriesParallelError:
        return mapper.explore(threads=threads, progress=progress)
    if not mapper.model.bounded:
        return mapper.explore(threads=threads, progress=progress)
    shapes = mapper.shapes()
    latency = np.empty(len(shapes), dtype=np.int64)
    exact = np.zeros(len(shapes), dtype=bool)
    done, total = 0, len(shapes)

    def bound(part: NDArray[np.intp]) -> int:
        latency[part] = BatchedSelection.lower_bound(mapper.tables, shapes.p1[part], shapes.p2[part])
        return part.size

    def price(part: NDArray[np.intp]) -> int:
        latency[part] = selection.evaluate(shapes.p1[part], shapes.p2[part])
        exact[part] = True
        return part.size

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        every = np.arange(len(shapes))
        work, chosen = bound, every
        while chosen.size:
            parts = np.array_split(
                chosen, -(-chosen.size // _CHUNK) if work is bound else min(chosen.size, max(1, threads))
            )
            for size in pool.map(work, parts):
                done += size
                if progress is not None:
                    progress(done, total)
            work, chosen = price, _promising(shapes, latency, exact)
            total = max(total, done + chosen.size)
    candidates = np.flatnonzero(exact)
    order = np.lexsort((-shapes.p1, shapes.p1 * shapes.p2, np.where(exact, latency, _MOST)))
    if not candidates.size or latency[order[0]] >= FORBIDDEN:
        return mapper.explore(threads=threads)  # says that there is no mapping
    return Exploration(shapes, latency, int(order[0]), exact=exact)


def _promising(shapes: ArrayShapes, latency: IntArray, exact: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Shapes to make exact next: the front of the bounds among those that no exact one rules out."""
    elements = shapes.p1 * shapes.p2
    order = np.lexsort((latency, elements))
    known = np.minimum.accumulate(np.where(exact[order], latency[order], _MOST))
    last = np.searchsorted(elements[order], elements[order], side="right") - 1
    open_ = order[~exact[order] & (latency[order] < np.minimum(known[last], FORBIDDEN))]
    least = np.minimum.accumulate(latency[open_])
    return open_[latency[open_] < np.concatenate(([_MOST], least[:-1]))] if open_.size else open_


def front_of(found: Exploration) -> list[tuple[int, int, int]] | None:
    """(P1, P2, cycles) of every shape that no other beats in both elements and latency, fewest elements first.

    None where the lower bounds in ``found`` leave open who is on the front.
    """
    shapes, latency = found.shapes, found.latency_cycles
    exact = np.ones(len(shapes), dtype=bool) if found.exact is None else found.exact
    if _promising(shapes, latency, exact).size:
        return None
    chosen = np.flatnonzero(exact & (latency < FORBIDDEN))
    part = ArrayShapes(shapes.p1[chosen], shapes.p2[chosen])
    return Exploration(part, latency[chosen], 0).pareto()
