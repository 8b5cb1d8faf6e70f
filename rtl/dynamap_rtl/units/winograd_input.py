"""Winograd's input transform Bᵀ d B, or Bᵀ d along one axis, of a stream of tiles.

Vectors of ``lanes`` channels, one pixel each, row by row through a tile of (m+2)² pixels (m+2 along one axis); as many
transformed vectors leave, one position each, row by row: the order of positions of ``transform_weights``. For the
handshake, the choice of transform and the latency see ``tile_transform``; by its third rule one vector goes in and one
comes out in every cycle.

Widths are computed from the matrices (``WinogradMatrices.input_range``): with 9-bit inputs F(2, 3) needs 10 bits along
one axis and 11 in two, F(4, 3) 13 and 16. Sums on the way wrap modulo 2**width and come out right, because the
transformed value fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dynamap_rtl.hardware import Design

from .tile_transform import TileTransform, check_modes, transform_module
from .winograd import WINOGRAD, IntArray, signed_bits

__all__ = ["WinogradInput"]


@dataclass(frozen=True, kw_only=True)
class WinogradInput:
    """Parameters of the unit.

    Attributes:
        lanes: channels of a vector.
        tiles: every m of F(m, 3) that can be chosen at run time.
        axes: 1, 2 or both can be chosen.
        in_width: bits of a signed pixel.

    Raises:
        OverlayError: when there is no such unit.
    """

    lanes: int
    tiles: tuple[int, ...] = (2, 4)
    axes: tuple[int, ...] = (1, 2)
    in_width: int = 9

    def __post_init__(self) -> None:
        check_modes("Winograd's input transform", lanes=self.lanes, tiles=self.tiles, axes=self.axes)

    def range_bits(self, tile: int, *, planar: bool) -> int:
        """Bits that F(tile, 3) of any pixels needs."""
        pixel = (-(2 ** (self.in_width - 1)), 2 ** (self.in_width - 1) - 1)
        return signed_bits(WINOGRAD[tile].input_range(pixel, planar=planar))

    @property
    def out_width(self) -> int:
        """Bits of a transformed value: of the widest transform that can be chosen."""
        return self.transform.out_width

    @cached_property
    def transform(self) -> TileTransform:
        """The same as a stream of tiles, with latency and cycles."""
        between = max(self.range_bits(tile, planar=False) for tile in self.tiles)
        return TileTransform(
            name=f"winograd_input_f{'f'.join(map(str, self.tiles))}_{'_'.join(f'{a}d' for a in self.axes)}"
            f"_{self.lanes}x{self.in_width}",
            lanes=self.lanes,
            matrices={tile: WINOGRAD[tile].input_rows for tile in self.tiles},
            axes=self.axes,
            in_width=self.in_width,
            # With one axis only the data goes to the collector as it came.
            between_width=between if 2 in self.axes else self.in_width,
            sum_width=max(self.range_bits(tile, planar=axes == 2) for tile in self.tiles for axes in self.axes),
        )

    def create(self) -> Design:
        """The circuit; ports as in ``tile_transform``."""
        return transform_module(self.transform)

    def compute(self, tiles: IntArray, tile: int, *, planar: bool) -> IntArray:
        """What the circuit answers: (..., n, n, lanes) or (..., n, lanes) in and out."""
        rows = np.array(WINOGRAD[tile].input_rows, dtype=np.int64)
        result: IntArray = (
            np.einsum("pi,...ijc,qj->...pqc", rows, tiles, rows)
            if planar
            else np.einsum("pi,...ic->...pc", rows, tiles)
        )
        return result
