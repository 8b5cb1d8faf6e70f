"""auto against enumeration on every road it can take, with its certificates checked."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_solvers import FORBIDDEN, SelectionProblem, Status, StopReason, solve
from dynamap_solvers._kernel import library
from dynamap_solvers.certificates import check
from dynamap_solvers.methods import auto

_ANY, _NONE = {"_ELIMINATE_THIN": 1e10, "_ELIMINATE_WIDE": 1e10}, {"_ELIMINATE_THIN": 0, "_ELIMINATE_WIDE": 0}
ROADS = {  # what auto's thresholds are for the time being
    "eliminate": {**_ANY, "_SMALL": 0},
    "first look, then eliminate": {**_ANY, "_THIN": 0, "_FIRST_LOOK": 2, "_LONGER_LOOK": 3, "_LEAST_LOOK": 0},
    "search a little, then eliminate": {
        **_ANY,
        "_SMALL": 0,
        "_THIN": 0,
        "_LONGER_LOOK": 0,
        "_ELIMINATE_AT_ONCE": 0,
        "_LEAST_LOOK": 0,
        "_SEARCH_WIDE": 1e3,
    },
    "give the search up, then eliminate": {
        **_ANY,
        "_SMALL": 0,
        "_THIN": 0,
        "_LONGER_LOOK": 0,
        "_ELIMINATE_AT_ONCE": 0,
        "_LEAST_LOOK": 0,
        "_SEARCH_WIDE": 1e-2,
    },
    "first look, then search": {**_NONE, "_THIN": 0},
    "search": {**_NONE, "_SMALL": 0},
}


def random_problem(rng: np.random.Generator) -> SelectionProblem:
    """Small, dense enough not to be series-parallel, now and then with ties, fixed choices, blocks and components."""
    most = int(rng.integers(2, 4))
    halves = [int(rng.integers(4, 6)), int(rng.integers(4, 6))] if rng.random() < 0.4 else [int(rng.integers(5, 9))]
    sizes = rng.integers(max(1, most - 1), most + 1, sum(halves))
    edges = []
    start = 0
    for count in halves:
        edges += [(start + i, start + j) for i in range(count) for j in range(i) if rng.random() < 0.8]
        start += count
    if len(halves) == 2 and rng.random() < 0.7:
        edges.append((0, len(sizes) - 1))
    forbidden, floats = rng.choice([0.0, 0.0, 0.07]), rng.random() < 0.3

    def table(*shape: int) -> np.ndarray:
        cells, hit = rng.integers(-20, 40, shape), rng.random(shape) < forbidden
        return np.where(hit, np.inf, cells / 7) if floats else np.where(hit, FORBIDDEN, cells)

    alike = np.flatnonzero(sizes == sizes[-1])[:2]
    return SelectionProblem(
        unary=[table(size) for size in sizes],
        edges=edges,
        pair=[table(sizes[i], sizes[j]) for i, j in edges],
        fixed={0: 0} if rng.random() < 0.2 else {},
        ties=(alike.tolist(),) if len(alike) > 1 and rng.random() < 0.2 else (),
    )


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("seed", range(4))
def test_every_road_leads_to_the_optimum_with_a_certificate_that_checks(road, seed, monkeypatch):
    for name, value in ROADS[road].items():
        monkeypatch.setattr(auto, name, value)
    rng = np.random.default_rng([seed, 5])
    methods = set()
    for _ in range(25):
        problem = random_problem(rng)
        solution, judge = solve(problem), solve(problem, method="brute-force")
        assert solution.stop_reason is StopReason.PROVED
        assert solution.status is judge.status
        assert solution.objective == pytest.approx(judge.objective, abs=1e-9)
        if judge.status is Status.INFEASIBLE:
            assert solution.reason
        if solution.certificate is not None:
            check(problem, solution)
        methods.add(solution.method)
    if library() is not None:
        assert len(methods) > 1  # the road is really another one


def test_a_hard_block_behind_a_hinge_is_solved_by_itself():
    rng = np.random.default_rng(3)
    inside = [(i, j) for i in range(6) for j in range(i)]
    edges = [*inside, (5, 6), *[(i + 6, j + 6) for i, j in inside]]
    problem = SelectionProblem(
        unary=[rng.integers(0, 9, 2) for _ in range(12)],
        edges=edges,
        pair=[rng.integers(0, 99, (2, 2)) for _ in edges],
    )
    assert solve(problem).objective == solve(problem, method="brute-force").objective
