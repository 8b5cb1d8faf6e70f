"""Cycle formulas: small layers computed by hand, arrays of shapes against single shapes, and the DRAM port."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.program import ConvShape
from dynamap_rtl import (
    Dataflow,
    Gemm,
    Overlay,
    OverlayError,
    TimingConvention,
    array_cycles,
    blocked_load_words,
    ceil_div,
    grouped_cycles,
    groups_per_tile,
    stage_cycles,
    stream_words,
    vector_cycles,
)

NS, WS, IS = Dataflow.NS, Dataflow.WS, Dataflow.IS

# 144 bytes of accumulators are 24 of 6 bytes: 8 deep in each of 3 columns.
HAND = Overlay(
    dram_bytes_per_cycle=8,
    dram_latency_cycles=10,
    activation_buffer_bytes=1024,
    weight_buffer_bytes=1024,
    accumulator_bytes=144,
    pipeline_cycles=4,
)
# On 4 x 3 elements every layer pays once: skew 4 + 3 - 2 = 5, one drain or preload of 4, pipeline 4: 13 cycles.

# im2col, 1x7 kernel on a 5x7 map of 2 channels, out 5x7x4: a = 35, b = 7·2 = 14, c = 4.
WIDE = ConvShape(5, 7, 2, 5, 7, 4, kernel=(1, 7), pads=(0, 3, 0, 3))
# kn2row, 1x3 on a 3x4 map of 3 channels, out 3x4x2: the outer elements meet 3·3 = 9 pixels, the middle one 12;
# two products (9, 3, 2) and one (12, 3, 2).
TAPS = ConvShape(3, 4, 3, 3, 4, 2, kernel=(1, 3), pads=(0, 1, 0, 1))
# F(2x2, 3x3) on a 5x6 map of 2 channels, out 5x6x5: 3·3 = 9 tiles, 16 products (9, 2, 5).
SQUARE = ConvShape(5, 6, 2, 5, 6, 5, kernel=(3, 3), pads=(1, 1, 1, 1))
# F(4, 3) on the rows of a 3x9 map of 2 channels, 1x7 kernel in 3 parts, out 3x9x3: 3·⌈9/4⌉ = 9 tiles, 6 products
# (9, 2·3 = 6, 3).
LONG = ConvShape(3, 9, 2, 3, 9, 3, kernel=(1, 7), pads=(0, 3, 0, 3))
# 6 groups of one channel, 1x2 kernel on a 4x5 map, out 4x4: 6 products (16, 2, 1).
GROUPS = ConvShape(4, 5, 6, 4, 4, 6, kernel=(1, 2), groups=6)

HAND_COMPUTED = [
    # ⌈35/4⌉·⌈4/3⌉ = 18 tiles of 14 = 252
    ("im2col", WIDE, NS, 252 + 13),
    # ⌈14/4⌉·⌈4/3⌉ = 8 tiles; 35 vectors are 4 blocks of 8 and one of 3, which lasts 4: 8·36 = 288, the last one 1 less
    ("im2col", WIDE, WS, 288 - 1 + 13),
    # ⌈14/4⌉·⌈35/3⌉ = 48 tiles of 4 = 192
    ("im2col", WIDE, IS, 192 + 13),
    # 2·⌈9/4⌉ + ⌈12/4⌉ = 9 tiles of 3, each behind a drain of 4 but the first: 3 + 8·4 = 35
    ("kn2row", TAPS, NS, 35 + 13),
    # one tile each: 8 + (1 -> 4) = 12 twice, then 8 + 4 = 12
    ("kn2row", TAPS, WS, 36 + 13),
    # 2·3 + 4 = 10 tiles of 2, each in front of a preload of 4 but the last: 9·4 + 2 = 38
    ("kn2row", TAPS, IS, 38 + 13),
    # 3·2·16 = 96 tiles of 2: 2 + 95·4 = 382
    ("winograd-f2-2d", SQUARE, NS, 382 + 13),
    # 1·2·16 = 32 tiles of 8 + (1 -> 4) = 12: 384, the last one 3 less
    ("winograd-f2-2d", SQUARE, WS, 381 + 13),
    # 1·3·16 = 48 tiles of 5 = 240
    ("winograd-f2-2d", SQUARE, IS, 240 + 13),
    # 3·1·6 = 18 tiles of 6 = 108
    ("winograd-f4-1d", LONG, NS, 108 + 13),
    # 2·1·6 = 12 tiles of 8 + (1 -> 4) = 12: 144, the last one 3 less
    ("winograd-f4-1d", LONG, WS, 141 + 13),
    # 2·3·6 = 36 tiles of 3: 35·4 + 3 = 143
    ("winograd-f4-1d", LONG, IS, 143 + 13),
    # 2 groups make a stream of 4, as long as the drain: 3 products (16, 4, 2) of 4 tiles of 4
    ("depthwise", GROUPS, NS, 48 + 13),
    # 2 groups fill the 4 rows: 3 products of one tile, 16 vectors in two blocks of 8
    ("depthwise", GROUPS, WS, 48 + 13),
    # 2 groups fill the 4 rows: 3 products of ⌈16/3⌉ = 6 tiles of 2: 17·4 + 2 = 70
    ("depthwise", GROUPS, IS, 70 + 13),
]


@pytest.mark.parametrize(("algorithm", "conv", "dataflow", "cycles"), HAND_COMPUTED)
def test_small_layers_take_the_cycles_computed_by_hand(algorithm, conv, dataflow, cycles):
    assert ALGORITHMS[algorithm].compute_cycles(conv, dataflow, 4, 3, HAND) == cycles


def test_the_hand_computed_layers_cover_every_family_with_every_dataflow():
    covered = {(ALGORITHMS[name].family, dataflow) for name, _, dataflow, _ in HAND_COMPUTED}
    assert covered == set(itertools.product({a.family for a in ALGORITHMS.values()}, Dataflow))


@pytest.mark.parametrize(
    ("dataflow", "published", "scale_sim"),
    [
        # (10, 7, 5) twice on 4 x 3. Published: 3·2·7, 2·2·10, 2·4·5 cycles each, and max(4, 3) once.
        # SCALE-Sim: tiles·(s + fill and drain) - 1 each: 6·(7 + 5) - 1, 4·(10 + 9) - 1, 8·(5 + 9) - 1.
        (NS, 2 * 42 + 4, 2 * 71),
        (WS, 2 * 40 + 4, 2 * 75),
        (IS, 2 * 40 + 4, 2 * 111),
    ],
)
def test_the_other_conventions_take_the_cycles_computed_by_hand(dataflow, published, scale_sim):
    gemms = [Gemm(10, 7, 5, 2)]
    assert array_cycles(dataflow, gemms, 4, 3, HAND, convention=TimingConvention.PUBLISHED) == published
    assert array_cycles(dataflow, gemms, 4, 3, HAND, convention=TimingConvention.SCALE_SIM) == scale_sim


def test_the_array_never_beats_one_multiplication_per_element_and_cycle():
    rng = np.random.default_rng(1)
    for _ in range(500):
        a, b, c, count, p1, p2 = (int(n) for n in rng.integers(1, 60, 6))
        for dataflow in Dataflow:
            gemm = Gemm(a, b, c, count)
            assert array_cycles(dataflow, [gemm], p1, p2, HAND) * p1 * p2 >= gemm.macs == a * b * c * count
            assert grouped_cycles(dataflow, gemm, p1, p2, HAND) * p1 * p2 >= gemm.macs


@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize("convention", TimingConvention)
@pytest.mark.parametrize(
    "gemms",
    [[Gemm(35, 14, 4)], [Gemm(9, 3, 2, 2), Gemm(12, 3, 2)], [Gemm(1, 1, 1)], [Gemm(300, 5, 7, 16), Gemm(2, 50, 1)]],
    ids=str,
)
def test_an_array_of_shapes_gives_what_each_shape_gives(dataflow, convention, gemms):
    p1, p2 = np.meshgrid(np.arange(1, 41), np.arange(1, 33), indexing="ij")
    together = array_cycles(dataflow, gemms, p1, p2, HAND, convention=convention)
    assert together.dtype == np.int64
    assert together.shape == (40, 32)
    for i, j in np.ndindex(together.shape):
        apart = array_cycles(dataflow, gemms, i + 1, j + 1, HAND, convention=convention)
        assert isinstance(apart, int)
        assert together[i, j] == apart


@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize("group", [Gemm(49, 9, 1, 32), Gemm(16, 2, 1, 6), Gemm(20, 18, 4, 8), Gemm(1, 1, 1)], ids=str)
def test_an_array_of_shapes_gives_what_each_shape_gives_for_groups_and_vectors(dataflow, group):
    p1, p2 = (axis.ravel() for axis in np.meshgrid(np.arange(1, 41), np.arange(1, 33)))
    cycles, packed = grouped_cycles(dataflow, group, p1, p2, HAND), groups_per_tile(dataflow, group, p1, p2)
    vector = vector_cycles(35, group.a, p2, HAND)
    for k, (rows, columns) in enumerate(zip(p1.tolist(), p2.tolist(), strict=True)):
        assert cycles[k] == grouped_cycles(dataflow, group, rows, columns, HAND)
        assert packed[k] == groups_per_tile(dataflow, group, rows, columns)
        assert vector[k] == vector_cycles(35, group.a, columns, HAND)


def test_numbers_beyond_32_bits_stay_exact():
    # 2^20 x 2^12 by 2^12 x 2^10, 64 times, on 2 x 2: 2^19 · 2^9 · 64 tiles of 2^12 cycles = 2^46.
    gemm, shape = Gemm(2**20, 2**12, 2**10, 64), np.array([2])
    assert array_cycles(NS, [gemm], 2, 2, HAND) == 2**46 + 2 + 2 + 4
    assert array_cycles(NS, [gemm], shape, shape, HAND)[0] == 2**46 + 2 + 2 + 4


@pytest.mark.parametrize(("numerator", "divisor", "quotient"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2)])
def test_ceil_div_rounds_up(numerator, divisor, quotient):
    assert ceil_div(numerator, divisor) == quotient


@pytest.mark.parametrize(
    ("pixels", "channels", "lanes", "cycles"),
    [(12, 7, 3, 12 * 3 + 4), (12, 6, 3, 12 * 2 + 4), (1, 1, 64, 1 + 4), (35, 3, 1, 105 + 4)],
)
def test_the_vector_unit_takes_one_vector_of_channels_a_cycle(pixels, channels, lanes, cycles):
    assert vector_cycles(pixels, channels, lanes, HAND) == cycles


def test_every_burst_occupies_whole_port_cycles():
    for runs, run_bytes in itertools.product(range(5), range(40)):
        beats = 0
        for _ in range(runs):
            sent = 0
            while sent < run_bytes:
                sent += HAND.dram_bytes_per_cycle
                beats += 1
        assert stream_words(runs, run_bytes, HAND) == beats


def _bytes_fetched(outer: int, outer_buffer: int, inner: int, inner_buffer: int) -> int:
    """Visit every pair of blocks in order, with one block of either operand on chip; count what is brought in."""
    fetched, outer_held, inner_held = 0, None, None
    for o in range(0, outer, outer_buffer):
        for i in range(0, inner, inner_buffer):
            if outer_held != o:
                fetched, outer_held = fetched + min(outer_buffer, outer - o), o
            if inner_held != i:
                fetched, inner_held = fetched + min(inner_buffer, inner - i), i
    return fetched


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_blocked_loads_fetch_what_a_simulated_pair_of_buffers_fetches(activations, weights, half_a, half_w):
    overlay = Overlay(
        dram_bytes_per_cycle=1,
        dram_latency_cycles=0,
        activation_buffer_bytes=half_a,
        weight_buffer_bytes=half_w,
        accumulator_bytes=1,
    )
    words = blocked_load_words(
        activation_words=activations,
        activation_bytes=activations,
        weight_words=weights,
        weight_bytes=weights,
        overlay=overlay,
    )
    assert words == min(
        _bytes_fetched(activations, half_a, weights, half_w), _bytes_fetched(weights, half_w, activations, half_a)
    )


@pytest.mark.parametrize(
    ("activation_bytes", "weight_bytes", "words"),
    [
        (1024, 1024, 100 + 7),  # both fit
        (1025, 1024, 100 + 7),  # the weights stay, the activations pass
        (1024, 1025, 100 + 7),  # the other way round
        (1025, 1025, min(100 + 2 * 7, 2 * 100 + 7)),
        (5000, 2049, min(100 + 5 * 7, 3 * 100 + 7)),
        (1025, 90000, min(100 + 2 * 7, 88 * 100 + 7)),
    ],
)
def test_blocks_are_counted_by_bytes_on_chip_and_paid_in_words(activation_bytes, weight_bytes, words):
    assert words == blocked_load_words(
        activation_words=100,
        activation_bytes=activation_bytes,
        weight_words=7,
        weight_bytes=weight_bytes,
        overlay=HAND,
    )


@pytest.mark.parametrize(("load", "compute", "store"), list(itertools.permutations((3, 50, 7))))
def test_a_stage_takes_the_longest_part_and_the_latency_twice(load, compute, store):
    assert stage_cycles(load, compute, store, HAND) == 50 + 2 * 10
    column = np.array([compute, 60])
    assert stage_cycles(load, column, store, HAND).tolist() == [70, 80]


GOOD = {
    "dram_bytes_per_cycle": 8,
    "dram_latency_cycles": 0,
    "activation_buffer_bytes": 1,
    "weight_buffer_bytes": 1,
    "accumulator_bytes": 1,
    "pipeline_cycles": 0,
    "macs_per_dsp": 2,
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [-1, 2**40, 1.0, "8", None, True, np.int64(8)])
def test_an_overlay_parameter_out_of_its_range_is_named_with_its_range(name, value):
    least = 0 if GOOD[name] == 0 else 1
    with pytest.raises(OverlayError) as caught:
        Overlay(**{**GOOD, name: value})
    assert str(caught.value) == f"{name} must be a whole number from {least} to 2**40 - 1, not {value!r}"


@pytest.mark.parametrize("name", GOOD)
def test_zero_is_refused_exactly_where_nothing_would_remain(name):
    if GOOD[name] == 0:
        assert getattr(Overlay(**{**GOOD, name: 0}), name) == 0
    else:
        with pytest.raises(OverlayError, match=f"^{name} must be a whole number from 1 "):
            Overlay(**{**GOOD, name: 0})


def test_limits_of_overlay_parameters_are_accepted_exactly():
    assert Overlay(**{**GOOD, "accumulator_bytes": 2**40 - 1}).accumulator_bytes == 2**40 - 1
    with pytest.raises(OverlayError, match="macs_per_dsp must be 1 or 2, not 3"):
        Overlay(**{**GOOD, "macs_per_dsp": 3})
