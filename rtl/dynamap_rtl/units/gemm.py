"""The matrix engine: array, accumulators, and the three walkers that keep them busy from a queue of commands.

A command (``isa.COMPUTE``) is one product, or many of one shape as walker levels: where the *feeder* finds the top
operand, the *streamer* the left one, and the *collector* the accumulators. Each has a queue of its own and runs as
far ahead as the array allows, so that the next command's operand is already on its way while the last results of this
one leave.

- Output-stationary: every step reads a column of the left operand and a row of the top one; tiles of ``steps`` steps;
  their last steps are at least ``rows`` cycles apart, because results leave a column through ``rows`` registers.
- Operand-stationary: the feeder reads ``rows`` rows of the top operand, the bottom one first, while the streamer is
  in the tile before; the streamer reads ``steps`` vectors a tile. Walkers of the feeder go by rows, of the streamer
  and the collector by vectors. So a tile takes max(steps, rows) cycles.

Between commands of different modes the engine waits until it is empty. A command that is no vector one is not taken
while there is a vector one before it.

Contract. With R the read latency of the operand buffers, T tiles of s steps each and p = max(s, rows), a lone command
takes

    (T - 1) p + s + (rows + columns - 2) + rows + R + 7

cycles from its first read to the first cycle in which all its results may be read from the accumulators; ``timing`` has
the same formula with :attr:`GemmParameters.pipeline_cycles` = R + 7. Commands of one mode that follow in time cost
their own periods only. ``retired`` pulses when a command's last result enters the accumulators of column 0; those of
the last column follow columns - 1 cycles later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware import Design, HardwareError, Leaf, Port, delayed
from dynamap_rtl.isa import COLLECT, COMPUTE, COUNT_BITS, FEED, LEVELS, STREAM, Mode
from dynamap_rtl.pipeline import COMMAND_QUEUE
from dynamap_rtl.record import Record

from .accumulators import WRITE_LATENCY, AccumulatorParameters, accumulators
from .array import RESULT_LATENCY, TOP_SKEW, ArrayParameters, systolic_array
from .queue import queue
from .vector_lanes import COEFFICIENT_BITS, LANE_LATENCY, vector_lanes
from .walker import WalkerParameters, walker

__all__ = ["GemmParameters", "matrix_engine"]

# From a vector read to the accumulators: the skew of lane 0, and the lane.
_VECTOR_LATENCY = TOP_SKEW + LANE_LATENCY

_ENGINES = {record.name: record for record in (FEED, STREAM, COLLECT)}


@dataclass(frozen=True, kw_only=True)
class GemmParameters:
    """Sizes of the engine.

    Attributes:
        array: shape and widths.
        left_depth: elements of a lane of the left operand buffer, both halves.
        top_depth: likewise of the top one.
        accumulator_depth: words of one half of a column's accumulators.
        read_latency: cycles from a read of an operand buffer to its data, the same for both.
        queue_depth: commands that may wait; a power of two.

    Raises:
        HardwareError: when one of them is out of its range.
    """

    array: ArrayParameters
    left_depth: int
    top_depth: int
    accumulator_depth: int
    read_latency: int = 1
    queue_depth: int = COMMAND_QUEUE

    def __post_init__(self) -> None:
        for name in ("left_depth", "top_depth", "accumulator_depth"):
            if not 2 <= getattr(self, name) <= 1 << 20:
                raise HardwareError(f"{name} must be from 2 to 2**20, not {getattr(self, name)}")
        if self.read_latency < 1:
            raise HardwareError(f"read_latency must be at least 1, not {self.read_latency}")

    @property
    def accumulators(self) -> AccumulatorParameters:
        """The memories behind the columns."""
        return AccumulatorParameters(
            columns=self.array.columns, width=self.array.element.sum_width, depth=self.accumulator_depth
        )

    @property
    def feeder(self) -> WalkerParameters:
        """Addresses of the top operand."""
        return self._walker(self.top_depth, self.array.columns)

    @property
    def streamer(self) -> WalkerParameters:
        """Addresses of the left operand."""
        return self._walker(self.left_depth, self.array.rows)

    @property
    def collector(self) -> WalkerParameters:
        """Addresses of the accumulators."""
        return self._walker(self.accumulator_depth, 1)

    @property
    def pipeline_cycles(self) -> int:
        """Registers on the way of an operand from its buffer to the accumulators, skew not included."""
        return self.read_latency + RESULT_LATENCY + WRITE_LATENCY - 1

    @property
    def name(self) -> str:
        """Unique for the parameters."""
        depths = f"{self.left_depth}_{self.top_depth}_{self.accumulator_depth}"
        return f"{self.array.name}_{depths}_{self.read_latency}_{self.queue_depth}"

    @staticmethod
    def _walker(depth: int, modulus: int) -> WalkerParameters:
        return WalkerParameters(
            levels=LEVELS,
            address_width=(depth - 1).bit_length(),
            count_width=COUNT_BITS,
            modulus=modulus,
        )


_WALK = ("base", "phase_base", "counts", "deltas", "phase_deltas")


def matrix_engine(parameters: GemmParameters) -> Design:
    """The circuit.

    Ports: ``command`` is taken when ``command_valid`` and ``command_ready``; ``left_read``, ``left_depth``,
    ``left_phase`` and the same of ``top`` go to the operand buffers, whose data comes ``read_latency`` cycles later;
    ``read``, ``read_address``, ``read_half`` and ``row`` are those of the accumulators; ``busy``, ``retired``.
    """
    array = parameters.array
    element = array.element
    walkers = {"feed": parameters.feeder, "stream": parameters.streamer, "collect": parameters.collector}
    address = parameters.accumulators.address_width
    design = Design(
        f"gemm_{parameters.name}",
        inputs={
            "command": COMPUTE.width,
            "command_valid": 1,
            "left_data": Port(element.left_width, array.rows),
            "top_data": Port(element.top_width, array.columns),
            "read": 1,
            "read_address": address,
            "read_half": 1,
        },
        outputs={
            "command_ready": 1,
            "left_read": 1,
            "left_depth": parameters.streamer.address_width,
            "left_phase": parameters.streamer.phase_width,
            "top_read": 1,
            "top_depth": parameters.feeder.address_width,
            "top_phase": parameters.feeder.phase_width,
            "row": Port(element.sum_width, array.columns),
            "busy": 1,
            "retired": 1,
            "released": 1,
        },
    )
    split = design.add("split", _split(), command=design["command"], valid=design["command_valid"])
    pacer = design.add("pacer", _pacer(parameters))
    split.connect(busy=pacer["busy"])
    for engine, record in _ENGINES.items():
        waiting = design.add(
            f"{engine}_queue",
            queue(width=record.width, depth=parameters.queue_depth),
            push=split[f"{engine}_push"],
            data=split[engine],
            pop=pacer[f"{engine}_start"],
        )
        split.connect(**{f"{engine}_ready": waiting["ready"]})
        head = design.add(f"{engine}_head", _unpacked(record, walkers[engine]), packed=waiting["head"])
        walk = design.add(
            f"{engine}_walker",
            walker(walkers[engine]),
            start=pacer[f"{engine}_start"],
            advance=pacer[f"{engine}_advance"],
            **{name: head[name] for name in _WALK},
        )
        pacer.connect(
            **{
                f"{engine}_valid": waiting["valid"],
                f"{engine}_busy": walk["busy"],
                f"{engine}_end": walk["at_end"],
                **{f"{engine}_{name}": head[name] for name in _pacer_fields(record)},
            }
        )
    systolic = design.add(
        "array",
        systolic_array(array),
        left=design["left_data"],
        top=design["top_data"],
        **{name: pacer[name] for name in ("feed_even", "feed_odd", "load", "north", "keep", "last", "valid")},
    )
    pacer.connect(draining=systolic["draining"], passing=systolic["passing"])
    vector = design.add(
        "vector",
        vector_lanes(lanes=array.columns, width=element.top_width, sum_width=element.sum_width),
        value=systolic["top_skewed"],
        coefficient=pacer["coefficient"],
        maximum=pacer["lane_maximum"],
    )
    memory = design.add(
        "accumulators",
        accumulators(parameters.accumulators),
        drain=systolic["drain"],
        sum=systolic["sum"],
        vector=vector["vector"],
        **{name: pacer[name] for name in ("write", "half", "maximum", "source")},
        address=design.instances["collect_walker"]["address"],
        **{name: design[name] for name in ("read", "read_address", "read_half")},
    )
    stream, feed = design.instances["stream_walker"], design.instances["feed_walker"]
    return design.finish(
        command_ready=split["ready"],
        left_read=pacer["stream_advance"],
        left_depth=stream["address"],
        left_phase=stream["phase"],
        top_read=pacer["feed_advance"],
        top_depth=feed["address"],
        top_phase=feed["phase"],
        row=memory["row"],
        busy=pacer["busy"],
        retired=pacer["retired"],
        released=pacer["released"],
    )


def _pacer_fields(record: Record) -> list[str]:
    """Fields of a queue's head that the pacer wants, besides the walk."""
    wanted = ["mode", "coefficient", "maximum", "steps", "half", "last_rows"]
    if record is COLLECT:
        wanted.append("counts")
    return [name for name in wanted if name in record.fields]


