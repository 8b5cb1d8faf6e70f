"""Small ONNX models and ways to damage a file, for every fuzz test."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

# What a damaged or hostile file may hold where a number belongs.
NUMBERS = [0, 1, -1, 2, 3, 7, -2, 64, 255, 2**16, 2**31 - 1, -(2**31), 2**40, 2**53, 2**62, 2**63 - 1, -(2**63)]


def node(op_type, inputs, outputs, **attributes):
    return helper.make_node(op_type, inputs.split(), outputs.split(), name=f"{op_type} {outputs}", **attributes)


def weights(*shape):
    return np.linspace(-1, 1, math.prod(shape), dtype=np.float32).reshape(shape)


def model(nodes, constants, shape, *, output=None):
    """Input ``x`` of ``shape``, output ``y`` of ``output``, or of a shape the file leaves open."""
    graph = helper.make_graph(
        nodes,
        "fuzz",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output) if output else ValueInfoProto(name="y")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def damaged(data, rng):
    """The bytes changed, dropped, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed))
        match rng.randrange(6):
            case 0 | 1:
                changed[place] ^= 1 << rng.randrange(8)
            case 2:
                changed[place] = rng.randrange(256)
            case 3:
                del changed[place : place + rng.randint(1, 8)]
            case 4:
                changed[place:place] = changed[place : place + rng.randint(1, 8)]
            case _ if rng.random() < 0.3:
                del changed[max(1, place) :]
        if not changed:
            break
    return bytes(changed)
