"""Layers on the whole overlay, judged by ONNX Runtime.

With scales and divisors that are powers of two results are equal. Else ONNX Runtime rounds in float32 what the overlay
rounds exactly once, and a result beside a tie may differ by one unit: how many do is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.program.assembler import ProgramError
from dynamap_rtl.program.convolution import Convolution, convolution_program
from dynamap_rtl.program.layer import Scaling, TensorPlace
from dynamap_rtl.program.vector import Addition, AveragePooling, MaxPooling, global_average, vector_program
from dynamap_rtl.units.fixed_point import fixed_point, float32_scale
from dynamap_rtl.units.vector_path import Windows
from overlay_runs import CONSTANTS, SECOND, SOURCE, TARGET, overlay, run

SHAPES = [(4, 4, 4), (3, 5, 8), (5, 1, 3), (1, 3, 16), (6, 2, 3)]
WAYS = [(dataflow, kn2row) for dataflow in Dataflow for kn2row in (False, True)]
KINDS = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8}
POWERS = [2.0**exponent for exponent in range(-4, 3)]

shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}_{shape[2]}")
exactness = pytest.mark.parametrize("exact", [True, False], ids=["powers of two", "any scale"])


@dataclass
class Differences:
    """What ONNX Runtime and the overlay made of the same layers."""

    different: int = 0
    results: int = 0
    saturated: int = 0

    def add(self, ours: np.ndarray, theirs: np.ndarray, *, layer: str, exact: bool) -> None:
        assert ours.shape == theirs.shape, layer
        off = np.abs(ours - theirs)
        assert off.max() <= (0 if exact else 1), f"{layer}: {np.count_nonzero(off)} of {off.size} by {off.max()}"
        self.different += int(np.count_nonzero(off))
        self.results += off.size
        self.saturated += int(np.isin(theirs, [theirs.min(), theirs.max()]).sum())

    def at_most(self, share: float) -> None:
        assert self.results > 300
        assert self.saturated < self.results / 2  # a comparison of clamps would say nothing
        assert self.different <= share * self.results, f"{self.different} of {self.results} differ"


class Draw:
    """Random types, scales and places of a layer's tensors."""

    def __init__(self, seed: int, *, exact: bool) -> None:
        self.rng, self.exact = np.random.default_rng(seed), exact
        self.dtype = np.dtype([np.uint8, np.int8][int(self.rng.integers(2))])
        self.signed = self.dtype == np.int8
        self.limits = (-128, 127) if self.signed else (0, 255)
        self.middle = sum(self.limits) / 2

    def scale(self) -> float:
        value = self.rng.choice(POWERS) if self.exact else self.rng.uniform(0.05, 2)
        return float(np.float32(value))

    def about(self, scale: float) -> float:
        """A scale not far from another."""
        factor = self.rng.choice([0.5, 1, 2]) if self.exact else self.rng.uniform(0.6, 1.6)
        return float(np.float32(scale * factor))

    def zero_point(self, mean: float | None = None) -> int:
        """Such that results whose mean is so many units would lie in the middle, or nearly."""
        wanted = self.middle - mean if mean is not None else self.middle
        return int(np.clip(round(wanted) + self.rng.integers(-30, 31), *self.limits))

    def integers(self, *shape: int) -> np.ndarray:
        return self.rng.integers(self.limits[0], self.limits[1] + 1, shape)

    def place(self, address: int, shape: tuple[int, ...], *, zero_point: int | None = None) -> TensorPlace:
        """A tensor among others' channels: its pixels are further apart than it has channels."""
        channels, height, width = shape
        before, behind = self.rng.integers(0, 4, 2)
        return TensorPlace(
            address=address + int(before),
            height=height,
            width=width,
            channels=channels,
            pixel_pitch=channels + int(before + behind),
            zero_point=self.zero_point() if zero_point is None else zero_point,
            signed=self.signed,
        )

    def windows(self, size: tuple[int, int], *, dilated: bool = True) -> Windows:
        kernel = tuple(int(extent) for extent in self.rng.integers(1, 4, 2))
        dilations = tuple(int(step) for step in self.rng.integers(1, 3, 2)) if dilated else (1, 1)
        assert all(extent > 4 for extent in size)
        return Windows(
            kernel=kernel,
            strides=tuple(int(step) for step in self.rng.integers(1, 4, 2)),
            pads=tuple(int(self.rng.integers(0, extent)) for extent in kernel * 2),
            dilations=dilations,
        )

    def size(self) -> tuple[int, int]:
        height, width = self.rng.integers(5, 14, 2)
        return int(height), int(width)


