"""Which registers of a cell are updated together, and in which order.

A grid is updated in place: its registers are overwritten while the cycle is computed. So whoever reads a register, the
cell itself or a neighbour, must be updated before it or together with it. Registers that read one another in a circle
make one *stage*, and stages follow one another against the flow of data: the end of a pipeline first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyrtl

from .layout import Field
from .netlist import Net, Netlist, Wire

__all__ = ["Part", "Source", "Stage", "sources_of", "stages_of"]

#: What the value of a wire comes from: ``("part", number)``, ``("input", name)``, ``("memory", it)``, or
#: ``("stored", wire)`` of a wire that is computed before.
Source: TypeAlias = "tuple[str, object]"

#: Operators that are worth computing once.
_DEAR = frozenset("+-*<>=xm")
#: So many of them in common, and two stages are one.
_COMMON = 3


@dataclass(frozen=True)
class Part:
    """Registers of a cell that share a field.

    Attributes:
        field: where they are.
        registers: one, or several of one bit each, side by side.
        signed: whether elements hold the register's value as a signed number: its sign is copied above it.
    """

    field: Field
    registers: tuple[Wire, ...]
    signed: bool = False


@dataclass(frozen=True)
class Stage:
    """Parts that are updated together.

    Attributes:
        parts: their numbers.
        sources: what their next values come from.
    """

    parts: tuple[int, ...]
    sources: frozenset[Source]


def sources_of(
    netlist: Netlist,
    roots: Iterable[Wire],
    stored: Collection[Wire],
    part_of: Mapping[Wire, int],
    linked: Mapping[str, Wire],
) -> frozenset[Source]:
    """What wires come from within a cycle.

    Args:
        netlist: of the cell.
        roots: the wires.
        stored: wires that are not looked behind.
        part_of: the part of each register.
        linked: registers of neighbours that are inputs, by the name of the input.
    """
    wanted = list(roots)
    nets = netlist.order(wanted, stored)
    found: set[Source] = set()
    for wire in (*wanted, *(wire for net in nets for wire in net.args)):
        if wire in stored:
            found.add(("stored", wire))
        elif isinstance(wire, pyrtl.Register):
            found.add(("part", part_of[wire]))
        elif isinstance(wire, pyrtl.Input):
            found.add(("input", wire.name))
            if wire.name in linked:
                found.add(("part", part_of[linked[wire.name]]))
    found.update(
        ("memory", net.op_param[1]) for net in nets if net.op == "m" and not isinstance(net.op_param[1], pyrtl.RomBlock)
    )
    return frozenset(found)


def stages_of(
    netlist: Netlist, parts: Sequence[Part], reads: Collection[Wire], linked: Mapping[str, Wire]
) -> tuple[Stage, ...]:
    """The stages of a cell in the order in which they are to be updated.

    Args:
        netlist: of the cell.
        parts: all its registers.
        reads: what memories deliver, which is stored before.
        linked: registers of neighbours that are inputs, by the name of the input.
    """
    part_of = {register: number for number, part in enumerate(parts) for register in part.registers}
    numbers = range(len(parts))
    roots = [[netlist.driver[register].args[0] for register in part.registers] for part in parts]
    sources = [sources_of(netlist, roots[number], reads, part_of, linked) for number in numbers]
    needs = [{int(str(other)) for kind, other in sources[number] if kind == "part"} for number in numbers]
    reach = [_reached(number, needs) for number in numbers]
    circle = [frozenset([number, *(other for other in reach[number] if number in reach[other])]) for number in numbers]
    levels: dict[frozenset[int], int] = {}

    def level(of: frozenset[int]) -> int:
        if of not in levels:
            behind = {circle[other] for number in of for other in needs[number]} - {of}
            levels[of] = 1 + max((level(one) for one in behind), default=-1)
        return levels[of]

    dear = [{net for net in netlist.order(roots[number], reads) if net.op in _DEAR} for number in numbers]
    merged: list[_Merged] = []
    for of in dict.fromkeys(circle):
        own = {net for number in of for net in dear[number]}
        like = next((one for one in merged if one.level == level(of) and len(one.dear & own) >= _COMMON), None)
        if like is None:
            merged.append(_Merged(level(of), set(of), own))
        else:
            like.parts |= of
            like.dear |= own
    merged.sort(key=lambda one: (-one.level, min(one.parts)))
    none: frozenset[Source] = frozenset()
    return tuple(
        Stage(tuple(sorted(one.parts)), none.union(*(sources[number] for number in one.parts))) for one in merged
    )


@dataclass
class _Merged:
    """Parts that will be a stage."""

    level: int
    parts: set[int]
    dear: set[Net]


def _reached(start: int, needs: Sequence[set[int]]) -> set[int]:
    """What a part needs, directly or not."""
    found: set[int] = set()
    waiting = [start]
    while waiting:
        for other in needs[waiting.pop()]:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
