"""How many pieces the loads of whole layers take, for all array shapes at once.

A loader writes a piece a cycle (:mod:`dynamap_rtl.load_timing`, which counts those of one load exactly). Pieces depend
on the runs of a layer's windows, which no shape changes, and on a shape's lanes: so they are counted once for every
number of lanes, 1 to 1024, and looked up.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np

from .geometry import ConvShape
from .sizes import MOST_LANES, IntArray, transfers, up

__all__ = ["row_pieces", "run_pieces_of", "window_pieces"]

#: Number of runs by (element of the window the run begins with, elements).
Runs = Counter[tuple[int, int]]


def _window_runs(conv: ConvShape, channels: int, *, contiguous: bool, padding_rows: bool = True) -> Runs:
    """The runs of all windows of a convolution that takes ``channels`` of every pixel."""
    (kernel_h, kernel_w), (top, left) = conv.kernel, conv.pads[:2]
    rows = np.arange(conv.out_height) * conv.stride[0] - top
    columns = np.arange(conv.out_width) * conv.stride[1] - left
    if contiguous:
        before = np.clip(-columns, 0, kernel_w)
        beyond = np.clip(columns + kernel_w - conv.in_width, 0, kernel_w)
        spans = Counter(zip(before.tolist(), beyond.tolist(), strict=True))
    runs: Runs = Counter()
    for tap in range(kernel_h):
        first = tap * kernel_w * channels
        y = rows + tap * conv.dilation[0]
        inside = int(np.count_nonzero((y >= 0) & (y < conv.in_height)))
        if not contiguous:
            for tap_x in range(kernel_w):
                runs[first + tap_x * channels, channels] += conv.out_height * conv.out_width
            continue
        if padding_rows:
            runs[first, kernel_w * channels] += (conv.out_height - inside) * conv.out_width
        for (before_x, beyond_x), times in spans.items():
            start = first
            for taps in (before_x, kernel_w - before_x - beyond_x, beyond_x):
                if taps:
                    runs[start, taps * channels] += inside * times
                start += taps * channels
    return runs


@lru_cache(maxsize=4096)
def window_pieces(
    conv: ConvShape, port_bytes: int, *, contiguous: bool, by_tap: bool, across: bool, divides: bool
) -> IntArray:
    """Pieces of all windows of a convolution with all its channels, by the number of lanes (index 0 is unused).

    Args:
        conv: the layer.
        port_bytes: W.
        contiguous: whether the taps of a row are one run: neighbouring pixels lie side by side, undilated.
        by_tap: whether each element of the kernel is loaded by itself.
        across: whether a window lies across lanes, and not along one.
        divides: of :func:`~dynamap_rtl.sizes.transfers`.

    Time O(runs · elements / W) vector operations over 1024 lanes.
    """
    runs = _window_runs(conv, conv.in_channels, contiguous=contiguous and not by_tap and conv.kernel[1] > 1)
    if by_tap:
        folded: Runs = Counter()
        for (_, elements), times in runs.items():
            folded[0, elements] += times
        runs = folded
    lanes = np.arange(MOST_LANES + 1, dtype=np.int64)
    lanes[0] = 1
    transfer = np.maximum(1, transfers(port_bytes, divides=divides))
    total = np.zeros(MOST_LANES + 1, dtype=np.int64)
    if not across:
        by_length: Counter[int] = Counter()
        for (_, elements), times in runs.items():
            by_length[elements] += times
        for elements, times in by_length.items():
            total += times * run_pieces_of(elements, port_bytes, transfer)
        return total
    for (first, elements), times in runs.items():
        total += times * across_pieces(first, elements, port_bytes, transfer, lanes)
    return total


def run_pieces_of(elements: IntArray | int, beat: int, transfer: IntArray) -> IntArray:
    """Pieces of runs along a lane: cut at beats and at N elements."""
    return elements // beat * up(beat, transfer) + up(elements % beat, transfer)


def across_pieces(
    first: IntArray | int, elements: IntArray | int, beat: int, transfer: IntArray, lanes: IntArray
) -> IntArray:
    """Pieces of runs across lanes that begin with element ``first`` of their windows."""
    total = np.zeros_like(lanes)
    for start in range(0, int(np.max(elements, initial=0)), beat):
        size = np.minimum(np.maximum(elements - start, 0), beat)
        head = np.minimum(size, lanes - (first + start) % lanes)
        rest = size - head
        total += up(head, transfer) + rest // lanes * up(lanes, transfer) + up(rest % lanes, transfer)
    return total


def row_pieces(elements: IntArray, beat: int, transfer: IntArray, lanes: IntArray) -> IntArray:
    """Pieces of runs across lanes from lane 0 on: cuts at beats and where lanes wrap, those that meet counted once.

    Where N elements are fewer than a beat and than the lanes and do not divide both, beats are cut one by one.
    """
    elements = elements + 0 * lanes
    wraps = up(elements, lanes) - 1 - (up(elements, _lcm(beat)[lanes]) - 1)
    short = transfer < np.minimum(beat, lanes)
    pieces = np.where(short, run_pieces_of(elements, beat, transfer), up(elements, beat)) + wraps
    whole = short & (beat % transfer == 0) & (lanes % transfer == 0)
    pieces = np.where(whole, up(elements, transfer), pieces)
    for size in np.unique(elements[short & ~whole]):
        chosen = short & ~whole & (elements == size)
        pieces[chosen] = across_pieces(0, int(size), beat, transfer[chosen], lanes[chosen])
    return pieces


@lru_cache(maxsize=16)
def _lcm(beat: int) -> IntArray:
    """Least common multiples of a beat and every number of lanes."""
    return np.asarray(np.lcm(np.arange(MOST_LANES + 1), beat), dtype=np.int64)
