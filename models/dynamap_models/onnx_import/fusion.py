"""Simplification of drafts: what a layer can absorb is absorbed, and the values stay what they were.

Passes, each from first layer to last:

* reshapes of reshapes are one reshape, or none; a fully connected layer reads what its reshape reads;
* a scale and shift per channel goes into the convolution or fully connected layer before it, w' = s·w and
  b' = s·b + t, or into another scale and shift;
* an activation goes into the layer before it.

A layer absorbs its successor only when nobody else reads what lies between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dynamap_models.ir import Activation, Affine, Conv, ConvTranspose, Elementwise, FullyConnected, Reshape

from .constants import Array, Constant, Shape
from .drafts import Draft, drop_unread, reader_counts

__all__ = ["simplify"]


def simplify(
    drafts: Sequence[Draft], *, outputs: Sequence[str], shapes: dict[str, Shape], kept: Collection[str] = ()
) -> list[Draft]:
    """The same network in fewer layers; ``drafts`` are used up. Tensors in ``kept`` stay. O(layers) per pass."""
    simpler = drop_unread(drafts, outputs)
    simpler = _merge_reshapes(simpler, outputs, shapes)
    stays = (*outputs, *kept)
    simpler = _absorb(simpler, stays, Affine, _absorb_affine)
    return _absorb(simpler, stays, Activation, _absorb_activation)


def _merge_reshapes(drafts: Sequence[Draft], outputs: Sequence[str], shapes: dict[str, Shape]) -> list[Draft]:
    """Let readers of reshaped tensors read further up where the shape does not matter or is the same again."""
    origin: dict[str, str] = {}  # the tensor a reshaped one has its elements from
    same: dict[str, str] = {}  # an earlier tensor equal in elements and shape
    for draft in drafts:
        draft.inputs = [same.get(name, name) for name in draft.inputs]
        if isinstance(draft.operation, Reshape | FullyConnected):
            draft.inputs = [origin.get(name, name) for name in draft.inputs]
        if isinstance(draft.operation, Reshape):
            origin[draft.output] = draft.inputs[0]
            if shapes[draft.output] == shapes[draft.inputs[0]]:
                same[draft.output] = draft.inputs[0]
    return drop_unread(drafts, outputs)


def _absorb(
    drafts: Sequence[Draft],
    stays: Sequence[str],
    kind: type[Affine | Activation],
    absorb: Callable[[Draft, Draft], bool],
) -> list[Draft]:
    """Offer every layer of ``kind`` to the layer that writes its input, unless that has other readers or stays."""
    readers = reader_counts(drafts, stays)
    writers: dict[str, Draft] = {}
    kept: list[Draft] = []
    for draft in drafts:
        writer = writers.get(draft.inputs[0]) if draft.inputs else None
        if (
            isinstance(draft.operation, kind)
            and writer is not None
            and readers[writer.output] == 1
            and absorb(writer, draft)
        ):
            writer.output = draft.output
            writers[draft.output] = writer
        else:
            writers[draft.output] = draft
            kept.append(draft)
    return kept


def _absorb_activation(writer: Draft, activation: Draft) -> bool:
    operation = writer.operation
    if not isinstance(activation.operation, Activation):
        return False
    if not isinstance(operation, Conv | ConvTranspose | FullyConnected | Elementwise | Affine):
        return False
    if operation.activation is not None:
        return False
    writer.operation = replace(operation, activation=activation.operation)
    return True


def _absorb_affine(writer: Draft, affine: Draft) -> bool:
    operation, constants = writer.operation, writer.constants
    scale, shift = affine.constants.get("scale"), affine.constants.get("shift")
    match operation:
        case Conv() | FullyConnected():
            layout: Callable[[NDArray[np.float32], Array], Array] = _scale_rows
        case ConvTranspose():
            groups = operation.groups

            def layout(weight: NDArray[np.float32], factors: Array) -> Array:
                return _scale_transposed(weight, factors, groups)
        case Affine():
            if scale is not None:
                earlier = constants.get("scale")
                constants["scale"] = scale if earlier is None else _combined(scale, earlier, None, affine.name, "scale")
            _shift(constants, "shift", scale, shift, affine.name)
            return True
        case _:
            return False
    if operation.activation is not None:
        return False
    if scale is not None:
        weight, factors = constants["weight"], scale
        constants["weight"] = weight.derived(
            f"{writer.name}.weight",
            weight.shape,
            lambda array: layout(np.asarray(array, dtype=np.float32), factors.vector().astype(np.float32)),
            scale,
        )
    _shift(constants, "bias", scale, shift, writer.name)
    return True


def _shift(
    constants: dict[str, Constant], role: str, scale: Constant | None, shift: Constant | None, name: str
) -> None:
    """Replace the shift v of a layer by scale·v + shift, where what is absent is 0, 1 and 0."""
    earlier = constants.get(role)
    if earlier is None:
        if shift is not None:
            constants[role] = shift
    elif scale is not None or shift is not None:
        constants[role] = _combined(earlier, scale, shift, name, role)


def _combined(base: Constant, factor: Constant | None, term: Constant | None, name: str, role: str) -> Constant:
    """base·factor + term, in double precision until it is loaded as a parameter."""

    def make(array: Array) -> Array:
        result = np.asarray(array, dtype=np.float64).reshape(-1)
        if factor is not None:
            result = result * factor.vector()
        return result if term is None else result + term.vector()

    others = [constant for constant in (factor, term) if constant is not None]
    return base.derived(f"{name}.{role}", base.shape, make, *others)


def _scale_rows(weight: NDArray[np.float32], factors: Array) -> Array:
    return np.asarray(weight * factors.reshape(-1, *(1,) * (weight.ndim - 1)))


def _scale_transposed(weight: NDArray[np.float32], factors: Array, groups: int) -> Array:
    in_channels, out_channels, *kernel = weight.shape
    grouped = weight.reshape(groups, in_channels // groups, out_channels, *kernel)
    spread = factors.reshape(groups, 1, out_channels, *(1 for _ in kernel))
    return np.asarray(grouped * spread).reshape(weight.shape)
