"""Weights as ONNX Runtime multiplies them exactly on every processor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def exact_weights(weights: NDArray[np.int8], inputs: np.dtype) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Weights of the same value, with one zero point per output channel (the first axis), for inputs of a type.

    Without VNNI instructions ONNX Runtime adds two products of uint8 inputs and int8 weights in sixteen bits, with
    saturation; uint8 weights, here with a zero point of 128, take another kernel, which is exact.
    """
    zeros = np.zeros(len(weights), np.int8)
    if np.dtype(inputs) == np.int8:
        return weights, zeros
    return (weights.astype(np.int16) + 128).astype(np.uint8), zeros.astype(np.uint8) + np.uint8(128)