def runtime(
    nodes: list, feeds: dict[str, np.ndarray], output: int, constants: dict[str, np.ndarray], *, opset: int = 13
):
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info(name, KINDS[value.dtype], value.shape) for name, value in feeds.items()],
        [helper.make_tensor_value_info("y", output, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return session.run(None, feeds)[0].astype(np.int64)


def scalars(dtype: np.dtype, **values: float) -> dict[str, np.ndarray]:
    """Scales (names in ...s) and zero points (...z)."""
    return {name: np.array(value, np.float32 if name.endswith("s") else dtype) for name, value in values.items()}


def attributes(windows: Windows) -> dict[str, tuple[int, ...]]:
    return {
        "kernel_shape": windows.kernel,
        "strides": windows.strides,
        "pads": windows.pads,
        "dilations": windows.dilations,
    }


def scaling(scales: np.ndarray, bias: np.ndarray, limits: tuple[int, int]) -> Scaling:
    factors = [fixed_point(float(scale)) for scale in scales]
    return Scaling(
        bias=bias,
        multiplier=np.array([factor.multiplier for factor in factors]),
        shift=np.array([factor.shift for factor in factors]),
        low=limits[0],
        high=limits[1],
    )


# ---- convolutions ----


def spread(length: int) -> float:
    """A power of two by which sums of products of random bytes come to fill a byte."""
    return float(2.0 ** np.round(np.log2(100 * np.sqrt(length))))


def random_convolution(draw: Draw):
    """A layer, its input, and what ONNX Runtime makes of it; ``None`` for an output with no pixel."""
    rng = draw.rng
    groups = int(rng.choice([1, 1, 2, 3]))
    inputs, outputs = int(rng.integers(1, 6)), groups * int(rng.integers(1, 6))
    windows, (height, width) = draw.windows(draw.size()), draw.size()
    weights = draw.integers(outputs, inputs, *windows.kernel)
    # Weights with a zero point: the same for all channels, as ConvInteger and most QLinearConv kernels want it.
    weight_zero = draw.zero_point() if not draw.signed else 0
    x = draw.integers(inputs * groups, height, width)
    x_scale, w_scale = draw.scale(), draw.scale()
    w_scales = np.array([draw.about(w_scale) for _ in range(outputs)], np.float32)
    y_scale = draw.about(x_scale * w_scale * spread(weights[0].size))
    source = draw.place(SOURCE, x.shape)
    bias = rng.integers(-3000, 3000, outputs)
    y_zero = draw.zero_point()
    constants = {
        **scalars(draw.dtype, xs=x_scale, xz=source.zero_point, ys=y_scale, yz=y_zero),
        "w": weights.astype(draw.dtype),
        "ws": w_scales,
        "wz": np.full(outputs, weight_zero, draw.dtype),
        "b": bias.astype(np.int32),
    }
    node = helper.make_node(
        "QLinearConv",
        ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"],
        ["y"],
        group=groups,
        **attributes(windows),
    )
    theirs = runtime([node], {"x": x[None].astype(draw.dtype)}, KINDS[draw.dtype], constants)[0]
    layer = Convolution(
        source=source,
        target=draw.place(TARGET, theirs.shape, zero_point=y_zero),
        weights=weights,
        weight_zero=weight_zero,
        scaling=scaling(np.array([float32_scale(x_scale, w, y_scale) for w in w_scales]), bias, draw.limits),
        stride=windows.strides,
        pads=windows.pads[:2],
        dilation=windows.dilations,
        groups=groups,
    )
    return layer, x, theirs


@shapes
@exactness
def test_convolutions_are_qlinearconvs_by_every_dataflow(shape, exact):
    simulation, differences = overlay(*shape), Differences()
    for index, (dataflow, kn2row) in enumerate(WAYS * 2):
        layer, x, theirs = random_convolution(Draw(100 * SHAPES.index(shape) + index, exact=exact))
        program = convolution_program(layer, simulation.circuit, dataflow, constants_address=CONSTANTS, kn2row=kn2row)
        ours = run(simulation, program, layer.target, (layer.source, x))
        differences.add(ours, theirs, layer=f"{index}: {layer}", exact=exact)
    differences.at_most(0.001)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_matrix_products_are_qlinearmatmuls(shape):
    """A fully connected layer is a 1x1 convolution of one pixel; rows of a matrix are pixels."""
    simulation, differences = overlay(*shape), Differences()
    for index, (dataflow, rows) in enumerate((dataflow, rows) for dataflow in Dataflow for rows in (1, 1, 40)):
        draw = Draw(1000 + index, exact=index % 2 == 0)
        inner, outputs = int(draw.rng.integers(1, 40)), int(draw.rng.integers(10, 33))
        x, weights = draw.integers(rows, inner), draw.integers(inner, outputs)
        x_scale, w_scale = draw.scale(), draw.scale()
        y_scale = draw.about(x_scale * w_scale * spread(inner))
        source = draw.place(SOURCE, (inner, 1, rows))
        target = draw.place(TARGET, (outputs, 1, rows))
        weight_zero = draw.zero_point()
        constants = {
            **scalars(draw.dtype, xs=x_scale, xz=source.zero_point, ws=w_scale, wz=weight_zero),
            **scalars(draw.dtype, ys=y_scale, yz=target.zero_point),
            "w": weights.astype(draw.dtype),
        }
        node = helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"])
        theirs = runtime([node], {"x": x.astype(draw.dtype)}, KINDS[draw.dtype], constants)
        scales = np.full(outputs, float32_scale(x_scale, w_scale, y_scale))
        layer = Convolution(
            source=source,
            target=target,
            weights=weights.T[:, :, None, None],
            weight_zero=weight_zero,
            scaling=scaling(scales, np.zeros(outputs, np.int64), draw.limits),
        )
        program = convolution_program(layer, simulation.circuit, dataflow, constants_address=CONSTANTS)
        ours = run(simulation, program, target, (source, x.T[:, None, :]))
        differences.add(ours[:, 0, :].T, theirs, layer=f"{index}: {layer}", exact=draw.exact)
    differences.at_most(0.001)


@pytest.mark.parametrize("shape", SHAPES[1:3], ids=str)
def test_sums_are_convintegers(shape):
    """Sums of 32 bits byte by byte: the bias brings each byte's window to the front, the clamps cut it out."""
    simulation = overlay(*shape)
    draw = Draw(7, exact=True)
    x, weights = draw.integers(3, 6, 7), draw.integers(4, 3, 2, 3)
    source = draw.place(SOURCE, x.shape)
    weight_zero = draw.zero_point()
    constants = {
        **scalars(draw.dtype, xz=source.zero_point, wz=weight_zero),
        "w": weights.astype(draw.dtype),
    }
    node = helper.make_node("ConvInteger", ["x", "xz"], ["y"])
    node.input[:] = ["x", "w", "xz", "wz"]
    theirs = runtime([node], {"x": x[None].astype(draw.dtype)}, TensorProto.INT32, constants)[0]
    target = draw.place(TARGET, theirs.shape, zero_point=0)
    for window in range(int(theirs.min()), int(theirs.max()) + 1, 6001):
        # The sums from ``window`` on, one by one: nothing is scaled away.
        how = scaling(np.ones(4), np.full(4, draw.limits[0] - window), draw.limits)
        layer = Convolution(source=source, target=target, weights=weights, weight_zero=weight_zero, scaling=how)
        program = convolution_program(layer, simulation.circuit, Dataflow.WS, constants_address=CONSTANTS)
        ours = run(simulation, program, target, (source, x))
        np.testing.assert_array_equal(ours, np.clip(theirs - window + draw.limits[0], *draw.limits))


def test_weights_of_neither_type_are_refused():
    draw = Draw(3, exact=True)
    layer = Convolution(
        source=draw.place(SOURCE, (2, 3, 3)),
        target=draw.place(TARGET, (1, 3, 3)),
        weights=np.full((1, 2, 1, 1), 200),
        weight_zero=-1,
        scaling=scaling(np.ones(1), np.zeros(1, np.int64), draw.limits),
    )
    with pytest.raises(ProgramError) as caught:
        convolution_program(layer, overlay(4, 4, 4).circuit, Dataflow.NS, constants_address=CONSTANTS)
    assert str(caught.value) == "weights and their zero point must all be int8 or all uint8, not from -1 to 200"


# ---- pooling ----


@shapes
def test_max_pooling_is_maxpool(shape):
    simulation, differences = overlay(*shape), Differences()
    for index in range(16):
        draw = Draw(2000 + 100 * SHAPES.index(shape) + index, exact=True)
        size = draw.size()
        windows, x = draw.windows(size), draw.integers(int(draw.rng.integers(1, 14)), *size)
        node = helper.make_node("MaxPool", ["x"], ["y"], ceil_mode=index % 2, **attributes(windows))
        theirs = runtime([node], {"x": x[None].astype(draw.dtype)}, KINDS[draw.dtype], {})[0]
        source = draw.place(SOURCE, x.shape)
        target = draw.place(TARGET, theirs.shape, zero_point=source.zero_point)
        layer = MaxPooling(source=source, target=target, windows=windows)
        ours = run(
            simulation, vector_program(layer, simulation.circuit, constants_address=CONSTANTS), target, (source, x)
        )
        differences.add(ours, theirs, layer=f"{index}: {layer}", exact=True)
    differences.at_most(0)


@shapes
@exactness
@pytest.mark.parametrize("count_pads", [False, True], ids=["image", "image and pads"])
def test_average_pooling_is_qlinearaveragepool(shape, exact, count_pads):
    simulation, differences = overlay(*shape), Differences()
    for index in range(6):
        draw = Draw(3000 + 100 * SHAPES.index(shape) + index, exact=exact)
        size, channels = draw.size(), int(draw.rng.integers(1, 14))
        windows, x = draw.windows(size, dilated=False), draw.integers(channels, *size)
        if exact:  # divisors as well
            windows = Windows(kernel=(2, 4) if index % 2 else (4, 1), strides=(1, 3))
        source, target, theirs, scales = averaged(draw, x, windows, count_pads=count_pads)
        layer = AveragePooling(
            source=source,
            target=target,
            windows=windows,
            source_scale=scales[0],
            target_scale=scales[1],
            count_pads=count_pads,
        )
        ours = run(
            simulation, vector_program(layer, simulation.circuit, constants_address=CONSTANTS), target, (source, x)
        )
        differences.add(ours, theirs, layer=f"{index}: {layer}", exact=exact)
    differences.at_most(0 if exact else 0.001)


def scales_of_average(draw: Draw) -> tuple[float, float]:
    scale = draw.scale()
    return scale, draw.about(scale)


def averaged(draw: Draw, x: np.ndarray, windows: Windows, *, count_pads: bool):
    scales = scales_of_average(draw)
    source = draw.place(SOURCE, x.shape)
    y_zero = draw.zero_point((draw.middle - source.zero_point) * scales[0] / scales[1])
    node = helper.make_node(
        "QLinearAveragePool",
        ["x", "xs", "xz", "ys", "yz"],
        ["y"],
        domain="com.microsoft",
        kernel_shape=windows.kernel,
        strides=windows.strides,
        pads=windows.pads,
        count_include_pad=int(count_pads),
    )
    constants = scalars(draw.dtype, xs=scales[0], xz=source.zero_point, ys=scales[1], yz=y_zero)
    theirs = runtime([node], {"x": x[None].astype(draw.dtype)}, KINDS[draw.dtype], constants)[0]
    return source, draw.place(TARGET, theirs.shape, zero_point=y_zero), theirs, scales


@pytest.mark.parametrize("count_pads", [False, True], ids=["image", "image and pads"])
def test_average_pooling_in_ceil_mode_and_dilated_is_averagepool(count_pads):
    """The float operator between DequantizeLinear and QuantizeLinear; zero points outside of the rounding."""
    simulation, differences = overlay(4, 4, 4), Differences()
    for index in range(12):
        draw = Draw(4000 + index, exact=False)
        size = draw.size()
        windows, x = draw.windows(size), draw.integers(int(draw.rng.integers(1, 10)), *size)
        source = draw.place(SOURCE, x.shape)
        scales = scales_of_average(draw)
        y_zero = draw.zero_point((draw.middle - source.zero_point) * scales[0] / scales[1])
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["real"]),
            helper.make_node(
                "AveragePool",
                ["real"],
                ["pooled"],
                ceil_mode=index % 2,
                count_include_pad=int(count_pads),
                **attributes(windows),
            ),
            helper.make_node("QuantizeLinear", ["pooled", "ys", "yz"], ["y"]),
        ]
        constants = scalars(draw.dtype, xs=scales[0], xz=source.zero_point, ys=scales[1], yz=y_zero)
        theirs = runtime(nodes, {"x": x[None].astype(draw.dtype)}, KINDS[draw.dtype], constants, opset=19)[0]
        target = draw.place(TARGET, theirs.shape, zero_point=y_zero)
        layer = AveragePooling(
            source=source,
            target=target,
            windows=windows,
            source_scale=scales[0],
            target_scale=scales[1],
            count_pads=count_pads,
            zero_point_inside=False,
        )
        ours = run(
            simulation, vector_program(layer, simulation.circuit, constants_address=CONSTANTS), target, (source, x)
        )
        differences.add(ours, theirs, layer=f"{index}: {layer}", exact=False)
    differences.at_most(0.001)


