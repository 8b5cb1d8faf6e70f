"""A float network in operations that have a form in 8-bit integers, as far as there is one.

Every tensor keeps its name and its values but for float32 rounding; layers that become several get new tensors between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dynamap_models._names import unique
from dynamap_models.errors import ModelError
from dynamap_models.ir import (
    Affine,
    Conv,
    Elementwise,
    ElementwiseKind,
    FullyConnected,
    GlobalPool,
    Layer,
    Network,
    Operation,
    Parameter,
    Pool,
    PoolKind,
    Tensor,
)
from dynamap_models.quantised import is_clamp

from .averages import power_of_two_part
from .parameters import parameters_of

__all__ = ["prepare"]


def prepare(network: Network, *, split: Collection[str] = ()) -> Network:
    """The network to quantise. O(layers).

    - A scale and shift per channel is a convolution of every channel with one weight.
    - A sum of three and more tensors is a chain of sums of two.
    - An activation that is no clamp becomes a layer of its own behind a convolution, fully connected layer or sum.
    - The global averages in ``split`` first average windows of powers of two, then what is left.

    Raises:
        ModelError: when an output of the network is one of its inputs.
    """
    builder = _Builder(network)
    for name in network.outputs:
        if name in network.inputs:
            raise ModelError(
                f"output {name!r} of network {network.name!r} is its input, which nothing computes; remove it"
            )
    for layer in network.layers:
        _write(builder, layer, split=layer.name in split)
    return builder.network()


class _Builder:
    """The network as far as it is prepared."""

    def __init__(self, network: Network) -> None:
        self.source = network
        self.layers: list[Layer] = []
        self.tensors = dict(network.tensors)
        self.parameters = dict(network.parameters)
        self.names = {layer.name for layer in network.layers}

    def add(self, name: str, operation: Operation, inputs: tuple[str, ...], output: str) -> None:
        self.layers.append(Layer(name, operation, inputs, output))

    def layer_name(self, wanted: str) -> str:
        name = unique(wanted, self.names)
        self.names.add(name)
        return name

    def tensor(self, wanted: str, like: Tensor) -> str:
        """A new tensor shaped like another."""
        name = unique(wanted, self.tensors)
        self.tensors[name] = replace(like, name=name)
        return name

    def network(self) -> Network:
        used = {name for layer in self.layers for name in parameters_of(layer.operation)}
        names = (*self.source.inputs, *(layer.output for layer in self.layers))
        return replace(
            self.source,
            layers=tuple(self.layers),
            tensors={name: self.tensors[name] for name in names},
            parameters={name: parameter for name, parameter in self.parameters.items() if name in used},
        )


def _write(builder: _Builder, layer: Layer, *, split: bool) -> None:
    operation, output = layer.operation, builder.tensors[layer.output]
    match operation:
        case Affine():
            operation = _depthwise(builder, operation, output.channels)
        case Elementwise(kind=ElementwiseKind.ADD) if _is_chain(builder, layer):
            _chain(builder, layer, operation)
            return
        case GlobalPool(kind=PoolKind.AVERAGE) if split:
            _split_average(builder, layer, operation)
            return
        case _:
            pass
    _finish(builder, replace(layer, operation=operation))


def _finish(builder: _Builder, layer: Layer) -> None:
    """Append a layer, an activation that is no clamp behind it."""
    operation = layer.operation
    if not isinstance(operation, Conv | FullyConnected | Elementwise) or is_clamp(operation.activation):
        builder.layers.append(layer)
        return
    if isinstance(operation, Elementwise) and not (
        operation.kind is ElementwiseKind.ADD and len(layer.inputs) == 2 and _is_plain(builder, layer)
    ):  # the host's, activation and all
        builder.layers.append(layer)
        return
    between = builder.tensor(f"{layer.output}/linear", builder.tensors[layer.output])
    builder.layers.append(replace(layer, operation=replace(operation, activation=None), output=between))
    if operation.activation is not None:
        builder.add(builder.layer_name(f"{layer.name}/activation"), operation.activation, (between,), layer.output)


def _depthwise(builder: _Builder, operation: Affine, channels: int) -> Conv:
    scale, shape = builder.parameters[operation.scale], (channels, 1, 1, 1)
    weight = unique(f"{operation.scale}/kernel", builder.parameters)
    builder.parameters[weight] = Parameter(shape, _reshaped(scale, shape))
    return Conv(
        in_channels=channels,
        out_channels=channels,
        kernel=(1, 1),
        stride=(1, 1),
        pads=(0, 0, 0, 0),
        dilation=(1, 1),
        groups=channels,
        weight=weight,
        bias=operation.shift,
        activation=operation.activation,
    )


def _reshaped(parameter: Parameter, shape: tuple[int, ...]) -> Callable[[], NDArray[np.float32]]:
    return lambda: parameter.load().reshape(shape)


def _is_plain(builder: _Builder, layer: Layer) -> bool:
    """Whether all operands have the result's shape."""
    return all(builder.tensors[name].onnx_shape == builder.tensors[layer.output].onnx_shape for name in layer.inputs)


def _is_chain(builder: _Builder, layer: Layer) -> bool:
    return len(layer.inputs) > 2 and _is_plain(builder, layer)


def _chain(builder: _Builder, layer: Layer, operation: Elementwise) -> None:
    total, *others = layer.inputs
    for index, other in enumerate(others[:-1], start=1):
        partial = builder.tensor(f"{layer.output}/sum{index}", builder.tensors[layer.output])
        name = builder.layer_name(f"{layer.name}/sum{index}")
        builder.add(name, Elementwise(ElementwiseKind.ADD), (total, other), partial)
        total = partial
    _finish(builder, replace(layer, operation=operation, inputs=(total, others[-1])))


def _split_average(builder: _Builder, layer: Layer, operation: GlobalPool) -> None:
    (source,) = (builder.tensors[name] for name in layer.inputs)
    kernel = (power_of_two_part(source.height), power_of_two_part(source.width))
    height, width = source.height // kernel[0], source.width // kernel[1]
    shape = (*source.onnx_shape[:2], height, width)
    pooled = builder.tensor(f"{layer.output}/windows", replace(source, height=height, width=width, onnx_shape=shape))
    windows = Pool(PoolKind.AVERAGE, kernel, kernel, (0, 0, 0, 0))
    builder.add(builder.layer_name(f"{layer.name}/windows"), windows, layer.inputs, pooled)
    builder.layers.append(replace(layer, operation=operation, inputs=(pooled,)))
