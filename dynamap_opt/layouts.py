"""How a tensor may lie in memory.

Three layouts exist. ``nhwc`` stores each element once. ``toeplitz`` is the matrix im2col multiplies by: every window
of the convolution that reads it, stored in full. ``tiles`` holds the overlapping input tiles of a Winograd
convolution. The last two repeat elements, so that the reader's loads become long and the writer's stores become many;
which is better is the optimiser's question. All three keep channels innermost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "NHWC",
    "AxisWindows",
    "Layout",
    "LayoutKind",
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
