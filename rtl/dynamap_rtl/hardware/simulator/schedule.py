"""In which order a cycle computes what is outside grids, lays out their inputs and asks for their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dynamap_rtl.hardware.flatten import CutGrid

from .grid import GridProgram, OutputGroup
from .netlist import Net, Netlist, Wire, topological

__all__ = ["Call", "Item", "Placed", "Scatter", "schedule"]


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
    group: OutputGroup


Item: TypeAlias = "Net | Scatter | Call"


def schedule(
    netlist: Netlist,
    placed: Sequence[Placed],
    boundary: Mapping[Wire, tuple[int, str]],
    wanted: Sequence[Wire],
) -> list[Item]:
    """An order that works.

    Outputs of grids that are registers are there from the start; others are computed by a ``Call`` once the inputs
    they depend on are laid out.

    Args:
        netlist: what is outside grids.
        placed: the grids.
        boundary: wires that grids drive: which grid, which output.
        wanted: wires to compute; all inputs and outputs of grids are computed besides.

    Raises:
        HardwareError: when logic goes round in a circle through a grid.
    """

    def behind(wire: Wire) -> Iterator[Item]:
        if wire in boundary:
            number, name = boundary[wire]
            for group in placed[number].program.groups:
                if name in group.outputs:
                    yield Call(number, group)
        elif (net := netlist.logic(wire)) is not None:
            yield net

    def needs(item: Item) -> Iterator[Item]:
        if isinstance(item, Scatter):
            for name in item.names:
                yield from behind(placed[item.placed].cut.inputs[name])
        elif isinstance(item, Call):
            for names in placed[item.placed].program.scatters:
                if item.group.needs.intersection(names):
                    yield Scatter(item.placed, names)
        else:
            for wire in item.args:
                yield from behind(wire)

    def name_of(item: Item) -> str:
        if isinstance(item, Scatter):
            return f"input {item.names[0]!r} of grid {placed[item.placed].cut.path!r}"
        if isinstance(item, Call):
            return f"output {item.group.outputs[0]!r} of grid {placed[item.placed].cut.path!r}"
        return f"wire {item.dests[0].name!r}"

    roots = [item for wire in wanted for item in behind(wire)]
    for number, one in enumerate(placed):
        roots += [Scatter(number, names) for names in one.program.scatters]
        # What nothing outside uses is there to be looked at all the same.
        roots += [Call(number, group) for group in one.program.groups]
    return topological(roots, needs, name_of)
