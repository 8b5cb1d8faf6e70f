"""Padding at both ends of a load, which its loader writes without the read port."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product

import numpy as np

from .block_work import BoolArray, Loop, Parts
from .geometry import ConvShape
from .layer_blocks import Cut, LayerBlocks
from .sizes import IntArray, down, up

__all__ = ["Padding", "block_padding"]

#: From a place and the parts of its product to the taps that are padding before the first one, and behind the last one,
#: that is not, and to all taps.
Padding = Callable[[Loop, Parts], tuple[IntArray, IntArray, IntArray]]


def _inside(conv: ConvShape) -> tuple[BoolArray, BoolArray]:
    """(output rows, kernel rows) and (output columns, kernel columns): whether they meet in the map."""
    found = []
    for axis, (size, out) in enumerate(((conv.in_height, conv.out_height), (conv.in_width, conv.out_width))):
        at = np.arange(out)[:, None] * conv.stride[axis] + np.arange(conv.kernel[axis]) * conv.dilation[axis]
        at = at - conv.pads[axis]
        found.append((at >= 0) & (at < size))
    return found[0], found[1]


def _first(rows: BoolArray, columns: BoolArray) -> int:
    """Taps in the order (output row, output column, kernel row, kernel column) before the first that is inside."""
    taps: int = rows.shape[1] * columns.shape[1]
    if not (rows.any() and columns.any()):
        return len(rows) * len(columns) * taps
    y, x = int(rows.any(axis=1).argmax()), int(columns.any(axis=1).argmax())
    tap: int = int(rows[y].argmax()) * columns.shape[1] + int(columns[x].argmax())
    return (y * len(columns) + x) * taps + tap


@lru_cache(maxsize=1024)
def _padding(conv: ConvShape, cut: int) -> IntArray:
    """Taps of padding of all parts before one, shape (4, parts + 1).

    Those before the map's first pixel, before a row's, behind the map's last pixel, behind a row's.
    """
    rows, columns = _inside(conv)
    every, middle = [slice(None)], conv.out_height // 2
    kernel_rows = every if cut == Cut.WHOLE else [slice(row, row + 1) for row in range(conv.kernel[0])]
    kernel_columns = every if cut < Cut.TAPS else [slice(column, column + 1) for column in range(conv.kernel[1])]
    found = [
        [
            _first(of_rows[::way, chosen_rows][:, ::way], columns[::way, chosen_columns][:, ::way])
            for way in (1, -1)
            for of_rows in (rows, rows[middle : middle + 1])
        ]
        for chosen_rows, chosen_columns in product(kernel_rows, kernel_columns)
    ]
    return np.cumsum([[0] * 4, *found], axis=0, dtype=np.int64).T


def block_padding(conv: ConvShape, blocks: LayerBlocks) -> Padding | None:
    """Padding of the blocks of a convolution.

    Args:
        conv: the layer.
        blocks: how it is cut.
    """
    if all(inside.all() for inside in _inside(conv)):
        return None
    taps = conv.kernel[0] * conv.kernel[1]
    tables = np.zeros((3, 4, taps + 1), dtype=np.int64)
    for cut in (Cut.WHOLE, Cut.ROWS, Cut.TAPS):
        table = _padding(conv, cut)
        tables[cut, :, : table.shape[1]] = table
    kind = np.minimum(blocks.cut, Cut.TAPS)
    whole_rows = blocks.pixels % conv.out_width == 0
    pieces = np.maximum(1, down(blocks.parts, taps))  # of a tap's channels
    last_pixels = conv.pixels - (blocks.pixel_blocks - 1) * blocks.pixels

    def mean(parts: Parts, which: int, at_border: BoolArray) -> IntArray:
        """Taps of padding at one end, over the parts."""
        place = np.where(at_border, which, which + 1)
        # Where there are fewer parts, nobody looks.
        first, beyond = (
            np.minimum(np.maximum(part, 0), taps) for part in (down(parts.first, pieces), up(parts.beyond, pieces))
        )
        found = down(tables[kind, place, beyond] - tables[kind, place, first], np.maximum(1, beyond - first))
        return np.where(at_border | whole_rows, found, 0)

    def padding(loop: Loop, parts: Parts) -> tuple[IntArray, IntArray, IntArray]:
        first = np.where(blocks.pixels_outer, loop.first[1], loop.first[2])
        last = np.where(blocks.pixels_outer, loop.last[1], loop.last[2])
        pixels = np.where(last, last_pixels, blocks.pixels)
        return mean(parts, 0, first), mean(parts, 2, last), pixels * np.maximum(1, down(taps, blocks.parts))

    return padding
