"""Float networks to quantised ones, after training and without more of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_models.ir import Conv, FullyConnected, Network
from dynamap_models.quantised import LayerWeights, QuantisedNetwork, TensorQuantisation

from .calibration import calibrated_ranges
from .clamping import with_clamps
from .exactness import inexact_layers
from .model import quantised_model
from .parameters import with_real_weights
from .prepare import prepare
from .scales import tensor_scales
from .weights import WeightOptions, quantised_weights

__all__ = ["assembled", "quantise"]


def quantise(
    network: Network,
    calibration: Sequence[Mapping[str, NDArray[np.floating[Any]]]],
    *,
    power_of_two: bool = True,
    signed: bool = False,
    per_channel: bool = True,
    percentile: float = 100.0,
) -> QuantisedNetwork:
    """A float network in 8-bit integers.

    The result's network has the tensors of ``network`` and, where one layer became several (:mod:`prepare`), some
    between. Weights are int8, symmetric about zero. Scales and zero points follow from the ranges of values on the
    calibration inputs; tensors of a concatenation and the like share theirs (:mod:`groups`). Takes about as long as
    the inferences, one for each calibration input.

    Args:
        network: a float network; of host operators only those that can be exported, LRN and Softmax.
        calibration: maps (height, width, channels) for every input of the network, one mapping for each inference;
            :func:`~dynamap_models.quantisation.random_inputs` makes some for networks with random weights.
        power_of_two: all scales are powers of two, so that requantising is exact and an overlay's results are equal to
            ONNX Runtime's on every element. Else scales fit more closely, and results beside a tie may differ by one.
        signed: int8 maps rather than uint8.
        per_channel: weights have a scale for every output channel, else one for the layer.
        percentile: of a tensor's values that its range leaves unsaturated, see
            :func:`~dynamap_models.quantisation.calibration.calibrated_ranges`.

    Raises:
        ModelError: when the network cannot be exported, an input does not fit, or numbers are not finite.
    """
    prepared = prepare(network)
    ranges = calibrated_ranges(prepared, calibration, percentile=percentile)
    scales = tensor_scales(prepared, ranges, signed=signed, power_of_two=power_of_two)
    if scales.split:
        prepared = prepare(network, split=scales.split)
        ranges = calibrated_ranges(prepared, calibration, percentile=percentile)
        scales = tensor_scales(prepared, ranges, signed=signed, power_of_two=power_of_two)
    options = WeightOptions(per_channel=per_channel, power_of_two=power_of_two)
    weights: dict[str, LayerWeights] = {}
    for layer in prepared.layers:
        if isinstance(layer.operation, Conv | FullyConnected):
            source, output = scales.tensors[layer.inputs[0]], scales.tensors[layer.output]
            weights[layer.name] = quantised_weights(
                prepared, layer, layer.operation, source=source, output=output, options=options
            )
    return assembled(prepared, scales.tensors, weights)


def assembled(
    network: Network, tensors: Mapping[str, TensorQuantisation], weights: Mapping[str, LayerWeights]
) -> QuantisedNetwork:
    """The quantised network of these parts: activations in their one form, with the model and the promise."""
    stated = with_clamps(with_real_weights(network, tensors, weights), tensors)
    return QuantisedNetwork(
        network=stated,
        tensors=tensors,
        weights=weights,
        model=quantised_model(stated, tensors, weights),
        exact=not inexact_layers(stated, tensors, weights),
    )
