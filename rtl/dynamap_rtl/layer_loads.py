"""What the products of a layer load, and when: pieces, runs and padding of both operands, for all array shapes at once.

Which blocks stay in a buffer follows from the order of blocks (:mod:`dynamap_rtl.layer_blocks`); pieces of whole
windows are counted by :mod:`dynamap_rtl.load_work`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .block_work import BoolArray, Following, Load, Loop, Parts
from .geometry import ConvShape
from .layer_blocks import Cut, LayerBlocks
from .load_padding import Padding
from .load_work import across_pieces, row_pieces, run_pieces_of, window_pieces
from .pipeline import run_queue
from .sizes import IntArray, Sizes, down, up
from .timing import Dataflow

__all__ = ["LayerLoads", "LoadSize", "Place", "activation_pieces"]

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
        latency: of memory, cycles.
        idle: such cycles.
    """

    pieces: IntArray
    runs: IntArray
    beats: IntArray
    latency: int
    idle: IntArray | int = 0

    def behind(self, padding: IntArray | int = 0) -> IntArray:
        """Pieces that are not yet written when others can have the port: in the loader already, and padding at the end.

        But nobody else can ask for anything before its last run has been asked for: a run a cycle, and so many ahead.
        """
        kept, most = self._kept
        return np.asarray(self.idle + np.minimum(kept + padding, most), dtype=np.int64)

    @cached_property
    def _kept(self) -> tuple[IntArray, IntArray]:
        """Pieces in the loader, and those that are not written for want of requests."""
        moved = self.pieces - self.idle
        kept = down(np.minimum(_HELD, self.beats) * np.maximum(0, moved - self.beats), self.beats)
        asking = np.where(self.runs > run_queue(self.latency), self.queued - self.latency, moved)
        return kept, np.maximum(0, np.minimum(asking, moved - self.runs))

    @cached_property
    def queued(self) -> IntArray:
        """Pieces of the runs that are asked for and not yet written, at most."""
        ahead = run_queue(self.latency)
        return np.where(self.runs > ahead, down(self.pieces * ahead, self.runs), self.pieces)


