"""Pooling and addition: the lane against its model, the models against ONNX Runtime and exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import onnxruntime as ort
import pyrtl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dynamap_rtl import OverlayError
from dynamap_rtl.hardware import flatten
from dynamap_rtl.units.fixed_point import FixedPoint, fixed_point
from dynamap_rtl.units.vector_lanes import LANE_LATENCY, vector_lanes
from dynamap_rtl.units.vector_path import (
    COEFFICIENT_BITS,
    LIFT,
    Windows,
    add,
    addition,
    average_pool,
    averaging,
    clamps,
    finishing,
    global_average_pool,
    max_pool,
)
from hardware_streams import pack, unpack

KINDS = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8}
LIMITS = {np.dtype(np.uint8): (0, 255), np.dtype(np.int8): (-128, 127)}
DTYPES = list(KINDS)
POWERS = [2.0**e for e in range(-6, 3)]
DECIMALS = [0.031, 0.017, 0.05, 0.2, 0.0079]


def runtime(nodes, x, initializers, *, optimise=True):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", KINDS[x.dtype], x.shape)],
        [helper.make_tensor_value_info("y", KINDS[x.dtype], None)],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    options = ort.SessionOptions()
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString(), options
    )
    return session.run(None, {"x": x})[0].astype(np.int64)


def microsoft(op, inputs, **attributes):
    return helper.make_node(op, inputs, ["y"], domain="com.microsoft", **attributes)


def parameters(dtype, x_scale, x_zero, y_scale, y_zero):
    return {
        "xs": np.array(x_scale, np.float32),
        "xz": np.array(x_zero, dtype),
        "ys": np.array(y_scale, np.float32),
        "yz": np.array(y_zero, dtype),
    }


def random_image(rng, dtype, shape):
    low, high = LIMITS[dtype]
    return rng.integers(low, high + 1, shape).astype(dtype)


def zero_points(rng, dtype):
    low, high = LIMITS[dtype]
    return int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))


@st.composite
def window_shapes(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pads = tuple(draw(st.integers(0, k - 1)) for k in kernel * 2)
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = draw(st.tuples(st.integers(4, 9), st.integers(4, 9)))
    return size, kernel, pads, strides


# ---- the lanes ----


@pytest.mark.parametrize(("width", "sum_width"), [(2, 20), (9, 32), (9, 48), (16, 48)])
def test_a_lane_multiplies_and_lifts_a_value_a_cycle_at_the_stated_latency(width, sum_width):
    lanes, steps = 3, 400
    rng = np.random.default_rng(width)
    ends = [-(2 ** (width - 1)), 2 ** (width - 1) - 1]
    x = rng.integers(ends[0], ends[1] + 1, (steps, lanes))
    x[:8] = np.repeat(ends * 4, lanes).reshape(8, lanes)
    coefficient = rng.integers(-(2**17), 2**17, steps)
    coefficient[:8] = [-(2**17), -(2**17), 2**17 - 1, 2**17 - 1] * 2
    maximum = rng.integers(0, 2, steps)
    simulation = pyrtl.FastSimulation(
        block=flatten(vector_lanes(lanes=lanes, width=width, sum_width=sum_width)), tracer=None
    )
    seen = []
    for cycle in range(steps + lanes + LANE_LATENCY):
        k = min(cycle, steps - 1)
        late = [int(x[min(max(cycle - lane, 0), steps - 1), lane]) for lane in range(lanes)]  # lane j is j cycles late
        simulation.step(
            {
                "value": pack(late, width),
                "coefficient": pack([coefficient[k]], COEFFICIENT_BITS),
                "maximum": int(maximum[k]),
            }
        )
        seen.append(unpack(simulation.inspect("vector"), sum_width, lanes))
    got = [[seen[k + lane + LANE_LATENCY][lane] for lane in range(lanes)] for k in range(steps)]
    lift = LIFT if width == 9 else 2 ** (width - 1)
    np.testing.assert_array_equal(got, x * coefficient[:, None] + lift * maximum[:, None])


# ---- max pooling ----


@settings(deadline=None, max_examples=60)
@given(window_shapes(), st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
def test_max_pooling_is_onnx_runtimes(shape, dtype, seed):
    size, kernel, pads, strides = shape
    rng = np.random.default_rng(seed)
    x = random_image(rng, dtype, (1, 2, *size))
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=kernel, pads=pads, strides=strides)
    ours = max_pool(
        x[0].astype(np.int64),
        Windows(kernel=kernel, strides=strides, pads=pads),
        zero_point=zero_points(rng, dtype)[0],  # whatever it is, it cancels
        limits=LIMITS[dtype],
    )
    np.testing.assert_array_equal(ours, runtime([node], x, {})[0])


def test_max_pooling_with_dilation_is_onnx_runtimes():
    x = random_image(np.random.default_rng(1), np.dtype(np.uint8), (1, 2, 9, 11))
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=(2, 3), pads=(1, 1, 1, 1), dilations=(3, 2))
    windows = Windows(kernel=(2, 3), pads=(1, 1, 1, 1), dilations=(3, 2))
    ours = max_pool(x[0].astype(np.int64), windows, zero_point=3, limits=(0, 255))
    np.testing.assert_array_equal(ours, runtime([node], x, {})[0])


def test_padding_as_wide_as_a_window_is_refused():
    with pytest.raises(OverlayError) as caught:
        Windows(kernel=(2, 3), pads=(0, 3, 0, 0))
    assert str(caught.value) == "pooling pads (0, 3, 0, 0) must be smaller than the window, (2, 3)"


# ---- average pooling ----


def pooled(x, shape, include, scales, zeros, dtype):
    """ONNX Runtime's QLinearAveragePool, ours, and the exact averages with the zero point inside."""
    _, kernel, pads, strides = shape
    node = microsoft(
        "QLinearAveragePool",
        ["x", "xs", "xz", "ys", "yz"],
        kernel_shape=kernel,
        pads=pads,
        strides=strides,
        count_include_pad=int(include),
    )
    theirs = runtime([node], x, parameters(dtype, scales[0], zeros[0], scales[1], zeros[1]))[0]
    windows = Windows(kernel=kernel, strides=strides, pads=pads)
    x_scale, y_scale = (float(np.float32(s)) for s in scales)
    ours = average_pool(
        x[0].astype(np.int64),
        windows,
        count_include_pad=include,
        x_scale=x_scale,
        x_zero_point=zeros[0],
        y_scale=y_scale,
        y_zero_point=zeros[1],
        limits=LIMITS[dtype],
    )
    sums = windows.of(x[0].astype(np.int64) - zeros[0], 0).sum(axis=-1)
    counts = np.full_like(sums, windows.size) if include else windows.counts(x.shape[2:])[None] + 0 * sums
    ratio = Fraction(x_scale) / Fraction(y_scale)
    exact = [ratio * int(s) / int(c) for s, c in zip(sums.ravel(), counts.ravel(), strict=True)]
    return theirs, ours, exact, counts


