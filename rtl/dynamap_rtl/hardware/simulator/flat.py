"""C for what is outside grids: a function for every partition, which runs only when it is marked.

Every wire is a local variable of the partition that computes it; one that another uses is handed over in memory. There
it stays, so that a partition that does not run leaves what it left before. Registers have two places: partitions read
the one and write the other, and at the start of the next cycle what was written is taken over, and compared: who looks
at a register that changed is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware.module import Module

from .changes import Condition
from .code import Alias, Code, Limb, Piece, Segment
from .functions import Function, Group
from .guards import guarded
from .layout import Field, limbs_of, narrowest
from .marks import Marks, Targets, setting
from .netlist import Memory, Net, Netlist, Wire, live_widths
from .partitions import partitions, units
from .schedule import Call, Item, Next, Output, Placed, Scatter, Write, schedule

__all__ = ["FlatCode", "FlatPlaces"]

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
        memories: where memories are, ROMs included.
    """

    top: Module
    netlist: Netlist
    placed: Sequence[Placed]
    boundary: Mapping[Wire, tuple[int, str]]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    memories: Mapping[Memory, Field]


@dataclass(eq=False)
class _Lane:
    """One lane of an output of a grid, as something that bits can be taken from."""

    array: str
    place: int
    source: object


class FlatCode(Code):
    """The logic outside grids.

    Attributes:
        marks: who looks at what.
        handed_words: 64-bit words that partitions leave for others, kept wires included.
        kept_words: the first of these of each kept wire.
        register_bytes: what registers take, once.
        group_words: 64-bit words of marks that say which registers were given next values.
        register_offsets: where each is in there.
    """

    def __init__(self, places: FlatPlaces, kept: Sequence[Wire]) -> None:
        self.places = places
        self.netlist = netlist = places.netlist
        self._kept = dict.fromkeys((*kept, *netlist.reads))
        plan = schedule(netlist, places.placed, places.boundary, outputs=places.outputs, wanted=list(self._kept))
        unit_of = self._units(plan.items)
        cut = partitions(
            plan,
            unit_of,
            last=lambda item: isinstance(item, Write),
            sinks=lambda item: isinstance(item, (Next, Output, Write)),
        )
        nets = [item for item in plan.items if isinstance(item, pyrtl.LogicNet)]
        super().__init__(netlist, live_widths(nets, self._roots()), 64)
        self.marks = Marks(len(cut), len(places.placed))
        self.functions = [Function() for _ in cut]
        self._number = 0
        self._guarded: set[Wire] | None = None
        self.handed_words = 0
        self.kept_words: dict[Wire, int] = {}
        self._home: dict[str, int] = {}
        self._handed: dict[str, str] = {}
        self._sources: dict[str, object] = {}
        self._arrays: dict[str, str] = {}
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self.limbs[_GAP] = [self.literal(0)]
        self._take_sources()
        users: dict[Item, list[Item]] = {}
        for item in plan.items:
            for other in plan.needs(item):
                users.setdefault(other, []).append(item)
        for number, partition in enumerate(cut):
            self._number = number
            self._emit_partition(partition.items, users)
        for number, placed in enumerate(places.placed):
            for name in placed.cut.inputs:
                self.marks.reads(
                    ("into", number, name), self.marks.grid_word(number), placed.program.cycle.input_marks(name)
                )
        self._place_registers()

    def _units(self, items: Iterable[Item]) -> Callable[[Item], str]:
        placed = self.places.placed

        def path(item: Item) -> str:
            if isinstance(item, Scatter):
                one = placed[item.placed]
                lanes = one.cut.grid.inputs[item.names[0]].lanes
                return f"{one.cut.path}#{item.names[0] if lanes > 1 else ''}"
            if isinstance(item, Call):
                return f"{placed[item.placed].cut.path}#{item.group}"
            if isinstance(item, Next):
                name = item.register.name
            elif isinstance(item, Output):
                name = ""
            elif isinstance(item, Write):
                name = item.memory.name
            else:
                name = item.dests[0].name
            return str(name).rpartition(".")[0]

        paths = {item: path(item) for item in items}
        found = units((path for path in paths.values() if "#" not in path), [one.cut.path for one in placed])
        return lambda item: found.get(paths[item], paths[item])

    def _emit_partition(self, items: Sequence[Item], users: Mapping[Item, Sequence[Item]]) -> None:
        function = self.functions[self._number]
        parts = guarded(self.netlist, items, users, self._kept)
        within = {item for part in parts for item in part.items}
        self.lines = function.lines
        for item in items:
            if item not in within:
                self._emit_item(item)
        for part in parts:
            group = Group(self._condition(part.change), [])
            function.groups.append(group)
            self.lines = group.lines
            self._guarded = {item.dests[0] for item in part.items if isinstance(item, pyrtl.LogicNet)}
            for item in part.items:
                self._emit_item(item)
            self.lines, self._guarded = function.lines, None

    def _condition(self, change: Condition) -> str:
        """C that tells whether registers may change."""
        if isinstance(change, bool):
            return str(int(change))
        bit = self.slice(change.bit.wire, change.bit.place, 1, clean=True).text
        if change.zero is False:
            return bit if change.one is True else f"({bit} & {self._condition(change.one)})"
        if change.one is False:
            return f"({bit} ^ 1)" if change.zero is True else f"(({bit} ^ 1) & {self._condition(change.zero)})"
        if change.one is True:
            return f"({bit} | {self._condition(change.zero)})"
        return f"({bit} ? {self._condition(change.one)} : {self._condition(change.zero)})"

    def materialise(self, wire: Wire) -> Limb:
        """See :meth:`Code.materialise`: what others use as well is computed in any case."""
        if self._guarded is None or wire in self._guarded:
            return super().materialise(wire)
        within, self.lines = self.lines, self.functions[self._number].lines
        made = super().materialise(wire)
        self.lines = within
        return made

    def _emit_item(self, item: Item) -> None:
        netlist = self.netlist
        if isinstance(item, Scatter):
            self._scatter(item)
        elif isinstance(item, Call):
            self._call(item)
        elif isinstance(item, Next):
            self._next(item.register)
        elif isinstance(item, Output):
            wire = netlist.by_name[item.name]
            for limb in self.words(len(wire)):
                value = self.word(wire, limb, len(wire), clean=True).text
                self.lines.append(f"O[{self.places.outputs[item.name] + limb}] = {value};")
        elif isinstance(item, Write):
            for net in netlist.writes:
                if net.op_param[1] is item.memory:
                    self._write(net)
        else:
            self.emit(item)
            self._keep(item.dests[0])

    def _roots(self) -> dict[Wire, int]:
        roots: dict[Wire, int] = {}
        for register in self.netlist.registers:
            source = self.netlist.driver[register].args[0]
            roots[source] = max(roots.get(source, 0), len(register))
        outputs = [self.netlist.by_name[name] for name in self.places.outputs]
        written = [wire for net in self.netlist.writes for wire in net.args]
        into = [wire for placed in self.places.placed for wire in placed.cut.inputs.values()]
        return {**roots, **{wire: len(wire) for wire in (*outputs, *self._kept, *written, *into)}}

    # Partitions and what they hand each other.

    def _look(self, source: object) -> None:
        """Note that this partition looks at something."""
        self.marks.reads(source, *self.marks.of_partition(self._number))

    def local(self, limb: Limb) -> Limb:
        """See :meth:`Code.local`."""
        made = super().local(limb)
        self._home[made.text] = self._number
        return made

    def fetch(self, limb: Limb) -> Limb:
        """A local of an earlier partition is handed over in memory."""
        if limb.text in self._sources:
            self._look(self._sources[limb.text])
            return limb
        home = self._home.get(limb.text)
        if home is None or home == self._number:
            return limb
        if limb.text not in self._handed:
            self._handed[limb.text] = f"W[{self.handed_words}]"
            self.functions[home].words.append((self.handed_words, limb.text))
            self.handed_words += 1
        text = self._handed[limb.text]
        self._look(text)
        return Limb(text, limb.known, None, limb.sign)

    def _late(self, line: Callable[[], str]) -> None:
        """A line that is written when it is known who looks at what."""
        function = self.functions[self._number]
        function.late[len(self.lines)] = line
        self.lines.append("")

    # Where values come from.

    def _take_sources(self) -> None:
        places = self.places
        for name, word in places.inputs.items():
            port = places.top.inputs[name]
            limbs = [Limb(f"I[{word + k}]", min(64, port.bits - 64 * k)) for k in self.words(port.bits)]
            self._sources.update({limb.text: ("input", name) for limb in limbs})
            self.limbs[self.netlist.by_name[name]] = limbs
        for register in self.netlist.registers:
            names = self._register_names(register, "R")
            # C would compute with what is narrow in 32 bits.
            limbs = [Limb(f"(uint64_t){text}", min(64, len(register) - 64 * k)) for k, text in enumerate(names)]
            self._sources.update({limb.text: ("register", register) for limb in limbs})
            self.limbs[register] = limbs
        for wire, (number, name) in places.boundary.items():
            self._take_lanes(wire, number, name)

    def _register_names(self, register: Wire, bank: str) -> list[str]:
        number = self.netlist.number[register]
        return [f"{bank}{number}" if k == 0 else f"{bank}{number}_{k}" for k in range(limbs_of(len(register)))]

    def _take_lanes(self, wire: Wire, number: int, name: str) -> None:
        placed = self.places.placed[number]
        spot = placed.program.outputs[name].at(placed.base)
        field = spot.field
        port = placed.cut.grid.outputs[name]
        array = self._array(field, "const ")
        segments = []
        for lane in range(port.lanes):
            place = placed.program.output_index(name, lane)
            if (array, place) not in self._lanes:
                key = self._lanes[array, place] = _Lane(array, place, ("out", number, name))
                limbs = [
                    Limb(f"(uint64_t){array}[{place + limb * field.count}]", min(64, 8 * field.size))
                    for limb in range(field.limbs)
                ]
                self._sources.update({limb.text: key.source for limb in limbs})
                self.limbs[key] = limbs
            segments.append(Segment(self._lanes[array, place], spot.bit or 0, port.width))
        self.alias(wire, segments)

    def _array(self, field: Field, const: str) -> str:
        """A name for the C pointer to an array."""
        text = f"(({const}{field.ctype} *)(S + {field.offset}))"
        return self._arrays.setdefault(text, f"A{len(self._arrays)}")

    def read(self, memory: Memory, address: str, limb: int) -> str:
        """See :meth:`Code.read`."""
        field = self.places.memories[memory]
        self._look(("memory", memory))
        return f"(uint64_t){self._array(field, 'const ')}[{limb * field.count} + {address}]"

    # Where values go.

    def _keep(self, wire: Wire) -> None:
        """Store a wire that is to be looked at."""
        if wire not in self._kept:
            return
        del self._kept[wire]
        self.kept_words[wire] = self.handed_words
        self.handed_words += limbs_of(len(wire))
        words = self.functions[self._number].words
        for limb in self.words(len(wire)):
            value = self.word(wire, limb, len(wire), clean=True).text
            word = self.kept_words[wire] + limb
            words.append((word, value))
            if self._home.get(value) == self._number:
                self._handed.setdefault(value, f"W[{word}]")

    def _next(self, register: Wire) -> None:
        self.functions[self._number].groups[-1].registers.append(register)
        source = self.netlist.driver[register].args[0]
        size = narrowest(len(register))
        for limb, name in enumerate(self._register_names(register, "N")):
            clean = min(64, len(register) - 64 * limb) != 8 * size
            self.lines.append(f"{name} = {self.word(source, limb, len(register), clean=clean).text};")

    def _write(self, net: Net) -> None:
        address, data, enable = net.args
        memory = net.op_param[1]
        field = self.places.memories[memory]
        array = self._array(field, "")
        place = self.slice(address, 0, len(address), clean=True).text
        words = []
        for limb in self.words(len(data)):
            target = f"{array}[{limb * field.count} + {place}]"
            value = f"({field.ctype}){self.word(data, limb, len(data), clean=True).text}"
            words.append(f"c |= {target} ^ {value}; {target} = {value};")
        self.lines.append(f"if ({self.slice(enable, 0, 1, clean=True).text}) {{ uint64_t c = 0; {' '.join(words)}")
        self._late(lambda: f"{setting('c', self.marks.targets(('memory', memory)))} }}")

    def _call(self, item: Call) -> None:
        placed = self.places.placed[item.placed]
        group = placed.program.groups[item.group]
        self._look(("group", item.placed, item.group))
        for name in group.needs:
            self._look(("into", item.placed, name))
        outputs = [("out", item.placed, name) for name in group.outputs]
        self._late(lambda: setting(f"{group.function}(S + {placed.base})", self.marks.targets(*outputs)))

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
        into = _Into(array, field, first.bit if len(spots) == 1 else None, placed.program.signed_input(name))
        self.lines.append("{ uint64_t c = 0;")
        index = 0
        while index < len(lanes):
            run = _alike(lanes, index) if field.limbs == 1 else 1
            if run > 1:
                self._lay_out_run(into, lanes[index : index + run])
            else:
                self._lay_out(into, *lanes[index])
            index += run
        sources = [("into", item.placed, name) for name in item.names]
        self._late(lambda: f"{setting('c', self.marks.targets(*sources))} }}")

    def _lay_out(self, into: _Into, place: int, lane: Alias) -> None:
        """Store one lane of an input."""
        self.alias(_HERE, lane.segments)
        for limb in range(into.field.limbs):
            width = min(64, lane.width - 64 * limb)
            clean = not into.signed and (into.bit is not None or width != 8 * into.field.size)
            value = self.slice(_HERE, 64 * limb, width, clean=clean)
            if into.signed:
                value = self.extended(value, width)
            self.lines.append(into.stored(f"{place + limb * into.field.count}", value.text))

    def _lay_out_run(self, into: _Into, lanes: Sequence[tuple[int, Alias]]) -> None:
        """Store lanes that are alike in a loop."""
        (place, first), (next_place, second) = lanes[:2]
        pieces: list[Piece] = []
        for one, two in zip(first.segments, second.segments, strict=True):
            if one.key is _GAP:
                pieces.append((self.literal(0), 0, one.width))
                continue
            self._look(one.key.source)
            source = f"(uint64_t){one.key.array}[{one.key.place} + k * {two.key.place - one.key.place}]"
            pieces.append((Limb(source, self.limbs[one.key][0].known), one.low, one.width))
        value = self.join(pieces, clean=not into.signed)
        if into.signed:
            value = self.extended(value, first.width)
        line = into.stored(f"{place} + k * {next_place - place}", "m[k]")
        loop = f"for (long k = 0; k < {len(lanes)}; k++)"  # the first is one for vectors, wherever the second stores
        self.lines.append(
            f"{{ {into.field.ctype} m[{len(lanes)}]; {loop} m[k] = ({into.field.ctype}){value.text}; {loop} {line} }}"
        )

    # Registers.

    def _place_registers(self) -> None:
        """Registers of a group side by side, those together that the same ones look at."""
        self.register_offsets: dict[Wire, int] = {}
        at = 0
        groups = [group for function in self.functions for group in function.groups if group.registers]
        for number, group in enumerate(groups):
            group.mark = number // 64, 1 << number % 64
            alike: dict[Targets, list[Wire]] = {}
            for register in group.registers:
                alike.setdefault(self.marks.targets(("register", register)), []).append(register)
            for targets, registers in alike.items():
                start = at
                for register in sorted(registers, key=lambda one: -narrowest(len(one))):
                    self.register_offsets[register] = at
                    at += narrowest(len(register)) * limbs_of(len(register))
                at = -(-at // 8) * 8
                group.blocks.append((start, at - start, targets))
        self.register_bytes = at
        self.group_words = -(-len(groups) // 64)

    # Text.

    def names(self) -> str:
        """C's names of arrays and registers."""
        parts = [f"#define {name} {text}" for text, name in self._arrays.items()]
        for register, offset in self.register_offsets.items():
            size = narrowest(len(register))
            ctype = f"uint{8 * size}_t"
            for bank, const in (("R", "const "), ("N", "")):
                for limb, name in enumerate(self._register_names(register, bank)):
                    parts.append(f"#define {name} (*({const}{ctype} *)({bank} + {offset + limb * size}))")
        return "\n".join(parts) + "\n"

    def partitions(self) -> Mapping[str, str]:
        """The function of each partition, by its name."""
        functions = enumerate(self.functions)
        return {f"dm_c{number}": function.text(number, self.marks) for number, function in functions}

    def beginning(self) -> list[str]:
        """Statements that start a cycle: registers take over, then inputs, and the marked partitions run."""
        lines = [line for function in self.functions for line in function.taking()]
        lines += [f"E[{word}] = 0;" for word in range(self.group_words)]
        for name, word in self.places.inputs.items():
            limbs = limbs_of(self.places.top.inputs[name].bits)
            call = f"dm_take((uint8_t *)(I + {word}), (const uint8_t *)(J + {word}), {8 * limbs})"
            targets = self.marks.targets(("input", name))
            lines.append(setting(call, targets))
        lines.append("dm_from(S, 0);")
        return lines

    def steps(self) -> list[str]:
        """Statements that end the cycle of the grids."""
        lines = []
        for number, placed in enumerate(self.places.placed):
            cycle, word = placed.program.cycle, self.marks.grid_word(number)
            bits: dict[int, list[object]] = {}
            for name in placed.program.outputs:
                if (bit := cycle.output_bit(name)) is not None:
                    bits.setdefault(bit, []).append(("out", number, name))
            for index in range(len(placed.program.groups)):
                bits.setdefault(cycle.group_bit(index), []).append(("group", number, index))
            lines.append(f"if (D[{word}]) {{")
            lines.append(f"    const uint64_t out = {cycle.functions[0]}(S + {placed.base}, D + {word}); (void)out;")
            for bit, sources in bits.items():
                if targets := self.marks.targets(*sources):
                    lines.append("    " + setting(f"out & {1 << bit:#x}ull", targets))
            lines.append("}")
        return lines


@dataclass(frozen=True)
class _Into:
    """Where lanes of an input go.

    Attributes:
        array: C's name of the array.
        field: its elements.
        bit: which bit of an element; None for whole values.
        signed: whether elements are signed numbers.
    """

    array: str
    field: Field
    bit: int | None
    signed: bool

    def stored(self, index: str, value: str) -> str:
        """A statement that stores a value and notes in ``c`` whether it changed."""
        target, ctype = f"{self.array}[{index}]", self.field.ctype
        if self.bit is not None:
            value = f"(({target} & ~{1 << self.bit:#x}) | ({value} << {self.bit}))"
        return f"{{ const {ctype} n = ({ctype}){value}; c |= n ^ {target}; {target} = n; }}"


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
