"""Constant folding with numpy: the value of a node whose inputs are all known before the network runs.

Small results are computed at once, because shapes depend on them. Large ones are weights: they become constants that
compute themselves when somebody loads them, so that reading a network costs no memory for its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import TensorProto, helper

from dynamap_models.errors import ModelError

from .constants import ELEMENT_TYPES, SMALL, Array, Constant, Shape, check_shape, elem_type_name
from .shapes import aligned_shape
from .shapes_layout import pad_amounts, reduced_axes, slice_ranges
from .values import Site

__all__ = ["fold"]

# Tensors that computing must store, unlike broadcast ones; twice the largest weight of any network we know (VGG's).
_LARGEST_STORED = 2**28

_Fold = Callable[[Site, Sequence[Array], Sequence[Shape]], Sequence[Array]]


def fold(site: Site, shapes: Sequence[Shape], elem_types: Sequence[int]) -> tuple[Constant, ...] | None:
    """The constants a node writes, or None when it depends on the network's input or cannot be folded.

    Raises:
        ModelError: when the node's values break its operator's rules.
    """
    node = site.node
    if node.op_type == "Constant":
        return (_constant_node(site),)
    if node.op_type in {"Shape", "Size"}:
        return (_shape_constant(site),)
    function = _FOLDS.get(node.op_type)
    constants = [None if value is None else value.constant for value in site.inputs]
    present = [constant for constant in constants if constant is not None]
    if function is None or not present or any(v is not None and v.constant is None for v in site.inputs):
        return None
    sizes = [math.prod(shape) for shape in shapes[: len(node.outputs)]]
    for name, shape, elem_type in zip(node.outputs, shapes, elem_types, strict=False):
        check_shape(shape, f"constant {name!r}", allow_empty=True)
        _dtype(elem_type, site)
    stored = max(*sizes, *(constant.size for constant in present))
    if node.op_type not in {"ConstantOfShape", "Expand"} and stored > _LARGEST_STORED:
        raise site.fail(f"computes with a constant of {stored} elements, which is too large to be meant")

    def evaluate() -> Sequence[Array]:
        arrays = [np.zeros(0) if constant is None else constant.load() for constant in constants]
        try:
            with np.errstate(all="ignore"):
                results = function(site, arrays, shapes)
                return [
                    np.asarray(result).astype(_dtype(elem_type, site), copy=False).reshape(shape)
                    for result, elem_type, shape in zip(results, elem_types, shapes, strict=False)
                ]
        except (ValueError, TypeError, IndexError, OverflowError, ArithmeticError) as error:
            if isinstance(error, ModelError):
                raise
            raise site.fail(f"cannot be computed from its constant inputs: {error}") from error

    inner = max(constant.largest for constant in present)
    if max(*sizes, inner) <= SMALL:
        return tuple(
            Constant.of(name, array, elem_type)
            for name, array, elem_type in zip(node.outputs, evaluate(), elem_types, strict=False)
        )

    def later(index: int) -> Callable[[], Array]:
        return lambda: evaluate()[index]

    work = 1 + sum(constant.work for constant in present)
    return tuple(
        Constant(name=name, shape=shape, elem_type=elem_type, load=later(index), work=work, inner=inner)
        for index, (name, shape, elem_type) in enumerate(zip(node.outputs, shapes, elem_types, strict=False))
    )


def _dtype(elem_type: int, site: Site) -> np.dtype[np.generic]:
    if elem_type not in ELEMENT_TYPES:
        raise site.fail(f"makes a constant of {elem_type_name(elem_type)} elements, which are not supported")
    dtype: np.dtype[np.generic] = helper.tensor_dtype_to_np_dtype(elem_type)
    return dtype


def _constant_node(site: Site) -> Constant:
    node = site.node
    name = node.outputs[0]
    tensor = node.tensor("value")
    if tensor is not None:
        return Constant(name=name, shape=tensor.shape, elem_type=tensor.elem_type, load=tensor.load)
    attributes = node.attributes
    if "value_float" in attributes:
        return Constant.of(name, np.array(node.real("value_float"), dtype=np.float32), TensorProto.FLOAT)
    if "value_floats" in attributes:
        return Constant.of(name, np.array(node.reals("value_floats"), dtype=np.float32), TensorProto.FLOAT)
    if "value_int" in attributes:
        return Constant.of(name, np.array(node.integer("value_int"), dtype=np.int64), TensorProto.INT64)
    if "value_ints" in attributes:
        return Constant.of(name, np.array(node.integers("value_ints"), dtype=np.int64), TensorProto.INT64)
    raise site.fail("holds no value of a supported kind; it must be a dense tensor of numbers")


def _shape_constant(site: Site) -> Constant:
    node, shape = site.node, site.shape(0)
    if node.op_type == "Size":
        array = np.array(math.prod(shape), dtype=np.int64)
    else:
        kept = shape[node.integer("start", 0) : node.integer("end", len(shape))]
        array = np.array(kept, dtype=np.int64)
    return Constant.of(node.outputs[0], array, TensorProto.INT64)


def _unary(function: Callable[[Array], Array]) -> _Fold:
    return lambda _site, arrays, _shapes: [function(arrays[0])]


def _chain(function: Callable[[Array, Array], Array]) -> _Fold:
    """An operator of two or more inputs, applied from the left."""

    def apply(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
        result = arrays[0]
        for index, array in enumerate(arrays[1:], start=1):
            result = function(result, array.reshape(aligned_shape(site, index)))
        return [result]

    return apply


def _divide(a: Array, b: Array) -> Array:
    """Division that truncates integers toward zero, as ONNX does and Python does not."""
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    if not np.all(b):
        raise ZeroDivisionError("division by zero")
    quotient = a // b
    return np.asarray(quotient + ((quotient < 0) & (quotient * b != a)))


def _modulo(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
    a, b = arrays
    if a.dtype.kind in "iu" and not np.all(b):
        raise ZeroDivisionError("division by zero")
    return [np.fmod(a, b) if site.node.flag("fmod", default=False) else np.mod(a, b)]


def _constant_of_shape(site: Site, _arrays: Sequence[Array], shapes: Sequence[Shape]) -> Sequence[Array]:
    value = site.node.tensor("value")
    if value is None:
        return [np.broadcast_to(np.float32(0), shapes[0])]
    if value.size != 1:
        raise site.fail(f"fills with a value of {value.size} elements; it must be one")
    return [np.broadcast_to(value.load().reshape(()), shapes[0])]


def _to_shape(_site: Site, arrays: Sequence[Array], shapes: Sequence[Shape]) -> Sequence[Array]:
    return [arrays[0].reshape(shapes[0])]


def _transpose(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
    return [arrays[0].transpose(site.node.integers("perm"))]


def _concat(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
    return [np.concatenate(list(arrays), axis=site.node.integer("axis", 1))]


def _gather(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
    if arrays[1].dtype.kind not in "iu":
        raise site.fail("gathers by indices that are not integers")
    return [np.take(arrays[0], arrays[1], axis=site.node.integer("axis", 0))]


def _slice(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
    result = arrays[0]
    for axis, kept in slice_ranges(site).items():
        # A range that runs down to element 0 has the stop -1, which a Python slice would read as the last element.
        stop = None if kept.stop < 0 else kept.stop
        result = result[(slice(None),) * axis + (slice(kept.start, stop, kept.step) if len(kept) else slice(0, 0),)]
    return [result]


def _split(site: Site, arrays: Sequence[Array], shapes: Sequence[Shape]) -> Sequence[Array]:
    axis = site.axis(site.node.integer("axis", 0), arrays[0].ndim)
    cuts = np.cumsum([shape[axis] for shape in shapes])[:-1]
    return np.split(arrays[0], cuts, axis=axis)


def _expand(_site: Site, arrays: Sequence[Array], shapes: Sequence[Shape]) -> Sequence[Array]:
    return [np.broadcast_to(arrays[0], shapes[0])]


def _tile(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
    return [np.tile(arrays[0], site.integers(1, "repeats"))]


def _range(_site: Site, arrays: Sequence[Array], shapes: Sequence[Shape]) -> Sequence[Array]:
    start, _, step = (array.reshape(()) for array in arrays)
    return [start + np.arange(shapes[0][0]).astype(start.dtype) * step]


def _pad(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
    begins, ends = pad_amounts(site)
    if site.node.string("mode", "constant") != "constant" or min((*begins, *ends), default=0) < 0:
        raise site.fail("pads a constant with a mode or amount that is not supported")
    value = arrays[2].reshape(-1)[0] if len(arrays) > 2 and arrays[2].size else site.node.real("value", 0.0)
    return [np.pad(arrays[0], list(zip(begins, ends, strict=True)), constant_values=value)]


def _mean(array: Array, *, axis: tuple[int, ...]) -> Array:
    if array.size == 0:
        raise ZeroDivisionError("a mean of no elements")
    return np.asarray(np.mean(array, axis=axis))


def _reduction(function: Callable[..., Array]) -> _Fold:
    def apply(site: Site, arrays: Sequence[Array], _shapes: Sequence[Shape]) -> Sequence[Array]:
        axes = reduced_axes(site)
        return [function(arrays[0], axis=axes) if axes else arrays[0]]

    return apply


_FOLDS: Mapping[str, _Fold] = {
    **dict.fromkeys(
        ("Cast", "CastLike", "Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze"),
        _to_shape,
    ),
    "ConstantOfShape": _constant_of_shape,
    "Transpose": _transpose,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "Pad": _pad,
    "Add": _chain(np.add),
    "Sum": _chain(np.add),
    "Sub": _chain(np.subtract),
    "Mul": _chain(np.multiply),
    "Div": _chain(_divide),
    "Mod": _modulo,
    "Pow": _chain(np.power),
    "Min": _chain(np.minimum),
    "Max": _chain(np.maximum),
    "And": _chain(np.logical_and),
    "Or": _chain(np.logical_or),
    "Xor": _chain(np.logical_xor),
    "Equal": _chain(np.equal),
    "Less": _chain(np.less),
    "LessOrEqual": _chain(np.less_equal),
    "Greater": _chain(np.greater),
    "GreaterOrEqual": _chain(np.greater_equal),
    "Where": lambda _site, arrays, _shapes: [np.where(arrays[0], arrays[1], arrays[2])],
    "Not": _unary(np.logical_not),
    "Neg": _unary(np.negative),
    "Abs": _unary(np.absolute),
    "Sqrt": _unary(np.sqrt),
    "Exp": _unary(np.exp),
    "Log": _unary(np.log),
    "Floor": _unary(np.floor),
    "Ceil": _unary(np.ceil),
    "Round": _unary(np.rint),
    "Reciprocal": _unary(np.reciprocal),
    "ReduceSum": _reduction(np.sum),
    "ReduceProd": _reduction(np.prod),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(np.min),
    "ReduceMax": _reduction(np.max),
}
