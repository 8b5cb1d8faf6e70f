"""From a network's layers to the overlay's stages: what runs as one pass of the hardware, and where tensors live.

Three things happen. A residual addition joins the convolution before it (the overlay adds on the way to memory).
Concatenations vanish: their inputs are stored side by side in one buffer. Reshapes become views of the same bytes. What
remains is a list of :class:`Stage` objects, run one after another, over :class:`StoredTensor` objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from dynamap_models.ir import (
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
    Reshape,
    Tensor,
)

from .errors import DynamapError

__all__ = ["ConvShape", "LoweringError", "Program", "Stage", "StageKind", "StoredTensor", "lower"]


# Widths of the layer program's fields: sizes of maps, channels, and of windows with their strides and dilations.
_MAX_EXTENT = 2**16 - 1
_MAX_CHANNELS = 2**24 - 1
_MAX_WINDOW = 2**8 - 1


class LoweringError(DynamapError):
    """A network the overlay cannot run as asked; the message names the layer, the rule and the fix."""


class StageKind(StrEnum):
    """Which unit does a stage's arithmetic."""

    ARRAY = "array"
    VECTOR = "vector"
    HOST = "host"


@dataclass(frozen=True)
class ConvShape:
    """The geometry of a stage on the array; pairs are (vertical, horizontal), pads (top, left, bottom, right)."""

    in_height: int
    in_width: int
    in_channels: int
    out_height: int
    out_width: int
    out_channels: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the direct convolution."""
        kernel_h, kernel_w = self.kernel
        return (
            self.out_height
            * self.out_width
            * self.out_channels
            * kernel_h
            * kernel_w
            * (self.in_channels // self.groups)
        )

    @property
    def weight_count(self) -> int:
        """Number of weights."""
        kernel_h, kernel_w = self.kernel
        return kernel_h * kernel_w * (self.in_channels // self.groups) * self.out_channels


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in memory, one byte an element.

    Attributes:
        name: as in the network.
        height: rows.
        width: columns.
        channels: elements per pixel.
        group: tensors of one group share one layout, because they share buffers.
        pixel_runs: lengths in bytes of the contiguous pieces a pixel is made of, when it does not lie directly after
            the pixel before it (a slice of a concatenation, or a concatenation that is not one piece); empty otherwise.
        fixed: whether the host reads it, so that only the plain layout will do.
    """

    name: str
    height: int
    width: int
    channels: int
    group: str
    pixel_runs: tuple[int, ...] = ()
    fixed: bool = False

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def size(self) -> int:
        """Bytes."""
        return self.pixels * self.channels


@dataclass(frozen=True)
class Stage:
    """One pass of the overlay.

    Attributes:
        name: of the layer that gives the stage its arithmetic.
        kind: the unit that does it.
        layers: names of all layers it covers.
        inputs: tensors read; the first is the one whose layout the array's loader may choose.
        output: tensor written.
        conv: geometry, on the array.
        vector_pixels: feature-map positions the vector unit walks.
        scatter: a transposed convolution writes this block of output pixels per input pixel.
    """

    name: str
    kind: StageKind
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str
    conv: ConvShape | None = None
    vector_pixels: int = 0
    scatter: Pair = (1, 1)


@dataclass(frozen=True)
class Program:
    """A network as the overlay sees it: stages in the order they run, and the tensors between them."""

    network: Network
    stages: tuple[Stage, ...]
    tensors: Mapping[str, StoredTensor]

    @cached_property
    def readers(self) -> Mapping[str, tuple[tuple[Stage, int], ...]]:
        """For every group, the (stage, input position) pairs that read one of its tensors."""
        found: dict[str, list[tuple[Stage, int]]] = {tensor.group: [] for tensor in self.tensors.values()}
        for stage in self.stages:
            for position, name in enumerate(stage.inputs):
                found[self.tensors[name].group].append((stage, position))
        return {group: tuple(pairs) for group, pairs in found.items()}

    @cached_property
    def writers(self) -> Mapping[str, tuple[Stage, ...]]:
        """For every group, the stages that write one of its tensors; none writes a network input."""
        found: dict[str, list[Stage]] = {tensor.group: [] for tensor in self.tensors.values()}
        for stage in self.stages:
            found[self.tensors[stage.output].group].append(stage)
        return {group: tuple(stages) for group, stages in found.items()}

    @cached_property
    def macs(self) -> int:
        """Direct multiply-accumulates of all stages on the array."""
        return sum(stage.conv.macs for stage in self.stages if stage.conv is not None)


