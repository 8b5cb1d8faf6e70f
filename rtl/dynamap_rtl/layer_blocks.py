"""How a layer on the array is cut into blocks: one rule for programs and, for all array shapes at once, for cycles.

A layer is done in *groups* that fill half the accumulators. A group is a block of output pixels by a block of output
channels; it adds up one product for every *part* of the reduction. Blocks are as even as they can be, as large as
halves of the buffers allow, and no larger than leaves about eight groups, so that loading, computing, finishing and
storing overlap; a group computes at least twice the memory's latency, so that waiting for tokens is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .circuit_parameters import transformed_bytes
from .geometry import ConvShape
from .sizes import IntArray, Sizes, down, up
from .timing import Dataflow, Gemm, groups_per_tile

__all__ = ["GROUPS_WANTED", "TAPS", "Cut", "LayerBlocks", "WinogradShape", "convolution_blocks", "winograd_blocks"]

BoolArray = NDArray[np.bool_]

#: Groups a layer is cut into where nothing else decides.
GROUPS_WANTED = 8
#: Cycles, besides the memory's latency, that a token and the units' pipelines take from one block to the next.
_TURNAROUND = 40
TAPS = 3  # r of F(m, r)


class Cut:
    """What the parts of a reduction are."""

    WHOLE = 0  # windows
    ROWS = 1  # rows of the kernel
    TAPS = 2  # elements of the kernel
    CHANNELS = 3  # channels of an element


@dataclass(frozen=True, kw_only=True)
class LayerBlocks:
    """How a layer is cut; arrays of shape (shapes,).

    Attributes:
        packs: products of the layer by groups: so many times everything below.
        pack_groups: groups of the convolution side by side in one of them.
        cut: see :class:`Cut`.
        parts: products of a group.
        length: elements the longest of them reduces.
        pixels: output pixels of a block, or rows of Winograd's tiles.
        outputs: output channels of a block.
        pixel_blocks: number of blocks of pixels.
        output_blocks: number of blocks of channels.
        joined: whether the weights of all parts of a block lie in half a buffer together.
        pixels_outer: whether all blocks of channels are done for one block of pixels after the other.
        valid: False where not even the smallest block fits; the rest is meaningless there.
    """

    packs: IntArray
    pack_groups: IntArray
    cut: IntArray
    parts: IntArray
    length: IntArray
    pixels: IntArray
    outputs: IntArray
    pixel_blocks: IntArray
    output_blocks: IntArray
    joined: BoolArray
    pixels_outer: BoolArray
    valid: BoolArray

    @property
    def weight_loads(self) -> IntArray:
        """How often each weight of a pack is loaded."""
        blocks = self.output_blocks * np.where(self.joined, 1, self.parts)
        stays = np.where(self.pixels_outer, blocks <= 2, self.joined | (self.parts <= 2))
        return np.where(stays, 1, self.pixel_blocks)

    @property
    def activation_loads(self) -> IntArray:
        """How often each activation of a pack is loaded."""
        stays = np.where(self.pixels_outer, self.parts <= 2, self.pixel_blocks * self.parts <= 2)
        return np.where(stays, 1, self.output_blocks)


def _least(*arrays: IntArray) -> IntArray:
    result = arrays[0]
    for array in arrays[1:]:
        result = np.minimum(result, array)
    return result


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """Blocks of M pixel units by N channel units, what is known of them, and the limits of the buffers.

    A unit of pixels is a tile's (P1 under NS, P2 under IS), or what keeps the array busy (P1 under WS); likewise of
    channels (P2, or under IS P1).
    """

    pixels: int
    outputs: IntArray
    pixel_unit: IntArray
    output_unit: IntArray
    parts: IntArray
    resident: BoolArray  # whether half a buffer holds all weights
    cycles: IntArray  # of the array, all groups of a pack
    weight_work: IntArray
    activation_work: IntArray


def _weights_depth(dataflow: Dataflow, parts: IntArray, length: IntArray, outputs: IntArray, sizes: Sizes) -> IntArray:
    """Elements of a lane the weights of all parts take: in the left buffer under IS, else in the top one."""
    steps = up(length, sizes.rows)
    match dataflow:
        case Dataflow.NS:
            return parts * up(outputs, sizes.columns) * length
        case Dataflow.WS:
            return parts * up(outputs, sizes.columns) * steps * sizes.rows
        case Dataflow.IS:
            return parts * steps * outputs


def _groups(problem: _Problem, sizes: Sizes) -> tuple[IntArray, IntArray]:
    """Wanted numbers of blocks of pixels and of channels."""
    pixel_units = up(problem.pixels, problem.pixel_unit)
    output_units = np.maximum(1, down(problem.outputs, problem.output_unit))
    most = np.maximum(1, down(problem.cycles, 2 * (sizes.latency + _TURNAROUND)))
    # Parts overlap as groups do; more groups would load the weights of all parts again for each.
    wanted = np.where(problem.resident, GROUPS_WANTED, up(GROUPS_WANTED, problem.parts))
    wanted = np.minimum(wanted, most)
    # What there is more of to load is cut first.
    by_outputs = problem.weight_work > problem.activation_work
    first_outputs = np.minimum(wanted, output_units)
    first_pixels = np.minimum(wanted, pixel_units)
    pixel_blocks = np.where(by_outputs, np.minimum(up(wanted, first_outputs), pixel_units), first_pixels)
    output_blocks = np.where(by_outputs, first_outputs, np.minimum(up(wanted, first_pixels), output_units))
    # Two blocks of weights both stay, and the first one is there sooner than all of them.
    stays = problem.resident | (problem.parts == 1)
    output_blocks = np.where(stays, np.maximum(output_blocks, np.minimum(2, output_units)), output_blocks)
    return pixel_blocks, output_blocks


def _evenly(total: IntArray | int, blocks: IntArray, most: IntArray, unit: IntArray) -> tuple[IntArray, IntArray]:
    """(size of a block, number of blocks): at least so many blocks, at most so large, in whole units, and even."""
    units = up(total, unit)
    fitting = np.maximum(1, down(most, unit))
    size = up(units, np.maximum(blocks, up(units, fitting)))
    return np.minimum(size * unit, total), up(units, size)


def convolution_blocks(conv: ConvShape, sizes: Sizes, dataflow: Dataflow, *, kn2row: bool) -> LayerBlocks:
    """How ``program.convolution`` cuts a convolution.

    Args:
        conv: the layer.
        sizes: of the overlays.
        dataflow: how products run.
        kn2row: a product for every element of the kernel, not one for whole windows.
    """
    p1, p2 = sizes.rows, sizes.columns
    left, top = sizes.left_half, sizes.top_half
    pixels, (kernel_h, kernel_w) = conv.pixels, conv.kernel
    inputs, per_group = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    one = np.ones_like(p1)
    if conv.groups == 1:
        together = one
    else:
        reduced = inputs if kn2row else inputs * kernel_h * kernel_w
        group = Gemm(pixels, reduced, per_group, conv.groups)
        together = np.asarray(groups_per_tile(dataflow, group, p1, p2), dtype=np.int64) * one
    packs = up(conv.groups, together)
    channels, outputs = together * inputs, together * per_group

    # The reduction: whole windows if one tile of the smallest block holds them, else less and less.
    inner = np.minimum(left, down(top, p1)) * p1 if dataflow is not Dataflow.NS else np.minimum(left, top)
    longest = np.maximum(1, inner)
    pieces = up(channels, longest)
    choices = [
        (kernel_h * kernel_w * channels, one),
        (kernel_w * channels, kernel_h * one),
        (channels, kernel_h * kernel_w * one),
        (up(channels, pieces), kernel_h * kernel_w * pieces),
    ]
    first = Cut.TAPS if kn2row else Cut.WHOLE
    cut, length, parts = Cut.CHANNELS * one, *choices[Cut.CHANNELS]
    for kind in range(Cut.TAPS, first - 1, -1):
        fits = choices[kind][0] <= longest
        cut = np.where(fits, kind, cut)
        length, parts = np.where(fits, choices[kind][0], length), np.where(fits, choices[kind][1], parts)
    steps = up(length, p1)

    # Channels of a block beside the fewest pixels.
    words, result = sizes.accumulator_words, sizes.result_half
    match dataflow:
        case Dataflow.NS:
            least = np.minimum(pixels, p1)
            slots = _least(down(top, length), down(words, least), down(result, up(least, p2) * p2))
        case Dataflow.WS:
            least = one
            slots = _least(down(top, steps * p1), words, down(result, p2))
        case Dataflow.IS:
            least = np.minimum(pixels, p2)
            slots = one
    if dataflow is Dataflow.IS:
        most_outputs = _least(down(left, steps), words, down(result, p2) * p2)
        output_unit, pixel_unit, output_grain = p1, p2, one
    else:
        most_outputs = slots * p2
        output_unit, pixel_unit, output_grain = p2, p1, p2
    valid = (inner >= 1) & (most_outputs >= 1)
    most_outputs = np.maximum(most_outputs, output_grain)

    tiles = {
        Dataflow.NS: up(pixels, p1) * up(outputs, p2) * np.maximum(length, p1),
        Dataflow.WS: steps * up(outputs, p2) * np.maximum(pixels, p1),
        Dataflow.IS: steps * up(pixels, p2) * np.maximum(outputs, p1),
    }[dataflow]
    problem = _Problem(
        pixels=pixels,
        outputs=outputs,
        pixel_unit=pixel_unit,
        output_unit=output_unit,
        parts=parts,
        resident=_weights_depth(dataflow, parts, length, outputs, sizes) <= (left if dataflow is Dataflow.IS else top),
        cycles=tiles * parts,
        weight_work=outputs * length * parts,
        activation_work=pixels * length * parts,
    )
    pixel_blocks, output_blocks = _groups(problem, sizes)
    block_outputs, output_blocks = _evenly(outputs, output_blocks, most_outputs, output_grain)

    # Pixels of a block beside so many channels.
    slots = up(block_outputs, p2)
    fold = down(result, slots * p2)  # pixels of a lane of the result buffer
    match dataflow:
        case Dataflow.NS:
            most_pixels = _least(down(left, length) * p1, down(words, slots), fold * p2)
        case Dataflow.WS:
            most_pixels = _least(down(left, steps), down(words, slots), fold * p2)
        case Dataflow.IS:
            most_pixels = _least(down(top, steps * p1), down(words, block_outputs), fold) * p2
    grain = one if dataflow is Dataflow.WS else pixel_unit
    valid &= most_pixels >= least
    block_pixels, pixel_blocks = _evenly(pixels, pixel_blocks, most_pixels, grain)

    weights_half = left if dataflow is Dataflow.IS else top
    joined = _weights_depth(dataflow, parts, length, block_outputs, sizes) <= weights_half
    return _ordered(
        packs=packs,
        pack_groups=together,
        cut=cut,
        parts=parts,
        length=length,
        pixels=block_pixels,
        outputs=block_outputs,
        pixel_blocks=pixel_blocks,
        output_blocks=output_blocks,
        joined=joined,
        valid=valid,
        works=(problem.weight_work, problem.activation_work),
    )


def _ordered(
    *, works: tuple[IntArray, IntArray], joined: BoolArray, valid: BoolArray, **blocks: IntArray
) -> LayerBlocks:
    """The order of blocks that loads less."""
    always = np.ones_like(valid)
    outer, inner = (
        LayerBlocks(joined=joined, valid=valid, pixels_outer=pixels_outer, **blocks)
        for pixels_outer in (always, ~always)
    )
    weights, activations = works
    costs = [weights * each.weight_loads + activations * each.activation_loads for each in (outer, inner)]
    return LayerBlocks(joined=joined, valid=valid, pixels_outer=costs[0] <= costs[1], **blocks)


@dataclass(frozen=True)
class WinogradShape:
    """F(m, 3) of a convolution along one axis or both.

    Attributes:
        conv: stride, dilation and groups 1.
        tile: m.
    """

    conv: ConvShape
    tile: int

    @property
    def axes(self) -> tuple[bool, bool]:
        """Which axes are transformed."""
        return self.conv.kernel[0] >= TAPS, self.conv.kernel[1] >= TAPS

    @property
    def step(self) -> tuple[int, int]:
        """Output pixels of a tile."""
        return tuple(self.tile if axis else 1 for axis in self.axes)  # type: ignore[return-value]  # of two

    @property
    def window(self) -> tuple[int, int]:
        """Input pixels of a tile."""
        return tuple(self.tile + TAPS - 1 if axis else 1 for axis in self.axes)  # type: ignore[return-value]

    @property
    def positions(self) -> int:
        """Products of a part."""
        return self.window[0] * self.window[1]

    @property
    def kernel_parts(self) -> int:
        """Parts of three taps a kernel is cut into."""
        return -(-self.conv.kernel[0] // TAPS) * -(-self.conv.kernel[1] // TAPS)

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.conv.out_height // self.step[0]), -(-self.conv.out_width // self.step[1])

    @property
    def weight_bytes(self) -> int:
        """Bytes of a transformed weight."""
        return transformed_bytes(self.tile) if all(self.axes) else 2


def winograd_blocks(shape: WinogradShape, sizes: Sizes, dataflow: Dataflow) -> LayerBlocks:
    """How ``program.winograd`` cuts a convolution: pixels are rows of tiles, parts are of kernel and channels.

    Args:
        shape: the layer.
        sizes: of the overlays.
        dataflow: how products run.
    """
    conv, positions = shape.conv, shape.positions
    p1, p2 = sizes.rows, sizes.columns
    left, top = sizes.left_half // positions, sizes.top_half // positions
    words, result = sizes.accumulator_words // positions, sizes.result_half
    tile_rows, tile_columns = shape.tiles
    area = shape.step[0] * shape.step[1]
    one = np.ones_like(p1)
    lanes = sizes.top_transfer if dataflow is Dataflow.IS else sizes.left_transfer
    padded = up(conv.in_channels, lanes) * lanes
    outputs = conv.out_channels * one
    beyond = shape.step[0] * shape.step[1] * tile_columns  # pixels a ragged last row of tiles has too many

    # Channels of a part beside one row of tiles and one tile of outputs.
    match dataflow:
        case Dataflow.NS:
            longest = _least(left // up(tile_columns, p1), top)
        case Dataflow.WS:
            longest = _least(left // tile_columns, top // p1) * p1
        case Dataflow.IS:
            longest = _least(left, top // up(tile_columns, p2) // p1) * p1
    valid = longest >= lanes
    pieces = up(padded, np.maximum(lanes, longest // lanes * lanes))
    length = up(up(conv.in_channels, pieces), lanes) * lanes
    pieces = up(conv.in_channels, length)
    parts = shape.kernel_parts * pieces
    steps = up(length, p1)

    if dataflow is Dataflow.IS:
        row_batches = up(tile_columns, p2)
        most_outputs = _least(left // steps, words // row_batches, result // (row_batches * area * p2) * p2)
        grain, output_unit = one, p1
    else:
        fold = up(tile_columns * area + beyond, p2) * p2
        slots = _least(
            top // (length if dataflow is Dataflow.NS else steps * p1), words // tile_columns, result // fold
        )
        most_outputs, grain, output_unit = slots * p2, p2, p2
    valid &= most_outputs >= 1
    most_outputs = np.maximum(most_outputs, grain)
    tiles = tile_rows * tile_columns
    cycles = {
        Dataflow.NS: up(tiles, p1) * up(outputs, p2) * np.maximum(length, p1),
        Dataflow.WS: steps * up(outputs, p2) * np.maximum(tiles, p1),
        Dataflow.IS: steps * up(tiles, p2) * np.maximum(outputs, p1),
    }[dataflow]
    pixel_unit = np.minimum(tile_rows, up(p2 if dataflow is Dataflow.IS else p1, tile_columns))
    problem = _Problem(
        pixels=tile_rows,
        outputs=outputs,
        pixel_unit=pixel_unit,
        output_unit=output_unit,
        parts=parts,
        resident=_weights_depth(dataflow, parts, length, outputs, sizes) <= (left if dataflow is Dataflow.IS else top),
        cycles=cycles * parts * positions,
        weight_work=outputs * length * parts * positions,
        activation_work=tiles * length * parts * positions,
    )
    row_blocks, output_blocks = _groups(problem, sizes)
    block_outputs, output_blocks = _evenly(outputs, output_blocks, most_outputs, grain)

    slots = up(block_outputs, p2)
    if dataflow is Dataflow.IS:
        batches = _least(top // (steps * p1), words // block_outputs, result // (area * slots * p2))
        most_rows = batches * p2 // tile_columns
    else:
        pixels = result // (slots * p2) * p2 - beyond
        most_rows = _least(words // slots // tile_columns, pixels // (tile_columns * area))
        fitting = left // length * p1 if dataflow is Dataflow.NS else left // steps
        most_rows = _least(most_rows, fitting // tile_columns)
    valid &= most_rows >= 1
    block_rows, row_blocks = _evenly(tile_rows, row_blocks, np.maximum(1, most_rows), one)
    weights_half = left if dataflow is Dataflow.IS else top
    joined = _weights_depth(dataflow, parts, length, block_outputs, sizes) <= weights_half
    return _ordered(
        packs=one,
        pack_groups=one,
        cut=Cut.CHANNELS * one,
        parts=parts,
        length=length,
        pixels=block_rows,
        outputs=block_outputs,
        pixel_blocks=row_blocks,
        output_blocks=output_blocks,
        joined=joined,
        valid=valid,
        works=(problem.weight_work, problem.activation_work),
    )
