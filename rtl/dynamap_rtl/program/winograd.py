"""Winograd convolutions F(2, 3) and F(4, 3), along both axes or one: a product a position of the transformed tile.

The loader streams overlapping input tiles through the input transform, the array multiplies position by position, and
the finishing unit transforms back. Kernels longer than three taps are cut into parts, which are added up before the
output transform, as channels are that do not fit half a buffer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.layer_blocks import TAPS, WinogradShape, winograd_blocks
from dynamap_rtl.load_pattern import Load, LoaderParameters, LoadTarget
from dynamap_rtl.matrix_program import MatrixLayout, matrix_layout
from dynamap_rtl.overlay_circuit import channel_parameters, gemm_parameters, storer_parameters
from dynamap_rtl.sizes import sizes_of
from dynamap_rtl.store_pattern import Store
from dynamap_rtl.timing import Dataflow, ceil_div
from dynamap_rtl.units.walker import deltas
from dynamap_rtl.units.winograd import transform_weights

from .assembler import ProgramError
from .convolution import Convolution, channel_loads, store_fields
from .layer import Constants, LayerProgram
from .operands import BlockNumbers, Operands, ordered, row_loads
from .schedule import Block, Fields, Group, Product, schedule

__all__ = ["winograd_program"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class _Slice:
    """What one product reduces: a part of the kernel, by its first row and column, and input channels."""

    row: int
    column: int
    part: int
    channels: range


@dataclass(frozen=True)
class _Tiles:
    """Rows of tiles, each ``columns`` tiles long."""

    first: int
    rows: int
    columns: int

    @property
    def count(self) -> int:
        return self.rows * self.columns


def winograd_program(
    layer: Convolution, circuit: CircuitParameters, dataflow: Dataflow, *, tile: int, constants_address: int
) -> LayerProgram:
    """The program of a convolution by F(tile, 3).

    Args:
        layer: stride, dilation and groups 1; three or more taps along one axis or both, one along the other.
        circuit: an overlay with this transform.
        dataflow: how the products are run.
        tile: 2 or 4.
        constants_address: where weights and channel parameters will lie.

    Raises:
        ProgramError: when the convolution has no such form, the overlay no such transform, or not even the smallest
            block fits the buffers.
    """
    if tile not in circuit.winograd:
        raise ProgramError(f"the overlay does not have F({tile}, 3); it was made with winograd={circuit.winograd}")
    kernel = layer.weights.shape[2:]
    axes = tuple(extent >= TAPS for extent in kernel)
    if layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.groups != 1 or not any(axes):
        raise ProgramError("Winograd wants stride, dilation and groups 1 and three taps or more along an axis")
    if any(not axis and extent != 1 for axis, extent in zip(axes, kernel, strict=True)):
        raise ProgramError(
            f"a {kernel[0]}x{kernel[1]} kernel has no Winograd form: an axis must have 1 tap or 3 and more"
        )
    if layer.weight_zero:
        raise ProgramError(
            "Winograd wants weights without a zero point: transformed, they would not fit; take im2col or kn2row"
        )
    return _Builder(layer, circuit, dataflow, WinogradShape(layer.shape, tile), constants_address).program()


class _Builder:
    def __init__(
        self,
        layer: Convolution,
        circuit: CircuitParameters,
        dataflow: Dataflow,
        shape: WinogradShape,
        constants_address: int,
    ) -> None:
        self.layer, self.circuit, self.dataflow, self.tile = layer, circuit, dataflow, shape.tile
        self.constants = Constants(constants_address, circuit)
        self.gemm = gemm_parameters(circuit)
        self.operands = Operands(circuit, dataflow)
        self.step, self.window, self.positions = shape.step, shape.window, shape.positions
        self.kind = 1 + 2 * int(all(shape.axes)) + int(shape.tile == 4)
        self.bytes = shape.weight_bytes
        self.lanes = self.operands.loaders[self.operands.activations].transfer  # channels of a transformed vector
        self.tile_rows, self.tile_columns = shape.tiles
        blocks = winograd_blocks(shape, sizes_of(circuit), dataflow)
        if not blocks.valid[0]:
            raise ProgramError(
                f"a row of {self.tile_columns} tiles of {self.positions} positions does not fit the buffers under "
                f"{dataflow}; deepen left_depth, top_depth, accumulator_depth or result_depth"
            )
        self.blocks = BlockNumbers.of(blocks)

    # ---- what is cut into what ----

    def layout(self, tiles: int, channels: int, outputs: int) -> MatrixLayout:
        """Of the product of one position; channels in whole vectors."""
        length = ceil_div(channels, self.lanes) * self.lanes
        return matrix_layout(
            self.dataflow, tiles, length, outputs, rows=self.circuit.rows, columns=self.circuit.columns
        )

    def slices(self) -> list[_Slice]:
        channels = self.blocks.length
        parts = [
            (row, column)
            for row in range(0, self.layer.weights.shape[2], TAPS)
            for column in range(0, self.layer.weights.shape[3], TAPS)
        ]
        total = self.layer.source.channels
        return [
            _Slice(row, column, part, range(first, min(total, first + channels)))
            for part, (row, column) in enumerate(parts)
            for first in range(0, total, channels)
        ]

    # ---- blocks ----

    def activation_block(self, piece: _Slice, tiles: _Tiles) -> Block:
        layer, source = self.layer, self.layer.source
        channels = piece.channels
        layout = self.layout(tiles.count, len(channels), 1)
        across = self.dataflow is Dataflow.WS
        lanes = self.circuit.rows if self.operands.activations == "left" else self.circuit.columns
        # Across, a load is whole rounds of lanes, or less than one.
        rounds = len(channels) // lanes * lanes if across else len(channels)
        cuts = [cut for cut in (range(rounds), range(rounds, len(channels))) if len(cut)]
        loads = []
        for cut in cuts:
            vectors = ceil_div(len(cut), self.lanes)
            load = Load(
                address=source.address + channels.start + cut.start,
                row_pitch=source.row_pitch,
                pixel_pitch=source.pixel_pitch,
                height=source.height,
                width=source.width,
                channels=len(cut),
                taps_y=self.window[0],
                taps_x=self.window[1],
                step_y=self.step[0],
                step_x=self.step[1],
                origin_y=piece.row - layer.pads[0],
                origin_x=piece.column - layer.pads[1],
                columns=tiles.columns,
                first_row=tiles.first,
                windows=tiles.count,
                zero_point=source.zero_point,
                signed=source.signed,
                target=LoadTarget.STREAM,
            )
            if across:
                per_round = min(vectors, lanes // self.lanes)
                counts = (self.positions, per_round, ceil_div(vectors, per_round), tiles.count)
                depths = (layout.left_depth, 0, tiles.count, 1)
                lane_strides = (0, self.lanes, 0, 0)
                first = cut.start // lanes * tiles.count
            else:
                group = min(lanes, tiles.count)
                size = layout.left_depth if self.operands.activations == "left" else layout.top_depth
                length = size // ceil_div(tiles.count, lanes)
                counts = (self.positions, vectors, group, ceil_div(tiles.count, lanes))
                depths = (size, self.lanes, 0, length)
                lane_strides = (0, 0, 1, 0)
                first = 0
            loads.append((load, counts, depths, lane_strides, first))
        return Block(("tiles", piece, tiles), partial(self.tile_loads, loads, across=across))

    def tile_loads(
        self,
        loads: Sequence[tuple[Load, tuple[int, ...], tuple[int, ...], tuple[int, ...], int]],
        half: int,
        *,
        across: bool,
    ) -> list[Fields]:
        loader = self.operands.loaders[self.operands.activations]
        depth_size = 1 << loader.depth_width
        lane_size = 1 << loader.lane_width
        base = half * self.operands.half[self.operands.activations]
        result: list[Fields] = []
        for load, counts, depths, lanes, first in loads:
            depth_deltas, lane_deltas = (*deltas(counts, depths), 0), (*deltas(counts, lanes), 0)
            result.append(
                {
                    **load.fields(loader),
                    "transform": self.kind,
                    "tile_along": int(not across),
                    "base": base + first,
                    "phase_base": (base + first) % loader.lanes,
                    "counts": (*counts, 1),
                    "deltas": tuple(delta % depth_size for delta in depth_deltas),
                    "phase_deltas": tuple(delta % loader.lanes for delta in depth_deltas),
                    "lane_deltas": tuple(delta % lane_size for delta in lane_deltas),
                }
            )
        return result

    def weight_block(self, slices: Sequence[_Slice], outputs: range) -> Block:
        """(positions, channels, outputs) of every slice, a position behind the other."""
        total = self.layer.source.channels
        side = self.operands.weights
        buffers: list[Integers] = []
        for piece in slices:
            first = piece.part * total + piece.channels.start
            chosen = self.transformed[:, first : first + len(piece.channels), outputs.start : outputs.stop]
            layout = self.layout(1, len(piece.channels), len(outputs))
            padded = np.pad(chosen, ((0, 0), (0, layout.b - len(piece.channels)), (0, 0)))
            none: Integers = np.zeros((0, layout.b), dtype=np.int64)
            fold = layout.left if side == "left" else layout.top
            buffers.extend(fold(none, matrix) for matrix in padded)
        buffer = np.concatenate(buffers, axis=1)
        loads = multibyte_loads(self.constants, buffer.T, self.bytes, self.operands.loaders[side])
        return Block(("weights", tuple(slices), outputs), partial(self.operands.loads, side, loads))

    # ---- the whole ----

    def groups(self) -> Iterator[Group]:
        layer = self.layer
        self.transformed: Integers = transform_weights(layer.weights, self.tile)
        rows, outputs = self.blocks.pixels, self.blocks.outputs
        slices = self.slices()
        total = layer.target.channels
        output_blocks = [range(first, min(total, first + outputs)) for first in range(0, total, outputs)]
        tile_blocks = [
            _Tiles(first, min(rows, self.tile_rows - first), self.tile_columns)
            for first in range(0, self.tile_rows, rows)
        ]
        weights = {block: self.weights_of(slices, block) for block in output_blocks}
        order = ordered(tile_blocks, output_blocks, first_outer=self.blocks.pixels_outer)
        # A row of the accumulators is a word of entries, under IS a single one.
        word = 1 if self.dataflow is Dataflow.IS else self.circuit.columns
        entry = {block: number * ceil_div(outputs, word) * word for number, block in enumerate(output_blocks)}
        self.channel_order = [
            channel
            for block in output_blocks
            for channel in [*block, *[-1] * (ceil_div(outputs, word) * word - len(block))]
        ]
        for tiles, block in order:
            products = [
                self.product(piece, tiles, block, *place) for piece, place in zip(slices, weights[block], strict=True)
            ]
            yield Group(
                products, partial(self.finishes, tiles, block, entry[block]), partial(self.stores, tiles, block)
            )

    def weights_of(self, slices: Sequence[_Slice], outputs: range) -> list[tuple[Block, int]]:
        """For every slice, the block its weights are in, and the depth within it."""
        if not self.blocks.joined:
            return [(self.weight_block([piece], outputs), 0) for piece in slices]
        block = self.weight_block(slices, outputs)
        places, depth = [], 0
        for piece in slices:
            places.append((block, depth))
            layout = self.layout(1, len(piece.channels), len(outputs))
            depth += self.positions * (layout.left_depth if self.operands.weights == "left" else layout.top_depth)
        return places

    def product(self, piece: _Slice, tiles: _Tiles, outputs: range, weights: Block, depth: int) -> Product:
        layout = self.layout(tiles.count, len(piece.channels), len(outputs))
        activations = self.activation_block(piece, tiles)
        offsets = {self.operands.activations: 0, self.operands.weights: depth}

        def command(left: int, top: int, half: int) -> Fields:
            places = {"left": left, "top": top}
            left_depth, top_depth = (offsets[side] + places[side] * self.operands.half[side] for side in places)
            return layout.command(self.gemm, half=half, left=left_depth, top=top_depth, count=self.positions)

        if self.dataflow is Dataflow.IS:
            return Product(weights, activations, command)
        return Product(activations, weights, command)

    def finishes(self, tiles: _Tiles, outputs: range, entry: int, half: int) -> list[Fields]:
        layout = self.layout(tiles.count, self.lanes, len(outputs))
        columns, circuit = self.circuit.columns, self.circuit
        slot = ceil_div(len(outputs), columns) * columns
        base = half * (circuit.result_depth // 2)
        step_y, step_x = self.step
        width = self.layer.target.width
        counts: tuple[int, ...]
        strides: tuple[int, ...]
        place_counts: tuple[int, ...]
        if self.dataflow is Dataflow.IS:
            # A column is a tile; results of one position of the output tile lie P2 tiles side by side.
            batches = ceil_div(tiles.count, columns)
            counts = (self.positions, len(outputs), batches)
            strides = (layout.words, 1, len(outputs))
            first = 0
            place_counts = (step_x, step_y, len(outputs), batches)
            lanes = [0, 0, 0, 0]
            depths = list(deltas(place_counts, (slot, step_x * slot, 1, step_x * step_y * slot)))
            phases = [delta % columns for delta in depths]
            channels = deltas(place_counts, (0, 0, 1, 0))
            channel, step = entry, 0
        else:
            # The tiles of a row from the last to the first: what a tile has beyond the right edge falls on places whose
            # own results come later.
            batches = ceil_div(len(outputs), columns)
            counts = (self.positions, tiles.columns, tiles.rows, batches)
            strides = (layout.words, -1, tiles.columns, tiles.count)
            first = tiles.columns - 1
            place_counts = (step_x, step_y, tiles.columns, tiles.rows, batches)
            pixels = deltas(place_counts, (1, width, -step_x, step_y * width, 0))
            lanes = [delta % columns for delta in pixels]
            depths = [(delta - delta % columns) // columns * slot for delta in pixels]
            depths[4] += columns
            phases = [0] * 5
            channels = deltas(place_counts, (0, 0, 0, 0, 1))
            channel, step = entry // columns, slot
        start = (tiles.columns - 1) * step_x if self.dataflow is not Dataflow.IS else 0
        sums = self.gemm.collector
        depth = base + start // columns * slot

        def five(values: Sequence[int], modulus: int, rest: int = 0) -> tuple[int, ...]:
            return tuple(value % modulus for value in (*values, *[rest] * (5 - len(values))))

        return [
            {
                "half": half,
                "transform": self.kind,
                "along": int(self.dataflow is not Dataflow.IS),
                "count": columns,
                "zero_point": self.layer.target.zero_point,
                "low": self.layer.scaling.low,
                "high": self.layer.scaling.high,
                "base": first,
                "counts": five(counts, 1 << 16, 1),
                "deltas": five(deltas(counts, strides), 1 << sums.address_width),
                "place_counts": five(place_counts, 1 << 16, 1),
                "lane": start % columns,
                "lane_deltas": five(lanes, columns),
                "depth": depth,
                "depth_deltas": five(depths, circuit.result_depth),
                "phase": depth % columns,
                "phase_deltas": five(phases, columns),
                "step": step,
                "channel": channel,
                "channel_deltas": five(channels, 1 << channel_parameters(circuit).word_width),
            }
        ]

    def stores(self, tiles: _Tiles, outputs: range, half: int) -> list[Fields]:
        target = self.layer.target
        step_y, step_x = self.step
        first_row = tiles.first * step_y
        rows = min(target.height, first_row + tiles.rows * step_y) - first_row
        if self.dataflow is not Dataflow.IS:
            first = first_row * target.width
            return [store_fields(self.circuit, target, first, rows * target.width, outputs, half)]
        columns = self.circuit.columns
        slot = ceil_div(len(outputs), columns) * columns
        stores: list[Fields] = []
        # Columns from the right: a tile that sticks out at the right edge writes where a later store writes again.
        for x in reversed(range(step_x)):
            for y in range(step_y):
                valid_rows = ceil_div(rows - y, step_y)
                count = valid_rows * tiles.columns
                count -= (tiles.columns - 1) * step_x + x >= target.width
                if count < 1 or x >= target.width:
                    continue
                stores.append(
                    Store(
                        address=target.address
                        + outputs.start
                        + (first_row + y) * target.row_pitch
                        + x * target.pixel_pitch,
                        row_pitch=target.row_pitch * step_y,
                        pixel_pitch=target.pixel_pitch * step_x,
                        columns=tiles.columns,
                        pixels=count,
                        channels=len(outputs),
                        depth=half * (self.circuit.result_depth // 2) + (y * step_x + x) * slot,
                        depth_step=step_x * step_y * slot,
                    ).fields(storer_parameters(self.circuit))
                )
        return stores

    def program(self) -> LayerProgram:
        groups = list(self.groups())
        order = np.array(self.channel_order)
        channels = channel_loads(self.circuit, self.constants, self.layer.scaling, order)
        return LayerProgram(schedule(groups, channels), self.constants.address, bytes(self.constants.image))


def multibyte_loads(constants: Constants, rows: Integers, element_bytes: int, loader: LoaderParameters) -> list[Load]:
    """Constants of several bytes, depth by depth, and the loads that bring them into a buffer from depth 0 on.

    Args:
        constants: where they are put; whole elements a beat.
        rows: (depth, lanes).
        element_bytes: 2 or 3.
        loader: of the buffer.
    """
    depth, lanes = rows.shape
    per_beat = loader.port_bytes // element_bytes
    if per_beat < 1:
        raise ProgramError(
            f"elements of {element_bytes} bytes need a memory port of as many; widen dram_bytes_per_cycle"
        )
    # A row begins at a beat; what is left of its last beat is not stored.
    padded = np.pad(rows, ((0, 0), (0, -lanes % per_beat))).astype("<i4")
    beats = np.ascontiguousarray(padded).view(np.uint8).reshape(depth, -1, per_beat, 4)[..., :element_bytes]
    beats = beats.reshape(depth, beats.shape[1], per_beat * element_bytes)
    beats = np.pad(beats, ((0, 0), (0, 0), (0, loader.port_bytes - beats.shape[2]))).reshape(depth, -1)
    full, rest = divmod(lanes, per_beat)
    row_bytes = full * loader.port_bytes + rest * element_bytes
    address = constants.add(np.ascontiguousarray(beats[:, :row_bytes]).tobytes())
    return row_loads(address, (depth, lanes), row_bytes, element_bytes=element_bytes)
