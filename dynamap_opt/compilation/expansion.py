"""Network inputs that the host stores as the matrix im2col multiplies by: every window in full, padding included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["StoredWindows"]


@dataclass(frozen=True, kw_only=True)
class StoredWindows:
    """The windows of a convolution, one after another, each its taps in raster order with their channels inside.

    Pairs are (vertical, horizontal).

    Attributes:
        rows: of windows.
        columns: of windows.
        kernel: taps.
        stride: from a window to the next.
        pads: top, left.
        dilation: from a tap to the next.
    """

    rows: int
    columns: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    def elements(self, channels: int) -> int:
        """Of a window."""
        return self.kernel[0] * self.kernel[1] * channels

    def expand(self, values: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        """A map (height, width, channels) as (rows, columns, elements of a window).

        Args:
            values: bytes of the map.
            fill: byte of the padding.
        """
        height, width, channels = values.shape
        taken = []
        for axis, (count, size) in enumerate(((self.rows, height), (self.columns, width))):
            first = np.arange(count)[:, None] * self.stride[axis] - self.pads[axis]
            position = first + np.arange(self.kernel[axis]) * self.dilation[axis]
            # What lies beside the map is its padding: one more row or column.
            taken.append(np.where((position >= 0) & (position < size), position, size))
        padded = np.full((height + 1, width + 1, channels), fill, np.uint8)
        padded[:height, :width] = values
        windows = padded[taken[0][:, None, :, None], taken[1][None, :, None, :]]
        return windows.reshape(self.rows, self.columns, self.elements(channels))
