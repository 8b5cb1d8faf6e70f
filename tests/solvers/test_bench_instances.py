"""The problems of the benchmark: their costs, names and identities."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from dynamap_solvers import ProblemError, SelectionProblem, solve, solve_batch, write_iopddl
from dynamap_solvers.bench import SUITES, from_folder, given, instances, suite

KINDS = list(instances.COSTS)


@pytest.mark.parametrize("kind", KINDS)
def test_costs_are_of_their_kind(kind):
    problem = instances.grid(rows=5, columns=6, choices=4, costs=kind)
    assert problem.is_integer
    assert problem.domain_sizes == (4,) * 30
    unary, tables = problem.unary_costs, problem.pair_costs.reshape(-1, 4, 4)
    least, most = {
        "real": ((1_000, 0), (1_000_000, 100_000)),
        "hard": ((0, 0), (100, 100_000)),
        "layout": ((1_000, 0), (100_000, 90_000)),
        "potts": ((0, 0), (10, 100)),
        "colouring": ((0, 0), (0, 1)),
    }[kind]
    assert least[0] <= unary.min() <= unary.max() <= most[0]
    assert least[1] <= tables.min() <= tables.max() <= most[1]
    if kind in {"layout", "potts", "colouring"}:
        assert np.array_equal(tables, tables.swapaxes(1, 2))
    if kind in {"potts", "colouring"}:
        assert (tables[:, ~np.eye(4, dtype=bool)] == 0).all()
        assert (tables[:, np.eye(4, dtype=bool)] > 0).all()


def test_colouring_counts_conflicts():
    assert solve(instances.random_graph(variables=4, degree=3, choices=3, costs="colouring")).objective == 1  # K4
    assert solve(instances.grid(rows=3, columns=3, choices=2, costs="colouring")).objective == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: instances.series_parallel(variables=40, choices=3, costs="hard", seed=seed),
        lambda seed: instances.k_tree(variables=40, k=3, choices=3, costs="real", seed=seed),
        lambda seed: instances.regular(variables=40, degree=3, choices=3, costs="layout", seed=seed),
        lambda seed: instances.batch(variables=10, choices=3, cost_sets=4, seed=seed),
    ],
)
def test_a_seed_gives_one_problem(make):
    same, again, other = make(1), make(1), make(2)
    for name in ("edge_ends", "unary_costs", "pair_costs"):
        assert np.array_equal(getattr(same, name), getattr(again, name))
    assert not np.array_equal(same.pair_costs, other.pair_costs)


def test_batches_share_pairs_only_where_asked():
    own = instances.batch(variables=10, choices=3, cost_sets=4)
    shared = instances.batch(variables=10, choices=3, cost_sets=4, shared_pairs=True)
    assert own.batch_size == shared.batch_size == 4
    assert own.pair_costs.ndim == 2
    assert shared.pair_costs.ndim == 1
    for problem in (own, shared):
        batch = solve_batch(problem)
        assert [solve(problem.instance(k)).objective for k in range(4)] == batch.objectives.tolist()


def test_unknown_costs_are_refused():
    with pytest.raises(ProblemError, match="no kind of costs 'free'; the kinds are real, hard"):
        instances.grid(rows=2, columns=2, choices=2, costs="free")


@pytest.mark.parametrize("name", SUITES)
def test_suites_hold_distinct_instances_that_grow_within_families(name):
    members = suite(name)
    assert members
    assert len({instance.name for instance in members}) == len(members)
    assert len({instance.fingerprint for instance in members}) == len(members)
    sizes: dict[str, list[int]] = {}
    for instance in members:
        options = instance.options
        sizes.setdefault(instance.family, []).append(options.get("variables") or options["rows"])
        pickle.loads(pickle.dumps(instance))  # noqa: S301 - our own
    assert all(size == sorted(size) for size in sizes.values())


def test_an_unknown_suite_is_refused_with_those_that_are():
    with pytest.raises(ProblemError, match="no suite 'huge'; the suites are smoke, series-parallel"):
        suite("huge")


def test_the_fingerprint_follows_the_problem():
    first = suite("smoke")[0]
    assert replace(first, name="other").fingerprint == first.fingerprint
    assert replace(first, options={**first.options, "seed": 1}).fingerprint != first.fingerprint


def test_a_given_problem_comes_back_whole():
    problem = SelectionProblem(
        unary=(np.array([3, 1]), np.array([5, 2, 4])),
        edges=((1, 0),),
        pair=(np.arange(6).reshape(3, 2),),
        usage=(np.array([1, 2]), np.array([3, 0, 1])),
        intervals=((0, 2), (1, 4)),
        usage_limit=3,
        name="mine",
    )
    instance = pickle.loads(pickle.dumps(given(problem)))  # noqa: S301 - our own
    back = instance.make(**instance.options)
    for assignment in np.ndindex(2, 3):
        assert back.evaluate(assignment) == problem.evaluate(assignment)
    assert instance.name == "mine"
    assert given(problem).fingerprint == instance.fingerprint
    assert given(problem.replace(usage_limit=4)).fingerprint != instance.fingerprint


def test_a_folder_gives_its_problems_small_files_first(tmp_path):
    small = instances.grid(rows=2, columns=2, choices=2, costs="hard")
    large = instances.grid(rows=4, columns=4, choices=4, costs="hard")
    write_iopddl(large, tmp_path / "a.json")
    write_iopddl(small, tmp_path / "b.json.gz")
    (tmp_path / "notes.txt").write_text("no problem")
    found = from_folder(tmp_path)
    assert [instance.name for instance in found] == ["b", "a"]
    read = found[1].make(**found[1].options)
    assert np.array_equal(read.pair_costs, large.pair_costs)
    before = found[1].fingerprint
    write_iopddl(small, tmp_path / "a.json")
    assert {i.name: i.fingerprint for i in from_folder(tmp_path)}["a"] != before


def test_folders_without_problems_are_refused(tmp_path):
    with pytest.raises(ProblemError, match="holds no IOPDDL files"):
        from_folder(tmp_path)
    with pytest.raises(ProblemError, match="cannot be read: no such file"):
        from_folder(tmp_path / "none")
