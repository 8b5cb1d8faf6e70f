"""A cycle of a grid as C: which loops it takes, in which order, and which of them need not run.

Every loop has a *mark*, a bit of a word of the instance. It runs only in a cycle in which its mark is set, and the mark
is set only when something changed that it looks at: an input, a register, the contents of a memory. What a loop
computes depends on nothing else, so that one that is left out would have written what is there already. The loops say
themselves whether they changed anything.

    reads of memories, wires that are kept, what write ports are given    (may wake a later loop of this cycle)
    writes of memories
    registers, stage by stage                                             (wake loops of the next cycle)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .grid_loops import CellLoop
from .grid_stages import Source, sources_of
from .netlist import Wire

if TYPE_CHECKING:
    from .grid import GridProgram

__all__ = ["GridCycle"]

_MARKS = 64  # bits of a word; loops beyond share the last one


@dataclass(frozen=True)
class _Step:
    """A loop.

    Attributes:
        function: C's name.
        loop: its code.
        sources: what it looks at.
        feeds: what it may change.
        at_once: whether that is seen in this cycle, not in the next.
        in_place: whether it belongs to the stages, which are updated line by line.
    """

    function: str
    loop: CellLoop
    sources: frozenset[Source]
    feeds: frozenset[Source]
    at_once: bool = False
    in_place: bool = False


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
        self._steps = [*self._before(), *self._writes(), *self._stages()]
        self._wakes: dict[Source, int] = {}
        for number, step in enumerate(self._steps):
            for source in step.sources:
                self._wakes[source] = self._wakes.get(source, 0) | self._mark(number)
        self._watched: dict[Source, int] = {}
        self._watch()
        functions = [f"{program.prefix}_next", *(group.function for group in program.groups)]
        self.functions = tuple(functions)
        self.source = "\n".join(
            (*(step.loop.text(step.function) for step in self._steps), *self._outputs(), self._next())
        )

    # What the logic outside grids asks.

    def input_marks(self, name: str) -> int:
        """Marks to set when an input changes."""
        return self._wakes.get(("input", name), 0)

    def output_bit(self, name: str) -> int | None:
        """The bit, in what a cycle returns, that says that an output changed; None for one that is no register."""
        return self._output_bits.get(name)

    def group_bit(self, index: int) -> int:
        """Likewise, that outputs that are logic may have changed."""
        return self._group_bits[index]

    # Loops.

    def _mark(self, number: int) -> int:
        return 1 << min(number, _MARKS - 1)

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
            yield self._storing(f"{prefix}_kept", others, done, self._sources(others, done))
        given = list(program.staged)
        for number, wire in enumerate(given):
            yield self._storing(f"{prefix}_given{number}", [wire], done, self._sources([wire], done))

    def _storing(self, function: str, wires: Sequence[Wire], done: Iterable[Wire], sources: frozenset[Source]) -> _Step:
        """A loop that stores wires, from what is stored already."""
        program = self._program
        places = {**program.staged, **program.kept}
        loop = CellLoop(program, {wire: len(wire) for wire in wires}, {wire: places[wire] for wire in done})
        for number, wire in enumerate(wires):
            loop.put(wire, places[wire], f"o{number}")
        return _Step(function, loop, sources, frozenset(("stored", wire) for wire in wires), at_once=True)

    def _writes(self) -> Iterable[_Step]:
        program = self._program
        places = {**program.staged, **program.kept}
        for memory in program.memories:
            nets = [net for net in program.netlist.writes if net.op_param[1] is memory]
            if not nets:
                continue
            wires = [wire for net in nets for wire in net.args]
            loop = CellLoop(program, {wire: len(wire) for wire in wires}, places)
            for net in nets:
                loop.write(memory, *net.args)
            number = program.netlist.number[memory]
            sources = self._sources(wires, places)
            yield _Step(f"{program.prefix}_write{number}", loop, sources, frozenset([("memory", memory)]))

    def _stages(self) -> Iterable[_Step]:
        program = self._program
        netlist = program.netlist
        reads = {wire: program.kept[wire] for wire in netlist.reads}
        for number, stage in enumerate(program.stages):
            roots: dict[Wire, int] = {}
            for part in stage.parts:
                for register in program.parts[part].registers:
                    source = netlist.driver[register].args[0]
                    roots[source] = max(len(register), roots.get(source, 0))
            loop = CellLoop(program, roots, reads, written=stage.parts)
            for part in stage.parts:
                loop.put_part(part)
            feeds = frozenset(("part", part) for part in stage.parts)
            yield _Step(f"{program.prefix}_stage{number}", loop, stage.sources, feeds, in_place=True)

    # What a cycle returns.

    def _watch(self) -> None:
        program = self._program
        self._output_bits: dict[str, int] = {}
        self._group_bits: list[int] = []
        number = 0
        for name in program.outputs:
            register = program.netlist.register_behind(program.netlist.by_name[name])
            if register is not None:
                self._output_bits[name] = self._watching(number, [("part", self._part_of[register])])
                number += 1
        for group in program.groups:
            wires = [program.netlist.by_name[name] for name in group.outputs]
            sources = [source for source in self._sources(wires, ()) if source[0] in {"part", "memory"}]
            self._group_bits.append(self._watching(number, sources))
            number += 1

    def _watching(self, number: int, sources: Iterable[Source]) -> int:
        bit = min(number, 63)
        for source in sources:
            self._watched[source] = self._watched.get(source, 0) | 1 << bit
        return bit

    # Text.

    def _outputs(self) -> Iterable[str]:
        program = self._program
        for group in program.groups:
            wires = {program.netlist.by_name[output]: output for output in group.outputs}
            loop = CellLoop(program, {wire: len(wire) for wire in wires}, {})
            for number, (wire, output) in enumerate(wires.items()):
                loop.put(wire, program.outputs[output].field, f"o{number}")
            yield loop.text(f"{group.function}_loop")
            run = self._over_lines(f"{group.function}_loop", loop)
            yield f"uint64_t {group.function}(uint8_t *base)\n{{\n    return {run};\n}}\n"

    def _over_lines(self, function: str, loop: CellLoop) -> str:
        if self._program.lines == 1:
            return f"{function}(base, 0)"
        return f"dm_lines({function}, base, {self._program.lines}, {loop.change_bytes})"

    def _next(self) -> str:
        program = self._program
        lines = [
            "uint64_t now = *marks, next = 0, out = 0;",
        ]
        in_place = [(number, step) for number, step in enumerate(self._steps) if step.in_place]
        for number, step in enumerate(self._steps):
            if not step.in_place:
                run = f"now & {self._mark(number):#x}ull && {self._over_lines(step.function, step.loop)}"
                lines.append(f"if ({run}) {{ {self._effects(step)} }}")
        if program.lines == 1:
            for number, step in in_place:
                run = f"now & {self._mark(number):#x}ull && {step.function}(base, 0)"
                lines.append(f"if ({run}) {{ {self._effects(step)} }}")
        elif in_place:
            lines += [
                f"uint8_t c{number}[{step.loop.change_bytes}] __attribute__((aligned(64))) = {{0}};"
                for number, step in in_place
            ]
            lines.append(f"for (size_t line = {program.lines}; line-- > 0;) {{")
            for number, step in in_place:
                lines.append(f"    if (now & {self._mark(number):#x}ull) {step.function}(base, line, c{number});")
            lines.append("}")
            lines += [
                f"if (dm_any(c{number}, sizeof c{number})) {{ {self._effects(step)} }}" for number, step in in_place
            ]
        lines += ["*marks = next;", "return out;"]
        body = "\n".join(f"    {line}" for line in lines)
        return f"uint64_t {program.prefix}_next(uint8_t *base, uint64_t *marks)\n{{\n{body}\n}}\n"

    def _effects(self, step: _Step) -> str:
        wakes = seen = 0
        for source in step.feeds:
            wakes |= self._wakes.get(source, 0)
            seen |= self._watched.get(source, 0)
        parts = []
        if wakes:
            parts.append(f"{'now' if step.at_once else 'next'} |= {wakes:#x}ull;")
        if seen:
            parts.append(f"out |= {seen:#x}ull;")
        return " ".join(parts)
