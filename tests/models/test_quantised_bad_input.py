"""What cannot be quantised or read as quantised is refused in one sentence that names it, the rule and the fix."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from dynamap_models import (
    LayerWeights,
    ModelError,
    NetworkBuilder,
    QuantisedNetwork,
    TensorQuantisation,
    UnsupportedOperatorError,
    export_onnx,
    import_onnx,
    import_quantised_onnx,
    quantise,
    random_inputs,
    write_quantised_onnx,
)
from dynamap_models.ir import HostOperator, Layer, Network, Tensor
from quantised_files import DEQUANTISE, END, IMAGE, MAPS, QUANTISE, WEIGHT, WEIGHTS, model, scalar


@pytest.fixture(scope="module")
def network():
    net = NetworkBuilder("tiny", seed=0)
    x = net.conv("conv", net.input("image", 2, 5, 5), 4, 3)
    return net.build(net.fully_connected("classes", x, 3))


@pytest.fixture(scope="module")
def quantised(network):
    return quantise(network, random_inputs(network, 1, 0))


def refused(call, sentence, error=ModelError):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == sentence


# ---- values ----


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((0.0, 0, False), "a tensor's scale must be a positive float32 number, not 0.0"),
        ((0.1, 0, False), "a tensor's scale must be a positive float32 number, not 0.1"),
        ((float("inf"), 0, False), "a tensor's scale must be a positive float32 number, not inf"),
        ((0.5, 256, False), "a zero point of uint8 must be from 0 to 255, not 256"),
        ((0.5, -129, True), "a zero point of int8 must be from -128 to 127, not -129"),
    ],
)
def test_quantisations_that_cannot_be(given, sentence):
    scale, zero_point, signed = given
    refused(lambda: TensorQuantisation(scale=scale, zero_point=zero_point, signed=signed), sentence)


def weights(**changes):
    given = {
        "values": np.zeros((2, 1, 1, 1), np.int64),
        "scale": np.ones(2, np.float32),
        "zero_point": 0,
        "signed": True,
        "bias": np.zeros(2, np.int64),
    }
    return LayerWeights(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"values": np.zeros((2, 1), np.int64)},
            "quantised weights must have four axes and elements, not shape (2, 1)",
        ),
        (
            {"scale": np.ones(3, np.float32)},
            "quantised weights of 2 channels need as many scales and biases, not (3,) and (2,)",
        ),
        (
            {"values": np.full((2, 1, 1, 1), 128)},
            "quantised weights and their zero point must be from -128 to 127",
        ),
        ({"zero_point": -1, "signed": False}, "quantised weights and their zero point must be from 0 to 255"),
        ({"scale": np.zeros(2, np.float32)}, "the scales of quantised weights must be positive numbers"),
        ({"bias": np.full(2, 2**31)}, "the biases of a quantised layer must fit 32 bits"),
    ],
)
def test_weights_that_cannot_be(changes, sentence):
    refused(lambda: weights(**changes), sentence)


def test_every_tensor_must_have_a_quantisation(quantised):
    few = {name: stored for name, stored in quantised.tensors.items() if name != "conv"}
    refused(
        lambda: QuantisedNetwork(quantised.network, few, quantised.weights, quantised.model, exact=True),
        "tensor 'conv' of network 'tiny' has no quantisation",
    )


# ---- calibration ----


def image(**changes):
    return {"image": np.zeros((5, 5, 2), np.float32)} | changes


@pytest.mark.parametrize(
    ("calibration", "options", "sentence"),
    [
        ([], {}, "network 'tiny' cannot be calibrated without inputs; give one or more"),
        (
            [{}],
            {},
            "a calibration input of network 'tiny' must have maps for 'image', not for none",
        ),
        (
            [image(other=np.zeros(1))],
            {},
            "a calibration input of network 'tiny' must have maps for 'image', not for 'image', 'other'",
        ),
        (
            [image(image=np.zeros((2, 5, 5), np.float32))],
            {},
            (
                "a calibration input 'image' must be a float map of shape (5, 5, 2) (height, width, channels), not "
                "float32 of (2, 5, 5)"
            ),
        ),
        (
            [image(image=np.zeros((5, 5, 2), np.uint8))],
            {},
            (
                "a calibration input 'image' must be a float map of shape (5, 5, 2) (height, width, channels), not "
                "uint8 of (5, 5, 2)"
            ),
        ),
        (
            [image(image=np.full((5, 5, 2), np.inf, np.float32))],
            {},
            "tensor 'image' of network 'tiny' is not finite on a calibration input; check both",
        ),
        ([image()], {"percentile": 50}, "a calibration percentile must be above 50 and at most 100, not 50"),
        ([image()], {"percentile": 101}, "a calibration percentile must be above 50 and at most 100, not 101"),
    ],
)
def test_calibration_inputs_that_do_not_fit(network, calibration, options, sentence):
    refused(lambda: quantise(network, calibration, **options), sentence)


def test_no_random_inputs(network):
    refused(lambda: random_inputs(network, 0, 0), "a network is calibrated on one input or more, not 0")


def test_networks_that_cannot_be_exported():
    tensors = {name: Tensor(name, 1, 1, 3, (1, 3)) for name in ("x", "y")}
    host = Network("host", ("x",), ("y",), (Layer("einsum", HostOperator("Einsum"), ("x",), "y"),), tensors, {})
    refused(
        lambda: quantise(host, random_inputs(host, 1, 0)),
        "layer 'einsum' is the host operator Einsum, of which the network keeps only a printed description; only LRN "
        "and Softmax can be exported, so cut the network before it",
    )


def test_an_output_that_is_an_input():
    odd = Network("odd", ("x",), ("x",), (), {"x": Tensor("x", 1, 1, 3, (1, 3))}, {})
    refused(
        lambda: quantise(odd, random_inputs(odd, 1, 0)),
        "output 'x' of network 'odd' is its input, which nothing computes; remove it",
    )


def test_names_that_integers_need():
    net = NetworkBuilder("names", seed=0)
    x = net.conv("x/quantised", net.conv("x", net.input("image", 2, 3, 3), 2, 1), 2, 1)
    network = net.build(x)
    refused(
        lambda: quantise(network, random_inputs(network, 1, 0)),
        "tensor 'x/quantised' has the name that the integers of 'x' need; rename it",
    )


# ---- the reference ----


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "network 'tiny' needs maps for its inputs 'image', not for none"),
        ({"picture": np.zeros(3)}, "network 'tiny' needs maps for its inputs 'image', not for 'picture'"),
        (
            {"image": np.zeros((2, 5, 5))},
            "input 'image' must be a map of shape (5, 5, 2) (height, width, channels), not (2, 5, 5)",
        ),
        (
            {"image": np.full((5, 5, 2), 256)},
            "the integers of input 'image' must be from 0 to 255",
        ),
    ],
)
def test_inputs_that_do_not_fit(quantised, inputs, sentence):
    refused(lambda: quantised.reference(inputs), sentence)


def test_files_that_cannot_be_written(quantised, tmp_path):
    refused(
        lambda: write_quantised_onnx(quantised, tmp_path / "none" / "net.onnx"),
        f"cannot write the ONNX file '{tmp_path}/none/net.onnx': No such file or directory",
    )


# ---- files ----


def test_float_models_are_for_the_other_importer(network):
    refused(
        lambda: import_quantised_onnx(export_onnx(network)),
        "the model holds no quantised operator; read it with import_onnx and quantise it here",
    )


def test_quantised_models_are_not_for_the_float_importer():
    with pytest.raises(UnsupportedOperatorError, match="read the file with import_quantised_onnx, or import the float"):
        import_onnx(model([QUANTISE, ("DequantizeLinear", "xq xs xz", "out")], MAPS, inputs=IMAGE, output="out"))


CONV = ("Conv", "xd wd", "y")
WHOLE = [QUANTISE, DEQUANTISE, WEIGHT, CONV, *END]


@pytest.mark.parametrize(
    ("nodes", "changes", "sentence"),
    [
        pytest.param(
            [QUANTISE, DEQUANTISE, WEIGHT, ("Conv", "xd wd", "out")],
            {},
            "tensor 'out', written by layer 'out', is not quantised in the file; quantise every layer, inputs "
            "included, or cut the model before it",
            id="an output in float",
        ),
        pytest.param(
            [WEIGHT, ("Conv", "x wd", "y"), *END],
            {},
            "tensor 'x', an input, is not quantised in the file; quantise every layer, inputs included, or cut the "
            "model before it",
            id="an input in float",
        ),
        pytest.param(
            [QUANTISE, DEQUANTISE, ("Conv", "xd w", "y"), *END],
            {"w": np.ones((2, 2, 3, 3), np.float32)},
            "the weights of layer 'y' are not those of a quantised tensor of the file, with one scale or one for each "
            "output channel; quantise them so, and leave no scaling between them and the layer",
            id="weights in float",
        ),
        pytest.param(
            [QUANTISE, DEQUANTISE, ("DequantizeLinear", "w ws wz", "wd", {"axis": 1}), CONV, *END],
            {},
            "the weights of layer 'y' are not those of a quantised tensor of the file, with one scale or one for each "
            "output channel; quantise them so, and leave no scaling between them and the layer",
            id="weights scaled along their inputs",
        ),
        pytest.param(
            WHOLE,
            {"wz": np.array([0, 3], np.int8)},
            "the weights of layer 'y' have different zero points; channels must share one",
            id="weights with zero points by channel",
        ),
        pytest.param(
            WHOLE,
            {"w": np.ones((2, 2, 3, 3), np.int32), "wz": np.zeros(2, np.int32)},
            "the weights of layer 'y' are not 8-bit integers; quantise them to 8 bits",
            id="weights of 32 bits",
        ),
        pytest.param(
            WHOLE,
            {"ws": np.ones(3, np.float32), "wz": np.zeros(3, np.int8)},
            "DequantizeLinear node writing 'wd' has 3 scales for 'w' of shape (2, 2, 3, 3), which do not fit",
            id="too many scales",
        ),
        pytest.param(
            WHOLE,
            {"wz": np.zeros(3, np.int8)},
            "DequantizeLinear node writing 'wd' has 2 scales, but 3 zero points",
            id="too many zero points",
        ),
        pytest.param(
            WHOLE,
            {"xs": scalar(-0.5)},
            "QuantizeLinear node writing 'xq' has a scale that is not a positive number; the file is damaged",
            id="a negative scale",
        ),
        pytest.param(
            WHOLE,
            {"xz": scalar(10, np.uint16)},
            "QuantizeLinear node writing 'xq' quantises to UINT16; only 8-bit integers are supported",
            id="16 bits",
        ),
        pytest.param(
            WHOLE,
            {"xs": np.ones(2, np.float32), "xz": np.zeros(2, np.uint8)},
            "QuantizeLinear node writing 'xq' has a scale for every channel of a map; maps must have one scale",
            id="a map with scales by channel",
        ),
        pytest.param(
            [QUANTISE, ("DequantizeLinear", "xq ys xz", "xd"), WEIGHT, CONV, *END],
            {},
            "DequantizeLinear node writing 'xd' gives tensor 'x' scale 0.25 and zero point 10, but it has 0.5 and 10 "
            "elsewhere; a tensor can be quantised in one way only",
            id="two quantisations of one tensor",
        ),
        pytest.param(
            [("Abs", "x", "s"), ("QuantizeLinear", "x s xz", "xq"), DEQUANTISE, WEIGHT, CONV, *END],
            {},
            "QuantizeLinear node writing 'xq' takes input 1 from tensor 's', which is computed; scales, zero points "
            "and weights must be constants",
            id="a computed scale",
        ),
        pytest.param(
            [("QuantizeLinear", "x", "xq"), DEQUANTISE, WEIGHT, CONV, *END],
            {},
            "QuantizeLinear node writing 'xq' lacks input 1, which it must have",
            id="no scale",
        ),
        pytest.param(
            [QUANTISE, ("QuantizeLinear", "xq xs xz", "xqq"), ("DequantizeLinear", "xqq xs xz", "out")],
            {},
            "QuantizeLinear node writing 'xqq' quantises 'xq', which holds integers already",
            id="quantised twice",
        ),
        pytest.param(
            [QUANTISE, DEQUANTISE, WEIGHT, ("Conv", "xd wd", "c"), ("Sigmoid", "c", "y"), *END],
            {},
            "layer 'c' has the activation sigmoid on a result that is not quantised; quantise the tensor between them",
            id="an activation between",
        ),
        pytest.param(
            [QUANTISE, DEQUANTISE, ("Einsum", "xd", "y", {"equation": "abcd"}), *END],
            {},
            "operator Einsum (Einsum node writing 'y') is not supported: not even its output's shape is known here",
            id="an unknown operator",
        ),
        pytest.param(
            [QUANTISE, DEQUANTISE, ("Exp", "xd", "y"), *END],
            {},
            "layer 'y' is the host operator Exp, of which the network keeps only a printed description; only LRN and "
            "Softmax can be exported, so cut the network before it",
            id="an operator that is only printed",
        ),
        pytest.param(
            [QUANTISE, ("Add", "xq xq", "yq"), END[1]],
            {},
            "Add node writing 'yq' computes with the integers of 'xq', which is not supported; quantise the model with "
            "onnxruntime.quantization or here",
            id="arithmetic with integers",
        ),
        pytest.param(
            [("DynamicQuantizeLinear", "x", "xq xs2 xz2"), ("DequantizeLinear", "xq xs2 xz2", "out")],
            {},
            "DynamicQuantizeLinear node writing 'xq' quantises while the network runs; quantise the model statically, "
            "with calibration data",
            id="dynamic quantisation",
        ),
        pytest.param(
            [
                QUANTISE,
                ("QLinearAveragePool", "xq xs xz ys yz", "yq", {"kernel_shape": (2, 2), "channels_last": 1}),
                END[1],
            ],
            {},
            "QLinearAveragePool node writing 'yq' keeps channels last, which is not supported; use channels first",
            id="channels last",
        ),
        pytest.param(
            [
                QUANTISE,
                DEQUANTISE,
                WEIGHT,
                CONV,
                ("QuantizeLinear", "y ys sz", "yq"),
                ("DequantizeLinear", "yq ys sz", "out"),
            ],
            {"sz": scalar(3, np.int8)},
            "layer 'y' reads and writes both int8 and uint8 maps, for which there is no operator; use one type for all",
            id="mixed types",
        ),
        pytest.param(
            [QUANTISE, ("QLinearConcat", "ys yz xq xs", "yq", {"axis": 1}), END[1]],
            {},
            "QLinearConcat node writing 'yq' has 4 inputs; two and three for every map are needed",
            id="half a map",
        ),
        pytest.param(
            [
                ("MaxPool", "xq", "yq", {"kernel_shape": (2, 2)}),
                ("Relu", "yq", "zq"),
                ("DequantizeLinear", "zq xs xz", "out"),
            ],
            {},
            "Relu node writing 'zq' clips integers of 'yq', of which the file does not say what they mean",
            id="integers of unknown meaning",
        ),
    ],
)
def test_files_that_are_refused(nodes, changes, sentence):
    quantises = any(node[0] in {"DynamicQuantizeLinear", "QuantizeLinear"} for node in nodes)
    inputs = IMAGE if quantises or nodes[0] == WEIGHT else {"xq": (TensorProto.UINT8, (1, 2, 5, 4))}
    proto = model(nodes, MAPS | WEIGHTS | changes, inputs=inputs, output="out")
    refused(lambda: import_quantised_onnx(proto), sentence, error=(ModelError, UnsupportedOperatorError))
