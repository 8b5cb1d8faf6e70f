"""Joint exploration: every array shape once, each at its exact optimum, and what is read off them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamap_models.zoo import build_model
from dynamap_opt.board import Board, load_board
from dynamap_opt.costs import Precision
from dynamap_opt.errors import DynamapError, NoMappingError
from dynamap_opt.exploration import (
    ArrayShapes,
    Exploration,
    _explore_promising,
    all_shapes,
    among_the_best,
    explore_shapes,
    square_shapes,
)
from dynamap_opt.front import explore_front, front_of, on_the_front
from dynamap_opt.mapper import Mapper
from dynamap_opt.mapping import make_plan
from dynamap_opt.study import truncate
from dynamap_solvers import FORBIDDEN, solve


def tiny_board(elements):
    return Board(**(load_board("ecp5-85k").as_dict() | {"name": "tiny", "array_dsp": elements}))


def listed(shapes):
    return list(zip(shapes.p1.tolist(), shapes.p2.tolist(), strict=True))


def exploration_of(points):
    """An exploration with given (P1, P2, cycles)."""
    p1, p2, cycles = (np.array(column, dtype=np.int64) for column in zip(*points, strict=True))
    return Exploration(ArrayShapes(p1, p2), cycles, int(np.argmin(cycles)))


def quadratic_front(points):
    """The definition: kept is what no other weakly beats in both and strictly in one; of twins the one of most rows."""
    kept = set()
    for p1, p2, cycles in points:
        size = p1 * p2
        beaten = any(a * b <= size and c <= cycles and (a * b < size or c < cycles or (a > p1)) for a, b, c in points)
        if not beaten:
            kept.add((p1, p2, cycles))
    return sorted(kept, key=lambda point: point[0] * point[1])


def test_the_count_of_shapes_is_the_divisor_sum():
    assert len(all_shapes(6239)) == 55_476
    assert len(all_shapes(6239)) == sum(6239 // rows for rows in range(1, 6240))


@pytest.mark.parametrize("elements", [1, 2, 3, 16, 141, 1000])
def test_every_shape_occurs_exactly_once(elements):
    every = [(a, b) for a in range(1, elements + 1) for b in range(1, elements + 1) if a * b <= elements]
    assert listed(all_shapes(elements)) == every


@pytest.mark.parametrize("elements", [1, 2, 3, 4, 8, 9, 99, 100, 101, 6239, 6241])
def test_square_shapes_are_all_squares_that_fit(elements):
    assert listed(square_shapes(elements)) == [(p, p) for p in range(1, elements + 1) if p * p <= elements]


def test_no_elements_are_too_few():
    for elements in (0, -5):
        with pytest.raises(DynamapError, match="too small for a 1x1 array"):
            all_shapes(elements)


@pytest.mark.parametrize(("name", "cost"), [("squeezenet-1.1", "overlay"), ("mobilenet-v2", "paper")])
def test_the_best_of_all_shapes_is_the_best_found_one_by_one(name, cost):
    mapper = Mapper(truncate(build_model(name), 14), tiny_board(8), cost=cost, allow_host=True)
    exploration = mapper.explore()
    one_by_one = [solve(mapper.decision(*shape).problem).objective for shape in listed(mapper.shapes())]
    exact = np.ones(len(one_by_one), dtype=bool) if exploration.exact is None else exploration.exact
    assert (exploration.latency_cycles <= one_by_one).all()
    assert exploration.latency_cycles[exact].tolist() == [
        cycles for cycles, e in zip(one_by_one, exact, strict=True) if e
    ]
    assert exact.sum() >= 6
    best = min(range(len(one_by_one)), key=lambda k: (one_by_one[k], *_tie(listed(mapper.shapes())[k])))
    assert exploration.best == best


def _tie(shape):
    return shape[0] * shape[1], -shape[0]


def test_ties_go_to_the_fewest_elements_and_then_to_the_most_rows():
    mapper = Mapper(build_model("squeezenet-1.1"), tiny_board(12), cost="paper")
    shapes = all_shapes(12)

    class Constant:
        def __init__(self, tables):
            del tables

        def evaluate(self, p1, p2):
            # 2x3, 3x2 and 12x1 take 7 cycles, everything else 9.
            return np.where(((p1 * p2 == 6) & (p1 > 1) & (p2 > 1)) | (p1 == 12), 7, 9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynamap_opt.exploration.BatchedSelection", Constant)
        assert explore_shapes(mapper.tables, shapes).best_shape == (3, 2)


def test_a_network_nothing_can_run_is_no_optimum():
    mapper = Mapper(build_model("squeezenet-1.1"), tiny_board(12), cost="paper")

    class Impossible:
        def __init__(self, tables):
            del tables

        def evaluate(self, p1, p2):
            return np.full((p1 * p2).size, FORBIDDEN)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynamap_opt.exploration.BatchedSelection", Impossible)
        with pytest.raises(NoMappingError, match="no choice of algorithms"):
            explore_shapes(mapper.tables, all_shapes(12))


def test_threads_and_chunks_do_not_change_anything():
    mapper = Mapper(truncate(build_model("squeezenet-1.1"), 20), load_board("zcu104"))
    one, two = mapper.explore(threads=1), mapper.explore(threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynamap_opt.shape_bounds._MOST", 1000)
        patch.setattr("dynamap_opt.shape_bounds._LEAST", 10)
        three = mapper.explore(threads=3)
    for other in (two, three):
        assert one.best == other.best
        assert (one.exact == other.exact).all()
        assert (one.latency_cycles == other.latency_cycles).all()


def test_progress_reaches_the_number_of_shapes_and_those_made_exact():
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("zcu104"))
    seen = []
    mapper.explore(progress=lambda done, total: seen.append((done, total)))
    count = len(mapper.shapes())
    assert (count, count) in seen
    assert seen[-1][0] == seen[-1][1] > count
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done <= total for done, total in seen)


class KnownBounds:
    """Bounds of given latencies, as closely as asked for."""

    never = 1000

    def __init__(self, floors, bounds, exact):
        self._closer = np.array([floors, bounds, exact])
        self._precision = np.zeros(len(exact), dtype=np.uint8)
        self.total = self._closer[0].copy()

    def precision(self, chosen):
        return self._precision[chosen]

    def raise_to(self, precision, chosen, limit):
        chosen = chosen[(self.total[chosen] <= limit[chosen]) & (self._precision[chosen] < precision)]
        self.total[chosen] = self._closer[precision, chosen]
        self._precision[chosen] = precision


class Solved:
    """Solves what is priced exactly, a few shapes first and twice as many every time."""

    few, growth = 1, 2

    def solve(self, bounds, chosen):
        assert (bounds.precision(chosen) == Precision.EXACT).all()
        return bounds.total[chosen]


@st.composite
def bounded_latencies(draw):
    """Some shapes in any order; of each a floor, a bound and the latency, which many have in common."""
    arrays = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=20, unique=True))
    exact = [draw(st.integers(1, 9)) for _ in arrays]
    bounds = [draw(st.integers(0, cycles)) for cycles in exact]
    floors = [draw(st.integers(0, bound)) for bound in bounds]
    p1, p2 = np.array(arrays, dtype=np.int64).T
    return ArrayShapes(p1, p2), floors, bounds, np.array(exact, dtype=np.int64)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(bounded_latencies(), st.integers(0, 4))
def test_however_weak_the_bounds_the_best_and_those_behind_it_are_exact(drawn, behind):
    shapes, floors, bounds, cycles = drawn
    found = _explore_promising(
        KnownBounds(floors, bounds, cycles), shapes, among_the_best(behind), Solved(), lambda *_: None
    )
    every = Exploration(shapes, cycles, 0)
    assert (found.latency_cycles <= cycles).all()
    assert (found.latency_cycles == cycles)[found.exact].all()
    assert found.best == np.lexsort((-shapes.p1, shapes.p1 * shapes.p2, every.latency_cycles))[0]
    least = np.sort(cycles)[: behind + 1]
    assert np.sort(found.latency_cycles[found.exact])[: behind + 1].tolist() == least.tolist()
    assert (found.latency_cycles[~found.exact] > least[-1]).all()


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(bounded_latencies())
def test_however_weak_the_bounds_the_front_is_that_of_the_definition(drawn):
    shapes, floors, bounds, cycles = drawn
    found = _explore_promising(KnownBounds(floors, bounds, cycles), shapes, on_the_front, Solved(), lambda *_: None)
    points = list(zip(shapes.p1.tolist(), shapes.p2.tolist(), cycles.tolist(), strict=True))
    assert front_of(found) == quadratic_front(points)
    assert found.best_shape == front_of(found)[-1][:2]
    assert (found.latency_cycles <= cycles).all()


def test_the_front_of_a_network_is_the_one_of_solving_every_array():
    network = truncate(build_model("googlenet"), 6)
    mapper = Mapper(network, tiny_board(12), algorithms=["im2col", "winograd-f2-2d"], dataflows=["NS", "WS"])
    points = [
        (*shape, int(solve(mapper.decision(*shape).problem, method="series-parallel").objective))
        for shape in listed(mapper.shapes())
    ]
    found = explore_front(mapper)
    assert not found.exact_everywhere
    assert front_of(found) == quadratic_front(points)
    assert all(bound <= cycles for bound, (*_, cycles) in zip(found.latency_cycles.tolist(), points, strict=True))


@pytest.mark.parametrize("array", [(12, 12), (0, 5), (5, 0), (-1, -1), (142, 1), (1, 142)])
def test_an_array_that_does_not_fit_is_refused(array):
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("ecp5-85k"))
    with pytest.raises(DynamapError, match=r"does not fit board 'ecp5-85k'.* at most 141"):
        mapper.explore(array)


@pytest.mark.parametrize("array", [(141, 1), (47, 3), (3, 47), (1, 1)])
def test_an_array_at_exactly_the_limit_is_explored_alone(array):
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("ecp5-85k"))
    exploration = mapper.explore(array)
    assert listed(exploration.shapes) == [array]
    assert exploration.latency_cycles[0] == solve(mapper.decision(*array).problem).objective


def test_an_array_that_cannot_be_built_is_refused_and_left_out():
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("alveo-u200"))
    with pytest.raises(DynamapError, match="array 2000x3 cannot be built on board 'alveo-u200'"):
        mapper.explore((2000, 3))
    assert max(mapper.shapes().p1.max(), mapper.shapes().p2.max()) <= 1024
    assert len(Mapper(build_model("squeezenet-1.1"), load_board("alveo-u200"), cost="paper").shapes()) == 55_476


def test_the_smallest_board_has_one_shape():
    exploration = Mapper(build_model("squeezenet-1.1"), tiny_board(1)).explore()
    assert listed(exploration.shapes) == [(1, 1)]


def test_the_pareto_front_is_the_one_of_the_definition():
    exploration = Mapper(build_model("googlenet"), tiny_board(60), cost="paper").explore()
    points = [
        (*shape, cycles)
        for shape, cycles in zip(listed(exploration.shapes), exploration.latency_cycles.tolist(), strict=True)
    ]
    front = exploration.pareto()
    assert front == quadratic_front(points)
    assert front[-1] == (*exploration.best_shape, int(exploration.latency_cycles.min()))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(1, 12), min_size=1, max_size=20))
def test_pareto_fronts_with_many_ties_follow_the_definition(cycles):
    points = [(*shape, value) for shape, value in cycles.items()]
    assert exploration_of(points).pareto() == quadratic_front(points)


def test_two_products_per_slice_double_the_elements_and_leave_out_winograd():
    mapper = Mapper(build_model("googlenet"), load_board("zcu104"), macs_per_dsp=2)
    single = Mapper(build_model("googlenet"), load_board("zcu104"))
    assert mapper.elements == 2 * single.elements
    plan = make_plan(mapper, mapper.explore((16, 16)))
    assert not any(layer.algorithm.startswith("winograd") for layer in plan.layers)
