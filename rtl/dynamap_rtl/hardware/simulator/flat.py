"""C for what is outside grids: straight lines, cut into functions that a compiler can digest.

Every wire is a local variable of the function that computes it; one that a later function uses is handed over in
memory. Registers have two buffers, read in one cycle and written in the next, as in grids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynamap_rtl.hardware.module import Module

from .code import Alias, Code, Limb, Piece, Segment
from .layout import Field, limbs_of
from .netlist import Memory, Net, Netlist, Wire, live_widths
from .runtime import CHUNK_PARAMETERS, UNUSED
from .schedule import Call, Placed, Scatter, schedule

__all__ = ["FlatCode", "FlatPlaces"]

_CHUNK = 800
"""Statements of a C function: compilers take more than linear time over long ones."""

_GAP = object()
"""Bits of a word that nobody reads."""

_HERE = object()
"""The lane that is being laid out."""


@dataclass(frozen=True)
class FlatPlaces:
    """What the code has to know.

    Attributes:
        top: the hardware.
        netlist: what is outside grids.
        placed: the grids.
        boundary: wires that grids drive: which grid, which output.
        inputs: first word of each input among the inputs.
        outputs: likewise.
        registers: likewise.
        memories: where memories are, ROMs included.
    """

    top: Module
    netlist: Netlist
    placed: Sequence[Placed]
    boundary: Mapping[Wire, tuple[int, str]]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    registers: Mapping[Wire, int]
    memories: Mapping[Memory, Field]


@dataclass(eq=False)
class _Lane:
    """One lane of an output of a grid, as something that bits can be taken from."""

    array: str
    place: int


class _Chunk:
    """Statements of one C function; ``stores`` come last."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stores: list[str] = []


