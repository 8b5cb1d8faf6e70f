"""Convolutions as products: im2col and kn2row under every dataflow, groups packed block-diagonally."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.geometry import ConvShape
from dynamap_rtl.isa import FINISH
from dynamap_rtl.layer_blocks import Cut, convolution_blocks
from dynamap_rtl.load_pattern import Load, LoadTarget
from dynamap_rtl.matrix_program import MatrixLayout, matrix_layout
from dynamap_rtl.overlay_circuit import channel_parameters, gemm_parameters, storer_parameters
from dynamap_rtl.sizes import sizes_of
from dynamap_rtl.store_pattern import Store
from dynamap_rtl.timing import Dataflow, ceil_div
from dynamap_rtl.units.walker import deltas

from .assembler import ProgramError
from .layer import Constants, LayerProgram, Scaling, TensorPlace, channel_image
from .operands import BlockNumbers, Operands, ordered, row_loads
from .schedule import Block, Fields, Group, Product, schedule

__all__ = ["Convolution", "convolution_program"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A quantised convolution.

    Attributes:
        source: input feature map.
        target: output feature map.
        weights: (Cout, Cin / groups, K1, K2), all of them int8 or all uint8.
        weight_zero: their zero point, of the same type.
        scaling: of the output channels; the bias is in units of the sum.
        stride: vertical, horizontal.
        pads: top, left; what is needed at bottom and right follows from the output's size.
        dilation: vertical, horizontal.
        groups: as ONNX has them.
    """

    source: TensorPlace
    target: TensorPlace
    weights: Integers
    weight_zero: int = 0
    scaling: Scaling
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def shape(self) -> ConvShape:
        """Its geometry."""
        return ConvShape(
            in_height=self.source.height,
            in_width=self.source.width,
            in_channels=self.source.channels,
            out_height=self.target.height,
            out_width=self.target.width,
            out_channels=self.target.channels,
            kernel=(self.weights.shape[2], self.weights.shape[3]),
            stride=self.stride,
            pads=(*self.pads, 0, 0),
            dilation=self.dilation,
            groups=self.groups,
        )


@dataclass(frozen=True)
class _Part:
    """Input elements of a product: kernel rows, columns and channels, reduced in the order (row, column, channel)."""

    rows: range
    columns: range
    channels: range  # of the input

    @property
    def length(self) -> int:
        return len(self.rows) * len(self.columns) * len(self.channels)


@dataclass(frozen=True)
class _Pack:
    """Groups computed together: their weights (b, c) for a part are block-diagonal."""

    channels: range
    outputs: range


def convolution_program(
    layer: Convolution,
    circuit: CircuitParameters,
    dataflow: Dataflow,
    *,
    constants_address: int,
    kn2row: bool = False,
) -> LayerProgram:
    """The program of a convolution, cut as ``layer_blocks.convolution_blocks`` says.

    im2col reduces over whole windows; kn2row runs a product for every kernel element and adds them up in the
    accumulators. Where a window does not fit half a buffer, im2col is cut into kernel rows, elements or channels, which
    are added up likewise.

    Args:
        layer: what to compute.
        circuit: on what.
        dataflow: how.
        constants_address: where weights and channel parameters will lie.
        kn2row: one product a kernel element.

    Raises:
        ProgramError: when not even the smallest block fits the buffers; the message names them.
    """
    return _Builder(layer, circuit, dataflow, kn2row=kn2row, constants_address=constants_address).program()


