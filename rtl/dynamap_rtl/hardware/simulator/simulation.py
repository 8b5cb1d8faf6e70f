"""The simulator itself: a compiled program and the state it runs on."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyrtl
from numpy.typing import NDArray

from dynamap_rtl.hardware.module import HardwareError, Module

from .build import compiled
from .inspection import Inspector
from .layout import Bytes, Field, limbs_of, zeros
from .netlist import Memory, Wire
from .program import Bank, Program
from .runtime import TRACE_WORDS
from .vcd import write_vcd

__all__ = ["CompiledSimulation", "PeerFunction", "Values"]

#: Unsigned values: one 64-bit word each, or (values, words) with the lowest word first where 64 bits do not do.
Values: TypeAlias = NDArray[np.uint64]

#: In C: ``void peer(void *context, const uint64_t *outputs, uint64_t *inputs)``.
PeerFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_uint64))

_BLOCK_CYCLES = 1 << 16  # cycles of one call: in between Python sees an interrupt, and traces find room


class CompiledSimulation:
    """Cycle by cycle what PyRTL's ``Simulation`` computes of ``flatten(top)``, compiled.

    A cell of a grid is compiled once and looped over; everything else is compiled as it stands. The interface is that
    of PyRTL's simulators, with whole arrays of cycles and memory contents added. Objects share nothing but the
    library; calls release the GIL.

    Args:
        top: the hardware.
        trace: wires that are recorded every cycle, cells' as ``array.3_5.acc``; ``"all"`` for every wire (small
            hardware). Wires that are neither registers nor inputs or outputs must be stored for it, which makes
            another program of it that is compiled anew.
        memories: initial contents of memories by name; 0 where nothing is said.

    Attributes:
        cycles: how many have been run.

    Raises:
        HardwareError: without a C compiler; when logic goes in a circle through a grid; for unknown names.

    >>> import pyrtl
    >>> from dynamap_rtl.hardware import Leaf
    >>> def logic(inputs):
    ...     total = pyrtl.Register(8, "total")
    ...     total.next <<= (total + inputs["a"])[:8]
    ...     return {"sum": total}
    >>> simulation = CompiledSimulation(Leaf("summer", inputs={"a": 8}, outputs={"sum": 8}, logic=logic), trace=["sum"])
    >>> simulation.step({"a": 5})
    >>> simulation.run({"a": np.array([1, 2, 3])})["sum"].tolist()
    [5, 6, 8]
    >>> simulation.trace("sum").tolist()
    [0, 5, 6, 8]
    """

    def __init__(
        self,
        top: Module,
        *,
        trace: Collection[str] | Literal["all"] = (),
        memories: Mapping[str, Sequence[int] | NDArray[np.integer]] | None = None,
    ) -> None:
        self.top = top
        if isinstance(trace, str) and trace != "all":
            raise HardwareError(f"trace must be names or 'all', not the string {trace!r}")
        self._program = Program(top, trace)
        self._inspector = Inspector(self._program)
        traced = list(self._inspector.names()) if isinstance(trace, str) else list(dict.fromkeys(trace))
        self._columns: dict[str, slice] = {}
        self._table = self._trace_table(traced, skip_constants=isinstance(trace, str))
        self._library = compiled(self._program.sources)
        self._run: Any = self._library.dm_run
        self._run.restype = ctypes.c_uint64
        self._traces: list[NDArray[np.uint64]] = []
        self._state: Bytes = zeros(self._program.bytes)
        self.cycles = 0
        self._reset()
        for name, contents in (memories or {}).items():
            self.write_mem(name, contents)
        self._configured = self._state.copy()

    # Running.

    def reset(self) -> None:
        """Registers, memories and inputs as they were when the object was made; traces and ``cycles`` go on."""
        self._state[:] = self._configured

    def step(self, inputs: Mapping[str, int] | None = None) -> None:
        """Run a cycle.

        Args:
            inputs: the value of every input; negative ones are taken in two's complement.

        Raises:
            HardwareError: for an input that is missing, unknown or too large.
        """
        inputs = {} if inputs is None else inputs
        row = np.zeros(self._program.inputs.words, np.uint64)
        self._check_inputs(inputs)
        start = 0
        for name, port in self.top.inputs.items():
            value = int(inputs[name])
            if not -(1 << (port.bits - 1)) <= value < 1 << port.bits:
                raise HardwareError(f"input {name!r} has {port.bits} bits: {value} does not fit")
            value &= (1 << port.bits) - 1
            for _ in range(limbs_of(port.bits)):
                row[start] = value & 0xFFFF_FFFF_FFFF_FFFF
                value >>= 64
                start += 1
        self._advance(1, row.reshape(1, -1), None, -1, None, None)

    def run(
        self,
        inputs: Mapping[str, NDArray[np.integer] | Sequence[int]] | None = None,
        *,
        cycles: int | None = None,
        outputs: Collection[str] | None = None,
    ) -> dict[str, Values]:
        """Run many cycles without Python in between.

        Args:
            inputs: for every input its values, one a cycle: (cycles,), or (cycles, words) where more than 64 bits
                are needed. An input that is left out keeps its value (0 at the start).
            cycles: needed when there are no inputs.
            outputs: which are returned; all if None.

        Returns:
            (cycles,) or (cycles, words) for every output.

        Raises:
            HardwareError: for unknown names, arrays of different lengths or shapes, values too large.
        """
        inputs = {} if inputs is None else inputs
        packed = self._pack(inputs, cycles)
        count = cycles if packed is None else len(packed)
        if count is None:
            raise HardwareError("run needs inputs or a number of cycles")
        wanted = list(self.top.outputs) if outputs is None else list(outputs)
        for name in wanted:
            self._check_output(name)
        rows = np.zeros((count, self._program.outputs.words), np.uint64) if wanted else None
        self._advance(count, packed, rows, -1, None, None)
        return {name: self._column(rows, name) for name in wanted} if rows is not None else {}

    def run_until(
        self,
        output: str,
        *,
        limit: int,
        inputs: Mapping[str, int] | None = None,
        peer: Any = None,
        context: ctypes.c_void_p | int | None = None,
    ) -> int | None:
        """Run with constant inputs until an output is not 0.

        Args:
            output: of at most 64 bits.
            limit: cycles at most.
            inputs: values from now on; what is left out keeps its value.
            peer: a C function called after every cycle with the words of all outputs and of the inputs of the next
                cycle, which it may change: a model of memory, say. A ``PeerFunction``, or one of a library of yours.
            context: the peer's first argument.

        Returns:
            How many cycles were run, the one in which the output was not 0 included; None when the limit came first.
        """
        self._check_output(output)
        if self.top.outputs[output].bits > 64:
            raise HardwareError(f"output {output!r} has more than 64 bits: run_until needs a flag")
        self.set_inputs(inputs or {})
        word = self._program.outputs.word(output)
        done = self._advance(limit, None, None, word, peer, context)
        return done if self._bank(self._program.outputs)[word] and done else None

    def set_inputs(self, inputs: Mapping[str, int]) -> None:
        """Set inputs for cycles that are given none."""
        for name, value in inputs.items():
            if name not in self.top.inputs:
                raise HardwareError(f"{self.top.name!r} has no input {name!r}; it has {sorted(self.top.inputs)}")
            bits = self.top.inputs[name].bits
            if not -(1 << (bits - 1)) <= value < 1 << bits:
                raise HardwareError(f"input {name!r} has {bits} bits: {value} does not fit")
            self._program.given.fields[name].fill(self._state, value & ((1 << bits) - 1))

    def _advance(
        self,
        cycles: int,
        inputs: NDArray[np.uint64] | None,
        outputs: NDArray[np.uint64] | None,
        stop: int,
        peer: Any,
        context: Any,
    ) -> int:
        done = 0
        while done < cycles:
            block = min(_BLOCK_CYCLES, cycles - done)
            trace = np.empty((block, len(self._table)), np.uint64) if len(self._table) else None
            ran = int(
                self._run(
                    _pointer(self._state),
                    ctypes.c_uint64(block),
                    _pointer(None if inputs is None else inputs[done:]),
                    _pointer(None if outputs is None else outputs[done:]),
                    _pointer(self._table),
                    ctypes.c_uint64(len(self._table)),
                    _pointer(trace),
                    ctypes.c_int64(stop),
                    ctypes.c_void_p(None) if peer is None else ctypes.cast(peer, ctypes.c_void_p),
                    context if isinstance(context, ctypes.c_void_p) else ctypes.c_void_p(context),
                )
            )
            if trace is not None:
                self._traces.append(trace[:ran])
            done += ran
            self.cycles += ran
            if stop >= 0 and self._bank(self._program.outputs)[stop]:
                break
        return done

    # Looking.

    def inspect(self, name: str) -> int:
        """The value of a wire in the last cycle, as PyRTL's simulators give it: a register's before the clock edge.

        Before the first cycle registers have their reset values, memories deliver and outputs are 0.

        Args:
            name: as ``flatten`` names wires: ``unit.wire``, and ``array.3_5.wire`` in a cell.
        """
        return self._inspector.value(name, self._state)

    def next_value(self, register: str) -> int:
        """The value of a register in the next cycle."""
        place = self._inspector.place(register)
        if place is None or place.spot.field.offset == place.spot.field.before:
            raise HardwareError(f"{register!r} is not a register")
        return place.read(self._state, before=False)

    def inspect_mem(self, name: str) -> Values:
        """A copy of the contents of a memory: (words,), or (words, limbs) when they have more than 64 bits."""
        where = self._inspector.memory(name)
        field = where.field
        part = where.view(self._state).astype(np.uint64)
        return np.ascontiguousarray(part[0] if field.limbs == 1 else part.T)

    def write_mem(self, name: str, values: Sequence[int] | NDArray[np.integer], *, start: int = 0) -> None:
        """Set words of a memory, from address ``start`` on.

        Args:
            name: of the memory, with its path.
            values: integers, negative ones in two's complement; or (words, limbs) for more than 64 bits.
            start: the first address.

        Raises:
            HardwareError: for an unknown memory, more words than it has, or values too large.
        """
        where = self._inspector.memory(name)
        limbs = _limbs(f"memory {name!r}", values, where.width)
        if start < 0 or start + len(limbs) > where.words:
            raise HardwareError(f"memory {name!r} has {where.words} words: {len(limbs)} from {start} on do not fit")
        where.view(self._state)[:, start : start + len(limbs)] = limbs.T
        self._mark_all()

    # Traces.

    def trace(self, name: str) -> Values:
        """What was recorded of a wire, one value a cycle."""
        if name not in self._columns:
            raise HardwareError(f"{name!r} was not traced: name it in trace= of CompiledSimulation")
        recorded = [part[:, self._columns[name]] for part in self._traces]
        width = self._columns[name].stop - self._columns[name].start
        whole = np.concatenate(recorded) if recorded else np.zeros((0, width), np.uint64)
        return whole[:, 0] if width == 1 else whole

    @property
    def traced(self) -> tuple[str, ...]:
        """Names of the wires that are recorded."""
        return tuple(self._columns)

    def clear_trace(self) -> None:
        """Forget what was recorded."""
        self._traces.clear()

    def write_vcd(self, path: str | PathLike[str], *, cycle_ns: int = 10) -> None:
        """Write what was recorded as a value change dump, names with dots as scopes.

        Args:
            path: of the file.
            cycle_ns: length of a cycle in nanoseconds.
        """
        widths = {name: self._inspector.width(name) for name in self._columns}
        with Path(path).open("w", encoding="ascii") as file:
            write_vcd(file, {name: (widths[name], self.trace(name)) for name in self._columns}, cycle_ns=cycle_ns)

    def _trace_table(self, names: Sequence[str], *, skip_constants: bool) -> NDArray[np.uint64]:
        rows: list[tuple[int, ...]] = []
        for name in names:
            place = self._inspector.place(name)
            if place is None:
                if skip_constants:
                    continue
                raise HardwareError(f"{name!r} is a constant: there is nothing to trace")
            start = len(rows)
            field, bit = place.spot.field, place.spot.bit
            for limb in range(field.limbs):
                shift, mask = (0, 2 ** min(64, place.width - 64 * limb) - 1) if bit is None else (bit, 1)
                rows.append((field.place(place.index, limb, before=True), field.size, shift, mask))
            self._columns[name] = slice(start, len(rows))
        return np.array(rows, np.uint64).reshape(-1, TRACE_WORDS)

    # Inside.

    def _reset(self) -> None:
        program = self._program
        for register, field in program.registers.items():
            field.fill(self._state, _reset_value(register))
        for memory, field in program.roms.items():
            self._fill_rom(memory, field)
        for placed in program.placed:
            for part in placed.program.parts:
                for register in part.registers:
                    value = _reset_value(register)
                    if part.signed and value >> (len(register) - 1):
                        value -= 1 << len(register)
                    placed.program.registers[register].at(placed.base).fill(self._state, value)
            for memory, field in placed.program.roms.items():
                self._fill_rom(memory, field.at(placed.base))
        self._mark_all()

    def _mark_all(self) -> None:
        """Have everything computed in the next cycle."""
        self._program.marks.view(self._state)[:] = self._program.all_marks

    def _fill_rom(self, memory: Memory, field: Field) -> None:
        view = field.view(self._state)
        for address in range(2**memory.addrwidth):
            try:
                value = int(memory._get_read_data(address))  # noqa: SLF001  # PyRTL's own way to ask a ROM
            except pyrtl.PyrtlError:  # nothing is said about this address; whoever reads it reads 0
                continue
            for limb in range(field.limbs):
                view[limb, address] = value >> (64 * limb) & (2 ** (8 * field.size) - 1)

    def _bank(self, bank: Bank) -> NDArray[np.uint64]:
        return self._state[bank.offset : bank.offset + 8 * bank.words].view(np.uint64)

    def _check_inputs(self, inputs: Mapping[str, object]) -> None:
        for name in inputs:
            if name not in self.top.inputs:
                raise HardwareError(f"{self.top.name!r} has no input {name!r}; it has {sorted(self.top.inputs)}")
        for name in self.top.inputs:
            if name not in inputs:
                raise HardwareError(f"input {name!r} of {self.top.name!r} has no value")

    def _check_output(self, name: str) -> None:
        if name not in self.top.outputs:
            raise HardwareError(f"{self.top.name!r} has no output {name!r}; it has {sorted(self.top.outputs)}")

    def _pack(
        self, inputs: Mapping[str, NDArray[np.integer] | Sequence[int]], cycles: int | None
    ) -> NDArray[np.uint64] | None:
        if not inputs:
            return None
        lengths = {name: len(values) for name, values in inputs.items()}
        count = next(iter(lengths.values())) if cycles is None else cycles
        for name, length in lengths.items():
            if length != count:
                raise HardwareError(f"input {name!r} has {length} values for {count} cycles")
        rows = np.empty((count, self._program.inputs.words), np.uint64)
        rows[:] = self._bank(self._program.given)
        for name, values in inputs.items():
            if name not in self.top.inputs:
                raise HardwareError(f"{self.top.name!r} has no input {name!r}; it has {sorted(self.top.inputs)}")
            start, bits = self._program.inputs.word(name), self.top.inputs[name].bits
            rows[:, start : start + limbs_of(bits)] = _limbs(f"input {name!r}", values, bits)
        return rows

    def _column(self, rows: NDArray[np.uint64], name: str) -> Values:
        start, limbs = self._program.outputs.word(name), limbs_of(self.top.outputs[name].bits)
        part = rows[:, start : start + limbs]
        return np.ascontiguousarray(part[:, 0] if limbs == 1 else part)


def _reset_value(register: Wire) -> int:
    return int(register.reset_value or 0)


def _limbs(what: str, values: Sequence[int] | NDArray[np.integer], bits: int) -> NDArray[np.uint64]:
    """Values as (count, words), checked to have at most ``bits`` bits."""
    words = limbs_of(bits)
    array = np.asarray(values)
    if array.dtype == object or (array.size and array.dtype.kind not in "iub"):
        numbers = [int(value) for value in values]
        for value in numbers:
            if not -(1 << (bits - 1)) <= value < 1 << bits:
                raise HardwareError(f"{what} has {bits} bits: {value} does not fit")
        data = b"".join((value & ((1 << bits) - 1)).to_bytes(8 * words, "little") for value in numbers)
        return np.frombuffer(data, np.uint64).reshape(-1, words)
    if array.ndim == 2 and array.shape[1] == words:
        top = bits - 64 * (words - 1)
        if array.dtype.kind == "i" or (top < 64 and array.size and int(array[:, -1].max()) >> top):
            raise HardwareError(f"{what} has {bits} bits: words must be unsigned and fit")
        return array.astype(np.uint64)
    if array.ndim != 1:
        raise HardwareError(f"{what} has {bits} bits: values must be (count,) or (count, {words}), not {array.shape}")
    if array.size and bits < 64:
        low, high = int(array.min()), int(array.max())
        if low < -(1 << (bits - 1)) or high >= 1 << bits:
            raise HardwareError(f"{what} has {bits} bits: {low if low < 0 and high < 1 << bits else high} does not fit")
    rows = np.zeros((len(array), words), np.uint64)
    rows[:, 0] = array.astype(np.int64).view(np.uint64) if array.dtype.kind == "i" else array
    if words > 1 and array.dtype.kind == "i":
        rows[:, 1:] = np.where(array < 0, np.uint64(2**64 - 1), np.uint64(0))[:, None]
    if bits % 64:
        rows[:, -1] &= np.uint64(2 ** (bits % 64) - 1)
    return rows


def _pointer(array: NDArray[Any] | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None or array.size == 0 else array.ctypes.data)
