"""Tasks on processes and on a cluster: every result once, whatever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dask_cluster import cluster
from dynamap_opt.errors import DynamapError
from dynamap_opt.execution.tasks import run_tasks

# Functions that every process finds are the standard library's: here, a shell's command and its output.
NUMBERS = [f"sleep 0.1; echo {number}" for number in range(16)]


def collect(results):
    found = sorted(results)
    assert [number for number, _ in found] == list(range(len(found)))
    return [result for _, result in found]


@pytest.mark.parametrize("options", [{}, {"jobs": 2}, {"executor": ThreadPoolExecutor(3)}], ids=["here", "pool", "own"])
def test_every_task_gives_one_result(options):
    assert collect(run_tasks(abs, range(-20, 0), **options)) == list(range(20, 0, -1))


def test_tasks_are_taken_as_they_are_needed():
    taken = []

    def tasks():
        for number in range(50):
            taken.append(number)
            yield -number

    results = run_tasks(abs, tasks(), executor=ThreadPoolExecutor(1))
    next(results)
    assert len(taken) < 40
    results.close()


def test_an_exception_of_a_task_comes_through():
    with pytest.raises(TypeError, match="bad operand"):
        collect(run_tasks(abs, [-1, "x", -2], jobs=2))


def test_what_a_killed_process_had_not_finished_is_done_by_others(tmp_path):
    # One task kills the process that runs it, the first time.
    mark = tmp_path / "killed"
    deadly = f"test -e {mark} || {{ touch {mark}; kill -9 $PPID; }}; echo 5"
    tasks = [*NUMBERS[:5], deadly, *NUMBERS[6:10]]
    assert collect(run_tasks(subprocess.getoutput, tasks, jobs=2)) == [str(number) for number in range(10)]
    assert mark.exists()


def test_a_task_that_always_kills_its_process_is_given_up():
    with pytest.raises(DynamapError) as caught:
        collect(run_tasks(subprocess.getoutput, ["kill -9 $PPID"], jobs=2))
    assert str(caught.value) == (
        "the processes that run tasks ended 3 times in a row without a result (killed, or out of memory); run fewer at "
        "once with --jobs"
    )


def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = (
        "import subprocess; from dynamap_opt.execution.tasks import run_tasks\n"
        "if __name__ == '__main__':\n"
        f"    list(run_tasks(subprocess.getoutput, ['echo $PPID > {tmp_path}/pid; sleep 5'] * 2, jobs=2))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, script]) as parent:
        end = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        child = int((tmp_path / "pid").read_text())
        parent.kill()
    end = time.monotonic() + 5
    while _runs(child):
        assert time.monotonic() < end, "the child outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ("slurm://host", "executor 'slurm://host' is not known; give dask://host:port or leave it out"),
        ("dask://nowhere", "executor 'dask://nowhere' names no scheduler; write it as dask://host:port"),
    ],
)
def test_other_executors_are_refused(executor, message):
    with pytest.raises(DynamapError) as caught:
        list(run_tasks(abs, [-1], executor=executor))
    assert str(caught.value) == message


@pytest.mark.filterwarnings("default")  # Dask's own, of connections that are lost
def test_a_cluster_loses_a_worker_and_nothing_else(tmp_path):
    with cluster(tmp_path, workers=2) as found:
        results = run_tasks(subprocess.getoutput, NUMBERS, executor=found.address)
        collected = [next(results)]
        os.kill(found.workers[0].pid, signal.SIGKILL)
        collected.extend(results)
    assert collect(collected) == [str(number) for number in range(len(NUMBERS))]


@pytest.mark.filterwarnings("default")
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("dynamap_opt.execution.dask._PATIENCE_S", 0.5)
    with pytest.raises(DynamapError, match=r"no Dask scheduler answers at 127.0.0.1:9: .*; start one with"):
        list(run_tasks(abs, [-1], executor="dask://127.0.0.1:9"))
