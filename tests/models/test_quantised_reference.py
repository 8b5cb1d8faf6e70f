"""ONNX Runtime on quantised networks against exact integer arithmetic, layer by layer.

With powers of two results are equal on every element, as promised. Else a result beside a tie may be one unit off.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dynamap_models import NetworkBuilder, quantise, random_inputs
from dynamap_models.ir import (
    Activation,
    Concat,
    Conv,
    Elementwise,
    FullyConnected,
    GlobalPool,
    Pool,
    PoolKind,
    Reshape,
)
from dynamap_models.quantisation.exactness import inexact_layers
from dynamap_rtl.units.fixed_point import fixed_point, requantise
from dynamap_rtl.units.vector_path import add, finishing
from quantised_judge import Judge, convolved, pooled
from quantised_networks import RELU, any_network


def compare(quantised, inputs):
    """Elements, how many of them differ from exact arithmetic, and how many lay on a tie."""
    judge, maps = Judge(quantised), quantised.reference(inputs)
    count = different = 0
    reasons = inexact_layers(quantised.network, quantised.tensors, quantised.weights)
    for layer in quantised.network.layers:
        if quantised.is_host(layer):
            continue
        expected, got = judge.layer(layer, maps), maps[layer.output]
        assert got.shape == expected.shape, layer
        off = np.abs(got - expected)
        # What is not promised for one layer is still promised for the others.
        assert off.max() <= (layer.name in reasons), f"{layer}: {np.count_nonzero(off)} of {off.size}"
        count, different = count + off.size, different + np.count_nonzero(off)
    return count, different, judge.ties


def check_against_overlay(quantised, inputs):
    """What the overlay's requantiser makes of the same sums, as its programs set it up, is the reference."""
    maps, network = quantised.reference(inputs), quantised.network
    for layer in network.layers:
        operation, target = layer.operation, quantised.tensors[layer.output]
        stored = [quantised.tensors[name] for name in layer.inputs]
        real = [maps[name] - each.zero_point for name, each in zip(layer.inputs, stored, strict=True)]
        limits = quantised.clamps(layer)
        match operation:
            case Conv():
                weights = quantised.weights[layer.name]
                factors = [fixed_point(stored[0].scale * float(scale) / target.scale) for scale in weights.scale]
                result = requantise(
                    convolved(real[0], operation, weights, network.output_tensor(layer)),
                    multiplier=np.array([factor.multiplier for factor in factors]),
                    shift=np.array([factor.shift for factor in factors]),
                    zero_point=target.zero_point,
                    low=limits[0],
                    high=limits[1],
                )
            case Pool(kind=PoolKind.AVERAGE) | GlobalPool(kind=PoolKind.AVERAGE):
                sums, counts = pooled(real[0], operation, network.output_tensor(layer))
                result = np.empty_like(sums)
                for count in np.unique(counts):
                    factor = fixed_point(Fraction(stored[0].scale) / (Fraction(target.scale) * int(count)))
                    for inside in (False, True):
                        how = finishing(factor, target.zero_point, zero_point_inside=inside)
                        ours = (counts == count)[..., 0]
                        result[ours] = how.apply(sums[ours], limits)
                        np.testing.assert_array_equal(result[ours], maps[layer.output][ours])
            case Elementwise():
                for inside in (False, True):
                    result = add(
                        *(maps[name] for name in layer.inputs),
                        a_scale=stored[0].scale,
                        a_zero_point=stored[0].zero_point,
                        b_scale=stored[1].scale,
                        b_zero_point=stored[1].zero_point,
                        y_scale=target.scale,
                        y_zero_point=target.zero_point,
                        limits=limits,
                        zero_point_inside=inside,
                    )
                    np.testing.assert_array_equal(result, maps[layer.output])
            case _:
                continue
        np.testing.assert_array_equal(result, maps[layer.output])


@pytest.mark.parametrize("signed", [False, True], ids=["uint8", "int8"])
def test_powers_of_two_make_every_result_exact(signed):
    count = ties = 0
    seen = set()
    for seed in range(30):
        network = any_network(seed)
        quantised = quantise(network, random_inputs(network, 2, seed), signed=signed)
        # The promise is withheld only where an average would have to be finer than the input it shares a scale with.
        reasons = set(inexact_layers(quantised.network, quantised.tensors, quantised.weights).values())
        assert reasons <= {"its averages may lie on a tie"}
        assert quantised.exact == (not reasons)
        (inputs,) = random_inputs(network, 1, seed + 1000)
        results = compare(quantised, inputs)
        count, ties = count + results[0], ties + results[2]
        seen |= {type(layer.operation) for layer in quantised.network.layers if not quantised.is_host(layer)}
        if quantised.exact:
            check_against_overlay(quantised, inputs)
    assert count > 20_000
    assert ties > 100  # without them no rounding would be told from another
    assert seen == {Conv, FullyConnected, Pool, GlobalPool, Elementwise, Concat, Reshape, Activation}


@pytest.mark.parametrize("signed", [False, True], ids=["uint8", "int8"])
def test_with_any_scales_results_differ_by_one_unit_and_seldom(signed):
    count = different = 0
    for seed in range(100, 115):
        network = any_network(seed)
        quantised = quantise(network, random_inputs(network, 2, seed), signed=signed, power_of_two=False)
        assert not quantised.exact
        (inputs,) = random_inputs(network, 1, seed + 1000)
        results = compare(quantised, inputs)
        count, different = count + results[0], different + results[1]
    assert count > 10_000
    assert different <= count * 0.001, f"{different} of {count}"


# ---- averages: most of them lie on ties or nearly so ----

SIZES = [(7, 7), (6, 6), (14, 14), (12, 5), (8, 8), (10, 12)]


def average_network(size, *, mean):
    """Every kind of average over one map, whose values are all positive if ``mean`` says so."""
    net = NetworkBuilder("averages", seed=size[0])
    x = net.conv("x", net.input("image", 3, *size), 24, 3, pads=1, activation=RELU if mean else None)
    outputs = [net.global_pool("global", x)]
    for kernel, stride, pads in (
        ((3, 3), 1, (1, 1)),
        ((3, 3), 2, 0),
        ((2, 2), 2, 0),
        ((5, 5), 1, (2, 2)),
        ((3, 2), 2, 1),
    ):
        for ceil in (False, True):
            name = f"{kernel}{stride}{pads}{ceil}"
            outputs += [
                net.pool(name + end, x, PoolKind.AVERAGE, kernel, stride=stride, pads=pads, ceil=ceil, count_pads=count)
                for end, count in (("", False), (" counted", True))
                if pads or not count
            ]
    return net.build(*outputs)


@pytest.mark.parametrize("signed", [False, True], ids=["uint8", "int8"])
@pytest.mark.parametrize("mean", [False, True], ids=["about zero", "positive"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_averages_never_depend_on_how_ties_are_rounded(size, mean, signed):
    network = average_network(size, mean=mean)
    quantised = quantise(network, random_inputs(network, 1, 0), signed=signed)
    assert quantised.exact
    count, different, ties = compare(quantised, random_inputs(network, 1, 1)[0])
    assert count > 2000
    assert different == 0
    assert ties  # of windows of 4 values, whose averages every arithmetic has exactly
    check_against_overlay(quantised, random_inputs(network, 1, 2)[0])
