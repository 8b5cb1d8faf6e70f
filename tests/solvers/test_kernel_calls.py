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
from dynamap_solvers._drops import Drops
from dynamap_solvers._kernel import library, make
from dynamap_solvers._kernel.reduce import AtOnce, Core, at_once
from dynamap_solvers._rules import StepArrays
from dynamap_solvers.series_parallel import plan_of

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


def arrays_of(problem: SelectionProblem) -> dict[str, np.ndarray]:
    return {
        "domain_sizes": problem.sizes,
        "unary": problem.unary_costs,
        "edges": problem.edge_ends,
        "pair": problem.pair_costs,
    }


@needs_kernel
@pytest.mark.parametrize("floats", [False, True])
def test_plain_arrays_make_the_problem_that_lists_make(floats, make_problem, series_parallel_edges):
    for forbidden in (0.0, 0.3):
        slow = make_problem([3, 1, 4, 2], series_parallel_edges(4, 1), seed=1, forbidden=forbidden, floats=floats)
        plain = arrays_of(slow)
        assert make(*(plain[key] for key in ("domain_sizes", "edges", "unary", "pair"))) is not None
        quick = SelectionProblem.from_flat(**plain, name="quick")
        assert (quick.is_integer, quick.magnitude, quick.has_forbidden) == (
            not floats,
            slow.magnitude,
            slow.has_forbidden,
        )
        assert quick.unary_starts.tolist() == slow.unary_starts.tolist()
        assert quick.pair_starts.tolist() == slow.pair_starts.tolist()
        assert quick.located.arguments[:2] == (4, slow.num_edges)
        assert (quick.name, quick.names, quick.ties, dict(quick.fixed), quick.usage) == (
            "quick",
            slow.names,
            (),
            {},
            None,
        )
        for array in (quick.sizes, quick.edge_ends, quick.unary_costs, quick.pair_costs, quick.unary_starts):
            assert not array.flags.writeable
        assert solve(quick).objective == solve(slow).objective
        assert solve(quick.replace(fixed={0: 0})).assignment == solve(slow.replace(fixed={0: 0})).assignment


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays | {"unary": np.repeat(arrays["unary"], 2)[::2]},
        lambda arrays: arrays | {"pair": arrays["pair"].astype(">i8")},
        lambda arrays: arrays | {"edges": arrays["edges"].astype(np.int64)},
        lambda arrays: arrays | {"edges": np.asfortranarray(arrays["edges"])},
        lambda arrays: arrays | {"domain_sizes": arrays["domain_sizes"].astype(np.uint8)},
        lambda arrays: arrays | {"unary": arrays["unary"][None], "pair": arrays["pair"][None]},
    ],
    ids=["stride", "big-endian", "wide edges", "column order", "uint8", "batch"],
)
def test_arrays_that_are_not_plain_make_the_same_problem(change, problem):
    arrays = change(arrays_of(problem))
    other = SelectionProblem.from_flat(**arrays)
    if other.is_batched:
        other = other.instance(0)
    assert other.unary_costs.tolist() == problem.unary_costs.tolist()
    assert other.pair_costs.tolist() == problem.pair_costs.tolist()
    assert solve(other).objective == solve(problem).objective


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unary": np.zeros(3, np.int64)}, "there are 4"),
        ({"pair": np.zeros(4)}, "integers and some are floats"),
        ({"pair": np.zeros(4, "M8[s]")}, "dtype datetime64"),
        ({"unary": np.array([0, 2**60, 0, 0])}, "2\\*\\*60 or more in size"),
        ({"edges": np.array([[0, 2]], np.int32)}, "names variable 2"),
        ({"domain_sizes": np.array([2, 0])}, "has no choices"),
    ],
)
def test_what_is_wrong_with_plain_arrays_is_said_as_of_lists(change, sentence):
    plain = {
        "domain_sizes": np.array([2, 2]),
        "unary": np.zeros(4, np.int64),
        "edges": np.array([[0, 1]], np.int32),
        "pair": np.zeros(4, np.int64),
    }
    with pytest.raises(ProblemError, match=sentence):
        SelectionProblem.from_flat(**(plain | change))


@needs_kernel
@pytest.mark.parametrize("floats", [False, True])
def test_one_call_finds_what_plan_and_price_find(floats, make_problem, series_parallel_edges):
    for seed in range(20):
        sizes = np.random.default_rng(seed).integers(1, 7, 20).tolist()
        edges = series_parallel_edges(20, seed)
        problem = make_problem(sizes, edges, seed=seed, forbidden=0.1 * (seed % 2), floats=floats)
        found = at_once(problem)
        assert isinstance(found, AtOnce)
        plan = plan_of(problem)
        objectives, choices = plan.solve(problem)
        assert found.objective == objectives[0]
        assert plan.arrays.steps() == StepArrays(found.packed).steps()
        if found.objective < problem.infeasible_value:
            assert found.assignment == tuple(choices[0].tolist())
            assert found.price == (None if floats else priced_in_plain_python(problem, found.assignment))
        else:
            assert found.price is None


@needs_kernel
def test_one_call_says_what_is_left_where_a_graph_does_not_reduce(make_problem):
    clique = [(i, j) for i in range(4) for j in range(i)]
    found = at_once(make_problem([2] * 5, [*clique, (4, 0)], seed=0))
    assert isinstance(found, Core)
    assert found.vertices == [0, 1, 2, 3]
    assert found.edges() == sorted((j, i) for i, j in clique)


def test_drops_read_as_the_tuples_they_stand_for():
    rows = [(0, 2, -1), (3, 1, 0), (3, 2, 0)]
    drops = Drops.of(rows)
    assert list(drops) == rows
    assert drops == rows
    assert drops == tuple(rows)
    assert drops != rows[:2]
    assert drops[1] == rows[1]
    assert drops[1:] == rows[1:]
    assert drops[:0] == ()
    assert not drops[:0]
    assert drops + rows[:1] == [*rows, rows[0]]
    assert hash(drops) == hash(tuple(rows))
    assert pickle.loads(pickle.dumps(drops)) == drops  # noqa: S301 - our own
    assert (3, 1, 0) in drops
    assert repr(drops) == f"Drops({rows})"
