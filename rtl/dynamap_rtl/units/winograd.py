"""Winograd's minimal filtering F(m, 3) in integers: matrices, bit widths, weights as the array wants them, a reference.

F(m, 3) computes m outputs of a 3-tap filter with m + 2 multiplications: y = Aᵀ[(G g) ∘ (Bᵀ d)], in two dimensions
Y = Aᵀ[(G g Gᵀ) ∘ (Bᵀ d B)]A (Lavin, Gray, Fast algorithms for convolutional neural networks, CVPR 2016, arXiv
1509.09308, equations 2 and 8). G has fractions. Scaled by the least common multiple of its denominators along each
axis, 2 for F(2, 3) and 24 for F(4, 3), it maps integers to integers, and so does everything behind it: the sums are
the true ones times ``scale`` per axis, and divide without a remainder. The result is that of a direct convolution.

Longer kernels are cut into parts of three taps, the last filled with zeros; their products add before Aᵀ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.errors import OverlayError
from dynamap_rtl.timing import ceil_div

__all__ = [
    "TAPS",
    "TILES",
    "WINOGRAD",
    "IntArray",
    "Interval",
    "WinogradMatrices",
    "convolve",
    "divide_exactly",
    "signed_bits",
    "transform_inputs",
    "transform_outputs",
    "transform_weights",
]

IntArray = NDArray[np.int64]
Rows = tuple[tuple[int, ...], ...]
#: Least and greatest value.
Interval = tuple[int, int]

#: r of F(m, r).
TAPS = 3
#: Finite interpolation points of F(m, 3); infinity is the last. Small powers of two keep the matrices cheap.
_POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 2, -2)}
#: Every m of F(m, 3) that there is.
TILES = tuple(_POINTS)


def signed_bits(interval: Interval) -> int:
    """The least two's complement width that holds every value of an interval.

    >>> signed_bits((-128, 127)), signed_bits((-128, 128))
    (8, 9)
    """
    low, high = interval
    return max((~low if low < 0 else low).bit_length(), (~high if high < 0 else high).bit_length()) + 1


def _span(coefficients: Sequence[int], interval: Interval) -> Interval:
    """What a weighted sum of independent values of an interval can be; both ends are attained."""
    positive = sum(c for c in coefficients if c > 0)
    negative = sum(c for c in coefficients if c < 0)
    low, high = interval
    return positive * low + negative * high, positive * high + negative * low


def _hull(rows: Rows, interval: Interval, *, planar: bool) -> Interval:
    """What any output of ``rows``, along one axis or (``planar``) both, can be."""
    if planar:
        rows = tuple(tuple(a * b for a in left for b in right) for left, right in product(rows, rows))
    spans = [_span(row, interval) for row in rows]
    return min(low for low, _ in spans), max(high for _, high in spans)


@dataclass(frozen=True)
class WinogradMatrices:
    """F(m, 3) with G scaled to integers.

    Attributes:
        tile: m, outputs of a tile along an axis.
        scale: what G was multiplied by, and so every result, once per transformed axis.
        input_rows: Bᵀ, (m+2) x (m+2).
        weight_rows: ``scale`` · G, (m+2) x 3.
        output_rows: Aᵀ, m x (m+2).
    """

    tile: int
    scale: int
    input_rows: Rows
    weight_rows: Rows
    output_rows: Rows

    @property
    def size(self) -> int:
        """Inputs and positions of a tile along an axis: m + 2."""
        return self.tile + TAPS - 1

    def total_scale(self, *, planar: bool) -> int:
        """What a result must be divided by."""
        return self.scale**2 if planar else self.scale

    def input_range(self, interval: Interval, *, planar: bool) -> Interval:
        """Transformed inputs, from inputs of an interval; both ends are attained."""
        return _hull(self.input_rows, interval, planar=planar)

    def weight_range(self, interval: Interval, *, planar: bool) -> Interval:
        """Transformed weights, from weights of an interval; both ends are attained."""
        return _hull(self.weight_rows, interval, planar=planar)


def _times(left: Sequence[Fraction], right: Sequence[Fraction]) -> list[Fraction]:
    """The product of two polynomials, lowest coefficient first."""
    result = [Fraction(0)] * (len(left) + len(right) - 1)
    for (i, a), (j, b) in product(enumerate(left), enumerate(right)):
        result[i + j] += a * b
    return result


def _integers(rows: Sequence[Sequence[Fraction]], scale: int) -> Rows:
    assert all((value * scale).denominator == 1 for row in rows for value in row)
    return tuple(tuple(int(value * scale) for value in row) for row in rows)


def _cook_toom(tile: int, points: Sequence[int]) -> WinogradMatrices:
    """F(tile, 3) from m + 1 finite points and infinity.

    Multiplying polynomials of degrees m-1 and 2 by their values at m + 2 points is Toom's linear convolution;
    transposed, it is the filter. Row i of Aᵀ's transpose and of G evaluates at point i (G divided by Mᵢ(aᵢ)), row i
    of Bᵀ holds the coefficients of Mᵢ(x) = ∏_{j≠i} (x - aⱼ), the last row, of infinity, those of ∏ (x - aⱼ).
    """
    finite = [Fraction(point) for point in points]
    output, weight, inputs = [], [], []
    for i, point in enumerate(finite):
        others = [Fraction(1)]
        for j, other in enumerate(finite):
            if j != i:
                others = _times(others, [-other, Fraction(1)])
        value = sum((c * point**k for k, c in enumerate(others)), Fraction(0))
        inputs.append([*others, Fraction(0)])
        weight.append([point**k / value for k in range(TAPS)])
        output.append([point**k for k in range(tile)])
    every = [Fraction(1)]
    for point in finite:
        every = _times(every, [-point, Fraction(1)])
    inputs.append(every)
    weight.append([Fraction(int(k == TAPS - 1)) for k in range(TAPS)])
    output.append([Fraction(int(k == tile - 1)) for k in range(tile)])
    scale = lcm(*(value.denominator for row in weight for value in row))
    return WinogradMatrices(
        tile, scale, _integers(inputs, 1), _integers(weight, scale), _integers(list(zip(*output, strict=True)), 1)
    )


#: The matrices by m.
WINOGRAD = {tile: _cook_toom(tile, points) for tile, points in _POINTS.items()}


def _matrices(tile: int) -> WinogradMatrices:
    if tile not in WINOGRAD:
        raise OverlayError(f"Winograd's tile must be one of {list(TILES)}, not {tile!r}")
    return WINOGRAD[tile]


def _axes(kernel: tuple[int, int]) -> tuple[bool, bool]:
    """Which axes are transformed."""
    axes = (kernel[0] >= TAPS, kernel[1] >= TAPS)
    if not any(axes) or any(extent != 1 and not axis for extent, axis in zip(kernel, axes, strict=True)):
        raise OverlayError(
            f"a {kernel[0]}x{kernel[1]} kernel has no Winograd form: one or both extents must be 3 or more and the "
            "other 1; convolve by im2col or kn2row"
        )
    return axes


def _parts(kernel: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First tap of every part, row by row: the order of parts in the reduced dimension."""
    return product(range(0, kernel[0], TAPS), range(0, kernel[1], TAPS))