class LayerLoads:
    """Loads of all products of a layer.

    Args:
        blocks: how it is cut.
        activations: from the place of a product to the load of its activations.
        weights: likewise.
        padding: of activations, if they have any.
        last_output_blocks: blocks of channels in the last pack.
    """

    def __init__(
        self,
        blocks: LayerBlocks,
        *,
        activations: Callable[[Place], LoadSize],
        weights: Callable[[Place], LoadSize],
        padding: Padding | None,
        last_output_blocks: IntArray,
    ) -> None:
        self._blocks, self._padding = blocks, padding
        self._activation_size, self._weight_size = activations, weights
        self._sizes_known: dict[object, LoadSize] = {}
        parts, outer, pixel_blocks = blocks.parts, blocks.pixels_outer, blocks.pixel_blocks
        self.counts, self.last_counts = (
            (
                blocks.packs,
                np.where(outer, pixel_blocks, output_blocks),
                np.where(outer, output_blocks, pixel_blocks),
                parts,
            )
            for output_blocks in (blocks.output_blocks, last_output_blocks)
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

    def _size(self, side: str, last: tuple[BoolArray, ...]) -> LoadSize:
        """Of a side's load, from whether these are the last iterations of the loops."""
        key = side, *(flag.tobytes() for flag in last)
        if key not in self._sizes_known:
            size = self._activation_size if side == "activations" else self._weight_size
            self._sizes_known[key] = size(self.place(*last))
        return self._sizes_known[key]

    def activations(self, loop: Loop) -> Load:
        """What a product needs of activations."""
        size = self._size("activations", loop.last)
        first_outer, first_inner, first_part = loop.first[1:]
        again = self._activations_in_turns & first_inner & ~first_outer
        loads = self._loads_activations(*loop.first[1:])
        return Load(
            pieces=size.pieces,
            behind=size.behind(),
            asks=size.runs,
            loads=loads,
            older=~loads & np.where(self._blocks.parts == 2, first_part, again),
        )

    def padding(self, loop: Loop, parts: Parts) -> tuple[IntArray, IntArray]:
        """What of a product's activations is written before they need the read port, and when others can have it."""
        assert self._padding is not None
        size = self._size("activations", loop.last)
        *ends, taps = self._padding(loop, parts)
        leading, trailing = (down(size.pieces * end, taps) for end in ends)
        return np.minimum(size.pieces, leading), size.behind(trailing)

    def weights(self, loop: Loop) -> Load:
        """What a product needs of weights."""
        size = self._size("weights", loop.last)
        first_outer, first_inner, first_part = loop.first[1:]
        again = self._weights_in_turns & first_inner & ~first_outer
        loads = self._loads_weights(*loop.first[1:])
        return Load(
            pieces=size.pieces,
            behind=size.behind(),
            asks=size.runs,
            loads=loads,
            older=~loads & np.where(self._whole_weights, again, (self._blocks.parts == 2) & first_part),
        )

    def following(self, side: str, loop: Loop) -> Following:
        """The next load of activations or weights behind a product.

        It is for the next part, or else block of the inner loop, of the outer one, or pack.
        """
        if side == "activations":
            loads, in_turns = self._loads_activations, self._activations_in_turns
            two_parts = self._blocks.parts == 2
        else:
            loads, in_turns = self._loads_weights, self._weights_in_turns
            two_parts = ~self._whole_weights & (self._blocks.parts == 2)
        outer, inner, _ = loop.first[1:]
        last_pack, last_outer, last_inner, last_part = loop.last
        no, yes = np.zeros_like(outer), np.ones_like(outer)
        part = ~last_part & loads(outer, inner, no)
        block = ~part & ~last_inner & loads(outer, no, yes)
        other = ~part & ~block & ~last_outer & loads(no, yes, yes)
        pack = ~(part | block | other) & ~last_pack
        soon = 1 * part + 2 * (block & loop.near[3]) + 3 * (other & loop.near[2]) + 4 * (pack & loop.near[1])
        # Of two blocks that stay, the older one is read for the last time in the last iterations.
        in_use = ((other | pack) & ~last_inner) | (pack & ~last_outer)
        in_use = (two_parts & (in_use | ~last_part)) | (in_turns & in_use)
        soon = np.where(~part & in_use, 0, soon)
        then_last_pack = np.where(pack, loop.then_last[0], last_pack)
        outer_last, inner_last = (
            np.where(then_last_pack, last == 1, count == 1)
            for last, count in zip(self.last_counts[1:3], self.counts[1:3], strict=True)
        )
        then_last = (
            then_last_pack,
            np.where(other, loop.then_last[1], np.where(pack, outer_last, last_outer)),
            np.where(part, last_inner, np.where(block, loop.then_last[2], inner_last)),
            np.where(part, loop.then_last[3], self.counts[3] == 1),
        )
        size = self._size(side, then_last)
        return Following(soon=soon, pieces=size.pieces, runs=size.runs, queued=size.queued)

    def _loads_activations(self, outer: BoolArray, inner: BoolArray, part: BoolArray) -> BoolArray:  # noqa: ARG002 - called as the other
        """Whether they are loaded, from whether these are the first iterations; all the more in first ones."""
        return np.where(self._blocks.pixels_outer, inner, outer) | ~self._activations_stay

    def _loads_weights(self, outer: BoolArray, inner: BoolArray, part: BoolArray) -> BoolArray:
        again = np.where(self._blocks.pixels_outer, outer, inner) | ~self._weights_stay
        return np.asarray(again & (part | ~self._blocks.joined), dtype=bool)


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
    taps = conv.kernel[0] * conv.kernel[1]
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

        of_a_pixel = taps * ((count - 1) * one(size) + one(last))
        if across:  # taps of a window lie one behind the other
            chosen = np.flatnonzero(partly & (blocks.cut < Cut.TAPS))
            by_rows, run = blocks.cut[chosen] == Cut.ROWS, size[chosen]
            of_a_pixel[chosen] = 0
            for tap in range(taps if chosen.size else 0):
                first = np.where(by_rows, tap % conv.kernel[1], tap) * run
                of_a_pixel[chosen] += across_pieces(first, run, port, transfer[chosen], lanes[chosen])
        pieces = np.where(partly, conv.pixels * of_a_pixel, pieces)
    if on_top:  # zeros up to a whole tile
        tail = -up(blocks.length * groups, blocks.pack_groups) % sizes.rows
        pieces = pieces + conv.pixels * blocks.parts * run_pieces_of(tail, port, transfer)
    return pieces
