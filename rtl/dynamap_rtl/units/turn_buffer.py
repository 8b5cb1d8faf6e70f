"""A diagonal memory: what is written along one axis can be read along the other, several elements a cycle.

The element of lane l at depth d lies in bank (l + d) modulo P, at address d. The elements of one depth (*across* the
lanes) and consecutive depths of one lane (*along* it) both lie in different banks, so that a transfer of either kind
takes one cycle. Both begin in bank (lane + depth) modulo P and go on bank by bank: one rotation serves both. Nothing
divides: who gives a depth also gives its *phase*, the depth modulo P.

Operand buffers are written ``transfer`` elements at a time and read across, all lanes; result buffers are written up
to all lanes at a time and read along, ``transfer`` elements of one lane.

Contract of :func:`turn_buffer`:

1. Write port: ``write, lane, depth, phase, along, count, data``. In a cycle with ``write``, element x < ``count`` of
   ``data`` goes to (lane + x, depth), or with ``along`` to (lane, depth + x). ``count`` is at least 1; a transfer
   leaves neither the lanes nor the depth.
2. Read port: ``read, read_depth, read_phase`` and, of result buffers, ``read_lane``. ``read_latency`` cycles after a
   cycle with ``read``, ``valid`` is high and ``read_data`` holds all lanes at that depth, or ``transfer`` elements of
   that lane from that depth on (those beyond the last depth are arbitrary).
3. A write and a read can begin in every cycle; nothing stalls. A read ``write_to_read`` cycles after a write or later
   sees it. An earlier one sees what was there before, but in the cycle just before that one memory and write port
   meet at one address: what block RAM then gives is not promised.
4. ``lane`` < P and ``phase`` = depth modulo P. Two halves for double buffering are one more bit of depth, and the
   phase is then of the depth with that bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyrtl
from numpy.typing import NDArray

from dynamap_rtl.hardware import Constant, Design, Grid, HardwareError, Leaf, Port
from dynamap_rtl.rotation import phase_width, rotator_latency

from .rotator import rotator
from .walker import advance_phase

__all__ = ["BufferKind", "TurnBufferModel", "TurnBufferParameters", "bank", "turn_buffer"]

IntArray = NDArray[np.int64]


class BufferKind(StrEnum):
    """Which side of a turn buffer is narrow."""

    OPERAND = "operand"  # written ``transfer`` elements at a time, read across
    RESULT = "result"  # written up to all lanes at a time, read along


@dataclass(frozen=True, kw_only=True)
class TurnBufferParameters:
    """Sizes of a turn buffer.

    Attributes:
        lanes: P, also the number of banks.
        width: bits of an element.
        depth: elements of a lane; banks are made of the next power of two.
        transfer: elements of a transfer on the narrow side, at most ``lanes``.
        kind: which side is narrow.

    Raises:
        HardwareError: when a size is not positive or a transfer has more elements than lanes.
    """

    lanes: int
    width: int
    depth: int
    transfer: int
    kind: BufferKind

    def __post_init__(self) -> None:
        for name in ("lanes", "width", "depth", "transfer"):
            if getattr(self, name) < 1:
                raise HardwareError(f"a turn buffer's {name} must be at least 1, not {getattr(self, name)}")
        if self.transfer > self.lanes:
            raise HardwareError(
                f"a transfer of {self.transfer} elements does not fit the {self.lanes} banks of a turn buffer; "
                f"choose at most {self.lanes}"
            )

    @property
    def write_elements(self) -> int:
        """Elements of ``data``."""
        return self.transfer if self.kind is BufferKind.OPERAND else self.lanes

    @property
    def read_elements(self) -> int:
        """Elements of ``read_data``."""
        return self.lanes if self.kind is BufferKind.OPERAND else self.transfer

    @property
    def depth_width(self) -> int:
        """Bits of a depth."""
        return max(1, (self.depth - 1).bit_length())

    @property
    def lane_width(self) -> int:
        """Bits of a lane and of a phase."""
        return phase_width(self.lanes)

    @property
    def count_width(self) -> int:
        """Bits of ``count``."""
        return self.write_elements.bit_length()

    @property
    def read_latency(self) -> int:
        """Cycles from ``read`` to ``valid``."""
        return rotator_latency(self.lanes) + (3 if self.kind is BufferKind.OPERAND else 4)

    @property
    def write_to_read(self) -> int:
        """A read this many cycles after a write sees it."""
        return rotator_latency(self.lanes) + (1 if self.kind is BufferKind.OPERAND else 0)


class TurnBufferModel:
    """What the buffer holds: an array of lanes and depths, in which no bank and no rotation appears."""

    def __init__(self, parameters: TurnBufferParameters) -> None:
        self.parameters = parameters
        self.elements: IntArray = np.zeros((parameters.lanes, 1 << parameters.depth_width), dtype=np.int64)

    def write(self, *, lane: int, depth: int, along: bool, data: IntArray) -> None:
        """Store consecutive elements along a lane or across lanes."""
        if along:
            self.elements[lane, depth : depth + len(data)] = data
        else:
            self.elements[lane : lane + len(data), depth] = data

    def read_across(self, depth: int) -> IntArray:
        """All lanes at one depth."""
        return self.elements[:, depth].copy()

    def read_along(self, lane: int, depth: int) -> IntArray:
        """Up to ``transfer`` elements of one lane, fewer at the end of the depth."""
        return self.elements[lane, depth : depth + self.parameters.transfer].copy()


def bank(parameters: TurnBufferParameters) -> Leaf:
    """One bank: finds out from its own index and the first bank of a transfer whether it takes part, and where.

    Write controls arrive one cycle before the data; a write is in the memory two cycles after its data. Read data is a
    register, two cycles (operand) or three (result) behind the read controls.
    """
    width, lane_width, depth_width = parameters.width, parameters.lane_width, parameters.depth_width
    along_reads = parameters.kind is BufferKind.RESULT

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        memory = pyrtl.MemBlock(width, depth_width, "memory", asynchronous=True)
        element = _register(_distance(inputs["index"], inputs["first"], parameters.lanes), "element")
        write, along, count, depth = (_register(inputs[n], n + "_1") for n in ("write", "along", "count", "depth"))
        part = _register(write & (element < count), "part")
        place = _register(_place(depth, element & along.sign_extended(lane_width)), "place")
        memory[place] <<= pyrtl.MemBlock.EnabledWrite(_register(inputs["data"], "data_1"), part)

        read_depth = _register(inputs["read_depth"], "read_depth_1")
        if along_reads:
            read_element = _register(_distance(inputs["index"], inputs["read_first"], parameters.lanes), "read_element")
            read_depth = _register(_place(read_depth, read_element), "read_place")
        return {"read_data": _register(memory[read_depth], "read_data_1")}

    reads: dict[str, int] = {"read_first": lane_width} if along_reads else {}
    return Leaf(
        f"turn_bank_{_suffix(parameters)}",
        inputs={
            "index": lane_width,
            "write": 1,
            "first": lane_width,
            "depth": depth_width,
            "along": 1,
            "count": parameters.count_width,
            "data": width,
            "read_depth": depth_width,
            **reads,
        },
        outputs={"read_data": width},
        logic=logic,
    )


def turn_buffer(parameters: TurnBufferParameters) -> Design:
    """The circuit; see the module's contract."""
    lanes, width = parameters.lanes, parameters.width
    along_reads = parameters.kind is BufferKind.RESULT
    cell = bank(parameters)
    shared = set(cell.inputs) - {"index", "data"}
    banks = Grid(f"turn_banks_{_suffix(parameters)}", cell, rows=1, columns=lanes, shared=shared)
    read_lane: dict[str, int] = {"read_lane": parameters.lane_width} if along_reads else {}
    design = Design(
        f"turn_buffer_{_suffix(parameters)}",
        inputs={
            "write": 1,
            "lane": parameters.lane_width,
            "depth": parameters.depth_width,
            "phase": parameters.lane_width,
            "along": 1,
            "count": parameters.count_width,
            "data": Port(width, parameters.write_elements),
            "read": 1,
            "read_depth": parameters.depth_width,
            "read_phase": parameters.lane_width,
            **read_lane,
        },
        outputs={"valid": 1, "read_data": Port(width, parameters.read_elements)},
    )
    ports = _ports(parameters)
    front = design.add("front", ports, **{name: design[name] for name in ports.inputs if name in design.inputs})
    spread = design.add(
        "spread", rotator(lanes=lanes, width=width, up=True), data=front["data_1"], distance=front["first_1"]
    )
    memory = design.add(
        "banks",
        banks,
        index=Constant(sum(b << (b * parameters.lane_width) for b in range(lanes)), Port(parameters.lane_width, lanes)),
        data=spread["rotated"],
        **{name: front[name + "_bank"] for name in shared},
    )
    gather = design.add(
        "gather",
        rotator(lanes=lanes, width=width, up=False),
        data=memory["read_data"],
        distance=front["read_distance"],
    )
    back = _back(parameters)
    taken = design.add("back", back, data=gather["rotated"])
    return design.finish(valid=front["valid"], read_data=taken["read_data"])


