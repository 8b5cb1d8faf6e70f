"""When a register may change: the condition under which its next value is not plainly itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .netlist import Bit, Netlist, Wire

__all__ = ["Change", "Condition", "change_of"]

#: Of a change: a bit decides, or always, or never.
Condition: TypeAlias = "Change | bool"

_DEPTH = 6  # selections within selections that are looked through


@dataclass(frozen=True, eq=False)
class Change:
    """A condition: what holds if a bit is 1, and what if it is 0."""

    bit: Bit
    one: Condition
    zero: Condition


def change_of(netlist: Netlist, register: Wire) -> Condition:
    """When a register may have another value in the next cycle."""
    return _change(netlist, register, netlist.driver[register].args[0], _DEPTH)


def _change(netlist: Netlist, register: Wire, wire: Wire, depth: int) -> Condition:
    while (net := netlist.logic(wire)) is not None and net.op == "w" and len(net.args[0]) == len(wire):
        wire = net.args[0]
    if wire is register:
        return False
    if net is None or net.op != "x" or depth == 0:
        return True
    one = _change(netlist, register, net.args[2], depth - 1)
    zero = _change(netlist, register, net.args[1], depth - 1)
    if isinstance(one, bool) and one is zero:
        return one
    bit = netlist.bit(net.args[0])
    return Change(bit, zero, one) if bit.inverted else Change(bit, one, zero)
