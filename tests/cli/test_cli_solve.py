"""``dynamap solve``, ``convert`` and ``methods``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dynamap_opt
from dynamap_solvers import FORBIDDEN, METHODS, SelectionProblem, read_iopddl, write_iopddl
from dynamap_solvers.bench import instances

KEYS = {"status", "objective", "bound", "gap", "method", "stop_reason", "seconds", "assignment"}
BIG = 2**53 + 1  # no float64 has this value


@pytest.fixture
def write(tmp_path):
    def call(problem, name="problem.json"):
        write_iopddl(problem, tmp_path / name)
        return tmp_path / name

    return call


@pytest.fixture
def chain(write):
    """Two variables; the optimum, 2**53 + 3, is (1, 0)."""
    return write(
        SelectionProblem(
            unary=(np.array([BIG + 9, BIG]), np.array([2, 0])),
            edges=((0, 1),),
            pair=(np.array([[9, 9], [0, 5]]),),
            name="chain",
        )
    )


@pytest.fixture
def impossible(write):
    unary = (np.array([0, 0]), np.array([0, 0]))
    return write(SelectionProblem(unary=unary, edges=((0, 1),), pair=(np.full((2, 2), FORBIDDEN),)))


def test_a_solution_is_exact_and_certified(run, chain):
    outcome = run("solve", chain, "--check", "--json", "-")
    assert outcome.code == 0
    assert outcome.err == ""
    document = outcome.document()
    assert document["schema"] == "dynamap/solution/1"
    assert document.keys() >= KEYS
    assert document["objective"] == document["bound"] == BIG + 2
    assert type(document["objective"]) is int
    assert (document["status"], document["stop_reason"], document["gap"]) == ("optimal", "proved", 0)
    assert document["assignment"] == [1, 0]
    assert document["certificate"]["holds"] is True
    assert sum(document["seconds_by_phase"].values()) > 0
    assert type(document["seconds"]) is float


def test_people_read_a_summary(run, chain):
    outcome = run("solve", chain, "--method", "series-parallel", "--check")
    assert outcome.code == 0
    for words in (
        "chain: 2 variables, 1 edge,",
        "optimal",
        "9,007,199,254,740,995",
        "checked by the separate verifier",
    ):
        assert words in outcome.out


def test_every_method_gives_the_same_document(run, write):
    path = write(instances.grid(rows=3, columns=3, choices=3, costs="hard"))
    documents = {}
    for name, method in METHODS.items():
        outcome = run("solve", path, "--method", name, "--json", "-")
        if method.missing or outcome.code == 2:  # not installed, or not for such a problem: it says so
            outcome.sentence()
            continue
        documents[name] = outcome.document()
        assert documents[name]["method_asked"] == name
    assert documents.keys() >= {"auto", "tree-decomposition", "ilp", "ilp-cbc", "highs", "brute-force"}
    assert len({(document["status"], document["objective"]) for document in documents.values()}) == 1


def test_json_goes_to_a_file_beside_the_summary(run, chain, tmp_path):
    outcome = run("solve", chain, "--json", tmp_path / "out.json")
    assert "optimal" in outcome.out
    assert json.loads((tmp_path / "out.json").read_text())["objective"] == BIG + 2


def test_infeasible_is_exit_code_one_with_a_reason(run, impossible):
    outcome = run("solve", impossible, "--json", "-")
    document = outcome.document()
    assert outcome.code == 1
    assert (document["status"], document["objective"], document["assignment"]) == ("infeasible", None, None)
    assert document["gap"] is None
    assert document["reason"]


def test_no_proof_in_time_is_exit_code_one(run, write):
    path = write(instances.regular(variables=60, degree=6, choices=6, costs="hard"))
    outcome = run("solve", path, "--method", "ilp", "--time-limit", "0.5", "--json", "-")
    document = outcome.document()
    assert outcome.code == 1
    assert document["stop_reason"] == "time-limit"
    assert document["status"] in {"feasible", "unknown"}


def test_a_certificate_that_is_not_there_is_exit_code_one(run, chain):
    outcome = run("solve", chain, "--method", "brute-force", "--check")
    assert outcome.code == 1
    assert "leaves no certificate" in outcome.out


def test_the_library_gives_what_the_command_gives(run, chain):
    solution = dynamap_opt.solve(read_iopddl(chain))
    document = run("solve", chain, "--json", "-").document()
    assert (solution.objective, list(solution.assignment)) == (document["objective"], document["assignment"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "magic"), ["no method 'magic'", "series-parallel"]),
        (("--time-limit", "0"), ["--time-limit"]),
        (("--gap", "-1"), ["'-1'"]),
        (("--gap", "nan"), ["'nan' is not a number of at least 0"]),
        (("--seed", "-3"), ["--seed"]),
        (("--seed", "x"), ["'x' is not a whole number"]),
        (("--threads", "0"), ["'0' is not a whole number"]),
    ],
)
def test_options_that_cannot_be_are_refused(refused, chain, tmp_path, options, words):
    refused("solve", chain, *options, "--json", tmp_path / "o.json", words=words)


def test_files_that_cannot_be_read_are_refused(refused, tmp_path):
    refused("solve", tmp_path / "none.json", words=["none.json", "no such file"])
    refused("solve", tmp_path, words=["is a directory"])
    (tmp_path / "bad.json").write_text('{"problem": {')
    refused("solve", tmp_path / "bad.json", words=["bad.json", "JSON"])


def test_a_graph_the_method_does_not_take_is_refused(refused, write):
    path = write(instances.random_graph(variables=4, degree=3, choices=2, costs="hard"))
    refused("solve", path, "--method", "series-parallel")


def started_by(marker):
    """The processes that have this in their environment, by number."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"DYNAMAP_TEST_MARKER={marker}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def has_begun(process, marker):
    """Whether a process is inside native code: our kernel's, or that of a process it has started."""
    return len(started_by(marker)) > 1 or "_dynamap_kernel" in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system does not say what a process does")
