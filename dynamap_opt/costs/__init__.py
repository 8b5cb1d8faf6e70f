"""Cost models: the ``overlay`` and ``paper`` presets behind one interface."""

from __future__ import annotations

from .base import CostModel, Precision, ShapeBatch, StageCycles
from .overlay import OverlayCost
from .paper import PaperCost, transfer_cycles

__all__ = [
    "PRESETS",
    "CostModel",
    "OverlayCost",
    "PaperCost",
    "Precision",
    "ShapeBatch",
    "StageCycles",
    "transfer_cycles",
]

#: Names of the presets.
PRESETS = ("overlay", "paper")
