"""The graphs of the benchmark are what their names say."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networkx.algorithms.approximation import treewidth_min_degree

from dynamap_solvers import NotSeriesParallelError, ProblemError, reduce_graph
from dynamap_solvers.bench import graphs
from dynamap_solvers.bench.width import min_degree_width

SEEDS = st.integers(0, 2**31 - 1)


def is_simple(edges, count):
    pairs = {tuple(sorted(pair)) for pair in edges.tolist()}
    inside = not edges.size or (edges.min() >= 0 and edges.max() < count)
    return inside and len(pairs) == len(edges) and all(i != j for i, j in pairs)


@given(st.integers(2, 60), SEEDS, st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=60, deadline=None)
def test_series_parallel_graphs_reduce_to_a_point(count, seed, series):
    edges = graphs.series_parallel(count, seed=seed, series=series)
    assert is_simple(edges, count)
    assert nx.is_connected(nx.Graph(edges.tolist()))
    assert set(edges.ravel().tolist()) == set(range(count))
    plan = reduce_graph(count, [tuple(edge) for edge in edges.tolist()])
    assert plan.num_variables == count


def test_series_parallel_graphs_have_both_kinds_of_composition():
    chain = graphs.series_parallel(200, seed=1, series=1.0)
    assert len(chain) == 199
    assert np.bincount(chain.ravel()).max() == 2
    mixed = graphs.series_parallel(1000, seed=1)
    assert 1200 < len(mixed) < 1800
    assert np.bincount(mixed.ravel()).max() > 10


@given(st.integers(1, 6), st.integers(0, 40), SEEDS)
@settings(max_examples=60, deadline=None)
def test_partial_k_trees_have_treewidth_at_most_k(k, more, seed):
    count = k + 1 + more
    whole = graphs.k_tree(count, k=k, seed=seed, keep=1.0)
    assert is_simple(whole, count)
    assert len(whole) == k * (k + 1) // 2 + more * k
    # A k-tree is chordal with cliques of k + 1 at most: its treewidth is k exactly.
    graph = nx.Graph(whole.tolist())
    assert nx.is_chordal(graph)
    assert max(map(len, nx.chordal_graph_cliques(graph))) == k + 1
    part = graphs.k_tree(count, k=k, seed=seed, keep=0.7)
    assert is_simple(part, count)
    assert len(part) <= len(whole)


def test_a_3_tree_is_not_series_parallel():
    edges = graphs.k_tree(10, k=3, seed=1, keep=1.0)
    with pytest.raises(NotSeriesParallelError):
        reduce_graph(10, [tuple(edge) for edge in edges.tolist()])


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 4), (10, 10)])
def test_grids_are_grids(rows, columns):
    edges = graphs.grid(rows, columns, seed=3)
    assert is_simple(edges, rows * columns)
    graph = nx.Graph(edges.tolist())
    graph.add_nodes_from(range(rows * columns))
    assert nx.is_isomorphic(graph, nx.grid_2d_graph(rows, columns))


@pytest.mark.parametrize(("count", "degree"), [(4, 3), (10, 3), (200, 3), (80, 6), (10, 9), (6, 4), (7, 4), (1000, 8)])
def test_regular_graphs_are_simple_and_regular(count, degree):
    for seed in range(5):
        edges = graphs.regular(count, degree=degree, seed=seed)
        assert is_simple(edges, count)
        assert np.bincount(edges.ravel(), minlength=count).tolist() == [degree] * count


@given(st.integers(2, 30), st.floats(0, 1), SEEDS)
@settings(max_examples=50, deadline=None)
def test_random_graphs_have_as_many_edges_as_asked_for(count, share, seed):
    degree = share * (count - 1)
    edges = graphs.random_graph(count, degree=degree, seed=seed)
    assert is_simple(edges, count)
    assert len(edges) == round(count * degree / 2)


def test_every_pair_can_be_drawn():
    pairs = {tuple(sorted(e)) for s in range(60) for e in graphs.random_graph(5, degree=0.8, seed=s).tolist()}
    assert len(pairs) == 10


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: graphs.series_parallel(300, seed=seed),
        lambda seed: graphs.k_tree(300, k=4, seed=seed),
        lambda seed: graphs.grid(10, 12, seed=seed),
        lambda seed: graphs.regular(100, degree=3, seed=seed),
        lambda seed: graphs.random_graph(100, degree=5, seed=seed),
    ],
)
def test_a_seed_gives_one_graph_and_another_seed_another(make):
    assert make(7).dtype == np.int32
    assert np.array_equal(make(7), make(7))
    assert not np.array_equal(make(7), make(8))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: graphs.series_parallel(1, seed=0), "two terminals at least; 1 variables"),
        (lambda: graphs.k_tree(3, k=3, seed=0), "A 3-tree has 4 vertices at least; 3 variables"),
        (lambda: graphs.regular(5, degree=3, seed=0), "no 3-regular graph on 5 vertices"),
        (lambda: graphs.regular(4, degree=4, seed=0), "no 4-regular graph on 4 vertices"),
        (lambda: graphs.random_graph(4, degree=9, seed=0), "room for 6 edges, not for 18"),
    ],
)
def test_graphs_that_do_not_exist_are_refused(make, sentence):
    with pytest.raises(ProblemError, match=sentence):
        make()


@given(st.integers(1, 25), st.floats(0, 1), SEEDS)
@settings(max_examples=50, deadline=None)
def test_the_width_is_that_of_an_elimination_order(count, share, seed):
    """At least the degeneracy, and never far from the heuristic of the same name in networkx."""
    edges = graphs.random_graph(count, degree=share * (count - 1), seed=seed)
    width = min_degree_width(count, edges)
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(edges.tolist())
    assert width >= max(nx.core_number(graph).values())
    assert abs(width - treewidth_min_degree(graph)[0]) <= 3


def test_known_widths_come_out():
    assert min_degree_width(50, graphs.series_parallel(50, seed=1)) <= 2
    assert min_degree_width(60, graphs.k_tree(60, k=5, seed=1, keep=1.0)) == 5
    assert min_degree_width(7, graphs.regular(7, degree=6, seed=0)) == 6
    assert min_degree_width(3, np.zeros((0, 2), np.int32)) == 0
    assert min_degree_width(0, np.zeros((0, 2), np.int32)) == 0
    assert min_degree_width(400, graphs.regular(400, degree=8, seed=0), most_fill=100) is None
