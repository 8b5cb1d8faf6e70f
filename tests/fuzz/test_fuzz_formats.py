"""Damaged files of every format: a valid problem or one sentence, in bounded memory and time, and nothing else.

The mutations are drawn from a seed that hypothesis chooses, derandomised: the same examples on every run.
"""

from __future__ import annotations

import gzip
import math
import random
import re
import tempfile
import tracemalloc
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamap_solvers import ProblemError, SelectionProblem
from dynamap_solvers.formats import FORMATS, detect_format, read_problem, write_problem
from onnx_damage import NUMBERS, damaged

SETTINGS = settings(
    max_examples=60,
    deadline=timedelta(seconds=10),  # a hang, not slowness: an example takes some milliseconds
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
READABLE = [name for name, entry in FORMATS.items() if entry.readable]
MEMORY_BYTES = 512 * 2**20
"""2**24 cells may be declared in any text: 128 MiB, and a copy or two."""

ODD = [*map(str, NUMBERS), "1e300", "-1e300", "1e999", "nan", "-inf", "inf", "1_0", "9" * 400, "0x10", "null", "true"]
ODD += ['"x"', "[]", "{}", "[", "]", "{", "}", ",", ":", "-", "+", ".", "#", "//", '"', "\\u0000", "\n", "<", "MARKOV"]

HAND_WRITTEN = {
    "wcsp shared": "404 3 2 4 99  2 2 2  -2 0 1 0 1 0 1 4  2 1 2 0 -1  2 2 0 7 0  0 3 0",
    "cfn free": "# free\n{ {test <12.10} [[a b c] 2] { {{0 1} 0.5 {a 0 5 c 1 -7.25}} [[1] [1 2.5]] {{} {-3}} } }",
    "cfn shared": '{problem: {name: n, mustbe: ">-99"} variables: {a: 2, b: 2}'
    " functions: {f: {scope: [a b], costs: g}, g: {scope: [b a], costs: [1 2 3 4]}}}",
}


@cache
def sources() -> dict[str, bytes]:
    """A good file of each kind."""
    problem = SelectionProblem(
        unary=[np.array([3, 2**61]), np.array([2, 0, 7]), np.array([1])],
        edges=[(0, 1), (1, 0), (2, 1)],
        pair=[np.arange(6).reshape(2, 3), np.full((3, 2), 2**61), np.arange(3).reshape(1, 3)],
        names=["a", "b c", "1"],
        choice_names=[["p", "q"], ["r", "s", "t"], ["u"]],
        usage=[np.array([1, 2]), np.array([0, 3, 1]), np.array([2])],
        intervals=[(0, 2), (1, 5), (3, 3)],
        usage_limit=4,
        fixed={2: 0},
        name="fuzz",
    )
    files = {name: text.encode() for name, text in HAND_WRITTEN.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for kind in READABLE:
            holds = kind in ("json", "iopddl")
            write_problem(
                problem if holds else problem.replace(usage=None, intervals=(), usage_limit=0), path, format=kind
            )
            files[kind] = path.read_bytes()
        floats = problem.with_costs(
            unary=np.where(problem.unary_costs > 2**60, np.inf, problem.unary_costs / 8),
            pair=np.where(problem.pair_costs > 2**60, np.inf, problem.pair_costs / 8),
        )
        write_problem(floats, path, format="json")
        files["json floats"] = path.read_bytes()
        write_problem(SelectionProblem(unary=[np.arange(6).reshape(2, 3)]), path, format="json")
        files["json batch"] = path.read_bytes()
    files["gzip"] = gzip.compress(files["scholz"], mtime=0)
    return files


KINDS = [*HAND_WRITTEN, *READABLE, "json floats", "json batch", "gzip"]


def read(data: bytes) -> SelectionProblem | None:
    """The problem these bytes are, or None where they are refused in one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        try:
            problem = read_problem(path)
        except ProblemError as error:
            message = str(error)
            assert message.startswith(f"{path}: ")
            assert "\n" not in message
            assert len(message) < 600 + len(str(path))
            return None
        assert detect_format(path) in READABLE
    return problem


def check(problem: SelectionProblem | None) -> None:
    """What holds of a problem that was read: it can be priced and written again."""
    if problem is None:
        return
    first = (problem.instance(0) if problem.is_batched else problem).evaluate((0,) * problem.num_variables)
    assert not math.isnan(first)
    if problem.unary_costs.size > 10_000:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write_problem(problem, path, format="json")
        again = read_problem(path)
    assert np.array_equal(again.unary_costs, problem.unary_costs)
    assert np.array_equal(again.pair_costs, problem.pair_costs)


def test_the_files_are_good_before_anything_is_done_to_them():
    assert set(sources()) == set(KINDS)
    for kind in KINDS:
        problem = read(sources()[kind])
        assert problem is not None, kind
        check(problem)


@pytest.mark.parametrize("kind", KINDS)
def test_every_prefix_of_a_file_is_read_or_refused(kind):
    data = sources()[kind]
    for length in range(len(data)):
        check(read(data[:length]))


@pytest.mark.parametrize("kind", KINDS)
@SETTINGS
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_files_are_read_or_refused(kind, seed):
    check(read(damaged(sources()[kind], random.Random(seed))))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gzip"])
@SETTINGS
@given(seed=st.integers(0, 2**32 - 1))
def test_files_with_words_swapped_are_read_or_refused(kind, seed):
    check(read(reworded(sources()[kind], random.Random(seed))))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gzip"])
def test_no_number_in_a_file_makes_the_reader_fill_the_memory(kind):
    data = sources()[kind]
    places = [match.span() for match in re.finditer(rb"\d+", data)]
    tracemalloc.start()
    try:
        for start, end in places:
            for number in (b"16777216", b"4294967296", b"9223372036854775807", b"99999999999999999999999"):
                read(data[:start] + number + data[end:])
                assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


def reworded(data: bytes, rng: random.Random) -> bytes:
    """Words of the file exchanged, repeated, left out, or replaced by odd ones."""
    words = re.findall(r"\s+|[\w.+-]+|.", data.decode(), re.DOTALL)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(words))
        match rng.randrange(6):
            case 0 | 1 | 2:
                words[at] = rng.choice(ODD)
            case 3:
                other = rng.randrange(len(words))
                words[at], words[other] = words[other], words[at]
            case 4:
                words[at] = ""
            case _:
                words[at] = f"{words[at]} {words[at]}"
    return "".join(words).encode()
