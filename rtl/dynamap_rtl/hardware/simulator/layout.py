"""Where a simulation keeps what it keeps: fields in one block of bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CTYPES", "Bytes", "Field", "Layout", "Spot", "limbs_of", "narrowest", "zeros"]

Bytes = NDArray[np.uint8]

#: C's name of an unsigned element of so many bytes.
CTYPES = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}

_ALIGNMENT = 64  # one cache line, and the widest vector there is


def limbs_of(bits: int) -> int:
    """How many 64-bit words hold so many bits."""
    return -(-bits // 64)


def narrowest(bits: int) -> int:
    """Bytes of the smallest element that holds the bits, 8 if several are needed."""
    return next((size for size in (1, 2, 4) if bits <= 8 * size), 8)


@dataclass(frozen=True)
class Field:
    """``count`` values of ``limbs`` elements of ``size`` bytes; limb by limb, so that each limb is an array.

    Attributes:
        offset: bytes from the start, in even cycles.
        other: in odd cycles; the same for what is not double-buffered.
        size: bytes of an element: 1, 2, 4, or 8.
        limbs: elements of a value, lowest first; more than one only of 8 bytes.
        count: how many values.
    """

    offset: int
    other: int
    size: int
    limbs: int
    count: int

    @property
    def ctype(self) -> str:
        """C's name of an element."""
        return CTYPES[self.size]

    @property
    def shadow(self) -> Field:
        """The same with the two buffers exchanged."""
        return Field(self.other, self.offset, self.size, self.limbs, self.count)

    def at(self, base: int) -> Field:
        """The same, counted from where its part begins."""
        return Field(self.offset + base, self.other + base, self.size, self.limbs, self.count)

    def place(self, index: int, limb: int, phase: int) -> int:
        """Bytes from the start to one element."""
        return (self.other if phase else self.offset) + (limb * self.count + index) * self.size

    def view(self, state: Bytes, phase: int) -> NDArray[np.unsignedinteger]:
        """The elements, (limbs, count), not copied."""
        start = self.other if phase else self.offset
        whole = state[start : start + self.limbs * self.count * self.size]
        return whole.view(f"u{self.size}").reshape(self.limbs, self.count)

    def read(self, state: Bytes, phase: int, index: int) -> int:
        """One value."""
        return sum(int(limb) << (64 * place) for place, limb in enumerate(self.view(state, phase)[:, index]))

    def fill(self, state: Bytes, value: int) -> None:
        """Set all values, in both buffers."""
        for phase in (0, 1):
            for place, limb in enumerate(self.view(state, phase)):
                limb[:] = (value >> (64 * place)) & (2 ** (8 * self.size) - 1)


@dataclass(frozen=True)
class Spot:
    """The values of a field, or of a bit of its elements.

    Attributes:
        field: where.
        bit: which bit of an element; None for whole values.
    """

    field: Field
    bit: int | None = None

    def at(self, base: int) -> Spot:
        """The same, counted from where its part begins."""
        return Spot(self.field.at(base), self.bit)

    def read(self, state: Bytes, phase: int, index: int) -> int:
        """One value."""
        value = self.field.read(state, phase, index)
        return value if self.bit is None else value >> self.bit & 1

    def fill(self, state: Bytes, value: int) -> None:
        """Set all values, in both buffers."""
        if self.bit is None:
            self.field.fill(state, value)
            return
        for phase in (0, 1):
            view = self.field.view(state, phase)
            view[:] = view & ((2 ** (8 * self.field.size) - 1) ^ (1 << self.bit)) | value << self.bit


class Layout:
    """Hands out space."""

    def __init__(self) -> None:
        self.bytes = 0

    def reserve(self, size: int) -> int:
        """Room for so many bytes, aligned for vectors."""
        start = self.bytes
        self.bytes += -(-size // _ALIGNMENT) * _ALIGNMENT
        return start

    def field(self, bits: int, count: int = 1, *, double: bool = False, size: int | None = None) -> Field:
        """Room for ``count`` values of ``bits`` bits, twice when ``double``."""
        size = narrowest(bits) if size is None else size
        limbs = limbs_of(bits)
        offset = self.reserve(size * limbs * count)
        other = self.reserve(size * limbs * count) if double else offset
        return Field(offset, other, size, limbs, count)


def zeros(size: int) -> Bytes:
    """So many zero bytes, aligned for vectors."""
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]
