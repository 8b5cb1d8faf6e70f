"""How a tensor may lie in memory, and how many DRAM port cycles it takes to walk it.

Three layouts exist. ``nhwc`` stores each element once. ``toeplitz`` is the matrix im2col multiplies by: every window
of the convolution that reads it, stored in full. ``tiles`` holds the overlapping input tiles of a Winograd
convolution. The last two repeat elements, so that the reader's loads become long and the writer's stores become many;
which is better is the optimiser's question. All three keep channels innermost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from dynamap_rtl import Overlay, ceil_div, stream_words

from .program import StoredTensor

__all__ = [
    "NHWC",
    "AxisWindows",
    "Layout",
    "LayoutKind",
    "gather_words",
    "packed_words",
    "scatter_words",
    "tensor_words",
]


@dataclass(frozen=True)
class AxisWindows:
    """The windows a convolution slides along one axis of ``size`` elements.

    Window ``i`` of part ``q`` covers ``i·step - pad + q·part_step + spacing·k`` for ``k`` below ``taps``; positions
    outside ``0 .. size - 1`` are padding and never touch memory.
    """

    size: int
    count: int
    step: int
    pad: int
    taps: int
    spacing: int = 1
    parts: int = 1
    part_step: int = 0

    @property
    def slots(self) -> int:
        """Elements of all windows, padding included."""
        return self.count * self.parts * self.taps

    @property
    def valid_total(self) -> int:
        """Elements of all windows, padding excluded."""
        return sum(valid * times for valid, times in _valid_counts(self))

    def runs_words(self, channels: int, overlay: Overlay) -> int:
        """Port cycles to read every window as one contiguous run of its valid elements, ``channels`` bytes each."""
        if self.spacing != 1:
            return stream_words(self.valid_total, channels, overlay)
        return sum(stream_words(times, valid * channels, overlay) for valid, times in _valid_counts(self))

    @property
    def is_partition(self) -> bool:
        """Whether the windows lie side by side and cover the axis exactly, so that they read as one run."""
        # A single window has no step, a single tap no spacing.
        return (
            self.parts == 1
            and self.pad == 0
            and (self.taps == 1 or self.spacing == 1)
            and (self.count == 1 or self.step == self.taps)
            and self.count * self.taps == self.size
        )


@lru_cache(maxsize=65536)
def _valid_counts(windows: AxisWindows) -> tuple[tuple[int, int], ...]:
    """(number of valid taps, how many windows have it), over all parts."""
    histogram = np.zeros(windows.taps + 1, dtype=np.int64)
    first = np.arange(windows.count, dtype=np.int64) * windows.step - windows.pad
    for part in range(windows.parts):
        start = first + part * windows.part_step
        # Taps k with 0 <= start + spacing * k < size.
        low = ceil_div(np.maximum(0, -start), windows.spacing)
        high = np.minimum(windows.taps, ceil_div(np.maximum(0, windows.size - start), windows.spacing))
        histogram += np.bincount(np.maximum(0, high - low), minlength=windows.taps + 1)
    return tuple((int(valid), int(histogram[valid])) for valid in np.flatnonzero(histogram))


class LayoutKind(StrEnum):
    """The families of layouts."""

    NHWC = "nhwc"
    TOEPLITZ = "toeplitz"
    TILES = "tiles"


@dataclass(frozen=True)
class Layout:
    """One layout; ``rows`` and ``columns`` are the reader's windows, absent for ``nhwc``.

    Two layouts are equal exactly when the bytes in memory are arranged alike. ``label`` is for people and files.
    """

    kind: LayoutKind
    label: str
    rows: AxisWindows | None = None
    columns: AxisWindows | None = None

    def __str__(self) -> str:
        return self.label


#: The plain layout: row by row, pixel by pixel, channels innermost.
NHWC = Layout(LayoutKind.NHWC, "nhwc")


def tensor_words(tensor: StoredTensor, overlay: Overlay) -> int:
    """Port cycles to read or write a whole ``nhwc`` tensor once."""
    if tensor.pixel_runs:
        return sum(stream_words(tensor.pixels, run, overlay) for run in tensor.pixel_runs)
    return stream_words(1, tensor.size, overlay)


def gather_words(rows: AxisWindows, columns: AxisWindows, tensor: StoredTensor, overlay: Overlay) -> int:
    """Port cycles to read all windows of an ``nhwc`` tensor: a run per window row, re-reading what windows share."""
    if columns.is_partition and rows.is_partition and rows.taps == 1:
        return tensor_words(tensor, overlay)
    if tensor.pixel_runs:
        positions = rows.valid_total * columns.valid_total
        return sum(stream_words(positions, run, overlay) for run in tensor.pixel_runs)
    if columns.is_partition:
        return rows.valid_total * stream_words(1, columns.size * tensor.channels, overlay)
    return rows.valid_total * columns.runs_words(tensor.channels, overlay)


def packed_words(layout: Layout, tensor: StoredTensor, overlay: Overlay) -> int:
    """Port cycles to read a ``toeplitz`` or ``tiles`` tensor, stored window after window with its zero padding."""
    assert layout.rows is not None
    assert layout.columns is not None
    slots = layout.rows.slots * layout.columns.slots
    if tensor.pixel_runs:
        return sum(stream_words(slots, run, overlay) for run in tensor.pixel_runs)
    return stream_words(1, slots * tensor.channels, overlay)


def scatter_words(layout: Layout, tensor: StoredTensor, overlay: Overlay) -> int:
    """Port cycles to write a tensor in ``layout``: each pixel once per window that contains it.

    The padding of windows is zeroed once, when the network is loaded, and never written again.
    """
    if layout.kind is LayoutKind.NHWC:
        return tensor_words(tensor, overlay)
    assert layout.rows is not None
    assert layout.columns is not None
    copies = layout.rows.valid_total * layout.columns.valid_total
    return stream_words(copies, tensor.channels, overlay)
