"""Two choices per variable: what a minimum cut solves, what it refuses and why, and the flow itself."""

from __future__ import annotations

import itertools
import random

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamap_solvers import (
    FORBIDDEN,
    METHODS,
    CertificateError,
    CutCertificate,
    ProblemError,
    SelectionProblem,
    Status,
    check,
    check_certificate,
    solve,
)
from dynamap_solvers._kernel import flow as kernel_flow
from dynamap_solvers._kernel import library

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def flip(table: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return table[:: -1 if rows else 1, :: -1 if columns else 1]


@st.composite
def switchable(draw: st.DrawFn) -> SelectionProblem:
    """Tables that favour equal labels, under labels chosen at random; forbidden cells, parallel edges, wider domains
    whose other choices are forbidden.
    """
    count = draw(st.integers(1, 6))
    turned = [draw(st.booleans()) for _ in range(count)]
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda e: e[0] != e[1])
    edges = draw(st.lists(ends, max_size=9)) if count > 1 else []
    cost = st.integers(-30, 30)
    pair = []
    for i, j in edges:
        a, b, c = (draw(cost) for _ in range(3))
        d = b + c - a - draw(st.integers(0, 20))
        if draw(st.integers(0, 4)) == 0:
            b = FORBIDDEN
        if draw(st.integers(0, 4)) == 0:
            c = FORBIDDEN
        pair.append(flip(np.array([[a, b], [c, d]]), turned[i], turned[j]))
    unary = [np.array([draw(cost), draw(cost)]) for _ in range(count)]
    for i in range(count):
        if draw(st.integers(0, 3)) == 0:  # a third choice, in any place, that nobody can take
            at = draw(st.integers(0, 2))
            unary[i] = np.insert(unary[i], at, FORBIDDEN)
            pair = [
                np.insert(table, at, 7, axis=0) if a == i else np.insert(table, at, 7, axis=1) if b == i else table
                for (a, b), table in zip(edges, pair, strict=True)
            ]
        elif draw(st.integers(0, 5)) == 0:
            unary[i][draw(st.integers(0, 1))] = FORBIDDEN
    return SelectionProblem(unary=unary, edges=edges, pair=pair)


@given(problem=switchable())
@QUICK
def test_it_finds_the_optimum_of_every_problem_that_some_labelling_makes_fit(problem):
    solution = solve(problem, method="min-cut")
    judge = solve(problem, method="brute-force")
    assert (solution.status, solution.objective) == (judge.status, judge.objective)
    assert isinstance(solution.certificate, CutCertificate)
    check(problem, solution)


def random_tables(seed: int, count: int, probability: float) -> SelectionProblem:
    rng = np.random.default_rng(seed)
    edges = list(nx.gnp_random_graph(count, probability, seed=seed).edges)
    tables = [rng.integers(-9, 9, (2, 2)) for _ in edges]
    return SelectionProblem(unary=rng.integers(-9, 9, (count, 2)), edges=edges, pair=tables)


def fits(problem: SelectionProblem) -> bool:
    """Whether some labelling suits all tables, by trying all of them."""
    for turned in itertools.product([False, True], repeat=problem.num_variables):
        tables = [flip(t, turned[i], turned[j]) for (i, j), t in zip(problem.edges, problem.pair, strict=True)]
        if all(t[0, 0] + t[1, 1] <= t[0, 1] + t[1, 0] for t in tables):
            return True
    return False


def test_it_refuses_exactly_the_problems_that_no_labelling_makes_fit():
    refused = 0
    for seed in range(150):
        problem = random_tables(seed, 6, 0.4)
        if fits(problem):
            assert solve(problem, method="min-cut").objective == solve(problem, method="brute-force").objective
        else:
            refused += 1
            with pytest.raises(ProblemError, match="has an odd number of tables that favour different ones"):
                solve(problem, method="min-cut")
    assert 20 < refused < 130


