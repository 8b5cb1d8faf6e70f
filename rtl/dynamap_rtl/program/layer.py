"""What a layer's program is made from: tensors in memory, channel parameters, constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import CHANNEL, CHANNEL_BYTES
from dynamap_rtl.timing import ceil_div

from .assembler import Instruction, ProgramError

__all__ = ["Constants", "LayerProgram", "Scaling", "TensorPlace", "channel_image"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TensorPlace:
    """A feature map in memory: (height, width, channels) bytes.

    Attributes:
        address: byte address of element (0, 0, 0).
        height: rows.
        width: columns.
        channels: elements of a pixel.
        pixel_pitch: bytes from a pixel to the next; more than the channels in a concatenation.
        zero_point: the byte that stands for zero.
        signed: whether elements are int8, not uint8.
    """

    address: int
    height: int
    width: int
    channels: int
    pixel_pitch: int
    zero_point: int = 0
    signed: bool = True

    @property
    def row_pitch(self) -> int:
        """Bytes from a row to the next."""
        return self.width * self.pixel_pitch

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def limits(self) -> tuple[int, int]:
        """Least and largest element."""
        return (-128, 127) if self.signed else (0, 255)


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """From sums to bytes, a number of each for every output channel.

    y = clamp(round((sum + bias) · multiplier / 2**shift) + zero_point, low, high), halves to even.

    Attributes:
        bias: int64 (channels,), 32 bits.
        multiplier: (channels,), 24 bits.
        shift: (channels,), 6 bits.
        low: least result.
        high: largest.
    """

    bias: Integers
    multiplier: Integers
    shift: Integers
    low: int
    high: int


class Constants:
    """Weights and channel parameters, laid out one after another from an address on, each at a beat's beginning."""

    def __init__(self, address: int, circuit: CircuitParameters) -> None:
        self.address = address
        self.beat = circuit.dram_bytes_per_cycle
        self.image = bytearray()

    def add(self, data: bytes) -> int:
        """Append and return the byte address."""
        place = self.address + len(self.image)
        self.image += data + bytes(-len(data) % self.beat)
        return place


@dataclass(frozen=True)
class LayerProgram:
    """A program and the constants it reads.

    Attributes:
        instructions: without END.
        constants_address: where ``constants`` lie.
        constants: bytes.
    """

    instructions: Sequence[Instruction]
    constants_address: int
    constants: bytes


def channel_image(scaling: Scaling, order: Integers, circuit: CircuitParameters) -> bytes:
    """Channel parameters as a load instruction wants them.

    Args:
        scaling: numbers of all channels.
        order: (entries,), the channel of every entry; below zero for one that nobody uses.
        circuit: gives the bytes of a beat.

    Raises:
        ProgramError: when a number does not fit its field.
    """
    per_beat = max(1, circuit.dram_bytes_per_cycle // CHANNEL_BYTES)
    beat_bytes = ceil_div(CHANNEL_BYTES, circuit.dram_bytes_per_cycle) * circuit.dram_bytes_per_cycle
    entries = np.zeros(ceil_div(len(order), per_beat) * per_beat, np.uint64)
    used = np.flatnonzero(order >= 0)
    position = 0
    for name, field in CHANNEL.fields.items():
        if name != "zero":
            values = np.asarray(getattr(scaling, name), dtype=np.int64)[order[used]]
            low = -(1 << field.width - 1) if field.signed else 0
            if values.size and not (low <= values.min() and values.max() < low + (1 << field.width)):
                raise ProgramError(
                    f"{name} of a channel must be from {low} to {low + (1 << field.width) - 1}, not {values.min()} to "
                    f"{values.max()}"
                )
            entries[used] |= (values & ((1 << field.width) - 1)).astype(np.uint64) << np.uint64(position)
        position += field.width
    image = np.zeros((len(entries) // per_beat, beat_bytes), np.uint8)
    image[:, : per_beat * CHANNEL_BYTES] = entries.astype("<u8").view(np.uint8).reshape(len(image), -1)
    return image.tobytes()
