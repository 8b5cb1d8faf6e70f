"""Whether ONNX Runtime's float32 arithmetic rounds every result of a quantised network as exact arithmetic would.

The exact result of an operation is the rational number its integers, scales and zero points stand for, rounded once to
the nearest integer, halves to even, and clamped. ONNX Runtime (1.18 to 1.32, CPU) computes in float32, whose 24 bits
hold integers up to 2**24 exactly:

- ``QLinearConv``, ``QGemm``: float(sum) · factor, rounded, the zero point added; factor = input scale · weight scale /
  output scale. With powers of two only float(sum) can be inexact, from 2**24 on. A factor of 2**-15 takes these sums to
  512 and more, which every zero point leaves beyond 8 bits: they saturate either way.
- ``QLinearAdd``: operands times ratios of scales and the zero points' part, added in float32, rounded with the zero
  point in. With powers of two every partial sum is a multiple of the smallest of both ratios and 1, and less than
  1020 · the greater ratio + 256; if that is at most 2**24 multiples, float32 holds it.
- ``QLinearAveragePool``, ``QLinearGlobalAveragePool``: sums are exact. Where the window holds a power of two so is the
  division. Else, if it is never on a tie (:mod:`averages`), a result is 1 / (2 · window) or more away from one;
  float32 (and any other arithmetic of 24 bits) is off by less than 2**-14 of a unit.
- The zero point is inside of the rounding or outside; even ones make no difference.
- Maxima, concatenations, reshapes and clamps compute nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from dynamap_models.ir import Conv, Elementwise, FullyConnected, GlobalPool, Layer, Network, Pool, PoolKind
from dynamap_models.quantised import LayerWeights, TensorQuantisation, is_host

from .averages import tie_exponent, window_counts

__all__ = ["LEAST_FACTOR", "inexact_layers"]

LEAST_FACTOR = 2.0**-15
"""The least product of input and weight scale over output scale."""

_GREATEST_FACTOR = 2.0**23
_GREATEST_RATIO = 2.0**14
_GREATEST_COUNT = 2**12


def inexact_layers(
    network: Network, tensors: Mapping[str, TensorQuantisation], weights: Mapping[str, LayerWeights]
) -> dict[str, str]:
    """The layers of which equality with exact arithmetic is not promised, by name, and why. Host layers are not judged.

    O(weights).
    """
    reasons: dict[str, str] = {}
    for layer in network.layers:
        if is_host(network, tensors, layer):
            continue
        reason = _reason(network, tensors, weights, layer)
        if reason is not None:
            reasons[layer.name] = reason
    return reasons


def _reason(
    network: Network, tensors: Mapping[str, TensorQuantisation], weights: Mapping[str, LayerWeights], layer: Layer
) -> str | None:
    sources, output = [tensors[name] for name in layer.inputs], tensors[layer.output]
    match layer.operation:
        case Conv() | FullyConnected():
            return _product(sources[0], output, weights[layer.name])
        case Elementwise():
            scales = [source.scale for source in sources]
            if not all(map(_is_binary, (*scales, output.scale))):
                return "a scale is no power of two"
            ratios = [scale / output.scale for scale in scales]
            if 1020 * max(ratios) + 256 > 2**24 * min(1, *ratios):
                return "its scales are too far apart"
            return _zero_point(output)
        case Pool(kind=PoolKind.AVERAGE) | GlobalPool(kind=PoolKind.AVERAGE) as operation:
            counts = window_counts(operation, network.input_tensors(layer)[0], network.output_tensor(layer))
            return _average(sources[0], output, counts)
        case _:
            return None


def _is_binary(scale: float) -> bool:
    return math.frexp(scale)[0] == 0.5


def _product(source: TensorQuantisation, output: TensorQuantisation, weights: LayerWeights) -> str | None:
    scales = weights.scale.astype(np.float64)
    if not (_is_binary(source.scale) and _is_binary(output.scale) and np.all(np.frexp(scales)[0] == 0.5)):
        return "a scale is no power of two"
    factors = source.scale * scales / output.scale
    if factors.min() < LEAST_FACTOR or factors.max() > _GREATEST_FACTOR:
        return "its scales are too far apart"
    low, high = source.limits
    greatest = max(source.zero_point - low, high - source.zero_point)
    sums = np.abs(weights.values - weights.zero_point).sum(axis=(1, 2, 3)) * greatest + np.abs(weights.bias)
    return "its sums may leave 32 bits" if sums.max() >= 2**31 else None


def _average(source: TensorQuantisation, output: TensorQuantisation, counts: frozenset[int]) -> str | None:
    if not (_is_binary(source.scale) and _is_binary(output.scale)):
        return "a scale is no power of two"
    ratio = source.scale / output.scale
    if not 1 / _GREATEST_RATIO <= ratio <= _GREATEST_RATIO:
        return "its scales are too far apart"
    least = tie_exponent(counts)
    if least is not None:
        if ratio < 2**least:
            return "its averages may lie on a tie"
        if max(counts) > _GREATEST_COUNT:
            return "its windows are too large"
    elif max(counts) / ratio > 2**15:
        return "its windows are too large"
    return _zero_point(output)


def _zero_point(output: TensorQuantisation) -> str | None:
    return "its zero point is odd" if output.zero_point % 2 else None
