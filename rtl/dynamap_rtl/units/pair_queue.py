"""A queue of two registers inside a leaf: what comes in one cycle can leave in the next, one a cycle."""

from __future__ import annotations

from dataclasses import dataclass

import pyrtl

__all__ = ["PairQueue", "pair_queue"]


@dataclass(frozen=True)
class PairQueue:
    """Outputs of the queue.

    Attributes:
        valid: whether there is a head.
        head: the oldest entry; stays until popped.
        room: whether one more entry can be pushed; does not depend on this cycle's push or pop.
    """

    valid: pyrtl.WireVector
    head: pyrtl.WireVector
    room: pyrtl.WireVector


def pair_queue(name: str, data: pyrtl.WireVector, *, push: pyrtl.WireVector, pop: pyrtl.WireVector) -> PairQueue:
    """Holds two entries, all its outputs from registers; for wide data, and to cut long paths of ``ready``.

    ``push`` only with ``room``, ``pop`` only with ``valid``.
    """
    head, spare = pyrtl.Register(len(data), name + "_head"), pyrtl.Register(len(data), name + "_spare")
    valid, full = pyrtl.Register(1, name + "_valid"), pyrtl.Register(1, name + "_full")
    moves = pop | ~valid  # the head is free at the end of the cycle
    head.next <<= pyrtl.select(moves, pyrtl.select(full, spare, data), head)
    valid.next <<= pyrtl.select(moves, full | push, valid)
    spare.next <<= pyrtl.select(push, data, spare)
    full.next <<= pyrtl.select(moves, pyrtl.Const(0, bitwidth=1), full | push)
    return PairQueue(valid, head, ~full)
