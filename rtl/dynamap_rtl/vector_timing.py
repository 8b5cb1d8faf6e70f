"""Cycles of layers on the vector path (pooling, addition), for all array shapes at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .block_times import block_times
from .block_work import Following, Group, Layer, Load, Loop, Product
from .geometry import WindowShape
from .layer_timing import LayerCycles
from .load_work import row_pieces
from .pipeline import LANE_LATENCY, TOP_SKEW, run_queue
from .sizes import IntArray, Sizes, down, up

__all__ = ["VectorBlocks", "vector_blocks", "vector_cycles"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class VectorBlocks:
    """How a layer is cut; arrays of shape (shapes,).

    Attributes:
        rows: output rows of a block.
        channels: of a block.
        valid: False where not even one row of one vector of channels fits; then columns and taps are cut as well.
    """

    rows: IntArray
    channels: IntArray
    valid: BoolArray


def vector_blocks(shape: WindowShape, sizes: Sizes, *, dilation: int = 1) -> VectorBlocks:
    """How ``program.vector`` cuts a layer: channels only if that lets blocks have more rows.

    Args:
        shape: the layer.
        sizes: of the overlays.
        dilation: rows of the map between two rows of a window.
    """
    p2 = sizes.columns
    kernel, stride = shape.kernel[0], shape.stride[0]
    step = int(np.gcd(stride if shape.out_height > 1 else 0, dilation if kernel > 1 else 0)) or 1
    every = -(-shape.in_height // step)  # rows of the map that are looked at
    columns = _looked_at(shape.in_width, shape.out_width, shape.kernel[1], shape.stride[1])
    # Blocks overlap by what windows do; with twice their height or an eighth of the map that is little.
    wanted = min(shape.out_height, max(-(-shape.out_height // 8), 2 * kernel))

    def most_rows(chunks: IntArray) -> IntArray:
        loaded = sizes.top_half // (chunks * columns)
        by_load = (loaded * step - 1 - (kernel - 1) * dilation) // stride + 1
        by_load = np.where(loaded >= every, shape.out_height, by_load)
        by_sums = sizes.accumulator_words // (chunks * shape.out_width)
        by_results = sizes.result_half // (chunks * p2) * p2 // shape.out_width
        return np.asarray(np.minimum(np.minimum(by_load, by_sums), by_results), dtype=np.int64)

    chunks = up(shape.channels, p2)
    best_rows, best_chunks = most_rows(chunks), chunks
    one_row = best_rows >= 1
    while (best_rows < wanted).any() and (chunks > 1).any():
        chunks = up(chunks, 2)
        rows = most_rows(chunks)
        # The first that allows as many rows as wanted; else the first that allows one.
        better = (best_rows < wanted) & ((rows >= wanted) | (~one_row & (rows >= 1)))
        best_rows, best_chunks = np.where(better, rows, best_rows), np.where(better, chunks, best_chunks)
        one_row |= rows >= 1
    return VectorBlocks(
        rows=np.clip(best_rows, 1, wanted),
        channels=np.minimum(shape.channels, best_chunks * p2),
        valid=best_rows >= 1,
    )


def _looked_at(size: int, outputs: int, kernel: int, stride: int) -> int:
    """Positions of an axis that are loaded for all its windows."""
    step = stride if kernel == 1 and outputs > 1 else 1
    return min(-(-size // step), ((outputs - 1) * stride + kernel - 1) // step + 1)


def _taps(size: int, outputs: int, kernel: int, stride: int, pad: int) -> tuple[IntArray, int, frozenset[int]]:
    """Taps in the map of each window, runs of neighbouring windows with equal ones, and how many there are."""
    starts = np.arange(outputs) * stride - pad
    low, high = np.maximum(0, -starts), np.minimum(kernel, size - starts)
    changes = np.count_nonzero((np.diff(low) != 0) | (np.diff(high) != 0))
    taps = high - low
    return np.asarray(taps, dtype=np.int64), int(changes) + 1, frozenset(taps.tolist())


def vector_cycles(shape: WindowShape, sizes: Sizes) -> LayerCycles:
    """Cycles of ``program.vector.vector_program``; for blocks cut along columns or taps too few.

    Args:
        shape: the layer.
        sizes: of the overlays.
    """
    # All depends on the columns alone, but for the rows' part in the latency of a read.
    _, chosen, back = np.unique(sizes.columns * 1024 + sizes.left_rotation, return_index=True, return_inverse=True)
    if 0 < chosen.size <= back.size // 2:
        few = vector_cycles(shape, sizes.at(chosen))
        return LayerCycles(
            total=few.total[back],
            load=few.load[back],
            compute=few.compute[back],
            store=few.store[back],
            valid=few.valid[back],
        )
    p2, blocks = sizes.columns, vector_blocks(shape, sizes)
    rows, channels = blocks.rows, blocks.channels
    row_blocks, channel_blocks = up(shape.out_height, rows), up(shape.channels, channels)
    last_rows = shape.out_height - (row_blocks - 1) * rows
    last_channels = shape.channels - (channel_blocks - 1) * channels
    kernel, stride = shape.kernel[0], shape.stride[0]
    columns = _looked_at(shape.in_width, shape.out_width, shape.kernel[1], shape.stride[1])
    taps_y, runs_y, counts_y = _taps(shape.in_height, shape.out_height, kernel, stride, shape.pads[0])
    taps_x, runs_x, counts_x = _taps(shape.in_width, shape.out_width, shape.kernel[1], shape.stride[1], shape.pads[1])
    step = stride if kernel == 1 and shape.out_height > 1 else 1
    of_a_row, rows_before = int(taps_x.sum()), np.concatenate(([0], np.cumsum(taps_y)))

    def taps_of(loop: Loop) -> IntArray:
        """Taps of a block's windows; rows at the border of the map have fewer, and belong to the first and the last."""
        block_rows, _ = block(loop)
        above = np.where(loop.first[2], block_rows * kernel - rows_before[block_rows], 0)
        from_last = rows_before[-1] - rows_before[shape.out_height - block_rows]
        below = np.where(loop.last[2] & ~loop.first[2], block_rows * kernel - from_last, 0)
        return np.asarray(np.maximum(0, block_rows * kernel - above - below) * of_a_row, dtype=np.int64)

    def block(loop: Loop) -> tuple[IntArray, IntArray]:
        return np.where(loop.last[2], last_rows, rows), np.where(loop.last[1], last_channels, channels)

    def loaded(block_rows: IntArray, is_first: BoolArray, is_last: BoolArray) -> IntArray:
        """Rows of the map a block of output rows looks at."""
        reach = (block_rows - 1) * stride + kernel - np.where(is_first, shape.pads[0], 0)
        beyond = (shape.out_height - 1) * stride - shape.pads[0] + kernel - shape.in_height
        return up(np.maximum(1, reach - np.where(is_last, max(0, beyond), 0)), step)

    def pieces(loop: Loop) -> IntArray:
        block_rows, block_channels = block(loop)
        one = row_pieces(block_channels, sizes.port_bytes, sizes.top_transfer, p2)
        return loaded(block_rows, loop.first[2], loop.last[2]) * columns * one

    def asks(loop: Loop) -> IntArray:
        return loaded(block(loop)[0], loop.first[2], loop.last[2]) * columns

    # Rows of windows that have other taps than their neighbours belong to the first and the last blocks.
    more_runs = runs_y - 1

    def runs(loop: Loop) -> IntArray:
        at_borders = np.where(loop.first[2], (more_runs + 1) // 2, 0) + np.where(loop.last[2], more_runs // 2, 0)
        return (1 + at_borders) * runs_x

    def product_at(loop: Loop) -> Product:
        _, block_channels = block(loop)
        vectors = taps_of(loop) * up(block_channels, p2)
        steps = vectors + runs(loop) - 1
        always = p2 > 0
        none = 0 * p2
        of_maps = Load(pieces=pieces(loop), behind=none, asks=asks(loop), loads=always, older=~always)
        of_weights = Load(pieces=none, behind=none, asks=none, loads=~always, older=~always)
        return Product(activations=of_maps, weights=of_weights, tiles=1 + none, period=steps, steps=steps)

    ahead = run_queue(sizes.latency)

    def following_at(side: str, loop: Loop) -> Following:
        """Another block much like this one."""
        if side == "weights":
            none = 0 * p2
            return Following(soon=none, pieces=none, runs=none, queued=none)
        more = ~np.logical_and.reduce(np.broadcast_arrays(*loop.last))
        queued = down(pieces(loop) * np.minimum(ahead, asks(loop)), asks(loop))
        return Following(soon=1 * more, pieces=pieces(loop), runs=asks(loop), queued=queued)

    def group_at(loop: Loop) -> Group:
        block_rows, block_channels = block(loop)
        pixels = block_rows * shape.out_width
        finishes = runs(loop) if shape.divisors else 1
        return Group(
            rows=pixels * up(block_channels, p2),
            reads=pixels * up(block_channels, sizes.result_transfer),
            stores=1,
            finishes=finishes,
        )

    one = np.ones_like(p2)
    counts = (one, channel_blocks, row_blocks, shape.terms * one)
    layer = Layer(
        counts=counts,
        last_counts=counts,
        product_at=product_at,
        following_at=following_at,
        group_at=group_at,
        fill=2,
        drain=sizes.read_latency + TOP_SKEW + LANE_LATENCY + p2 + 2,
        weights_first=True,
        entries=p2 * (len({y * x for y in counts_y for x in counts_x}) if shape.divisors else 1),
    )
    all_pixels = shape.out_height * shape.out_width
    chunks = (channel_blocks - 1) * up(channels, p2) + up(last_channels, p2)
    transfers = (channel_blocks - 1) * up(channels, sizes.result_transfer) + up(last_channels, sizes.result_transfer)
    per_pixel = (channel_blocks - 1) * row_pieces(channels, sizes.port_bytes, sizes.top_transfer, p2)
    per_pixel = per_pixel + row_pieces(last_channels, sizes.port_bytes, sizes.top_transfer, p2)
    overlap = (row_blocks - 1) * max(0, kernel - stride)
    return LayerCycles(
        total=block_times(sizes, layer),
        load=shape.terms * columns * per_pixel * (min(shape.in_height, -(-shape.in_height // step)) + overlap),
        compute=shape.terms * int(taps_y.sum()) * of_a_row * chunks,
        store=all_pixels * transfers,
        valid=one > 0,
    )
