"""Files that are wrong, hostile or beyond us: one sentence each, naming the thing, the rule and the fix."""

from __future__ import annotations

import os
import time

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from dynamap_models.errors import ModelError, UnsupportedOperatorError
from dynamap_models.onnx_import import import_onnx, onnx_tensor_shapes

IMAGE = (1, 4, 9, 7)
FLOAT = TensorProto.FLOAT
HUGE = 2**41


def node(op_type, inputs, outputs, name="n", **attributes):
    return helper.make_node(op_type, inputs.split(), outputs.split(), name=name, **attributes)


def constant(*shape):
    return np.full(shape, 0.5, np.float32)


def integers(*values):
    return np.array(values, dtype=np.int64)


def model(nodes, constants=None, *, shape=IMAGE, elem_type=FLOAT, outputs="y", opset=17):
    graph = helper.make_graph(
        nodes,
        "bad",
        [helper.make_tensor_value_info("x", elem_type, shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs.split()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def good():
    return model([node("Conv", "x w", "y")], {"w": constant(6, 4, 3, 3)})


def refused(source, *words, kind=ModelError, **options):
    """Import must fail with ``kind`` and one line that holds all ``words``."""
    with pytest.raises(ModelError) as caught:
        import_onnx(source, **options)
    assert type(caught.value) is kind, caught.value
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


# The file itself.


def test_a_missing_file(tmp_path):
    refused(tmp_path / "none.onnx", "none.onnx", "does not exist")


def test_a_directory(tmp_path):
    refused(str(tmp_path), "is a directory")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", "pipe.onnx", "is not a regular file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path):
    path = tmp_path / "secret.onnx"
    path.write_bytes(good().SerializeToString())
    path.chmod(0)
    refused(path, "secret.onnx", "cannot be read")


def test_a_path_that_cannot_be():
    refused("a\0b.onnx", "cannot be read")
    refused("a" * 5000, "cannot be read")


def test_a_file_too_large_for_onnx(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # a hole, which takes no room
    refused(path, "larger than 2 GiB", "external data")


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.onnx"
    path.touch()
    refused(path, "empty.onnx", "is empty")
    refused(b"", "is empty")


def test_every_truncation_of_a_file():
    data = good().SerializeToString()
    for length in range(1, len(data)):
        refused(data[:length])


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + b"\0" * 64, b"PK\x03\x04" * 9, b"<html>", b"\xff" * 99, b"\0"])
def test_a_file_of_another_kind(data):
    refused(data, "is not an ONNX model")


def test_something_that_is_no_file():
    refused(42, "path, bytes or a ModelProto, not int")


def test_a_model_without_a_graph_a_node_or_an_output():
    refused(onnx.ModelProto(ir_version=8), "holds no graph")
    refused(model([]), "without a single node")
    without = good()
    del without.graph.output[:]
    refused(without, "without outputs")


def test_operator_sets_that_do_not_exist():
    future, none = good(), good()
    future.opset_import[0].version = 1000
    del none.opset_import[:]
    refused(future, "operator set 1000", "install a newer onnx")
    refused(none, "operator set 0")


# Names and order.


def test_a_cycle():
    refused(
        model([node("Add", "x b", "a", "first"), node("Relu", "a", "b", "second"), node("Relu", "b", "y")]),
        "cycle",
        "first",
    )
    refused(model([node("Relu", "y", "y")]), "cycle")


def test_a_tensor_nobody_writes():
    refused(model([node("Relu", "z", "y")]), "Relu node 'n' reads 'z'", "no node, input or initializer")
    refused(model([node("Relu", "x", "y")], outputs="z"), "output 'z'", "written by no node")


def test_a_tensor_written_twice():
    refused(model([node("Relu", "x", "y"), node("Tanh", "x", "y")]), "'y' is written twice", "Tanh")
    refused(model([node("Relu", "x", "x")], outputs="x"), "'x' is written twice")


def test_names_missing_or_repeated_among_inputs_and_initializers():
    twice, nameless = good(), good()
    twice.graph.initializer.append(twice.graph.initializer[0])
    refused(twice, "initializer without a name of its own ('w')")
    nameless.graph.input.add()
    refused(nameless, "input without a name of its own")


def test_names_that_are_no_text():
    data = model([node("Relu", "x", "y", "QQQQ")]).SerializeToString()
    for name in (b"QQQQ", b"Relu"):
        refused(data.replace(name, b"\xff\xfe\xff\xfe"), "not text", "damaged")


def test_a_constant_with_two_results():
    refused(
        model([helper.make_node("Constant", [], ["k", "l"], name="n", value_float=1.0), node("Add", "x l", "y")]),
        "writes 2",
    )
    refused(model([node("Shape", "x", "k l"), node("Reshape", "x l", "y")]), "writes 2 tensors", "1 output")


def test_a_constant_output_without_elements():
    refused(
        model([node("Relu", "x", "y"), node("Identity", "e", "z")], {"e": constant(0)}, outputs="y z"),
        "output 'z'",
        "zero-sized",
    )


def test_a_node_that_writes_nothing():
    refused(model([helper.make_node("Relu", ["x"], [], name="n"), node("Relu", "x", "y")]), "'n' writes nothing")


def test_outputs_that_do_not_depend_on_the_input():
    refused(model([node("Neg", "k", "y")], {"k": constant(3)}), "no output", "depends on its inputs")


# Shapes of inputs.


def test_dynamic_extents_name_the_input_and_the_fix():
    source = model([node("Relu", "x", "y")], shape=("N", 3, "H", "W"))
    refused(source, "input 'x'", "(N, 3, H, W)", "--input-shape x=1,3,224,224", "input_shapes={'x': (1, 3, 224, 224)}")
    assert import_onnx(source, input_shapes={"x": (1, 3, 32, 16)}).tensors["y"].onnx_shape == (1, 3, 32, 16)


def test_a_dynamic_batch_is_one():
    for batch in ("N", None, -1):
        source = model([node("Relu", "x", "y")], shape=(batch, 3, 8, 8))
        assert import_onnx(source).tensors["y"].onnx_shape == (1, 3, 8, 8)


def test_an_input_without_a_shape():
    source = model([node("Relu", "x", "y")])
    source.graph.input[0].type.tensor_type.ClearField("shape")
    refused(source, "input 'x' has no shape", "--input-shape x=1,3,224,224")
    assert onnx_tensor_shapes(source, input_shapes={"x": (1, 2)}) == {"y": (1, 2)}


def test_an_unknown_input_that_no_live_node_reads_needs_no_shape():
    source = model([node("Relu", "x", "y"), node("Relu", "u", "v")])
    source.graph.input.append(helper.make_tensor_value_info("u", FLOAT, ("N", "M")))
    assert import_onnx(source).inputs == ("x",)


def test_a_fixed_batch_other_than_one():
    source = model([node("Conv", "x w", "y")], {"w": constant(6, 4, 3, 3)}, shape=(8, 4, 9, 7))
    refused(source, "batch 8", "mapped at batch 1", "--input-shape x=1,4,9,7")
    assert import_onnx(source, input_shapes={"x": IMAGE}).tensors["y"].onnx_shape == (1, 6, 7, 5)


def test_a_graph_that_is_tied_to_another_batch():
    source = model([node("Reshape", "x s", "y")], {"s": integers(8, -1)}, shape=(8, 4, 9, 7))
    refused(source, "batch 8")
    message = refused(source, "Reshape node 'n'", "does not come out even", input_shapes={"x": IMAGE})
    assert "(1, 4, 9, 7)" in message


def test_a_reshape_that_makes_a_batch():
    source = model(
        [node("Reshape", "x s", "r"), node("Conv", "r w", "y", "c")],
        {"s": integers(2, 2, 9, 7), "w": constant(6, 2, 3, 3)},
    )
    refused(source, "Conv node 'c' reads 'r'", "batch 1")


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"z": IMAGE}, ["'z'", "no input", "'x'"]),
        ({"w": (6, 4, 3, 3)}, ["'w'", "no input"]),
        ({"x": (1, 4, 9)}, ["rank 3", "the file 4"]),
        ({"x": (1, 4, 0, 7)}, ["positive"]),
        ({"x": (1, 4, -1, 7)}, ["positive"]),
        ({"x": "abcd"}, ["whole numbers"]),
        ({"x": 7}, ["whole numbers"]),
        ({"x": (2, 4, 9, 7)}, ["batch 2"]),
        ({"x": (1, 3, 9, 7)}, ["Conv node 'n'", "3 input channels", "expects 4"]),
        ({"x": (1, 4, 2, 2)}, ["does not fit"]),
    ],
)
def test_wrong_shapes_given_for_inputs(shapes, words):
    refused(good(), *words, input_shapes=shapes)


