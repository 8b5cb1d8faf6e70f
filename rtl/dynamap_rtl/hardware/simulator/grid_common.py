"""What the cells of a line have in common, as C, from bits that are cheap to look through for a whole line.

Controls travel through an array as waves: mostly all cells of a line are told the same, or that nothing is to be done.
One-bit registers share words, so that one look through these words of a line tells of each whether it is 1 in any cell
and whether it is 1 in all; inputs that all cells share are the same anyhow. What follows for logic of such bits is a
pair of bounds: whether it may be 1 in some cell, and whether it must be 1 in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import pyrtl

from .changes import Condition
from .netlist import Bit, Wire

if TYPE_CHECKING:
    from .grid import GridProgram

__all__ = ["Bounds", "Common", "any_of"]

_DEPTH = 6


class Bounds(NamedTuple):
    """C's 0 or 1 of whether a bit may be 1 in some cell, and whether it must be in all."""

    may: str
    must: str

    @property
    def known(self) -> bool:
        """Whether they say anything."""
        return self != _UNKNOWN


_UNKNOWN = Bounds("1", "0")


class Common:
    """Bounds of bits in the cells of a line.

    Args:
        program: the grid.
    """

    def __init__(self, program: GridProgram) -> None:
        self._program = program
        self._used: dict[int, None] = {}

    def bounds(self, bit: Bit, depth: int = _DEPTH) -> Bounds:
        """Of a bit."""
        if bit.inverted:
            return _not(self.bounds(Bit(bit.wire, bit.place), depth))
        wire, place = bit.wire, bit.place
        program = self._program
        if isinstance(wire, pyrtl.Const):
            value = str(int(wire.val) >> place & 1)
            return Bounds(value, value)
        if isinstance(wire, pyrtl.Register):
            return self._register(wire)
        if isinstance(wire, pyrtl.Input):
            if wire.name in program.grid.shared:
                field = program.inputs[wire.name].field
                word = f"((const {field.ctype} *)(base + {field.offset}))[{place // 64}]"
                value = f"({word} >> {place % 64} & 1)"
                return Bounds(value, value)
            link = program.links.get(wire.name)
            return self._register(link.register) if link and link.back == 1 and link.edge is None else _UNKNOWN
        net = program.netlist.logic(wire)
        if net is None or depth == 0 or len(wire) > 1 or net.op not in "&|x=":
            return _UNKNOWN
        if net.op == "=":
            return self._equal(net.args[0], net.args[1], depth)
        args = [self.bounds(program.netlist.bit(arg), depth - 1) for arg in net.args]
        if net.op == "x":
            select, zero, one = args
            return _or(_and(select, one), _and(_not(select), zero))
        return _and(*args) if net.op == "&" else _or(*args)

    def _register(self, register: Wire) -> Bounds:
        spot = self._program.registers[register]
        if spot.bit is None:
            return _UNKNOWN
        number = self._program.parts.index(self._program.part_of(register))
        self._used[number] = None
        return Bounds(f"(any{number} >> {spot.bit} & 1)", f"(all{number} >> {spot.bit} & 1)")

    def _equal(self, left: Wire, right: Wire, depth: int) -> Bounds:
        """Of a comparison with a constant, of one bit."""
        if isinstance(left, pyrtl.Const):
            left, right = right, left
        if len(left) > 1 or not isinstance(right, pyrtl.Const):
            return _UNKNOWN
        own = self.bounds(self._program.netlist.bit(left), depth - 1)
        return own if int(right.val) else _not(own)

    def may(self, change: Condition) -> str:
        """C's 0 or 1 of whether a register may change in any cell."""
        if isinstance(change, bool):
            return str(int(change))
        bit = self.bounds(change.bit)
        one, zero = self.may(change.one), self.may(change.zero)
        return _any(_both(bit.may, one), _both(_inverse(bit.must), zero))

    def text(self, line: str) -> Iterator[str]:
        """C that looks through a line."""
        program = self._program
        along = program.grid.south if program.upright else program.grid.east
        first = int(bool(along))  # the place before the line counts where cells look at it
        for number in self._used:
            field = program.parts[number].field
            start = f"(const {field.ctype} *)(base + {field.offset})"
            start += f" + {program.origin - first} + {line} * {program.stride}"
            yield f"{field.ctype} any{number} = 0, all{number} = -1;"
            yield (
                f"for (size_t j = 0; j < {program.width + first}; j++) "
                f"{{ any{number} |= ({start})[j]; all{number} &= ({start})[j]; }}"
            )


def any_of(texts: Iterable[str]) -> str:
    """C's 0 or 1 of whether any of some is 1."""
    return reduce(_any, dict.fromkeys(texts), "0")


def _not(one: Bounds) -> Bounds:
    return Bounds(_inverse(one.must), _inverse(one.may))


def _and(one: Bounds, other: Bounds) -> Bounds:
    return Bounds(_both(one.may, other.may), _both(one.must, other.must))


def _or(one: Bounds, other: Bounds) -> Bounds:
    return Bounds(_any(one.may, other.may), _any(one.must, other.must))


def _inverse(text: str) -> str:
    return {"0": "1", "1": "0"}.get(text, f"!{text}")


def _both(one: str, other: str) -> str:
    if "0" in {one, other}:
        return "0"
    if one == "1":
        return other
    return one if other == "1" else f"({one} & {other})"


def _any(one: str, other: str) -> str:
    if "1" in {one, other}:
        return "1"
    if one == "0":
        return other
    return one if other == "0" else f"({one} | {other})"
