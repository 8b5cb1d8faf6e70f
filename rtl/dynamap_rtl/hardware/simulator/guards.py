"""Registers that hold, and the logic that is wanted only when they do not.

A register whose next value is itself unless some condition holds need not be given it: its place for the next value
holds the present one already. So registers of a partition that hold under the same condition are computed together
under a test of it, with the logic that nothing else uses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyrtl

from .changes import Change, Condition, change_of
from .layout import limbs_of
from .netlist import Netlist, Wire
from .schedule import Item, Next

__all__ = ["Guarded", "guarded"]

_REGISTER = 3  # what a word of a register is worth, in operations
_WORTH = 8  # operations that are worth a test


@dataclass(frozen=True)
class Guarded:
    """Items that matter only if their registers may change."""

    change: Change
    items: tuple[Item, ...]


def guarded(
    netlist: Netlist, items: Sequence[Item], users: Mapping[Item, Collection[Item]], kept: Collection[Wire]
) -> list[Guarded]:
    """What of a partition is better computed under a test.

    Args:
        netlist: of the items.
        items: of the partition, in an order that works.
        users: of every item, those that need it.
        kept: wires that are wanted in any case.
    """
    changes: dict[str, Change] = {}
    owner: dict[Item, str] = {}
    for item in items:
        if isinstance(item, Next) and isinstance(change := change_of(netlist, item.register), Change):
            changes.setdefault(_key(change), change)
            owner[item] = _key(change)
    wanted = {*kept, *(wire for change in changes.values() for wire in _wires(change))}
    for item in reversed(items):
        if isinstance(item, pyrtl.LogicNet) and item.dests[0] not in wanted:
            owners = {owner.get(user) for user in users.get(item, ())}
            if len(owners) == 1 and (only := owners.pop()) is not None:
                owner[item] = only
    groups: dict[str, list[Item]] = {}
    for item in items:
        if item in owner:
            groups.setdefault(owner[item], []).append(item)
    return [Guarded(changes[key], tuple(own)) for key, own in groups.items() if _worth(own) >= _WORTH]


def _key(change: Condition) -> str:
    """The same for the same condition."""
    if isinstance(change, bool):
        return str(change)
    return f"({change.bit.key} {_key(change.one)} {_key(change.zero)})"


def _wires(change: Condition) -> Iterator[Wire]:
    """Those that it is a condition on."""
    if isinstance(change, Change):
        yield change.bit.wire
        yield from _wires(change.one)
        yield from _wires(change.zero)


def _worth(items: Iterable[Item]) -> int:
    worth = 0
    for item in items:
        if isinstance(item, Next):
            worth += _REGISTER * limbs_of(len(item.register))
        elif isinstance(item, pyrtl.LogicNet) and item.op not in "ws":
            worth += limbs_of(len(item.dests[0]))
    return worth