def test_zero_sized_and_overflowing_extents():
    refused(model([node("Relu", "x", "y")], shape=(1, 0, 4, 4)), "input 'x'", "zero-sized")
    refused(model([node("Relu", "x", "y")], shape=(1, HUGE, 4, 4)), "2^40", "input 'x'")
    refused(model([node("Relu", "x", "y")], shape=(1, 2**62, 2**62, 2**62)), "2^40")
    refused(model([node("Slice", "x s s", "y")], {"s": integers(0)}), "'y'", "zero-sized")
    refused(model([node("Pad", "x p", "y")], {"p": integers(0, 0, 0, 0, 0, 0, 0, 2**62)}), "'y'", "2^40")
    refused(model([node("Pad", "x p", "y")], {"p": integers(0, 0, 0, 0, 0, 0, 0, -9)}), "'y'", "negative")


def test_inputs_that_are_no_tensors():
    source = model([node("Relu", "x", "y")])
    source.graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(source.graph.input[0].type))
    refused(source, "input 'x' is not a tensor")


# Operators.


def test_an_operator_nobody_knows():
    refused(model([node("Frobnicate", "x", "y", "odd")]), "Frobnicate", "'odd'", kind=UnsupportedOperatorError)
    refused(model([helper.make_node("Frobnicate", ["x"], ["y"])]), "writing 'y'", kind=UnsupportedOperatorError)


