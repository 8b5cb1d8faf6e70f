"""What the products of a layer load, and when: pieces, runs and padding of both operands, for all array shapes at once.

Which blocks stay in a buffer follows from the order of blocks (:mod:`dynamap_rtl.layer_blocks`); pieces of whole
windows are counted by :mod:`dynamap_rtl.load_work`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .block_work import BoolArray, Following, Load, Loop
from .geometry import ConvShape
from .layer_blocks import Cut, LayerBlocks
from .load_work import row_pieces, run_pieces_of, window_pieces
from .pipeline import run_queue
from .sizes import IntArray, Sizes, down, up
from .timing import Dataflow

__all__ = ["LayerLoads", "LoadSize", "Padding", "Place", "activation_pieces", "block_padding"]

#: From a place to its pixels that are padding before the first one, and behind the last one, that is not.
Padding = Callable[[Loop], tuple[IntArray, IntArray]]

_HELD = 3  # beats in a loader


@dataclass(frozen=True)
class Place:
    """Whether a product belongs to the last pack, the last blocks and the last part."""

    last_pack: BoolArray
    last_pixels: BoolArray
    last_channels: BoolArray
    last_part: BoolArray


@dataclass(frozen=True)
class LoadSize:
    """One load.

    Attributes:
        pieces: of it; with cycles in which it moves nothing.
        runs: bursts, or stretches of padding.
        beats: of its bursts.
        idle: such cycles.
    """

    pieces: IntArray
    runs: IntArray
    beats: IntArray
    idle: IntArray | int = 0

    @property
    def kept(self) -> IntArray:
        """Pieces that are in the loader already when the last beat has left the port."""
        more = np.maximum(0, self.pieces - self.idle - self.beats)
        return down(np.minimum(_HELD, self.beats) * more, self.beats)

    def queued(self, ahead: int) -> IntArray:
        """Pieces of the runs that are asked for and not yet written, at most."""
        return np.where(self.runs > ahead, down(self.pieces * ahead, self.runs), self.pieces)


class LayerLoads:
    """Loads of all products of a layer.

    Args:
        blocks: how it is cut.
        sizes: of the overlays.
        activations: from the place of a product to the load of its activations.
        weights: likewise.
        padding: of activations; None if parts have none of their own.
    """

    def __init__(
        self,
        blocks: LayerBlocks,
        sizes: Sizes,
        *,
        activations: Callable[[Place], LoadSize],
        weights: Callable[[Place], LoadSize],
        padding: Padding | None,
    ) -> None:
        self._blocks, self._sizes, self._padding = blocks, sizes, padding
        self._ahead = run_queue(sizes.latency)
        self._activation_size, self._weight_size = activations, weights
        parts, outer = blocks.parts, blocks.pixels_outer
        self.counts = (
            blocks.packs,
            np.where(outer, blocks.pixel_blocks, blocks.output_blocks),
            np.where(outer, blocks.output_blocks, blocks.pixel_blocks),
            parts,
        )
        self._whole_weights = blocks.joined | (parts == 1)
        weight_blocks = blocks.output_blocks * np.where(blocks.joined, 1, parts)
        self._weights_stay = np.where(outer, weight_blocks <= 2, blocks.joined | (parts <= 2))
        self._activations_stay = np.where(outer, parts <= 2, blocks.pixel_blocks * parts <= 2)
        # Of two blocks that stay, products use the older and the other in turns: parts, or blocks of the inner loop.
        self._weights_in_turns = self._whole_weights & outer & (blocks.output_blocks == 2)
        self._activations_in_turns = (parts == 1) & ~outer & (blocks.pixel_blocks == 2)

    def place(self, pack: BoolArray, outer: BoolArray, inner: BoolArray, part: BoolArray) -> Place:
        """From whether these are the last iterations of the loops over packs, blocks and parts."""
        pixels = self._blocks.pixels_outer
        return Place(pack, np.where(pixels, outer, inner), np.where(pixels, inner, outer), part)

    def activations(self, loop: Loop) -> Load:
        """What a product needs of activations."""
        size = self._activation_size(self.place(*loop.last))
        before, behind = 0 * size.pieces, size.kept + size.idle
        if self._padding is not None:
            leading, trailing = self._padding(loop)
            before = np.minimum(size.pieces, leading)
            # Nobody else can ask for anything before its last run has been asked for.
            asking = np.where(size.runs > self._ahead, size.queued(self._ahead) - self._sizes.latency, 0)
            most = np.where(size.runs > self._ahead, np.maximum(0, asking), size.pieces - size.runs)
            behind = np.minimum(behind + trailing, most)
        first_outer, first_inner, first_part = loop.first[1:]
        again = self._activations_in_turns & first_inner & ~first_outer
        loads = self._loads_activations(*loop.first[1:])
        return Load(
            pieces=size.pieces,
            before=before,
            behind=behind,
            asks=size.runs,
            loads=loads,
            older=~loads & np.where(self._blocks.parts == 2, first_part, again),
        )

    def weights(self, loop: Loop) -> Load:
        """What a product needs of weights."""
        size = self._weight_size(self.place(*loop.last))
        first_outer, first_inner, first_part = loop.first[1:]
        again = self._weights_in_turns & first_inner & ~first_outer
        loads = self._loads_weights(*loop.first[1:])
        return Load(
            pieces=size.pieces,
            before=0 * size.pieces,
            behind=size.kept,
            asks=size.runs,
            loads=loads,
            older=~loads & np.where(self._whole_weights, again, (self._blocks.parts == 2) & first_part),
        )

    def following(self, side: str, loop: Loop) -> Following:
        """The next load of activations or weights behind a product.

        It is for the next part, or else block of the inner loop, of the outer one, or pack.
        """
        if side == "activations":
            loads, size_at = self._loads_activations, self._activation_size
        else:
            loads, size_at = self._loads_weights, self._weight_size
        outer, inner, _ = loop.first[1:]
        last_pack, last_outer, last_inner, last_part = loop.last
        no, yes = np.zeros_like(outer), np.ones_like(outer)
        part = ~last_part & loads(outer, inner, no)
        block = ~part & ~last_inner & loads(outer, no, yes)
        other = ~part & ~block & ~last_outer & loads(no, yes, yes)
        pack = ~(part | block | other) & ~last_pack
        soon = 1 * part + 2 * (block & loop.near[3]) + 3 * (other & loop.near[2]) + 4 * (pack & loop.near[1])
        place = self.place(
            np.where(pack, loop.then_last[0], last_pack),
            np.where(other, loop.then_last[1], np.where(pack, self.counts[1] == 1, last_outer)),
            np.where(part, last_inner, np.where(block, loop.then_last[2], self.counts[2] == 1)),
            np.where(part, loop.then_last[3], self.counts[3] == 1),
        )
        size = size_at(place)
        return Following(soon=soon, pieces=size.pieces, queued=size.queued(self._ahead))

    def _loads_activations(self, outer: BoolArray, inner: BoolArray, part: BoolArray) -> BoolArray:  # noqa: ARG002 - called as the other
        """Whether they are loaded, from whether these are the first iterations; all the more in first ones."""
        return np.where(self._blocks.pixels_outer, inner, outer) | ~self._activations_stay

    def _loads_weights(self, outer: BoolArray, inner: BoolArray, part: BoolArray) -> BoolArray:
        again = np.where(self._blocks.pixels_outer, outer, inner) | ~self._weights_stay
        return np.asarray(again & (part | ~self._blocks.joined), dtype=bool)


def block_padding(conv: ConvShape, blocks: LayerBlocks, piece: IntArray) -> Padding | None:
    """Padding of blocks that are loaded by parts of the kernel; rows of it, columns are left out.

    Args:
        conv: the layer.
        blocks: how it is cut.
        piece: pieces of a pixel.
    """
    step, size = conv.stride[0], conv.out_height
    shifts = [row * conv.dilation[0] - conv.pads[0] for row in range(conv.kernel[0])]
    # Rows of outputs that find a row of the kernel above the map, and below.
    above = [min(size, max(0, -(shift // step))) for shift in shifts]
    below = [size - min(size, max(0, (conv.in_height - 1 - shift) // step + 1)) for shift in shifts]
    by_parts = blocks.cut >= Cut.ROWS
    if not (any(above) or any(below)) or not by_parts.any():
        return None

    def pieces(loop: Loop, rows: list[int], at_border: BoolArray) -> IntArray:
        """The first part's and the last one's as they are, of the others the mean."""
        of_a_row = conv.out_width * piece
        others = np.maximum(0, sum(rows) * blocks.parts // len(rows) - rows[0] - rows[-1])
        found = np.where(loop.first[3], rows[0], rows[-1]) * of_a_row
        mean = down(others * of_a_row, np.maximum(1, blocks.parts - 2))
        found = np.where(loop.first[3] | loop.last[3], found, mean)
        return np.where(by_parts & at_border, found, 0)

    def padding(loop: Loop) -> tuple[IntArray, IntArray]:
        first = np.where(blocks.pixels_outer, loop.first[1], loop.first[2])
        last = np.where(blocks.pixels_outer, loop.last[1], loop.last[2])
        return pieces(loop, above, first), pieces(loop, below, last)

    return padding


def activation_pieces(
    conv: ConvShape,
    blocks: LayerBlocks,
    sizes: Sizes,
    dataflow: Dataflow,
    *,
    groups: IntArray,
    contiguous: bool,
    divides: bool,
) -> IntArray:
    """Pieces of all activations of a pack, each loaded once.

    Args:
        conv: the layer.
        blocks: how it is cut.
        sizes: of the overlays.
        dataflow: how its products run.
        groups: of the convolution in the pack.
        contiguous: whether taps of a row lie side by side.
        divides: of :func:`~dynamap_rtl.sizes.transfers`.
    """
    across = dataflow is Dataflow.WS
    on_top = dataflow is Dataflow.IS
    lanes = sizes.columns if on_top else sizes.rows
    transfer = sizes.top_transfer if on_top else sizes.left_transfer
    port = sizes.port_bytes
    by_tap = blocks.cut >= Cut.TAPS
    tables = {
        split: window_pieces(conv, port, contiguous=contiguous, by_tap=split, across=across, divides=divides)[lanes]
        for split in (False, True)
        if (by_tap == split).any()
    }
    pieces = np.where(by_tap, tables.get(True, 0), tables.get(False, 0))
    # Channels in pieces, or the channels of packed groups only: runs of so many elements, a tap each.
    taps = conv.pixels * conv.kernel[0] * conv.kernel[1]
    channels = groups * (conv.in_channels // conv.groups)
    partly = (blocks.cut == Cut.CHANNELS) | (blocks.packs > 1)
    if partly.any():
        size = np.where(blocks.cut == Cut.CHANNELS, blocks.length, channels)
        count = up(channels, size)
        last = channels - (count - 1) * size

        def one(elements: IntArray) -> IntArray:
            if across:
                return row_pieces(elements, port, transfer, lanes)
            return run_pieces_of(elements, port, transfer)

        pieces = np.where(partly, taps * ((count - 1) * one(size) + one(last)), pieces)
    if on_top:  # zeros up to a whole tile
        tail = -up(blocks.length * groups, blocks.pack_groups) % sizes.rows
        pieces = pieces + conv.pixels * blocks.parts * run_pieces_of(tail, port, transfer)
    return pieces
