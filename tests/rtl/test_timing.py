"""Cycle formulas: small layers computed by hand, arrays of shapes against single shapes, overlay parameters."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.program import ConvShape
from dynamap_rtl import (
    Dataflow,
    Gemm,
    Overlay,
    OverlayError,
    TimingConvention,
    array_cycles,
    ceil_div,
    groups_per_tile,
)
from dynamap_rtl.sizes import sizes_of

NS, WS, IS = Dataflow.NS, Dataflow.WS, Dataflow.IS

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

HAND_COMPUTED = [
    # ⌈35/4⌉·⌈4/3⌉ = 18 tiles of 14 = 252
    ("im2col", WIDE, NS, 252 + 13),
    # ⌈14/4⌉·⌈4/3⌉ = 8 tiles of 35
    ("im2col", WIDE, WS, 280 + 13),
    # ⌈14/4⌉·⌈35/3⌉ = 48 tiles of 4 = 192
    ("im2col", WIDE, IS, 192 + 13),
    # 2·⌈9/4⌉ + ⌈12/4⌉ = 9 tiles of 3, each behind a drain of 4 but the first: 3 + 8·4 = 35
    ("kn2row", TAPS, NS, 35 + 13),
    # one tile each: 9 twice, then 12
    ("kn2row", TAPS, WS, 30 + 13),
    # 2·3 + 4 = 10 tiles of 2, each in front of a preload of 4 but the last: 9·4 + 2 = 38
    ("kn2row", TAPS, IS, 38 + 13),
    # 3·2·16 = 96 tiles of 2: 2 + 95·4 = 382
    ("winograd-f2-2d", SQUARE, NS, 382 + 13),
    # 1·2·16 = 32 tiles of 9
    ("winograd-f2-2d", SQUARE, WS, 288 + 13),
    # 1·3·16 = 48 tiles of 5 = 240
    ("winograd-f2-2d", SQUARE, IS, 240 + 13),
    # 3·1·6 = 18 tiles of 6 = 108
    ("winograd-f4-1d", LONG, NS, 108 + 13),
    # 2·1·6 = 12 tiles of 9
    ("winograd-f4-1d", LONG, WS, 108 + 13),
    # 2·3·6 = 36 tiles of 3: 35·4 + 3 = 143
    ("winograd-f4-1d", LONG, IS, 143 + 13),
]


@pytest.mark.parametrize(("algorithm", "conv", "dataflow", "cycles"), HAND_COMPUTED)
def test_small_layers_take_the_cycles_computed_by_hand(algorithm, conv, dataflow, cycles):
    assert array_cycles(dataflow, ALGORITHMS[algorithm].gemms(conv), 4, 3, pipeline_cycles=4) == cycles


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
    assert array_cycles(dataflow, gemms, 4, 3, convention=TimingConvention.PUBLISHED) == published
    assert array_cycles(dataflow, gemms, 4, 3, convention=TimingConvention.SCALE_SIM) == scale_sim


def test_the_array_never_beats_one_multiplication_per_element_and_cycle():
    rng = np.random.default_rng(1)
    for _ in range(500):
        a, b, c, count, p1, p2 = (int(n) for n in rng.integers(1, 60, 6))
        for dataflow in Dataflow:
            gemm = Gemm(a, b, c, count)
            assert array_cycles(dataflow, [gemm], p1, p2) * p1 * p2 >= gemm.macs == a * b * c * count


@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize("convention", TimingConvention)
@pytest.mark.parametrize(
    "gemms",
    [[Gemm(35, 14, 4)], [Gemm(9, 3, 2, 2), Gemm(12, 3, 2)], [Gemm(1, 1, 1)], [Gemm(300, 5, 7, 16), Gemm(2, 50, 1)]],
    ids=str,
)
def test_an_array_of_shapes_gives_what_each_shape_gives(dataflow, convention, gemms):
    p1, p2 = np.meshgrid(np.arange(1, 41), np.arange(1, 33), indexing="ij")
    together = array_cycles(dataflow, gemms, p1, p2, convention=convention)
    assert together.dtype == np.int64
    assert together.shape == (40, 32)
    for i, j in np.ndindex(together.shape):
        apart = array_cycles(dataflow, gemms, i + 1, j + 1, convention=convention)
        assert isinstance(apart, int)
        assert together[i, j] == apart


@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize("group", [Gemm(49, 9, 1, 32), Gemm(16, 2, 1, 6), Gemm(20, 18, 4, 8), Gemm(1, 1, 1)], ids=str)
def test_groups_of_an_array_of_shapes_are_those_of_each_shape(dataflow, group):
    p1, p2 = (axis.ravel() for axis in np.meshgrid(np.arange(1, 41), np.arange(1, 33)))
    packed = groups_per_tile(dataflow, group, p1, p2)
    for k, (rows, columns) in enumerate(zip(p1.tolist(), p2.tolist(), strict=True)):
        assert packed[k] == groups_per_tile(dataflow, group, rows, columns)


def test_numbers_beyond_32_bits_stay_exact():
    # 2^20 x 2^12 by 2^12 x 2^10, 64 times, on 2 x 2: 2^19 · 2^9 · 64 tiles of 2^12 cycles = 2^46.
    gemm, shape = Gemm(2**20, 2**12, 2**10, 64), np.array([2])
    assert array_cycles(NS, [gemm], 2, 2) == 2**46 + 2 + 2
    assert array_cycles(NS, [gemm], shape, shape)[0] == 2**46 + 2 + 2


@pytest.mark.parametrize(("numerator", "divisor", "quotient"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2)])
def test_ceil_div_rounds_up(numerator, divisor, quotient):
    assert ceil_div(numerator, divisor) == quotient


GOOD = {"dram_bytes_per_cycle": 1024, "dram_latency_cycles": 4096, "on_chip_bits": 2**40}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [-1, 0, 2**41, 1.0, "8", None, True, np.int64(8)])
def test_an_overlay_parameter_out_of_its_range_is_named_with_its_range(name, value):
    with pytest.raises(OverlayError) as caught:
        Overlay(**{**GOOD, name: value})
    assert str(caught.value) == f"{name} must be a whole number from 1 to {GOOD[name]}, not {value!r}"


def test_products_of_a_slice_and_tiles_are_checked():
    with pytest.raises(OverlayError, match="macs_per_dsp must be 1 or 2, not 3"):
        Overlay(**GOOD, macs_per_dsp=3)
    for tiles in ((3,), (4, 2), (2, 2)):
        with pytest.raises(OverlayError, match="winograd must name tiles of"):
            Overlay(**GOOD, winograd=tiles)


def test_sizes_of_shapes_are_those_of_their_circuits():
    for tiles in ((), (2,), (2, 4)):
        overlay = Overlay(dram_bytes_per_cycle=32, dram_latency_cycles=20, on_chip_bits=4_000_000, winograd=tiles)
        p1, p2 = (axis.ravel() for axis in np.meshgrid(np.arange(1, 130, 7), np.arange(1, 150, 11)))
        buildable = overlay.buildable(p1, p2)
        assert 0 < buildable.sum() < buildable.size
        together = overlay.sizes(p1[buildable], p2[buildable])
        for k, (rows, columns) in enumerate(zip(p1[buildable].tolist(), p2[buildable].tolist(), strict=True)):
            one = sizes_of(overlay.circuit(rows, columns))
            for field in fields(one):
                value = getattr(together, field.name)
                assert (value[k] if isinstance(value, np.ndarray) else value) == getattr(one, field.name)
        rows, columns = int(p1[~buildable][0]), int(p2[~buildable][0])
        with pytest.raises(OverlayError, match=f"an array of {rows}x{columns} cannot be built"):
            overlay.circuit(rows, columns)