def _ports(parameters: TurnBufferParameters) -> Leaf:
    """Registers behind the ports, the first bank of each transfer, and controls in time with the data."""
    lanes, lane_width, depth_width = parameters.lanes, parameters.lane_width, parameters.depth_width
    rotation = rotator_latency(lanes)
    along_reads = parameters.kind is BufferKind.RESULT

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        first = _register(advance_phase(inputs["phase"], inputs["lane"], lanes), "first")
        outputs: dict[str, pyrtl.WireVector] = {"first_1": first}
        # To the banks one cycle ahead of the data, which a rotation delays.
        outputs["first_bank"] = _delayed(first, rotation - 1, "first")
        for name in ("write", "depth", "along", "count"):
            outputs[name + "_bank"] = _delayed(inputs[name], rotation, name)
        data = _register(inputs["data"], "data")
        outputs["data_1"] = data.zero_extended(lanes * parameters.width)

        outputs["read_depth_bank"] = _register(inputs["read_depth"], "read_depth")
        if along_reads:
            distance = _register(advance_phase(inputs["read_phase"], inputs["read_lane"], lanes), "read_first")
            outputs["read_first_bank"] = distance
        else:
            distance = _register(inputs["read_phase"], "read_first")
        outputs["read_distance"] = _delayed(distance, parameters.read_latency - rotation - 1, "read_distance")
        outputs["valid"] = _delayed(inputs["read"], parameters.read_latency, "valid")
        return outputs

    reads: dict[str, int] = {"read_lane": lane_width} if along_reads else {}
    read_first: dict[str, int] = {"read_first_bank": lane_width} if along_reads else {}
    return Leaf(
        f"turn_ports_{_suffix(parameters)}",
        inputs={
            "write": 1,
            "lane": lane_width,
            "depth": depth_width,
            "phase": lane_width,
            "along": 1,
            "count": parameters.count_width,
            "data": Port(parameters.width, parameters.write_elements),
            "read": 1,
            "read_depth": depth_width,
            "read_phase": lane_width,
            **reads,
        },
        outputs={
            "first_1": lane_width,
            "data_1": Port(parameters.width, lanes),
            "write_bank": 1,
            "first_bank": lane_width,
            "depth_bank": depth_width,
            "along_bank": 1,
            "count_bank": parameters.count_width,
            "read_depth_bank": depth_width,
            **read_first,
            "read_distance": lane_width,
            "valid": 1,
        },
        logic=logic,
    )


