"""Parameters of output channels on chip: loaded from memory, given to all lanes a row at a time.

Two memories hold the same entries: one with an entry for every lane, for rows whose lanes are channels, and one with
single entries, for rows of one channel.

Contract: ``load_valid`` with ``load_ready`` takes an instruction's fields (``isa.CHANNELS``); ``done`` is high in the
cycle of its last entry's write, :func:`channel_load_cycles` - 1 cycles later. Reading: ``word``
(and ``single``: 1 for the single entries) in cycle x gives ``entries`` in cycle x + 2. An entry written in cycle x is
read from cycle x + 1 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware import Constant, Design, Grid, HardwareError, Leaf, Port, delayed
from dynamap_rtl.isa import CHANNEL, CHANNEL_BYTES, CHANNELS
from dynamap_rtl.pipeline import CHANNEL_LATENCY
from dynamap_rtl.timing import ceil_div

__all__ = ["ENTRY_LATENCY", "ChannelMemoryParameters", "channel_load_cycles", "channel_memory"]

#: Cycles from ``word`` to ``entries``.
ENTRY_LATENCY = CHANNEL_LATENCY


@dataclass(frozen=True, kw_only=True)
class ChannelMemoryParameters:
    """Sizes of the channel memory.

    Attributes:
        lanes: P2.
        words: entries of a lane.
        singles: single entries.
        port_bytes: W.
        address_width: bits of a byte address.
    """

    lanes: int
    words: int
    singles: int
    port_bytes: int
    address_width: int

    def __post_init__(self) -> None:
        for name in ("lanes", "words", "singles", "port_bytes", "address_width"):
            if getattr(self, name) < 1:
                raise HardwareError(f"{name} of the channel memory must be at least 1, not {getattr(self, name)}")

    @property
    def word_width(self) -> int:
        """Bits of a word's address, in either memory."""
        return max(1, (max(self.words, self.singles) - 1).bit_length())

    @property
    def entries_per_beat(self) -> int:
        """E: how many entries lie in a beat."""
        return max(1, self.port_bytes // CHANNEL_BYTES)

    @property
    def beats_per_entry(self) -> int:
        """B: how many beats an entry takes."""
        return ceil_div(CHANNEL_BYTES, self.port_bytes)

    @property
    def name(self) -> str:
        """Unique for the parameters."""
        return f"{self.lanes}_{self.words}_{self.singles}_{self.port_bytes}_{self.address_width}"


def channel_load_cycles(channels: int, parameters: ChannelMemoryParameters, latency: int) -> int:
    """Cycles from the one in which a load is taken to the one after its last entry's write.

    Args:
        channels: entries, at least one.
        parameters: of the memory.
        latency: of the read port, from a request to its first beat.
    """
    return 1 + latency + 1 + channels * parameters.beats_per_entry


def channel_memory(parameters: ChannelMemoryParameters) -> Design:
    """The circuit; see the module for its contract."""
    width, word = CHANNEL.width, parameters.word_width
    lane = max(1, (parameters.lanes - 1).bit_length())
    port_in = {"request_ready": 1, "data_valid": 1, "data": 8 * parameters.port_bytes}
    port_out = {
        "request_valid": 1,
        "request_address": parameters.address_width,
        "request_bytes": 16,
        "data_ready": 1,
    }
    design = Design(
        f"channel_memory_{parameters.name}",
        inputs={"load_valid": 1, "fields": CHANNELS.width, **port_in, "word": word, "single": 1},
        outputs={"load_ready": 1, "done": 1, **port_out, "entries": Port(width, parameters.lanes)},
    )
    loading = design.add(
        "loading",
        _loading(parameters),
        **{name: design[name] for name in ("load_valid", "fields", *port_in)},
    )
    single = design.add(
        "single",
        _single(parameters),
        word=design["word"],
        **{name: loading[name] for name in ("write", "single_word", "entry")},
    )
    lanes = design.add(
        "lanes",
        Grid(
            f"channel_lanes_{parameters.name}",
            _lane(parameters),
            rows=1,
            columns=parameters.lanes,
            shared=["write", "write_lane", "write_word", "entry", "word", "single", "single_entry"],
        ),
        index=Constant(sum(k << (k * lane) for k in range(parameters.lanes)), Port(lane, parameters.lanes)),
        word=design["word"],
        single=design["single"],
        single_entry=single["single_entry"],
        **{name: loading[name] for name in ("write", "write_lane", "write_word", "entry")},
    )
    return design.finish(
        entries=lanes["entries"], **{name: loading[name] for name in ("load_ready", "done", *port_out)}
    )


def _loading(parameters: ChannelMemoryParameters) -> Leaf:
    """One request, then an entry a cycle out of the beats that come."""
    word = parameters.word_width
    lane = max(1, (parameters.lanes - 1).bit_length())
    entries, beats = parameters.entries_per_beat, parameters.beats_per_entry
    bits, beat = CHANNEL.width, 8 * parameters.port_bytes
    inside = max(entries, beats).bit_length()

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        fields = CHANNELS.slices(inputs["fields"])
        left = pyrtl.Register(len(fields["channels"]), "left")
        asking = pyrtl.Register(1, "asking")
        address = pyrtl.Register(parameters.address_width, "address")
        asked_bytes = pyrtl.Register(16, "asked_bytes")
        at_lane, at_word, at_single = (
            pyrtl.Register(lane, "at_lane"),
            pyrtl.Register(word, "at_word"),
            pyrtl.Register(word, "at_single"),
        )
        ready = (left == 0) & ~asking
        start = ready & inputs["load_valid"]

        # ``held`` entries are in the register (or, with narrow beats, ``held`` beats of one entry).
        held = pyrtl.Register(inside, "held")
        store = pyrtl.Register(max(beat * beats, bits), "store")
        if beats == 1:
            write = held != 0
            accept = held <= 1
            entry = store[:bits]
            shifted = pyrtl.concat(pyrtl.Const(0, bitwidth=bits), store[bits:]) if entries > 1 else store
            store.next <<= pyrtl.select(
                accept & inputs["data_valid"],
                inputs["data"].zero_extended(len(store)),
                pyrtl.select(write, shifted, store),
            )
            after = (left - write)[: len(left)]
            coming = pyrtl.select(after > entries, pyrtl.Const(entries, bitwidth=inside), after[:inside])
            held.next <<= pyrtl.select(accept & inputs["data_valid"], coming, (held - write)[:inside])
        else:
            write = held == beats
            accept = ~write | (left > 1)
            entry = store[:bits]
            taken = accept & inputs["data_valid"]
            store.next <<= pyrtl.select(taken, pyrtl.concat(inputs["data"], store[beat:]), store)
            base = pyrtl.select(write, pyrtl.Const(0, bitwidth=inside), held)
            held.next <<= (base + taken)[:inside]
        busy = left != 0
        last = busy & write & (left == 1)
        left.next <<= pyrtl.select(start, fields["channels"], (left - (busy & write))[: len(left)])
        asking.next <<= start | (asking & ~inputs["request_ready"])
        address.next <<= pyrtl.select(start, fields["address"][: parameters.address_width], address)
        asked_bytes.next <<= pyrtl.select(start, fields["bytes"], asked_bytes)
        wraps = at_lane == parameters.lanes - 1
        next_lane = pyrtl.select(wraps, pyrtl.Const(0, bitwidth=lane), (at_lane + 1)[:lane])
        moved = busy & write
        at_lane.next <<= pyrtl.select(start, pyrtl.Const(0, bitwidth=lane), pyrtl.select(moved, next_lane, at_lane))
        at_word.next <<= pyrtl.select(start, fields["word"][:word], (at_word + (moved & wraps))[:word])
        at_single.next <<= pyrtl.select(start, fields["single"][:word], (at_single + moved)[:word])
        return {
            "load_ready": ready,
            "done": last,
            "request_valid": asking,
            "request_address": address,
            "request_bytes": asked_bytes,
            "data_ready": accept & busy,
            "write": moved,
            "write_lane": at_lane,
            "write_word": at_word,
            "single_word": at_single,
            "entry": entry,
        }

    return Leaf(
        f"channel_loading_{parameters.name}",
        inputs={
            "load_valid": 1,
            "fields": CHANNELS.width,
            "request_ready": 1,
            "data_valid": 1,
            "data": beat,
        },
        outputs={
            "load_ready": 1,
            "done": 1,
            "request_valid": 1,
            "request_address": parameters.address_width,
            "request_bytes": 16,
            "data_ready": 1,
            "write": 1,
            "write_lane": lane,
            "write_word": word,
            "single_word": word,
            "entry": bits,
        },
        logic=logic,
    )


def _single(parameters: ChannelMemoryParameters) -> Leaf:
    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        memory = pyrtl.MemBlock(CHANNEL.width, parameters.word_width, "single_entries", asynchronous=True)
        memory[inputs["single_word"]] <<= pyrtl.MemBlock.EnabledWrite(inputs["entry"], enable=inputs["write"])
        return {"single_entry": delayed(memory[inputs["word"]], 1, "single_entry")}

    word = parameters.word_width
    return Leaf(
        f"channel_single_{parameters.name}",
        inputs={"write": 1, "single_word": word, "entry": CHANNEL.width, "word": word},
        outputs={"single_entry": CHANNEL.width},
        logic=logic,
    )


def _lane(parameters: ChannelMemoryParameters) -> Leaf:
    word = parameters.word_width
    lane = max(1, (parameters.lanes - 1).bit_length())
    address = max(1, (parameters.words - 1).bit_length())

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        memory = pyrtl.MemBlock(CHANNEL.width, address, "entries", asynchronous=True)
        mine = inputs["write"] & (inputs["write_lane"] == inputs["index"])
        memory[inputs["write_word"][:address]] <<= pyrtl.MemBlock.EnabledWrite(inputs["entry"], enable=mine)
        own = delayed(memory[inputs["word"][:address]], 1, "own")
        single = delayed(inputs["single"], 1, "single_1")
        return {"entries": delayed(pyrtl.select(single, inputs["single_entry"], own), 1, "entries_2")}

    return Leaf(
        f"channel_lane_{parameters.name}",
        inputs={
            "index": lane,
            "write": 1,
            "write_lane": lane,
            "write_word": word,
            "entry": CHANNEL.width,
            "word": word,
            "single": 1,
            "single_entry": CHANNEL.width,
        },
        outputs={"entries": CHANNEL.width},
        logic=logic,
    )
