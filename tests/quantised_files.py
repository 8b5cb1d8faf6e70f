"""Quantised ONNX files written by hand: a node a tuple, names in one string."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def scalar(value, dtype=np.float32):
    return np.array(value, dtype)


def model(nodes, constants, *, inputs, output, opset=20, output_type=TensorProto.FLOAT):
    """A model of one output; ``nodes`` are (operator, inputs, outputs, attributes) with names in one string each."""
    made = []
    for op_type, read, written, *attributes in nodes:
        domain = "com.microsoft" if op_type.startswith(("QLinearA", "QLinearC", "QLinearS", "QGemm")) else ""
        domain = "" if op_type == "QLinearConv" else domain
        names = ["" if name == "-" else name for name in read.split()]
        made.append(helper.make_node(op_type, names, written.split(), domain=domain, **(attributes or [{}])[0]))
    graph = helper.make_graph(
        made,
        "hand",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(output, output_type, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


IMAGE = {"x": (TensorProto.FLOAT, (1, 2, 5, 4))}
MAPS = {
    "xs": scalar(0.5),
    "xz": scalar(10, np.uint8),
    "ys": scalar(0.25),
    "yz": scalar(120, np.uint8),
}
WEIGHTS = {
    "w": np.arange(-18, 18).reshape(2, 2, 3, 3).astype(np.int8),
    "ws": np.array([0.25, 0.125], np.float32),
    "wz": np.zeros(2, np.int8),
}
QUANTISE = ("QuantizeLinear", "x xs xz", "xq")
DEQUANTISE = ("DequantizeLinear", "xq xs xz", "xd")
WEIGHT = ("DequantizeLinear", "w ws wz", "wd", {"axis": 0})
END = [("QuantizeLinear", "y ys yz", "yq"), ("DequantizeLinear", "yq ys yz", "out")]