def _back(parameters: TurnBufferParameters) -> Leaf:
    """The lanes that a read gives."""
    width, elements = parameters.width, parameters.read_elements
    return Leaf(
        f"turn_lanes_{parameters.lanes}_{elements}_{width}",
        inputs={"data": Port(width, parameters.lanes)},
        outputs={"read_data": Port(width, elements)},
        logic=lambda inputs: {"read_data": inputs["data"][: elements * width]},
    )


def _suffix(parameters: TurnBufferParameters) -> str:
    return (
        f"{parameters.kind}_{parameters.lanes}x{parameters.width}_{1 << parameters.depth_width}_{parameters.transfer}"
    )


def _distance(index: pyrtl.WireVector, first: pyrtl.WireVector, lanes: int) -> pyrtl.WireVector:
    """(index - first) modulo ``lanes``: which element of the transfer the bank has."""
    width = len(index)
    difference = index - first  # one bit more, which is the sign
    if lanes == 1 << width:
        return difference[:width]
    wrapped = (difference + pyrtl.Const(lanes, bitwidth=width + 1))[:width]
    return pyrtl.select(difference[width], wrapped, difference[:width])


def _place(depth: pyrtl.WireVector, element: pyrtl.WireVector) -> pyrtl.WireVector:
    return (depth + element)[: len(depth)]


def _register(wire: pyrtl.WireVector, name: str) -> pyrtl.Register:
    register = pyrtl.Register(len(wire), name + "_r")
    register.next <<= wire
    return register


def _delayed(wire: pyrtl.WireVector, cycles: int, name: str) -> pyrtl.WireVector:
    for cycle in range(cycles):
        wire = _register(wire, f"{name}_d{cycle}")
    return wire
