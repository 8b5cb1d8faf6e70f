"""Activations, sums, products and normalisation: nodes to drafts.

Each function drafts the node and says so, or returns False to leave it to the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from dynamap_models.errors import UnsupportedOperatorError
from dynamap_models.ir import Activation, ActivationKind, Affine, Elementwise, ElementwiseKind

from .constants import Array, Constant, Shape
from .lowering import Lowering, layer_name
from .shapes import aligned_shape
from .values import Site, Value

__all__ = ["POINTWISE_OPERATORS"]

_Change = Callable[[Array], Array]


def _emit_pointwise(state: Lowering, site: Site, value: Value, activation: Activation) -> bool:
    if not value.is_float:
        return False
    if state.is_image(value):
        state.emit_image(site, activation, [state.read_image(value, site)])
    else:
        state.emit(site, activation, [state.read(value)])
    return True


def _simple(kind: ActivationKind) -> Callable[[Lowering, Site], bool]:
    return lambda state, site: _emit_pointwise(state, site, site.value(0), Activation(kind))


def _sloped(kind: ActivationKind, default: float) -> Callable[[Lowering, Site], bool]:
    def lower(state: Lowering, site: Site) -> bool:
        activation = Activation(kind, alpha=site.node.real("alpha", default))
        return _emit_pointwise(state, site, site.value(0), activation)

    return lower


def _hard_sigmoid(state: Lowering, site: Site) -> bool:
    alpha, beta = site.node.real("alpha", 0.2), site.node.real("beta", 0.5)
    activation = Activation(ActivationKind.HARD_SIGMOID, alpha=alpha, beta=beta)
    return _emit_pointwise(state, site, site.value(0), activation)


def _gelu(state: Lowering, site: Site) -> bool:
    if site.node.string("approximate", "none") != "none":
        return False
    return _emit_pointwise(state, site, site.value(0), Activation(ActivationKind.GELU))


def _swish(state: Lowering, site: Site) -> bool:
    if site.node.real("alpha", 1.0) != 1:
        return False
    return _emit_pointwise(state, site, site.value(0), Activation(ActivationKind.SWISH))


def _clip(state: Lowering, site: Site) -> bool:
    bounds: list[float] = []
    for index, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), start=1):
        given = site.optional(index)
        if given is None:
            bounds.append(site.node.real(name, default))
        elif given.constant is None:
            return False
        else:
            numbers = site.reals(index, name)
            if len(numbers) != 1:
                raise site.fail(f"has a {name} of {len(numbers)} elements; it must be one number")
            bounds.append(numbers[0])
    low, high = bounds
    # The file formats' largest floats mean no bound, as operator sets before 11 wrote it.
    limit = float(np.finfo(np.float32).max)
    low, high = (-math.inf if low <= -limit else low), (math.inf if high >= limit else high)
    if low == 0 and high == math.inf:
        activation = Activation(ActivationKind.RELU)
    else:
        activation = Activation(ActivationKind.CLIP, low=low, high=high)
    return _emit_pointwise(state, site, site.value(0), activation)


def _prelu(state: Lowering, site: Site) -> bool:
    slope = site.value(1).constant
    if slope is None or slope.size != 1:
        return False
    (alpha,) = site.reals(1, "slope")
    return _emit_pointwise(state, site, site.value(0), Activation(ActivationKind.LEAKY_RELU, alpha=alpha))


def _batch_normalization(state: Lowering, site: Site) -> bool:
    node, value = site.node, site.value(0)
    if (
        node.flag("training_mode", default=False)
        or len(list(filter(None, node.outputs))) > 1
        or not node.flag("spatial", default=True)
    ):
        raise UnsupportedOperatorError(f"{site.label} is in training or per-element mode; export it for inference")
    if value.rank < 2:
        raise site.fail(f"normalises a tensor of shape {value.shape}, which has no channels")
    channels = value.shape[1]
    constants: list[Constant] = []
    for index, role in enumerate(("scale", "bias", "mean", "variance"), start=1):
        given = site.value(index)
        if given.shape != (channels,):
            raise site.fail(f"has a {role} of shape {given.shape}, but {channels} channels")
        if given.constant is None or not given.is_float:
            return False
        constants.append(given.constant)
    gamma, beta, mean, variance = constants
    epsilon = node.real("epsilon", 1e-5)

    def scale_of(array: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.asarray(array, dtype=np.float64) / np.sqrt(variance.vector() + epsilon))

    def shift_of(array: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.asarray(array, dtype=np.float64) - mean.vector() * scale_of(gamma.load()))

    name = layer_name(site)
    scale = gamma.derived(f"{name}.scale", (channels,), scale_of, variance)
    shift = beta.derived(f"{name}.shift", (channels,), shift_of, gamma, mean, variance)
    return _emit_affine(state, site, value, scale, shift)


def _emit_affine(state: Lowering, site: Site, value: Value, scale: Constant | None, shift: Constant | None) -> bool:
    if not value.is_float or value.shape[:1] != (1,) or value.rank not in (2, 3, 4):
        return False
    constants = {"scale": scale, "shift": shift}
    if value.rank == 2:
        state.emit(site, Affine("", ""), [state.read(value)], constants)
    else:
        state.emit_image(site, Affine("", ""), [state.read_image(value, site)], constants)
    return True


def _per_channel(
    site: Site, value: Value, constant: Constant, shape: Shape, name: str, change: _Change
) -> Constant | None:
    """``change(constant)`` as a vector over the channels of ``value``, or None where it varies along other axes."""
    if value.rank < 2 or len(shape) > value.rank or not constant.is_float:
        return None
    channels = value.shape[1]
    aligned = (1,) * (value.rank - len(shape)) + shape
    if any(extent != 1 for axis, extent in enumerate(aligned) if axis != 1) or aligned[1] not in (1, channels):
        return None

    def spread(array: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.broadcast_to(change(np.asarray(array, dtype=np.float64).reshape(-1)), (channels,))

    return constant.derived(f"{layer_name(site)}.{name}", (channels,), spread)


def _with_constant(state: Lowering, site: Site) -> bool:
    """Arithmetic of a tensor with a constant that is the same for all pixels: a scale or a shift per channel."""
    first, second = site.value(0), site.value(1)
    turned = first.constant is not None
    value, other = (second, first) if turned else (first, second)
    constant = other.constant
    if constant is None or value.constant is not None:
        return False
    shape = first.shape if turned else aligned_shape(site, 1)
    op_type = site.node.op_type
    changes: Mapping[str, tuple[str, _Change]] = {
        "Add": ("shift", lambda x: x),
        "Sum": ("shift", lambda x: x),
        "Sub": ("shift", (lambda x: x) if turned else np.negative),
        "Mul": ("scale", lambda x: x),
        "Div": ("scale", np.reciprocal),
    }
    if op_type == "Div" and turned:
        return False
    role, change = changes[op_type]
    vector = _per_channel(site, value, constant, shape, role, change)
    if vector is None:
        return False
    scale, shift = (vector, None) if role == "scale" else (None, vector)
    if op_type == "Sub" and turned:
        scale = vector.derived(f"{layer_name(site)}.scale", vector.shape, lambda x: np.full(x.shape, -1.0))
    return _emit_affine(state, site, value, scale, shift)


def _elementwise(kind: ElementwiseKind) -> Callable[[Lowering, Site], bool]:
    def lower(state: Lowering, site: Site) -> bool:
        values = site.present()
        if len(values) == 1:
            state.alias(site.node.outputs[0], values[0])
            return True
        if len(values) == 2 and any(value.constant is not None for value in values):
            return _with_constant(state, site)
        if kind is ElementwiseKind.MULTIPLY and _gated(state, site):
            return True
        if any(value.constant is not None or not value.is_float for value in values):
            return False
        result = state.values[site.node.outputs[0]].shape
        if any(value.shape != result and value.shape != _one_pixel(result) for value in values):
            return False
        if len(result) == 3 and result[0] == 1 and any(state.is_image(value) for value in values):
            state.emit_image(site, Elementwise(kind), [state.read_image(value, site) for value in values])
        elif len(result) == 3 and any(value.shape != result for value in values):
            return False
        else:
            state.emit(site, Elementwise(kind), [state.read(value) for value in values])
        return True

    return lower


def _one_pixel(shape: Shape) -> Shape | None:
    """Shape of a tensor that is spread over the pixels of an image."""
    return (1, shape[1], *(1 for _ in shape[2:])) if shape[:1] == (1,) and len(shape) in (3, 4) else None


def _gated(state: Lowering, site: Site) -> bool:
    """A tensor times its own sigmoid, straight or hard, is one activation."""
    for gate, value in ((site.value(0), site.value(1)), (site.value(1), site.value(0))):
        soft = state.producer(gate, "Sigmoid")
        if soft is not None and soft.value(0).name == value.name:
            return _emit_pointwise(state, site, value, Activation(ActivationKind.SWISH))
        hard = state.producer(gate, "HardSigmoid")
        if hard is not None and hard.value(0).name == value.name:
            alpha, beta = hard.node.real("alpha", 0.2), hard.node.real("beta", 0.5)
            if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
                return _emit_pointwise(state, site, value, Activation(ActivationKind.HARD_SWISH))
    return False


POINTWISE_OPERATORS: Mapping[str, Callable[[Lowering, Site], bool]] = {
    "Relu": _simple(ActivationKind.RELU),
    "Sigmoid": _simple(ActivationKind.SIGMOID),
    "Tanh": _simple(ActivationKind.TANH),
    "HardSwish": _simple(ActivationKind.HARD_SWISH),
    "LeakyRelu": _sloped(ActivationKind.LEAKY_RELU, 0.01),
    "Elu": _sloped(ActivationKind.ELU, 1.0),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Swish": _swish,
    "Clip": _clip,
    "PRelu": _prelu,
    "BatchNormalization": _batch_normalization,
    "Add": _elementwise(ElementwiseKind.ADD),
    "Sum": _elementwise(ElementwiseKind.ADD),
    "Mul": _elementwise(ElementwiseKind.MULTIPLY),
    "Sub": _with_constant,
    "Div": _with_constant,
}
