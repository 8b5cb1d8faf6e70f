"""The whole simulation as C: the logic outside grids, the order in which everything is computed, the run loop."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyrtl

from ..flatten import CutGrid, flatten_around_grids
from ..module import Grid, Module
from .code import Alias, Code, Limb, Piece, Segment
from .grid import GridProgram, OutputGroup
from .layout import Field, Layout, limbs_of
from .netlist import Memory, Net, Netlist, Wire, live_widths, topological

__all__ = ["Placed", "Program", "split_cell_name"]

_CHUNK = 1200
"""Statements of a C function: compilers take more than linear time over long ones."""

HEADER_BYTES = 64
"""At the start of the state: the phase (which buffer of registers the next cycle reads)."""


@dataclass(frozen=True)
class Placed:
    """A grid where it stands.

    Attributes:
        cut: its boundary in the block outside grids.
        program: its layout and code.
        base: where its state begins.
    """

    cut: CutGrid
    program: GridProgram
    base: int


@dataclass(frozen=True)
class _Scatter:
    """Lay inputs of a grid out for its cells, together."""

    placed: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Call:
    """Compute a group of outputs of a grid."""

    placed: int
    group: OutputGroup


Item: TypeAlias = "Net | _Scatter | _Call"


@dataclass(eq=False)
class _Lane:
    """One lane of an output of a grid, as something that bits can be taken from."""

    array: str
    place: int


_GAP = object()
"""Bits of a word that nobody reads."""

_HERE = object()
"""The lane that is laid out just now."""


class Program:
    """Layout and source of a simulation.

    Args:
        top: what is simulated.
        keep: names of wires whose values are stored every cycle, or ``"all"``.

    Attributes:
        sources: C translation units by name.
        bytes: size of the state.
        inputs: where the inputs are, each ``limbs_of`` its bits 64-bit words; side by side in the order of the ports.
        outputs: likewise.
        registers: where the registers outside grids are.
        kept: wires outside grids that are stored every cycle.
        memories: memories outside grids; ``roms`` likewise.
        placed: grids.
    """

    def __init__(self, top: Module, keep: Collection[str] | str) -> None:
        self.top = top
        self.block, cuts = flatten_around_grids(top)
        self.netlist = Netlist(self.block)
        self._keep = keep
        layout = Layout()
        layout.reserve(HEADER_BYTES)
        self.input_words = sum(limbs_of(port.bits) for port in top.inputs.values())
        self.output_words = sum(limbs_of(port.bits) for port in top.outputs.values())
        self.inputs = _side_by_side(top.inputs, layout)
        self.outputs = _side_by_side(top.outputs, layout)
        registers, self.register_words = self.netlist.registers, 0
        words = sum(limbs_of(len(register)) for register in registers)
        even, odd = layout.reserve(8 * words), layout.reserve(8 * words)
        self.registers: dict[Wire, Field] = {}
        self._register_word: dict[Wire, int] = {}
        for register in registers:
            at = 8 * self.register_words
            self.registers[register] = Field(even + at, odd + at, 8, limbs_of(len(register)), 1)
            self._register_word[register] = self.register_words
            self.register_words += limbs_of(len(register))
        self._even, self._odd = even, odd
        self.memories: dict[Memory, Field] = {}
        self.roms: dict[Memory, Field] = {}
        for memory in self.netlist.memories:
            where = self.roms if isinstance(memory, pyrtl.RomBlock) else self.memories
            where[memory] = layout.field(memory.bitwidth, 2**memory.addrwidth)
        self.placed = self._place_grids(cuts, layout)
        self.grid_programs = tuple({id(placed.program): placed.program for placed in self.placed}.values())
        self._place_boundary()
        wanted = self._kept_wires()
        flat = _Flat(self, wanted)
        words = layout.reserve(8 * max(1, flat.spilled_words))
        self.kept = {
            wire: Field(words + 8 * slot, words + 8 * slot, 8, limbs_of(len(wire)), 1)
            for wire, slot in flat.kept_slots.items()
        }
        self.bytes = layout.bytes
        self.sources = {
            "flat": _HEAD + flat.text(words, even, odd),
            "grids": _HEAD + "\n".join(program.source for program in self.grid_programs),
        }

    def _place_grids(self, cuts: Sequence[CutGrid], layout: Layout) -> tuple[Placed, ...]:
        programs: dict[tuple[int, frozenset[str] | None], GridProgram] = {}
        placed = []
        for cut in cuts:
            key = (id(cut.grid), self._kept_in(cut))
            if key not in programs:
                programs[key] = GridProgram(cut.grid, f"dm_g{len(programs)}", key[1])
            placed.append(Placed(cut, programs[key], layout.reserve(programs[key].bytes)))
        return tuple(placed)

    def _kept_in(self, cut: CutGrid) -> frozenset[str] | None:
        if isinstance(self._keep, str):
            return None
        split = (split_cell_name(name, cut.path, cut.grid) for name in self._keep)
        return frozenset(found[2] for found in split if found is not None)

    def _kept_wires(self) -> list[Wire]:
        wires = self.netlist.by_name
        if isinstance(self._keep, str):
            chosen = list(wires.values())
        else:
            chosen = [wires[name] for name in self._keep if name in wires]
        return [wire for wire in chosen if not isinstance(wire, (pyrtl.Const, pyrtl.Register, pyrtl.Input))]

    def _place_boundary(self) -> None:
        self.boundary: dict[Wire, tuple[int, str]] = {}
        self.grid_inputs: dict[Wire, tuple[int, str]] = {}
        for number, placed in enumerate(self.placed):
            for name, wire in placed.cut.outputs.items():
                self.boundary[wire] = (number, name)
            for name, wire in placed.cut.inputs.items():
                self.grid_inputs[wire] = (number, name)

    def schedule(self, kept: Sequence[Wire]) -> list[Item]:
        """Everything that a cycle computes outside grids, and calls of their outputs, in an order that works.

        Raises:
            HardwareError: when logic goes round in a circle through a grid.
        """
        netlist = self.netlist

        def behind(wire: Wire) -> Iterator[Item]:
            if wire in self.boundary:
                number, name = self.boundary[wire]
                for group in self.placed[number].program.groups:
                    if name in group.outputs:
                        yield _Call(number, group)
            elif (net := netlist.logic(wire)) is not None:
                yield net

        def needs(item: Item) -> Iterator[Item]:
            if isinstance(item, _Scatter):
                for name in item.names:
                    yield from behind(self.placed[item.placed].cut.inputs[name])
            elif isinstance(item, _Call):
                for names in self.placed[item.placed].program.scatters:
                    if item.group.needs.intersection(names):
                        yield _Scatter(item.placed, names)
            else:
                for wire in item.args:
                    yield from behind(wire)

        def name_of(item: Item) -> str:
            if isinstance(item, _Scatter):
                return f"input {item.names[0]!r} of grid {self.placed[item.placed].cut.path!r}"
            if isinstance(item, _Call):
                return f"output {item.group.outputs[0]!r} of grid {self.placed[item.placed].cut.path!r}"
            return f"wire {item.dests[0].name!r}"

        roots: list[Item] = []
        for register in netlist.registers:
            roots += behind(netlist.driver[register].args[0])
        for name in self.top.outputs:
            roots += behind(netlist.by_name[name])
        for number, placed in enumerate(self.placed):
            roots += [_Scatter(number, names) for names in placed.program.scatters]
            # What nothing outside uses is there to be looked at all the same.
            roots += [_Call(number, group) for group in placed.program.groups]
        for wire in kept:
            roots += behind(wire)
        for net in netlist.writes:
            for wire in net.args:
                roots += behind(wire)
        for wire in netlist.reads:
            roots += behind(wire)
        return topological(roots, needs, name_of)


def split_cell_name(name: str, path: str, grid: Grid) -> tuple[int, int, str] | None:
    """Row, column and the rest of the name of something in a cell of the grid at ``path``; None if it is not."""
    if path:
        if not name.startswith(path + "."):
            return None
        name = name[len(path) + 1 :]
    place, _, rest = name.partition(".")
    row, _, column = place.partition("_")
    if not (rest and row.isdecimal() and column.isdecimal()):
        return None
    if int(row) >= grid.rows or int(column) >= grid.columns:
        return None
    return int(row), int(column), rest


def _side_by_side(ports: Collection[str] | object, layout: Layout) -> dict[str, Field]:
    assert hasattr(ports, "items")
    start = layout.reserve(8 * max(1, sum(limbs_of(port.bits) for port in ports.values())))  # type: ignore[attr-defined]
    fields = {}
    for name, port in ports.items():
        fields[name] = Field(start, start, 8, limbs_of(port.bits), 1)
        start += 8 * limbs_of(port.bits)
    return fields


class _Chunk:
    """Statements of one C function; ``stores`` come last."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stores: list[str] = []


