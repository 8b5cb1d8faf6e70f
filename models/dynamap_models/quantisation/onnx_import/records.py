"""What a quantised file says of its tensors: how their integers stand for real numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from dynamap_models.errors import ModelError
from dynamap_models.onnx_import.constants import Constant, elem_type_name
from dynamap_models.quantised import TensorQuantisation

__all__ = ["IntegerConstant", "Records", "scale_and_zero_point", "tensor_quantisation"]

_TYPES = {int(TensorProto.INT8): True, int(TensorProto.UINT8): False}
_BIAS_TYPES = frozenset({TensorProto.INT32})


@dataclass(frozen=True, eq=False)
class IntegerConstant:
    """A weight or bias of the file in integers.

    Attributes:
        name: of the float constant that stands for it in the network.
        load: makes the integers, int64, in the file's shape.
        scale: float32 array, of one element or one for each index of ``axis``.
        zero_point: int64 array of as many elements.
        axis: along which scales vary.
        elem_type: ONNX element type of the integers.
    """

    name: str
    load: Callable[[], NDArray[np.int64]] = field(repr=False)
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int
    elem_type: int

    def real(self) -> NDArray[np.float32]:
        """The real numbers, as ``DequantizeLinear`` computes them."""
        integers = self.load()
        shape = [1] * integers.ndim
        if self.scale.size > 1:
            shape[self.axis] = self.scale.size
        steps = (integers - self.zero_point.reshape(shape)).astype(np.float32)
        return steps * self.scale.reshape(shape)


@dataclass
class Records:
    """What is known so far.

    Attributes:
        tensors: quantisations by tensor of the float network.
        constants: weights and biases by the name of their float constant.
        alike: pairs of tensors with the same integers or some of them, and so the same quantisation.
    """

    tensors: dict[str, TensorQuantisation] = field(default_factory=dict)
    constants: dict[str, IntegerConstant] = field(default_factory=dict)
    alike: list[tuple[str, str]] = field(default_factory=list)

    def state(self, tensor: str, stored: TensorQuantisation, label: str) -> None:
        """Note the quantisation of a tensor.

        Raises:
            ModelError: when it has another one already.
        """
        known = self.tensors.setdefault(tensor, stored)
        if known != stored:
            raise ModelError(
                f"{label} gives tensor {tensor!r} scale {stored.scale:.7g} and zero point {stored.zero_point}, but it "
                f"has {known.scale:.7g} and {known.zero_point} elsewhere; a tensor can be quantised in one way only"
            )

    def spread(self) -> None:
        """Give tensors that are alike what one of them has; O(pairs) a round, a round for each step of a chain."""
        changed = True
        while changed:
            changed = False
            for first, second in self.alike:
                for known, other in ((first, second), (second, first)):
                    if known in self.tensors and other not in self.tensors:
                        self.tensors[other], changed = self.tensors[known], True


def scale_and_zero_point(
    scale: Constant | None, zero_point: Constant | None, label: str
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """Scales, zero points and the element type of integers, of the constants a node names.

    Raises:
        ModelError: when they are no constants, or no numbers a quantisation can have.
    """
    if scale is None or not scale.is_float or not scale.is_quick:
        raise ModelError(f"{label} takes its scale from a tensor that is computed; scales must be float constants")
    scales = np.asarray(scale.load(), dtype=np.float32).reshape(-1)
    if scales.size == 0 or not np.all(np.isfinite(scales) & (scales > 0)):
        raise ModelError(f"{label} has a scale that is not a positive number; the file is damaged")
    if zero_point is None:
        return scales, np.zeros(scales.size, np.int64), int(TensorProto.UINT8)
    if zero_point.elem_type not in _TYPES and zero_point.elem_type not in _BIAS_TYPES:
        raise ModelError(
            f"{label} quantises to {elem_type_name(zero_point.elem_type)}; only 8-bit integers are supported"
        )
    points = np.asarray(zero_point.load(), dtype=np.int64).reshape(-1)
    if points.size != scales.size:
        if points.size != 1:
            raise ModelError(f"{label} has {scales.size} scales, but {points.size} zero points")
        points = np.full(scales.size, points[0])
    return scales, points, zero_point.elem_type


def tensor_quantisation(scale: Constant | None, zero_point: Constant | None, label: str) -> TensorQuantisation:
    """The quantisation of a tensor of activations.

    Raises:
        ModelError: as :func:`scale_and_zero_point`, or when it differs from channel to channel.
    """
    scales, points, elem_type = scale_and_zero_point(scale, zero_point, label)
    if scales.size != 1:
        raise ModelError(f"{label} has a scale for every channel of a map; maps must have one scale")
    if elem_type not in _TYPES:
        raise ModelError(f"{label} quantises a map to {elem_type_name(elem_type)}; only 8-bit integers are supported")
    return TensorQuantisation(scale=float(scales[0]), zero_point=int(points[0]), signed=_TYPES[elem_type])
