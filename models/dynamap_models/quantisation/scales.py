"""Scales and zero points of tensors from the ranges of their values.

With scales that are powers of two, float32 computes with them exactly. Zero points are even then: ONNX Runtime rounds
halves to even with the zero point added in some operators (``QLinearAdd``, ``QLinearAveragePool``) and without it in
others, and with an even one both are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dynamap_models.ir import GlobalPool, Layer, Network, Pool, PoolKind
from dynamap_models.quantised import TensorQuantisation

from .averages import tie_exponent, window_counts
from .groups import shared_quantisations

__all__ = ["Range", "TensorScales", "tensor_scales"]

Range = tuple[float, float]

# Of float32, with room for products and quotients of scales.
_LEAST_EXPONENT, _GREATEST_EXPONENT = -40, 40
_STEPS = 255
_LOST_BITS = 2


@dataclass(frozen=True)
class TensorScales:
    """What :func:`tensor_scales` chose.

    Attributes:
        tensors: a quantisation for every tensor.
        split: global averages whose results may lie on a tie, see :mod:`averages`; averaged in two steps they do not.
    """

    tensors: Mapping[str, TensorQuantisation]
    split: frozenset[str]


def tensor_scales(network: Network, ranges: Mapping[str, Range], *, signed: bool, power_of_two: bool) -> TensorScales:
    """The finest scales that represent the ranges, tensors of a group (:mod:`groups`) alike.

    Args:
        network: prepared, see :mod:`prepare`.
        ranges: least and greatest value of every tensor.
        signed: int8 rather than uint8.
        power_of_two: scales are powers of two, zero points even, and averages have inputs coarse enough not to lie on
            a tie where their scales can be chosen so.
    """
    group = shared_quantisations(network)
    joined: dict[str, Range] = {}
    for name, (low, high) in ranges.items():
        least, greatest = joined.get(group[name], (0.0, 0.0))  # padding is zero, so zero is in every range
        joined[group[name]] = (min(low, least), max(high, greatest))
    if not power_of_two:
        chosen = {name: _any_scale(*bounds, signed=signed) for name, bounds in joined.items()}
        return TensorScales({name: chosen[group[name]] for name in network.tensors}, frozenset())
    exponents = {name: _finest(*bounds, signed=signed) for name, bounds in joined.items()}
    split = _settle_averages(network, group, exponents)
    chosen = {name: _with_exponent(*joined[name], exponents[name], signed=signed) for name in joined}
    return TensorScales({name: chosen[group[name]] for name in network.tensors}, split)


def _limits(*, signed: bool) -> tuple[int, int]:
    return (-128, 127) if signed else (0, 255)


def _any_scale(low: float, high: float, *, signed: bool) -> TensorQuantisation:
    least, greatest = _limits(signed=signed)
    scale = float(np.float32((high - low) / _STEPS)) or 1.0
    zero_point = round(least - low / scale)
    return TensorQuantisation(scale=scale, zero_point=min(max(zero_point, least), greatest), signed=signed)


def _zero_point(low: float, high: float, *, signed: bool) -> int:
    """An even zero point that leaves room on both sides in proportion to what is there."""
    least, greatest = _limits(signed=signed)
    share = -low / (high - low) if high > low else 0.0
    return min(max(2 * round((least + share * _STEPS) / 2), least), greatest - 1)


def _fits(low: float, high: float, exponent: int, *, signed: bool) -> bool:
    least, greatest = _limits(signed=signed)
    scale = 2.0**exponent
    zero_point = _zero_point(low, high, signed=signed)
    return round(low / scale) + zero_point >= least and round(high / scale) + zero_point <= greatest


def _finest(low: float, high: float, *, signed: bool) -> int:
    """The least exponent with which the range fits."""
    width = high - low
    if width <= 0:
        return -7  # nothing but zeros was seen; any scale is as good
    exponent = max(_LEAST_EXPONENT, math.frexp(width / _STEPS)[1] - 1)
    while exponent < _GREATEST_EXPONENT and not _fits(low, high, exponent, signed=signed):
        exponent += 1
    return exponent


def _with_exponent(low: float, high: float, exponent: int, *, signed: bool) -> TensorQuantisation:
    scale = 2.0**exponent
    return TensorQuantisation(scale=scale, zero_point=_zero_point(low, high, signed=signed), signed=signed)


def _settle_averages(network: Network, group: Mapping[str, str], exponents: dict[str, int]) -> frozenset[str]:
    """Coarsen the inputs of pools until no average lies on a tie; the global averages where that would cost bits."""
    split: set[str] = set()
    for layer, least in _hard_averages(network):
        source, output = group[layer.inputs[0]], group[layer.output]
        missing = least - (exponents[source] - exponents[output])
        if missing > 0 and isinstance(layer.operation, GlobalPool) and least > 0:
            split.add(layer.name)
    # Coarser inputs are the outputs of other pools, so this may have to travel; where it would cost more than these
    # bits, or goes round in a ring, ties are left as they are.
    finest = dict(exponents)
    for _ in range(len(network.layers)):
        changed = False
        for layer, least in _hard_averages(network):
            source, output = group[layer.inputs[0]], group[layer.output]
            wanted = exponents[output] + least
            if layer.name in split or source == output or not exponents[source] < wanted <= finest[source] + _LOST_BITS:
                continue
            exponents[source], changed = wanted, True
        if not changed:
            break
    return frozenset(split)


def _hard_averages(network: Network) -> list[tuple[Layer, int]]:
    """Averages of other numbers than powers of two, and how many bits coarser than the output the input must be."""
    found: list[tuple[Layer, int]] = []
    for layer in network.layers:
        operation = layer.operation
        if isinstance(operation, Pool | GlobalPool) and operation.kind is PoolKind.AVERAGE:
            counts = window_counts(operation, network.input_tensors(layer)[0], network.output_tensor(layer))
            least = tie_exponent(counts)
            if least is not None:
                found.append((layer, least))
    return found
