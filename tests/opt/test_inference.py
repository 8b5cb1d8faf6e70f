"""Inferences on the RTL alone: what the circuit writes is what ONNX Runtime says, for any input, one after another."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from dynamap_models.quantisation import quantise, random_inputs
from dynamap_models.zoo.builder import RELU, NetworkBuilder
from dynamap_opt.compilation import compile_network
from dynamap_opt.errors import DynamapError
from dynamap_opt.execution.inference import OverlayInference
from small_networks import plan_for, quantised

ROOT = Path(__file__).resolve().parents[2]


def several_outputs():
    """A network that returns a concatenation, a view, and what another layer reads as well."""
    net = NetworkBuilder("several-outputs", seed=8)
    x = net.input("image", 4, 5, 6)
    a, b = net.conv("a", x, 3, 3, pads=1, activation=RELU), net.conv("b", x, 6, 1)
    return net.build(
        net.concat("both", [a, b]), net.flatten("flat", net.global_pool("mean", b)), a, net.conv("c", a, 2, 1)
    )


@pytest.mark.parametrize("signed", [False, True], ids=["uint8", "int8"])
def test_outputs_are_those_of_onnx_runtime(signed):
    network = several_outputs()
    found = quantise(network, random_inputs(network, 2, 0), signed=signed)
    overlay = OverlayInference(compile_network(plan_for(found), found), found)
    assert overlay.cycles == 0
    seen = set()
    for inputs in random_inputs(network, 3, 4):
        expected = found.reference(inputs)
        outputs = overlay(inputs)
        assert list(outputs) == list(found.network.outputs)
        for name, values in outputs.items():
            np.testing.assert_array_equal(values, expected[name])
            seen.add(values.tobytes())
        stored = {name: expected[name] for name in found.network.inputs}  # integers are taken as they are
        for name, values in overlay(stored).items():
            np.testing.assert_array_equal(values, expected[name])
        assert overlay.cycles > 0
    assert len(seen) == 3 * len(network.outputs)


def test_a_network_that_needs_the_host_is_refused():
    found = quantised("every_operation")
    with pytest.raises(DynamapError, match="the overlay has no unit for 'sigmoid', 'gated' of 'every-operation'"):
        OverlayInference(compile_network(plan_for(found), found), found)


# ---- the classifier of digits ----


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("train", ROOT / "models" / "digits" / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_test_image_through_the_circuit():
    command = [sys.executable, "docs/examples/digits.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ONNX Runtime's digits: 360 of 360; its scores: 3600 of 3600\n" in done.stdout
    right = re.search(r"digits right: (\d+) of 360", done.stdout)
    assert int(right[1]) >= 345


def test_the_classifier_in_the_repository_is_what_the_script_writes(training):
    file = onnx.load(ROOT / "models" / "digits" / "digits.onnx")
    made = training.model(training.initial(0))
    for each in (file, made):
        for constant in each.graph.initializer:
            constant.ClearField("raw_data")
    assert file.graph == made.graph
    _, (images, digits) = training.load()
    session = onnxruntime.InferenceSession(ROOT / "models" / "digits" / "digits.onnx")
    scores = np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])
    assert (scores.argmax(axis=1) == digits).mean() > 0.97


def test_its_gradients_are_differences(training):
    (images, digits), _ = training.load()
    images, digits = images[:5].astype(np.float64), digits[:5]
    # Biases beside zero: where an image is black, a sum would be right on the ReLU's corner.
    random = np.random.default_rng(0)
    parameters = {name: values + 0.1 * random.random(values.shape) for name, values in training.initial(3).items()}
    _, slopes = training.gradients(parameters, images, digits)
    for name, values in parameters.items():
        for index in random.integers(0, values.size, 4):
            step = np.zeros(values.size)
            step[index] = 1e-6
            losses = [
                training.gradients(parameters | {name: values + sign * step.reshape(values.shape)}, images, digits)[0]
                for sign in (1, -1)
            ]
            slope = (losses[0] - losses[1]) / 2e-6
            assert slopes[name].flat[index] == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_training_learns(training):
    (images, digits), (unseen, expected) = training.load()
    parameters = training.train(images[:400], digits[:400], epochs=6, rate=1e-2)
    right = (training.forward(parameters, unseen).argmax(axis=1) == expected).mean()
    assert right > 0.75
    # What the script computes is what its model says.
    session = onnxruntime.InferenceSession(training.model(parameters).SerializeToString())
    scores = session.run(None, {"image": unseen[:1]})[0]
    np.testing.assert_allclose(scores, training.forward(parameters, unseen[:1]), rtol=1e-4, atol=1e-4)
