"""Addresses of buffers by their lifetimes: bytes are used again once the last reader of a buffer is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ALIGNMENT", "Allocation", "Lifetime", "allocate"]

#: Buffers begin at multiples of it, so that the first beat of a burst from a buffer's start is a whole one.
ALIGNMENT = 64


@dataclass(frozen=True, order=True)
class Lifetime:
    """A buffer and the steps in which it holds something.

    Attributes:
        size: bytes.
        first: the first step that writes it; -1 for what is there before the first step.
        last: the last step that reads or writes it.
    """

    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether there is a step in which both are in use."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Allocation:
    """Where buffers lie.

    Attributes:
        addresses: first byte of every buffer.
        size: bytes from 0 on that hold them all.
    """

    addresses: Mapping[str, int]
    size: int


def allocate(lifetimes: Mapping[str, Lifetime]) -> Allocation:
    """Place the largest buffers first, each at the lowest address where nothing alive at the same time lies.

    Args:
        lifetimes: by buffer.

    Returns:
        The same for the same lifetimes, whatever their order. Time O(n²) for n buffers.

    >>> allocate({"a": Lifetime(100, -1, 0), "b": Lifetime(70, 0, 1), "c": Lifetime(90, 1, 2)})
    Allocation(addresses={'a': 0, 'c': 0, 'b': 128}, size=198)
    """
    placed: list[tuple[int, Lifetime]] = []
    addresses: dict[str, int] = {}
    for name, lifetime in sorted(lifetimes.items(), key=lambda item: (-item[1].size, item[1].first, item[0])):
        address = 0
        for start, other in sorted((start, other) for start, other in placed if other.meets(lifetime)):
            if address + lifetime.size <= start:
                break
            address = max(address, _aligned(start + other.size))
        addresses[name] = address
        placed.append((address, lifetime))
    return Allocation(addresses, max((start + other.size for start, other in placed), default=0))


def _aligned(address: int) -> int:
    return -(-address // ALIGNMENT) * ALIGNMENT
