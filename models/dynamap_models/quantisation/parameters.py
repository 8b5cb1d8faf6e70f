"""The real numbers that quantised weights stand for, as the parameters of their network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dynamap_models._names import unique
from dynamap_models.ir import Conv, FullyConnected, Layer, Network, Operation, Parameter, Tensor
from dynamap_models.quantised import LayerWeights, TensorQuantisation

from .weights import from_stored_order

__all__ = ["parameters_of", "with_real_weights"]


def with_real_weights(
    network: Network, tensors: Mapping[str, TensorQuantisation], weights: Mapping[str, LayerWeights]
) -> Network:
    """The network with weights and biases as quantised, named after their layers.

    So two quantised networks that compute the same have the same parameters, wherever they come from. Nothing is
    computed before a parameter is loaded.
    """
    others = {name for layer in network.layers if layer.name not in weights for name in parameters_of(layer.operation)}
    parameters = {name: parameter for name, parameter in network.parameters.items() if name in others}
    layers: list[Layer] = []
    for layer in network.layers:
        operation, stored = layer.operation, weights.get(layer.name)
        if stored is None or not isinstance(operation, Conv | FullyConnected):
            layers.append(layer)
            continue
        source = network.input_tensors(layer)[0]
        weight, bias = _real_weight(stored, operation, source), _real_bias(stored, tensors[source.name].scale)
        names = [unique(f"{layer.name}.{role}", parameters) for role in ("weight", "bias")]
        parameters.update(zip(names, (weight, bias), strict=True))
        layers.append(replace(layer, operation=replace(operation, weight=names[0], bias=names[1])))
    return replace(network, layers=tuple(layers), parameters=parameters)


def parameters_of(operation: Operation) -> tuple[str, ...]:
    """Names of the parameters an operation reads."""
    names = (getattr(operation, role, None) for role in ("weight", "bias", "scale", "shift"))
    return tuple(name for name in names if name is not None)


def _real_weight(stored: LayerWeights, operation: Conv | FullyConnected, source: Tensor) -> Parameter:
    if isinstance(operation, Conv):
        return Parameter(stored.values.shape, lambda: stored.real)

    def load() -> NDArray[np.float32]:
        steps = from_stored_order(stored.values, source) - stored.zero_point
        return steps.astype(np.float32) * stored.scale[:, None]

    return Parameter(stored.values.shape[:2], load)


def _real_bias(stored: LayerWeights, source_scale: float) -> Parameter:
    def load() -> NDArray[np.float32]:
        return (stored.bias * (source_scale * stored.scale.astype(np.float64))).astype(np.float32)

    return Parameter(stored.bias.shape, load)
