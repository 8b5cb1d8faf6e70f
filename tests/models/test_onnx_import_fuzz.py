"""Mutated files: whatever is done to a valid model, the importer succeeds or says ModelError, and soon."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, numpy_helper

from dynamap_models.errors import ModelError
from dynamap_models.ir import Network
from dynamap_models.onnx_import import import_onnx, onnx_tensor_shapes
from dynamap_models.onnx_import.shapes import SHAPE_FUNCTIONS
from onnx_damage import NUMBERS, damaged, model, node, weights

SETTINGS = settings(
    max_examples=250,
    deadline=timedelta(seconds=2),
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
OPERATORS = [*sorted(SHAPE_FUNCTIONS), "If", "NonZero", "QLinearConv", "Frobnicate"]
# Loading is part of the promise, but only of what fits in a test.
LARGEST_LOADED = 2**16


classifier = partial(model, output=(1, 5))
MODELS = [
    classifier(
        [
            node("Pad", "x p", "q"),
            node(
                "Conv", "q w b", "c", strides=[2, 1], pads=[0, 1, 0, 1], dilations=[1, 1], group=1, kernel_shape=[3, 3]
            ),
            node("BatchNormalization", "c g g g g", "n", epsilon=1e-3),
            node("Relu", "n", "r"),
            node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
            node("ConvTranspose", "m v", "t", strides=[2, 2], output_padding=[0, 1]),
            node("Concat", "t t", "k", axis=1),
            node("AveragePool", "k", "a", kernel_shape=[2, 3], auto_pad="SAME_UPPER", count_include_pad=1),
            node("GlobalAveragePool", "a", "h"),
            node("Mul", "h k", "s"),
            node("Flatten", "s", "f", axis=1),
            node("Gemm", "f d e", "o", transB=1, alpha=0.5),
            node("Softmax", "o", "y", axis=1),
        ],
        {
            "p": np.array([0, 0, 1, 0, 0, 0, 1, 0]),
            "w": weights(6, 4, 3, 3),
            "b": weights(6),
            "g": weights(6) + 2,
            "v": weights(6, 3, 2, 2),
            "d": weights(5, 324),
            "e": weights(5),
        },
        (1, 4, 12, 7),
    ),
    classifier(
        [
            node("Shape", "x", "s"),
            node("Gather", "s i", "n", axis=0),
            node("Slice", "s one two", "c"),
            node("Mul", "c two", "c2"),
            node("Div", "c2 two", "c3"),
            node("Cast", "c3", "c4", to=TensorProto.INT64),
            node("Concat", "one c4 minus", "t", axis=0),
            node("Reshape", "x t", "r"),
            node("Range", "i four one0", "z"),
            node("ConstantOfShape", "four1", "f", value=numpy_helper.from_array(np.array([2.0], np.float32))),
            node("Transpose", "r", "u", perm=[0, 2, 1]),
            node("Resize", "x none scales", "v"),
            node("Split", "v", "a b", axis=2),
            node("ReduceMean", "a", "m", axes=[2, 3], keepdims=0),
            node("Unsqueeze", "m minus", "e"),
            node("Squeeze", "e minus", "g"),
            node("Tile", "g tiles", "h"),
            node("Expand", "h spread", "j"),
            node("Clip", "j low high", "k"),
            node("LayerNormalization", "k ln", "l", axis=-1),
            node("MatMul", "l w", "o"),
            node("Add", "o f", "y"),
        ],
        {
            "i": np.array(0),
            "one": np.array([1]),
            "two": np.array([2]),
            "minus": np.array([-1]),
            "four": np.array(4),
            "one0": np.array(1),
            "four1": np.array([5]),
            "none": np.zeros(0, np.float32),
            "scales": np.array([1, 1, 2, 2], np.float32),
            "tiles": np.array([1, 2]),
            "spread": np.array([1, 12]),
            "low": np.array(0, np.float32),
            "high": np.array(6, np.float32),
            "ln": weights(12),
            "w": weights(12, 5),
        },
        (1, 6, 4, 3),
    ),
]
FILES = [source.SerializeToString() for source in MODELS]


def try_it(source):
    """Import, and load what came out; only ModelError may come instead."""
    try:
        onnx_tensor_shapes(source)
    except ModelError as error:
        check(error)
    try:
        network = import_onnx(source)
    except ModelError as error:
        check(error)
        return
    assert isinstance(network, Network)
    assert all(min(tensor.onnx_shape, default=1) > 0 for tensor in network.tensors.values())
    for parameter in network.parameters.values():
        if parameter.size <= LARGEST_LOADED:
            try:
                assert parameter.load().shape == parameter.shape
            except ModelError as error:
                check(error)


def check(error):
    message = str(error)
    assert message
    assert "\n" not in message
    assert error.__class__.__module__ == "dynamap_models.errors"


def mutated(source, rng):
    """The model with a few of its fields changed to something that still is a model to a parser."""
    changed = onnx.ModelProto()
    changed.CopyFrom(source)
    for _ in range(rng.randint(1, 4)):
        rng.choice([change_node, change_node, change_attribute, change_attribute, change_constant, change_frame])(
            changed, rng
        )
    return changed


def change_node(source, rng):
    graph = source.graph
    if not graph.node:
        return
    chosen = rng.choice(list(graph.node))
    names = [name for item in graph.node for name in (*item.input, *item.output)] + [""]
    match rng.randrange(6):
        case 0:
            chosen.op_type = rng.choice(OPERATORS)
        case 1 if chosen.input:
            chosen.input[rng.randrange(len(chosen.input))] = rng.choice(names)
        case 2 if chosen.input:
            del chosen.input[rng.randrange(len(chosen.input))]
        case 3:
            chosen.input.append(rng.choice(names))
        case 4:
            chosen.output.append(rng.choice(["more", *names]))
        case _:
            graph.node.remove(chosen)


def change_attribute(source, rng):
    chosen = [item for item in source.graph.node if item.attribute]
    if not chosen:
        return
    attribute = rng.choice(list(rng.choice(chosen).attribute))
    match rng.randrange(5):
        case 0:
            attribute.i = rng.choice(NUMBERS)
        case 1 if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
        case 2:
            attribute.ints.append(rng.choice(NUMBERS))
        case 3:
            attribute.type = rng.choice(
                [0, AttributeProto.INT, AttributeProto.INTS, AttributeProto.GRAPH, AttributeProto.TENSOR]
            )
        case _:
            attribute.name = rng.choice(["axis", "axes", "perm", "kernel_shape", "strides", "group", "auto_pad", "to"])


def change_constant(source, rng):
    if not source.graph.initializer:
        return
    tensor = rng.choice(list(source.graph.initializer))
    match rng.randrange(4):
        case 0 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        case 1:
            tensor.data_type = rng.randrange(20)
        case 2 if tensor.data_type == TensorProto.INT64:
            count = len(tensor.raw_data) // 8
            tensor.raw_data = np.array([rng.choice(NUMBERS) for _ in range(count)], dtype=np.int64).tobytes()
        case 3:
            shape = [rng.choice([0, 1, 2, 3, 4, 6]) for _ in range(rng.randrange(5))]
            tensor.CopyFrom(numpy_helper.from_array(np.full(shape, rng.choice(NUMBERS[:8])), tensor.name))
        case _:
            tensor.data_location = TensorProto.EXTERNAL


def change_frame(source, rng):
    extents = source.graph.input[0].type.tensor_type.shape.dim
    match rng.randrange(4):
        case 0 if extents:
            extents[rng.randrange(len(extents))].dim_value = rng.choice(NUMBERS)
        case 1 if extents:
            del extents[rng.randrange(len(extents))]
        case 2:
            source.opset_import[0].version = rng.randrange(25)
        case _:
            source.graph.input[0].type.tensor_type.elem_type = rng.randrange(20)


def test_the_models_are_valid_before_anything_is_done_to_them():
    for source, data in zip(MODELS, FILES, strict=True):
        onnx.checker.check_model(source, full_check=True)
        assert import_onnx(source).layers == import_onnx(data).layers


@SETTINGS
@given(seed=st.integers(0, 2**32 - 1), index=st.integers(0, len(FILES) - 1))
def test_damaged_files_are_read_or_refused(seed, index):
    try_it(damaged(FILES[index], random.Random(seed)))


@SETTINGS
@given(seed=st.integers(0, 2**32 - 1), index=st.integers(0, len(MODELS) - 1))
def test_mutated_models_are_read_or_refused(seed, index):
    try_it(mutated(MODELS[index], random.Random(seed)))


@SETTINGS
@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    try_it(data)