def test_an_operator_whose_name_is_damaged():
    refused(model([node("Re\nlu", "x", "y")]), "'Re\\nlu'", "damaged")


def test_a_dead_operator_nobody_knows_does_not_matter():
    assert len(import_onnx(model([node("Relu", "x", "y"), node("Frobnicate", "x", "z")])).layers) == 1


def test_a_foreign_operator_domain():
    refused(model([node("Relu", "x", "y", domain="com.acme")]), "'com.acme'", kind=UnsupportedOperatorError)


@pytest.mark.parametrize(
    "op_type", ["QLinearConv", "DequantizeLinear", "QuantizeLinear", "ConvInteger", "MatMulInteger"]
)
def test_quantised_operators(op_type):
    source = model([node(op_type, "x s", "y")], {"s": constant(1)})
    refused(source, op_type, "quantised", "float model", kind=UnsupportedOperatorError)


def test_control_flow():
    body = helper.make_graph([node("Relu", "x", "z")], "body", [], [onnx.ValueInfoProto(name="z")])
    source = model([node("If", "k", "y", then_branch=body, else_branch=body)], {"k": np.array(True)})
    refused(source, "If node 'n'", "subgraph", kind=UnsupportedOperatorError)


def test_local_functions():
    source = good()
    source.functions.append(helper.make_function("own", "f", ["x"], ["y"], [node("Relu", "x", "y")], []))
    refused(source, "local functions", "'f'", "inline", kind=UnsupportedOperatorError)


def test_training_mode():
    four = {key: constant(4) for key in "abcd"}
    refused(
        model([node("BatchNormalization", "x a b c d", "y", training_mode=1)], four),
        "training",
        kind=UnsupportedOperatorError,
    )
    source = model([node("Dropout", "x r t", "y")], {"r": np.array(0.5, np.float32), "t": np.array(True)})
    refused(source, "training", kind=UnsupportedOperatorError)


def test_missing_inputs_and_attributes():
    refused(model([node("Conv", "x", "y")]), "Conv node 'n' lacks input 1")
    refused(model([helper.make_node("Relu", [""], ["y"], name="n")]), "lacks input 0")
    refused(model([helper.make_node("Add", [], ["y"], name="n")]), "Add node 'n'")
    refused(model([node("MaxPool", "x", "y")]), "MaxPool node 'n'", "lacks", "kernel_shape")
    refused(model([node("Concat", "x x", "y")]), "Concat node 'n'", "lacks", "'axis'")
    refused(model([node("Cast", "x", "y")]), "lacks", "'to'")
    refused(model([node("Reshape", "x", "y")]), "lacks its new shape")
    refused(
        model([helper.make_node("Constant", [], ["k"], name="n"), node("Add", "x k", "y")]),
        "Constant node 'n'",
        "no value",
    )
    refused(model([helper.make_node("Resize", ["x"], ["y"], name="n")]), "lacks both scales and sizes")


