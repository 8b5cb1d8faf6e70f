"""Every method, simplification and certificate against enumeration in plain Python, on small random problems."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dynamap_solvers import (
    FORBIDDEN,
    METHODS,
    CertificateError,
    NotSeriesParallelError,
    ReductionCertificate,
    ReductionPlan,
    SelectionProblem,
    Status,
    StopReason,
    check,
    check_reduction,
    drop_fixed,
    drop_forbidden,
    simplify,
    solve,
    solve_batch,
)
from selection_problems import methods

COSTS = st.integers(-40, 60).map(lambda cell: FORBIDDEN if cell > 50 else cell)
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def problems(draw: st.DrawFn, *, usage: bool = False, batch: int | None = None) -> SelectionProblem:
    """Forbidden cells, negative costs, parallel edges, isolated variables and single choices all occur."""
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 3]), min_size=1, max_size=5))
    count = len(sizes)
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda e: e[0] != e[1])
    edges = draw(st.lists(ends, max_size=8)) if count > 1 else []

    def table(*shape: int) -> np.ndarray:
        full = shape if batch is None or draw(st.booleans()) else (batch, *shape)
        size = int(np.prod(full))
        return np.array(draw(st.lists(COSTS, min_size=size, max_size=size)), np.int64).reshape(full)

    unary = tuple(table(size) for size in sizes)
    pair = tuple(table(sizes[i], sizes[j]) for i, j in edges)
    if not usage:
        return SelectionProblem(unary=unary, edges=tuple(edges), pair=pair)
    starts = [draw(st.integers(0, 4)) for _ in sizes]
    return SelectionProblem(
        unary=unary,
        edges=tuple(edges),
        pair=pair,
        usage=tuple(np.array([draw(st.integers(0, 9)) for _ in range(size)], np.int64) for size in sizes),
        intervals=tuple((start, start + draw(st.integers(0, 4))) for start in starts),
        usage_limit=draw(st.integers(0, 20)),
    )


def enumerate_in_plain_python(problem: SelectionProblem) -> int | float | None:
    """The third voice: no numpy, no shared code, limits checked at every moment."""
    best = None
    times = range(12)
    for x in itertools.product(*map(range, problem.domain_sizes)):
        cells = [array.tolist()[a] for array, a in zip(problem.unary, x, strict=True)]
        cells += [table.tolist()[x[i]][x[j]] for (i, j), table in zip(problem.edges, problem.pair, strict=True)]
        if any(cell in {FORBIDDEN, float("inf")} for cell in cells):
            continue
        if problem.usage is not None and any(
            sum(
                used.tolist()[a]
                for (start, end), used, a in zip(problem.intervals, problem.usage, x, strict=True)
                if start <= time < end
            )
            > problem.usage_limit
            for time in times
        ):
            continue
        if best is None or sum(cells) < best:
            best = sum(cells)
    return best


def assert_solves(problem: SelectionProblem, method: str) -> None:
    expected = enumerate_in_plain_python(problem)
    solution = solve(problem, method=method, time_limit=60)
    assert solution.stop_reason is StopReason.PROVED
    if expected is None:
        assert solution.status is Status.INFEASIBLE
        assert solution.reason
        assert solution.assignment is None
    else:
        assert solution.status is Status.OPTIMAL
        assert solution.objective == solution.bound == expected
        assert type(solution.objective) is int
        assert problem.evaluate(solution.assignment) == expected
    if solution.certificate is not None:
        check(problem, solution)


# Methods in a process of their own have fewer examples, below and in test_backends.py.
APART = {"ilp-cbc", "toulbar2", "ortools"}


@pytest.mark.parametrize(
    "method", methods(*(name for name, it in METHODS.items() if it.any_graph and it.any_costs and name not in APART))
)
@given(problem=problems())
@QUICK
def test_every_method_finds_the_optimum_that_plain_enumeration_finds(method, problem):
    assert_solves(problem, method)


@given(problem=problems())
@settings(QUICK, max_examples=25)
def test_cbc_finds_the_optimum_that_plain_enumeration_finds(problem):
    assert_solves(problem, "ilp-cbc")


@given(problem=problems())
@QUICK
def test_series_parallel_finds_the_optimum_or_says_the_graph_is_not(problem):
    try:
        assert_solves(problem, "series-parallel")
    except NotSeriesParallelError as error:
        assert len(error.witness) >= 4  # noqa: PT017  # both outcomes are right, on different graphs


@pytest.mark.parametrize("method", ["auto", "ilp", "brute-force"])
@given(problem=problems(usage=True))
@QUICK
def test_usage_limits_are_kept_at_every_time(method, problem):
    assert_solves(problem, method)


@given(problem=problems(usage=True))
@settings(QUICK, max_examples=25)
def test_cbc_keeps_usage_limits(problem):
    assert_solves(problem, "ilp-cbc")


@pytest.mark.parametrize("simplification", [drop_forbidden, drop_fixed, simplify])
@given(problem=problems(usage=True))
@QUICK
def test_simplified_problems_have_the_same_optimum_and_know_the_way_back(simplification, problem):
    expected = enumerate_in_plain_python(problem)
    smaller = simplification(problem)
    if smaller.impossible:
        assert expected is None
        return
    solution = solve(smaller.problem, method="brute-force")
    assert (solution.status is Status.INFEASIBLE) == (expected is None)
    if solution.assignment is not None:
        assert solution.objective + int(smaller.offset) == expected
        assert problem.evaluate(smaller.lift(solution.assignment)) == expected


@given(problem=problems(batch=3))
@QUICK
def test_a_batch_gives_what_its_instances_give_one_by_one(problem):
    try:
        batch = solve_batch(problem)
    except NotSeriesParallelError:
        assume(False)
    expected = [enumerate_in_plain_python(problem.instance(k)) for k in range(problem.batch_size)]
    assert batch.objectives.tolist() == [FORBIDDEN if value is None else value for value in expected]
    everything = batch.assignments()
    for k, value in enumerate(expected):
        instance = problem.instance(k)
        check_reduction(instance, ReductionCertificate(batch.plan), bound=value)
        if value is None:
            assert (everything[k] == -1).all()
            assert batch.solution(k).status is Status.INFEASIBLE
        else:
            assert instance.evaluate(batch.assignment(k)) == value
            assert instance.evaluate(everything[k]) == value


@given(problem=problems(), shift=st.sampled_from([-1, 1]))
@QUICK
def test_the_verifier_rejects_another_bound(problem, shift):
    solution = solve(problem)
    assume(isinstance(solution.certificate, ReductionCertificate))  # of K4 it is another kind
    wrong = 0 if solution.bound is None else solution.bound + shift
    with pytest.raises(CertificateError, match=r"The claimed bound is"):
        check_reduction(problem, solution.certificate, bound=wrong)


@given(problem=problems(), data=st.data())
@QUICK
def test_the_verifier_rejects_a_sequence_with_a_step_missing_doubled_or_altered(problem, data):
    solution = solve(problem)
    assume(isinstance(solution.certificate, ReductionCertificate))  # of K4 it is another kind
    plan = solution.certificate.plan
    at = data.draw(st.integers(0, len(plan.steps) - 1))
    step = plan.steps[at]
    steps = {
        "missing": plan.steps[:at] + plan.steps[at + 1 :],
        "doubled": plan.steps[: at + 1] + plan.steps[at:],
        "altered": (
            *plan.steps[:at],
            dataclasses.replace(step, tables=(*step.tables, len(plan.edges) + 99)),
            *plan.steps[at + 1 :],
        ),
    }[data.draw(st.sampled_from(["missing", "doubled", "altered"]))]
    with pytest.raises(CertificateError):  # noqa: PT012  # some damage shows as soon as the plan is made
        altered = ReductionPlan(plan.num_variables, plan.edges, steps)
        tampered = dataclasses.replace(solution.certificate, plan=altered)
        check_reduction(problem, tampered, bound=solution.bound)


@pytest.mark.parametrize("method", ["auto", "series-parallel", "ilp-highs", "ilp-cbc", "brute-force"])
def test_float_problems_of_any_scale_are_solved_within_the_stated_gap(method, make_problem):
    for seed, scale in itertools.product(range(3), [1e-9, 1.0, 1e9]):
        raw = make_problem([3, 2, 3, 2], [(0, 1), (1, 2), (2, 3), (3, 0)], seed=seed, forbidden=0.1, floats=True)
        problem = raw.replace(unary=tuple(a * scale for a in raw.unary), pair=tuple(a * scale for a in raw.pair))
        expected = enumerate_in_plain_python(problem)
        solution = solve(problem, method=method)
        if expected is None:
            assert solution.status is Status.INFEASIBLE
        else:
            assert solution.status is Status.OPTIMAL
            assert solution.objective == pytest.approx(expected, rel=1e-12)
            assert solution.bound <= solution.objective
