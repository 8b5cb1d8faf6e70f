"""A read port of the overlay on AXI4: requests become bursts, beats come back realigned.

Contract of :func:`axi_reader`; the burst port is that of ``memory_model``, the sizes W, D, C those of
:class:`dynamap_rtl.axi.port.AxiPort`:

1. Requests: as ``axi_bursts`` says, which makes the address channel. At most ``outstanding`` wait for their last beat.
2. Data: requests in their order, each of ⌈bytes / W⌉ beats, its first byte in lane 0; behind its last byte is
   something. ``data_valid`` and ``data`` stay until ``data_ready``, which may depend on them.
3. Throughput: a request takes ⌈bytes / W⌉ cycles, a beat a cycle, and one more if its last beat lies in two AXI beats;
   so none more when W = D and its address is a multiple of D.
4. Latency: ``arvalid`` 2 cycles after a request is taken; ``data_valid`` at most ``2 + rotator_latency(D)`` cycles
   after the AXI beat with the last byte of a beat, with a buffer one more.
5. ``rready`` does not look at ``rvalid``. With ``buffer_beats`` AXI beats of room it is high as long as the requests
   unanswered have no more beats than that: whoever asks for no more never holds up the bus, whatever it waits for.
6. ``error`` pulses for every AXI beat that came with SLVERR or DECERR; the beat is used like any other. Beats are
   counted, so ``rlast`` is not looked at.
7. Nothing is reset: with all requests answered the reader is as it was at configuration. ``open`` low keeps ``arvalid``
   low.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.axi.port import REQUEST_BYTES_BITS, AxiPort
from dynamap_rtl.hardware import Constant, Design, Leaf, Port, delayed
from dynamap_rtl.isa import BYTE_ADDRESS_BITS
from dynamap_rtl.rotation import rotator_latency

from .axi_bursts import BASE_SHIFT, LENGTH_BITS, axi_bursts, place_width
from .queue import queue
from .rotator import rotator

__all__ = ["axi_reader"]


def axi_reader(port: AxiPort, *, buffer_beats: int = 0) -> Design:
    """The circuit; see the module for its contract.

    Args:
        port: its sizes.
        buffer_beats: AXI beats that find room whether or not the overlay takes them, a power of two; or none.

    Raises:
        HardwareError: when ``buffer_beats`` is no power of two above 1.
    """
    beat, word = Port(8, port.port_bytes), Port(8, port.data_bytes)
    request = {"request_valid": 1, "request_address": BYTE_ADDRESS_BITS, "request_bytes": REQUEST_BYTES_BITS}
    design = Design(
        f"axi_reader_{port.name}_{buffer_beats}",
        inputs={
            **request,
            "data_ready": 1,
            "base": port.address_width - BASE_SHIFT,
            "open": 1,
            "arready": 1,
            "rvalid": 1,
            "rdata": word,
            "rresp": 2,
        },
        outputs={
            "request_ready": 1,
            "data_valid": 1,
            "data": beat,
            "arvalid": 1,
            "araddr": port.address_width,
            "arlen": LENGTH_BITS,
            "rready": 1,
            "error": 1,
        },
    )
    bursts = design.add(
        "bursts",
        axi_bursts(port),
        **{name: design[name] for name in (*request, "base", "open")},
        burst_room=Constant(1, Port(1)),
        burst_ready=design["arready"],
    )
    first = design.add("first", _first(port), place=bursts["place"], request_bytes=design["request_bytes"])
    asked = design.add(
        "asked",
        queue(width=port.offset_width + REQUEST_BYTES_BITS, depth=port.outstanding),
        push=bursts["taken"],
        data=first["entry"],
    )
    bursts.connect(room=asked["ready"])
    align = design.add("align", _align(port), asked_valid=asked["valid"], asked=asked["head"])
    asked.connect(pop=align["asked_pop"])
    if buffer_beats:
        buffer = design.add(
            "buffer",
            queue(width=word.bits, depth=buffer_beats),
            push=design["rvalid"],
            data=design["rdata"],
            pop=align["word_ready"],
        )
        align.connect(word_valid=buffer["valid"], word=buffer["head"])
        ready = buffer["ready"]
    else:
        align.connect(word_valid=design["rvalid"], word=design["rdata"])
        ready = align["word_ready"]
    turned = design.add(
        "turned",
        rotator(lanes=port.data_bytes, width=8, up=False),
        data=align["mixed"],
        distance=align["distance"],
    )
    cut = design.add("cut", _cut(port), rotated=turned["rotated"])
    beats = design.add(
        "beats",
        queue(width=beat.bits, depth=_beat_queue(port)),
        push=align["push"],
        data=cut["beat"],
        pop=design["data_ready"],
    )
    align.connect(beat_valid=beats["valid"], beat_ready=design["data_ready"])
    fault = design.add("fault", _fault(), rvalid=design["rvalid"], rready=ready, rresp=design["rresp"])
    return design.finish(
        request_ready=bursts["request_ready"],
        data_valid=beats["valid"],
        data=beats["head"],
        arvalid=bursts["burst_valid"],
        araddr=bursts["burst_address"],
        arlen=bursts["burst_length"],
        rready=ready,
        error=fault["error"],
    )


def _beat_queue(port: AxiPort) -> int:
    """Places for beats on their way, so that one can enter in every cycle in which one leaves."""
    return 1 << (rotator_latency(port.data_bytes) + 1).bit_length()


def _first(port: AxiPort) -> Leaf:
    """What the data side has to know of a request: place of its first byte in a beat, number of bytes."""
    return Leaf(
        f"axi_read_entry_{port.data_bytes}_{port.chunk_beats}",
        inputs={"place": place_width(port), "request_bytes": REQUEST_BYTES_BITS},
        outputs={"entry": port.offset_width + REQUEST_BYTES_BITS},
        logic=lambda inputs: {
            "entry": pyrtl.concat(inputs["request_bytes"], inputs["place"][: port.offset_width]),
        },
    )


def _cut(port: AxiPort) -> Leaf:
    """The lanes that a beat of the port has."""
    return Leaf(
        f"axi_read_cut_{port.data_bytes}_{port.port_bytes}",
        inputs={"rotated": Port(8, port.data_bytes)},
        outputs={"beat": Port(8, port.port_bytes)},
        logic=lambda inputs: {"beat": inputs["rotated"][: 8 * port.port_bytes]},
    )


def _fault() -> Leaf:
    """A response above EXOKAY."""
    return Leaf(
        "axi_read_fault",
        inputs={"rvalid": 1, "rready": 1, "rresp": 2},
        outputs={"error": 1},
        logic=lambda inputs: {"error": delayed(inputs["rvalid"] & inputs["rready"] & inputs["rresp"][1], 1, "error")},
    )


def _align(port: AxiPort) -> Leaf:
    """Takes words (AXI beats) and says which lanes of the last two make a beat, and by how much they are to be turned.

    The word whose bytes come next is kept; a beat takes what it can from it and the rest from the word that follows.
    Whenever the kept word is used up the next one takes its place, be it of this request or of another.
    """
    width, data_bytes, port_bytes = port.offset_width, port.data_bytes, port.port_bytes
    count_width = port_bytes.bit_length()
    depth = _beat_queue(port)

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        active = pyrtl.Register(1, "active")
        at = pyrtl.Register(width, "at")  # of the next byte in the kept word
        count = pyrtl.Register(count_width, "count")  # bytes of the next beat
        last = pyrtl.Register(1, "last")  # it is the request's last
        rest = pyrtl.Register(REQUEST_BYTES_BITS, "rest")  # bytes behind it
        have = pyrtl.Register(1, "have")
        kept = pyrtl.Register(8 * data_bytes, "kept")
        reserved = pyrtl.Register(depth.bit_length(), "reserved")  # beats on their way or in the queue

        end = (at + count)[: width + 1]
        both = end > data_bytes
        used = last | (end >= data_bytes)  # nothing is left of the kept word
        able = active & have & (reserved != depth)
        go = able & (~both | inputs["word_valid"])
        # Independent of word_valid: a beat that needs the next word goes as soon as that comes.
        word_ready = pyrtl.select(able, used, ~have)
        after = pyrtl.select(both, ~(inputs["word_valid"] & last), ~used | inputs["word_valid"])
        have.next <<= pyrtl.select(able, after, have | inputs["word_valid"])
        kept.next <<= pyrtl.select(word_ready & inputs["word_valid"], inputs["word"], kept)
        taken = inputs["beat_valid"] & inputs["beat_ready"]
        reserved.next <<= (reserved + go - taken)[: len(reserved)]

        # The next beat, of this request or of the next one.
        ended = go & last
        free = ~active | ended
        active.next <<= pyrtl.select(free, inputs["asked_valid"], active)
        offset, whole = inputs["asked"][:width], inputs["asked"][width:]
        source = pyrtl.select(free, whole, rest)
        moves = free | go
        final = source <= port_bytes
        at.next <<= pyrtl.select(free, offset, pyrtl.select(go, end[:width], at))
        count.next <<= pyrtl.select(
            moves,
            pyrtl.select(final, source[:count_width], pyrtl.Const(port_bytes, bitwidth=count_width)),
            count,
        )
        last.next <<= pyrtl.select(moves, final, last)
        rest.next <<= pyrtl.select(moves, (source - port_bytes)[:REQUEST_BYTES_BITS], rest)

        # Lanes below ``at`` come from the following word.
        mixed = [
            pyrtl.select(at <= lane, kept[8 * lane : 8 * lane + 8], inputs["word"][8 * lane : 8 * lane + 8])
            for lane in range(data_bytes)
        ]
        return {
            "word_ready": word_ready,
            "asked_pop": free,
            "mixed": pyrtl.concat_list(mixed),
            "distance": at,
            "push": delayed(go, rotator_latency(data_bytes), "push"),
        }

    return Leaf(
        f"axi_read_align_{port_bytes}_{data_bytes}",
        inputs={
            "asked_valid": 1,
            "asked": width + REQUEST_BYTES_BITS,
            "word_valid": 1,
            "word": Port(8, data_bytes),
            "beat_valid": 1,
            "beat_ready": 1,
        },
        outputs={
            "word_ready": 1,
            "asked_pop": 1,
            "mixed": Port(8, data_bytes),
            "distance": width,
            "push": 1,
        },
        logic=logic,
    )
