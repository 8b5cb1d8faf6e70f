"""toulbar2 itself reads what we write and finds the optimum of enumeration.

Its options are global to a process, so each batch of files has a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dynamap_solvers import SelectionProblem, solve
from dynamap_solvers.formats import write_problem

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pytoulbar2") is None, reason="pytoulbar2 is not installed (a peer, never needed by users)"
)

SCRIPT = """
import json, sys
import pytoulbar2, pytoulbar2.pytb2
answers = []
for path in sys.argv[2:]:
    network = pytoulbar2.CFN(resolution=int(sys.argv[1]), verbose=-1)
    try:
        network.Read(path)
    except pytoulbar2.pytb2.Contradiction:  # seen while reading
        answers.append(None)
        continue
    found = network.Solve()
    names = [network.CFN.wcsp.getName(i) for i in range(network.GetNbVars())]
    answers.append(None if found is None else [[int(x) for x in found[0]], float(found[1]), names])
print("ANSWERS " + json.dumps(answers))
"""


def answers(paths: list[Path], *, resolution: int = 0) -> list:
    """Per file the assignment, the cost and the names of variables that toulbar2 reports; None if infeasible."""
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(resolution), *map(str, paths)], capture_output=True, text=True, check=False
    )
    lines = [line for line in finished.stdout.splitlines() if line.startswith("ANSWERS ")]
    assert lines, finished.stderr[-2000:]
    found = json.loads(lines[-1].removeprefix("ANSWERS "))
    assert len(found) == len(paths)
    return found


EDGES = [(0, 1), (2, 1), (1, 0), (3, 0), (3, 2), (3, 4)]  # 0 and 1 are joined twice, once each way
SIZES = [2, 3, 1, 4, 3]


@pytest.fixture
def cases(make_problem):
    """Seeded problems with and without negative and forbidden costs, ties and fixed choices."""

    def make(*, floats: bool) -> list[SelectionProblem]:
        drawn = [
            make_problem(SIZES, EDGES, seed=seed, low=low, forbidden=forbidden, floats=floats)
            for seed, (low, forbidden) in enumerate([(0, 0), (0, 0.1), (-20, 0), (-20, 0.1), (-60, 0.1)] * 3)
        ]
        drawn += [drawn[3].replace(fixed={3: 2}), drawn[0].replace(ties=((1, 4),)), drawn[2].replace(fixed={0: 1})]
        return [problem for problem in drawn if solve(problem, method="brute-force").objective is not None]

    return make


def written(problems: list[SelectionProblem], kind: str, ending: str, folder: Path) -> tuple[list[Path], list[int]]:
    paths = [folder / f"p{k}.{ending}" for k in range(len(problems))]
    return paths, [write_problem(problem, path, format=kind) for problem, path in zip(problems, paths, strict=True)]


@pytest.mark.parametrize(("kind", "ending"), [("wcsp", "wcsp"), ("cfn", "cfn"), ("wcsp", "wcsp.gz"), ("cfn", "cfn.gz")])
def test_integers_are_exact(kind, ending, cases, tmp_path):
    problems = cases(floats=False)
    assert len(problems) >= 12
    paths, offsets = written(problems, kind, ending, tmp_path)
    for problem, offset, (assignment, cost, _) in zip(problems, offsets, answers(paths), strict=True):
        expected = solve(problem, method="brute-force").objective_value()
        assert cost + offset == expected == problem.evaluate(assignment)


def test_floats_in_cfn_within_its_last_decimal(cases, tmp_path):
    problems = cases(floats=True)
    paths, _ = written(problems, "cfn", "cfn", tmp_path)
    for problem, (assignment, cost, _) in zip(problems, answers(paths), strict=True):
        expected = solve(problem, method="brute-force").objective_value()
        assert math.isclose(cost, expected, abs_tol=1e-9)
        assert math.isclose(problem.evaluate(assignment), expected, abs_tol=1e-9)


@pytest.mark.parametrize(("kind", "ending"), [("uai", "uai"), ("lg", "LG"), ("uai", "uai.gz")])
@pytest.mark.parametrize("floats", [False, True])
def test_potentials_within_the_resolution_asked_for(kind, ending, floats, cases, tmp_path):
    problems = cases(floats=floats)
    paths, _ = written(problems, kind, ending, tmp_path)
    for problem, (assignment, cost, _) in zip(problems, answers(paths, resolution=7), strict=True):
        expected = solve(problem, method="brute-force").objective_value()
        assert math.isclose(problem.evaluate(assignment), expected, rel_tol=1e-6, abs_tol=1e-5)
        # toulbar2 counts from the least cost of each table, which is where a potential is largest; of LG files only
        # where that is negative. Ties add tables of least cost 0.
        lows = [_least(array, problem) for array in (*_fixed_unary(problem), *problem.pair)]
        base = sum(min(low, 0) if kind == "lg" else low for low in lows)
        assert math.isclose(cost + base, expected, rel_tol=1e-6, abs_tol=1e-5)


def _least(array: np.ndarray, problem: SelectionProblem) -> float:
    finite = array[array < (2**60 if problem.is_integer else math.inf)]
    return float(finite.min()) if finite.size else 0.0


def _fixed_unary(problem: SelectionProblem) -> list[np.ndarray]:
    return [
        array[problem.fixed[i] : problem.fixed[i] + 1] if i in problem.fixed else array
        for i, array in enumerate(problem.unary)
    ]


def test_costs_of_a_million_need_lg(tmp_path, make_problem):
    problem = make_problem(SIZES, EDGES, seed=3, low=0, high=10**6)
    paths, _ = written([problem], "lg", "LG", tmp_path)
    ((assignment, _, _),) = answers(paths, resolution=7)
    expected = solve(problem, method="brute-force").objective_value()
    assert math.isclose(problem.evaluate(assignment), expected, rel_tol=1e-6)


@pytest.mark.parametrize("kind", ["wcsp", "cfn", "uai"])
def test_what_is_infeasible_is_so_for_toulbar2(kind, tmp_path):
    pair = np.full((2, 2), 2**61)
    problem = SelectionProblem(unary=[np.array([0, -1]), np.array([3, 0])], edges=[(0, 1)], pair=[pair])
    paths, _ = written([problem], kind, kind, tmp_path)
    assert answers(paths, resolution=7 if kind == "uai" else 0) == [None]


def test_names_that_need_escapes_do_not_trouble_it(tmp_path):
    names = ["conv1/3x3", "1", "", "a b", "[x]", "%41", "é", "-3", '"', "#c", "//"]
    problem = SelectionProblem(
        unary=[np.array([1, 0])] * len(names), names=names, choice_names=[["1", "a//b"]] * len(names), name="two words"
    )
    for kind in ("cfn", "wcsp"):
        paths, _ = written([problem], kind, kind, tmp_path)
        ((assignment, cost, seen),) = answers(paths)
        assert (assignment, cost) == ([1] * len(names), 0)
        if kind == "cfn":
            assert len(set(seen)) == len(names)


def test_integers_near_the_limit_of_toulbar2(tmp_path):
    large = 2**55 + 1  # beyond what a double holds
    problem = SelectionProblem(
        unary=[np.array([large, large - 1]), np.array([0, 1])], edges=[(0, 1)], pair=[np.array([[0, 2**61], [1, 0]])]
    )
    for kind in ("wcsp", "cfn"):
        paths, _ = written([problem], kind, kind, tmp_path)
        ((assignment, _, _),) = answers(paths)
        assert problem.evaluate(assignment) == solve(problem, method="brute-force").objective_value() == large
