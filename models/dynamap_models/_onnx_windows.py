"""Convolutions, transposed convolutions and pools as ONNX nodes, their windows checked against the network."""

from __future__ import annotations

import numpy as np

from ._onnx_graph import Attribute, GraphWriter, Value
from .errors import ModelError
from .geometry import window_output
from .ir import Conv, ConvTranspose, Layer, Network, Pads, Pair, Pool, PoolKind, Tensor

__all__ = ["convolution_frame", "write_convolution", "write_pool", "write_transposed_convolution"]


def write_convolution(graph: GraphWriter, layer: Layer, operation: Conv) -> Value:
    """A convolution; its activation is not among the nodes."""
    image, shape, attributes = convolution_frame(graph, layer, operation)
    weight_shape = (operation.out_channels, operation.in_channels // operation.groups, *operation.kernel)
    value = graph.node(
        "Conv",
        image,
        graph.parameter(operation.weight, weight_shape, layer),
        *graph.bias(operation.bias, operation.out_channels, layer),
        **attributes,
    )
    return Value(value, shape)


def convolution_frame(
    graph: GraphWriter, layer: Layer, operation: Conv
) -> tuple[str, tuple[int, ...], dict[str, Attribute]]:
    """What a convolution is but for its numbers: the image it reads, the shape it writes, and its attributes.

    Raises:
        ModelError: when channels, groups or the output's size contradict each other.
    """
    source = graph.network.input_tensors(layer)[0]
    _check_channels(layer, operation, source)
    image = graph.image(source, layer)
    height, width = _window_extents(
        graph.network,
        layer,
        operation.kernel,
        stride=operation.stride,
        pads=operation.pads,
        dilation=operation.dilation,
    )
    attributes: dict[str, Attribute] = {
        "kernel_shape": operation.kernel,
        "strides": operation.stride,
        "pads": operation.pads,
        "dilations": operation.dilation,
        "group": operation.groups,
    }
    return image, (1, operation.out_channels, height, width), attributes


def write_transposed_convolution(graph: GraphWriter, layer: Layer, operation: ConvTranspose) -> Value:
    """A transposed convolution; its activation is not among the nodes."""
    source, out = graph.network.input_tensors(layer)[0], graph.network.output_tensor(layer)
    _check_channels(layer, operation, source)
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
        *graph.bias(operation.bias, operation.out_channels, layer),
        kernel_shape=operation.kernel,
        strides=operation.stride,
        pads=pads,
        group=operation.groups,
        **attributes,
    )
    return Value(value, (1, operation.out_channels, out.height, out.width))


def write_pool(graph: GraphWriter, layer: Layer, operation: Pool) -> Value:
    """A pool, by whichever of ONNX's attributes say exactly what counts."""
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
    return Value(value, (1, source.channels, height, width))


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


def _check_channels(layer: Layer, operation: Conv | ConvTranspose, source: Tensor) -> None:
    """Raise when a convolution's channels and groups contradict its input."""
    if source.channels != operation.in_channels:
        raise ModelError(
            f"layer {layer.name!r} expects {operation.in_channels} input channels, but its input {source.name!r} has "
            f"{source.channels}"
        )
    if operation.groups < 1 or operation.in_channels % operation.groups or operation.out_channels % operation.groups:
        raise ModelError(
            f"layer {layer.name!r} has {operation.groups} groups, which must divide its {operation.in_channels} input "
            f"and {operation.out_channels} output channels"
        )
