"""Quantised networks as ONNX models of integer operators, which ONNX Runtime computes as they are written.

A tensor's integers bear the name :func:`~dynamap_models.quantised.stored_name` gives. The network's inputs and outputs
are float. Convolutions are ``QLinearConv``; fully connected layers, sums and averages are ONNX Runtime's ``QGemm``,
``QLinearAdd``, ``QLinearAveragePool`` and ``QLinearGlobalAveragePool``; what only moves or compares integers are the
standard operators on integers. What has no such form is computed in float between ``DequantizeLinear`` and
``QuantizeLinear``.

Weights are stored in the type of the activations: uint8 with a zero point of 128, where those are uint8. Products of
uint8 with int8 are what ONNX Runtime computes with saturating 16-bit sums on processors without VNNI, and so wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dynamap_models._onnx_graph import GraphWriter, Value
from dynamap_models._onnx_layers import NodeNames, flat, write_layer
from dynamap_models._onnx_windows import convolution_frame, write_pool
from dynamap_models.errors import ModelError
from dynamap_models.ir import Activation, Conv, Elementwise, FullyConnected, GlobalPool, Layer, Network, Pool, PoolKind
from dynamap_models.onnx_export import ONNX_IR_VERSION, ONNX_OPSET
from dynamap_models.quantised import LayerWeights, TensorQuantisation, clamps, is_host, stored_name

from .weights import from_stored_order

if TYPE_CHECKING:
    import onnx

__all__ = ["quantised_model"]


def quantised_model(
    network: Network, tensors: Mapping[str, TensorQuantisation], weights: Mapping[str, LayerWeights]
) -> onnx.ModelProto:
    """The model that says what a quantised network computes; the same network always gives the same model.

    Raises:
        ModelError: when shapes contradict operations, a layer mixes int8 and uint8 maps, a host layer cannot be
            exported, or a tensor has a name that another's integers need.
    """
    writer = _ModelWriter(network, tensors, weights)
    writer.describe()
    for name in network.inputs:
        writer.quantise(name, name)
        writer.names.name(f"{name}/quantise")
    for layer in network.layers:
        writer.write(layer)
        # An activation of two nodes is known by the second when it is read.
        writer.names.name(layer.name, last=isinstance(layer.operation, Activation))
    for name in network.outputs:
        writer.dequantised(name)
        writer.names.name(f"{name}/dequantise")
    return writer.graph.model


class _ModelWriter:
    """The model under construction.

    Attributes:
        graph: its graph; ``graph.network`` is the network under the names of its tensors' integers.
        names: of its nodes.
    """

    def __init__(
        self, network: Network, tensors: Mapping[str, TensorQuantisation], weights: Mapping[str, LayerWeights]
    ) -> None:
        import onnx  # noqa: PLC0415 (reading and building networks must not pay for importing onnx)

        for name in network.tensors:
            if stored_name(name) in network.tensors:
                raise ModelError(
                    f"tensor {stored_name(name)!r} has the name that the integers of {name!r} need; rename it"
                )
        self._onnx = onnx
        self.network, self.tensors, self.weights = network, tensors, weights
        self._integers = _renamed(network)
        self.graph = GraphWriter(self._integers, opset=ONNX_OPSET, ir_version=ONNX_IR_VERSION)
        self.graph.model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
        self.graph.reserve(network.tensors)
        self.names = NodeNames(self.graph)
        self._scales: dict[str, tuple[str, str]] = {}
        self._reals: dict[str, str] = {}

    def describe(self) -> None:
        """State the shapes of inputs and outputs, which are float, and of every tensor's integers."""
        graph, make, kinds = self.graph.model.graph, self._onnx.helper.make_tensor_value_info, self._onnx.TensorProto
        for entries, names in ((graph.input, self.network.inputs), (graph.output, self.network.outputs)):
            entries.extend(make(name, kinds.FLOAT, self.network.tensors[name].onnx_shape) for name in names)
        for name, tensor in self.network.tensors.items():
            kind = kinds.INT8 if self.tensors[name].signed else kinds.UINT8
            graph.value_info.append(make(stored_name(name), kind, tensor.onnx_shape))

    # ---- between integers and real numbers ----

    def quantisation(self, tensor: str) -> tuple[str, str]:
        """The constants that hold a tensor's scale and zero point."""
        if tensor not in self._scales:
            stored = self.tensors[tensor]
            self._scales[tensor] = (
                self.graph.constant(f"{tensor}/scale", np.array(stored.scale, np.float32)),
                self.graph.constant(f"{tensor}/zero_point", np.array(stored.zero_point, stored.dtype)),
            )
        return self._scales[tensor]

    def quantise(self, value: str, tensor: str) -> None:
        """Make real numbers the integers of ``tensor``."""
        self.graph.node("QuantizeLinear", value, *self.quantisation(tensor))
        self.graph.model.graph.node[-1].output[0] = stored_name(tensor)

    def dequantised(self, tensor: str) -> str:
        """The real numbers that the integers of ``tensor`` stand for."""
        if tensor not in self._reals:
            real = self.graph.node("DequantizeLinear", stored_name(tensor), *self.quantisation(tensor))
            if tensor in self.network.outputs:
                real = self.graph.model.graph.node[-1].output[0] = tensor
            self._reals[tensor] = real
        return self._reals[tensor]

    # ---- layers ----

    def write(self, layer: Layer) -> None:
        """Append the nodes of a layer; the last one writes the integers of its output."""
        operation = layer.operation
        if is_host(self.network, self.tensors, layer):
            self._host(layer)
            return
        self._check_types(layer)
        renamed = replace(
            layer, inputs=tuple(stored_name(name) for name in layer.inputs), output=stored_name(layer.output)
        )
        match operation:
            case Conv():
                value = self._convolution(renamed, layer, operation)
            case FullyConnected():
                value = self._fully_connected(renamed, layer, operation)
            case Elementwise():
                value = self._addition(renamed, layer)
            case Pool(kind=PoolKind.AVERAGE) if any(operation.ceil_extra):
                # QLinearAveragePool knows no ceiling mode that leaves out what lies beyond the padding.
                self._host(layer)
                return
            case Pool(kind=PoolKind.AVERAGE):
                value = self._average(renamed, layer, operation)
            case GlobalPool():
                value = self._global_average(renamed, layer)
            case Activation():
                source = self.network.input_tensors(layer)[0]
                value = Value(self._limited(renamed.inputs[0], layer, always=True), source.onnx_shape)
            case _:
                # Maxima, concatenations and reshapes are the same operators for integers.
                write_layer(self.graph, renamed)
                return
        shape = self.network.output_tensor(layer).onnx_shape
        if value.shape != shape:
            self.graph.reshape(value.name, shape)
        self.graph.model.graph.node[-1].output[0] = renamed.output

    def _convolution(self, renamed: Layer, layer: Layer, operation: Conv) -> Value:
        image, shape, attributes = convolution_frame(self.graph, renamed, operation)
        wanted = (operation.out_channels, operation.in_channels // operation.groups, *operation.kernel)
        weights = self._weights_of(layer, wanted)
        values, scale, zero_point, bias = self._stored_weights(layer, weights.values, weights)
        scales = (*self.quantisation(layer.inputs[0]), values, scale, zero_point, *self.quantisation(layer.output))
        return Value(
            self._limited(self.graph.node("QLinearConv", image, *scales, bias, **attributes), layer),
            shape,
        )

    def _fully_connected(self, renamed: Layer, layer: Layer, operation: FullyConnected) -> Value:
        vector = flat(self.graph, renamed, operation)
        weights = self._weights_of(layer, (operation.out_features, operation.in_features, 1, 1))
        matrix = from_stored_order(weights.values, self.network.input_tensors(layer)[0])
        values, scale, zero_point, bias = self._stored_weights(layer, matrix, weights)
        scales = (*self.quantisation(layer.inputs[0]), values, scale, zero_point, bias)
        value = self.graph.contributed("QGemm", vector, *scales, *self.quantisation(layer.output), transB=1)
        return Value(self._limited(value, layer), (1, operation.out_features))

    def _addition(self, renamed: Layer, layer: Layer) -> Value:
        (a, b), shape = renamed.inputs, self.network.output_tensor(layer).onnx_shape
        scales = (self.quantisation(name) for name in (*layer.inputs, layer.output))
        first, second, output = scales
        return Value(
            self._limited(self.graph.contributed("QLinearAdd", a, *first, b, *second, *output), layer),
            shape,
        )

    def _average(self, renamed: Layer, layer: Layer, operation: Pool) -> Value:
        value = write_pool(self.graph, renamed, operation)
        # The quantised operator takes the attributes of the float one, and is another otherwise.
        node = self.graph.model.graph.node[-1]
        node.op_type, node.domain = "QLinearAveragePool", "com.microsoft"
        node.input.extend((*self.quantisation(layer.inputs[0]), *self.quantisation(layer.output)))
        return value

    def _global_average(self, renamed: Layer, layer: Layer) -> Value:
        source = self.graph.network.input_tensors(renamed)[0]
        scales = (*self.quantisation(layer.inputs[0]), *self.quantisation(layer.output))
        image = self.graph.image(source, renamed)
        return Value(self.graph.contributed("QLinearGlobalAveragePool", image, *scales), (1, source.channels, 1, 1))

    def _limited(self, value: str, layer: Layer, *, always: bool = False) -> str:
        """A layer's result clamped where its type does not do so already."""
        stored = self.tensors[layer.output]
        bounds = clamps(layer, stored)
        if bounds == stored.limits and not always:
            return value
        names = [
            self.graph.constant(f"{layer.output}/{side}", np.array(bound, stored.dtype))
            if bound != limit or (always and side == "low")
            else ""
            for side, bound, limit in zip(("low", "high"), bounds, stored.limits, strict=True)
        ]
        return self.graph.node("Clip", value, *names)

    def _host(self, layer: Layer) -> None:
        """A layer in float: the integers it reads made real, its result made integers again."""
        inputs = tuple(self.dequantised(name) for name in layer.inputs)
        output = layer.output
        if output in self.network.outputs:  # that name is the dequantised output's
            output = f"{output}/real"
            self.graph.reserve([output])
        tensors = {
            name: replace(tensor, name=name)
            for name, tensor in zip(
                (*inputs, output),
                (*self.network.input_tensors(layer), self.network.output_tensor(layer)),
                strict=True,
            )
        }
        self.graph.network = Network(
            name=self.network.name,
            inputs=tuple(dict.fromkeys(inputs)),
            outputs=(output,),
            layers=(replace(layer, inputs=inputs, output=output),),
            tensors=tensors,
            parameters=self.network.parameters,
        )
        write_layer(self.graph, self.graph.network.layers[0])
        self.graph.network = self._integers
        self.quantise(output, layer.output)

    # ---- weights ----

    def _weights_of(self, layer: Layer, shape: tuple[int, ...]) -> LayerWeights:
        weights = self.weights.get(layer.name)
        if weights is None or weights.values.shape != shape:
            found = "has none" if weights is None else f"has {weights.values.shape}"
            raise ModelError(f"layer {layer.name!r} needs quantised weights of shape {shape}, but {found}")
        return weights

    def _stored_weights(
        self, layer: Layer, values: np.ndarray[tuple[int, ...], np.dtype[np.int64]], weights: LayerWeights
    ) -> tuple[str, str, str, str]:
        """Constants of a layer: weights in the type of the activations, their scales and zero points, the bias."""
        source = self.tensors[layer.inputs[0]]
        shift = 128 * (int(weights.signed) - int(source.signed))
        name, channels = layer.name, len(values)
        return (
            self.graph.constant(f"{name}/weight", (values + shift).astype(source.dtype)),
            self.graph.constant(f"{name}/weight_scale", weights.scale.astype(np.float32)),
            self.graph.constant(
                f"{name}/weight_zero_point", np.full(channels, weights.zero_point + shift, source.dtype)
            ),
            self.graph.constant(f"{name}/bias", weights.bias.astype(np.int32)),
        )

    def _check_types(self, layer: Layer) -> None:
        if len({self.tensors[name].signed for name in (*layer.inputs, layer.output)}) > 1:
            raise ModelError(
                f"layer {layer.name!r} reads and writes both int8 and uint8 maps, for which there is no operator; use "
                "one type for all"
            )


def _renamed(network: Network) -> Network:
    """The network under the names of its tensors' integers."""

    def names(tensors: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(stored_name(name) for name in tensors)

    return Network(
        name=network.name,
        inputs=names(network.inputs),
        outputs=names(network.outputs),
        layers=tuple(
            replace(layer, inputs=names(layer.inputs), output=stored_name(layer.output)) for layer in network.layers
        ),
        tensors={
            stored_name(name): replace(tensor, name=stored_name(name)) for name, tensor in network.tensors.items()
        },
        parameters=network.parameters,
    )