class _Flat(Code):
    """The logic outside grids."""

    def __init__(self, program: Program, kept: Sequence[Wire]) -> None:
        self.program = program
        netlist = program.netlist
        self.schedule = program.schedule(kept)
        nets = [item for item in self.schedule if not isinstance(item, (_Scatter, _Call))]
        super().__init__(netlist, live_widths(nets, self._roots(kept)), 64)
        self.chunks = [_Chunk()]
        self.lines = self.chunks[0].lines
        self.spilled_words = 0
        self.kept_slots: dict[Wire, int] = {}
        self._home: dict[str, int] = {}
        self._spilled: dict[str, str] = {}
        self._macros: dict[str, str] = {}
        self._lane_keys: dict[tuple[str, int], _Lane] = {}
        self.limbs[_GAP] = [self.literal(0)]
        self._sources()
        self._rest = {
            "outputs": {netlist.by_name[name]: name for name in program.top.outputs},
            "kept": dict.fromkeys((*kept, *netlist.reads)),
        }
        self._next_of: dict[Wire, list[Wire]] = {}
        for register in netlist.registers:
            self._next_of.setdefault(netlist.driver[register].args[0], []).append(register)
        for item in self.schedule:
            if len(self.lines) >= _CHUNK:
                self._new_chunk()
            if isinstance(item, _Scatter):
                self._scatter(item)
            elif isinstance(item, _Call):
                placed = program.placed[item.placed]
                self.lines.append(f"{item.group.function}(S + {placed.base}, P);")
            else:
                self.emit(item)
                self._deliver(item.dests[0])
        for wire in (*self._next_of, *self._rest["kept"]):
            self._deliver(wire)  # inputs, constants, registers and grids' outputs: no net computes these
        for net in netlist.writes:
            self._write(net)

    def _roots(self, kept: Sequence[Wire]) -> dict[Wire, int]:
        netlist = self.program.netlist
        roots: dict[Wire, int] = {}
        for register in netlist.registers:
            source = netlist.driver[register].args[0]
            roots[source] = max(len(register), roots.get(source, 0))
        whole = [netlist.by_name[name] for name in self.program.top.outputs]
        whole += [*self.program.grid_inputs, *kept, *netlist.reads, *(w for net in netlist.writes for w in net.args)]
        return {**roots, **{wire: len(wire) for wire in whole}}

    def local(self, limb: Limb) -> Limb:
        """See :meth:`Code.local`."""
        made = super().local(limb)
        self._home[made.text] = len(self.chunks) - 1
        return made

    def fetch(self, limb: Limb) -> Limb:
        """A local of an earlier function is handed over in memory."""
        home = self._home.get(limb.text)
        if home is None or home == len(self.chunks) - 1:
            return limb
        if limb.text not in self._spilled:
            slot = self.spilled_words
            self.spilled_words += 1
            self.chunks[home].stores.append(f"W[{slot}] = {limb.text};")
            self._spilled[limb.text] = f"W[{slot}]"
        return Limb(self._spilled[limb.text], limb.known)

    def _new_chunk(self) -> None:
        self.chunks.append(_Chunk())
        self.lines = self.chunks[-1].lines

    def _sources(self) -> None:
        program = self.program
        word = 0
        for name, port in program.top.inputs.items():
            self.limbs[self.netlist.by_name[name]] = self._words("I", word, port.bits)
            word += limbs_of(port.bits)
        for register, at in program._register_word.items():  # noqa: SLF001  # the program's other half
            self.limbs[register] = self._words("R", at, len(register))
        for wire, (number, name) in program.boundary.items():
            self._lanes(wire, number, name)

    def _words(self, array: str, start: int, width: int) -> list[Limb]:
        return [Limb(f"{array}[{start + k}]", min(64, width - 64 * k)) for k in self.words(width)]

    def _lanes(self, wire: Wire, number: int, name: str) -> None:
        placed = self.program.placed[number]
        spot = placed.program.outputs[name].at(placed.base)
        field = spot.field
        port = placed.cut.grid.outputs[name]
        array = self._array(field, "const ")
        segments = []
        for lane in range(port.lanes):
            place = placed.program.output_index(name, lane)
            key = self._lane_keys.setdefault((array, place), _Lane(array, place))
            self.limbs[key] = [
                Limb(
                    f"(uint64_t){array}[{place + limb * field.count}]",
                    min(64, port.width - 64 * limb) if spot.bit is None else 8 * field.size,
                )
                for limb in range(field.limbs)
            ]
            segments.append(Segment(key, spot.bit or 0, port.width))
        self.alias(wire, segments)

    def _array(self, field: Field, const: str) -> str:
        """A name for the C pointer to an array of a grid."""
        offset = f"(P ? {field.other} : {field.offset})" if field.other != field.offset else str(field.offset)
        text = f"(({const}{field.ctype} *)(S + {offset}))"
        return self._macros.setdefault(text, f"A{len(self._macros)}")

    def _scatter(self, item: _Scatter) -> None:
        placed = self.program.placed[item.placed]
        spots = sorted(((placed.program.inputs[name], name) for name in item.names), key=lambda pair: pair[0].bit or 0)
        name = item.names[0]
        field = spots[0][0].field.at(placed.base)
        port = placed.cut.grid.inputs[name]
        array = self._array(field, "")
        lanes = []
        for lane in range(port.lanes):
            segments: list[Segment] = []
            position = 0
            for spot, own in spots:
                if spot.bit is not None and len(spots) > 1:
                    segments.append(Segment(_GAP, 0, spot.bit - position))
                    position = spot.bit + 1
                segments += self.segments(placed.cut.inputs[own], lane * port.width, port.width)
            lanes.append((placed.program.input_index(name, lane), Alias(part for part in segments if part.count)))
        bit = spots[0][0].bit if len(spots) == 1 else None
        index = 0
        while index < len(lanes):
            run = _alike(lanes, index) if field.limbs == 1 else 1
            self._lay_out(array, field, bit, lanes[index : index + run])
            index += run
            if len(self.lines) >= _CHUNK:
                self._new_chunk()

    def _lay_out(self, array: str, field: Field, bit: int | None, lanes: Sequence[tuple[int, Alias]]) -> None:
        """Store lanes of an input, several in a loop if they are alike."""
        place, first = lanes[0]
        if len(lanes) > 1:
            second_place, second = lanes[1]
            pieces: list[Piece] = []
            for one, two in zip(first.segments, second.segments, strict=True):
                if one.key is _GAP:
                    pieces.append((self.literal(0), 0, one.count))
                    continue
                limb = self.limbs[one.key][0]
                step = two.key.place - one.key.place
                pieces.append((Limb(f"(uint64_t){one.key.array}[{one.key.place} + k * {step}]", limb.known), one.low, one.count))
            value = self.join(pieces, clean=True)
            target = f"{array}[{place} + k * {second_place - place}]"
            self.lines.append(f"for (long k = 0; k < {len(lanes)}; k++) {_stored(target, field, bit, value.text)}")
            return
        self.alias(_HERE, first.segments)
        for limb in range(field.limbs):
            count = min(64, first.width - 64 * limb)
            value = self.slice(_HERE, 64 * limb, count, clean=bit is not None or count != 8 * field.size)
            target = f"{array}[{place + limb * field.count}]"
            self.lines.append(_stored(target, field, bit, value.text))

    def _deliver(self, wire: Wire) -> None:
        """Store a value where others look for it."""
        program = self.program
        for register in self._next_of.pop(wire, ()):
            start = program._register_word[register]  # noqa: SLF001
            self._put("N", start, wire, len(register))
        if wire in self._rest["outputs"]:
            name = self._rest["outputs"].pop(wire)
            start = (program.outputs[name].offset - min(f.offset for f in program.outputs.values())) // 8
            self._put("O", start, wire, len(wire))
        if wire in self._rest["kept"]:
            del self._rest["kept"][wire]
            start = self.spilled_words
            self.spilled_words += len(self.words(len(wire)))
            self.kept_slots[wire] = start
            self._put("W", start, wire, len(wire))

    def _put(self, array: str, start: int, wire: Wire, width: int) -> None:
        for limb in self.words(width):
            self.lines.append(f"{array}[{start + limb}] = {self.word(wire, limb, width, clean=True).text};")

    def read(self, memory: Memory, address: str, limb: int) -> str:
        """See :meth:`Code.read`."""
        field = (self.program.roms if memory in self.program.roms else self.program.memories)[memory]
        return f"(uint64_t){self._array(field, 'const ')}[{limb * field.count} + {address}]"

    def _write(self, net: Net) -> None:
        address, data, enable = net.args
        field = self.program.memories[net.op_param[1]]
        array = self._array(field, "")
        place = self.slice(address, 0, len(address), clean=True).text
        words = " ".join(
            f"{array}[{limb * field.count} + {place}] = ({field.ctype}){self.word(data, limb, len(data), clean=True).text};"
            for limb in self.words(len(data))
        )
        self.lines.append(f"if ({self.slice(enable, 0, 1, clean=True).text}) {{ {words} }}")

    def text(self, words: int, even: int, odd: int) -> str:
        """The functions, and the one that runs a cycle."""
        program = self.program
        parts = [f"void {name}(uint8_t *base, int phase);" for p in program.grid_programs for name in p.functions]
        parts += [f"#define {name} {text}" for text, name in self._macros.items()]
        calls = []
        for number, chunk in enumerate(self.chunks):
            body = "\n".join(f"    {line}" for line in (*chunk.lines, *chunk.stores))
            parts.append(f"static NOINLINE void dm_c{number}({_PARAMETERS})\n{{\n    {_UNUSED}\n{body}\n}}")
            calls.append(f"    dm_c{number}(S, P, R, N, I, O, W);")
        calls += [f"    {p.program.functions[-1]}(S + {p.base}, P);" for p in program.placed]
        inputs = min((field.offset for field in program.inputs.values()), default=0)
        outputs = min((field.offset for field in program.outputs.values()), default=0)
        parts.append(
            _RUN.format(
                even=even,
                odd=odd,
                words=words,
                inputs=inputs,
                outputs=outputs,
                input_words=program.input_words,
                output_words=program.output_words,
                calls="\n".join(calls),
            )
        )
        return "\n".join(parts) + "\n"