@shapes
@exactness
def test_global_averages_are_qlinearglobalaveragepools(shape, exact):
    """Also of images that do not fit half the operand buffer."""
    simulation, differences = overlay(*shape), Differences()
    for index, size in enumerate([(4, 4), (8, 2), (32, 16), (2, 256)] if exact else [(7, 7), (5, 9), (20, 21)]):
        draw = Draw(5000 + 100 * SHAPES.index(shape) + index, exact=exact)
        x = draw.integers(int(draw.rng.integers(150, 200)) if index < 2 else 25, *size)
        scales = scales_of_average(draw)
        source = draw.place(SOURCE, x.shape)
        y_zero = draw.zero_point((draw.middle - source.zero_point) * scales[0] / scales[1])
        target = draw.place(TARGET, (len(x), 1, 1), zero_point=y_zero)
        node = helper.make_node("QLinearGlobalAveragePool", ["x", "xs", "xz", "ys", "yz"], ["y"])
        node.domain = "com.microsoft"
        constants = scalars(draw.dtype, xs=scales[0], xz=source.zero_point, ys=scales[1], yz=target.zero_point)
        theirs = runtime([node], {"x": x[None].astype(draw.dtype)}, KINDS[draw.dtype], constants)[0]
        layer = global_average(source, target, source_scale=scales[0], target_scale=scales[1])
        ours = run(
            simulation, vector_program(layer, simulation.circuit, constants_address=CONSTANTS), target, (source, x)
        )
        differences.add(ours, theirs, layer=f"{index}: {layer}", exact=exact)
    differences.at_most(0 if exact else 0.01)


