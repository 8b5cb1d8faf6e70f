"""How many values the windows of an average hold, and which scales its results must have not to lie on a tie.

A window of c = odd · 2**t values, whose sum is S input units, has the average v = S · r / c output units, r = input
scale / output scale. If r = 2**-e, v lies exactly between two integers where 2 · S = odd · 2**(t + e) · an odd number.
That cannot be for e <= -t. Elsewhere it happens, and unless c is a power of two, no binary factor 1 / c computes such
a v exactly: which way it is rounded then depends on the arithmetic.
"""

from __future__ import annotations

import numpy as np

from dynamap_models.errors import ModelError
from dynamap_models.ir import GlobalPool, Pool, Tensor

__all__ = ["is_power_of_two", "power_of_two_part", "tie_exponent", "window_counts"]

# Outputs along an axis whose windows meet its edge; no network comes near.
_LONGEST_EDGE = 2**16


def power_of_two_part(count: int) -> int:
    """The greatest power of two that divides a positive integer.

    >>> power_of_two_part(12)
    4
    """
    return count & -count


def is_power_of_two(count: int) -> bool:
    """Whether a positive integer is one.

    >>> is_power_of_two(1), is_power_of_two(12)
    (True, False)
    """
    return power_of_two_part(count) == count


def window_counts(operation: Pool | GlobalPool, source: Tensor, output: Tensor) -> frozenset[int]:
    """The numbers its windows divide by; O(kernel + pads), whatever the map's size.

    Raises:
        ModelError: when windows are larger than any network's.

    >>> source, output = Tensor("x", 5, 4, 1, (1, 1, 5, 4)), Tensor("y", 5, 4, 1, (1, 1, 5, 4))
    >>> sorted(window_counts(Pool("average", (3, 3), (1, 1), (1, 1, 1, 1)), source, output))
    [4, 6, 9]
    """
    if isinstance(operation, GlobalPool):
        return frozenset({source.height * source.width})
    found: list[set[int]] = []
    for axis, (size, outputs) in enumerate(((source.height, output.height), (source.width, output.width))):
        kernel, stride = operation.kernel[axis], operation.stride[axis]
        before, behind = operation.pads[axis], operation.pads[axis + 2] - operation.ceil_extra[axis]
        # Away from the edges all windows are alike.
        edge = (kernel + before + max(0, behind)) // stride + 2
        if edge > _LONGEST_EDGE:
            raise ModelError(f"pooling windows of {kernel} elements padded by {before} are too large to be meant")
        positions = np.arange(min(outputs, edge))
        positions = np.concatenate([positions, outputs - 1 - positions])
        first = positions * stride - before
        # Pads of the file may count, what a ceiling mode looks at beyond them never does.
        low, high = (-before, size + behind) if operation.count_pads else (0, size)
        taps = np.minimum(first + kernel, high) - np.maximum(first, low)
        found.append({int(count) for count in taps})
    return frozenset(rows * columns for rows in found[0] for columns in found[1])


def tie_exponent(counts: frozenset[int]) -> int | None:
    """The least t such that results are never on a tie where the input's scale is 2**t times the output's, or more.

    None where all counts are powers of two, since then nothing depends on it.

    >>> tie_exponent(frozenset({4, 6, 9})), tie_exponent(frozenset({4})), tie_exponent(frozenset({196}))
    (1, None, 2)
    """
    hard = [count for count in counts if not is_power_of_two(count)]
    return max((power_of_two_part(count).bit_length() - 1 for count in hard), default=None)
