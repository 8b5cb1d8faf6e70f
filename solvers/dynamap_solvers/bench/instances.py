"""Seeded selection problems for benchmarks: a graph of :mod:`.graphs` with costs of one of a few kinds.

Costs are int64. ``real``: unary 1e3..1e6 and pairs 0..1e5, as profiled layers and conversions look like. ``hard``:
unary 0..100 and independent pairs 0..1e5 that dominate. ``layout``: every edge scales one shared, symmetric matrix of
conversion costs with zero diagonal, unary 1e3..1e5. ``potts``: equal neighbours cost 1..100, unary 0..10.
``colouring``: equal neighbours cost 1 and nothing else does, so that the optimum counts the conflicts of a colouring,
symmetric in the choices and full of ties: built against propagation and dominance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.bench import graphs
from dynamap_solvers.bench.graphs import Edges
from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import SelectionProblem

__all__ = ["COSTS", "batch", "grid", "k_tree", "random_graph", "regular", "series_parallel"]

_Costs = NDArray[np.int64]
_Draw = Callable[[np.random.Generator, int, int, int], tuple[_Costs, _Costs]]


def series_parallel(*, variables: int, choices: int, costs: str, seed: int = 0) -> SelectionProblem:
    """On :func:`.graphs.series_parallel`."""
    return _problem(variables, graphs.series_parallel(variables, seed=seed), choices, costs, seed)


def k_tree(*, variables: int, k: int, choices: int, costs: str, seed: int = 0) -> SelectionProblem:
    """On :func:`.graphs.k_tree`."""
    return _problem(variables, graphs.k_tree(variables, k=k, seed=seed), choices, costs, seed)


def grid(*, rows: int, columns: int, choices: int, costs: str, seed: int = 0) -> SelectionProblem:
    """On :func:`.graphs.grid`."""
    return _problem(rows * columns, graphs.grid(rows, columns, seed=seed), choices, costs, seed)


def regular(*, variables: int, degree: int, choices: int, costs: str, seed: int = 0) -> SelectionProblem:
    """On :func:`.graphs.regular`."""
    return _problem(variables, graphs.regular(variables, degree=degree, seed=seed), choices, costs, seed)


def random_graph(*, variables: int, degree: float, choices: int, costs: str, seed: int = 0) -> SelectionProblem:
    """On :func:`.graphs.random_graph`."""
    return _problem(variables, graphs.random_graph(variables, degree=degree, seed=seed), choices, costs, seed)


def batch(
    *, variables: int, choices: int, cost_sets: int, costs: str = "real", shared_pairs: bool = False, seed: int = 0
) -> SelectionProblem:
    """Many cost sets on one series-parallel graph; with ``shared_pairs`` all of them have the same pair costs."""
    edges = graphs.series_parallel(variables, seed=seed)
    rng = np.random.default_rng([seed, 7])
    draw = _draw(costs)
    unary = np.empty((cost_sets, variables * choices), np.int64)
    pair = np.empty((1 if shared_pairs else cost_sets, len(edges) * choices * choices), np.int64)
    for k in range(cost_sets):
        own, between = draw(rng, variables, len(edges), choices)
        unary[k] = own
        if k < len(pair):
            pair[k] = between
    sets: Any = pair[0] if shared_pairs else pair
    return SelectionProblem.from_flat(
        domain_sizes=np.full(variables, choices), unary=unary, edges=edges, pair=sets, name="batch"
    )


def _problem(variables: int, edges: Edges, choices: int, costs: str, seed: int) -> SelectionProblem:
    rng = np.random.default_rng([seed, variables, choices, 6])
    unary, pair = _draw(costs)(rng, variables, len(edges), choices)
    return SelectionProblem.from_flat(domain_sizes=np.full(variables, choices), unary=unary, edges=edges, pair=pair)


def _draw(costs: str) -> _Draw:
    draw = COSTS.get(costs)
    if draw is None:
        raise ProblemError(f"There is no kind of costs {costs!r}; the kinds are {', '.join(COSTS)}.")
    return draw


def _real(rng: np.random.Generator, n: int, m: int, d: int) -> tuple[_Costs, _Costs]:
    return rng.integers(1_000, 1_000_001, n * d), rng.integers(0, 100_001, m * d * d)


def _hard(rng: np.random.Generator, n: int, m: int, d: int) -> tuple[_Costs, _Costs]:
    return rng.integers(0, 101, n * d), rng.integers(0, 100_001, m * d * d)


def _layout(rng: np.random.Generator, n: int, m: int, d: int) -> tuple[_Costs, _Costs]:
    between = np.triu(rng.integers(1, 10, (d, d)), 1)
    volume = rng.integers(100, 10_001, m)
    return rng.integers(1_000, 100_001, n * d), (volume[:, None, None] * (between + between.T)).ravel()


def _potts(rng: np.random.Generator, n: int, m: int, d: int) -> tuple[_Costs, _Costs]:
    strength = rng.integers(1, 101, m)
    return rng.integers(0, 11, n * d), (strength[:, None, None] * np.eye(d, dtype=np.int64)).ravel()


def _colouring(rng: np.random.Generator, n: int, m: int, d: int) -> tuple[_Costs, _Costs]:  # noqa: ARG001 - as its siblings
    return np.zeros(n * d, np.int64), np.tile(np.eye(d, dtype=np.int64).ravel(), m)


COSTS: dict[str, _Draw] = {
    "real": _real,
    "hard": _hard,
    "layout": _layout,
    "potts": _potts,
    "colouring": _colouring,
}
"""The kinds of costs; each draws flat unary costs ``(n d,)`` and pair costs ``(m d d,)``."""
