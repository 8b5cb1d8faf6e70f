"""The nodes of one layer of a network in an ONNX graph under construction."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ._onnx_graph import GraphWriter, Shape, Value
from ._onnx_windows import write_convolution, write_pool, write_transposed_convolution
from .errors import ModelError
from .ir import (
    Activation,
    Affine,
    ChannelShuffle,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    ElementwiseKind,
    FullyConnected,
    GlobalPool,
    HostOperator,
    Layer,
    Pool,
    PoolKind,
    Reshape,
)

__all__ = ["NodeNames", "flat", "write_layer"]

_BESIDE = frozenset({"DequantizeLinear", "Flatten", "Pad", "QuantizeLinear", "Reshape"})


class NodeNames:
    """Gives the nodes of one layer after another names that are unique in the graph."""

    def __init__(self, graph: GraphWriter) -> None:
        self._nodes = graph.model.graph.node
        self._named = 0
        self._taken: set[str] = set()

    def name(self, layer: str, *, last: bool = False) -> None:
        """Name the nodes of a layer, all written since the last call; the first (or last) that computes bears its name.

        Those that only bring its input and output into shape do not.
        """
        written = self._nodes[self._named :]
        if not written:
            return
        computing = [node for node in written if node.op_type not in _BESIDE] or list(written)
        main = computing[-1 if last else 0]
        for node in written:
            name = layer if node is main else f"{layer}/{node.op_type}"
            while name in self._taken:
                name += "+"
            self._taken.add(name)
            node.name = name
        self._named = len(self._nodes)


def write_layer(graph: GraphWriter, layer: Layer) -> None:
    """Append the nodes of one layer; the last one writes the layer's output tensor."""
    operation, out = layer.operation, graph.network.output_tensor(layer)
    if not layer.inputs:
        raise ModelError(f"layer {layer.name!r} reads no tensor; every layer computes on at least one")
    source = graph.network.input_tensors(layer)[0]
    match operation:
        case Conv():
            value = write_convolution(graph, layer, operation)
        case ConvTranspose():
            value = write_transposed_convolution(graph, layer, operation)
        case FullyConnected():
            value = _fully_connected(graph, layer, operation)
        case Pool():
            value = write_pool(graph, layer, operation)
        case GlobalPool():
            op_type = "GlobalMaxPool" if operation.kind is PoolKind.MAX else "GlobalAveragePool"
            value = Value(graph.node(op_type, graph.image(source, layer)), (1, source.channels, 1, 1))
        case Elementwise():
            value = _elementwise(graph, layer, operation)
        case Activation():
            value = Value(graph.activation(source.name, operation), source.onnx_shape)
        case Affine():
            value = _affine(graph, layer, operation)
        case Concat():
            value = _concat(graph, layer)
        case ChannelShuffle():
            value = _channel_shuffle(graph, layer, operation)
        case Reshape():
            value = Value(source.name, source.onnx_shape)
        case HostOperator():
            value = _host_operator(graph, layer, operation)
    fused = None if isinstance(operation, Activation) else getattr(operation, "activation", None)
    if fused is not None:
        value = Value(graph.activation(value.name, fused), value.shape)
    if math.prod(value.shape) != math.prod(out.onnx_shape):
        raise ModelError(
            f"layer {layer.name!r} computes a tensor of shape {value.shape}, but its output {out.name!r} is described "
            f"as {out.onnx_shape}; correct the description"
        )
    if isinstance(operation, Reshape) or value.shape != out.onnx_shape:
        graph.reshape(value.name, out.onnx_shape)
    graph.model.graph.node[-1].output[0] = out.name


def _fully_connected(graph: GraphWriter, layer: Layer, operation: FullyConnected) -> Value:
    value = graph.node(
        "Gemm",
        flat(graph, layer, operation),
        graph.parameter(operation.weight, (operation.out_features, operation.in_features), layer),
        *graph.bias(operation.bias, operation.out_features, layer),
        transB=1,
    )
    return Value(value, (1, operation.out_features))


def flat(graph: GraphWriter, layer: Layer, operation: FullyConnected) -> str:
    """The input of a fully connected layer as (1, features).

    Raises:
        ModelError: when it has another number of elements.
    """
    source = graph.network.input_tensors(layer)[0]
    features = math.prod(source.onnx_shape)
    if features != operation.in_features:
        raise ModelError(
            f"fully connected layer {layer.name!r} expects {operation.in_features} features, but its input "
            f"{source.name!r} has {features}"
        )
    return source.name if source.onnx_shape == (1, features) else graph.node("Flatten", source.name, axis=1)


