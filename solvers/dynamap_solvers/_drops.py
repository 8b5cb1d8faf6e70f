"""Choices struck out, by the ten thousand: kept as one array and read as tuples by those who want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Drop", "Drops"]

Drop = tuple[int, int, int]
"""``(variable, choice, by)``: a choice struck out because it is forbidden (``by`` is -1) or dominated.

Dominated means that choice ``by`` of the same variable, still there, is never dearer, whatever the neighbours choose.
"""


class Drops(Sequence[Drop]):
    """A sequence of drops in order; equal to any other sequence of the same ones.

    Args:
        array: int64 ``(count, 3)``, not copied: do not change it.
    """

    __slots__ = ("array",)

    def __init__(self, array: NDArray[np.int64]) -> None:
        self.array = array

    @classmethod
    def of(cls, drops: Sequence[Drop]) -> Drops:
        """From any sequence of them."""
        return drops if isinstance(drops, Drops) else cls(np.array(drops, np.int64).reshape(-1, 3))

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Drop]:
        return ((i, x, by) for i, x, by in self.array.tolist())

    @overload
    def __getitem__(self, at: int) -> Drop: ...
    @overload
    def __getitem__(self, at: slice) -> Drops: ...
    def __getitem__(self, at: int | slice) -> Drop | Drops:
        if isinstance(at, slice):
            return Drops(self.array[at])
        i, x, by = self.array[at].tolist()
        return i, x, by

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(own == tuple(others) for own, others in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Sequence[Drop]) -> Drops:
        return Drops(np.concatenate([self.array, Drops.of(other).array]))

    def __repr__(self) -> str:
        return f"Drops({list(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Drops, (self.array,)
