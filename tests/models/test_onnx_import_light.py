"""The nine networks of the onnx package, as shipped: shapes judged by ONNX Runtime, counts by published figures."""

from __future__ import annotations

import math
import time
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from dynamap_models.ir import Conv, HostOperator
from dynamap_models.onnx_export import export_onnx
from dynamap_models.onnx_import import import_onnx, onnx_tensor_shapes

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = [
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
]


def light(name):
    return FOLDER / f"light_{name}.onnx"


def run(model, feeds, outputs):
    """The values ONNX Runtime computes for ``outputs``, without rewriting the graph."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(list(outputs), feeds)


def inputs_of(model):
    stored = {tensor.name for tensor in model.graph.initializer}
    rng = np.random.default_rng(7)
    return {
        entry.name: rng.uniform(-1, 1, [d.dim_value for d in entry.type.tensor_type.shape.dim]).astype(np.float32)
        for entry in model.graph.input
        if entry.name not in stored
    }


def runtime_shapes(path):
    """What ONNX Runtime says of every tensor any node writes, when it runs the whole network."""
    model = onnx.load(path)
    names = [name for node in model.graph.node for name in node.output if name]
    outputs = {entry.name for entry in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    values = run(model, inputs_of(model), names)
    return {name: value.shape for name, value in zip(names, values, strict=True)}, model


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_has_the_shape_onnx_runtime_gives_it(name):
    expected, _ = runtime_shapes(light(name))
    found = onnx_tensor_shapes(light(name))
    assert list(found) == list(expected)
    assert found == expected
    network = import_onnx(light(name))
    named = {tensor.name: tensor.onnx_shape for tensor in network.tensors.values() if tensor.name in expected}
    assert named == {key: expected[key] for key in named}
    assert {layer.output for layer in network.layers} <= set(expected)


@pytest.mark.parametrize("name", NAMES)
def test_macs_are_weights_times_pixels_of_the_file(name):
    model = onnx.load(light(name))
    shapes = onnx_tensor_shapes(light(name))
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    expected = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            expected += math.prod(shapes[node.input[1]]) * math.prod(shapes[node.output[0]][2:])
        elif node.op_type == "Gemm":
            expected += math.prod(shapes[node.input[1]])
    assert import_onnx(light(name)).macs == expected


@pytest.mark.parametrize(
    ("name", "billion_macs", "convolutions"),
    [
        # "_ops" of the weights' metadata in torchvision, whose networks are the same in these three.
        ("vgg19", 19.632, 16),
        ("resnet50", 4.089, 53),
        ("densenet121", 2.834, 121),
    ],
)
def test_networks_work_as_much_as_published(name, billion_macs, convolutions):
    network = import_onnx(light(name))
    assert len(list(network.convolutions())) == convolutions
    assert round(network.macs / 1e9, 3) == billion_macs


def test_the_convolutions_of_googlenet_take_1_4305_billion_macs():
    network = import_onnx(light("inception_v1"))
    layers = list(network.convolutions())
    assert len(layers) == 57
    assert round(sum(map(network.layer_macs, layers)) / 1e9, 4) == 1.4305
    assert network.macs - sum(map(network.layer_macs, layers)) == 1024 * 1000


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # "num_params" of the weights' metadata in torchvision; of ResNet-50's, the 53,120 of batch normalisation become
        # 26,560 biases.
        ("vgg19", 143_667_240),
        ("squeezenet", 1_235_496),
        ("resnet50", 25_557_032 - 26_560),
    ],
)
def test_parameters_are_as_many_as_published(name, parameters):
    assert import_onnx(light(name)).parameter_count == parameters


@pytest.mark.parametrize("name", NAMES)
def test_normalisation_activation_and_plumbing_are_gone(name):
    network = import_onnx(light(name))
    kinds = {type(layer.operation).__name__ for layer in network.layers}
    assert "Reshape" not in kinds
    host = {layer.operation.op_type for layer in network.layers if isinstance(layer.operation, HostOperator)}
    assert host <= {"LRN", "Softmax"}
    if name in {"inception_v2", "resnet50"}:
        assert "Affine" not in kinds
        assert "Activation" not in kinds


def test_densenet_keeps_only_the_normalisations_no_convolution_can_take():
    network = import_onnx(light("densenet121"))
    kinds = [type(layer.operation).__name__ for layer in network.layers]
    # 121 normalisations; the first one and the second one of each of the 58 layers follow a convolution.
    assert kinds.count("Affine") == 121 - 1 - 58
    assert kinds.count("Activation") == 0


def test_shufflenet_shuffles_in_four_groups():
    network = import_onnx(light("shufflenet"))
    shuffles = [layer for layer in network.layers if type(layer.operation).__name__ == "ChannelShuffle"]
    assert len(shuffles) == 16
    assert {layer.operation.groups for layer in shuffles} == {4}
    assert any(isinstance(layer.operation, Conv) and layer.operation.is_depthwise for layer in network.layers)


def test_reading_vgg_neither_takes_long_nor_makes_its_weights():
    import_onnx(light("vgg19"))
    tracemalloc.start()
    start = time.perf_counter()
    network = import_onnx(light("vgg19"))
    for parameter in network.parameters.values():
        if parameter.size > 2**20:
            # Weights that are one value spread over a shape stay so when loaded.
            assert parameter.load().shape == parameter.shape
    seconds = time.perf_counter() - start
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(parameter.size for parameter in network.parameters.values()) > 100e6
    assert peak_bytes < 8e6
    assert seconds < 1


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "densenet121", "inception_v2"])
def test_with_random_weights_the_imported_network_computes_what_the_file_computes(name):
    model = onnx.load(light(name))
    randomise(model, np.random.default_rng(1))
    feeds = inputs_of(model)
    outputs = [entry.name for entry in model.graph.output]
    network = import_onnx(model)
    exported = export_onnx(network)
    assert list(network.inputs) == list(feeds)
    assert list(network.outputs) == outputs
    for expected, found in zip(run(model, feeds, outputs), run(exported, feeds, outputs), strict=True):
        assert np.ptp(expected) > 1e-3 * np.max(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4 * np.max(np.abs(expected)))


def randomise(model, rng):
    """Replace the constant weights by random ones of a size that keeps activations near one, and redraw the rest."""
    graph = model.graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(stored[node.input[0]])
        fan_in = math.prod(shape[1:]) or 1
        stored[node.output[0]] = (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(np.float32)
    for node in kept:
        if node.op_type == "BatchNormalization":
            channels = stored[node.input[1]].shape
            for index, values in enumerate(
                (rng.uniform(0.5, 1.5, channels), rng.normal(0, 0.2, channels), rng.normal(0, 0.2, channels)), start=1
            ):
                stored[node.input[index]] = values.astype(np.float32)
            stored[node.input[4]] = rng.uniform(0.5, 2, channels).astype(np.float32)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
    # The file lists its initializers as inputs; the new ones need not be listed.
    listed = [entry for entry in graph.input if entry.name not in stored]
    del graph.input[:]
    graph.input.extend(listed)
    model.ir_version = 8
