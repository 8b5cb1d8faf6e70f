"""C for one grid: its cell's netlist as the body of a loop over the cells.

State is kept as structure of arrays, an array of the narrowest element for every register, two of each: a cycle reads
one and writes the other, so that neighbours' old values are there in any order. Registers of one bit share words, a
bit each, those that travel together side by side: all of them move in one operation. Cells stand row by row in an
array, behind a column for the inputs of the west edge and a row for those of the north edge (where there are such
links): a cell finds what its western neighbour holds one place back and what its northern one holds a row back, at the
edges as well, and the whole grid is one loop without a branch, which compilers vectorise. The places of the edges take
part in the loop; what they compute is overwritten before anybody reads it. The first cell stands at a cache line, for
a vector that crosses two costs twice.

Cells with memories run in a plain loop over the real cells instead, each with a piece of one array of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyrtl

from ..flatten import flatten
from ..module import Grid, HardwareError
from .code import Code, Limb, Segment
from .layout import Field, Layout, Spot
from .netlist import Memory, Netlist, Wire, live_widths

__all__ = ["GridProgram", "OutputGroup"]

_VECTOR = 64  # elements, of one byte, of the widest vector
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
        self.origin = -(-edges // _VECTOR) * _VECTOR
        self.places = self.origin + -(-grid.rows * self.stride // _VECTOR) * _VECTOR
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
        self._loaded: dict[tuple[str, int], object] = {}
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
        for register, spot in program.registers.items():
            if register in sources:
                self._element(register, spot, self._array_of(register), 0)
        inputs = program.grid.cell.inputs
        for number, name in enumerate(inputs):
            wire = self.netlist.by_name[name]
            if wire not in sources:
                continue
            spot = program.inputs[name]
            if name in program.grid.shared:
                pointer = self._pointer(spot.field, f"i{number}", written=False)
                limbs = []
                for limb in range(spot.field.limbs):
                    self._before.append(f"const {self.ctype} s{number}_{limb} = {pointer}[{limb}];")
                    limbs.append(Limb(f"s{number}_{limb}", min(self.bits, len(wire) - 64 * limb)))
                self.limbs[wire] = limbs
            elif name in program.mirrors:
                self._element(wire, spot, f"m{list(program.mirrors).index(name)}", program.back[name])
            elif name in program.back:
                source = program.grid.east.get(name) if name in program.grid.east else program.grid.south[name]
                register = program.netlist.register_behind(self.netlist.by_name[source])
                self._element(wire, spot, self._array_of(register), program.back[name])
            else:
                self._element(wire, spot, f"i{number}", 0)

    def _array_of(self, register: Wire) -> str:
        """The name of the array of a register, or of the word it is in."""
        for number, (_, together) in enumerate(self.program.words):
            if any(register is one for one in together):
                return f"w{number}"
        return f"r{self.program.netlist.number[register]}"

    def _element(self, wire: Wire, spot: Spot, name: str, back: int) -> None:
        """Load a wire from the place of this cell, or so many places back."""
        field = spot.field
        pointer = self._pointer(field, name, written=False)
        if (name, back) not in self._loaded:
            limbs = []
            for limb in range(field.limbs):
                place = limb * field.count - back
                index = f"i + {place}" if place > 0 else f"i - {-place}" if place else "i"
                own = 8 * field.size if spot.bit is not None else min(self.bits, len(wire) - 64 * limb)
                limbs.append(self.local(Limb(f"{pointer}[{index}]", own)))
            self._loaded[name, back] = object()
            self.limbs[self._loaded[name, back]] = limbs
        key = self._loaded[name, back]
        if spot.bit is None:
            self.limbs[wire] = self.limbs[key]
        else:
            self.alias(wire, [Segment(key, spot.bit, 1)])

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
                self._put(wire, program.outputs[wire.name].field, f"o{list(program.outputs).index(wire.name)}")
            return
        for number, register in enumerate(program.netlist.registers):
            spot = program.registers[register]
            if spot.bit is None:
                source = self.netlist.driver[register].args[0]
                self._put(source, spot.field.shadow, f"n{number}", len(register))
        for number, (field, together) in enumerate(program.words):
            word = object()
            sources = [self.netlist.driver[register].args[0] for register in together]
            self.alias(word, [segment for source in sources for segment in self.segments(source, 0, 1)])
            self._put(word, field.shadow, f"b{number}", len(together))
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
            # To whole vectors where there are many, else to whole vectors of 32-bit lanes.
            unit = _VECTOR if program.places - program.origin > 4 * _VECTOR else 16
            cells = program.index(grid.rows - 1, grid.columns - 1) + 1 - program.origin
            end = program.origin + -(-cells // unit) * unit
            loop = f"#pragma GCC ivdep\n    for (size_t i = {program.origin}; i < {end}; i++) {{\n"
        return f"void {self.name}(uint8_t *base, int phase)\n{{\n    (void)phase;\n{head}\n{loop}{body}\n    }}\n}}\n"