def test_attributes_of_the_wrong_type():
    weight = {"w": constant(6, 4, 3, 3)}
    refused(model([node("Conv", "x w", "y", strides="two")], weight), "'strides' of Conv node 'n'", "list of integers")
    refused(model([node("Conv", "x w", "y", group=1.0)], weight), "'group' of Conv node 'n'", "an integer")
    refused(model([node("Conv", "x w", "y", auto_pad=1)], weight), "'auto_pad'", "a string")
    refused(model([node("LeakyRelu", "x", "y", alpha=1)]), "'alpha'", "a float")
    refused(
        model([node("ConstantOfShape", "s", "k", value=1), node("Add", "x k", "y")], {"s": integers(1)}),
        "'value'",
        "a tensor",
    )


def test_attributes_that_refer_elsewhere_or_occur_twice():
    twice, elsewhere = model([node("LeakyRelu", "x", "y", alpha=0.5)]), model([node("LeakyRelu", "x", "y")])
    twice.graph.node[0].attribute.append(twice.graph.node[0].attribute[0])
    refused(twice, "'alpha'", "twice")
    elsewhere.graph.node[0].attribute.append(
        AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="beta")
    )
    refused(elsewhere, "'alpha'", "refers elsewhere")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"strides": [0, 1]}, ["positive"]),
        ({"strides": [-1, 1]}, ["positive"]),
        ({"dilations": [1, 0]}, ["positive"]),
        ({"pads": [0, 0, -1, 0]}, ["negative pads", "Slice"]),
        ({"pads": [1, 1]}, ["2 pads", "needs 4"]),
        ({"strides": [1, 1, 1]}, ["3 strides", "needs 2"]),
        ({"kernel_shape": [5, 3]}, ["kernel_shape (5, 3)", "(3, 3)"]),
        ({"auto_pad": "SAME"}, ["auto_pad 'SAME'", "SAME_UPPER"]),
        ({"group": 0}, ["group 0"]),
        ({"group": 3}, ["4 input channels into 3 groups"]),
        ({"group": 2}, ["4 input channels", "expects 8"]),
        ({"dilations": [9, 9]}, ["does not fit"]),
    ],
)
def test_convolutions_that_do_not_fit(attributes, words):
    refused(model([node("Conv", "x w", "y", **attributes)], {"w": constant(6, 4, 3, 3)}), "Conv node 'n'", *words)


