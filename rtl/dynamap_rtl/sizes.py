"""What the cycles of a layer depend on: of one overlay or, element by element, of thousands of array shapes at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from .circuit_parameters import CircuitParameters
from .rotation import rotator_latency
from .timing import ceil_div

__all__ = ["MOST_LANES", "IntArray", "Sizes", "down", "rotations", "sizes_of", "transfers", "up"]

IntArray = NDArray[np.int64]

#: Rows or columns an overlay may have.
MOST_LANES = 1024


def up(numerator: IntArray | int, divisor: IntArray | int) -> IntArray:
    """⌈numerator / divisor⌉ for positive divisors, an array where one of them is."""
    return cast("IntArray", -(-numerator // divisor))


def down(numerator: IntArray | int, divisor: IntArray | int) -> IntArray:
    """⌊numerator / divisor⌋, likewise."""
    return cast("IntArray", numerator // divisor)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of overlays, all arrays of one shape (shapes,); a buffer's *half* is what one block may fill.

    Attributes:
        rows: P1.
        columns: P2.
        left_half: elements of a lane.
        top_half: likewise.
        accumulator_words: words of a column, one half.
        result_half: elements of a lane.
        left_transfer: elements written a cycle.
        top_transfer: likewise.
        result_transfer: bytes of a pixel stored a cycle.
        left_rotation: cycles of a rotation over P1 lanes.
        top_rotation: likewise, P2.
        port_bytes: W, of all of them.
        latency: of memory, cycles.
    """

    rows: IntArray
    columns: IntArray
    left_half: IntArray
    top_half: IntArray
    accumulator_words: IntArray
    result_half: IntArray
    left_transfer: IntArray
    top_transfer: IntArray
    result_transfer: IntArray
    left_rotation: IntArray
    top_rotation: IntArray
    port_bytes: int
    latency: int

    def at(self, chosen: NDArray[np.intp]) -> Sizes:
        """Some of the overlays."""
        arrays = {
            field.name: getattr(self, field.name)[chosen]
            for field in fields(self)
            if field.name not in {"port_bytes", "latency"}
        }
        return replace(self, **arrays)

    @property
    def read_latency(self) -> IntArray:
        """Cycles from a read of an operand buffer to the array."""
        return np.maximum(self.left_rotation, self.top_rotation) + 3

    @property
    def shift_latency(self) -> int:
        """Registers in a loader's shifter."""
        return ceil_div((self.port_bytes - 1).bit_length(), 3)


def sizes_of(circuit: CircuitParameters) -> Sizes:
    """The sizes of one overlay, arrays of shape (1,)."""

    def one(value: int) -> IntArray:
        return np.array([value], dtype=np.int64)

    return Sizes(
        rows=one(circuit.rows),
        columns=one(circuit.columns),
        left_half=one(circuit.left_depth // 2),
        top_half=one(circuit.top_depth // 2),
        accumulator_words=one(circuit.accumulator_depth),
        result_half=one(circuit.result_depth // 2),
        left_transfer=one(circuit.left_transfer),
        top_transfer=one(circuit.top_transfer),
        result_transfer=one(circuit.result_transfer),
        left_rotation=one(rotator_latency(circuit.rows)),
        top_rotation=one(rotator_latency(circuit.columns)),
        port_bytes=circuit.dram_bytes_per_cycle,
        latency=circuit.dram_latency_cycles,
    )


@cache
def transfers(port_bytes: int, *, divides: bool) -> IntArray:
    """Elements a loader writes a cycle, by its number of lanes (index 0 is unused).

    Args:
        port_bytes: W.
        divides: whether they must divide the lanes (an overlay with Winograd).
    """
    most = np.minimum(np.arange(MOST_LANES + 1, dtype=np.int64), port_bytes)
    if divides:
        for lanes in range(1, MOST_LANES + 1):
            most[lanes] = next(size for size in range(int(most[lanes]), 0, -1) if lanes % size == 0)
    return most


@cache
def rotations() -> IntArray:
    """Cycles of a rotation, by the number of lanes (index 0 is unused)."""
    return np.array([0, *(rotator_latency(lanes) for lanes in range(1, MOST_LANES + 1))], dtype=np.int64)
