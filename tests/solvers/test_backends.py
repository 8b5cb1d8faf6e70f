"""The methods that call somebody else's solver: right, honest about limits, watched, stopped, side by side."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamap_solvers import FORBIDDEN, ProblemError, SelectionProblem, Status, StopReason, solve
from dynamap_solvers.certificates import check
from selection_problems import BACKENDS, cyclic_problems, enumerated, methods

# A process and its imports cost 0.1 s (toulbar2) to 1 s (OR-tools) an example.
EXAMPLES = {"highs": 60, "ilp-highs": 40, "ilp-scip": 40, "cvxpy": 25, "ilp-cbc": 20, "toulbar2": 15, "ortools": 4}
DIFFERENT = np.array([[FORBIDDEN, 0], [0, FORBIDDEN]])
ZERO = np.zeros(2, np.int64)


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_the_optimum_is_what_plain_enumeration_finds(method):
    @given(problem=cyclic_problems())
    @settings(max_examples=EXAMPLES[method], deadline=None, suppress_health_check=list(HealthCheck))
    def run(problem: SelectionProblem) -> None:
        expected = enumerated(problem)
        solution = solve(problem, method=method, time_limit=60)
        assert solution.stop_reason is StopReason.PROVED
        assert solution.method == method
        if expected is None:
            assert solution.status is Status.INFEASIBLE
            assert solution.reason
        else:
            assert solution.objective == solution.bound == expected
            assert type(solution.objective) is int
        if solution.certificate is not None:
            check(problem, solution)

    run()


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_float_costs_are_solved_within_the_stated_gap(method):
    @given(problem=cyclic_problems(floats=True), scale=st.sampled_from([1e-9, 1.0, 1e9]))
    @settings(max_examples=max(EXAMPLES[method] // 4, 2), deadline=None, suppress_health_check=list(HealthCheck))
    def run(problem: SelectionProblem, scale: float) -> None:
        problem = problem.with_costs(unary=problem.unary_costs * scale, pair=problem.pair_costs * scale)
        expected = enumerated(problem)
        solution = solve(problem, method=method, time_limit=60)
        if expected is None:
            assert solution.status is Status.INFEASIBLE
        else:
            assert solution.status is Status.OPTIMAL
            assert solution.objective == pytest.approx(expected, rel=1e-9, abs=1e-9 * problem.magnitude)
            assert solution.bound <= solution.objective
        if solution.certificate is not None:
            check(problem, solution)

    run()


@pytest.fixture(scope="module")
def hard_problem(make_problem) -> SelectionProblem:
    """Far beyond seconds of any backend: a dense graph whose pair costs dominate."""
    count = 40
    edges = [(i, j) for i in range(count) for j in range(i + 1, count) if (i * 7 + j * 3) % 3 == 0]
    return make_problem([6] * count, edges, seed=0, low=0, high=10**6)


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_a_time_limit_is_kept_never_called_optimal_and_keeps_the_warm_start(method, hard_problem):
    warm = tuple(i % 6 for i in range(40))
    started = time.perf_counter()
    solution = solve(hard_problem, method=method, time_limit=1.0, warm_start=warm)
    assert time.perf_counter() - started < 6.0  # generous to a busy machine; the hard problem takes hours
    assert solution.status is Status.FEASIBLE
    assert solution.stop_reason is StopReason.TIME_LIMIT
    assert solution.reason
    assert solution.bound < solution.objective == hard_problem.evaluate(solution.assignment)
    assert solution.objective <= hard_problem.evaluate(warm)
    assert {"simplify", "build", "search"} <= set(solution.seconds)


@pytest.mark.parametrize("method", methods("highs", "ilp-highs", "ilp-cbc", "ilp-scip", "toulbar2", "ortools"))
def test_a_callback_is_told_in_the_calling_thread_and_can_cancel(method, hard_problem):
    calls = []

    def watch(progress) -> bool:
        calls.append((progress, threading.get_ident()))
        return len(calls) < 6

    started = time.perf_counter()
    solution = solve(hard_problem, method=method, time_limit=60, progress=watch)
    assert time.perf_counter() - started < 20  # a backend may be in the middle of something
    assert solution.stop_reason is StopReason.CANCELLED
    assert solution.reason
    assert {thread for _, thread in calls} == {threading.get_ident()}
    assert {progress.method for progress, _ in calls} == {method}


@pytest.mark.parametrize("method", methods("highs", "ilp-highs", "toulbar2", "ortools"))
def test_incumbents_and_bounds_are_reported_in_the_problems_own_costs(method, make_problem):
    problem = make_problem([6] * 20, [(i, j) for i in range(20) for j in range(i)], seed=4, low=500, high=1500)
    seen = []

    def watch(progress) -> bool:
        seen.append(progress)
        return progress.objective is None or progress.bound is None

    solution = solve(problem, method=method, time_limit=20.0, progress=watch)
    assert solution.stop_reason is StopReason.CANCELLED
    assert 210 * 500 <= seen[-1].bound <= seen[-1].objective <= 210 * 1500
    assert solution.objective <= seen[-1].objective + 1e-6


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_a_warm_start_that_is_optimal_stays_and_is_proved(method, make_problem):
    problem = make_problem([3] * 6, [(i, j) for i in range(6) for j in range(i)], seed=3)
    best = solve(problem, method="brute-force")
    solution = solve(problem, method=method, warm_start=best.assignment)
    assert (solution.status, solution.objective) == (Status.OPTIMAL, best.objective)


@pytest.mark.parametrize("method", methods("highs", "ilp-highs", "ilp-cbc", "ilp-scip", "cvxpy"))
def test_a_warm_start_that_is_not_allowed_does_no_harm(method):
    problem = SelectionProblem(
        unary=(np.array([0, 5]), np.array([0, 7]), np.array([1, 0])),
        edges=((0, 1), (1, 2), (2, 0)),
        pair=(DIFFERENT, np.array([[4, 0], [0, 4]]), np.array([[3, 0], [0, 3]])),
    )
    assert (
        solve(problem, method=method, warm_start=(0, 0, 0)).objective == solve(problem, method="brute-force").objective
    )


@pytest.mark.parametrize(
    "method", methods("highs", "ilp-highs", "ilp-scip", "toulbar2", "ortools")
)  # CBC takes 10 s to begin
def test_a_gap_is_a_reason_to_stop(method, make_problem):
    problem = make_problem([6] * 20, [(i, j) for i in range(20) for j in range(i)], seed=4, low=500, high=1500)
    solution = solve(problem, method=method, time_limit=20, gap=0.6)
    assert solution.status is Status.FEASIBLE
    assert solution.stop_reason is StopReason.GAP_LIMIT
    assert 0 < solution.gap <= 0.6


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_a_warm_start_within_the_gap_of_the_trivial_bound_needs_no_backend(method, hard_problem):
    started = time.perf_counter()
    solution = solve(hard_problem, method=method, gap=1.0, warm_start=(0,) * 40)
    assert time.perf_counter() - started < 1.0
    assert solution.stop_reason is StopReason.GAP_LIMIT
    assert solution.assignment == (0,) * 40


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_forbidden_pairs_that_exclude_each_other_are_named(method):
    # A triangle cannot be coloured with two colours; the square beside it can.
    problem = SelectionProblem(
        unary=(ZERO,) * 7,
        edges=((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (5, 6), (6, 3)),
        pair=(DIFFERENT,) * 7,
        names=("a", "b", "c", "d", "e", "f", "g"),
    )
    solution = solve(problem, method=method)
    assert solution.status is Status.INFEASIBLE
    assert solution.reason == (
        "The forbidden pairs between variables 'a', 'b', 'c' exclude each other: every joint choice takes one."
    )


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_a_limit_that_cannot_be_kept_comes_with_the_one_that_could(method):
    # Neighbours differ, and choice 1 uses 5: of three in a row at least one uses it, of all three at once two or one.
    problem = SelectionProblem(
        unary=(ZERO,) * 4,
        edges=((0, 1), (1, 2), (2, 3), (3, 0)),
        pair=(DIFFERENT,) * 4,
        usage=(np.array([0, 5]),) * 4,
        intervals=((0, 2), (1, 3), (1, 4), (1, 5)),
        usage_limit=9,
    )
    solution = solve(problem, method=method)
    assert solution.status is Status.INFEASIBLE
    assert solution.reason == (
        "No allowed assignment keeps the usage limit of 9; forbidden cells alone can be kept. "
        "The least limit that can be kept is 10."
    )


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_two_solves_side_by_side_do_not_disturb_each_other(method, make_problem):
    edges = [(i, j) for i in range(7) for j in range(i)]
    several = [make_problem([3] * 7, edges, seed=seed) for seed in range(2)]
    found: dict[int, int] = {}

    def work(k: int) -> None:
        found[k] = solve(several[k], method=method, threads=1 + k).objective

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: solve(problem, method="brute-force").objective for k, problem in enumerate(several)}


@pytest.mark.parametrize("method", methods(*BACKENDS))
def test_the_same_seed_gives_the_same_solution_and_no_output(method, make_problem, capfd, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    problem = make_problem([3] * 8, [(i, j) for i in range(8) for j in range(i)], seed=2)
    first, second = (solve(problem, method=method, seed=7) for _ in range(2))
    assert (first.assignment, first.bound, first.seed) == (second.assignment, second.bound, 7)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("method", methods("toulbar2", "ortools", "highs", "cvxpy"))
def test_sums_a_backend_cannot_count_are_refused(method):
    big = 2**55
    problem = SelectionProblem(
        unary=(np.array([0, big + 1]), np.array([big - 1, 0])), edges=((0, 1),), pair=(np.array([[1, big], [3, 0]]),)
    )
    with pytest.raises(ProblemError, match="scale the costs down"):
        solve(problem, method=method)
