"""From layers to stages: what is fused, what vanishes, where tensors live, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from dynamap_models import build_model, model_names
from dynamap_models.ir import (
    ChannelShuffle,
    Concat,
    ConvTranspose,
    HostOperator,
    Layer,
    Network,
    Reshape,
    Tensor,
)
from dynamap_models.zoo.builder import RELU, NetworkBuilder
from dynamap_opt.lowering import LoweringError, lower
from dynamap_opt.program import ConvShape, Program, StageKind


def stage_of(program: Program, layer: str):
    """The stage that covers a layer."""
    (found,) = [stage for stage in program.stages if layer == stage.name]
    return found


def builder() -> tuple[NetworkBuilder, str]:
    net = NetworkBuilder("net")
    return net, net.input("image", 4, 6, 5)


def with_layer(network: Network, layer: Layer, *, height=1, width=1, channels=1, onnx_shape=None, outputs=None):
    """The network with one more layer, as the builder cannot make it."""
    shape = onnx_shape or (1, channels, height, width)
    return dataclasses.replace(
        network,
        layers=(*network.layers, layer),
        outputs=outputs or (layer.output,),
        tensors={**network.tensors, layer.output: Tensor(layer.output, height, width, channels, shape)},
    )


# ---- additions ----


def test_an_addition_is_a_stage_of_the_vector_unit_behind_a_convolution_too():
    net, x = builder()
    program = lower(net.build(net.add("sum", net.conv("left", x, 4, 1), net.conv("right", x, 4, 3, pads=1))))
    assert [(stage.name, stage.kind) for stage in program.stages] == [
        ("left", StageKind.ARRAY),
        ("right", StageKind.ARRAY),
        ("sum", StageKind.VECTOR),
    ]
    window = program.stages[-1].window
    assert (window.terms, window.kernel, window.in_height, window.channels) == (2, (1, 1), 6, 4)


# ---- concatenations ----


def test_a_concatenation_vanishes_and_its_pieces_share_its_buffer():
    net, x = builder()
    a, b = net.conv("a", x, 3, 1), net.conv("b", x, 5, 1)
    joined = net.concat("joined", [a, b])
    program = lower(net.build(net.conv("next", joined, 2, 1)))
    assert [stage.name for stage in program.stages] == ["a", "b", "next"]
    tensors = program.tensors
    assert tensors["a"].group == tensors["b"].group == tensors["joined"].group != tensors["image"].group
    assert [tensors[name].pixel_runs for name in ("a", "b", "joined", "next")] == [(3,), (5,), (), ()]
    group = tensors["a"].group
    assert [stage.name for stage in program.writers[group]] == ["a", "b"]
    assert [(stage.name, position) for stage, position in program.readers[group]] == [("next", 0)]


def test_nested_concatenations_share_one_buffer():
    net, x = builder()
    a, b, c, d = (net.conv(name, x, width, 1) for name, width in zip("abcd", (1, 2, 3, 4), strict=True))
    inner = net.concat("inner", [b, c])
    outer = net.concat("outer", [a, inner, d])
    program = lower(net.build(net.conv("over", outer, 2, 1), net.conv("in", inner, 2, 1)))
    tensors = program.tensors
    assert len({tensors[name].group for name in ("a", "b", "c", "d", "inner", "outer")}) == 1
    # b and c lie side by side in the outer buffer: the inner one is one slice of it.
    assert [tensors[n].pixel_runs for n in ("a", "b", "c", "d", "inner", "outer")] == [(1,), (2,), (3,), (4,), (5,), ()]


def test_growing_concatenations_are_slices_of_the_last():
    net, x = builder()
    parts = [net.conv("start", x, 6, 1)]
    for step in range(4):
        joined = net.concat(f"joined{step}", parts) if step else parts[0]
        parts = [joined, net.conv(f"conv{step}", joined, 2, 3, pads=1)]
    program = lower(net.build(net.conv("last", net.concat("all", parts), 1, 1)))
    tensors = program.tensors
    assert [tensors[f"joined{step}"].pixel_runs for step in (1, 2, 3)] == [(8,), (10,), (12,)]
    assert tensors["all"].pixel_runs == ()
    assert tensors["start"].pixel_runs == (6,)
    assert len({tensors[name].group for name in ("start", "conv0", "conv3", "joined1", "all")}) == 1


def test_a_piece_of_two_concatenations_lives_in_the_later_one():
    net, x = builder()
    a, b, c = (net.conv(name, x, width, 1) for name, width in zip("abc", (2, 3, 4), strict=True))
    first, second = net.concat("first", [a, b]), net.concat("second", [c, a])
    program = lower(net.build(net.conv("u", first, 1, 1), net.conv("v", second, 1, 1)))
    tensors = program.tensors
    assert len({tensors[name].group for name in ("a", "b", "c", "first", "second")}) == 1
    assert tensors["second"].pixel_runs == ()
    assert tensors["first"].pixel_runs == (2, 3)  # a elsewhere, b at home


def test_a_piece_used_twice_is_stored_once_and_read_in_two_pieces():
    net, x = builder()
    a = net.conv("a", x, 3, 1)
    program = lower(net.build(net.conv("next", net.concat("twice", [a, a]), 1, 1)))
    assert program.tensors["a"].pixel_runs == (3,)
    assert program.tensors["twice"].pixel_runs == (3, 3)
    assert stage_of(program, "next").conv.in_channels == 6


def test_an_input_of_the_network_can_be_a_piece():
    net, x = builder()
    joined = net.concat("joined", [x, net.conv("a", x, 3, 1)])
    program = lower(net.build(net.conv("next", joined, 1, 1)))
    assert program.tensors["image"].pixel_runs == (4,)
    assert program.tensors["image"].group == program.tensors["joined"].group
    assert [stage.name for stage in program.writers[program.tensors["joined"].group]] == ["a"]


def test_a_concatenation_of_one_tensor_is_that_tensor():
    net, x = builder()
    joined = net.concat("joined", [net.conv("a", x, 3, 1)])
    program = lower(net.build(net.conv("next", joined, 1, 1)))
    assert program.tensors["a"].pixel_runs == program.tensors["joined"].pixel_runs == ()


def test_pieces_of_an_output_of_the_network_keep_the_hosts_layout():
    net, x = builder()
    a = net.conv("a", x, 3, 1)
    program = lower(net.build(net.concat("joined", [a, net.conv("b", x, 2, 1)])))
    assert program.tensors["a"].fixed
    assert program.tensors["joined"].fixed
    assert not program.tensors["image"].fixed


def test_a_view_of_a_concatenation_joins_a_later_one_piece_by_piece():
    net, x = builder()
    a, b, c = (net.conv(name, x, width, 1) for name, width in zip("abc", (2, 3, 4), strict=True))
    network = net.build(net.concat("first", [a, b]), c)
    network = with_layer(network, Layer("same", Reshape(), ("first",), "same"), height=6, width=5, channels=5)
    from_view = Layer(
        "second", next(la.operation for la in network.layers if la.name == "first"), ("same", c), "second"
    )
    network = with_layer(network, from_view, height=6, width=5, channels=9)
    tensors = lower(network).tensors
    assert [tensors[n].pixel_runs for n in ("a", "b", "c", "first", "same", "second")] == [
        (2,),
        (3,),
        (4,),
        (5,),
        (5,),
        (),
    ]


# ---- reshapes ----


def test_a_flattened_map_that_a_product_reads_is_a_view():
    net, x = builder()
    flat = net.flatten("flat", net.conv("conv", x, 3, 1))
    program = lower(net.build(net.fully_connected("head", flat, 10)))
    assert [(stage.name, stage.kind) for stage in program.stages] == [("conv", "array"), ("head", "array")]
    assert program.stages[1].conv == ConvShape(1, 1, 90, 1, 1, 10)
    assert program.tensors["flat"].group == program.tensors["conv"].group
    assert program.tensors["flat"].pixel_runs == ()


def test_a_flattened_concatenation_piece_is_read_run_by_run():
    net, x = builder()
    a, b = net.conv("a", x, 3, 1), net.conv("b", x, 5, 1)
    net.concat("joined", [a, b])
    flat = net.flatten("flat", a)
    program = lower(net.build(net.fully_connected("head", flat, 10), "joined"))
    assert program.tensors["flat"].pixel_runs == (3,) * 30


def test_views_of_views_lead_to_the_same_bytes():
    net, x = builder()
    flat = net.flatten("flat", net.conv("conv", x, 3, 1))
    again = net.flatten("again", flat)
    program = lower(net.build(net.fully_connected("head", again, 10)))
    assert [stage.name for stage in program.stages] == ["conv", "head"]
    assert len({program.tensors[name].group for name in ("conv", "flat", "again")}) == 1


def test_flattening_one_pixel_is_a_view_for_everybody():
    net, x = builder()
    flat = net.flatten("flat", net.global_pool("pool", net.conv("conv", x, 3, 1)))
    program = lower(net.build(flat))
    assert [stage.name for stage in program.stages] == ["conv", "pool"]


def test_a_flattened_map_that_leaves_the_network_needs_the_host():
    # The file's order is channel by channel, the overlay's pixel by pixel: somebody has to move the bytes.
    net, x = builder()
    network = net.build(net.flatten("flat", net.conv("conv", x, 3, 1)))
    with pytest.raises(LoweringError, match=r"does not run Reshape \(flat\)"):
        lower(network)
    assert stage_of(lower(network, allow_host=True), "flat").kind is StageKind.HOST


def test_a_vector_folded_into_a_map_needs_the_host():
    net, x = builder()
    network = net.build(net.fully_connected("vector", net.conv("conv", x, 3, 1), 60))
    network = with_layer(network, Layer("fold", Reshape(), ("vector",), "fold"), height=4, width=5, channels=3)
    with pytest.raises(LoweringError, match=r"Reshape \(fold\)"):
        lower(network)


# ---- geometry ----


def test_every_convolutions_geometry_reaches_its_stage():
    net = NetworkBuilder("net")
    x = net.input("image", 4, 9, 14)
    net.conv("conv", x, 6, (1, 7), stride=(2, 1), pads=(0, 3, 1, 2), dilation=(1, 2), groups=2)
    program = lower(net.build("conv"))
    assert program.stages[0].conv == ConvShape(9, 14, 4, 5, 7, 6, (1, 7), (2, 1), (0, 3, 1, 2), (1, 2), 2)
    assert program.macs == program.network.macs == 5 * 7 * 6 * 7 * 2
    assert program.stages[0].conv.weight_count == 7 * 2 * 6


def test_a_transposed_convolution_of_blocks_is_one_product_scattered():
    net = NetworkBuilder("net")
    x = net.input("image", 3, 4, 5)
    up = net.conv_transpose("up", x, 2, (2, 3), stride=(2, 3))
    network = net.build(up)
    stage = stage_of(lower(network), "up")
    assert (stage.kind, stage.scatter) == (StageKind.ARRAY, (2, 3))
    assert stage.conv == ConvShape(4, 5, 3, 4, 5, 2 * 2 * 3)
    assert stage.conv.macs == network.macs
    # Judge: ONNX Runtime's ConvTranspose equals the product with its results scattered over blocks.
    rng = np.random.default_rng(0)
    image = rng.integers(-9, 10, (1, 3, 4, 5)).astype(np.float32)
    weight = rng.integers(-9, 10, (3, 2, 2, 3)).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 3])
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
        for name, shape in (("x", image.shape), ("w", weight.shape), ("y", (1, 2, 8, 15)))
    }
    graph = helper.make_graph([node], "up", [values["x"], values["w"]], [values["y"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": image, "w": weight})[0][0]
    product = image[0].reshape(3, 20).T @ weight.reshape(3, 12)
    assert product.shape == (stage.conv.in_height * stage.conv.in_width, stage.conv.out_channels)
    blocks = product.reshape(4, 5, 2, 2, 3).transpose(2, 0, 3, 1, 4).reshape(2, 8, 15)
    np.testing.assert_array_equal(blocks, expected)


def test_a_transposed_convolution_of_overlapping_blocks_needs_the_host():
    net, x = builder()
    network = net.build(net.conv_transpose("up", x, 2, 3, stride=2))
    with pytest.raises(LoweringError, match=r"does not run ConvTranspose \(up\)"):
        lower(network)


@pytest.mark.parametrize("change", [{"pads": (1, 0, 0, 0)}, {"groups": 2}])
def test_a_transposed_convolution_with_pads_or_groups_needs_the_host(change):
    net, x = builder()
    network = net.build(net.conv_transpose("up", x, 2, 2, stride=2))
    (layer,) = network.layers
    assert isinstance(layer.operation, ConvTranspose)
    changed = dataclasses.replace(layer, operation=dataclasses.replace(layer.operation, **change))
    with pytest.raises(LoweringError, match=r"ConvTranspose \(up\)"):
        lower(dataclasses.replace(network, layers=(changed,)))


def test_the_vector_unit_takes_every_position_of_its_larger_side():
    net, x = builder()
    conv = net.conv("conv", x, 4, 1)
    net.max_pool("pool", conv, 2, stride=2)
    net.global_pool("mean", conv)
    net.affine("scale", conv)
    net.activation("relu", conv, RELU)
    network = net.build("pool", "mean", "scale", "relu")
    shuffle = Layer("shuffle", ChannelShuffle(2), ("conv",), "shuffle")
    program = lower(with_layer(network, shuffle, height=6, width=5, channels=4))
    windows = {stage.name: stage.window for stage in program.stages if stage.kind is StageKind.VECTOR}
    assert {name: window.in_height * window.in_width for name, window in windows.items()} == dict.fromkeys(
        ("pool", "mean", "scale", "relu", "shuffle"), 30
    )
    assert (windows["pool"].kernel, windows["pool"].stride, windows["mean"].kernel) == ((2, 2), (2, 2), (6, 5))


# ---- what is refused ----


def test_a_network_without_a_convolution_is_refused():
    net, x = builder()
    network = net.build(net.fully_connected("head", x, 10))
    with pytest.raises(LoweringError) as caught:
        lower(network, allow_host=True)
    assert str(caught.value) == (
        "network 'net' has no convolution; the overlay maps convolutional networks, so there is nothing to choose"
    )


def host_network(count: int) -> Network:
    net, x = builder()
    network = net.build(net.conv("conv", x, 4, 1))
    for index in range(count):
        source = "conv" if index == 0 else f"t{index - 1}"
        layer = Layer(f"host{index}", HostOperator("Erf"), (source,), f"t{index}")
        network = with_layer(network, layer, height=6, width=5, channels=4)
    return network


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (1, "Erf (host0)"),
        (2, "Erf (host0), Erf (host1)"),
        (7, "Erf (host0), Erf (host1), Erf (host2), Erf (host3), Erf (host4) and 2 more"),
    ],
)
def test_host_operators_are_named_and_refused_unless_allowed(count, named):
    network = host_network(count)
    with pytest.raises(LoweringError) as caught:
        lower(network)
    assert str(caught.value) == (
        f"the overlay does not run {named}; allow the host to run them at zero cycles (--allow-host, allow_host=True) "
        "or leave them out of the model"
    )
    program = lower(network, allow_host=True)
    assert [stage.kind for stage in program.stages] == [StageKind.ARRAY, *[StageKind.HOST] * count]


# ---- the whole zoo ----


@pytest.fixture(scope="module", params=model_names())
def program(request) -> Program:
    return lower(build_model(request.param))


def test_every_stage_of_the_zoo_reads_only_what_has_been_written(program):
    network = program.network
    concats = {layer.output: layer.inputs for layer in network.layers if isinstance(layer.operation, Concat)}
    views = {layer.output: layer.inputs for layer in network.layers if isinstance(layer.operation, Reshape)}
    written = set(network.inputs)

    def is_there(name: str) -> bool:
        return name in written or (
            name in {**concats, **views} and all(is_there(piece) for piece in {**concats, **views}[name])
        )

    for stage in program.stages:
        for name in stage.inputs:
            assert is_there(name), (stage.name, name)
        assert stage.output not in written
        written.add(stage.output)
    assert all(is_there(name) for name in network.outputs)


def test_every_layer_of_the_zoo_is_in_one_stage_or_needs_none(program):
    covered = [stage.name for stage in program.stages]
    assert len(covered) == len(set(covered))
    left = {layer.name: type(layer.operation).__name__ for layer in program.network.layers if layer.name not in covered}
    assert set(left.values()) <= {"Concat", "Reshape"}
    assert all(stage.kind is not StageKind.HOST for stage in program.stages)
    assert program.macs == program.network.macs


def test_tensors_of_the_zoo_keep_their_size_and_only_concatenations_scatter_them(program):
    for name, tensor in program.tensors.items():
        original = program.network.tensors[name]
        assert (tensor.height, tensor.width, tensor.channels) == (original.height, original.width, original.channels)
        assert sum(tensor.pixel_runs) in {0, tensor.channels}
    for group, readers in program.readers.items():
        assert all(program.tensors[stage.inputs[position]].group == group for stage, position in readers)
    # Whoever reads a slice or pieces reads something a concatenation made.
    joined = {name for layer in program.network.layers if isinstance(layer.operation, Concat) for name in layer.inputs}
    joined |= {layer.output for layer in program.network.layers if isinstance(layer.operation, Concat | Reshape)}
    assert {name for name, tensor in program.tensors.items() if tensor.pixel_runs} <= joined


def test_residual_networks_of_the_zoo_have_a_stage_for_every_addition():
    for name, additions in (("resnet-18", 8), ("resnet-50", 16), ("mobilenet-v2", 10)):
        stages = lower(build_model(name)).stages
        assert sum(stage.window is not None and stage.window.terms == 2 for stage in stages) == additions


def test_densenets_blocks_live_in_one_buffer_each():
    program = lower(build_model("densenet-121"))
    concats = [la for la in program.network.layers if isinstance(la.operation, Concat)]
    assert len(concats) == 6 + 12 + 24 + 16
    assert len({program.tensors[layer.output].group for layer in concats}) == 4
    assert all(len(program.tensors[layer.output].pixel_runs) <= 1 for layer in concats)
    assert sum(program.tensors[layer.output].pixel_runs == () for layer in concats) == 4