def _split() -> Leaf:
    """A command goes into all three queues at once, when all have room.

    The streamer's queue has no vector commands: it would go ahead of one, in a mode that then could not end.
    """

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        vector = COMPUTE.slices(inputs["command"])["feed_mode"] == Mode.VECTOR
        after_vector = pyrtl.Register(1, "after_vector")
        ahead = after_vector & ~vector & inputs["busy"]
        ready = inputs["feed_ready"] & inputs["stream_ready"] & inputs["collect_ready"] & ~ahead
        push = ready & inputs["valid"]
        parts: dict[str, pyrtl.WireVector] = {}
        first = 0
        for engine, record in _ENGINES.items():
            parts[engine] = inputs["command"][first : first + record.width]
            parts[f"{engine}_push"] = push
            first += record.width
        after_vector.next <<= pyrtl.select(push, vector, after_vector)
        # The streamer has nothing to do with vectors.
        parts["stream_push"] = push & ~vector
        return {**parts, "ready": ready}

    return Leaf(
        "gemm_split",
        inputs={
            "command": COMPUTE.width,
            "valid": 1,
            "busy": 1,
            **{f"{engine}_ready": 1 for engine in _ENGINES},
        },
        outputs={
            "ready": 1,
            **{f"{engine}_push": 1 for engine in _ENGINES},
            **{engine: record.width for engine, record in _ENGINES.items()},
        },
        logic=logic,
    )


