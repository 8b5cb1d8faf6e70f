"""The matrix engine: array, accumulators, and the three walkers that keep them busy from a queue of commands.

A command is one product (or many of one shape, as walker levels): where the *feeder* finds the top operand, the
*streamer* the left one, and the *collector* the accumulators. Each has a queue of its own and runs as far ahead as
the array allows, so that the next command's operand is already on its way while the last results of this one leave.

- Output-stationary: every step reads a column of the left operand and a row of the top one; tiles of ``steps`` steps;
  their last steps are at least ``rows`` cycles apart, because results leave a column through ``rows`` registers.
- Operand-stationary: the feeder reads ``rows`` rows of the top operand, the bottom one first, while the streamer is
  in the tile before; the streamer reads ``steps`` vectors a tile. Walkers of the feeder go by rows, of the streamer
  and the collector by vectors. So a tile takes max(steps, rows) cycles.

Between commands of different modes the engine waits until it is empty.

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

from dynamap_rtl.hardware import Constant, Design, HardwareError, Leaf, Port, delayed
from dynamap_rtl.record import Field, Record

from .accumulators import WRITE_LATENCY, AccumulatorParameters, accumulators
from .array import RESULT_LATENCY, ArrayParameters, systolic_array
from .queue import queue
from .walker import WalkerParameters, walker

__all__ = ["COMMAND_LEVELS", "GemmParameters", "command_record", "matrix_engine"]

#: Nested loops of a command's walkers.
COMMAND_LEVELS = 5
_COUNT_WIDTH = 16


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
    queue_depth: int = 4

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
            levels=COMMAND_LEVELS,
            address_width=(depth - 1).bit_length(),
            count_width=_COUNT_WIDTH,
            modulus=modulus,
        )


def _walk_fields(parameters: WalkerParameters) -> dict[str, Field]:
    return {
        "base": Field(parameters.address_width),
        "phase_base": Field(parameters.phase_width),
        "counts": Field(_COUNT_WIDTH, COMMAND_LEVELS),
        "deltas": Field(parameters.address_width, COMMAND_LEVELS),
        "phase_deltas": Field(parameters.phase_width, COMMAND_LEVELS),
    }


def _engine_records(parameters: GemmParameters) -> dict[str, Record]:
    """What each walker's queue holds."""
    row = Field(parameters.array.rows.bit_length())
    return {
        "feed": Record("feed", stationary=Field(1), **_walk_fields(parameters.feeder)),
        "stream": Record("stream", stationary=Field(1), steps=Field(_COUNT_WIDTH), **_walk_fields(parameters.streamer)),
        "collect": Record(
            "collect",
            stationary=Field(1),
            half=Field(1),
            last_rows=row,
            **_walk_fields(parameters.collector),
        ),
    }


def command_record(parameters: GemmParameters) -> Record:
    """The fields of a command: those of feeder, streamer and collector, as ``feed_base``.

    | field | meaning |
    |---|---|
    | ``stationary`` | 0 output-stationary, 1 operand-stationary; the same for all three |
    | ``steps`` | length of a tile's stream |
    | ``half`` | of the accumulators |
    | ``last_rows`` | output-stationary: rows of the last tile of level 1 that count |
    | ``base``, ``phase_base`` | first address, and the same modulo the lanes |
    | ``counts``, ``deltas``, ``phase_deltas`` | of the walk's levels, see ``walker`` |

    Level 0 of the collector walks the rows of a tile, from the bottom (output-stationary), or its vectors.
    """
    fields = {
        f"{engine}_{name}": field
        for engine, record in _engine_records(parameters).items()
        for name, field in record.fields.items()
    }
    return Record("command", **fields)


