"""Train the small classifier of digits that the repository keeps as ``digits.onnx``, in numpy, and write the file.

The data are the 1797 images of 8x8 pixels that scikit-learn brings along (UCI, Optical Recognition of Handwritten
Digits). They lie in the order of their writers; the last 360 are never trained with, so that most of the test's writers
are strangers.

    python models/digits/train.py            trains (a minute) and writes models/digits/digits.onnx
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

__all__ = ["TEST_IMAGES", "forward", "gradients", "initial", "load", "model", "train"]

Array = NDArray[np.float32]
Parameters = dict[str, Array]

TEST_IMAGES = 360
#: Output channels of both convolutions; each is 3x3, with ReLU and a 2x2 maximum behind it.
CHANNELS = (16, 32)
CLASSES = 10
_DECAY, _MOMENTS, _TINY = 1e-4, (0.9, 0.999), 1e-8


def load() -> tuple[tuple[Array, NDArray[np.int64]], tuple[Array, NDArray[np.int64]]]:
    """Images (n, 1, 8, 8) from 0 to 1 and their digits: those to train with, those to test with."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    return (images[:-TEST_IMAGES], labels[:-TEST_IMAGES]), (images[-TEST_IMAGES:], labels[-TEST_IMAGES:])


def initial(seed: int) -> Parameters:
    """Weights, normal with variance 2 / fan-in, and biases of zero."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "conv1": (CHANNELS[0], 1, 3, 3),
        "conv2": (CHANNELS[1], CHANNELS[0], 3, 3),
        "dense": (CLASSES, CHANNELS[1] * 4),
    }
    parameters: Parameters = {}
    for name, shape in shapes.items():
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        parameters[f"{name}.weight"] = (deviation * random.standard_normal(shape)).astype(np.float32)
        parameters[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    return parameters


def _columns(images: Array) -> Array:
    """The 3x3 windows around every pixel: (n, height, width, channels·9)."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    n, channels, height, width = images.shape
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, height, width, channels * 9)


def _spread(columns: Array, channels: int) -> Array:
    """The transpose of :func:`_columns`: what each pixel gets from the windows it is in."""
    n, height, width, _ = columns.shape
    parts = columns.reshape(n, height, width, channels, 3, 3).transpose(0, 3, 4, 5, 1, 2)
    padded = np.zeros((n, channels, height + 2, width + 2), columns.dtype)
    for y in range(3):
        for x in range(3):
            padded[:, :, y : y + height, x : x + width] += parts[:, :, y, x]
    return padded[:, :, 1:-1, 1:-1]


