"""What the kernel is told of a problem and what it says: as numpy and plain Python, however the arrays come."""

from __future__ import annotations

import copy
import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dynamap_solvers import FORBIDDEN, ProblemError, SelectionProblem, check, solve
from dynamap_solvers._costs import largest_finite, scan
from dynamap_solvers._kernel import library

needs_kernel = pytest.mark.skipif(library() is None, reason="the compiled kernel is not there")


@pytest.fixture
def problem(make_problem, series_parallel_edges):
    sizes = [random.Random(i).randint(1, 5) for i in range(30)]
    return make_problem(sizes, series_parallel_edges(30, 4), seed=2, forbidden=0.05)


def priced_in_plain_python(problem: SelectionProblem, assignment) -> int:
    cells = [costs[x] for costs, x in zip(problem.unary, assignment, strict=True)]
    cells += [table[assignment[i], assignment[j]] for (i, j), table in zip(problem.edges, problem.pair, strict=True)]
    return FORBIDDEN if FORBIDDEN in cells else sum(map(int, cells))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda problem: pickle.loads(pickle.dumps(problem))])  # noqa: S301 - our own
def test_a_copied_or_pickled_problem_stands_on_its_own(again, problem):
    expected = solve(problem)
    second = again(problem)
    with pytest.raises(AttributeError, match="does not change"):
        second.magnitude = 0
    del problem
    solution = solve(second)
    assert (solution.objective, solution.assignment) == (expected.objective, expected.assignment)
    check(second, solution)


@needs_kernel
@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("batch", [None, 1, 7])
def test_the_kernel_finds_the_magnitude_and_the_forbidden_cells_that_numpy_finds(
    floats, batch, make_problem, series_parallel_edges
):
    for seed, forbidden in enumerate([0.0, 0.3, 1.0]):
        problem = make_problem(
            [3, 1, 4, 2, 5], series_parallel_edges(5, seed), seed=seed, batch=batch, forbidden=forbidden, floats=floats
        )
        found = [
            largest_finite(problem.unary_costs, problem.unary_starts),
            largest_finite(problem.pair_costs, problem.pair_starts),
        ]
        expected = max(largest.max(initial=0) for largest, _ in found), any(forbids for _, forbids in found)
        assert scan(problem.located, problem.unary_costs, problem.pair_costs) == expected
        assert (problem.magnitude, problem.has_forbidden) == expected


@pytest.mark.parametrize("form", [tuple, list, np.array, *(lambda x, t=t: np.array(x, t) for t in ("i4", "u1", "u8"))])
def test_assignments_in_any_form_cost_what_plain_python_says(form, problem):
    rng = random.Random(0)
    for _ in range(50):
        assignment = [rng.randrange(size) for size in problem.domain_sizes]
        cost = problem.evaluate(form(assignment))
        assert type(cost) is int
        assert cost == priced_in_plain_python(problem, assignment)


@pytest.mark.parametrize("choice", [-1, 5, 2**40, np.uint64(2**64 - 1)])
def test_a_choice_that_is_none_is_named_however_it_is_written(choice, problem):
    with pytest.raises(ProblemError, match=r"Variable 'x3' has no choice .*: it has \d, counted from 0"):
        problem.evaluate(
            [0, 0, 0, choice, *[0] * 26] if choice != 2**64 - 1 else np.full(30, choice) * (np.arange(30) == 3)
        )


@pytest.mark.parametrize("as_given", [list, lambda edges: np.array(edges, np.int32), np.array])
@pytest.mark.parametrize(
    ("sizes", "edges", "sentence"),
    [
        ([2, 2], [(0, 1), (1, 2)], "Edge 1 names variable 2; there are 2, counted from 0"),
        ([2, 2], [(0, 1), (-1, 0)], "Edge 1 names variable -1; there are 2, counted from 0"),
        ([2, 2], [(1, 1)], "Edge 0 joins variable 1 to itself"),
        ([2, 0], [(0, 1)], "Variable 'x1' has no choices"),
        ([2, -3], [(0, 1)], "Variable 'x1' has no choices"),
    ],
)
def test_what_is_wrong_with_a_graph_is_said_alike_of_lists_and_arrays(as_given, sizes, edges, sentence):
    with pytest.raises(ProblemError, match=sentence):
        SelectionProblem.from_flat(domain_sizes=sizes, unary=np.zeros(4), edges=as_given(edges), pair=np.zeros(4))


def test_a_plan_does_not_change_and_outlives_the_problem(problem):
    solution = solve(problem, method="series-parallel")
    steps = solution.certificate.plan.steps
    packed = solution.certificate.plan.arrays.packed
    with pytest.raises(ValueError, match="read-only"):
        packed[0] = 7
    for seed in range(20):
        solve(
            problem.with_costs(unary=problem.unary_costs, pair=np.roll(problem.pair_costs, seed)),
            method="series-parallel",
        )
    assert solution.certificate.plan.arrays.steps() == steps
    check(problem, solution)


def test_threads_solve_one_problem_at_the_same_time(problem):
    expected = solve(problem)
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda _: solve(problem), range(200)))
    assert {(s.objective, s.assignment) for s in found} == {(expected.objective, expected.assignment)}
