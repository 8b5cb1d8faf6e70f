"""The method branch-and-bound, judged by enumeration and by what its bound must never do."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamap_solvers import FORBIDDEN, Progress, SelectionProblem, Solution, SolverError, Status, StopReason, solve
from dynamap_solvers._kernel import library
from dynamap_solvers.certificates import check_certificate
from dynamap_solvers.methods.branch_and_bound import bound_and_incumbent
from dynamap_solvers.options import Options

METHOD = "branch-and-bound"

needs_kernel = pytest.mark.skipif(library() is None, reason="the compiled kernel is not built")


def grid_edges(rows: int, columns: int) -> list[tuple[int, int]]:
    at = {cell: k for k, cell in enumerate(itertools.product(range(rows), range(columns)))}
    right = [(at[r, c], at[r, c + 1]) for r in range(rows) for c in range(columns - 1)]
    return right + [(at[r, c], at[r + 1, c]) for r in range(rows - 1) for c in range(columns)]


def grid(rows: int, columns: int, choices: int, seed: int) -> SelectionProblem:
    """Costs of pairs dominate: the relaxation alone is far from tight."""
    rng = np.random.default_rng(seed)
    edges = grid_edges(rows, columns)
    return SelectionProblem(
        unary=tuple(rng.integers(0, 101, choices) for _ in range(rows * columns)),
        edges=tuple(edges),
        pair=tuple(rng.integers(0, 100_001, (choices, choices)) for _ in edges),
    )


@st.composite
def problems(draw: st.DrawFn) -> SelectionProblem:
    """Small problems of every kind: forbidden cells, negative costs, parallel edges, loose parts, usage, floats."""
    sizes = draw(st.lists(st.integers(1, 4), max_size=6))
    count = len(sizes)
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda e: e[0] != e[1])
    edges = draw(st.lists(pairs, max_size=10)) if count > 1 else []
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    high = draw(st.sampled_from([2, 50, 10**6, 10**14]))
    forbidden = draw(st.sampled_from([0.0, 0.1, 0.4]))
    floats = draw(st.booleans())

    def table(*shape: int) -> np.ndarray:
        cells, hit = rng.integers(-high // 2, high, shape), rng.random(shape) < forbidden
        return np.where(hit, np.inf, cells / 7) if floats else np.where(hit, FORBIDDEN, cells)

    limit: dict[str, object] = {}
    if count and draw(st.booleans()):
        most = draw(st.sampled_from([3, 10, 10**6, 10**12]))
        times = [sorted(draw(st.tuples(st.integers(0, 5), st.integers(0, 5)))) for _ in sizes]
        limit = {
            "usage": tuple(rng.integers(0, most, size) for size in sizes),
            "intervals": tuple((start, end) for start, end in times),
            "usage_limit": int(most * count * draw(st.floats(0, 0.6))),
        }
    return SelectionProblem(
        unary=tuple(table(size) for size in sizes),
        edges=tuple(edges),
        pair=tuple(table(sizes[i], sizes[j]) for i, j in edges),
        **limit,  # type: ignore[arg-type]
    )


def assert_same(problem: SelectionProblem, found: Solution) -> None:
    judge = solve(problem, method="brute-force")
    assert found.status is judge.status, found.reason
    if judge.objective is None:
        assert found.reason
    elif problem.is_integer:
        assert (found.objective, found.bound) == (judge.objective, judge.objective)
    else:
        assert found.objective == pytest.approx(judge.objective, rel=1e-9, abs=1e-9 * problem.magnitude)


@needs_kernel
@given(problem=problems(), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_agrees_with_enumeration(problem: SelectionProblem, seed: int) -> None:
    assert_same(problem, solve(problem, method=METHOD, seed=seed))


@needs_kernel
@given(problem=problems())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_root_bound_and_pruning_are_sound(problem: SelectionProblem) -> None:
    root = bound_and_incumbent(problem, Options())
    judge = solve(problem, method="brute-force")
    if judge.objective is None:
        assert root.assignment is None
        return
    slack = 0 if problem.is_integer else 1e-9 * max(problem.magnitude, abs(judge.objective))
    assert root.bound <= judge.objective + slack
    if root.certificate is not None:  # plain Python that shares no code with the kernel
        check_certificate(problem, root.certificate, bound=root.certified)
    if root.objective is None:  # rounding found nothing; then nothing may be claimed
        assert not root.proved
    else:
        assert root.objective >= judge.objective - slack
    if root.objective is None or root.objective > judge.objective + slack:  # then every optimum must have survived
        assert judge.assignment is not None
        starts = problem.unary_starts
        assert all(root.alive[starts[i] + x] for i, x in enumerate(judge.assignment))


@needs_kernel
@pytest.mark.parametrize(("rows", "columns", "choices"), [(5, 5, 3), (7, 7, 3)])
def test_grids_with_hard_costs_agree_with_the_integer_program(rows: int, columns: int, choices: int) -> None:
    problem = grid(rows, columns, choices, seed=rows)
    found, other = solve(problem, method=METHOD), solve(problem, method="ilp")
    assert found.status is other.status is Status.OPTIMAL
    assert found.objective == other.objective


@needs_kernel
def test_usage_over_time_agrees_with_the_integer_program() -> None:
    rng = np.random.default_rng(7)
    count, choices = 30, 4
    edges = [(i, j) for i in range(count) for j in (i + 1, i + 5) if j < count]
    usage = [rng.integers(1, 1000, choices) for _ in range(count)]
    problem = SelectionProblem(
        unary=tuple(10_000 // used for used in usage),
        edges=tuple(edges),
        pair=tuple(rng.integers(0, 40, (choices, choices)) for _ in edges),
        usage=tuple(usage),
        intervals=tuple((i, i + 8) for i in range(count)),
        usage_limit=3000,
    )
    found, other = solve(problem, method=METHOD, time_limit=20), solve(problem, method="ilp")
    assert found.status is other.status is Status.OPTIMAL
    assert found.objective == other.objective


@needs_kernel
def test_large_integers_stay_exact() -> None:
    big = 2**55
    problem = SelectionProblem(
        unary=(np.array([big, big + 1]), np.array([-big, 3 - big])),
        edges=((0, 1), (1, 0)),
        pair=(np.array([[2, 0], [0, 1]]), np.array([[0, 0], [0, 5]])),
    )
    assert_same(problem, solve(problem, method=METHOD))


@needs_kernel
def test_conflicting_tables_are_named_and_innocent_ones_are_not() -> None:
    differ = np.array([[FORBIDDEN, 0], [0, FORBIDDEN]])
    names = ("north", "east", "south", "bystander")
    problem = SelectionProblem(
        unary=(np.zeros(2, np.int64),) * 4,
        edges=((0, 1), (1, 2), (2, 0), (2, 3)),
        pair=(differ,) * 4,
        names=names,
    )
    found = solve(problem, method=METHOD)
    assert found.status is Status.INFEASIBLE
    assert all(repr(name) in found.reason for name in names[:3])
    assert repr("bystander") not in found.reason


@needs_kernel
def test_a_limit_that_cannot_be_kept_is_named() -> None:
    problem = SelectionProblem(
        unary=(np.zeros(2, np.int64),) * 3,
        usage=(np.array([3, 4]),) * 3,
        intervals=((0, 2), (1, 3), (1, 2)),
        usage_limit=8,
    )
    found = solve(problem, method=METHOD)
    assert found.status is Status.INFEASIBLE
    assert found.reason == (
        "Variables 'x0', 'x1', 'x2' live at one time and use at least 9 together, above the limit of 8."
    )
    assert solve(problem.replace(usage_limit=9), method=METHOD).status is Status.OPTIMAL


@needs_kernel
def test_time_limit_is_kept_and_the_incumbent_returned() -> None:
    problem = grid(20, 20, 12, seed=1)
    began = time.perf_counter()
    found = solve(problem, method=METHOD, time_limit=0.6)
    assert time.perf_counter() - began < 3
    assert (found.status, found.stop_reason) == (Status.FEASIBLE, StopReason.TIME_LIMIT)
    assert found.bound is not None
    assert found.objective is not None
    assert found.bound < found.objective


@needs_kernel
def test_the_callback_watches_and_cancels() -> None:
    seen: list[Progress] = []

    def watch(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) < 3

    found = solve(grid(20, 20, 12, seed=2), method=METHOD, progress=watch)
    assert found.stop_reason is StopReason.CANCELLED
    assert found.assignment is not None
    bounds = [progress.bound for progress in seen if progress.bound is not None]
    assert len(seen) == 3
    assert bounds == sorted(bounds)
    assert {progress.method for progress in seen} == {METHOD}


@needs_kernel
def test_gap_ends_the_search_early() -> None:
    found = solve(grid(20, 20, 12, seed=3), method=METHOD, gap=0.9, time_limit=20)
    assert found.stop_reason is StopReason.GAP_LIMIT
    assert found.gap <= 0.9


@needs_kernel
def test_a_warm_start_is_never_lost() -> None:
    problem = grid(6, 6, 4, seed=9)
    best = solve(problem, method=METHOD)
    again = solve(problem, method=METHOD, warm_start=best.assignment)
    assert again.status is Status.OPTIMAL
    assert again.objective == best.objective
    hard = grid(20, 20, 12, seed=4)
    good = solve(hard, method=METHOD, time_limit=1)
    assert good.objective is not None
    short = solve(hard, method=METHOD, time_limit=0.2, warm_start=good.assignment)
    assert short.objective is not None
    assert short.objective <= good.objective


@needs_kernel
def test_same_seed_same_course() -> None:
    problem = grid(7, 7, 5, seed=5)
    one, two = (solve(problem, method=METHOD, seed=11) for _ in range(2))
    assert (one.assignment, one.nodes, one.objective) == (two.assignment, two.nodes, two.objective)


@needs_kernel
def test_many_threads_do_not_disturb_each_other() -> None:
    cases = [grid(6, 6, 4, seed=seed) for seed in range(4)]
    alone = [solve(problem, method=METHOD) for problem in cases]
    together: list[Solution | None] = [None] * len(cases)

    def work(k: int) -> None:
        together[k] = solve(cases[k], method=METHOD)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found and (found.assignment, found.nodes) for found in together] == [
        (found.assignment, found.nodes) for found in alone
    ]


def test_without_the_kernel_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    library.cache_clear()
    monkeypatch.setenv("DYNAMAP_KERNEL", "off")
    try:
        with pytest.raises(SolverError, match="needs the compiled kernel"):
            solve(grid(2, 2, 2, seed=0), method=METHOD)
    finally:
        library.cache_clear()
