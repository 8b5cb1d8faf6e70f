"""The loop over the cells of a line: nets of the cell between loads from and stores to the grid's arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyrtl

from .code import Code, Key, Limb, Segment
from .grid_stages import Part
from .layout import Field
from .netlist import Bit, Memory, Net, Wire, live_widths

if TYPE_CHECKING:
    from .grid import GridProgram, Link

__all__ = ["CellLoop"]

_LOGIC = frozenset("~&|^n=<>x")
_NARROW = 16  # bits of elements for logic on few bits; words of one-bit registers are no wider
_SCALAR = 200  # bits that could be computed in vectors in the time of a read at an address of the cell's own

#: Of a line; gcc would write out short ones instead of making vectors of them.
_LANES_LOOP = '_Pragma("GCC unroll 1") for (size_t j = 0; j < {}; j++)'
#: Of what cannot be done in vectors.
_CELLS_LOOP = _LANES_LOOP.replace("unroll 1", "unroll 8")


class CellLoop(Code):
    """The body of a loop, and what stands before it.

    Args:
        program: the grid.
        roots: what is computed, and how many bits of it.
        stored: wires that an earlier loop stored.
        written: parts that the loop overwrites.
        fixed: selections that go one way in all cells, by the key of their bit.
    """

    def __init__(
        self,
        program: GridProgram,
        roots: Mapping[Wire, int],
        stored: Mapping[Wire, Field],
        *,
        written: Collection[int] = (),
        fixed: Mapping[str, bool] = MappingProxyType({}),
    ) -> None:
        self.program = program
        self.netlist = netlist = program.netlist
        self._fixed = fixed
        self._nets = nets = netlist.order(roots, stored, self._args)
        live = live_widths(nets, roots)
        memories = {net.op_param[1] for net in nets if net.op == "m"}
        fits = all(bits <= 32 for bits in live.values()) and all(memory.bitwidth <= 32 for memory in memories)
        super().__init__(netlist, live, 32 if fits else 64)
        self._written = set(written)
        self._pointers: dict[str, str] = {}
        self._before: list[str] = []
        self._loaded: dict[str, Key] = {}
        self._changes: dict[int, str] = {}
        #: Memories belong to real cells; other loops run over what rounds a line up as well.
        self._real = any(not isinstance(memory, pyrtl.RomBlock) for memory in memories)
        #: Whether all cells look at them at the same address.
        self._together = True
        #: Wires that are the same in all cells.
        self._uniform: set[Wire] = set()
        self._load({wire for net in nets for wire in self._args(net)} | set(roots), stored)
        for net in nets:
            if net.op == "m" and not isinstance(net.op_param[1], pyrtl.RomBlock):
                self._together &= isinstance(net.args[0], pyrtl.Const) or net.args[0] in self._uniform
            if self._is_uniform(net):
                self._uniform.add(net.dests[0])
                body, self.lines = self.lines, self._before
                self.emit(net)
                self.lines = body
            else:
                self.emit(net)

    def _is_uniform(self, net: Net) -> bool:
        if net.op == "m" and not isinstance(net.op_param[1], pyrtl.RomBlock):
            return False
        return all(isinstance(wire, pyrtl.Const) or wire in self._uniform for wire in self._args(net))

    def result(self, net: Net, limb: Limb) -> Limb:
        """See :meth:`Code.result`: in vectors, narrow logic is best done in narrow elements."""
        if net.op in _LOGIC and max(map(len, (net.dests[0], *net.args))) <= _NARROW:
            return self._narrow(limb)
        return self.local(limb)

    def _narrow(self, limb: Limb) -> Limb:
        """The low bits of a limb in a variable of their own."""
        made = self.local(limb)
        self.lines[-1] = f"const uint{_NARROW}_t {made.text} = (uint{_NARROW}_t){limb.text};"
        return Limb(f"({self.ctype}){made.text}", min(limb.known, _NARROW))

    def materialise(self, wire: Wire) -> Limb:
        """See :meth:`Code.materialise`: where a wire that is the same in all cells is wanted first says nothing."""
        if wire not in self._uniform:
            return super().materialise(wire)
        body, self.lines = self.lines, self._before
        made = super().materialise(wire)
        self.lines = body
        return made

    # Loads.

    def _pointer(self, field: Field, name: str, *, written: bool, signed: bool = False, shared: bool = False) -> str:
        """The C pointer to a field's first cell of the line."""
        ctype = field.ctype.removeprefix("u") if signed else field.ctype
        const = "" if written else "const "
        start = "" if shared else " + at"
        text = f"{const}{ctype} *restrict {name} = ({const}{ctype} *)(base + {field.offset}){start};"
        self._pointers.setdefault(name, text)
        return name

    def _load(self, wanted: Collection[Wire], stored: Mapping[Wire, Field]) -> None:
        program = self.program
        for number, part in enumerate(program.parts):
            if any(register in wanted for register in part.registers):
                elements = [f"{self._part_pointer(number)}[{limb}j]" for limb in self._limb_places(part.field)]
                self._take(number, f"own{number}", elements, {register: register for register in part.registers})
        for name in program.grid.cell.inputs:
            wire = self.netlist.by_name[name]
            if wire in wanted:
                self._load_input(name, wire)
        for number, (wire, field) in enumerate(stored.items()):
            if wire in wanted:
                pointer = self._pointer(field, f"p{number}", written=False)
                self.limbs[wire] = [
                    self.local(Limb(f"{pointer}[{place}j]", min(self.bits, len(wire) - 64 * limb)))
                    for limb, place in enumerate(self._limb_places(field))
                ]

    def _limb_places(self, field: Field) -> list[str]:
        return [f"{limb * field.count} + " if limb else "" for limb in range(field.limbs)]

    def _part_pointer(self, number: int) -> str:
        part = self.program.parts[number]
        return self._pointer(part.field, f"r{number}", written=number in self._written, signed=part.signed)

    def _load_input(self, name: str, wire: Wire) -> None:
        program = self.program
        number = list(program.grid.cell.inputs).index(name)
        field = program.inputs[name].field
        if name in program.grid.shared:
            pointer = self._pointer(field, f"i{number}", written=False, shared=True)
            self.limbs[wire] = []
            for limb in range(field.limbs):
                self._before.append(f"const {self.ctype} s{number}_{limb} = {pointer}[{limb}];")
                own = min(self.bits, len(wire) - 64 * limb)
                self.limbs[wire] = [*self.limbs[wire], Limb(f"s{number}_{limb}", own)]
            self._uniform.add(wire)
        elif name in program.links:
            self._load_neighbour(wire, program.links[name], number)
        else:
            pointer = self._pointer(field, f"i{number}", written=False)
            self.limbs[wire] = [
                self.local(Limb(f"{pointer}[{place}j]", min(self.bits, len(wire) - 64 * limb)))
                for limb, place in enumerate(self._limb_places(field))
            ]

    def _load_neighbour(self, wire: Wire, link: Link, number: int) -> None:
        program = self.program
        part = program.part_of(link.register)
        index = program.parts.index(part)
        pointer = self._part_pointer(index)
        if link.edge is not None:
            self.limbs[wire] = [
                self.local(Limb(self._edged(number, link, limb), min(self.bits, len(wire) - 64 * limb)))
                for limb in range(part.field.limbs)
            ]
            return
        if link.back == 1 and index in self._written:
            # The loop would find what it wrote itself.
            elements = [self._copied(index, part, limb) for limb in range(part.field.limbs)]
        else:
            elements = [f"{pointer}[{place}j - {link.back}]" for place in self._limb_places(part.field)]
        self._take(index, f"{link.back}_{index}", elements, {link.register: wire})

    def _copied(self, index: int, part: Part, limb: int) -> str:
        """A copy of what neighbours in the line hold."""
        name = f"t{index}_{limb}"
        ctype = part.field.ctype.removeprefix("u") if part.signed else part.field.ctype
        start = f"{self._part_pointer(index)} + {limb * part.field.count} - 1"
        self._pointers.setdefault(
            name,
            f"{ctype} {name}[{self.program.lanes}]; {_LANES_LOOP.format(self.program.lanes)} {name}[j] = ({start})[j];",
        )
        return f"{name}[j]"

    def _edged(self, number: int, link: Link, limb: int) -> str:
        """A copy of what neighbours hold, with the grid's own input at the edge."""
        program = self.program
        edge, part = link.edge, program.part_of(link.register)
        assert edge is not None
        pointer = f"({self._part_pointer(program.parts.index(part))} + {limb * part.field.count})"
        place = "j - 1" if link.back == 1 else f"(long)j - {link.back}"
        bit = program.registers[link.register].bit or 0
        mask = self.literal(2 ** min(64, len(link.register) - 64 * limb) - 1).text
        held = f"({edge.ctype})({pointer}[{place}] >> {bit} & {mask})"
        own = f"((const {edge.ctype} *)(base + {edge.offset}))[{limb * edge.count} + {{}}]"
        name = f"x{number}_{limb}"
        at_edge = f"j ? {held} : {own.format('line')}" if link.back == 1 else f"line ? {held} : {own.format('j')}"
        text = f"{edge.ctype} {name}[{program.lanes}]; "
        text += f"{_LANES_LOOP.format(program.lanes)} {name}[j] = {at_edge};"
        self._pointers.setdefault(name, text)
        return f"{name}[j]"

    def _take(self, number: int, key: str, elements: Sequence[str], wires: Mapping[Wire, Wire]) -> None:
        """Load a part, here or of a neighbour, and let wires be its registers.

        Args:
            number: of the part.
            key: names the place; what was loaded from it is used again.
            elements: its limbs.
            wires: by register.
        """
        part = self.program.parts[number]
        width = len(part.registers[0])
        if key not in self._loaded:
            limbs = []
            for limb, text in enumerate(elements):
                if width == 1:
                    limbs.append(self._narrow(Limb(text, 8 * part.field.size)))
                    continue
                if part.signed:
                    value = Limb(text, self.bits, None, min(self.bits, width))
                else:
                    value = Limb(text, min(self.bits, width - 64 * limb))
                limbs.append(self.local(value))
            self._loaded[key] = object()
            self.limbs[self._loaded[key]] = limbs
        loaded = self._loaded[key]
        for register, wire in wires.items():
            bit = self.program.registers[register].bit
            if bit is None:
                self.limbs[wire] = self.limbs[loaded]
            else:
                self.alias(wire, [Segment(loaded, bit, 1)])

    def read(self, memory: Memory, address: str, limb: int) -> str:
        """See :meth:`Code.read`."""
        program = self.program
        number = self.netlist.number[memory]
        if memory in program.roms:
            field = program.roms[memory]
            name = self._pointer(field, f"q{number}", written=False, shared=True)
            return f"{name}[{limb * field.count} + {address}]"
        field = program.memories[memory]
        name = self._pointer(field, f"q{number}", written=True, shared=True)
        return f"{name}[{limb * field.count} + {self._word(address)}]"

    def _word(self, address: str) -> str:
        """Where a word of this cell is in an array of memories."""
        return f"(size_t){address} * {self.program.lines * self.program.width} + cell"

    # Stores.

    def put(self, wire: Wire, field: Field, name: str) -> None:
        """Store a wire, and note whether it changed."""
        pointer = self._pointer(field, name, written=True)
        self._put(wire, field, pointer, len(wire))

    def _put(self, wire: Wire, field: Field, pointer: str, width: int) -> None:
        for limb, place in enumerate(self._limb_places(field)):
            count = min(self.bits, width - limb * self.bits)
            # An element cuts off what is above it by itself.
            value = self.slice(wire, limb * self.bits, count, clean=count != 8 * field.size)
            self._store(f"{pointer}[{place}j]", field, value)

    def _store(self, target: str, field: Field, value: Limb) -> None:
        new = f"n{len(self.lines)}"
        self.lines.append(f"const {field.ctype} {new} = ({field.ctype}){value.text};")
        self.lines.append(f"{self._change(field)} |= ({field.ctype})({new} ^ ({field.ctype}){target});")
        self.lines.append(f"{target} = {new};")

    def _change(self, field: Field) -> str:
        """What tells whether elements of this size changed."""
        return self._changes.setdefault(field.size, f"x{field.size}")

    def put_part(self, number: int) -> None:
        """Store the next values of registers."""
        part = self.program.parts[number]
        pointer = self._part_pointer(number)
        sources = [self.netlist.driver[register].args[0] for register in part.registers]
        width = len(part.registers[0])
        if width == 1:
            word: Key = object()
            self.alias(word, [segment for wire in sources for segment in self.segments(wire, 0, 1)])
            self._put(word, part.field, pointer, len(sources))
        elif part.signed and width != 8 * part.field.size:
            value = self.extended(self.slice(sources[0], 0, width, clean=False), width)
            self._store(f"{pointer}[j]", part.field, value)
        else:
            self._put(sources[0], part.field, pointer, width)

    def selections(self) -> Iterable[Bit]:
        """The bits that decide selections in the loop."""
        bits: dict[str, Bit] = {}
        for net in self._nets:
            if net.op == "x" and net.dests[0] not in self._uniform:
                wire, place, _ = self.netlist.bit(net.args[0])
                bits.setdefault(Bit(wire, place).key, Bit(wire, place))
        return bits.values()

    @property
    def work(self) -> int:
        """Bits that the loop computes in a cell, roughly; what keeps it from being done in vectors counts more."""
        work = 0
        for net in self._nets:
            if net.op == "m" and self._args(net)[0] not in self._uniform:
                work += _SCALAR
            elif net.op not in "wsc" and len(self._args(net)) > 1 and net.dests[0] not in self._uniform:
                work += self.live[net.dests[0]]
        return work

    def _args(self, net: Net) -> Sequence[Wire]:
        """What a net looks at."""
        if net.op == "x" and self._fixed:
            bit = self.netlist.bit(net.args[0])
            if bit.key in self._fixed:
                return (net.args[2 if self._fixed[bit.key] != bit.inverted else 1],)
        args: Sequence[Wire] = net.args
        return args

    def emit(self, net: Net) -> None:
        """See :meth:`Code.emit`: what is selected may be fixed."""
        args = self._args(net)
        if net.op == "x" and len(args) == 1:
            if self.live[net.dests[0]]:
                self.alias(net.dests[0], self.segments(args[0], 0, self.live[net.dests[0]]))
        else:
            super().emit(net)

    def write(self, memory: Memory, address: Wire, data: Wire, enable: Wire) -> None:
        """Write a memory, if ``enable`` is 1."""
        self._real = True
        field = self.program.memories[memory]
        name = self._pointer(field, f"q{self.netlist.number[memory]}", written=True, shared=True)
        place = self._word(self.slice(address, 0, len(address), clean=True).text)
        enabled = self.slice(enable, 0, 1, clean=True).text
        # Where all cells write the same word of theirs, these lie side by side: the loop can go over them in vectors.
        together = isinstance(address, pyrtl.Const) or address in self._uniform
        self._together &= together
        words = []
        for limb in self.words(len(data)):
            target = f"{name}[{limb * field.count} + {place}]"
            value = f"({field.ctype}){self.word(data, limb, len(data), clean=True).text}"
            change = self._change(field)
            if together:
                new = f"const {field.ctype} o = {target}, n = {enabled} ? {value} : o;"
                words.append(f"{{ {new} {change} |= ({field.ctype})(o ^ n); {target} = n; }}")
            else:
                words.append(f"{change} |= ({field.ctype})({target} ^ {value}); {target} = {value};")
        self.lines += words if together else [f"if ({enabled}) {{ {' '.join(words)} }}"]

    def text(self, function: str) -> str:
        """The function of a line: returns whether it changed anything."""
        program = self.program
        body = "\n".join(f"        {line}" for line in self.lines)
        changes = [f"uint{8 * size}_t {name} = 0;" for size, name in self._changes.items()]
        before = [*self._pointers.values(), *self._before, *changes]
        head = "\n".join(f"    {line}" for line in before)
        count = program.width if self._real else program.lanes
        cell = f"        const size_t cell = line * {program.width} + j;\n" if self._real else ""
        loop = _LANES_LOOP if self._together else _CELLS_LOOP
        return (
            f"static inline __attribute__((always_inline)) uint64_t {function}(uint8_t *base, const size_t line)\n{{\n"
            f"    const size_t at = {program.origin} + line * {program.stride};\n    (void)at;\n{head}\n"
            f'_Pragma("GCC ivdep") {loop.format(count)} {{\n{cell}{body}\n    }}\n'
            f"    return {' || '.join(self._changes.values())};\n}}\n"
        )
