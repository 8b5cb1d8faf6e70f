"""What backends are given, by definition: reduced costs, live sets, the polytope's arrays, exact dual bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dynamap_solvers import METHODS, CertificateError, SelectionProblem, solve
from dynamap_solvers.certificates import check_dual
from dynamap_solvers.methods import _local_polytope
from dynamap_solvers.methods._dual_bound import certificate_of, dual_bound
from dynamap_solvers.methods._integers import integer_costs
from dynamap_solvers.methods._local_polytope import local_polytope
from dynamap_solvers.methods._reduced import reduce_costs
from dynamap_solvers.methods.cvxpy import relaxation_bound
from dynamap_solvers.options import Options
from selection_problems import cyclic_problems, enumerated

QUICK = settings(max_examples=60, deadline=None)


def assignments(problem: SelectionProblem, seed: int, count: int = 20) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [tuple(int(rng.integers(size)) for size in problem.domain_sizes) for _ in range(count)]


@given(problem=cyclic_problems(), seed=st.integers(0, 99))
@QUICK
def test_points_of_the_program_are_the_allowed_assignments_with_their_prices(problem, seed):
    reduced = reduce_costs(problem)
    assume(not reduced.conflict)
    program = local_polytope(reduced, exact_below=2.0**50)
    whole = integer_costs(reduced, top_below=2**53, backend="test")
    column = np.repeat(np.arange(program.num_columns), np.diff(program.column_starts))
    for x in assignments(problem, seed):
        lowered = reduced.lower(x)
        point = None if lowered is None else program.point(lowered)
        inside = False
        if lowered is not None and point is not None:
            activity = np.zeros(program.num_rows)
            np.add.at(activity, program.row_index, program.values * point[column])
            inside = bool(
                (activity >= program.lower - 1e-9).all()
                and (activity <= program.upper + 1e-9).all()
                and (point <= program.bounds + 1e-9).all()
            )
            assert program.pick(point) == lowered
            assert reduced.lift(lowered) == x
        assert inside == problem.is_feasible(x)
        if inside:
            assert reduced.offset + program.unit * int(program.costs @ point) == problem.evaluate(x)
            assert whole.bound(whole.value(lowered)) == problem.evaluate(x)


@given(problem=cyclic_problems())
@QUICK
def test_live_sets_that_can_bind_are_those_of_the_definition(problem):
    assume(problem.usage is not None)
    reduced = reduce_costs(problem, keep_all=True)
    assume(not reduced.conflict)
    sets = reduced.sets
    every = list(problem.live_sets())
    for k in range(0 if sets is None else sets.count):
        live = every[int(sets.index[k])]
        allowed = [reduced.choice[reduced.starts[i] : reduced.starts[i + 1]] for i in live]
        varying = {i for i, left in zip(live, allowed, strict=True) if np.ptp(problem.usage[i][left])}
        assert set(sets.members(k).tolist()) == varying
        least = sum(int(problem.usage[i][left].min()) for i, left in zip(live, allowed, strict=True))
        assert sets.room[k] == (problem.usage_limit - least) // sets.divisor


@pytest.mark.parametrize("up_to", [0, 10**9], ids=["chain", "rows"])
@given(problem=cyclic_problems())
@settings(max_examples=40, deadline=None)
def test_both_forms_of_the_usage_limit_have_the_same_optimum(up_to, problem):
    assume(problem.usage is not None)
    usual = _local_polytope._ROWS_UP_TO
    _local_polytope._ROWS_UP_TO = up_to
    try:
        assert solve(problem, method="highs").objective == enumerated(problem)
    finally:
        _local_polytope._ROWS_UP_TO = usual


@given(problem=cyclic_problems(), seed=st.integers(0, 99), spread=st.sampled_from([0.0, 1.0, 300.0]))
@QUICK
def test_any_dual_values_prove_a_bound_that_holds_and_is_what_the_definition_says(problem, seed, spread):
    optimum = enumerated(problem)
    reduced = reduce_costs(problem, keep_all=True)
    assume(not reduced.conflict)
    program = local_polytope(reduced, exact_below=2.0**50)
    rng = np.random.default_rng(seed)
    rows, columns = (rng.normal(0, spread, len(table)) for table in (reduced.row_table, reduced.column_table))
    prices = rng.normal(0, spread, 0 if reduced.sets is None else reduced.sets.count)
    proof = dual_bound(program, rows, columns, prices)
    assume(proof is not None)
    assert optimum is None or proof.bound <= optimum
    certificate = certificate_of(problem, program, proof)
    if certificate is not None:
        # The verifier has the definition, in fractions, and refuses a bound one higher.
        check_dual(problem, certificate, bound=proof.plain)
        with pytest.raises(CertificateError):
            check_dual(problem, certificate, bound=proof.plain + 1)


def test_dual_values_that_are_no_numbers_prove_nothing(make_problem):
    problem = make_problem([3] * 4, [(0, 1), (1, 2), (2, 3), (3, 0)], seed=1)
    program = local_polytope(reduce_costs(problem, keep_all=True), exact_below=2.0**50)
    rows, columns = (np.full(len(t), np.nan) for t in (program.reduced.row_table, program.reduced.column_table))
    assert dual_bound(program, rows, columns, np.zeros(0)) is None


@pytest.mark.skipif(not METHODS["cvxpy"].is_available, reason="needs cvxpy")
def test_the_relaxation_of_a_tree_proves_its_optimum_by_its_dual_values(make_problem):
    problem = make_problem([4] * 12, [(i, (i - 1) // 2) for i in range(1, 12)], seed=5, forbidden=0.1)
    program, proof = relaxation_bound(problem, Options())
    optimum = solve(problem, method="series-parallel").objective
    assert proof.bound == optimum
    check_dual(problem, certificate_of(problem, program, proof), bound=optimum)
    solution = solve(problem, method="cvxpy")
    assert (solution.objective, solution.nodes) == (optimum, 0)
    check_dual(problem, solution.certificate, bound=solution.bound)


def test_parallel_edges_of_both_directions_add_up_and_zero_tables_go():
    table = np.array([[1, 2], [3, 4], [5, 7]])
    problem = SelectionProblem(
        unary=(np.zeros(3, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)),
        edges=((0, 1), (1, 0), (1, 2)),
        pair=(table, -table.T, np.array([[5, 6], [7, 8]])),
    )
    reduced = reduce_costs(problem)
    assert reduced.is_trivial  # the first two cancel and the third separates
    assert reduced.offset == 5
    assert reduced.lift(reduced.cheapest())[1:] == (0, 0)
