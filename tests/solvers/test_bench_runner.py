"""Running the benchmark: processes, limits, resuming, and what it says when methods disagree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bad_contestants import REGISTRY
from dynamap_solvers import ProblemError, SelectionProblem, SolverError, UnknownMethodError, solve
from dynamap_solvers.bench import ResultFile, Row, Settings, disagreements, given, run_benchmark, suite, summarise

QUICK = Settings(time_limit=20.0, repeat=1)  # nothing takes that long, on however busy a machine
SMALL = suite("smoke")[0]


def run_one(*methods, settings=QUICK, instances=(SMALL,), **options):
    report = run_benchmark(instances, methods, settings=settings, registry=REGISTRY, **options)
    return report, {row.method: row for row in report.rows if row.instance == instances[-1].name}


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # where nobody waits for orphans, they stay as zombies
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_the_smoke_suite_runs_from_end_to_end():
    instances = suite("smoke")[1::2]  # one size of each family
    report = run_benchmark(instances, ["auto", "batch", "brute-force"], settings=Settings(time_limit=20, repeat=2))
    assert report.disagreements == ()
    assert len(report.rows) == 4 * len(instances)
    by_key = {(row.instance, row.method): row for row in report.rows}
    for instance in instances:
        problem = instance.make(**instance.options)
        row = by_key[instance.name, "auto"]
        assert row.status == "optimal"
        if not problem.is_batched:
            assert row.objective == row.bound == solve(problem).objective
        assert (row.variables, row.edges, row.max_choices) == (
            problem.num_variables,
            problem.num_edges,
            max(problem.domain_sizes),
        )
        assert row.treewidth_upper_bound >= 2
        assert row.build_seconds > 0
        assert row.solve_seconds > 0
        assert row.total_seconds[0] <= row.total_seconds[1]
        assert row.runs == 2
        assert row.base_bytes > 10**6
        assert row.base_bytes <= row.peak_bytes + 2**20
        reference = by_key[instance.name, "memory-pass"]
        assert (reference.status, reference.objective) == ("reference", None)
        assert by_key[instance.name, "batch"].status == ("optimal" if problem.is_batched else "refused")
    refused = by_key["series-parallel 200x3 real", "brute-force"]
    assert refused.status == "refused"
    assert "4194304" in refused.reason
    counted = {summary.method: summary for summary in summarise(report.rows)}
    assert counted["auto"].proved == len(instances)
    assert counted["batch"].proved == 1


def test_a_batch_is_timed_per_cost_set_and_agrees_with_one_by_one():
    batch = suite("smoke")[-1]
    _, rows = run_one("batch", "auto", instances=(batch,))
    assert (rows["batch"].cost_sets, rows["auto"].cost_sets) == (50, 20)
    problem = batch.make(**batch.options)
    expected = sum(solve(problem.instance(k)).objective for k in range(20))
    assert rows["batch"].objective == rows["auto"].objective == expected
    assert rows["batch"].seconds_per_cost_set == rows["batch"].seconds / 50


def test_a_wrong_optimum_is_a_disagreement():
    report, rows = run_one("auto", "first_choices")
    assert rows["first_choices"].status == "optimal"
    (sentence,) = report.disagreements
    assert sentence.startswith(f"{SMALL.name}: first_choices claims the optimum {rows['first_choices'].objective}, but")
    assert sentence.endswith(f"auto found {rows['auto'].objective}.")


def test_denying_a_solution_and_bounds_too_high_are_disagreements():
    report, rows = run_one("auto", "denies", "too_high_a_bound")
    assert rows["denies"].status == "infeasible"
    assert len(report.disagreements) == 2
    assert "denies says that no assignment is allowed, auto found one of" in report.disagreements[0]
    assert "too_high_a_bound claims the bound 1000000000000000, but auto found" in report.disagreements[1]


def row(method, **facts):
    return Row(**({"instance": "i", "family": "f", "method": method, "status": "feasible", "stop_reason": ""} | facts))


def test_agreement_is_exact_for_integers_and_within_rounding_for_floats():
    def both(first, second):
        proved = {"status": "optimal", "stop_reason": "proved"}
        return disagreements(
            [row("a", objective=first, bound=first, **proved), row("b", objective=second, bound=second, **proved)]
        )

    assert both(10**15, 10**15) == ()
    assert len(both(10**15, 10**15 + 1)) == 1
    assert both(0.1 + 0.2, 0.3) == ()
    assert len(both(0.3, 0.3001)) == 1


def test_unproved_rows_may_differ():
    assert disagreements([row("a", objective=9, bound=3), row("b", objective=8, bound=8, status="optimal")]) == ()
    assert disagreements([row("a", status="infeasible"), row("b", status="infeasible")]) == ()


@pytest.mark.parametrize(
    ("method", "status", "stop", "words"),
    [
        ("crashes", "unknown", "crashed", "ended with code -6"),
        ("raises", "unknown", "crashed", "RuntimeError: a defect"),
        ("forbidden", "refused", "refused", "has no choice 10"),
        ("chatters", "optimal", "proved", ""),
    ],
)
def test_what_a_contestant_does_is_its_own_result(method, status, stop, words):
    _, rows = run_one(method, "auto")
    assert (rows[method].status, rows[method].stop_reason) == (status, stop)
    assert words in rows[method].reason
    assert rows["auto"].status == "optimal"


def test_a_proof_after_the_limit_does_not_count():
    _, rows = run_one("late", settings=Settings(time_limit=0.5, repeat=1))
    assert (rows["late"].status, rows["late"].stop_reason) == ("feasible", "time-limit")
    assert rows["late"].reason.startswith("It proved its answer only after 2.")


def test_a_run_that_does_not_end_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr("dynamap_solvers.bench.process._RUN_GRACE_SECONDS", 0.5)
    monkeypatch.setenv("BENCH_TEST_PID", str(tmp_path / "pid"))
    started = time.monotonic()
    _, rows = run_one("hangs", settings=Settings(time_limit=0.2, repeat=1))
    assert time.monotonic() - started < 20
    assert (rows["hangs"].status, rows["hangs"].stop_reason) == ("unknown", "killed")
    assert rows["hangs"].reason == "It did not end by itself within 1 s and was ended."
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say what a process holds")
def test_a_run_that_takes_too_much_memory_is_ended():
    _, rows = run_one("hoards", settings=Settings(time_limit=30.0, repeat=1, memory_limit=400_000_000))
    assert (rows["hoards"].status, rows["hoards"].stop_reason) == ("unknown", "memory-limit")


def test_larger_instances_of_a_family_are_not_tried_after_a_failure():
    small, large = suite("smoke")[:2]
    assert small.family == large.family
    report, rows = run_one("raises", "auto", instances=(small, large))
    assert (rows["raises"].status, rows["raises"].variables) == ("skipped", 200)
    assert rows["auto"].status == "optimal"
    assert report.disagreements == ()
    report, _ = run_one("raises", instances=(large, small))
    assert [row.stop_reason for row in report.rows if row.method == "raises"] == ["crashed", "crashed"]
    _, rows = run_one("raises", instances=(small, large), give_up=False)
    assert rows["raises"].stop_reason == "crashed"


def test_usage_limits_reach_the_methods_that_take_them():
    problem = SelectionProblem(
        unary=(np.array([0, 5]), np.array([0, 7])),
        usage=(np.array([2, 0]), np.array([2, 0])),
        intervals=((0, 2), (1, 3)),
        usage_limit=3,
        name="limited",
    )
    _, rows = run_one("auto", "series-parallel", "peer-highs", instances=(given(problem),))
    assert rows["auto"].objective == rows["peer-highs"].objective == 5
    assert rows["series-parallel"].status == "refused"


# Results that are kept.


def test_what_is_there_is_not_run_again(tmp_path):
    path = tmp_path / "results.jsonl"
    first = run_benchmark((SMALL,), ["auto"], settings=QUICK, results=ResultFile(path))
    kept = path.read_bytes()
    again = run_benchmark((SMALL,), ["auto"], settings=QUICK, results=ResultFile(path))
    assert (first.reused, again.reused) == (0, 2)
    assert again.rows == first.rows
    assert path.read_bytes() == kept
    more = run_benchmark((SMALL,), ["auto", "brute-force"], settings=QUICK, results=ResultFile(path))
    assert more.reused == 2
    other = run_benchmark((SMALL,), ["auto"], settings=Settings(time_limit=21.0, repeat=1), results=ResultFile(path))
    assert other.reused == 0


def test_a_line_that_was_cut_off_is_run_again_and_the_file_stays_readable(tmp_path):
    path = tmp_path / "results.jsonl"
    run_benchmark((SMALL,), ["auto", "brute-force"], settings=QUICK, results=ResultFile(path))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    again = run_benchmark((SMALL,), ["auto", "brute-force"], settings=QUICK, results=ResultFile(path))
    assert again.reused == 2
    assert run_benchmark((SMALL,), ["auto", "brute-force"], settings=QUICK, results=ResultFile(path)).reused == 3


@pytest.mark.parametrize("text", ["a table\nof something\n", "[1, 2]\n{}\n", '{"key": "k", "row": {"instance": 3}}\n'])
def test_other_files_are_not_taken_for_results(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(ProblemError, match=r"notes.txt' does not hold benchmark results \(line 1\)"):
        ResultFile(path)
    assert path.read_text() == text


def test_results_need_a_folder(tmp_path):
    with pytest.raises(ProblemError, match="cannot be written: no such file or directory"):
        run_benchmark((SMALL,), ["auto"], settings=QUICK, results=ResultFile(tmp_path / "none" / "r.jsonl"))
    with pytest.raises(ProblemError, match="cannot be read: is a directory"):
        ResultFile(tmp_path)


SCRIPT = """
import sys
from bad_contestants import REGISTRY
from dynamap_solvers.bench import ResultFile, Settings, run_benchmark, suite
run_benchmark(suite("smoke")[:1], ["auto", "hangs", "brute-force"], settings=Settings(time_limit=300, repeat=1),
              registry=REGISTRY, results=ResultFile(sys.argv[1]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_benchmark_that_is_killed_leaves_no_process_and_resumes(tmp_path, how):
    results, pid_file = tmp_path / "results.jsonl", tmp_path / "pid"
    environment = os.environ | {"BENCH_TEST_PID": str(pid_file), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(results)], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        child = int(pid_file.read_text())
        assert alive(child)
        process.send_signal(how)
        process.wait(timeout=30)
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)
    assert [json.loads(line)["row"]["method"] for line in results.read_text().splitlines()] == ["memory-pass", "auto"]
    settings = Settings(time_limit=300, repeat=1)
    resumed = run_benchmark(
        (SMALL,), ["auto", "ilp"], settings=settings, registry=REGISTRY, results=ResultFile(results)
    )
    assert resumed.reused == 2
    assert [row.status for row in resumed.rows] == ["reference", "optimal", "optimal"]


# What cannot be.


def test_unknown_and_missing_methods_are_refused():
    with pytest.raises(UnknownMethodError, match="no method 'magic' to benchmark; give ours, peers, or among auto"):
        run_benchmark((SMALL,), ["magic"])
    with pytest.raises(SolverError, match="No method is left"):
        run_benchmark((SMALL,), [])
    registry = REGISTRY | {"gone": REGISTRY["auto"].__class__(**(vars(REGISTRY["auto"]) | {"requires": ("no_such",)}))}
    with pytest.raises(SolverError, match="'gone' needs no_such, which is not installed"):
        run_benchmark((SMALL,), ["gone"], registry=registry)


def test_two_instances_of_one_name_are_refused():
    with pytest.raises(ProblemError, match="Two instances are called 'series-parallel 20x3 real'"):
        run_benchmark((SMALL, SMALL), ["auto"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"time_limit": 0.0}, "time limit is 0.0; give a positive number"),
        ({"time_limit": float("inf")}, "time limit is inf"),
        ({"repeat": 0}, "number of repetitions is 0"),
        ({"threads": 0}, "number of threads is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"memory_limit": 0}, "memory limit is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(ProblemError, match=sentence):
        Settings(**options)
