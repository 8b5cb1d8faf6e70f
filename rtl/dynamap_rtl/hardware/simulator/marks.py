"""Marks: which partitions and loops have to run, because something changed that they look at.

Marks are bits in 64-bit words ``D[...]`` of the state: first one for every partition outside grids, then a word for
every grid. Whoever changes something sets the marks of all who look at it.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

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
        self._partitions = partitions
        self._first_grid = -(-partitions // _BITS)
        self.words = self._first_grid + grids
        self._readers: dict[object, dict[int, int]] = {}

    def of_partition(self, number: int) -> tuple[int, int]:
        """Word and bit of a partition."""
        return number // _BITS, 1 << number % _BITS

    def grid_word(self, number: int) -> int:
        """The word of a grid."""
        return self._first_grid + number

    def all(self) -> NDArray[np.uint64]:
        """The words, everything marked."""
        words = np.full(self.words, 2**_BITS - 1, np.uint64)
        if self._partitions % _BITS:
            words[self._first_grid - 1] = (1 << self._partitions % _BITS) - 1
        return words

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


def setting(condition: str, targets: Targets) -> str:
    """C that sets marks if a condition is not 0, without a jump: whether something changed is hard to foresee."""
    if not targets:
        return f"(void)({condition});"
    marks = " ".join(f"D[{word}] |= {bits:#x}ull & y;" for word, bits in targets)
    return f"{{ const uint64_t y = -(uint64_t)(({condition}) != 0); {marks} }}"
