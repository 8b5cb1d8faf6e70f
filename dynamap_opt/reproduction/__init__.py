"""The DYNAMAP paper reproduced: its comparisons, what was published, and verdicts computed from numbers."""

from __future__ import annotations

from .bounds import ComputeBound, ComputeBounds, compute_bounds
from .published import Claim, Figure, Published, load_published, parse_published
from .results import ArrayResult, Check, LayerUse, NetworkResult, ResidencyResult, TimeResult, VariantResult
from .run import PARTS, Beside, Reproduction, reproduce
from .verdicts import Verdict, judge

__all__ = [
    "PARTS",
    "ArrayResult",
    "Beside",
    "Check",
    "Claim",
    "ComputeBound",
    "ComputeBounds",
    "Figure",
    "LayerUse",
    "NetworkResult",
    "Published",
    "Reproduction",
    "ResidencyResult",
    "TimeResult",
    "VariantResult",
    "Verdict",
    "compute_bounds",
    "judge",
    "load_published",
    "parse_published",
    "reproduce",
]
