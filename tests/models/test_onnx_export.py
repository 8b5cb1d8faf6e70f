"""Exported networks against ONNX's checker, ONNX Runtime and plain numpy."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from dynamap_models.errors import ModelError
from dynamap_models.ir import (
    Activation,
    ActivationKind,
    Affine,
    ChannelShuffle,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    ElementwiseKind,
    FullyConnected,
    GlobalPool,
    HostOperator,
    Layer,
    Network,
    Parameter,
    Pool,
    PoolKind,
    Reshape,
    Tensor,
)
from dynamap_models.onnx_export import ONNX_OPSET, export_onnx, write_onnx

INFINITY = float("inf")


def tensor(name, *shape):
    """A tensor by its ONNX shape."""
    _, channels, height, width = (*shape, 1, 1)[:4]
    return Tensor(name, height, width, channels, shape)


def constant(values):
    array = np.asarray(values, dtype=np.float32)
    return Parameter(array.shape, lambda: array)


def one_layer(operation, inputs, output, parameters=None, *, name="layer"):
    """A network of one layer; ``inputs`` and ``output`` are ONNX shapes."""
    sources = [tensor(f"x{index}", *shape) for index, shape in enumerate(inputs)]
    tensors = {item.name: item for item in (*sources, tensor("y", *output))}
    names = tuple(item.name for item in sources)
    return Network(
        name="test",
        inputs=names,
        outputs=("y",),
        layers=(Layer(name, operation, names, "y"),),
        tensors=tensors,
        parameters={key: constant(value) for key, value in (parameters or {}).items()},
    )


def run(network, *feeds):
    """The outputs that ONNX Runtime computes, unoptimised, after a full check of the model."""
    model = export_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = session.run(
        None, {name: feed.astype(np.float32) for name, feed in zip(network.inputs, feeds, strict=True)}
    )
    for name, output in zip(network.outputs, outputs, strict=True):
        assert output.shape == network.tensors[name].onnx_shape
    return outputs


def random(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def padded(x, pads, fill=0.0):
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)


def convolve(x, weight, *, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """The definition of a convolution, one output pixel at a time."""
    x = padded(x.astype(np.float64), pads)
    out_channels, in_group, kernel_h, kernel_w = weight.shape
    height = (x.shape[2] - (kernel_h - 1) * dilation[0] - 1) // stride[0] + 1
    width = (x.shape[3] - (kernel_w - 1) * dilation[1] - 1) // stride[1] + 1
    y = np.zeros((1, out_channels, height, width))
    for channel, row, column in np.ndindex(out_channels, height, width):
        group = channel // (out_channels // groups)
        rows = row * stride[0] + np.arange(kernel_h) * dilation[0]
        columns = column * stride[1] + np.arange(kernel_w) * dilation[1]
        window = x[0, group * in_group : (group + 1) * in_group][:, rows][:, :, columns]
        y[0, channel, row, column] = np.sum(window * weight[channel])
    return y


CONVOLUTIONS = {
    "3x3 on a non-square image": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
    "1x7 along the rows": {"kernel": (1, 7), "pads": (0, 3, 0, 3)},
    "7x1 along the columns": {"kernel": (7, 1), "pads": (3, 0, 3, 0)},
    "four different pads": {"kernel": (3, 3), "pads": (0, 1, 2, 3)},
    "two different strides": {"kernel": (3, 2), "stride": (3, 2)},
    "two different dilations": {"kernel": (3, 3), "dilation": (2, 1), "pads": (2, 0, 0, 1)},
    "two groups": {"kernel": (3, 3), "groups": 2},
    "depthwise": {"kernel": (5, 3), "groups": 4, "pads": (2, 1, 2, 1)},
    "1x1": {"kernel": (1, 1)},
}


@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_a_convolution_computes_what_its_definition_says(case):
    defaults = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
    settings = defaults | {key: value for key, value in case.items() if key != "kernel"}
    x, weight, bias = (
        random(1, 4, 9, 13),
        random(8, 4 // settings["groups"], *case["kernel"], seed=2),
        random(8, seed=3),
    )
    expected = convolve(x, weight, **settings) + bias.reshape(1, -1, 1, 1)
    operation = Conv(4, 8, case["kernel"], weight="w", bias="b", **settings)
    network = one_layer(operation, [x.shape], expected.shape, {"w": weight, "b": bias})
    np.testing.assert_allclose(run(network, x)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_convolution_without_bias_and_with_relu_clips_at_zero():
    x, weight = random(1, 2, 4, 5), random(3, 2, 1, 1, seed=2)
    operation = Conv(2, 3, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, "w", None, Activation(ActivationKind.RELU))
    expected = np.maximum(np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], x), 0)
    network = one_layer(operation, [x.shape], expected.shape, {"w": weight})
    np.testing.assert_allclose(run(network, x)[0], expected, rtol=1e-4, atol=1e-5)
    assert [node.op_type for node in export_onnx(network).graph.node] == ["Conv", "Relu"]


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 0, 1), (0, 0, -1, 0)])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_scatters_its_kernel(pads, groups):
    x, weight, bias = random(1, 4, 3, 5), random(4, 6 // groups, 3, 2, seed=2), random(6, seed=3)
    full = np.zeros((1, 6, 2 * 2 + 3 + 1, 4 * 3 + 2 + 1))
    for channel, row, column in np.ndindex(4, 3, 5):
        group = channel // (4 // groups)
        outputs = slice(group * 6 // groups, (group + 1) * 6 // groups)
        full[0, outputs, 2 * row : 2 * row + 3, 3 * column : 3 * column + 2] += (
            x[0, channel, row, column] * weight[channel]
        )
    top, left, bottom, right = pads
    expected = full[:, :, top : 7 - bottom, left : 14 - right] + bias.reshape(1, -1, 1, 1)
    operation = ConvTranspose(4, 6, (3, 2), (2, 3), pads, groups, "w", "b")
    network = one_layer(operation, [x.shape], expected.shape, {"w": weight, "b": bias})
    np.testing.assert_allclose(run(network, x)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 12), (1, 2, 2, 3), (1, 12, 1, 1)])
def test_a_fully_connected_layer_reads_its_input_in_row_major_order(shape):
    x, weight, bias = random(*shape), random(5, 12, seed=2), random(5, seed=3)
    network = one_layer(FullyConnected(12, 5, "w", "b"), [shape], (1, 5), {"w": weight, "b": bias})
    np.testing.assert_allclose(run(network, x)[0], weight @ x.ravel() + bias[None], rtol=1e-4, atol=1e-5)


def test_a_fully_connected_layer_may_write_an_image_of_one_pixel():
    x, weight = random(1, 12), random(5, 12, seed=2)
    network = one_layer(FullyConnected(12, 5, "w"), [x.shape], (1, 5, 1, 1), {"w": weight})
    np.testing.assert_allclose(run(network, x)[0].ravel(), weight @ x.ravel(), rtol=1e-4, atol=1e-5)


def pooled(x, pool, size):
    """A pool by its definition: of what the windows cover, the image counts, its pads only where asked."""
    top, left, bottom, right = pool.pads
    own = (top, left, bottom - pool.ceil_extra[0], right - pool.ceil_extra[1])
    counts = padded(padded(np.ones_like(x), own, float(pool.count_pads)), (0, 0, *pool.ceil_extra))
    maximum = pool.kind is PoolKind.MAX
    values = padded(x, pool.pads, -INFINITY if maximum else 0.0)
    y = np.zeros((1, x.shape[1], *size))
    for row, column in np.ndindex(*size):
        window = np.s_[
            0,
            :,
            row * pool.stride[0] : row * pool.stride[0] + pool.kernel[0],
            column * pool.stride[1] : column * pool.stride[1] + pool.kernel[1],
        ]
        inside = values[window]
        y[0, :, row, column] = (
            inside.max(axis=(1, 2)) if maximum else inside.sum(axis=(1, 2)) / counts[window].sum(axis=(1, 2))
        )
    return y


POOLS = {
    # image, kernel, stride, pads (what the ceiling adds included), ceil_extra, output
    "plain": ((6, 8), (2, 2), (2, 2), (0, 0, 0, 0), (0, 0), (3, 4)),
    "rows and columns differ": ((7, 9), (3, 2), (2, 3), (1, 0, 1, 1), (0, 0), (4, 3)),
    "leading pads only": ((7, 9), (2, 2), (2, 2), (1, 1, 0, 0), (0, 0), (4, 5)),
    "ceiling adds both ways": ((6, 8), (3, 3), (2, 2), (0, 0, 1, 1), (1, 1), (3, 4)),
    "ceiling beyond pads": ((6, 8), (3, 3), (2, 2), (1, 1, 2, 2), (1, 1), (4, 5)),
    "ceiling adds rows only": ((6, 9), (3, 3), (2, 2), (0, 0, 1, 0), (1, 0), (3, 4)),
    # Along the width the ceiling's last window would begin in the padding, so that there is none.
    "ceiling drops a column": ((6, 5), (3, 2), (2, 3), (1, 0, 2, 1), (1, 0), (4, 2)),
}


@pytest.mark.parametrize("kind", ["max", "average", "average that counts pads"])
@pytest.mark.parametrize("case", POOLS.values(), ids=POOLS.keys())
def test_a_pool_counts_pads_only_when_asked_and_never_what_the_ceiling_added(case, kind):
    image, kernel, stride, pads, extra, size = case
    pool = Pool(PoolKind(kind.split()[0]), kernel, stride, pads, kind.endswith("pads"), extra)
    x = random(1, 3, *image)
    network = one_layer(pool, [x.shape], (1, 3, *size))
    np.testing.assert_allclose(run(network, x)[0], pooled(x, pool, size), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "reduce"), [(PoolKind.MAX, np.max), (PoolKind.AVERAGE, np.mean)])
@pytest.mark.parametrize("output", [(1, 3, 1, 1), (1, 3)])
def test_a_global_pool_reduces_each_channel(kind, reduce, output):
    x = random(1, 3, 5, 7)
    found = run(one_layer(GlobalPool(kind), [x.shape], output), x)[0]
    np.testing.assert_allclose(found.ravel(), reduce(x, axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "combine"), [(ElementwiseKind.ADD, sum), (ElementwiseKind.MULTIPLY, math.prod)], ids=["add", "multiply"]
)
@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 3, 4, 5)] * 2,
        [(1, 3, 4, 5)] * 4,
        [(1, 3)] * 2,
        [(1, 3, 4, 5), (1, 3, 1, 1)],
        [(1, 3), (1, 3, 4, 5)],
        [(1, 3, 1, 1), (1, 3, 4, 5), (1, 3, 4, 5)],
    ],
    ids=str,
)
def test_elementwise_layers_spread_an_input_of_one_pixel(kind, combine, shapes):
    feeds = [random(*shape, seed=index) for index, shape in enumerate(shapes)]
    output = max(shapes, key=math.prod)
    expected = combine([feed if len(output) == 2 else feed.reshape((*feed.shape, 1, 1)[:4]) for feed in feeds])
    network = one_layer(Elementwise(kind), shapes, output)
    np.testing.assert_allclose(run(network, *feeds)[0], expected, rtol=1e-4, atol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = [
    (Activation(ActivationKind.RELU), lambda x: np.maximum(x, 0)),
    (Activation(ActivationKind.CLIP, low=-0.5, high=1.5), lambda x: np.clip(x, -0.5, 1.5)),
    (Activation(ActivationKind.CLIP, low=-0.5), lambda x: np.maximum(x, -0.5)),
    (Activation(ActivationKind.CLIP, high=0.5), lambda x: np.minimum(x, 0.5)),
    (Activation(ActivationKind.CLIP), lambda x: x),
    (Activation(ActivationKind.SIGMOID), sigmoid),
    (Activation(ActivationKind.SWISH), lambda x: x * sigmoid(x)),
    (Activation(ActivationKind.HARD_SIGMOID, alpha=0.25, beta=0.4), lambda x: np.clip(0.25 * x + 0.4, 0, 1)),
    (Activation(ActivationKind.HARD_SWISH), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (Activation(ActivationKind.TANH), np.tanh),
    (Activation(ActivationKind.LEAKY_RELU, alpha=0.1), lambda x: np.where(x < 0, 0.1 * x, x)),
    (Activation(ActivationKind.ELU, alpha=0.7), lambda x: np.where(x < 0, 0.7 * np.expm1(x), x)),
    (Activation(ActivationKind.GELU), lambda x: x * np.vectorize(lambda t: 0.5 + 0.5 * math.erf(t / math.sqrt(2)))(x)),
]


def test_every_activation_is_tested():
    assert {activation.kind for activation, _ in ACTIVATIONS} == set(ActivationKind)


@pytest.mark.parametrize(("activation", "function"), ACTIVATIONS, ids=lambda value: getattr(value, "kind", ""))
@pytest.mark.parametrize("fused", [False, True], ids=["alone", "fused"])
def test_an_activation_computes_its_function(activation, function, fused):
    x = 2 * random(1, 3, 4, 5)
    if fused:
        operation, expected = Elementwise(ElementwiseKind.ADD, activation), function(2 * x.astype(np.float64))
        feeds = (x, x)
    else:
        operation, expected, feeds = activation, function(x.astype(np.float64)), (x,)
    network = one_layer(operation, [x.shape] * len(feeds), x.shape)
    np.testing.assert_allclose(run(network, *feeds)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (1, 3)])
def test_an_affine_layer_scales_and_shifts_each_channel(shape):
    x, scale, shift = random(*shape), np.array([2.0, -1.0, 0.0]), np.array([0.5, 0.0, -3.0])
    network = one_layer(Affine("scale", "shift"), [shape], shape, {"scale": scale, "shift": shift})
    per_channel = (1, 3, 1, 1)[: len(shape)]
    expected = x * scale.reshape(per_channel) + shift.reshape(per_channel)
    np.testing.assert_allclose(run(network, x)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "output"),
    [([(1, 2, 4, 5), (1, 3, 4, 5)], (1, 5, 4, 5)), ([(1, 2), (1, 3)], (1, 5)), ([(1, 2), (1, 3, 1, 1)], (1, 5, 1, 1))],
    ids=["images", "vectors", "mixed"],
)
def test_a_concatenation_keeps_the_order_of_its_inputs(shapes, output):
    feeds = [random(*shape, seed=index) for index, shape in enumerate(shapes)]
    expected = np.concatenate([feed.reshape(1, -1) for feed in feeds], axis=1).reshape(output)
    np.testing.assert_array_equal(run(one_layer(Concat(), shapes, output), *feeds)[0], expected)


def test_a_channel_shuffle_moves_each_channel_where_the_representation_says():
    x, groups = random(1, 6, 2, 3), 2
    expected = np.empty_like(x)
    for group, place in np.ndindex(groups, 6 // groups):
        expected[:, place * groups + group] = x[:, group * (6 // groups) + place]
    np.testing.assert_array_equal(run(one_layer(ChannelShuffle(groups), [x.shape], x.shape), x)[0], expected)


@pytest.mark.parametrize("output", [(1, 24), (1, 24, 1, 1), (1, 2, 3, 4), (1, 4, 6)], ids=str)
def test_a_reshape_keeps_the_order_of_the_elements(output):
    x = random(1, 2, 3, 4)
    np.testing.assert_array_equal(run(one_layer(Reshape(), [x.shape], output), x)[0], x.reshape(output))


def test_lrn_is_emitted_again_from_its_attributes():
    x = random(1, 6, 3, 2)
    attributes = {"size": "3", "alpha": "0.3", "beta": "0.5", "bias": "2.0"}
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    around = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    network = one_layer(HostOperator("LRN", attributes), [x.shape], x.shape)
    np.testing.assert_allclose(run(network, x)[0], x / (2 + 0.1 * around) ** 0.5, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "attributes"), [((1, 5), {}), ((1, 5), {"axis": "-1"}), ((1, 5, 1, 1), {"axis": "1"})], ids=str
)
def test_softmax_is_emitted_again_from_its_attributes(shape, attributes):
    x = random(*shape)
    found = run(one_layer(HostOperator("Softmax", attributes), [shape], shape), x)[0]
    np.testing.assert_allclose(found, np.exp(x) / np.exp(x).sum(), rtol=1e-4)


def chain():
    """Two layers that share a weight, with names that clash with what the exporter would choose itself."""
    names = ["x0", "x0/Conv", "y"]
    convolution = Conv(2, 2, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, "y", None, Activation(ActivationKind.RELU))
    return Network(
        name="chain",
        inputs=("x0",),
        outputs=("x0/Conv", "y"),
        layers=(Layer("a", convolution, ("x0",), "x0/Conv"), Layer("a/Relu", convolution, ("x0/Conv",), "y")),
        tensors={name: tensor(name, 1, 2, 3, 4) for name in names},
        parameters={"y": constant(np.eye(2).reshape(2, 2, 1, 1))},
    )


def test_names_that_clash_are_told_apart_and_tensors_keep_theirs():
    model = export_onnx(chain())
    assert [output.name for output in model.graph.output] == ["x0/Conv", "y"]
    assert len({node.name for node in model.graph.node}) == len(model.graph.node) == 4
    assert len(model.graph.initializer) == 1
    x = random(1, 2, 3, 4)
    for output in run(chain(), x):
        np.testing.assert_array_equal(output, np.maximum(x, 0))


def test_the_same_network_gives_the_same_bytes_and_the_stated_opset():
    first, second = export_onnx(chain()), export_onnx(chain())
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    assert [(item.domain, item.version) for item in first.opset_import] == [("", ONNX_OPSET)]


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "chain.onnx"
    path.write_bytes(b"old")
    write_onnx(chain(), path)
    assert onnx.load(path) == export_onnx(chain())
    assert os.listdir(tmp_path) == ["chain.onnx"]  # noqa: PTH208 (names are what is asked)


def test_a_failed_export_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "old.onnx"
    path.write_bytes(b"old")
    with pytest.raises(ModelError, match="NonMaxSuppression"):
        write_onnx(one_layer(HostOperator("NonMaxSuppression"), [(1, 2)], (1, 2)), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["missing/net.onnx", "file/net.onnx", "folder"])
def test_a_path_that_cannot_be_written_is_one_clear_sentence(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match=r"cannot write the ONNX file .*: [A-Z]"):
        write_onnx(chain(), Path(tmp_path, place))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "folder"]


def refused(operation, inputs, output, parameters=None):
    with pytest.raises(ModelError) as caught:
        export_onnx(one_layer(operation, inputs, output, parameters, name="culprit"))
    assert "'culprit'" in str(caught.value)
    return str(caught.value)


PLAIN = Conv(2, 2, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, "w")
IMAGE = (1, 2, 3, 3)


@pytest.mark.parametrize(
    ("operation", "inputs", "output", "parameters", "sentence"),
    [
        (HostOperator("Einsum"), [(1, 2)], (1, 2), {}, "host operator Einsum"),
        (HostOperator("LRN"), [IMAGE], IMAGE, {}, "lacks the attribute 'size'"),
        (HostOperator("LRN", {"size": "big"}), [IMAGE], IMAGE, {}, "'big', which is not a number"),
        (HostOperator("Softmax"), [IMAGE], IMAGE, {}, "lacks the attribute 'axis'"),
        (HostOperator("Softmax", {"axis": "4"}), [IMAGE], IMAGE, {}, "has axis 4, but its input has 4 axes"),
        (HostOperator("Softmax", {"axis": "1"}), [IMAGE], IMAGE, {}, "mean differently"),
        (PLAIN, [IMAGE], IMAGE, {}, "which the network does not have"),
        (PLAIN, [IMAGE], IMAGE, {"w": np.ones((2, 1, 1, 1))}, "its operation needs (2, 2, 1, 1)"),
        (PLAIN, [IMAGE], (1, 2, 3, 4), {"w": np.ones((2, 2, 1, 1))}, "computes 3x3 pixels"),
        (PLAIN, [(1, 2, 9)], IMAGE, {"w": np.ones((2, 2, 1, 1))}, "put a Reshape between"),
        (ConvTranspose(2, 2, (2, 2), (2, 2), (0, 0, 0, 0), 1, "w"), [IMAGE], (1, 2, 6, 8), {}, "covers 6 elements"),
        (FullyConnected(17, 2, "w"), [IMAGE], (1, 2), {}, "expects 17 features"),
        (Pool(PoolKind.MAX, (1, 1), (2, 2), (1, 1, 0, 0)), [IMAGE], IMAGE, {}, "smaller than the kernel (1, 1)"),
        (Pool(PoolKind.MAX, (2, 2), (2, 2), (0, 0, 0, 0), False, (1, 0)), [IMAGE], IMAGE, {}, "at least those"),
        (Elementwise(ElementwiseKind.ADD), [IMAGE], IMAGE, {}, "needs at least two"),
        (Concat(), [IMAGE, IMAGE], (1, 5, 3, 3), {}, "correct the description"),
        (Concat(), [IMAGE, (1, 2, 1, 3)], (1, 4, 3, 3), {}, "heights and widths must agree"),
        (Concat(), [], (1, 5, 3, 3), {}, "reads no tensor"),
        (PLAIN, [(1, 3, 3, 3)], IMAGE, {"w": np.ones((2, 2, 1, 1))}, "expects 2 input channels"),
        (replace(PLAIN, groups=3), [IMAGE], IMAGE, {}, "3 groups, which must divide"),
        (replace(PLAIN, groups=0), [IMAGE], IMAGE, {}, "0 groups, which must divide"),
        (Elementwise(ElementwiseKind.ADD), [IMAGE, (1, 2, 1, 3)], IMAGE, {}, "or one have a single pixel"),
        (Elementwise(ElementwiseKind.ADD), [IMAGE, (1, 1, 1, 1)], IMAGE, {}, "or one have a single pixel"),
        (ChannelShuffle(3), [IMAGE], IMAGE, {}, "3 groups, which must divide"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_refused_by_name(operation, inputs, output, parameters, sentence):
    assert sentence in refused(operation, inputs, output, parameters)


def test_a_parameter_that_loads_in_another_shape_than_declared_is_refused():
    network = one_layer(PLAIN, [IMAGE], IMAGE, {"w": np.ones((2, 2, 1, 1))})
    wrong = Parameter((2, 2, 1, 1), lambda: np.ones((4,), np.float32))
    broken = Network(network.name, network.inputs, network.outputs, network.layers, network.tensors, {"w": wrong})
    with pytest.raises(ModelError, match="loads as shape"):
        export_onnx(broken)


def test_weights_beyond_two_gibibytes_are_refused_before_any_is_loaded():
    def explode():
        raise AssertionError

    network = one_layer(FullyConnected(2**15, 2**14, "w"), [(1, 2**15)], (1, 2**14))
    huge = Network(
        network.name,
        network.inputs,
        network.outputs,
        network.layers,
        network.tensors,
        {"w": Parameter((2**14, 2**15), explode)},
    )
    with pytest.raises(ModelError, match=r"2\.00 GiB of weights"):
        export_onnx(huge)