def lower(network: Network, *, allow_host: bool = False) -> Program:
    """Cut a network into stages.

    Args:
        network: at batch 1.
        allow_host: whether operators the overlay lacks may run on the host, at a stated cost of zero cycles.

    Raises:
        LoweringError: when the network has no convolution, or needs the host and may not.
    """
    if not any(isinstance(layer.operation, Conv | ConvTranspose) for layer in network.layers):
        raise LoweringError(
            f"network {network.name!r} has no convolution; the overlay maps convolutional networks, "
            "so there is nothing to choose"
        )
    fused = _fused_additions(network)
    skipped = {addend.name for addend in fused.values()}
    stages = [
        _stage(network, layer, fused.get(layer.name))
        for layer in network.layers
        if layer.name not in skipped and not isinstance(layer.operation, Concat) and not _is_view(network, layer)
    ]
    hosted = [stage.name for stage in stages if stage.kind is StageKind.HOST]
    if hosted and not allow_host:
        operators = [f"{_operator(network, name)} ({name})" for name in hosted[:5]]
        more = f" and {len(hosted) - 5} more" if len(hosted) > 5 else ""
        raise LoweringError(
            f"the overlay does not run {', '.join(operators)}{more}; "
            "allow the host to run them at zero cycles (--allow-host, allow_host=True) or leave them out of the model"
        )
    if not any(stage.kind is StageKind.ARRAY for stage in stages):
        raise LoweringError(
            f"the overlay runs no convolution of network {network.name!r}, all are left to the host; "
            "there is nothing to choose"
        )
    for stage in stages:
        _check_extents(network, stage)
    return Program(network, tuple(stages), _place(network))


def _check_extents(network: Network, stage: Stage) -> None:
    """Refuse what the overlay's address generators cannot count."""
    if stage.kind is StageKind.HOST:
        return
    for name in (*stage.inputs, stage.output):
        tensor = network.tensors[name]
        if max(tensor.height, tensor.width) > _MAX_EXTENT or tensor.channels > _MAX_CHANNELS:
            raise LoweringError(
                f"tensor {name!r} of layer {stage.name!r} is {tensor.height}x{tensor.width}x{tensor.channels}; the "
                f"overlay addresses at most {_MAX_EXTENT} rows and columns and {_MAX_CHANNELS} channels, so split it"
            )
    conv = stage.conv
    if conv is not None and max(*conv.kernel, *conv.stride, *conv.dilation) > _MAX_WINDOW:
        raise LoweringError(
            f"layer {stage.name!r} has kernel {conv.kernel}, stride {conv.stride}, dilation {conv.dilation}; the "
            f"overlay counts each to at most {_MAX_WINDOW}, so split the layer"
        )


def _operator(network: Network, name: str) -> str:
    operation = next(layer.operation for layer in network.layers if layer.name == name)
    return operation.op_type if isinstance(operation, HostOperator) else type(operation).__name__


def _fused_additions(network: Network) -> dict[str, Layer]:
    """For each addition that joins a convolution, that convolution's layer, by the addition's name."""
    position = {layer.name: index for index, layer in enumerate(network.layers)}
    fused: dict[str, Layer] = {}
    for layer in network.layers:
        operation = layer.operation
        if not (
            isinstance(operation, Elementwise) and operation.kind is ElementwiseKind.ADD and len(layer.inputs) == 2
        ):
            continue
        shapes = {(t.height, t.width, t.channels) for t in network.input_tensors(layer)}
        if len(shapes) > 1 or layer.inputs[0] == layer.inputs[1]:
            continue
        candidates = [
            writer
            for name in layer.inputs
            if (writer := network.writers.get(name)) is not None
            and isinstance(writer.operation, Conv)
            and writer.operation.activation is None
            and len(network.readers[name]) == 1
            and name not in network.outputs
        ]
        if candidates:
            fused[layer.name] = max(candidates, key=lambda writer: position[writer.name])
    return fused


def _is_view(network: Network, layer: Layer) -> bool:
    """Whether a reshape needs no data to move.

    The overlay stores channels innermost, files usually do not; a flattened map may stay as it is only where whoever
    reads it can have its weights permuted instead, or where both orders agree.
    """
    if not isinstance(layer.operation, Reshape):
        return False
    source, target = network.input_tensors(layer)[0], network.output_tensor(layer)
    same = (source.height, source.width, source.channels) == (target.height, target.width, target.channels)
    if same or source.height * source.width == 1:
        return target.height * target.width == 1 or same
    if target.height * target.width > 1 or target.name in network.outputs:
        return False
    return all(
        isinstance(reader.operation, FullyConnected)
        or (isinstance(reader.operation, Reshape) and _is_view(network, reader))
        for reader in network.readers[target.name]
    )