def _stored(target: str, field: Field, bit: int | None, value: str) -> str:
    if bit is None:
        return f"{target} = ({field.ctype}){value};"
    return f"{target} = ({field.ctype})(({target} & ~{1 << bit:#x}) | ({value} << {bit}));"


def _alike(lanes: Sequence[tuple[int, Alias]], start: int) -> int:
    """How many lanes from ``start`` on take the same bits of the same arrays, at equal steps."""

    def shape(alias: Alias) -> list[tuple[object, int, int]] | None:
        parts: list[tuple[object, int, int]] = []
        for key, low, count in alias.segments:
            if not isinstance(key, _Lane):
                if key is not _GAP:
                    return None
                parts.append((None, low, count))
            else:
                parts.append((key.array, low, count))
        return parts

    def places(index: int) -> list[int]:
        place, alias = lanes[index]
        return [place, *(segment.key.place for segment in alias.segments if isinstance(segment.key, _Lane))]

    wanted = shape(lanes[start][1])
    run = 1
    steps: list[int] | None = None
    while wanted is not None and start + run < len(lanes) and shape(lanes[start + run][1]) == wanted:
        now = [b - a for a, b in zip(places(start + run - 1), places(start + run), strict=True)]
        if steps is not None and now != steps:
            break
        steps = now
        run += 1
    return run


