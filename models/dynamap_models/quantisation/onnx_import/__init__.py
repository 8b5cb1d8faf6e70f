"""Quantised ONNX files in: of integer operators, or of float ones between ``QuantizeLinear`` and ``DequantizeLinear``.

The way of a file: :mod:`dequantise` turns its graph into that of the float network with a record of how tensors and
constants were quantised (:mod:`records`), the float importer reads that, and :mod:`network` puts both together again.
"""

from __future__ import annotations

from .network import import_quantised_onnx

__all__ = ["import_quantised_onnx"]
