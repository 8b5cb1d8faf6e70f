"""The reduction of graphs: what reduces, what does not and why, and the pricing of plans in exact integers."""

from __future__ import annotations

import itertools
import random

import networkx as nx
import numpy as np
import pytest

from dynamap_solvers import (
    FORBIDDEN,
    CertificateError,
    NotSeriesParallelError,
    ProblemError,
    ReductionCertificate,
    ReductionPlan,
    Rule,
    SelectionProblem,
    check_reduction,
    reduce_graph,
    solve,
    solve_batch,
)

K4 = list(itertools.combinations(range(4), 2))

# A cell of NASNet-A: two inputs, five blocks, each block two inputs, one concatenation (Zoph et al. 2018, fig. 4).
NASNET_CELL = [
    *[(0, 2), (1, 2)],
    *[(0, 3), (1, 3)],
    *[(0, 4), (1, 4)],
    *[(2, 5), (3, 5)],
    *[(2, 6), (4, 6)],
    *[(3, 7), (4, 7), (5, 7), (6, 7)],
]


def core_by_elimination(num_variables: int, edges: list[tuple[int, int]]) -> set[int]:
    """The core as networkx finds it: take out vertices of degree <= 2, joining their neighbours, in random order."""
    graph = nx.Graph(edges)
    graph.add_nodes_from(range(num_variables))
    rng = random.Random(1)
    while thin := [vertex for vertex, degree in graph.degree if degree <= 2]:
        vertex = rng.choice(sorted(thin))
        graph.add_edges_from(itertools.combinations(list(graph[vertex]), 2))
        graph.remove_node(vertex)
    return set(graph)


@pytest.mark.parametrize("seed", range(20))
def test_series_parallel_graphs_reduce_to_nothing_and_agree_with_the_ilp(seed, make_problem, series_parallel_edges):
    edges = series_parallel_edges(12, seed)
    sizes = [random.Random(seed + i).randint(1, 4) for i in range(12)]
    problem = make_problem(sizes, edges, seed=seed, forbidden=0.05)
    solution = solve(problem, method="series-parallel")
    judge = solve(problem, method="ilp")
    assert (solution.status, solution.objective) == (judge.status, judge.objective)
    check_reduction(problem, solution.certificate, bound=solution.bound)


@pytest.mark.parametrize(
    ("num_variables", "edges"),
    [
        (4, K4),
        (8, NASNET_CELL),
        (10, list(nx.petersen_graph().edges)),
        (12, list(nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4)).edges)),
        (9, [*K4, (3, 4), (4, 5), (5, 6), (6, 4), (7, 8)]),
        (7, [(0, 4), (4, 1), (0, 5), (5, 2), (0, 6), (6, 3), (1, 2), (1, 3), (2, 3)]),
    ],
    ids=["K4", "nasnet-cell", "petersen", "grid", "K4-with-tails", "K4-subdivided"],
)
def test_a_graph_with_a_k4_minor_is_refused_with_its_core_as_witness(num_variables, edges):
    with pytest.raises(NotSeriesParallelError, match="degree is at least 3") as caught:
        reduce_graph(num_variables, edges)
    core = nx.Graph(caught.value.core_edges)
    assert set(caught.value.witness) == set(core) == core_by_elimination(num_variables, edges)
    assert min(degree for _, degree in core.degree) >= 3
    # The core is a minor of the graph: each of its edges is a path whose inside is not in the core.
    outside = nx.Graph(edges)
    for i, j in core.edges:
        inside = outside.subgraph(set(outside) - set(core) | {i, j})
        assert nx.has_path(inside, i, j)


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_reduce_exactly_if_networkx_leaves_no_core(seed):
    graph = nx.gnm_random_graph(14, 8 + seed % 12, seed=seed)
    core = core_by_elimination(14, list(graph.edges))
    try:
        plan = reduce_graph(14, list(graph.edges))
    except NotSeriesParallelError as error:
        assert set(error.witness) == core  # noqa: PT017  # both outcomes are right, on different graphs
    else:
        assert not core
        assert sorted(step.vertex for step in plan.steps if step.rule is not Rule.PARALLEL) == list(range(14))


