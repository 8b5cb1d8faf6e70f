"""A PyRTL block put in order: what drives a wire, what a wire needs, how many of its bits anything looks at."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import pyrtl

from dynamap_rtl.hardware.module import HardwareError

__all__ = ["Bit", "Memory", "Net", "Netlist", "Wire", "live_widths", "natural", "topological"]

Wire: TypeAlias = Any  # pyrtl.WireVector; PyRTL ships no types
Net: TypeAlias = Any  # pyrtl.LogicNet
Memory: TypeAlias = Any  # pyrtl.MemBlock or pyrtl.RomBlock

Item = TypeVar("Item")

_DIGITS = re.compile(r"(\d+)")


def natural(name: str) -> tuple[str | int, ...]:
    """A key that sorts ``tmp9`` before ``tmp10``.

    PyRTL numbers unnamed wires over the whole process: their names differ from run to run, this order does not, and
    the generated source (which is the key of the build cache) follows it.
    """
    parts = _DIGITS.split(name)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts))


class Bit(NamedTuple):
    """A bit of a wire, or what is not it."""

    wire: Wire
    place: int
    inverted: bool = False

    @property
    def key(self) -> str:
        """A name for the bit, inverted or not."""
        return f"{self.wire.name}[{self.place}]"


class Netlist:
    """A block, its nets found by what they drive and its parts in an order that repeats.

    Attributes:
        driver: the net that drives a wire, the one that gives a register its next value included.
        registers: by name.
        memories: by name, ROMs included.
        writes: write ports, by what they write.
        by_name: every wire.
    """

    def __init__(self, block: Any) -> None:
        self.driver: dict[Wire, Net] = {net.dests[0]: net for net in block.logic if net.dests}
        self.registers: tuple[Wire, ...] = _sorted(block.wirevector_subset(pyrtl.Register))
        memories = {net.op_param[1] for net in block.logic if net.op in "m@"}
        self.memories: tuple[Memory, ...] = _sorted(memories)
        #: Of a register among registers, of a memory among memories. (Wires cannot be looked up in tuples: their ==
        #: makes a circuit.)
        self.number: Mapping[Any, int] = {
            thing: index for things in (self.registers, self.memories) for index, thing in enumerate(things)
        }
        self.writes: tuple[Net, ...] = tuple(
            sorted(
                (net for net in block.logic if net.op == "@"),
                key=lambda net: (natural(net.op_param[1].name), *(natural(wire.name) for wire in net.args)),
            )
        )
        #: Wires that a memory drives whose contents may change.
        self.reads: tuple[Wire, ...] = _sorted(
            net.dests[0] for net in block.logic if net.op == "m" and not isinstance(net.op_param[1], pyrtl.RomBlock)
        )
        self.by_name: Mapping[str, Wire] = {wire.name: wire for wire in _sorted(block.wirevector_set)}

    def logic(self, wire: Wire) -> Net | None:
        """The net of combinational logic that drives a wire; None for inputs, constants and registers."""
        if isinstance(wire, pyrtl.Register):
            return None
        return self.driver.get(wire)

    def order(
        self,
        roots: Iterable[Wire],
        known: Collection[Wire] = (),
        args: Callable[[Net], Sequence[Wire]] = lambda net: net.args,
    ) -> list[Net]:
        """The combinational nets that ``roots`` need, each after those it needs itself; ``known`` wires need none.

        Args:
            roots: the wires.
            known: wires that are not looked behind.
            args: what a net looks at.
        """

        def behind(wires: Iterable[Wire]) -> Iterator[Net]:
            for wire in wires:
                if wire not in known and (net := self.logic(wire)) is not None:
                    yield net

        return topological(behind(roots), lambda net: behind(args(net)), lambda net: str(net.dests[0].name))

    def register_behind(self, wire: Wire) -> Wire | None:
        """The register that plainly is this wire, through wires of its width, if there is one."""
        width = len(wire)
        while True:
            if isinstance(wire, pyrtl.Register):
                return wire if len(wire) == width else None
            net = self.driver.get(wire)
            if net is None or net.op != "w":
                return None
            wire = net.args[0]

    def origin(self, wire: Wire, bit: int) -> tuple[Wire, int]:
        """The bit that a bit is, through connections and selections."""
        while (net := self.logic(wire)) is not None and net.op in "ws":
            bit = net.op_param[bit] if net.op == "s" else bit
            wire = net.args[0]
        return wire, bit

    def bit(self, wire: Wire) -> Bit:
        """What a wire of one bit comes from, through inverters as well."""
        inverted = False
        source, place = self.origin(wire, 0)
        while (net := self.logic(source)) is not None and net.op == "~":
            source, place = self.origin(net.args[0], place)
            inverted = not inverted
        return Bit(source, place, inverted)

    def extends(self, net: Net) -> bool:
        """Whether all that a concatenation puts in front of its last part is the highest bit of that."""
        sign, place = self.origin(net.args[-1], len(net.args[-1]) - 1)
        for wire in net.args[:-1]:
            for bit in range(len(wire)):
                source, at = self.origin(wire, bit)
                if source is not sign or at != place:
                    return False
        return True

    def extended(self) -> Iterator[Wire]:
        """Wires whose sign something extends: the ones that plainly are them, registers and inputs among them."""
        for net in self.driver.values():
            if net.op == "c" and self.extends(net):
                wire = net.args[-1]
                yield wire
                while (before := self.logic(wire)) is not None and before.op == "w":
                    wire = before.args[0]
                    yield wire

    def inputs_behind(self, wire: Wire) -> frozenset[str]:
        """Names of the inputs that a wire depends on within the cycle."""
        found = {source.name for net in self.order([wire]) for source in net.args if isinstance(source, pyrtl.Input)}
        return frozenset(found | ({wire.name} if isinstance(wire, pyrtl.Input) else set()))


def _sorted(things: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(things, key=lambda thing: natural(thing.name)))


def topological(
    roots: Iterable[Item], needs: Callable[[Item], Iterable[Item]], name: Callable[[Item], str]
) -> list[Item]:
    """``roots`` and what they need, directly or not, each after what it needs; depth first, so that uses stay near.

    Raises:
        HardwareError: when something needs itself.
    """
    done: set[Item] = set()
    open_: set[Item] = set()
    result: list[Item] = []
    for root in roots:
        if root in done:
            continue
        stack = [(root, iter(needs(root)))]
        open_.add(root)
        while stack:
            item, rest = stack[-1]
            for before in rest:
                if before in open_:
                    raise HardwareError(f"{name(before)} depends on itself within a cycle: break it by a register")
                if before not in done:
                    open_.add(before)
                    stack.append((before, iter(needs(before))))
                    break
            else:
                stack.pop()
                open_.discard(item)
                done.add(item)
                result.append(item)
    return result


def live_widths(nets: Iterable[Net], roots: Mapping[Wire, int]) -> dict[Wire, int]:
    """How many of its low bits each wire must have right.

    A product whose low half alone is used need not be computed in full, which decides whether a cell fits 32-bit
    lanes.

    Args:
        nets: combinational nets, each after those it needs.
        roots: bits that are wanted whatever the nets do.
    """
    live = dict(roots)

    def want(wire: Wire, bits: int) -> None:
        live[wire] = max(live.get(wire, 0), min(bits, len(wire)))

    for net in reversed(list(nets)):
        bits = live.get(net.dests[0], 0)
        if bits == 0:
            for wire in net.args:
                want(wire, 0)
        elif net.op in "w~&|^n+-*":
            for wire in net.args:
                want(wire, bits)
        elif net.op == "x":
            want(net.args[0], 1)
            want(net.args[1], bits)
            want(net.args[2], bits)
        elif net.op == "c":
            low = 0
            for wire in reversed(net.args):
                want(wire, max(0, bits - low))
                low += len(wire)
        elif net.op == "s":
            want(net.args[0], max(net.op_param[:bits]) + 1)
        else:  # comparisons and memory reads look at all bits
            for wire in net.args:
                want(wire, len(wire))
    return live
