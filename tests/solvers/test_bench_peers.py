"""Every peer that is installed, asked directly, finds what enumeration finds."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_solvers import FORBIDDEN, ProblemError, SelectionProblem, Status, solve
from dynamap_solvers.bench import CONTESTANTS, Instance, Settings, instances, run_benchmark
from dynamap_solvers.bench.contestants import judge
from dynamap_solvers.bench.peers._polytope import local_polytope, pick

PEERS = [name for name in CONTESTANTS if name.startswith("peer-")]
SETTINGS = Settings(time_limit=20.0)


def ask(name, problem):
    contestant = CONTESTANTS[name]
    return judge(problem, contestant.solve(contestant.build(problem, SETTINGS), SETTINGS), method=name)


def random_problem(seed, *, usage):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    sizes = rng.integers(1, 4, count)
    edges = [(i, j) if rng.random() < 0.5 else (j, i) for j in range(count) for i in range(j) if rng.random() < 0.6]
    if edges and rng.random() < 0.3:
        edges.append(edges[0][::-1])
    share = (0.0, 0.1, 0.5)[seed % 3]

    def cells(*shape):
        return np.where(rng.random(shape) < share, FORBIDDEN, rng.integers(-20, 50, shape))

    resource = {}
    if usage:
        starts = rng.integers(0, 3, count)
        resource = {
            "usage": tuple(rng.integers(0, 5, size) for size in sizes),
            "intervals": tuple((int(s), int(s + e)) for s, e in zip(starts, rng.integers(0, 4, count), strict=True)),
            "usage_limit": int(rng.integers(2, 8)),
        }
    return SelectionProblem(
        unary=tuple(cells(size) for size in sizes),
        edges=tuple(edges),
        pair=tuple(cells(sizes[i], sizes[j]) for i, j in edges),
        **resource,
    )


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("usage", [False, True])
def test_peers_agree_with_enumeration(name, usage):
    contestant = CONTESTANTS[name]
    if contestant.missing:
        pytest.skip(f"{', '.join(contestant.missing)} is not installed")
    if usage and not contestant.takes_usage:
        pytest.skip("takes no usage limit")
    seen = set()
    for seed in range(20):
        problem = random_problem(seed, usage=usage)
        truth = solve(problem, method="brute-force")
        found = ask(name, problem)
        assert (found.status, found.objective) == (truth.status, truth.objective), seed
        seen.add(truth.status)
    assert seen == {Status.OPTIMAL, Status.INFEASIBLE}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_runs_out_of_time_claims_no_proof(name):
    """In a process of its own: toulbar2's options and limits are global to the process."""
    if CONTESTANTS[name].missing:
        pytest.skip(f"{', '.join(CONTESTANTS[name].missing)} is not installed")
    hard = Instance(
        name="hard",
        family="hard",
        make=instances.k_tree,
        options={"variables": 100, "k": 6, "choices": 8, "costs": "hard"},
    )
    _, row = run_benchmark((hard,), [name], settings=Settings(time_limit=1.0, repeat=1)).rows
    assert row.status in {"feasible", "unknown"}, row
    assert row.stop_reason in {"time-limit", "inconclusive"}
    assert row.objective is None or row.bound is None or row.bound < row.objective


def test_the_polytope_of_an_assignment_costs_what_it_costs():
    for seed in range(20):
        problem = random_problem(seed, usage=seed % 2 == 1)
        program = local_polytope(problem)
        columns = np.repeat(np.arange(len(program.costs)), np.diff(program.starts))
        matrix = np.zeros((len(program.lower), len(program.costs)))
        matrix[program.rows, columns] = program.values
        assert np.count_nonzero(matrix) <= len(program.values)
        for assignment in np.ndindex(*problem.domain_sizes):
            numbers = np.zeros(len(program.costs))
            numbers[problem.unary_starts[:-1] + assignment] = 1.0
            # Every y is forced: the product of its ends. Its ends are read from the rows it stands in.
            for y in range(program.num_choices, len(program.costs)):
                ends = [np.flatnonzero(matrix[row] == -1.0)[0] for row in np.flatnonzero(matrix[:, y])]
                numbers[y] = numbers[ends].prod()
            kept = (program.lower - 1e-9 <= matrix @ numbers) & (matrix @ numbers <= program.upper + 1e-9)
            allowed = kept.all() and (numbers <= program.column_upper).all()
            assert allowed == problem.is_feasible(assignment)
            if allowed:
                assert program.costs @ numbers + program.offset == pytest.approx(problem.evaluate(assignment))
                assert pick(problem, numbers[: program.num_choices]) == assignment


def test_peers_do_not_pretend_to_take_ties():
    problem = SelectionProblem(unary=(np.array([1, 2]), np.array([3, 0])), ties=((0, 1),))
    with pytest.raises(ProblemError, match="without fixed variables and ties"):
        local_polytope(problem)
