"""A cycle of a grid as C: which loops it takes, in which order, and which of them need not run.

Every loop has a *mark*, a bit of a word of the instance. It runs only in a cycle in which its mark is set, and the mark
is set only when something changed that it looks at: an input, a register, the contents of a memory. What a loop
computes depends on nothing else, so that one that is left out would have written what is there already. The loops say
themselves whether they changed anything.

    reads of memories, wires that are kept, what write ports are given    (may wake a later loop of this cycle)
    writes of memories
    registers, stage by stage                                             (wake loops of the next cycle)

Stages of a grid of several lines have marks of their own for every line: a register that changed wakes those that look
at it in its line, and in the line behind those that look at what comes from there. So lines that a small tile does not
reach rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .changes import change_of
from .grid_common import Common, any_of
from .grid_loops import CellLoop
from .grid_stages import Source, sources_of
from .grid_versions import Versions
from .netlist import Memory, Net, Wire

if TYPE_CHECKING:
    from .grid import GridProgram

__all__ = ["GridCycle"]

_WIDE = 32  # cells of a line; of many shorter lines each is done sooner than it is told which version it needs
_MARKS = 64  # bits of a word; loops beyond share the last one
#: Of grids of several lines: so many bits, the same again for the first line alone, and one for lines that have marks.
_FIRST = 31
_LINES = 1 << 2 * _FIRST


@dataclass(frozen=True)
class _Step:
    """A loop.

    Attributes:
        versions: its code.
        sources: what it looks at.
        feeds: what it may change.
        at_once: whether that is seen in this cycle, not in the next.
        in_place: whether it belongs to the stages, which are updated line by line.
        behind: of what it looks at, what it looks for in the line before.
        here: likewise, in its own line.
    """

    versions: Versions
    sources: frozenset[Source]
    feeds: frozenset[Source]
    at_once: bool = False
    in_place: bool = False
    behind: frozenset[Source] = frozenset()
    here: frozenset[Source] = frozenset()


class GridCycle:
    """The functions of a grid.

    Attributes:
        source: C.
        functions: names of those that are called: of each group of outputs, and of what ends a cycle.
    """

    def __init__(self, program: GridProgram) -> None:
        self._program = program
        self._part_of = {register: k for k, part in enumerate(program.parts) for register in part.registers}
        self._linked = {name: link.register for name, link in program.links.items()}
        self._common = Common(program)
        self._steps = [*self._before(), *self._writes(), *self._stages()]
        self._wakes: dict[Source, int] = {}
        for number, step in enumerate(self._steps):
            for source in step.sources:
                self._wakes[source] = self._wakes.get(source, 0) | self._mark(number)
        self._watched: dict[Source, int] = {}
        self._watched_last: dict[Source, int] = {}
        self._watch()
        functions = [f"{program.prefix}_next", *(group.function for group in program.groups)]
        self.functions = tuple(functions)
        self.source = "\n".join((*(step.versions.text for step in self._steps), *self._outputs(), self._next()))

    # What the logic outside grids asks.

    def input_marks(self, name: str) -> int:
        """Marks to set when an input changes."""
        wakes = self._wakes.get(("input", name), 0)
        if name in self._program.across and self._program.lines > 1:
            stages = sum(self._mark(number) for number, step in enumerate(self._steps) if step.in_place)
            return wakes & ~stages | (wakes & stages) << _FIRST
        return wakes

    def output_bit(self, name: str) -> int | None:
        """The bit, in what a cycle returns, that says that an output changed; None for one that is no register."""
        return self._output_bits.get(name)

    def group_bit(self, index: int) -> int:
        """Likewise, that outputs that are logic may have changed."""
        return self._group_bits[index]

    # Loops.

    def _mark(self, number: int) -> int:
        return 1 << min(number, (_MARKS if self._program.lines == 1 else _FIRST) - 1)

    def _sources(self, roots: Iterable[Wire], stored: Iterable[Wire]) -> frozenset[Source]:
        netlist = self._program.netlist
        return sources_of(netlist, roots, dict.fromkeys(stored), self._part_of, self._linked)

    def _before(self) -> Iterable[_Step]:
        program = self._program
        netlist, prefix = program.netlist, program.prefix
        stored: list[Wire] = []
        reads: list[tuple[list[Wire], frozenset[Source]]] = []
        in_order = [net.dests[0] for net in netlist.order(netlist.reads) if net.dests[0] in set(netlist.reads)]
        for wire in in_order:
            sources = self._sources([wire], stored)
            # Reads at one address go together; the memories differ.
            places = {source for source in sources if source[0] != "memory"}
            if reads and places == {source for source in reads[-1][1] if source[0] != "memory"}:
                reads[-1] = ([*reads[-1][0], wire], reads[-1][1] | sources)
            else:
                reads.append(([wire], sources))
            stored.append(wire)
        done: list[Wire] = []
        for number, (wires, sources) in enumerate(reads):
            yield self._storing(f"{prefix}_read{number}", wires, done, sources)
            done += wires
        others = [wire for wire in program.kept if wire not in set(done)]
        if others:
            # Only to be looked at, and so many when all are traced that versions would take minutes to compile.
            yield self._storing(f"{prefix}_kept", others, done, self._sources(others, done), versions=False)
        given = list(program.staged)
        for number, wire in enumerate(given):
            yield self._storing(f"{prefix}_given{number}", [wire], done, self._sources([wire], done))

    def _storing(
        self,
        function: str,
        wires: Sequence[Wire],
        done: Iterable[Wire],
        sources: frozenset[Source],
        *,
        versions: bool = True,
    ) -> _Step:
        """A loop that stores wires, from what is stored already."""
        program = self._program
        places = {**program.staged, **program.kept}
        before = {wire: places[wire] for wire in done}

        def build(fixed: Mapping[str, bool]) -> CellLoop:
            loop = CellLoop(program, {wire: len(wire) for wire in wires}, before, fixed=fixed)
            for number, wire in enumerate(wires):
                loop.put(wire, places[wire], f"o{number}")
            return loop

        common = self._common if versions and program.lines == 1 else None
        return _Step(
            Versions(function, build, common), sources, frozenset(("stored", wire) for wire in wires), at_once=True
        )

    def _writes(self) -> Iterable[_Step]:
        program = self._program
        places = {**program.staged, **program.kept}
        for memory in program.memories:
            nets = [net for net in program.netlist.writes if net.op_param[1] is memory]
            if not nets:
                continue
            wires = [wire for net in nets for wire in net.args]

            def build(
                fixed: Mapping[str, bool],
                memory: Memory = memory,
                nets: Sequence[Net] = nets,
                wires: Sequence[Wire] = wires,
            ) -> CellLoop:
                loop = CellLoop(program, {wire: len(wire) for wire in wires}, places, fixed=fixed)
                for net in nets:
                    loop.write(memory, *net.args)
                return loop

            number = program.netlist.number[memory]
            sources = self._sources(wires, places)
            gate = "1"
            if program.lines == 1:
                gate = any_of(self._common.bounds(program.netlist.bit(net.args[2])).may for net in nets)
            versions = Versions(f"{program.prefix}_write{number}", build, None, gate)
            yield _Step(versions, sources, frozenset([("memory", memory)]))

    def _stages(self) -> Iterable[_Step]:
        program = self._program
        netlist = program.netlist
        reads = {wire: program.kept[wire] for wire in netlist.reads}
        along = {name: register for name, register in self._linked.items() if name not in program.across}
        switched = program.lines == 1 or program.lanes >= _WIDE
        for number, stage in enumerate(program.stages):
            roots: dict[Wire, int] = {}
            for part in stage.parts:
                for register in program.parts[part].registers:
                    source = netlist.driver[register].args[0]
                    roots[source] = max(len(register), roots.get(source, 0))

            def build(
                fixed: Mapping[str, bool], roots: Mapping[Wire, int] = roots, parts: Sequence[int] = stage.parts
            ) -> CellLoop:
                loop = CellLoop(program, roots, reads, written=parts, fixed=fixed)
                for part in parts:
                    loop.put_part(part)
                return loop

            registers = [register for part in stage.parts for register in program.parts[part].registers]
            gate = any_of(self._common.may(change_of(netlist, register)) for register in registers)
            yield _Step(
                Versions(f"{program.prefix}_stage{number}", build, self._common if switched else None, gate),
                stage.sources,
                frozenset(("part", part) for part in stage.parts),
                in_place=True,
                here=sources_of(netlist, roots, reads, self._part_of, along),
                behind=frozenset(
                    ("part", self._part_of[register])
                    for name, register in self._linked.items()
                    if name in program.across and ("input", name) in stage.sources
                ),
            )

    # What a cycle returns.

    def _watch(self) -> None:
        program = self._program
        self._output_bits: dict[str, int] = {}
        self._group_bits: list[int] = []
        number = 0
        for name in program.outputs:
            register = program.netlist.register_behind(program.netlist.by_name[name])
            if register is not None:
                part: Source = ("part", self._part_of[register])
                last = name in program.across.values()
                self._output_bits[name] = self._watching(number, [part], self._watched_last if last else self._watched)
                number += 1
        for group in program.groups:
            wires = [program.netlist.by_name[name] for name in group.outputs]
            sources = [source for source in self._sources(wires, ()) if source[0] in {"part", "memory"}]
            self._group_bits.append(self._watching(number, sources, self._watched))
            number += 1

    def _watching(self, number: int, sources: Iterable[Source], watched: dict[Source, int]) -> int:
        bit = min(number, 63)
        for source in sources:
            watched[source] = watched.get(source, 0) | 1 << bit
        return bit

    # Text.

    def _over_lines(self, versions: Versions) -> str:
        """C that runs a loop for all lines, and sets ``c`` if it changed anything."""
        lines = self._program.lines
        if lines == 1:
            return versions.run("0")
        loop = f"for (size_t line = 0; line < {lines}; line++)"
        return f"uint64_t any = 0; {loop} {{ {versions.run('line')} any |= c; }} c = any;"

    def _outputs(self) -> Iterable[str]:
        program = self._program
        for group in program.groups:
            wires = {program.netlist.by_name[output]: output for output in group.outputs}

            def build(fixed: Mapping[str, bool], wires: Mapping[Wire, str] = wires) -> CellLoop:
                loop = CellLoop(program, {wire: len(wire) for wire in wires}, {}, fixed=fixed)
                for number, (wire, output) in enumerate(wires.items()):
                    loop.put(wire, program.outputs[output].field, f"o{number}")
                return loop

            versions = Versions(f"{group.function}_loop", build, None)
            yield versions.text
            body = f"    uint64_t c = 0;\n    {self._over_lines(versions)}\n    return c;"
            yield f"uint64_t {group.function}(uint8_t *base)\n{{\n{body}\n}}\n"

    def _next(self) -> str:
        program = self._program
        lines = ["uint64_t now = *marks, next = 0, out = 0;"]
        by_line = []
        if program.lines == 1:
            lines += self._common.text("0")
        for number, step in enumerate(self._steps):
            if program.lines > 1 and step.in_place:
                by_line.append((number, step))
                continue
            run = self._over_lines(step.versions)
            effects = self._effects(step)
            lines.append(f"if (now & {self._mark(number):#x}ull) {{ uint64_t c = 0; {run} if (c) {{ {effects} }} }}")
        if by_line:
            lines += self._line_by_line(by_line)
        lines += ["*marks = next;", "return out;"]
        body = "\n".join(f"    {line}" for line in lines)
        return f"uint64_t {program.prefix}_next(uint8_t *base, uint64_t *marks)\n{{\n{body}\n}}\n"

    def _line_by_line(self, steps: Sequence[tuple[int, _Step]]) -> Iterable[str]:
        """Stages of several lines; what wakes is collected in one word: in the line and, higher, in the next."""
        program = self._program
        stages = last_line = 0
        for number, step in steps:
            stages |= self._mark(number)
            for source in step.feeds:
                last_line |= self._watched_last.get(source, 0)
        yield f"uint64_t *const of = (uint64_t *)(base + {program.line_marks}), any = 0;"
        yield f"now &= ~{_LINES:#x}ull;"
        yield f"for (size_t line = {program.lines}; line-- > 0;) {{"
        yield f"    const uint64_t run = ((now | (line ? 0 : now >> {_FIRST})) & {stages:#x}ull) | of[line];"
        yield "    if (!run) continue;"
        yield from self._common.text("line")
        yield "    uint64_t woken = 0, seen = 0;"
        for number, step in steps:
            woken, seen = self._line_effects(step)
            effects = " ".join(f"{name} |= {bits:#x}ull;" for name, bits in (("woken", woken), ("seen", seen)) if bits)
            run = step.versions.run("line")
            yield f"    if (run & {self._mark(number):#x}ull) {{ uint64_t c = 0; {run} if (c) {{ {effects} }} }}"
        yield f"    of[line] = woken & {stages:#x}ull;"
        yield f"    of[line + 1] |= woken >> {_FIRST} & {stages:#x}ull;"
        yield "    any |= woken;"
        yield f"    out |= line == {program.lines - 1} ? seen : seen & ~{last_line:#x}ull;"
        yield "}"
        yield f"of[{program.lines}] = 0;"
        yield f"next |= any & {(1 << _FIRST) - 1 & ~stages:#x}ull;"
        yield f"if (any) next |= {_LINES:#x}ull;"

    def _line_effects(self, step: _Step) -> tuple[int, int]:
        """What a stage that changed a line wakes there and, higher, in the next; and what is seen outside."""
        woken = seen = 0
        for source in step.feeds:
            for number, reader in enumerate(self._steps):
                here = source in (reader.here if reader.in_place else reader.sources)
                woken |= self._mark(number) if here else 0
                woken |= self._mark(number) << _FIRST if source in reader.behind else 0
            seen |= self._watched.get(source, 0) | self._watched_last.get(source, 0)
        return woken, seen

    def _effects(self, step: _Step) -> str:
        wakes = seen = 0
        for source in step.feeds:
            wakes |= self._wakes.get(source, 0)
            seen |= self._watched.get(source, 0) | self._watched_last.get(source, 0)
        parts = []
        if wakes:
            parts.append(f"{'now' if step.at_once else 'next'} |= {wakes:#x}ull;")
        if seen:
            parts.append(f"out |= {seen:#x}ull;")
        return " ".join(parts)
