"""Cycles of a layer on the array from how it is cut into packs, blocks and parts, for all array shapes at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .block_times import block_times
from .block_work import Group, Layer, Loop, Product, Work
from .layer_blocks import LayerBlocks
from .layer_loads import LayerLoads, LoadSize, Place
from .load_padding import Padding
from .load_work import run_pieces_of
from .sizes import IntArray, Sizes, up
from .timing import Dataflow

__all__ = ["Extents", "LayerCycles", "Pack", "cycles_of_blocks", "tiles_of"]

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


def tiles_of(
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


@dataclass(frozen=True, kw_only=True)
class Extents:
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


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Groups of a convolution side by side.

    Attributes:
        groups: how many.
        outputs: their channels.
        reduced: elements all parts together reduce.
        activations: pieces of all of them, each loaded once.
    """

    groups: IntArray
    outputs: IntArray
    reduced: IntArray
    activations: IntArray


@dataclass(frozen=True, kw_only=True)
class _PackBlocks:
    """How a pack is cut.

    Attributes:
        length: elements a part reduces.
        last_length: the last one.
        output_blocks: number of blocks of channels.
        outputs: channels of a block.
        last_outputs: of the last one.
        depth: elements of a lane the weights of all parts take for a tile of channels.
    """

    length: IntArray
    last_length: IntArray
    output_blocks: IntArray
    outputs: IntArray
    last_outputs: IntArray
    depth: IntArray