def _elementwise(graph: GraphWriter, layer: Layer, operation: Elementwise) -> Value:
    sources = graph.network.input_tensors(layer)
    if len(sources) < 2:
        raise ModelError(f"element-wise layer {layer.name!r} has {len(sources)} input; it needs at least two")
    shape = sources[0].onnx_shape
    if all(source.onnx_shape == shape for source in sources):
        values = [source.name for source in sources]
    else:
        values = [graph.image(source, layer) for source in sources]
        full = max(sources, key=lambda source: source.height * source.width)
        shape = (1, full.channels, full.height, full.width)
        for source in sources:
            pixels = (source.height, source.width)
            if source.channels != full.channels or pixels not in {(1, 1), (full.height, full.width)}:
                raise ModelError(
                    f"element-wise layer {layer.name!r} combines {source.name!r} of shape {source.onnx_shape} with "
                    f"{full.name!r} of shape {full.onnx_shape}; shapes must agree, or one have a single pixel"
                )
    if operation.kind is ElementwiseKind.ADD and len(values) > 2:
        return Value(graph.node("Sum", *values), shape)
    total, *others = values
    for other in others:
        total = graph.node("Add" if operation.kind is ElementwiseKind.ADD else "Mul", total, other)
    return Value(total, shape)


def _affine(graph: GraphWriter, layer: Layer, operation: Affine) -> Value:
    source = graph.network.input_tensors(layer)[0]
    channels = (source.channels,)
    # Mean 0, variance 1 and epsilon 0 leave exactly scale·x + shift, for vectors and images alike.
    value = graph.node(
        "BatchNormalization",
        source.name,
        graph.parameter(operation.scale, channels, layer),
        graph.parameter(operation.shift, channels, layer),
        graph.constant(f"{layer.output}/mean", np.zeros(channels, np.float32)),
        graph.constant(f"{layer.output}/variance", np.ones(channels, np.float32)),
        epsilon=0.0,
    )
    return Value(value, source.onnx_shape)


def _concat(graph: GraphWriter, layer: Layer) -> Value:
    sources, out = graph.network.input_tensors(layer), graph.network.output_tensor(layer)
    channels = sum(source.channels for source in sources)
    if any((source.height, source.width) != (out.height, out.width) for source in sources):
        raise ModelError(f"concatenation {layer.name!r} joins maps of different sizes; heights and widths must agree")
    shape: Shape = (1, channels)
    if all(source.onnx_shape == (1, source.channels) for source in sources):
        values = [source.name for source in sources]
    else:
        values, shape = [graph.image(source, layer) for source in sources], (1, channels, out.height, out.width)
    return Value(graph.node("Concat", *values, axis=1), shape)


def _channel_shuffle(graph: GraphWriter, layer: Layer, operation: ChannelShuffle) -> Value:
    source = graph.network.input_tensors(layer)[0]
    groups, channels, height, width = operation.groups, source.channels, source.height, source.width
    if groups < 1 or channels % groups:
        raise ModelError(
            f"channel shuffle {layer.name!r} has {groups} groups, which must divide its {channels} channels"
        )
    split = graph.reshape(graph.image(source, layer), (1, groups, channels // groups, height, width))
    shape = (1, channels, height, width)
    return Value(graph.reshape(graph.node("Transpose", split, perm=(0, 2, 1, 3, 4)), shape), shape)


def _host_operator(graph: GraphWriter, layer: Layer, operation: HostOperator) -> Value:
    source, given = graph.network.input_tensors(layer)[0], operation.attributes
    shape = source.onnx_shape
    if operation.op_type == "LRN":
        defaults = {"size": None, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
        numbers = {key: _number(layer, given, key, default=default) for key, default in defaults.items()}
        return Value(graph.node("LRN", source.name, **(numbers | {"size": round(numbers["size"])})), shape)
    if operation.op_type == "Softmax":
        rank = len(shape)
        axis = round(_number(layer, given, "axis", default=1.0 if rank == 2 else None))
        if not -rank <= axis < rank:
            raise ModelError(f"Softmax layer {layer.name!r} has axis {axis}, but its input has {rank} axes")
        # Before opset 13 a Softmax took everything from its axis on; only where that is the same is it unambiguous.
        if math.prod(shape[axis % rank + 1 :]) != 1:
            raise ModelError(
                f"Softmax layer {layer.name!r} works on axis {axis} of shape {shape}, which older and newer ONNX files "
                "mean differently; reshape its input to (1, C) before exporting"
            )
        return Value(graph.node("Softmax", source.name, axis=axis), shape)
    raise ModelError(
        f"layer {layer.name!r} is the host operator {operation.op_type}, of which the network keeps only a printed "
        "description; only LRN and Softmax can be exported, so cut the network before it"
    )


def _number(layer: Layer, attributes: Mapping[str, str], key: str, *, default: float | None) -> float:
    """A numeric attribute of a host operator."""
    text = attributes.get(key)
    if text is None:
        if default is None:
            raise ModelError(f"layer {layer.name!r} lacks the attribute {key!r}, without which it cannot be exported")
        return default
    try:
        return float(text)
    except ValueError:
        raise ModelError(f"attribute {key!r} of layer {layer.name!r} is {text!r}, which is not a number") from None
