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
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._onnx_graph import Attribute, GraphWriter, Shape
from .errors import ModelError
from .geometry import window_output
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
    Pads,
    Pair,
    Pool,
    PoolKind,
    Reshape,
    Tensor,
)

if TYPE_CHECKING:
    import onnx

__all__ = ["ONNX_OPSET", "export_onnx", "write_onnx"]

ONNX_OPSET = 20
"""The version of the standard operators that exported files ask for."""

_IR_VERSION = 9  # the file format that came with opset 20; a newer one would only lock older runtimes out
_FILE_LIMIT_BYTES = 2**31 - 1
_GRAPH_ALLOWANCE_BYTES = 2**24  # generous room for names and nodes beside the weights


class _Value(NamedTuple):
    """A value in the file and the shape ONNX gives it."""

    name: str
    shape: Shape


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
        for index in range(first, len(nodes)):
            name = layer.name if index == first else f"{layer.name}/{nodes[index].op_type}"
            while name in names:
                name += "+"
            names.add(name)
            nodes[index].name = name
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
    source = graph.network.input_tensors(layer)[0]
    match operation:
        case Conv():
            value = _convolution(graph, layer, operation)
        case ConvTranspose():
            value = _transposed_convolution(graph, layer, operation)
        case FullyConnected():
            value = _fully_connected(graph, layer, operation)
        case Pool():
            value = _pool(graph, layer, operation)
        case GlobalPool():
            op_type = "GlobalMaxPool" if operation.kind is PoolKind.MAX else "GlobalAveragePool"
            value = _Value(graph.node(op_type, graph.image(source, layer)), (1, source.channels, 1, 1))
        case Elementwise():
            value = _elementwise(graph, layer, operation)
        case Activation():
            value = _Value(graph.activation(source.name, operation), source.onnx_shape)
        case Affine():
            value = _affine(graph, layer, operation)
        case Concat():
            value = _concat(graph, layer)
        case ChannelShuffle():
            value = _channel_shuffle(graph, layer, operation)
        case Reshape():
            value = _Value(source.name, source.onnx_shape)
        case HostOperator():
            value = _host_operator(graph, layer, operation)
    fused = None if isinstance(operation, Activation) else getattr(operation, "activation", None)
    if fused is not None:
        value = _Value(graph.activation(value.name, fused), value.shape)
    if math.prod(value.shape) != math.prod(out.onnx_shape):
        raise ModelError(
            f"layer {layer.name!r} computes a tensor of shape {value.shape}, but its output {out.name!r} is described "
            f"as {out.onnx_shape}; correct the description"
        )
    if isinstance(operation, Reshape) or value.shape != out.onnx_shape:
        graph.reshape(value.name, out.onnx_shape)
    graph.model.graph.node[-1].output[0] = out.name


