"""The units of the overlay over the cycles of a small convolution, from the wires that start and end their work."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.program.sample import sample_convolution
from dynamap_rtl.simulation import OverlaySimulation

#: By unit: the wires that start an instruction and that say that it is done; both in the order of instructions.
UNITS = {
    "load left": ("sequencer.load_left_start", "left.done"),
    "load top": ("sequencer.load_top_start", "top.done"),
    "channels": ("sequencer.load_channels_start", "channels.done"),
    "compute": ("sequencer.compute_start", "engine.retired"),
    "finish": ("sequencer.finish_start", "finisher.done"),
    "store": ("sequencer.store_start", "storer.done"),
}
COLOURS = ("#7fb0dc", "#7fb0dc", "#7fb0dc", "#f0b860", "#8fc686", "#c79ad0")


def overlay_at_work() -> Figure:
    """A 3x3 convolution of 6x6 pixels, 4 to 8 channels, on a 4 x 4 overlay: a bar an instruction."""
    circuit = CircuitParameters(rows=4, columns=4, dram_bytes_per_cycle=8, dram_latency_cycles=10)
    sample = sample_convolution(circuit)
    wires = [wire for pair in UNITS.values() for wire in pair]
    simulation = OverlaySimulation(circuit, memory_bytes=len(sample.memory), trace=wires)
    simulation.memory[:] = sample.memory
    cycles = simulation.run(sample.program_address)
    figure = Figure(figsize=(10, 3))
    axes: Axes = figure.add_axes((0.085, 0.17, 0.9, 0.68))
    instructions = 0
    for row, ((start, done), colour) in enumerate(zip(UNITS.values(), COLOURS, strict=True)):
        begins, ends = (np.flatnonzero(simulation.trace(wire)) for wire in (start, done))
        # An instruction begins its work when the one before is done: only then is the bar its own.
        begins = np.maximum(begins, np.concatenate([[0], ends[:-1] + 1]))
        bars = [(begin, end + 1 - begin) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        axes.broken_barh(bars, (-row - 0.36, 0.72), facecolor=colour, edgecolor="white", linewidth=0.8)
        instructions += len(bars)
    axes.set_yticks([-row for row in range(len(UNITS))], list(UNITS))
    axes.set_xlim(0, simulation.simulation.cycles)
    axes.set_xlabel("cycle", fontsize=9)
    axes.tick_params(labelsize=9, left=False)
    axes.grid(visible=True, axis="x", color="#e2e2e2", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.text(
        0.015,
        0.94,
        f"{instructions} instructions of six units, {cycles} cycles, 4 x 4 elements",
        fontsize=10.5,
        va="center",
    )
    return figure
