"""Every array shape with a close lower bound of its latency, and the exact Pareto front of latency against elements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers import FORBIDDEN

from .costs import Precision
from .exploration import ArrayShapes, Exploration, explore_shapes
from .mapper import Mapper

__all__ = ["explore_front", "front_of", "on_the_front"]

IntArray = NDArray[np.int64]


def explore_front(
    mapper: Mapper, *, threads: int = 2, progress: Callable[[int, int], None] | None = None
) -> Exploration:
    """Explore every shape, so that all on the Pareto front of latency against elements are exact.

    Entries that are not exact are lower bounds: sums over the stages, each with its favourite layouts. Where the graph
    of layouts is not series-parallel, only the best shape is sure to be exact.

    Args:
        mapper: of the network and the board.
        threads: chunks of shapes worked on at a time.
        progress: as for :func:`~dynamap_opt.exploration.explore_shapes`.

    Raises:
        NoMappingError: when no shape can run the network.
    """
    return explore_shapes(
        mapper.tables,
        mapper.shapes(),
        chance=on_the_front,
        closeness=Precision.BOUND,
        threads=threads,
        progress=progress,
    )


def on_the_front(shapes: ArrayShapes, latency: IntArray) -> IntArray:
    """A :data:`~dynamap_opt.exploration.Chance` to be on the Pareto front of latency against elements.

    It takes less than all with fewer elements, and no more than those with as many (of equals, one has most rows).
    """
    elements, group = np.unique(shapes.p1 * shapes.p2, return_inverse=True)
    least = np.full(elements.size, FORBIDDEN, dtype=np.int64)
    np.minimum.at(least, group, latency)
    before = np.minimum.accumulate(np.concatenate(([FORBIDDEN], least[:-1])))
    return np.asarray(np.minimum(least, before - 1)[group], dtype=np.int64)


def front_of(found: Exploration) -> list[tuple[int, int, int]] | None:
    """(P1, P2, cycles) of every shape that no other beats in both elements and latency, fewest elements first.

    None where the lower bounds in ``found`` leave open who is on the front.
    """
    shapes, latency = found.shapes, found.latency_cycles
    exact = np.ones(len(shapes), dtype=bool) if found.exact is None else found.exact
    known = np.where(exact, latency, FORBIDDEN)
    if (~exact & (latency <= on_the_front(shapes, known)) & (latency < FORBIDDEN)).any():
        return None
    chosen = np.flatnonzero(exact & (latency < FORBIDDEN))
    part = ArrayShapes(shapes.p1[chosen], shapes.p2[chosen])
    return Exploration(part, latency[chosen], 0).pareto()
