"""Pooling and element-wise addition on the vector path: programs that walk feature maps past the array.

The top operand buffer holds pixels, channels across its lanes. Outputs whose windows have the same taps in the image
are computed by one instruction: the feeder walks tap by tap over them, the accumulators add up or keep the greatest.
So padding is never looked at, and windows with different divisors are finished by instructions of their own, each
with its channel parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.errors import OverlayError
from dynamap_rtl.geometry import WindowShape
from dynamap_rtl.isa import COMPUTE, FINISH, LEVELS, LOAD, Mode
from dynamap_rtl.load_pattern import Load, LoadError, LoadTarget
from dynamap_rtl.matrix_program import walk_values
from dynamap_rtl.overlay_circuit import channel_parameters, gemm_parameters, storer_parameters, top_parameters
from dynamap_rtl.record import Value
from dynamap_rtl.sizes import sizes_of
from dynamap_rtl.store_pattern import Store, StoreError
from dynamap_rtl.timing import ceil_div
from dynamap_rtl.units.fixed_point import fixed_point
from dynamap_rtl.units.vector_path import Finishing, Windows, addition, finishing
from dynamap_rtl.units.walker import deltas
from dynamap_rtl.vector_timing import vector_blocks

from .assembler import ProgramError
from .convolution import channel_loads
from .layer import Constants, LayerProgram, Scaling, TensorPlace
from .schedule import Block, Fields, Group, Product, schedule
from .windows import Axis, runs

__all__ = ["Addition", "AveragePooling", "MaxPooling", "global_average", "vector_program"]

Clamps = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class MaxPooling:
    """The greatest value of every window; scales of source and target are equal, zero points may differ.

    Attributes:
        source: input feature map.
        target: output feature map; its size says how many windows there are (ceil mode or not).
        windows: their shape; of the pads, only top and left matter.
        clamps: least and greatest result; all the target can hold if None.
    """

    source: TensorPlace
    target: TensorPlace
    windows: Windows
    clamps: Clamps | None = None


@dataclass(frozen=True, kw_only=True)
class AveragePooling:
    """The average of every window.

    Attributes:
        source: input feature map.
        target: output feature map.
        windows: their shape.
        source_scale: of the input.
        target_scale: of the output.
        count_pads: whether padding (not what ceil mode looks at beyond it) counts as zeros.
        zero_point_inside: whether ties are rounded to even with the zero point added, see ``units.vector_path``.
        clamps: least and greatest result; all the target can hold if None.
    """

    source: TensorPlace
    target: TensorPlace
    windows: Windows
    source_scale: float
    target_scale: float
    count_pads: bool = False
    zero_point_inside: bool = True
    clamps: Clamps | None = None


@dataclass(frozen=True, kw_only=True)
class Addition:
    """The sum of two feature maps of one shape.

    Attributes:
        a: first operand.
        b: second operand.
        target: output feature map.
        a_scale: of the first operand.
        b_scale: of the second.
        target_scale: of the output.
        zero_point_inside: whether ties are rounded to even with the zero point added, see ``units.vector_path``.
        clamps: least and greatest result; all the target can hold if None.
    """

    a: TensorPlace
    b: TensorPlace
    target: TensorPlace
    a_scale: float
    b_scale: float
    target_scale: float
    zero_point_inside: bool = True
    clamps: Clamps | None = None


def global_average(
    source: TensorPlace,
    target: TensorPlace,
    *,
    source_scale: float,
    target_scale: float,
    zero_point_inside: bool = False,
    clamps: Clamps | None = None,
) -> AveragePooling:
    """The average of every channel, as the pooling it is; ties as QLinearGlobalAveragePool has them."""
    return AveragePooling(
        source=source,
        target=target,
        windows=Windows(kernel=(source.height, source.width)),
        source_scale=source_scale,
        target_scale=target_scale,
        zero_point_inside=zero_point_inside,
        clamps=clamps,
    )


def vector_program(
    layer: MaxPooling | AveragePooling | Addition, circuit: CircuitParameters, *, constants_address: int
) -> LayerProgram:
    """The program of a layer of the vector path.

    The output is cut into blocks of rows, of channels if that lets blocks have more rows, of columns if a row does not
    fit; where not even one window fits half the top buffer, it is cut into kernel rows or elements, which the
    accumulators put together again.

    Args:
        layer: what to compute.
        circuit: on what.
        constants_address: where the channel parameters will lie.

    Raises:
        ProgramError: when shapes do not agree, a window has no tap in the image, or a buffer is too small; the message
            names it.
    """
    try:
        return _Builder(_work(layer, circuit), circuit, constants_address).program()
    except (LoadError, StoreError, OverlayError) as error:
        raise ProgramError(f"a layer of the vector path cannot be computed: {error}") from error


@dataclass(frozen=True)
class _Work:
    """Any layer of the vector path: a sum, or a maximum, of windows of its terms.

    Attributes:
        terms: feature maps and what their values are multiplied by.
        target: output feature map.
        windows: of every term.
        maximum: keep the greatest.
        count_pads: windows are told apart by their taps in image and padding, not only those in the image.
        finishing: for windows of so many taps.
        clamps: of the results.
    """

    terms: Sequence[tuple[TensorPlace, int]]
    target: TensorPlace
    windows: Windows
    maximum: bool
    count_pads: bool
    finishing: Callable[[int], Finishing]
    clamps: Clamps


def _work(layer: MaxPooling | AveragePooling | Addition, circuit: CircuitParameters) -> _Work:
    target = layer.target
    clamps = target.limits if layer.clamps is None else layer.clamps
    if isinstance(layer, MaxPooling):
        # The lanes lift values above the zero the accumulators begin with.
        lift = 1 << circuit.operand_width - 1
        greatest = Finishing(factor=fixed_point(1), zero_point=target.zero_point, bias=-lift)
        return _Work([(layer.source, 1)], target, layer.windows, True, False, lambda _: greatest, clamps)
    if isinstance(layer, AveragePooling):
        ratio = Fraction(float(layer.source_scale)) / Fraction(float(layer.target_scale))

        def average(count: int) -> Finishing:
            return finishing(
                fixed_point(ratio / count),
                target.zero_point,
                zero_point_inside=layer.zero_point_inside,
            )

        return _Work([(layer.source, 1)], target, layer.windows, False, layer.count_pads, average, clamps)
    how = addition(a_scale=layer.a_scale, b_scale=layer.b_scale, y_scale=layer.target_scale)
    total = finishing(how.factor, target.zero_point, zero_point_inside=layer.zero_point_inside)
    terms = [(layer.a, how.a_coefficient), (layer.b, how.b_coefficient)]
    return _Work(terms, target, Windows(kernel=(1, 1)), False, False, lambda _: total, clamps)


@dataclass(frozen=True)
class _Tile:
    """A block of the output."""

    rows: range
    columns: range
    channels: range

    @property
    def pixels(self) -> int:
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True)
class _Sizes:
    """How the layer is cut: a block's rows, columns and channels, and the kernel's rows and columns."""

    rows: int
    columns: int
    channels: int
    taps_y: int
    taps_x: int


class _Builder:
    def __init__(self, work: _Work, circuit: CircuitParameters, constants_address: int) -> None:
        self.work, self.circuit = work, circuit
        self.constants = Constants(constants_address, circuit)
        self.gemm = gemm_parameters(circuit)
        self.loader = top_parameters(circuit).loader
        self.half = circuit.top_depth // 2
        kernel, pads = work.windows.kernel, work.windows.pads
        first = work.terms[0][0]
        self.y, self.x = (
            Axis(
                size=size,
                kernel=kernel[axis],
                stride=work.windows.strides[axis],
                dilation=work.windows.dilations[axis],
                pad=pads[axis],
                pad_end=pads[axis + 2],
            )
            for axis, size in enumerate((first.height, first.width))
        )
        self.check()
        self.entries: dict[int, int] = {}  # taps of a window -> word of the channel memory

    def check(self) -> None:
        target = self.work.target
        for source, _ in self.work.terms:
            if source.channels != target.channels:
                raise ProgramError(
                    f"a layer of the vector path keeps its channels: {source.channels} of its input cannot become "
                    f"{target.channels}"
                )
            if (source.height, source.width) != (self.y.size, self.x.size):
                raise ProgramError(
                    f"operands of {self.y.size} x {self.x.size} and {source.height} x {source.width} pixels cannot be "
                    "added; they must have one shape"
                )
        for name, axis, outputs in (("row", self.y, target.height), ("column", self.x, target.width)):
            for output in range(outputs):
                if not axis.taps(output, range(axis.kernel)):
                    raise ProgramError(
                        f"the windows of output {name} {output} lie beside the image's {axis.size}; the output has "
                        f"too many {name}s or the padding is too wide"
                    )

    # ---- what is cut into what ----

    def fits(self, sizes: _Sizes) -> bool:
        columns, circuit = self.circuit.columns, self.circuit
        chunks = ceil_div(sizes.channels, columns)
        loaded = self.y.most(sizes.rows, sizes.taps_y) * self.x.most(sizes.columns, sizes.taps_x)
        pixels = sizes.rows * sizes.columns
        return (
            chunks * loaded <= self.half
            and chunks * pixels <= circuit.accumulator_depth
            and ceil_div(pixels, columns) * chunks * columns <= circuit.result_depth // 2
        )

    def sizes(self) -> _Sizes:
        target, columns = self.work.target, self.circuit.columns
        shape = WindowShape(
            in_height=self.y.size,
            in_width=self.x.size,
            channels=target.channels,
            out_height=target.height,
            out_width=target.width,
            kernel=(self.y.kernel, self.x.kernel),
            stride=(self.y.stride, self.x.stride),
        )
        blocks = vector_blocks(shape, sizes_of(self.circuit), dilation=self.y.dilation)
        whole = _Sizes(int(blocks.rows[0]), target.width, int(blocks.channels[0]), self.y.kernel, self.x.kernel)
        if blocks.valid[0] and self.fits(whole):
            return whole
        smallest = replace(whole, rows=1, channels=min(target.channels, columns))
        for name in ("columns", "taps_y", "taps_x"):
            while getattr(smallest, name) > 1:
                if self.fits(smallest):
                    return smallest
                smallest = replace(smallest, **{name: ceil_div(getattr(smallest, name), 2)})
        if self.fits(smallest):
            return smallest
        raise ProgramError(
            f"half the result buffer holds {self.circuit.result_depth // 2} elements a lane, a pixel of {columns} "
            f"channels needs {columns}; deepen result_depth"
        )

    def tiles(self, sizes: _Sizes) -> Iterator[_Tile]:
        target = self.work.target
        return (
            _Tile(rows, columns, channels)
            for channels in _pieces(range(target.channels), sizes.channels)
            for rows in _pieces(range(target.height), sizes.rows)
            for columns in _pieces(range(target.width), sizes.columns)
        )

    # ---- products ----

    def products(self, tile: _Tile, sizes: _Sizes) -> Iterator[Product]:
        for source, coefficient in self.work.terms:
            for rows, columns in product(
                _pieces(range(self.y.kernel), sizes.taps_y), _pieces(range(self.x.kernel), sizes.taps_x)
            ):
                ys, xs = self.y.lattice(tile.rows, rows), self.x.lattice(tile.columns, columns)
                if ys.count == 0 or xs.count == 0:
                    continue  # padding only
                load = Load(
                    address=source.address + tile.channels.start,
                    row_pitch=source.row_pitch,
                    pixel_pitch=source.pixel_pitch,
                    height=source.height,
                    width=source.width,
                    channels=len(tile.channels),
                    step_y=ys.step,
                    step_x=xs.step,
                    origin_y=ys.first,
                    origin_x=xs.first,
                    columns=xs.count,
                    windows=ys.count * xs.count,
                    zero_point=source.zero_point,
                    signed=source.signed,
                    target=LoadTarget.ACROSS,
                    depth_step=ys.count * xs.count,
                )
                block = Block((source, load), partial(self.loads, load))
                yield from (
                    Product(None, block, partial(self.command, coefficient, load, tile, (outputs_y, outputs_x), taps))
                    for (outputs_y, taps_y), (outputs_x, taps_x) in product(
                        runs(tile.rows, partial(self.y.taps, among=rows)),
                        runs(tile.columns, partial(self.x.taps, among=columns)),
                    )
                    for taps in [(taps_y, taps_x)]
                    if taps_y and taps_x
                )

    def loads(self, load: Load, half: int) -> list[Fields]:
        none = {name: 0 if field.lanes == 1 else (0,) * field.lanes for name, field in LOAD.fields.items()}
        return [{**none, **replace(load, depth=half * self.half).fields(self.loader)}]

    def command(
        self,
        coefficient: int,
        load: Load,
        tile: _Tile,
        outputs: tuple[range, range],
        taps: tuple[range, range],
        left: int,
        top: int,
        half: int,
    ) -> Fields:
        """Some taps of the windows of a rectangle of outputs, all of them in the image."""
        del left  # the vector path has no left operand
        y, x = self.y, self.x
        first_y = (y.position(outputs[0].start, taps[0].start) - load.origin_y) // load.step_y
        first_x = (x.position(outputs[1].start, taps[1].start) - load.origin_x) // load.step_x
        chunks = ceil_div(len(tile.channels), self.circuit.columns)
        counts = (len(taps[1]), len(taps[0]), len(outputs[1]), len(outputs[0]), chunks)
        pixel_strides = (
            x.dilation // load.step_x if counts[0] > 1 else 0,
            y.dilation // load.step_y * load.columns if counts[1] > 1 else 0,
            x.stride // load.step_x if counts[2] > 1 else 0,
            y.stride // load.step_y * load.columns if counts[3] > 1 else 0,
        )
        word = (outputs[0].start - tile.rows.start) * len(tile.columns) + outputs[1].start - tile.columns.start
        values: dict[str, Value] = {
            name: 0 if field.lanes == 1 else (1 if name.endswith("counts") else 0,) * field.lanes
            for name, field in COMPUTE.fields.items()
        }
        return {
            **values,
            **{f"{engine}_mode": Mode.VECTOR for engine in ("feed", "stream", "collect")},
            "feed_coefficient": coefficient,
            "feed_maximum": int(self.work.maximum),
            "collect_maximum": int(self.work.maximum),
            "collect_half": half,
            **walk_values(
                "feed",
                self.gemm.feeder,
                counts,
                (*pixel_strides, load.windows),
                top * self.half + first_y * load.columns + first_x,
            ),
            **walk_values(
                "collect",
                self.gemm.collector,
                counts,
                (0, 0, 1, len(tile.columns), tile.pixels),
                word,
                phases=False,
            ),
        }

    # ---- results ----

    def count(self, axis: Axis, output: int) -> int:
        """What a window's divisor is made of; a maximum has none."""
        if self.work.maximum:
            return 1
        return len(axis.padded_taps(output) if self.work.count_pads else axis.taps(output, range(axis.kernel)))

    def finishes(self, tile: _Tile, half: int) -> list[Fields]:
        return [
            self.finish(tile, rows, columns, count_y * count_x, half)
            for (rows, count_y), (columns, count_x) in product(
                runs(tile.rows, partial(self.count, self.y)), runs(tile.columns, partial(self.count, self.x))
            )
        ]

    def finish(self, tile: _Tile, rows: range, columns: range, count: int, half: int) -> Fields:
        """A rectangle of pixels, all channels; pixels lie in the result buffer from lane to lane."""
        lanes, depth_size = self.circuit.columns, self.circuit.result_depth
        chunks, width = ceil_div(len(tile.channels), lanes), len(tile.columns)
        slot = chunks * lanes
        first = (rows.start - tile.rows.start) * width + columns.start - tile.columns.start
        counts = (len(columns), len(rows), chunks)
        rest = (0,) * (LEVELS - len(counts))
        words = (*deltas(counts, (1, width, tile.pixels)), *rest)
        pixels = (*deltas(counts, (1, width, 0)), *rest)  # how many pixels further
        deeper = (*deltas(counts, (0, 0, lanes)), *rest)
        base = half * (depth_size // 2)
        depth = base + first // lanes * slot
        word_size = 1 << channel_parameters(self.circuit).word_width
        how = self.work.finishing(count)
        values: dict[str, Value] = {
            "half": half,
            "transform": 0,
            "along": 1,
            "count": lanes,
            "zero_point": how.zero_point,
            "low": self.work.clamps[0],
            "high": self.work.clamps[1],
            "base": first,
            "counts": (*counts, *(1 for _ in rest)),
            "deltas": tuple(delta % (1 << self.gemm.collector.address_width) for delta in words),
            "place_counts": (*counts, *(1 for _ in rest)),
            "lane": first % lanes,
            "lane_deltas": tuple(pixel % lanes for pixel in pixels),
            "depth": depth,
            "depth_deltas": tuple(
                (pixel // lanes * slot + more) % depth_size for pixel, more in zip(pixels, deeper, strict=True)
            ),
            "phase": depth % lanes,
            "phase_deltas": (0,) * LEVELS,
            "step": slot,
            "channel": self.entries[count] % word_size,
            "channel_deltas": (0,) * LEVELS,
        }
        assert set(values) == set(FINISH.fields)
        return values

    def stores(self, tile: _Tile, half: int) -> list[Fields]:
        target, lanes = self.work.target, self.circuit.columns
        address = target.address + tile.rows.start * target.row_pitch + tile.columns.start * target.pixel_pitch
        return [
            Store(
                address=address + tile.channels.start,
                row_pitch=target.row_pitch,
                pixel_pitch=target.pixel_pitch,
                columns=len(tile.columns),
                pixels=tile.pixels,
                channels=len(tile.channels),
                depth=half * (self.circuit.result_depth // 2),
                depth_step=ceil_div(len(tile.channels), lanes) * lanes,
            ).fields(storer_parameters(self.circuit))
        ]

    # ---- the whole ----

    def program(self) -> LayerProgram:
        target, lanes = self.work.target, self.circuit.columns
        by_row = {self.count(self.y, row) for row in range(target.height)}
        by_column = {self.count(self.x, column) for column in range(target.width)}
        counts = sorted({a * b for a, b in product(by_row, by_column)})
        self.entries = {count: word for word, count in enumerate(counts)}
        sizes = self.sizes()
        groups = [
            Group(list(self.products(tile, sizes)), partial(self.finishes, tile), partial(self.stores, tile))
            for tile in self.tiles(sizes)
        ]
        how = [self.work.finishing(count) for count in counts]
        scaling = Scaling(
            bias=np.array([each.bias for each in how]),
            multiplier=np.array([each.factor.multiplier for each in how]),
            shift=np.array([each.factor.shift for each in how]),
            low=self.work.clamps[0],
            high=self.work.clamps[1],
        )
        order = np.repeat(np.arange(len(counts)), lanes)  # a word for every count, the same in all lanes
        channels = channel_loads(self.circuit, self.constants, scaling, order)
        return LayerProgram(schedule(groups, channels), self.constants.address, bytes(self.constants.image))


def _pieces(whole: range, size: int) -> list[range]:
    return [whole[first : first + size] for first in range(0, len(whole), size)]
