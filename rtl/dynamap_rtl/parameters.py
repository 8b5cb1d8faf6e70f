"""The parameters of an overlay that do not depend on the shape of its array."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Overlay", "OverlayError"]


class OverlayError(ValueError):
    """Overlay parameters that no hardware can have; the message names the parameter, the rule and the fix."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """Memories and pipeline of the overlay; the array's shape (P1, P2) is given apart, so that it can vary.

    Attributes:
        dram_bytes_per_cycle: width of the DRAM port. A burst of n contiguous bytes occupies it for ⌈n / width⌉ cycles,
            whatever the alignment (the port realigns).
        dram_latency_cycles: from a request to its first byte, and from a write to its acknowledgement.
        activation_buffer_bytes: one half of the double-buffered activation memory.
        weight_buffer_bytes: one half of the double-buffered weight memory.
        accumulator_bytes: one half of the accumulator memory, shared evenly by the P2 columns.
        pipeline_cycles: registers between an array input and its accumulator, skew not included.
        macs_per_dsp: 8-bit multiply-accumulates one DSP slice does per cycle; with 2, one slice holds two processing
            elements, whose operands must fit in 8 bits.

    Raises:
        OverlayError: when a parameter is not a whole number of its range.
    """

    dram_bytes_per_cycle: int
    dram_latency_cycles: int
    activation_buffer_bytes: int
    weight_buffer_bytes: int
    accumulator_bytes: int
    pipeline_cycles: int = 4
    macs_per_dsp: int = 1

    def __post_init__(self) -> None:
        zero_allowed = {"dram_latency_cycles", "pipeline_cycles"}
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in zero_allowed else 1
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**40:
                raise OverlayError(f"{field.name} must be a whole number from {least} to 2**40 - 1, not {value!r}")
        if self.macs_per_dsp not in {1, 2}:
            raise OverlayError(f"macs_per_dsp must be 1 or 2, not {self.macs_per_dsp}")
