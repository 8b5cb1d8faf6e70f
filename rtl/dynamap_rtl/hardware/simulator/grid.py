"""C for one grid: its cell's netlist as the body of a loop over the cells.

State is kept as structure of arrays, an array of the narrowest element for every register, two of each: a cycle reads
one and writes the other, so that neighbours' old values are there in any order. Cells stand row by row in an array,
behind a column for the inputs of the west edge and a row for those of the north edge (where there are such links): a
cell finds what its western neighbour holds one place back and what its northern one holds a row back, at the edges as
well, and the whole grid is one loop without a branch, which compilers vectorise. The places of the edges take part in
the loop; what they compute is overwritten before anybody reads it.

Cells with memories run in a plain loop over the real cells instead, each with a piece of one array of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyrtl

from ..flatten import flatten
from ..module import Grid, HardwareError
from .code import Code, Limb
from .layout import Field, Layout
from .netlist import Memory, Netlist, Wire, live_widths

__all__ = ["GridProgram", "OutputGroup"]

_PADDING = 64  # elements after the last cell, so that loops run to whole vectors


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
        inputs: where the grid's inputs are put; for linked ones the first places of the neighbour's register.
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
        self.origin = self.stride if grid.south else 0
        self.places = self.origin + -(-grid.rows * self.stride // 16) * 16 + _PADDING
        self._wires = self.netlist.by_name
        layout = Layout()
        self._place_registers(layout)
        self._place_inputs(layout)
        self._place_memories(layout)
        reads = set(self.netlist.reads)
        self.kept: Mapping[Wire, Field] = {
            wire: layout.field(len(wire), self.places)
            for name, wire in self._wires.items()
            if wire in reads
            or ((keep is None or name in keep) and not isinstance(wire, (pyrtl.Const, pyrtl.Register, pyrtl.Input)))
        }
        self._place_outputs(layout)
        self.bytes = layout.bytes
        self.source, self.functions = self._generate()

    # Places.

    def index(self, row: int, column: int) -> int:
        """The place of a cell in the arrays."""
        return self.origin + row * self.stride + column + self.west

    def _place_registers(self, layout: Layout) -> None:
        self.registers: dict[Wire, Field] = {
            register: layout.field(len(register), self.places, double=True) for register in self.netlist.registers
        }
        #: Copies of registers for second links in one direction: their edge has other inputs.
        self.mirrors: dict[str, tuple[Wire, Field]] = {}

    def _place_inputs(self, layout: Layout) -> None:
        grid = self.grid
        self.inputs: dict[str, Field] = {}
        self._back: dict[str, int] = {}
        for links, back in ((grid.east, 1), (grid.south, self.stride)):
            taken: set[Wire] = set()
            for target, source in links.items():
                register = self.netlist.register_behind(self._wires[source])
                if register is None:
                    raise HardwareError(
                        f"grid {grid.name!r}: output {source!r} of its cell must be a register to be linked"
                    )
                if register in taken:
                    field = layout.field(len(register), self.places, double=True)
                    self.mirrors[target] = (register, field)
                    field_of = field
                else:
                    field_of = self.registers[register]
                taken.add(register)
                self.inputs[target] = field_of
                self._back[target] = back
        for name in grid.cell.inputs:
            if name not in self.inputs:
                width = grid.cell.inputs[name].width
                self.inputs[name] = layout.field(width, 1 if name in grid.shared else self.places)

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

    def cell_input(self, name: str, row: int, column: int) -> tuple[Field, int]:
        """Where the input of one cell is."""
        if name in self.grid.shared:
            return self.inputs[name], 0
        return self.inputs[name], self.index(row, column) - self._back.get(name, 0)

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
        self.outputs: dict[str, Field] = {}
        logic: dict[frozenset[str], list[str]] = {}
        for name in self.grid.outputs:
            wire = self._wires[name]
            register = self.netlist.register_behind(wire)
            if register is not None:
                self.outputs[name] = self.registers[register]
            else:
                self.outputs[name] = layout.field(len(wire), self.places)
                logic.setdefault(self.netlist.inputs_behind(wire), []).append(name)
        self.groups = tuple(
            OutputGroup(needs, tuple(names), f"{self.prefix}_out{index}")
            for index, (needs, names) in enumerate(sorted(logic.items(), key=lambda item: sorted(item[0])))
        )

    # Code.

    def _generate(self) -> tuple[str, tuple[str, ...]]:
        parts = [_Loop(self, group.function, [self._wires[name] for name in group.outputs]) for group in self.groups]
        final = _Loop(self, f"{self.prefix}_next", None)
        functions = tuple(part.name for part in (*parts, final))
        return "\n".join(part.text() for part in (*parts, final)), functions

    @property
    def roots(self) -> dict[Wire, int]:
        """What the last loop of a cycle computes, and how many bits of it."""
        roots: dict[Wire, int] = {}
        for register in self.netlist.registers:
            source = self.netlist.driver[register].args[0]
            roots[source] = max(len(register), roots.get(source, 0))
        for net in self.netlist.writes:
            for wire in net.args:
                roots[wire] = len(wire)
        for wire in self.kept:
            roots[wire] = len(wire)
        return roots


class _Loop(Code):
    """One function: the loop that computes some outputs, or (``outputs`` None) everything at the end of a cycle."""

    def __init__(self, program: GridProgram, name: str, outputs: list[Wire] | None) -> None:
        self.program = program
        self.name = name
        self.outputs = outputs
        netlist = program.netlist
        roots = program.roots if outputs is None else {wire: len(wire) for wire in outputs}
        nets = netlist.order(roots)
        live = live_widths(nets, roots)
        sources = {wire for net in (*nets, *netlist.writes) for wire in net.args} | set(roots)
        memories = {net.op_param[1] for net in nets if net.op == "m"}
        fits = all(bits <= 32 for bits in live.values()) and all(memory.bitwidth <= 32 for memory in memories)
        super().__init__(netlist, live, 32 if fits else 64)
        self.scalar = any(not isinstance(memory, pyrtl.RomBlock) for memory in netlist.memories)
        self._pointers: dict[str, str] = {}
        self._before: list[str] = []
        self._load(sources)
        for net in nets:
            self.emit(net)
        self._store(roots)

    def _pointer(self, field: Field, name: str, *, written: bool) -> str:
        """The C pointer to a field's first cell."""
        offset = f"(phase ? {field.other} : {field.offset})" if field.other != field.offset else str(field.offset)
        const = "" if written else "const "
        self._pointers.setdefault(
            name, f"{const}{field.ctype} *restrict {name} = ({const}{field.ctype} *)(base + {offset});"
        )
        return name

    def _load(self, sources: Collection[Wire]) -> None:
        program = self.program
        for number, register in enumerate(program.netlist.registers):
            if register in sources:
                self._element(register, program.registers[register], f"r{number}", 0)
        for name in program.grid.cell.inputs:
            wire = self.netlist.by_name[name]
            if wire not in sources:
                continue
            number = list(program.grid.cell.inputs).index(name)
            field = program.inputs[name]
            if name in program.grid.shared:
                pointer = self._pointer(field, f"i{number}", written=False)
                limbs = []
                for limb in range(field.limbs):
                    self._before.append(f"const {self.ctype} s{number}_{limb} = {pointer}[{limb}];")
                    limbs.append(Limb(f"s{number}_{limb}", min(self.bits, len(wire) - 64 * limb)))
                self.limbs[wire] = limbs
            elif name in program._back:  # noqa: SLF001  # the loop is the program's other half
                pointer = self._register_pointer(name)
                self._element(wire, field, pointer, program._back[name])  # noqa: SLF001
            else:
                self._element(wire, field, f"i{number}", 0)

    def _register_pointer(self, target: str) -> str:
        program = self.program
        if target in program.mirrors:
            return f"m{list(program.mirrors).index(target)}"
        source = program.grid.east.get(target) or program.grid.south[target]
        register = program.netlist.register_behind(self.netlist.by_name[source])
        return f"r{program.netlist.number[register]}"

    def _element(self, wire: Wire, field: Field, name: str, back: int) -> None:
        pointer = self._pointer(field, name, written=False)
        limbs = []
        for limb in range(field.limbs):
            place = limb * field.count - back
            index = f"i + {place}" if place > 0 else f"i - {-place}" if place else "i"
            limbs.append(self.local(Limb(f"{pointer}[{index}]", min(self.bits, len(wire) - 64 * limb))))
        self.limbs[wire] = limbs

    def read(self, memory: Memory, address: str, limb: int) -> str:
        """See :meth:`Code.read`."""
        program = self.program
        number = program.netlist.number[memory]
        if memory in program.roms:
            field = program.roms[memory]
            return f"{self._pointer(field, f'q{number}', written=False)}[{limb * field.count} + {address}]"
        field = program.memories[memory]
        name = self._pointer(field, f"q{number}", written=True)
        return f"{name}[{limb * field.count} + (cell << {memory.addrwidth}) + {address}]"

    def _store(self, roots: Collection[Wire]) -> None:
        program = self.program
        if self.outputs is not None:
            for wire in self.outputs:
                self._put(wire, program.outputs[wire.name], f"o{list(program.outputs).index(wire.name)}")
            return
        for number, register in enumerate(program.netlist.registers):
            source = self.netlist.driver[register].args[0]
            self._put(source, program.registers[register].shadow, f"n{number}", len(register))
        for number, (register, field) in enumerate(program.mirrors.values()):
            source = self.netlist.driver[register].args[0]
            self._put(source, field.shadow, f"x{number}", len(register))
        for number, (wire, field) in enumerate(program.kept.items()):
            self._put(wire, field, f"k{number}")
        for net in self.netlist.writes:
            memory = net.op_param[1]
            address, data, enable = net.args
            field = program.memories[memory]
            name = self._pointer(field, f"q{program.netlist.number[memory]}", written=True)
            place = f"(cell << {memory.addrwidth}) + {self.slice(address, 0, len(address), clean=True).text}"
            words = " ".join(
                f"{name}[{limb * field.count} + {place}] = {self.word(data, limb, len(data), clean=True).text};"
                for limb in self.words(len(data))
            )
            self.lines.append(f"if ({self.slice(enable, 0, 1, clean=True).text}) {{ {words} }}")

    def _put(self, wire: Wire, field: Field, name: str, width: int | None = None) -> None:
        pointer = self._pointer(field, name, written=True)
        width = len(wire) if width is None else width
        for limb in self.words(width):
            place = f"i + {limb * field.count}" if limb else "i"
            count = min(self.bits, width - limb * self.bits)
            # An element cuts off what is above it by itself.
            value = self.slice(wire, limb * self.bits, count, clean=count != 8 * field.size)
            self.lines.append(f"{pointer}[{place}] = ({field.ctype}){value.text};")

    def text(self) -> str:
        """The function."""
        program, grid = self.program, self.program.grid
        body = "\n".join(f"        {line}" for line in self.lines)
        head = "\n".join(f"    {line}" for line in (*self._pointers.values(), *self._before))
        if self.scalar:
            loop = (
                f"    for (size_t cell = 0; cell < {grid.rows * grid.columns}; cell++) {{\n"
                f"        const size_t i = {program.index(0, 0)} + cell / {grid.columns} * {program.stride}"
                f" + cell % {grid.columns};\n"
            )
        else:
            # From the first real place, to whole vectors of any lane: _PADDING has room for both.
            first = program.index(0, 0)
            count = -(-(program.index(grid.rows - 1, grid.columns - 1) + 1 - first) // 16) * 16
            loop = f"#pragma GCC ivdep\n    for (size_t i = {first}; i < {first + count}; i++) {{\n"
        return f"void {self.name}(uint8_t *base, int phase)\n{{\n    (void)phase;\n{head}\n{loop}{body}\n    }}\n}}\n"

