"""The overlay: its parameters and its timing. Knows no ONNX, no network and no solver."""

from __future__ import annotations

from .parameters import Overlay, OverlayError
from .timing import (
    Cycles,
    Dataflow,
    Gemm,
    TimingConvention,
    array_cycles,
    blocked_load_words,
    ceil_div,
    grouped_cycles,
    groups_per_tile,
    stage_cycles,
    stream_words,
    vector_cycles,
)

__all__ = [
    "Cycles",
    "Dataflow",
    "Gemm",
    "Overlay",
    "OverlayError",
    "TimingConvention",
    "array_cycles",
    "blocked_load_words",
    "ceil_div",
    "grouped_cycles",
    "groups_per_tile",
    "stage_cycles",
    "stream_words",
    "vector_cycles",
]
