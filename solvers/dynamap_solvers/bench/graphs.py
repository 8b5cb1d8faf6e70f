"""Seeded graphs for benchmarks, as arrays of edges: shape ``(m, 2)``, int32, no self-loop, no parallel edges.

Vertices are numbered at random and edges listed in random order and direction, so that no method profits from the
order in which a graph was made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError

__all__ = ["Edges", "grid", "k_tree", "random_graph", "regular", "series_parallel"]

Edges = NDArray[np.int32]

_REPAIRS = 1000


def series_parallel(num_variables: int, *, seed: int, series: float = 0.5) -> Edges:
    """A two-terminal series-parallel graph: an edge refined at random, in rounds, each of them vectorised.

    In a round some edges are replaced: with probability ``series`` by two edges in series, else by themselves in
    parallel to two in series. Every refinement brings one vertex; so every simple series-parallel graph can come out,
    long chains and vertices of high degree among them. Time O(m).

    Raises:
        ProblemError: for fewer than two variables.
    """
    if num_variables < 2:
        raise ProblemError(f"A series-parallel graph has two terminals at least; {num_variables} variables are few.")
    rng = np.random.default_rng([seed, num_variables, 1])
    edges = np.array([[0, 1]], np.int64)
    vertices = 2
    while vertices < num_variables:
        count = min(max(1, int(len(edges) * rng.uniform(0.1, 0.9))), num_variables - vertices)
        hit = rng.permutation(len(edges))[:count]
        fresh = np.arange(vertices, vertices + count)
        in_series = rng.random(count) < series
        kept = np.ones(len(edges), np.bool_)
        kept[hit[in_series]] = False
        first, second = edges[hit].T
        halves = (np.stack([first, fresh], axis=1), np.stack([fresh, second], axis=1))
        edges = np.concatenate([edges[kept], *halves])
        vertices += count
    return _shuffled(num_variables, edges, rng)


def k_tree(num_variables: int, *, k: int, seed: int, keep: float = 0.8) -> Edges:
    """A partial k-tree: a random k-tree of which each edge stays with probability ``keep``; treewidth at most k.

    Every vertex after the first k + 1 joins all but one vertex of the bag of an earlier one. Time O(n k).

    Raises:
        ProblemError: for fewer than k + 1 variables.
    """
    if num_variables < k + 1:
        raise ProblemError(f"A {k}-tree has {k + 1} vertices at least; {num_variables} variables are few.")
    rng = np.random.default_rng([seed, num_variables, k, 2])
    bags = np.empty((num_variables, k + 1), np.int64)  # the bag of a vertex: itself last
    bags[: k + 1] = np.arange(k + 1)
    earlier = (rng.random(num_variables) * np.maximum(np.arange(num_variables), 1)).astype(np.int64)
    left_out = rng.integers(0, k + 1, num_variables)
    for vertex in range(k + 1, num_variables):
        bag = bags[earlier[vertex]]
        bags[vertex, : left_out[vertex]] = bag[: left_out[vertex]]
        bags[vertex, left_out[vertex] : k] = bag[left_out[vertex] + 1 :]
        bags[vertex, k] = vertex
    grown = bags[k + 1 :]
    clique = np.argwhere(np.triu(np.ones((k + 1, k + 1), np.bool_), 1))
    joined = np.stack([grown[:, :k].ravel(), np.repeat(grown[:, k], k)], axis=1)
    edges = np.concatenate([clique, joined])
    edges = edges[rng.random(len(edges)) < keep]
    return _shuffled(num_variables, edges, rng)


def grid(rows: int, columns: int, *, seed: int) -> Edges:
    """A grid of ``rows * columns`` vertices, each joined to its neighbours right and below; treewidth min(r, c)."""
    rng = np.random.default_rng([seed, rows, columns, 3])
    place = np.arange(rows * columns).reshape(rows, columns)
    across = np.stack([place[:, :-1].ravel(), place[:, 1:].ravel()], axis=1)
    down = np.stack([place[:-1].ravel(), place[1:].ravel()], axis=1)
    return _shuffled(rows * columns, np.concatenate([across, down]), rng)


def regular(num_variables: int, *, degree: int, seed: int) -> Edges:
    """A random simple regular graph: stubs paired at random (Bollobás 1980), bad pairs paired again with good ones.

    Raises:
        ProblemError: where no such graph exists (``n * degree`` odd, or ``degree >= n``).
    """
    if degree >= num_variables or num_variables * degree % 2:
        raise ProblemError(f"There is no {degree}-regular graph on {num_variables} vertices; n * degree must be even.")
    rng = np.random.default_rng([seed, num_variables, degree, 4])
    if 2 * degree >= num_variables:  # dense: pairing hardly ever ends simple, the complement's does
        present = np.ones((num_variables, num_variables), np.bool_)
        if degree < num_variables - 1:
            missing = regular(num_variables, degree=num_variables - 1 - degree, seed=seed)
            present[missing[:, 0], missing[:, 1]] = present[missing[:, 1], missing[:, 0]] = False
        return _shuffled(num_variables, np.argwhere(np.triu(present, 1)), rng)
    stubs = rng.permutation(np.repeat(np.arange(num_variables), degree)).reshape(-1, 2)
    for _ in range(_REPAIRS):
        bad = _repeated(num_variables, stubs)
        if not bad.size:
            return _shuffled(num_variables, stubs, rng)
        # As many good pairs go back into the draw, else the bad ones might have no way out.
        drawn = np.unique(np.concatenate([bad, rng.integers(0, len(stubs), bad.size + 1)]))
        stubs[drawn] = rng.permutation(stubs[drawn].ravel()).reshape(-1, 2)
    raise ProblemError(f"No simple {degree}-regular graph on {num_variables} vertices came out; take another seed.")


def random_graph(num_variables: int, *, degree: float, seed: int) -> Edges:
    """An Erdős-Rényi graph G(n, m) with ``m = n * degree / 2`` edges, rounded: every edge set is equally likely.

    Raises:
        ProblemError: where the graph would need more edges than a complete one has.
    """
    most = num_variables * (num_variables - 1) // 2
    count = round(num_variables * degree / 2)
    if not 0 <= count <= most:
        raise ProblemError(f"{num_variables} vertices have room for {most} edges, not for {count}; lower the degree.")
    rng = np.random.default_rng([seed, num_variables, count, 5])
    codes = rng.choice(most, count, replace=False, shuffle=False)
    # Pair (i, j), i < j, has the code j (j - 1) / 2 + i; the root is exact far beyond any size used here.
    second = np.floor((1 + np.sqrt(1 + 8 * codes.astype(np.float64))) / 2).astype(np.int64)
    first = codes - second * (second - 1) // 2
    return _shuffled(num_variables, np.stack([first, second], axis=1), rng)


def _repeated(num_variables: int, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of self-loops and of edges that were there before."""
    low, high = edges.min(axis=1), edges.max(axis=1)
    codes = low * num_variables + high
    _, first = np.unique(codes, return_index=True)
    bad = np.ones(len(edges), np.bool_)
    bad[first] = False
    return np.flatnonzero(bad | (low == high))


def _shuffled(num_variables: int, edges: NDArray[np.int64], rng: np.random.Generator) -> Edges:
    """The same graph with vertices renumbered, edges in another order and each in a random direction."""
    mixed = rng.permutation(num_variables)[edges[rng.permutation(len(edges))]]
    turned = rng.random(len(edges)) < 0.5
    mixed[turned] = mixed[turned][:, ::-1]
    return mixed.astype(np.int32)
