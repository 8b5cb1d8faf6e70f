"""What is outside grids cut into partitions, each of which is computed as a whole or not at all.

A partition is computed only in cycles in which something changed that it looks at (conditional execution of partitions,
as in S. Beamer and D. Donofrio, "Efficiently Exploiting Low Activity Factors to Accelerate RTL Simulation", DAC 2020).
Units of a design tend to be busy or idle as a whole, so partitions follow the hierarchy: small modules together, large
ones alone. Where logic goes from one unit to another and back within a cycle, the first computes early what others
want, and the rest in a second partition, when it knows their answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .schedule import Item, Schedule

__all__ = ["Partition", "partitions", "units"]

_LARGE = 150  # items of several modules that are one unit
_SMALL = 60  # items of a module that is put together with its neighbours


@dataclass(frozen=True)
class Partition:
    """Items that are computed together, in their order."""

    unit: str
    items: tuple[Item, ...]


def units(paths: Iterable[str], apart: Collection[str]) -> Mapping[str, str]:
    """For every path of a hierarchy the unit it belongs to.

    Args:
        paths: of instances, with dots, one for every item.
        apart: paths that are not put together with others.
    """
    own = Counter(paths)
    total: Counter[str] = Counter()
    children: dict[str, set[str]] = {}
    for path, count in own.items():
        parts = path.split(".") if path else []
        for depth in range(len(parts) + 1):
            total[".".join(parts[:depth])] += count
            if depth:
                children.setdefault(".".join(parts[: depth - 1]), set()).add(".".join(parts[:depth]))
    alone = {above for path in apart for above in _above(path)}
    result: dict[str, str] = {}

    def assign(path: str, unit: str) -> None:
        result[path] = unit
        for child in children.get(path, ()):
            assign(child, unit)

    def divide(path: str) -> None:
        result[path] = path
        waiting: list[str] = []
        size = 0
        for child in sorted(children.get(path, ())):
            if child in alone or total[child] > _LARGE:
                divide(child)
            elif total[child] > _SMALL:
                assign(child, child)
            else:
                if waiting and size + total[child] > _LARGE:
                    waiting, size = [], 0
                waiting.append(child)
                size += total[child]
                assign(child, waiting[0])

    if "" in alone or total[""] > _LARGE:
        divide("")
    else:
        assign("", "")
    return result


def _above(path: str) -> Iterable[str]:
    parts = path.split(".")
    return (".".join(parts[:depth]) for depth in range(len(parts) + 1))


def partitions(
    plan: Schedule, unit_of: Callable[[Item], str], *, last: Callable[[Item], bool], sinks: Callable[[Item], bool]
) -> Sequence[Partition]:
    """Cut a schedule.

    Args:
        plan: the items in order.
        unit_of: the unit of each.
        last: whether an item comes after all others.
        sinks: whether an item is needed by none.

    Returns:
        Partitions in an order that works.
    """
    unit = {item: unit_of(item) for item in plan.items}
    level: dict[Item, int] = {}
    known: dict[str, set[int]] = {}
    users: dict[Item, list[Item]] = {}
    for item in plan.items:
        at = 0
        for other in plan.needs(item):
            at = max(at, level[other] + (unit[other] != unit[item]))
            users.setdefault(other, []).append(item)
        level[item] = at
        known.setdefault(unit[item], set()).add(at)
    # What nobody else wants early waits until its unit is computed for the last time.
    for item in reversed(plan.items):
        latest = max(known[unit[item]])
        if not sinks(item):
            wanted = (level[user] - (unit[user] != unit[item]) for user in users.get(item, ()))
            latest = min(wanted, default=level[item])
        level[item] = max(at for at in known[unit[item]] if at <= latest)
    end = 1 + max(level.values(), default=0)
    found: dict[tuple[int, str], list[Item]] = {}
    for item in plan.items:
        found.setdefault((end if last(item) else level[item], unit[item]), []).append(item)
    order = sorted(found, key=lambda key: key[0])  # else as they come
    return [Partition(key[1], tuple(found[key])) for key in order]
