"""How many cycles a program takes: the overlay at the level of instructions, without its circuit.

Every unit follows the exact rules of its contract; what stands between them are queues, tokens and the read port. All
conditions for something to happen come from registers, so that each is a cycle from which on it holds, and an
instruction starts at the latest of them.

Holds for memory ports that take a request a cycle and answer after ``dram_latency_cycles``, as
``simulation.OverlaySimulation`` has them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import prod

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import BYTE_ADDRESS_BITS, INSTRUCTION_BYTES, Mode, Unit
from dynamap_rtl.load_pattern import LoaderParameters, LoadTarget
from dynamap_rtl.pipeline import (
    CHANNEL_LATENCY,
    FETCH_BYTES,
    INSTRUCTION_QUEUE,
    OUTSTANDING_MARGIN,
    PENDING_QUEUE,
    REQUANTISE_LATENCY,
    REQUESTS_AHEAD,
    ROW_LATENCY,
    transform_latency,
)
from dynamap_rtl.record import Value
from dynamap_rtl.rotation import rotator_latency
from dynamap_rtl.store_pattern import StorerParameters
from dynamap_rtl.timing import ceil_div

from .assembler import Instruction, ProgramError
from .engine_cycles import CommandCycles, EngineCycles
from .read_cycles import ChannelReader, LoadReader, ReadPort

__all__ = ["InstructionCycles", "OverlayState", "ProgramCycles", "program_cycles"]

_BEATS = INSTRUCTION_BYTES // FETCH_BYTES


@dataclass(frozen=True)
class InstructionCycles:
    """One instruction; cycle 0 is that of ``start``.

    Attributes:
        unit: whose it is.
        start: cycle in which the unit takes it.
        done: cycle in which the sequencer is told that it is done; its tokens can be taken from the next on.
        command: of a compute instruction, what the matrix engine does.
    """

    unit: Unit
    start: int
    done: int
    command: CommandCycles | None = None


@dataclass(frozen=True, kw_only=True)
class OverlayState:
    """What a program leaves behind that the next one's cycles depend on; a new overlay's by default.

    Attributes:
        mode: of the matrix engine.
    """

    mode: Mode = Mode.OUTPUT_STATIONARY


@dataclass(frozen=True)
class ProgramCycles:
    """What a program takes.

    Attributes:
        total: cycles from ``start`` to ``finished``.
        instructions: in the order of the program, END not among them.
        read_beats: of the read port.
        state: of the overlay afterwards.
    """

    total: int
    instructions: tuple[InstructionCycles, ...]
    read_beats: int
    state: OverlayState

    def busy(self, unit: Unit) -> int:
        """Cycles in which a unit has at least one instruction that is taken and not done."""
        total, until = 0, -1
        for instruction in self.instructions:
            if instruction.unit is unit:
                total += max(0, instruction.done - max(until, instruction.start - 1))
                until = max(until, instruction.done)
        return total


def program_cycles(
    program: Sequence[Instruction], circuit: CircuitParameters, *, state: OverlayState | None = None
) -> ProgramCycles:
    """The cycles of a program.

    Args:
        program: without END.
        circuit: the overlay it runs on.
        state: in which it finds the overlay; a new one's if None.

    Raises:
        ProgramError: when it stops before its end, or uses a transform of Winograd's that the overlay does not have.
    """
    return _Run(program, circuit, state or OverlayState()).result()


class _Clock:
    """Calls functions in the order of their cycles, and in a cycle tokens before whatever looks at them."""

    def __init__(self) -> None:
        self._events: list[tuple[int, int, int, Callable[[int], None]]] = []
        self._count = 0

    def at(self, cycle: int, call: Callable[[int], None], *, rank: int = 1) -> None:
        self._count += 1
        heappush(self._events, (cycle, rank, self._count, call))

    def run(self) -> None:
        while self._events:
            cycle, _, _, call = heappop(self._events)
            call(cycle)


class _Issuer:
    """A unit's queue in the sequencer, and what of it is under way.

    Args:
        run: the program's.
        unit: which.
    """

    def __init__(self, run: _Run, unit: Unit) -> None:
        self._run, self.unit = run, unit
        self._queue: deque[tuple[int, int]] = deque()  # instruction, cycle of its arrival
        self.starts: list[int] = []
        self._done: deque[int] = deque(maxlen=PENDING_QUEUE)
        self._unknown = 0  # started, and when they are done is not known
        self._tried = -1  # a cycle in which the head will be looked at again

    @property
    def room_from(self) -> int | None:
        """First cycle in which the queue takes one more; None while that is not known."""
        if len(self._queue) == INSTRUCTION_QUEUE:
            return None
        given = len(self.starts) + len(self._queue)
        return self.starts[given - INSTRUCTION_QUEUE] + 1 if given >= INSTRUCTION_QUEUE else 0

    def push(self, number: int, cycle: int) -> None:
        self._queue.append((number, cycle))
        self.look()

    def finished(self, cycle: int) -> None:
        """A started instruction's end is known."""
        self._unknown -= 1
        self._done.append(cycle)
        self.look()

    def look(self) -> None:
        """Look at the head as soon as its unit and its place in the queue allow."""
        if not self._queue:
            return
        ready = self._run.ready(self._queue[0][0])
        if ready is None:
            return
        pending = len(self._done) + self._unknown
        if pending >= PENDING_QUEUE:
            oldest = len(self._done) - (PENDING_QUEUE - self._unknown)
            if oldest < 0:
                return
            ready = max(ready, self._done[oldest] + 1)
        cycle = max(ready, self._queue[0][1] + 1, self.starts[-1] + 1 if self.starts else 0, self._run.now)
        if cycle != self._tried:
            self._tried = cycle
            self._run.clock.at(cycle, self._try)

    def _try(self, cycle: int) -> None:
        if cycle != self._tried:
            return  # it was put off
        self._tried = -1
        self._run.now = cycle
        number, _ = self._queue[0]
        instruction = self._run.program[number]
        if any(self._run.tokens[semaphore] <= 0 for semaphore in instruction.wait):
            return  # the token will bring it back
        self._run.tokens.subtract(instruction.wait)
        self._queue.popleft()
        self.starts.append(cycle)
        self._unknown += 1
        self._run.start(number, cycle)
        self._run.fetch()
        self.look()