def test_a_refusal_names_a_cycle_of_the_graph():
    apart = np.array([[1, 0], [0, 1]])
    near = np.array([[0, 1], [1, 0]])
    problem = SelectionProblem(
        unary=[np.zeros(2, np.int64)] * 5,
        edges=[(0, 1), (1, 2), (2, 3), (3, 1)],
        pair=[apart, apart, near, near],
        names=["in", "a", "b", "c", "out"],
    )
    with pytest.raises(ProblemError) as caught:
        solve(problem, method="min-cut")
    assert str(caught.value) in {
        f"Method 'min-cut' needs tables that favour equal labels under some labelling, but the cycle {cycle} has an "
        "odd number of tables that favour different ones; use 'auto'."
        for way in (["a", "b", "c"], ["a", "c", "b"])
        for start in range(3)
        for cycle in ["-".join(map(repr, [*way[start:], *way[:start], way[start]]))]
    }


def test_three_choices_are_refused_by_name():
    problem = SelectionProblem(unary=[np.array([1, 2]), np.array([1, 2, 3])], names=["two", "three"])
    with pytest.raises(ProblemError, match="but 3 choices of variable 'three' are allowed; use 'auto'"):
        solve(problem, method="min-cut")


def test_parallel_tables_that_forbid_a_choice_only_together():
    first = np.array([[FORBIDDEN, 3], [0, 1]])
    second = np.array([[2, FORBIDDEN], [5, 0]])
    problem = SelectionProblem(
        unary=[np.array([-50, 0]), np.array([0, 0])], edges=[(0, 1), (0, 1)], pair=[first, second]
    )
    solution = solve(problem, method="min-cut")
    assert (solution.status, solution.objective, solution.assignment) == (Status.OPTIMAL, 1, (1, 1))
    check(problem, solution)


def test_what_nothing_allows_is_infeasible_with_a_certificate():
    keep = np.array([[0, FORBIDDEN], [FORBIDDEN, 0]])
    problem = SelectionProblem(
        unary=[np.array([FORBIDDEN, 0]), np.array([0, 0]), np.array([0, FORBIDDEN])],
        edges=[(0, 1), (1, 2)],
        pair=[keep, keep],
    )
    solution = solve(problem, method="min-cut")
    assert solution.status is Status.INFEASIBLE
    check(problem, solution)
    with pytest.raises(CertificateError, match="The claimed bound is 0, but the choices struck out leave no allowed"):
        check_certificate(problem, solution.certificate, bound=0)


@pytest.mark.parametrize("seed", range(20))
def test_costs_at_the_edge_of_64_bits_are_exact(seed):
    rng = random.Random(seed)
    edges = [(0, 1), (1, 2), (2, 0), (2, 3)]
    largest = 2**60 // 8 - 1  # eight arrays
    pair = []
    for _ in edges:
        b, c = rng.choice([largest, largest - 3, 5, FORBIDDEN]), rng.choice([largest, largest - 1, -largest, FORBIDDEN])
        a = -largest if FORBIDDEN in {b, c} or rng.random() < 0.5 else min(b, c)
        pair.append(np.array([[a, b], [c, -largest if c == -largest else a]]))
    unary = [np.array([rng.choice([-largest, largest]), rng.choice([-largest, largest])]) for _ in range(4)]
    problem = SelectionProblem(unary=unary, edges=edges, pair=pair)
    solution = solve(problem, method="min-cut")
    assert solution.objective == solve(problem, method="brute-force").objective
    check(problem, solution)


def float_grid(seed: int, rows: int, columns: int, scale: float) -> SelectionProblem:
    rng = np.random.default_rng(seed)
    edges = list(nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, columns)).edges)
    pair = []
    for _ in edges:
        a, b, c = rng.random(3)
        pair.append(np.array([[a, b + 1], [c + 1, b + c - a]]) * scale)
    return SelectionProblem(unary=rng.random((rows * columns, 2)) * 3 * scale, edges=edges, pair=pair)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e15])
def test_float_problems_are_optimal_within_the_stated_gap(scale):
    for seed in range(5):
        problem = float_grid(seed, 4, 4, scale)
        solution = solve(problem, method="min-cut")
        judge = solve(problem, method="brute-force")
        assert solution.status is Status.OPTIMAL
        assert solution.objective == pytest.approx(judge.objective, rel=1e-12)
        assert solution.bound <= judge.objective
        check(problem, solution)


def test_floats_that_are_multiples_of_a_power_of_two_are_exact():
    problem = SelectionProblem(
        unary=[np.array([0.25, 3.0]), np.array([2.0, 0.5])], edges=[(0, 1)], pair=[np.array([[0.0, 1.125], [4.0, 0.5]])]
    )
    solution = solve(problem, method="min-cut")
    assert solution.bound == solution.objective == 0.25 + 1.125 + 0.5