class FlatCode(Code):
    """The logic outside grids.

    Attributes:
        calls: statements that run it.
        handed_words: 64-bit words that functions leave for others, kept wires included.
        kept_words: the first of these of each kept wire.
    """

    def __init__(self, places: FlatPlaces, kept: Sequence[Wire]) -> None:
        self.places = places
        netlist = places.netlist
        self._outputs = {netlist.by_name[name]: word for name, word in places.outputs.items()}
        self._kept = dict.fromkeys((*kept, *netlist.reads))
        self._next_of: dict[Wire, list[Wire]] = {}
        for register in netlist.registers:
            self._next_of.setdefault(netlist.driver[register].args[0], []).append(register)
        written = [wire for net in netlist.writes for wire in net.args]
        items = schedule(
            netlist, places.placed, places.boundary, [*self._next_of, *self._outputs, *self._kept, *written]
        )
        nets = [item for item in items if not isinstance(item, (Scatter, Call))]
        super().__init__(netlist, live_widths(nets, self._roots(written)), 64)
        self.chunks = [_Chunk()]
        self.lines = self.chunks[0].lines
        self.handed_words = 0
        self.kept_words: dict[Wire, int] = {}
        self._home: dict[str, int] = {}
        self._handed: dict[str, str] = {}
        self._arrays: dict[str, str] = {}
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self.limbs[_GAP] = [self.literal(0)]
        self._take_sources()
        for item in items:
            if len(self.lines) >= _CHUNK:
                self._new_chunk()
            if isinstance(item, Scatter):
                self._scatter(item)
            elif isinstance(item, Call):
                self.lines.append(f"{item.group.function}(S + {places.placed[item.placed].base}, P);")
            else:
                self.emit(item)
                self._deliver(item.dests[0])
        for wire in (*self._next_of, *self._kept):
            self._deliver(wire)  # inputs, constants, registers and grids' outputs: no net computes these
        for net in netlist.writes:
            self._write(net)
        self.calls = [f"dm_c{number}(S, P, R, N, I, O, W);" for number in range(len(self.chunks))]

    def _roots(self, written: Sequence[Wire]) -> dict[Wire, int]:
        roots = {wire: max(len(register) for register in of) for wire, of in self._next_of.items()}
        into = (wire for placed in self.places.placed for wire in placed.cut.inputs.values())
        return {**roots, **{wire: len(wire) for wire in (*self._outputs, *self._kept, *written, *into)}}

    # Functions and what they hand each other.

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
        if limb.text not in self._handed:
            self._handed[limb.text] = f"W[{self.handed_words}]"
            self.handed_words += 1
            self.chunks[home].stores.append(f"{self._handed[limb.text]} = {limb.text};")
        return Limb(self._handed[limb.text], limb.known)

    def _new_chunk(self) -> None:
        self.chunks.append(_Chunk())
        self.lines = self.chunks[-1].lines

    # Where values come from.

    def _take_sources(self) -> None:
        places = self.places
        for name, word in places.inputs.items():
            self.limbs[self.netlist.by_name[name]] = self._bank("I", word, places.top.inputs[name].bits)
        for register, word in places.registers.items():
            self.limbs[register] = self._bank("R", word, len(register))
        for wire, (number, name) in places.boundary.items():
            self._take_lanes(wire, places.placed[number], name)

    def _bank(self, bank: str, start: int, width: int) -> list[Limb]:
        return [Limb(f"{bank}[{start + k}]", min(64, width - 64 * k)) for k in self.words(width)]

    def _take_lanes(self, wire: Wire, placed: Placed, name: str) -> None:
        spot = placed.program.outputs[name].at(placed.base)
        field = spot.field
        port = placed.cut.grid.outputs[name]
        array = self._array(field, "const ")
        segments = []
        for lane in range(port.lanes):
            place = placed.program.output_index(name, lane)
            key = self._lanes.setdefault((array, place), _Lane(array, place))
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
        """A name for the C pointer to an array."""
        offset = f"(P ? {field.other} : {field.offset})" if field.other != field.offset else str(field.offset)
        text = f"(({const}{field.ctype} *)(S + {offset}))"
        return self._arrays.setdefault(text, f"A{len(self._arrays)}")

    def read(self, memory: Memory, address: str, limb: int) -> str:
        """See :meth:`Code.read`."""
        field = self.places.memories[memory]
        return f"(uint64_t){self._array(field, 'const ')}[{limb * field.count} + {address}]"

    # Where values go.

    def _deliver(self, wire: Wire) -> None:
        """Store a value where others look for it."""
        for register in self._next_of.pop(wire, ()):
            self._put("N", self.places.registers[register], wire, len(register))
        if wire in self._outputs:
            self._put("O", self._outputs.pop(wire), wire, len(wire))
        if wire in self._kept:
            del self._kept[wire]
            self.kept_words[wire] = self.handed_words
            self.handed_words += limbs_of(len(wire))
            self._put("W", self.kept_words[wire], wire, len(wire))

    def _put(self, bank: str, start: int, wire: Wire, width: int) -> None:
        for limb in self.words(width):
            self.lines.append(f"{bank}[{start + limb}] = {self.word(wire, limb, width, clean=True).text};")

    def _write(self, net: Net) -> None:
        address, data, enable = net.args
        field = self.places.memories[net.op_param[1]]
        array = self._array(field, "")
        place = self.slice(address, 0, len(address), clean=True).text
        words = (
            f"{array}[{limb * field.count} + {place}] = "
            f"({field.ctype}){self.word(data, limb, len(data), clean=True).text};"
            for limb in self.words(len(data))
        )
        self.lines.append(f"if ({self.slice(enable, 0, 1, clean=True).text}) {{ {' '.join(words)} }}")

    def _scatter(self, item: Scatter) -> None:
        placed = self.places.placed[item.placed]
        spots = sorted(((placed.program.inputs[name], name) for name in item.names), key=lambda pair: pair[0].bit or 0)
        first, name = spots[0]
        field = first.field.at(placed.base)
        width = placed.cut.grid.inputs[name].width
        array = self._array(field, "")
        lanes = []
        for lane in range(placed.cut.grid.inputs[name].lanes):
            segments: list[Segment] = []
            position = 0
            for spot, own in spots:
                if spot.bit is not None and len(spots) > 1:
                    segments.append(Segment(_GAP, 0, spot.bit - position))
                    position = spot.bit + 1
                segments += self.segments(placed.cut.inputs[own], lane * width, width)
            lanes.append((placed.program.input_index(name, lane), Alias(part for part in segments if part.width)))
        bit = first.bit if len(spots) == 1 else None
        index = 0
        while index < len(lanes):
            run = _alike(lanes, index) if field.limbs == 1 else 1
            if run > 1:
                self._lay_out_run(array, field, bit, lanes[index : index + run])
            else:
                self._lay_out(array, field, bit, *lanes[index])
            index += run
            if len(self.lines) >= _CHUNK:
                self._new_chunk()

    def _lay_out(self, array: str, field: Field, bit: int | None, place: int, lane: Alias) -> None:
        """Store one lane of an input."""
        self.alias(_HERE, lane.segments)
        for limb in range(field.limbs):
            width = min(64, lane.width - 64 * limb)
            value = self.slice(_HERE, 64 * limb, width, clean=bit is not None or width != 8 * field.size)
            self.lines.append(_stored(f"{array}[{place + limb * field.count}]", field, bit, value.text))

    def _lay_out_run(self, array: str, field: Field, bit: int | None, lanes: Sequence[tuple[int, Alias]]) -> None:
        """Store lanes that are alike in a loop."""
        (place, first), (next_place, second) = lanes[:2]
        pieces: list[Piece] = []
        for one, two in zip(first.segments, second.segments, strict=True):
            if one.key is _GAP:
                pieces.append((self.literal(0), 0, one.width))
                continue
            source = f"(uint64_t){one.key.array}[{one.key.place} + k * {two.key.place - one.key.place}]"
            pieces.append((Limb(source, self.limbs[one.key][0].known), one.low, one.width))
        target = f"{array}[{place} + k * {next_place - place}]"
        value = self.join(pieces, clean=True)
        self.lines.append(f"for (long k = 0; k < {len(lanes)}; k++) {_stored(target, field, bit, value.text)}")

    def text(self) -> str:
        """The functions."""
        parts = [f"#define {name} {text}" for text, name in self._arrays.items()]
        for number, chunk in enumerate(self.chunks):
            body = "\n".join(f"    {line}" for line in (UNUSED, *chunk.lines, *chunk.stores))
            parts.append(
                f"static __attribute__((noinline)) void dm_c{number}({CHUNK_PARAMETERS})\n{{\n{body}\n}}",
            )
        return "\n" + "\n".join(parts)


