"""Cycles of whole layers on the overlay, for all array shapes at once.

A layer is cut into blocks (:mod:`dynamap_rtl.layer_blocks`), whose loads are counted in pieces
(:mod:`dynamap_rtl.load_work`) and which pass through the units one behind the other (:mod:`dynamap_rtl.block_times`).
docs/explanation/cost-model.md has the formulas. Everything is integer; arrays have the shape (shapes,).
"""

from __future__ import annotations

import numpy as np

from .geometry import ConvShape
from .layer_blocks import Cut, WinogradShape, convolution_blocks, winograd_blocks
from .layer_cycles import Extents, LayerCycles, Pack, cycles_of_blocks, tiles_of
from .layer_loads import activation_pieces
from .load_padding import block_padding
from .load_work import window_pieces
from .pipeline import transform_latency
from .port_times import latency_of_loads
from .sizes import IntArray, Sizes, up
from .timing import Dataflow, Gemm, groups_per_tile

__all__ = ["LayerCycles", "convolution_cycles", "convolution_floor", "winograd_cycles", "winograd_floor"]


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

    def pack(groups: IntArray) -> Pack:
        return Pack(
            groups=groups,
            outputs=groups * (conv.out_channels // conv.groups),
            reduced=groups * (conv.weight_count // conv.out_channels),
            activations=activation_pieces(
                conv, blocks, sizes, dataflow, groups=groups, contiguous=contiguous, divides=divides
            ),
        )

    first_pack = pack(blocks.pack_groups)
    groups_left = conv.groups - (blocks.packs - 1) * blocks.pack_groups
    last_pack = first_pack if (groups_left == blocks.pack_groups).all() else pack(groups_left)
    last = conv.pixels - (blocks.pixel_blocks - 1) * blocks.pixels
    a_pixel = blocks.pack_groups * (conv.in_channels // conv.groups)
    # Packed groups are a part of a pixel.
    a_run = a_pixel * np.where(contiguous & (blocks.packs == 1) & (blocks.cut < Cut.TAPS), conv.kernel[1], 1)
    return cycles_of_blocks(
        blocks,
        sizes,
        dataflow,
        extents=Extents(all=conv.pixels, block=blocks.pixels, last=last, block_stored=blocks.pixels, last_stored=last),
        packs=(first_pack, last_pack),
        runs=lambda elements: up(elements, a_run),
        beats=lambda elements: up(elements, a_run) * up(np.minimum(elements, a_run), sizes.port_bytes),
        tails=dataflow is Dataflow.IS,
        weight_bytes=1,
        padding=block_padding(conv, blocks),
        bound=bound,
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
    pack = Pack(
        groups=blocks.pack_groups,
        outputs=conv.out_channels + 0 * sizes.rows,
        reduced=(blocks.parts - 1) * blocks.length + up(last_channels, transfer) * transfer,
        activations=tile_rows * tile_columns * shape.positions * shape.kernel_parts * vectors,
    )
    return cycles_of_blocks(
        blocks,
        sizes,
        dataflow,
        extents=Extents(
            all=tile_rows * tile_columns,
            block=blocks.pixels * tile_columns,
            last=last_rows * tile_columns,
            block_stored=stored,
            last_stored=conv.pixels - (blocks.pixel_blocks - 1) * stored,
        ),
        packs=(pack, pack),
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
        packs = up(conv.groups, together)
        compute = 0 * p1
        for number, groups in ((packs - 1, together), (1, conv.groups - (packs - 1) * together)):
            tiles, steps = tiles_of(dataflow, conv.pixels + 0 * p1, groups * reduced, groups * outputs, sizes)
            compute = compute + number * tiles * np.maximum(steps, p1)
        return times * compute + 2 * sizes.latency
    tiles, steps = tiles_of(dataflow, conv.pixels + 0 * p1, reduced + 0 * p1, outputs + 0 * p1, sizes)
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
    tiles, steps = tiles_of(dataflow, pixels + 0 * p1, reduced + 0 * p1, conv.out_channels + 0 * p1, sizes)
    transfer = sizes.top_transfer if dataflow is Dataflow.IS else sizes.left_transfer
    loaded = pixels * shape.kernel_parts * up(conv.in_channels, transfer)
    return shape.positions * np.maximum(tiles * np.maximum(steps, p1), loaded) + 2 * sizes.latency
