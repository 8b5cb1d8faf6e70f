"""Kept results: whole or not at all, runs that do not mix, layers chosen by name or number."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_opt.errors import DynamapError
from dynamap_opt.execution.layer_run import LayerOutcome
from dynamap_opt.execution.selection import select_layers
from dynamap_opt.execution.work import WorkFolder

OUTCOME = LayerOutcome(
    measured_cycles=7, model_cycles=None, different=0, greatest_difference=0, stray_bytes=0, problem="", seconds=0.5
)
ONE, OTHER = "a" * 64, "b" * 64


def test_results_are_there_in_the_next_run(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    with WorkFolder(tmp_path / "deep" / "work", ONE, {"model": "x"}) as folder:
        folder.store(3, OUTCOME, values)
        folder.store(4, OUTCOME)
        assert folder.outcome(5) is None
    with WorkFolder(tmp_path / "deep" / "work", ONE, {}) as folder:
        assert folder.outcome(3) == folder.outcome(4) == OUTCOME
        np.testing.assert_array_equal(folder.values(3, (2, 3, 4)), values)
        assert folder.values(3, (2, 3, 5)) is None
        assert folder.values(4, (2, 3, 4)) is None


def test_results_of_any_kind_are_kept_by_name(tmp_path):
    with WorkFolder(tmp_path, ONE, {}) as folder:
        folder.keep("part", (1, "two"))
        assert folder.kept("part", tuple[int, str]) == (1, "two")
        assert folder.kept("part", tuple[int, int]) is None  # another kind does not count
        assert folder.kept("other", tuple[int, str]) is None


def test_two_runs_in_one_folder_do_not_mix(tmp_path):
    with WorkFolder(tmp_path, ONE, {}) as one, WorkFolder(tmp_path, OTHER, {}) as other:
        one.store(0, OUTCOME)
        assert other.outcome(0) is None


def test_the_same_run_at_the_same_time_is_refused(tmp_path):
    refusal = r"the same run is at work in .*; wait for it, or name another folder"
    with WorkFolder(tmp_path, ONE, {}), pytest.raises(DynamapError, match=refusal):
        WorkFolder(tmp_path, ONE, {}).__enter__()
    with WorkFolder(tmp_path, ONE, {}):
        pass  # the lock ended with the first


def test_damaged_results_do_not_count(tmp_path):
    with WorkFolder(tmp_path, ONE, {}) as folder:
        folder.store(0, OUTCOME, np.zeros((1, 1, 4), np.uint8))
        whole = {path: path.read_bytes() for path in folder.path.glob("layer*")}
        for size in (0, 5, 20):
            for path, content in whole.items():
                path.write_bytes(content[:size])
            assert folder.outcome(0) is None
            assert folder.values(0, (1, 1, 4)) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"fingerprint": "b"}'])
def test_a_folder_that_is_not_the_runs_own_is_refused(tmp_path, content):
    with WorkFolder(tmp_path, ONE, {}) as folder:
        path = folder.path
    (path / "run.json").write_text(content)
    with pytest.raises(DynamapError, match="holds another run, or a damaged one; remove it or name another folder"):
        WorkFolder(tmp_path, ONE, {}).__enter__()


def test_what_a_killed_process_left_half_written_goes(tmp_path):
    with WorkFolder(tmp_path, ONE, {}) as folder:
        left = folder.path / ".layer-00000.json.k2j3"
        left.write_text("{")
    with WorkFolder(tmp_path, ONE, {}) as folder:
        assert not left.exists()


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DynamapError, match=r"cannot keep results in .*file.*: not a directory; name another folder"):
        WorkFolder(tmp_path / "file", ONE, {}).__enter__()


# ---- layers by name and number ----

NAMES = ["stem", "body", "3", "head"]


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        (None, (0, 1, 2, 3)),
        ("0-3", (0, 1, 2, 3)),
        ("2", (2,)),
        ("3", (2,)),  # a name goes before a number
        ("head, 0", (0, 3)),
        (["body", 0, "1-1"], (0, 1)),
    ],
)
def test_layers_by_name_and_number(spec, chosen):
    assert select_layers(spec, NAMES) == chosen


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("heat", "there is no layer 'heat'; did you mean 'head'?"),
        ("xyz", "there is no layer 'xyz'; give names, or numbers from 0 to 3"),
        ("", "there is no layer ''; give names, or numbers from 0 to 3"),
        ("1-4", "layers 1-4 are none of this network's, which are numbered 0 to 3"),
        ("2-1", "layers 2-1 are none of this network's, which are numbered 0 to 3"),
        ([], "no layer is chosen; name at least one, or leave the choice out for all"),
    ],
)
def test_layers_that_do_not_exist(spec, message):
    with pytest.raises(DynamapError) as caught:
        select_layers(spec, NAMES)
    assert str(caught.value) == message
