"""Pooling and element-wise addition on the vector path: coefficients, biases and scales, and the exact results.

A value x, the stored one less its zero point, is multiplied by a coefficient of 18 bits (``vector_lanes``);
accumulators add the products of an output value, or keep the greatest; the requantiser (``fixed_point.requantise``)
makes the result. The same three units do all of it:

- max pooling: coefficient 1, lifted by 256; bias -256, scale 1. Padding is not taken.
- average pooling: padding is not taken (it is zero). The scale divides by the window. Where padding does not count,
  windows have different counts: coefficient L / count and a scale that divides by L, their least common multiple.
- addition: the two operands one after the other, each with its coefficient; see :func:`addition`.
- ReLU and clips of any result: the requantiser's clamps; see :func:`clamps`.

Where a result lies exactly between two integers, it matters whether the zero point is added before or after rounding
to even. ONNX says after (``QuantizeLinear``), and ONNX Runtime's ``QLinearConv`` and ``QLinearGlobalAveragePool`` do
so; its ``QLinearAdd`` and ``QLinearAveragePool`` round with the zero point inside. Both can be had: inside, the zero
point is part of the bias, as far as it is a multiple of the scale. Loads no PyRTL: compilers use it as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.errors import OverlayError

from .fixed_point import FixedPoint, fixed_point, requantise

__all__ = [
    "COEFFICIENT_BITS",
    "LIFT",
    "Addition",
    "Averaging",
    "Finishing",
    "Windows",
    "add",
    "addition",
    "average_pool",
    "averaging",
    "clamps",
    "finishing",
    "global_average_pool",
    "max_pool",
]

IntArray = NDArray[np.int64]
Clamps = tuple[int, int]

#: Bits of a signed coefficient.
COEFFICIENT_BITS = 18
#: What a lane adds to 9-bit values for max pooling.
LIFT = 256

_GREATEST = 2 ** (COEFFICIENT_BITS - 1) - 1
#: Average pooling's L, so that sums of L · 9-bit averages stay within 32 bits.
_GREATEST_DIVISOR = 2**23 - 1
_BIAS_BITS = 32


@dataclass(frozen=True, kw_only=True)
class Finishing:
    """What the requantiser is given for a layer of the vector path.

    Attributes:
        factor: multiplier and shift.
        zero_point: added after rounding.
        bias: added to sums.
    """

    factor: FixedPoint
    zero_point: int
    bias: int = 0

    def apply(self, sums: IntArray, limits: Clamps) -> IntArray:
        """The results of sums."""
        return requantise(
            sums,
            bias=self.bias,
            multiplier=self.factor.multiplier,
            shift=self.factor.shift,
            zero_point=self.zero_point,
            low=limits[0],
            high=limits[1],
        )


def finishing(factor: FixedPoint, zero_point: int, *, zero_point_inside: bool) -> Finishing:
    """Round with the zero point inside if that is wanted and it is a multiple of the factor that fits the bias."""
    if zero_point_inside and factor.multiplier:
        bias = zero_point / factor.value
        if bias.denominator == 1 and abs(bias) < 2 ** (_BIAS_BITS - 1):
            return Finishing(factor=factor, zero_point=0, bias=int(bias))
    return Finishing(factor=factor, zero_point=zero_point)


def clamps(
    *, signed: bool, scale: float, zero_point: int, minimum: float | None = None, maximum: float | None = None
) -> Clamps:
    """Clamps that saturate to int8 or uint8 and clip the real result: ReLU is ``minimum`` 0, ReLU6 0 and 6.

    The same as dequantising, clipping and quantising again.

    Raises:
        OverlayError: when nothing is between the bounds.
    """
    low, high = (-128, 127) if signed else (0, 255)
    if minimum is not None and maximum is not None and minimum > maximum:
        raise OverlayError(f"a clip's minimum must not exceed its maximum, {minimum!r} > {maximum!r}")

    def quantised(value: float) -> int:
        # In float32, as QuantizeLinear: 2.5 / 0.33333334 is 7.5 there.
        return min(max(int(np.rint(np.float32(value) / np.float32(scale))) + zero_point, low), high)

    return (
        low if minimum is None else quantised(minimum),
        high if maximum is None else quantised(maximum),
    )


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Pooling windows; axes in the order height, width, pads as top, left, bottom, right.

    Raises:
        OverlayError: when there is padding as wide as a window, which then would hold nothing.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if any(pad >= reach for pad, reach in zip(self.pads, self._reach * 2, strict=True)):
            raise OverlayError(f"pooling pads {self.pads} must be smaller than the window, {self._reach}")

    @property
    def _reach(self) -> tuple[int, int]:
        return (
            (self.kernel[0] - 1) * self.dilations[0] + 1,
            (self.kernel[1] - 1) * self.dilations[1] + 1,
        )

    @property
    def size(self) -> int:
        """Values of a window, padding included."""
        return self.kernel[0] * self.kernel[1]

    def of(self, image: IntArray, fill: int) -> IntArray:
        """The windows of (C, H, W), padded with ``fill``: (C, O1, O2, kernel size)."""
        top, left, bottom, right = self.pads
        padded = np.pad(image, ((0, 0), (top, bottom), (left, right)), constant_values=fill)
        view = np.lib.stride_tricks.sliding_window_view(padded, self._reach, axis=(1, 2))
        view = view[:, :: self.strides[0], :: self.strides[1], :: self.dilations[0], :: self.dilations[1]]
        return view.reshape(*view.shape[:3], self.size)

    def counts(self, size: tuple[int, int]) -> IntArray:
        """How many values of every window are not padding: (O1, O2)."""
        result: IntArray = self.of(np.ones((1, *size), dtype=np.int64), 0)[0].sum(axis=-1)
        return result


def max_pool(image: IntArray, windows: Windows, *, zero_point: int, limits: Clamps) -> IntArray:
    """The greatest stored value of every window of (C, H, W), clamped; equal to ONNX's MaxPool."""
    lifted = windows.of(image - zero_point + LIFT, 0).max(axis=-1, initial=0)
    unit = Finishing(factor=fixed_point(1), zero_point=zero_point, bias=-LIFT)
    return unit.apply(lifted, limits)


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """How windows of different counts are averaged.

    Attributes:
        divisor: L.
        coefficients: by count, L / count, or the integer nearest to it if no L is a multiple of all counts.
        factor: input scale / (output scale · L).
    """

    divisor: int
    coefficients: dict[int, int]
    factor: FixedPoint

    @property
    def is_exact(self) -> bool:
        """Coefficients are exactly L / count."""
        return all(count * value == self.divisor for count, value in self.coefficients.items())


