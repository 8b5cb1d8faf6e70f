"""The integer programs: agreement on real sizes, and honesty about limits, tolerances and backends that lie."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from dynamap_solvers import ProblemError, SelectionProblem, Status, StopReason, solve
from dynamap_solvers.methods import ilp_cbc

BACKENDS = ["ilp-highs", "ilp-cbc"]


@pytest.fixture(scope="module")
def hard_problem(make_problem):
    """Far beyond a second of either backend: a dense graph whose pair costs dominate."""
    count = 40
    edges = [(i, j) for i in range(count) for j in range(i + 1, count) if (i * 7 + j * 3) % 3 == 0]
    return make_problem([6] * count, edges, seed=0, low=0, high=10**6)


@pytest.mark.parametrize("method", BACKENDS)
@pytest.mark.parametrize("magnitude", [10**3, 10**9, 3 * 10**11])
def test_large_integers_are_proved_to_the_last_unit(method, magnitude, make_problem, series_parallel_edges):
    problem = make_problem([4] * 20, series_parallel_edges(20, 3), seed=3, low=-magnitude, high=magnitude // 100)
    solution = solve(problem, method=method)
    assert solution.status is Status.OPTIMAL
    assert solution.objective == solve(problem, method="series-parallel").objective


@pytest.mark.parametrize("method", BACKENDS)
def test_a_time_limit_is_kept_and_never_called_optimal(method, hard_problem):
    started = time.perf_counter()
    solution = solve(hard_problem, method=method, time_limit=1.0)
    assert time.perf_counter() - started < 6.0  # generous to a busy machine; the hard problem takes hours
    assert solution.status in {Status.FEASIBLE, Status.UNKNOWN}
    assert solution.stop_reason is StopReason.TIME_LIMIT
    assert solution.reason
    if solution.objective is not None:
        assert solution.bound < solution.objective == hard_problem.evaluate(solution.assignment)


def test_a_time_limit_shorter_than_building_leaves_nothing_but_a_bound(hard_problem):
    solution = solve(hard_problem, method="ilp", time_limit=1e-6)
    assert solution.status is Status.UNKNOWN
    assert solution.stop_reason is StopReason.TIME_LIMIT
    assert solution.assignment is None
    with pytest.raises(ValueError, match="There is no objective: the status is unknown"):
        solution.objective_value()


@pytest.mark.parametrize("method", BACKENDS)
def test_integers_that_float64_cannot_tell_apart_are_refused(method):
    big = 2**55
    problem = SelectionProblem(
        unary=(np.array([0, big + 1]), np.array([big - 1, 0])), edges=((0, 1),), pair=(np.array([[1, big], [3, 0]]),)
    )
    with pytest.raises(ProblemError, match="tells integers apart only below"):
        solve(problem, method=method)


@pytest.mark.parametrize("method", BACKENDS)
def test_a_common_divisor_and_offsets_make_huge_costs_small(method):
    step = 2**52
    problem = SelectionProblem(
        unary=(np.array([0, step]) + 5, np.array([3 * step, 0]) - 7),
        edges=((0, 1),),
        pair=(np.array([[step, 2 * step], [0, 4 * step]]) + 1,),
    )
    assert solve(problem, method=method).objective == solve(problem, method="brute-force").objective


@pytest.mark.parametrize("method", BACKENDS)
def test_infeasibility_that_needs_search_is_proved(method):
    # Colour a triangle with two colours: no choice is useless by itself, and no assignment is allowed.
    different = np.array([[2**61, 0], [0, 2**61]])
    zero = np.zeros(2, np.int64)
    problem = SelectionProblem(unary=(zero,) * 3, edges=((0, 1), (1, 2), (0, 2)), pair=(different,) * 3)
    solution = solve(problem, method=method)
    assert solution.status is Status.INFEASIBLE
    assert solution.stop_reason is StopReason.PROVED


@pytest.mark.parametrize("method", BACKENDS)
def test_the_same_seed_gives_the_same_solution(method, make_problem):
    problem = make_problem([3] * 8, [(i, j) for i in range(8) for j in range(i)], seed=2)
    first, second = (dataclasses.replace(solve(problem, method=method, seed=7), seconds={}) for _ in range(2))
    assert first == second


def test_cbc_leaves_no_files_and_says_nothing(make_problem, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for method in BACKENDS:
        solve(make_problem([3] * 4, [(0, 1), (1, 2), (2, 3), (3, 0)], seed=1), method=method)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


FAKE = """#!/bin/sh
while [ "$1" != "-solution" ]; do shift; done
{body}
"""
# The problem below is 0 at (0, 0) and 3 at (1, 1); columns are numbered in the order x0_0 x0_1 x1_0 x1_1.
WORST = "0 X0000001 1 0\\n1 X0000003 1 0"


@pytest.mark.parametrize(
    ("body", "time_limit", "status", "stop_reason"),
    [
        ("exec sleep 60", 0.2, Status.UNKNOWN, StopReason.TIME_LIMIT),
        ("exit 1", None, Status.UNKNOWN, StopReason.INCONCLUSIVE),
        (
            f"sleep 0.4; printf 'Optimal - objective value 3\\n{WORST}\\n' > $2; echo Result - Optimal solution found",
            0.3,
            Status.FEASIBLE,
            StopReason.TIME_LIMIT,
        ),
        (
            f"printf 'Optimal - objective value 3\\n{WORST}\\n' > $2; echo Result - Stopped on time limit",
            None,
            Status.FEASIBLE,
            StopReason.INCONCLUSIVE,
        ),
        (
            f"printf 'Optimal - objective value 1\\n{WORST}\\n' > $2; echo Result - Optimal solution found",
            None,
            Status.FEASIBLE,
            StopReason.INCONCLUSIVE,
        ),
        (
            f"printf 'Optimal - objective value 99\\n{WORST}\\n' > $2; echo Result - Optimal solution found",
            None,
            Status.FEASIBLE,
            StopReason.INCONCLUSIVE,
        ),
    ],
    ids=["hangs", "crashes", "optimal-too-late", "log-disagrees", "bound-below-price", "bound-above-price"],
)
def test_a_cbc_that_lies_or_hangs_is_not_believed(body, time_limit, status, stop_reason, tmp_path, monkeypatch):
    fake = Path(tmp_path, "cbc")
    fake.write_text(FAKE.format(body=body))
    fake.chmod(0o700)
    monkeypatch.setattr(ilp_cbc, "_cbc_path", lambda: str(fake))
    problem = SelectionProblem(
        unary=(np.array([0, 1]), np.array([0, 1])), edges=((0, 1),), pair=(np.array([[0, 9], [7, 1]]),)
    )
    started = time.perf_counter()
    solution = solve(problem, method="ilp-cbc", time_limit=time_limit)
    assert time.perf_counter() - started < 10
    assert (solution.status, solution.stop_reason) == (status, stop_reason)
    assert solution.bound is None or solution.bound <= 0
    if status is Status.FEASIBLE:
        assert solution.objective == 3
        assert solution.gap > 0