def test_a_table_that_is_modular_but_for_rounding_fits_either_way():
    assert 0.1 + 0.2 > 0.3
    unary = np.array([[0.0, 0.05], [0.0, 0.05], [0.1, 0.0]])
    over, under = np.array([[0.1, 0.3], [0.0, 0.2]]), np.array([[0.3, 0.1], [0.2, 0.0]])
    problem = SelectionProblem(unary=unary, edges=[(0, 1), (1, 2), (2, 0)], pair=[over, under, over])
    solution = solve(problem, method="min-cut")
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(solve(problem, method="brute-force").objective, rel=1e-12)
    check(problem, solution)


def a_network(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 40))
    arcs = int(rng.integers(0, 12 * count if seed % 2 else 2 * count))
    ends = np.array([rng.choice(count, 2, replace=False) for _ in range(arcs)], np.int32).reshape(-1, 2)
    high = int(rng.choice([2, 50, 2**50]))
    forward, backward = rng.integers(0, high, (2, arcs))
    return ends, forward, backward, rng.integers(-high, high, count) * (rng.random(count) < 0.5)


@pytest.mark.parametrize("seed", range(60))
def test_a_maximum_flow_is_a_flow_and_meets_its_cut_and_that_of_networkx(seed):
    ends, forward, backward, terminal = a_network(seed)
    graph = nx.DiGraph()
    graph.add_nodes_from(["s", "t"])
    for (i, j), there, back in zip(ends.tolist(), forward.tolist(), backward.tolist(), strict=True):
        for a, b, capacity in ((i, j, there), (j, i, back)):
            graph.add_edge(a, b, capacity=capacity + (graph[a][b]["capacity"] if graph.has_edge(a, b) else 0))
    for i, capacity in enumerate(terminal.tolist()):
        graph.add_edge(*(("s", i) if capacity > 0 else (i, "t")), capacity=abs(capacity))
    expected = nx.minimum_cut_value(graph, "s", "t")
    ways = [kernel_flow._by_networkx(ends, forward, backward, terminal)]
    if library() is not None:
        ways.append(kernel_flow.max_flow(ends=ends, forward=forward, backward=backward, terminal=terminal))
    for flow, side in ways:
        assert (flow <= forward).all()
        assert (-flow <= backward).all()
        out = np.zeros(len(terminal), np.int64)
        np.add.at(out, ends[:, 0], flow)
        np.subtract.at(out, ends[:, 1], flow)
        assert (np.where(terminal > 0, out >= 0, out <= 0)).all()
        assert (np.abs(out) <= np.abs(terminal)).all()
        assert int(out[out > 0].sum()) == expected
        first, second = side[ends[:, 0]], side[ends[:, 1]]
        cut = forward[~first & second].sum() + backward[first & ~second].sum()
        cut += terminal[side & (terminal > 0)].sum() - terminal[~side & (terminal < 0)].sum()
        assert cut == expected


def test_without_the_kernel_networkx_finds_the_same(monkeypatch):
    monkeypatch.setattr(kernel_flow, "library", lambda: None)
    problem = float_grid(1, 4, 4, 1.0)
    solution = solve(problem, method="min-cut")
    assert solution.objective == pytest.approx(solve(problem, method="brute-force").objective, rel=1e-12)
    check(problem, solution)


def test_a_large_grid_is_solved_and_its_certificate_accepted():
    side = 60
    rng = np.random.default_rng(5)
    edges = np.array(nx.convert_node_labels_to_integers(nx.grid_2d_graph(side, side)).edges)
    together = np.array([[0, 1], [1, 0]])
    problem = SelectionProblem.from_flat(
        domain_sizes=np.full(side * side, 2),
        unary=rng.integers(0, 2000, 2 * side * side),
        edges=edges,
        pair=(rng.integers(0, 700, len(edges))[:, None] * together.reshape(-1)).reshape(-1),
    )
    solution = solve(problem, method="min-cut")
    assert solution.status is Status.OPTIMAL
    check(problem, solution)


def test_the_registry_says_that_it_does_not_take_every_problem():
    assert not METHODS["min-cut"].any_costs
