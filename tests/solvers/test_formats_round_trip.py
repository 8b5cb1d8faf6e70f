"""Round trips lose nothing the format can hold; what it cannot hold is refused or stated."""

from __future__ import annotations

import gzip
import json
import math
import re
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamap_solvers import FORBIDDEN, ProblemError, SelectionProblem
from dynamap_solvers.formats import FORMATS, detect_format, read_problem, write_problem
from format_problems import SMALL, all_forbidden, assert_same_tables, assignments, problems

SETTINGS = settings(max_examples=120, deadline=None, derandomize=True, database=None)
READABLE = [name for name, entry in FORMATS.items() if entry.readable]
NO_BATCH = [name for name in FORMATS if name != "json"]
NO_USAGE = ["uai", "lg", "wcsp", "cfn", "scholz"]


def round_trip(problem: SelectionProblem, kind: str) -> tuple[SelectionProblem, int]:
    """Written under a name that says nothing, and read by content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        offset = write_problem(problem, path, format=kind)
        assert detect_format(path) == kind
        return read_problem(path), offset


@SETTINGS
@given(problem=problems(usage=True, structure=True, batch=True))
def test_our_own_format_keeps_everything(problem):
    again, offset = round_trip(problem, "json")
    assert offset == 0
    assert again.is_batched == problem.is_batched
    assert_same_tables(problem, again)
    assert again.dtype == problem.dtype or problem.num_variables == 0
    assert (again.name, again.names, again.choice_names) == (problem.name, problem.names, problem.choice_names)
    assert (again.usage is None) == (problem.usage is None)
    assert (again.intervals, again.usage_limit) == (problem.intervals, problem.usage_limit)
    for old, new in zip(problem.usage or (), again.usage or (), strict=True):
        assert np.array_equal(old, new)
    assert dict(again.fixed) == dict(problem.fixed)
    assert again.ties == problem.ties


@SETTINGS
@given(problem=problems(usage=True))
def test_iopddl_keeps_costs_name_and_usage(problem):
    again, _ = round_trip(problem, "iopddl")
    assert_same_tables(problem, again)
    assert again.name == problem.name
    empty = problem.usage is not None and (
        not any(used.any() for used in problem.usage) or all(start == end for start, end in problem.intervals)
    )
    if problem.usage is None or empty:  # the format says "no limit" in zeros
        assert again.usage is None
    else:
        assert (again.intervals, again.usage_limit) == (problem.intervals, problem.usage_limit)
        assert all(np.array_equal(old, new) for old, new in zip(problem.usage, again.usage, strict=True))


@SETTINGS
@given(problem=problems(named=False))
def test_lg_and_scholz_keep_costs_to_the_bit(problem):
    for kind in ("lg", "scholz"):
        assert_same_tables(problem, round_trip(problem, kind)[0])


@SETTINGS
@given(problem=problems(floats=False, values=st.integers(0, 2**50)))
def test_wcsp_keeps_costs_of_zero_or_more_and_the_name(problem):
    again, offset = round_trip(problem, "wcsp")
    assert offset == 0
    assert_same_tables(problem, again)
    assert again.name == problem.name


@SETTINGS
@given(problem=problems(floats=False, values=SMALL, named=False))
def test_wcsp_of_negative_costs_says_what_it_leaves_out(problem):
    again, offset = round_trip(problem, "wcsp")
    assert again.edges == problem.edges
    for assignment in assignments(problem):
        assert again.is_feasible(assignment) == problem.is_feasible(assignment)
        if problem.is_feasible(assignment):
            assert again.evaluate(assignment) + offset == problem.evaluate(assignment)


@SETTINGS
@given(problem=problems(floats=False))
def test_cfn_keeps_integers_and_names(problem):
    again, _ = round_trip(problem, "cfn")
    assert_same_tables(problem, again)
    assert (again.name, again.names) == (problem.name, problem.names)
    assert again.choice_names == (problem.choice_names if problem.num_variables else None)


@SETTINGS
@given(problem=problems(floats=True, values=st.integers(-(10**6), 10**6).map(lambda k: k / 1000)))
def test_cfn_keeps_decimals_to_the_bit(problem):
    assert_same_tables(problem, round_trip(problem, "cfn")[0])


@SETTINGS
@given(problem=problems(floats=True, values=st.floats(-1e5, 1e5), least=1, named=False))
def test_cfn_rounds_other_floats_at_the_last_decimal_it_has(problem):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write_problem(problem, path, format="cfn")
        (decimals,) = re.findall(r'"mustbe": "<\d+\.(\d+)"', path.read_text("utf-8"))
        again = read_problem(path)
    rounded = False
    for old, new in zip((*problem.unary, *problem.pair), (*again.unary, *again.pair), strict=True):
        allowed = np.isfinite(old)
        assert (allowed == (new < 2**60)).all()
        for a, b in zip(old[allowed].tolist(), new[allowed].tolist(), strict=True):
            # In exact arithmetic: half a unit of the last decimal, then half a unit in the last place of the double.
            bound = Fraction(1, 2 * 10 ** len(decimals)) + Fraction(math.ulp(b)) / 2
            assert abs(Fraction(a) - Fraction(b)) <= bound
            rounded |= a != b
    assert not rounded or len(decimals) >= 11  # up to 9 tables of 1e5 leave 64 bits that many


@SETTINGS
@given(problem=problems(floats=True, values=st.floats(-700, 700), least=1, named=False))
def test_uai_keeps_costs_to_its_stated_precision(problem):
    again, _ = round_trip(problem, "uai")
    assert again.edges == problem.edges
    assert again.dtype == np.float64
    for old, new in zip((*problem.unary, *problem.pair), (*again.unary, *again.pair), strict=True):
        assert (np.isinf(old) == np.isinf(new)).all()
        finite = np.isfinite(old)
        assert (np.abs(old[finite] - new[finite]) <= 2.0**-51 * (1 + np.abs(old[finite]))).all()


@SETTINGS
@given(problem=problems(floats=True, values=st.floats(9e3, 9.5e3), least=1, named=False))
def test_uai_carries_what_does_not_fit_a_table_as_a_constant(problem):
    again, _ = round_trip(problem, "uai")
    terms = problem.num_variables + problem.num_edges
    for assignment in assignments(problem):
        old, new = problem.evaluate(assignment), again.evaluate(assignment)
        assert math.isinf(old) == math.isinf(new)
        if math.isfinite(old):
            # per table its own part, and as much for the constants, which are up to 14 functions each
            assert abs(old - new) <= 2.0**-51 * (15 * terms + 2 * terms * 9.5e3)


@SETTINGS
@given(problem=problems(floats=False, values=SMALL, structure=True, least=1, named=False))
def test_plain_formats_hold_fixed_choices_and_ties_as_forbidden_cells(problem):
    for kind in ("iopddl", "lg", "wcsp", "cfn", "scholz"):
        again, offset = round_trip(problem, kind)
        for assignment in assignments(problem):
            price = again.evaluate(assignment)
            assert (price if price == FORBIDDEN else price + offset) == problem.evaluate(assignment)


@pytest.mark.parametrize("kind", NO_BATCH)
def test_a_batch_is_refused_but_by_our_own_format(kind, tmp_path):
    problem = SelectionProblem(unary=[np.array([[0, 1], [2, 3]])])
    with pytest.raises(ProblemError, match=r"holds one cost set; write instance\(k\) of the batch\.$"):
        write_problem(problem, tmp_path / "file", format=kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", NO_USAGE)
def test_a_usage_limit_is_refused_where_it_has_no_place(kind, tmp_path):
    problem = SelectionProblem(unary=[np.array([0, 1])], usage=[np.array([3, 4])], intervals=[(0, 1)], usage_limit=3)
    with pytest.raises(ProblemError, match="has no usage limit; write json or iopddl"):
        write_problem(problem, tmp_path / "file", format=kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("costs", "kind", "sentence"),
    [
        ([0.5], "wcsp", "A WCSP file holds integers"),
        ([2**59], "wcsp", "toulbar2 holds less than"),
        ([2**59], "cfn", "toulbar2 holds"),
        ([1e18], "cfn", "toulbar2 holds"),
        ([0.0, 701.0], "uai", "spread over more than 700, which potentials cannot hold; scale them down or write lg"),
        ([1e6], "uai", "needs lg"),
        ([1e301], "lg", "1e300 or more"),
        ([10**18], "iopddl", "1e18 or more"),
    ],
)
def test_costs_a_format_cannot_hold_are_refused(costs, kind, sentence, tmp_path):
    with pytest.raises(ProblemError, match=sentence):
        write_problem(SelectionProblem(unary=[np.array(costs)]), tmp_path / "file", format=kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.json", "json"),
        ("a.JSON.gz", "json"),
        ("a.iopddl.json", "iopddl"),
        ("a.iopddl", "iopddl"),
        ("a.uai", "uai"),
        ("a.LG", "lg"),
        ("a.wcsp.gz", "wcsp"),
        ("a.cfn", "cfn"),
        ("a.in", "scholz"),
    ],
)
def test_the_ending_chooses_what_is_written_and_content_what_is_read(name, kind, tmp_path):
    problem = SelectionProblem(unary=[np.array([0, 1]), np.array([2, 0])], edges=[(0, 1)], pair=[np.eye(2, dtype=int)])
    write_problem(problem, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
    (tmp_path / name).rename(tmp_path / "renamed.xyz")
    assert detect_format(tmp_path / "renamed.xyz") == kind
    assert read_problem(tmp_path / "renamed.xyz").evaluate((0, 1)) == 0


def test_an_ending_or_name_that_says_nothing_is_refused(tmp_path):
    problem = SelectionProblem(unary=[np.array([0])])
    with pytest.raises(ProblemError, match=r"ending of '.*a\.txt' names no format; give one of \.json, "):
        write_problem(problem, tmp_path / "a.txt")
    with pytest.raises(ProblemError, match="There is no format 'xml'; there are json, iopddl, uai"):
        write_problem(problem, tmp_path / "a.json", format="xml")


@pytest.mark.parametrize("kind", READABLE)
def test_a_problem_without_variables_is_held(kind):
    again, _ = round_trip(SelectionProblem(unary=[]), kind)
    assert (again.num_variables, again.num_edges) == (0, 0)


@pytest.mark.parametrize("kind", READABLE)
def test_parallel_edges_stay_apart_and_in_their_direction(kind):
    tables = [np.array([[1, 2], [3, 4], [5, 6]]), np.array([[10, 20, 30], [40, 50, 60]])]
    problem = SelectionProblem(unary=[np.zeros(3, int), np.zeros(2, int)], edges=[(0, 1), (1, 0)], pair=tables)
    again, _ = round_trip(problem, kind)
    assert again.edges == ((0, 1), (1, 0))
    for old, new in zip(tables, again.pair, strict=True):
        assert np.allclose(old, new, rtol=1e-14)


def test_a_float_problem_of_whole_numbers_stays_a_float_problem(tmp_path):
    problem = SelectionProblem(unary=[np.array([1.0, math.inf])])
    for kind in ("json", "iopddl", "lg", "cfn", "scholz", "uai"):
        assert round_trip(problem, kind)[0].dtype == np.float64
    write_problem(problem, tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text())["unary"] == [[1.0, None]]


def test_packed_files_are_the_same_bytes_each_time(tmp_path):
    problem = SelectionProblem(unary=[np.array([1, 2])])
    for name in ("a.json.gz", "b.json.gz"):
        write_problem(problem, tmp_path / name)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert json.loads(gzip.decompress((tmp_path / "a.json.gz").read_bytes()))["schema"] == "dynamap/problem/1"


def test_all_forbidden_is_told_apart_from_nothing():
    problem = SelectionProblem(unary=[np.array([FORBIDDEN])])
    assert all_forbidden(problem)
    for kind in READABLE:
        assert not round_trip(problem, kind)[0].is_feasible((0,))