@pytest.mark.parametrize(
    ("nodes", "constants", "words"),
    [
        ([node("Conv", "x w", "y")], {"w": constant(6, 3, 3, 3)}, ["4 input channels", "expects 3"]),
        ([node("Conv", "x w", "y")], {"w": constant(6, 4, 3)}, ["weight of shape (6, 4, 3)", "needs 4"]),
        ([node("Conv", "x w", "y")], {"w": constant(0, 4, 3, 3)}, ["zero-sized"]),
        (
            [node("Conv", "x w b", "y")],
            {"w": constant(6, 4, 3, 3), "b": constant(5)},
            ["bias of shape (5,)", "6 output"],
        ),
        ([node("Conv", "x w", "y", group=2)], {"w": constant(5, 2, 3, 3)}, ["5 output channels into 2 groups"]),
        ([node("ConvTranspose", "x w", "y")], {"w": constant(5, 2, 3, 3)}, ["4 input channels", "expects 5"]),
        ([node("ConvTranspose", "x w", "y", pads=[9, 9, 9, 9])], {"w": constant(4, 2, 3, 3)}, ["pads are too large"]),
        (
            [node("ConvTranspose", "x w", "y", output_shape=[99, 99])],
            {"w": constant(4, 2, 3, 3)},
            ["(99, 99)", "output_padding"],
        ),
        (
            [node("ConvTranspose", "x w", "y", strides=[4, 4], auto_pad="SAME_UPPER")],
            {"w": constant(4, 2, 3, 3)},
            ["windows cover"],
        ),
        ([node("ReduceMean", "x", "y", keepdims=2)], {}, ["'keepdims'", "must be 0 or 1, not 2"]),
        ([node("BatchNormalization", "x w w w w", "y")], {"w": constant(5)}, ["scale of shape (5,)", "4 channels"]),
        (
            [node("Flatten", "x", "f"), node("Gemm", "f w", "y")],
            {"w": constant(251, 9)},
            ["252 input features", "(251, 9)"],
        ),
        ([node("Gemm", "x w", "y")], {"w": constant(252, 9)}, ["both must be matrices"]),
        (
            [node("Flatten", "x", "f"), node("Gemm", "f w b", "y")],
            {"w": constant(252, 9), "b": constant(8)},
            ["bias of shape (8,)"],
        ),
        ([node("MatMul", "x w", "y")], {"w": constant(6, 9)}, ["7 input features"]),
        ([node("Add", "x w", "y")], {"w": constant(5, 1, 1)}, ["(1, 4, 9, 7) and (5, 1, 1)", "do not broadcast"]),
        ([node("PRelu", "x w", "y")], {"w": constant(5, 1, 1)}, ["slope of shape (5, 1, 1)"]),
        ([node("Concat", "x w", "y", axis=1)], {"w": constant(1, 4, 9, 6)}, ["along axis 1"]),
        ([node("Concat", "x x", "y", axis=4)], {}, ["axis 4", "4 axes"]),
        ([node("MaxPool", "x", "y", kernel_shape=[2, 2], pads=[2, 0, 0, 0])], {}, ["pads must be smaller"]),
        (
            [node("MaxPool", "x", "y", kernel_shape=[1, 1], strides=[5, 3], auto_pad="SAME_UPPER")],
            {},
            ["leaves out", "pads"],
        ),
        ([node("MaxPool", "x", "y", kernel_shape=[10, 2])], {}, ["does not fit"]),
        (
            [node("Flatten", "x", "f"), node("MaxPool", "f", "y", kernel_shape=[2, 2])],
            {},
            ["(batch, channels, height, width)"],
        ),
        ([node("Relu", "x", "y z")], {}, ["writes 2 tensors", "1 output"]),
        ([node("Transpose", "x", "y", perm=[0, 1, 2, 2])], {}, ["each must occur once"]),
        ([node("Squeeze", "x w", "y")], {"w": integers(1)}, ["not all 1"]),
        ([node("Unsqueeze", "x w", "y")], {"w": integers(1, 1)}, ["axis twice"]),
        ([node("Reshape", "x w", "y")], {"w": integers(-1, -1)}, ["at most one"]),
        ([node("Reshape", "x w", "y")], {"w": integers(5, -1)}, ["does not come out even"]),
        ([node("Reshape", "x w", "y")], {"w": integers(4, 9)}, ["another number of elements"]),
        ([node("Reshape", "x w", "y")], {"w": constant(4)}, ["must be integers"]),
        ([node("Split", "x w", "y z", axis=1)], {"w": integers(2, 3)}, ["splits 4 elements"]),
        ([node("Expand", "x w", "y")], {"w": integers(5, 7)}, ["do not broadcast"]),
        ([node("Tile", "x w", "y")], {"w": integers(5, 7)}, ["one count per axis"]),
        ([node("Clip", "x w", "y")], {"w": constant(2)}, ["min of 2 elements"]),
        ([node("Upsample", "x w", "y")], {"w": constant(3)}, ["3 scales", "4 axes"]),
        ([node("Upsample", "x w", "y")], {"w": np.full(4, np.nan, np.float32)}, ["must be positive"]),
        ([node("TopK", "x w", "y z", axis=1)], {"w": integers(9)}, ["top 9 of 4"]),
        ([node("DepthToSpace", "x", "y", blocksize=3)], {}, ["blocks of 3x3"]),
        (
            [node("Div", "k z", "s"), node("Reshape", "x s", "y")],
            {"k": integers(4), "z": integers(0)},
            ["division by zero"],
        ),
        (
            [node("Gather", "k z", "s"), node("Reshape", "x s", "y")],
            {"k": integers(4), "z": integers(7)},
            ["out of bounds"],
        ),
    ],
)
def test_shapes_that_do_not_go_together(nodes, constants, words):
    refused(model(nodes, constants, opset=9 if nodes[-1].op_type == "Upsample" else 17), *words)


