"""Quantised files that others write, ``onnxruntime.quantization`` first; ONNX Runtime on the file itself judges."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from dynamap_models import import_quantised_onnx, random_inputs, write_quantised_onnx
from dynamap_models._runtime import session
from dynamap_models.ir import Activation, ActivationKind, Concat, Conv, FullyConnected, HostOperator, Pool
from dynamap_models.quantised import TensorQuantisation, from_map
from onnxruntime_files import FORMATS, quantised_file, small_network
from quantised_files import DEQUANTISE, END, IMAGE, MAPS, QUANTISE, WEIGHT, WEIGHTS, model, scalar
from quantised_judge import Judge
from quantised_networks import RELU


@pytest.mark.parametrize(("layout", "maps", "weights", "per_channel", "symmetric"), FORMATS)
def test_what_onnxruntime_quantises_is_read(tmp_path, layout, maps, weights, per_channel, symmetric):
    network = small_network()
    model = quantised_file(network, tmp_path, layout, maps, weights, per_channel, symmetric)
    quantised = import_quantised_onnx(tmp_path / "quantised.onnx")
    # The same layers, whatever the file calls them, and but for what the file itself leaves in float.
    kinds = [type(layer.operation) for layer in network.layers]
    assert [type(layer.operation) for layer in quantised.network.layers] == kinds
    hosts = {type(layer.operation) for layer in quantised.network.layers if quantised.is_host(layer)}
    assert hosts <= {Concat, Pool}  # those that the file lets change scales
    # The file's own results.
    (inputs,) = random_inputs(network, 1, 9)
    feeds = {name: from_map(network.tensors[name], array) for name, array in inputs.items()}
    reference = quantised.reference(inputs)
    for name, theirs in zip(network.outputs, session(model).run(None, feeds), strict=True):
        stored = quantised.tensors[name]
        off = np.abs(stored.quantise(theirs).ravel() - reference[name].ravel())
        assert off.max() <= 3, off
        assert off.mean() <= 0.8
        assert np.ptp(reference[name]) > 60
    # And of every layer what its integers say.
    judge = Judge(quantised)
    for layer in quantised.network.layers:
        if not quantised.is_host(layer):
            off = np.abs(judge.layer(layer, reference) - reference[layer.output])
            assert off.max() <= 1, layer
            # Averages of four values between equal scales are ties every fourth time, and any scale blurs them.
            share = 0.05 if isinstance(layer.operation, Pool) else 0.005
            assert np.count_nonzero(off) <= share * off.size + 1, layer
    assert import_quantised_onnx(quantised.model) == quantised


@pytest.mark.parametrize(("layout", "maps", "weights", "per_channel", "symmetric"), FORMATS[2:])
def test_integers_of_the_file_are_kept(tmp_path, layout, maps, weights, per_channel, symmetric):
    network = small_network()
    model = quantised_file(network, tmp_path, layout, maps, weights, per_channel, symmetric)
    quantised = import_quantised_onnx(model)
    stored = {entry.name: numpy_helper.to_array(entry).astype(np.int64) for entry in model.graph.initializer}
    found = 0
    for node, layer in zip(
        (node for node in model.graph.node if node.op_type in {"QLinearConv", "QGemm"}),
        (layer for layer in quantised.network.layers if isinstance(layer.operation, Conv | FullyConnected)),
        strict=True,
    ):
        ours = quantised.weights[layer.name]
        theirs = stored[node.input[3]] - stored[node.input[5]].reshape(-1)[0]
        if node.op_type == "QGemm" and layer.output == "features":
            theirs = np.moveaxis(theirs.reshape(12, 8, 6, 6), 1, 3)  # channels first in the file
        np.testing.assert_array_equal((ours.values - ours.zero_point).reshape(theirs.shape), theirs)
        np.testing.assert_array_equal(ours.bias, stored[node.input[8 if node.op_type == "QLinearConv" else 6]])
        found += 1
    assert found == 6


# ---- files written by hand ----


def read(nodes, constants, *, inputs=IMAGE, output="out", **options):
    return import_quantised_onnx(model(nodes, constants, inputs=inputs, output=output, **options))


def agree(quantised, proto, *, worst=1, seed=3):
    """The reference against ONNX Runtime on the file."""
    network = quantised.network
    (inputs,) = random_inputs(network, 1, seed)
    feeds = {name: from_map(network.tensors[name], array * 8) for name, array in inputs.items()}
    reference = quantised.reference({name: array * 8 for name, array in inputs.items()})
    for name, theirs in zip(network.outputs, session(proto).run(None, feeds), strict=True):
        stored = quantised.tensors[name]
        ours = from_map(network.tensors[name], reference[name])
        assert np.abs(stored.quantise(theirs) - ours).max() <= worst
        assert np.ptp(ours) > 20


def test_a_file_of_powers_of_two_promises_exactness():
    nodes = [QUANTISE, DEQUANTISE, WEIGHT, ("Conv", "xd wd", "y"), *END]
    proto = model(nodes, MAPS | WEIGHTS, inputs=IMAGE, output="out")
    quantised = import_quantised_onnx(proto)
    assert quantised.exact
    assert quantised.tensors["x"] == TensorQuantisation(scale=0.5, zero_point=10, signed=False)
    assert quantised.tensors["out"] == TensorQuantisation(scale=0.25, zero_point=120, signed=False)
    agree(quantised, proto, worst=0)


def test_float_biases_are_rounded_to_the_units_of_the_sums():
    constants = MAPS | WEIGHTS | {"b": np.array([1.3, -2.0], np.float32)}
    quantised = read([QUANTISE, DEQUANTISE, WEIGHT, ("Conv", "xd wd b", "y"), *END], constants)
    assert quantised.weights["y"].bias.tolist() == [10, -32]  # 1.3 / (0.5 · 0.25) and -2 / (0.5 · 0.125)


def test_biases_in_other_units_are_stated_in_those_of_the_sums():
    constants = MAPS | WEIGHTS | {"b": np.array([3, -5], np.int32), "bs": scalar(0.25)}
    nodes = [QUANTISE, DEQUANTISE, WEIGHT, ("DequantizeLinear", "b bs", "bd"), ("Conv", "xd wd bd", "y"), *END]
    assert read(nodes, constants).weights["y"].bias.tolist() == [6, -20]


def test_weights_stored_in_float_are_rounded_by_their_quantize_node():
    real = np.random.default_rng(0).normal(size=(2, 2, 3, 3)).astype(np.float32)
    constants = MAPS | {"w": real, "ws": scalar(2.0**-5), "wz": scalar(0, np.int8)}
    nodes = [
        QUANTISE,
        DEQUANTISE,
        ("QuantizeLinear", "w ws wz", "wq"),
        ("DequantizeLinear", "wq ws wz", "wd"),
        ("Conv", "xd wd", "y"),
        *END,
    ]
    proto = model(nodes, constants, inputs=IMAGE, output="out")
    quantised = import_quantised_onnx(proto)
    np.testing.assert_array_equal(quantised.weights["y"].values, np.clip(np.rint(real * 32), -128, 127))
    agree(quantised, proto)


def test_scales_may_come_from_constant_nodes():
    constants = dict(MAPS | WEIGHTS)
    nodes = [
        ("Constant", "", name, {"value": numpy_helper.from_array(np.asarray(constants.pop(name)))})
        for name in ("xs", "xz", "ws")
    ]
    assert read([*nodes, QUANTISE, DEQUANTISE, WEIGHT, ("Conv", "xd wd", "y"), *END], constants).exact


def test_a_missing_zero_point_is_an_unsigned_zero():
    nodes = [
        ("QuantizeLinear", "x xs", "xq"),
        ("DequantizeLinear", "xq xs", "xd"),
        WEIGHT,
        ("Conv", "xd wd", "y"),
        *END,
    ]
    assert read(nodes, MAPS | WEIGHTS).tensors["x"] == TensorQuantisation(scale=0.5, zero_point=0, signed=False)


def test_a_result_quantised_before_and_after_a_relu_is_rounded_once():
    nodes = [
        QUANTISE,
        DEQUANTISE,
        WEIGHT,
        ("Conv", "xd wd", "c"),
        ("QuantizeLinear", "c cs yz", "cq"),
        ("DequantizeLinear", "cq cs yz", "cd"),
        ("Relu", "cd", "y"),
        ("QuantizeLinear", "y ys zero", "yq"),
        ("DequantizeLinear", "yq ys zero", "out"),
    ]
    constants = MAPS | WEIGHTS | {"cs": scalar(0.5), "zero": scalar(0, np.uint8)}
    proto = model(nodes, constants, inputs=IMAGE, output="out")
    quantised = import_quantised_onnx(proto)
    (layer,) = quantised.network.layers
    assert layer.operation.activation == RELU
    assert quantised.clamps(layer) == (0, 255)
    agree(quantised, proto, worst=1)  # half a unit of the coarser scale


def test_a_result_that_others_read_as_well_keeps_its_own_quantisation():
    nodes = [
        QUANTISE,
        DEQUANTISE,
        WEIGHT,
        ("Conv", "xd wd", "c"),
        ("QuantizeLinear", "c ys yz", "cq"),
        ("DequantizeLinear", "cq ys yz", "cd"),
        ("Relu", "cd", "r"),
        ("QuantizeLinear", "r ys yz", "rq"),
        ("DequantizeLinear", "rq ys yz", "rd"),
        ("Add", "cd rd", "y"),
        *END,
    ]
    proto = model(nodes, MAPS | WEIGHTS, inputs=IMAGE, output="out")
    quantised = import_quantised_onnx(proto)
    conv, relu, _ = quantised.network.layers
    assert (conv.operation.activation, relu.operation) == (None, Activation(ActivationKind.RELU))
    assert not quantised.is_host(relu)
    assert quantised.clamps(relu) == (120, 255)
    agree(quantised, proto, worst=0)


def test_matrices_of_either_order_are_read():
    matrix = np.random.default_rng(1).integers(-60, 60, (8, 8)).astype(np.int8)  # square: its shape says nothing
    scales = np.linspace(0.01, 0.08, 8, dtype=np.float32)
    inputs = {"x": (TensorProto.FLOAT, (1, 8))}
    constants = MAPS | {"w": matrix, "ws": scales, "wz": np.zeros(8, np.int8)}
    for op_type, axis, attributes in (("MatMul", 1, {}), ("Gemm", 1, {}), ("Gemm", 0, {"transB": 1})):
        weight = ("DequantizeLinear", "w ws wz", "wd", {"axis": axis})
        nodes = [QUANTISE, DEQUANTISE, weight, (op_type, "xd wd", "y", attributes), *END]
        proto = model(nodes, constants, inputs=inputs, output="out")
        quantised = import_quantised_onnx(proto)
        expected = matrix.T if axis == 1 else matrix
        np.testing.assert_array_equal(quantised.weights["y"].values[:, :, 0, 0], expected)
        agree(quantised, proto)
    linear = [QUANTISE, ("QLinearMatMul", "xq xs xz w ws wz ys yz", "yq"), END[1]]
    narrow = constants | {"w": (matrix // 2).astype(np.int8)}
    proto = model(linear, narrow, inputs=inputs, output="out")
    agree(import_quantised_onnx(proto), proto)


def test_one_dimensional_convolutions_are_read():
    inputs = {"x": (TensorProto.FLOAT, (1, 2, 9))}
    constants = MAPS | WEIGHTS | {"w": np.arange(-6, 6).reshape(2, 2, 3).astype(np.int8)}
    proto = model([QUANTISE, DEQUANTISE, WEIGHT, ("Conv", "xd wd", "y"), *END], constants, inputs=inputs, output="out")
    quantised = import_quantised_onnx(proto)
    assert quantised.exact
    agree(quantised, proto, worst=0)


def test_integer_inputs_need_no_quantize_node():
    inputs = {"xq": (TensorProto.UINT8, (1, 2, 5, 4))}
    nodes = [
        ("MaxPool", "xq", "most", {"kernel_shape": (2, 2)}),
        ("QLinearConv", "most xs xz w ws wz ys yz", "yq"),
        END[1],
    ]
    quantised = read(nodes, MAPS | WEIGHTS, inputs=inputs)
    assert quantised.tensors["xq"] == TensorQuantisation(scale=0.5, zero_point=10, signed=False)
    assert not any(map(quantised.is_host, quantised.network.layers))


def test_clamps_of_integers_are_clamps_of_what_they_stand_for():
    constants = MAPS | {"low": scalar(10, np.uint8), "high": scalar(42, np.uint8)}
    quantised = read([QUANTISE, ("Clip", "xq low high", "cq"), ("DequantizeLinear", "cq xs xz", "out")], constants)
    (layer,) = quantised.network.layers
    assert layer.operation == Activation(ActivationKind.CLIP, low=0.0, high=16.0)
    assert quantised.clamps(layer) == (10, 42)
    signed = {"xs": scalar(0.5), "xz": scalar(-20, np.int8)}
    quantised = read([QUANTISE, ("Relu", "xq", "cq"), ("DequantizeLinear", "cq xs xz", "out")], signed)
    (layer,) = quantised.network.layers
    assert quantised.clamps(layer) == (0, 127)  # a ReLU of integers knows no zero point


def test_concatenations_that_change_scales_stay_the_hosts():
    nodes = [
        QUANTISE,
        ("QLinearConv", "xq xs xz w ws wz ys yz", "cq", {"pads": (1, 1, 1, 1)}),
        ("QLinearConcat", "ys yz xq xs xz cq ys yz", "yq", {"axis": 1}),
        END[1],
    ]
    proto = model(nodes, MAPS | WEIGHTS, inputs=IMAGE, output="out")
    quantised = import_quantised_onnx(proto)
    conv, joined = quantised.network.layers
    assert (quantised.is_host(conv), quantised.is_host(joined)) == (False, True)
    agree(quantised, proto)


def test_a_softmax_behind_the_last_quantised_tensor_gets_the_range_it_has():
    nodes = [QUANTISE, DEQUANTISE, ("Softmax", "xd", "out", {"axis": 1})]
    quantised = read(nodes, MAPS, inputs={"x": (TensorProto.FLOAT, (1, 6))})
    (layer,) = quantised.network.layers
    assert isinstance(layer.operation, HostOperator)
    assert quantised.tensors["out"] == TensorQuantisation(scale=2.0**-8, zero_point=0, signed=False)
    maps = quantised.reference({"x": np.zeros((1, 1, 6), np.float32)})
    assert maps["out"].tolist() == [[[43] * 6]]  # 256 / 6


def test_what_a_maximum_writes_is_alike_whether_the_file_says_so_or_not():
    nodes = [
        QUANTISE,
        DEQUANTISE,
        ("MaxPool", "xd", "m", {"kernel_shape": (2, 2)}),
        WEIGHT,
        ("Conv", "m wd", "y"),
        *END,
    ]
    constants = MAPS | WEIGHTS | {"w": np.arange(4).reshape(2, 2, 1, 1).astype(np.int8)}
    quantised = read(nodes, constants)
    assert quantised.tensors["m"] == quantised.tensors["x"]


def test_files_of_ours_are_written_and_read(tmp_path):
    quantised = read([QUANTISE, DEQUANTISE, WEIGHT, ("Conv", "xd wd", "y"), *END], MAPS | WEIGHTS)
    write_quantised_onnx(quantised, tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    onnx.checker.check_model(tmp_path / "net.onnx")
    assert import_quantised_onnx(tmp_path / "net.onnx") == quantised
