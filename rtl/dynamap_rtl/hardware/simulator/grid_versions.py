"""A loop over the cells of a line in several versions: for lines in which selections go one way in all cells.

What is selected with a bit that all cells have in common need not be looked at from the other side (as compilers
switch loops on conditions that do not change in them); often a version has nothing left but a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .grid_common import Bounds, Common
from .grid_loops import CellLoop
from .netlist import Bit

__all__ = ["Versions"]

_SWITCHED = 2  # selections that there are versions for
_WORTH = 32  # bits that need not be computed

#: Makes the loop if some selections, by the key of their bit, go one way.
Build: TypeAlias = Callable[[Mapping[str, bool]], CellLoop]


@dataclass(frozen=True)
class _Choice:
    """Versions for a bit that is 0 in all cells, 1 in some, 1 in all."""

    bounds: Bounds
    none: _Choice | str
    some: _Choice | str
    every: _Choice | str


class Versions:
    """The versions of a loop.

    Args:
        function: C's name of the general one.
        build: makes each.
        common: what is known of bits; None where nothing is.
        gate: C's 0 or 1 of whether the loop can change anything.
    """

    def __init__(self, function: str, build: Build, common: Common | None, gate: str = "1") -> None:
        self._function = function
        self._build = build
        self._gate = gate
        self._names: dict[str, str] = {}
        bits = () if common is None else self._worthwhile(common)
        self._tree = self._grow({}, bits)

    def _worthwhile(self, common: Common) -> Sequence[tuple[Bit, Bounds]]:
        """The bits that spare the most work if they are the same in all cells."""
        loop = self._build({})
        spared = []
        for bit in loop.selections():
            bounds = common.bounds(bit)
            if bounds.known:
                work = sum(self._build({bit.key: value}).work for value in (False, True))
                spared.append((2 * loop.work - work, bit, bounds))
        spared.sort(key=lambda one: -one[0])
        return [(bit, bounds) for work, bit, bounds in spared[:_SWITCHED] if work >= _WORTH]

    def _grow(self, fixed: Mapping[str, bool], bits: Sequence[tuple[Bit, Bounds]]) -> _Choice | str:
        if not bits:
            text = self._build(fixed).text("@")
            return self._names.setdefault(text, f"{self._function}_{len(self._names)}")
        (bit, bounds), *others = bits
        none, every = (self._grow({**fixed, bit.key: value}, others) for value in (False, True))
        some = self._grow(fixed, others)
        return some if none == some == every else _Choice(bounds, none, some, every)

    @property
    def text(self) -> str:
        """C of all versions."""
        return "".join(text.replace("@", name) for text, name in self._names.items())

    def run(self, line: str) -> str:
        """C that runs the one for a line, if it can change anything, and sets ``c`` if it did."""
        run = _run(self._tree, line)
        return run if self._gate == "1" else f"if ({self._gate}) {{ {run} }}"


def _run(tree: _Choice | str, line: str) -> str:
    if isinstance(tree, str):
        return f"c = {tree}(base, {line});"
    none, some, every = (_run(one, line) for one in (tree.none, tree.some, tree.every))
    return f"if ({tree.bounds.must}) {{ {every} }} else if ({tree.bounds.may}) {{ {some} }} else {{ {none} }}"