def matrix_engine(parameters: GemmParameters) -> Design:
    """The circuit.

    Ports: ``command`` is taken when ``command_valid`` and ``command_ready``; ``left_read``, ``left_depth``,
    ``left_phase`` and the same of ``top`` go to the operand buffers, whose data comes ``read_latency`` cycles later;
    ``read``, ``read_address``, ``read_half`` and ``row`` are those of the accumulators; ``busy``, ``retired``.
    """
    records, array = _engine_records(parameters), parameters.array
    element = array.element
    walkers = {"feed": parameters.feeder, "stream": parameters.streamer, "collect": parameters.collector}
    address = parameters.accumulators.address_width
    design = Design(
        f"gemm_{parameters.name}",
        inputs={
            "command": command_record(parameters).width,
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
        },
    )
    split = design.add("split", _split(parameters), command=design["command"], valid=design["command_valid"])
    pacer = design.add("pacer", _pacer(parameters))
    for engine, record in records.items():
        waiting = design.add(
            f"{engine}_queue",
            queue(width=record.width, depth=parameters.queue_depth),
            push=split["push"],
            data=split[engine],
            pop=pacer[f"{engine}_start"],
        )
        split.connect(**{f"{engine}_ready": waiting["ready"]})
        head = design.add(f"{engine}_head", _unpacked(parameters.name, record), packed=waiting["head"])
        walk = design.add(
            f"{engine}_walker",
            walker(walkers[engine]),
            start=pacer[f"{engine}_start"],
            advance=pacer[f"{engine}_advance"],
            **{name: head[name] for name in _walk_fields(walkers[engine])},
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
    sums = Port(element.sum_width, array.columns)
    memory = design.add(
        "accumulators",
        accumulators(parameters.accumulators),
        drain=systolic["drain"],
        sum=systolic["sum"],
        vector=Constant(0, sums),
        maximum=Constant(0, Port(1)),
        write=pacer["write"],
        half=pacer["half"],
        source=pacer["source"],
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
    )


def _pacer_fields(record: Record) -> list[str]:
    """Fields of a queue's head that the pacer wants, besides the walk."""
    wanted = ["stationary", "steps", "half", "last_rows"]
    if record.name == "collect":
        wanted.append("counts")
    return [name for name in wanted if name in record.fields]


def _split(parameters: GemmParameters) -> Leaf:
    """A command goes into all three queues at once, when all have room."""
    records = _engine_records(parameters)

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        ready = inputs["feed_ready"] & inputs["stream_ready"] & inputs["collect_ready"]
        parts = {}
        first = 0
        for engine, record in records.items():
            parts[engine] = inputs["command"][first : first + record.width]
            first += record.width
        return {**parts, "push": ready & inputs["valid"], "ready": ready}

    return Leaf(
        f"gemm_split_{parameters.name}",
        inputs={
            "command": command_record(parameters).width,
            "valid": 1,
            **{f"{engine}_ready": 1 for engine in records},
        },
        outputs={"push": 1, "ready": 1, **{engine: record.width for engine, record in records.items()}},
        logic=logic,
    )


def _unpacked(name: str, record: Record) -> Leaf:
    """The fields of a packed record, as ports."""
    return Leaf(
        f"gemm_{record.name}_head_{name}",
        inputs={"packed": record.width},
        outputs={field: Port(kind.width, kind.lanes) for field, kind in record.fields.items()},
        logic=lambda inputs: record.slices(inputs["packed"]),
    )


def _pacer(parameters: GemmParameters) -> Leaf:
    """Decides in every cycle which walkers start and advance, and gives the array its controls."""
    rows, latency = parameters.array.rows, parameters.read_latency
    records = _engine_records(parameters)
    row_width = rows.bit_length()
    inputs: dict[str, Port | int] = {
        "draining": 1,
        "passing": 1,
        **{f"{engine}_{signal}": 1 for engine in records for signal in ("valid", "busy")},
        **{f"{engine}_end": COMMAND_LEVELS for engine in records},
        **{
            f"{engine}_{name}": Port(record.fields[name].width, record.fields[name].lanes)
            for engine, record in records.items()
            for name in _pacer_fields(record)
        },
    }
    controls = ("feed_even", "feed_odd", "load", "north", "keep", "last", "valid")
    outputs = {
        **{f"{engine}_{signal}": 1 for engine in records for signal in ("start", "advance")},
        **dict.fromkeys(controls, 1),
        **dict.fromkeys(("write", "half", "busy", "retired"), 1),
        "source": 2,
    }

    def logic(wires: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        mode = pyrtl.Register(1, "stationary")
        busy = {engine: wires[f"{engine}_busy"] for engine in records}
        ended = {engine: wires[f"{engine}_end"][-1] for engine in records}

        # Streamer and feeder: which of them has a step now.
        steps = pyrtl.Register(_COUNT_WIDTH, "steps")
        step = pyrtl.Register(_COUNT_WIDTH, "step")
        cooldown = pyrtl.Register(row_width, "cooldown")  # cycles before results may start to leave again
        loaded = pyrtl.Register(1, "loaded")  # a stationary operand waits in the shadow registers
        row = pyrtl.Register(row_width, "row")
        odd = pyrtl.Register(1, "odd")
        first = step == 0
        feeding = busy["feed"] & ((row != 0) | ~loaded)
        complete = feeding & (row == rows - 1) & mode
        may_start = pyrtl.select(mode, loaded | complete, (cooldown < steps) & busy["feed"])
        streaming = busy["stream"] & (~first | may_start)
        feed_advance = pyrtl.select(mode, feeding, streaming)
        final = (step + 1)[:_COUNT_WIDTH] == steps
        step.next <<= pyrtl.select(
            streaming, pyrtl.select(final, pyrtl.Const(0, bitwidth=_COUNT_WIDTH), (step + 1)[:_COUNT_WIDTH]), step
        )
        cooldown.next <<= pyrtl.select(
            streaming & final,
            pyrtl.Const(rows - 1, bitwidth=row_width),
            (cooldown - (cooldown != 0))[:row_width],
        )
        taken = mode & streaming & first
        loaded.next <<= (loaded | complete) & ~taken
        after = pyrtl.select(row == rows - 1, pyrtl.Const(0, bitwidth=row_width), (row + 1)[:row_width])
        row.next <<= pyrtl.select(feeding & mode, after, row)
        odd.next <<= odd ^ complete

        # Collector: a row of results arrives at column 0.
        draining, passing = wires["draining"], wires["passing"]
        arrived = draining | passing
        below = pyrtl.Register(row_width, "below", reset_value=rows - 1)  # rows that still follow of this tile
        below.next <<= pyrtl.select(
            draining,
            pyrtl.select(below == 0, pyrtl.Const(rows - 1, bitwidth=row_width), (below - 1)[:row_width]),
            below,
        )
        tiles = pyrtl.Register(_COUNT_WIDTH, "tiles")  # of level 1 still to come, this one included
        all_tiles = pyrtl.Register(_COUNT_WIDTH, "all_tiles")
        last_rows = pyrtl.Register(row_width, "last_rows")
        half = pyrtl.Register(1, "half")
        beyond = draining & (tiles == 1) & (below >= last_rows)

        # Starts.
        advance = {"feed": feed_advance, "stream": streaming, "collect": arrived}
        starts = {
            engine: wires[f"{engine}_valid"]
            & (wires[f"{engine}_stationary"] == mode)
            & (~busy[engine] | (advance[engine] & ended[engine]))
            for engine in records
        }
        empty = ~busy["feed"] & ~busy["stream"] & ~busy["collect"]
        waiting = wires["feed_valid"] & wires["stream_valid"] & wires["collect_valid"]
        mode.next <<= pyrtl.select(empty & waiting, wires["stream_stationary"], mode)
        steps.next <<= pyrtl.select(starts["stream"], wires["stream_steps"], steps)
        half.next <<= pyrtl.select(starts["collect"], wires["collect_half"], half)
        last_rows.next <<= pyrtl.select(starts["collect"], wires["collect_last_rows"], last_rows)
        count = wires["collect_counts"][_COUNT_WIDTH : 2 * _COUNT_WIDTH]
        all_tiles.next <<= pyrtl.select(starts["collect"], count, all_tiles)
        next_tiles = pyrtl.select(tiles == 1, all_tiles, (tiles - 1)[:_COUNT_WIDTH])
        tiles.next <<= pyrtl.select(starts["collect"], count, pyrtl.select(draining & (below == 0), next_tiles, tiles))

        given = {
            "feed_even": ~mode | (feed_advance & ~odd),
            "feed_odd": ~mode | (feed_advance & odd),
            "load": ~mode | taken,
            "north": mode,
            "keep": ~first,
            "last": ~mode & streaming & final,
            "valid": mode & streaming,
        }
        return {
            **{f"{engine}_start": start for engine, start in starts.items()},
            **{f"{engine}_advance": wire for engine, wire in advance.items()},
            **{name: delayed(wire, latency, name) for name, wire in given.items()},
            "write": arrived & ~beyond,
            "half": half,
            "source": passing.zero_extended(2),
            "busy": ~empty | waiting,
            "retired": arrived & ended["collect"],
        }

    return Leaf(f"gemm_pacer_{parameters.name}", inputs=inputs, outputs=outputs, logic=logic)