@pytest.mark.parametrize("most_choices", [1, 4, 5])
def test_large_graphs_reduce_in_steps_the_verifier_allows(most_choices, make_problem, series_parallel_edges):
    """Large enough that vertices wait in turn, and some change while they do."""
    label = random.Random(most_choices).sample(range(1000), 1000)
    edges = [(label[i], label[j]) for i, j in series_parallel_edges(1000, most_choices)]
    sizes = [random.Random(i).randint(1, most_choices) for i in range(1000)]
    for choices in (sizes, [most_choices] * 1000):
        problem = make_problem(choices, edges, seed=most_choices, forbidden=0.01)
        solution = solve(problem, method="series-parallel")
        check_reduction(problem, solution.certificate, bound=solution.bound)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_of_large_graphs_is_what_networkx_leaves(seed):
    graph = nx.gnm_random_graph(2000, 2300, seed=seed)
    expected = core_by_elimination(2000, list(graph.edges))
    with pytest.raises(NotSeriesParallelError) as refused:
        reduce_graph(2000, list(graph.edges))
    assert set(refused.value.witness) == expected


@pytest.mark.parametrize("method", ["auto", "series-parallel"])
def test_variables_with_one_choice_cut_k4(method, make_problem):
    problem = make_problem([1, 3, 3, 3], K4, seed=3)
    with pytest.raises(NotSeriesParallelError):
        reduce_graph(4, K4)
    solution = solve(problem, method=method)
    assert solution.method == "series-parallel"
    assert solution.objective == solve(problem, method="brute-force").objective
    check_reduction(problem, solution.certificate, bound=solution.bound)


def test_a_choice_struck_out_is_part_of_the_certificate_and_is_checked():
    forbidding = np.array([[0, FORBIDDEN], [0, FORBIDDEN]])
    zero = np.array([[1, 2], [3, 4]])
    problem = SelectionProblem(
        unary=tuple(np.array([5, 1]) for _ in range(4)), edges=tuple(K4), pair=(forbidding, *[zero] * 5)
    )
    solution = solve(problem)
    assert solution.certificate.dropped == ((1, 1),)
    check_reduction(problem, solution.certificate, bound=solution.bound)
    with pytest.raises(CertificateError, match="is struck out, but it is not forbidden"):
        check_reduction(problem, ReductionCertificate(solution.certificate.plan, ((1, 0),)), bound=solution.bound)
    with pytest.raises(CertificateError, match="needs a variable with one choice, and 2 are left"):
        check_reduction(problem, solution.certificate.plan, bound=solution.bound)


def test_the_verifier_rejects_the_plan_of_another_graph(make_problem):
    problem = make_problem([2, 2, 2], [(0, 1), (1, 2)], seed=0)
    with pytest.raises(CertificateError, match="another graph"):
        check_reduction(problem, reduce_graph(3, [(0, 1), (0, 2)]), bound=0)
    with pytest.raises(CertificateError, match="ends with 3 variables left"):
        check_reduction(problem, ReductionPlan(3, problem.edges, ()), bound=0)


def test_costs_near_two_to_the_59_are_added_exactly():
    big = 2**59
    problem = SelectionProblem(
        unary=(np.array([big + 1, big]), np.array([0, 0]), np.array([3, 1])),
        edges=((0, 1), (1, 2)),
        pair=(np.array([[7, FORBIDDEN], [9, FORBIDDEN]]), np.array([[-(2**57) - 1, 0], [5, 5]])),
    )
    solution = solve(problem, method="series-parallel")
    assert solution.objective == min(big + 1 + 7, big + 9) + 3 - 2**57 - 1
    assert float(solution.objective) != solution.objective  # a float64 could not hold it
    assert solution.objective == solve(problem, method="brute-force").objective


def test_many_forbidden_cells_in_a_row_do_not_wrap_around_64_bits():
    n = 40
    block = np.full((3, 3), FORBIDDEN)
    problem = SelectionProblem(
        unary=tuple(np.array([FORBIDDEN, -5, FORBIDDEN]) for _ in range(n)),
        edges=tuple((i, j) for i in range(n) for j in (i + 1, i + 2) if j < n) * 2,
        pair=tuple(block for i in range(n) for j in (i + 1, i + 2) if j < n) * 2,
    )
    solution = solve(problem, method="series-parallel")
    assert solution.status == "infeasible"
    check_reduction(problem, solution.certificate, bound=None)


