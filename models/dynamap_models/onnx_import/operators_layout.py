"""Concatenation and everything that only moves elements, or nothing at all: nodes to drafts.

Each function drafts the node and says so, or returns False to leave it to the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from dynamap_models.errors import UnsupportedOperatorError
from dynamap_models.ir import ChannelShuffle, Concat, Reshape

from .constants import FLOAT_TYPES
from .lowering import Lowering
from .values import Site

__all__ = ["LAYOUT_OPERATORS"]


def _vanish(state: Lowering, site: Site) -> bool:
    state.alias(site.node.outputs[0], site.value(0))
    return True


def _dropout(state: Lowering, site: Site) -> bool:
    training = site.optional(2)
    if training is not None and (training.constant is None or any(site.integers(2, "training_mode"))):
        raise UnsupportedOperatorError(f"{site.label} is in training mode; export the model for inference")
    return _vanish(state, site)


def _cast(state: Lowering, site: Site) -> bool:
    """A cast between floats changes nothing here, where all floats are alike."""
    if not site.value(0).is_float or state.values[site.node.outputs[0]].elem_type not in FLOAT_TYPES:
        return False
    return _vanish(state, site)


def _reshape(state: Lowering, site: Site) -> bool:
    """The same elements in the same order under another shape."""
    value = site.value(0)
    if value.shape == state.values[site.node.outputs[0]].shape:
        return _vanish(state, site)
    if not _channel_shuffle(state, site):
        state.emit(site, Reshape(), [state.read_any(value)])
    return True


def _channel_shuffle(state: Lowering, site: Site) -> bool:
    """Reshape to (1, groups, C / groups, ...), exchange of these two axes, Reshape back."""
    transpose = state.producer(site.value(0), "Transpose")
    split = None if transpose is None else state.producer(transpose.value(0), "Reshape")
    if transpose is None or split is None:
        return False
    source, parts, result = split.value(0), split_shape(state, split), state.values[site.node.outputs[0]].shape
    order = transpose.node.integers("perm")
    rank = len(parts)
    if rank < 4 or order != (0, 2, 1, *range(3, rank)) or source.shape != result or source.rank != 4:
        return False
    if parts[0] != 1 or source.shape[0] != 1 or parts[1] * parts[2] != source.shape[1] or not source.is_float:
        return False
    state.emit(site, ChannelShuffle(groups=parts[1]), [state.read(source)])
    return True


def split_shape(state: Lowering, site: Site) -> tuple[int, ...]:
    """Shape of the tensor a node writes."""
    return state.values[site.node.outputs[0]].shape


def _transpose(state: Lowering, site: Site) -> bool:
    """A transpose that only moves axes of extent 1 is a reshape."""
    value = site.value(0)
    order = site.node.integers("perm") or tuple(reversed(range(value.rank)))
    moved = [axis for axis in order if value.shape[axis] != 1]
    if moved != sorted(moved):
        return False
    return _reshape(state, site)


def _concat(state: Lowering, site: Site) -> bool:
    values = site.present()
    first = values[0]
    if len(values) == 1:
        return _vanish(state, site)
    axis = site.axis(site.node.integer("axis", 1), first.rank)
    if axis != 1 or first.rank not in (2, 3, 4) or first.shape[0] != 1:
        return False
    if any(value.constant is not None or not value.is_float for value in values):
        return False
    if first.rank == 2:
        state.emit(site, Concat(), [state.read(value) for value in values])
    else:
        state.emit_image(site, Concat(), [state.read_image(value, site) for value in values])
    return True


def _expand(state: Lowering, site: Site) -> bool:
    """Spreading a tensor to the shape it has."""
    result = state.values[site.node.outputs[0]].shape
    return math.prod(result) == math.prod(site.shape(0)) and _reshape(state, site)


LAYOUT_OPERATORS: Mapping[str, Callable[[Lowering, Site], bool]] = {
    "Identity": _vanish,
    "Dropout": _dropout,
    "Cast": _cast,
    "CastLike": _cast,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Transpose": _transpose,
    "Concat": _concat,
    "Expand": _expand,
    "Tile": _expand,
}
