"""A quantised file as a quantised network: the float network that was read, with what its integers meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from dynamap_models.errors import ModelError
from dynamap_models.ir import (
    Activation,
    ActivationKind,
    ChannelShuffle,
    Concat,
    Conv,
    FullyConnected,
    GlobalPool,
    HostOperator,
    Layer,
    Network,
    Pool,
    PoolKind,
    Reshape,
)
from dynamap_models.onnx_import import network_of
from dynamap_models.onnx_import.graph import read_graph
from dynamap_models.onnx_import.source import SourceLike, read_source
from dynamap_models.quantisation.quantise import assembled
from dynamap_models.quantisation.weights import to_stored_order
from dynamap_models.quantised import LayerWeights, QuantisedNetwork, TensorQuantisation, is_clamp

from .dequantise import CONTRIBUTED, dequantised
from .records import IntegerConstant, Records

__all__ = ["import_quantised_onnx"]

# Biases are stated in products of scales; float32 products may differ in their last bits.
_SCALE_TOLERANCE = 1e-5
_GREATEST_BIAS = 2**31 - 1


def import_quantised_onnx(
    source: SourceLike, *, input_shapes: Mapping[str, Sequence[int]] | None = None, name: str | None = None
) -> QuantisedNetwork:
    """Read a quantised ONNX model: of integer operators, or of float ones between quantising and dequantising nodes.

    Both forms that ``onnxruntime.quantization.quantize_static`` writes are read, int8 and uint8, scales per tensor and,
    for weights, per channel. The result's model is written anew, in the form of :func:`~dynamap_models.quantisation.
    quantise`; it differs from the file in roundings at most: where the file quantises a result both before and after a
    ReLU or clip it is rounded once, and where a float operator stands for an integer one, float32 sums are not.

    A concatenation or pool that changes scales stays as it is in the file, and is a host layer
    (:meth:`~dynamap_models.quantised.QuantisedNetwork.is_host`).

    Args:
        source: path of the file, its bytes, or a parsed model, which must not change afterwards.
        input_shapes: as for :func:`~dynamap_models.import_onnx`.
        name: of the network; by default the graph's name, else the file's.

    Raises:
        ModelError: when the model cannot be read, is not quantised, or some tensor or weight of it is not in 8-bit
            integers with a scale and a zero point; the message says which and what to do.
        UnsupportedOperatorError: for operators nothing is known of.
    """
    read = read_source(source)
    state = dequantised(read_graph(read, contributed=CONTRIBUTED), read.label)
    records = state.records
    network = network_of(state.graph(), read, input_shapes=input_shapes or {}, name=name, kept=state.kept)
    for file_name in network.outputs:
        # An output bears the file's name, its quantisation was recorded for the tensor behind it.
        behind = state.float_name(file_name)
        if behind in records.tensors:
            records.tensors.setdefault(file_name, records.tensors[behind])
    tensors = _tensors(network, records.tensors)
    weights: dict[str, LayerWeights] = {}
    for layer in network.layers:
        operation = layer.operation
        activation = getattr(operation, "activation", None)
        if isinstance(operation, Conv | FullyConnected) and activation is not None and not is_clamp(activation):
            raise ModelError(
                f"layer {layer.name!r} has the activation {activation.kind} on a result that is not quantised; "
                "quantise the tensor between them"
            )
        if isinstance(operation, Conv | FullyConnected):
            weights[layer.name] = _weights(network, layer, operation, records, tensors[layer.inputs[0]])
    return assembled(network, tensors, weights)


# ---- tensors ----


def _tensors(network: Network, known: Mapping[str, TensorQuantisation]) -> dict[str, TensorQuantisation]:
    """A quantisation for every tensor; those the file gives none are alike with a neighbour, or have a known range."""
    tensors = {name: known[name] for name in network.tensors if name in known}
    for layers in (network.layers, network.layers[::-1], network.layers):
        for layer in layers:
            if not _keeps(layer):
                continue
            names = (*layer.inputs, layer.output)
            found = {tensors[name] for name in names if name in tensors}
            if len(found) == 1:
                tensors.update(dict.fromkeys(names, found.pop()))
    for layer in network.layers:
        if layer.output not in tensors and all(name in tensors for name in layer.inputs):
            stored = _of_known_range(layer, signed=bool(layer.inputs) and tensors[layer.inputs[0]].signed)
            if stored is not None:
                tensors[layer.output] = stored
    missing = next((name for name in network.tensors if name not in tensors), None)
    if missing is not None:
        writer = network.writers.get(missing)
        place = f", written by layer {writer.name!r}," if writer is not None else ", an input,"
        raise ModelError(
            f"tensor {missing!r}{place} is not quantised in the file; quantise every layer, inputs included, or cut "
            "the model before it"
        )
    return tensors


def _keeps(layer: Layer) -> bool:
    """Whether a layer's integers can stay what they are."""
    match layer.operation:
        case Concat() | Reshape() | ChannelShuffle():
            return True
        case Pool(kind=kind) | GlobalPool(kind=kind):
            return kind is PoolKind.MAX
        case Activation() as activation:
            return is_clamp(activation)
        case _:
            return False


def _of_known_range(layer: Layer, *, signed: bool) -> TensorQuantisation | None:
    """The quantisation of results that lie between known bounds whatever is computed."""
    low, _ = (-128, 127) if signed else (0, 255)
    match layer.operation:
        case HostOperator(op_type="Softmax") | Activation(kind=ActivationKind.SIGMOID | ActivationKind.HARD_SIGMOID):
            return TensorQuantisation(scale=2.0**-8, zero_point=low, signed=signed)
        case Activation(kind=ActivationKind.TANH):
            return TensorQuantisation(scale=2.0**-7, zero_point=low + 128, signed=signed)
        case _:
            return None


# ---- weights ----


def _weights(
    network: Network,
    layer: Layer,
    operation: Conv | FullyConnected,
    records: Records,
    source: TensorQuantisation,
) -> LayerWeights:
    record = records.constants.get(operation.weight)
    values = None if record is None else _as_used(record, network.parameters[operation.weight].load())
    if record is None or values is None:
        raise ModelError(
            f"the weights of layer {layer.name!r} are not those of a quantised tensor of the file, with one scale or "
            "one for each output channel; quantise them so, and leave no scaling between them and the layer"
        )
    if record.elem_type not in {TensorProto.INT8, TensorProto.UINT8}:
        raise ModelError(f"the weights of layer {layer.name!r} are not 8-bit integers; quantise them to 8 bits")
    points = set(record.zero_point.tolist())
    if len(points) != 1:
        raise ModelError(f"the weights of layer {layer.name!r} have different zero points; channels must share one")
    zero_point, signed = points.pop(), record.elem_type == TensorProto.INT8
    # One form for one meaning: int8 without a zero point, or uint8 with one.
    if signed and zero_point:
        values, zero_point, signed = values + 128, zero_point + 128, False
    elif not signed and zero_point == 128:
        values, zero_point, signed = values - 128, 0, True
    if isinstance(operation, FullyConnected):
        values = to_stored_order(values, network.input_tensors(layer)[0])
    scale = np.broadcast_to(record.scale, values.shape[:1]).astype(np.float32)
    bias = _bias(network, operation, records, np.float64(source.scale) * scale)
    return LayerWeights(values=values, scale=scale, zero_point=zero_point, signed=signed, bias=bias)


def _as_used(record: IntegerConstant, real: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """The integers behind a layer's real weights, in that layer's order; None where they are not behind them."""
    integers, reals = record.load(), record.real()
    forms = [(integers, reals, 0)]
    if integers.ndim == 2:  # the network's matrices are (out, in), the file's either
        forms.append((integers.T, reals.T, 1))
    if integers.ndim == 3:  # a convolution along one axis
        forms = [(integers[:, :, None], reals[:, :, None], 0)]
    for values, expected, axis in forms:
        # Scales must vary along the output channels, which tells symmetric matrices apart as well.
        if (record.scale.size == 1 or record.axis == axis) and np.array_equal(expected, real):
            return values
    return None


def _bias(
    network: Network, operation: Conv | FullyConnected, records: Records, units: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The bias in these units: the file's own integers, where they count in them."""
    if operation.bias is None:
        return np.zeros(len(units), np.int64)
    record = records.constants.get(operation.bias)
    if record is not None and not record.zero_point.any():
        stated = np.broadcast_to(record.scale.astype(np.float64), units.shape)
        if np.all(np.abs(stated - units) <= _SCALE_TOLERANCE * units):
            return record.load().reshape(-1)
    real = network.parameters[operation.bias].load().astype(np.float64)
    return np.clip(np.rint(real / units), -_GREATEST_BIAS, _GREATEST_BIAS).astype(np.int64)