def _unpacked(record: Record, parameters: WalkerParameters) -> Leaf:
    """The fields of a queue's head as ports, addresses and phases cut to what the memory has."""
    lanes = {name: record.fields[name].lanes for name in _WALK if name in record.fields}
    widths = {
        "base": parameters.address_width,
        "deltas": parameters.address_width,
        "counts": COUNT_BITS,
        "phase_base": parameters.phase_width,
        "phase_deltas": parameters.phase_width,
    }
    outputs = {name: Port(field.width, field.lanes) for name, field in record.fields.items()}
    outputs |= {name: Port(widths[name], lanes.get(name, LEVELS if name.endswith("s") else 1)) for name in _WALK}

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        fields = record.slices(inputs["packed"])
        for name, lane_count in lanes.items():
            wide = record.fields[name].width
            cut = [fields[name][lane * wide : lane * wide + widths[name]] for lane in range(lane_count)]
            fields[name] = pyrtl.concat_list(cut)
        for name in outputs.keys() - fields.keys():  # accumulators have no phase
            fields[name] = pyrtl.Const(0, bitwidth=outputs[name].bits)
        return fields

    sizes = f"{parameters.address_width}_{parameters.modulus}"
    return Leaf(f"gemm_{record.name}_head_{sizes}", inputs={"packed": record.width}, outputs=outputs, logic=logic)


