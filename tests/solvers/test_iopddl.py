"""The IOPDDL format: round trips, published instances where they are at hand, and files that are broken."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamap_solvers import FORBIDDEN, ProblemError, SelectionProblem, SolverError, read_iopddl, solve, write_iopddl

INSTANCES = os.environ.get("DYNAMAP_IOPDDL_DIR")


def small_document() -> dict:
    return {
        "problem": {
            "name": "small",
            "nodes": {
                "intervals": [[0, 4], [2, 6]],
                "costs": [[3, 1], [2, 1000000000000000000]],
                "usages": [[5, 9], [5, 0]],
            },
            "edges": {"nodes": [[0, 1], [1, 0]], "costs": [[0, 1, 2, 3], [10, 20, 30, 40]]},
            "usage_limit": 10,
        }
    }


def written(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(document))
    return path


def test_the_parts_of_a_file_end_up_where_they_belong(tmp_path):
    problem = read_iopddl(written(tmp_path, small_document()))
    assert problem.name == "small"
    assert problem.is_integer
    assert problem.unary[1].tolist() == [2, FORBIDDEN]
    assert problem.pair[1].tolist() == [[10, 20], [30, 40]]
    assert problem.intervals == ((0, 4), (2, 6))
    # Parallel edges in both directions: 3 + 2 + 0 + 10; the cheaper 1 + 2 + 2 + 20 is dearer, and over the limit.
    assert solve(problem).objective == problem.evaluate((0, 0)) == 15
    assert problem.evaluate((1, 0)) == FORBIDDEN


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("limited", [False, True])
def test_a_round_trip_loses_nothing_the_format_can_hold(suffix, floats, limited, make_problem, tmp_path):
    problem = make_problem([2, 3, 1], [(0, 1), (2, 1), (1, 0)], seed=4, forbidden=0.2, floats=floats)
    if limited:
        problem = problem.replace(
            usage=tuple(np.arange(size) + 1 for size in problem.domain_sizes),
            intervals=((0, 3), (1, 1), (2, 9)),
            usage_limit=7,
        )
    path = tmp_path / f"problem{suffix}"
    write_iopddl(problem, path)
    again = read_iopddl(path)
    assert path.read_bytes()[:2] == (b"\x1f\x8b" if suffix.endswith("gz") else b'{"')
    assert again.edges == problem.edges
    assert again.dtype == problem.dtype
    assert (again.intervals, again.usage_limit) == (problem.intervals, problem.usage_limit)
    assert (again.usage is None) == (problem.usage is None)
    for old, new in zip((*problem.unary, *problem.pair), (*again.unary, *again.pair), strict=True):
        assert (old == new).all()


def test_without_a_limit_the_file_says_so_in_zeros(tmp_path):
    path = tmp_path / "free.json"
    write_iopddl(SelectionProblem(unary=(np.array([1, FORBIDDEN]),), name="free"), path)
    assert json.loads(path.read_text())["problem"] == {
        "name": "free",
        "nodes": {"intervals": [[0, 0]], "costs": [[1, 10**18]], "usages": [[0, 0]]},
        "edges": {"nodes": [], "costs": []},
        "usage_limit": 0,
    }
    assert read_iopddl(path).usage is None


def test_integers_beyond_two_to_the_53_survive(tmp_path):
    path = tmp_path / "big.json"
    write_iopddl(SelectionProblem(unary=(np.array([2**53 + 1, -(2**58) - 1]),)), path)
    assert read_iopddl(path).unary[0].tolist() == [2**53 + 1, -(2**58) - 1]


def test_a_finite_cost_that_would_read_as_forbidden_is_not_written(tmp_path):
    path = tmp_path / "big.json"
    with pytest.raises(ProblemError, match="variable 'x0' is 1e18 or more"):
        write_iopddl(SelectionProblem(unary=(np.array([10**18]),)), path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "problem.json"
    path.write_text("old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_iopddl(SelectionProblem(unary=(np.array([1]),)), path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["problem.json"]


@pytest.mark.parametrize(
    ("keys", "value", "sentence"),
    [
        (("problem",), None, '"problem" must be a JSON object, not NoneType'),
        (("problem", "nodes"), 7, '"nodes" must be a JSON object, not int'),
        (("problem", "nodes", "costs"), {}, "must be a list, not dict"),
        (("problem", "nodes", "costs", 0), 7, "costs of node 0 must be a list"),
        (("problem", "nodes", "costs", 0), [], "Variable 'x0' has no choices|edge 0 has 4 costs"),
        (("problem", "nodes", "costs", 0, 0), "1", "costs of node 0 contain '1', which is not a number"),
        (("problem", "nodes", "costs", 0, 0), True, "costs of node 0 contain True"),
        (("problem", "nodes", "costs", 0, 0), -(10**30), r"variable 'x0' is 2\*\*60 or more"),
        (("problem", "nodes", "usages", 0), [1], "node 0 has 2 costs but 1 usages"),
        (("problem", "nodes", "usages", 0, 0), 0.5, "usages of node 0 contain 0.5, which is not a 64-bit integer"),
        (("problem", "nodes", "usages", 0, 0), 10**30, "which is not a 64-bit integer"),
        (("problem", "nodes", "usages", 0, 0), -1, "usage of variable 'x0' is negative"),
        (("problem", "nodes", "intervals", 0), [4, 0], r"interval of node 0 is reversed: \[4, 0\]"),
        (("problem", "nodes", "intervals", 0), [4], "interval of node 0 has 1 entries"),
        (("problem", "nodes", "intervals"), [], "2 nodes have costs, 0 intervals and 2 usages"),
        (("problem", "edges", "nodes", 0), [0, 2], "edge 0 names node 2; there are 2"),
        (("problem", "edges", "nodes", 0), [0, 10**15], "edge 0 names node 1000000000000000; there are 2"),
        (("problem", "edges", "nodes", 0), [0], "edge 0 has 1 nodes"),
        (("problem", "edges", "nodes", 0), [1, 1], "Edge 0 joins variable 1 to itself"),
        (("problem", "edges", "costs", 1), [1, 2], "edge 1 has 2 costs; nodes 1 and 0 need 2 x 2"),
        (("problem", "edges", "costs"), [], "2 edges have nodes but 0 have costs"),
        (("problem", "usage_limit"), "10", "usage_limit contain '10'"),
        (("problem", "usage_limit"), -1, "The usage limit is -1"),
        (("problem", "name"), 7, '"name" must be a string'),
    ],
)
def test_a_broken_file_is_one_sentence_naming_file_and_thing(keys, value, sentence, tmp_path):
    document = small_document()
    at = document
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    path = written(tmp_path, document)
    with pytest.raises(ProblemError, match=sentence) as caught:
        read_iopddl(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (json.dumps(small_document()).encode()[:-20], "not valid JSON"),
        (gzip.compress(json.dumps(small_document()).encode())[:-12], "damaged or cut off"),
        (b"\x1f\x8b\x08garbage-garbage", "damaged or cut off"),
        (b'{"problem": {"nodes": {"costs": [[NaN]]}}}', "NaN is not a number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"problem": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"problem": {}}', 'has no "nodes"'),
        (b"[]", "the file must be a JSON object, not list"),
    ],
    ids=["empty", "no text", "cut off", "gzip cut off", "no gzip", "nan", "deep", "long number", "no nodes", "a list"],
)
def test_bytes_that_are_no_problem_are_refused(data, sentence, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    with pytest.raises(ProblemError, match=sentence):
        read_iopddl(path)


@given(at=st.integers(0, 400), replacement=st.binary(max_size=4))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_files_are_read_or_refused_but_nothing_else(at, replacement, tmp_path):
    data = json.dumps(small_document()).encode()
    path = tmp_path / "mutated.json"
    path.write_bytes(data[:at] + replacement + data[at + len(replacement) :])
    try:
        problem = read_iopddl(path)
    except SolverError as error:
        assert str(error).startswith(str(path))  # noqa: PT017  # refusing is as right as reading
    else:
        assert problem.num_variables == 2


@pytest.mark.skipif(INSTANCES is None, reason="DYNAMAP_IOPDDL_DIR does not name a folder of published instances")
def test_the_published_example_has_its_published_optimum():
    problem = read_iopddl(Path(INSTANCES, "example.json"))
    for method in ("auto", "ilp-cbc", "brute-force"):
        assert solve(problem, method=method).objective_value() == 445
