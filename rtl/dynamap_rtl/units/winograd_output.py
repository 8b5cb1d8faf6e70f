"""Winograd's output transform Aᵀ M A, or Aᵀ M along one axis, of a stream of tiles of sums, divided by the scale of G.

Vectors of ``lanes`` sums, one position each, row by row through a tile of (m+2)² positions (m+2 along one axis); m²
(m) vectors of true sums leave, pixel by pixel, row by row. For the handshake, the choice of transform and the latency
see ``tile_transform``; by its third rule one vector goes in in every cycle.

Why few bits are enough. Accumulators hold sums modulo 2**48. A true output y of ``result_width`` = b bits appears
behind Aᵀ M A as scale · y, scale = 2**s · odd, one of 2, 4 (F(2, 3)), 24, 576 (F(4, 3)). Adding, subtracting and
shifting left commute with "modulo 2**w" for any w, so that from the low b + s bits of the sums the low b + s bits of
scale · y follow, whatever wrapped on the way. Their lowest s bits are zero, the others are odd · y modulo 2**b;
multiplied by the inverse of odd modulo 2**b they are y modulo 2**b, and y fits b bits. So the transform is b + 6 = 38
bits wide for F(4x4, 3x3), and any accumulator of at least as many bits will do.

The inverse of 2**a + 1 modulo 2**b is (1 - 2**a)(1 + 2**2a)(1 + 2**4a)…, as far as the powers are below 2**b, because
the product with 2**a + 1 telescopes to 1 - 2**(2**j · a): four or five additions, no multiplier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyrtl

from dynamap_rtl.errors import OverlayError
from dynamap_rtl.hardware import Design, delayed

from .tile_transform import Finish, Mode, TileTransform, check_modes, transform_module
from .winograd import WINOGRAD, IntArray, divide_exactly

__all__ = ["WinogradOutput"]

#: Registers of the division: shift and first factor, then two factors a cycle.
_FACTORS_PER_CYCLE = 2


def _split(scale: int) -> tuple[int, int]:
    """(s, odd) with scale = 2**s · odd."""
    shift = (scale & -scale).bit_length() - 1
    return shift, scale >> shift


def _factors(odd: int, bits: int) -> list[int]:
    """Shifts e of the factors 1 - 2**e₀, 1 + 2**e₁, … whose product is the inverse of odd modulo 2**bits."""
    if odd == 1:
        return []
    shift = (odd - 1).bit_length() - 1
    assert odd == 2**shift + 1
    factors = []
    while shift < bits:
        factors.append(shift)
        shift *= 2
    return factors


@dataclass(frozen=True, kw_only=True)
class WinogradOutput:
    """Parameters of the unit.

    Attributes:
        lanes: sums of a vector.
        tiles: every m of F(m, 3) that can be chosen at run time.
        axes: 1, 2 or both can be chosen.
        in_width: bits of a sum, which may have wrapped.
        result_width: bits that every true output fits.

    Raises:
        OverlayError: when there is no such unit, or its sums are too narrow to tell the outputs apart.
    """

    lanes: int
    tiles: tuple[int, ...] = (2, 4)
    axes: tuple[int, ...] = (1, 2)
    in_width: int = 48
    result_width: int = 32

    def __post_init__(self) -> None:
        check_modes("Winograd's output transform", lanes=self.lanes, tiles=self.tiles, axes=self.axes)
        if self.in_width < self.sum_width:
            raise OverlayError(
                f"Winograd's output transform: sums need {self.sum_width} bits for {self.result_width}-bit outputs, "
                f"in_width is {self.in_width}; widen the accumulators"
            )

    def scale(self, tile: int, *, planar: bool) -> int:
        """What outputs are divided by."""
        return WINOGRAD[tile].total_scale(planar=planar)

    @cached_property
    def _modes(self) -> list[tuple[int, bool]]:
        return [(tile, axes == 2) for tile in self.tiles for axes in self.axes]

    @property
    def sum_width(self) -> int:
        """Bits of the sums that are looked at."""
        return self.result_width + max(_split(self.scale(tile, planar=planar))[0] for tile, planar in self._modes)

    @cached_property
    def transform(self) -> TileTransform:
        """The same as a stream of tiles, with latency and cycles."""
        return TileTransform(
            name=f"winograd_output_f{'f'.join(map(str, self.tiles))}_{'_'.join(f'{a}d' for a in self.axes)}"
            f"_{self.lanes}x{self.in_width}_{self.result_width}",
            lanes=self.lanes,
            matrices={tile: WINOGRAD[tile].output_rows for tile in self.tiles},
            axes=self.axes,
            in_width=self.in_width,
            kept_width=self.sum_width,
            between_width=self.sum_width,
            sum_width=self.sum_width,
            finish=Finish(self._division_cycles, self.result_width, self._divide),
        )

    @cached_property
    def _steps(self) -> int:
        """Factors of the longest inverse."""
        return max(
            len(_factors(_split(self.scale(tile, planar=planar))[1], self.result_width)) for tile, planar in self._modes
        )

    @property
    def _division_cycles(self) -> int:
        return 1 + -(-max(0, self._steps - 1) // _FACTORS_PER_CYCLE)

    def _divide(self, value: pyrtl.WireVector, mode: Mode) -> pyrtl.WireVector:
        bits = self.result_width

        def choose(options: Sequence[pyrtl.WireVector]) -> pyrtl.WireVector:
            """The option of the running mode; options are in the order of ``_modes``."""
            by_tile = []
            for k in range(0, len(options), len(self.axes)):
                linear_or_planar = options[k : k + len(self.axes)]
                by_tile.append(_either(mode[1], linear_or_planar))
            return _either(mode[0], by_tile)

        splits = [_split(self.scale(tile, planar=planar)) for tile, planar in self._modes]
        value = choose([value[shift : shift + bits] for shift, _ in splits])
        for step in range(self._steps):
            moved = []
            for _, odd in splits:
                shifts = _factors(odd, bits)
                moved.append(
                    pyrtl.concat(value[: bits - shifts[step]], pyrtl.Const(0, bitwidth=shifts[step]))
                    if step < len(shifts)
                    else pyrtl.Const(0, bitwidth=bits)
                )
            other = choose(moved)
            value = (value - other)[:bits] if step == 0 else (value + other)[:bits]
            if step % _FACTORS_PER_CYCLE == 0 or step == self._steps - 1:
                value = delayed(value, 1, f"quotient_{step}")
        return value if self._steps else delayed(value, 1, "quotient")

    def create(self) -> Design:
        """The circuit; ports as in ``tile_transform``."""
        return transform_module(self.transform)

    def compute(self, tiles: IntArray, tile: int, *, planar: bool) -> IntArray:
        """What the circuit answers: (..., n, n, lanes) to (..., m, m, lanes), or (..., n, lanes) to (..., m, lanes)."""
        rows = np.array(WINOGRAD[tile].output_rows, dtype=np.int64)
        subscripts = "pi,...ijc,qj->...pqc" if planar else "pi,...ic->...pc"
        sums = np.einsum(subscripts, rows, tiles, rows) if planar else np.einsum(subscripts, rows, tiles)
        return divide_exactly(sums, self.scale(tile, planar=planar), bits=self.result_width)


def _either(choice: pyrtl.WireVector, options: Sequence[pyrtl.WireVector]) -> pyrtl.WireVector:
    return options[0] if len(options) == 1 else pyrtl.select(choice, options[1], options[0])