def averaging(counts: Iterable[int], *, x_scale: float, y_scale: float) -> Averaging:
    """Coefficients and scale for windows of these counts.

    The least common multiple of the counts is taken if coefficients fit their 18 bits and sums their 32; for windows
    up to 7 x 7 padded by up to 3, on images no smaller, they do. Else the greatest L that fits, and coefficients
    rounded: an average is then off by up to 128 · count / L input units before it is rounded.

    Raises:
        OverlayError: when a sum could leave 32 bits.
    """
    different = sorted(set(counts))
    if different[-1] > _GREATEST_DIVISOR:
        raise OverlayError(
            f"an average of {different[-1]} values does not fit 32-bit sums; at most {_GREATEST_DIVISOR}, pool in steps"
        )
    greatest = min(different[0] * _GREATEST, _GREATEST_DIVISOR)
    divisor = lcm(*different)
    divisor = min(divisor, greatest)
    return Averaging(
        divisor=divisor,
        coefficients={count: round(Fraction(divisor, count)) for count in different},
        factor=fixed_point(Fraction(float(x_scale)) / (Fraction(float(y_scale)) * divisor)),
    )


def average_pool(
    image: IntArray,
    windows: Windows,
    *,
    count_include_pad: bool,
    x_scale: float,
    x_zero_point: int,
    y_scale: float,
    y_zero_point: int,
    limits: Clamps,
    zero_point_inside: bool = True,
) -> IntArray:
    """The average of every window of (C, H, W), of all its values or only of those that are not padding.

    The average is rounded once, exact but for the scale's 24 bits (and inexact coefficients, see ``averaging``). It
    differs from ONNX Runtime's QLinearAveragePool by one unit at most, and only where the average is within 2**-10 of a
    tie. With scales and counts powers of two they are equal. Ties are common with equal scales and even counts (a 3 x 3
    window at the edge holds 6 values); as 1/6 has no end in binary, neither side can promise to round them to even.
    """
    counts = windows.counts((image.shape[1], image.shape[2]))
    if count_include_pad:
        counts = np.full_like(counts, windows.size)
    how = averaging(counts.ravel().tolist(), x_scale=x_scale, y_scale=y_scale)
    coefficients = np.vectorize(how.coefficients.__getitem__, otypes=[np.int64])(counts)
    sums = (windows.of(image - x_zero_point, 0) * coefficients[..., None]).sum(axis=-1)
    return finishing(how.factor, y_zero_point, zero_point_inside=zero_point_inside).apply(sums, limits)


