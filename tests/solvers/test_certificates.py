"""The verifier: it accepts what is right, nothing makes it accept what is wrong, and it says where a proof fails."""

from __future__ import annotations

import ast
import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import dynamap_solvers.certificates
from dynamap_solvers import (
    FORBIDDEN,
    CertificateError,
    CutCertificate,
    DualCertificate,
    EliminationCertificate,
    ProblemError,
    ReductionCertificate,
    SelectionProblem,
    Status,
    StopReason,
    canonical,
    check,
    check_certificate,
    drop_forbidden,
    solve,
)
from dynamap_solvers.certificates import proved_by_dual, read_exact, strike_out

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
COSTS = st.integers(-20, 30).map(lambda cell: FORBIDDEN if cell > 26 else cell)


@st.composite
def problems(
    draw: st.DrawFn, *, usage: bool = False, extras: bool = False, sizes: tuple[int, ...] = (1, 2, 3)
) -> SelectionProblem:
    """Forbidden cells, negative costs, parallel edges; with ``extras`` fixed choices and ties."""
    domain = draw(st.lists(st.sampled_from(sizes), min_size=1, max_size=5))
    count = len(domain)
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda e: e[0] != e[1])
    edges = draw(st.lists(ends, max_size=7)) if count > 1 else []

    def table(*shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        return np.array(draw(st.lists(COSTS, min_size=size, max_size=size)), np.int64).reshape(shape)

    options = {}
    if usage:
        starts = [draw(st.integers(0, 3)) for _ in domain]
        options |= {
            "usage": [np.array([draw(st.integers(0, 9)) for _ in range(size)], np.int64) for size in domain],
            "intervals": [(start, start + draw(st.integers(0, 3))) for start in starts],
            "usage_limit": draw(st.integers(0, 18)),
        }
    if extras:
        tied = [[i for i, size in enumerate(domain) if size == wanted and draw(st.booleans())] for wanted in (2, 3)]
        options["ties"] = [group for group in tied if len(group) > 1]
        options["fixed"] = {
            i: draw(st.integers(0, domain[i] - 1)) for i in draw(st.sets(st.integers(0, count - 1), max_size=2))
        }
    return SelectionProblem(
        unary=[table(size) for size in domain],
        edges=edges,
        pair=[table(domain[i], domain[j]) for i, j in edges],
        **options,
    )


def optimum(problem: SelectionProblem) -> int | None:
    """Every assignment, priced by the problem."""
    prices = [problem.evaluate(x) for x in itertools.product(*map(range, problem.domain_sizes))]
    return min((price for price in prices if price < FORBIDDEN), default=None)


def wrong_bounds(value: int | None) -> list[int | None]:
    return [0, -5] if value is None else [value + 1, value - 1, None]


def test_the_verifier_imports_nothing_that_solves_simplifies_or_prices():
    allowed = {
        "dynamap_solvers.errors": None,
        "dynamap_solvers.problem": {"SelectionProblem", "FORBIDDEN"},
        "dynamap_solvers._rules": {"Reduction"},
        "dynamap_solvers.series_parallel": {"ReductionPlan"},  # what a plan is, not what makes one
        "dynamap_solvers.result": {"Solution"},
    }
    folder = Path(dynamap_solvers.certificates.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dynamap_solvers"):
                if node.module.startswith("dynamap_solvers.certificates"):
                    continue
                assert node.module in allowed, (path.name, node.module)
                names = {alias.name for alias in node.names}
                assert allowed[node.module] is None or names <= allowed[node.module], (path.name, names)
            called = node.func if isinstance(node, ast.Call) else None
            forbidden = {"evaluate", "is_feasible", "peak_usage", "live_sets", "assign", "solve"}
            assert not (isinstance(called, ast.Attribute) and called.attr in forbidden), (path.name, called.attr)


@given(problem=problems(usage=True, extras=True))
@settings(QUICK, max_examples=300)
def test_the_verifier_and_solve_agree_on_what_remains_without_fixed_choices_and_ties(problem):
    smaller = canonical(problem)
    if smaller.conflict:
        with pytest.raises(CertificateError, match="are tied and fixed to different choices"):
            read_exact(problem)
        return
    ours, theirs = read_exact(problem), smaller.problem
    assert [costs.tolist() for costs in ours.unary] == [costs.tolist() for costs in theirs.unary]
    assert ours.edges == list(theirs.edges)
    assert [table.tolist() for table in ours.pair] == [table.tolist() for table in theirs.pair]
    assert [tuple(row) for row in ours.rows] == list(theirs.live_sets())
    for i, used in enumerate(theirs.usage):
        if any(i in row for row in ours.rows):
            assert ours.usage[i] == used.tolist()


@given(problem=problems(usage=True), data=st.data())
@settings(QUICK, max_examples=300)
def test_what_may_be_struck_out_never_changes_the_optimum(problem, data):
    dropped = list(drop_forbidden(problem).dropped)
    exact = read_exact(problem)
    left, _ = strike_out(exact, dropped)
    moves = [(i, x, by) for i, size in enumerate(problem.domain_sizes) for x in range(size) for by in range(-1, size)]
    for move in data.draw(st.permutations(moves)):
        try:
            left, _ = strike_out(exact, [*dropped, move])
        except CertificateError:
            continue
        dropped.append(move)
    expected = optimum(problem)
    among = [problem.evaluate(x) for x in itertools.product(*left)]
    assert min((price for price in among if price < FORBIDDEN), default=None) == expected


def test_what_is_dominated_may_go_and_what_is_not_may_not():
    dear = np.array([[4, 2], [0, 0], [FORBIDDEN, 9]])
    problem = SelectionProblem(unary=[np.array([0, 1, 0]), np.array([0, 5])], edges=[(0, 1)], pair=[dear])
    exact = read_exact(problem)
    assert strike_out(exact, [(0, 0, 1)])[0] == [[1, 2], [0, 1]]  # saves 0 - 1 + min(4, 2) = 1
    assert strike_out(exact, [(0, 2, 0), (0, 0, 1), (1, 1, 0)])[0] == [[1], [0]]
    for dropped, sentence in [
        ([(0, 1, 0)], "Choice 1 of variable 0 is struck out, but choice 0 may be worse."),
        ([(0, 0, 2)], "Choice 0 of variable 0 is struck out, but choice 2 may be worse."),  # forbidden with choice 0
        ([(0, 2, 1), (0, 0, 2)], "Choice 0 of variable 0 is struck out because of choice 2, which is not left."),
        ([(0, 0, 0)], "Choice 0 of variable 0 is struck out because of choice 0, which is not left."),
        ([(0, 0, -1)], "Choice 0 of variable 0 is struck out, but it is not forbidden."),
        ([(0, 3, -1)], "Choice 3 of variable 0 is struck out, but it does not exist or went before."),
        ([(7, 0, -1)], "Choice 0 of variable 7 is struck out, but it does not exist or went before."),
    ]:
        with pytest.raises(CertificateError) as caught:
            strike_out(exact, dropped)
        assert str(caught.value) == sentence


def test_a_float_choice_that_saves_next_to_nothing_may_go_and_is_remembered():
    near = SelectionProblem(unary=[np.array([0.3, 0.1 + 0.2]), np.array([5.0])])
    left, risen = strike_out(read_exact(near), [(0, 0, 1)])
    assert left == [[1], [0]]
    assert risen == Fraction(0.1 + 0.2) - Fraction(0.3) > 0
    check_certificate(near, EliminationCertificate((0,), ((0, 0, 1),)), bound=5.3)
    with pytest.raises(CertificateError, match="choice 1 may be worse"):
        strike_out(read_exact(near.replace(unary=[np.array([0.3, 0.3001]), np.array([5.0])])), [(0, 0, 1)])


def test_a_choice_that_uses_more_does_not_dominate():
    problem = SelectionProblem(unary=[np.array([9, 0])], usage=[np.array([1, 2])], intervals=[(0, 1)], usage_limit=2)
    with pytest.raises(CertificateError, match="choice 1 may be worse"):
        strike_out(read_exact(problem), [(0, 0, 1)])
    at_no_time = problem.replace(intervals=[(3, 3)])
    assert strike_out(read_exact(at_no_time), [(0, 0, 1)])[0] == [[1]]


@given(problem=problems(extras=True), data=st.data())
@QUICK
def test_every_elimination_order_proves_the_optimum_and_nothing_else(problem, data):
    assume(not canonical(problem).conflict)
    remaining = canonical(problem).problem
    order = tuple(data.draw(st.permutations(range(remaining.num_variables))))
    dropped = drop_forbidden(remaining).dropped if data.draw(st.booleans()) else ()
    certificate = EliminationCertificate(order, dropped)
    expected = optimum(problem)
    check_certificate(problem, certificate, bound=expected)
    for wrong in wrong_bounds(expected):
        with pytest.raises(CertificateError, match="The claimed bound is"):
            check_certificate(problem, certificate, bound=wrong)


def test_an_order_must_have_every_variable_once():
    problem = SelectionProblem(unary=[np.array([1, 2]), np.array([3, 4]), np.array([5])])
    check_certificate(problem, EliminationCertificate((1, 0)), bound=9)
    for order, sentence in [
        ((0,), "Variable 1 has 2 choices left and is not in the order."),
        ((0, 1, 0), "Place 2 of the order has variable 0, which is not there any more."),
        ((0, 1, 3), "Place 2 of the order has variable 3, which is not there any more."),
    ]:
        with pytest.raises(CertificateError) as caught:
            check_certificate(problem, EliminationCertificate(order), bound=9)
        assert str(caught.value) == sentence


def test_elimination_at_the_edge_of_64_bits_and_in_floats_is_exact():
    largest = 2**60 // 6 - 1
    rng = np.random.default_rng(3)
    edges = [(0, 1), (1, 2), (2, 0)]
    for _ in range(20):
        signs = rng.choice([-largest, largest, FORBIDDEN], (3, 3, 3), p=[0.45, 0.45, 0.1])
        problem = SelectionProblem(
            unary=signs[:, 0], edges=edges, pair=list(rng.choice([-largest, largest], (3, 3, 3)))
        )
        check_certificate(problem, EliminationCertificate((2, 0, 1)), bound=optimum(problem))
    tiny = SelectionProblem(
        unary=[np.array([1e-300, 1e300]), np.array([0.1, np.inf])], edges=[(0, 1)], pair=[np.array([[0.2, 0], [0, 0]])]
    )
    exact = read_exact(tiny)
    assert exact.value(int(exact.unary[0][0])) == Fraction(1e-300)
    floats = tiny.replace(unary=[np.array([1e-30, 1e3]), np.array([0.1, np.inf])])
    for certificate in (EliminationCertificate((0, 1)), EliminationCertificate((0,), ((1, 1, -1),))):
        check_certificate(floats, certificate, bound=0.1 + 0.2)
        with pytest.raises(CertificateError, match=r"The claimed bound is 0\.30001"):
            check_certificate(floats, certificate, bound=0.30001)


def messages(data: st.DataObject, problem: SelectionProblem, numbers: st.SearchStrategy) -> dict[str, np.ndarray]:
    sizes = problem.domain_sizes
    counts = [sum(sizes[edge[k]] for edge in problem.edges) for k in (0, 1)]
    kind = np.int64 if problem.is_integer else np.float64
    drawn = [np.array(data.draw(st.lists(numbers, min_size=n, max_size=n)), kind) for n in counts]
    return {"at_first": drawn[0], "at_second": drawn[1]}


@given(problem=problems(usage=True), data=st.data())
@settings(QUICK, max_examples=300)
def test_no_dual_proves_more_than_the_optimum(problem, data):
    rows = list(problem.live_sets())
    multipliers = np.array(data.draw(st.lists(st.integers(0, 12), min_size=len(rows), max_size=len(rows))), np.int64)
    certificate = DualCertificate(
        **messages(data, problem, st.integers(-25, 25)),
        rows=multipliers,
        denominator=data.draw(st.integers(1, 4)),
        dropped=drop_forbidden(problem).dropped if data.draw(st.booleans()) else (),
    )
    proved = proved_by_dual(read_exact(problem), certificate)
    expected = optimum(problem)
    if proved is None:
        assert expected is None
        check_certificate(problem, certificate, bound=None)
        return
    assert expected is None or proved <= expected
    check_certificate(problem, certificate, bound=int(proved))
    check_certificate(problem, certificate, bound=int(proved) - 3)
    with pytest.raises(CertificateError, match=r"The claimed bound is -?\d+, but the dual proves"):
        check_certificate(problem, certificate, bound=int(proved) + 1)
    with pytest.raises(CertificateError, match="The claimed bound is None"):
        check_certificate(problem, certificate, bound=None)


def dual_in_plain_fractions(problem: SelectionProblem, certificate: DualCertificate) -> Fraction:
    """The formula of the docstring, cell by cell, for problems that forbid nothing."""
    total = Fraction(0)
    own = [[Fraction(cell) for cell in costs.tolist()] for costs in problem.unary]
    first, second = certificate.at_first.tolist(), certificate.at_second.tolist()
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        a = [Fraction(first.pop(0)) / certificate.denominator for _ in own[i]]
        b = [Fraction(second.pop(0)) / certificate.denominator for _ in own[j]]
        own[i] = [c + m for c, m in zip(own[i], a, strict=True)]
        own[j] = [c + m for c, m in zip(own[j], b, strict=True)]
        total += min(Fraction(table[x, y].item()) - a[x] - b[y] for x in range(len(a)) for y in range(len(b)))
    return total + sum(map(min, own))


@given(data=st.data(), huge=st.booleans(), floats=st.booleans())
@QUICK
def test_the_bound_of_a_dual_is_the_formula(data, huge, floats):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    cells = (lambda *shape: rng.normal(size=shape) * 10) if floats else (lambda *shape: rng.integers(-9, 9, shape))
    edges = [(0, 1), (2, 1), (2, 0), (0, 1)]
    sizes = [2, 3, 2]
    problem = SelectionProblem(
        unary=[cells(size) for size in sizes], edges=edges, pair=[cells(sizes[i], sizes[j]) for i, j in edges]
    )
    numbers = st.floats(-9, 9) if floats else st.integers(-(2**62) if huge else -9, 2**62 if huge else 9)
    certificate = DualCertificate(
        **messages(data, problem, numbers), rows=np.zeros(0, np.int64), denominator=data.draw(st.integers(1, 5))
    )
    expected = dual_in_plain_fractions(problem, certificate)
    proved = proved_by_dual(read_exact(problem), certificate)
    assert proved == (expected if floats else -(-expected.numerator // expected.denominator))


def test_a_multiplier_of_the_limit_proves_what_messages_cannot():
    cheap_is_large = [np.array([0, 10]), np.array([0, 10])]
    problem = SelectionProblem(
        unary=cheap_is_large, usage=[np.array([6, 0])] * 2, intervals=[(0, 2), (1, 3)], usage_limit=6
    )
    nothing = np.zeros(0, np.int64)
    plain = DualCertificate(at_first=nothing, at_second=nothing, rows=nothing)
    charged = DualCertificate(at_first=nothing, at_second=nothing, rows=np.array([5]), denominator=3)
    check_certificate(problem, plain, bound=0)
    check_certificate(problem, charged, bound=10)  # 2 min(10, 10) - 10, and only one of the two fits
    with pytest.raises(CertificateError, match="The claimed bound is 11, but the dual proves 10"):
        check_certificate(problem, charged, bound=11)
    halves = dataclasses.replace(charged, rows=np.array([3]), denominator=2)
    check_certificate(problem, halves, bound=9)  # 2 * 9 - 9
    for altered, sentence in [
        ({"rows": np.array([-1])}, "Multiplier 0 of the dual is -1; it must not be negative."),
        ({"rows": np.array([1, 1])}, "The dual has 2 multipliers for 1 sets of variables"),
        ({"denominator": 0}, "The denominator of the dual is 0; it must be at least 1."),
        ({"at_first": np.array([1])}, r"The dual has \(1,\) numbers at_first"),
        ({"dropped": ((0, 0, 1),)}, "choice 1 may be worse"),
    ]:
        with pytest.raises(CertificateError, match=sentence):
            check_certificate(problem, dataclasses.replace(charged, **altered), bound=0)


def test_a_dual_with_a_number_that_is_none_is_refused():
    problem = SelectionProblem(unary=np.zeros((2, 2)), edges=[(0, 1)], pair=[np.zeros((2, 2))])
    for bad in (np.nan, np.inf):
        certificate = DualCertificate(at_first=np.array([0.0, bad]), at_second=np.zeros(2), rows=np.zeros(0, np.int64))
        with pytest.raises(CertificateError, match="Number 1 at_first of the dual is"):
            check_certificate(problem, certificate, bound=0.0)


def cut_problems() -> st.SearchStrategy[SelectionProblem]:
    @st.composite
    def build(draw: st.DrawFn) -> SelectionProblem:
        count = draw(st.integers(2, 5))
        ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda e: e[0] != e[1])
        edges = draw(st.lists(ends, min_size=1, max_size=7))
        cost = st.integers(0, 12)
        pair = []
        for _ in edges:
            b, c = draw(cost), draw(cost)
            pair.append(np.array([[0, FORBIDDEN if draw(st.integers(0, 5)) == 0 else b], [c, min(b, c)]]))
        unary = np.array([[draw(cost), draw(cost)] for _ in range(count)])
        return SelectionProblem(unary=unary, edges=edges, pair=pair)

    return build()


@given(problem=cut_problems(), data=st.data())
@settings(QUICK, max_examples=300)
def test_no_altered_cut_proves_another_bound(problem, data):
    solution = solve(problem, method="min-cut")
    check(problem, solution)
    certificate = solution.certificate
    assert isinstance(certificate, CutCertificate)
    booleans = st.lists(st.booleans(), min_size=problem.num_variables, max_size=problem.num_variables).map(np.array)
    change = st.lists(st.integers(-2, 2), min_size=len(certificate.flow), max_size=len(certificate.flow))
    altered = dataclasses.replace(
        certificate,
        flow=certificate.flow + np.array(data.draw(change), np.int64),
        side=data.draw(st.sampled_from([certificate.side, data.draw(booleans)])),
        flipped=data.draw(st.sampled_from([certificate.flipped, data.draw(booleans)])),
        exponent=data.draw(st.sampled_from([0, 0, 1, -1])),
    )
    for wrong in wrong_bounds(solution.objective):
        for proof in (certificate, altered):
            with pytest.raises(CertificateError):
                check_certificate(problem, proof, bound=wrong)


def test_a_cut_that_does_not_hold_is_refused_where_it_fails():
    apart = np.array([[0, 4], [0, 0]])
    problem = SelectionProblem(
        unary=[np.array([0, 9]), np.array([0, 0]), np.array([9, 0])], edges=[(0, 1), (1, 2)], pair=[apart, apart]
    )
    solution = solve(problem, method="min-cut")
    good = solution.certificate
    check_certificate(problem, good, bound=4)
    assert good.flow.tolist() == [4, 4]
    for altered, sentence in [
        ({"flow": np.array([5, 5])}, "The flow from variable 0 to 1 is 5; the capacity is 4."),
        ({"flow": np.array([4, -1])}, "The flow from variable 2 to 1 is 1; the capacity is 0."),
        ({"flow": np.array([4, 3])}, "The flows of variable 1 leave over -1; its arc to the terminal has 0."),
        ({"flow": np.array([3, 3])}, "The cut costs 4, but the flow proves 3 only."),
        ({"flow": np.array([4])}, "The certificate has 1 flows; the network has 2 pairs."),
        ({"side": np.array([False, True, False])}, "The cut costs 13, but the flow proves 4 only."),
        ({"side": np.array([False])}, "The cut has 1 variables; the problem has 3."),
        ({"flipped": np.array([False])}, "The certificate labels 1 variables; the problem has 3."),
        (
            {"flipped": np.array([True, False, False])},
            "Variables 0 and 1 would rather have different labels, by 4; a cut cannot say so.",
        ),
        ({"dropped": ((0, 0, -1),)}, "Choice 0 of variable 0 is struck out, but it is not forbidden."),
    ]:
        with pytest.raises(CertificateError) as caught:
            check_certificate(problem, dataclasses.replace(good, **altered), bound=4)
        assert str(caught.value) == sentence
    three = SelectionProblem(unary=[np.array([1, 2, 3])])
    nothing = np.zeros(0, np.int64)
    with pytest.raises(CertificateError, match="Variable 0 has 3 choices left; a cut decides between two"):
        check_certificate(
            three, CutCertificate(flipped=np.zeros(1, bool), side=np.zeros(1, bool), flow=nothing), bound=1
        )


def test_fixed_choices_and_ties_are_the_verifiers_own_business():
    apart = np.array([[0, 3], [3, 0]])
    for method, extras in itertools.product(
        ["series-parallel", "min-cut"],
        [{"fixed": {0: 1}}, {"ties": [(0, 2)]}, {"fixed": {2: 0}, "ties": [(1, 0)]}, {"ties": [(0, 1), (2, 3)]}],
    ):
        problem = SelectionProblem(
            unary=[[0, 2], [5, 1], [1, 0], [0, 4]], edges=[(0, 1), (1, 2), (2, 3), (3, 0)], pair=[apart] * 4, **extras
        )
        solution = solve(problem, method=method)
        assert solution.objective == optimum(problem)
        check(problem, solution)
        other = problem.replace(fixed={}, ties=())
        with pytest.raises(CertificateError):
            check_certificate(other, solution.certificate, bound=solution.bound + 1)


def test_check_says_what_is_wrong_with_a_solution():
    problem = SelectionProblem(
        unary=[np.array([0, 3]), np.array([2, 0])],
        edges=[(0, 1)],
        pair=[np.array([[FORBIDDEN, 9], [0, 1]])],
        ties=[(0, 1)],
    )
    solution = solve(problem)
    check(problem, solution)
    free = problem.replace(ties=())
    for posed, altered, sentence in [
        (problem, {"objective": 5, "bound": 5}, "The assignment costs 4, not 5 as claimed."),
        (problem, {"bound": 3}, "The solution is called optimal, but its bound 3 is not its objective 4."),
        (problem, {"assignment": (0, 1)}, r"Variables \[0, 1\] are tied, but choose differently."),
        (problem, {"assignment": (0, 2)}, "Variable 1 has no choice 2."),
        (problem, {"assignment": (1,)}, "The assignment has 1 choices for 2 variables."),
        (free, {"assignment": (0, 0)}, "The assignment takes a forbidden cell of edge 0."),
        (problem.replace(fixed={0: 0}), {}, "Variable 0 takes choice 1, but is fixed to 0."),
        (problem, {"certificate": None}, "The solution claims the bound 4, but method .* gave no certificate."),
        (
            problem,
            {
                "status": Status.INFEASIBLE,
                "assignment": None,
                "objective": None,
                "bound": None,
                "stop_reason": StopReason.PROVED,
            },
            "The claimed bound is None, but the reductions end with 4.",
        ),
    ]:
        with pytest.raises(CertificateError, match=sentence):
            # object.__new__: a solution checks some of this itself, and a file need not have gone through it
            check(posed, altered_solution(solution, altered))
    limited = SelectionProblem(
        unary=[np.array([0, 1])] * 2, usage=[np.array([2, 0])] * 2, intervals=[(0, 2), (1, 2)], usage_limit=3
    )
    found = solve(limited, method="brute-force")
    with pytest.raises(CertificateError, match=r"At time 1 the assignment uses 4; the limit is 3\."):
        check(limited, altered_solution(found, {"assignment": (0, 0), "objective": 0}))


def altered_solution(solution, altered):
    other = object.__new__(type(solution))
    for field in dataclasses.fields(solution):
        object.__setattr__(other, field.name, altered.get(field.name, getattr(solution, field.name)))
    return other


def test_what_proves_nothing_about_a_batch_or_a_limit_says_so():
    batch = SelectionProblem(unary=[np.zeros((3, 2), np.int64)])
    limited = SelectionProblem(unary=[np.zeros(2)], usage=[np.zeros(2, int)], intervals=[(0, 1)], usage_limit=1)
    reduction = solve(SelectionProblem(unary=[np.zeros(2, np.int64)]), method="series-parallel").certificate
    assert isinstance(reduction, ReductionCertificate)
    cut = CutCertificate(flipped=np.zeros(1, bool), side=np.zeros(1, bool), flow=np.zeros(0, np.int64))
    for certificate in (reduction, EliminationCertificate((0,)), cut):
        with pytest.raises(ProblemError, match="batch"):
            check_certificate(batch, certificate, bound=0)
        with pytest.raises(ProblemError, match="resource"):
            check_certificate(limited, certificate, bound=0)
