"""What is known about a tensor while a file is read, and a node together with what is known of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dynamap_models.errors import ModelError

from .constants import FLOAT_TYPES, SMALL, Constant, Shape
from .graph import Node

__all__ = ["Site", "Value"]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the file: its shape and element type, and the constant it is, if it is one."""

    name: str
    shape: Shape
    elem_type: int
    constant: Constant | None = None

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether layers may compute with it."""
        return self.elem_type in FLOAT_TYPES


@dataclass(frozen=True, eq=False)
class Site:
    """A node with the values of its inputs (None for an optional input left out)."""

    node: Node
    inputs: tuple[Value | None, ...]

    @property
    def label(self) -> str:
        """How messages call the node."""
        return self.node.label

    def optional(self, index: int) -> Value | None:
        """Input ``index``, or None."""
        return self.inputs[index] if index < len(self.inputs) else None

    def value(self, index: int) -> Value:
        """Input ``index``, which must be there."""
        value = self.optional(index)
        if value is None:
            raise ModelError(f"{self.label} lacks input {index}, which it must have")
        return value

    def shape(self, index: int) -> Shape:
        """Shape of input ``index``, which must be there."""
        return self.value(index).shape

    def present(self) -> tuple[Value, ...]:
        """All inputs that are there; at least one."""
        values = tuple(value for value in self.inputs if value is not None)
        if not values:
            raise ModelError(f"{self.label} has no inputs")
        return values

    def constant(self, index: int, meaning: str) -> Constant:
        """Input ``index``, which must be a small constant because shapes depend on it."""
        value = self.value(index)
        if value.constant is None:
            raise ModelError(
                f"{self.label} takes its {meaning} from tensor {value.name!r}, which depends on the network's input; "
                "shapes must be known before the network runs, so export the model with static shapes"
            )
        if value.constant.size > SMALL:
            raise ModelError(
                f"{self.label} takes its {meaning} from {value.name!r}, which has {value.constant.size} elements"
            )
        if not value.constant.is_quick:
            raise ModelError(
                f"{self.label} takes its {meaning} from {value.name!r}, which is computed from a tensor of "
                f"{value.constant.largest} elements; fold the constants before exporting"
            )
        return value.constant

    def integers(self, index: int, meaning: str) -> tuple[int, ...]:
        """The integers of a constant input, flattened."""
        array = np.asarray(self.constant(index, meaning).load())
        if array.dtype.kind not in "iub":
            raise ModelError(f"the {meaning} of {self.label} must be integers, not {array.dtype}")
        return tuple(int(element) for element in array.reshape(-1))

    def reals(self, index: int, meaning: str) -> tuple[float, ...]:
        """The numbers of a constant input, flattened."""
        return tuple(float(element) for element in self.constant(index, meaning).load().reshape(-1))

    def optional_integers(self, name: str, index: int) -> tuple[int, ...] | None:
        """Integers that older operator sets keep in attribute ``name`` and newer ones in input ``index``."""
        listed = self.node.integers(name)
        if listed is not None:
            return listed
        return None if self.optional(index) is None else self.integers(index, name)

    def axis(self, axis: int, rank: int, *, end: bool = False) -> int:
        """``axis`` counted from the front; ``end`` also allows the place behind the last one."""
        last = rank if end else rank - 1
        if not -rank <= axis <= last:
            raise ModelError(f"{self.label} names axis {axis} of a tensor with {rank} axes")
        return axis + rank if axis < 0 else axis

    def axes(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """Distinct axes counted from the front."""
        found = tuple(self.axis(axis, rank) for axis in axes)
        if len(set(found)) != len(found):
            raise ModelError(f"{self.label} names an axis twice: {tuple(axes)}")
        return found

    def fail(self, reason: str) -> ModelError:
        """An error about this node."""
        return ModelError(f"{self.label} {reason}")