@settings(deadline=None, max_examples=60)
@given(
    window_shapes(),
    st.booleans(),
    st.sampled_from(DTYPES),
    st.tuples(st.sampled_from(POWERS + DECIMALS), st.sampled_from(POWERS + DECIMALS)),
    st.integers(0, 2**32 - 1),
)
def test_average_pooling_differs_from_onnx_runtimes_by_one_unit_beside_ties_only(shape, include, dtype, scales, seed):
    rng = np.random.default_rng(seed)
    x = random_image(rng, dtype, (1, 2, *shape[0]))
    theirs, ours, exact, _ = pooled(x, shape, include, scales, zero_points(rng, dtype), dtype)
    assert np.abs(ours - theirs).max() <= 1
    for k in np.flatnonzero(ours != theirs):
        assert abs(exact[k] % 1 - Fraction(1, 2)) < Fraction(1, 2**10)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4])),
    st.sampled_from(DTYPES),
    st.tuples(st.sampled_from(POWERS), st.sampled_from(POWERS)),
    st.integers(0, 2**32 - 1),
)
def test_average_pooling_with_powers_of_two_is_onnx_runtimes(kernel, dtype, scales, seed):
    rng = np.random.default_rng(seed)
    x = random_image(rng, dtype, (1, 2, 8, 8))
    shape = ((8, 8), kernel, (0, 0, 0, 0), kernel)
    theirs, ours, exact, _ = pooled(x, shape, True, scales, zero_points(rng, dtype), dtype)
    np.testing.assert_array_equal(ours, theirs)
    assert len(exact) == ours.size


