"""Where a simulation keeps what it keeps: fields in one block of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CTYPES", "Block", "Bytes", "Field", "Layout", "Spot", "limbs_of", "narrowest", "zeros"]

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
        offset: bytes from the start, of what the next cycle reads.
        before: likewise, of what the last cycle read; only registers have other values then.
        size: bytes of an element: 1, 2, 4, or 8.
        limbs: elements of a value, lowest first; more than one only of 8 bytes.
        count: how many values.
    """

    offset: int
    before: int
    size: int
    limbs: int
    count: int

    @property
    def ctype(self) -> str:
        """C's name of an element."""
        return CTYPES[self.size]

    def at(self, base: int) -> Field:
        """The same, counted from where its part begins."""
        return Field(self.offset + base, self.before + base, self.size, self.limbs, self.count)

    def place(self, index: int, limb: int, *, before: bool) -> int:
        """Bytes from the start to one element."""
        return (self.before if before else self.offset) + (limb * self.count + index) * self.size

    def view(self, state: Bytes, *, before: bool = False) -> NDArray[np.unsignedinteger]:
        """The elements, (limbs, count), not copied."""
        start = self.before if before else self.offset
        whole = state[start : start + self.limbs * self.count * self.size]
        return whole.view(f"u{self.size}").reshape(self.limbs, self.count)

    def read(self, state: Bytes, index: int, *, before: bool) -> int:
        """One value, and whatever stands above it in its elements."""
        limbs = self.view(state, before=before)[:, index]
        return sum(int(limb) << (64 * place) for place, limb in enumerate(limbs))

    def fill(self, state: Bytes, value: int) -> None:
        """Set all values, those before as well."""
        for before in (False, True):
            for place, limb in enumerate(self.view(state, before=before)):
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

    def read(self, state: Bytes, index: int, *, before: bool) -> int:
        """One value, and whatever stands above it in its elements."""
        value = self.field.read(state, index, before=before)
        return value if self.bit is None else value >> self.bit & 1

    def fill(self, state: Bytes, value: int) -> None:
        """Set all values, those before as well."""
        if self.bit is None:
            self.field.fill(state, value)
            return
        for before in (False, True):
            view = self.field.view(state, before=before)
            view[:] = view & ((2 ** (8 * self.field.size) - 1) ^ (1 << self.bit)) | value << self.bit


@dataclass(frozen=True)
class Block:
    """Registers of a grid side by side, and behind them the same once more with the values before.

    Attributes:
        offset: bytes from the start to the first.
        bytes: of all, without those before.
    """

    offset: int
    bytes: int


class Layout:
    """Hands out space."""

    def __init__(self) -> None:
        self.bytes = 0

    def reserve(self, size: int) -> int:
        """Room for so many bytes, aligned for vectors."""
        start = self.bytes
        self.bytes += _aligned(size)
        return start

    def field(self, bits: int, count: int = 1) -> Field:
        """Room for ``count`` values of ``bits`` bits."""
        size, limbs = narrowest(bits), limbs_of(bits)
        offset = self.reserve(size * limbs * count)
        return Field(offset, offset, size, limbs, count)

    def registers(self, kinds: Sequence[tuple[int, int]]) -> tuple[Block, list[Field]]:
        """Room for registers, each given by its bits and how many there are of it: side by side, and all again behind.

        Returns:
            The whole, to be copied where the values before are kept, and the field of each.
        """
        sizes = [_aligned(narrowest(bits) * limbs_of(bits) * count) for bits, count in kinds]
        block = Block(self.reserve(2 * sum(sizes)), sum(sizes))
        fields, at = [], block.offset
        for (bits, count), size in zip(kinds, sizes, strict=True):
            fields.append(Field(at, at + block.bytes, narrowest(bits), limbs_of(bits), count))
            at += size
        return block, fields


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def zeros(size: int) -> Bytes:
    """So many zero bytes, aligned for vectors."""
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]
