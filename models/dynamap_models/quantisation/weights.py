"""Weights of float layers to 8-bit integers, symmetric about zero, with biases of 32 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dynamap_models.errors import ModelError
from dynamap_models.ir import Conv, FullyConnected, Layer, Network, Tensor
from dynamap_models.quantised import LayerWeights, TensorQuantisation

from .exactness import LEAST_FACTOR

Number = TypeVar("Number", bound=np.generic)

__all__ = ["WeightOptions", "from_stored_order", "quantised_weights", "to_stored_order"]

_GREATEST_WEIGHT = 127
# Half of what 32 bits hold, so that there is as much room for the products.
_GREATEST_BIAS = 2**30


@dataclass(frozen=True)
class WeightOptions:
    """How weights are quantised.

    Attributes:
        per_channel: a scale for every output channel, else one for the layer.
        power_of_two: scales are powers of two.
    """

    per_channel: bool
    power_of_two: bool


def quantised_weights(
    network: Network,
    layer: Layer,
    operation: Conv | FullyConnected,
    *,
    source: TensorQuantisation,
    output: TensorQuantisation,
    options: WeightOptions,
) -> LayerWeights:
    """The weights and bias of a layer of a float network as integers nearest to them.

    A channel's scale is the finest with which its weights and bias fit, but for powers of two no finer than makes a
    product of two units 2**-15 output units: below that nothing is gained, and float32 could not requantise exactly.

    Raises:
        ModelError: when weights are missing or not finite.
    """
    weight = _parameter(network, layer, operation.weight).astype(np.float64)
    if isinstance(operation, FullyConnected):
        weight = to_stored_order(weight, network.input_tensors(layer)[0])
    bias = np.zeros(len(weight))
    if operation.bias is not None:
        bias = _parameter(network, layer, operation.bias).astype(np.float64)
    unit = np.float64(source.scale)
    finest = np.abs(weight).max(axis=(1, 2, 3)) / _GREATEST_WEIGHT
    finest = np.maximum(finest, np.abs(bias) / (unit * _GREATEST_BIAS))
    if options.power_of_two:
        finest = np.maximum(finest, LEAST_FACTOR * output.scale / unit)
    if not options.per_channel:
        finest = np.full_like(finest, finest.max())
    finest = np.where(finest > 0, finest, output.scale / unit)
    scale = _power_of_two_above(finest) if options.power_of_two else finest.astype(np.float32).astype(np.float64)
    values = np.clip(np.rint(weight / scale[:, None, None, None]), -_GREATEST_WEIGHT, _GREATEST_WEIGHT)
    # As ONNX Runtime has it, a bias counts in units of the product of the float32 scales.
    return LayerWeights(
        values=values.astype(np.int64),
        scale=scale.astype(np.float32),
        zero_point=0,
        signed=True,
        bias=np.rint(bias / (unit * scale)).astype(np.int64),
    )


def to_stored_order(weight: NDArray[Number], source: Tensor) -> NDArray[Number]:
    """A fully connected layer's weights (out, in), inputs in the file's order, as (out, in, 1, 1) in the map's."""
    image = weight.reshape(len(weight), source.channels, source.height, source.width)
    return np.moveaxis(image, 1, 3).reshape(len(weight), -1, 1, 1)


def from_stored_order(weight: NDArray[np.int64], source: Tensor) -> NDArray[np.int64]:
    """The inverse of :func:`to_stored_order`."""
    image = weight.reshape(len(weight), source.height, source.width, source.channels)
    return np.moveaxis(image, 3, 1).reshape(len(weight), -1)


def _power_of_two_above(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least powers of two that are not below positive numbers."""
    fraction, exponent = np.frexp(values)
    result: NDArray[np.float64] = np.ldexp(1.0, exponent - (fraction == 0.5))
    return result


def _parameter(network: Network, layer: Layer, name: str) -> NDArray[np.float32]:
    parameter = network.parameters.get(name)
    if parameter is None:
        raise ModelError(f"layer {layer.name!r} uses parameter {name!r}, which the network does not have")
    values = parameter.load()
    if not np.all(np.isfinite(values)):
        raise ModelError(f"parameter {name!r} of layer {layer.name!r} is not finite; it cannot be quantised")
    return values
