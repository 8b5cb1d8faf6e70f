"""Float networks to 8-bit integers, and quantised ONNX files in and out.

The way of a network: :mod:`prepare` writes it in operations that integers have, :mod:`calibration` finds the ranges of
its tensors, :mod:`scales` chooses their quantisation, :mod:`weights` rounds the weights, :mod:`model` writes the ONNX
model that says what the result means, :mod:`exactness` says whether that is exact arithmetic. :mod:`onnx_import` reads
quantised files.
"""

from __future__ import annotations

from .calibration import random_inputs
from .onnx_import import import_quantised_onnx
from .quantise import quantise
from .write import write_quantised_onnx

__all__ = ["import_quantised_onnx", "quantise", "random_inputs", "write_quantised_onnx"]
