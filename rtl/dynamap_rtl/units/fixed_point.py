"""Scales as the requantiser multiplies by them: a 24-bit multiplier and a shift, which is what a float32 is.

Networks give scales as float32, whose significand has 24 bits; scale = multiplier / 2**shift then holds exactly, and
the requantiser rounds the exact product once. Loads no PyRTL: compilers use it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.errors import OverlayError

__all__ = [
    "MULTIPLIER_BITS",
    "SHIFT_BITS",
    "FixedPoint",
    "fixed_point",
    "fixed_points",
    "float32_scale",
    "requantise",
]

#: Bits of a float32's significand.
MULTIPLIER_BITS = 24
SHIFT_BITS = 6

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class FixedPoint:
    """The factor ``multiplier`` / 2**``shift``.

    Attributes:
        multiplier: 0 … 2**24 - 1.
        shift: 0 … 63.

    Raises:
        OverlayError: when one of them is out of its range.
    """

    multiplier: int
    shift: int

    def __post_init__(self) -> None:
        for name, value, bits in (
            ("multiplier", self.multiplier, MULTIPLIER_BITS),
            ("shift", self.shift, SHIFT_BITS),
        ):
            if not 0 <= value < 2**bits:
                raise OverlayError(f"a requantiser's {name} must be from 0 to {2**bits - 1}, not {value!r}")

    @property
    def value(self) -> Fraction:
        """The factor."""
        return Fraction(self.multiplier, 2**self.shift)


def fixed_point(scale: float | Fraction | np.floating) -> FixedPoint:
    """The factor nearest to a positive scale, ties to even.

    It is exactly the scale if that is a float32 from 2**-40 to 2**24. Beyond these bounds it does the same to sums of
    33 bits: a scale below 2**-40 takes all of them to zero, as does the factor 0; one from 2**24 up takes all but zero
    beyond the 8 bits, as does what is returned.

    Raises:
        OverlayError: when the scale is not a positive number.

    >>> fixed_point(0.75)
    FixedPoint(multiplier=12582912, shift=24)
    """
    if not 0 < scale < float("inf"):
        raise OverlayError(f"a scale must be a positive number, not {scale!r}")
    exact = scale if isinstance(scale, Fraction) else Fraction(float(scale))
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    if exact < Fraction(2) ** exponent:
        exponent -= 1
    shift = MULTIPLIER_BITS - 1 - exponent
    multiplier = round(exact * Fraction(2) ** shift)
    if multiplier == 2**MULTIPLIER_BITS:
        multiplier, shift = multiplier // 2, shift - 1
    if shift >= 2**SHIFT_BITS:
        return FixedPoint(0, 0)
    return FixedPoint(multiplier, max(0, shift))


def fixed_points(scales: NDArray[np.float32]) -> tuple[IntArray, IntArray]:
    """:func:`fixed_point` of many float32 scales at once: multipliers and shifts, of the shape of the scales.

    Raises:
        OverlayError: when a scale is not a positive number.
    """
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise OverlayError(f"scales must be positive numbers, not {scales.min()!r} to {scales.max()!r}")
    significand, exponent = np.frexp(scales.astype(np.float64))  # from a half to one, so that shifts fit
    multiplier = (significand * 2**MULTIPLIER_BITS).astype(np.int64)
    shift = MULTIPLIER_BITS - exponent.astype(np.int64)
    small = shift >= 2**SHIFT_BITS
    return np.where(small, 0, multiplier), np.where(small, 0, np.maximum(0, shift))


def float32_scale(x_scale: float, w_scale: float, y_scale: float) -> np.float32:
    """The scale from sums to results as ONNX Runtime computes it: x · w / y, every step rounded to float32."""
    return np.float32(np.float32(np.float32(x_scale) * np.float32(w_scale)) / np.float32(y_scale))


def requantise(
    sums: IntArray,
    *,
    multiplier: IntArray | int,
    shift: IntArray | int,
    zero_point: int,
    low: int,
    high: int,
    bias: IntArray | int = 0,
) -> IntArray:
    """clamp(round_half_even((sums + bias) · multiplier / 2**shift) + zero_point, low, high), exactly.

    The arguments broadcast. Sums, bias included, are within ±(2**36 + 2**31), so that products stay below 2**61.
    """
    product = (np.asarray(sums, dtype=np.int64) + bias) * np.asarray(multiplier, dtype=np.int64)
    # Shifted by 62 or 63, every product is below a half.
    places = np.minimum(np.asarray(shift, dtype=np.int64), 62)
    floor = product >> places
    rest = product - (floor << places)
    half = np.int64(1) << np.maximum(places - 1, 0)
    up = (places > 0) & ((rest > half) | ((rest == half) & (floor & 1 == 1)))
    result: IntArray = np.clip(floor + up + zero_point, low, high)
    return result
