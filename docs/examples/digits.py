"""A trained classifier of digits on the RTL: every test image, the digits found, and ONNX Runtime's beside them.

``models/digits/digits.onnx`` is quantised with training images, compiled for an 8x8 overlay, and every test image goes
through the simulated circuit: the input is written to its memory, the programs of all layers run, the scores are read.

    python docs/examples/digits.py [IMAGES]          the first test images; all 360 if not said (needs scikit-learn)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import dynamap_opt
from dynamap_models import QuantisedNetwork, import_onnx, quantise
from dynamap_opt.execution.inference import OverlayInference

MODEL = Path(__file__).resolve().parents[2] / "models" / "digits" / "digits.onnx"
#: At the end of the data, as in ``models/digits/train.py``; the images before trained the classifier.
TEST_IMAGES = 360
CALIBRATION_IMAGES = 200


def onnx_runtime_scores(quantised: QuantisedNetwork, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores of ONNX Runtime as it is, optimisations and all, (n, 10)."""
    session = onnxruntime.InferenceSession(quantised.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (name,) = (each.name for each in session.get_inputs())
    return np.concatenate([np.asarray(session.run(None, {name: image.reshape(1, 1, 8, 8)})[0]) for image in images])


def main() -> int:
    """Run the images and compare; 1 if anything differs."""
    count = int(sys.argv[1]) if sys.argv[1:] else TEST_IMAGES
    data: Any = load_digits()  # typed as a tuple by those who guess, which it is for other arguments
    images = (data.images[..., None] / 16).astype(np.float32)  # (height, width, channels) each, from 0 to 1
    tested, digits = images[-TEST_IMAGES:][:count], data.target[-TEST_IMAGES:][:count]
    network = import_onnx(MODEL)
    quantised = quantise(network, [{"image": image} for image in images[:CALIBRATION_IMAGES]])
    compiled = dynamap_opt.compile(quantised, "ecp5-85k", array=(8, 8))
    for layer in compiled.layers:
        how = layer.algorithm if layer.dataflow is None else f"{layer.algorithm} {layer.dataflow}"
        print(f"{layer.name:8}{layer.operation:24}{how:20}{layer.program_bytes:7,} bytes of program")

    overlay = OverlayInference(compiled, quantised)
    (output,) = quantised.network.outputs
    found = np.array([overlay({"image": image})[output].ravel() for image in tested])
    scores = quantised.tensors[output].dequantise(found)
    expected = onnx_runtime_scores(quantised, tested)
    predicted = scores.argmax(axis=1)
    right = int((predicted == digits).sum())
    equal_digits = int((predicted == expected.argmax(axis=1)).sum())
    equal_scores = int((scores == expected).sum())
    print(f"\n{count} images, {overlay.cycles:,} cycles each")
    print(f"digits right: {right} of {count}, {100 * right / count:.1f} %")
    print(f"ONNX Runtime's digits: {equal_digits} of {count}; its scores: {equal_scores} of {scores.size}")
    return 0 if (equal_digits, equal_scores) == (count, scores.size) else 1


if __name__ == "__main__":
    sys.exit(main())
