"""The generated overlay a plan, or an array alone, stands for: the one place that chooses its circuit's parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.geometry import ConvShape

from .plan import Plan, PlanError

if TYPE_CHECKING:
    from dynamap_rtl.layer_blocks import LayerBlocks

__all__ = ["ArrayLayer", "circuit_for", "winograd_tile", "winograd_tiles"]

# Short arrays and narrow ports need few bits; Winograd's sums need this many.
_WINOGRAD_SUM_BITS = 48
_SUM_BITS = 32
_WIDEST_PORT = 64
# Of the buffers: no layer gains much from more, no program does with less.
_MOST_DEPTH, _MOST_SUMS, _LEAST_DEPTH = 16384, 4096, 512
# By the bits of an operand, what it takes in memory.
_BYTES = {9: 2, 12: 2, 18: 3}
_PORT_WITHOUT_PLAN = 16
_WINOGRAD = "winograd-f"


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
    """Tile size m of ``winograd-fm-...``; None for other algorithms.

    >>> winograd_tile("winograd-f4-2d"), winograd_tile("im2col")
    (4, None)
    """
    return int(algorithm.removeprefix(_WINOGRAD).partition("-")[0]) if algorithm.startswith(_WINOGRAD) else None


def winograd_tiles(algorithms: Iterable[str]) -> tuple[int, ...]:
    """The Winograd tiles that algorithms need, ascending."""
    return tuple(sorted({tile for name in algorithms if (tile := winograd_tile(name)) is not None}))


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
        plan: gives ports (at most 64 bytes, what a board's port has), memories and Winograd tiles, where not given.
        bytes_per_cycle: of the memory ports; 16 without a plan.
        winograd: tiles m of F(m, 3); none without a plan.
        layers: that must fit the channel memory.

    Raises:
        OverlayError: when there is no such overlay.
    """
    tiles = tuple(sorted(set(winograd or ())))
    if plan is not None and winograd is None:
        tiles = winograd_tiles(layer.algorithm for layer in plan.layers)
    circuit = CircuitParameters(
        rows=array[0],
        columns=array[1],
        dram_bytes_per_cycle=bytes_per_cycle or _PORT_WITHOUT_PLAN,
        winograd=tiles,
        sum_width=_WINOGRAD_SUM_BITS if tiles else _SUM_BITS,
    )
    if plan is not None:
        circuit = _with_memories(circuit, plan, bytes_per_cycle)
    words = max((_channel_words(layer, circuit) for layer in layers), default=1)
    return replace(circuit, channel_words=max(circuit.channel_words, 1 << (words - 1).bit_length()))


def _with_memories(circuit: CircuitParameters, plan: Plan, bytes_per_cycle: int | None) -> CircuitParameters:
    """Ports, latency and depths as the overlay of the plan has them.

    Raises:
        PlanError: when the plan lacks a number.
    """
    names = ("dram_bytes_per_cycle", "dram_latency_cycles", "activation_buffer_bytes", "weight_buffer_bytes")
    try:
        port, latency, activations, weights = (int(plan.overlay[name]) for name in names)
        sums = int(plan.overlay["accumulator_bytes"])
    except KeyError as error:
        raise PlanError(f"the plan's overlay has no {error}; map the network again") from None
    operand = _BYTES[circuit.operand_width]

    def depth(size: int, lanes: int, element: int, most: int) -> int:
        words = max(_LEAST_DEPTH, min(most, size // (lanes * element)))
        return 1 << words.bit_length() - 1

    return replace(
        circuit,
        dram_bytes_per_cycle=bytes_per_cycle or min(_WIDEST_PORT, port),
        dram_latency_cycles=max(1, latency),
        left_depth=depth(2 * activations, circuit.rows, operand, _MOST_DEPTH),
        top_depth=depth(2 * weights, circuit.columns, operand, _MOST_DEPTH),
        accumulator_depth=depth(sums, circuit.columns, circuit.sum_width // 8, _MOST_SUMS),
        result_depth=max(circuit.result_depth, 1 << (8 * circuit.columns - 1).bit_length()),
    )


def _channel_words(layer: ArrayLayer, circuit: CircuitParameters) -> int:
    """Words of the channel memory a layer's program uses: whole words for every block of its output channels.

    Buffers too small for any block are for the program to complain about; the answer does not matter then.
    """
    blocks = _blocks(layer, circuit)
    in_block = -(-int(blocks.outputs[0]) // circuit.columns)
    return max(1, int(blocks.packs[0]) * int(blocks.output_blocks[0]) * in_block)


def _blocks(layer: ArrayLayer, circuit: CircuitParameters) -> LayerBlocks:
    from dynamap_rtl.layer_blocks import WinogradShape, convolution_blocks, winograd_blocks  # noqa: PLC0415
    from dynamap_rtl.sizes import sizes_of  # noqa: PLC0415

    tile, sizes = winograd_tile(layer.algorithm), sizes_of(circuit)
    if tile is not None:
        return winograd_blocks(WinogradShape(layer.shape, tile), sizes, layer.dataflow)
    return convolution_blocks(layer.shape, sizes, layer.dataflow, kn2row=layer.algorithm == "kn2row")
