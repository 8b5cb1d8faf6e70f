"""Networks: the intermediate representation, ONNX in and out, and the model zoo. Knows no hardware and no solver."""

from __future__ import annotations
