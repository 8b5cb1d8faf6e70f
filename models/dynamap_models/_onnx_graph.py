"""A graph of an ONNX file under construction: unique names, nodes, constants, and the weights of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._names import unique
from .errors import ModelError
from .ir import Activation, ActivationKind, Layer, Network, Tensor

if TYPE_CHECKING:
    import onnx

__all__ = ["Attribute", "GraphWriter", "Shape", "Value"]

Shape = tuple[int, ...]
Attribute = int | float | Sequence[int]


class Value(NamedTuple):
    """A value in the file and the shape ONNX gives it."""

    name: str
    shape: Shape


class GraphWriter:
    """Appends nodes and initialisers to the graph of a model, giving each value a name nothing else has.

    Attributes:
        model: the model as it stands.
        network: where tensors and parameters come from; the names of its tensors are kept free for them.
    """

    def __init__(self, network: Network, *, opset: int, ir_version: int) -> None:
        import onnx  # noqa: PLC0415 (reading and building networks must not pay for importing onnx)

        self.network = network
        self._onnx = onnx
        self.model = onnx.ModelProto(ir_version=ir_version, producer_name="dynamap_models")
        self.model.opset_import.append(onnx.helper.make_opsetid("", opset))
        self.model.graph.name = network.name
        self._taken = set(network.tensors)
        self._stored: dict[str, str] = {}

    def node(self, op_type: str, *inputs: str, **attributes: Attribute) -> str:
        """Append a node; the name of its result."""
        output = self._fresh(f"{inputs[0]}/{op_type}")
        node = self.model.graph.node.add(op_type=op_type, input=inputs, output=[output])
        node.attribute.extend(self._onnx.helper.make_attribute(key, value) for key, value in attributes.items())
        return output

    def contributed(self, op_type: str, *inputs: str, **attributes: Attribute) -> str:
        """Append a node of ONNX Runtime's own operators; the name of its result."""
        output = self.node(op_type, *inputs, **attributes)
        self.model.graph.node[-1].domain = "com.microsoft"
        return output

    def constant(self, base: str, values: NDArray[Any]) -> str:
        """Store an array as an initialiser; its name, which is ``base`` where that is free."""
        name = self._fresh(base)
        # Written into the graph's own message: appending a finished one would copy the weights once more.
        stored = self.model.graph.initializer.add(name=name, dims=values.shape)
        stored.data_type = self._onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
        stored.raw_data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        return name

    def parameter(self, name: str, shape: Shape, layer: Layer) -> str:
        """The initialiser of a parameter, stored at its first use.

        Raises:
            ModelError: when the network lacks it, or its shape is not the one the layer needs.
        """
        parameter = self.network.parameters.get(name)
        if parameter is None:
            raise ModelError(f"layer {layer.name!r} uses parameter {name!r}, which the network does not have")
        if parameter.shape != shape:
            raise ModelError(
                f"parameter {name!r} of layer {layer.name!r} has shape {parameter.shape}; its operation needs {shape}"
            )
        if name not in self._stored:
            values = np.asarray(parameter.load(), dtype=np.float32)
            if values.shape != shape:
                raise ModelError(f"parameter {name!r} loads as shape {values.shape}, but is declared as {shape}")
            self._stored[name] = self.constant(name, values)
        return self._stored[name]

    def bias(self, name: str | None, channels: int, layer: Layer) -> tuple[str, ...]:
        """The optional third input of Conv, ConvTranspose and Gemm: none or one."""
        return () if name is None else (self.parameter(name, (channels,), layer),)

    def reserve(self, names: Iterable[str]) -> None:
        """Keep names free that are written without asking."""
        self._taken.update(names)

    def reshape(self, value: str, shape: Shape) -> str:
        """``value`` as another shape of the same elements."""
        return self.node("Reshape", value, self.constant(f"{value}/shape", np.array(shape, dtype=np.int64)))

    def image(self, tensor: Tensor, layer: Layer) -> str:
        """A tensor as (1, C, H, W); a vector (1, C) becomes an image of one pixel.

        Raises:
            ModelError: for a tensor of any other shape.
        """
        shape = (1, tensor.channels, tensor.height, tensor.width)
        if tensor.onnx_shape == shape:
            return tensor.name
        if tensor.height == tensor.width == 1 and math.prod(tensor.onnx_shape) == tensor.channels:
            return self.reshape(tensor.name, shape)
        raise ModelError(
            f"layer {layer.name!r} computes on tensor {tensor.name!r} as an image of shape {shape}, but its ONNX shape "
            f"is {tensor.onnx_shape}; put a Reshape between them"
        )

    def activation(self, value: str, activation: Activation) -> str:
        """The nodes of an element-wise function; the last one gives its result."""
        match activation.kind:
            case ActivationKind.CLIP:
                # An omitted bound is an empty input.
                low, high = (
                    "" if math.isinf(bound) else self.constant(f"{value}/{side}", np.array(bound, np.float32))
                    for side, bound in (("low", activation.low), ("high", activation.high))
                )
                return self.node("Clip", value, low, high)
            case ActivationKind.SWISH:
                return self.node("Mul", value, self.node("Sigmoid", value))
            case ActivationKind.HARD_SIGMOID:
                return self.node("HardSigmoid", value, alpha=activation.alpha, beta=activation.beta)
            case ActivationKind.LEAKY_RELU:
                return self.node("LeakyRelu", value, alpha=activation.alpha)
            case ActivationKind.ELU:
                return self.node("Elu", value, alpha=activation.alpha)
            case ActivationKind.RELU:
                return self.node("Relu", value)
            case ActivationKind.SIGMOID:
                return self.node("Sigmoid", value)
            case ActivationKind.HARD_SWISH:
                return self.node("HardSwish", value)
            case ActivationKind.TANH:
                return self.node("Tanh", value)
            case ActivationKind.GELU:
                return self.node("Gelu", value)

    def describe(self) -> None:
        """Give every tensor of the network its shape: inputs, outputs, and all that lies between."""
        network, graph = self.network, self.model.graph

        def described(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
            make, kind = self._onnx.helper.make_tensor_value_info, self._onnx.TensorProto.FLOAT
            return [make(name, kind, network.tensors[name].onnx_shape) for name in names]

        graph.input.extend(described(network.inputs))
        graph.output.extend(described(network.outputs))
        edges = {*network.inputs, *network.outputs}
        graph.value_info.extend(described([layer.output for layer in network.layers if layer.output not in edges]))

    def _fresh(self, base: str) -> str:
        """``base``, or ``base`` with the first number that makes it unused."""
        name = unique(base, self._taken)
        self._taken.add(name)
        return name
