"""The generated overlay a plan, or an array alone, stands for: the one place that chooses its circuit's parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dynamap_rtl import Dataflow, Overlay, OverlayError
from dynamap_rtl.circuit_parameters import SUM_BITS, CircuitParameters
from dynamap_rtl.geometry import ConvShape
from dynamap_rtl.layer_blocks import LayerBlocks, WinogradShape, convolution_blocks, winograd_blocks
from dynamap_rtl.sizes import sizes_of

from .algorithms import ALGORITHMS
from .algorithms.winograd import Winograd
from .plan import Plan, PlanError

__all__ = ["ArrayLayer", "circuit_for", "overlay_of", "winograd_tile"]

_PORT_WITHOUT_PLAN = 16


@dataclass(frozen=True, kw_only=True)
class ArrayLayer:
    """A layer on the array, and how it is computed.

    Attributes:
        shape: its geometry.
        algorithm: name of the registry, as ``im2col`` or ``winograd-f2-2d``.
        dataflow: of its products.
    """

    shape: ConvShape
    algorithm: str
    dataflow: Dataflow


def winograd_tile(algorithm: str) -> int | None:
    """Tile size m of an algorithm that is F(m, 3); None for others.

    >>> winograd_tile("winograd-f4-2d"), winograd_tile("im2col")
    (4, None)
    """
    found = ALGORITHMS.get(algorithm)
    return found.tile if isinstance(found, Winograd) else None


def overlay_of(plan: Plan) -> Overlay:
    """The overlay a plan's cycles are of, but for the array's shape.

    Raises:
        PlanError: when the plan's numbers are none of an overlay.
    """
    try:
        return Overlay(**plan.overlay)  # type: ignore[arg-type]  # the constructor checks every field
    except (TypeError, OverlayError) as error:
        raise PlanError(f"the plan's overlay is not one: {error}; map the network again") from None


def circuit_for(
    array: tuple[int, int],
    *,
    plan: Plan | None = None,
    bytes_per_cycle: int | None = None,
    winograd: Sequence[int] | None = None,
    layers: Iterable[ArrayLayer] = (),
) -> CircuitParameters:
    """The parameters of the circuit.

    Args:
        array: (P1, P2).
        plan: gives ports, memories and Winograd tiles, where these are not given.
        bytes_per_cycle: of the memory ports; 16 without a plan.
        winograd: tiles m of F(m, 3); none without a plan.
        layers: that must fit the channel memory.

    Raises:
        OverlayError: when there is no such overlay.
    """
    if plan is None:
        tiles = tuple(sorted(set(winograd or ())))
        circuit = CircuitParameters(
            rows=array[0],
            columns=array[1],
            dram_bytes_per_cycle=bytes_per_cycle or _PORT_WITHOUT_PLAN,
            winograd=tiles,
            sum_width=SUM_BITS[bool(tiles)],
        )
    else:
        overlay = overlay_of(plan)
        if bytes_per_cycle is not None:
            overlay = replace(overlay, dram_bytes_per_cycle=bytes_per_cycle)
        if winograd is not None:
            overlay = replace(overlay, winograd=tuple(sorted(set(winograd))))
        circuit = overlay.circuit(*array)
    words = max((_channel_words(layer, circuit) for layer in layers), default=1)
    return replace(circuit, channel_words=max(circuit.channel_words, 1 << (words - 1).bit_length()))


def _channel_words(layer: ArrayLayer, circuit: CircuitParameters) -> int:
    """Words of the channel memory a layer's program uses: whole words for every block of its output channels.

    Buffers too small for any block are for the program to complain about; the answer does not matter then.
    """
    blocks = _blocks(layer, circuit)
    in_block = -(-int(blocks.outputs[0]) // circuit.columns)
    return max(1, int(blocks.packs[0]) * int(blocks.output_blocks[0]) * in_block)


def _blocks(layer: ArrayLayer, circuit: CircuitParameters) -> LayerBlocks:
    tile, sizes = winograd_tile(layer.algorithm), sizes_of(circuit)
    if tile is not None:
        return winograd_blocks(WinogradShape(layer.shape, tile), sizes, layer.dataflow)
    return convolution_blocks(layer.shape, sizes, layer.dataflow, kn2row=layer.algorithm == "kn2row")
