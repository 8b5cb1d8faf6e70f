"""Winograd in integers: matrices against the published ones, widths against extremes, results against ONNX Runtime."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dynamap_rtl import OverlayError
from dynamap_rtl.units.winograd import (
    TILES,
    WINOGRAD,
    convolve,
    divide_exactly,
    signed_bits,
    transform_inputs,
    transform_outputs,
    transform_weights,
)

# Lavin, Gray 2016, section 4.1 and 4.2: transposed B, G and transposed A.
F2 = (
    [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    [[1, 0, 0], ["1/2", "1/2", "1/2"], ["1/2", "-1/2", "1/2"], [0, 0, 1]],
    [[1, 1, 1, 0], [0, 1, -1, -1]],
)
F4 = (
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    [
        ["1/4", 0, 0],
        ["-1/6", "-1/6", "-1/6"],
        ["-1/6", "1/6", "-1/6"],
        ["1/24", "1/12", "1/6"],
        ["1/24", "-1/12", "1/6"],
        [0, 0, 1],
    ],
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
)


@pytest.mark.parametrize(("tile", "published"), [(2, F2), (4, F4)])
def test_the_derived_matrices_are_lavin_and_grays_up_to_signs_that_cancel(tile, published):
    ours = WINOGRAD[tile]
    inputs, weights, outputs = ([[Fraction(v) for v in row] for row in rows] for rows in published)
    for position in range(tile + 2):
        signs = []
        for mine, theirs in (
            (ours.input_rows[position], inputs[position]),
            ([Fraction(v, ours.scale) for v in ours.weight_rows[position]], weights[position]),
            ([row[position] for row in ours.output_rows], [row[position] for row in outputs]),
        ):
            (sign,) = [s for s in (1, -1) if [s * v for v in mine] == list(theirs)]
            signs.append(sign)
        assert np.prod(signs) == 1


@pytest.mark.parametrize("tile", TILES)
def test_the_three_matrices_together_are_the_filter_times_its_scale(tile):
    m = WINOGRAD[tile]
    together = np.einsum("pi,ik,ij->pkj", m.output_rows, m.weight_rows, m.input_rows)
    for p, k, j in itertools.product(range(tile), range(3), range(tile + 2)):
        assert together[p, k, j] == (m.scale if j == p + k else 0)


@pytest.mark.parametrize(
    ("tile", "planar", "input_bits", "weight_bits", "scale"),
    [(2, False, 10, 10, 2), (2, True, 11, 12, 4), (4, False, 13, 13, 24), (4, True, 16, 18, 576)],
)
def test_widths_follow_from_the_matrices_and_are_attained(tile, planar, input_bits, weight_bits, scale):
    m = WINOGRAD[tile]
    assert m.total_scale(planar=planar) == scale
    for rows, span, interval, bits in (
        (m.input_rows, m.input_range((-256, 255), planar=planar), (-256, 255), input_bits),
        (m.weight_rows, m.weight_range((-128, 127), planar=planar), (-128, 127), weight_bits),
    ):
        assert signed_bits(span) == bits
        matrix = np.array(rows)
        full = np.kron(matrix, matrix) if planar else matrix
        low, high = interval
        lowest = np.where(full > 0, low, high)
        assert (full * lowest).sum(axis=1).min() == span[0]
        assert (full * np.where(full > 0, high, low)).sum(axis=1).max() == span[1]


def direct(inputs, weights, pads):
    padded = np.pad(inputs, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[2:], axis=(1, 2))
    return np.einsum("cijuv,ocuv->oij", windows, weights)


@settings(deadline=None, max_examples=120)
@given(
    tile=st.sampled_from(TILES),
    kernel=st.one_of(
        st.tuples(st.integers(3, 8), st.integers(3, 8)),
        st.tuples(st.just(1), st.integers(3, 11)),
        st.tuples(st.integers(3, 11), st.just(1)),
    ),
    extra=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_kernel_size_gives_the_direct_convolution(tile, kernel, extra, pads, channels, seed):
    rng = np.random.default_rng(seed)
    height, width = (max(1, kernel[axis] + extra[axis] - pads[axis] - pads[axis + 2]) for axis in (0, 1))
    inputs = rng.integers(-255, 256, (channels[0], height, width))
    weights = rng.integers(-128, 128, (channels[1], channels[0], *kernel))
    np.testing.assert_array_equal(convolve(inputs, weights, tile, pads=pads), direct(inputs, weights, pads))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 7), (5, 1), (5, 7)])
def test_a_convolution_is_that_of_onnx_runtime(tile, kernel):
    rng = np.random.default_rng(5)
    pads = [kernel[0] // 2, kernel[1] // 2, kernel[0] // 2, kernel[1] // 2]
    image = rng.integers(0, 256, (1, 5, 9, 11)).astype(np.uint8)
    weights = rng.integers(-128, 128, (4, 5, *kernel)).astype(np.int8)
    graph = helper.make_graph(
        [helper.make_node("ConvInteger", ["x", "w", "z"], ["y"], pads=pads)],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.UINT8, image.shape),
            helper.make_tensor_value_info("w", TensorProto.INT8, weights.shape),
            helper.make_tensor_value_info("z", TensorProto.UINT8, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    (expected,) = ort.InferenceSession(model.SerializeToString()).run(
        None, {"x": image, "w": weights, "z": np.array(131, np.uint8)}
    )
    ours = convolve(image[0].astype(np.int64) - 131, weights.astype(np.int64), tile, pads=tuple(pads))
    np.testing.assert_array_equal(ours, expected[0])


@pytest.mark.parametrize("tile", TILES)
def test_sums_that_leave_the_48_bits_come_back_as_long_as_the_result_fits(tile):
    # One product 2**28 times, then subtracted 2**28 - 7 times: on the way the sums need more than 48 bits.
    inputs = transform_inputs(np.full((1, tile + 2, tile + 2), 255), (3, 3), tile)
    weights = transform_weights(np.full((1, 1, 3, 3), 127), tile)
    big = np.matmul(inputs, weights) * 2**28
    small = np.matmul(inputs, -weights) * (2**28 - 7)
    assert abs(big).max() >= 2**47
    wrapped = ((big & (2**48 - 1)) + (small & (2**48 - 1))) & (2**48 - 1)
    image = transform_outputs(wrapped, (3, 3), tile, outputs=(tile, tile))
    np.testing.assert_array_equal(image, np.full((1, tile, tile), 7 * 9 * 255 * 127))


@pytest.mark.parametrize("scale", [2, 4, 24, 576])
def test_division_is_exact_at_the_ends_of_32_bits_and_needs_only_as_many_bits_more_as_the_scale_has_zeros(scale):
    true = np.array([-(2**31), 2**31 - 1, 0, -1, 1, 123456789, -987654321])
    zeros = {2: 1, 4: 2, 24: 3, 576: 6}[scale]
    np.testing.assert_array_equal(divide_exactly((true * scale) % 2 ** (32 + zeros), scale), true)
    np.testing.assert_array_equal(divide_exactly((true * scale) % 2**48, scale), true)
    assert (divide_exactly((true * scale) % 2 ** (31 + zeros), scale) != true).any()


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (3, 2), (1, 2), (2, 2)])
def test_a_kernel_without_a_winograd_form_is_named(kernel):
    with pytest.raises(OverlayError) as caught:
        transform_weights(np.ones((1, 1, *kernel), dtype=np.int64), 2)
    assert str(caught.value) == (
        f"a {kernel[0]}x{kernel[1]} kernel has no Winograd form: one or both extents must be 3 or more "
        "and the other 1; convolve by im2col or kn2row"
    )


def test_a_tile_that_there_is_not_is_named_with_those_there_are():
    with pytest.raises(OverlayError, match=r"^Winograd's tile must be one of \[2, 4\], not 3$"):
        transform_weights(np.ones((1, 1, 3, 3), dtype=np.int64), 3)
