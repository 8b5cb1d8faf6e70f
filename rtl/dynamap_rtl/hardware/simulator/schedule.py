"""In which order a cycle computes what is outside grids, lays out their inputs and asks for their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dynamap_rtl.hardware.flatten import CutGrid

from .grid import GridProgram, OutputGroup
from .netlist import Memory, Net, Netlist, Wire, topological

__all__ = ["Call", "Item", "Next", "Output", "Placed", "Scatter", "Schedule", "Write", "schedule"]


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
class Scatter:
    """Lay inputs of a grid out for its cells, together."""

    placed: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """Compute a group of outputs of a grid."""

    placed: int
    group: int


@dataclass(frozen=True, eq=False)
class Next:
    """Give a register its next value."""

    register: Wire


@dataclass(frozen=True)
class Output:
    """Deliver an output of the whole."""

    name: str


@dataclass(frozen=True, eq=False)
class Write:
    """Do what a memory's write ports say, after all else."""

    memory: Memory


Item: TypeAlias = "Net | Scatter | Call | Next | Output | Write"


@dataclass(frozen=True)
class Schedule:
    """Items in an order that works, and what each needs."""

    items: Sequence[Item]
    needs: Callable[[Item], Iterable[Item]]


def schedule(
    netlist: Netlist,
    placed: Sequence[Placed],
    boundary: Mapping[Wire, tuple[int, str]],
    *,
    outputs: Iterable[str],
    wanted: Sequence[Wire],
) -> Schedule:
    """An order that works.

    Outputs of grids that are registers are there from the start; others are computed by a ``Call`` once the inputs
    they depend on are laid out.

    Args:
        netlist: what is outside grids.
        placed: the grids.
        boundary: wires that grids drive: which grid, which output.
        outputs: names of outputs of the whole.
        wanted: wires to compute besides what registers, memories, outputs and grids need.

    Raises:
        HardwareError: when logic goes round in a circle through a grid.
    """

    def behind(wire: Wire) -> Iterator[Item]:
        if wire in boundary:
            number, name = boundary[wire]
            for index, group in enumerate(placed[number].program.groups):
                if name in group.outputs:
                    yield Call(number, index)
        elif (net := netlist.logic(wire)) is not None:
            yield net

    def group_of(item: Call) -> OutputGroup:
        return placed[item.placed].program.groups[item.group]

    def needs(item: Item) -> Iterator[Item]:
        if isinstance(item, Scatter):
            for name in item.names:
                yield from behind(placed[item.placed].cut.inputs[name])
        elif isinstance(item, Call):
            for names in placed[item.placed].program.scatters:
                if group_of(item).needs.intersection(names):
                    yield Scatter(item.placed, names)
        elif isinstance(item, Next):
            yield from behind(netlist.driver[item.register].args[0])
        elif isinstance(item, Output):
            yield from behind(netlist.by_name[item.name])
        elif isinstance(item, Write):
            for net in netlist.writes:
                if net.op_param[1] is item.memory:
                    for wire in net.args:
                        yield from behind(wire)
        else:
            for wire in item.args:
                yield from behind(wire)

    def name_of(item: Item) -> str:
        if isinstance(item, Scatter):
            return f"input {item.names[0]!r} of grid {placed[item.placed].cut.path!r}"
        if isinstance(item, Call):
            return f"output {group_of(item).outputs[0]!r} of grid {placed[item.placed].cut.path!r}"
        assert not isinstance(item, (Next, Output, Write))  # nothing needs these
        return f"wire {item.dests[0].name!r}"

    roots: list[Item] = [Next(register) for register in netlist.registers]
    roots += [Output(name) for name in outputs]
    roots += [item for wire in wanted for item in behind(wire)]
    written = {net.op_param[1] for net in netlist.writes}
    roots += [Write(memory) for memory in netlist.memories if memory in written]
    for number, one in enumerate(placed):
        roots += [Scatter(number, names) for names in one.program.scatters]
        # What nothing outside uses is there to be looked at all the same.
        roots += [Call(number, index) for index in range(len(one.program.groups))]
    return Schedule(topological(roots, needs, name_of), needs)
