"""Cycle formulas of the overlay, one function a unit.

Every function works on Python integers and, element by element, on int64 arrays of array shapes: ``p1`` and ``p2`` may
be arrays of one common shape, and the result then has that shape. Integers in, integers out; nothing is rounded but by
the explicit ceilings. docs/cost-model.md derives each formula and says where it departs from published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast, overload

import numpy as np
from numpy.typing import NDArray

from .parameters import Overlay

__all__ = [
    "ACCUMULATOR_BYTES",
    "Cycles",
    "Dataflow",
    "Gemm",
    "TimingConvention",
    "array_cycles",
    "blocked_load_words",
    "ceil_div",
    "grouped_cycles",
    "groups_per_tile",
    "stage_cycles",
    "stream_words",
    "vector_cycles",
]

IntArray = NDArray[np.int64]
#: An accumulator has 48 bits: what Winograd's scaled integers need (docs/cost-model.md).
ACCUMULATOR_BYTES = 6

#: A number of cycles: one, or one for each array shape.
Cycles = int | IntArray


class Dataflow(StrEnum):
    """What stays in the processing elements while operands stream past."""

    NS = "NS"  # no operand is stationary: the outputs are (output-stationary)
    WS = "WS"  # weight-stationary
    IS = "IS"  # input-stationary


class TimingConvention(StrEnum):
    """Which cycle count of a systolic GEMM is meant; docs/cost-model.md compares them."""

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


def _operand_stationary(tiles: Cycles, stream: Cycles, p1: Cycles, accumulator_rows: Cycles) -> tuple[Cycles, Cycles]:
    """The same for tiles past which ``stream`` vectors pass, as many at a time as there are accumulators.

    Here it is the last period whose end nobody waits for: no stationary operand follows.
    """
    block = _minimum(accumulator_rows, stream)
    full = stream // block
    rest = stream - full * block
    has_rest = _minimum(rest, 1)
    # The next stationary operand shifts into its shadow registers in P1 cycles, during this block.
    period = full * _maximum(block, p1) + has_rest * _maximum(rest, p1)
    last = has_rest * rest + (1 - has_rest) * block
    return tiles * period, _maximum(0, p1 - last)


def _steady(
    dataflow: Dataflow, a: Cycles, b: Cycles, c: Cycles, count: Cycles, p1: Cycles, p2: Cycles, overlay: Overlay
) -> tuple[Cycles, Cycles]:
    """Full periods of all tiles of ``count`` products, and the unused part of the first (NS) or last (WS, IS)."""
    if dataflow is Dataflow.NS:
        return _output_stationary(a, b, c, count, p1, p2)
    # Each of the P2 columns owns an equal share of the accumulators.
    rows = _maximum(1, overlay.accumulator_bytes // (ACCUMULATOR_BYTES * p2))
    stream, columns = (a, c) if dataflow is Dataflow.WS else (c, a)
    return _operand_stationary(ceil_div(b, p1) * ceil_div(columns, p2) * count, stream, p1, rows)


def _once(p1: Cycles, p2: Cycles, overlay: Overlay) -> Cycles:
    """Once per layer: operand skew across the array, and P1 cycles of last drain (NS) or first preload (WS, IS)."""
    return (p1 + p2 - 2) + p1 + overlay.pipeline_cycles


def _stall_free(dataflow: Dataflow, gemms: Sequence[Gemm], p1: Cycles, p2: Cycles, overlay: Overlay) -> Cycles:
    total: Cycles = 0
    slack: Cycles = 0
    for index, gemm in enumerate(gemms):
        steady, unused = _steady(dataflow, gemm.a, gemm.b, gemm.c, gemm.count, p1, p2, overlay)
        total = total + steady
        if index == 0 or dataflow is not Dataflow.NS:
            slack = unused
    return total - slack + _once(p1, p2, overlay)


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
    overlay: Overlay,
    *,
    convention: TimingConvention = TimingConvention.STALL_FREE,
) -> Cycles:
    """Cycles in which a P1 x P2 array computes ``gemms``, from the first operand in to the last result out.

    With ``T`` tiles and stream length ``s`` (NS: T = ⌈a/P1⌉⌈c/P2⌉, s = b; WS: T = ⌈b/P1⌉⌈c/P2⌉, s = a; IS: T =
    ⌈b/P1⌉⌈a/P2⌉, s = c) the stall-free array takes (T - 1) max(s, P1) + s + (P1 + P2 - 2) + P1 + pipeline: a tile
    cannot be shorter than the P1 cycles its predecessor's results (NS) or its successor's stationary operand (WS, IS)
    need to shift. WS and IS keep partial sums in the columns' accumulators; a stream longer than these are deep is cut
    into blocks.

    Args:
        dataflow: which operand stays.
        gemms: the products, run in order, at least one.
        p1: rows of the array.
        p2: columns of the array.
        overlay: gives the accumulators and the pipeline; the other conventions do not look at it.
        convention: whose cycle count is meant.

    >>> overlay = Overlay(dram_bytes_per_cycle=64, dram_latency_cycles=0, activation_buffer_bytes=4096,
    ...                   weight_buffer_bytes=4096, accumulator_bytes=4096, pipeline_cycles=0)
    >>> array_cycles(Dataflow.NS, [Gemm(8, 10, 8)], 4, 4, overlay)  # 4 tiles of 10 cycles, skew 6, drain 4
    50
    """
    match convention:
        case TimingConvention.STALL_FREE:
            return _stall_free(dataflow, gemms, p1, p2, overlay)
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


def grouped_cycles(dataflow: Dataflow, group: Gemm, p1: Cycles, p2: Cycles, overlay: Overlay) -> Cycles:
    """Cycles of ``group.count`` small products run as ⌈count / q⌉ block-diagonal ones of q groups each.

    The products are (a, q·b, q·c) with zeros off the diagonal; see :func:`groups_per_tile` for q. The array cannot
    share operands between groups, so that at best P1 (NS, WS) or P2 (IS) of its P1·P2 elements do useful work.
    """
    packed = groups_per_tile(dataflow, group, p1, p2)
    steady, slack = _steady(
        dataflow, group.a, packed * group.b, packed * group.c, ceil_div(group.count, packed), p1, p2, overlay
    )
    return steady - slack + _once(p1, p2, overlay)


def vector_cycles(pixels: int, channels: int, p2: Cycles, overlay: Overlay) -> Cycles:
    """Cycles of the vector unit (pooling, element-wise, affine, activation): P2 lanes, one channel vector a cycle.

    The unit takes each input element once; window functions keep running maxima or sums in line buffers.
    """
    return pixels * ceil_div(channels, p2) + overlay.pipeline_cycles


def stream_words(runs: int, run_bytes: int, overlay: Overlay) -> int:
    """DRAM port cycles of ``runs`` bursts of ``run_bytes`` contiguous bytes each."""
    return runs * ceil_div(run_bytes, overlay.dram_bytes_per_cycle)


def blocked_load_words(
    *, activation_words: int, activation_bytes: int, weight_words: int, weight_bytes: int, overlay: Overlay
) -> int:
    """DRAM port cycles to bring both operands of a layer on chip, in the better of two block orders.

    Either the activations pass once, cut into blocks of the activation buffer, and the weights again for every block,
    or the other way round; an operand that fits its buffer is never loaded twice. ``*_bytes`` are the sizes on chip
    (expanded by im2col or transformed by Winograd), ``*_words`` the port cycles of one pass.
    """
    activation_blocks = ceil_div(activation_bytes, overlay.activation_buffer_bytes)
    weight_blocks = ceil_div(weight_bytes, overlay.weight_buffer_bytes)
    return min(
        activation_words + weight_words * max(1, activation_blocks),
        activation_words * max(1, weight_blocks) + weight_words,
    )


def stage_cycles(load: Cycles, compute: Cycles, store: Cycles, overlay: Overlay) -> Cycles:
    """Latency of a stage whose load, compute and store overlap block by block: the longest of them, plus DRAM latency.

    The latency is paid twice, before the first operand and after the last result.
    """
    return _maximum(_maximum(load, compute), store) + 2 * overlay.dram_latency_cycles
