"""The zoo against published figures, ONNX Runtime and the importer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from dynamap_models.errors import ModelError
from dynamap_models.ir import Activation, Conv, ConvTranspose, FullyConnected, Network, Pool, PoolKind
from dynamap_models.onnx_export import export_onnx
from dynamap_models.onnx_import import import_onnx
from dynamap_models.zoo import ZOO, NetworkBuilder, build_model, model_names
from dynamap_models.zoo.builder import RELU
from dynamap_models.zoo.random_wired import random_wired

NAMES = model_names()

# Multiply-accumulates as other people's counters print them for convolutions and fully connected layers.
EXACT_MACS = {
    "resnet-18": 1_814_073_344,
    "resnet-50": 4_089_184_256,
    "vgg-16": 15_470_264_320,
    "vgg-19": 19_632_062_464,
    "mobilenet-v1": 568_740_352,
    "mobilenet-v2": 300_774_272,
}

# Convolution layers as the papers (or, for the squeeze-and-excitation nets and NASNet, their tables) count them.
CONVOLUTIONS = {
    "googlenet": 57,
    "inception-v4": 149,
    "resnet-18": 17 + 3,  # and three projections
    "resnet-50": 49 + 4,
    "vgg-16": 13,
    "vgg-19": 16,
    "squeezenet-1.1": 2 + 3 * 8,
    "mobilenet-v1": 1 + 2 * 13,
    "mobilenet-v2": 1 + 3 * 17 - 1 + 1,
    "densenet-121": 121 - 1,  # the name counts the classifier
    "efficientnet-b0": 1 + 3 * 16 - 1 + 2 * 16 + 1,
    "u-net": 23 - 4,  # the paper counts the four transposed ones
}

# What a network computes at the end of each resolution: (rows, channels) before the head.
LAST_MAPS = {
    "googlenet": (7, 1024),
    "inception-v4": (8, 1536),
    "resnet-18": (7, 512),
    "resnet-50": (7, 2048),
    "vgg-16": (7, 512),
    "vgg-19": (7, 512),
    "squeezenet-1.1": (13, 1000),
    "mobilenet-v1": (7, 1024),
    "mobilenet-v2": (7, 1280),
    "densenet-121": (7, 1024),
    "efficientnet-b0": (7, 1280),
    "nasnet-a-mobile": (7, 1056),
    "u-net": (256, 64),
    "random-wired": (7, 1280),
}


def normalised_channels(name: str, network: Network) -> int:
    """Channels whose published batch normalisation is folded here: one trained number fewer for each."""
    if name in {"googlenet", "vgg-16", "vgg-19", "squeezenet-1.1", "u-net"}:
        return 0
    folded = [layer for layer in network.convolutions() if not layer.name.endswith(("/reduce", "/restore"))]
    return sum(layer.operation.out_channels for layer in folded if layer.operation.bias is not None)


def test_the_zoo_has_the_promised_networks_in_order():
    assert model_names() == (
        "googlenet", "inception-v4", "resnet-18", "resnet-50", "vgg-16", "vgg-19", "squeezenet-1.1", "mobilenet-v1",
        "mobilenet-v2", "densenet-121", "efficientnet-b0", "nasnet-a-mobile", "u-net", "random-wired",
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_multiply_accumulates_lie_within_one_per_cent_of_the_published_figure(name):
    assert build_model(name).macs == pytest.approx(ZOO[name].published_macs, rel=0.01)


@pytest.mark.parametrize(("name", "macs"), EXACT_MACS.items())
def test_multiply_accumulates_are_exactly_those_that_others_count(name, macs):
    assert build_model(name).macs == macs


@pytest.mark.parametrize("name", NAMES)
def test_parameters_lie_within_one_per_cent_of_the_published_figure(name):
    assert build_model(name).parameter_count == pytest.approx(ZOO[name].published_parameters, rel=0.01)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random-wired"])
def test_parameters_are_exactly_the_published_ones_when_normalisations_are_unfolded(name):
    network = build_model(name)
    assert network.parameter_count + normalised_channels(name, network) == ZOO[name].published_parameters


@pytest.mark.parametrize(("name", "count"), CONVOLUTIONS.items())
def test_the_number_of_convolutions_is_the_published_one(name, count):
    assert len(list(build_model(name).convolutions())) == count


@pytest.mark.parametrize("name", NAMES)
def test_the_last_feature_map_has_the_published_size(name):
    network = build_model(name)
    head = next(layer for layer in reversed(network.layers) if network.input_tensors(layer)[0].height > 1)
    source = network.input_tensors(head)[0]
    assert (source.height, source.width, source.channels) == (LAST_MAPS[name][0], *LAST_MAPS[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_network_ends_in_logits_and_begins_with_an_image(name):
    network = build_model(name)
    assert network.tensors[network.outputs[0]].onnx_shape == ((1, 1, 256, 256) if name == "u-net" else (1, 1000))
    side = {"inception-v4": 299, "u-net": 256}.get(name, 224)
    assert network.tensors[network.inputs[0]].onnx_shape == (1, 3, side, side)
    assert network.name == name


def test_googlenet_has_the_paper_s_maps_and_nine_real_5x5_convolutions():
    network = build_model("googlenet")
    heights = Counter(network.output_tensor(layer).height for layer in network.convolutions())
    assert heights == {112: 1, 56: 2, 28: 2 * 6, 14: 5 * 6, 7: 2 * 6}
    assert sum(layer.operation.kernel == (5, 5) for layer in network.convolutions()) == 9


def test_inception_v4_spends_42_per_cent_of_its_work_in_one_dimensional_kernels():
    network = build_model("inception-v4")
    flat = [
        layer for layer in network.convolutions() if (1 in layer.operation.kernel) and layer.operation.kernel != (1, 1)
    ]
    assert {layer.operation.kernel for layer in flat} == {(1, 7), (7, 1), (1, 3), (3, 1)}
    assert sum(map(network.layer_macs, flat)) / network.macs == pytest.approx(0.42, abs=0.005)
    assert {network.output_tensor(layer).height for layer in network.convolutions()} == {149, 147, 73, 71, 35, 17, 8}


def unet_by_hand(side, image_channels, classes):
    """Multiply-accumulates and parameters from the channels in Figure 1 of the paper."""
    widths = [64, 128, 256, 512, 1024]
    macs = parameters = 0
    for level, width in enumerate(widths):
        pixels = (side >> level) ** 2
        before = image_channels if level == 0 else widths[level - 1]
        passes = [(before, width), (width, width)]
        if level < 4:  # the way up: one transposed 2x2 kernel from the level below, then two kernels of 3x3
            passes += [(2 * width, width), (width, width)]
            macs += 4 * 2 * width * width * (side >> (level + 1)) ** 2
            parameters += 4 * 2 * width * width + width
        macs += sum(9 * into * out * pixels for into, out in passes)
        parameters += sum(9 * into * out + out for into, out in passes)
    return macs + 64 * classes * side**2, parameters + 65 * classes


def test_the_u_net_counts_what_a_closed_form_of_its_channels_gives():
    network = build_model("u-net")
    assert (network.macs, network.parameter_count) == unet_by_hand(256, 3, 1)
    assert sum(isinstance(layer.operation, ConvTranspose) for layer in network.layers) == 4


def test_the_u_net_s_layers_at_another_size_count_what_is_published_for_it():
    """83.922432 G at 420x240 with two classes (milesial/Pytorch-UNet, issue 477), by the conventions of thop."""
    network = build_model("u-net")
    level_of = {256 >> level: level for level in range(5)}
    pixels = [420 * 240, 210 * 120, 105 * 60, 52 * 30, 26 * 15]
    upsampled = {0: 420 * 240, 1: 210 * 120, 2: 104 * 60, 3: 52 * 30}  # one row short of the 105 it is padded to
    counted = 0
    for layer in network.layers:
        out = network.output_tensor(layer)
        per_pixel = network.layer_macs(layer) // (out.height * out.width)
        level = level_of[out.height]
        if isinstance(layer.operation, ConvTranspose):
            counted += 4 * per_pixel * upsampled[level]
        elif isinstance(layer.operation, Conv) and layer.name == "logits":
            counted += 2 * per_pixel * pixels[level]
        elif isinstance(layer.operation, Conv):
            counted += (per_pixel + 4 * out.channels) * pixels[level]
    assert counted == 83_922_432_000


def test_every_nasnet_cell_is_read_by_the_two_cells_after_it():
    network = build_model("nasnet-a-mobile")
    outputs = {layer.name.split("/")[0]: layer.output for layer in network.layers if layer.name.count("/join/relu")}
    assert len(outputs) == 2 + 2 + 12
    names = [*outputs, "pool"]
    for index, output in enumerate(outputs.values()):
        readers = {layer.name.split("/")[0] for layer in network.readers[output]}
        assert readers == set(names[index + 1 : index + 3]) - ({"pool"} if index < 15 else set())


def test_randomly_wired_networks_have_the_published_mean_and_deviation():
    drawn = [random_wired(seed=0, wiring_seed=wiring) for wiring in range(12)]
    macs, parameters = (np.array([getattr(net, key) for net in drawn]) / 1e6 for key in ("macs", "parameter_count"))
    # Three standard errors of a mean of twelve, from the published deviations 6.2 M and 0.1 M.
    assert abs(macs.mean() - 583) < 3 * 6.2 / 12**0.5
    assert abs(parameters.mean() - 5.6) < 3 * 0.1 / 12**0.5
    assert drawn[0].macs != drawn[1].macs


@pytest.mark.parametrize("name", NAMES)
def test_building_twice_gives_equal_networks_whatever_the_seed_of_the_weights(name):
    assert build_model(name) == build_model(name, seed=7)


def test_weights_depend_on_the_seed_and_the_name_alone():
    first, second, other = (build_model("resnet-18", seed=seed).parameters for seed in (1, 1, 2))
    names = ["stage1/block1/conv1.weight", "stage1/block1/conv2.weight", "logits.bias"]
    for name in names:
        late = second[name].load()
        np.testing.assert_array_equal(first[name].load(), late)
        np.testing.assert_array_equal(first[name].load(), late)
        assert late.dtype == np.float32
        assert not np.array_equal(late, other[name].load())
    assert not np.array_equal(first[names[0]].load(), first[names[1]].load())


@pytest.mark.parametrize(("activation", "gain"), [(RELU, 2.0), (None, 1.0)])
def test_weights_have_he_s_variance(activation, gain):
    net = NetworkBuilder("net")
    net.conv("conv", net.input("x", 64, 8, 8), 128, 3, groups=2, activation=activation)
    weight = net.build("conv").parameters["conv.weight"].load()
    assert weight.shape == (128, 32, 3, 3)
    assert weight.var() == pytest.approx(gain / (32 * 9), rel=0.03)
    assert abs(weight.mean()) < 0.001


def test_building_the_whole_zoo_takes_less_than_a_second_and_no_weight():
    start = time.process_time()
    for name in NAMES:
        build_model(name)
    assert time.process_time() - start < 1


def test_the_zoo_does_not_import_onnx():
    script = "import sys, dynamap_models.zoo as zoo; zoo.build_model('googlenet'); sys.exit('onnx' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet50", "did you mean 'resnet-50'? The zoo has googlenet,"),
        ("VGG-16", "did you mean 'vgg-16'?"),
        ("", "the zoo"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(name, hint):
    with pytest.raises(ModelError) as caught:
        build_model(name)
    assert hint in str(caught.value)
    assert ", ".join(NAMES) in str(caught.value)


def test_a_negative_seed_is_refused():
    with pytest.raises(ModelError, match="must be 0 or more"):
        build_model("vgg-16", seed=-1)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda net: net.conv("c", "nowhere", 4, 3), "has no tensor 'nowhere' yet"),
        (lambda net: net.conv("c", "x", 4, 9), "does not fit into 8 elements"),
        (lambda net: net.conv("c", "x", 4, 3, groups=3), "has 3 groups"),
        (lambda net: net.conv("c", "x", 0, 3), "every extent must be 1 or more"),
        (lambda net: net.concat("c", ("x", "small")), "heights and widths must agree"),
        (lambda net: net.add("a", "x", "small"), "shapes must agree or have a single pixel"),
        (lambda net: net.input("x", 1, 1, 1), "'x' of network 'net' is written twice"),
        (lambda net: net.conv("c", "x", 4, 3, groups=0), "has 0 groups"),
        (lambda net: net.conv("c", "x", 4, 3, stride=0), "must be 1 or more, not 0"),
        (lambda net: net.conv("c", "x", 4, 3, pads=-1), "must be 0 or more, not (-1, -1)"),
        (lambda net: net.concat("c", ()), "joins nothing"),
        (lambda net: net.add("a", "x"), "combines 1 tensors"),
        (lambda net: net.build("nowhere"), "has no tensor 'nowhere' yet"),
    ],
)
def test_the_builder_names_what_does_not_fit(build, sentence):
    net = NetworkBuilder("net")
    net.input("x", 4, 8, 10)
    net.input("small", 4, 2, 1)
    with pytest.raises(ModelError) as caught:
        build(net)
    assert sentence in str(caught.value)


def test_the_builder_knows_every_short_form_of_pads():
    net = NetworkBuilder("net")
    x = net.input("x", 2, 7, 10)
    forms = {1: (1, 1, 1, 1), (1, 2): (1, 2, 1, 2), (0, 1, 2, 1): (0, 1, 2, 1), "same": (1, 0, 1, 1)}
    for index, pads in enumerate(forms):
        net.conv(f"c{index}", x, 2, 3, stride=2, pads=pads)
    operations = [layer.operation for layer in net.build("c0").layers]
    assert [operation.pads for operation in operations] == list(forms.values())


def test_a_pool_that_rounds_up_says_what_the_rounding_added():
    net = NetworkBuilder("net")
    net.pool("p", net.input("x", 2, 6, 7), PoolKind.AVERAGE, 3, stride=2, pads=0, ceil=True)
    network = net.build("p")
    assert network.layers[0].operation == Pool(PoolKind.AVERAGE, (3, 3), (2, 2), (0, 0, 1, 0), ceil_extra=(1, 0))
    assert network.tensors["p"].onnx_shape == (1, 2, 3, 3)


@pytest.fixture(scope="module", params=[name for name in NAMES if name != "vgg-19"])  # as VGG-16, and 550 MB
def exported(request):
    """Each network is exported once; pytest runs its tests together, so that one model is in memory at a time."""
    network = build_model(request.param)
    return network, export_onnx(network)


def test_the_exported_model_passes_the_full_checker(exported):
    onnx.checker.check_model(exported[1], full_check=True)


def test_the_exported_model_runs_in_onnx_runtime_with_finite_output(exported):
    network, model = exported
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(5).standard_normal(network.tensors[network.inputs[0]].onnx_shape, np.float32)
    (output,) = session.run(None, {network.inputs[0]: image})
    assert output.shape == network.tensors[network.outputs[0]].onnx_shape
    assert np.isfinite(output).all()
    assert 0.01 < output.std() < 1000


def test_the_exported_file_holds_the_counted_work_and_weights(exported):
    network, model = exported
    shapes = {item.name: item.dims for item in model.graph.initializer}
    images = {
        item.name: [extent.dim_value for extent in item.type.tensor_type.shape.dim]
        for item in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    by_name = {layer.name: layer for layer in network.layers}
    macs = 0
    for node in model.graph.node:
        if node.op_type in {"Conv", "ConvTranspose", "Gemm"}:
            weights = int(np.prod(shapes[node.input[1]]))
            # A kernel visits every pixel of a convolution's output, and of a transposed convolution's input.
            visited = node.input[0] if node.op_type == "ConvTranspose" else by_name[node.name].output
            macs += weights * (1 if node.op_type == "Gemm" else int(np.prod(images[visited][2:])))
    assert macs == network.macs
    stored = [item for item in model.graph.initializer if item.name in network.parameters]
    assert sum(int(np.prod(item.dims)) for item in stored) == network.parameter_count


def test_importing_the_exported_model_gives_the_network_back(exported):
    network, model = exported
    again = import_onnx(model)
    for layer, original in zip(again.layers, network.layers, strict=True):
        assert layer == original
        assert again.output_tensor(layer) == network.output_tensor(original)
    assert again == network
    assert (again.macs, again.parameter_count) == (network.macs, network.parameter_count)
    operation = next(layer.operation for layer in network.layers if isinstance(layer.operation, Conv))
    np.testing.assert_array_equal(
        again.parameters[operation.weight].load(), network.parameters[operation.weight].load()
    )


def test_activations_are_fused_wherever_one_reader_allows_it():
    for name in NAMES:
        network = build_model(name)
        for layer in network.layers:
            if isinstance(layer.operation, Activation):
                writer = network.writers[layer.inputs[0]]
                alone = len(network.readers[layer.inputs[0]]) == 1
                assert not (alone and isinstance(writer.operation, Conv | FullyConnected)), (name, layer.name)
