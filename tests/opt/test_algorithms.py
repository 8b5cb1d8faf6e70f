"""Every algorithm carried out in integers: its result, its products and its operands against what it declares."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import dynamap_opt
from dynamap_models import NetworkBuilder
from dynamap_opt.algorithms import ALGORITHMS, AlgorithmError, select_algorithms
from dynamap_opt.layouts import LayoutKind
from dynamap_opt.plan import PlanError
from dynamap_opt.program import ConvShape
from dynamap_rtl import Gemm


def conv_shape(height, width, c_in, c_out, kernel, *, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    out = [
        (size + pads[axis] + pads[axis + 2] - (kernel[axis] - 1) * dilation[axis] - 1) // stride[axis] + 1
        for axis, size in enumerate((height, width))
    ]
    return ConvShape(height, width, c_in, *out, c_out, kernel, stride, pads, dilation, groups)


BASIC = {"im2col"}
TAPS = {"im2col", "kn2row"}
W1 = {"winograd-f2-1d", "winograd-f4-1d"}
W2 = {"winograd-f2-2d", "winograd-f4-2d"}
GROUPS = {"depthwise"}

# name: (convolution, exactly the algorithms that may compute it)
CONVOLUTIONS = {
    "1x1": (conv_shape(3, 4, 3, 5, (1, 1)), BASIC),
    "1x1 stride 2": (conv_shape(5, 4, 3, 2, (1, 1), stride=(2, 2)), BASIC),
    "1x1 on one pixel": (conv_shape(1, 1, 7, 4, (1, 1)), BASIC),
    "1x1 padded": (conv_shape(2, 3, 2, 2, (1, 1), pads=(1, 0, 0, 2)), BASIC),
    "3x3": (conv_shape(5, 6, 3, 4, (3, 3), pads=(1, 1, 1, 1)), TAPS | W2),
    "3x3 without pads": (conv_shape(4, 9, 2, 3, (3, 3)), TAPS | W2),
    "3x3 asymmetric pads": (conv_shape(7, 4, 3, 2, (3, 3), pads=(0, 2, 1, 0)), TAPS | W2),
    "3x3 on one pixel": (conv_shape(1, 1, 3, 2, (3, 3), pads=(1, 1, 1, 1)), TAPS | W2),
    "3x3 deep in padding": (conv_shape(2, 3, 2, 2, (3, 3), pads=(3, 3, 3, 3)), TAPS | W2),
    "3x3 stride 2": (conv_shape(7, 6, 3, 4, (3, 3), stride=(2, 2), pads=(1, 1, 1, 1)), TAPS),
    "3x3 stride 2x1": (conv_shape(7, 6, 3, 4, (3, 3), stride=(2, 1), pads=(0, 1, 1, 1)), TAPS),
    "3x3 stride 4": (conv_shape(9, 11, 2, 3, (3, 3), stride=(4, 4), pads=(1, 0, 0, 1)), TAPS),
    "3x3 dilation 2": (conv_shape(6, 7, 2, 3, (3, 3), pads=(2, 2, 2, 2), dilation=(2, 2)), TAPS),
    "3x3 dilation 1x3, stride 2": (
        conv_shape(6, 9, 2, 3, (3, 3), stride=(2, 2), pads=(1, 2, 1, 3), dilation=(1, 3)),
        TAPS,
    ),
    "2x2 stride 2": (conv_shape(4, 6, 3, 2, (2, 2), stride=(2, 2)), TAPS),
    "2x2 stride 3": (conv_shape(7, 8, 3, 2, (2, 2), stride=(3, 3)), TAPS),
    "2x3": (conv_shape(5, 6, 2, 3, (2, 3), pads=(0, 1, 1, 1)), TAPS),
    "4x4": (conv_shape(6, 7, 2, 3, (4, 4), pads=(1, 2, 2, 1)), TAPS | W2),
    "5x5": (conv_shape(6, 5, 3, 2, (5, 5), pads=(2, 2, 2, 2)), TAPS | W2),
    "3x5": (conv_shape(6, 8, 2, 3, (3, 5), pads=(1, 2, 1, 2)), TAPS | W2),
    "7x7": (conv_shape(8, 6, 2, 2, (7, 7), pads=(3, 3, 3, 3)), TAPS | W2),
    "7x7 stride 2": (conv_shape(9, 11, 3, 2, (7, 7), stride=(2, 2), pads=(3, 3, 3, 3)), TAPS),
    "1x3": (conv_shape(3, 7, 3, 2, (1, 3), pads=(0, 1, 0, 1)), TAPS | W1),
    "3x1": (conv_shape(7, 3, 3, 2, (3, 1), pads=(1, 0, 1, 0)), TAPS | W1),
    "1x5": (conv_shape(2, 6, 2, 3, (1, 5), pads=(0, 2, 0, 2)), TAPS | W1),
    "1x7": (conv_shape(4, 6, 3, 4, (1, 7), pads=(0, 3, 0, 3)), TAPS | W1),
    "7x1": (conv_shape(9, 4, 3, 4, (7, 1), pads=(3, 0, 3, 0)), TAPS | W1),
    "7x1 with side pads": (conv_shape(6, 3, 2, 2, (7, 1), pads=(3, 1, 2, 0)), TAPS | W1),
    "1x2": (conv_shape(3, 4, 2, 2, (1, 2)), TAPS),
    "1x3 stride 1x2": (conv_shape(3, 8, 2, 2, (1, 3), stride=(1, 2), pads=(0, 1, 0, 1)), TAPS),
    "depthwise 3x3": (conv_shape(5, 6, 4, 4, (3, 3), pads=(1, 1, 1, 1), groups=4), TAPS | GROUPS),
    "depthwise 5x5 stride 2": (
        conv_shape(8, 7, 3, 3, (5, 5), stride=(2, 2), pads=(2, 2, 2, 2), groups=3),
        TAPS | GROUPS,
    ),
    "depthwise, two filters a channel": (conv_shape(4, 5, 3, 6, (3, 3), pads=(0, 1, 0, 1), groups=3), TAPS | GROUPS),
    "grouped 3x3": (conv_shape(5, 4, 6, 4, (3, 3), pads=(1, 1, 1, 1), groups=2), TAPS | GROUPS),
    "grouped 1x1": (conv_shape(3, 4, 6, 9, (1, 1), groups=3), BASIC | GROUPS),
}


def operands(conv: ConvShape) -> tuple[np.ndarray, np.ndarray]:
    """A map of 9-bit numbers (8-bit ones less a zero point) and a kernel of 8-bit ones; extremes are frequent."""
    rng = np.random.default_rng(conv.macs)
    x = rng.integers(-255, 256, (conv.in_height, conv.in_width, conv.in_channels))
    w = rng.integers(-128, 128, (*conv.kernel, conv.in_channels // conv.groups, conv.out_channels))
    x = np.where(rng.random(x.shape) < 0.3, rng.choice([-255, 255], x.shape), x)
    w = np.where(rng.random(w.shape) < 0.3, rng.choice([-128, 127], w.shape), w)
    return x, w


def direct(conv: ConvShape, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """ONNX Runtime's float convolution: exact, as every sum of products stays below 2^24."""
    assert w[..., 0].size * 255 * 128 < 2**24
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=conv.stride,
        pads=conv.pads,
        dilations=conv.dilation,
        group=conv.groups,
    )
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in "xw"],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"x": x.transpose(2, 0, 1)[None].astype(np.float32), "w": w.transpose(3, 2, 0, 1).astype(np.float32)}
    result = session.run(None, feeds)[0][0].transpose(1, 2, 0)
    assert result.shape == (conv.out_height, conv.out_width, conv.out_channels)
    return result.astype(np.int64)


