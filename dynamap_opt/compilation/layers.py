"""From a layer of a quantised network to what the overlay is asked to compute, and from that to its program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from dynamap_models.ir import (
    Activation,
    Conv,
    Elementwise,
    FullyConnected,
    GlobalPool,
    Layer,
    Pool,
    PoolKind,
    Reshape,
    Tensor,
)
from dynamap_opt.circuits import winograd_tile
from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.program.convolution import Convolution, convolution_program
from dynamap_rtl.program.layer import LayerProgram, Scaling, TensorPlace
from dynamap_rtl.program.vector import Addition, AveragePooling, MaxPooling, vector_program
from dynamap_rtl.program.winograd import winograd_program
from dynamap_rtl.units.fixed_point import fixed_points
from dynamap_rtl.units.vector_path import Windows

if TYPE_CHECKING:
    from dynamap_models.quantised import LayerWeights, QuantisedNetwork

__all__ = ["Operation", "copy_operation", "layer_program", "overlay_operation", "runs_on_overlay"]

Operation: TypeAlias = Convolution | MaxPooling | AveragePooling | Addition
Places: TypeAlias = Callable[[str], TensorPlace]


def runs_on_overlay(quantised: QuantisedNetwork, layer: Layer) -> bool:
    """Whether a unit of the overlay computes the layer; concatenations and views need none and are not asked for."""
    return not quantised.is_host(layer) and not isinstance(layer.operation, Reshape)  # not a view: the host moves it


def overlay_operation(quantised: QuantisedNetwork, layer: Layer, place: Places, *, expanded: bool = False) -> Operation:
    """What the overlay is asked to compute for a layer that it runs.

    Ties of averages and sums are rounded to even with the zero point inside where the operators of the network's model
    do so: ``QLinearAdd``, and ``QLinearAveragePool``, which stands for averages without a ceiling mode.

    Args:
        quantised: whose layer it is.
        layer: see :func:`runs_on_overlay`.
        place: where a tensor lies; views have been followed to the tensor they show.
        expanded: whether its input is stored as the convolution's windows, so that it is one over their pixels.

    Raises:
        OverlayError: when a scale or a window is one no overlay can do.
    """
    operation = layer.operation
    scale = [quantised.tensors[name].scale for name in (*layer.inputs, layer.output)]
    clamps = quantised.clamps(layer)
    source, target = place(layer.inputs[0]), place(layer.output)
    match operation:
        case Conv():
            weights = quantised.weights[layer.name]
            scaling = _scaling(weights, scale[0], scale[1], clamps)
            if expanded:
                rows = weights.values.transpose(0, 2, 3, 1).reshape(len(weights.values), -1, 1, 1)
                return Convolution(
                    source=source, target=target, weights=rows, weight_zero=weights.zero_point, scaling=scaling
                )
            return Convolution(
                source=source,
                target=target,
                weights=weights.values,
                weight_zero=weights.zero_point,
                scaling=scaling,
                stride=operation.stride,
                pads=operation.pads[:2],
                dilation=operation.dilation,
                groups=operation.groups,
            )
        case FullyConnected():
            weights = quantised.weights[layer.name]
            scaling = _scaling(weights, scale[0], scale[1], clamps)
            return _product(weights, quantised.network.input_tensors(layer)[0], source, target, scaling)
        case Pool(kind=PoolKind.MAX) | GlobalPool(kind=PoolKind.MAX):
            return MaxPooling(source=source, target=target, windows=_windows(operation, source), clamps=clamps)
        case Pool() | GlobalPool():
            return AveragePooling(
                source=source,
                target=target,
                windows=_windows(operation, source),
                source_scale=scale[0],
                target_scale=scale[1],
                count_pads=isinstance(operation, Pool) and operation.count_pads,
                zero_point_inside=isinstance(operation, Pool) and not any(operation.ceil_extra),
                clamps=clamps,
            )
        case Elementwise():
            return Addition(
                a=source,
                b=place(layer.inputs[1]),
                target=target,
                a_scale=scale[0],
                b_scale=scale[1],
                target_scale=scale[2],
                zero_point_inside=True,
                clamps=clamps,
            )
        case Activation():
            return copy_operation(source, target, scale[0], scale[1], clamps=clamps)
        case _:
            raise AssertionError(f"layer {layer.name!r} does not run on the overlay")


def copy_operation(
    source: TensorPlace,
    target: TensorPlace,
    source_scale: float,
    target_scale: float,
    *,
    clamps: tuple[int, int] | None = None,
) -> Operation:
    """The same map elsewhere, requantised where the scales differ: an average over windows of one element."""
    return AveragePooling(
        source=source,
        target=target,
        windows=Windows(kernel=(1, 1)),
        source_scale=source_scale,
        target_scale=target_scale,
        zero_point_inside=False,
        clamps=clamps,
    )


def layer_program(
    operation: Operation,
    circuit: CircuitParameters,
    *,
    algorithm: str | None,
    dataflow: Dataflow | None,
    constants_address: int,
) -> LayerProgram:
    """The program of one operation.

    Args:
        operation: what to compute.
        circuit: on what.
        algorithm: of a convolution.
        dataflow: likewise.
        constants_address: where its weights and channel parameters will lie.

    Raises:
        ProgramError: when it does not fit the overlay; the message names the buffer.
    """
    if not isinstance(operation, Convolution):
        return vector_program(operation, circuit, constants_address=constants_address)
    assert algorithm is not None
    assert dataflow is not None
    tile = winograd_tile(algorithm)
    if tile is not None:
        return winograd_program(operation, circuit, dataflow, tile=tile, constants_address=constants_address)
    kn2row = algorithm == "kn2row"
    return convolution_program(operation, circuit, dataflow, constants_address=constants_address, kn2row=kn2row)


def _product(
    weights: LayerWeights, read: Tensor, source: TensorPlace, target: TensorPlace, scaling: Scaling
) -> Convolution:
    """A fully connected layer: a 1x1 convolution of one pixel, or a window over all of a map in a wider buffer.

    Args:
        weights: inputs in the order of the tensor the layer reads.
        read: that tensor; a vector where the layer reads a flattened map.
        source: where the map lies.
        target: where the results go.
        scaling: from sums to results.
    """
    outputs = len(weights.values)
    if read.height * read.width == 1:  # a flattened map's elements are in the order of the file, channel by channel
        maps = weights.values.reshape(outputs, source.channels, source.height, source.width)
    else:
        maps = weights.values.reshape(outputs, source.height, source.width, source.channels).transpose(0, 3, 1, 2)
    if source.pixel_pitch == source.channels or source.pixels == 1:
        inputs = source.pixels * source.channels
        maps = maps.transpose(0, 2, 3, 1).reshape(outputs, inputs, 1, 1)
        source = replace(source, height=1, width=1, channels=inputs, pixel_pitch=inputs)
    return Convolution(source=source, target=target, weights=maps, weight_zero=weights.zero_point, scaling=scaling)


def _scaling(weights: LayerWeights, source_scale: float, target_scale: float, clamps: tuple[int, int]) -> Scaling:
    # As ONNX Runtime computes it, every step rounded to float32.
    scale = np.float32(source_scale) * weights.scale.astype(np.float32) / np.float32(target_scale)
    multiplier, shift = fixed_points(scale)
    return Scaling(bias=weights.bias, multiplier=multiplier, shift=shift, low=clamps[0], high=clamps[1])


def _windows(operation: Pool | GlobalPool, source: TensorPlace) -> Windows:
    if isinstance(operation, GlobalPool):
        return Windows(kernel=(source.height, source.width))
    top, left, bottom, right = operation.pads
    # What ceil mode looks at beyond the padding is no padding: it never counts in an average.
    return Windows(
        kernel=operation.kernel,
        strides=operation.stride,
        pads=(top, left, max(0, bottom - operation.ceil_extra[0]), max(0, right - operation.ceil_extra[1])),
    )
