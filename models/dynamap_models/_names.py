"""Names that nothing else has."""

from __future__ import annotations

from collections.abc import Container

__all__ = ["unique"]


def unique(wanted: str, taken: Container[str]) -> str:
    """``wanted``, or ``wanted`` with the first number that makes it unused.

    >>> unique("conv", {"conv", "conv:2"})
    'conv:3'
    """
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}:{count}"
    return name
