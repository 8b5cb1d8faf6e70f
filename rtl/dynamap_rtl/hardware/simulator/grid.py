"""C for one grid: its cell's netlist as the body of loops over the cells.

State is kept as structure of arrays, an array of the narrowest element for every register. Registers of one bit share
words, a bit each, those that travel together side by side: all of them move in one operation. Cells stand line by line,
rows of the grid or, of a narrow one, columns. Behind every line stands a place for the input at the next line's
beginning, and before the first a line for the inputs at that edge (where there are such links): a cell finds what its
neighbour in the line holds one place back and what its other neighbour holds a line back, at the edges as well, without
a branch, and compilers vectorise the loop over a line.

A cycle overwrites the registers in place, lines from the last to the first and within a line the stages of
``grid_stages`` in their order, so that whoever reads a register still finds its old value. Lines are rounded up to
whole vectors; what is computed there is never looked at.

Memories of cells are pieces of one array, address by address. Loops over the real cells read and write them before
registers change, and what they deliver is stored like everything else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware.flatten import flatten
from dynamap_rtl.hardware.module import Grid, HardwareError

from .grid_cycle import GridCycle
from .grid_stages import Part, Stage, stages_of
from .layout import Field, Layout, Spot
from .netlist import Memory, Netlist, Wire

__all__ = ["GridProgram", "Link", "OutputGroup"]

_WORD = 16  # one-bit registers that share a word
_LANES = 16  # lines are rounded up to so many cells: whole vectors, whatever the elements
_STRIDE = 16
_NARROW = 16  # less columns than this, and lines are better made of columns


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


@dataclass(frozen=True)
class Link:
    """An input that is a neighbour's register.

    Attributes:
        register: which one.
        back: places from a cell to that neighbour.
        edge: where the grid's own input is put; None where it stands before the cells in the register's field.
    """

    register: Wire
    back: int
    edge: Field | None


class GridProgram:
    """Layout and source of a grid, for all its instances.

    Args:
        grid: the module.
        prefix: begins the names of its C functions.
        keep: wires of the cell whose values are stored every cycle, by name in the written-out cell; None for all.

    Attributes:
        bytes: what an instance takes.
        lines: of cells; ``width`` cells each, rounded up to ``lanes``, one line ``stride`` places behind another.
        across: links from one line to the next, ``grid.south`` or of an upright one ``grid.east``.
        line_marks: where the marks of lines are.
        block: its registers.
        parts: these, as they share fields.
        registers: where each is.
        links: inputs that are neighbours' registers.
        inputs: where the grid's inputs are put.
        scatters: inputs that are put there together.
        outputs: where its outputs are found.
        kept: where the kept wires are, and what memories delivered.
        staged: where it is that write ports are given, if not stored anyhow.
        memories: where the memories of the cells are, one behind the other.
        roms: likewise, one for all.
        groups: outputs that are logic, not registers.
        cycle: what happens in a cycle, as C.

    Raises:
        HardwareError: when a linked output is not a register.
    """

    def __init__(self, grid: Grid, prefix: str, keep: Collection[str] | None = ()) -> None:
        self.grid = grid
        self.prefix = prefix
        self.netlist = Netlist(flatten(grid.cell))
        self.upright = grid.columns < min(grid.rows, _NARROW)
        self.lines, self.width = (grid.columns, grid.rows) if self.upright else (grid.rows, grid.columns)
        along, across = (grid.south, grid.east) if self.upright else (grid.east, grid.south)
        self.across = across
        self.lanes = -(-self.width // _LANES) * _LANES
        self.stride = -(-(self.lanes + bool(along)) // _STRIDE) * _STRIDE
        self.origin = -(-(bool(across) * self.stride + bool(along)) // 16) * 16
        self.places = self.origin + self.lines * self.stride
        self._wires = self.netlist.by_name
        layout = Layout()
        self._signed = {wire for wire in self.netlist.extended() if isinstance(wire, (pyrtl.Register, pyrtl.Input))}
        self._place_registers(layout)
        self._place_inputs(layout)
        self._place_memories(layout)
        reads = dict.fromkeys(self.netlist.reads)
        self.kept: dict[Wire, Field] = {
            wire: layout.field(len(wire), self.places)
            for name, wire in self._wires.items()
            if wire in reads
            or ((keep is None or name in keep) and not isinstance(wire, (pyrtl.Const, pyrtl.Register, pyrtl.Input)))
        }
        self.staged: dict[Wire, Field] = {}
        for wire in (wire for net in self.netlist.writes for wire in net.args):
            if self.netlist.logic(wire) is not None and wire not in self.kept and wire not in self.staged:
                self.staged[wire] = layout.field(len(wire), self.places)
        self._place_outputs(layout)
        self.line_marks = layout.reserve(8 * (self.lines + 1))
        linked = {name: link.register for name, link in self.links.items()}
        self.stages: tuple[Stage, ...] = stages_of(self.netlist, self.parts, reads, linked)
        self.cycle = GridCycle(self)
        self._group_inputs()
        self.bytes = layout.bytes

    # Places.

    def index(self, row: int, column: int) -> int:
        """The place of a cell in the arrays."""
        line, lane = (column, row) if self.upright else (row, column)
        return self.origin + line * self.stride + lane

    def cell(self, row: int, column: int) -> int:
        """The number of a cell among those that share the array of a memory."""
        return column * self.width + row if self.upright else row * self.width + column

    def _place_registers(self, layout: Layout) -> None:
        linked = self._linked_registers()
        signed = {*self._signed, *(register for name, register in linked.items() if self._wires[name] in self._signed)}
        bits = sorted((register for register in self.netlist.registers if len(register) == 1), key=self._direction)
        together = [tuple(bits[start : start + _WORD]) for start in range(0, len(bits), _WORD)]
        together += [(register,) for register in self.netlist.registers if len(register) > 1]
        self.block, fields = layout.registers(
            [(len(own) if len(own) > 1 else len(own[0]), self.places) for own in together]
        )
        self.parts = tuple(
            Part(field, own, own[0] in signed and 1 < len(own[0]) <= 64)
            for field, own in zip(fields, together, strict=True)
        )
        self.registers: Mapping[Wire, Spot] = {
            register: Spot(part.field, bit if len(register) == 1 else None)
            for part in self.parts
            for bit, register in enumerate(part.registers)
        }

    def _linked_registers(self) -> dict[str, Wire]:
        """The register behind each linked input."""
        found = {}
        for target, source in {**self.grid.south, **self.grid.east}.items():
            register = self.netlist.register_behind(self._wires[source])
            if register is None:
                raise HardwareError(
                    f"grid {self.grid.name!r}: output {source!r} of its cell must be a register to be linked"
                )
            found[target] = register
        return found

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
        registers = self._linked_registers()
        self.inputs: dict[str, Spot] = {}
        self.links: dict[str, Link] = {}
        for links, back, lanes in (
            (grid.east, self.stride if self.upright else 1, grid.rows),
            (grid.south, 1 if self.upright else self.stride, grid.columns),
        ):
            taken: set[Wire] = set()
            for target in links:
                register = registers[target]
                edge = None
                self.inputs[target] = self.registers[register]
                if register in taken:  # the place before the cells is another input's
                    edge = layout.field(len(register), max(lanes, self.lanes))
                    self.inputs[target] = Spot(edge)
                taken.add(register)
                self.links[target] = Link(register, back, edge)
        for name, port in grid.cell.inputs.items():
            if name not in self.inputs:
                self.inputs[name] = Spot(layout.field(port.width, 1 if name in grid.shared else self.places))

    def _group_inputs(self) -> None:
        """Inputs that are laid out together: bits of one word at one edge, unless logic needs some of them early."""
        early = {name for group in self.groups for name in group.needs}
        together: dict[object, list[str]] = {}
        for name, spot in self.inputs.items():
            whole = spot.bit is None or name in early
            together.setdefault(name if whole else (spot.field, self.links[name].back), []).append(name)
        self.scatters = tuple(tuple(names) for names in together.values())

    def signed_input(self, name: str) -> bool:
        """Whether lanes of an input are laid out as signed numbers."""
        link = self.links.get(name)
        return link is not None and link.edge is None and self.part_of(link.register).signed

    def part_of(self, register: Wire) -> Part:
        """The part that a register belongs to."""
        return next(part for part in self.parts if any(register is own for own in part.registers))

    def input_index(self, name: str, lane: int) -> int:
        """The place of a lane of an input in its field."""
        grid = self.grid
        if name in grid.shared:
            return 0
        if name in grid.east:
            return self.index(lane, -1) if self.links[name].edge is None else lane
        if name in grid.south:
            return self.index(-1, lane) if self.links[name].edge is None else lane
        return self.index(*divmod(lane, grid.columns))

    def cell_input(self, name: str, row: int, column: int) -> tuple[Spot, int]:
        """Where the input of one cell is."""
        if name in self.grid.shared:
            return self.inputs[name], 0
        if name not in self.links:
            return self.inputs[name], self.index(row, column)
        link = self.links[name]
        place, lane = (column, row) if name in self.grid.east else (row, column)
        if place == 0:
            return self.inputs[name], self.input_index(name, lane)
        return self.registers[link.register], self.index(row, column) - link.back

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
