"""A compiled simulator that knows grids: C made of the netlist of one cell and looped over all of them."""

from __future__ import annotations

from .build import cache_folder
from .compare import SIMULATORS, SimulatorRate, Stimulus, compare_simulators
from .simulation import CompiledSimulation, PeerFunction, Values

__all__ = [
    "SIMULATORS",
    "CompiledSimulation",
    "PeerFunction",
    "SimulatorRate",
    "Stimulus",
    "Values",
    "cache_folder",
    "compare_simulators",
]