def transform_weights(weights: IntArray, tile: int) -> IntArray:
    """Weights (Cout, Cin, K1, K2) as the array multiplies them: (positions, parts · Cin, Cout).

    Axes with three or more taps are transformed. Positions run row by row over the transformed tile; the reduced
    dimension runs over parts of the kernel, row by row, and within a part over channels.

    Raises:
        OverlayError: when the kernel has no Winograd form, or there is no such tile.
    """
    matrices = _matrices(tile)
    c_out, c_in, *extents = weights.shape
    kernel = (extents[0], extents[1])
    axes = _axes(kernel)
    g = np.array(matrices.weight_rows, dtype=np.int64)
    one = np.ones((1, 1), dtype=np.int64)
    left, right = (g if axis else one for axis in axes)
    padding = [(0, -extent % TAPS if axis else 0) for extent, axis in zip(kernel, axes, strict=True)]
    padded = np.pad(weights.astype(np.int64), [(0, 0), (0, 0), *padding])
    blocks = [
        np.einsum("pu,ocuv,qv->pqco", left, padded[:, :, u : u + left.shape[1], v : v + right.shape[1]], right)
        for u, v in _parts(kernel)
    ]
    return np.stack(blocks, axis=2).reshape(left.shape[0] * right.shape[0], len(blocks) * c_in, c_out)


@dataclass(frozen=True)
class _Axis:
    """One axis of a convolution: ``count`` windows of ``size`` pixels, ``step`` apart."""

    rows: IntArray
    count: int
    step: int

    @property
    def size(self) -> int:
        return int(self.rows.shape[1])


def _axis(matrices: WinogradMatrices, *, transformed: bool, outputs: int) -> _Axis:
    if not transformed:
        return _Axis(np.ones((1, 1), dtype=np.int64), outputs, 1)
    return _Axis(np.array(matrices.input_rows, dtype=np.int64), ceil_div(outputs, matrices.tile), matrices.tile)


def _outputs(size: tuple[int, int], kernel: tuple[int, int], pads: tuple[int, int, int, int]) -> tuple[int, int]:
    return size[0] + pads[0] + pads[2] - kernel[0] + 1, size[1] + pads[1] + pads[3] - kernel[1] + 1


