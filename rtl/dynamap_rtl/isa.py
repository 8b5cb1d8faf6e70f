"""The instruction set of the overlay: one instruction is 128 bytes, little endian, the same for every overlay.

An instruction names a unit, what it waits for and what it gives when done, and holds the unit's fields. Units take
their instructions in order, each at its own pace; *tokens* order them. ``wait`` has a bit for each of sixteen
semaphores: the instruction starts when all of them are above zero, and takes one token from each. ``signal`` gives
one token to each when the instruction is done, ``release`` when it has read its operands (compute only).
docs/reference/instruction-set.md describes every field.

| bits | field | meaning |
|---|---|---|
| 0-3 | ``unit`` | which unit it is for, see :class:`Unit` |
| 4-19 | ``wait`` | semaphores it takes a token from |
| 20-35 | ``signal`` | semaphores it gives a token to when done |
| 36-51 | ``release`` | semaphores it gives a token to when its operands are read |
| 52-55 | | zero |
| 56-1023 | | fields of the unit, see the records below |

A *walk* is five nested loops, level 0 innermost: ``base`` is the first address, ``counts`` the iterations, ``deltas``
what is added when a level goes on (inner levels are back at their start), and ``phase_base``, ``phase_deltas`` the
same modulo the lanes of the buffer (``units.walker``). Addresses are in elements of a lane, or words of an
accumulator column.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from .load_pattern import LoaderParameters, loader_fields
from .pipeline import REQUESTS_AHEAD
from .record import Field, Record
from .store_pattern import StorerParameters, storer_fields

__all__ = [
    "ADDRESS_BITS",
    "BYTE_ADDRESS_BITS",
    "CHANNELS",
    "CHANNEL_BYTES",
    "COMPUTE",
    "COUNT_BITS",
    "FETCH_AHEAD_BYTES",
    "FIELDS",
    "FINISH",
    "HEADER",
    "INSTRUCTION_BYTES",
    "LEVELS",
    "LOAD",
    "PHASE_BITS",
    "SEMAPHORES",
    "STORE",
    "Mode",
    "Unit",
    "walk_fields",
]

INSTRUCTION_BYTES = 128
#: Memory behind a program's END that must be readable: the fetch asks ahead.
FETCH_AHEAD_BYTES = REQUESTS_AHEAD * INSTRUCTION_BYTES
SEMAPHORES = 16
#: Nested loops of a walk.
LEVELS = 5
ADDRESS_BITS = 20
PHASE_BITS = 10
COUNT_BITS = 16
BYTE_ADDRESS_BITS = 32
#: Bytes of an output channel's parameters in memory.
CHANNEL_BYTES = 8


class Unit(IntEnum):
    """Who carries an instruction out."""

    END = 0
    LOAD_LEFT = 1
    LOAD_TOP = 2
    LOAD_CHANNELS = 3
    COMPUTE = 4
    FINISH = 5
    STORE = 6


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

#: What an output channel needs to be requantised, as it lies in memory: y = (sum + bias) * multiplier / 2**shift.
CHANNEL = Record("channel", bias=Field(32, signed=True), multiplier=Field(24), shift=Field(6), zero=Field(2))

#: Fields of an instruction that loads channel parameters: channel i goes to lane i mod P2, word ``word`` + i // P2 of
#: the channel memory, and to word ``single`` + i of the one that serves rows of one channel.
#: In memory they lie ⌊W / 8⌋ a beat (W < 8: ⌈8 / W⌉ beats each), what is left of a beat is not used; ``bytes``
#: reach to the end of the last one.
CHANNELS = Record(
    "channels",
    address=Field(BYTE_ADDRESS_BITS),
    bytes=Field(16),
    channels=Field(13),
    word=Field(ADDRESS_BITS),
    single=Field(ADDRESS_BITS),
)

#: Fields of a finish instruction: rows of the accumulators to bytes in the result buffer.
#:
#: | field | meaning |
#: |---|---|
#: | ``half`` | of the accumulators |
#: | ``base``, ``counts``, ``deltas`` | walk of the rows read |
#: | ``transform`` | 0, or Winograd's output transform, of the rows of one tile after another: 1 + 2 * planar + four |
#: | ``along`` | 1: a row is one pixel's channels; 0: one channel of P2 pixels |
#: | ``count`` | elements of a row that are written |
#: | ``place_counts`` | loops over the results, level 0 innermost |
#: | ``lane``, ``depth`` | of the first result in the result buffer, and ``phase``, the depth modulo P2 |
#: | ``lane_deltas``, ``depth_deltas``, ``phase_deltas`` | as of a walk; the lane is modulo P2 |
#: | ``step`` | added to the depth when the lane wraps; a multiple of P2 |
#: | ``channel``, ``channel_deltas`` | walk of the channel memory: a word for all lanes (along), or a single entry |
#: | ``zero_point``, ``low``, ``high`` | added after scaling; the result is clamped |
FINISH = Record(
    "finish",
    half=Field(1),
    transform=Field(3),
    along=Field(1),
    count=Field(11),
    zero_point=Field(9, signed=True),
    low=Field(9, signed=True),
    high=Field(9, signed=True),
    **walk_fields(phases=False),
    place_counts=Field(COUNT_BITS, LEVELS),
    lane=Field(PHASE_BITS),
    lane_deltas=Field(PHASE_BITS, LEVELS),
    depth=Field(ADDRESS_BITS),
    depth_deltas=Field(ADDRESS_BITS, LEVELS),
    phase=Field(PHASE_BITS),
    phase_deltas=Field(PHASE_BITS, LEVELS),
    step=Field(ADDRESS_BITS),
    channel=Field(ADDRESS_BITS),
    channel_deltas=Field(ADDRESS_BITS, LEVELS),
)


def _fields_of(bits: Mapping[str, int]) -> dict[str, Field]:
    return {name: Field(width) for name, width in bits.items()}


#: The widest loader and storer there can be: their instructions have fields of these widths.
_LOADER = LoaderParameters(
    lanes=1 << PHASE_BITS,
    transfer=1,
    port_bytes=1,
    depth_width=ADDRESS_BITS,
    latency=1,
    address_width=BYTE_ADDRESS_BITS,
)
_STORER = StorerParameters(
    lanes=1 << PHASE_BITS,
    transfer=1,
    port_bytes=1,
    depth_width=ADDRESS_BITS,
    latency=1,
    address_width=BYTE_ADDRESS_BITS,
)

#: Fields of an instruction that loads an operand: those of ``load_pattern.loader_fields``, and where a stream goes.
#:
#: | field | meaning |
#: |---|---|
#: | ``transform`` | 0, or Winograd's input transform of a stream: 1 + 2 * planar + four |
#: | ``tile_along`` | transformed vectors are written along a lane, not across lanes |
#: | ``base``, ``phase_base``, ``counts``, ``deltas``, ``phase_deltas`` | walk of the depths of transformed vectors |
#: | ``lane_deltas`` | the same levels' walk of the lane, from 0 |
LOAD = Record(
    "load",
    **_fields_of(loader_fields(_LOADER)),
    transform=Field(3),
    tile_along=Field(1),
    **walk_fields(),
    lane_deltas=Field(PHASE_BITS, LEVELS),
)

#: Fields of a store instruction: those of ``store_pattern.storer_fields``.
STORE = Record("store", **_fields_of(storer_fields(_STORER)))

#: The fields of every unit's instruction.
FIELDS: Mapping[Unit, Record] = {
    Unit.LOAD_LEFT: LOAD,
    Unit.LOAD_TOP: LOAD,
    Unit.LOAD_CHANNELS: CHANNELS,
    Unit.COMPUTE: COMPUTE,
    Unit.FINISH: FINISH,
    Unit.STORE: STORE,
}
assert all(record.width + HEADER.width <= 8 * INSTRUCTION_BYTES for record in FIELDS.values())
