"""The registry, the options of solve, and what importing costs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import dynamap_solvers
from dynamap_solvers import (
    METHODS,
    ProblemError,
    SelectionProblem,
    SolverError,
    Status,
    UnknownMethodError,
    method_names,
    solve,
    solve_batch,
)
from selection_problems import methods

ONE = SelectionProblem(unary=(np.array([4, 3]),))


def test_a_wrong_method_lists_the_right_ones():
    with pytest.raises(UnknownMethodError) as caught:
        solve(ONE, method="simplex")
    assert str(caught.value) == (
        "There is no method 'simplex'; the methods are auto, series-parallel, tree-decomposition, min-cut, ilp, "
        "ilp-highs, ilp-cbc, ilp-scip, highs, cvxpy, toulbar2, ortools, branch-and-bound, brute-force."
    )


@pytest.mark.parametrize("method", methods(*method_names()))
def test_every_method_solves_problems_without_variables_edges_or_choice(method):
    for problem, objective in [
        (SelectionProblem(unary=()), 0),
        (ONE, 3),
        (SelectionProblem(unary=(np.array([4]), np.array([-6]))), -2),
    ]:
        solution = solve(problem, method=method)
        assert (solution.status, solution.objective, solution.bound) == (Status.OPTIMAL, objective, objective)
        assert solution.gap == 0
        assert solution.seconds


@pytest.mark.parametrize("method", methods(*method_names()))
def test_every_method_names_the_variable_or_the_conflict_where_everything_is_forbidden(method):
    solution = solve(SelectionProblem(unary=(np.array([np.inf, np.inf]), np.array([0.0]))), method=method)
    assert solution.status is Status.INFEASIBLE
    assert "forbidden" in solution.reason
    with pytest.raises(SolverError, match="There is no objective: the status is infeasible"):
        solution.objective_value()


@pytest.mark.parametrize("method", methods(*method_names()))
def test_a_batch_is_sent_to_solve_batch(method):
    with pytest.raises(ProblemError, match="solve_batch"):
        solve(SelectionProblem(unary=(np.array([[4, 3], [1, 2]]),)), method=method)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.takes_usage])
def test_methods_that_take_no_usage_say_so(name):
    problem = SelectionProblem(unary=(np.array([0]),), usage=(np.array([1]),), intervals=((0, 1),), usage_limit=1)
    with pytest.raises(ProblemError, match="takes no problem with a usage limit"):
        solve(problem, method=name)
    with pytest.raises(ProblemError, match="usage limit"):
        solve_batch(problem)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"time_limit": 0}, "The time limit is 0"),
        ({"time_limit": float("nan")}, "The time limit is nan"),
        ({"time_limit": -1.0}, "The time limit is -1.0"),
        ({"seed": -1}, "The seed is -1"),
        ({"seed": 2**31}, "The seed is 2147483648"),
    ],
)
def test_options_out_of_range_are_refused(options, sentence):
    with pytest.raises(ProblemError, match=sentence):
        solve(ONE, **options)


def test_enumeration_refuses_more_than_it_can_count():
    pair = SelectionProblem(unary=tuple(np.zeros(2, np.int64) for _ in range(23)))
    with pytest.raises(ProblemError, match="8388608 assignments and enumeration takes at most 4194304"):
        solve(pair, method="brute-force")


def test_every_public_name_exists_and_is_documented():
    for name in dynamap_solvers.__all__:
        thing = getattr(dynamap_solvers, name)
        assert not callable(thing) or thing.__doc__


def test_importing_costs_numpy_only():
    script = (
        "import sys, dynamap_solvers\n"
        "heavy = {'pulp', 'highspy', 'networkx', 'scipy', 'onnx', 'rich', 'dynamap_opt', 'dynamap_models'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
