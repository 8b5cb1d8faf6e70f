"""The finishing unit: rows of the accumulators to bytes in the result buffer.

Where Winograd was at work, rows go through its output transform first; then they are scaled, rounded and clamped::

    accumulators -> [output transform] -> requantise with the channels' parameters -> result buffer

Contract: ``finish_valid`` with ``finish_ready`` takes an instruction's fields (``isa.FINISH``). Rows are read a cycle
each, beginning in the cycle after. ``done`` is high in the cycle of the last write to the result buffer,
:func:`finish_cycles` after the cycle in which the instruction was taken; ``finish_ready`` is high from the next cycle
on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware import Design, HardwareError, Leaf, Port, delayed
from dynamap_rtl.isa import ADDRESS_BITS, CHANNEL, COUNT_BITS, FINISH, LEVELS, PHASE_BITS

from .accumulators import READ_LATENCY, AccumulatorParameters
from .channel_memory import ENTRY_LATENCY
from .counting import held
from .requantise import LATENCY_CYCLES, Requantiser
from .turn_buffer import TurnBufferParameters
from .walker import WalkerParameters, advance_phase, walker, walker_logic
from .winograd_output import WinogradOutput

__all__ = ["FinisherParameters", "finish_cycles", "finisher"]

_RESULT_BITS = 32
# The parameters of a row are asked for when the row itself is, or leaves the output transform.
_AHEAD = ENTRY_LATENCY
assert READ_LATENCY == ENTRY_LATENCY


@dataclass(frozen=True, kw_only=True)
class FinisherParameters:
    """Sizes of the unit.

    Attributes:
        accumulators: whose rows are read.
        results: the result buffer.
        word_width: bits of an address of the channel memory.
        winograd: the output transform; None for an overlay without Winograd.

    Raises:
        HardwareError: when these do not fit each other.
    """

    accumulators: AccumulatorParameters
    results: TurnBufferParameters
    word_width: int
    winograd: WinogradOutput | None = None

    def __post_init__(self) -> None:
        if self.accumulators.columns != self.results.lanes:
            raise HardwareError("the result buffer must have a lane for every column of the accumulators")

    @property
    def walker(self) -> WalkerParameters:
        """Of the rows that are read."""
        return WalkerParameters(levels=LEVELS, address_width=self.accumulators.address_width, count_width=COUNT_BITS)

    @property
    def name(self) -> str:
        """Unique for the parameters."""
        winograd = "" if self.winograd is None else "_" + self.winograd.transform.name
        return f"{self.accumulators.name}_{self.results.depth}_{self.word_width}{winograd}"


def finish_cycles(rows: int, parameters: FinisherParameters, *, tile: int = 0, planar: bool = False) -> int:
    """Cycles from the one in which a finish instruction is taken to the one of its last write.

    Args:
        rows: rows of the accumulators that are read.
        parameters: of the unit.
        tile: m of F(m, 3) where rows go through the output transform.
        planar: whether it is along both axes.
    """
    if tile == 0:
        return rows + READ_LATENCY + LATENCY_CYCLES
    assert parameters.winograd is not None
    transform = parameters.winograd.transform
    tiles = rows // transform.inputs(tile) ** (2 if planar else 1)
    return READ_LATENCY + transform.cycles(tiles, tile, planar=planar) + _AHEAD + LATENCY_CYCLES


def finisher(parameters: FinisherParameters) -> Design:
    """The circuit; see the module for its contract."""
    lanes, memory = parameters.results.lanes, parameters.accumulators
    sums = Port(memory.width, lanes)
    place = _place_ports(parameters)
    reads = {"read": 1, "read_address": memory.address_width, "read_half": 1}
    channel = {"word": parameters.word_width, "single": 1}
    design = Design(
        f"finisher_{parameters.name}",
        inputs={
            "finish_valid": 1,
            "fields": FINISH.width,
            "row": sums,
            "entries": Port(CHANNEL.width, lanes),
        },
        outputs={
            "finish_ready": 1,
            "done": 1,
            **reads,
            **channel,
            "write": 1,
            **place,
            "data": Port(8, lanes),
        },
    )
    control = design.add("control", _control(parameters), valid=design["finish_valid"], fields=design["fields"])
    walk = design.add(
        "walker",
        walker(parameters.walker),
        **{
            name: control[name]
            for name in ("start", "advance", "base", "phase_base", "counts", "deltas", "phase_deltas")
        },
    )
    control.connect(reading=walk["busy"])
    source = design.add("source", _source(parameters), row=design["row"])
    if parameters.winograd is None:
        control.connect(issued=control["advance"])
    else:
        transform = design.add(
            "transform",
            parameters.winograd.create(),
            in_valid=control["row_valid"],
            in_data=design["row"],
            out_ready=control["always"],
            four=control["four"],
            planar=control["planar"],
        )
        pick = design.add(
            "pick", _pick(), transforming=control["transforming"], read=control["advance"], valid=transform["out_valid"]
        )
        control.connect(issued=pick["issued"])
        source.connect(transformed=transform["out_data"], transforming=control["transforming"])
    entries = design.add("entries", _channels(lanes), entries=design["entries"])
    scaled = design.add(
        "requantise",
        Requantiser(in_width=_RESULT_BITS).create_lanes(lanes),
        value=source["values"],
        **{name: entries[name] for name in ("bias", "multiplier", "shift")},
        **{name: control[name] for name in ("zero_point", "low", "high")},
    )
    return design.finish(
        finish_ready=control["ready"],
        done=control["done"],
        read=control["advance"],
        read_address=walk["address"],
        read_half=control["half"],
        write=control["write"],
        data=scaled["result"],
        **{name: control[name] for name in (*channel, *place)},
    )


def _place_ports(parameters: FinisherParameters) -> dict[str, int]:
    results = parameters.results
    lane = max(1, (results.lanes - 1).bit_length())
    return {
        "lane": lane,
        "depth": max(1, (results.depth - 1).bit_length()),
        "phase": lane,
        "along": 1,
        "count": results.lanes.bit_length(),
    }


def _control(parameters: FinisherParameters) -> Leaf:
    """Starts the walk of reads, and counts the place of every result."""
    lanes = parameters.results.lanes
    place = _place_ports(parameters)
    lane_width, depth_width, count_width = place["lane"], place["depth"], place["count"]
    word_width, address = parameters.word_width, parameters.accumulators.address_width
    place_walker = WalkerParameters(levels=LEVELS, address_width=word_width, count_width=COUNT_BITS, modulus=lanes)

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        busy = pyrtl.Register(1, "busy")
        start = inputs["valid"] & ~busy
        given = FINISH.slices(inputs["fields"])
        kept = ("half", "transform", "along", "count", "step", "zero_point", "low", "high")
        held_fields = {name: held(start, given[name], f"held_{name}") for name in kept}
        along, issued = held_fields["along"], inputs["issued"]

        # The loops, with the channel's address and the phase of the depth; lane and depth go with them.
        loops = walker_logic(
            place_walker,
            {
                "start": start,
                "advance": issued,
                "base": given["channel"][:word_width],
                "phase_base": given["phase"][:lane_width],
                "counts": given["place_counts"],
                "deltas": _cut(given["channel_deltas"], ADDRESS_BITS, word_width),
                "phase_deltas": _cut(given["phase_deltas"], PHASE_BITS, lane_width),
            },
            "place_",
        )
        at_end = loops["at_end"]
        lane, depth = pyrtl.Register(lane_width, "at_lane"), pyrtl.Register(depth_width, "at_depth")
        lane_delta = _of_level(at_end, held(start, _cut(given["lane_deltas"], PHASE_BITS, lane_width), "lane_deltas"))
        depth_delta = _of_level(
            at_end, held(start, _cut(given["depth_deltas"], ADDRESS_BITS, depth_width), "depth_deltas")
        )
        wraps = lane + lane_delta >= lanes
        further = pyrtl.select(wraps, held_fields["step"][:depth_width], pyrtl.Const(0, bitwidth=depth_width))
        lane.next <<= pyrtl.select(
            start, given["lane"][:lane_width], pyrtl.select(issued, advance_phase(lane, lane_delta, lanes), lane)
        )
        depth.next <<= pyrtl.select(
            start,
            given["depth"][:depth_width],
            pyrtl.select(issued, (depth + depth_delta + further)[:depth_width], depth),
        )
        end = issued & at_end[-1]

        latency = _AHEAD + LATENCY_CYCLES
        done = delayed(end, latency, "done")
        busy.next <<= start | (busy & ~done)
        transform = held_fields["transform"]
        outputs = {
            "ready": ~busy,
            "start": start,
            "advance": inputs["reading"],
            "base": given["base"][:address],
            "phase_base": pyrtl.Const(0, bitwidth=1),
            "counts": given["counts"],
            "deltas": _cut(given["deltas"], ADDRESS_BITS, address),
            "phase_deltas": pyrtl.Const(0, bitwidth=LEVELS),
            "half": held_fields["half"],
            "word": loops["address"],
            "single": ~along,
            "write": delayed(issued, latency, "write"),
            "done": done,
            "count": held_fields["count"][:count_width],
            "along": along,
            "lane": delayed(lane, latency, "late_lane"),
            "depth": delayed(depth, latency, "late_depth"),
            "phase": delayed(loops["phase"], latency, "late_phase"),
            **{name: held_fields[name] for name in ("zero_point", "low", "high")},
        }
        if parameters.winograd is not None:
            outputs |= {
                "row_valid": delayed(inputs["reading"] & (transform != 0), READ_LATENCY, "row_valid"),
                "transforming": transform != 0,
                "four": (transform - 1)[0],
                "planar": (transform - 1)[1],
                "always": pyrtl.Const(1, bitwidth=1),
            }
        return outputs

    winograd = ("row_valid", "transforming", "four", "planar", "always")
    return Leaf(
        f"finish_control_{parameters.name}",
        inputs={"valid": 1, "fields": FINISH.width, "reading": 1, "issued": 1},
        outputs={
            **dict.fromkeys(("ready", "start", "advance", "half", "single", "write", "done"), 1),
            "base": address,
            "phase_base": 1,
            "counts": Port(COUNT_BITS, LEVELS),
            "deltas": Port(address, LEVELS),
            "phase_deltas": Port(1, LEVELS),
            "word": word_width,
            **place,
            **dict.fromkeys(("zero_point", "low", "high"), 9),
            **(dict.fromkeys(winograd, 1) if parameters.winograd is not None else {}),
        },
        logic=logic,
    )


def _cut(lanes: pyrtl.WireVector, width: int, kept: int) -> pyrtl.WireVector:
    """Low bits of every lane."""
    return pyrtl.concat_list([lanes[first : first + kept] for first in range(0, len(lanes), width)])


def _of_level(at_end: pyrtl.WireVector, deltas: pyrtl.WireVector) -> pyrtl.WireVector:
    """The delta of the lowest level that is not at its end."""
    width = len(deltas) // LEVELS
    chosen = deltas[(LEVELS - 1) * width :]
    for level in reversed(range(LEVELS - 1)):
        chosen = pyrtl.select(at_end[level], chosen, deltas[level * width : (level + 1) * width])
    return chosen


def _source(parameters: FinisherParameters) -> Leaf:
    """The rows that are requantised: the accumulators' own, or what left the output transform two cycles ago."""
    lanes, width = parameters.results.lanes, parameters.accumulators.width
    kept = min(width, _RESULT_BITS)

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        row = inputs["row"]
        own = pyrtl.concat_list(
            [row[lane * width : lane * width + kept].sign_extended(_RESULT_BITS) for lane in range(lanes)]
        )
        if parameters.winograd is None:
            return {"values": own}
        late = delayed(inputs["transformed"], _AHEAD, "late")
        return {"values": pyrtl.select(inputs["transforming"], late, own)}

    winograd: dict[str, Port | int] = {"transformed": Port(_RESULT_BITS, lanes), "transforming": 1}
    return Leaf(
        f"finish_source_{parameters.name}",
        inputs={"row": Port(width, lanes), **(winograd if parameters.winograd is not None else {})},
        outputs={"values": Port(_RESULT_BITS, lanes)},
        logic=logic,
    )


def _pick() -> Leaf:
    return Leaf(
        "finish_pick",
        inputs={"transforming": 1, "read": 1, "valid": 1},
        outputs={"issued": 1},
        logic=lambda inputs: {"issued": pyrtl.select(inputs["transforming"], inputs["valid"], inputs["read"])},
    )


def _channels(lanes: int) -> Leaf:
    """The fields of every lane's entry, lanes together."""

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        width = CHANNEL.width
        fields = [CHANNEL.slices(inputs["entries"][lane * width : (lane + 1) * width]) for lane in range(lanes)]
        return {name: pyrtl.concat_list([lane[name] for lane in fields]) for name in ("bias", "multiplier", "shift")}

    return Leaf(
        f"channel_fields_{lanes}",
        inputs={"entries": Port(CHANNEL.width, lanes)},
        outputs={name: Port(CHANNEL.fields[name].width, lanes) for name in ("bias", "multiplier", "shift")},
        logic=logic,
    )
