"""The overlay a board can hold: memories sized from the board, everything but the array's shape."""

from __future__ import annotations

import math
from fractions import Fraction

from dynamap_rtl import Overlay

from .board import Board
from .errors import DynamapError

__all__ = ["dram_bytes_per_cycle", "max_elements", "overlay_for"]

# Shares of the on-chip memory; each is a double buffer, so that half of it holds the block in work.
_ACTIVATION_SHARE = Fraction(3, 8)
_WEIGHT_SHARE = Fraction(3, 8)
_ACCUMULATOR_SHARE = Fraction(1, 4)


def overlay_for(board: Board, *, macs_per_dsp: int = 1) -> Overlay:
    """The overlay parameters for a board.

    Three eighths of the on-chip memory hold activations, three eighths weights, a quarter accumulators; all double
    buffered.

    Args:
        board: gives memories, DRAM bandwidth and clock.
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
    return Overlay(
        dram_bytes_per_cycle=board.dram_bytes_per_cycle,
        dram_latency_cycles=math.ceil(board.dram_latency_s * board.clock_hz),
        activation_buffer_bytes=max(1, int(board.on_chip_bytes * _ACTIVATION_SHARE / 2)),
        weight_buffer_bytes=max(1, int(board.on_chip_bytes * _WEIGHT_SHARE / 2)),
        accumulator_bytes=max(1, int(board.on_chip_bytes * _ACCUMULATOR_SHARE / 2)),
        macs_per_dsp=macs_per_dsp,
    )


def dram_bytes_per_cycle(board: Board) -> Fraction:
    """DRAM bandwidth over clock, not rounded (the ``paper`` preset)."""
    return Fraction(board.dram_bytes_per_second) / Fraction(board.clock_hz)


def max_elements(board: Board, overlay: Overlay) -> int:
    """Processing elements the board can hold."""
    return board.array_dsp * overlay.macs_per_dsp