@dataclass
class Execution:
    """What an algorithm made of the operands: output, (a, b, c) of each product, sizes of the operands on chip."""

    output: np.ndarray
    products: Counter
    weights: int
    activations: int


class Array:
    """The systolic array: multiplies matrices and remembers their sizes."""

    def __init__(self) -> None:
        self.products: Counter = Counter()

    def multiply(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        assert left.shape[1] == right.shape[0]
        self.products[left.shape[0], left.shape[1], right.shape[1]] += 1
        return left @ right


def pixel(x: np.ndarray, i: int, j: int) -> np.ndarray:
    """The channels of a pixel, zero in the padding."""
    inside = 0 <= i < x.shape[0] and 0 <= j < x.shape[1]
    return x[i, j] if inside else np.zeros(x.shape[2], dtype=x.dtype)


def groups_of(conv: ConvShape, x: np.ndarray, w: np.ndarray):
    """Channels and filters of each group."""
    return zip(np.split(x, conv.groups, axis=2), np.split(w, conv.groups, axis=3), strict=True)


def toeplitz(conv: ConvShape, x: np.ndarray) -> np.ndarray:
    """A row per output position: its window, row by row, channels innermost."""
    rows = []
    for oy, ox in np.ndindex(conv.out_height, conv.out_width):
        y, z = oy * conv.stride[0] - conv.pads[0], ox * conv.stride[1] - conv.pads[1]
        window = [pixel(x, y + ky * conv.dilation[0], z + kx * conv.dilation[1]) for ky, kx in np.ndindex(*conv.kernel)]
        rows.append(np.concatenate(window))
    return np.array(rows)


def as_map(conv: ConvShape, columns: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(columns, axis=1).reshape(conv.out_height, conv.out_width, conv.out_channels)


def run_im2col(_: object, conv: ConvShape, x: np.ndarray, w: np.ndarray) -> Execution:
    array, columns, weights, activations = Array(), [], 0, 0
    for part, kernel in groups_of(conv, x, w):
        left, right = toeplitz(conv, part), kernel.reshape(-1, kernel.shape[3])
        columns.append(array.multiply(left, right))
        weights, activations = weights + right.size, activations + left.size
    return Execution(as_map(conv, columns), array.products, weights, activations)


def run_depthwise(_: object, conv: ConvShape, x: np.ndarray, w: np.ndarray) -> Execution:
    # Any number of groups may share a product: the right operand is then block-diagonal.
    parts = list(groups_of(conv, x, w))
    for packed in (2, 3):
        columns = []
        for first in range(0, conv.groups, packed):
            chosen = parts[first : first + packed]
            left = np.concatenate([toeplitz(conv, part) for part, _ in chosen], axis=1)
            blocks = [kernel.reshape(-1, kernel.shape[3]) for _, kernel in chosen]
            b, c = blocks[0].shape
            right = np.zeros((b * len(blocks), c * len(blocks)), dtype=np.int64)
            for k, block in enumerate(blocks):
                right[k * b : (k + 1) * b, k * c : (k + 1) * c] = block
            columns.append(left @ right)
        np.testing.assert_array_equal(as_map(conv, columns), direct(conv, x, w))
    return run_im2col(_, conv, x, w)


def run_kn2row(_: object, conv: ConvShape, x: np.ndarray, w: np.ndarray) -> Execution:
    array, columns = Array(), []
    for part, kernel in groups_of(conv, x, w):
        sums = np.zeros((conv.out_height, conv.out_width, kernel.shape[3]), dtype=np.int64)
        for ky, kx in np.ndindex(*conv.kernel):
            pixels, places = [], []
            for oy, ox in np.ndindex(conv.out_height, conv.out_width):
                y = oy * conv.stride[0] - conv.pads[0] + ky * conv.dilation[0]
                z = ox * conv.stride[1] - conv.pads[1] + kx * conv.dilation[1]
                if 0 <= y < conv.in_height and 0 <= z < conv.in_width:
                    pixels.append(part[y, z])
                    places.append((oy, ox))
            if not pixels:
                continue  # this kernel element meets padding only
            for place, row in zip(places, array.multiply(np.array(pixels), kernel[ky, kx]), strict=True):
                sums[place] += row
        columns.append(sums.reshape(-1, kernel.shape[3]))
    return Execution(as_map(conv, columns), array.products, w.size, x.size)


# Lavin and Gray's transforms of F(2, 3) and F(4, 3); G is scaled to integers.
TRANSFORMS = {
    2: (
        2,
        np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
        np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]),
        np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
    ),
    4: (
        24,
        np.array(
            [
                [4, 0, -5, 0, 1, 0],
                [0, -4, -4, 1, 1, 0],
                [0, 4, -4, -1, 1, 0],
                [0, -2, -1, 2, 1, 0],
                [0, 2, -1, -2, 1, 0],
                [0, 4, 0, -5, 0, 1],
            ]
        ),
        np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]),
        np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
    ),
}
PLAIN = (1, np.eye(1, dtype=int), np.eye(1, dtype=int), np.eye(1, dtype=int))


