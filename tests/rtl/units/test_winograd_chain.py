"""A convolution through the circuits: input transform, products, output transform, requantiser, and ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pyrtl
import pytest
from onnx import TensorProto, helper, numpy_helper

from dynamap_rtl.hardware import flatten
from dynamap_rtl.units.fixed_point import fixed_point, float32_scale
from dynamap_rtl.units.requantise import Requantiser
from dynamap_rtl.units.winograd import WINOGRAD, transform_weights
from dynamap_rtl.units.winograd_input import WinogradInput
from dynamap_rtl.units.winograd_output import WinogradOutput
from hardware_streams import exchange, gaps, pack, unpack
from onnx_weights import exact_weights

X_ZERO, Y_ZERO, X_SCALE, Y_SCALE = 117, 131, 0.25, 64.0


def qlinearconv(x, w, bias, w_scales, pads):
    weights, w_zeros = exact_weights(w, x.dtype)
    graph = helper.make_graph(
        [
            helper.make_node(
                "QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"], pads=(*pads, *pads)
            )
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [
            numpy_helper.from_array(value, name)
            for name, value in {
                "xs": np.array(X_SCALE, np.float32),
                "xz": np.array(X_ZERO, np.uint8),
                "w": weights,
                "ws": w_scales,
                "wz": w_zeros,
                "ys": np.array(Y_SCALE, np.float32),
                "yz": np.array(Y_ZERO, np.uint8),
                "b": bias,
            }.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0][0].astype(np.int64)


def through(unit, vectors, results, tile, planar, seed):
    """Vectors through a transform unit, with gaps on both sides."""
    seen = exchange(
        pyrtl.FastSimulation(block=flatten(unit.create()), tracer=None),
        [pack(vector, unit.transform.in_width) for vector in vectors],
        results,
        offers=gaps(seed, 20),
        accepts=gaps(seed + 1, 20),
        constants={"four": int(tile == 4), "planar": int(planar)},
    )
    return np.array([unpack(word, unit.transform.out_width, unit.lanes) for word in seen.outputs])


def requantised(sums, bias, factors):
    """Rows of channels through a row of requantisers."""
    unit, channels = Requantiser(), sums.shape[1]
    simulation = pyrtl.FastSimulation(block=flatten(unit.create_lanes(channels)), tracer=None)
    rows = []
    for row in [*sums, *[sums[-1]] * unit.latency_cycles]:
        simulation.step(
            {
                "value": pack(row, 32),
                "bias": pack(bias, 32),
                "multiplier": pack([factor.multiplier for factor in factors], 24),
                "shift": pack([factor.shift for factor in factors], 6),
                "zero_point": Y_ZERO,
                "low": 0,
                "high": 255,
            }
        )
        rows.append(unpack(simulation.inspect("result"), 8, channels))
    return np.array(rows[unit.latency_cycles :]) & 0xFF


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("kernel", [(3, 3), (4, 5), (1, 7), (3, 1)])
def test_a_convolution_through_the_circuits_is_onnx_runtimes(tile, kernel):
    rng = np.random.default_rng(tile)
    c_in, c_out, height, width = 3, 2, 7, 6
    pads = (kernel[0] // 2, kernel[1] // 2)
    x = rng.integers(0, 256, (1, c_in, height, width)).astype(np.uint8)
    w = rng.integers(-128, 128, (c_out, c_in, *kernel)).astype(np.int8)
    bias = rng.integers(-9000, 9000, c_out).astype(np.int32)
    w_scales = np.array([0.5, 2.0], np.float32)
    expected = qlinearconv(x, w, bias, w_scales, pads)

    # What the loader does: tiles of every part of the kernel, zeros beyond the image.
    planar = kernel[0] > 1 and kernel[1] > 1
    n, m = WINOGRAD[tile].size, tile
    sizes = [n if extent > 1 else 1 for extent in kernel]
    steps = [m if extent > 1 else 1 for extent in kernel]
    counts = [-(-extent // step) for extent, step in zip(expected.shape[1:], steps, strict=True)]
    image = np.pad(x[0].astype(np.int64) - X_ZERO, ((0, 0), (pads[0], 30), (pads[1], 30)))
    parts = [(u, v) for u in range(0, kernel[0], 3) for v in range(0, kernel[1], 3)]
    tiles = [
        image[:, i * steps[0] + u :, j * steps[1] + v :][:, : sizes[0], : sizes[1]]
        for u, v in parts
        for i in range(counts[0])
        for j in range(counts[1])
    ]
    vectors = np.moveaxis(np.array(tiles), 1, -1).reshape(-1, c_in)
    transformed = through(WinogradInput(lanes=c_in), vectors, len(vectors), tile, planar, seed=1)

    # What the array does, modulo 2**48.
    positions, spots = sizes[0] * sizes[1], counts[0] * counts[1]
    operands = transformed.reshape(len(parts), spots, positions, c_in).transpose(2, 1, 0, 3)
    operands = operands.reshape(positions, spots, len(parts) * c_in)
    sums = np.matmul(operands, transform_weights(w.astype(np.int64), tile)).transpose(1, 0, 2).reshape(-1, c_out)
    true = through(WinogradOutput(lanes=c_out), sums, spots * steps[0] * steps[1], tile, planar, seed=3)

    result = requantised(true, bias, [fixed_point(float32_scale(X_SCALE, scale, Y_SCALE)) for scale in w_scales])
    map_ = result.reshape(*counts, *steps, c_out).transpose(4, 0, 2, 1, 3)
    map_ = map_.reshape(c_out, counts[0] * steps[0], counts[1] * steps[1])
    np.testing.assert_array_equal(map_[:, : expected.shape[1], : expected.shape[2]], expected)
    assert len(np.unique(expected)) > 20