def test_a_shape_that_depends_on_the_data():
    source = model(
        [node("ReduceMax", "x", "m", keepdims=0), node("Cast", "m", "i", to=7), node("Reshape", "x i", "y", "r")]
    )
    refused(source, "Reshape node 'r'", "'i'", "depends on the network's input", "static shapes")


def test_weights_that_are_not_floats():
    weight = np.ones((6, 4, 3, 3), np.int64)
    refused(model([node("Conv", "x w", "y")], {"w": weight}), "INT64", "weight 'w'", "only float models")
    refused(
        model([node("Conv", "x w", "y")], {"w": constant(6, 4, 3, 3)}, elem_type=TensorProto.UINT8),
        "UINT8",
        "input 'x'",
    )


# Constants and their storage.


def test_constants_whose_length_is_wrong():
    short, long, typed = good(), good(), good()
    short.graph.initializer[0].raw_data = b"\0" * 7
    long.graph.initializer[0].raw_data += b"\0" * 4
    typed.graph.initializer[0].ClearField("raw_data")
    typed.graph.initializer[0].float_data.append(1.0)
    refused(short, "tensor 'w'", "7 bytes instead of 864", "damaged")
    refused(long, "868 bytes instead of 864")
    refused(typed, "1 elements instead of 216")


def test_constants_of_other_types():
    for elem_type in (TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.FLOAT8E4M3FN, TensorProto.INT4, 0, 999):
        source = good()
        source.graph.initializer[0].data_type = elem_type
        refused(source, "tensor 'w'", "elements, which are not supported")


def test_constants_stored_sparsely_or_in_segments():
    sparse, segment = good(), good()
    values = numpy_helper.from_array(constant(1), "s")
    sparse.graph.sparse_initializer.append(helper.make_sparse_tensor(values, numpy_helper.from_array(integers(0)), [4]))
    refused(sparse, "sparse")
    segment.graph.initializer[0].segment.begin = 1
    refused(segment, "segments")


def test_negative_and_overflowing_constants():
    negative, large = good(), good()
    negative.graph.initializer[0].dims[0] = -6
    refused(negative, "must not be negative")
    large.graph.initializer[0].dims[:] = [2**31, 2**31, 2**31]
    refused(large, "2^40")
    hidden = good()
    hidden.graph.initializer[0].dims[:] = [0, 2**62]
    hidden.graph.initializer[0].raw_data = b""
    refused(hidden, "2^40")


def external(folder, data=b"\0" * 864, **entries):
    """The good model with its weight in another file."""
    source = good()
    tensor = source.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", **entries}.items():
        tensor.external_data.add(key=key, value=value)
    if data is not None:
        (folder / "w.bin").write_bytes(data)
    path = folder / "model.onnx"
    path.write_bytes(source.SerializeToString())
    return path, source


def test_external_data_is_read_when_asked_for(tmp_path):
    values = np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype(np.float32)
    path, _ = external(tmp_path, b"\0" * 8 + values.tobytes() + b"more", offset="8", length="864")
    np.testing.assert_array_equal(import_onnx(path).parameters["w"].load(), values)


def test_external_data_that_is_missing_short_or_unclear(tmp_path):
    refused(external(tmp_path, None)[0], "tensor 'w'", "'w.bin'", "missing", "beside the model")
    refused(external(tmp_path, b"\0" * 100)[0], "'w.bin'", "ends at 100", "truncated")
    refused(external(tmp_path, offset="1")[0], "truncated")
    refused(external(tmp_path, offset="-8")[0], "offset '-8'", "whole number")
    refused(external(tmp_path, offset="many")[0], "offset 'many'")
    refused(external(tmp_path, length="9")[0], "9 bytes", "instead of 864")
    refused(external(tmp_path)[1], "tensor 'w'", "another file", "as a path")
    refused(external(tmp_path)[1].SerializeToString(), "as a path")
    (tmp_path / "folder").mkdir()
    refused(external(tmp_path, location="folder")[0], "not a file")


def test_external_data_that_vanishes_before_it_is_loaded(tmp_path):
    network = import_onnx(external(tmp_path)[0])
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ModelError, match=r"w\.bin.*cannot be read"):
        network.parameters["w"].load()


