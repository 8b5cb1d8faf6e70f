"""Cycle formulas of the overlay, one function a unit.

Every function works on Python integers and, element by element, on int64 arrays of array shapes: ``p1`` and ``p2`` may
be arrays of one common shape, and the result then has that shape. Integers in, integers out; nothing is rounded but by
the explicit ceilings. docs/explanation/cost-model.md derives each formula and says where it departs from published
ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast, overload

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Cycles",
    "Dataflow",
    "Gemm",
    "TimingConvention",
    "array_cycles",
    "ceil_div",
    "groups_per_tile",
]

IntArray = NDArray[np.int64]
#: A number of cycles: one, or one for each array shape.
Cycles = int | IntArray


class Dataflow(StrEnum):
    """What stays in the processing elements while operands stream past."""

    NS = "NS"  # no operand is stationary: the outputs are (output-stationary)
    WS = "WS"  # weight-stationary
    IS = "IS"  # input-stationary


class TimingConvention(StrEnum):
    """Which cycle count of a systolic GEMM is meant; docs/explanation/cost-model.md compares them."""

    STALL_FREE = "stall-free"  # this overlay: tiles run back to back, fill and drain are paid once
    PUBLISHED = "published"  # DYNAMAP's formulas: no fill, no drain, one initialisation of max(P1, P2)
    SCALE_SIM = "scale-sim"  # SCALE-Sim 3: every tile pays its own fill and drain


@dataclass(frozen=True)
class Gemm:
    """``count`` products of an (a x b) by a (b x c) matrix."""

    a: int
    b: int
    c: int
    count: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all ``count`` products."""
        return self.a * self.b * self.c * self.count