def _convolution(graph: GraphWriter, layer: Layer, operation: Conv) -> _Value:
    source = graph.image(graph.network.input_tensors(layer)[0], layer)
    height, width = _window_extents(
        graph.network,
        layer,
        operation.kernel,
        stride=operation.stride,
        pads=operation.pads,
        dilation=operation.dilation,
    )
    value = graph.node(
        "Conv",
        source,
        graph.parameter(
            operation.weight,
            (operation.out_channels, operation.in_channels // operation.groups, *operation.kernel),
            layer,
        ),
        *_bias(graph, operation.bias, operation.out_channels, layer),
        kernel_shape=operation.kernel,
        strides=operation.stride,
        pads=operation.pads,
        dilations=operation.dilation,
        group=operation.groups,
    )
    return _Value(value, (1, operation.out_channels, height, width))


def _transposed_convolution(graph: GraphWriter, layer: Layer, operation: ConvTranspose) -> _Value:
    source, out = graph.network.input_tensors(layer)[0], graph.network.output_tensor(layer)
    top, left, bottom, right = operation.pads
    # A trailing pad below zero means elements beyond the last full window, which ONNX calls output padding.
    pads = (top, left, max(0, bottom), max(0, right))
    beyond = []
    for axis, (size, result) in enumerate(((source.height, out.height), (source.width, out.width))):
        covered = (size - 1) * operation.stride[axis] + operation.kernel[axis] - pads[axis] - pads[axis + 2]
        if not 0 <= result - covered < operation.stride[axis]:
            raise ModelError(
                f"transposed convolution {layer.name!r} covers {covered} elements along axis {axis} (0 vertical, "
                f"1 horizontal), but its output {out.name!r} has {result}; correct its pads or its output"
            )
        beyond.append(result - covered)
    attributes: dict[str, Attribute] = {"output_padding": beyond} if any(beyond) else {}
    value = graph.node(
        "ConvTranspose",
        graph.image(source, layer),
        graph.parameter(
            operation.weight,
            (operation.in_channels, operation.out_channels // operation.groups, *operation.kernel),
            layer,
        ),
        *_bias(graph, operation.bias, operation.out_channels, layer),
        kernel_shape=operation.kernel,
        strides=operation.stride,
        pads=pads,
        group=operation.groups,
        **attributes,
    )
    return _Value(value, (1, operation.out_channels, out.height, out.width))


def _bias(graph: GraphWriter, name: str | None, channels: int, layer: Layer) -> tuple[str, ...]:
    """The optional third input of Conv, ConvTranspose and Gemm."""
    return () if name is None else (graph.parameter(name, (channels,), layer),)


def _fully_connected(graph: GraphWriter, layer: Layer, operation: FullyConnected) -> _Value:
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
        *_bias(graph, operation.bias, operation.out_features, layer),
        transB=1,
    )
    return _Value(value, (1, operation.out_features))


def _pool(graph: GraphWriter, layer: Layer, operation: Pool) -> _Value:
    source = graph.network.input_tensors(layer)[0]
    extra_h, extra_w = operation.ceil_extra
    top, left, bottom, right = operation.pads
    own: Pads = (top, left, bottom - extra_h, right - extra_w)
    if min(own) < 0 or any(pad >= operation.kernel[i % 2] for i, pad in enumerate(operation.pads)):
        raise ModelError(
            f"pool {layer.name!r} has pads {operation.pads} of which {operation.ceil_extra} come from the ceiling "
            f"mode; pads must be at least those and smaller than the kernel {operation.kernel}"
        )
    height, width = _window_extents(
        graph.network, layer, operation.kernel, stride=operation.stride, pads=operation.pads
    )
    value, average = graph.image(source, layer), operation.kind is PoolKind.AVERAGE
    count_pads, pads, ceil_mode = operation.count_pads, operation.pads, False
    if extra_h or extra_w:
        if _ceiling_extents(source, operation, own) == (height, width):
            pads, ceil_mode = own, True
        elif average and count_pads:
            # ONNX's shape rule for the ceiling mode would add a window along the other axis. So the file's own pads
            # become explicit zeros, which count, and the pool's pads what the ceiling added, which must not count.
            amounts = np.array((0, 0, own[0], own[1], 0, 0, own[2], own[3]), dtype=np.int64)
            value = graph.node("Pad", value, graph.constant(f"{layer.output}/pads", amounts))
            count_pads, pads = False, (0, 0, extra_h, extra_w)
    attributes: dict[str, Attribute] = {"kernel_shape": operation.kernel, "strides": operation.stride, "pads": pads}
    if ceil_mode:
        attributes["ceil_mode"] = 1
    if average:
        attributes["count_include_pad"] = int(count_pads)
    value = graph.node("AveragePool" if average else "MaxPool", value, **attributes)
    return _Value(value, (1, source.channels, height, width))


def _elementwise(graph: GraphWriter, layer: Layer, operation: Elementwise) -> _Value:
    sources = graph.network.input_tensors(layer)
    if len(sources) < 2:
        raise ModelError(f"element-wise layer {layer.name!r} has {len(sources)} input; it needs at least two")
    shape = sources[0].onnx_shape
    if all(source.onnx_shape == shape for source in sources):
        values = [source.name for source in sources]
    else:
        values = [graph.image(source, layer) for source in sources]
        height, width = max(source.height for source in sources), max(source.width for source in sources)
        shape = (1, sources[0].channels, height, width)
    if operation.kind is ElementwiseKind.ADD and len(values) > 2:
        return _Value(graph.node("Sum", *values), shape)
    total, *others = values
    for other in others:
        total = graph.node("Add" if operation.kind is ElementwiseKind.ADD else "Mul", total, other)
    return _Value(total, shape)


def _affine(graph: GraphWriter, layer: Layer, operation: Affine) -> _Value:
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
    return _Value(value, source.onnx_shape)


def _concat(graph: GraphWriter, layer: Layer) -> _Value:
    sources, out = graph.network.input_tensors(layer), graph.network.output_tensor(layer)
    channels = sum(source.channels for source in sources)
    shape: Shape = (1, channels)
    if all(source.onnx_shape == (1, source.channels) for source in sources):
        values = [source.name for source in sources]
    else:
        values, shape = [graph.image(source, layer) for source in sources], (1, channels, out.height, out.width)
    return _Value(graph.node("Concat", *values, axis=1), shape)


def _channel_shuffle(graph: GraphWriter, layer: Layer, operation: ChannelShuffle) -> _Value:
    source = graph.network.input_tensors(layer)[0]
    groups, channels, height, width = operation.groups, source.channels, source.height, source.width
    split = graph.reshape(graph.image(source, layer), (1, groups, channels // groups, height, width))
    shape = (1, channels, height, width)
    return _Value(graph.reshape(graph.node("Transpose", split, perm=(0, 2, 1, 3, 4)), shape), shape)


def _host_operator(graph: GraphWriter, layer: Layer, operation: HostOperator) -> _Value:
    source, given = graph.network.input_tensors(layer)[0], operation.attributes
    shape = source.onnx_shape
    if operation.op_type == "LRN":
        defaults = {"size": None, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
        numbers = {key: _number(layer, given, key, default=default) for key, default in defaults.items()}
        return _Value(graph.node("LRN", source.name, **(numbers | {"size": round(numbers["size"])})), shape)
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
        return _Value(graph.node("Softmax", source.name, axis=axis), shape)
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


def _window_extents(
    network: Network, layer: Layer, kernel: Pair, *, stride: Pair, pads: Pads, dilation: Pair = (1, 1)
) -> Pair:
    """Output height and width of a window operation, checked against its output tensor."""
    source, out = network.input_tensors(layer)[0], network.output_tensor(layer)
    height, width = (
        window_output(
            size, kernel[axis], stride=stride[axis], pads=(pads[axis], pads[axis + 2]), dilation=dilation[axis]
        )
        for axis, size in enumerate((source.height, source.width))
    )
    if (height, width) != (out.height, out.width):
        raise ModelError(
            f"layer {layer.name!r} computes {height}x{width} pixels, but its output {out.name!r} is described as "
            f"{out.height}x{out.width}; correct its pads or its output"
        )
    return height, width


def _ceiling_extents(source: Tensor, operation: Pool, own: Pads) -> Pair:
    """Output height and width by ONNX's shape rule for ``ceil_mode``, which drops no window."""
    height, width = (
        -(-(size + own[axis] + own[axis + 2] - operation.kernel[axis]) // operation.stride[axis]) + 1
        for axis, size in enumerate((source.height, source.width))
    )
    return height, width
