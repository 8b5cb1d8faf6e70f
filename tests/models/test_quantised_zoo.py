"""Networks of the zoo in 8-bit integers: all promise exactness, stay near float, and come back from their files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dynamap_models import build_model, export_onnx, import_quantised_onnx, quantise, random_inputs
from dynamap_models._runtime import session
from dynamap_models.ir import Activation, Elementwise, GlobalPool, Pool
from dynamap_models.quantised import from_map


def cut(network, output):
    """The layers of a network that one tensor needs."""
    needed, kept = {output}, []
    for layer in reversed(network.layers):
        if layer.output in needed:
            kept.append(layer)
            needed.update(layer.inputs)
    names = {name: tensor for name, tensor in network.tensors.items() if name in needed}
    return replace(network, outputs=(output,), layers=tuple(reversed(kept)), tensors=names)


def correlation(network, quantised, inputs):
    """Of the quantised outputs with the float network's."""
    feeds = {name: from_map(network.tensors[name], array) for name, array in inputs.items()}
    (output,) = network.outputs
    (real,) = session(export_onnx(network)).run([output], feeds)
    got = quantised.tensors[output].dequantise(quantised.reference(inputs)[output])
    return np.corrcoef(real.ravel(), np.moveaxis(got, -1, 0).ravel())[0, 1]


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("squeezenet-1.1", None),
        ("googlenet", None),
        ("mobilenet-v1", None),
        ("densenet-121", "block2/layer3/output"),
        ("resnet-18", "stage2/block2/output"),
        ("inception-v4", "inception_a1/output"),
        ("nasnet-a-mobile", "stem_cell2/block1/left/pointwise1"),
        ("efficientnet-b0", "block2/project"),
    ],
)
def test_networks_keep_what_they_compute(name, output):
    whole = build_model(name)
    network = whole if output is None else cut(whole, output)
    calibration, inputs = random_inputs(network, 1, 0), random_inputs(network, 1, 1)[0]
    quantised = quantise(network, calibration)
    assert quantised.exact
    hosts = {type(layer.operation) for layer in quantised.network.layers if quantised.is_host(layer)}
    # Squeeze-and-excitation is all the host's: sigmoids, and products of maps.
    assert hosts == ({Activation, Elementwise} if name == "efficientnet-b0" else set())
    assert correlation(network, quantised, inputs) > 0.995
    assert import_quantised_onnx(quantised.model) == quantised


def test_sizes_of_a_quantised_network_are_those_of_the_float_one():
    network = build_model("squeezenet-1.1")
    quantised = quantise(network, random_inputs(network, 1, 0))
    assert quantised.network.macs == network.macs
    assert quantised.network.parameter_count == network.parameter_count
    assert set(quantised.network.tensors) == set(network.tensors)


def test_averages_that_would_lie_on_ties_are_averaged_in_two_steps():
    network = cut(build_model("efficientnet-b0"), "block1/squeeze")
    quantised = quantise(network, random_inputs(network, 1, 0))
    pools = [layer.operation for layer in quantised.network.layers if isinstance(layer.operation, Pool | GlobalPool)]
    assert [type(pool) for pool in pools] == [Pool, GlobalPool]
    assert pools[0].kernel == pools[0].stride == (16, 16)  # 112 = 16 x 7
