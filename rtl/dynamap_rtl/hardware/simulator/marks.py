"""Marks: which partitions and loops have to run, because something changed that they look at.

Marks are bits in 64-bit words ``D[...]`` of the state: first one for every partition outside grids, then a word for
every grid. Whoever changes something sets the marks of all who look at it.
"""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["Marks", "Targets", "setting"]

#: Bits to set, by word; hashable.
Targets: TypeAlias = "tuple[tuple[int, int], ...]"

_BITS = 64


class Marks:
    """Who looks at what.

    Args:
        partitions: how many there are.
        grids: likewise.

    Attributes:
        words: of the whole.
    """

    def __init__(self, partitions: int, grids: int) -> None:
        self._first_grid = -(-partitions // _BITS)
        self.words = self._first_grid + grids
        self._readers: dict[object, dict[int, int]] = {}

    def of_partition(self, number: int) -> tuple[int, int]:
        """Word and bit of a partition."""
        return number // _BITS, 1 << number % _BITS

    def grid_word(self, number: int) -> int:
        """The word of a grid."""
        return self._first_grid + number

    def reads(self, source: object, word: int, bits: int) -> None:
        """Note who looks at something."""
        if bits:
            readers = self._readers.setdefault(source, {})
            readers[word] = readers.get(word, 0) | bits

    def targets(self, *sources: object) -> Targets:
        """What to set when any of some things changed."""
        found: dict[int, int] = {}
        for source in sources:
            for word, bits in self._readers.get(source, {}).items():
                found[word] = found.get(word, 0) | bits
        return tuple(sorted(found.items()))


def setting(targets: Targets) -> str:
    """C that sets marks."""
    return " ".join(f"D[{word}] |= {bits:#x}ull;" for word, bits in targets)
