"""Looking into a simulation: the value of any wire in the last cycle, the contents of any memory.

What a simulation stores every cycle (registers, inputs, outputs, what memories delivered, wires that were asked for)
is read; any other wire is computed from that, in Python, from the same netlist.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyrtl
from numpy.typing import NDArray

from dynamap_rtl.hardware.module import HardwareError

from .layout import Bytes, Field, Spot
from .netlist import Memory, Net, Netlist, Wire, topological
from .program import Program, split_cell_name
from .schedule import Placed

__all__ = ["Inspector", "MemoryPlace", "Place"]


@dataclass(frozen=True)
class Place:
    """Where one value is."""

    spot: Spot
    index: int
    width: int

    def read(self, state: Bytes, *, before: bool) -> int:
        """The value."""
        return self.spot.read(state, self.index, before=before) & ((1 << self.width) - 1)


@dataclass(frozen=True)
class MemoryPlace:
    """Where a memory is: every ``step``-th value of a field from ``first`` on.

    Attributes:
        field: shared with others.
        first: the place of the first word.
        step: places from one word to the next.
        words: how many.
        width: bits of a word.
    """

    field: Field
    first: int
    step: int
    words: int
    width: int

    def view(self, state: Bytes) -> NDArray[np.unsignedinteger]:
        """The words, (limbs, words), not copied."""
        return self.field.view(state)[:, self.first :: self.step][:, : self.words]


class Inspector:
    """Finds things of a program by name."""

    def __init__(self, program: Program) -> None:
        self.program = program

    # Wires.

    def value(self, name: str, state: Bytes) -> int:
        """The value of a wire in the last cycle."""
        cell = self._cell(name)
        if cell is not None:
            placed, row, column, rest = cell
            return self._in_cell(placed, row, column, rest, state)
        wire = self.program.netlist.by_name.get(name)
        if wire is None:
            raise self._unknown(name, "wire")

        def rom(memory: Memory, address: int) -> int:
            return self.program.roms[memory].read(state, address, before=False)

        return _evaluate(self.program.netlist, wire, lambda of: self._flat_source(of, state), rom)

    def place(self, name: str) -> Place | None:
        """Where a wire is stored every cycle; None for what is only computed when looked at."""
        cell = self._cell(name)
        if cell is not None:
            placed, row, column, rest = cell
            return self._cell_place(placed, row, column, rest)
        wire = self.program.netlist.by_name.get(name)
        if wire is None:
            raise self._unknown(name, "wire")
        return self._flat_place(wire)

    def width(self, name: str) -> int:
        """Bits of a wire."""
        cell = self._cell(name)
        if cell is not None:
            placed, _, _, rest = cell
            return len(placed.program.netlist.by_name[rest])
        if name not in self.program.netlist.by_name:
            raise self._unknown(name, "wire")
        return len(self.program.netlist.by_name[name])

    def names(self) -> Iterable[str]:
        """All wires outside grids, then the wires of every cell."""
        yield from self.program.netlist.by_name
        for placed in self.program.placed:
            grid = placed.cut.grid
            path = f"{placed.cut.path}." if placed.cut.path else ""
            for row in range(grid.rows):
                for column in range(grid.columns):
                    for name in placed.program.netlist.by_name:
                        yield f"{path}{row}_{column}.{name}"

    def _cell(self, name: str) -> tuple[Placed, int, int, str] | None:
        for placed in self.program.placed:
            split = split_cell_name(name, placed.cut.path, placed.cut.grid)
            if split is not None:
                row, column, rest = split
                if rest in placed.program.netlist.by_name or self._cell_memory(placed, rest) is not None:
                    return placed, row, column, rest
        return None

    def _flat_place(self, wire: Wire) -> Place | None:
        program = self.program
        if isinstance(wire, pyrtl.Register):
            return Place(Spot(program.registers[wire]), 0, len(wire))
        if wire in program.kept:
            return Place(Spot(program.kept[wire]), 0, len(wire))
        if wire.name in program.inputs.fields:
            return Place(Spot(program.inputs.fields[wire.name]), 0, len(wire))
        if wire.name in program.outputs.fields:
            return Place(Spot(program.outputs.fields[wire.name]), 0, len(wire))
        return None

    def _flat_source(self, wire: Wire, state: Bytes) -> int | None:
        if (place := self._flat_place(wire)) is not None:
            return place.read(state, before=True)
        if wire in self.program.boundary:
            number, name = self.program.boundary[wire]
            placed = self.program.placed[number]
            spot = placed.program.outputs[name].at(placed.base)
            port = placed.cut.grid.outputs[name]
            places = (Place(spot, placed.program.output_index(name, lane), port.width) for lane in range(port.lanes))
            return sum(place.read(state, before=True) << (lane * port.width) for lane, place in enumerate(places))
        return None

    def _cell_place(self, placed: Placed, row: int, column: int, name: str) -> Place | None:
        program = placed.program
        wire = program.netlist.by_name[name]
        index = program.index(row, column)
        if isinstance(wire, pyrtl.Register):
            return Place(program.registers[wire].at(placed.base), index, len(wire))
        if wire in program.kept:
            return Place(Spot(program.kept[wire].at(placed.base)), index, len(wire))
        if isinstance(wire, pyrtl.Input):
            spot, index = program.cell_input(name, row, column)
            return Place(spot.at(placed.base), index, len(wire))
        if name in program.outputs:
            return Place(program.outputs[name].at(placed.base), index, len(wire))
        return None

    def _in_cell(self, placed: Placed, row: int, column: int, name: str, state: Bytes) -> int:
        netlist = placed.program.netlist
        if name not in netlist.by_name:
            raise self._unknown(name, "wire of a cell")

        def source(wire: Wire) -> int | None:
            place = self._cell_place(placed, row, column, wire.name)
            return None if place is None else place.read(state, before=True)

        def rom(memory: Memory, address: int) -> int:
            return placed.program.roms[memory].at(placed.base).read(state, address, before=False)

        return _evaluate(netlist, netlist.by_name[name], source, rom)

    # Memories.

    def memory(self, name: str) -> MemoryPlace:
        """Where a memory is."""
        for placed in self.program.placed:
            split = split_cell_name(name, placed.cut.path, placed.cut.grid)
            if split is None:
                continue
            row, column, rest = split
            memory = self._cell_memory(placed, rest)
            if memory is not None:
                program, words = placed.program, 2**memory.addrwidth
                if memory in program.roms:
                    return MemoryPlace(program.roms[memory].at(placed.base), 0, 1, words, memory.bitwidth)
                cells = placed.cut.grid.rows * placed.cut.grid.columns
                field = program.memories[memory].at(placed.base)
                return MemoryPlace(field, program.cell(row, column), cells, words, memory.bitwidth)
        for memory, field in (*self.program.memories.items(), *self.program.roms.items()):
            if memory.name == name:
                return MemoryPlace(field, 0, 1, 2**memory.addrwidth, memory.bitwidth)
        raise self._unknown(name, "memory")

    def _cell_memory(self, placed: Placed, name: str) -> Memory | None:
        return next((memory for memory in placed.program.netlist.memories if memory.name == name), None)

    def _unknown(self, name: str, kind: str) -> HardwareError:
        candidates = list(self.program.netlist.by_name)
        candidates += [memory.name for memory in self.program.netlist.memories]
        near = difflib.get_close_matches(name, candidates, 1)
        grids = [placed.cut.path for placed in self.program.placed]
        hint = f"; did you mean {near[0]!r}?" if near else ""
        inside = f" (cells of the grids {grids} are named like '{grids[0]}.0_0.wire')" if grids and not near else ""
        return HardwareError(f"{self.program.top.name!r} has no {kind} {name!r}{hint}{inside}")


Source: TypeAlias = Callable[[Wire], "int | None"]
Rom: TypeAlias = Callable[[Memory, int], int]


def _evaluate(netlist: Netlist, wire: Wire, source: Source, rom: Rom) -> int:
    """The value of a wire from those that ``source`` knows."""
    known: dict[Wire, int] = {}

    def stored(of: Wire) -> bool:
        if of not in known:
            found = int(of.val) if isinstance(of, pyrtl.Const) else source(of)
            if found is None:
                return False
            known[of] = found
        return True

    def needs(net: Net) -> Iterator[Net]:
        return (netlist.driver[before] for before in net.args if not stored(before))

    if not stored(wire):
        for net in topological([netlist.driver[wire]], needs, lambda net: str(net.dests[0].name)):
            dest = net.dests[0]
            known[dest] = _result(net, known.__getitem__, rom) & (2 ** len(dest) - 1)
    return known[wire]


def _result(net: Net, value: Callable[[Wire], int], rom: Rom) -> int:
    op, args = net.op, [value(wire) for wire in net.args]
    if op == "w":
        return args[0]
    if op == "~":
        return ~args[0]
    if op == "x":
        return args[2] if args[0] else args[1]
    if op == "c":
        result = 0
        for wire, part in zip(net.args, args, strict=True):
            result = result << len(wire) | part
        return result
    if op == "s":
        return sum((args[0] >> bit & 1) << place for place, bit in enumerate(net.op_param))
    if op == "m":  # what memories with write ports deliver is stored
        return rom(net.op_param[1], args[0])
    left, right = args
    results: dict[str, Callable[[], int]] = {
        "&": lambda: left & right,
        "|": lambda: left | right,
        "^": lambda: left ^ right,
        "n": lambda: ~(left & right),
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "<": lambda: int(left < right),
        ">": lambda: int(left > right),
        "=": lambda: int(left == right),
    }
    return results[op]()
