"""Networks written as Python: one call per layer, shapes computed, weights drawn only when somebody asks for them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dynamap_models.errors import ModelError
from dynamap_models.geometry import same_pads, window_output
from dynamap_models.ir import (
    Activation,
    ActivationKind,
    Affine,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    ElementwiseKind,
    FullyConnected,
    GlobalPool,
    Layer,
    Network,
    Operation,
    Pads,
    Pair,
    Parameter,
    Pool,
    PoolKind,
    Reshape,
    Tensor,
)

__all__ = ["RELU", "RELU6", "SIGMOID", "SWISH", "NetworkBuilder", "PadsLike"]

RELU = Activation(ActivationKind.RELU)
RELU6 = Activation(ActivationKind.CLIP, low=0.0, high=6.0)
SIGMOID = Activation(ActivationKind.SIGMOID)
SWISH = Activation(ActivationKind.SWISH)

PadsLike = int | Pair | Pads | Literal["same"]
"""Pads on all sides, (vertical, horizontal), (top, left, bottom, right), or those that keep ceil(size / stride)."""

_BIAS_DEVIATION = 0.05  # small beside activations of order one, but not zero, so that a lost bias shows


class NetworkBuilder:
    """Collects layers in topological order; every method adds one layer and returns the name of its output tensor.

    A layer, its output tensor and its parameters share the name given: tensor ``"conv1"``, parameters
    ``"conv1.weight"`` and ``"conv1.bias"``. Parameters are functions of ``(seed, name)`` alone, drawn when loaded:
    weights normal with variance gain / fan-in (He et al. 2015, arXiv 1502.01852, equation 10), gain 2 where a ReLU or
    its like follows, else 1; biases and shifts normal with deviation 0.05; scales 1 plus the same.

    >>> net = NetworkBuilder("tiny", seed=0)
    >>> x = net.input("image", 3, 32, 48)
    >>> x = net.conv("conv", x, 8, 3, stride=2, pads=1, activation=RELU)
    >>> x = net.fully_connected("logits", net.global_pool("pool", x), 10)
    >>> network = net.build(x)
    >>> network.tensors["conv"].onnx_shape, network.macs, network.parameter_count
    ((1, 8, 16, 24), 83024, 314)

    Raises:
        ModelError: from the constructor for a negative seed, from any method for a tensor that does not exist, a window
            that does not fit, or tensors that cannot be combined.
    """

    def __init__(self, name: str, *, seed: int = 0) -> None:
        if seed < 0:
            raise ModelError(f"the seed of network {name!r} is {seed}; it must be 0 or more")
        self._name = name
        self._seed = seed
        self._inputs: list[str] = []
        self._layers: list[Layer] = []
        self._tensors: dict[str, Tensor] = {}
        self._parameters: dict[str, Parameter] = {}

    def build(self, *outputs: str) -> Network:
        """The network so far, with these tensors as its outputs."""
        for name in outputs:
            self.tensor(name)
        return Network(
            name=self._name,
            inputs=tuple(self._inputs),
            outputs=outputs,
            layers=tuple(self._layers),
            tensors=self._tensors,
            parameters=self._parameters,
        )

    def tensor(self, name: str) -> Tensor:
        """A tensor by name."""
        if name not in self._tensors:
            raise ModelError(f"network {self._name!r} has no tensor {name!r} yet; build layers in topological order")
        return self._tensors[name]

    def input(self, name: str, channels: int, height: int, width: int) -> str:
        """A feature map the network is given."""
        self._inputs.append(name)
        return self._describe(name, height, width, channels)

    # ---- convolutions and matrix products ----

    def conv(
        self,
        name: str,
        source: str,
        channels: int,
        kernel: int | Pair,
        *,
        stride: int | Pair = 1,
        pads: PadsLike = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        activation: Activation | None = None,
    ) -> str:
        """A convolution to ``channels`` output channels; without pads unless given (``pads="same"``: as TensorFlow)."""
        tensor = self.tensor(source)
        if groups < 1 or tensor.channels % groups or channels % groups:
            raise ModelError(
                f"convolution {name!r} has {groups} groups, which must divide its {tensor.channels} input and "
                f"{channels} output channels"
            )
        window, step, spread = _pair(name, kernel), _pair(name, stride), _pair(name, dilation)
        padding = _pads(name, tensor, window, pads, stride=step, dilation=spread)
        height, width = _extents(tensor, window, padding, stride=step, dilation=spread)
        in_group = tensor.channels // groups
        operation = Conv(
            in_channels=tensor.channels,
            out_channels=channels,
            kernel=window,
            stride=step,
            pads=padding,
            dilation=spread,
            groups=groups,
            weight=self._weight(name, (channels, in_group, *window), in_group * window[0] * window[1], activation),
            bias=self._bias(name, channels) if bias else None,
            activation=activation,
        )
        return self._add(name, operation, (source,), height, width, channels)

    def depthwise(
        self,
        name: str,
        source: str,
        kernel: int | Pair,
        *,
        stride: int | Pair = 1,
        pads: PadsLike = "same",
        bias: bool = True,
        activation: Activation | None = None,
    ) -> str:
        """A convolution of each channel with a kernel of its own."""
        channels = self.tensor(source).channels
        return self.conv(
            name, source, channels, kernel, stride=stride, pads=pads, groups=channels, bias=bias, activation=activation
        )

    def conv_transpose(
        self, name: str, source: str, channels: int, kernel: int | Pair, *, stride: int | Pair = 1, bias: bool = True
    ) -> str:
        """A transposed convolution without pads: output extent (size - 1) · stride + kernel."""
        tensor, window, step = self.tensor(source), _pair(name, kernel), _pair(name, stride)
        # Of the window's positions, one in stride² meets any one output pixel.
        fan_in = max(1, tensor.channels * window[0] * window[1] // (step[0] * step[1]))
        operation = ConvTranspose(
            in_channels=tensor.channels,
            out_channels=channels,
            kernel=window,
            stride=step,
            pads=(0, 0, 0, 0),
            groups=1,
            weight=self._weight(name, (tensor.channels, channels, *window), fan_in, None),
            bias=self._bias(name, channels) if bias else None,
        )
        height, width = (tensor.height - 1) * step[0] + window[0], (tensor.width - 1) * step[1] + window[1]
        return self._add(name, operation, (source,), height, width, channels)

    def fully_connected(self, name: str, source: str, features: int, *, activation: Activation | None = None) -> str:
        """A matrix-vector product with bias over all elements of the source, in (channel, row, column) order."""
        size = self.tensor(source).size
        operation = FullyConnected(
            in_features=size,
            out_features=features,
            weight=self._weight(name, (features, size), size, activation),
            bias=self._bias(name, features),
            activation=activation,
        )
        return self._add(name, operation, (source,), 1, 1, features, vector=True)

    # ---- everything else ----

    def pool(
        self,
        name: str,
        source: str,
        kind: PoolKind,
        kernel: int | Pair,
        *,
        stride: int | Pair,
        pads: PadsLike = 0,
        ceil: bool = False,
        count_pads: bool = False,
    ) -> str:
        """A pooling window; with ``ceil`` a last, incomplete window counts (Caffe's rule)."""
        tensor, window, step = self.tensor(source), _pair(name, kernel), _pair(name, stride)
        top, left, bottom, right = _pads(name, tensor, window, pads, stride=step)
        height, width = _extents(tensor, window, (top, left, bottom, right), stride=step, ceil=ceil)
        extra = (
            max(0, (height - 1) * step[0] + window[0] - tensor.height - top - bottom),
            max(0, (width - 1) * step[1] + window[1] - tensor.width - left - right),
        )
        padding = (top, left, bottom + extra[0], right + extra[1])
        operation = Pool(kind, window, step, padding, count_pads=count_pads, ceil_extra=extra)
        return self._add(name, operation, (source,), height, width, tensor.channels)

    def max_pool(
        self, name: str, source: str, kernel: int, *, stride: int, pads: PadsLike = 0, ceil: bool = False
    ) -> str:
        """The largest element of each window."""
        return self.pool(name, source, PoolKind.MAX, kernel, stride=stride, pads=pads, ceil=ceil)

    def average_pool(
        self, name: str, source: str, kernel: int, *, stride: int, pads: PadsLike = 0, ceil: bool = False
    ) -> str:
        """The mean of each window's elements, padding left out."""
        return self.pool(name, source, PoolKind.AVERAGE, kernel, stride=stride, pads=pads, ceil=ceil)

    def global_pool(self, name: str, source: str, kind: PoolKind = PoolKind.AVERAGE) -> str:
        """One value per channel."""
        return self._add(name, GlobalPool(kind), (source,), 1, 1, self.tensor(source).channels)

    def concat(self, name: str, sources: Sequence[str]) -> str:
        """Concatenation along the channels."""
        tensors = [self.tensor(source) for source in sources]
        if not tensors:
            raise ModelError(f"concatenation {name!r} joins nothing; it needs at least one tensor")
        if len({(tensor.height, tensor.width) for tensor in tensors}) != 1:
            raise ModelError(f"concatenation {name!r} joins {_sizes(tensors)}; heights and widths must agree")
        channels = sum(tensor.channels for tensor in tensors)
        return self._add(name, Concat(), tuple(sources), tensors[0].height, tensors[0].width, channels)

    def add(self, name: str, *sources: str, activation: Activation | None = None) -> str:
        """The sum of two or more tensors."""
        return self._elementwise(name, ElementwiseKind.ADD, sources, activation)

    def multiply(self, name: str, *sources: str, activation: Activation | None = None) -> str:
        """The product of two or more tensors; one of a single pixel is spread over the others' pixels."""
        return self._elementwise(name, ElementwiseKind.MULTIPLY, sources, activation)

    def affine(self, name: str, source: str, *, activation: Activation | None = None) -> str:
        """A scale and a shift per channel: a batch normalisation that stays."""
        tensor = self.tensor(source)
        scale = self._parameter(f"{name}.scale", (tensor.channels,), _BIAS_DEVIATION, mean=1.0)
        shift = self._parameter(f"{name}.shift", (tensor.channels,), _BIAS_DEVIATION)
        operation = Affine(scale, shift, activation)
        return self._add(name, operation, (source,), tensor.height, tensor.width, tensor.channels)

    def activation(self, name: str, source: str, activation: Activation) -> str:
        """An element-wise function as a layer of its own."""
        tensor = self.tensor(source)
        return self._add(name, activation, (source,), tensor.height, tensor.width, tensor.channels)

    def flatten(self, name: str, source: str) -> str:
        """All elements as a vector (1, C·H·W)."""
        return self._add(name, Reshape(), (source,), 1, 1, self.tensor(source).size, vector=True)

    # ---- what all of them share ----

    def _elementwise(
        self, name: str, kind: ElementwiseKind, sources: tuple[str, ...], activation: Activation | None
    ) -> str:
        tensors = [self.tensor(source) for source in sources]
        if len(tensors) < 2:
            raise ModelError(f"layer {name!r} combines {len(tensors)} tensors; it needs at least two")
        full = max(tensors, key=lambda tensor: tensor.height * tensor.width)
        for tensor in tensors:
            if tensor.channels != full.channels or (tensor.height, tensor.width) not in {
                (full.height, full.width),
                (1, 1),
            }:
                raise ModelError(f"layer {name!r} combines {_sizes(tensors)}; shapes must agree or have a single pixel")
        return self._add(name, Elementwise(kind, activation), sources, full.height, full.width, full.channels)

    def _add(
        self,
        name: str,
        operation: Operation,
        sources: tuple[str, ...],
        height: int,
        width: int,
        channels: int,
        *,
        vector: bool = False,
    ) -> str:
        self._layers.append(Layer(name, operation, sources, name))
        return self._describe(name, height, width, channels, vector=vector)

    def _describe(self, name: str, height: int, width: int, channels: int, *, vector: bool = False) -> str:
        if min(height, width, channels) < 1:
            raise ModelError(f"tensor {name!r} would be {height}x{width}x{channels}; every extent must be 1 or more")
        if name in self._tensors:
            raise ModelError(
                f"tensor {name!r} of network {self._name!r} is written twice; give each layer its own name"
            )
        shape = (1, channels) if vector else (1, channels, height, width)
        self._tensors[name] = Tensor(name, height, width, channels, shape)
        return name

    def _weight(self, name: str, shape: tuple[int, ...], fan_in: int, activation: Activation | None) -> str:
        gain = 1.0 if activation is None or activation.kind is ActivationKind.SIGMOID else 2.0
        return self._parameter(f"{name}.weight", shape, float(np.sqrt(gain / fan_in)))

    def _bias(self, name: str, channels: int) -> str:
        return self._parameter(f"{name}.bias", (channels,), _BIAS_DEVIATION)

    def _parameter(self, name: str, shape: tuple[int, ...], deviation: float, *, mean: float = 0.0) -> str:
        draw = partial(_normal, self._seed, name, shape, deviation=deviation, mean=mean)
        self._parameters[name] = Parameter(shape, draw)
        return name


def _normal(seed: int, name: str, shape: tuple[int, ...], *, deviation: float, mean: float) -> NDArray[np.float32]:
    """Normal numbers that depend on the arguments only; the name enters by its checksum, which no run changes."""
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values = generator.standard_normal(shape, dtype=np.float32)
    values *= np.float32(deviation)
    if mean:
        values += np.float32(mean)
    return values


def _pair(name: str, value: int | Pair) -> Pair:
    """A kernel, stride or dilation in both directions."""
    pair = (value, value) if isinstance(value, int) else value
    if min(pair) < 1:
        raise ModelError(f"kernel, stride and dilation of layer {name!r} must be 1 or more, not {value}")
    return pair


def _pads(name: str, tensor: Tensor, kernel: Pair, pads: PadsLike, *, stride: Pair, dilation: Pair = (1, 1)) -> Pads:
    """Pads in the representation's order from any of the short forms."""
    if isinstance(pads, str):
        top, bottom = same_pads(tensor.height, kernel[0], stride=stride[0], dilation=dilation[0])
        left, right = same_pads(tensor.width, kernel[1], stride=stride[1], dilation=dilation[1])
        return (top, left, bottom, right)
    if isinstance(pads, int):
        pads = (pads, pads)
    if min(pads) < 0:
        raise ModelError(f"pads of layer {name!r} must be 0 or more, not {pads}")
    return (*pads, *pads) if len(pads) == 2 else pads


def _extents(
    tensor: Tensor, kernel: Pair, pads: Pads, *, stride: Pair, dilation: Pair = (1, 1), ceil: bool = False
) -> Pair:
    """Height and width of a window operation's output."""
    height, width = (
        window_output(
            size,
            kernel[axis],
            stride=stride[axis],
            pads=(pads[axis], pads[axis + 2]),
            dilation=dilation[axis],
            ceil=ceil,
        )
        for axis, size in enumerate((tensor.height, tensor.width))
    )
    return height, width


def _sizes(tensors: Sequence[Tensor]) -> str:
    """Tensors as a list for a message."""
    return ", ".join(f"{tensor.name!r} ({tensor.height}x{tensor.width}x{tensor.channels})" for tensor in tensors)
