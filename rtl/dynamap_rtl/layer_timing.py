"""Cycles of whole layers on the overlay, for all array shapes at once.

A layer is cut into blocks (:mod:`dynamap_rtl.layer_blocks`), whose loads are counted in pieces
(:mod:`dynamap_rtl.load_work`) and which pass through the units one behind the other (:mod:`dynamap_rtl.block_times`).
docs/explanation/cost-model.md has the formulas. Everything is integer; arrays have the shape (shapes,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .block_times import Group, Load, Loop, Product, Work, block_times, latency_of_loads
from .geometry import ConvShape
from .layer_blocks import Cut, LayerBlocks, WinogradShape, convolution_blocks, winograd_blocks
from .load_work import row_pieces, run_pieces_of, window_pieces
from .pipeline import run_queue, transform_latency
from .sizes import IntArray, Sizes, down, up
from .timing import Dataflow, Gemm, groups_per_tile

__all__ = ["LayerCycles", "convolution_cycles", "convolution_floor", "winograd_cycles", "winograd_floor"]

BoolArray = NDArray[np.bool_]
#: Whether a place is in the last iterations of the outer and the inner loop and of that over parts.
Place = tuple[BoolArray, BoolArray, BoolArray]

_FILL = 3  # from the end of a load to the first step, without a stationary operand to be shifted in
_ENGINE = 7  # registers of the engine
_MOST_ENTRIES = 8191  # channel parameters one instruction loads


@dataclass(frozen=True, kw_only=True)
class LayerCycles:
    """What a layer takes; arrays of shape (shapes,).

    Attributes:
        total: cycles of its program, from start to finished.
        load: cycles in which a loader writes.
        compute: cycles in which the array works.
        store: cycles in which results are read and stored.
        valid: False where it does not fit the buffers; the rest is meaningless there.
    """

    total: IntArray
    load: IntArray
    compute: IntArray
    store: IntArray
    valid: np.ndarray[tuple[int], np.dtype[np.bool_]]


def _tiles(
    dataflow: Dataflow, pixels: IntArray, length: IntArray, outputs: IntArray, sizes: Sizes
) -> tuple[IntArray, IntArray]:
    """Tiles of a product, and the steps of each."""
    p1, p2 = sizes.rows, sizes.columns
    match dataflow:
        case Dataflow.NS:
            return up(pixels, p1) * up(outputs, p2), length
        case Dataflow.WS:
            return up(length, p1) * up(outputs, p2), pixels
        case Dataflow.IS:
            return up(length, p1) * up(pixels, p2), outputs


def convolution_cycles(
    conv: ConvShape,
    sizes: Sizes,
    dataflow: Dataflow,
    *,
    kn2row: bool,
    contiguous: bool = True,
    divides: bool,
    bound: bool = False,
) -> LayerCycles:
    """Cycles of ``program.convolution.convolution_program``.

    Args:
        conv: the layer.
        sizes: of the overlays.
        dataflow: how its products run.
        kn2row: a product for every element of the kernel.
        contiguous: whether neighbouring pixels of the input lie side by side (no slice of a concatenation).
        divides: whether the overlay has Winograd's transforms, see :func:`~dynamap_rtl.sizes.transfers`.
        bound: for a lower bound of the total, much sooner.
    """
    blocks = convolution_blocks(conv, sizes, dataflow, kn2row=kn2row)
    contiguous = contiguous and conv.dilation[1] == 1
    activations = _activation_pieces(conv, blocks, sizes, dataflow, contiguous=contiguous, divides=divides)
    outputs = blocks.pack_groups * (conv.out_channels // conv.groups)
    last = conv.pixels - (blocks.pixel_blocks - 1) * blocks.pixels
    a_pixel = blocks.pack_groups * (conv.in_channels // conv.groups)
    above, below = _padding_rows(conv)

    def padding(loop: Loop, block: IntArray) -> tuple[IntArray, IntArray]:
        first = np.where(blocks.pixels_outer, loop.first[1], loop.first[2])
        last = np.where(blocks.pixels_outer, loop.last[1], loop.last[2])
        among = blocks.cut >= Cut.ROWS

        def pixels(rows: list[int], here: IntArray) -> IntArray:
            others = (sum(rows) * blocks.parts // len(rows) - rows[0] - rows[-1]) * conv.out_width
            found = np.where(loop.first[3], rows[0], rows[-1]) * conv.out_width
            found = np.where(loop.first[3] | loop.last[3], found, down(np.maximum(0, others), np.maximum(1, blocks.parts - 2)))
            return np.where(among & here, np.minimum(block, found), 0)

        return pixels(above, first), pixels(below, last)

    a_run = a_pixel * np.where(contiguous & (blocks.cut < Cut.TAPS), conv.kernel[1], 1)
    return _cycles(
        blocks,
        sizes,
        dataflow,
        extents=_Extents(all=conv.pixels, block=blocks.pixels, last=last, block_stored=blocks.pixels, last_stored=last),
        outputs=outputs,
        reduced=blocks.pack_groups * (conv.weight_count // conv.out_channels),
        activations=activations,
        runs=lambda elements: up(elements, a_run),
        beats=lambda elements: up(elements, a_run) * up(np.minimum(elements, a_run), sizes.port_bytes),
        weight_row_pieces=_row_pieces(sizes, dataflow, 1),
        weight_row_beats=_row_beats(sizes, dataflow, 1),
        padding=padding,
        bound=bound,
    )


def _padding_rows(conv: ConvShape) -> tuple[list[int], list[int]]:
    """For each row of the kernel, how many rows of outputs find padding there above and below the map."""
    step, size = conv.stride[0], conv.out_height
    shifts = [row * conv.dilation[0] - conv.pads[0] for row in range(conv.kernel[0])]
    above = [min(size, max(0, -(shift // step))) for shift in shifts]
    below = [size - min(size, max(0, (conv.in_height - 1 - shift) // step + 1)) for shift in shifts]
    return above, below


def _row_pieces(sizes: Sizes, dataflow: Dataflow, element_bytes: int) -> IntArray:
    """Pieces of a row of weights: an element for each lane."""
    on_left = dataflow is Dataflow.IS
    lanes, transfer = (sizes.rows, sizes.left_transfer) if on_left else (sizes.columns, sizes.top_transfer)
    return run_pieces_of(lanes, sizes.port_bytes // element_bytes, transfer)


def _row_beats(sizes: Sizes, dataflow: Dataflow, element_bytes: int) -> IntArray:
    """Beats of it."""
    return up(sizes.rows if dataflow is Dataflow.IS else sizes.columns, sizes.port_bytes // element_bytes)


def _kept(pieces: IntArray, beats: IntArray) -> IntArray:
    """Pieces that are in the loader already when the last beat of a load has left the port: it holds three beats."""
    return down(np.minimum(3, beats) * np.maximum(0, pieces - beats), beats)


def _activation_pieces(
    conv: ConvShape, blocks: LayerBlocks, sizes: Sizes, dataflow: Dataflow, *, contiguous: bool, divides: bool
) -> IntArray:
    """Pieces of all activations of a pack, each loaded once."""
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
    channels = blocks.pack_groups * (conv.in_channels // conv.groups)
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
        tail = -blocks.length % sizes.rows
        pieces = pieces + conv.pixels * blocks.parts * run_pieces_of(tail, port, transfer)
    return pieces


@dataclass(frozen=True, kw_only=True)
class _Extents:
    """Pixels, or Winograd's tiles, of the left operand, and output pixels that are stored.

    Attributes:
        all: of the layer.
        block: of a block that is not the last one.
        last: of the last one.
        block_stored: output pixels of a block.
        last_stored: of the last one.
    """

    all: int
    block: IntArray
    last: IntArray
    block_stored: IntArray
    last_stored: IntArray


def _cycles(
    blocks: LayerBlocks,
    sizes: Sizes,
    dataflow: Dataflow,
    *,
    extents: _Extents,
    outputs: IntArray,
    reduced: IntArray,
    activations: IntArray,
    runs: Callable[[IntArray], IntArray],
    beats: Callable[[IntArray], IntArray],
    weight_row_pieces: IntArray,
    weight_row_beats: IntArray,
    padding: Callable[[Loop, IntArray], tuple[IntArray, IntArray]] = lambda loop, block: (0 * block, 0 * block),
    positions: int = 1,
    stores: int = 1,
    transforms: tuple[int, int] | None = None,
    waits: IntArray | int = 0,
    bound: bool = False,
) -> LayerCycles:
    """Cycles of the blocks.

    Args:
        blocks: how the layer is cut.
        sizes: of the overlays.
        dataflow: how its products run.
        extents: pixels of the blocks.
        outputs: channels of a pack.
        reduced: elements all parts together reduce.
        activations: pieces of all activations of a pack, each loaded once.
        beats: likewise to beats.
        runs: from the elements a product reduces to the runs in memory that these are of each pixel.
        weight_row_pieces: pieces of a row of weights.
        weight_row_beats: beats of it.
        padding: from a place and its pixels to those before the first and behind the last that is not padding.
        positions: products side by side in every one.
        stores: instructions a group is stored by.
        transforms: of :func:`~dynamap_rtl.block_times.block_times`.
        waits: cycles in which a load of activations moves nothing.
        bound: for a lower bound of the total, much sooner.
    """
    p1, p2 = sizes.rows, sizes.columns
    parts, length, outer = blocks.parts, blocks.length, blocks.pixels_outer
    last_length = np.maximum(1, reduced - (parts - 1) * length)
    last_outputs = outputs - (blocks.output_blocks - 1) * blocks.outputs

    def inner(reduced: IntArray) -> IntArray:
        """Depths a product's weights take for a tile of channels."""
        steps = up(reduced, p1)
        depths: dict[Dataflow, IntArray] = {Dataflow.NS: reduced, Dataflow.WS: steps * p1, Dataflow.IS: steps}
        return np.asarray(depths[dataflow] * positions, dtype=np.int64)

    all_inner = (parts - 1) * inner(length) + inner(last_length)
    weight_blocks = blocks.output_blocks * np.where(blocks.joined, 1, parts)
    weights_stay = np.where(outer, weight_blocks <= 2, blocks.joined | (parts <= 2))
    # Two blocks that stay are used in turns, parts or blocks of the inner loop.
    whole_weights = blocks.joined | (parts == 1)
    weights_in_turns = whole_weights & outer & (blocks.output_blocks == 2)
    activations_in_turns = (parts == 1) & ~outer & (blocks.pixel_blocks == 2)
    activations_stay = np.where(outer, parts <= 2, blocks.pixel_blocks * parts <= 2)

    def weights_loaded(outermost: BoolArray, inner: BoolArray, part: BoolArray) -> BoolArray:
        return (np.where(outer, outermost, inner) | ~weights_stay) & (part | ~blocks.joined)

    def activations_loaded(outermost: BoolArray, inner: BoolArray, part: BoolArray) -> BoolArray:
        return np.where(outer, inner, outermost) | ~activations_stay

    counts = (
        blocks.packs,
        np.where(outer, blocks.pixel_blocks, blocks.output_blocks),
        np.where(outer, blocks.output_blocks, blocks.pixel_blocks),
        parts,
    )
    ahead = run_queue(sizes.latency)

    def loading(
        loop: Loop,
        loaded: Callable[[BoolArray, BoolArray, BoolArray], BoolArray],
        size: Callable[[Place], tuple[IntArray, IntArray]],
    ) -> dict[str, IntArray]:
        """What of a load follows from when it is there, and the next one."""
        first, inner, part = loop.first[1:]
        last_pack, last_outer, last_inner, last_part = loop.last
        no, yes = np.zeros_like(first), np.ones_like(first)
        for_part = ~last_part & loaded(first, inner, no)
        for_inner = ~for_part & ~last_inner & loaded(first, no, yes)
        for_outer = ~for_part & ~for_inner & ~last_outer & loaded(no, yes, yes)
        for_pack = ~for_part & ~for_inner & ~for_outer & ~last_pack
        soon = 1 * for_part + 2 * (for_inner & loop.near[3])
        soon = soon + 3 * (for_outer & loop.near[2]) + 4 * (for_pack & loop.near[1])
        following = (
            np.where(for_outer, loop.then_last[1], np.where(for_pack, counts[1] == 1, last_outer)),
            np.where(for_part, last_inner, np.where(for_inner, loop.then_last[2], counts[2] == 1)),
            np.where(for_part, loop.then_last[3], parts == 1),
        )
        pieces, asks = size(following)
        return {
            "loads": loaded(first, inner, part),
            "soon": soon,
            "next_pieces": pieces,
            "next_queued": np.where(asks > ahead, down(pieces * ahead, np.maximum(1, asks)), pieces),
        }

    def extents_at(last: Place) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Pixels, pixels stored, channels and elements of the block."""
        last_p, last_o = np.where(outer, last[0], last[1]), np.where(outer, last[1], last[0])
        return (
            np.where(last_p, extents.last, extents.block),
            np.where(last_p, extents.last_stored, extents.block_stored),
            np.where(last_o, last_outputs, blocks.outputs),
            np.where(last[2], last_length, length),
        )

    def activations_of(last: Place) -> tuple[IntArray, IntArray]:
        """Pieces and runs of a load."""
        block, _, _, part_length = extents_at(last)
        tail = (part_length % p1 > 0) if dataflow is Dataflow.IS and positions == 1 else 0
        return up(activations * block * part_length, extents.all * reduced) + waits, block * (runs(part_length) + tail)

    def weights_of(last: Place) -> tuple[IntArray, IntArray]:
        """Likewise."""
        _, _, channels, part_length = extents_at(last)
        lanes_rows = channels if dataflow is Dataflow.IS else up(channels, p2)
        rows = np.where(blocks.joined, all_inner, inner(part_length)) * lanes_rows
        return rows * weight_row_pieces, rows

    def product_at(loop: Loop) -> Product:
        block, _, channels, part_length = extents_at(loop.last[1:])
        tiles, steps_of = _tiles(dataflow, block, part_length, channels, sizes)
        pieces, asks = activations_of(loop.last[1:])
        row_pieces, rows = weights_of(loop.last[1:])
        leading, trailing = padding(loop, block)
        behind = down(pieces * trailing, block) + _kept(pieces, block * beats(part_length))
        # Others cannot ask before its last run is asked for.
        queued = down(pieces * ahead, np.maximum(1, asks))
        behind = np.minimum(behind, np.where(asks > ahead, np.maximum(0, queued - sizes.latency), pieces - asks))
        of_activations = loading(loop, activations_loaded, activations_of)
        of_weights = loading(loop, weights_loaded, weights_of)
        first_outer, first_inner, first_part = loop.first[1:]
        first_again = first_inner & ~first_outer
        in_turns = np.where(parts == 2, first_part, activations_in_turns & first_again)
        weights_turn = np.where(whole_weights, weights_in_turns & first_again, (parts == 2) & first_part)
        return Product(
            activations=Load(
                pieces=pieces,
                before=down(pieces * leading, block),
                behind=behind,
                asks=asks,
                older=~of_activations["loads"] & in_turns,
                **of_activations,
            ),
            weights=Load(
                pieces=row_pieces,
                behind=_kept(row_pieces, rows * weight_row_beats),
                asks=rows,
                older=~of_weights["loads"] & weights_turn,
                **of_weights,
            ),
            tiles=positions * tiles,
            period=np.maximum(steps_of, p1),
            steps=steps_of,
        )

    def rows(block: IntArray, channels: IntArray) -> IntArray:
        if dataflow is Dataflow.IS:
            return positions * channels * up(block, p2)
        return positions * block * up(channels, p2)

    def group_at(loop: Loop) -> Group:
        block, stored, channels, _ = extents_at((*loop.last[1:], loop.last[2]))
        reads = stored * up(channels, sizes.result_transfer)
        return Group(rows=rows(block, channels), reads=reads, stores=stores)

    word = 1 if dataflow is Dataflow.IS else p2
    blocks_entries = (blocks.output_blocks - 1) * up(blocks.outputs, word) + up(last_outputs, word)
    entries = blocks.packs * (blocks_entries * word)

    def each(work: Callable[[IntArray, IntArray], IntArray], block: IntArray, last: IntArray) -> IntArray:
        """Summed over all groups: full blocks, and the last ones."""
        more_p, more_o = blocks.pixel_blocks - 1, blocks.output_blocks - 1
        full = more_p * more_o * work(block, blocks.outputs) + more_p * work(block, last_outputs)
        return np.asarray(
            blocks.packs * (full + more_o * work(last, blocks.outputs) + work(last, last_outputs)), dtype=np.int64
        )

    def computed(block: IntArray, channels: IntArray) -> IntArray:
        cycles = [
            tiles * np.maximum(steps_of, p1)
            for tiles, steps_of in (_tiles(dataflow, block, each, channels, sizes) for each in (length, last_length))
        ]
        return positions * ((parts - 1) * cycles[0] + cycles[1])

    all_rows = (blocks.output_blocks - 1) * (blocks.outputs if dataflow is Dataflow.IS else up(blocks.outputs, p2))
    all_rows = (all_rows + (last_outputs if dataflow is Dataflow.IS else up(last_outputs, p2))) * all_inner
    weights = blocks.packs * (all_rows * weight_row_pieces * blocks.weight_loads)
    loaded = blocks.packs * (activations * blocks.activation_loads)
    compute = each(computed, extents.block, extents.last)
    reads = each(
        lambda stored, channels: stored * up(channels, sizes.result_transfer),
        extents.block_stored,
        extents.last_stored,
    )
    finished = each(rows, extents.block, extents.last)
    work = Work(activations=loaded, weights=weights, compute=compute, rows=finished, reads=reads)
    total = block_times(
        sizes,
        counts,
        product_at,
        group_at,
        fill=_FILL if dataflow is Dataflow.NS else _FILL + p1 - 1,
        # Output-stationary results also leave through the rows above.
        drain=(2 * p1 if dataflow is Dataflow.NS else p1 + 1) + p2 + sizes.read_latency + _ENGINE,
        weights_first=dataflow is Dataflow.IS,
        entries=entries,
        transforms=transforms,
        work=work if bound else None,
    )

    return LayerCycles(
        total=total,
        load=loaded + weights,
        compute=compute,
        store=reads,
        valid=blocks.valid & (entries <= _MOST_ENTRIES),
    )


def winograd_cycles(
    shape: WinogradShape, sizes: Sizes, dataflow: Dataflow, *, tiles: tuple[int, ...], bound: bool = False
) -> LayerCycles:
    """Cycles of ``program.winograd.winograd_program``.

    Args:
        shape: the layer and its tile.
        sizes: of the overlays.
        dataflow: how its products run.
        tiles: m of every F(m, 3) the overlays have.
        bound: for a lower bound of the total, much sooner.
    """
    conv, blocks = shape.conv, winograd_blocks(shape, sizes, dataflow)
    transfer = sizes.top_transfer if dataflow is Dataflow.IS else sizes.left_transfer
    tile_rows, tile_columns = shape.tiles
    pieces = blocks.parts // shape.kernel_parts
    last_channels = conv.in_channels - (pieces - 1) * blocks.length
    vectors = (pieces - 1) * (blocks.length // transfer) + up(last_channels, transfer)
    latencies = transform_latency(tiles, shape.tile, planar=all(shape.axes))
    # Across lanes, channels beyond whole rounds of lanes are a load of their own, not taken before the other is done.
    # (Channels that are cut are cut at whole rounds but for the last piece, one of many, which is left out here.)
    ragged = (pieces == 1) & (last_channels > sizes.rows) & (last_channels % sizes.rows > 0)
    alone = np.where(ragged & (dataflow is Dataflow.WS), latency_of_loads(sizes) + latencies[0], 0)
    last_rows = tile_rows - (blocks.pixel_blocks - 1) * blocks.pixels
    stored = blocks.pixels * shape.step[0] * conv.out_width
    return _cycles(
        blocks,
        sizes,
        dataflow,
        extents=_Extents(
            all=tile_rows * tile_columns,
            block=blocks.pixels * tile_columns,
            last=last_rows * tile_columns,
            block_stored=stored,
            last_stored=conv.pixels - (blocks.pixel_blocks - 1) * stored,
        ),
        outputs=conv.out_channels + 0 * sizes.rows,
        reduced=(blocks.parts - 1) * blocks.length + up(last_channels, transfer) * transfer,
        activations=tile_rows * tile_columns * shape.positions * shape.kernel_parts * vectors,
        runs=lambda elements: shape.window[0] * up(elements, conv.in_channels),
        beats=lambda elements: shape.positions * up(elements, transfer),
        weight_row_pieces=_row_pieces(sizes, dataflow, shape.weight_bytes),
        weight_row_beats=_row_beats(sizes, dataflow, shape.weight_bytes),
        positions=shape.positions,
        stores=shape.step[0] * shape.step[1] if dataflow is Dataflow.IS else 1,
        transforms=latencies,
        waits=alone,
        bound=bound,
    )


def convolution_floor(
    conv: ConvShape, sizes: Sizes, dataflow: Dataflow, *, kn2row: bool, contiguous: bool = True, divides: bool
) -> IntArray:
    """A lower bound of :func:`convolution_cycles`, looser and far sooner than its own: the array's work, or one load.

    Arguments as there.
    """
    p1, p2 = sizes.rows, sizes.columns
    taps = conv.kernel[0] * conv.kernel[1]
    inputs, outputs = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    reduced, times = (inputs, taps) if kn2row else (inputs * taps, 1)
    if conv.groups > 1:
        group = Gemm(conv.pixels, reduced, outputs, conv.groups)
        together = np.asarray(groups_per_tile(dataflow, group, p1, p2), dtype=np.int64) + 0 * p1
        tiles, steps = _tiles(dataflow, conv.pixels + 0 * p1, together * reduced, together * outputs, sizes)
        return times * up(conv.groups, together) * tiles * np.maximum(steps, p1) + 2 * sizes.latency
    tiles, steps = _tiles(dataflow, conv.pixels + 0 * p1, reduced + 0 * p1, outputs + 0 * p1, sizes)
    lanes = p2 if dataflow is Dataflow.IS else p1
    loaded = window_pieces(
        conv,
        sizes.port_bytes,
        contiguous=contiguous and conv.dilation[1] == 1,
        by_tap=kn2row,
        across=dataflow is Dataflow.WS,
        divides=divides,
    )[lanes]
    return np.maximum(times * tiles * np.maximum(steps, p1), loaded) + 2 * sizes.latency


def winograd_floor(shape: WinogradShape, sizes: Sizes, dataflow: Dataflow) -> IntArray:
    """A lower bound of :func:`winograd_cycles`, likewise."""
    p1, conv = sizes.rows, shape.conv
    pixels = shape.tiles[0] * shape.tiles[1]
    reduced = conv.in_channels * shape.kernel_parts
    tiles, steps = _tiles(dataflow, pixels + 0 * p1, reduced + 0 * p1, conv.out_channels + 0 * p1, sizes)
    transfer = sizes.top_transfer if dataflow is Dataflow.IS else sizes.left_transfer
    loaded = pixels * shape.kernel_parts * up(conv.in_channels, transfer)
    return shape.positions * np.maximum(tiles * np.maximum(steps, p1), loaded) + 2 * sizes.latency
