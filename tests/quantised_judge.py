"""What a quantised network computes, in exact integers: numpy and divisions without remainders lost, no float."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from dynamap_models.ir import (
    Activation,
    ActivationKind,
    Concat,
    Conv,
    Elementwise,
    FullyConnected,
    GlobalPool,
    Pool,
    PoolKind,
    Reshape,
)


class Judge:
    """Computes the layers that integers have, one by one, each from the maps it is given.

    Attributes:
        ties: how many results lay exactly between two integers.
    """

    def __init__(self, quantised):
        self.quantised, self.network, self.ties = quantised, quantised.network, 0

    def layer(self, layer, maps):
        """The exact result of a layer from maps (height, width, channels) by tensor."""
        operation = layer.operation
        sources = [maps[name].astype(np.int64) for name in layer.inputs]
        stored = [self.quantised.tensors[name] for name in layer.inputs]
        out, target = self.network.output_tensor(layer), self.quantised.tensors[layer.output]
        real = [source - each.zero_point for source, each in zip(sources, stored, strict=True)]
        match operation:
            case Conv():
                sums = convolved(real[0], operation, self.quantised.weights[layer.name], out)
                steps = self.products(layer, sums, stored[0], target)
            case FullyConnected():
                weights = self.quantised.weights[layer.name]
                sums = (weights.values[:, :, 0, 0] - weights.zero_point) @ real[0].reshape(-1) + weights.bias
                steps = self.products(layer, sums.reshape(1, 1, -1), stored[0], target)
            case Elementwise():
                scales = [Fraction(each.scale) / Fraction(target.scale) for each in stored]
                common = int(np.lcm.reduce([scale.denominator for scale in scales]))
                terms = [int(scale * common) * value for scale, value in zip(scales, real, strict=True)]
                steps = self.rounded(sum(terms), 1, common)
            case GlobalPool(kind=PoolKind.AVERAGE) | Pool(kind=PoolKind.AVERAGE):
                ratio = Fraction(stored[0].scale) / Fraction(target.scale)
                sums, counts = pooled(real[0], operation, out)
                steps = self.rounded(sums, ratio.numerator, counts.astype(object) * ratio.denominator)
            case GlobalPool():
                return sources[0].max(axis=(0, 1), keepdims=True)
            case Pool():
                windows = (windows_at(sources[0], operation, at, fill=target.limits[0]) for at in pixels(out))
                result = np.stack([window.max(axis=(0, 1)) for window in windows])
                return result.reshape(out.height, out.width, -1)
            case Concat():
                return np.concatenate(sources, axis=-1)
            case Reshape():
                flat = np.moveaxis(sources[0], -1, 0).reshape(out.channels, out.height, out.width)
                return np.moveaxis(flat, 0, -1)
            case Activation():
                steps = real[0]
            case _:
                raise AssertionError(operation)
        return np.clip(steps + target.zero_point, *limits(layer, target))

    def products(self, layer, sums, source, target):
        """Sums of products, by channel, in units of the target; the factor as ONNX Runtime has it, in float32."""
        factors = [
            Fraction(float(np.float32(np.float32(source.scale) * scale) / np.float32(target.scale)))
            for scale in self.quantised.weights[layer.name].scale
        ]
        columns = [
            self.rounded(sums[..., channel], factor.numerator, factor.denominator)
            for channel, factor in enumerate(factors)
        ]
        return np.stack(columns, axis=-1)

    def rounded(self, values, numerator, denominators):
        """Nearest integers to values · numerator / denominators, halves to even, in Python's integers."""
        top = values.astype(object) * numerator
        whole = top // denominators
        twice = 2 * (top - whole * denominators) - denominators
        self.ties += int(np.count_nonzero(twice == 0))
        return (whole + ((twice > 0) | ((twice == 0) & (whole % 2 == 1)))).astype(np.int64)


def limits(layer, target):
    """Saturation, and what the layer's activation leaves."""
    low, high = (-128, 127) if target.signed else (0, 255)
    operation = layer.operation
    activation = operation if isinstance(operation, Activation) else getattr(operation, "activation", None)
    if activation is None:
        return low, high
    assert activation.kind in {ActivationKind.RELU, ActivationKind.CLIP}
    if activation.kind is ActivationKind.RELU:
        return target.zero_point, high
    if np.isfinite(activation.low):
        low = max(low, round(activation.low / target.scale) + target.zero_point)
    if np.isfinite(activation.high):
        high = min(high, round(activation.high / target.scale) + target.zero_point)
    return low, high


def pixels(out):
    return [(y, x) for y in range(out.height) for x in range(out.width)]


def windows_at(image, operation, at, *, fill, dilation=(1, 1)):
    """The window of one output pixel, padding filled."""
    (top, left, *_), (height, width, _) = operation.pads, image.shape
    rows, columns = (
        [at[axis] * operation.stride[axis] - pad + tap * dilation[axis] for tap in range(operation.kernel[axis])]
        for axis, pad in enumerate((top, left))
    )
    window = np.full((len(rows), len(columns), image.shape[2]), fill, np.int64)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if 0 <= row < height and 0 <= column < width:
                window[i, j] = image[row, column]
    return window


def convolved(image, operation, weights, out):
    kernels = weights.values - weights.zero_point
    inputs, outputs = operation.in_channels // operation.groups, operation.out_channels // operation.groups
    sums = np.empty((out.height, out.width, operation.out_channels), np.int64)
    for y, x in pixels(out):
        window = windows_at(image, operation, (y, x), fill=0, dilation=operation.dilation)
        for group in range(operation.groups):
            ours = slice(group * outputs, (group + 1) * outputs)
            part = window[:, :, group * inputs : (group + 1) * inputs]
            sums[y, x, ours] = np.einsum("ijc,ocij->o", part, kernels[ours])
    return sums + weights.bias


def pooled(image, operation, out):
    """Sums of windows, and what each divides by."""
    if isinstance(operation, GlobalPool):
        return image.sum(axis=(0, 1), keepdims=True), np.full((1, 1, 1), image.shape[0] * image.shape[1])
    counted = np.ones((*image.shape[:2], 1), np.int64)
    top, left, bottom, right = operation.pads
    if operation.count_pads:
        # The file's own pads count, what the ceiling mode added does not.
        bottom, right = bottom - operation.ceil_extra[0], right - operation.ceil_extra[1]
        counted = np.pad(counted, ((top, bottom), (left, right), (0, 0)), constant_values=1)
    sums, counts = [], []
    for at in pixels(out):
        sums.append(windows_at(image, operation, at, fill=0).sum(axis=(0, 1)))
        y, x = (at[axis] * operation.stride[axis] for axis in (0, 1))
        if not operation.count_pads:
            counts.append(windows_at(counted, operation, at, fill=0).sum())
        else:
            counts.append(counted[y : y + operation.kernel[0], x : x + operation.kernel[1]].sum())
    shape = (out.height, out.width, -1)
    return np.array(sums).reshape(shape), np.array(counts).reshape(shape)
