"""The overlay a board can hold: memories sized from the board, everything but the array's shape."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from dynamap_rtl import Overlay
from dynamap_rtl.circuit_parameters import transformed_bytes

from .algorithms import Algorithm
from .algorithms.winograd import Winograd
from .board import Board
from .errors import DynamapError

__all__ = ["dram_bytes_per_cycle", "max_elements", "overlay_for", "winograd_tiles"]

# The widest data bus AXI4 has, in bytes.
_WIDEST_PORT = 128


def winograd_tiles(algorithms: Iterable[Algorithm]) -> tuple[int, ...]:
    """M of every F(m, 3) among algorithms: what the overlay's transform units must be able to do."""
    return tuple(sorted({algorithm.tile for algorithm in algorithms if isinstance(algorithm, Winograd)}))


def overlay_for(board: Board, winograd: tuple[int, ...] = (), *, macs_per_dsp: int = 1) -> Overlay:
    """The overlay parameters for a board.

    The memory port is as wide as the DRAM is fast, a power of two and at most AXI's 128 bytes.

    Args:
        board: gives memories, DRAM bandwidth and clock.
        winograd: m of every F(m, 3) it shall be able to do. With two products a slice none can be, and none whose
            transformed weights are wider than the port.
        macs_per_dsp: 1, or 2 where the board's slices can pack two 8-bit products (which leaves out Winograd, whose
            operands are wider).

    Raises:
        DynamapError: when the slices of the board cannot do that many.
    """
    if macs_per_dsp > board.int8_macs_per_dsp or macs_per_dsp < 1:
        raise DynamapError(
            f"board {board.name!r} does {board.int8_macs_per_dsp} 8-bit MACs per DSP slice and cycle, not "
            f"{macs_per_dsp}; choose a number between 1 and that"
        )
    bytes_per_cycle = max(1, min(_WIDEST_PORT, board.dram_bytes_per_cycle))
    port = 1 << (bytes_per_cycle.bit_length() - 1)
    possible = () if macs_per_dsp > 1 else tuple(tile for tile in winograd if transformed_bytes(tile) <= port)
    return Overlay(
        dram_bytes_per_cycle=port,
        dram_latency_cycles=max(1, math.ceil(board.dram_latency_s * board.clock_hz)),
        on_chip_bits=board.bram_bits,
        winograd=possible,
        macs_per_dsp=macs_per_dsp,
    )


def dram_bytes_per_cycle(board: Board) -> Fraction:
    """DRAM bandwidth over clock, not rounded (the ``paper`` preset)."""
    return Fraction(board.dram_bytes_per_second) / Fraction(board.clock_hz)


def max_elements(board: Board, overlay: Overlay) -> int:
    """Processing elements the board can hold."""
    return board.array_dsp * overlay.macs_per_dsp