def test_rows_that_do_not_fit_a_buffer_are_cut():
    """Three rows of 130 pixels are more than half the operand buffer holds, one of results than accumulators."""
    simulation, draw = overlay(4, 4, 4), Draw(5, exact=True)
    x, windows = draw.integers(6, 5, 130), Windows(kernel=(3, 3), strides=(2, 1), pads=(1, 1, 1, 1))
    node = helper.make_node("MaxPool", ["x"], ["y"], **attributes(windows))
    theirs = runtime([node], {"x": x[None].astype(draw.dtype)}, KINDS[draw.dtype], {})[0]
    source = draw.place(SOURCE, x.shape)
    target = draw.place(TARGET, theirs.shape, zero_point=source.zero_point)
    layer = MaxPooling(source=source, target=target, windows=windows)
    program = vector_program(layer, simulation.circuit, constants_address=CONSTANTS)
    np.testing.assert_array_equal(run(simulation, program, target, (source, x)), theirs)


def feature_map(height: int, width: int, channels: int) -> TensorPlace:
    return TensorPlace(address=0, height=height, width=width, channels=channels, pixel_pitch=channels)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            MaxPooling(source=feature_map(6, 6, 4), target=feature_map(6, 6, 5), windows=Windows(kernel=(1, 1))),
            "a layer of the vector path keeps its channels: 4 of its input cannot become 5",
        ),
        (
            MaxPooling(source=feature_map(6, 6, 4), target=feature_map(7, 6, 4), windows=Windows(kernel=(1, 1))),
            (
                "the windows of output row 6 lie beside the image's 6; the output has too many rows or the padding is "
                "too wide"
            ),
        ),
        (
            Addition(
                a=feature_map(6, 6, 4),
                b=feature_map(6, 1, 4),
                target=feature_map(6, 6, 4),
                a_scale=1,
                b_scale=1,
                target_scale=1,
            ),
            "operands of 6 x 6 and 6 x 1 pixels cannot be added; they must have one shape",
        ),
    ],
)
def test_layers_whose_shapes_do_not_agree_are_refused(layer, sentence):
    with pytest.raises(ProgramError) as caught:
        vector_program(layer, overlay(4, 4, 4).circuit, constants_address=CONSTANTS)
    assert str(caught.value) == sentence


