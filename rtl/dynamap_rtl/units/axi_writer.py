"""The write port of the overlay on AXI4: requests become bursts, beats are shifted to their lanes, responses counted.

Contract of :func:`axi_writer`; the burst port is that of ``memory_model``, the sizes W, D, C those of
:class:`dynamap_rtl.axi.port.AxiPort`:

1. Requests: as ``axi_bursts`` says, which makes the address channel. At most ``outstanding`` wait for their last beat,
   and at most ``outstanding`` AXI bursts for their response.
2. Data: beats in the order of the requests, none before its request is taken. ``wstrb`` is high for the bytes of the
   request and for no others. Data waits for no address, nor an address for data.
3. Throughput: a request takes ⌈bytes / W⌉ cycles, a beat a cycle, and one more if its last beat lies in two AXI beats;
   so none more when W = D and its address is a multiple of D.
4. Latency: ``awvalid`` 2 cycles after a request is taken, and its first beat is taken no sooner; ``wvalid``
   ``1 + rotator_latency(D)`` cycles after the beat that completes an AXI beat; ``written`` one cycle after the last
   ``bvalid`` of a request.
5. ``written`` pulses once a request, in their order, when every one of its bursts is answered. ``bready`` is always
   high.
6. ``error`` pulses for every SLVERR or DECERR; the burst counts as written all the same.
7. Nothing is reset: with all requests written the writer is as it was at configuration. ``open`` low keeps ``awvalid``
   and ``wvalid`` low.
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

__all__ = ["axi_writer"]


def axi_writer(port: AxiPort) -> Design:
    """The circuit; see the module for its contract."""
    beat, word = Port(8, port.port_bytes), Port(8, port.data_bytes)
    request = {"request_valid": 1, "request_address": BYTE_ADDRESS_BITS, "request_bytes": REQUEST_BYTES_BITS}
    design = Design(
        f"axi_writer_{port.name}",
        inputs={
            **request,
            "write_valid": 1,
            "write_data": beat,
            "base": port.address_width - BASE_SHIFT,
            "open": 1,
            "awready": 1,
            "wready": 1,
            "bvalid": 1,
            "bresp": 2,
        },
        outputs={
            "request_ready": 1,
            "write_ready": 1,
            "written": 1,
            "awvalid": 1,
            "awaddr": port.address_width,
            "awlen": LENGTH_BITS,
            "wvalid": 1,
            "wdata": word,
            "wstrb": port.data_bytes,
            "wlast": 1,
            "bready": 1,
            "error": 1,
        },
    )
    bursts = design.add(
        "bursts",
        axi_bursts(port),
        **{name: design[name] for name in (*request, "base", "open")},
        burst_ready=design["awready"],
    )
    entry = design.add("entry", _entry(port), place=bursts["place"], request_bytes=design["request_bytes"])
    asked = design.add(
        "asked",
        queue(width=place_width(port) + REQUEST_BYTES_BITS, depth=port.outstanding),
        push=bursts["taken"],
        data=entry["entry"],
    )
    bursts.connect(room=asked["ready"])
    intake = design.add(
        "intake",
        _intake(port),
        asked_valid=asked["valid"],
        asked=asked["head"],
        write_valid=design["write_valid"],
        write_data=design["write_data"],
    )
    asked.connect(pop=intake["asked_pop"])
    turned = design.add(
        "turned",
        rotator(lanes=port.data_bytes, width=8, up=True),
        data=intake["lanes"],
        distance=intake["distance"],
    )
    merge = design.add(
        "merge", _merge(port), rotated=turned["rotated"], **{name: intake[name] for name in _steps(port)}
    )
    words = design.add(
        "words",
        queue(width=word.bits + port.data_bytes + 1, depth=_word_queue(port)),
        push=merge["push"],
        data=merge["entry"],
    )
    leaving = design.add(
        "leaving", _leaving(port), valid=words["valid"], head=words["head"], open=design["open"], ready=design["wready"]
    )
    words.connect(pop=leaving["pop"])
    intake.connect(word_taken=leaving["pop"])
    unanswered = design.add(
        "unanswered",
        queue(width=1, depth=port.outstanding),
        push=bursts["issued"],
        data=bursts["burst_last"],
        pop=design["bvalid"],
    )
    bursts.connect(burst_room=unanswered["ready"])
    answers = design.add("answers", _answers(), bvalid=design["bvalid"], bresp=design["bresp"], last=unanswered["head"])
    return design.finish(
        request_ready=bursts["request_ready"],
        write_ready=intake["write_ready"],
        written=answers["written"],
        awvalid=bursts["burst_valid"],
        awaddr=bursts["burst_address"],
        awlen=bursts["burst_length"],
        **{name: leaving[name] for name in ("wvalid", "wdata", "wstrb", "wlast")},
        bready=Constant(1, Port(1)),
        error=answers["error"],
    )


def _word_queue(port: AxiPort) -> int:
    """Places for words on their way, so that one can enter in every cycle in which one leaves."""
    return 1 << (rotator_latency(port.data_bytes) + 1).bit_length()


def _steps(port: AxiPort) -> dict[str, int]:
    """What goes along with the lanes through the rotator, by name: bits.

    ``beat``: there is a beat, which fills lanes ``first`` up to ``end`` (above D: of the next word); ``flush``: what is
    left of the last beat goes as it is; ``emit``: the word is complete; ``final``: it ends its AXI burst.
    """
    return {"beat": 1, "flush": 1, "emit": 1, "final": 1, "first": port.offset_width, "end": port.offset_width + 1}


def _entry(port: AxiPort) -> Leaf:
    """What the data side has to know of a request: place of its first byte in its block, number of bytes."""
    return Leaf(
        f"axi_write_entry_{port.data_bytes}_{port.chunk_beats}",
        inputs={"place": place_width(port), "request_bytes": REQUEST_BYTES_BITS},
        outputs={"entry": place_width(port) + REQUEST_BYTES_BITS},
        logic=lambda inputs: {"entry": pyrtl.concat(inputs["request_bytes"], inputs["place"])},
    )


def _intake(port: AxiPort) -> Leaf:
    """Takes beats, as far as there is room for the words they complete, and knows where each goes.

    A request whose last beat reaches into one more word needs a step of its own for that word.
    """
    width, data_bytes, port_bytes = port.offset_width, port.data_bytes, port.port_bytes
    count_width, chunk_width = port_bytes.bit_length(), port.chunk_width
    latency, depth = rotator_latency(data_bytes), _word_queue(port)

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        active = pyrtl.Register(1, "active")
        flush = pyrtl.Register(1, "flushing")
        at = pyrtl.Register(width, "at")  # lane of the next beat's first byte
        word = pyrtl.Register(chunk_width, "word")  # place of its word in the block
        count = pyrtl.Register(count_width, "count")  # bytes of the next beat
        last = pyrtl.Register(1, "last")  # it is the request's last
        rest = pyrtl.Register(REQUEST_BYTES_BITS, "rest")  # bytes behind it
        reserved = pyrtl.Register(depth.bit_length(), "reserved")  # words on their way or in the queue

        end = (at + count)[: width + 1]
        over = end > data_bytes
        room = reserved != depth
        ready = active & ~flush & room
        beat = ready & inputs["write_valid"]
        flushed = flush & room
        emit = flushed | (beat & (last | (end >= data_bytes)))
        reserved.next <<= (reserved + emit - inputs["word_taken"])[: len(reserved)]
        flush.next <<= (beat & last & over) | (flush & ~flushed)
        ended = flushed | (beat & last & ~over)
        final = ended | (word == (1 << chunk_width) - 1)

        # The next beat, of this request or of the next one.
        free = ~active | ended
        active.next <<= pyrtl.select(free, inputs["asked_valid"], active)
        place, whole = inputs["asked"][: width + chunk_width], inputs["asked"][width + chunk_width :]
        source = pyrtl.select(free, whole, rest)
        moves = free | beat
        short = source <= port_bytes
        at.next <<= pyrtl.select(free, place[:width], pyrtl.select(beat, end[:width], at))
        word.next <<= pyrtl.select(free, place[width:], (word + emit)[:chunk_width])
        count.next <<= pyrtl.select(
            moves,
            pyrtl.select(short, source[:count_width], pyrtl.Const(port_bytes, bitwidth=count_width)),
            count,
        )
        last.next <<= pyrtl.select(moves, short, last)
        rest.next <<= pyrtl.select(moves, (source - port_bytes)[:REQUEST_BYTES_BITS], rest)
        steps = {"beat": beat, "flush": flushed, "emit": emit, "final": final, "first": at, "end": end}
        return {
            "write_ready": ready,
            "asked_pop": free,
            "lanes": inputs["write_data"].zero_extended(8 * data_bytes),
            "distance": at,
            **{name: delayed(wire, latency, f"{name}_later") for name, wire in steps.items()},
        }

    return Leaf(
        f"axi_write_intake_{port_bytes}_{data_bytes}_{port.chunk_beats}",
        inputs={
            "asked_valid": 1,
            "asked": place_width(port) + REQUEST_BYTES_BITS,
            "write_valid": 1,
            "write_data": Port(8, port_bytes),
            "word_taken": 1,
        },
        outputs={
            "write_ready": 1,
            "asked_pop": 1,
            "lanes": Port(8, data_bytes),
            "distance": width,
            **_steps(port),
        },
        logic=logic,
    )


def _merge(port: AxiPort) -> Leaf:
    """Puts turned beats together to words with their strobes."""
    data_bytes = port.data_bytes

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        beat, emit, end = inputs["beat"], inputs["emit"], inputs["end"]
        over = end > data_bytes
        beyond = end[: port.offset_width]  # in the next word, if over
        kept, strobes = pyrtl.Register(8 * data_bytes, "kept"), pyrtl.Register(data_bytes, "strobes")
        words, highs, lefts = [], [], []
        for lane in range(data_bytes):
            mine = inputs["flush"] | (inputs["first"] > lane)  # filled by an earlier beat
            byte = slice(8 * lane, 8 * lane + 8)
            words.append(pyrtl.select(mine, kept[byte], inputs["rotated"][byte]))
            highs.append(pyrtl.select(mine, strobes[lane], end > lane))
            lefts.append(over & beat & (beyond > lane))
        word, high = pyrtl.concat_list(words), pyrtl.concat_list(highs)
        kept.next <<= pyrtl.select(beat, pyrtl.select(emit, inputs["rotated"], word), kept)
        strobes.next <<= pyrtl.select(emit, pyrtl.concat_list(lefts), pyrtl.select(beat, high, strobes))
        return {"push": emit, "entry": pyrtl.concat(inputs["final"], high, word)}

    return Leaf(
        f"axi_write_merge_{data_bytes}",
        inputs={"rotated": Port(8, data_bytes), **_steps(port)},
        outputs={"push": 1, "entry": 9 * data_bytes + 1},
        logic=logic,
    )


def _leaving(port: AxiPort) -> Leaf:
    """The write data channel."""
    data_bytes = port.data_bytes

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        valid, head = inputs["valid"] & inputs["open"], inputs["head"]
        return {
            "wvalid": valid,
            "wdata": head[: 8 * data_bytes],
            "wstrb": head[8 * data_bytes : 9 * data_bytes],
            "wlast": head[9 * data_bytes],
            "pop": valid & inputs["ready"],
        }

    return Leaf(
        f"axi_write_leaving_{data_bytes}",
        inputs={"valid": 1, "head": 9 * data_bytes + 1, "open": 1, "ready": 1},
        outputs={"wvalid": 1, "wdata": Port(8, data_bytes), "wstrb": data_bytes, "wlast": 1, "pop": 1},
        logic=logic,
    )


def _answers() -> Leaf:
    """The write response channel."""

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        return {
            "written": delayed(inputs["bvalid"] & inputs["last"], 1, "written"),
            "error": delayed(inputs["bvalid"] & inputs["bresp"][1], 1, "error"),
        }

    return Leaf(
        "axi_write_answers",
        inputs={"bvalid": 1, "bresp": 2, "last": 1},
        outputs={"written": 1, "error": 1},
        logic=logic,
    )
