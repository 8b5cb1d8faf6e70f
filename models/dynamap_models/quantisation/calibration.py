"""Ranges of a float network's tensors, from ONNX Runtime on inputs somebody gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_models._runtime import session
from dynamap_models.errors import ModelError
from dynamap_models.ir import Network
from dynamap_models.onnx_export import export_onnx
from dynamap_models.quantised import from_map

from .scales import Range

__all__ = ["calibrated_ranges", "random_inputs"]

FloatMap = NDArray[np.floating[Any]]


def random_inputs(network: Network, count: int, seed: int) -> list[dict[str, NDArray[np.float32]]]:
    """Inputs for networks with random weights: standard normal maps (height, width, channels) for every input.

    Raises:
        ModelError: when ``count`` is not positive.
    """
    if count < 1:
        raise ModelError(f"a network is calibrated on one input or more, not {count}")
    rng = np.random.default_rng(seed)
    tensors = [network.tensors[name] for name in network.inputs]
    return [
        {
            tensor.name: rng.standard_normal((tensor.height, tensor.width, tensor.channels), dtype=np.float32)
            for tensor in tensors
        }
        for _ in range(count)
    ]


def calibrated_ranges(
    network: Network, calibration: Sequence[Mapping[str, FloatMap]], *, percentile: float = 100.0
) -> dict[str, Range]:
    """The least and the greatest value of every tensor over all inputs.

    Args:
        network: a float network that can be exported.
        calibration: maps (height, width, channels) for every input of the network, one mapping for each inference.
        percentile: with less than 100, that share of a tensor's values lies below the greatest and above the least
            value, inference by inference; the widest of these ranges is taken.

    Raises:
        ModelError: when there is no input, one does not fit the network, values are not finite, or the percentile is
            not above 50 and at most 100.
    """
    if not calibration:
        raise ModelError(f"network {network.name!r} cannot be calibrated without inputs; give one or more")
    if not 50 < percentile <= 100:
        raise ModelError(f"a calibration percentile must be above 50 and at most 100, not {percentile}")
    model = export_onnx(network)
    described = {entry.name: entry for entry in (*model.graph.value_info, *model.graph.output)}
    written = [layer.output for layer in network.layers]
    del model.graph.output[:]
    model.graph.output.extend(described[name] for name in written)
    runtime = session(model)
    ranges: dict[str, Range] = {}
    for sample in calibration:
        feeds = _feeds(network, sample)
        arrays = {**feeds, **dict(zip(written, runtime.run(written, feeds), strict=True))}
        for name, array in arrays.items():
            low, high = _range(array, percentile)
            if not np.isfinite(low) or not np.isfinite(high):
                raise ModelError(
                    f"tensor {name!r} of network {network.name!r} is not finite on a calibration input; check both"
                )
            least, greatest = ranges.get(name, (low, high))
            ranges[name] = (min(least, low), max(greatest, high))
    return ranges


def _range(array: FloatMap, percentile: float) -> Range:
    if percentile == 100:
        return float(array.min()), float(array.max())
    low, high = np.percentile(array, (100 - percentile, percentile))
    return float(low), float(high)


def _feeds(network: Network, sample: Mapping[str, FloatMap]) -> dict[str, NDArray[np.float32]]:
    """A calibration input as the exported model reads it."""
    if set(sample) != set(network.inputs):
        raise ModelError(
            f"a calibration input of network {network.name!r} must have maps for {', '.join(map(repr, network.inputs))}"
            f", not for {', '.join(map(repr, sample)) or 'none'}"
        )
    feeds: dict[str, NDArray[np.float32]] = {}
    for name in network.inputs:
        tensor, given = network.tensors[name], np.asarray(sample[name])
        shape = (tensor.height, tensor.width, tensor.channels)
        if given.shape != shape or given.dtype.kind != "f":
            raise ModelError(
                f"a calibration input {name!r} must be a float map of shape {shape} (height, width, channels), not "
                f"{given.dtype} of {given.shape}"
            )
        feeds[name] = from_map(tensor, given.astype(np.float32))
    return feeds