def cycles_of_blocks(
    blocks: LayerBlocks,
    sizes: Sizes,
    dataflow: Dataflow,
    *,
    extents: Extents,
    packs: tuple[Pack, Pack],
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
        packs: the first ones and the last one.
        runs: from the elements a product of the first packs reduces to the runs in memory that these are of each pixel.
        beats: likewise to their beats.
        weight_bytes: of a weight.
        tails: whether zeros up to a whole tile are a run of their own for each pixel.
        padding: of blocks, if they have any.
        positions: products side by side in every one.
        stores: instructions a group is stored by.
        transforms: of :class:`~dynamap_rtl.block_work.Layer`.
        waits: cycles in which a load of activations moves nothing.
        bound: for a lower bound of the total, much sooner.
    """
    p1, p2 = sizes.rows, sizes.columns
    parts = blocks.parts
    first_pack, last_pack = packs

    def inner(reduced: IntArray) -> IntArray:
        """Depths a product's weights take for a tile of channels."""
        steps = up(reduced, p1)
        depths: dict[Dataflow, IntArray] = {Dataflow.NS: reduced, Dataflow.WS: steps * p1, Dataflow.IS: steps}
        return np.asarray(depths[dataflow] * positions, dtype=np.int64)

    def cut(pack: Pack) -> _PackBlocks:
        """The last pack has as many parts as the others, smaller ones, and blocks as large as there, maybe fewer."""
        part, outputs = blocks.length, np.minimum(blocks.outputs, pack.outputs)
        if pack is not first_pack:
            part = up(part * pack.groups, first_pack.groups)
        output_blocks = up(pack.outputs, blocks.outputs)
        last_part = np.maximum(1, pack.reduced - (parts - 1) * part)
        return _PackBlocks(
            length=part,
            last_length=last_part,
            outputs=outputs,
            output_blocks=output_blocks,
            last_outputs=pack.outputs - (output_blocks - 1) * outputs,
            depth=(parts - 1) * inner(part) + inner(last_part),
        )

    first_cut = cut(first_pack)
    last_cut = first_cut if last_pack is first_pack else cut(last_pack)

    def of(place: Place, each: Callable[[Pack, _PackBlocks], IntArray]) -> IntArray:
        """What belongs to a place's pack."""
        if last_pack is first_pack:
            return each(first_pack, first_cut)
        return np.where(place.last_pack, each(last_pack, last_cut), each(first_pack, first_cut))

    def elements_at(place: Place) -> IntArray:
        return of(place, lambda _, cut: np.where(place.last_part, cut.last_length, cut.length))

    def channels_at(place: Place) -> IntArray:
        return of(place, lambda _, cut: np.where(place.last_channels, cut.last_outputs, cut.outputs))

    lanes, transfer = (p1, sizes.left_transfer) if dataflow is Dataflow.IS else (p2, sizes.top_transfer)
    beat = sizes.port_bytes // weight_bytes
    row_pieces, row_beats = run_pieces_of(lanes, beat, transfer), up(lanes, beat)

    def activations_at(place: Place) -> LoadSize:
        block = np.where(place.last_pixels, extents.last, extents.block)
        elements = elements_at(place)
        all_pieces, all_elements = of(place, lambda pack, _: pack.activations), of(place, lambda pack, _: pack.reduced)
        pieces = up(all_pieces * block * elements, extents.all * all_elements) + waits
        as_of_first = np.where(place.last_part, first_cut.last_length, first_cut.length)
        asks = runs(as_of_first) + (elements % p1 > 0) if tails else runs(as_of_first)
        return LoadSize(pieces, block * asks, block * beats(as_of_first), sizes.latency, idle=waits)

    def weight_rows(depth: IntArray, channels: IntArray) -> IntArray:
        return depth * (channels if dataflow is Dataflow.IS else up(channels, p2))

    def weights_at(place: Place) -> LoadSize:
        depth = np.where(blocks.joined, of(place, lambda _, cut: cut.depth), inner(elements_at(place)))
        rows = weight_rows(depth, channels_at(place))
        return LoadSize(rows * row_pieces, rows, rows * row_beats, sizes.latency)

    loads = LayerLoads(
        blocks,
        activations=activations_at,
        weights=weights_at,
        padding=padding,
        last_output_blocks=last_cut.output_blocks,
    )

    known_tiles: dict[object, tuple[IntArray, IntArray]] = {}

    def product_at(loop: Loop) -> Product:
        key = tuple(flag.tobytes() for flag in loop.last)
        if key not in known_tiles:
            place = loads.place(*loop.last)
            block = np.where(place.last_pixels, extents.last, extents.block)
            known_tiles[key] = tiles_of(dataflow, block, elements_at(place), channels_at(place), sizes)
        tiles, steps = known_tiles[key]
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

    def reads(stored: IntArray, channels: IntArray) -> IntArray:
        return stored * up(channels, sizes.result_transfer)

    def group_at(loop: Loop) -> Group:
        place = loads.place(loop.last[0], loop.last[1], loop.last[2], loop.last[2])
        channels = channels_at(place)
        return Group(
            rows=rows(np.where(place.last_pixels, extents.last, extents.block), channels),
            reads=reads(np.where(place.last_pixels, extents.last_stored, extents.block_stored), channels),
            stores=stores,
        )

    word = 1 if dataflow is Dataflow.IS else p2
    more_p = blocks.pixel_blocks - 1

    def in_all(each: Callable[[Pack, _PackBlocks], IntArray]) -> IntArray:
        """Summed over all packs."""
        first = each(first_pack, first_cut)
        last = first if last_pack is first_pack else each(last_pack, last_cut)
        return np.asarray((blocks.packs - 1) * first + last, dtype=np.int64)

    def in_groups(
        work: Callable[[IntArray, IntArray, _PackBlocks], IntArray], block: IntArray, last: IntArray
    ) -> IntArray:
        """Summed over all groups: full blocks, and the last ones."""

        def each(_: Pack, cut: _PackBlocks) -> IntArray:
            more_o = cut.output_blocks - 1
            full = more_p * more_o * work(block, cut.outputs, cut) + more_p * work(block, cut.last_outputs, cut)
            full = full + more_o * work(last, cut.outputs, cut) + work(last, cut.last_outputs, cut)
            return np.asarray(full, dtype=np.int64)

        return in_all(each)

    def computed(block: IntArray, channels: IntArray, cut: _PackBlocks) -> IntArray:
        cycles = [
            tiles * np.maximum(steps, p1)
            for tiles, steps in (
                tiles_of(dataflow, block, part, channels, sizes) for part in (cut.length, cut.last_length)
            )
        ]
        return positions * ((parts - 1) * cycles[0] + cycles[1])

    def all_weight_rows(_: Pack, cut: _PackBlocks) -> IntArray:
        return (cut.output_blocks - 1) * weight_rows(cut.depth, cut.outputs) + weight_rows(cut.depth, cut.last_outputs)

    entries = word * in_all(lambda _, cut: (cut.output_blocks - 1) * up(cut.outputs, word) + up(cut.last_outputs, word))
    work = Work(
        activations=in_all(lambda pack, cut: pack.activations * np.minimum(blocks.activation_loads, cut.output_blocks)),
        weights=in_all(all_weight_rows) * row_pieces * blocks.weight_loads,
        compute=in_groups(computed, extents.block, extents.last),
        rows=in_groups(lambda block, channels, _: rows(block, channels), extents.block, extents.last),
        reads=in_groups(lambda block, channels, _: reads(block, channels), extents.block_stored, extents.last_stored),
    )
    layer = Layer(
        counts=loads.counts,
        last_counts=loads.last_counts,
        product_at=product_at,
        padding_at=loads.padding if padding else None,
        following_at=loads.following,
        group_at=group_at,
        fill=_FILL if dataflow is Dataflow.NS else _FILL + p1 - 1,
        # Output-stationary results also leave through the rows above.
        drain=(2 * p1 if dataflow is Dataflow.NS else p1 + 1) + p2 + sizes.read_latency + _ENGINE,
        weights_first=dataflow is Dataflow.IS,
        entries=entries,
        transforms=transforms,
        work=work,
    )
    return LayerCycles(
        total=block_times(sizes, layer, bound=bound),
        load=work.activations + work.weights,
        compute=work.compute,
        store=work.reads,
        valid=blocks.valid & (entries <= _MOST_ENTRIES),
    )
