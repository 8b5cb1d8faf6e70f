"""Memories and multipliers in the blocks that an UltraScale+ device has for them, as Yosys chooses them.

The sizes and costs are those of Yosys 0.70's ``synth_xilinx -family xcup`` (its memory library files
``lutrams_xcu.txt`` and ``brams_xc4v.txt``, and ``mul2dsp.v``).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MemoryBlocks", "memory_blocks", "product_slices"]

# Simple dual port: width -> words of an RAMB18E2; an RAMB36E2 has twice as many words and also 72 bits.
_HALF = {1: 16384, 2: 8192, 4: 4096, 9: 2048, 18: 1024, 36: 512}
_FULL = {**{width: 2 * words for width, words in _HALF.items()}, 72: 512}
_HALF_COST, _FULL_COST = 129, 257
# Eight tables together: bits of a word when they are 32 or 64 words deep, by read ports.
_TABLES = 8
_TABLE_WIDTHS = {1: (14, 7), 3: (4, 2), 7: (2, 1)}
_TABLE_COST = 16

_WIDE, _NARROW, _PARTIAL = 27, 18, 17  # signed operands of a slice, unsigned bits of a part of a cut one
_SHORTEST, _SMALLEST = 2, 9  # operand and product that a slice is spent on


@dataclass(frozen=True, kw_only=True)
class MemoryBlocks:
    """What a memory occupies.

    Attributes:
        bram: block RAM in units of RAMB18E2; none for a memory in look-up tables.
        lut: look-up tables used as memory, and those that choose between parts of a deep one.
    """

    bram: int
    lut: int


def memory_blocks(*, width: int, words: int, reads: int, registered: bool) -> MemoryBlocks:
    """Where a memory with one write port goes.

    Args:
        width: bits of a word.
        words: depth.
        reads: read ports.
        registered: whether everything read goes straight to registers, which block RAM needs.
    """
    in_tables, table_cost = _in_tables(width, words, reads)
    if registered:
        halves = min(-(-width // wide) * -(-words // deep) for wide, deep in _HALF.items())
        fulls = min(-(-width // wide) * -(-words // deep) for wide, deep in _FULL.items())
        cost, bram = min((_HALF_COST * halves, halves), (_FULL_COST * fulls, 2 * fulls))
        if cost * reads < table_cost:
            return MemoryBlocks(bram=bram * reads, lut=0)
    return MemoryBlocks(bram=0, lut=in_tables)


def _in_tables(width: int, words: int, reads: int) -> tuple[int, float]:
    """Look-up tables, and their cost to Yosys."""
    deep = words > 32
    parts = -(-words // 64) if deep else 1
    choices = []
    for ports, widths in _TABLE_WIDTHS.items():
        copies = -(-reads // ports)
        groups = copies * parts * -(-width // widths[deep])
        choices.append((_TABLES * groups, _TABLE_COST * copies * parts * width / widths[deep]))
    tables, cost = min(choices)
    return tables + (width * reads * -(-(parts - 1) // 3)), cost


def product_slices(left: int, right: int, bits: int) -> tuple[int, int]:
    """DSP slices of a signed product, and look-up tables that add its parts.

    Args:
        left: bits of an operand.
        right: bits of the other.
        bits: low bits of the product that are used.
    """
    wide, narrow = max(left, right), min(left, right)
    if narrow < _SHORTEST or bits < _SMALLEST:
        return 0, wide * narrow
    return _slices(wide, narrow, bits)


def _slices(wide: int, narrow: int, bits: int) -> tuple[int, int]:
    if wide <= _WIDE and narrow <= _NARROW:
        return 1, 0
    cut, most = (wide, _WIDE) if wide > _WIDE else (narrow, _NARROW)
    other = narrow if wide > _WIDE else wide
    parts = -(-(cut - most) // _PARTIAL)
    slices = adders = 0
    for part in range(parts + 1):
        width = _PARTIAL + 1 if part < parts else cut - parts * _PARTIAL
        more, tables = _slices(max(width, other), min(width, other), min(bits, width + other))
        slices += more
        adders += tables + (max(0, bits - part * _PARTIAL) if part else 0)
    return slices, adders
