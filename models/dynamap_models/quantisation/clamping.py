"""Activations that only limit integers, stated as what they do to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dynamap_models.ir import Activation, ActivationKind, Conv, Elementwise, FullyConnected, Layer, Network
from dynamap_models.quantised import TensorQuantisation, clamps, is_clamp, is_host

__all__ = ["with_clamps"]


def with_clamps(network: Network, tensors: Mapping[str, TensorQuantisation]) -> Network:
    """The same quantised network, activations stated by what they do to integers.

    A result that cannot be negative has a ReLU, be it only because its zero point is the type's least number; a bound
    of a clip is the real number its integer stands for, and none where the type's limits are as tight. So two networks
    that compute the same are equal, wherever they come from.
    """
    layers = tuple(_with_clamp(network, tensors, layer) for layer in network.layers)
    return replace(network, layers=layers)


def _with_clamp(network: Network, tensors: Mapping[str, TensorQuantisation], layer: Layer) -> Layer:
    operation, stored = layer.operation, tensors[layer.output]
    if is_host(network, tensors, layer):
        return layer
    if isinstance(operation, Activation):
        return replace(layer, operation=_stated(layer, stored) or operation)
    if isinstance(operation, Conv | FullyConnected | Elementwise) and is_clamp(operation.activation):
        return replace(layer, operation=replace(operation, activation=_stated(layer, stored)))
    return layer


def _stated(layer: Layer, stored: TensorQuantisation) -> Activation | None:
    """The clamp of a layer's result, or None where it does no more than the type."""
    (low, high), (least, greatest) = clamps(layer, stored), stored.limits
    if low == stored.zero_point and high == greatest:
        return Activation(ActivationKind.RELU)
    if low == stored.zero_point:
        lower: float = 0.0
    else:
        lower = -math.inf if low == least else _real(low, stored)
    upper = math.inf if high == greatest else _real(high, stored)
    if (lower, upper) == (-math.inf, math.inf):
        return None
    return Activation(ActivationKind.CLIP, low=lower, high=upper)


def _real(bound: int, stored: TensorQuantisation) -> float:
    return float(stored.dequantise(np.array(bound)))