def test_averages_of_windows_of_different_counts_are_exact_up_to_seven_by_seven():
    for k, pad in product(range(1, 8), range(4)):
        if pad < k:
            counts = {a * b for a in range(k - pad, k + 1) for b in range(k - pad, k + 1)}
            how = averaging(counts, x_scale=1, y_scale=1)
            assert how.is_exact
            assert max(how.coefficients.values()) < 2**17
            assert 256 * how.divisor < 2**31


def test_counts_without_a_small_common_multiple_are_averaged_as_well_as_18_bits_can():
    counts = set(range(100, 140))
    how = averaging(counts, x_scale=1, y_scale=1)
    assert not how.is_exact
    assert max(how.coefficients.values()) < 2**17
    for count, coefficient in how.coefficients.items():
        # All values at their greatest: the average is 255, and this is how far it is off.
        assert abs(Fraction(255 * count * coefficient, how.divisor) - 255) <= Fraction(128 * count, how.divisor) < 0.01


def test_an_average_of_more_values_than_sums_can_hold_is_refused():
    assert averaging([2**23 - 1], x_scale=1, y_scale=1).coefficients == {2**23 - 1: 1}
    with pytest.raises(
        OverlayError, match=r"^an average of 8388608 values does not fit 32-bit sums; at most 8388607, "
    ):
        averaging([2**23], x_scale=1, y_scale=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_float_average_pooling_quantised_differs_by_one_unit_beside_ties_only(dtype):
    rng = np.random.default_rng(4)
    x = random_image(rng, dtype, (1, 3, 14, 15))
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["real"]),
        helper.make_node("AveragePool", ["real"], ["pooled"], kernel_shape=(3, 3), pads=(1, 1, 1, 1)),
        helper.make_node("QuantizeLinear", ["pooled", "ys", "yz"], ["y"]),
    ]
    theirs = runtime(nodes, x, parameters(dtype, 0.25, 5, 0.25, 7), optimise=False)[0]
    windows = Windows(kernel=(3, 3), pads=(1, 1, 1, 1))
    ours = average_pool(
        x[0].astype(np.int64),
        windows,
        count_include_pad=False,
        x_scale=0.25,
        x_zero_point=5,
        y_scale=0.25,
        y_zero_point=7,
        limits=LIMITS[dtype],
        zero_point_inside=False,
    )
    counts = windows.counts((14, 15))[None]
    exact = windows.of(x[0].astype(np.int64) - 5, 0).sum(axis=-1) / counts
    off = ours != theirs
    assert np.abs(ours - theirs).max() <= 1
    assert set(np.abs(exact[off] % 1 - 0.5)) <= {0.0}  # ties, which 1/36 in 24 bits cannot see
    assert not off[:, 1:-1, 1:-1].any()


# ---- global average ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "equal"), [((4, 4), True), ((8, 2), True), ((7, 7), False), ((5, 9), False)])
@pytest.mark.parametrize(("x_scale", "y_scale"), [(0.5, 0.5), (0.5, 0.125), (0.031, 0.017)])
def test_global_average_pooling_is_onnx_runtimes(dtype, size, equal, x_scale, y_scale):
    rng = np.random.default_rng(6)
    largest = 0
    for _ in range(10):
        x = random_image(rng, dtype, (1, 24, *size))
        zeros = zero_points(rng, dtype)
        node = microsoft("QLinearGlobalAveragePool", ["x", "xs", "xz", "ys", "yz"])
        theirs = runtime([node], x, parameters(dtype, x_scale, zeros[0], y_scale, zeros[1]))[0]
        ours = global_average_pool(
            x[0].astype(np.int64),
            x_scale=float(np.float32(x_scale)),
            x_zero_point=zeros[0],
            y_scale=float(np.float32(y_scale)),
            y_zero_point=zeros[1],
            limits=LIMITS[dtype],
        )
        largest = max(largest, int(np.abs(ours - theirs).max()))
    assert largest <= (0 if equal and x_scale == 0.5 else 1)