def transform_inputs(
    inputs: IntArray, kernel: tuple[int, int], tile: int, *, pads: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> IntArray:
    """An image (Cin, H, W), zero point subtracted, as the array multiplies it: (positions, tiles, parts · Cin).

    Tiles run row by row over the output; a tile of part (u, v) is moved by (u, v) taps. ``pads`` are top, left,
    bottom, right; what a tile covers beyond them is zero as well.
    """
    matrices = _matrices(tile)
    axes = _axes(kernel)
    heights, widths = (
        _axis(matrices, transformed=axis, outputs=outputs)
        for axis, outputs in zip(axes, _outputs(inputs.shape[1:3], kernel, pads), strict=True)
    )
    reach = [
        (axis.count - 1) * axis.step + (extent - 1) // TAPS * TAPS + axis.size
        for axis, extent in zip((heights, widths), kernel, strict=True)
    ]
    padded = np.zeros((inputs.shape[0], *reach), dtype=np.int64)
    bottom, right = (
        min(end, start + size) for end, start, size in zip(reach, (pads[0], pads[1]), inputs.shape[1:], strict=True)
    )
    padded[:, pads[0] : bottom, pads[1] : right] = inputs[:, : bottom - pads[0], : right - pads[1]]
    blocks = []
    for u, v in _parts(kernel):
        moved = padded[:, u:, v:]
        windows = np.lib.stride_tricks.sliding_window_view(moved, (heights.size, widths.size), axis=(1, 2))
        windows = windows[:, :: heights.step, :: widths.step][:, : heights.count, : widths.count]
        blocks.append(np.einsum("pu,cijuv,qv->pqijc", heights.rows, windows, widths.rows))
    positions, tiles = heights.size * widths.size, heights.count * widths.count
    return np.stack(blocks, axis=4).reshape(positions, tiles, len(blocks) * inputs.shape[0])


def divide_exactly(values: IntArray, scale: int, *, bits: int = 32) -> IntArray:
    """Sums that are known modulo 2**(bits + s) and to be multiples of ``scale`` = 2**s · odd, divided by it.

    Let the true quotient q fit ``bits`` signed bits and a value be scale · q modulo 2**(bits + s). Its s low bits are
    zero; the others are odd · q modulo 2**bits, and multiplied by the inverse of odd modulo 2**bits (there is one:
    odd and 2 are coprime) they are q modulo 2**bits, which is q. Nothing is asked of the bits above.
    """
    shift = (scale & -scale).bit_length() - 1
    inverse = pow(scale >> shift, -1, 2**bits)
    low = (values.astype(np.int64).view(np.uint64) >> np.uint64(shift)) & np.uint64(2**bits - 1)
    quotient = (low * np.uint64(inverse)) & np.uint64(2**bits - 1)  # wraps modulo 2**64, a multiple of 2**bits
    half = np.int64(2 ** (bits - 1))
    return (quotient.view(np.int64) ^ half) - half


def transform_outputs(products: IntArray, kernel: tuple[int, int], tile: int, *, outputs: tuple[int, int]) -> IntArray:
    """Sums (positions, tiles, Cout), modulo 2**48 or exact, made into the image (Cout, *outputs)."""
    matrices = _matrices(tile)
    axes = _axes(kernel)
    heights, widths = (
        _axis(matrices, transformed=axis, outputs=extent) for axis, extent in zip(axes, outputs, strict=True)
    )
    a = np.array(matrices.output_rows, dtype=np.int64)
    one = np.ones((1, 1), dtype=np.int64)
    left, right = (a if axis else one for axis in axes)
    shape = (heights.size, widths.size, heights.count, widths.count, products.shape[2])
    image = np.einsum("pu,uvijo,qv->oipjq", left, products.reshape(shape), right)
    image = image.reshape(products.shape[2], heights.count * left.shape[0], widths.count * right.shape[0])
    scale = matrices.total_scale(planar=all(axes))
    return divide_exactly(image[:, : outputs[0], : outputs[1]], scale)


def convolve(
    inputs: IntArray, weights: IntArray, tile: int, *, pads: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> IntArray:
    """A convolution of unit stride by Winograd, (Cin, H, W) with (Cout, Cin, K1, K2) to (Cout, O1, O2).

    Sums wrap modulo 2**48, as in the accumulators; the result is exact when it fits 32 bits.
    """
    kernel = (weights.shape[2], weights.shape[3])
    sums = np.matmul(transform_inputs(inputs, kernel, tile, pads=pads), transform_weights(weights, tile))
    sums = ((sums & (2**48 - 1)) ^ 2**47) - 2**47
    return transform_outputs(sums, kernel, tile, outputs=_outputs(inputs.shape[1:3], kernel, pads))