class _Builder:
    def __init__(
        self,
        layer: Convolution,
        circuit: CircuitParameters,
        dataflow: Dataflow,
        *,
        kn2row: bool,
        constants_address: int,
    ) -> None:
        self.layer, self.circuit, self.dataflow = _with_signed_weights(layer), circuit, dataflow
        self.constants = Constants(constants_address, circuit)
        self.gemm = gemm_parameters(circuit)
        self.operands = Operands(circuit, dataflow)
        blocks = convolution_blocks(layer.shape, sizes_of(circuit), dataflow, kn2row=kn2row)
        if not blocks.valid[0]:
            raise ProgramError(
                f"not even one tile of a {layer.weights.shape[2]}x{layer.weights.shape[3]} convolution of "
                f"{layer.source.channels} channels fits the buffers under {dataflow}; deepen left_depth, top_depth, "
                "accumulator_depth or result_depth"
            )
        self.blocks = BlockNumbers.of(blocks)

    # ---- what is cut into what ----

    def packs(self) -> list[_Pack]:
        layer = self.layer
        inputs, outputs = layer.weights.shape[1], layer.weights.shape[0] // layer.groups
        together = self.blocks.pack_groups
        return [
            _Pack(
                range(first * inputs, min(layer.groups, first + together) * inputs),
                range(first * outputs, min(layer.groups, first + together) * outputs),
            )
            for first in range(0, layer.groups, together)
        ]

    def parts(self, pack: _Pack) -> list[_Part]:
        rows, columns = range(self.layer.weights.shape[2]), range(self.layer.weights.shape[3])
        if self.blocks.cut == Cut.WHOLE:
            return [_Part(rows, columns, pack.channels)]
        if self.blocks.cut == Cut.ROWS:
            return [_Part(range(row, row + 1), columns, pack.channels) for row in rows]
        size = self.blocks.length
        return [
            _Part(range(row, row + 1), range(column, column + 1), pack.channels[first : first + size])
            for row, column in product(rows, columns)
            for first in range(0, len(pack.channels), size)
        ]

    def layout(self, pixels: int, length: int, outputs: int) -> MatrixLayout:
        return matrix_layout(
            self.dataflow, pixels, length, outputs, rows=self.circuit.rows, columns=self.circuit.columns
        )

    # ---- blocks ----

    def activation_block(self, part: _Part, first: int, pixels: int) -> Block:
        layer, source = self.layer, self.layer.source
        tail = 0
        if self.dataflow is Dataflow.NS:
            target, step = LoadTarget.ALONG, part.length
        elif self.dataflow is Dataflow.WS:
            target, step = LoadTarget.ACROSS, pixels
        else:
            target = LoadTarget.ALONG
            step = ceil_div(part.length, self.circuit.rows) * self.circuit.rows
            tail = step - part.length
        first_row, first_column = divmod(first, layer.target.width)
        load = Load(
            address=source.address + part.channels.start,
            row_pitch=source.row_pitch,
            pixel_pitch=source.pixel_pitch,
            height=source.height,
            width=source.width,
            channels=len(part.channels),
            taps_y=len(part.rows),
            taps_x=len(part.columns),
            dilation_y=layer.dilation[0],
            dilation_x=layer.dilation[1],
            step_y=layer.stride[0],
            step_x=layer.stride[1],
            origin_y=part.rows.start * layer.dilation[0] - layer.pads[0],
            origin_x=part.columns.start * layer.dilation[1] - layer.pads[1],
            columns=layer.target.width,
            first_row=first_row,
            first_column=first_column,
            windows=pixels,
            tail=tail,
            zero_point=source.zero_point,
            signed=source.signed,
            target=target,
            depth_step=step,
        )
        key = ("activations", part, first, pixels)
        return Block(key, partial(self.operands.loads, self.operands.activations, [load]))

    def weight_matrix(self, part: _Part, outputs: range) -> Integers:
        """(b, c) of a part, with the zero point off the diagonal of packed groups."""
        layer = self.layer
        chosen = layer.weights[outputs.start : outputs.stop, :, part.rows.start : part.rows.stop]
        chosen = chosen[..., part.columns.start : part.columns.stop]
        if layer.groups == 1:
            own = chosen[:, part.channels.start : part.channels.stop]
            return own.transpose(2, 3, 1, 0).reshape(part.length, len(outputs))
        inputs, per_group = layer.weights.shape[1], layer.weights.shape[0] // layer.groups
        channels = np.array(part.channels)
        groups = np.array(outputs) // per_group
        diagonal = (channels[:, None] // inputs) == groups[None]  # (channels, outputs)
        values = chosen[
            np.arange(len(outputs))[None], (channels % inputs)[:, None]
        ]  # (channels, outputs, rows, columns)
        matrix = np.where(diagonal[..., None, None], values, layer.weight_zero)
        return matrix.transpose(2, 3, 0, 1).reshape(part.length, len(outputs))

    def weight_block(self, parts: Sequence[_Part], pack: _Pack, outputs: range) -> Block:
        """Parts' weights, one behind the other."""
        layer, side = self.layer, self.operands.weights
        buffers = []
        for part in parts:
            layout = self.layout(1, part.length, len(outputs))
            wide = self.weight_matrix(part, outputs) - layer.weight_zero
            none = np.zeros((0, part.length), np.int64)
            buffers.append(layout.left(none, wide) if side == "left" else layout.top(none, wide))
        buffer = np.concatenate(buffers, axis=1)
        lanes = len(buffer)
        rows = (buffer.T + layer.weight_zero).astype(np.int8)  # depth by depth, lanes side by side
        address = self.constants.add(rows.tobytes())
        loads = row_loads(address, rows.shape, lanes, zero_point=layer.weight_zero)
        key = ("weights", tuple(parts), pack, outputs)
        return Block(key, partial(self.operands.loads, side, loads))

    # ---- the whole ----

    def groups(self) -> Iterator[Group]:
        layer, sizes = self.layer, self.blocks
        self.channel_order: list[int] = []
        for pack in self.packs():
            parts = self.parts(pack)
            output_blocks = [
                pack.outputs[first : first + sizes.outputs] for first in range(0, len(pack.outputs), sizes.outputs)
            ]
            pixel_blocks = [
                (first, min(sizes.pixels, layer.target.pixels - first))
                for first in range(0, layer.target.pixels, sizes.pixels)
            ]
            words = {}
            for outputs in output_blocks:
                words[outputs] = len(self.channel_order)
                # A row of the accumulators is a word of entries, under IS a single one.
                padding = 0 if self.dataflow is Dataflow.IS else -len(outputs) % self.circuit.columns
                self.channel_order += [*outputs, *[-1] * padding]
            weights = {outputs: self.weights_of(parts, pack, outputs) for outputs in output_blocks}
            for (first, count), outputs in ordered(pixel_blocks, output_blocks, first_outer=sizes.pixels_outer):
                products = [
                    self.product(part, first, count, len(outputs), *place)
                    for part, place in zip(parts, weights[outputs], strict=True)
                ]
                yield Group(
                    products,
                    partial(self.finishes, count, len(outputs), words[outputs]),
                    partial(self.stores, first, count, outputs),
                )

    def weights_of(self, parts: Sequence[_Part], pack: _Pack, outputs: range) -> list[tuple[Block, int]]:
        """For every part, the block its weights are in, and the depth within it."""
        if not self.blocks.joined:
            return [(self.weight_block([part], pack, outputs), 0) for part in parts]
        block = self.weight_block(parts, pack, outputs)
        places, depth = [], 0
        for part in parts:
            places.append((block, depth))
            layout = self.layout(1, part.length, len(outputs))
            depth += layout.left_depth if self.operands.weights == "left" else layout.top_depth
        return places

    def product(self, part: _Part, first: int, pixels: int, outputs: int, weights: Block, depth: int) -> Product:
        layout = self.layout(pixels, part.length, outputs)
        activations = self.activation_block(part, first, pixels)
        offsets = {self.operands.activations: 0, self.operands.weights: depth}

        def command(left: int, top: int, half: int) -> Fields:
            places = {"left": left, "top": top}
            left_depth, top_depth = (offsets[side] + places[side] * self.operands.half[side] for side in places)
            return layout.command(self.gemm, half=half, left=left_depth, top=top_depth)

        if self.dataflow is Dataflow.IS:
            return Product(weights, activations, command)
        return Product(activations, weights, command)

    def finishes(self, pixels: int, outputs: int, entry: int, half: int) -> list[Fields]:
        return [
            finish_fields(
                self.circuit,
                pixels=pixels,
                outputs=outputs,
                entry=entry,
                half=half,
                across=self.dataflow is Dataflow.IS,
                zero_point=self.layer.target.zero_point,
                low=self.layer.scaling.low,
                high=self.layer.scaling.high,
            )
        ]

    def stores(self, first: int, pixels: int, outputs: range, half: int) -> list[Fields]:
        return [store_fields(self.circuit, self.layer.target, first, pixels, outputs, half)]

    def program(self) -> LayerProgram:
        groups = list(self.groups())
        channels = channel_loads(self.circuit, self.constants, self.layer.scaling, np.array(self.channel_order))
        instructions = schedule(groups, channels)
        return LayerProgram(instructions, self.constants.address, bytes(self.constants.image))


def _with_signed_weights(layer: Convolution) -> Convolution:
    """The same layer with weights of int8: both ends of uint8 and its zero point moved by 128."""
    least = min(int(layer.weights.min()), layer.weight_zero)
    greatest = max(int(layer.weights.max()), layer.weight_zero)
    if least >= -128 and greatest <= 127:
        return layer
    if least < 0 or greatest > 255:
        raise ProgramError(
            f"weights and their zero point must all be int8 or all uint8, not from {least} to {greatest}"
        )
    return replace(layer, weights=layer.weights - 128, weight_zero=layer.weight_zero - 128)


def finish_fields(
    circuit: CircuitParameters,
    *,
    pixels: int,
    outputs: int,
    entry: int,
    half: int,
    across: bool,
    zero_point: int,
    low: int,
    high: int,
) -> Fields:
    """One finish instruction for a block whose sums lie word by word as ``MatrixLayout`` says.

    Args:
        circuit: the overlay.
        pixels: of the block.
        outputs: its channels.
        entry: of the first channel among the channel parameters; a multiple of P2.
        half: of the accumulators and of the result buffer.
        across: whether a column is a pixel (IS) and not a channel.
        zero_point: of the results.
        low: least result.
        high: largest.
    """
    columns = circuit.columns
    slot = ceil_div(outputs, columns) * columns
    base = half * (circuit.result_depth // 2)
    if across:
        counts, strides = (outputs, ceil_div(pixels, columns)), (1, outputs)
        lane, depth, phase, channel = (0, 0), (1, slot), (1, slot), (1, 0)
        first = entry
        step = 0
    else:
        counts, strides = (pixels, ceil_div(outputs, columns)), (1, pixels)
        # Pixel by pixel from lane to lane; depth moves with every wrap of the lane, which the circuit adds.
        lane, depth, phase, channel = (1, 0), (1 // columns * slot, columns), (0, columns), (0, 1)
        first = entry // columns
        step = slot

    def levels(stride: tuple[int, int], modulus: int) -> tuple[int, ...]:
        return tuple(delta % modulus for delta in (*deltas(counts, stride), 0, 0, 0))

    lane_deltas = levels(lane, columns)
    depth_size = circuit.result_depth
    depth_deltas = list(levels(depth, depth_size))
    if not across:
        # A pass returns by pixels - 1: modulo P2 in the lane, and the wraps taken back in the depth.
        back = -(pixels - 1)
        depth_deltas[1] = (columns + (back - back % columns) // columns * slot) % depth_size
    word_size = 1 << channel_parameters(circuit).word_width
    sums = gemm_parameters(circuit).collector
    rest = (1, 1, 1)
    values: dict[str, int | tuple[int, ...]] = {
        "half": half,
        "transform": 0,
        "along": int(not across),
        "count": columns,
        "zero_point": zero_point,
        "low": low,
        "high": high,
        "base": 0,
        "counts": (*counts, *rest),
        "deltas": tuple(delta % (1 << sums.address_width) for delta in (*deltas(counts, strides), 0, 0, 0)),
        "place_counts": (*counts, *rest),
        "lane": 0,
        "lane_deltas": lane_deltas,
        "depth": base,
        "depth_deltas": tuple(depth_deltas),
        "phase": base % columns,
        "phase_deltas": levels(phase, columns),
        "step": step,
        "channel": first,
        "channel_deltas": levels(channel, word_size),
    }
    assert set(values) == set(FINISH.fields)
    return values


def store_fields(
    circuit: CircuitParameters, target: TensorPlace, first: int, pixels: int, outputs: range, half: int
) -> Fields:
    """One store instruction for a block of consecutive pixels and channels of a tensor."""
    columns = circuit.columns
    row, column = divmod(first, target.width)
    return Store(
        address=target.address + outputs.start,
        row_pitch=target.row_pitch,
        pixel_pitch=target.pixel_pitch,
        columns=target.width,
        first_row=row,
        first_column=column,
        pixels=pixels,
        channels=len(outputs),
        depth=half * (circuit.result_depth // 2),
        depth_step=ceil_div(len(outputs), columns) * columns,
    ).fields(storer_parameters(circuit))


def channel_loads(circuit: CircuitParameters, constants: Constants, scaling: Scaling, order: Integers) -> list[Fields]:
    """The instruction that loads channel parameters, in the order of the entries the program uses.

    Raises:
        ProgramError: when there are more entries than the channel memory holds.
    """
    memory = channel_parameters(circuit)
    if len(order) > min(memory.words * memory.lanes, memory.singles):
        raise ProgramError(
            f"{len(order)} channel entries do not fit a channel memory of {memory.words} words of {memory.lanes} "
            "lanes; set channel_words"
        )
    image = channel_image(scaling, order, circuit)
    address = constants.add(image)
    return [{"address": address, "bytes": len(image), "channels": len(order), "word": 0, "single": 0}]
