"""One walk over the graph that gives every tensor its shape, its element type and, where known, its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from onnx import TensorProto

from dynamap_models.errors import ModelError

from .constants import check_shape
from .folding import fold
from .graph import Graph, Node, resolve_input
from .shapes import infer_shapes
from .values import Site, Value

__all__ = ["infer_values", "site_of"]

_BOOLEAN = frozenset(
    {"And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor"}
)
_INTEGER = frozenset({"ArgMax", "ArgMin", "Shape", "Size"})


def site_of(node: Node, values: Mapping[str, Value]) -> Site:
    """The node with what is known of its inputs."""
    return Site(node=node, inputs=tuple(values[name] if name else None for name in node.inputs))


def infer_values(graph: Graph, nodes: Iterable[Node], input_shapes: Mapping[str, Sequence[int]]) -> dict[str, Value]:
    """Shapes, types and constants of everything ``nodes`` (in topological order) read and write.

    Inputs that none of ``nodes`` read are left out, so that they need no shape.

    Raises:
        ModelError: for unknown or impossible shapes, naming the tensor or the node.
        UnsupportedOperatorError: for an operator without a shape function.
    """
    nodes = tuple(nodes)
    known = {entry.name: entry for entry in graph.inputs}
    for name in input_shapes:
        if name not in known:
            listed = ", ".join(repr(entry) for entry in known) or "none"
            raise ModelError(f"input_shapes names {name!r}, which is no input of the model; its inputs are {listed}")
    values = {
        name: Value(name=name, shape=constant.shape, elem_type=constant.elem_type, constant=constant)
        for name, constant in graph.constants.items()
    }
    read = {name for node in nodes for name in node.inputs} | set(graph.outputs)
    for entry in graph.inputs:
        if entry.name in read:
            values[entry.name] = Value(entry.name, resolve_input(entry, input_shapes), entry.elem_type)
    for node in nodes:
        site = site_of(node, values)
        for value in _written(site):
            values[value.name] = value
    return values


def _written(site: Site) -> Iterable[Value]:
    node = site.node
    constants = fold(site, (), ()) if node.op_type == "Constant" else None
    if constants is None:
        shapes = infer_shapes(site)
        elem_types = _elem_types(site, len(shapes))
        constants = fold(site, shapes, elem_types)
        if constants is None:
            for name, shape, elem_type in zip(node.outputs, shapes, elem_types, strict=False):
                if name:
                    check_shape(shape, f"tensor {name!r} written by {node.label}")
                    yield Value(name, shape, elem_type)
            return
    if len(constants) < len(node.outputs):
        raise site.fail(f"writes {len(node.outputs)} tensors, but its operator has {len(constants)} outputs")
    for constant in constants:
        if constant.name:
            yield Value(constant.name, constant.shape, constant.elem_type, constant)


def _elem_types(site: Site, count: int) -> tuple[int, ...]:
    """Element types of a node's outputs; the first input's unless the operator says otherwise."""
    node = site.node
    first = site.present()[0].elem_type if any(site.inputs) else int(TensorProto.FLOAT)
    match node.op_type:
        case "Cast":
            first = node.integer("to")
        case "CastLike" | "Where":
            first = site.value(1).elem_type
        case "OneHot":
            first = site.value(2).elem_type
        case "ConstantOfShape":
            fill = node.tensor("value")
            first = int(TensorProto.FLOAT) if fill is None else fill.elem_type
        case op_type if op_type in _BOOLEAN:
            first = int(TensorProto.BOOL)
        case op_type if op_type in _INTEGER:
            first = int(TensorProto.INT64)
        case _:
            pass
    rest = {"Dropout": TensorProto.BOOL, "MaxPool": TensorProto.INT64, "TopK": TensorProto.INT64}.get(
        node.op_type, first
    )
    return (first, *(int(rest),) * (count - 1))