def global_average_pool(
    image: IntArray,
    *,
    x_scale: float,
    x_zero_point: int,
    y_scale: float,
    y_zero_point: int,
    limits: Clamps,
) -> IntArray:
    """The average of every channel of (C, H, W), as (C, 1, 1); compared to QLinearGlobalAveragePool as averages are."""
    return average_pool(
        image,
        Windows(kernel=(image.shape[1], image.shape[2])),
        count_include_pad=True,
        x_scale=x_scale,
        x_zero_point=x_zero_point,
        y_scale=y_scale,
        y_zero_point=y_zero_point,
        limits=limits,
        zero_point_inside=False,
    )


@dataclass(frozen=True, kw_only=True)
class Addition:
    """Coefficients of two operands and what their sum is multiplied by."""

    a_coefficient: int
    b_coefficient: int
    factor: FixedPoint


def addition(*, a_scale: float, b_scale: float, y_scale: float) -> Addition:
    """How (a · a_scale + b · b_scale) / y_scale is computed.

    The ratio of the smaller scale to the greater is taken as the nearest fraction with a denominator of 17 bits; its
    terms are the coefficients, and the factor does the rest. Such fractions are at most 2**-17 apart, so that the
    ratio is off by 2**-18 at most, and a sum by 2**-10 · greater scale / y_scale. A ratio of a power of two down to
    2**-16 is exact.

    Raises:
        OverlayError: when a scale is not positive.
    """
    a, b, y = (Fraction(float(scale)) for scale in (a_scale, b_scale, y_scale))
    for name, scale in (("a_scale", a), ("b_scale", b), ("y_scale", y)):
        if scale <= 0:
            raise OverlayError(f"{name} of an addition must be positive, not {float(scale)!r}")
    great, small = max(a, b), min(a, b)
    ratio = (small / great).limit_denominator(_GREATEST)
    factor = fixed_point(great / (y * ratio.denominator))
    if a >= b:
        return Addition(a_coefficient=ratio.denominator, b_coefficient=ratio.numerator, factor=factor)
    return Addition(a_coefficient=ratio.numerator, b_coefficient=ratio.denominator, factor=factor)


def add(
    a: IntArray,
    b: IntArray,
    *,
    a_scale: float,
    a_zero_point: int,
    b_scale: float,
    b_zero_point: int,
    y_scale: float,
    y_zero_point: int,
    limits: Clamps,
    zero_point_inside: bool = True,
) -> IntArray:
    """The sum of two stored tensors of one shape.

    Equal to ONNX Runtime's QLinearAdd where all scales are powers of two, those of the operands no more than 2**16
    apart, and float32 holds the sum; else at most one unit from it, and only where the exact sum is within
    2**-9 · (greater operand scale) / y_scale of a tie.
    """
    how = addition(a_scale=a_scale, b_scale=b_scale, y_scale=y_scale)
    sums = (a - a_zero_point) * how.a_coefficient + (b - b_zero_point) * how.b_coefficient
    return finishing(how.factor, y_zero_point, zero_point_inside=zero_point_inside).apply(sums, limits)
