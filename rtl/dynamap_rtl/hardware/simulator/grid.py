"""C for one grid: its cell's netlist as the body of a loop over the cells.

State is kept as structure of arrays, an array of the narrowest element for every register, two of each: a cycle reads
one and writes the other, so that neighbours' old values are there in any order. Registers of one bit share words, a
bit each, those that travel together side by side: all of them move in one operation. Cells stand row by row in an
array, behind a column for the inputs of the west edge and a row for those of the north edge (where there are such
links): a cell finds what its western neighbour holds one place back and what its northern one holds a row back, at the
edges as well, and the whole grid is one loop without a branch, which compilers vectorise. The places of the edges take
part in the loop; what they compute is overwritten before anybody reads it. The first cell stands at a cache line, for
a vector that crosses two costs twice.

Memories of cells are pieces of one array. A plain loop over the real cells reads them before that loop, another one
writes them after it, and what they hand each other is stored like everything else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware.flatten import flatten
from dynamap_rtl.hardware.module import Grid, HardwareError

from .grid_loops import VECTOR, cycle_loops, output_loop
from .layout import Field, Layout, Spot
from .netlist import Memory, Netlist, Wire

__all__ = ["GridProgram", "OutputGroup"]

_WORD = 16  # one-bit registers that share a word


@dataclass(frozen=True)
class OutputGroup:
    """Outputs that are logic of the same inputs, computed together.

    Attributes:
        needs: inputs of the grid that must be there before.
        outputs: what is computed.
        function: C's name of what does it.
    """

    needs: frozenset[str]
    outputs: tuple[str, ...]
    function: str


class GridProgram:
    """Layout and source of a grid, for all its instances.

    Args:
        grid: the module.
        prefix: begins the names of its C functions.
        keep: wires of the cell whose values are stored every cycle, by name in the written-out cell; None for all.

    Attributes:
        bytes: what an instance takes.
        registers: where the registers of the cells are.
        inputs: where the grid's inputs are put; for linked ones places before the cells in the neighbour's register.
        scatters: inputs that are put there together.
        outputs: where its outputs are found.
        kept: where the kept wires are, and what memories delivered.
        memories: where the memories of the cells are, one behind the other.
        roms: likewise, one for all.
        groups: outputs that are logic, not registers.

    Raises:
        HardwareError: when a linked output is not a register.
    """

    def __init__(self, grid: Grid, prefix: str, keep: Collection[str] | None = ()) -> None:
        self.grid = grid
        self.prefix = prefix
        self.netlist = Netlist(flatten(grid.cell))
        self.west = 1 if grid.east else 0
        self.stride = grid.columns + self.west
        edges = self.west + (self.stride if grid.south else 0)
        self.origin = -(-edges // VECTOR) * VECTOR
        self.places = self.origin + -(-grid.rows * self.stride // VECTOR) * VECTOR
        self._wires = self.netlist.by_name
        layout = Layout()
        self._place_registers(layout)
        self._place_inputs(layout)
        self._place_memories(layout)
        reads = set(self.netlist.reads)
        self.kept: dict[Wire, Field] = {
            wire: layout.field(len(wire), self.places)
            for name, wire in self._wires.items()
            if wire in reads
            or ((keep is None or name in keep) and not isinstance(wire, (pyrtl.Const, pyrtl.Register, pyrtl.Input)))
        }
        #: What write ports are given, where it is not stored anyhow.
        self.staged: dict[Wire, Field] = {}
        for wire in (wire for net in self.netlist.writes for wire in net.args):
            if self.netlist.logic(wire) is not None and wire not in self.kept and wire not in self.staged:
                self.staged[wire] = layout.field(len(wire), self.places)
        self._place_outputs(layout)
        self._group_inputs()
        self.bytes = layout.bytes
        self.source, self.functions = self._generate()

    # Places.

    def index(self, row: int, column: int) -> int:
        """The place of a cell in the arrays."""
        return self.origin + row * self.stride + column

    def _place_registers(self, layout: Layout) -> None:
        self.registers: dict[Wire, Spot] = {}
        bits = sorted((register for register in self.netlist.registers if len(register) == 1), key=self._direction)
        #: Registers of one bit by the word they share.
        self.words: list[tuple[Field, list[Wire]]] = []
        for start in range(0, len(bits), _WORD):
            together = bits[start : start + _WORD]
            field = layout.field(len(together), self.places, double=True)
            self.words.append((field, together))
            self.registers.update({register: Spot(field, bit) for bit, register in enumerate(together)})
        for register in self.netlist.registers:
            if register not in self.registers:
                self.registers[register] = Spot(layout.field(len(register), self.places, double=True))

    def _direction(self, register: Wire) -> int:
        """What travels east comes first, then what travels south; in itself the order of names."""
        source = self.netlist.driver[register].args[0]
        while (net := self.netlist.logic(source)) is not None and net.op == "w":
            source = net.args[0]
        if isinstance(source, pyrtl.Input):
            if source.name in self.grid.east:
                return 0
            if source.name in self.grid.south:
                return 1
        return 2

    def _place_inputs(self, layout: Layout) -> None:
        grid = self.grid
        self.inputs: dict[str, Spot] = {}
        #: Copies of registers for second links in one direction: their edge has other inputs.
        self.mirrors: dict[str, tuple[Wire, Field]] = {}
        self.back: dict[str, int] = {}
        for links, back in ((grid.east, 1), (grid.south, self.stride)):
            taken: set[Wire] = set()
            for target, source in links.items():
                register = self.netlist.register_behind(self._wires[source])
                if register is None:
                    raise HardwareError(
                        f"grid {grid.name!r}: output {source!r} of its cell must be a register to be linked"
                    )
                if register in taken:
                    self.mirrors[target] = (register, layout.field(len(register), self.places, double=True))
                    self.inputs[target] = Spot(self.mirrors[target][1])
                else:
                    self.inputs[target] = self.registers[register]
                taken.add(register)
                self.back[target] = back
        for name, port in grid.cell.inputs.items():
            if name not in self.inputs:
                self.inputs[name] = Spot(layout.field(port.width, 1 if name in grid.shared else self.places))

    def _group_inputs(self) -> None:
        """Inputs that are laid out together: bits of one word at one edge, unless logic needs some of them early."""
        early = {name for group in self.groups for name in group.needs}
        together: dict[object, list[str]] = {}
        for name, spot in self.inputs.items():
            whole = spot.bit is None or name in early
            together.setdefault(name if whole else (spot.field, self.back[name]), []).append(name)
        self.scatters = tuple(tuple(names) for names in together.values())

    def input_index(self, name: str, lane: int) -> int:
        """The place of a lane of an input in its field."""
        grid = self.grid
        if name in grid.shared:
            return 0
        if name in grid.east:
            return self.index(lane, -1)
        if name in grid.south:
            return self.index(-1, lane)
        return self.index(*divmod(lane, grid.columns))

    def cell_input(self, name: str, row: int, column: int) -> tuple[Spot, int]:
        """Where the input of one cell is."""
        if name in self.grid.shared:
            return self.inputs[name], 0
        return self.inputs[name], self.index(row, column) - self.back.get(name, 0)

    def output_index(self, name: str, lane: int) -> int:
        """The place of a lane of an output in its field."""
        grid = self.grid
        if name in grid.east.values():
            return self.index(lane, grid.columns - 1)
        if name in grid.south.values():
            return self.index(grid.rows - 1, lane)
        return self.index(*divmod(lane, grid.columns))

    def _place_memories(self, layout: Layout) -> None:
        cells = self.grid.rows * self.grid.columns
        self.memories: dict[Memory, Field] = {}
        self.roms: dict[Memory, Field] = {}
        for memory in self.netlist.memories:
            words = 2**memory.addrwidth
            if isinstance(memory, pyrtl.RomBlock):
                self.roms[memory] = layout.field(memory.bitwidth, words)
            else:
                self.memories[memory] = layout.field(memory.bitwidth, words * cells)

    def _place_outputs(self, layout: Layout) -> None:
        self.outputs: dict[str, Spot] = {}
        logic: dict[frozenset[str], list[str]] = {}
        for name in self.grid.outputs:
            wire = self._wires[name]
            register = self.netlist.register_behind(wire)
            if register is not None:
                self.outputs[name] = self.registers[register]
            else:
                self.outputs[name] = Spot(layout.field(len(wire), self.places))
                logic.setdefault(self.netlist.inputs_behind(wire), []).append(name)
        self.groups = tuple(
            OutputGroup(needs, tuple(names), f"{self.prefix}_out{index}")
            for index, (needs, names) in enumerate(sorted(logic.items(), key=lambda item: sorted(item[0])))
        )

    # Code.

    def _generate(self) -> tuple[str, tuple[str, ...]]:
        parts = [output_loop(self, group.function, group.outputs) for group in self.groups]
        last = cycle_loops(self, f"{self.prefix}_next")
        return "\n".join((*parts, last)), (*(group.function for group in self.groups), f"{self.prefix}_next")
