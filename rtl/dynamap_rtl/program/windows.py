"""Windows along one axis of a feature map: which taps lie in the image, and what has to be loaded for them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import gcd
from typing import TypeVar

from dynamap_rtl.timing import ceil_div

__all__ = ["Axis", "Lattice", "runs"]

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Lattice:
    """Positions ``first``, ``first`` + ``step``, ... of an image, ``count`` of them; none if ``count`` is 0."""

    first: int
    step: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Rows or columns: output o looks at positions o · stride - pad + k · dilation, k < kernel.

    Attributes:
        size: positions of the image.
        kernel: taps.
        stride: from an output to the next.
        dilation: from a tap to the next.
        pad: before the image.
        pad_end: behind it.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    pad: int
    pad_end: int

    def position(self, output: int, tap: int) -> int:
        """Where a tap of an output looks; negative or beyond the image in the padding."""
        return output * self.stride - self.pad + tap * self.dilation

    def taps(self, output: int, among: range) -> range:
        """Those of some taps that lie in the image."""
        return self._within(output, among, 0, self.size)

    def padded_taps(self, output: int) -> range:
        """Taps that lie in the image or its padding."""
        return self._within(output, range(self.kernel), -self.pad, self.size + self.pad_end)

    def lattice(self, outputs: range, among: range) -> Lattice:
        """The coarsest evenly spaced positions that hold everything some taps of some outputs see of the image."""
        steps = (self.stride if len(outputs) > 1 else 0, self.dilation if len(among) > 1 else 0)
        step = gcd(*steps) or 1
        first = self.position(outputs.start, among.start)
        last = min(self.position(outputs[-1], among[-1]), self.size - 1)
        first += ceil_div(max(0, -first), step) * step
        return Lattice(first, step, max(0, (last - first) // step + 1))

    def most(self, outputs: int, taps: int) -> int:
        """The most positions the lattice of so many outputs and taps has, wherever they are."""
        step = gcd(self.stride if outputs > 1 else 0, self.dilation if taps > 1 else 0) or 1
        reach = (outputs - 1) * self.stride + (taps - 1) * self.dilation
        return min(reach // step + 1, ceil_div(self.size, step))

    def _within(self, output: int, among: range, low: int, high: int) -> range:
        origin = self.position(output, 0)
        start = max(among.start, ceil_div(low - origin, self.dilation))
        stop = min(among.stop, ceil_div(high - origin, self.dilation))
        return range(start, max(start, stop))


def runs(outputs: range, key: Callable[[int], Key]) -> list[tuple[range, Key]]:
    """Consecutive outputs of one key together."""
    found: list[tuple[range, Key]] = []
    for output in outputs:
        value = key(output)
        if found and found[-1][1] == value:
            found[-1] = (range(found[-1][0].start, output + 1), value)
        else:
            found.append((range(output, output + 1), value))
    return found
