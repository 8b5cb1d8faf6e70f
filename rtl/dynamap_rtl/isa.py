"""The instruction set of the overlay: one instruction is 128 bytes, little endian, the same for every overlay.

An instruction names a unit, what it waits for and what it gives when done, and holds the unit's fields. Units take
their instructions in order, each at its own pace; *tokens* order them. ``wait`` has a bit for each of eight
semaphores: the instruction starts when all of them are above zero, and takes one token from each. ``signal`` gives
one token to each when the instruction is done, ``release`` when it has read its operands (compute; for the others the
same moment).

| bits | field | meaning |
|---|---|---|
| 0-3 | ``unit`` | which unit it is for, see :class:`Unit` |
| 4-11 | ``wait`` | semaphores it takes a token from |
| 12-19 | ``signal`` | semaphores it gives a token to when done |
| 20-27 | ``release`` | semaphores it gives a token to when its operands are read |
| 28-31 | | zero |
| 32-1023 | | fields of the unit, see the records below |

A *walk* is five nested loops, level 0 innermost: ``base`` is the first address, ``counts`` the iterations, ``deltas``
what is added when a level goes on (inner levels are back at their start), and ``phase_base``, ``phase_deltas`` the
same modulo the lanes of the buffer (``units.walker``). Addresses are in elements of a lane, or words of an
accumulator column.
"""

from __future__ import annotations

from enum import IntEnum

from .record import Field, Record

__all__ = [
    "ADDRESS_BITS",
    "COMPUTE",
    "COUNT_BITS",
    "HEADER",
    "INSTRUCTION_BYTES",
    "LEVELS",
    "PHASE_BITS",
    "SEMAPHORES",
    "Mode",
    "Unit",
    "walk_fields",
]

INSTRUCTION_BYTES = 128
SEMAPHORES = 8
#: Nested loops of a walk.
LEVELS = 5
ADDRESS_BITS = 20
PHASE_BITS = 10
COUNT_BITS = 16


class Unit(IntEnum):
    """Who carries an instruction out."""

    END = 0
    LOAD = 1
    COMPUTE = 2
    FINISH = 3
    STORE = 4


class Mode(IntEnum):
    """What the array does with a compute instruction."""

    OUTPUT_STATIONARY = 0
    OPERAND_STATIONARY = 1
    VECTOR = 2  # the top operand goes to the accumulators without passing the array


def walk_fields(*, phases: bool = True) -> dict[str, Field]:
    """Fields of a walk."""
    fields = {
        "base": Field(ADDRESS_BITS),
        "counts": Field(COUNT_BITS, LEVELS),
        "deltas": Field(ADDRESS_BITS, LEVELS),
    }
    if phases:
        fields |= {"phase_base": Field(PHASE_BITS), "phase_deltas": Field(PHASE_BITS, LEVELS)}
    return fields


HEADER = Record(
    "header", unit=Field(4), wait=Field(SEMAPHORES), signal=Field(SEMAPHORES), release=Field(SEMAPHORES), zero=Field(4)
)

#: The three engines of a compute instruction, each with the fields its queue holds.
FEED = Record("feed", mode=Field(2), maximum=Field(1), coefficient=Field(18, signed=True), **walk_fields())
STREAM = Record("stream", mode=Field(2), steps=Field(COUNT_BITS), **walk_fields())
COLLECT = Record(
    "collect", mode=Field(2), half=Field(1), maximum=Field(1), last_rows=Field(11), **walk_fields(phases=False)
)

#: Fields of a compute instruction, those of the engines by their name, as ``feed_base``; ``mode`` is the same for all.
#:
#: | field | meaning |
#: |---|---|
#: | ``mode`` | see :class:`Mode` |
#: | ``coefficient`` | vector mode: what the operand is multiplied by |
#: | ``steps`` | length of a tile's stream |
#: | ``half`` | of the accumulators, where results go |
#: | ``maximum`` | keep the larger instead of the sum; vector mode |
#: | ``last_rows`` | output-stationary: rows that count of the last tile of level 1 |
#:
#: The feeder walks the top operand: step by step (output-stationary), row by row of a tile, the bottom one first
#: (operand-stationary), or vector by vector. The streamer walks the left one: step by step, or vector by vector; not in
#: vector mode. Level 0 of the collector walks the rows of a tile from the bottom, or vectors.
COMPUTE = Record(
    "compute",
    **{f"{record.name}_{name}": field for record in (FEED, STREAM, COLLECT) for name, field in record.fields.items()},
)
