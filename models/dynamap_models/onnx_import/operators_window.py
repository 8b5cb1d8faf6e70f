"""Convolutions, pools and fully connected layers: nodes to drafts.

Each function drafts the node and says so, or returns False to leave it to the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from dynamap_models.ir import Conv, ConvTranspose, FullyConnected, GlobalPool, Pads, Pair, Pool, PoolKind, Reshape

from .constants import Array, Constant, Shape, elem_type_name
from .lowering import Lowering, layer_name
from .shapes_layout import pad_amounts, reduced_axes
from .values import Site, Value
from .windows import Window, resolve_transposed_window, resolve_window

__all__ = ["WINDOW_OPERATORS"]

# Activations whose results are never negative, so that a zero beside them never wins a maximum.
_NOT_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Softplus"})


def _pair(extents: Shape) -> Pair:
    """One spatial axis is the horizontal one."""
    return (1, extents[0]) if len(extents) == 1 else (extents[0], extents[1])


def _pads(begins: Shape, ends: Shape) -> Pads:
    return (0, begins[0], 0, ends[0]) if len(begins) == 1 else (begins[0], begins[1], ends[0], ends[1])


def _added(a: Shape, b: Shape) -> Shape:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _weights(site: Site) -> tuple[Constant, Constant | None] | None:
    """Weight and bias where both are constants; layers whose weights are computed are left to the host.

    Raises:
        ModelError: for numbers that are not floats.
    """
    for index, role in enumerate(("input", "weight", "bias")):
        value = site.optional(index)
        if value is not None and not value.is_float:
            raise site.fail(
                f"has {elem_type_name(value.elem_type)} elements in its {role} {value.name!r}; only float models are "
                "supported, to be quantised here"
            )
    weight, bias = site.value(1).constant, site.optional(2)
    if weight is None or (bias is not None and bias.constant is None) or site.value(0).constant is not None:
        return None
    return weight, None if bias is None else bias.constant


def _kernel_image(state: Lowering, weight: Constant) -> Constant:
    """The weight of a one-dimensional convolution as one of height 1."""
    if len(weight.shape) == 4:
        return weight
    outer, inner, width = weight.shape
    shape = (outer, inner, 1, width)
    return state.derive(weight, "image", weight.name, shape, lambda array: array.reshape(shape))


def _padded_source(state: Lowering, site: Site) -> tuple[Value, Shape, Shape] | None:
    """What a zero-padding Pad node before this one pads, and by how much at each spatial axis."""
    pad = state.producer(site.value(0), "Pad")
    if pad is None or pad.node.string("mode", "constant") != "constant":
        return None
    fill = pad.optional(2)
    if fill is None:
        zero = pad.node.real("value", 0.0) == 0
    elif fill.constant is None:
        return None
    else:
        zero = not any(pad.reals(2, "value"))
    begins, ends = pad_amounts(pad)
    if not zero or any((*begins[:2], *ends[:2])) or min((*begins, *ends)) < 0:
        return None
    return pad.value(0), begins[2:], ends[2:]


def _conv(state: Lowering, site: Site) -> bool:
    weights = _weights(site)
    if weights is None or site.value(0).rank not in (3, 4):
        return False
    source, shape = site.value(0), site.value(1).shape
    window = resolve_window(site, source.shape[2:], shape[2:])
    begins, ends = window.begins, window.ends
    padded = _padded_source(state, site)
    if padded is not None:
        source, begins, ends = padded[0], _added(begins, padded[1]), _added(ends, padded[2])
    groups = site.node.integer("group", 1)
    operation = Conv(
        in_channels=shape[1] * groups,
        out_channels=shape[0],
        kernel=_pair(window.kernel),
        stride=_pair(window.strides),
        pads=_pads(begins, ends),
        dilation=_pair(window.dilations),
        groups=groups,
        weight="",
    )
    constants = {"weight": _kernel_image(state, weights[0]), "bias": weights[1]}
    state.emit_image(site, operation, [state.read_image(source, site)], constants)
    return True


def _conv_transpose(state: Lowering, site: Site) -> bool:
    weights = _weights(site)
    if weights is None or site.value(0).rank not in (3, 4):
        return False
    source, shape = site.value(0), site.value(1).shape
    window = resolve_transposed_window(site, source.shape[2:], shape[2:])
    beyond = any(-end >= step for end, step in zip(window.ends, window.strides, strict=True))
    if window.is_dilated or beyond:
        return False
    groups = site.node.integer("group", 1)
    operation = ConvTranspose(
        in_channels=shape[0],
        out_channels=shape[1] * groups,
        kernel=_pair(window.kernel),
        stride=_pair(window.strides),
        pads=_pads(window.begins, window.ends),
        groups=groups,
        weight="",
    )
    constants = {"weight": _kernel_image(state, weights[0]), "bias": weights[1]}
    state.emit_image(site, operation, [state.read_image(source, site)], constants)
    return True


def _pool(state: Lowering, site: Site) -> bool:
    value, node = site.value(0), site.node
    if (
        not value.is_float
        or value.rank not in (3, 4)
        or value.shape[0] != 1
        or len(list(filter(None, node.outputs))) > 1
    ):
        return False
    window = resolve_window(site, value.shape[2:])
    if window.is_dilated:
        return False
    kind = PoolKind.MAX if node.op_type == "MaxPool" else PoolKind.AVERAGE
    count_pads = kind is PoolKind.AVERAGE and node.flag("count_include_pad", default=False)
    folded = _pool_after_pad(state, site, window, count_pads=count_pads)
    if folded is not None:
        value, window = folded
        count_pads = kind is PoolKind.AVERAGE
    operation = Pool(
        kind=kind,
        kernel=_pair(window.kernel),
        stride=_pair(window.strides),
        pads=_pads(window.begins, _added(window.ends, window.ceil_extra)),
        # Counting pads that are not there changes nothing, so the simpler statement is made.
        count_pads=count_pads and any((*window.begins, *window.ends)),
        ceil_extra=_pair(window.ceil_extra) if len(window.kernel) == 2 else (0, window.ceil_extra[0]),
    )
    state.emit_image(site, operation, [state.read_image(value, site)])
    return True


def _pool_after_pad(state: Lowering, site: Site, window: Window, *, count_pads: bool) -> tuple[Value, Window] | None:
    """Source and window of a pool that takes over the zeros of a Pad node before it, where the values stay the same.

    An average counts the zeros, so it must count its own pads too, or have none. A maximum ignores pads, so nothing
    negative may stand beside the zeros. Every window must still meet an element of the source.
    """
    padded = _padded_source(state, site)
    if padded is None:
        return None
    source, begins, ends = padded
    own = any((*window.begins, *window.ends))
    if site.node.op_type == "MaxPool":
        before = state.producers.get(source.name)
        if before is None or before.node.op_type not in _NOT_NEGATIVE:
            return None
    elif own and not count_pads:
        return None
    total = replace(window, begins=_added(window.begins, begins), ends=_added(window.ends, ends))
    reach = _added(total.ends, total.ceil_extra)
    if any(pad >= extent for pad, extent in zip((*total.begins, *reach), total.kernel * 2, strict=True)):
        return None
    return source, total


def _global_pool(state: Lowering, site: Site) -> bool:
    value = site.value(0)
    if not value.is_float or value.rank not in (3, 4) or value.shape[0] != 1:
        return False
    kind = PoolKind.MAX if site.node.op_type == "GlobalMaxPool" else PoolKind.AVERAGE
    state.emit_image(site, GlobalPool(kind), [state.read_image(value, site)])
    return True


def _reduce(state: Lowering, site: Site) -> bool:
    """A mean or maximum over all pixels is a global pool."""
    value = site.value(0)
    if not value.is_float or value.rank not in (3, 4) or value.shape[0] != 1:
        return False
    if sorted(reduced_axes(site)) != list(range(2, value.rank)):
        return False
    operation = GlobalPool(PoolKind.MAX if site.node.op_type == "ReduceMax" else PoolKind.AVERAGE)
    source = state.read_image(value, site)
    if site.node.flag("keepdims", default=True):
        state.emit_image(site, operation, [source])
    else:
        pooled = state.fresh(f"{site.node.outputs[0]}/pooled")
        state.add(layer_name(site), operation, [source], pooled, (1, value.shape[1], 1, 1))
        state.emit(site, Reshape(), [pooled])
    return True


def _gemm(state: Lowering, site: Site) -> bool:
    node, value = site.node, site.value(0)
    weights = _weights(site)
    if weights is None or node.flag("transA", default=False) or value.shape[0] != 1:
        return False
    weight, bias = weights
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    if not node.flag("transB", default=False):
        weight = state.derive(weight, "transpose", weight.name, weight.shape[::-1], np.transpose)
    features = (weight.shape[0],)
    name = layer_name(site)
    if alpha != 1:
        weight = weight.derived(f"{name}.weight", weight.shape, lambda array: _scaled(array, alpha))
    if bias is not None and beta == 0:
        bias = None
    if bias is not None and (beta != 1 or bias.shape != features):

        def spread(array: Array) -> Array:
            return np.broadcast_to(_scaled(array.reshape(-1), beta), features)

        bias = bias.derived(f"{name}.bias", features, spread)
    operation = FullyConnected(in_features=weight.shape[1], out_features=weight.shape[0], weight="")
    state.emit(site, operation, [state.read_any(value)], {"weight": weight, "bias": bias})
    return True


def _scaled(array: Array, factor: float) -> Array:
    """``array`` times ``factor``, at no cost where that is one."""
    return array if factor == 1 else np.asarray(np.asarray(array, dtype=np.float32) * np.float32(factor))


def _matmul(state: Lowering, site: Site) -> bool:
    value, weight = site.value(0), site.value(1).constant
    if weight is None or len(weight.shape) != 2 or value.constant is not None or value.rank < 2:
        return False
    if not value.is_float or not weight.is_float or math.prod(value.shape[:-1]) != 1:
        return False
    weight = state.derive(weight, "transpose", weight.name, weight.shape[::-1], np.transpose)
    operation = FullyConnected(in_features=weight.shape[1], out_features=weight.shape[0], weight="")
    state.emit(site, operation, [state.read_any(value)], {"weight": weight})
    return True


WINDOW_OPERATORS: Mapping[str, Callable[[Lowering, Site], bool]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "ReduceMean": _reduce,
    "ReduceMax": _reduce,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
