"""When the matrix engine does what: its feeder, streamer and collector, command by command.

The rules are those of ``units.gemm``; a command's tiles follow one another at a distance of max(steps, rows), so that
its times come from the first tile's by one multiplication.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import Mode
from dynamap_rtl.pipeline import COMMAND_QUEUE, LANE_LATENCY, RESULT_LATENCY, TOP_SKEW
from dynamap_rtl.record import Value

__all__ = ["CommandCycles", "EngineCycles"]


@dataclass(frozen=True)
class CommandCycles:
    """Cycles of one command.

    Attributes:
        first: of its first read of the streamed operand (of the top one in vector mode).
        released: of its last read.
        retired: in which its last result enters the accumulators of column 0.
        done: in which the sequencer is told: all its results may be read.
    """

    first: int
    released: int
    retired: int
    done: int


@dataclass
class EngineCycles:
    """The engine's state after the commands it has been given so far.

    Attributes:
        circuit: whose engine it is.
        mode: it is in.
    """

    circuit: CircuitParameters
    mode: Mode = Mode.OUTPUT_STATIONARY
    # Cycles of the engines' starts, oldest first: they leave their queues then.
    _starts: dict[str, list[int]] = field(default_factory=lambda: {"feed": [], "stream": [], "collect": []})
    _feed_end: int = -1  # cycle of the feeder's last step, and so on
    _stream_end: int = -1
    _collect_end: int = -1
    _final_step: int = -(1 << 40)  # of the last output-stationary tile
    _tile_start: int = -1  # first step of the last operand-stationary tile

    def ready(self, fields: Mapping[str, Value]) -> int:
        """First cycle in which a command can be taken: all three queues have room for it."""
        room = max(
            (starts[-COMMAND_QUEUE] + 1 for starts in self._starts.values() if len(starts) >= COMMAND_QUEUE), default=0
        )
        if self.mode is Mode.VECTOR and fields["feed_mode"] != Mode.VECTOR:
            return max(room, self._collect_end + 1)
        return room

    def take(self, fields: Mapping[str, Value], cycle: int) -> CommandCycles:
        """The cycles of a command that is taken in ``cycle``.

        Args:
            fields: of ``isa.COMPUTE``.
            cycle: not before :attr:`ready` or the command before.
        """
        mode = Mode(_number(fields["feed_mode"]))
        rows, columns, latency = self.circuit.rows, self.circuit.columns, self.circuit.read_latency
        visible = cycle + 1
        if mode is not self.mode:  # only an empty engine changes
            visible = max(visible, self._collect_end + 1) + 1
            self.mode = mode
        feed = max(visible, self._feed_end)
        collect = max(visible, self._collect_end)
        if mode is Mode.VECTOR:
            first = feed + 1
            self._feed_end = released = feed + _iterations(fields, "feed")
            retired = released + latency + TOP_SKEW + LANE_LATENCY
        else:
            stream = max(visible, self._stream_end)
            self._starts["stream"].append(stream)
            steps = _number(fields["stream_steps"])
            tiles = _iterations(fields, "stream") // steps
            period = max(steps, rows)
            if mode is Mode.OUTPUT_STATIONARY:
                first = max(feed + 1, stream + 1, self._final_step + rows - steps + 1)
                released = first + (tiles - 1) * period + steps - 1
                self._feed_end = self._final_step = released
                retired = released + latency + RESULT_LATENCY + 2 * rows - 1
            else:
                # Shadow registers are free in the cycle after the tile before has begun.
                feeding = max(feed + 1, self._tile_start + 1)
                first = max(feeding + rows - 1, stream + 1)
                self._tile_start = first + (tiles - 1) * period
                released = self._tile_start + steps - 1
                self._feed_end = (feeding if tiles == 1 else self._tile_start - period + 1) + rows - 1
                retired = released + latency + RESULT_LATENCY + rows
            self._stream_end = released
        self._starts["feed"].append(feed)
        self._starts["collect"].append(collect)
        self._collect_end = retired
        return CommandCycles(first, released, retired, retired + columns + 1)


def _iterations(fields: Mapping[str, Value], engine: str) -> int:
    counts = fields[f"{engine}_counts"]
    assert not isinstance(counts, int)
    return prod(int(count) for count in counts)


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value