@pytest.mark.parametrize("method", ["auto", "ilp", "ilp-cbc"])
def test_a_solve_that_is_interrupted_ends_with_one_line_and_no_process(write, method):
    """Hours of work, most of it inside native code, interrupted once it has begun."""
    path = write(instances.regular(variables=200, degree=8, choices=12, costs="hard"))
    command = [sys.executable, "-m", "dynamap_opt", "solve", str(path), "--method", method]
    environment = os.environ | {"DYNAMAP_TEST_MARKER": str(path.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        try:
            while not has_begun(process, path.parent):
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            for number in started_by(path.parent):
                os.kill(number, signal.SIGKILL)
    assert process.returncode == 130
    assert out == b""
    assert err.decode().splitlines()[-1] == "dynamap: interrupted"
    assert b"Traceback" not in err
    assert started_by(str(path.parent)) == []


def test_a_method_that_cannot_take_the_size_refuses(refused, write):
    path = write(instances.regular(variables=200, degree=8, choices=12, costs="hard"))
    refused("solve", path, "--method", "brute-force")


def test_convert_writes_a_problem_that_solves_the_same(run, chain, tmp_path):
    target = tmp_path / "again.iopddl.json.gz"
    assert run("convert", chain, "-o", target).code == 0
    assert run("solve", target, "--json", "-").document()["objective"] == BIG + 2


@pytest.mark.parametrize("ending", ["json", "iopddl", "wcsp", "cfn", "lg", "in", "cfn.gz"])
def test_convert_goes_by_the_ending_and_solve_by_the_content(run, chain, tmp_path, ending):
    target = tmp_path / f"again.{ending}"
    assert run("convert", chain, "-o", target).code == 0
    renamed = target.rename(tmp_path / "anything")
    assert run("solve", renamed, "--json", "-").document()["objective"] == BIG + 2


def test_convert_refuses_endings_that_name_no_format(refused, chain, tmp_path):
    refused("convert", chain, "-o", tmp_path / "x.docx", words=["names no format", ".wcsp"])


def test_convert_needs_a_place(refused, chain, tmp_path):
    refused("convert", chain, "-o", tmp_path / "none" / "x.json", words=["cannot write", "no such file"])


def test_methods_lists_the_registry(run):
    document = run("methods", "--json", "-").document()
    assert document["schema"] == "dynamap/methods/1"
    assert [method["name"] for method in document["methods"]] == list(METHODS)
    for method in document["methods"]:
        assert method["available"] is not METHODS[method["name"]].missing
    outcome = run("methods")
    for name in METHODS:
        assert name in outcome.out
