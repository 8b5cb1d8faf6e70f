"""Requests of a burst port cut into AXI4 bursts: the address channel of a reader and of a writer.

Contract of :func:`axi_bursts`, whose model is :func:`dynamap_rtl.axi.port.axi_bursts_of`:

1. A request is taken with ``request_valid`` and ``request_ready``, which comes from registers; ``taken`` says so, and
   ``place`` is its address within a block of C beats. It is taken only with ``room`` for whatever follows it.
2. Its bytes lie at ``base`` · 4096 + ``request_address``. Its bursts, in order: ``burst_valid`` with
   ``burst_address`` (a multiple of D), ``burst_length`` (beats less one) and ``burst_last`` (none of this request
   follows), until ``burst_ready``. With ``burst_room`` and ``open`` only; both may end between bursts, and ``open`` at
   a reset. ``issued`` is high in the cycle of a transfer.
3. A request taken in cycle x offers its first burst in cycle x + 2; a burst a cycle, also from request to request.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.axi.port import PAGE_BYTES, REQUEST_BYTES_BITS, AxiPort
from dynamap_rtl.hardware import Leaf
from dynamap_rtl.isa import BYTE_ADDRESS_BITS

from .counting import unsigned
from .pair_queue import pair_queue

__all__ = ["BASE_SHIFT", "LENGTH_BITS", "axi_bursts", "place_width"]

#: ``base`` counts pages, so that it moves no 4 KiB boundary.
BASE_SHIFT = PAGE_BYTES.bit_length() - 1
#: Bits of an AXI burst's length.
LENGTH_BITS = 8


def place_width(port: AxiPort) -> int:
    """Bits of a byte's place in its block of C beats."""
    return port.chunk_width + port.offset_width


def axi_bursts(port: AxiPort) -> Leaf:
    """The circuit; see the module for its contract."""
    offset_width, chunk_width, width = port.offset_width, port.chunk_width, port.address_width
    # Beats of the longest request less one: its first byte may be the last of a beat.
    count_width = ((1 << REQUEST_BYTES_BITS) - 1 + port.data_bytes - 2 >> offset_width).bit_length()

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        # First the request as it came, so that ready is a register and the sums below begin at registers.
        moves = pyrtl.WireVector(1, "moves")
        asked = pyrtl.concat(inputs["request_address"], inputs["request_bytes"])
        taken = pyrtl.WireVector(1, "take")
        waiting = pair_queue("asked", asked, push=taken, pop=moves)
        ready = waiting.room & inputs["room"]
        taken <<= inputs["request_valid"] & ready
        address, count = waiting.head[REQUEST_BYTES_BITS:], waiting.head[:REQUEST_BYTES_BITS]

        # Then its first beat and how many follow that.
        page = (unsigned(address[BASE_SHIFT:], width - BASE_SHIFT) + inputs["base"])[: width - BASE_SHIFT]
        offset = address[:offset_width]
        more = ((count - 1)[:REQUEST_BYTES_BITS] + offset)[offset_width:]
        busy = pyrtl.Register(1, "busy")
        beat = pyrtl.Register(width - offset_width, "beat")
        rest = pyrtl.Register(count_width, "rest")

        # A burst goes to the end of its block or of the request.
        to_block_end = ~beat[:chunk_width]
        final = rest <= to_block_end
        length = pyrtl.select(final, unsigned(rest, LENGTH_BITS), unsigned(to_block_end, LENGTH_BITS))
        valid = busy & inputs["open"] & inputs["burst_room"]
        issued = valid & inputs["burst_ready"]
        done = issued & final
        free = ~busy | done
        moves <<= waiting.valid & free
        busy.next <<= waiting.valid | (busy & ~done)
        next_block = (beat[chunk_width:] + 1)[: width - offset_width - chunk_width]
        beat.next <<= pyrtl.select(
            free,
            pyrtl.concat(page, address[offset_width:BASE_SHIFT]),
            pyrtl.select(issued, pyrtl.concat(next_block, pyrtl.Const(0, bitwidth=chunk_width)), beat),
        )
        rest.next <<= pyrtl.select(
            free,
            unsigned(more, count_width),
            pyrtl.select(issued, (rest - to_block_end - 1)[:count_width], rest),
        )
        return {
            "request_ready": ready,
            "taken": taken,
            "place": inputs["request_address"][: place_width(port)],
            "burst_valid": valid,
            "burst_address": pyrtl.concat(beat, pyrtl.Const(0, bitwidth=offset_width)),
            "burst_length": length,
            "burst_last": final,
            "issued": issued,
        }

    return Leaf(
        f"axi_bursts_{port.data_bytes}_{width}_{port.chunk_beats}",
        inputs={
            "request_valid": 1,
            "request_address": BYTE_ADDRESS_BITS,
            "request_bytes": REQUEST_BYTES_BITS,
            "room": 1,
            "base": width - BASE_SHIFT,
            "open": 1,
            "burst_room": 1,
            "burst_ready": 1,
        },
        outputs={
            "request_ready": 1,
            "taken": 1,
            "place": place_width(port),
            "burst_valid": 1,
            "burst_address": width,
            "burst_length": LENGTH_BITS,
            "burst_last": 1,
            "issued": 1,
        },
        logic=logic,
    )
