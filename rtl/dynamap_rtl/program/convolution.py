"""Convolutions as products: im2col and kn2row under every dataflow, groups packed block-diagonally."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import FINISH, LOAD
from dynamap_rtl.load_pattern import Load, LoaderParameters, LoadTarget
from dynamap_rtl.matrix_program import MatrixLayout, matrix_layout
from dynamap_rtl.overlay_circuit import (
    channel_parameters,
    gemm_parameters,
    left_parameters,
    storer_parameters,
    top_parameters,
)
from dynamap_rtl.store_pattern import Store
from dynamap_rtl.timing import Dataflow, Gemm, ceil_div, groups_per_tile
from dynamap_rtl.units.walker import deltas

from .assembler import ProgramError
from .layer import Constants, LayerProgram, Scaling, TensorPlace, channel_image
from .schedule import Block, Fields, Group, Product, schedule

__all__ = ["Convolution", "convolution_program"]

Integers = NDArray[np.int64]
_LONGEST_RUN = 65_535


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
    """The program of a convolution.

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
        ProgramError: when not even the smallest block fits the buffers; the message names the buffer.
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
        self.kn2row = kn2row
        self.constants = Constants(constants_address, circuit)
        self.gemm = gemm_parameters(circuit)
        self.loaders = {"left": left_parameters(circuit).loader, "top": top_parameters(circuit).loader}
        self.activations = "top" if dataflow is Dataflow.IS else "left"
        self.weights_side = "left" if dataflow is Dataflow.IS else "top"
        self.half = {"left": circuit.left_depth // 2, "top": circuit.top_depth // 2}
        self.weight_blocks: dict[tuple[int, ...], int] = {}

    # ---- what is cut into what ----

    def packs(self) -> list[_Pack]:
        layer = self.layer
        inputs, outputs = layer.weights.shape[1], layer.weights.shape[0] // layer.groups
        kernel = layer.weights.shape[2] * layer.weights.shape[3]
        together = 1
        if layer.groups > 1:
            group = Gemm(layer.target.pixels, inputs if self.kn2row else inputs * kernel, outputs, layer.groups)
            together = int(groups_per_tile(self.dataflow, group, self.circuit.rows, self.circuit.columns))
        return [
            _Pack(
                range(first * inputs, min(layer.groups, first + together) * inputs),
                range(first * outputs, min(layer.groups, first + together) * outputs),
            )
            for first in range(0, layer.groups, together)
        ]

    def parts(self, pack: _Pack) -> list[_Part]:
        """Whole windows if half the buffers hold one tile of them, else smaller and smaller pieces."""
        rows, columns = range(self.layer.weights.shape[2]), range(self.layer.weights.shape[3])
        whole = [_Part(rows, columns, pack.channels)]
        by_row = [_Part(range(row, row + 1), columns, pack.channels) for row in rows]
        by_tap = [
            _Part(range(row, row + 1), range(column, column + 1), pack.channels)
            for row, column in product(rows, columns)
        ]
        choices = [by_tap] if self.kn2row else [whole, by_row, by_tap]
        for parts in choices:
            if parts[0].length <= self.longest_part:
                return parts
        pieces = ceil_div(len(pack.channels), self.longest_part)
        size = ceil_div(len(pack.channels), pieces)
        return [
            replace(part, channels=pack.channels[first : first + size])
            for part in by_tap
            for first in range(0, len(pack.channels), size)
        ]

    @property
    def longest_part(self) -> int:
        """Elements that one tile of the smallest block may reduce."""
        rows = self.circuit.rows
        if self.dataflow is Dataflow.NS:
            return min(self.half["left"], self.half["top"])
        tiles = min(self.half["left"], self.half["top"] // rows)
        if tiles < 1:
            raise ProgramError(
                f"half the top operand buffer holds {self.half['top']} rows, an array of {rows} rows needs as many; "
                "deepen top_depth"
            )
        return tiles * rows

    def layout(self, pixels: int, length: int, outputs: int) -> MatrixLayout:
        return matrix_layout(
            self.dataflow, pixels, length, outputs, rows=self.circuit.rows, columns=self.circuit.columns
        )

    def fits(self, pixels: int, length: int, outputs: int) -> bool:
        layout = self.layout(pixels, length, outputs)
        slot = ceil_div(outputs, self.circuit.columns) * self.circuit.columns
        return (
            layout.left_depth <= self.half["left"]
            and layout.top_depth <= self.half["top"]
            and layout.words <= self.circuit.accumulator_depth
            and ceil_div(pixels, self.circuit.columns) * slot <= self.circuit.result_depth // 2
        )

    def block(self, length: int, outputs: int) -> tuple[int, int]:
        """Pixels and output channels of a block: all channels that fit, then a good eighth of the pixels."""
        pixel_step = self.circuit.columns if self.dataflow is Dataflow.IS else self.circuit.rows
        if self.dataflow is Dataflow.WS:
            pixel_step = 1
        channel_step = 1 if self.dataflow is Dataflow.IS else self.circuit.columns
        pixels = self.layer.target.pixels
        least = min(pixels, pixel_step)
        channels = outputs
        while not self.fits(least, length, channels):
            smaller = (ceil_div(channels, channel_step) + 1) // 2 * channel_step
            if smaller >= channels:
                smaller = channels - channel_step
            if smaller < 1:
                raise ProgramError(
                    f"a block of {least} pixels and {channels} channels of {length} elements each does not fit the "
                    "buffers; deepen left_depth, top_depth, accumulator_depth or result_depth"
                )
            channels = smaller
        wanted = max(ceil_div(pixels, 8), min(pixels, 4 * pixel_step))
        steps = max(1, ceil_div(wanted, pixel_step))
        while steps > 1 and not self.fits(min(pixels, steps * pixel_step), length, channels):
            steps -= max(1, steps // 8)
        return min(pixels, steps * pixel_step), channels

    # ---- blocks ----

    def activation_block(self, part: _Part, first: int, pixels: int) -> Block:
        layer, source = self.layer, self.layer.source
        loader = self.loaders[self.activations]
        layout_length = len(part.rows) * len(part.columns) * len(part.channels)
        tail = 0
        if self.dataflow is Dataflow.NS:
            target, step = LoadTarget.ALONG, layout_length
        elif self.dataflow is Dataflow.WS:
            target, step = LoadTarget.ACROSS, pixels
        else:
            target = LoadTarget.ALONG
            step = ceil_div(layout_length, self.circuit.rows) * self.circuit.rows
            tail = step - layout_length
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
        return Block(key, partial(self.loads, self.activations, [load], loader))

    def loads(self, side: str, loads: Sequence[Load], loader: LoaderParameters, half: int) -> list[Fields]:
        base = half * self.half[side]
        none = {name: 0 if field.lanes == 1 else (0,) * field.lanes for name, field in LOAD.fields.items()}
        return [{**none, **replace(load, depth=load.depth + base).fields(loader)} for load in loads]

    def weight_block(self, part: _Part, pack: _Pack, outputs: range) -> Block:
        """(b, c) of a part, with zeros off the diagonal of packed groups."""
        layer = self.layer
        inputs, per_group = layer.weights.shape[1], layer.weights.shape[0] // layer.groups
        matrix = np.full((len(part.rows), len(part.columns), len(part.channels), len(outputs)), layer.weight_zero)
        for column, output in enumerate(outputs):
            group = output // per_group
            own = range(group * inputs, (group + 1) * inputs)
            for position, channel in enumerate(part.channels):
                if channel in own:
                    matrix[:, :, position, column] = layer.weights[
                        output,
                        channel - own.start,
                        part.rows.start : part.rows.stop,
                        part.columns.start : part.columns.stop,
                    ]
        layout = self.layout(1, part.length, len(outputs))
        wide = matrix.reshape(part.length, len(outputs)).astype(np.int64) - layer.weight_zero
        buffer = layout.left(wide[:0].T, wide) if self.dataflow is Dataflow.IS else layout.top(wide[:0].T, wide)
        lanes = len(buffer)
        rows = (buffer.T + layer.weight_zero).astype(np.int8)  # depth by depth, lanes side by side
        address = self.constants.add(rows.tobytes())
        most = max(1, _LONGEST_RUN // lanes)
        loads = [
            Load(
                address=address + first * lanes,
                row_pitch=lanes,
                pixel_pitch=lanes,
                height=1,
                width=1,
                channels=min(most, len(rows) - first) * lanes,
                columns=1,
                windows=1,
                zero_point=layer.weight_zero,
                signed=True,
                target=LoadTarget.ACROSS,
                depth=first,
                depth_step=1,
            )
            for first in range(0, len(rows), most)
        ]
        key = ("weights", part, pack, outputs)
        return Block(key, partial(self.loads, self.weights_side, loads, self.loaders[self.weights_side]))

    # ---- the whole ----

    def groups(self) -> Iterator[Group]:
        layer = self.layer
        self.channel_order: list[int] = []
        for pack in self.packs():
            parts = self.parts(pack)
            length = max(part.length for part in parts)
            pixels, channels = self.block(length, len(pack.outputs))
            channel_blocks = [pack.outputs[first : first + channels] for first in range(0, len(pack.outputs), channels)]
            blocks = [
                (first, min(pixels, layer.target.pixels - first)) for first in range(0, layer.target.pixels, pixels)
            ]
            weights = {
                (part, outputs): self.weight_block(part, pack, outputs) for outputs in channel_blocks for part in parts
            }
            words = {}
            for outputs in channel_blocks:
                words[outputs] = len(self.channel_order)
                padding = -len(outputs) % self.circuit.columns
                self.channel_order += [*outputs, *[-1] * padding]
            # The operand with fewer blocks stays; the other passes again and again.
            if len(channel_blocks) * len(parts) <= max(2, len(blocks)):
                order = [(block, outputs) for block in blocks for outputs in channel_blocks]
            else:
                order = [(block, outputs) for outputs in channel_blocks for block in blocks]
            for (first, count), outputs in order:
                products = [self.product(part, first, count, len(outputs), weights[part, outputs]) for part in parts]
                yield Group(
                    products,
                    partial(self.finishes, count, len(outputs), words[outputs]),
                    partial(self.stores, first, count, outputs),
                )

    def product(self, part: _Part, first: int, pixels: int, outputs: int, weights: Block) -> Product:
        layout = self.layout(pixels, part.length, outputs)
        activations = self.activation_block(part, first, pixels)

        def command(left: int, top: int, half: int) -> Fields:
            return layout.command(self.gemm, half=half, left=left * self.half["left"], top=top * self.half["top"])

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
