"""Quantised networks: every tensor in 8-bit integers with a scale and a zero point, judged by ONNX Runtime.

A real number is (q - zero_point) · scale of its stored integer q. Feature maps mean (height, width, channels) here as
in :mod:`dynamap_models.ir`. :mod:`dynamap_models.quantisation` makes quantised networks, from float networks and from
quantised ONNX files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .ir import (
    Activation,
    ActivationKind,
    Concat,
    Conv,
    Elementwise,
    ElementwiseKind,
    FullyConnected,
    GlobalPool,
    Layer,
    Network,
    Pool,
    PoolKind,
    Reshape,
    Tensor,
)

if TYPE_CHECKING:
    import onnx

__all__ = [
    "LayerWeights",
    "QuantisedNetwork",
    "TensorQuantisation",
    "clamps",
    "from_map",
    "is_clamp",
    "is_host",
    "stored_name",
    "to_map",
]

IntArray = NDArray[np.int64]


def stored_name(tensor: str) -> str:
    """The name of a tensor's integers in the model of a quantised network.

    >>> stored_name("image")
    'image/quantised'
    """
    return f"{tensor}/quantised"


@dataclass(frozen=True)
class TensorQuantisation:
    """How the integers of one tensor stand for real numbers: real = (q - zero_point) · scale.

    Attributes:
        scale: positive, and exactly a float32.
        zero_point: the integer that stands for zero, within :attr:`limits`.
        signed: int8 if true, else uint8.

    Raises:
        ModelError: from the constructor, for a scale or zero point out of its range.

    >>> TensorQuantisation(scale=0.5, zero_point=10, signed=False).quantise(np.array([-20.0, 0.75, 1.25])).tolist()
    [0, 12, 12]
    """

    scale: float
    zero_point: int
    signed: bool

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf or float(np.float32(self.scale)) != self.scale:
            raise ModelError(f"a tensor's scale must be a positive float32 number, not {self.scale!r}")
        low, high = self.limits
        if not low <= self.zero_point <= high:
            raise ModelError(f"a zero point of {self.dtype} must be from {low} to {high}, not {self.zero_point}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """int8 or uint8."""
        return np.dtype(np.int8 if self.signed else np.uint8)

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest integer."""
        return (-128, 127) if self.signed else (0, 255)

    def quantise(self, real: NDArray[np.floating[Any]]) -> IntArray:
        """The integers nearest to real numbers, halves to even, saturated: ONNX's ``QuantizeLinear`` in float32."""
        steps = np.rint(np.asarray(real, dtype=np.float32) / np.float32(self.scale)) + self.zero_point
        result: IntArray = np.clip(steps, *self.limits).astype(np.int64)
        return result

    def dequantise(self, stored: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """The real numbers integers stand for, in float32."""
        steps = np.asarray(stored, dtype=np.int64) - self.zero_point
        return steps.astype(np.float32) * np.float32(self.scale)


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights and bias of a convolution or a fully connected layer.

    Attributes:
        values: int64 array of int8 (``signed``) or uint8 numbers, (out channels, in channels / groups, kernel height,
            kernel width). Of a fully connected layer (out, in, 1, 1), its inputs in the order (height, width,
            channels) of the map it reads.
        scale: float32 array (out channels,).
        zero_point: of all weights; real = (value - zero_point) · scale.
        signed: int8 if true, else uint8.
        bias: int64 array (out channels,) of int32 numbers, in units of the source's scale times ``scale``.

    Raises:
        ModelError: from the constructor, for shapes or numbers that contradict this.
    """

    values: IntArray
    scale: NDArray[np.float32]
    zero_point: int
    signed: bool
    bias: IntArray

    def __post_init__(self) -> None:
        low, high = (-128, 127) if self.signed else (0, 255)
        if self.values.ndim != 4 or self.values.size == 0:
            raise ModelError(f"quantised weights must have four axes and elements, not shape {self.values.shape}")
        channels = self.values.shape[:1]
        if self.scale.shape != channels or self.bias.shape != channels:
            raise ModelError(
                f"quantised weights of {channels[0]} channels need as many scales and biases, not "
                f"{self.scale.shape} and {self.bias.shape}"
            )
        if not low <= min(self.values.min(), self.zero_point) or max(self.values.max(), self.zero_point) > high:
            raise ModelError(f"quantised weights and their zero point must be from {low} to {high}")
        if not np.all((self.scale > 0) & np.isfinite(self.scale)):
            raise ModelError("the scales of quantised weights must be positive numbers")
        if np.any(np.abs(self.bias) > 2**31 - 1):
            raise ModelError("the biases of a quantised layer must fit 32 bits")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LayerWeights):
            return NotImplemented
        return (
            (self.zero_point, self.signed) == (other.zero_point, other.signed)
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.bias, other.bias)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    @property
    def real(self) -> NDArray[np.float32]:
        """The weights as real numbers."""
        steps = (self.values - self.zero_point).astype(np.float32)
        return steps * self.scale[:, None, None, None]


def is_host(network: Network, tensors: Mapping[str, TensorQuantisation], layer: Layer) -> bool:
    """Whether a layer has no form in 8-bit integers on an overlay and is computed in float by the host.

    Convolutions, fully connected layers and averages have one; so has the sum of two maps of one shape; so have maxima,
    clamps, reshapes and concatenations that keep the quantisation of what they read.
    """
    kept = all(tensors[name] == tensors[layer.output] for name in layer.inputs)
    match layer.operation:
        case Conv() | FullyConnected() | Pool(kind=PoolKind.AVERAGE) | GlobalPool(kind=PoolKind.AVERAGE):
            return False
        case Elementwise(kind=ElementwiseKind.ADD, activation=activation):
            shapes = {tensor.onnx_shape for tensor in network.input_tensors(layer)}
            return len(layer.inputs) != 2 or len(shapes) != 1 or not is_clamp(activation)
        case Pool() | Concat() | Reshape() | Activation(kind=ActivationKind.RELU | ActivationKind.CLIP):
            return not kept
        case _:
            return True


def is_clamp(activation: Activation | None) -> bool:
    """Whether an activation, or none, only limits integers."""
    return activation is None or activation.kind in {ActivationKind.RELU, ActivationKind.CLIP}


def clamps(layer: Layer, output: TensorQuantisation) -> tuple[int, int]:
    """The least and the greatest integer ``layer`` can write to a tensor of quantisation ``output``."""
    operation = layer.operation
    activation = operation if isinstance(operation, Activation) else getattr(operation, "activation", None)
    if activation is None or not is_clamp(activation):
        return output.limits
    bounds = (0.0, math.inf) if activation.kind is ActivationKind.RELU else (activation.low, activation.high)
    least, greatest = (int(bound) for bound in output.quantise(np.array(bounds)))
    return least, greatest


@dataclass(frozen=True)
class QuantisedNetwork:
    """A network whose tensors are 8-bit integers.

    Attributes:
        network: one layer for each quantised operation; its parameters are the real weights.
        tensors: how each tensor of ``network`` is stored.
        weights: by layer name, of every ``Conv`` and ``FullyConnected``.
        model: what ONNX Runtime computes with it is what the network means. Inputs and outputs are float, with
            ``QuantizeLinear`` behind the inputs and ``DequantizeLinear`` before the outputs.
        exact: whether ONNX Runtime's float32 arithmetic is known to round every result as exact arithmetic would
            (:mod:`dynamap_models.quantisation.exactness`); else results beside a tie may be one unit off.
    """

    network: Network
    tensors: Mapping[str, TensorQuantisation]
    weights: Mapping[str, LayerWeights]
    model: onnx.ModelProto
    exact: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))
        for name in self.network.tensors:
            if name not in self.tensors:
                raise ModelError(f"tensor {name!r} of network {self.network.name!r} has no quantisation")

    def clamps(self, layer: Layer) -> tuple[int, int]:
        """The least and the greatest integer ``layer`` can write: saturation and, where there is one, ReLU or clip."""
        return clamps(layer, self.tensors[layer.output])

    def is_host(self, layer: Layer) -> bool:
        """Whether ``layer`` is computed in float by the host, see :func:`is_host`."""
        return is_host(self.network, self.tensors, layer)

    def reference(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, IntArray]:
        """Every tensor of the network, (height, width, channels), as ONNX Runtime computes it without optimisations.

        Args:
            inputs: a map (height, width, channels) for every input of the network; integers are taken as stored,
                floats are quantised first.

        Raises:
            ModelError: when an input is missing, unknown, of another shape, or out of its type's range.
        """
        names = self.network.inputs
        if set(inputs) != set(names):
            raise ModelError(
                f"network {self.network.name!r} needs maps for its inputs {', '.join(map(repr, names))}, not for "
                f"{', '.join(map(repr, inputs)) or 'none'}"
            )
        feeds = {name: self._feed(name, np.asarray(inputs[name])) for name in names}
        session, tensors = self._session, self.network.tensors
        results = session.run([stored_name(name) for name in tensors], feeds)
        return {name: to_map(tensors[name], array) for name, array in zip(tensors, results, strict=True)}

    def _feed(self, name: str, given: NDArray[Any]) -> NDArray[np.float32]:
        """An input map as the model's float input."""
        tensor, stored = self.network.tensors[name], self.tensors[name]
        if given.shape != (tensor.height, tensor.width, tensor.channels):
            raise ModelError(
                f"input {name!r} must be a map of shape {(tensor.height, tensor.width, tensor.channels)} (height, "
                f"width, channels), not {given.shape}"
            )
        if given.dtype.kind in "iu":
            low, high = stored.limits
            if given.min() < low or given.max() > high:
                raise ModelError(f"the integers of input {name!r} must be from {low} to {high}")
            given = stored.dequantise(given)
        return from_map(tensor, given.astype(np.float32))

    @cached_property
    def _session(self) -> Any:
        """An ONNX Runtime session of the model that can return every tensor's integers."""
        import onnx  # noqa: PLC0415 (whoever only maps networks needs neither onnx nor its runtime)

        from ._runtime import session  # noqa: PLC0415

        shown = onnx.ModelProto()
        shown.CopyFrom(self.model)
        del shown.graph.output[:]
        for name, stored in self.tensors.items():
            kind = onnx.TensorProto.INT8 if stored.signed else onnx.TensorProto.UINT8
            shape = self.network.tensors[name].onnx_shape
            shown.graph.output.append(onnx.helper.make_tensor_value_info(stored_name(name), kind, shape))
        return session(shown)


def from_map(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    """A map (height, width, channels) in the tensor's ONNX shape."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 0)).reshape(tensor.onnx_shape)


def to_map(tensor: Tensor, array: NDArray[Any]) -> IntArray:
    """An array of the tensor's ONNX shape as a map (height, width, channels) of int64."""
    image = np.asarray(array).reshape(tensor.channels, tensor.height, tensor.width)
    return np.ascontiguousarray(np.moveaxis(image, 0, -1), dtype=np.int64)
