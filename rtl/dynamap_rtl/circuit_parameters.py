"""The parameters of a generated overlay: what its circuit, its cycles and its resources follow from."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from .errors import OverlayError
from .rotation import rotator_latency

__all__ = ["SUM_BITS", "CircuitParameters", "transformed_bytes"]

#: Bits of a sum that are enough for every layer: with Winograd's scaled transforms, and without.
SUM_BITS = {True: 48, False: 32}

_TILES = (2, 4)


def transformed_bytes(tile: int) -> int:
    """Bytes of a weight of F(tile, 3), transformed along both axes; a beat of the memory port holds one at least."""
    return 2 if tile == 2 else 3


@dataclass(frozen=True, kw_only=True)
class CircuitParameters:
    """One overlay.

    Attributes:
        rows: P1 of the array.
        columns: P2.
        dram_bytes_per_cycle: W, bytes of a beat of the memory ports.
        dram_latency_cycles: from a request to its first beat, and from a burst's last beat to its confirmation; more is
            allowed and costs time, so much is hidden.
        left_depth: elements of a lane of the left operand's buffer, both halves; a power of two.
        top_depth: likewise of the top operand's.
        accumulator_depth: words of a column's accumulators, one half.
        result_depth: elements of a lane of the result buffer, both halves; a power of two.
        channel_words: entries of a lane of the channel memory; a power of two.
        winograd: every m of F(m, 3) the overlay is able to do; none for one whose operands are bytes only.
        sum_width: bits of an accumulator, 32 to 48.

    Raises:
        OverlayError: when there is no such overlay; the message names the parameter.
    """

    rows: int
    columns: int
    dram_bytes_per_cycle: int = 16
    dram_latency_cycles: int = 20
    left_depth: int = 4096
    top_depth: int = 4096
    accumulator_depth: int = 1024
    result_depth: int = 4096
    channel_words: int = 64
    winograd: tuple[int, ...] = ()
    sum_width: int = 32

    def __post_init__(self) -> None:
        ranges = {
            "rows": (1, 1024),
            "columns": (1, 1024),
            "dram_bytes_per_cycle": (1, 1024),
            "dram_latency_cycles": (1, 4096),
            "left_depth": (2, 1 << 20),
            "top_depth": (2, 1 << 20),
            "accumulator_depth": (2, 1 << 20),
            "result_depth": (2, 1 << 20),
            "channel_words": (2, 1 << 13),
            "sum_width": (32, 48),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise OverlayError(f"{name} of an overlay must be a whole number from {low} to {high}, not {value!r}")
        for name in ("left_depth", "top_depth", "result_depth", "channel_words"):
            if getattr(self, name) & (getattr(self, name) - 1):
                raise OverlayError(f"{name} of an overlay must be a power of two, not {getattr(self, name)}")
        if not set(self.winograd) <= set(_TILES) or list(self.winograd) != sorted(set(self.winograd)):
            raise OverlayError(f"winograd of an overlay names tiles of {_TILES}, each once, not {self.winograd!r}")
        weight_bytes = max(map(transformed_bytes, self.winograd), default=0)
        if self.winograd and self.dram_bytes_per_cycle < weight_bytes:
            raise OverlayError(
                f"transformed weights of F({max(self.winograd)}, 3) have {weight_bytes} bytes, a beat of the port "
                f"{self.dram_bytes_per_cycle}; widen dram_bytes_per_cycle"
            )
        if 4 in self.winograd and self.sum_width < 38:
            raise OverlayError(f"F(4, 3) needs sums of 38 bits or more, not {self.sum_width}; set sum_width")
        if 2 in self.winograd and self.sum_width < 34:
            raise OverlayError(f"F(2, 3) needs sums of 34 bits or more, not {self.sum_width}; set sum_width")

    @property
    def operand_width(self) -> int:
        """Bits of an operand: a byte less its zero point, or what Winograd's transforms make of bytes.

        F(2x2, 3x3) makes 11-bit inputs and 12-bit weights, F(4x4, 3x3) 16 and 18; either may stream or stay.
        """
        return 18 if 4 in self.winograd else 12 if self.winograd else 9

    @property
    def left_transfer(self) -> int:
        """Elements of the left operand written a cycle; Winograd's vectors must not straddle the lanes."""
        return self._transfer(self.rows)

    @property
    def top_transfer(self) -> int:
        """Elements of the top operand written a cycle."""
        return self._transfer(self.columns)

    @property
    def result_transfer(self) -> int:
        """Bytes of a pixel read for a store a cycle: what divides a beat."""
        most = min(self.dram_bytes_per_cycle, self.columns)
        return next(size for size in range(most, 0, -1) if self.dram_bytes_per_cycle % size == 0)

    @property
    def read_latency(self) -> int:
        """Cycles from a read of an operand buffer to the array, the same for both."""
        return max(rotator_latency(self.rows), rotator_latency(self.columns)) + 3

    @property
    def name(self) -> str:
        """Unique for the parameters."""
        winograd = "".join(f"_f{tile}" for tile in self.winograd)
        depths = f"{self.left_depth}_{self.top_depth}_{self.accumulator_depth}_{self.result_depth}_{self.channel_words}"
        port = f"{self.dram_bytes_per_cycle}_{self.dram_latency_cycles}"
        return f"{self.rows}x{self.columns}_{port}_{depths}_{self.sum_width}{winograd}"

    def _transfer(self, lanes: int) -> int:
        most = min(self.dram_bytes_per_cycle, lanes)
        if not self.winograd:
            return most
        return next(size for size in range(most, 0, -1) if gcd(size, lanes) == size)