@overload
def ceil_div(numerator: int, divisor: int) -> int: ...
@overload
def ceil_div(numerator: Cycles, divisor: Cycles) -> Cycles: ...
def ceil_div(numerator: Cycles, divisor: Cycles) -> Cycles:
    """⌈numerator / divisor⌉ for non-negative numerators and positive divisors.

    >>> ceil_div(7, 2)
    4
    """
    return -(-numerator // divisor)


def _maximum(left: Cycles, right: Cycles) -> Cycles:
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    return cast("IntArray", np.maximum(left, right))


def _minimum(left: Cycles, right: Cycles) -> Cycles:
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    return cast("IntArray", np.minimum(left, right))


def _output_stationary(a: Cycles, b: Cycles, c: Cycles, count: Cycles, p1: Cycles, p2: Cycles) -> tuple[Cycles, Cycles]:
    """Cycles of all tiles at a full period each, and how much of the first period nobody waits for."""
    tiles = ceil_div(a, p1) * ceil_div(c, p2) * count
    # The double-buffered result shifts out of the column in P1 cycles, during the next tile: only the first tile has
    # nothing to wait for.
    return tiles * _maximum(b, p1), _maximum(0, p1 - b)


def _operand_stationary(tiles: Cycles, stream: Cycles, p1: Cycles) -> tuple[Cycles, Cycles]:
    """The same for tiles past which ``stream`` vectors pass.

    Here it is the last period whose end nobody waits for: no stationary operand follows, which shifts into its shadow
    registers in P1 cycles.
    """
    return tiles * _maximum(stream, p1), _maximum(0, p1 - stream)


def _steady(
    dataflow: Dataflow, a: Cycles, b: Cycles, c: Cycles, count: Cycles, p1: Cycles, p2: Cycles
) -> tuple[Cycles, Cycles]:
    """Full periods of all tiles of ``count`` products, and the unused part of the first (NS) or last (WS, IS)."""
    if dataflow is Dataflow.NS:
        return _output_stationary(a, b, c, count, p1, p2)
    stream, columns = (a, c) if dataflow is Dataflow.WS else (c, a)
    return _operand_stationary(ceil_div(b, p1) * ceil_div(columns, p2) * count, stream, p1)


def _once(p1: Cycles, p2: Cycles, pipeline_cycles: Cycles) -> Cycles:
    """Once per layer: operand skew across the array, and P1 cycles of last drain (NS) or first preload (WS, IS)."""
    return (p1 + p2 - 2) + p1 + pipeline_cycles


def _stall_free(dataflow: Dataflow, gemms: Sequence[Gemm], p1: Cycles, p2: Cycles, pipeline_cycles: Cycles) -> Cycles:
    total: Cycles = 0
    slack: Cycles = 0
    for index, gemm in enumerate(gemms):
        steady, unused = _steady(dataflow, gemm.a, gemm.b, gemm.c, gemm.count, p1, p2)
        total = total + steady
        if index == 0 or dataflow is not Dataflow.NS:
            slack = unused
    return total - slack + _once(p1, p2, pipeline_cycles)


def _published(dataflow: Dataflow, gemms: Sequence[Gemm], p1: Cycles, p2: Cycles) -> Cycles:
    total: Cycles = 0
    for gemm in gemms:
        a, b, c = gemm.a, gemm.b, gemm.c
        match dataflow:
            case Dataflow.NS:
                cycles = ceil_div(a, p1) * ceil_div(c, p2) * b
            case Dataflow.WS:
                cycles = ceil_div(b, p1) * ceil_div(c, p2) * a
            case Dataflow.IS:
                cycles = ceil_div(b, p1) * ceil_div(a, p2) * c
        total = total + gemm.count * cycles
    return total + _maximum(p1, p2)


def _scale_sim(dataflow: Dataflow, gemms: Sequence[Gemm], p1: Cycles, p2: Cycles) -> Cycles:
    total: Cycles = 0
    for gemm in gemms:
        m, k, n = gemm.a, gemm.b, gemm.c
        match dataflow:
            case Dataflow.NS:
                cycles = ceil_div(m, p1) * ceil_div(n, p2) * (p1 + p2 + k - 2) - 1
            case Dataflow.WS:
                cycles = ceil_div(k, p1) * ceil_div(n, p2) * (2 * p1 + p2 + m - 2) - 1
            case Dataflow.IS:
                cycles = ceil_div(k, p1) * ceil_div(m, p2) * (2 * p1 + p2 + n - 2) - 1
        total = total + gemm.count * cycles
    return total


def array_cycles(
    dataflow: Dataflow,
    gemms: Sequence[Gemm],
    p1: Cycles,
    p2: Cycles,
    *,
    pipeline_cycles: Cycles = 0,
    convention: TimingConvention = TimingConvention.STALL_FREE,
) -> Cycles:
    """Cycles in which a P1 x P2 array computes ``gemms``, from the first operand in to the last result out.

    With ``T`` tiles and stream length ``s`` (NS: T = ⌈a/P1⌉⌈c/P2⌉, s = b; WS: T = ⌈b/P1⌉⌈c/P2⌉, s = a; IS: T =
    ⌈b/P1⌉⌈a/P2⌉, s = c) the stall-free array takes (T - 1) max(s, P1) + s + (P1 + P2 - 2) + P1 + pipeline: a tile
    cannot be shorter than the P1 cycles its predecessor's results (NS) or its successor's stationary operand (WS, IS)
    need to shift.

    Args:
        dataflow: which operand stays.
        gemms: the products, run in order, at least one.
        p1: rows of the array.
        p2: columns of the array.
        pipeline_cycles: registers on the way from an operand's read to its result, skew not included; the other
            conventions do not look at it.
        convention: whose cycle count is meant.

    >>> array_cycles(Dataflow.NS, [Gemm(8, 10, 8)], 4, 4)  # 4 tiles of 10 cycles, skew 6, drain 4
    50
    """
    match convention:
        case TimingConvention.STALL_FREE:
            return _stall_free(dataflow, gemms, p1, p2, pipeline_cycles)
        case TimingConvention.PUBLISHED:
            return _published(dataflow, gemms, p1, p2)
        case TimingConvention.SCALE_SIM:
            return _scale_sim(dataflow, gemms, p1, p2)


def groups_per_tile(dataflow: Dataflow, group: Gemm, p1: Cycles, p2: Cycles) -> Cycles:
    """How many groups of a grouped convolution are packed block-diagonally into one product.

    ``group`` is the product of one group, ``count`` the number of groups. WS packs what fits side by side into the
    array, IS what fits into its rows; NS packs until the stream covers the drain, if the columns suffice.
    """
    match dataflow:
        case Dataflow.NS:
            packed = _minimum(ceil_div(p1, group.b), p2 // group.c)
        case Dataflow.WS:
            packed = _minimum(p1 // group.b, p2 // group.c)
        case Dataflow.IS:
            packed = p1 // group.b
    return _minimum(_maximum(1, packed), group.count)
