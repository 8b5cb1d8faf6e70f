"""``dynamap bench``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

import dynamap_opt
from dynamap_opt.benchmark import MAPPING_NETWORKS, mapping_instances
from dynamap_solvers import solve, write_iopddl
from dynamap_solvers.bench import instances, suite

KEYS = {
    "instance",
    "variables",
    "edges",
    "max_choices",
    "treewidth_upper_bound",
    "method",
    "status",
    "objective",
    "bound",
    "build_seconds",
    "solve_seconds",
}
COMMAND = (sys.executable, "-m", "dynamap_opt", "bench")


@pytest.fixture
def folder(tmp_path):
    """Two small files."""
    place = tmp_path / "files"
    place.mkdir()
    for name, rows in (("first", 2), ("second", 3)):
        problem = instances.grid(rows=rows, columns=3, choices=2, costs="hard")
        write_iopddl(problem, place / f"{name}.json")
    return place


def test_a_folder_of_files_is_a_suite(run, folder):
    options = ("--suite", "iopddl", "--folder", folder, "--methods", "auto,brute-force", "--time-limit", "20")
    outcome = run("bench", *options, "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    assert document["schema"] == "dynamap/benchmark/1"
    assert document["disagreements"] == []
    assert [(row["instance"], row["method"]) for row in document["rows"]] == [
        (name, method) for name in ("first", "second") for method in ("memory-pass", "auto", "brute-force")
    ]
    for row in document["rows"]:
        assert row.keys() >= KEYS
        if row["method"] != "memory-pass":
            assert row["status"] == "optimal"
            assert type(row["objective"]) is int
    lines = outcome.err.splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("[2/6] first | auto: optimal ")
    table = run("bench", *options)
    for words in ("first", "second", "auto", "brute-force", "memory-pass", "2 of 2"):
        assert words in table.out


def test_a_narrow_terminal_gets_several_tables_with_every_method(in_terminal, folder):
    methods = ("auto", "tree-decomposition", "branch-and-bound", "highs", "brute-force")
    options = ("--suite", "iopddl", "--folder", folder, "--repeat", "1", "--time-limit", "20")
    lines = in_terminal(90, "bench", *options, "--methods", ",".join(methods))
    headings = [line.split() for line in lines if line.strip().startswith("instance")]
    assert len(headings) >= 2
    assert {word for line in headings for word in line} >= set(methods)
    tables = lines[: next(k for k, line in enumerate(lines) if line.startswith("by method"))]
    assert max(map(len, tables)) <= 90


def test_the_library_gives_what_the_command_gives(run, folder):
    report = dynamap_opt.bench("iopddl", folder=folder, methods=["auto"], repeat=1)
    document = run("bench", "--suite", "iopddl", "--folder", folder, "--methods", "auto", "--json", "-").document()
    assert [(row.instance, row.method, row.objective) for row in report.rows] == [
        (row["instance"], row["method"], row["objective"]) for row in document["rows"]
    ]


def test_mapping_problems_are_those_of_the_plans():
    chosen = mapping_instances()
    assert tuple(instance.family for instance in chosen) == MAPPING_NETWORKS
    plan = dynamap_opt.map("googlenet", "alveo-u200", cost="paper")
    problem = chosen[0].make(**chosen[0].options)
    assert chosen[0].name == f"googlenet on {plan.array[0]}x{plan.array[1]}"
    assert solve(problem).objective == plan.latency_cycles


def test_an_interrupt_is_resumed(tmp_path):
    results = tmp_path / "results.jsonl"
    command = [*COMMAND, "--suite", "smoke", "--methods", "auto", "--repeat", "1", "--results", str(results)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for _ in range(4):
            assert process.stderr.readline().startswith(b"[")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert err.decode().splitlines()[-1] == "dynamap: interrupted"
    kept = results.read_text().splitlines()
    assert 4 <= len(kept) < 2 * len(suite("smoke"))
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert len(document["rows"]) == 2 * len(suite("smoke"))
    assert results.read_text().splitlines()[: len(kept)] == kept
    assert len(results.read_text().splitlines()) == 2 * len(suite("smoke"))
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert f"{2 * len(suite('smoke'))} of {2 * len(suite('smoke'))} results were there already" in again.stdout


def test_a_disagreement_is_exit_code_one(run, folder, tmp_path):
    """A result file in which one proved optimum is too high by one, as a wrong method would have left it."""
    results = tmp_path / "results.jsonl"
    options = ("--suite", "iopddl", "--folder", folder, "--methods", "auto,brute-force", "--results", results)
    assert run("bench", *options).code == 0
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    wrong = next(line for line in lines if line["row"]["method"] == "brute-force")
    wrong["row"]["objective"] += 1
    wrong["row"]["bound"] += 1
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = run("bench", *options, "--json", "-")
    assert outcome.code == 1
    (sentence,) = outcome.document()["disagreements"]
    assert "brute-force claims the optimum" in sentence
    assert f"dynamap: methods disagree on {sentence}" in outcome.err


def test_a_picture_is_drawn(run, folder, tmp_path):
    pytest.importorskip("matplotlib")
    options = ("--suite", "iopddl", "--folder", folder, "--methods", "auto", "--plot", tmp_path / "p.svg")
    assert f"wrote {tmp_path / 'p.svg'}" in run("bench", *options).out
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--suite", "huge"), ["no suite 'huge'", "smoke, series-parallel"]),
        (("--suite", "iopddl"), ["needs the folder", "--folder"]),
        (("--suite", "grids", "--folder", "x"), ["reads no files"]),
        (("--suite", "iopddl", "--folder", "no-such-folder"), ["'no-such-folder' cannot be read"]),
        (("--methods", "magic"), ["no method 'magic' to benchmark", "peer-highs"]),
        (("--methods", ","), ["No method is left"]),
        (("--time-limit", "-1"), ["--time-limit"]),
        (("--repeat", "0"), ["'0' is not a whole number"]),
        (("--memory-gib", "0"), ["'0' is not a whole number"]),
        (("--results", "no-such-folder/r.jsonl", "--methods", "auto"), ["cannot be written"]),
        (("--results", os.curdir), ["is a directory"]),
    ],
)
def test_options_that_cannot_be_are_refused(refused, tmp_path, options, words):
    refused("bench", *options, "--json", tmp_path / "o.json", words=words)
