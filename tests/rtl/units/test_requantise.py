"""The requantiser: circuit against model, model against fractions, and both against ONNX Runtime."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnxruntime as ort
import pyrtl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dynamap_rtl import OverlayError
from dynamap_rtl.hardware import flatten
from dynamap_rtl.units.fixed_point import FixedPoint, fixed_point, float32_scale, requantise
from dynamap_rtl.units.requantise import Requantiser
from hardware_streams import pack, unpack
from onnx_weights import exact_weights

# ---- the model against exact fractions ----


@settings(deadline=None, max_examples=500)
@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 2**24 - 1),
    st.integers(0, 63),
    st.integers(-128, 255),
)
@example(3, 0, 2**23, 24, 0)  # 1.5 -> 2
@example(5, 0, 2**23, 24, 0)  # 2.5 -> 2
@example(-5, 0, 2**23, 24, 0)
@example(-(2**31), -(2**31), 2**24 - 1, 63, 0)
@example(-(2**31), -(2**31), 2**24 - 1, 55, 0)
@example(1, 0, 1, 1, 0)
@example(7, 0, 1, 0, 0)
def test_the_model_rounds_the_exact_product_once(value, bias, multiplier, shift, zero_point):
    exact = round(Fraction((value + bias) * multiplier, 2**shift)) + zero_point  # Python rounds half to even
    for low, high in [(-128, 127), (0, 255), (3, 9)]:
        got = requantise(
            np.array([value]),
            bias=bias,
            multiplier=multiplier,
            shift=shift,
            zero_point=zero_point,
            low=low,
            high=high,
        )
        assert got[0] == min(max(exact, low), high)


# ---- the circuit against the model ----


def hard_values(rng, count, in_width):
    """Sums, biases, factors: random, at the ends of their ranges, and on and beside ties."""
    value = rng.integers(-(2 ** (in_width - 1)), 2 ** (in_width - 1), count)
    value >>= rng.integers(0, in_width, count)
    bias = rng.integers(-(2**31), 2**31, count) >> rng.integers(0, 32, count)
    multiplier = rng.integers(0, 2**24, count) >> rng.integers(0, 24, count)
    # Most shifts bring the product near the eight bits, where rounding and saturation show.
    size = np.log2(np.maximum(1, np.abs((value + bias) * multiplier))).astype(np.int64)
    shift = np.clip(size - rng.integers(-3, 12, count), 0, 63)
    anything = rng.random(count) < 0.2
    shift[anything] = rng.integers(0, 64, int(anything.sum()))
    # Ties: an odd multiple of half a unit, and its neighbours.
    tie = rng.random(count) < 0.3
    places = rng.integers(1, 20, count)
    halves = (2 * rng.integers(-300, 300, count) + 1) << (places - 1)
    value[tie], bias[tie], multiplier[tie], shift[tie] = (halves + rng.integers(-1, 2, count))[tie], 0, 1, places[tie]
    ends = rng.random(count) < 0.05
    value[ends] = rng.choice([-(2 ** (in_width - 1)), 2 ** (in_width - 1) - 1], int(ends.sum()))
    bias[ends] = rng.choice([-(2**31), 2**31 - 1], int(ends.sum()))
    multiplier[ends] = 2**24 - 1
    return np.clip(value, -(2 ** (in_width - 1)), 2 ** (in_width - 1) - 1), bias, multiplier, shift


@pytest.mark.parametrize(
    ("in_width", "zero_point", "low", "high"),
    [
        (32, 0, -128, 127),
        (32, -128, -128, 127),
        (32, 255, 0, 255),
        (32, 128, 128, 200),  # ReLU6
        (32, 17, 17, 17),
        (32, -256, -128, 127),  # no network's, but the port's ends
        (32, 255, -128, 127),
        (37, 3, 0, 255),
        (17, -5, -128, 127),
        (2, 0, 0, 255),
    ],
)
def test_the_circuit_is_the_model_one_value_a_cycle_at_the_stated_latency(in_width, zero_point, low, high):
    unit, lanes, steps = Requantiser(in_width=in_width), 2, 700
    rng = np.random.default_rng(in_width)
    value, bias, multiplier, shift = (a.reshape(steps, lanes) for a in hard_values(rng, steps * lanes, in_width))
    expected = requantise(
        value, bias=bias, multiplier=multiplier, shift=shift, zero_point=zero_point, low=low, high=high
    )
    simulation = pyrtl.FastSimulation(block=flatten(unit.create_lanes(lanes)), tracer=None)
    results = []
    for step in range(steps + unit.latency_cycles):
        row = min(step, steps - 1)
        simulation.step(
            {
                "value": pack(value[row], in_width),
                "bias": pack(bias[row], 32),
                "multiplier": pack(multiplier[row], 24),
                "shift": pack(shift[row], 6),
                "zero_point": pack([zero_point], 9),
                "low": pack([low], 9),
                "high": pack([high], 9),
            }
        )
        results.append(unpack(simulation.inspect("result"), 8, lanes))
    got = np.array(results[unit.latency_cycles :])
    if low >= 0:
        got &= 0xFF
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(expected)) > min(50, high - low)


def test_one_lane_is_a_leaf_with_one_lane_ports_so_that_a_grid_can_hold_it():
    unit = Requantiser()
    simulation = pyrtl.Simulation(block=flatten(unit.create()), tracer=None)
    constant = {"bias": 0, "multiplier": 3 << 20, "shift": 21, "zero_point": 0, "low": pack([-128], 9), "high": 127}
    for value in (5, -7, *[0] * unit.latency_cycles):
        simulation.step({"value": value & (2**32 - 1), **constant})
        last = simulation.inspect("result")
    assert unpack(last, 8, 1) == [-10]  # -10.5 to even; two cycles earlier 7.5 went to 8
    assert (unit.latency_cycles, unit.dsps) == (7, 2)


@pytest.mark.parametrize("width", [1, 38])
def test_a_width_that_the_model_could_not_follow_is_refused(width):
    with pytest.raises(OverlayError, match=rf"^a requantiser's in_width must be from 2 to 37, not {width}$"):
        Requantiser(in_width=width)


# ---- scales ----


@settings(deadline=None, max_examples=500)
@given(st.floats(min_value=2**-40, max_value=2**24, width=32, exclude_max=True))
@example(2.0**-40)
@example(float(np.nextafter(np.float32(2**24), np.float32(0))))
@example(1.0)
def test_a_float32_scale_is_held_exactly(scale):
    assert fixed_point(scale).value == Fraction(scale)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.floats(min_value=0, exclude_min=True, max_value=2**-33, width=32),
        st.floats(min_value=2**23, max_value=float(np.finfo(np.float32).max), width=32),
    )
)
def test_scales_too_small_or_too_large_to_hold_do_what_they_should_to_every_sum(scale):
    factor = fixed_point(scale)
    for total in (0, 1, -1, 2**32 - 1, -(2**32)):
        exact = min(max(round(Fraction(scale) * total), -128), 127)
        got = requantise(
            np.array([total]), multiplier=factor.multiplier, shift=factor.shift, zero_point=0, low=-128, high=127
        )
        assert got[0] == exact


@given(st.fractions(min_value=Fraction(1, 2**30), max_value=2**20))
def test_any_scale_is_rounded_to_the_nearest_of_24_bits(scale):
    factor = fixed_point(scale)
    assert 2**23 <= factor.multiplier < 2**24
    assert abs(factor.value - scale) <= Fraction(1, 2 ** (factor.shift + 1))


def test_a_scale_that_rounds_up_to_a_power_of_two_is_that_power():
    assert fixed_point(Fraction(2**26 - 1, 2**26)).value == 1


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_must_be_a_positive_number(scale):
    with pytest.raises(OverlayError, match=r"^a scale must be a positive number, not "):
        fixed_point(scale)


@pytest.mark.parametrize(
    ("multiplier", "shift", "name"), [(2**24, 0, "multiplier"), (-1, 0, "multiplier"), (1, 64, "shift")]
)
def test_a_factor_out_of_the_ports_range_is_named(multiplier, shift, name):
    with pytest.raises(OverlayError, match=rf"^a requantiser's {name} must be from 0 to "):
        FixedPoint(multiplier, shift)


# ---- ONNX Runtime ----

INTEGERS = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}


def run_node(node, initializers, x):
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", INTEGERS[x.dtype.type], x.shape)],
        [helper.make_tensor_value_info("y", INTEGERS[x.dtype.type], None)],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0].astype(np.int64)


def quantised(sums, bias, scales, y_zero_point, dtype):
    factors = [fixed_point(scale) for scale in scales]
    limits = np.iinfo(dtype)
    return requantise(
        sums,
        bias=bias,
        multiplier=np.array([f.multiplier for f in factors]),
        shift=np.array([f.shift for f in factors]),
        zero_point=y_zero_point,
        low=limits.min,
        high=limits.max,
    )


def convolution(rng, dtype, scales, *, step=1, channels=(16, 12), size=12):
    """A random QLinearConv, weights and biases multiples of ``step``: its result, ours, our sums; channels last."""
    c_in, c_out = channels
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max + 1, (1, c_in, size, size)).astype(dtype)
    w = (rng.integers(-(127 // step), 127 // step + 1, (c_out, c_in, 3, 3)) * step).astype(np.int8)
    bias = (rng.integers(-20000 // step, 20000 // step, c_out) * step).astype(np.int32)
    x_zero, y_zero = (int(rng.integers(limits.min, limits.max + 1)) for _ in range(2))
    x_scale, w_scales, y_scale = scales(rng, c_out)
    weights, w_zeros = exact_weights(w, x.dtype)
    expected = run_node(
        helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"]),
        {
            "xs": np.float32(x_scale),
            "xz": np.array(x_zero, dtype),
            "w": weights,
            "ws": w_scales.astype(np.float32),
            "wz": w_zeros,
            "ys": np.float32(y_scale),
            "yz": np.array(y_zero, dtype),
            "b": bias,
        },
        x,
    )
    windows = np.lib.stride_tricks.sliding_window_view(x[0].astype(np.int64) - x_zero, (3, 3), axis=(1, 2))
    sums = np.einsum("cijuv,ocuv->ijo", windows, w.astype(np.int64))
    scales32 = [float32_scale(x_scale, w_scale, y_scale) for w_scale in w_scales]
    return np.moveaxis(expected[0], 0, -1), quantised(sums, bias, scales32, y_zero, dtype), sums + bias, scales32


def powers_of_two(rng, c_out):
    return 2.0**-5, 2.0 ** rng.integers(-9, -5, c_out).astype(np.float64), 2.0**-1


def any_scales(rng, c_out):
    return rng.uniform(0.01, 0.05), rng.uniform(0.001, 0.01, c_out), rng.uniform(0.1, 0.5)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_qlinearconv_with_powers_of_two_is_equal(dtype):
    rng = np.random.default_rng(1)
    ties, seen = 0, set()
    for _ in range(20):
        expected, ours, sums, scales = convolution(rng, dtype, powers_of_two, step=64)  # many ties
        np.testing.assert_array_equal(ours, expected)
        ties += sum(np.count_nonzero((sums[..., c] * float(s)) % 1 == 0.5) for c, s in enumerate(scales))
        seen |= set(ours.ravel().tolist())
    assert ties > 500
    assert len(seen) > 200


@pytest.mark.parametrize("dtype", INTEGERS)
def test_qlinearconv_with_any_scales_differs_by_one_unit_only_beside_ties(dtype):
    rng = np.random.default_rng(2)
    different, count = 0, 0
    for _ in range(40):
        expected, ours, sums, scales = convolution(rng, dtype, any_scales)
        off = np.argwhere(ours != expected)
        different, count = different + len(off), count + ours.size
        assert np.abs(ours - expected).max() <= 1
        for i, j, c in off:
            distance = (Fraction(float(scales[c])) * int(sums[i, j, c])) % 1 - Fraction(1, 2)
            assert abs(distance) < Fraction(1, 2**14)
    assert count == 40 * 10 * 10 * 12
    assert different <= count * 2**-13  # what the bound on the distance makes likely


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("scales", [powers_of_two, any_scales])
def test_qlinearmatmul_agrees_as_convolutions_do(dtype, scales):
    rng = np.random.default_rng(3)
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max + 1, (200, 64)).astype(dtype)
    w = rng.integers(-128, 128, (64, 10)).astype(np.int8)
    x_scale, w_scales, y_scale = scales(rng, 10)
    weights, w_zeros = exact_weights(w.T, x.dtype)
    expected = run_node(
        helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"]),
        {
            "xs": np.float32(x_scale),
            "xz": np.array(5, dtype),
            "w": np.ascontiguousarray(weights.T),
            "ws": w_scales.astype(np.float32),
            "wz": w_zeros,
            "ys": np.float32(y_scale),
            "yz": np.array(7, dtype),
        },
        x,
    )
    sums = (x.astype(np.int64) - 5) @ w.astype(np.int64)
    ours = quantised(sums, 0, [float32_scale(x_scale, s, y_scale) for s in w_scales], 7, dtype)
    off = np.abs(ours - expected)
    assert off.max() <= (0 if scales is powers_of_two else 1)
    assert np.count_nonzero(off) <= 2


def test_beyond_24_bits_even_powers_of_two_may_differ_by_one_unit():
    # One channel, sums of 2**24 + 1 and more: float32 loses their lowest bit, which decides beside a tie.
    scale, sums = 2.0**-17, (np.arange(128, 256) * 2 + 1) * 2**16 + 1
    ours = quantised(sums[:, None], 0, [scale], -128, np.int8)[:, 0]
    x = np.full((128, 1), 1, np.int8)
    graph = helper.make_node("QLinearConv", ["x", "one", "z", "w", "ws", "z", "one", "yz", "b"], ["y"])
    expected = run_node(
        graph,
        {
            "one": np.float32(1),
            "z": np.array(0, np.int8),
            "w": np.zeros((128, 1, 1, 1), np.int8),
            "ws": np.float32(scale),
            "yz": np.array(-128, np.int8),
            "b": sums.astype(np.int32),
        },
        np.ones((1, 1, 1, 1), np.int8),
    )[0, :, 0, 0]
    assert x.size == len(ours)
    exact = [round(Fraction(int(total), 2**17)) - 128 for total in sums]
    np.testing.assert_array_equal(ours, np.minimum(exact, 127))
    assert set((ours - expected).tolist()) == {0, 1}
