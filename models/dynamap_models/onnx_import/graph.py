"""The file's graph as plain Python: nodes with typed attributes, in topological order, over named inputs."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import onnx
from onnx import AttributeProto, TensorProto

from dynamap_models.errors import ModelError, UnsupportedOperatorError

from .constants import Constant, Shape, check_shape, read_tensor
from .source import Source, text_of

__all__ = ["Graph", "GraphInput", "Node", "read_graph", "resolve_input"]

_T = TypeVar("_T")

_KINDS: Mapping[int, str] = {
    AttributeProto.INT: "an integer",
    AttributeProto.INTS: "a list of integers",
    AttributeProto.FLOAT: "a float",
    AttributeProto.FLOATS: "a list of floats",
    AttributeProto.STRING: "a string",
    AttributeProto.TENSOR: "a tensor",
}


@dataclass(frozen=True, eq=False)
class Node:
    """One operator of the file.

    Attributes:
        op_type: operator of the default domain.
        name: its name in the file; may be empty.
        inputs: names of what it reads; an empty name is an optional input left out.
        outputs: names of what it writes, likewise.
        attributes: as stored; read them through the methods, which check their types.
        opset: version of the operator set that gives it its meaning.
        folder: where external data of an attribute tensor would lie.
    """

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeProto]
    opset: int
    folder: Path | None

    @property
    def label(self) -> str:
        """How messages call the node."""
        if self.name:
            return f"{self.op_type} node {self.name!r}"
        return f"{self.op_type} node writing {self.outputs[0] if self.outputs else ''!r}"

    def _find(self, name: str, kind: int) -> AttributeProto | None:
        attribute = self.attributes.get(name)
        if attribute is not None and attribute.type != kind:
            raise ModelError(f"attribute {name!r} of {self.label} must be {_KINDS[kind]}")
        return attribute

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute; without a default it must be there."""
        attribute = self._find(name, AttributeProto.INT)
        return int(attribute.i) if attribute is not None else self._required(name, default)

    def flag(self, name: str, *, default: bool) -> bool:
        """An integer attribute that says yes or no; ONNX does not define what other numbers mean."""
        value = self.integer(name, int(default))
        if value not in (0, 1):
            raise ModelError(f"attribute {name!r} of {self.label} must be 0 or 1, not {value}")
        return value == 1

    def real(self, name: str, default: float | None = None) -> float:
        """A float attribute; without a default it must be there."""
        attribute = self._find(name, AttributeProto.FLOAT)
        return float(attribute.f) if attribute is not None else self._required(name, default)

    def string(self, name: str, default: str | None = None) -> str:
        """A string attribute; without a default it must be there."""
        attribute = self._find(name, AttributeProto.STRING)
        return attribute.s.decode("utf-8", "replace") if attribute is not None else self._required(name, default)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, or None where the attribute is absent."""
        attribute = self._find(name, AttributeProto.INTS)
        return tuple(int(value) for value in attribute.ints) if attribute is not None else None

    def reals(self, name: str) -> tuple[float, ...] | None:
        """A list of floats, or None where the attribute is absent."""
        attribute = self._find(name, AttributeProto.FLOATS)
        return tuple(float(value) for value in attribute.floats) if attribute is not None else None

    def tensor(self, name: str) -> Constant | None:
        """A tensor attribute, or None where it is absent."""
        attribute = self._find(name, AttributeProto.TENSOR)
        if attribute is None:
            return None
        return read_tensor(attribute.t, name=f"{name} of {self.label}", folder=self.folder)

    def _required(self, name: str, default: _T | None) -> _T:
        if default is None:
            raise ModelError(f"{self.label} lacks the attribute {name!r}, which it must have")
        return default

    def describe(self) -> dict[str, str]:
        """The attributes, printed for people."""
        return {name: _printed(attribute) for name, attribute in self.attributes.items()}


@dataclass(frozen=True)
class GraphInput:
    """What the network reads: a name, the extents declared (a name or None: dynamic) or None for an unknown rank."""

    name: str
    declared: tuple[int | str | None, ...] | None
    elem_type: int


@dataclass(frozen=True, eq=False)
class Graph:
    """A checked graph: names are written once, everything read is written, nodes are in topological order."""

    nodes: tuple[Node, ...]
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Constant]

    def live_nodes(self) -> tuple[Node, ...]:
        """The nodes some output depends on, in order."""
        needed = set(self.outputs)
        live: list[Node] = []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                live.append(node)
                needed.update(name for name in node.inputs if name)
        return tuple(reversed(live))


def read_graph(source: Source, *, contributed: Collection[str] = ()) -> Graph:
    """Turn the file's graph into nodes in topological order; O(nodes + edges).

    Args:
        source: the file.
        contributed: operators of ONNX Runtime's domain ``com.microsoft`` that are read as well.

    Raises:
        ModelError: for names written twice or never, cycles, and damaged tensors.
        UnsupportedOperatorError: for operators with subgraphs, of foreign domains, or quantised.
    """
    proto = source.model.graph
    constants: dict[str, Constant] = {}
    for tensor in proto.initializer:
        name = text_of(tensor.name)
        if not name or name in constants:
            raise ModelError(f"{source.label} has an initializer without a name of its own ({name!r})")
        constants[name] = read_tensor(tensor, name=name, folder=source.folder)
    # Files of IR version 3 and older list every initializer among the inputs as well: those are constants here.
    inputs = tuple(_read_input(entry) for entry in proto.input if entry.name not in constants)
    nodes = [_read_node(entry, source, contributed) for entry in proto.node]
    written: dict[str, Node | None] = dict.fromkeys(constants)
    for entry in inputs:
        if not entry.name or entry.name in written:
            raise ModelError(f"{source.label} has an input without a name of its own ({entry.name!r})")
        written[entry.name] = None
    for node in nodes:
        for name in filter(None, node.outputs):
            if name in written:
                raise ModelError(f"tensor {name!r} is written twice, the second time by {node.label}")
            written[name] = node
    for node in nodes:
        for name in filter(None, node.inputs):
            if name not in written:
                raise ModelError(f"{node.label} reads {name!r}, which no node, input or initializer provides")
    outputs = tuple(dict.fromkeys(text_of(entry.name) for entry in proto.output))
    for name in outputs:
        if name not in written:
            raise ModelError(f"output {name!r} of {source.label} is written by no node")
    return Graph(nodes=_sorted(nodes, written), inputs=inputs, outputs=outputs, constants=constants)


def _read_input(entry: onnx.ValueInfoProto) -> GraphInput:
    name = text_of(entry.name)
    if not entry.type.HasField("tensor_type"):
        if entry.HasField("type") and entry.type.WhichOneof("value") is not None:
            raise ModelError(f"input {name!r} is not a tensor; sequences, maps and optionals are not supported")
        return GraphInput(name=name, declared=None, elem_type=TensorProto.FLOAT)
    tensor_type = entry.type.tensor_type
    declared: tuple[int | str | None, ...] | None = None
    if tensor_type.HasField("shape"):
        # Some exporters write -1 for a dynamic extent; zero is somebody's mistake and is reported as such.
        declared = tuple(
            int(extent.dim_value)
            if extent.HasField("dim_value") and extent.dim_value >= 0
            else text_of(extent.dim_param) or None
            for extent in tensor_type.shape.dim
        )
    return GraphInput(name=name, declared=declared, elem_type=tensor_type.elem_type)


def _read_node(entry: onnx.NodeProto, source: Source, contributed: Collection[str]) -> Node:
    op_type, name, domain = text_of(entry.op_type), text_of(entry.name), text_of(entry.domain)
    if not op_type.isidentifier():
        raise ModelError(f"node {name!r} names the operator {op_type!r}, which is no name; the file is damaged")
    attributes: dict[str, AttributeProto] = {}
    node = Node(
        op_type=op_type,
        name=name,
        inputs=tuple(map(text_of, entry.input)),
        outputs=tuple(map(text_of, entry.output)),
        attributes=attributes,
        opset=source.opset,
        folder=source.folder,
    )
    if not any(node.outputs):
        raise ModelError(f"{node.op_type} node {node.name!r} writes nothing; every node must have an output")
    if domain not in {"", "ai.onnx"} and not (domain == "com.microsoft" and op_type in contributed):
        raise UnsupportedOperatorError(
            f"{node.label} belongs to the operator domain {domain!r}, of which nothing is supported; "
            "export with standard ONNX operators"
        )
    for attribute in entry.attribute:
        if attribute.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS}:
            raise UnsupportedOperatorError(
                f"{node.label} has a subgraph ({attribute.name!r}), which is not supported; networks must be without "
                "control flow"
            )
        if attribute.ref_attr_name or attribute.name in attributes:
            raise ModelError(f"attribute {attribute.name!r} of {node.label} refers elsewhere or occurs twice")
        attributes[text_of(attribute.name)] = attribute
    return node


def _sorted(nodes: Sequence[Node], written: Mapping[str, Node | None]) -> tuple[Node, ...]:
    """Kahn's algorithm, keeping the file's order wherever it is a topological one."""
    position = {id(node): index for index, node in enumerate(nodes)}
    sources = [
        {position[id(writer)] for name in node.inputs if name and (writer := written[name]) is not None}
        for node in nodes
    ]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, needed in enumerate(sources):
        for writer_index in needed:
            readers[writer_index].append(index)
    missing = [len(needed) for needed in sources]
    ready = [index for index, count in enumerate(missing) if count == 0]
    order: list[Node] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(nodes[index])
        for reader in readers[index]:
            missing[reader] -= 1
            if missing[reader] == 0:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = next(node for index, node in enumerate(nodes) if missing[index])
        raise ModelError(f"the graph has a cycle: {stuck.label} depends on a tensor that depends on its own output")
    return tuple(order)


def resolve_input(entry: GraphInput, given: Mapping[str, Sequence[int]]) -> Shape:
    """The extents of an input: those given, else those declared, with a dynamic batch read as 1.

    Raises:
        ModelError: for extents that stay unknown, are not positive, or a batch other than 1.
    """
    name = entry.name
    declared = entry.declared
    if name in given:
        shape = _given_shape(name, given[name])
        if declared is not None and len(shape) != len(declared):
            raise ModelError(
                f"the shape {shape} given for input {name!r} has rank {len(shape)}, the file {len(declared)}"
            )
    else:
        if declared is None:
            raise ModelError(f"input {name!r} has no shape in the file; {_advice(name, (1, 3, 224, 224))}")
        printed = ", ".join("?" if extent is None else str(extent) for extent in declared)
        if len(declared) > 1 and not isinstance(declared[0], int):
            declared = (1, *declared[1:])
        fixed = tuple(extent for extent in declared if isinstance(extent, int))
        if len(fixed) < len(declared):
            example = tuple(extent if isinstance(extent, int) else 224 for extent in declared)
            raise ModelError(f"input {name!r} has the dynamic shape ({printed}); {_advice(name, example)}")
        shape = fixed
        if 0 in shape:
            raise ModelError(f"input {name!r} has the zero-sized shape {shape}; {_advice(name, (1, 3, 224, 224))}")
    check_shape(shape, f"input {name!r}")
    if len(shape) > 1 and shape[0] != 1:
        raise ModelError(
            f"input {name!r} has batch {shape[0]}, but networks are mapped at batch 1; {_advice(name, (1, *shape[1:]))}"
        )
    return shape


def _advice(name: str, example: Iterable[int]) -> str:
    extents = tuple(example)
    printed = ",".join(str(extent) for extent in extents)
    return f"fix it with --input-shape {name}={printed} (input_shapes={{{name!r}: {extents}}})"


def _given_shape(name: str, given: Sequence[int]) -> Shape:
    try:
        shape = tuple(int(extent) for extent in given)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the shape given for input {name!r} must be a list of whole numbers, not {given!r}"
        ) from error
    if any(extent < 1 for extent in shape):
        raise ModelError(f"the shape {shape} given for input {name!r} must consist of positive numbers")
    return shape


def _printed(attribute: AttributeProto) -> str:
    match attribute.type:
        case AttributeProto.INT:
            return str(attribute.i)
        case AttributeProto.FLOAT:
            return f"{attribute.f:.7g}"
        case AttributeProto.STRING:
            text = attribute.s.decode("utf-8", "replace")
            return text if text.isprintable() else repr(text)
        case AttributeProto.INTS:
            return str(list(attribute.ints))
        case AttributeProto.FLOATS:
            return "[" + ", ".join(f"{value:.7g}" for value in attribute.floats) + "]"
        case AttributeProto.TENSOR:
            return f"tensor of shape {tuple(attribute.t.dims)}"
        case _:
            return "(not printable)"
