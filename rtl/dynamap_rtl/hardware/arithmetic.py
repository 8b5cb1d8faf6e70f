"""Signed arithmetic on PyRTL's unsigned wires, and delays."""

from __future__ import annotations

import pyrtl

__all__ = ["add", "delayed", "multiply", "negate", "resize"]


def resize(value: pyrtl.WireVector, width: int) -> pyrtl.WireVector:
    """The signed value in ``width`` bits: sign-extended, or cut to its low bits."""
    return value.sign_extended(width) if width > len(value) else value[:width]


def add(left: pyrtl.WireVector, right: pyrtl.WireVector, width: int) -> pyrtl.WireVector:
    """The sum of two signed values modulo 2**width."""
    return (resize(left, width) + resize(right, width))[:width]


def negate(value: pyrtl.WireVector, width: int) -> pyrtl.WireVector:
    """Minus the signed value, modulo 2**width."""
    return (pyrtl.Const(0, bitwidth=width) - resize(value, width))[:width]


def multiply(left: pyrtl.WireVector, right: pyrtl.WireVector) -> pyrtl.WireVector:
    """The exact product of two signed values, len(left) + len(right) bits.

    Both are sign-extended to the width of the product, whose low bits are then right whatever the signs. Written so,
    the pattern is what ``verilog`` turns back into one signed multiplication, which synthesis maps to a DSP slice.

    >>> with pyrtl.temp_working_block():
    ...     a, b = pyrtl.Input(4, "a"), pyrtl.Input(3, "b")
    ...     product = pyrtl.Output(7, "product")
    ...     product <<= multiply(a, b)
    ...     simulation = pyrtl.Simulation()
    ...     simulation.step({"a": 0b1000, "b": 0b011})  # -8 * 3
    ...     simulation.inspect("product") - 2**7
    -24
    """
    width = len(left) + len(right)
    return (resize(left, width) * resize(right, width))[:width]


def delayed(wire: pyrtl.WireVector, cycles: int, name: str) -> pyrtl.WireVector:
    """The wire ``cycles`` cycles later, through registers of which the last one is called ``name``."""
    for left in reversed(range(cycles)):
        register = pyrtl.Register(len(wire), f"{name}_{left}" if left else name)
        register.next <<= wire
        wire = register
    return wire