def _stored(target: str, field: Field, bit: int | None, value: str) -> str:
    if bit is None:
        return f"{target} = ({field.ctype}){value};"
    return f"{target} = ({field.ctype})(({target} & ~{1 << bit:#x}) | ({value} << {bit}));"


def _alike(lanes: Sequence[tuple[int, Alias]], start: int) -> int:
    """How many lanes from ``start`` on take the same bits of the same arrays, at equal steps."""

    def shape(index: int) -> list[tuple[str | None, int, int]] | None:
        parts: list[tuple[str | None, int, int]] = []
        for key, low, width in lanes[index][1].segments:
            if not isinstance(key, _Lane) and key is not _GAP:
                return None
            parts.append((key.array if isinstance(key, _Lane) else None, low, width))
        return parts

    def places(index: int) -> list[int]:
        place, alias = lanes[index]
        return [place, *(segment.key.place for segment in alias.segments if isinstance(segment.key, _Lane))]

    wanted = shape(start)
    run = 1
    steps: list[int] | None = None
    while wanted is not None and start + run < len(lanes) and shape(start + run) == wanted:
        now = [after - before for before, after in zip(places(start + run - 1), places(start + run), strict=True)]
        if steps is not None and now != steps:
            break
        steps = now
        run += 1
    return run
