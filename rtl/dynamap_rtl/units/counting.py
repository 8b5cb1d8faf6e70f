"""Registers that hold and count, and widths, for the walks inside leaves."""

from __future__ import annotations

import pyrtl

__all__ = ["countdown", "held", "unsigned"]


def held(take: pyrtl.WireVector, value: pyrtl.WireVector, name: str) -> pyrtl.Register:
    """``value`` as it was in the last cycle with ``take``; a register named ``name`` and ``_held``."""
    register = pyrtl.Register(len(value), name + "_held")
    register.next <<= pyrtl.select(take, value, register)
    return register


def countdown(
    start: pyrtl.WireVector, moved: pyrtl.WireVector, count: pyrtl.WireVector, first: pyrtl.WireVector, name: str
) -> pyrtl.Register:
    """Whether a loop is at its last iteration; a register, so that no comparison stands before what hangs on it.

    Args:
        start: loads the counts and begins the first iteration.
        moved: ends an iteration; after the last one the loop begins anew.
        count: iterations, at least 1.
        first: the same for the first time round.
        name: prefix of the registers.
    """
    width = len(count)
    whole, single = held(start, count, name + "_count"), held(start, count == 1, name + "_single")
    rest, last = pyrtl.Register(width, name + "_rest"), pyrtl.Register(1, name + "_last")
    lower = (rest - 1)[:width]
    rest.next <<= pyrtl.select(start, first, pyrtl.select(moved, pyrtl.select(last, whole, lower), rest))
    last.next <<= pyrtl.select(start, first == 1, pyrtl.select(moved, pyrtl.select(last, single, rest == 2), last))
    return last


def unsigned(value: pyrtl.WireVector, width: int) -> pyrtl.WireVector:
    """The unsigned value in ``width`` bits: zero-extended, or cut to its low bits."""
    return value.zero_extended(width) if width > len(value) else value[:width]
