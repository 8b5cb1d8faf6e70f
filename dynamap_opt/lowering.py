"""From a network's layers to the overlay's stages: what runs as one pass of the hardware, and where tensors live.

Three things happen. A residual addition joins the convolution before it (the overlay adds on the way to memory).
Concatenations vanish: their inputs are stored side by side in one buffer. Reshapes become views of the same bytes. What
remains is a :class:`~dynamap_opt.program.Program`: stages, run one after another, over stored tensors.
"""

from __future__ import annotations

from dataclasses import replace

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
    Pair,
    Pool,
    Tensor,
)

from .errors import DynamapError
from .placement import is_view, place_tensors
from .program import ConvShape, Program, Stage, StageKind

__all__ = ["LoweringError", "lower"]

# Widths of the layer program's fields: sizes of maps, channels, and of windows with their strides and dilations.
_MAX_EXTENT = 2**16 - 1
_MAX_CHANNELS = 2**24 - 1
_MAX_WINDOW = 2**8 - 1


class LoweringError(DynamapError):
    """A network the overlay cannot run as asked; the message names the layer, the rule and the fix."""


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
        if layer.name not in skipped and not isinstance(layer.operation, Concat) and not is_view(network, layer)
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
    return Program(network, tuple(stages), place_tensors(network))


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
