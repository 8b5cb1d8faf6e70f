"""Networks out to ONNX: float32, NCHW, batch 1, the weights stored in the file.

The judge of what a layer means is ONNX Runtime: an exported network computes there what the intermediate representation
says, padding, ceiling modes and broadcasting included. Fused activations become nodes of their own. Every tensor keeps
its name and its ``onnx_shape``; every node's name starts with that of its layer.

Opset 20 is the oldest with one node for GELU and with a ceiling mode of ``AveragePool`` that is defined (opset 19) as
the representation needs it: what the ceiling adds never counts, the file's own padding counts when asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._onnx_file import write_model
from ._onnx_graph import GraphWriter
from ._onnx_layers import NodeNames, write_layer
from .errors import ModelError
from .ir import Network

if TYPE_CHECKING:
    import onnx

__all__ = ["ONNX_IR_VERSION", "ONNX_OPSET", "export_onnx", "write_onnx"]

ONNX_OPSET = 20
"""The version of the standard operators that exported files ask for."""

ONNX_IR_VERSION = 9
"""The file format that came with that version; a newer one would only lock older runtimes out."""

_FILE_LIMIT_BYTES = 2**31 - 1
_GRAPH_ALLOWANCE_BYTES = 2**24  # generous room for names and nodes beside the weights


def export_onnx(network: Network) -> onnx.ModelProto:
    """The network as an ONNX model, with its weights (made by :meth:`Parameter.load`) inside.

    The same network always gives the same model.

    Raises:
        ModelError: for a host operator other than LRN and Softmax, a layer whose shapes contradict its operation, a
            parameter that is missing or of the wrong shape, or weights beyond the 2 GiB that one ONNX file can hold.
    """
    size_bytes = 4 * sum(parameter.size for parameter in network.parameters.values())
    if size_bytes + _GRAPH_ALLOWANCE_BYTES > _FILE_LIMIT_BYTES:
        raise ModelError(
            f"network {network.name!r} has {size_bytes / 2**30:.2f} GiB of weights, and one ONNX file holds less than "
            "2 GiB; export it in parts"
        )
    graph = GraphWriter(network, opset=ONNX_OPSET, ir_version=ONNX_IR_VERSION)
    graph.describe()
    names = NodeNames(graph)
    for layer in network.layers:
        write_layer(graph, layer)
        names.name(layer.name)
    return graph.model


def write_onnx(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network to an ONNX file; the file appears complete or not at all.

    Raises:
        ModelError: as :func:`export_onnx`, or when the file cannot be written.
    """
    write_model(export_onnx(network), path)