def test_external_data_outside_the_folder(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "w.bin").write_bytes(b"\0" * 864)
    for location in ("../w.bin", str(tmp_path / "w.bin"), "", "a/../../w.bin", "w\0.bin"):
        refused(external(inner, location=location)[0], "outside the model's folder")
    (inner / "link.bin").symlink_to(tmp_path / "w.bin")
    refused(external(inner, location="link.bin")[0], "outside the model's folder")
    (inner / "loop.bin").symlink_to("loop.bin")
    refused(external(inner, location="loop.bin")[0], "loop.bin")


# Hostile sizes: refused, or described without being made.


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("ConstantOfShape", "s", "k"), node("Add", "x k", "y")], {"s": integers(10**6, 10**6, 10)}),
        (
            [node("ConstantOfShape", "s", "k"), node("Neg", "k", "m"), node("Add", "x m", "y")],
            {"s": integers(10**6, 10**5)},
        ),
        ([node("Expand", "x s", "y")], {"s": integers(10**6, 10**6, 1, 1)}),
        ([node("Tile", "x s", "y")], {"s": integers(1, 10**9, 10**9, 1)}),
        ([node("Tile", "k s", "t"), node("Reshape", "x t", "y")], {"k": integers(1), "s": integers(10**12)}),
        (
            [node("Range", "a b c", "k"), node("Reshape", "x k", "y")],
            {"a": np.array(0), "b": np.array(10**12), "c": np.array(1)},
        ),
        (
            [node("Range", "a b c", "k"), node("Reshape", "x k", "y")],
            {"a": np.array(0.0), "b": np.array(np.inf), "c": np.array(1.0)},
        ),
        (
            [node("OneHot", "i d v", "k"), node("Add", "x k", "y")],
            {"i": integers(1), "d": integers(10**13), "v": constant(2)},
        ),
        (
            [node("ConstantOfShape", "s", "k"), node("ReduceSum", "k", "m", keepdims=0), node("Clip", "x m", "y")],
            {"s": integers(2**20, 2**20)},
        ),
        (
            [node("ConstantOfShape", "s", "k"), node("Gather", "k i", "m"), node("Clip", "x m", "y")],
            {"s": integers(2**28), "i": np.array(3)},
        ),
        (
            [node("Range", "a b c", "k"), node("Reshape", "x k", "y")],
            {"a": np.array(0.0), "b": np.array(1e308), "c": np.array(1e-308)},
        ),
        ([node("Pad", "k p", "s"), node("Reshape", "x s", "y")], {"k": integers(1), "p": integers(10**12, 0)}),
    ],
)
def test_hostile_sizes_are_refused_at_once(nodes, constants):
    start = time.perf_counter()
    refused(model(nodes, constants))
    assert time.perf_counter() - start < 0.5


def test_a_setting_of_many_empty_rows_is_not_listed():
    source = model(
        [node("Resize", "x e s", "y")], {"s": np.array([1, 1, 2, 2], np.float32), "e": np.zeros((2**31, 0), np.float32)}
    )
    (layer,) = import_onnx(source).layers
    assert layer.operation.attributes["input[1]"] == "constant of shape (2147483648, 0)"


def test_an_endless_expression_over_weights_is_refused():
    nodes = [node("ConstantOfShape", "s", "k0")]
    nodes += [node("Add", f"k{index} k{index}", f"k{index + 1}") for index in range(60)]
    nodes += [node("Conv", "x k60", "y")]
    refused(model(nodes, {"s": integers(100, 4, 5, 5)}), "steps over large tensors", "fold the constants")


def test_a_constant_of_a_billion_elements_is_described_without_being_made():
    shape = integers(500_000, 4, 9, 7)
    source = model([node("ConstantOfShape", "s", "w"), node("Conv", "x w", "y")], {"s": shape})
    start = time.perf_counter()
    network = import_onnx(source)
    assert network.parameter_count == 126_000_000
    assert network.parameters["w"].load().strides == (0, 0, 0, 0)
    assert time.perf_counter() - start < 0.5


def test_ten_thousand_layers_do_not_exhaust_the_stack():
    nodes = [node("Relu", "x" if index == 0 else f"t{index}", f"t{index + 1}", "") for index in range(10_000)]
    nodes.append(node("Relu", "t10000", "y"))
    assert len(import_onnx(model(nodes)).layers) == 10_001