# ---- addition ----


def added(rng, dtype, scales, *, shape=(1, 4, 16, 16)):
    """ONNX Runtime's QLinearAdd, ours, and the exact sums without the zero point."""
    a, b = random_image(rng, dtype, shape), random_image(rng, dtype, shape)
    (a_zero, b_zero), (y_zero, _) = zero_points(rng, dtype), zero_points(rng, dtype)
    a_scale, b_scale, y_scale = (float(np.float32(s)) for s in scales)
    node = microsoft("QLinearAdd", ["x", "xs", "xz", "b", "bs", "bz", "ys", "yz"])
    constants = {
        **parameters(dtype, a_scale, a_zero, y_scale, y_zero),
        "b": b,
        "bs": np.array(b_scale, np.float32),
        "bz": np.array(b_zero, dtype),
    }
    theirs = runtime([node], a, constants)
    ours = add(
        a.astype(np.int64),
        b.astype(np.int64),
        a_scale=a_scale,
        a_zero_point=a_zero,
        b_scale=b_scale,
        b_zero_point=b_zero,
        y_scale=y_scale,
        y_zero_point=y_zero,
        limits=LIMITS[dtype],
    )
    x, y = a.astype(np.int64) - a_zero, b.astype(np.int64) - b_zero
    return theirs, ours, (x, y), (a_scale, b_scale, y_scale)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(DTYPES),
    st.tuples(st.integers(-20, 4), st.integers(-16, 16), st.integers(-3, 9)),
    st.integers(0, 2**32 - 1),
)
def test_addition_with_powers_of_two_is_onnx_runtimes(dtype, exponents, seed):
    a, ratio, y = exponents
    scales = (2.0**a, 2.0 ** (a + ratio), 2.0 ** (max(a, a + ratio) + y))
    # Float32 holds a sum of two exactly only if both lie within its 24 bits, as ours do always.
    assume(abs(ratio) + 9 + max(0, y) <= 24)
    theirs, ours, _, _ = added(np.random.default_rng(seed), dtype, scales)
    np.testing.assert_array_equal(ours, theirs)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(DTYPES),
    st.tuples(*[st.floats(min_value=2**-10, max_value=1, width=32)] * 2),
    st.floats(min_value=0.25, max_value=8, width=32),
    st.integers(0, 2**32 - 1),
)
def test_addition_with_any_scales_differs_by_one_unit_beside_ties_only(dtype, operands, relative, seed):
    scales = (*operands, max(operands) * relative)
    theirs, ours, (x, y), (a, b, out) = added(np.random.default_rng(seed), dtype, scales)
    assert np.abs(ours - theirs).max() <= 1
    for k in map(tuple, np.argwhere(ours != theirs)):
        exact = (int(x[k]) * Fraction(a) + int(y[k]) * Fraction(b)) / Fraction(out)
        assert abs(exact % 1 - Fraction(1, 2)) < Fraction(1, 2**9) * Fraction(max(a, b)) / Fraction(out)


def test_few_sums_differ_from_onnx_runtimes():
    rng = np.random.default_rng(8)
    different, count = 0, 0
    for which in range(100):
        a, b = rng.uniform(0.01, 0.1, 2)
        theirs, ours, _, _ = added(rng, DTYPES[which % 2], (a, b, rng.uniform(0.05, 0.2)))
        different, count = different + int(np.count_nonzero(theirs != ours)), count + ours.size
    assert count == 102_400
    assert different <= 40


def test_addition_rounded_before_the_zero_point_is_what_onnx_defines():
    rng = np.random.default_rng(9)
    dtype = np.dtype(np.int8)
    a, b = random_image(rng, dtype, (1, 2, 20, 20)), random_image(rng, dtype, (1, 2, 20, 20))
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["p"]),
        helper.make_node("DequantizeLinear", ["b", "xs", "xz"], ["q"]),
        helper.make_node("Add", ["p", "q"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "ys", "yz"], ["y"]),
    ]
    theirs = runtime(nodes, a, {**parameters(dtype, 0.5, 3, 1.0, 7), "b": b}, optimise=False)
    both = [
        add(
            a.astype(np.int64),
            b.astype(np.int64),
            a_scale=0.5,
            a_zero_point=3,
            b_scale=0.5,
            b_zero_point=3,
            y_scale=1.0,
            y_zero_point=7,
            limits=(-128, 127),
            zero_point_inside=inside,
        )
        for inside in (False, True)
    ]
    np.testing.assert_array_equal(both[0], theirs)
    assert (both[1] != theirs).any()  # an odd zero point moves ties


