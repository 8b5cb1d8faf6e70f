"""Sizes and latencies that follow from a number of lanes alone."""

from __future__ import annotations

from .timing import ceil_div

__all__ = ["STAGES_A_REGISTER", "phase_width", "rotator_latency"]

#: Two-way multiplexers between two registers of a rotator or shifter.
STAGES_A_REGISTER = 3


def phase_width(modulus: int) -> int:
    """Bits that hold a number modulo ``modulus``, at least one.

    >>> [phase_width(modulus) for modulus in (1, 2, 5, 8)]
    [1, 1, 3, 3]
    """
    return max(1, (modulus - 1).bit_length())


def rotator_latency(lanes: int) -> int:
    """Cycles a rotation of so many lanes by a variable distance takes, at least one.

    >>> [rotator_latency(lanes) for lanes in (1, 8, 9, 64, 66, 92)]
    [1, 1, 2, 2, 3, 3]
    """
    return max(1, ceil_div((lanes - 1).bit_length(), STAGES_A_REGISTER))
