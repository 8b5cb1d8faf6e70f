"""The intermediate representation: what a network computes, free of file formats, hardware and solvers.

A :class:`Network` is a directed acyclic graph of :class:`Layer` objects over :class:`Tensor` objects, at batch 1.
Everything is frozen. Feature maps mean (height, width, channels) whatever the file they came from used; kernels,
strides and dilations are always ``(vertical, horizontal)`` pairs and pads are ``(top, left, bottom, right)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError

__all__ = [
    "Activation",
    "ActivationKind",
    "Affine",
    "ChannelShuffle",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Elementwise",
    "ElementwiseKind",
    "FullyConnected",
    "GlobalPool",
    "HostOperator",
    "Layer",
    "Network",
    "Operation",
    "Pads",
    "Pair",
    "Parameter",
    "Pool",
    "PoolKind",
    "Reshape",
    "Tensor",
]

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tensor:
    """One activation tensor at batch 1.

    Attributes:
        name: unique in its network.
        height: rows; 1 for a vector.
        width: columns; 1 for a vector.
        channels: features per pixel.
        onnx_shape: the shape in the source file's own order, batch included; equal to ``(1, C, H, W)`` or ``(1, C)``
            for the tensors layers compute with, and of any rank inside host operators.
    """

    name: str
    height: int
    width: int
    channels: int
    onnx_shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.height * self.width * self.channels


class ActivationKind(StrEnum):
    """A function of one element. In INT8 each is a table of 256 entries, so that all cost the overlay the same."""

    RELU = "relu"
    CLIP = "clip"
    SIGMOID = "sigmoid"
    SWISH = "swish"
    HARD_SIGMOID = "hard-sigmoid"
    HARD_SWISH = "hard-swish"
    TANH = "tanh"
    LEAKY_RELU = "leaky-relu"
    ELU = "elu"
    GELU = "gelu"


@dataclass(frozen=True)
class Activation:
    """An element-wise function; ``low`` and ``high`` bound a CLIP, ``alpha`` is the slope or scale where one exists.

    ``beta`` is the offset of HARD_SIGMOID, max(0, min(1, alpha·x + beta)), as ONNX defines it.
    """

    kind: ActivationKind
    low: float = -float("inf")
    high: float = float("inf")
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class Conv:
    """A 2-D convolution (cross-correlation) with bias and, where fused, an activation of its result.

    ``weight`` names a parameter of shape (out_channels, in_channels / groups, kernel_h, kernel_w); ``bias``, if any,
    one of shape (out_channels,).
    """

    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair
    pads: Pads
    dilation: Pair
    groups: int
    weight: str
    bias: str | None = None
    activation: Activation | None = None

    @property
    def is_depthwise(self) -> bool:
        """Whether every group has one input channel (and there is more than one group)."""
        return self.groups > 1 and self.groups == self.in_channels


@dataclass(frozen=True)
class ConvTranspose:
    """A transposed convolution; ``weight`` has shape (in_channels, out_channels / groups, kernel_h, kernel_w).

    ``pads`` crop the full output; a bottom or right one below zero extends it instead (ONNX's output padding).
    """

    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair
    pads: Pads
    groups: int
    weight: str
    bias: str | None = None
    activation: Activation | None = None


@dataclass(frozen=True)
class FullyConnected:
    """A matrix-vector product; ``weight`` has shape (out_features, in_features).

    The input may be a feature map: its elements are taken in the source file's order (``Tensor.onnx_shape``, row
    major), which is what the columns of ``weight`` expect.
    """

    in_features: int
    out_features: int
    weight: str
    bias: str | None = None
    activation: Activation | None = None


class PoolKind(StrEnum):
    """How a window becomes one element."""

    MAX = "max"
    AVERAGE = "average"


@dataclass(frozen=True)
class Pool:
    """A pooling window; with ``count_pads`` an average divides by the window's full size even over padding.

    ``pads`` are those that make the output's size exact: with a ceiling mode the importer extends the bottom and right
    pads, and such elements never count in an average (``count_pads`` concerns the file's own pads only).
    """

    kind: PoolKind
    kernel: Pair
    stride: Pair
    pads: Pads
    count_pads: bool = False
    ceil_extra: Pair = (0, 0)


@dataclass(frozen=True)
class GlobalPool:
    """One value per channel over the whole feature map."""

    kind: PoolKind


class ElementwiseKind(StrEnum):
    """A function of two or more tensors, element by element."""

    ADD = "add"
    MULTIPLY = "multiply"


@dataclass(frozen=True)
class Elementwise:
    """Sum or product of its inputs; an input of one pixel is spread over the others' (squeeze-and-excitation)."""

    kind: ElementwiseKind
    activation: Activation | None = None


@dataclass(frozen=True)
class Affine:
    """A scale and shift per channel (a batch normalisation that no convolution could absorb).

    ``scale`` and ``shift`` name parameters of shape (channels,).
    """

    scale: str
    shift: str
    activation: Activation | None = None


@dataclass(frozen=True)
class Concat:
    """Concatenation along the channels, in the order of the inputs."""


@dataclass(frozen=True)
class ChannelShuffle:
    """Channel ``g * (C / groups) + k`` moves to ``k * groups + g``."""

    groups: int


@dataclass(frozen=True)
class Reshape:
    """The same elements, in the source file's order, under another shape (flatten, squeeze)."""


@dataclass(frozen=True)
class HostOperator:
    """An operator the overlay does not run; ``attributes`` are those of the source file, printed for people.

    Constant inputs are among them as ``input[i]``: small settings printed, others as ``parameter <name>``. An operator
    with several results becomes a layer for each; ``output`` says which, if not the first.
    """

    op_type: str
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


Operation = (
    Conv
    | ConvTranspose
    | FullyConnected
    | Pool
    | GlobalPool
    | Elementwise
    | Activation
    | Affine
    | Concat
    | ChannelShuffle
    | Reshape
    | HostOperator
)


@dataclass(frozen=True)
class Layer:
    """One operation with the names of what it reads and the tensor it writes."""

    name: str
    operation: Operation
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Parameter:
    """A constant array that is made when asked for, so that reading a network does not fill memory with weights.

    ``load()`` returns float32 of ``shape``, the same values on every call.
    """

    shape: tuple[int, ...]
    load: Callable[[], NDArray[np.float32]] = field(compare=False, repr=False)

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


@dataclass(frozen=True)
class Network:
    """A network at batch 1; ``layers`` are in topological order.

    Raises:
        ModelError: from the constructor, when names clash, a tensor is read before it is written, or is unknown.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    tensors: Mapping[str, Tensor]
    parameters: Mapping[str, Parameter]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        written = set(self.inputs)
        names: set[str] = set()
        for layer in self.layers:
            if layer.name in names:
                raise ModelError(f"layer name {layer.name!r} occurs twice in network {self.name!r}; give each its own")
            names.add(layer.name)
            for source in layer.inputs:
                if source not in written:
                    raise ModelError(
                        f"layer {layer.name!r} reads tensor {source!r} before any layer writes it; "
                        "layers must be in topological order and free of cycles"
                    )
            if layer.output in written:
                raise ModelError(f"tensor {layer.output!r} is written twice (again by layer {layer.name!r})")
            written.add(layer.output)
        for name in (*written, *self.outputs):
            if name not in self.tensors or name not in written:
                raise ModelError(f"tensor {name!r} of network {self.name!r} is not described or never written")

    def input_tensors(self, layer: Layer) -> tuple[Tensor, ...]:
        """The tensors ``layer`` reads, in order."""
        return tuple(self.tensors[name] for name in layer.inputs)

    def output_tensor(self, layer: Layer) -> Tensor:
        """The tensor ``layer`` writes."""
        return self.tensors[layer.output]

    @cached_property
    def readers(self) -> Mapping[str, tuple[Layer, ...]]:
        """For every tensor, the layers that read it, in order (a layer that reads it twice occurs once)."""
        readers: dict[str, list[Layer]] = {name: [] for name in self.tensors}
        for layer in self.layers:
            for source in dict.fromkeys(layer.inputs):
                readers[source].append(layer)
        return MappingProxyType({name: tuple(found) for name, found in readers.items()})

    @cached_property
    def writers(self) -> Mapping[str, Layer]:
        """For every tensor a layer writes, that layer."""
        return MappingProxyType({layer.output: layer for layer in self.layers})

    def convolutions(self) -> Iterator[Layer]:
        """The layers that are convolutions, in order."""
        return (layer for layer in self.layers if isinstance(layer.operation, Conv))

    def layer_macs(self, layer: Layer) -> int:
        """Multiply-accumulate operations of one layer: convolutions and fully connected layers count, nothing else."""
        operation = layer.operation
        out = self.output_tensor(layer)
        match operation:
            case Conv():
                kernel_h, kernel_w = operation.kernel
                return out.size * kernel_h * kernel_w * (operation.in_channels // operation.groups)
            case ConvTranspose():
                kernel_h, kernel_w = operation.kernel
                source = self.input_tensors(layer)[0]
                return source.size * kernel_h * kernel_w * (operation.out_channels // operation.groups)
            case FullyConnected():
                return operation.in_features * operation.out_features
            case _:
                return 0

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulate operations of one inference (padding counts as work, as published figures count it)."""
        return sum(self.layer_macs(layer) for layer in self.layers)

    @cached_property
    def parameter_count(self) -> int:
        """Trained numbers: weights and biases, batch normalisation after folding."""
        return sum(parameter.size for parameter in self.parameters.values())
