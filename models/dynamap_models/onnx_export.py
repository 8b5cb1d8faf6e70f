"""Networks out to ONNX: float32, NCHW, batch 1, the weights stored in the file.

The judge of what a layer means is ONNX Runtime: an exported network computes there what the intermediate representation
says, padding, ceiling modes and broadcasting included. Fused activations become nodes of their own. Every tensor keeps
its name and its ``onnx_shape``; every node's name starts with that of its layer.

Opset 20 is the oldest with one node for GELU and with a ceiling mode of ``AveragePool`` that is defined (opset 19) as
the representation needs it: what the ceiling adds never counts, the file's own padding counts when asked for.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

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
    Network,
    Pool,
    PoolKind,
    Reshape,
)

if TYPE_CHECKING:
    import onnx

__all__ = ["ONNX_OPSET", "export_onnx", "write_onnx"]

ONNX_OPSET = 20
"""The version of the standard operators that exported files ask for."""

_IR_VERSION = 9  # the file format that came with opset 20; a newer one would only lock older runtimes out
_FILE_LIMIT_BYTES = 2**31 - 1
_GRAPH_ALLOWANCE_BYTES = 2**24  # generous room for names and nodes beside the weights

_SHAPING = frozenset({"Flatten", "Pad", "Reshape"})


def export_onnx(network: Network) -> onnx.ModelProto:
    """The network as an ONNX model, with its weights (made by :meth:`Parameter.load`) inside.

    The same network always gives the same model.

    Raises:
        ModelError: for a host operator other than LRN and Softmax, a layer whose shapes contradict its operation, a
            parameter that is missing or of the wrong shape, or weights beyond the 2 GiB that one ONNX file can hold.
    """
    size_bytes = 4 * sum(parameter.size for parameter in network.parameters.values())
    if size_bytes + _GRAPH_ALLOWANCE_BYTES > _FILE_LIMIT_BYTES:
        raise ModelError(
            f"network {network.name!r} has {size_bytes / 2**30:.2f} GiB of weights, and one ONNX file holds less than "
            "2 GiB; export it in parts"
        )
    graph = GraphWriter(network, opset=ONNX_OPSET, ir_version=_IR_VERSION)
    graph.describe()
    nodes = graph.model.graph.node
    names: set[str] = set()
    for layer in network.layers:
        first = len(nodes)
        _write_layer(graph, layer)
        written = nodes[first:]
        # The node that computes bears the layer's name, those that bring its input into shape before it do not.
        main = next((node for node in written if node.op_type not in _SHAPING), written[0])
        for node in written:
            name = layer.name if node is main else f"{layer.name}/{node.op_type}"
            while name in names:
                name += "+"
            names.add(name)
            node.name = name
    return graph.model


def write_onnx(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network to an ONNX file; the file appears complete or not at all.

    Raises:
        ModelError: as :func:`export_onnx`, or when the file cannot be written.
    """
    target = Path(path)
    data = export_onnx(network).SerializeToString(deterministic=True)
    # In the same directory, because only within one file system is replacing a file atomic.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(target)
    except OSError as error:
        raise ModelError(f"cannot write the ONNX file {str(target)!r}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # gone already, or the directory is what the error above is about
            temporary.unlink()


def _write_layer(graph: GraphWriter, layer: Layer) -> None:
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
    source = graph.network.input_tensors(layer)[0]
    features = math.prod(source.onnx_shape)
    if features != operation.in_features:
        raise ModelError(
            f"fully connected layer {layer.name!r} expects {operation.in_features} features, but its input "
            f"{source.name!r} has {features}"
        )
    vector = source.name if source.onnx_shape == (1, features) else graph.node("Flatten", source.name, axis=1)
    value = graph.node(
        "Gemm",
        vector,
        graph.parameter(operation.weight, (operation.out_features, operation.in_features), layer),
        *graph.bias(operation.bias, operation.out_features, layer),
        transB=1,
    )
    return Value(value, (1, operation.out_features))


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