_HEAD = """#include <stddef.h>
#include <stdint.h>
#include <string.h>
#define NOINLINE __attribute__((noinline))
"""

_PARAMETERS = (
    "uint8_t *restrict S, const int P, const uint64_t *restrict R, uint64_t *restrict N, "
    "const uint64_t *restrict I, uint64_t *restrict O, uint64_t *restrict W"
)
_UNUSED = "(void)S; (void)P; (void)R; (void)N; (void)I; (void)O; (void)W;"

# A peer is called after each cycle with the outputs of that cycle and may set the inputs of the next.
_RUN = """
static void dm_cycle(uint8_t *S)
{{
    const int P = (int)*(uint64_t *)S;
    const uint64_t *R = (const uint64_t *)(S + (P ? {odd} : {even}));
    uint64_t *N = (uint64_t *)(S + (P ? {even} : {odd}));
    const uint64_t *I = (const uint64_t *)(S + {inputs});
    uint64_t *O = (uint64_t *)(S + {outputs});
    uint64_t *W = (uint64_t *)(S + {words});
    (void)R; (void)N; (void)I; (void)O; (void)W;
{calls}
    *(uint64_t *)S = !P;
}}

typedef void (*dm_peer)(void *context, const uint64_t *outputs, uint64_t *inputs);

uint64_t dm_run(
    uint8_t *S, uint64_t cycles, const uint64_t *in, uint64_t *out,
    const uint64_t *table, uint64_t traced, uint64_t *trace, int64_t stop, dm_peer peer, void *context)
{{
    uint64_t *I = (uint64_t *)(S + {inputs});
    const uint64_t *O = (const uint64_t *)(S + {outputs});
    for (uint64_t n = 0; n < cycles;) {{
        const uint64_t P = *(const uint64_t *)S;
        if (in) {{ memcpy(I, in, 8 * {input_words}); in += {input_words}; }}
        dm_cycle(S);
        n++;
        if (out) {{ memcpy(out, O, 8 * {output_words}); out += {output_words}; }}
        for (const uint64_t *t = table; t < table + 5 * traced; t += 5) {{
            const uint8_t *p = S + t[P];
            uint64_t value;
            switch (t[2]) {{
            case 1: value = *p; break;
            case 2: value = *(const uint16_t *)p; break;
            case 4: value = *(const uint32_t *)p; break;
            default: value = *(const uint64_t *)p;
            }}
            *trace++ = value >> t[3] & t[4];
        }}
        if (peer) peer(context, O, I);
        if (stop >= 0 && O[stop]) return n;
    }}
    return cycles;
}}
"""
