"""Layers under construction: still mutable, with constants in place of named parameters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import TensorProto

from dynamap_models._names import unique
from dynamap_models.ir import (
    Affine,
    Conv,
    ConvTranspose,
    FullyConnected,
    HostOperator,
    Layer,
    Network,
    Operation,
    Parameter,
    Tensor,
)

from .constants import Constant, Shape

__all__ = ["Draft", "describe_tensor", "drop_unread", "filled", "finish", "reader_counts"]


@dataclass
class Draft:
    """A layer whose parameters have no names yet.

    Attributes:
        name: of the layer; made unique in the end.
        operation: with empty strings where names of parameters belong.
        inputs: tensors read.
        output: tensor written.
        constants: parameters by role: the field of ``operation`` that will name them, or ``input[i]`` of a host
            operator. An Affine may lack its scale (all ones) or its shift (all zeros).
    """

    name: str
    operation: Operation
    inputs: list[str]
    output: str
    constants: dict[str, Constant] = field(default_factory=dict)


def describe_tensor(name: str, shape: Shape) -> Tensor:
    """The tensor of an ONNX shape.

    (1, C, H, W) is an image, (1, C, L) a row of L pixels, (1, C) and (C,) a vector. Anything else occurs only at
    host operators and reshapes, and is described as a vector of all its elements.
    """
    height, width, channels = 1, 1, math.prod(shape)
    if shape[:1] == (1,) and len(shape) == 4:
        _, channels, height, width = shape
    elif shape[:1] == (1,) and len(shape) == 3:
        _, channels, width = shape
    return Tensor(name=name, height=height, width=width, channels=channels, onnx_shape=shape)


def filled(name: str, channels: int, value: float) -> Constant:
    """A vector of one value, which takes no memory."""
    return Constant(
        name=name,
        shape=(channels,),
        elem_type=int(TensorProto.FLOAT),
        load=lambda: np.broadcast_to(np.float32(value), (channels,)),
    )


def reader_counts(drafts: Iterable[Draft], outputs: Iterable[str]) -> Counter[str]:
    """How many layers (and outputs of the network) read each tensor."""
    counts = Counter(outputs)
    for draft in drafts:
        counts.update(set(draft.inputs))
    return counts


def drop_unread(drafts: Iterable[Draft], outputs: Iterable[str]) -> list[Draft]:
    """The layers some output depends on, in order."""
    needed = set(outputs)
    kept: list[Draft] = []
    for draft in reversed(list(drafts)):
        if draft.output in needed:
            kept.append(draft)
            needed.update(draft.inputs)
    return kept[::-1]


def finish(
    drafts: Iterable[Draft],
    *,
    name: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    shapes: Mapping[str, Shape],
) -> Network:
    """The network the drafts describe; parameters keep their names in the file where those are unambiguous."""
    parameters: dict[str, Parameter] = {}
    named: dict[int, tuple[Constant, str]] = {}
    layers: list[Layer] = []
    layer_names: set[str] = set()

    def register(constant: Constant) -> str:
        if id(constant) not in named:
            name_of_its_own = unique(constant.name, parameters)
            parameters[name_of_its_own] = constant.parameter()
            # The constant is kept beside its name, so that its identity is not given to another one.
            named[id(constant)] = (constant, name_of_its_own)
        return named[id(constant)][1]

    for draft in drafts:
        constants = draft.constants
        if isinstance(draft.operation, Affine):
            channels = describe_tensor(draft.output, shapes[draft.output]).channels
            constants = {
                "scale": filled(f"{draft.name}.scale", channels, 1.0),
                "shift": filled(f"{draft.name}.shift", channels, 0.0),
                **constants,
            }
        layer_name = unique(draft.name, layer_names)
        layer_names.add(layer_name)
        names = {role: register(constant) for role, constant in constants.items()}
        operation = _with_parameters(draft.operation, names)
        layers.append(Layer(name=layer_name, operation=operation, inputs=tuple(draft.inputs), output=draft.output))
    used = dict.fromkeys([*inputs, *(layer.output for layer in layers)])
    tensors = {tensor: describe_tensor(tensor, shapes[tensor]) for tensor in used}
    return Network(
        name=name, inputs=inputs, outputs=outputs, layers=tuple(layers), tensors=tensors, parameters=parameters
    )


def _with_parameters(operation: Operation, names: Mapping[str, str]) -> Operation:
    match operation:
        case Conv() | ConvTranspose() | FullyConnected():
            return replace(operation, weight=names["weight"], bias=names.get("bias"))
        case Affine():
            return replace(operation, scale=names["scale"], shift=names["shift"])
        case HostOperator():
            read = {role: f"parameter {parameter}" for role, parameter in names.items()}
            return replace(operation, attributes={**operation.attributes, **read})
        case _:
            return operation
