"""Cycles of whole layers on the overlay, for all array shapes at once.

A layer is cut into blocks (:mod:`dynamap_rtl.layer_blocks`), whose loads are counted in pieces
(:mod:`dynamap_rtl.load_work`) and which pass through the units one behind the other (:mod:`dynamap_rtl.block_times`).
docs/explanation/cost-model.md has the formulas. Everything is integer; arrays have the shape (shapes,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .block_times import block_times, latency_of_loads
from .block_work import Group, Loop, Product, Work
from .geometry import ConvShape
from .layer_blocks import Cut, LayerBlocks, WinogradShape, convolution_blocks, winograd_blocks
from .layer_loads import LayerLoads, LoadSize, Padding, Place, activation_pieces, block_padding
from .load_work import run_pieces_of, window_pieces
from .pipeline import transform_latency
from .sizes import IntArray, Sizes, up
from .timing import Dataflow, Gemm, groups_per_tile

__all__ = ["LayerCycles", "convolution_cycles", "convolution_floor", "winograd_cycles", "winograd_floor"]

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
    activations = activation_pieces(conv, blocks, sizes, dataflow, contiguous=contiguous, divides=divides)
    outputs = blocks.pack_groups * (conv.out_channels // conv.groups)
    last = conv.pixels - (blocks.pixel_blocks - 1) * blocks.pixels
    a_pixel = blocks.pack_groups * (conv.in_channels // conv.groups)
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
        tails=dataflow is Dataflow.IS,
        weight_bytes=1,
        padding=block_padding(conv, blocks, up(activations, conv.pixels * blocks.parts)),
        bound=bound,
    )


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
    weight_bytes: int,
    tails: bool = False,
    padding: Padding | None = None,
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
        runs: from the elements a product reduces to the runs in memory that these are of each pixel.
        beats: likewise to their beats.
        weight_bytes: of a weight.
        tails: whether zeros up to a whole tile are a run of their own for each pixel.
        padding: of blocks, if they have any.
        positions: products side by side in every one.
        stores: instructions a group is stored by.
        transforms: of :func:`~dynamap_rtl.block_times.block_times`.
        waits: cycles in which a load of activations moves nothing.
        bound: for a lower bound of the total, much sooner.
    """
    p1, p2 = sizes.rows, sizes.columns
    parts, length = blocks.parts, blocks.length
    last_length = np.maximum(1, reduced - (parts - 1) * length)
    last_outputs = outputs - (blocks.output_blocks - 1) * blocks.outputs

    def inner(reduced: IntArray) -> IntArray:
        """Depths a product's weights take for a tile of channels."""
        steps = up(reduced, p1)
        depths: dict[Dataflow, IntArray] = {Dataflow.NS: reduced, Dataflow.WS: steps * p1, Dataflow.IS: steps}
        return np.asarray(depths[dataflow] * positions, dtype=np.int64)

    all_inner = (parts - 1) * inner(length) + inner(last_length)
    lanes, transfer = (p1, sizes.left_transfer) if dataflow is Dataflow.IS else (p2, sizes.top_transfer)
    beat = sizes.port_bytes // weight_bytes
    row_pieces, row_beats = run_pieces_of(lanes, beat, transfer), up(lanes, beat)

    def activations_at(place: Place) -> LoadSize:
        block = np.where(place[0], extents.last, extents.block)
        elements = np.where(place[2], last_length, length)
        pieces = up(activations * block * elements, extents.all * reduced) + waits
        asks = runs(elements) + (elements % p1 > 0) if tails else runs(elements)
        return LoadSize(pieces, block * asks, block * beats(elements))

    def weights_at(place: Place) -> LoadSize:
        channels = np.where(place[1], last_outputs, blocks.outputs)
        depth = np.where(blocks.joined, all_inner, inner(np.where(place[2], last_length, length)))
        rows = depth * (channels if dataflow is Dataflow.IS else up(channels, p2))
        return LoadSize(rows * row_pieces, rows, rows * row_beats)

    loads = LayerLoads(blocks, sizes, activations=activations_at, weights=weights_at, padding=padding)

    def product_at(loop: Loop) -> Product:
        last_pixels, last_channels, last_part = loads.place(*loop.last[1:])
        block = np.where(last_pixels, extents.last, extents.block)
        channels = np.where(last_channels, last_outputs, blocks.outputs)
        tiles, steps = _tiles(dataflow, block, np.where(last_part, last_length, length), channels, sizes)
        return Product(
            activations=loads.activations(loop),
            weights=loads.weights(loop),
            tiles=positions * tiles,
            period=np.maximum(steps, p1),
            steps=steps,
        )

    def rows(block: IntArray, channels: IntArray) -> IntArray:
        if dataflow is Dataflow.IS:
            return positions * channels * up(block, p2)
        return positions * block * up(channels, p2)

    def group_at(loop: Loop) -> Group:
        last_pixels, last_channels, _ = loads.place(loop.last[1], loop.last[2], loop.last[2])
        stored = np.where(last_pixels, extents.last_stored, extents.block_stored)
        channels = np.where(last_channels, last_outputs, blocks.outputs)
        return Group(
            rows=rows(np.where(last_pixels, extents.last, extents.block), channels),
            reads=stored * up(channels, sizes.result_transfer),
            stores=stores,
        )

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
    weights = blocks.packs * (all_rows * row_pieces * blocks.weight_loads)
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
        loads.counts,
        product_at,
        loads.following,
        group_at,
        fill=_FILL if dataflow is Dataflow.NS else _FILL + p1 - 1,
        # Output-stationary results also leave through the rows above.
        drain=(2 * p1 if dataflow is Dataflow.NS else p1 + 1) + p2 + sizes.read_latency + _ENGINE,
        weights_first=dataflow is Dataflow.IS,
        entries=entries,
        transforms=transforms,
        work=work,
        bound=bound,
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
        weight_bytes=shape.weight_bytes,
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
