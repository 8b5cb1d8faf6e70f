"""The whole simulation as C: where everything is, and the sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware.flatten import CutGrid, flatten_around_grids
from dynamap_rtl.hardware.module import Grid, Module, Port

from .flat import FlatCode, FlatPlaces
from .grid import GridProgram
from .layout import Field, Layout, limbs_of, narrowest
from .netlist import Memory, Netlist, Wire
from .runtime import HEAD, Places, place_names, run_loop
from .schedule import Placed

__all__ = ["Bank", "Program", "split_cell_name"]


@dataclass(frozen=True)
class Bank:
    """Values side by side, each in as many 64-bit words as it needs.

    Attributes:
        offset: of the first.
        words: of all.
        fields: by name.
    """

    offset: int
    words: int
    fields: Mapping[str, Field]

    @classmethod
    def of(cls, ports: Mapping[str, Port], layout: Layout) -> Bank:
        """Room for the values of ports."""
        words = sum(limbs_of(port.bits) for port in ports.values())
        offset = layout.reserve(8 * max(1, words))
        fields, at = {}, offset
        for name, port in ports.items():
            fields[name] = Field(at, at, 8, limbs_of(port.bits), 1)
            at += 8 * limbs_of(port.bits)
        return cls(offset, words, fields)

    def word(self, name: str) -> int:
        """Index of the first word of a value."""
        return (self.fields[name].offset - self.offset) // 8


class Program:
    """Layout and source of a simulation.

    Args:
        top: what is simulated.
        keep: names of wires whose values are stored every cycle, or ``"all"``.

    Attributes:
        sources: C translation units by name.
        bytes: size of the state.
        inputs: where the inputs of the cycle are, side by side in the order of the ports.
        given: likewise, those of the next cycle.
        outputs: likewise.
        marks: words that say what has to run; ``all_marks``: what they are when everything has to.
        registers: where the registers outside grids are.
        kept: wires outside grids that are stored every cycle.
        memories: memories outside grids; ``roms`` likewise.
        placed: grids.
        boundary: wires that grids drive: which grid, which output.
    """

    def __init__(self, top: Module, keep: Collection[str] | str) -> None:
        self.top = top
        block, cuts = flatten_around_grids(top)
        self.netlist = Netlist(block)
        self._keep = keep
        layout = Layout()
        self.inputs = Bank.of(top.inputs, layout)
        self.given = Bank.of(top.inputs, layout)
        self.outputs = Bank.of(top.outputs, layout)
        self.memories: dict[Memory, Field] = {}
        self.roms: dict[Memory, Field] = {}
        for memory in self.netlist.memories:
            where = self.roms if isinstance(memory, pyrtl.RomBlock) else self.memories
            where[memory] = layout.field(memory.bitwidth, 2**memory.addrwidth)
        self.placed = self._place_grids(cuts, layout)
        self.boundary: dict[Wire, tuple[int, str]] = {
            wire: (number, name)
            for number, placed in enumerate(self.placed)
            for name, wire in placed.cut.outputs.items()
        }
        self._generate(layout)
        self.bytes = layout.bytes

    def _place_grids(self, cuts: Sequence[CutGrid], layout: Layout) -> tuple[Placed, ...]:
        programs: dict[tuple[int, frozenset[str] | None], GridProgram] = {}
        placed = []
        for cut in cuts:
            key = (id(cut.grid), self._kept_in(cut))
            if key not in programs:
                programs[key] = GridProgram(cut.grid, f"dm_g{len(programs)}", key[1])
            placed.append(Placed(cut, programs[key], layout.reserve(programs[key].bytes)))
        self._grid_programs = tuple(programs.values())
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

    def _generate(self, layout: Layout) -> None:
        flat = FlatCode(
            FlatPlaces(
                top=self.top,
                netlist=self.netlist,
                placed=self.placed,
                boundary=self.boundary,
                inputs={name: self.inputs.word(name) for name in self.top.inputs},
                outputs={name: self.outputs.word(name) for name in self.top.outputs},
                memories={**self.memories, **self.roms},
            ),
            self._kept_wires(),
        )
        handed = layout.reserve(8 * max(1, flat.handed_words))
        self.kept: dict[Wire, Field] = {
            wire: Field(handed + 8 * word, handed + 8 * word, 8, limbs_of(len(wire)), 1)
            for wire, word in flat.kept_words.items()
        }
        registers, following = (layout.reserve(max(1, flat.register_bytes)) for _ in range(2))
        self.registers: dict[Wire, Field] = {
            register: Field(
                following + offset, registers + offset, narrowest(len(register)), limbs_of(len(register)), 1
            )
            for register, offset in flat.register_offsets.items()
        }
        marks, written = (layout.reserve(8 * max(1, words)) for words in (flat.marks.words, flat.group_words))
        self.marks = Field(marks, marks, 8, 1, flat.marks.words)
        self.all_marks = flat.marks.all()
        functions = (name for program in self._grid_programs for name in program.cycle.functions[1:])
        ends = (program.cycle.functions[0] for program in self._grid_programs)
        self.sources = {
            "flat": HEAD
            + "\n".join(f"uint64_t {name}(uint8_t *base);" for name in functions)
            + "\n".join(f"uint64_t {name}(uint8_t *base, uint64_t *marks);" for name in ends)
            + place_names(
                Places(
                    registers=registers,
                    next=following,
                    inputs=self.inputs.offset,
                    given=self.given.offset,
                    outputs=self.outputs.offset,
                    handed=handed,
                    marks=marks,
                    written=written,
                )
            )
            + flat.names()
            + run_loop(
                input_words=self.inputs.words,
                output_words=self.outputs.words,
                partitions=flat.partitions(),
                logic=flat.beginning(),
                grids=flat.steps(),
                before=[_kept_before(placed) for placed in self.placed],
            ),
            "grids": HEAD + "\n".join(program.cycle.source for program in self._grid_programs),
        }


def _kept_before(placed: Placed) -> str:
    """C that copies registers of a grid to where their values before are found."""
    block, base = placed.program.block, placed.base
    return f"memcpy(S + {base + block.offset + block.bytes}, S + {base + block.offset}, {block.bytes});"


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
