"""A first-in, first-out queue whose head is visible."""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.hardware import HardwareError, Leaf

__all__ = ["queue"]


def queue(*, width: int, depth: int) -> Leaf:
    """A queue in LUT RAM.

    Ports: ``push`` takes ``data`` when ``ready``; ``head`` is the oldest entry when ``valid``; ``pop`` removes it.
    What is pushed in cycle x is visible in cycle x + 1. ``ready`` and ``valid`` come from registers; pushing into a
    full or popping from an empty queue does nothing.

    Args:
        width: bits of an entry.
        depth: entries, a power of two.

    Raises:
        HardwareError: when the depth is no power of two above 1.
    """
    address = (depth - 1).bit_length()
    if depth < 2 or depth != 1 << address:
        raise HardwareError(f"the depth of a queue must be a power of two from 2, not {depth}")

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        memory = pyrtl.MemBlock(width, address, "entries", asynchronous=True)
        first, last = pyrtl.Register(address, "first"), pyrtl.Register(address, "last")
        filled = pyrtl.Register(address + 1, "filled")
        valid, ready = filled != 0, filled != depth
        pushed, popped = inputs["push"] & ready, inputs["pop"] & valid
        memory[last] <<= pyrtl.MemBlock.EnabledWrite(inputs["data"], enable=pushed)
        last.next <<= (last + pushed)[:address]
        first.next <<= (first + popped)[:address]
        filled.next <<= (filled + pushed - popped)[: address + 1]
        return {"head": memory[first], "valid": valid, "ready": ready}

    return Leaf(
        f"queue_{width}_{depth}",
        inputs={"push": 1, "data": width, "pop": 1},
        outputs={"head": width, "valid": 1, "ready": 1},
        logic=logic,
    )
