"""Small queues inside leaves: what comes in one cycle can leave in the next, one a cycle."""

from __future__ import annotations

from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware import HardwareError

__all__ = ["Queue", "pair_queue", "queue"]


@dataclass(frozen=True)
class Queue:
    """Outputs of a queue.

    Attributes:
        valid: whether there is a head.
        head: the oldest entry; stays until popped.
        room: whether one more entry can be pushed; does not depend on this cycle's push or pop.
    """

    valid: pyrtl.WireVector
    head: pyrtl.WireVector
    room: pyrtl.WireVector


def queue(name: str, data: pyrtl.WireVector, *, depth: int, push: pyrtl.WireVector, pop: pyrtl.WireVector) -> Queue:
    """A queue in distributed memory; ``push`` only with ``room``, ``pop`` only with ``valid``.

    Raises:
        HardwareError: when the depth is no power of two from 2.
    """
    if depth < 2 or depth & (depth - 1):
        raise HardwareError(f"queue {name!r}: its depth must be a power of two from 2, not {depth}")
    width = (depth - 1).bit_length()
    memory = pyrtl.MemBlock(len(data), width, name + "_memory", asynchronous=True)
    into, out_of = pyrtl.Register(width, name + "_into"), pyrtl.Register(width, name + "_out_of")
    filled = pyrtl.Register(width + 1, name + "_filled")
    memory[into] <<= pyrtl.MemBlock.EnabledWrite(data, push)
    into.next <<= (into + push)[:width]
    out_of.next <<= (out_of + pop)[:width]
    filled.next <<= (filled + push - pop)[: width + 1]
    return Queue(filled != 0, memory[out_of], ~filled[width])


def pair_queue(name: str, data: pyrtl.WireVector, *, push: pyrtl.WireVector, pop: pyrtl.WireVector) -> Queue:
    """A queue of two registers, all of whose outputs are registers; for wide data and to cut long paths of ``ready``.

    ``push`` only with ``room``, ``pop`` only with ``valid``.
    """
    head, spare = pyrtl.Register(len(data), name + "_head"), pyrtl.Register(len(data), name + "_spare")
    valid, full = pyrtl.Register(1, name + "_valid"), pyrtl.Register(1, name + "_full")
    moves = pop | ~valid  # the head is free at the end of the cycle
    head.next <<= pyrtl.select(moves, pyrtl.select(full, spare, data), head)
    valid.next <<= pyrtl.select(moves, full | push, valid)
    spare.next <<= pyrtl.select(push, data, spare)
    full.next <<= pyrtl.select(moves, pyrtl.Const(0, bitwidth=1), full | push)
    return Queue(valid, head, ~full)
