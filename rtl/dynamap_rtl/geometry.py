"""The geometry of convolutions, and of windows that slide over feature maps; no values, no addresses."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConvShape", "WindowShape"]


@dataclass(frozen=True)
class ConvShape:
    """A convolution or, as one over a single pixel, a matrix-vector product.

    Pairs are (vertical, horizontal), pads (top, left, bottom, right).
    """

    in_height: int
    in_width: int
    in_channels: int
    out_height: int
    out_width: int
    out_channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def pixels(self) -> int:
        """Output pixels."""
        return self.out_height * self.out_width

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the direct convolution."""
        return self.pixels * self.out_channels * self.kernel[0] * self.kernel[1] * (self.in_channels // self.groups)

    @property
    def weight_count(self) -> int:
        """Number of weights."""
        return self.kernel[0] * self.kernel[1] * (self.in_channels // self.groups) * self.out_channels

    def outputs_met(self, axis: int) -> list[int]:
        """For each kernel element along an axis (0 vertical), the number of outputs whose input is not padding."""
        size, out = (self.in_height, self.in_width)[axis], (self.out_height, self.out_width)[axis]
        stride, pad = self.stride[axis], self.pads[axis]
        met = []
        for tap in range(self.kernel[axis]):
            shift = tap * self.dilation[axis] - pad
            first = max(0, -(shift // stride) if shift < 0 else 0)
            last = min(out - 1, (size - 1 - shift) // stride)
            met.append(max(0, last - first + 1))
        return met


@dataclass(frozen=True)
class WindowShape:
    """Windows over one feature map (pooling), or over single pixels of several (addition), channel by channel.

    Attributes:
        in_height: rows of a map.
        in_width: its columns.
        channels: of it, and of the result.
        out_height: rows of the result.
        out_width: its columns.
        kernel: (vertical, horizontal), as all pairs.
        stride: likewise.
        pads: top, left.
        terms: maps that are added.
        divisors: whether windows with fewer taps in the map are finished by themselves (an average).
    """

    in_height: int
    in_width: int
    channels: int
    out_height: int
    out_width: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    terms: int = 1
    divisors: bool = False
