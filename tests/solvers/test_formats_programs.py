"""LP and MPS files, judged by HiGHS: it reads what we write and finds the optimum of enumeration."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamap_solvers import FORBIDDEN, SelectionProblem, solve
from dynamap_solvers.formats import write_lp, write_mps, write_problem
from format_problems import SMALL, assignments, problems

highspy = pytest.importorskip("highspy")
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def optimum(path: Path) -> float | None:
    """The optimum HiGHS finds of a file, None where it proves there is none."""
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("mip_rel_gap", 0.0)
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    highs.run()
    status = highs.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return None
    assert status in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kModelEmpty)
    return highs.getObjectiveValue()


def least(problem: SelectionProblem) -> float | None:
    """The optimum by pricing every assignment."""
    best = min(map(problem.evaluate, assignments(problem)), default=0)
    return None if best >= (FORBIDDEN if problem.is_integer else math.inf) else best


@pytest.mark.parametrize("kind", ["lp", "mps"])
@SETTINGS
@given(problem=problems(floats=False, values=SMALL, usage=True, structure=True))
def test_integer_problems(kind, problem):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file.{kind}"
        write_problem(problem, path)
        found, best = optimum(path), least(problem)
    assert found is None if best is None else round(found) == best


@pytest.mark.parametrize("kind", ["lp", "mps"])
@SETTINGS
@given(problem=problems(floats=True, values=st.floats(-100, 100), usage=True, structure=True))
def test_float_problems(kind, problem):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file.{kind}"
        write_problem(problem, path)
        found, best = optimum(path), least(problem)
    assert found is None if best is None else math.isclose(found, best, rel_tol=1e-9, abs_tol=1e-6)


@pytest.mark.parametrize("kind", ["lp", "mps"])
def test_the_usage_limit_holds_at_the_edge(kind, tmp_path):
    """Feasible at exactly the limit, infeasible one below."""
    problem = SelectionProblem(
        unary=[np.array([0]), np.array([0]), np.array([0])],
        usage=[np.array([3]), np.array([4]), np.array([5])],
        intervals=[(0, 2), (1, 3), (2, 4)],
        usage_limit=9,  # 3 + 4 at time 1, 4 + 5 at time 2
    )
    for limit, expected in ((9, 0), (8, None)):
        write_problem(problem.replace(usage_limit=limit), tmp_path / f"file.{kind}")
        assert optimum(tmp_path / f"file.{kind}") == expected


def test_a_larger_problem_as_the_library_solves_it(make_problem, tmp_path):
    edges = [(i, j) for i in range(8) for j in range(i + 1, 8) if (i + j) % 3]
    problem = make_problem([3, 4] * 4, edges, seed=5, forbidden=0.1)
    write_lp(problem, tmp_path / "file.lp")
    write_mps(problem, tmp_path / "file.mps.gz")
    expected = solve(problem, method="brute-force").objective_value()
    assert round(optimum(tmp_path / "file.lp")) == round(optimum(tmp_path / "file.mps.gz")) == expected


def test_lines_of_an_lp_file_stay_below_the_limit_of_the_format(make_problem, tmp_path):
    write_lp(make_problem([12] * 3, [(0, 1), (1, 2)], seed=1, floats=True), tmp_path / "file.lp")
    assert max(map(len, (tmp_path / "file.lp").read_text().splitlines())) <= 560