@settings(deadline=None, max_examples=200)
@given(*[st.floats(min_value=2**-20, max_value=2**10, width=32)] * 3)
def test_coefficients_are_as_near_as_promised(a, b, y):
    how = addition(a_scale=a, b_scale=b, y_scale=y)
    assert 0 <= min(how.a_coefficient, how.b_coefficient) <= max(how.a_coefficient, how.b_coefficient) < 2**17
    great, small = (how.a_coefficient, how.b_coefficient) if a >= b else (how.b_coefficient, how.a_coefficient)
    ratio = Fraction(min(a, b)) / Fraction(max(a, b))
    assert abs(Fraction(small, great) - ratio) <= Fraction(1, 2**18) + Fraction(1, 2**34)


@pytest.mark.parametrize("name", ["a_scale", "b_scale", "y_scale"])
def test_a_scale_of_an_addition_that_is_not_positive_is_named(name):
    with pytest.raises(OverlayError, match=rf"^{name} of an addition must be positive, not 0\.0$"):
        addition(**{"a_scale": 1.0, "b_scale": 1.0, "y_scale": 1.0, name: 0.0})


# ---- clamps ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.5, 0.031, 0.05, 1 / 3])
@pytest.mark.parametrize(("minimum", "maximum"), [(0.0, None), (0.0, 6.0), (-1.0, 1.0), (None, 2.5), (None, None)])
@pytest.mark.parametrize("zero_point", [0, 5, 127])
def test_clamping_is_what_onnx_runtime_clips(dtype, scale, minimum, maximum, zero_point):
    low, high = LIMITS[dtype]
    x = np.arange(low, high + 1).astype(dtype)[None]
    bounds = {"low": minimum, "high": maximum}
    given_bounds = {name: np.array(value, np.float32) for name, value in bounds.items() if value is not None}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["real"]),
        helper.make_node("Clip", ["real", *(n if n in given_bounds else "" for n in bounds)], ["clipped"]),
        helper.make_node("QuantizeLinear", ["clipped", "xs", "xz"], ["y"]),
    ]
    theirs = runtime(
        nodes,
        x,
        {"xs": np.array(scale, np.float32), "xz": np.array(zero_point, dtype), **given_bounds},
        optimise=False,
    )
    limits = clamps(
        signed=low < 0,
        scale=float(np.float32(scale)),
        zero_point=zero_point,
        minimum=minimum,
        maximum=maximum,
    )
    np.testing.assert_array_equal(np.clip(x.astype(np.int64), *limits), theirs)


def test_a_clip_with_nothing_between_its_bounds_is_refused():
    with pytest.raises(OverlayError, match=r"^a clip's minimum must not exceed its maximum, 1\.0 > 0\.5$"):
        clamps(signed=True, scale=1.0, zero_point=0, minimum=1.0, maximum=0.5)


# ---- the zero point in the bias ----


@pytest.mark.parametrize(
    ("factor", "inside", "bias", "zero_point"),
    [
        (fixed_point(0.25), True, 28, 0),
        (fixed_point(0.25), False, 0, 7),
        (fixed_point(0.3), True, 0, 7),  # 7 is no multiple of 0.3
        (fixed_point(2.0**-28), True, 7 * 2**28, 0),  # the greatest that fits 32 bits
        (fixed_point(2.0**-29), True, 0, 7),
        (FixedPoint(0, 0), True, 0, 7),
    ],
)
def test_a_zero_point_goes_into_the_bias_when_it_is_a_multiple_of_the_factor_and_fits(factor, inside, bias, zero_point):
    finish = finishing(factor, 7, zero_point_inside=inside)
    assert (finish.bias, finish.zero_point) == (bias, zero_point)