def test_a_result_buffer_that_does_not_hold_a_pixel_is_named():
    layer = global_average(feature_map(2, 2, 9), feature_map(1, 1, 9), source_scale=1, target_scale=1)
    circuit = CircuitParameters(rows=4, columns=8, result_depth=8)
    with pytest.raises(ProgramError) as caught:
        vector_program(layer, circuit, constants_address=CONSTANTS)
    assert str(caught.value) == (
        "half the result buffer holds 4 elements a lane, a pixel of 8 channels needs 8; deepen result_depth"
    )


# ---- addition ----


@shapes
@exactness
def test_sums_of_feature_maps_are_qlinearadds(shape, exact):
    simulation, differences = overlay(*shape), Differences()
    for index in range(6):
        draw = Draw(6000 + 100 * SHAPES.index(shape) + index, exact=exact)
        size, channels = draw.size(), int(draw.rng.integers(1, 20))
        a, b = draw.integers(channels, *size), draw.integers(channels, *size)
        places = draw.place(SOURCE, a.shape), draw.place(SECOND, a.shape)
        scales = (draw.scale(), draw.scale())
        scales = (*scales, draw.about(max(scales)))
        mean = sum((draw.middle - place.zero_point) * scale for place, scale in zip(places, scales[:2], strict=True))
        target = draw.place(TARGET, a.shape, zero_point=draw.zero_point(mean / scales[2]))
        node = helper.make_node("QLinearAdd", ["x", "xs", "xz", "b", "bs", "bz", "ys", "yz"], ["y"])
        node.domain = "com.microsoft"
        constants = {
            **scalars(draw.dtype, xs=scales[0], xz=places[0].zero_point, bs=scales[1], bz=places[1].zero_point),
            **scalars(draw.dtype, ys=scales[2], yz=target.zero_point),
        }
        feeds = {"x": a[None].astype(draw.dtype), "b": b[None].astype(draw.dtype)}
        theirs = runtime([node], feeds, KINDS[draw.dtype], constants)[0]
        layer = Addition(
            a=places[0], b=places[1], target=target, a_scale=scales[0], b_scale=scales[1], target_scale=scales[2]
        )
        program = vector_program(layer, simulation.circuit, constants_address=CONSTANTS)
        ours = run(simulation, program, target, (places[0], a), (places[1], b))
        differences.add(ours, theirs, layer=f"{index}: {layer}", exact=exact)
    differences.at_most(0 if exact else 0.001)
