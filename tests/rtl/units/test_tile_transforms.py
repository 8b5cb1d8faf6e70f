"""Winograd's transform units: circuit against model and against plain convolution, cycles against the contract."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pyrtl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamap_rtl import OverlayError
from dynamap_rtl.hardware import flatten
from dynamap_rtl.units.signed_digits import plan
from dynamap_rtl.units.winograd import WINOGRAD
from dynamap_rtl.units.winograd_input import WinogradInput
from dynamap_rtl.units.winograd_output import WinogradOutput
from hardware_streams import exchange, gaps, pack, unpack

UNITS = {"input": WinogradInput, "output": WinogradOutput}
CHOICES = list(product(UNITS, [(2,), (4,), (2, 4)], [(1,), (2,), (1, 2)]))
MODES = [(kind, tiles, axes, t, a) for kind, tiles, axes in CHOICES for t in tiles for a in axes]


@cache
def unit_and_block(kind, tiles, axes, lanes=2):
    unit = UNITS[kind](lanes=lanes, tiles=tiles, axes=axes)
    return unit, flatten(unit.create())


def filtered(pixels, taps, tile):
    """Every output of every tile, by the definition of a filter."""
    if taps.shape[0] == 1:
        return sum(taps[0, k, :] * pixels[:, k : k + tile] for k in range(3))
    return sum(taps[u, v, :] * pixels[:, u : u + tile, v : v + tile] for u in range(3) for v in range(3))


def sums_and_outputs(rng, tile, axes, count, lanes, result_width=32):
    """What accumulators hold after a few input channels with large weights, and what must come of it."""
    matrices = WINOGRAD[tile]
    n = matrices.size
    b, g = np.array(matrices.input_rows), np.array(matrices.weight_rows)
    sums, outputs = 0, 0
    for _ in range(3):
        shape = (count, n, n, lanes) if axes == 2 else (count, n, lanes)
        pixels = rng.integers(-256, 256, shape)
        # The largest weights whose nine products can still not leave the result.
        limit = 2 ** (result_width - 1) // (3 * 9 * 256)
        taps = rng.integers(-limit, limit, (3 if axes == 2 else 1, 3, lanes))
        if axes == 2:
            sums = sums + np.einsum("pi,tijc,qj->tpqc", b, pixels, b) * np.einsum("pu,uvc,qv->pqc", g, taps, g)
        else:
            sums = sums + np.einsum("pi,tic->tpc", b, pixels) * np.einsum("pu,uc->pc", g, taps[0])
        outputs = outputs + filtered(pixels, taps, tile)
    return sums, outputs


def data(unit, kind, rng, tile, axes, count):
    """Tiles that go in, as (vectors, lanes), and what must come out, likewise."""
    planar, lanes = axes == 2, unit.lanes
    n = WINOGRAD[tile].size
    if kind == "input":
        tiles = rng.integers(-256, 256, (count, n, n, lanes) if planar else (count, n, lanes))
        results = unit.compute(tiles, tile, planar=planar)
    else:
        tiles, results = sums_and_outputs(rng, tile, axes, count, lanes)
        np.testing.assert_array_equal(unit.compute(tiles, tile, planar=planar), results)
    return tiles.reshape(-1, lanes), results.reshape(-1, lanes)


def run(unit, simulation, vectors, results, tile, axes, **gaps):
    transform = unit.transform
    seen = exchange(
        simulation,
        [pack(vector, transform.in_width) for vector in vectors],
        len(results),
        constants={"four": int(tile == 4), "planar": int(axes == 2)},
        **gaps,
    )
    got = [unpack(word, transform.out_width, unit.lanes) for word in seen.outputs]
    np.testing.assert_array_equal(np.array(got), results)
    return seen


def contract(unit, taken, tile, axes):
    """Cycles of all results by the third rule of the contract."""
    n, k = unit.transform.inputs(tile), unit.transform.outputs(tile)
    latency = unit.transform.latency_cycles(tile, planar=axes == 2)
    if axes == 1:
        return [taken[t + n - 1] + latency + j for t in range(0, len(taken), n) for j in range(k)]
    ends = [taken[t + n * n - 1] for t in range(0, len(taken), n * n)]
    return [end + latency + n * i + j for end in ends for i in range(k) for j in range(k)]


@pytest.mark.parametrize(("kind", "tiles", "axes", "tile", "axis"), MODES)
def test_tiles_without_gaps_take_exactly_the_cycles_of_the_contract(kind, tiles, axes, tile, axis):
    unit, block = unit_and_block(kind, tiles, axes)
    vectors, results = data(unit, kind, np.random.default_rng(3), tile, axis, count=7)
    seen = run(unit, pyrtl.FastSimulation(block=block, tracer=None), vectors, results, tile, axis)
    assert seen.taken == list(range(len(vectors)))  # one vector a cycle
    assert seen.given == contract(unit, seen.taken, tile, axis)
    assert seen.given[-1] + 1 == unit.transform.cycles(7, tile, planar=axis == 2)


@settings(deadline=None, max_examples=60)
@given(
    mode=st.sampled_from(MODES),
    count=st.integers(1, 9),
    percent=st.integers(0, 95),
    seed=st.integers(0, 2**32 - 1),
)
def test_gaps_of_the_source_change_nothing_but_when_a_tile_ends(mode, count, percent, seed):
    kind, tiles, axes, tile, axis = mode
    unit, block = unit_and_block(kind, tiles, axes)
    vectors, results = data(unit, kind, np.random.default_rng(seed), tile, axis, count)
    offers = gaps(seed, percent)
    seen = run(unit, pyrtl.FastSimulation(block=block, tracer=None), vectors, results, tile, axis, offers=offers)
    cycle, expected = 0, []
    for _ in vectors:  # a vector is taken when it is offered
        while not offers(cycle):
            cycle += 1
        expected.append(cycle)
        cycle += 1
    assert seen.taken == expected
    assert seen.given == contract(unit, seen.taken, tile, axis)


@settings(deadline=None, max_examples=60)
@given(
    mode=st.sampled_from(MODES),
    count=st.integers(1, 9),
    source=st.integers(0, 90),
    sink=st.integers(1, 90),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_sink_that_waits_loses_nothing(mode, count, source, sink, seed):
    kind, tiles, axes, tile, axis = mode
    unit, block = unit_and_block(kind, tiles, axes)
    vectors, results = data(unit, kind, np.random.default_rng(seed), tile, axis, count)
    seen = run(
        unit,
        pyrtl.FastSimulation(block=block, tracer=None),
        vectors,
        results,
        tile,
        axis,
        offers=gaps(seed, source),
        accepts=gaps(seed + 1, sink),
    )
    assert all(late >= early for late, early in zip(seen.given, contract(unit, seen.taken, tile, axis), strict=True))


@pytest.mark.parametrize(("kind", "tiles", "axes", "tile", "axis"), MODES)
def test_a_sink_that_stops_makes_the_unit_stop_and_nothing_is_lost(kind, tiles, axes, tile, axis):
    unit, block = unit_and_block(kind, tiles, axes)
    transform = unit.transform
    n, k = transform.inputs(tile), transform.outputs(tile)
    size, made = (n * n, k * k) if axis == 2 else (n, k)
    # More than the queue, the row that is held back, two tiles in the memory and one at the door.
    count = transform.queue_entries // made + 5
    vectors, results = data(unit, kind, np.random.default_rng(5), tile, axis, count)
    stop, resume = size * 2, size * 2 + 400
    seen = run(
        unit,
        pyrtl.FastSimulation(block=block, tracer=None),
        vectors,
        results,
        tile,
        axis,
        accepts=lambda cycle: not stop <= cycle < resume,
    )
    before = sum(cycle < resume for cycle in seen.given)
    in_flight = sum(cycle < resume for cycle in seen.taken) - before * size / made
    assert in_flight <= transform.queue_entries * size / made + 2 * size
    assert not [cycle for cycle in seen.taken if stop + size * (transform.queue_entries // made + 3) < cycle < resume]


@pytest.mark.parametrize("kind", UNITS)
def test_pyrtls_plain_simulation_sees_every_mode_one_after_another(kind):
    unit, block = unit_and_block(kind, (2, 4), (1, 2), lanes=1)
    simulation = pyrtl.Simulation(block=block, tracer=None)
    rng = np.random.default_rng(11)
    for tile, axis in [(4, 2), (2, 1), (2, 2), (4, 1), (4, 2)]:
        vectors, results = data(unit, kind, rng, tile, axis, count=2)
        seen = run(unit, simulation, vectors, results, tile, axis)
        assert seen.given == contract(unit, seen.taken, tile, axis)
        assert simulation.inspect("idle") == 0
        simulation.step({"in_valid": 0, "in_data": 0, "out_ready": 0, "four": int(tile == 4), "planar": int(axis == 2)})
        assert simulation.inspect("idle") == 1


@pytest.mark.parametrize("axis", [1, 2])
def test_a_unit_with_anything_inside_is_not_idle(axis):
    unit, block = unit_and_block("input", (2, 4), (1, 2))
    simulation = pyrtl.FastSimulation(block=block, tracer=None)
    vectors, results = data(unit, "input", np.random.default_rng(1), 2, axis, count=3)
    idle, moved, left = [], 0, 0
    for _ in range(unit.transform.cycles(3, 2, planar=axis == 2) + 3):
        offered = moved < len(vectors)
        words = {"in_valid": int(offered), "in_data": pack(vectors[moved], 9) if offered else 0}
        simulation.step({**words, "out_ready": 1, "four": 0, "planar": axis - 1})
        idle.append(simulation.inspect("idle"))
        assert idle[-1] == (not moved > 0 or left == len(results))
        moved += offered
        left += simulation.inspect("out_valid")
    assert idle[0] == idle[-1] == 1


@pytest.mark.parametrize(
    ("tiles", "axes", "out"),
    [((2,), (1,), 10), ((2,), (2,), 11), ((2,), (1, 2), 11), ((4,), (1,), 13), ((4,), (1, 2), 16), ((2, 4), (1,), 13)],
)
def test_the_input_transform_is_as_wide_as_its_transforms_need(tiles, axes, out):
    assert WinogradInput(lanes=1, tiles=tiles, axes=axes).out_width == out


@pytest.mark.parametrize("tile", [2, 4])
def test_extreme_pixels_come_through_the_input_transform(tile):
    unit, block = unit_and_block("input", (2, 4), (1, 2))
    rows = np.array(WINOGRAD[tile].input_rows)
    corner = [
        np.where(np.outer(rows[p], rows[q]) * sign > 0, 255, -256)
        for p in range(tile + 2)
        for q in range(tile + 2)
        for sign in (1, -1)
    ]
    tiles = np.repeat(np.array(corner)[..., None], 2, axis=-1)
    results = unit.compute(tiles, tile, planar=True)
    low, high = WINOGRAD[tile].input_range((-256, 255), planar=True)
    assert (results.min(), results.max()) == (low, high)
    simulation = pyrtl.FastSimulation(block=block, tracer=None)
    run(unit, simulation, tiles.reshape(-1, 2), results.reshape(-1, 2), tile, 2)


@pytest.mark.parametrize(("tile", "axis"), [(2, 1), (2, 2), (4, 1), (4, 2)])
def test_bits_of_the_sums_above_those_that_matter_do_not_matter(tile, axis):
    unit, block = unit_and_block("output", (tile,), (axis,))
    rng = np.random.default_rng(2)
    vectors, results = data(unit, "output", rng, tile, axis, count=3)
    assert unit.sum_width == 32 + {(2, 1): 1, (2, 2): 2, (4, 1): 3, (4, 2): 6}[tile, axis]
    vectors = vectors + (rng.integers(0, 2**48, vectors.shape) << unit.sum_width)
    run(unit, pyrtl.FastSimulation(block=block, tracer=None), vectors, results, tile, axis)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.lists(st.integers(-9, 9), min_size=3, max_size=3).filter(lambda row: sum(map(int.bit_count, row)) <= 4),
        min_size=1,
        max_size=5,
    )
)
def test_slots_and_codes_of_any_matrix_compute_its_rows(matrix):
    tree = plan(matrix)
    for row, code in zip(matrix, tree.codes, strict=True):
        total = [0, 0, 0]
        for place, slot in enumerate(tree.slots):
            index = code & ((1 << slot.index_bits) - 1)
            negative = slot.signs[0] if len(slot.signs) == 1 else bool(code >> slot.index_bits & 1)
            assert place % 2 == 1 or not negative  # only the second of a pair subtracts
            code >>= slot.code_bits  # noqa: PLW2901
            if slot.options[index] is not None:
                tap, shift = slot.options[index]
                total[tap] += (-1 if negative else 1) << shift
        assert total == row


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lanes": 0}, "lanes must be a whole number from 1, not 0"),
        ({"tiles": ()}, "tiles must be (2,), (4,) or (2, 4), not ()"),
        ({"tiles": (4, 2)}, "tiles must be (2,), (4,) or (2, 4), not (4, 2)"),
        ({"tiles": (3,)}, "tiles must be (2,), (4,) or (2, 4), not (3,)"),
        ({"axes": (3,)}, "axes must be (1,), (2,) or (1, 2), not (3,)"),
    ],
)
@pytest.mark.parametrize("kind", UNITS)
def test_a_unit_that_cannot_be_is_refused(kind, wrong, message):
    with pytest.raises(OverlayError) as caught:
        UNITS[kind](**{"lanes": 1, **wrong})
    assert str(caught.value) == f"Winograd's {kind} transform: {message}"


def test_accumulators_one_bit_too_narrow_are_refused():
    assert WinogradOutput(lanes=1, in_width=38).sum_width == 38
    with pytest.raises(OverlayError) as caught:
        WinogradOutput(lanes=1, in_width=37)
    assert str(caught.value) == (
        "Winograd's output transform: sums need 38 bits for 32-bit outputs, in_width is 37; widen the accumulators"
    )
