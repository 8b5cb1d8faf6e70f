"""Problems that many solver tests share."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from dynamap_solvers import FORBIDDEN, SelectionProblem

MakeProblem = Callable[..., SelectionProblem]
MakeEdges = Callable[[int, int], list[tuple[int, int]]]


@pytest.fixture(scope="session")
def make_problem() -> MakeProblem:
    """Random integer or float costs on a given graph."""

    def make(
        sizes: list[int],
        edges: list[tuple[int, int]],
        *,
        seed: int,
        low: int = -20,
        high: int = 50,
        forbidden: float = 0.0,
        batch: int | None = None,
        floats: bool = False,
    ) -> SelectionProblem:
        rng = np.random.default_rng(seed)

        def table(*shape: int) -> np.ndarray:
            full = shape if batch is None else (batch, *shape)
            cells = rng.integers(low, high, full)
            hit = rng.random(full) < forbidden
            return np.where(hit, np.inf, cells / 7) if floats else np.where(hit, FORBIDDEN, cells)

        return SelectionProblem(
            unary=tuple(table(size) for size in sizes),
            edges=tuple(edges),
            pair=tuple(table(sizes[i], sizes[j]) for i, j in edges),
        )

    return make


@pytest.fixture(scope="session")
def series_parallel_edges() -> MakeEdges:
    """A two-terminal series-parallel multigraph: an edge grown by series and parallel composition."""

    def make(num_variables: int, seed: int) -> list[tuple[int, int]]:
        rng = random.Random(seed)
        edges = [(0, 1)]
        for vertex in range(2, num_variables):
            at = rng.randrange(len(edges))
            i, j = edges[at]
            if rng.random() < 0.5:
                edges[at] = (i, vertex)
                edges.append((vertex, j))
            else:
                edges += [(i, vertex), (vertex, j)]
            if rng.random() < 0.2:
                edges.append((j, i))
        return edges

    return make
