"""An operand of the array: its loader, Winograd's input transform where there is one, and its buffer.

::

    read port -> loader ----------------------------> turn buffer -> array
                    `--> input transform -> writer --'

Contract:

- ``load_valid`` with ``load_ready`` takes an instruction's fields (``isa.LOAD``). ``done`` is high in the cycle of a
  load's last write into the buffer, in the order of the loads. What is read in the next cycle or later is what was
  loaded.
- ``read``, ``read_depth``, ``read_phase``: ``read_latency`` cycles later ``operand`` holds all lanes at that depth.
- A load with a transform is taken when nothing else is under way, and nothing is taken before it is done: the stream
  and direct writes share the buffer's port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware import Design, HardwareError, Leaf, Port, delayed
from dynamap_rtl.isa import ADDRESS_BITS, COUNT_BITS, LEVELS, LOAD, PHASE_BITS
from dynamap_rtl.load_pattern import ORDER_BITS, LoaderParameters, LoadTarget, loader_fields

from .counting import held
from .loader import loader
from .turn_buffer import BufferKind, TurnBufferParameters, turn_buffer
from .walker import WalkerParameters, walker
from .winograd_input import WinogradInput

__all__ = ["OperandParameters", "operand_unit"]


_WALK = ("base", "phase_base", "counts", "deltas", "phase_deltas")


@dataclass(frozen=True, kw_only=True)
class OperandParameters:
    """Sizes of an operand's unit.

    Attributes:
        lanes: P1 or P2.
        width: bits of an element in the buffer.
        depth: elements of a lane, both halves.
        transfer: elements written a cycle.
        port_bytes: W.
        latency: of the read port, hidden.
        address_width: bits of a byte address.
        read_latency: cycles from a read to the operand; at least the buffer's own.
        winograd: the input transform; None for an overlay without Winograd.

    Raises:
        HardwareError: when these do not fit each other.
    """

    lanes: int
    width: int
    depth: int
    transfer: int
    port_bytes: int
    latency: int
    address_width: int
    read_latency: int
    winograd: WinogradInput | None = None

    def __post_init__(self) -> None:
        if self.read_latency < self.buffer.read_latency:
            raise HardwareError(
                f"an operand of {self.lanes} lanes is read after {self.buffer.read_latency} cycles at the earliest, "
                f"not {self.read_latency}"
            )
        if self.winograd is not None and self.winograd.out_width > self.width:
            raise HardwareError(
                f"transformed values have {self.winograd.out_width} bits, elements of the operand {self.width}; "
                "widen them"
            )

    @property
    def buffer(self) -> TurnBufferParameters:
        """The turn buffer."""
        return TurnBufferParameters(
            lanes=self.lanes, width=self.width, depth=self.depth, transfer=self.transfer, kind=BufferKind.OPERAND
        )

    @property
    def loader(self) -> LoaderParameters:
        """The loader; its elements are as wide as the buffer's, for transformed weights of several bytes."""
        return LoaderParameters(
            lanes=self.lanes,
            transfer=self.transfer,
            port_bytes=self.port_bytes,
            depth_width=self.buffer.depth_width,
            latency=self.latency,
            element_width=self.width,
            element_bytes=min(3, (self.width + 6) // 8, self.port_bytes),
            address_width=self.address_width,
            stream=self.winograd is not None,
        )

    @property
    def name(self) -> str:
        """Unique for the parameters."""
        winograd = "" if self.winograd is None else "_" + self.winograd.transform.name
        sizes = f"{self.lanes}x{self.width}_{self.depth}_{self.transfer}_{self.port_bytes}"
        return f"{sizes}_{self.latency}_{self.address_width}_{self.read_latency}{winograd}"


def operand_unit(parameters: OperandParameters) -> Design:
    """The circuit; see the module for its contract."""
    buffer, load = parameters.buffer, parameters.loader
    port_in: dict[str, Port | int] = {
        "request_ready": 1,
        "data_valid": 1,
        "data": Port(8, parameters.port_bytes),
    }
    port_out = {
        "request_valid": 1,
        "request_address": parameters.address_width,
        "request_bytes": 16,
        "request_order": ORDER_BITS,
        "request_pending": 1,
        "data_ready": 1,
    }
    reads = {"read": 1, "read_depth": buffer.depth_width, "read_phase": buffer.lane_width}
    design = Design(
        f"operand_{parameters.name}",
        inputs={"load_valid": 1, "fields": LOAD.width, **port_in, **reads},
        outputs={"load_ready": 1, "done": 1, **port_out, "operand": Port(parameters.width, parameters.lanes)},
    )
    fields = design.add("fields", _fields(parameters), fields=design["fields"])
    gate = design.add("gate", _gate(parameters), valid=design["load_valid"], target=fields["target"])
    loading = design.add(
        "loader",
        loader(load),
        load_valid=gate["start"],
        **{name: fields[name] for name in loader_fields(load)},
        **{name: design[name] for name in port_in},
    )
    gate.connect(ready=loading["load_ready"], busy=loading["busy"], loaded=loading["done"])
    memory = design.add("buffer", turn_buffer(buffer), **{name: design[name] for name in reads})
    wait = parameters.read_latency - buffer.read_latency
    late = design.add("late", _late(parameters, wait), data=memory["read_data"])
    writes = {
        "write": loading["write"],
        "lane": loading["lane"],
        "depth": loading["write_depth"],
        "phase": loading["phase"],
        "along": loading["along"],
        "count": loading["count"],
        "data": loading["elements"],
    }
    if parameters.winograd is None:
        memory.connect(**writes)
    else:
        transform = design.add(
            "transform",
            parameters.winograd.create(),
            in_valid=loading["stream_valid"],
            out_ready=gate["always"],
            four=gate["four"],
            planar=gate["planar"],
        )
        narrow = design.add("narrow", _narrow(parameters), elements=loading["elements"])
        transform.connect(in_data=narrow["pixels"])
        loading.connect(stream_ready=transform["in_ready"])
        depth_walk = WalkerParameters(
            levels=LEVELS, address_width=buffer.depth_width, count_width=COUNT_BITS, modulus=parameters.lanes
        )
        lane_walk = WalkerParameters(levels=LEVELS, address_width=buffer.lane_width, count_width=COUNT_BITS)
        placed = {
            name: design.add(
                name,
                walker(walk),
                start=gate["streaming_start"],
                advance=transform["out_valid"],
                **{port: fields[f"{name}_{port}"] for port in _WALK},
            )
            for name, walk in (("depths", depth_walk), ("lanes", lane_walk))
        }
        gate.connect(idle=transform["idle"], leaving=transform["out_valid"], transform=fields["transform"])
        choose = design.add(
            "choose",
            _choose(parameters),
            streaming=gate["streaming"],
            tile_write=transform["out_valid"],
            tile_lane=placed["lanes"]["address"],
            tile_depth=placed["depths"]["address"],
            tile_phase=placed["depths"]["phase"],
            tile_along=gate["along"],
            tile_data=transform["out_data"],
            **{f"direct_{name}": source for name, source in writes.items()},
        )
        gate.connect(tile_along=fields["tile_along"])
        memory.connect(**{name: choose[name] for name in writes})
    settle = design.add("settle", _settle(buffer.write_to_read), done=gate["done"])
    return design.finish(
        load_ready=gate["load_ready"],
        done=settle["settled"],
        operand=late["operand"],
        **{name: loading[name] for name in port_out},
    )


def _walk_ports(parameters: OperandParameters) -> dict[str, Port]:
    depth, lane = parameters.buffer.depth_width, parameters.buffer.lane_width
    return {
        "depths_base": Port(depth),
        "depths_phase_base": Port(lane),
        "depths_counts": Port(COUNT_BITS, LEVELS),
        "depths_deltas": Port(depth, LEVELS),
        "depths_phase_deltas": Port(lane, LEVELS),
        "lanes_base": Port(lane),
        "lanes_phase_base": Port(1),
        "lanes_counts": Port(COUNT_BITS, LEVELS),
        "lanes_deltas": Port(lane, LEVELS),
        "lanes_phase_deltas": Port(1, LEVELS),
    }


def _fields(parameters: OperandParameters) -> Leaf:
    """An instruction's fields, cut to what this unit has."""
    widths = loader_fields(parameters.loader)
    extra: dict[str, Port | int] = {}
    if parameters.winograd is not None:
        extra = {"transform": 3, "tile_along": 1, **_walk_ports(parameters)}

    def cut(lanes: pyrtl.WireVector, width: int, kept: int) -> pyrtl.WireVector:
        return pyrtl.concat_list([lanes[first : first + kept] for first in range(0, len(lanes), width)])

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        fields = LOAD.slices(inputs["fields"])
        outputs = {name: fields[name][:width] for name, width in widths.items()}
        if parameters.winograd is not None:
            depth, lane = parameters.buffer.depth_width, parameters.buffer.lane_width
            outputs |= {
                "transform": fields["transform"],
                "tile_along": fields["tile_along"],
                "depths_base": fields["base"][:depth],
                "depths_phase_base": fields["phase_base"][:lane],
                "depths_counts": fields["counts"],
                "depths_deltas": cut(fields["deltas"], ADDRESS_BITS, depth),
                "depths_phase_deltas": cut(fields["phase_deltas"], PHASE_BITS, lane),
                "lanes_base": pyrtl.Const(0, bitwidth=lane),
                "lanes_phase_base": pyrtl.Const(0, bitwidth=1),
                "lanes_counts": fields["counts"],
                "lanes_deltas": cut(fields["lane_deltas"], PHASE_BITS, lane),
                "lanes_phase_deltas": pyrtl.Const(0, bitwidth=LEVELS),
            }
        return outputs

    return Leaf(
        f"operand_fields_{parameters.name}", inputs={"fields": LOAD.width}, outputs={**widths, **extra}, logic=logic
    )


def _gate(parameters: OperandParameters) -> Leaf:
    """Lets loads in, and says when they are done."""
    inputs: dict[str, Port | int] = {"valid": 1, "target": 2, "ready": 1, "busy": 1, "loaded": 1}
    outputs: dict[str, Port | int] = {"load_ready": 1, "start": 1, "done": 1}
    if parameters.winograd is None:
        return Leaf(
            "operand_gate",
            inputs=inputs,
            outputs=outputs,
            logic=lambda wires: {
                "load_ready": wires["ready"],
                "start": wires["valid"],
                "done": wires["loaded"],
            },
        )

    def logic(wires: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        streaming = pyrtl.Register(1, "is_streaming")
        finishing = pyrtl.Register(1, "finishing")  # the loader is done, the transform not yet
        stream = wires["target"] == LoadTarget.STREAM
        ready = wires["ready"] & ~streaming & (~stream | ~wires["busy"])
        begin = wires["valid"] & ready & stream
        transform = held(begin, wires["transform"], "transform")
        ended = finishing & wires["idle"] & ~wires["leaving"]
        finishing.next <<= (finishing | (streaming & wires["loaded"])) & ~ended
        streaming.next <<= begin | (streaming & ~ended)
        kind = (transform - 1)[:3]
        return {
            "load_ready": ready,
            "start": wires["valid"] & ready,
            "done": (wires["loaded"] & ~streaming) | ended,
            "streaming_start": begin,
            "streaming": streaming,
            "four": kind[0],
            "planar": kind[1],
            "along": held(begin, wires["tile_along"], "tile_along"),
            "always": pyrtl.Const(1, bitwidth=1),
        }

    extra = ("streaming_start", "streaming", "four", "planar", "along", "always")
    return Leaf(
        "operand_gate_winograd",
        inputs={**inputs, "idle": 1, "leaving": 1, "transform": 3, "tile_along": 1},
        outputs={**outputs, **dict.fromkeys(extra, 1)},
        logic=logic,
    )


def _settle(cycles: int) -> Leaf:
    return Leaf(
        f"operand_settle_{cycles}",
        inputs={"done": 1},
        outputs={"settled": 1},
        logic=lambda inputs: {"settled": delayed(inputs["done"], cycles, "settling")},
    )


def _late(parameters: OperandParameters, cycles: int) -> Leaf:
    data = Port(parameters.width, parameters.lanes)
    return Leaf(
        f"operand_late_{parameters.lanes}x{parameters.width}_{cycles}",
        inputs={"data": data},
        outputs={"operand": data},
        logic=lambda inputs: {"operand": delayed(inputs["data"], cycles, "waiting")},
    )


def _narrow(parameters: OperandParameters) -> Leaf:
    """The stream's pixels at the width the transform takes; they fit."""
    assert parameters.winograd is not None
    wide, kept, lanes = parameters.width, parameters.winograd.in_width, parameters.transfer

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        pixels = [inputs["elements"][lane * wide : lane * wide + kept] for lane in range(lanes)]
        return {"pixels": pyrtl.concat_list(pixels)}

    return Leaf(
        f"operand_narrow_{lanes}_{wide}_{kept}",
        inputs={"elements": Port(wide, lanes)},
        outputs={"pixels": Port(kept, lanes)},
        logic=logic,
    )


def _choose(parameters: OperandParameters) -> Leaf:
    """The buffer's write port: the loader's own writes, or transformed vectors."""
    assert parameters.winograd is not None
    buffer, lanes = parameters.buffer, parameters.transfer
    narrow = parameters.winograd.out_width
    ports: dict[str, Port] = {
        "write": Port(1),
        "lane": Port(buffer.lane_width),
        "depth": Port(buffer.depth_width),
        "phase": Port(buffer.lane_width),
        "along": Port(1),
        "count": Port(buffer.count_width),
        "data": Port(parameters.width, lanes),
    }

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        wide = [
            inputs["tile_data"][lane * narrow : (lane + 1) * narrow].sign_extended(parameters.width)
            for lane in range(lanes)
        ]
        tile = {
            **{name: inputs[f"tile_{name}"] for name in ("write", "lane", "depth", "phase", "along")},
            "count": pyrtl.Const(lanes, bitwidth=buffer.count_width),
            "data": pyrtl.concat_list(wide),
        }
        return {name: pyrtl.select(inputs["streaming"], tile[name], inputs[f"direct_{name}"]) for name in ports}

    return Leaf(
        f"operand_choose_{parameters.name}",
        inputs={
            "streaming": 1,
            **{f"tile_{name}": ports[name] for name in ("write", "lane", "depth", "phase", "along")},
            "tile_data": Port(narrow, lanes),
            **{f"direct_{name}": port for name, port in ports.items()},
        },
        outputs=ports,
        logic=logic,
    )
