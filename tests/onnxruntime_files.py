"""A small network quantised by ``onnxruntime.quantization``, in every format the tests read."""

from __future__ import annotations

import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from dynamap_models import NetworkBuilder, export_onnx, random_inputs
from dynamap_models.quantised import from_map
from quantised_networks import CLIPS, RELU

FORMATS = [
    pytest.param(QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt8, True, False, id="QDQ u8 s8 channels"),
    pytest.param(QuantFormat.QDQ, QuantType.QInt8, QuantType.QInt8, False, True, id="QDQ s8 s8 symmetric"),
    pytest.param(QuantFormat.QOperator, QuantType.QUInt8, QuantType.QInt8, True, False, id="QLinear u8 s8 channels"),
    pytest.param(QuantFormat.QOperator, QuantType.QInt8, QuantType.QInt8, True, True, id="QLinear s8 s8 symmetric"),
    pytest.param(QuantFormat.QOperator, QuantType.QUInt8, QuantType.QUInt8, False, False, id="QLinear u8 u8"),
]


def small_network():
    net = NetworkBuilder("small", seed=1)
    x = net.input("image", 3, 12, 12)
    x = net.conv("conv1", x, 8, 3, pads=1, activation=RELU)
    y = net.conv("conv2", x, 8, 3, pads=1, groups=2)
    x = net.add("sum", x, y, activation=RELU)
    x = net.concat("joined", (net.max_pool("most", x, 2, stride=2), net.average_pool("mean", x, 2, stride=2)))
    x = net.conv("conv3", x, 8, 1, activation=CLIPS[0])
    x = net.depthwise("conv4", x, 3)
    classes = net.fully_connected("classes", net.global_pool("global", x), 10)
    return net.build(net.fully_connected("features", x, 12), classes)


class Samples(CalibrationDataReader):
    def __init__(self, network):
        self.left = [
            {name: from_map(network.tensors[name], array) for name, array in inputs.items()}
            for inputs in random_inputs(network, 4, 0)
        ]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantised_file(network, folder, layout, maps, weights, per_channel, symmetric):
    onnx.save(export_onnx(network), folder / "float.onnx")
    quantize_static(
        folder / "float.onnx",
        folder / "quantised.onnx",
        Samples(network),
        quant_format=layout,
        activation_type=maps,
        weight_type=weights,
        per_channel=per_channel,
        # 7-bit weights, so that ONNX Runtime's sums of 16 bits do not saturate, which they do where there is no VNNI.
        reduce_range=True,
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": weights is QuantType.QInt8},
    )
    return onnx.load(folder / "quantised.onnx")