def _quarters(maps: Array) -> Array:
    """2x2 blocks: (n, channels, height/2, width/2, 4)."""
    n, channels, height, width = maps.shape
    blocks = maps.reshape(n, channels, height // 2, 2, width // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return blocks.reshape(n, channels, height // 2, width // 2, 4)


def _layers(parameters: Parameters, images: Array) -> Iterator[tuple[Array, Array]]:
    """For both convolutions the windows it reads and its sums (n, channels, height, width)."""
    maps = images
    for name in ("conv1", "conv2"):
        columns, weight = _columns(maps), parameters[f"{name}.weight"]
        sums = columns @ weight.reshape(len(weight), -1).T + parameters[f"{name}.bias"]
        sums = sums.transpose(0, 3, 1, 2)
        yield columns, sums
        maps = _quarters(np.maximum(sums, 0)).max(axis=-1)


def forward(parameters: Parameters, images: Array) -> Array:
    """Scores (n, 10)."""
    *_, (_, sums) = _layers(parameters, images)
    flat = _quarters(np.maximum(sums, 0)).max(axis=-1).reshape(len(images), -1)
    scores: Array = flat @ parameters["dense.weight"].T + parameters["dense.bias"]
    return scores


def gradients(parameters: Parameters, images: Array, labels: NDArray[np.int64]) -> tuple[float, Parameters]:
    """Mean cross-entropy and its gradient by every parameter."""
    kept = list(_layers(parameters, images))
    blocks = [_quarters(np.maximum(sums, 0)) for _, sums in kept]
    last = blocks[1].max(axis=-1)
    flat = last.reshape(len(images), -1)
    scores = flat @ parameters["dense.weight"].T + parameters["dense.bias"]
    scores -= scores.max(axis=1, keepdims=True)
    chances = np.exp(scores)
    chances /= chances.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(-np.log(chances[rows, labels]).mean())
    chances[rows, labels] -= 1
    slope = chances / len(labels)
    found = {"dense.weight": slope.T @ flat, "dense.bias": slope.sum(axis=0)}
    slope = (slope @ parameters["dense.weight"]).reshape(last.shape)
    for index, name in ((1, "conv2"), (0, "conv1")):
        (columns, sums), block = kept[index], blocks[index]
        # To the first greatest of each block, where that is not below zero.
        chosen = np.arange(4) == block.argmax(axis=-1)[..., None]
        n, channels, height, width = sums.shape
        spread = (slope[..., None] * chosen).reshape(n, channels, height // 2, width // 2, 2, 2)
        slope = spread.transpose(0, 1, 2, 4, 3, 5).reshape(sums.shape) * (sums > 0)
        rows_of = slope.transpose(0, 2, 3, 1).reshape(-1, channels)
        weight = parameters[f"{name}.weight"]
        found[f"{name}.weight"] = (rows_of.T @ columns.reshape(len(rows_of), -1)).reshape(weight.shape)
        found[f"{name}.bias"] = rows_of.sum(axis=0)
        back = (rows_of @ weight.reshape(channels, -1)).reshape(columns.shape)
        slope = _spread(back, weight.shape[1])
    return loss, found


def train(
    images: Array, labels: NDArray[np.int64], *, epochs: int = 40, batch: int = 32, rate: float = 2e-3, seed: int = 0
) -> Parameters:
    """Adam (Kingma, Ba, arXiv 1412.6980) with decoupled weight decay, the rate falling along a half cosine.

    Every image is moved by a pixel at most, anew in each epoch.
    """
    random = np.random.default_rng(seed)
    parameters = initial(seed)
    first = {name: np.zeros_like(values) for name, values in parameters.items()}
    second = {name: np.zeros_like(values) for name, values in parameters.items()}
    steps, step = epochs * -(-len(images) // batch), 0
    for _ in range(epochs):
        order = random.permutation(len(images))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            _, found = gradients(parameters, _moved(images[chosen], random), labels[chosen])
            now = rate * (1 + np.cos(np.pi * step / steps)) / 2
            step += 1
            for name, slope in found.items():
                first[name] += (1 - _MOMENTS[0]) * (slope - first[name])
                second[name] += (1 - _MOMENTS[1]) * (slope**2 - second[name])
                mean, square = first[name] / (1 - _MOMENTS[0] ** step), second[name] / (1 - _MOMENTS[1] ** step)
                change = mean / (np.sqrt(square) + _TINY) + _DECAY * parameters[name]
                parameters[name] = (parameters[name] - now * change).astype(np.float32)
    return parameters


def _moved(images: Array, random: np.random.Generator) -> Array:
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    size = images.shape[-1]
    return np.stack(
        [
            image[:, y : y + size, x : x + size]
            for image, (y, x) in zip(padded, random.integers(0, 3, (len(images), 2)), strict=True)
        ]
    )


def model(parameters: Parameters) -> onnx.ModelProto:
    """The classifier as an ONNX model: ``image`` (1, 1, 8, 8) from 0 to 1, ``scores`` (1, 10)."""
    nodes = []
    maps = "image"
    for number in (1, 2):
        names = [f"conv{number}.weight", f"conv{number}.bias"]
        conv, relu, pool = f"conv{number}", f"relu{number}", f"pool{number}"
        nodes.append(helper.make_node("Conv", [maps, *names], [f"{conv}/output"], name=conv, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"{conv}/output"], [f"{relu}/output"], name=relu))
        maps = f"{pool}/output"
        nodes.append(
            helper.make_node("MaxPool", [f"{relu}/output"], [maps], name=pool, kernel_shape=[2, 2], strides=[2, 2])
        )
    nodes.append(helper.make_node("Flatten", [maps], ["flat"], name="flatten"))
    nodes.append(helper.make_node("Gemm", ["flat", "dense.weight", "dense.bias"], ["scores"], name="dense", transB=1))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, 8, 8))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, CLASSES))],
        [numpy_helper.from_array(values, name) for name, values in parameters.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def main() -> int:
    """Train, say how well the test images are told apart, and write the file."""
    (images, labels), (unseen, digits) = load()
    parameters = train(images, labels)
    right = int((forward(parameters, unseen).argmax(axis=1) == digits).sum())
    path = Path(__file__).with_name("digits.onnx")
    path.write_bytes(model(parameters).SerializeToString())
    sys.stdout.write(f"{path.name}: {right} of {len(digits)} test images right, {100 * right / len(digits):.1f} %\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