@pytest.mark.parametrize("layout", ["batch-first", "batch-last"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("floats", [False, True])
def test_batches_over_several_chunks_equal_their_instances(
    layout, threads, floats, make_problem, series_parallel_edges
):
    edges = series_parallel_edges(10, 5)
    problem = make_problem([4] * 10, edges, seed=1, batch=9000, forbidden=0.1, floats=floats)
    if layout == "batch-last":
        unary = [np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0) for a in problem.unary]
        pair = [np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0) for a in problem.pair]
        problem = SelectionProblem(unary=tuple(unary), edges=problem.edges, pair=tuple(pair))
    batch = solve_batch(problem, threads=threads)
    choices = batch.assignments()
    objectives, same = batch.plan.assign(problem.unary, problem.pair)
    if floats:  # kernel and numpy add up in other orders
        np.testing.assert_allclose(objectives, batch.objectives, atol=1e-12 * problem.magnitude)
    else:
        assert (objectives == batch.objectives).all()
    both = batch.feasible & (same == choices).all(axis=1)
    for k in np.flatnonzero(batch.feasible & ~both)[:50]:  # ties
        assert problem.instance(k).evaluate(same[k]) == pytest.approx(
            batch.objectives[k], abs=1e-12 * problem.magnitude
        )
    for k in (0, 1, 4095, 4096, 4097, 8191, 8192, 8999):
        solution = solve(problem.instance(k), method="series-parallel")
        assert (solution.status, solution.objective) == (batch.solution(k).status, batch.solution(k).objective)
        if solution.assignment is not None:
            assert solution.objective == pytest.approx(batch.objectives[k], abs=1e-12 * problem.magnitude)
            assert problem.instance(k).evaluate(choices[k]) == solution.objective


def test_evaluation_leaves_its_inputs_alone(make_problem, series_parallel_edges):
    problem = make_problem([3] * 8, series_parallel_edges(8, 2), seed=0, batch=50)
    before = [array.copy() for array in (*problem.unary, *problem.pair)]
    solve_batch(problem).assignments()
    assert all((old == new).all() for old, new in zip(before, (*problem.unary, *problem.pair), strict=True))


@pytest.mark.parametrize(
    ("unary", "pair", "sentence"),
    [
        ([np.zeros(2)], [], "The plan is for 2 variables and 1 edges; got 1 unary arrays and 0 pair tables."),
        ([np.zeros(2), np.zeros(3)], [np.zeros((3, 2))], r"edge 0 have shape \(3, 2\); give \(2, 3\)"),
        ([np.zeros((4, 2)), np.zeros(3)], [np.zeros((5, 2, 3))], "edge 0 have a batch axis of 5, others of 4"),
        ([np.zeros(2), np.zeros(3)], [np.zeros((2, 3), np.int64)], "give int64 or float64 throughout"),
    ],
)
def test_plans_refuse_tables_that_do_not_fit_in_one_sentence(unary, pair, sentence):
    with pytest.raises(ProblemError, match=sentence):
        reduce_graph(2, [(0, 1)]).evaluate(unary, pair)


def test_a_plan_that_fixes_a_variable_refuses_two_choices_for_it():
    plan = reduce_graph(2, [(0, 1)], fixed=[0])
    with pytest.raises(ProblemError, match="holds variable 0 fixed, but it has 2 choices"):
        plan.evaluate([np.zeros(2), np.zeros(2)], [np.zeros((2, 2))])


def test_a_plan_has_one_step_per_vertex_and_at_most_one_merge_per_table(series_parallel_edges):
    # Steps are what linear time is made of; a graph this deep would also break a recursion.
    edges = series_parallel_edges(20_000, 0)
    plan = reduce_graph(20_000, edges)
    assert len(plan.steps) <= 20_000 + len(edges) + 20_000


@pytest.mark.parametrize("num_variables", [0, 1, 50])
def test_a_graph_without_edges_leaves_vertex_by_vertex(num_variables):
    steps = reduce_graph(num_variables, []).steps
    assert [step.rule for step in steps] == [Rule.R0] * num_variables
    assert sorted(step.vertex for step in steps) == list(range(num_variables))


@pytest.mark.parametrize("edge", [(0, 0), (0, 2), (-1, 0)])
def test_reducing_refuses_self_loops_and_unknown_vertices(edge):
    with pytest.raises(ProblemError, match="give two different vertices below 2"):
        reduce_graph(2, [edge])
