"""The parameters of an overlay that do not depend on the shape of its array, and what a shape adds to them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .circuit_parameters import SUM_BITS, CircuitParameters
from .errors import OverlayError
from .sizes import MOST_LANES, IntArray, Sizes, rotations, transfers

__all__ = ["Overlay", "OverlayError"]

# Depths no layer gains much from exceeding; each a power of two.
_OPERAND_DEPTH, _ACCUMULATOR_DEPTH, _RESULT_DEPTH = 8192, 2048, 8192
# Shares of the on-chip memory, in sixteenths: each operand buffer, accumulators, results.
_OPERAND_SHARE, _ACCUMULATOR_SHARE, _RESULT_SHARE = 4, 6, 2
_RESULT_BITS = 8


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """Port, memories and transforms of an overlay; the array's shape (P1, P2) is given apart, so that it can vary.

    Attributes:
        dram_bytes_per_cycle: W, width of the memory ports.
        dram_latency_cycles: from a request to its first byte, and from a write to its acknowledgement.
        on_chip_bits: block RAM the buffers may take together.
        winograd: every m of F(m, 3) it can do.
        macs_per_dsp: 8-bit multiply-accumulates one DSP slice does per cycle; with 2, one slice holds two processing
            elements, whose operands must fit in 8 bits (which the generator does not make yet).

    Raises:
        OverlayError: when a parameter is out of its range.
    """

    dram_bytes_per_cycle: int
    dram_latency_cycles: int
    on_chip_bits: int
    winograd: tuple[int, ...] = ()
    macs_per_dsp: int = 1

    def __post_init__(self) -> None:
        ranges = {"dram_bytes_per_cycle": 1024, "dram_latency_cycles": 4096, "on_chip_bits": 2**40}
        for field in fields(self):
            value = getattr(self, field.name)
            most = ranges.get(field.name)
            if most is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most):
                raise OverlayError(f"{field.name} must be a whole number from 1 to {most}, not {value!r}")
        if self.macs_per_dsp not in {1, 2}:
            raise OverlayError(f"macs_per_dsp must be 1 or 2, not {self.macs_per_dsp}")
        if list(self.winograd) != sorted(set(self.winograd) & {2, 4}):
            raise OverlayError(f"winograd must name tiles of (2, 4), each once, not {self.winograd!r}")

    @property
    def _operand_bits(self) -> int:
        return 18 if 4 in self.winograd else 12 if self.winograd else 9

    def _depths(self, p1: IntArray, p2: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Left, top, one half of the accumulators, results: powers of two that fit the shares."""

        def power(bits: IntArray | int, share: int, most: int) -> IntArray:
            words = np.minimum(most, np.maximum(1, self.on_chip_bits * share // 16 // bits))
            return np.left_shift(1, np.log2(words).astype(np.int64))

        return (
            power(p1 * self._operand_bits, _OPERAND_SHARE, _OPERAND_DEPTH),
            power(p2 * self._operand_bits, _OPERAND_SHARE, _OPERAND_DEPTH),
            power(p2 * (2 * SUM_BITS[bool(self.winograd)]), _ACCUMULATOR_SHARE, _ACCUMULATOR_DEPTH),
            power(p2 * _RESULT_BITS, _RESULT_SHARE, _RESULT_DEPTH),
        )

    def buildable(self, p1: IntArray, p2: IntArray) -> NDArray[np.bool_]:
        """Which shapes there are: lanes that an instruction can count, memories that hold a tile."""
        left, top, words, results = self._depths(np.minimum(p1, MOST_LANES), np.minimum(p2, MOST_LANES))
        return (
            (np.maximum(p1, p2) <= MOST_LANES)
            & (left >= 4)
            & (top >= 2 * p1)
            & (words >= p1)
            & (results >= 2 * (p1 + 2 * p2))
        )

    def sizes(self, p1: IntArray, p2: IntArray) -> Sizes:
        """What cycles depend on, for :meth:`buildable` shapes (shapes,)."""
        left, top, words, results = self._depths(p1, p2)
        transfer = transfers(self.dram_bytes_per_cycle, divides=bool(self.winograd))
        return Sizes(
            rows=p1,
            columns=p2,
            left_half=left // 2,
            top_half=top // 2,
            accumulator_words=words,
            result_half=results // 2,
            left_transfer=transfer[p1],
            top_transfer=transfer[p2],
            result_transfer=_result_transfers(self.dram_bytes_per_cycle)[p2],
            left_rotation=rotations()[p1],
            top_rotation=rotations()[p2],
            port_bytes=self.dram_bytes_per_cycle,
            latency=self.dram_latency_cycles,
        )

    def circuit(self, p1: int, p2: int, *, channel_words: int = 256) -> CircuitParameters:
        """The circuit of one shape.

        Args:
            p1: rows.
            p2: columns.
            channel_words: entries of a lane of the channel memory; a power of two.

        Raises:
            OverlayError: when there is none.
        """
        if not self.buildable(np.array([p1]), np.array([p2]))[0]:
            raise OverlayError(
                f"an array of {p1}x{p2} cannot be built: it needs at most {MOST_LANES} rows and columns, and memories "
                "that hold its tiles; choose a squarer shape or a larger board"
            )
        left, top, words, results = (int(depth[0]) for depth in self._depths(np.array([p1]), np.array([p2])))
        return CircuitParameters(
            rows=p1,
            columns=p2,
            dram_bytes_per_cycle=self.dram_bytes_per_cycle,
            dram_latency_cycles=self.dram_latency_cycles,
            left_depth=left,
            top_depth=top,
            accumulator_depth=words,
            result_depth=results,
            channel_words=channel_words,
            winograd=self.winograd,
            sum_width=SUM_BITS[bool(self.winograd)],
        )


@cache
def _result_transfers(port_bytes: int) -> IntArray:
    """Bytes of a pixel stored a cycle, by the number of columns: what divides a beat."""
    dividing = [size for size in range(1, port_bytes + 1) if port_bytes % size == 0]
    lanes = np.arange(MOST_LANES + 1)
    return np.array(dividing)[np.searchsorted(dividing, np.maximum(1, lanes), side="right") - 1]
