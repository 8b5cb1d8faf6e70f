"""Values a cycle later."""

from __future__ import annotations

import pyrtl

__all__ = ["delay", "register"]


def register(value: pyrtl.WireVector, name: str) -> pyrtl.Register:
    """The value a cycle later; zero at the start."""
    later = pyrtl.Register(len(value), name)
    later.next <<= value
    return later


def delay(value: pyrtl.WireVector, cycles: int, name: str) -> pyrtl.WireVector:
    """The value so many cycles later, by registers ``name_0``, ``name_1`` and so on."""
    for cycle in range(cycles):
        value = register(value, f"{name}_{cycle}")
    return value