class _Run:
    def __init__(self, program: Sequence[Instruction], circuit: CircuitParameters, state: OverlayState) -> None:
        self.program, self.circuit = program, circuit
        self.clock = _Clock()
        self.now = 0
        self.tokens: Counter[int] = Counter()
        self.issuers: dict[Unit, _Issuer] = {unit: _Issuer(self, unit) for unit in Unit if unit is not Unit.END}
        latency = circuit.dram_latency_cycles
        self.port = ReadPort(
            lambda cycle, call: self.clock.at(cycle, call, rank=2),  # when all requests of the cycle are there
            latency=latency,
            outstanding=1 << (latency + OUTSTANDING_MARGIN).bit_length(),
        )
        # In the order of the router's clients.
        sides = (
            (Unit.LOAD_LEFT, circuit.rows, circuit.left_transfer, circuit.left_depth),
            (Unit.LOAD_TOP, circuit.columns, circuit.top_transfer, circuit.top_depth),
        )
        self.loaders = {
            unit: LoadReader(self.port, _loader(circuit, lanes, transfer, depth), self.issuers[unit].look)
            for unit, lanes, transfer, depth in sides
        }
        self.channels = ChannelReader(self.port, circuit.dram_bytes_per_cycle, self.issuers[Unit.LOAD_CHANNELS].look)
        self.engine = EngineCycles(circuit, state.mode)
        self.storer = StorerParameters(
            lanes=circuit.columns,
            transfer=circuit.result_transfer,
            port_bytes=circuit.dram_bytes_per_cycle,
            depth_width=(circuit.result_depth - 1).bit_length(),
            latency=latency,
            address_width=BYTE_ADDRESS_BITS,
        )
        self._ready = {Unit.FINISH: 0, Unit.STORE: 0}
        self.starts: dict[int, int] = {}
        self.done: dict[int, int] = {}
        self.commands: dict[int, CommandCycles] = {}
        # Fetch: cycles of the requests and of the last beats of all instructions, END the last of them.
        self.asked: list[int] = []
        self.arrived: list[int] = []
        self.passed = 0  # cycle in which the last one went to its unit

    def result(self) -> ProgramCycles:
        self.fetch()
        self.clock.run()
        if len(self.done) < len(self.program):
            number = next(number for number in range(len(self.program)) if number not in self.done)
            raise ProgramError(
                f"instruction {number} ({self.program[number].unit.name.lower()}) never ends; check_tokens says why"
            )
        finished = max([self._fetched(), *(cycle + 1 for cycle in self.done.values())])
        instructions = tuple(
            InstructionCycles(instruction.unit, self.starts[number], self.done[number], self.commands.get(number))
            for number, instruction in enumerate(self.program)
        )
        state = OverlayState(mode=self.engine.mode)
        return ProgramCycles(finished + 1, instructions, self.port.beats, state)

    # ---- fetch ----

    def fetch(self) -> None:
        """Fetch on, as far as the queues' room is known."""
        while len(self.arrived) <= len(self.program):
            number = len(self.arrived)
            if number:  # the instruction before must have left
                unit = self.program[number - 1].unit
                room = self.issuers[unit].room_from
                if room is None:
                    return
                self.passed = max(self.arrived[-1] + 1, room)
                self._next_arrives()
                self.issuers[unit].push(number - 1, self.passed)
            else:
                self._next_arrives()

    def _next_asked(self) -> int:
        ahead = self.arrived[-REQUESTS_AHEAD] if len(self.arrived) >= REQUESTS_AHEAD else 0
        return max(self.asked[-1] if self.asked else 0, ahead) + 1

    def _next_arrives(self) -> None:
        asked = self._next_asked()
        self.asked.append(asked)
        after = self.arrived[-1] + 1 if self.arrived else 0
        first = max(asked + self.circuit.dram_latency_cycles, after, self.passed)
        self.arrived.append(first + _BEATS - 1)

    def _fetched(self) -> int:
        """Cycle from which on nothing is fetched any more: what was asked for behind END has arrived, too."""
        end = self.arrived[-1] + 1
        self.passed = end
        while self._next_asked() <= end:
            self._next_arrives()
        return self.arrived[-1] + 2

    # ---- units ----

    def ready(self, number: int) -> int | None:
        """First cycle in which its unit takes an instruction; None while that is not known."""
        unit, fields = self.program[number].unit, self.program[number].fields
        if unit is Unit.COMPUTE:
            return self.engine.ready(fields)
        if unit in self.loaders:
            return self.loaders[unit].ready(fields)
        return self.channels.ready if unit is Unit.LOAD_CHANNELS else self._ready[unit]

    def start(self, number: int, cycle: int) -> None:
        """A unit takes an instruction."""
        instruction = self.program[number]
        unit, fields = instruction.unit, instruction.fields
        self.starts[number] = cycle

        def done(end: int) -> None:
            self.done[number] = end
            self._give(instruction.signal, end)
            self.issuers[unit].finished(end)

        if unit in self.loaders:
            transform = self._transform(number)[0] if fields["target"] == LoadTarget.STREAM else 0
            self.loaders[unit].take(fields, cycle, done, transform=transform)
        elif unit is Unit.LOAD_CHANNELS:
            self.channels.take(fields, cycle, done)
        elif unit is Unit.COMPUTE:
            command = self.engine.take(fields, cycle)
            self.commands[number] = command
            self._give(instruction.release, command.released)
            done(command.done)
        elif unit is Unit.FINISH:
            counts = fields["counts"]
            assert not isinstance(counts, int)
            end = cycle + prod(int(count) for count in counts) + ROW_LATENCY + REQUANTISE_LATENCY
            if fields["transform"]:  # parameters of channels are asked for when results leave it, not ahead of the rows
                end += self._transform(number)[1] + CHANNEL_LATENCY
            self._ready[unit] = end + 1
            done(end + rotator_latency(self.circuit.columns))
        else:
            reads = _number(fields["pixels"]) * ceil_div(_number(fields["channels"]), self.storer.transfer)
            self._ready[unit] = cycle + reads + 1
            done(cycle + reads + self.storer.read_latency + 1 + self.storer.latency)

    def _transform(self, number: int) -> tuple[int, int]:
        """Latencies of Winograd's transforms, as ``transform_latency``, by the field of an instruction."""
        kind = _number(self.program[number].fields["transform"]) - 1
        tile, tiles = 4 if kind & 1 else 2, self.circuit.winograd
        if kind not in range(4) or tile not in tiles:
            raise ProgramError(
                f"instruction {number} uses transform {kind + 1}, which an overlay with winograd={tiles} does not have"
            )
        return transform_latency(tiles, tile, planar=bool(kind & 2))

    def _give(self, semaphores: frozenset[int], cycle: int) -> None:
        if not semaphores:
            return

        def give(now: int) -> None:
            self.now = now
            self.tokens.update(semaphores)
            for issuer in self.issuers.values():
                issuer.look()

        self.clock.at(cycle + 1, give, rank=0)


def _loader(circuit: CircuitParameters, lanes: int, transfer: int, depth: int) -> LoaderParameters:
    return LoaderParameters(
        lanes=lanes,
        transfer=transfer,
        port_bytes=circuit.dram_bytes_per_cycle,
        depth_width=(depth - 1).bit_length(),
        latency=circuit.dram_latency_cycles,
        address_width=BYTE_ADDRESS_BITS,
    )


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value