def _pacer(parameters: GemmParameters) -> Leaf:
    """Decides in every cycle which walkers start and advance, and gives the array its controls."""
    rows, latency = parameters.array.rows, parameters.read_latency
    row_width = rows.bit_length()
    inputs: dict[str, Port | int] = {
        "draining": 1,
        "passing": 1,
        **{f"{engine}_{signal}": 1 for engine in _ENGINES for signal in ("valid", "busy")},
        **{f"{engine}_end": LEVELS for engine in _ENGINES},
        **{
            f"{engine}_{name}": Port(record.fields[name].width, record.fields[name].lanes)
            for engine, record in _ENGINES.items()
            for name in _pacer_fields(record)
        },
    }
    controls = ("feed_even", "feed_odd", "load", "north", "keep", "last", "valid")
    outputs = {
        **{f"{engine}_{signal}": 1 for engine in _ENGINES for signal in ("start", "advance")},
        **dict.fromkeys(controls, 1),
        **dict.fromkeys(("write", "half", "maximum", "busy", "retired", "released"), 1),
        "source": 2,
        "coefficient": COEFFICIENT_BITS,
        "lane_maximum": 1,
    }

    def logic(wires: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        mode = pyrtl.Register(2, "mode")
        stationary, vector = mode == Mode.OPERAND_STATIONARY, mode == Mode.VECTOR
        own = ~stationary & ~vector  # output-stationary
        busy = {engine: wires[f"{engine}_busy"] for engine in _ENGINES}
        ended = {engine: wires[f"{engine}_end"][-1] for engine in _ENGINES}

        # Streamer and feeder: which of them has a step now.
        steps = pyrtl.Register(COUNT_BITS, "steps")
        step = pyrtl.Register(COUNT_BITS, "step")
        cooldown = pyrtl.Register(row_width, "cooldown")  # cycles before results may start to leave again
        loaded = pyrtl.Register(1, "loaded")  # a stationary operand waits in the shadow registers
        row = pyrtl.Register(row_width, "row")
        odd = pyrtl.Register(1, "odd")
        first = step == 0
        feeding = busy["feed"] & ((row != 0) | ~loaded)
        complete = feeding & (row == rows - 1) & stationary
        may_start = pyrtl.select(stationary, loaded | complete, (cooldown < steps) & busy["feed"])
        streaming = busy["stream"] & (~first | may_start)
        feed_advance = pyrtl.select(stationary, feeding, pyrtl.select(vector, busy["feed"], streaming))
        final = (step + 1)[:COUNT_BITS] == steps
        step.next <<= pyrtl.select(
            streaming, pyrtl.select(final, pyrtl.Const(0, bitwidth=COUNT_BITS), (step + 1)[:COUNT_BITS]), step
        )
        cooldown.next <<= pyrtl.select(
            streaming & final,
            pyrtl.Const(rows - 1, bitwidth=row_width),
            (cooldown - (cooldown != 0))[:row_width],
        )
        taken = stationary & streaming & first
        loaded.next <<= (loaded | complete) & ~taken
        after = pyrtl.select(row == rows - 1, pyrtl.Const(0, bitwidth=row_width), (row + 1)[:row_width])
        row.next <<= pyrtl.select(feeding & stationary, after, row)
        odd.next <<= odd ^ complete

        # Collector: a row of results arrives at column 0.
        draining, passing = wires["draining"], wires["passing"]
        vector_valid = delayed(vector & busy["feed"], latency + _VECTOR_LATENCY, "vector_valid")
        arrived = draining | passing | vector_valid
        below = pyrtl.Register(row_width, "below", reset_value=rows - 1)  # rows that still follow of this tile
        below.next <<= pyrtl.select(
            draining,
            pyrtl.select(below == 0, pyrtl.Const(rows - 1, bitwidth=row_width), (below - 1)[:row_width]),
            below,
        )
        tiles = pyrtl.Register(COUNT_BITS, "tiles")  # of level 1 still to come, this one included
        all_tiles = pyrtl.Register(COUNT_BITS, "all_tiles")
        last_rows = pyrtl.Register(row_width, "last_rows")
        beyond = draining & (tiles == 1) & (below >= last_rows)

        # Starts.
        advance = {"feed": feed_advance, "stream": streaming, "collect": arrived}
        starts = {
            engine: wires[f"{engine}_valid"]
            & (wires[f"{engine}_mode"] == mode)
            & (~busy[engine] | (advance[engine] & ended[engine]))
            for engine in _ENGINES
        }
        empty = ~busy["feed"] & ~busy["stream"] & ~busy["collect"]
        pair = wires["stream_valid"] | (wires["feed_mode"] == Mode.VECTOR)
        waiting = wires["feed_valid"] & wires["collect_valid"] & pair
        mode.next <<= pyrtl.select(empty & waiting, wires["feed_mode"], mode)
        steps.next <<= pyrtl.select(starts["stream"], wires["stream_steps"], steps)
        half = _taken(starts["collect"], wires["collect_half"], "half")
        maximum = _taken(starts["collect"], wires["collect_maximum"], "maximum")
        last_rows.next <<= pyrtl.select(starts["collect"], wires["collect_last_rows"], last_rows)
        count = wires["collect_counts"][COUNT_BITS : 2 * COUNT_BITS]
        all_tiles.next <<= pyrtl.select(starts["collect"], count, all_tiles)
        next_tiles = pyrtl.select(tiles == 1, all_tiles, (tiles - 1)[:COUNT_BITS])
        tiles.next <<= pyrtl.select(starts["collect"], count, pyrtl.select(draining & (below == 0), next_tiles, tiles))

        given = {
            "feed_even": own | (stationary & feed_advance & ~odd),
            "feed_odd": own | (stationary & feed_advance & odd),
            "load": own | taken,
            "north": stationary,
            "keep": ~first,
            "last": own & streaming & final,
            "valid": stationary & streaming,
        }
        lane = {
            "coefficient": _taken(starts["feed"], wires["feed_coefficient"], "given_coefficient"),
            "lane_maximum": _taken(starts["feed"], wires["feed_maximum"], "given_maximum"),
        }
        read = pyrtl.select(vector, feed_advance & ended["feed"], streaming & ended["stream"])
        return {
            **{f"{engine}_start": start for engine, start in starts.items()},
            **{f"{engine}_advance": wire for engine, wire in advance.items()},
            **{name: delayed(wire, latency, name) for name, wire in given.items()},
            "write": arrived & ~beyond,
            "half": half,
            "maximum": maximum,
            "source": pyrtl.concat(vector_valid, passing),
            "busy": ~empty | wires["feed_valid"] | wires["collect_valid"],
            "retired": arrived & ended["collect"],
            "released": read,
            **{name: delayed(wire, latency + TOP_SKEW, name) for name, wire in lane.items()},
        }

    return Leaf(f"gemm_pacer_{parameters.name}", inputs=inputs, outputs=outputs, logic=logic)


def _taken(load: pyrtl.WireVector, value: pyrtl.WireVector, name: str) -> pyrtl.Register:
    """A register that takes the value when ``load`` is high."""
    register = pyrtl.Register(len(value), name)
    register.next <<= pyrtl.select(load, value, register)
    return register
