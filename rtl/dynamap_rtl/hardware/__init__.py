"""A thin layer of hierarchy over PyRTL: modules, grids, designs, and what reads them."""

from __future__ import annotations

from .arithmetic import add, delayed, multiply, negate, resize
from .flatten import flatten
from .module import Constant, Design, Grid, HardwareError, Instance, Leaf, Module, Port, Signal

__all__ = [
    "Constant",
    "Design",
    "Grid",
    "HardwareError",
    "Instance",
    "Leaf",
    "Module",
    "Port",
    "Signal",
    "add",
    "delayed",
    "flatten",
    "multiply",
    "negate",
    "resize",
]
