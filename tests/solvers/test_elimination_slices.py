"""Large tables arise slice by slice, in threads: the same outcome as in one piece, in less memory, and stoppable."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from dynamap_solvers import FORBIDDEN, ProblemError, SelectionProblem, solve
from dynamap_solvers import elimination as el
from dynamap_solvers._kernel import eliminate as kernel
from dynamap_solvers._kernel import library
from dynamap_solvers._kernel.eliminate import Stop
from dynamap_solvers.bench.instances import grid, k_tree
from dynamap_solvers.options import available_threads

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled kernel is not there")

_WHOLE = 1e18
_SLICES = (8.0, 64.0, 600.0, 5000.0)


def dense_problem(rng: np.random.Generator, kind: str) -> SelectionProblem:
    sizes = rng.integers(1, int(rng.choice([5, 8, 11])), int(rng.integers(5, 14)))
    share = rng.choice([0.4, 0.6, 0.9])
    edges = [
        (i, j) if rng.random() < 0.5 else (j, i) for i in range(len(sizes)) for j in range(i) if rng.random() < share
    ]
    high = 10**16 if kind == "large" else 1000

    def table(*shape: int) -> np.ndarray:
        cells, hit = rng.integers(-high, high, shape), rng.random(shape) < 0.1
        if kind == "float":
            return np.where(hit, np.inf, cells / 8)  # eighths: sums are exact
        return np.where(hit & (kind == "forbidden"), FORBIDDEN, cells)

    return SelectionProblem(
        unary=[table(size) for size in sizes], edges=edges, pair=[table(sizes[i], sizes[j]) for i, j in edges]
    )


def large_problem() -> SelectionProblem:
    return k_tree(variables=60, k=6, choices=12, costs="hard")


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("kind", ["small", "large", "forbidden", "float"])
def test_slices_and_threads_do_not_change_the_outcome(kind, level):
    rng = np.random.default_rng([level, len(kind), 2])
    sliced = 0
    for _ in range(40):
        problem = dense_problem(rng, kind)
        order = el.find_order(problem.edge_ends, problem.sizes)
        if order.work_cells > 3e6:
            continue
        whole = kernel.eliminate(problem, order.order, stop=Stop(), level=level, slice_bytes=_WHOLE)
        for slice_bytes in _SLICES:
            rooms = {kernel.room(problem, order.order, slice_bytes=size) for size in (slice_bytes, _WHOLE)}
            sliced += len(rooms) == 2
            outcomes = []
            for threads in (1, 2, 3):
                value, choices = kernel.eliminate(
                    problem, order.order, stop=Stop(), threads=threads, level=level, slice_bytes=slice_bytes
                )
                outcomes.append((value, choices.tolist()))
            assert outcomes[1] == outcomes[0]
            assert outcomes[2] == outcomes[0]
            assert outcomes[0][0] == whole[0]
            assert whole[0] == problem.infeasible_value or problem.evaluate(choices) == whole[0]
    assert sliced > 10  # or little was tested


@pytest.mark.parametrize(
    "problem",
    [
        k_tree(variables=40, k=5, choices=9, costs="hard"),
        grid(rows=9, columns=12, choices=4, costs="hard"),
        k_tree(variables=30, k=4, choices=12, costs="real"),
    ],
)
def test_trees_that_branch_and_trees_that_do_not(problem):
    order = el.find_order(problem.edge_ends, problem.sizes)
    whole = kernel.eliminate(problem, order.order, stop=Stop(), slice_bytes=_WHOLE)
    for slice_bytes in (2.0**10, 2.0**14, 2.0**17):
        for threads in (1, 3):
            value, choices = kernel.eliminate(
                problem, order.order, stop=Stop(), threads=threads, slice_bytes=slice_bytes
            )
            assert value == whole[0] == problem.evaluate(choices)


def test_slices_take_less_memory():
    problem = large_problem()
    order = el.find_order(problem.edge_ends, problem.sizes).order
    whole, sliced = (kernel.room(problem, order, slice_bytes=size)[1] for size in (_WHOLE, 2.0**18))
    assert sliced < 0.6 * whole


def test_solve_gives_the_same_with_any_number_of_threads():
    problem = k_tree(variables=60, k=6, choices=9, costs="real")
    found = [solve(problem, method="tree-decomposition", threads=threads) for threads in (1, 2, 3, None)]
    assert len({(solution.objective, solution.assignment) for solution in found}) == 1
    assert available_threads() >= 1


def test_threads_stop_when_the_flag_is_set():
    problem = large_problem()
    order = el.find_order(problem.edge_ends, problem.sizes).order
    stop = Stop()
    timer = threading.Timer(0.05, stop.set)
    timer.start()
    began = time.perf_counter()
    assert el.eliminate(problem, order, stop=stop, threads=2) is None
    assert time.perf_counter() - began < 5
    timer.join()


def test_a_time_limit_ends_threads():
    solution = solve(large_problem(), method="tree-decomposition", time_limit=0.1, threads=2)
    assert solution.stop_reason.value == "time-limit"


def test_the_callback_cancels_threads():
    solution = solve(large_problem(), method="tree-decomposition", progress=lambda _: False, threads=2)
    assert solution.stop_reason.value == "cancelled"


_SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from dynamap_solvers import elimination as el
from dynamap_solvers._kernel import eliminate as kernel
from dynamap_solvers.bench.instances import k_tree
problem = k_tree(variables=30, k=5, choices=12, costs="hard")
order = el.find_order(problem.edge_ends, problem.sizes).order
expected = kernel.eliminate(problem, order, stop=el.Stop(), slice_bytes=1e18)[0]
lines = Path("/proc/self/status").read_text().splitlines()
used = int(next(line for line in lines if line.startswith("VmSize:")).split()[1]) * 1024
short = 0
for more in (2**16, 2**20, 2**21, 2**22, 2**23, 2**24, 2**25, 2**28):
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))
    try:
        value, _ = kernel.eliminate(problem, order, stop=el.Stop(), threads=8, slice_bytes=2**14)
    except MemoryError:
        short += 1
    else:
        assert value == expected
print(short)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_lack_of_memory_or_threads_ends_no_process():
    done = subprocess.run([sys.executable, "-c", _SHORT_OF_MEMORY], capture_output=True, text=True, check=True)
    assert 1 <= int(done.stdout) < 8


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(threads):
    with pytest.raises(ProblemError, match="give at least 1, or None"):
        solve(dense_problem(np.random.default_rng(0), "small"), threads=threads)
