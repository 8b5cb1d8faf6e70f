"""From a network's layers to the overlay's stages: what runs as one pass of the hardware, and where tensors live.

Two things happen. Concatenations vanish: their inputs are stored side by side in one buffer. Reshapes become views of
the same bytes. What
remains is a :class:`~dynamap_opt.program.Program`: stages, run one after another, over stored tensors.
"""

from __future__ import annotations

from dynamap_models.ir import (
    Activation,
    Affine,
    ChannelShuffle,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    FullyConnected,
    GlobalPool,
    HostOperator,
    Layer,
    Network,
    Pair,
    Pool,
    PoolKind,
    Tensor,
)

from .errors import DynamapError
from .placement import is_view, place_tensors
from .program import ConvShape, Program, Stage, StageKind, WindowShape

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
    stages = [
        _stage(network, layer)
        for layer in network.layers
        if not isinstance(layer.operation, Concat) and not is_view(network, layer)
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


def _stage(network: Network, layer: Layer) -> Stage:
    sources, out = network.input_tensors(layer), network.output_tensor(layer)
    common = {"name": layer.name, "inputs": layer.inputs, "output": layer.output}
    operation = layer.operation
    conv, scatter = _geometry(operation, sources[0], out) if sources else (None, (1, 1))
    if conv is not None:
        return Stage(kind=StageKind.ARRAY, conv=conv, scatter=scatter, **common)  # type: ignore[arg-type]  # mixed dict
    if isinstance(operation, Pool | GlobalPool | Elementwise | Affine | Activation | ChannelShuffle):
        return Stage(kind=StageKind.VECTOR, window=_window(operation, sources, out), **common)  # type: ignore[arg-type]
    return Stage(kind=StageKind.HOST, **common)  # type: ignore[arg-type]  # mixed dict


def _window(operation: object, sources: tuple[Tensor, ...], out: Tensor) -> WindowShape:
    """What the vector path walks; operators it does not have yet count as one pass over their inputs."""
    source = max(sources, key=lambda tensor: tensor.height * tensor.width)
    kernel, stride, pads = (1, 1), (1, 1), (0, 0)
    divisors = False
    if isinstance(operation, Pool):
        kernel, stride, pads = operation.kernel, operation.stride, (operation.pads[0], operation.pads[1])
        divisors = operation.kind is PoolKind.AVERAGE and not operation.count_pads
    elif isinstance(operation, GlobalPool):
        kernel = (source.height, source.width)
    return WindowShape(
        in_height=source.height,
        in_width=source.width,
        channels=source.channels,
        out_height=out.height,
        out_width=out.width,
        kernel=kernel,
        stride=stride,
        pads=pads,
        terms=len(sources),
        divisors=divisors,
    )


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
