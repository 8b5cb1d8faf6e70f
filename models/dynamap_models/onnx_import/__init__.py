"""ONNX files in: constant folding, shape inference, batch-norm folding and fusion of our own, without loading weights.

The way of a file: :mod:`source` parses it, :mod:`graph` checks names and orders nodes, :mod:`inference` gives every
tensor its shape (:mod:`shapes`) and every constant its value (:mod:`folding`), the ``operators_*`` modules draft
layers, :mod:`fusion` simplifies them and :mod:`drafts` names the parameters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dynamap_models.errors import ModelError
from dynamap_models.ir import Network

from .drafts import finish
from .fusion import simplify
from .graph import Graph, read_graph
from .inference import infer_values, site_of
from .lowering import Lowering
from .operators_layout import LAYOUT_OPERATORS
from .operators_pointwise import POINTWISE_OPERATORS
from .operators_window import WINDOW_OPERATORS
from .source import Source, SourceLike, read_source
from .values import Site

__all__ = ["import_onnx", "network_of", "onnx_tensor_shapes"]

_OPERATORS = {**WINDOW_OPERATORS, **POINTWISE_OPERATORS, **LAYOUT_OPERATORS}
# Their operands are on a par: any of them may be the constant one.
_ARITHMETIC = frozenset({"Add", "Concat", "Div", "Mul", "Sub", "Sum"})


def import_onnx(
    source: SourceLike, *, input_shapes: Mapping[str, Sequence[int]] | None = None, name: str | None = None
) -> Network:
    """Read an ONNX model as a network at batch 1.

    Weights stay where they are until :meth:`~dynamap_models.ir.Parameter.load` asks for them, so a ``ModelProto`` given
    here must not change afterwards, nor may external data. Time is linear in the number of nodes.

    Args:
        source: path of the file, its bytes, or a parsed model.
        input_shapes: extents of inputs, in the file's order, batch included; needed for dynamic inputs, and allowed to
            replace fixed ones of the same rank. A dynamic batch needs nothing: it is 1.
        name: of the network; by default the graph's name, else the file's.

    Raises:
        ModelError: when the model cannot be read or breaks ONNX's rules; the message says where and what to do.
        UnsupportedOperatorError: for operators whose results' shapes are not known here. Other operators that no layer
            stands for become a :class:`~dynamap_models.ir.HostOperator`.
    """
    read = read_source(source)
    return network_of(read_graph(read), read, input_shapes=input_shapes or {}, name=name)


def network_of(
    graph: Graph,
    read: Source,
    *,
    input_shapes: Mapping[str, Sequence[int]],
    name: str | None,
    kept: Collection[str] = (),
) -> Network:
    """The network of a graph; ``kept`` tensors are not fused away, unlike others that only one layer reads.

    Raises:
        ModelError: as :func:`import_onnx`.
    """
    nodes = graph.live_nodes()
    values = infer_values(graph, nodes, input_shapes)
    if all(values[output].constant is not None for output in graph.outputs):
        raise ModelError(f"no output of {read.label} depends on its inputs; there is nothing to map")
    sites = [site_of(node, values) for node in nodes]
    needed = set(graph.outputs).union(*(filter(None, node.inputs) for node in nodes))
    inputs = tuple(entry.name for entry in graph.inputs if entry.name in values)
    state = Lowering(values=values, sites=sites, inputs=inputs)
    for site in sites:
        written = [output for output in site.node.outputs if output in needed]
        if all(values[output].constant is not None for output in written):
            continue
        lower = _OPERATORS.get(site.node.op_type)
        if lower is None or written != [site.node.outputs[0]] or not _reads_tensor(site) or not lower(state, site):
            state.host(site, written)
    state.settle_outputs(graph.outputs)
    drafts = simplify(state.drafts, outputs=graph.outputs, shapes=state.shapes, kept=kept)
    return finish(drafts, name=name or read.name, inputs=inputs, outputs=graph.outputs, shapes=state.shapes)


def _reads_tensor(site: Site) -> bool:
    """Whether the input an operator works on depends on the network's input (either one, for arithmetic)."""
    count = len(site.inputs) if site.node.op_type in _ARITHMETIC else 1
    return any(value is not None and value.constant is None for value in site.inputs[:count])


def onnx_tensor_shapes(
    source: SourceLike, *, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor the graph's nodes write, constants and dead branches included, in ONNX order.

    Raises:
        ModelError: as :func:`import_onnx`.
    """
    graph = read_graph(read_source(source))
    values = infer_values(graph, graph.nodes, input_shapes or {})
    return {name: values[name].shape for node in graph.nodes for name in node.outputs if name}