def run_winograd(algorithm, conv: ConvShape, x: np.ndarray, w: np.ndarray) -> Execution:
    axes = [PLAIN if extent == 1 else TRANSFORMS[algorithm.tile] for extent in conv.kernel]
    (scale_y, bt_y, g_y, at_y), (scale_x, bt_x, g_x, at_x) = axes
    taps_y, taps_x, m_y, m_x = g_y.shape[1], g_x.shape[1], at_y.shape[0], at_x.shape[0]
    tiles_y, tiles_x = -(-conv.out_height // m_y), -(-conv.out_width // m_x)
    # Kernels longer than the transform's are cut into parts, the last one filled with zeros.
    parts = list(np.ndindex(-(-conv.kernel[0] // taps_y), -(-conv.kernel[1] // taps_x)))
    filled = np.zeros((conv.kernel[0] + taps_y, conv.kernel[1] + taps_x, *w.shape[2:]), dtype=np.int64)
    filled[: conv.kernel[0], : conv.kernel[1]] = w
    left, right = [], []
    for part_y, part_x in parts:
        y, z = part_y * taps_y, part_x * taps_x
        right.append(np.einsum("ui,vj,ijkl->uvkl", g_y, g_x, filled[y : y + taps_y, z : z + taps_x]))
        tiles = []
        for tile_y, tile_x in np.ndindex(tiles_y, tiles_x):
            top, first = tile_y * m_y - conv.pads[0] + y, tile_x * m_x - conv.pads[1] + z
            tile = [[pixel(x, top + i, first + j) for j in range(len(bt_x))] for i in range(len(bt_y))]
            tiles.append(np.einsum("ui,vj,ijk->uvk", bt_y, bt_x, np.array(tile)))
        left.append(np.array(tiles))
    activations, weights = np.concatenate(left, axis=3), np.concatenate(right, axis=2)
    limit_w, limit_x = 2 ** (8 * algorithm.weight_bytes - 1), 2 ** (8 * algorithm.activation_bytes - 1)
    assert -limit_w <= weights.min() <= weights.max() < limit_w
    assert -limit_x <= activations.min() <= activations.max() < limit_x
    array = Array()
    products = np.zeros((tiles_y * tiles_x, len(bt_y), len(bt_x), conv.out_channels), dtype=np.int64)
    for u, v in np.ndindex(len(bt_y), len(bt_x)):
        products[:, u, v] = array.multiply(activations[:, u, v], weights[u, v])
    # 48-bit accumulators may wrap: the final values are small enough to come out right all the same.
    products = (products + 2**47) % 2**48 - 2**47
    blocks = np.einsum("pu,qv,tuvk->tpqk", at_y, at_x, products)
    scaled = blocks.reshape(tiles_y, tiles_x, m_y, m_x, -1).transpose(0, 2, 1, 3, 4)
    scaled = scaled.reshape(tiles_y * m_y, tiles_x * m_x, -1)[: conv.out_height, : conv.out_width]
    output, remainder = np.divmod(scaled, scale_y * scale_x)
    assert not remainder.any()
    return Execution(output, array.products, weights.size, activations.size)


EXECUTE = {"im2col": run_im2col, "kn2row": run_kn2row, "winograd": run_winograd, "depthwise": run_depthwise}

PAIRS = [(a, c) for a in ALGORITHMS for c, (conv, _) in CONVOLUTIONS.items() if ALGORITHMS[a].is_legal(conv)]


@pytest.mark.parametrize(("name", "which"), PAIRS)
def test_the_algorithm_computes_the_convolution_with_the_products_and_operands_it_declares(name, which):
    algorithm, (conv, _) = ALGORITHMS[name], CONVOLUTIONS[which]
    x, w = operands(conv)
    done = EXECUTE[algorithm.family](algorithm, conv, x, w)
    np.testing.assert_array_equal(done.output, direct(conv, x, w))
    declared: Counter = Counter()
    for gemm in algorithm.gemms(conv):
        declared[gemm.a, gemm.b, gemm.c] += gemm.count
    assert done.products == declared


@pytest.mark.parametrize("which", CONVOLUTIONS)
def test_exactly_the_right_algorithms_are_legal(which):
    conv, legal = CONVOLUTIONS[which]
    assert {name for name, algorithm in ALGORITHMS.items() if algorithm.is_legal(conv)} == legal


def test_every_algorithm_is_legal_somewhere_and_every_convolution_has_one():
    assert {name for name, _ in PAIRS} == set(ALGORITHMS)
    assert {which for _, which in PAIRS} == set(CONVOLUTIONS)


def positions(algorithm, conv: ConvShape, axis: int) -> list[list[int]]:
    """What the executions above read along an axis, window by window."""
    out, taps = (conv.out_height, conv.out_width)[axis], conv.kernel[axis]
    if algorithm.family == "winograd" and taps > 1:
        m = algorithm.tile
        return [
            list(range(tile - conv.pads[axis] + part, tile - conv.pads[axis] + part + m + 2))
            for part in range(0, taps, 3)
            for tile in range(0, out, m)
        ]
    return [
        [o * conv.stride[axis] - conv.pads[axis] + k * conv.dilation[axis] for k in range(taps)] for o in range(out)
    ]


@pytest.mark.parametrize(("name", "which"), PAIRS)
def test_the_loader_walks_and_stores_what_the_algorithm_holds(name, which):
    algorithm, (conv, _) = ALGORITHMS[name], CONVOLUTIONS[which]
    windows, layout = algorithm.windows(conv), algorithm.layout(conv)
    if windows is None:
        assert layout is None
        return
    rows, columns = windows
    assert (rows.size, columns.size) == (conv.in_height, conv.in_width)
    for axis, found in enumerate(windows):
        walked = [
            [i * found.step - found.pad + q * found.part_step + k * found.spacing for k in range(found.taps)]
            for q in range(found.parts)
            for i in range(found.count)
        ]
        assert walked == positions(algorithm, conv, axis)
    if layout is not None:
        assert (layout.rows, layout.columns) == windows
        assert layout.kind is (LayoutKind.TILES if algorithm.family == "winograd" else LayoutKind.TOEPLITZ)


def bits(low: int, high: int) -> int:
    """Of the narrowest two's complement number that holds both."""
    return next(n for n in itertools.count(1) if -(2 ** (n - 1)) <= low and high < 2 ** (n - 1))


def reach(matrices: list[np.ndarray], low: int, high: int) -> tuple[int, int]:
    """Least and greatest value of a separable linear transform of numbers between low and high."""
    rows = matrices[0] if len(matrices) == 1 else np.kron(matrices[0], matrices[1])
    positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    return int((positive * low + negative * high).min()), int((positive * high + negative * low).max())


# 8-bit weights and 9-bit activations: bits of their transforms, as Lavin and Gray's matrices give them.
TRANSFORMED_BITS = {
    "winograd-f2-1d": (10, 10),
    "winograd-f2-2d": (12, 11),
    "winograd-f4-1d": (13, 13),
    "winograd-f4-2d": (18, 16),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_declared_operand_sizes_hold_the_worst_case(name):
    algorithm = ALGORITHMS[name]
    if algorithm.family != "winograd":
        # Operands as they are in memory: 8 bits; the zero point comes off on the way into the array.
        assert (algorithm.weight_bytes, algorithm.activation_bytes) == (1, 1)
        return
    _, bt, g, _ = TRANSFORMS[algorithm.tile]
    weight = bits(*reach([g] * algorithm.dimensions, -128, 127))
    activation = bits(*reach([bt] * algorithm.dimensions, -256, 255))
    assert (weight, activation) == TRANSFORMED_BITS[name]
    assert algorithm.weight_bytes == -(-weight // 8)
    assert 8 * algorithm.activation_bytes >= activation
    assert max(weight, activation) <= 27
    assert min(weight, activation) <= 18  # one 27 x 18 multiplier


@pytest.mark.parametrize(
    ("name", "which", "gemms"),
    [
        ("im2col", "1x7", (Gemm(24, 21, 4),)),
        ("im2col", "grouped 3x3", (Gemm(20, 27, 2, 2),)),
        ("kn2row", "1x3", (Gemm(18, 3, 2, 2), Gemm(21, 3, 2))),
        ("winograd-f4-1d", "7x1", (Gemm(12, 9, 4, 6),)),
        ("winograd-f2-2d", "5x5", (Gemm(9, 12, 2, 16),)),
        ("winograd-f4-2d", "3x3", (Gemm(4, 3, 4, 36),)),
        ("depthwise", "depthwise 3x3", (Gemm(30, 9, 1, 4),)),
    ],
)
def test_products_are_those_counted_by_hand(name, which, gemms):
    assert ALGORITHMS[name].gemms(CONVOLUTIONS[which][0]) == gemms


@pytest.mark.parametrize(
    ("name", "which", "gemms"),
    [
        # What DYNAMAP publishes: H1·H2 positions whatever the stride, F(2x2, 3x3) on square kernels only.
        ("im2col", "3x3 stride 2", (Gemm(12, 27, 4),)),
        ("kn2row", "3x3 stride 2", (Gemm(42, 3, 4, 9),)),
        ("kn2row", "1x1", None),
        ("winograd-f2-2d", "3x3", (Gemm(8, 3, 4, 16),)),
        ("winograd-f2-2d", "5x5", (Gemm(8, 3, 2, 16 * 3),)),
        ("winograd-f2-2d", "3x5", None),
        ("winograd-f4-2d", "3x3", None),
        ("winograd-f2-1d", "1x3", None),
        ("depthwise", "depthwise 3x3", None),
    ],
)
def test_published_products_are_dynamaps(name, which, gemms):
    assert ALGORITHMS[name].published_gemms(CONVOLUTIONS[which][0]) == gemms


def test_winograd_saves_multiplications_and_kn2row_wastes_none():
    conv, _ = CONVOLUTIONS["3x3"]
    macs = {name: sum(gemm.macs for gemm in ALGORITHMS[name].gemms(conv)) for name in CONVOLUTIONS["3x3"][1]}
    assert macs["im2col"] == conv.macs
    assert macs["winograd-f2-2d"] < macs["kn2row"] < macs["im2col"]  # padding is not multiplied by kn2row


def test_algorithms_are_selected_by_name_or_family_in_registry_order():
    assert select_algorithms() == tuple(ALGORITHMS.values())
    assert [a.name for a in select_algorithms(["winograd", "im2col", "winograd-f2-1d"])] == [
        "im2col",
        "winograd-f2-2d",
        "winograd-f4-2d",
        "winograd-f2-1d",
        "winograd-f4-1d",
    ]
    assert all(name == algorithm.name == name.lower() for name, algorithm in ALGORITHMS.items())


def test_an_unknown_algorithm_lists_the_right_ones_and_none_is_refused():
    known = sorted({*ALGORITHMS, *(a.family for a in ALGORITHMS.values())})
    with pytest.raises(AlgorithmError) as caught:
        select_algorithms(["im2col", "fft"])
    assert str(caught.value) == f"unknown algorithm 'fft'; give names or families among {', '.join(known)}"
    with pytest.raises(AlgorithmError, match="no algorithm is left to choose from; name at least one"):
        select_algorithms([])


# ---- algorithms of one's own


@dataclass(frozen=True)
class Halved:
    """Im2col at half its cycles, for convolutions of stride 2: nobody can do it, so it must be chosen."""

    name: str = "halved"
    family: str = "own"
    source: str = "this test"
    activation_bytes: int = 1
    weight_bytes: int = 1

    def is_legal(self, conv):
        return conv.stride == (2, 2)

    def gemms(self, conv):
        return ALGORITHMS["im2col"].gemms(conv)

    def published_gemms(self, conv):  # noqa: ARG002
        return None

    def cycles(self, *where, **options):
        found = ALGORITHMS["im2col"].cycles(*where, **options)
        return replace(found, total=found.total // 2)

    def floor(self, *where, **options):
        return ALGORITHMS["im2col"].floor(*where, **options) // 2

    def windows(self, conv):
        return ALGORITHMS["im2col"].windows(conv)

    def layout(self, conv):  # noqa: ARG002
        return None


def test_an_algorithm_of_ones_own_stands_behind_ours():
    own = Halved()
    assert select_algorithms([own, "im2col"]) == (ALGORITHMS["im2col"], own)
    assert select_algorithms([*ALGORITHMS, own]) == (*ALGORITHMS.values(), own)
    assert select_algorithms([*ALGORITHMS.values(), own, own]) == (*ALGORITHMS.values(), own)


@pytest.mark.parametrize(
    ("algorithms", "message"),
    [
        ([Halved("im2col")], "there is an algorithm 'im2col' already; give yours a name of its own"),
        ([Halved(), Halved(family="x")], "there is an algorithm 'halved' already; give yours a name of its own"),
        ([Halved("Halved")], "the name of an algorithm is lower case, without a comma, not 'Halved'; change it"),
        ([Halved("a,b")], "the name of an algorithm is lower case, without a comma, not 'a,b'; change it"),
    ],
)
def test_a_name_that_would_be_mistaken_is_refused(algorithms, message):
    with pytest.raises(AlgorithmError) as caught:
        select_algorithms(algorithms)
    assert str(caught.value) == message


def test_an_algorithm_of_ones_own_is_explored_explained_and_verified_like_ours():
    net = NetworkBuilder("strided")
    out = net.conv("second", net.conv("first", net.input("image", 3, 32, 32), 16, 3, stride=2, pads=1), 16, 3, pads=1)
    network, own = net.build(out), Halved()
    alone = dynamap_opt.map(network, "ecp5-85k")
    plan = dynamap_opt.map(network, "ecp5-85k", algorithms=[*ALGORITHMS, own])
    assert [layer.algorithm == "halved" for layer in plan.layers] == [True, False]
    assert plan.status == "optimal"
    assert plan.latency_cycles < alone.latency_cycles
    (first,) = dynamap_opt.explain(plan, "first", model=network, algorithms=[own])
    assert first.chosen.algorithm == "halved"
    assert {choice.algorithm for choice in first.choices} >= {"halved", "im2col", "kn2row"}
    assert dynamap_opt.verify(plan, model=network, algorithms=[own], explore=True).problems == ()
    for call in (dynamap_opt.verify, dynamap_opt.explain, dynamap_opt.compile):
        with pytest.raises(PlanError, match="made with unknown algorithm 'halved'; if it is yours"):
            call(plan, model=network)
