"""The overlay: its parameters and its timing. Knows no ONNX, no network and no solver."""

from __future__ import annotations

from .parameters import Overlay, OverlayError
from .timing import (
    Cycles,
    Dataflow,
    Gemm,
    TimingConvention,
    array_cycles,
    ceil_div,
    groups_per_tile,
)

__all__ = [
    "Cycles",
    "Dataflow",
    "Gemm",
    "Overlay",
    "OverlayError",
    "TimingConvention",
    "array_cycles",
    "ceil_div",
    "groups_per_tile",
]
