"""The loops over the cells of a grid: nets of the cell between loads from and stores to the grid's arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import pyrtl

from .code import Code, Limb, Segment
from .layout import Field, Spot
from .netlist import Memory, Wire, live_widths

if TYPE_CHECKING:
    from .grid import GridProgram

__all__ = ["VECTOR", "cycle_loops", "output_loop"]

VECTOR = 64
"""Elements, of one byte, of the widest vector."""


def output_loop(program: GridProgram, name: str, outputs: Sequence[str]) -> str:
    """The function that computes outputs which are logic."""
    netlist = program.netlist
    wires = {netlist.by_name[output]: output for output in outputs}
    loop = _Loop(program, {wire: len(wire) for wire in wires}, {})
    for number, (wire, output) in enumerate(wires.items()):
        loop.put(wire, program.outputs[output].field, f"o{number}")
    return loop.text(f"void {name}")


def cycle_loops(program: GridProgram, name: str) -> str:
    """The function that ends a cycle: next values of registers, wires that are kept, writes of memories."""
    netlist = program.netlist
    reads = {wire: program.kept[wire] for wire in netlist.reads}
    parts = []
    if reads:
        loop = _Loop(program, {wire: len(wire) for wire in reads}, {})
        for number, (wire, field) in enumerate(reads.items()):
            loop.put(wire, field, f"k{number}")
        parts.append((f"{name}_reads", loop))
    parts.append((f"{name}_logic", _state_loop(program, reads)))
    if netlist.writes:
        parts.append((f"{name}_writes", _write_loop(program, {**program.staged, **program.kept})))
    calls = "".join(f"    {function}(base, phase);\n" for function, _ in parts)
    texts = [loop.text(f"static void {function}") for function, loop in parts]
    return "\n".join((*texts, f"void {name}(uint8_t *base, int phase)\n{{\n{calls}}}\n"))


def _state_loop(program: GridProgram, reads: Mapping[Wire, Field]) -> _Loop:
    netlist = program.netlist
    roots: dict[Wire, int] = {}
    for register in netlist.registers:
        source = netlist.driver[register].args[0]
        roots[source] = max(len(register), roots.get(source, 0))
    others = {wire: field for wire, field in (*program.kept.items(), *program.staged.items()) if wire not in reads}
    roots.update({wire: len(wire) for wire in others})
    loop = _Loop(program, roots, reads)
    for number, register in enumerate(netlist.registers):
        spot = program.registers[register]
        if spot.bit is None:
            loop.put(netlist.driver[register].args[0], spot.field.shadow, f"n{number}", len(register))
    for number, (field, together) in enumerate(program.words):
        loop.put_bits([netlist.driver[register].args[0] for register in together], field.shadow, f"b{number}")
    for number, (register, field) in enumerate(program.mirrors.values()):
        loop.put(netlist.driver[register].args[0], field.shadow, f"x{number}", len(register))
    for number, (wire, field) in enumerate(others.items()):
        loop.put(wire, field, f"o{number}")
    return loop


def _write_loop(program: GridProgram, stored: Mapping[Wire, Field]) -> _Loop:
    wires = [wire for net in program.netlist.writes for wire in net.args]
    loop = _Loop(program, {wire: len(wire) for wire in wires}, stored)
    for net in program.netlist.writes:
        loop.write(net.op_param[1], *net.args)
    return loop


class _Loop(Code):
    """The body of a loop, and what stands before it.

    Args:
        program: the grid.
        roots: what is computed, and how many bits of it.
        stored: wires that an earlier loop stored.
    """

    def __init__(self, program: GridProgram, roots: Mapping[Wire, int], stored: Mapping[Wire, Field]) -> None:
        self.program = program
        netlist = program.netlist
        nets = netlist.order(roots, stored)
        live = live_widths(nets, roots)
        memories = {net.op_param[1] for net in nets if net.op == "m"}
        fits = all(bits <= 32 for bits in live.values()) and all(memory.bitwidth <= 32 for memory in memories)
        super().__init__(netlist, live, 32 if fits else 64)
        self._pointers: dict[str, str] = {}
        self._before: list[str] = []
        self._loaded: dict[tuple[str, int], object] = {}
        #: Memories belong to real cells; other loops run over the edges as well.
        self._real = any(not isinstance(memory, pyrtl.RomBlock) for memory in memories)
        sources = {wire for net in nets for wire in net.args} | set(roots)
        self._load(sources)
        for number, (wire, field) in enumerate(stored.items()):
            if wire in sources:
                self._element(wire, Spot(field), f"p{number}", 0)
        for net in nets:
            self.emit(net)

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
                source = {**program.grid.south, **program.grid.east}[name]
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

    # Stores.

    def put(self, wire: Wire, field: Field, name: str, width: int | None = None) -> None:
        """Store a wire, or its low bits."""
        pointer = self._pointer(field, name, written=True)
        width = len(wire) if width is None else width
        for limb in self.words(width):
            place = f"i + {limb * field.count}" if limb else "i"
            count = min(self.bits, width - limb * self.bits)
            # An element cuts off what is above it by itself.
            value = self.slice(wire, limb * self.bits, count, clean=count != 8 * field.size)
            self.lines.append(f"{pointer}[{place}] = ({field.ctype}){value.text};")

    def put_bits(self, wires: Sequence[Wire], field: Field, name: str) -> None:
        """Store bits side by side."""
        word = object()
        self.alias(word, [segment for wire in wires for segment in self.segments(wire, 0, 1)])
        self.put(word, field, name, len(wires))

    def write(self, memory: Memory, address: Wire, data: Wire, enable: Wire) -> None:
        """Write a memory, if ``enable`` is 1."""
        self._real = True
        field = self.program.memories[memory]
        name = self._pointer(field, f"q{self.netlist.number[memory]}", written=True)
        place = f"(cell << {memory.addrwidth}) + {self.slice(address, 0, len(address), clean=True).text}"
        words = " ".join(
            f"{name}[{limb * field.count} + {place}] = {self.word(data, limb, len(data), clean=True).text};"
            for limb in self.words(len(data))
        )
        self.lines.append(f"if ({self.slice(enable, 0, 1, clean=True).text}) {{ {words} }}")

    def text(self, function: str) -> str:
        """The whole function."""
        program, grid = self.program, self.program.grid
        body = "\n".join(f"        {line}" for line in self.lines)
        head = "\n".join(f"    {line}" for line in ("(void)phase;", *self._pointers.values(), *self._before))
        if self._real:
            loop = (
                f"    for (size_t row = 0; row < {grid.rows}; row++)\n"
                f"    for (size_t column = 0; column < {grid.columns}; column++) {{\n"
                f"        const size_t i = {program.origin} + row * {program.stride} + column;\n"
                f"        const size_t cell = row * {grid.columns} + column;\n"
            )
        else:
            # To whole vectors where there are many, else to whole vectors of 32-bit lanes.
            unit = VECTOR if program.places - program.origin > 4 * VECTOR else 16
            cells = program.index(grid.rows - 1, grid.columns - 1) + 1 - program.origin
            end = program.origin + -(-cells // unit) * unit
            loop = f"#pragma GCC ivdep\n    for (size_t i = {program.origin}; i < {end}; i++) {{\n"
        return f"{function}(uint8_t *base, int phase)\n{{\n{head}\n{loop}{body}\n    }}\n}}\n"