def _stage(network: Network, layer: Layer, convolution: Layer | None) -> Stage:
    """The stage of one layer; an addition with ``convolution`` becomes that convolution with one more input."""
    if convolution is not None:
        stage = _stage(network, convolution, None)
        residual = tuple(name for name in layer.inputs if name != convolution.output)
        return replace(stage, layers=(*stage.layers, layer.name), inputs=stage.inputs + residual, output=layer.output)
    sources, out = network.input_tensors(layer), network.output_tensor(layer)
    common = {"name": layer.name, "layers": (layer.name,), "inputs": layer.inputs, "output": layer.output}
    operation = layer.operation
    conv, scatter = _geometry(operation, sources[0], out) if sources else (None, (1, 1))
    if conv is not None:
        return Stage(kind=StageKind.ARRAY, conv=conv, scatter=scatter, **common)  # type: ignore[arg-type]  # mixed dict
    if isinstance(operation, Pool | GlobalPool | Elementwise | Affine | Activation | ChannelShuffle):
        pixels = max(tensor.height * tensor.width for tensor in (*sources, out))
        return Stage(kind=StageKind.VECTOR, vector_pixels=pixels, **common)  # type: ignore[arg-type]  # mixed dict
    return Stage(kind=StageKind.HOST, **common)  # type: ignore[arg-type]  # mixed dict


def _geometry(operation: object, source: Tensor, out: Tensor) -> tuple[ConvShape | None, Pair]:
    match operation:
        case Conv():
            shape = ConvShape(
                source.height,
                source.width,
                source.channels,
                out.height,
                out.width,
                out.channels,
                operation.kernel,
                operation.stride,
                operation.pads,
                operation.dilation,
                operation.groups,
            )
            return shape, (1, 1)
        case FullyConnected():
            return ConvShape(1, 1, operation.in_features, 1, 1, operation.out_features), (1, 1)
        case ConvTranspose() if (
            # Blocks that do not overlap: one product per pixel, its results scattered over the block.
            operation.kernel == operation.stride and operation.pads == (0, 0, 0, 0) and operation.groups == 1
        ):
            block_h, block_w = operation.kernel
            channels = operation.out_channels * block_h * block_w
            shape = ConvShape(source.height, source.width, source.channels, source.height, source.width, channels)
            return shape, operation.kernel
    return None, (1, 1)


def _place(network: Network) -> dict[str, StoredTensor]:
    """Where every tensor lives: its layout group, and whether its pixels are contiguous.

    Later concatenations claim their pieces first, so that a growing one (DenseNet) shares a single buffer.
    """
    pieces: dict[str, tuple[str, ...]] = {}
    base: dict[str, str] = {}
    for layer in network.layers:
        if isinstance(layer.operation, Concat):
            flat: list[str] = []
            for name in layer.inputs:
                source = base.get(name, name)
                flat.extend(pieces.get(source, (source,)))
            pieces[layer.output] = tuple(flat)
        elif _is_view(network, layer):
            source = layer.inputs[0]
            base[layer.output] = base.get(source, source)

    group = {name: name for name in network.tensors}

    def find(name: str) -> str:
        while group[name] != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    owner: dict[str, tuple[str, int]] = {}  # piece -> (concatenation whose buffer holds it, channel offset)
    for target in reversed(pieces):
        offset = 0
        for piece in pieces[target]:
            owner.setdefault(piece, (target, offset))
            offset += network.tensors[piece].channels
            group[find(piece)] = find(target)
    for view, source in base.items():
        group[find(view)] = find(source)

    placed: dict[str, StoredTensor] = {}
    fixed_groups = {find(name) for name in network.outputs}
    for name, tensor in network.tensors.items():
        source = base.get(name, name)
        runs = _runs(network, source, pieces, owner)
        repeats = network.tensors[source].height * network.tensors[source].width // (tensor.height * tensor.width)
        if repeats > 1:  # a flattened map is one pixel made of all the map's runs
            runs = runs * repeats
        placed[name] = StoredTensor(
            name, tensor.height, tensor.width, tensor.channels, find(name), runs, find(name) in fixed_groups
        )
    return placed


def _runs(
    network: Network, name: str, pieces: Mapping[str, tuple[str, ...]], owner: Mapping[str, tuple[str, int]]
) -> tuple[int, ...]:
    """Contiguous pieces of one pixel of a tensor; empty when the tensor fills its buffer."""
    parts = pieces.get(name, (name,))
    runs: list[int] = []
    previous: tuple[str, int] | None = None
    for part in parts:
        channels = network.tensors[part].channels
        place = owner.get(part, (part, 0))
        if runs and place == previous:
            runs[-1] += channels
        else:
            runs.append(channels)
        previous = (place[0], place[1] + channels)
    first = owner.get(parts[0], (parts[0], 0))[0]
    return () if len(runs) == 1 and network.tensors[first].channels == runs[0] else tuple(runs)
