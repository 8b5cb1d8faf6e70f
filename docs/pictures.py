"""Draw the pictures of the pages: blocks checked against the circuit, waves and occupancy from simulations of it.

``python docs/pictures.py [NAME ...]`` writes ``docs/images/*.svg``; ``--png FOLDER`` writes PNG as well, to look at.
The same circuit gives the same bytes. Needs matplotlib and a C compiler.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from numpy.typing import NDArray
from picture_reductions import reductions
from picture_units import overlay_at_work

from dynamap_rtl import Dataflow, Gemm, array_cycles
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.hardware import Design, Module, Signal
from dynamap_rtl.hardware.simulator import CompiledSimulation
from dynamap_rtl.isa import COMPUTE
from dynamap_rtl.matrix_program import MatrixLayout, matrix_layout
from dynamap_rtl.overlay_circuit import overlay_circuit
from dynamap_rtl.units.array import ArrayParameters
from dynamap_rtl.units.gemm import GemmParameters, matrix_engine

Integers = NDArray[np.int64]

IMAGES = Path(__file__).resolve().parent / "images"
STYLE = {
    "svg.hashsalt": "dynamap",  # ids of paths, else random
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
INK, FAINT, IDLE = "#1a1a1a", "#777777", "#ececec"
TILES = ("#bcd7f0", "#f6d5a8", "#c5e3bf", "#e3c8e8", "#f3c1c1", "#d9d9a8")

# ---- the engine, watched ----


def packed(values: Sequence[int] | Integers, width: int) -> int:
    """Lanes side by side, the first in the lowest bits."""
    return sum((int(value) & (1 << width) - 1) << (lane * width) for lane, value in enumerate(values))


@dataclass(frozen=True)
class Watched:
    """One product on the engine.

    Attributes:
        layout: where its operands lay.
        traces: by wire, one value a cycle.
        first: cycle of the first read.
        ready: first cycle in which all results may be read.
    """

    layout: MatrixLayout
    traces: Mapping[str, Integers]
    first: int
    ready: int


def watch(
    dataflow: Dataflow, left: Integers, right: Integers, *, rows: int, columns: int, wires: Sequence[str]
) -> Watched:
    """Run a product, operands from arrays instead of buffers; what is not read is 0."""
    parameters = GemmParameters(
        array=ArrayParameters(rows=rows, columns=columns), left_depth=4096, top_depth=4096, accumulator_depth=2048
    )
    layout = matrix_layout(dataflow, left.shape[0], left.shape[1], right.shape[1], rows=rows, columns=columns)
    operands = {"left": layout.left(left, right), "top": layout.top(left, right)}
    simulation = CompiledSimulation(matrix_engine(parameters), trace=wires)
    widths = {"left": parameters.array.element.left_width, "top": parameters.array.element.top_width}
    coming = dict.fromkeys(operands, 0)
    first = last = None
    cycle = 0
    while last is None or cycle < last + columns + 3:
        given = {"command": COMPUTE.pack(**layout.command(parameters)), "command_valid": int(cycle == 0)}
        data = {f"{side}_data": value for side, value in coming.items()}
        simulation.step({**given, **data, "read": 0, "read_address": 0, "read_half": 0})
        for side, buffer in operands.items():
            reads = simulation.inspect(f"{side}_read")
            if reads and first is None:
                first = cycle
            coming[side] = packed(buffer[:, simulation.inspect(f"{side}_depth")], widths[side]) if reads else 0
        if simulation.inspect("retired"):
            last = cycle
        cycle += 1
    assert first is not None
    traces = {wire: simulation.trace(wire).astype(np.int64) for wire in wires}
    return Watched(layout, traces, first, last + columns - 1 + 2)


def signed(values: Integers, width: int) -> Integers:
    """Two's complement."""
    return (values + (1 << width - 1)) % (1 << width) - (1 << width - 1)


# ---- waves ----


@dataclass(frozen=True)
class Row:
    """A wire over the cycles shown.

    Attributes:
        name: written at its left.
        values: one a cycle.
        labels: of a bus, what is written into a run of equal labels; None for a single bit.
        tiles: of a bus, whose tile a value belongs to; below zero for nobody's.
    """

    name: str
    values: Integers
    labels: Sequence[str] | None = None
    tiles: Sequence[int] = ()


def runs(keys: Sequence[object]) -> Iterator[tuple[int, int]]:
    """(first, end) of equal neighbours."""
    first = 0
    for index in range(1, len(keys) + 1):
        if index == len(keys) or keys[index] != keys[first]:
            yield first, index
            first = index


def draw_waves(rows: Sequence[Row], title: str, notes: Sequence[tuple[float, float, int, str]]) -> Figure:
    """Waves below one another; notes are (from cycle, to cycle, row, text) drawn as spans above a row."""
    cycles = len(rows[0].values)
    figure = Figure(figsize=(10, 0.42 * len(rows) + 1.25))
    axes: Axes = figure.add_axes((0.2, 0.07, 0.785, 0.8))
    figure.text(0.015, 0.95, title, fontsize=10.5, color=INK, va="center")
    figure.text(0.19, 0.044, "cycle", fontsize=8, color=FAINT, ha="right", va="center")
    for number, row in enumerate(rows):
        base = -float(number)
        axes.text(-0.25, base + 0.3, row.name, ha="right", va="center", color=INK)
        if row.labels is None:
            high = base + 0.58 * row.values.astype(float)
            axes.step(np.arange(cycles + 1), [*high, high[-1]], where="post", color=INK, linewidth=1.1)
            continue
        for first, end in runs(list(zip(row.labels, row.tiles, strict=True))):
            tile = row.tiles[first]
            face = TILES[tile % len(TILES)] if tile >= 0 else IDLE
            axes.add_patch(Rectangle((first, base), end - first, 0.6, facecolor=face, edgecolor=INK, linewidth=0.7))
            axes.text((first + end) / 2, base + 0.28, row.labels[first], ha="center", va="center", fontsize=8.5)
    for start, end, number, text in notes:
        height = -number + 0.76
        axes.annotate(
            "",
            (start, height),
            (end, height),
            arrowprops={"arrowstyle": "<->", "color": FAINT, "shrinkA": 0, "shrinkB": 0},
        )
        axes.text((start + end) / 2, height, text, ha="center", va="center", fontsize=8, color=INK, bbox=NOTE)
    axes.set_xlim(0, cycles)
    axes.set_ylim(-len(rows) + 0.8, 1.05)
    axes.set_yticks([])
    axes.set_xticks(np.arange(cycles) + 0.5, [str(cycle) for cycle in range(cycles)], color=FAINT, fontsize=8)
    axes.tick_params(length=0, which="both")
    axes.set_xticks(np.arange(cycles + 1), minor=True)
    axes.grid(visible=True, which="minor", axis="x", color="#e2e2e2", linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


NOTE: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}


def wire(row: int, name: str) -> str:
    """A wire of the processing element of a row in column 0."""
    return f"array.elements.{row}_0.{name}"


def operand_row(name: str, depths: Integers, *, letter: str, length: int, idle: str = "") -> Row:
    """A bus whose values are depths plus one: step k of tile t."""
    labels = [f"{letter}{(depth - 1) % length}" if depth else idle for depth in depths]
    return Row(name, depths, labels, [(depth - 1) // length if depth else -1 for depth in depths])


def sum_row(name: str, values: Integers, whose: Mapping[int, tuple[int, str]]) -> Row:
    """A bus of results, known by their values."""
    found = [whose.get(value, (-1, "")) for value in values.tolist()]
    return Row(name, values, [label for _, label in found], [tile for tile, _ in found])


def partial_sums(name: str, left_trace: Integers, sums: Integers, left: Integers, right: Integers) -> Row:
    """The sum of the element in row 0: two cycles behind the operand that it takes in last."""
    places = [-1, -1, *(left_trace[:-2] - 1).tolist()]
    labels = []
    for place, value in zip(places, sums.tolist(), strict=True):
        tile, step = divmod(place, STEPS)
        labels.append(f"Σ{step}" if place >= 0 else "")
        assert place < 0 or value == left[tile, : step + 1] @ right[: step + 1, 0]
    return Row(name, sums, labels, [place // STEPS for place in places])


ROWS, STEPS, SHOWN = 3, 5, 4


def tile_switch_ns() -> Figure:
    """An output-stationary array of three rows goes from tile to tile."""
    # Operands say where they come from: step k of tile t is 5t + k + 1 in row 0, more in the others.
    left = np.array(
        [[STEPS * (i // ROWS) + k + 1 + 40 * (i % ROWS) for k in range(STEPS)] for i in range(ROWS * SHOWN)]
    )
    right = np.arange(1, STEPS + 1).reshape(STEPS, 1)
    names = [wire(0, name) for name in ("left", "keep_2", "last", "sum")]
    names += [*(wire(row, "drain") for row in range(ROWS)), "array.draining"]
    seen = watch(Dataflow.NS, left, right, rows=ROWS, columns=1, wires=names)
    product = left @ right
    drained = {int(product[i, 0]): (i // ROWS, f"row {i % ROWS}") for i in range(len(left))}
    assert len(drained) == len(left)
    first = int(np.flatnonzero(seen.traces[wire(0, "left")])[0])
    part = slice(first, first + STEPS * SHOWN + 2)
    traces = {name: values[part] for name, values in seen.traces.items()}
    element = "row 0: "
    rows = [
        operand_row(element + "left", traces[wire(0, "left")], letter="k", length=STEPS),
        Row(element + "last", traces[wire(0, "last")]),
        Row(element + "keep, at the sum", traces[wire(0, "keep_2")]),
        partial_sums(element + "sum", traces[wire(0, "left")], traces[wire(0, "sum")], left[::ROWS], right),
        *(sum_row(f"row {row}: drain", traces[wire(row, "drain")], drained) for row in range(ROWS)),
        Row("column leaves (draining)", traces["array.draining"]),
    ]
    notes = [(STEPS * tile, STEPS * (tile + 1), 0, f"tile {tile}, {STEPS} steps") for tile in range(SHOWN)]
    return draw_waves(
        rows, f"NS, {ROWS} rows, tiles of {STEPS} steps: no cycle between tiles; results leave meanwhile", notes
    )


def tile_switch_ws() -> Figure:
    """A weight-stationary array of three rows takes the next weights while vectors pass."""
    vectors, tiles = 5, 4
    left = np.array(
        [[vectors * (k // ROWS) + i + 1 + 40 * (k % ROWS) for k in range(ROWS * tiles)] for i in range(vectors)]
    )
    right = np.arange(1, ROWS * tiles + 1).reshape(ROWS * tiles, 1)
    element = [wire(row, name) for row in range(ROWS) for name in ("top", "weight")]
    names = [wire(0, "left"), wire(0, "load_r"), *element, "array.sum", "array.passing"]
    seen = watch(Dataflow.WS, left, right, rows=ROWS, columns=1, wires=names)
    results = {
        int(left[v, ROWS * tile : ROWS * (tile + 1)] @ right[ROWS * tile : ROWS * (tile + 1), 0]): (tile, f"v{v}")
        for tile in range(tiles)
        for v in range(vectors)
    }
    first = int(np.flatnonzero(seen.traces[wire(0, "top")])[0])
    part = slice(first, first + ROWS + vectors * tiles + 4)
    traces = {name: values[part] for name, values in seen.traces.items()}
    rows = [
        operand_row("row 0: left", traces[wire(0, "left")], letter="v", length=vectors),
        Row("row 0: load", traces[wire(0, "load_r")]),
        *(
            operand_row(f"row {row}: next weight", traces[wire(row, "top")], letter="w", length=ROWS)
            for row in range(ROWS)
        ),
        *(
            operand_row(f"row {row}: weight", traces[wire(row, "weight")], letter="w", length=ROWS)
            for row in range(ROWS)
        ),
        sum_row("below the array: sum", traces["array.sum"], results),
        Row("results arrive (passing)", traces["array.passing"]),
    ]
    start = int(np.flatnonzero(traces[wire(0, "left")])[0])
    notes = [
        (start + vectors * tile, start + vectors * (tile + 1), 0, f"tile {tile}, {vectors} vectors")
        for tile in range(tiles)
    ]
    title = f"WS, {ROWS} rows, {vectors} vectors a tile: the next weights shift in behind the present ones"
    return draw_waves(rows, title, notes)


# ---- occupancy ----

#: Registers of the engine as ``watch`` makes it: operands come a cycle after their read.
PIPELINE_CYCLES = 8


def occupancy() -> Figure:
    """Share of the elements at work over time: a 3x3 convolution of 10x10 pixels, 3 to 20 channels, on 8 x 8."""
    a, b, c, side = 100, 27, 20, 8
    rng = np.random.default_rng(0)
    left, right = (rng.integers(1, 256, shape) for shape in ((a, b), (b, c)))
    wires = [f"array.elements.{row}_{column}.product" for row in range(side) for column in range(side)]
    figure = Figure(figsize=(10, 5.6))
    longest = 0
    panels: list[Axes] = []
    for number, dataflow in enumerate(Dataflow):
        seen = watch(dataflow, left, right, rows=side, columns=side, wires=wires)
        # Operands are not 0: a product is 0 where an element has nothing to do.
        busy = np.mean([seen.traces[name] != 0 for name in wires], axis=0)[seen.first : seen.ready]
        assert round(busy.sum() * side * side) == a * b * c
        assert len(busy) == array_cycles(dataflow, [Gemm(a, b, c)], side, side, pipeline_cycles=PIPELINE_CYCLES)
        panel: Axes = figure.add_axes((0.06, 0.685 - 0.295 * number, 0.925, 0.2))
        edges = np.flatnonzero(np.diff(busy, prepend=-1.0))  # only where it changes
        panel.fill_between([*edges, len(busy)], [*busy[edges], busy[-1]], step="post", color="#7fb0dc", linewidth=0)
        panel.axvline(len(busy), color=INK, linewidth=1)
        panel.set_title(
            f"{dataflow}: {len(busy)} cycles, {100 * busy.mean():.1f} % of the elements busy on average",
            loc="left",
            fontsize=9.5,
            color=INK,
        )
        panel.set_ylim(0, 1.05)
        panel.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        longest = max(longest, len(busy))
        panels.append(panel)
        for side_name in ("top", "right"):
            panel.spines[side_name].set_visible(False)
    for panel in panels:
        panel.set_xlim(0, longest * 1.02)
        panel.tick_params(labelsize=8)
    panels[-1].set_xlabel("cycles from the first operand read until all results may be read", fontsize=9)
    figure.text(
        0.015,
        0.965,
        f"A product of {a} x {b} by {b} x {c} on {side} x {side} elements",
        fontsize=10.5,
        color=INK,
        va="center",
    )
    return figure


# ---- blocks ----


@dataclass(frozen=True)
class Box:
    """A block: the path of its instance in the overlay, its place (left, bottom, width, height), its text."""

    path: str
    place: tuple[float, float, float, float]
    text: str
    orders: str = ""  # instruction it takes
    outer: bool = False


BOXES = (
    Box("sequencer", (13, 56, 87, 5), "sequencer: fetch, six queues, sixteen semaphores"),
    Box("router", (11, 8, 5, 43), "router"),
    Box("top", (20, 40, 22, 11), "top operand, P2 lanes", "LOAD_TOP", outer=True),
    Box("top.loader", (21, 42.5, 6, 4.5), "loader"),
    Box("top.transform", (28, 42.5, 6, 4.5), "Winograd\ninput"),
    Box("top.buffer", (35, 42.5, 6, 4.5), "turn\nbuffer"),
    Box("left", (20, 24, 22, 11), "left operand, P1 lanes", "LOAD_LEFT", outer=True),
    Box("left.loader", (21, 26.5, 6, 4.5), "loader"),
    Box("left.transform", (28, 26.5, 6, 4.5), "Winograd\ninput"),
    Box("left.buffer", (35, 26.5, 6, 4.5), "turn\nbuffer"),
    Box("channels", (20, 8, 22, 9), "channel memory:\nbias, multiplier, shift", "LOAD_CHANNELS"),
    Box("engine", (46, 6, 24, 45), "matrix engine", "COMPUTE", outer=True),
    Box("engine.feed_walker", (47.5, 42, 6.5, 4), "feeder"),
    Box("engine.stream_walker", (54.75, 42, 6.5, 4), "streamer"),
    Box("engine.collect_walker", (62, 42, 6.5, 4), "collector"),
    Box("engine.array", (47.5, 22, 13, 15), "systolic array\nP1 x P2\nelements"),
    Box("engine.vector", (62, 22, 6.5, 15), "vector\nlanes"),
    Box("engine.accumulators", (47.5, 8, 21, 8), "accumulators,\ntwo halves a column"),
    Box("finisher", (74, 6, 15, 24), "finisher", "FINISH", outer=True),
    Box("finisher.transform", (77.5, 9, 9, 6), "Winograd\noutput"),
    Box("finisher.requantise", (77.5, 19, 9, 6), "requantise"),
    Box("results", (74, 34, 15, 6), "result buffer"),
    Box("storer", (74, 44, 15, 7), "storer", "STORE"),
)
PORTS = {"program": (0, 55.5, 8, 6), "read": (0, 26, 8, 6), "write": (92.5, 44.5, 7.5, 6)}
# Source, target and the corners of the way; "port." is an edge of the overlay.
ARROWS: tuple[tuple[str, str, tuple[tuple[float, float], ...]], ...] = (
    ("port.program", "sequencer", ((8, 58.5), (13, 58.5))),
    ("port.read", "router", ((8, 29), (11, 29))),
    ("router", "top", ((16, 44.75), (21, 44.75))),
    ("router", "left", ((16, 28.75), (21, 28.75))),
    ("router", "channels", ((16, 12.5), (20, 12.5))),
    *(
        arrow
        for side, height in (("top", 44.75), ("left", 28.75))
        for arrow in (
            (f"{side}.loader", f"{side}.transform", ((27, height), (28, height))),
            (f"{side}.transform", f"{side}.buffer", ((34, height), (35, height))),
            (
                f"{side}.loader",
                f"{side}.buffer",
                ((24, height - 2.25), (24, height - 3.6), (38, height - 3.6), (38, height - 2.25)),
            ),
        )
    ),
    ("top", "engine", ((41, 44.75), (44, 44.75), (44, 39.5), (54, 39.5), (54, 37))),
    ("left", "engine", ((41, 28.75), (47.5, 28.75))),
    ("engine.array", "engine.vector", ((54, 39.5), (65.25, 39.5), (65.25, 37))),
    ("engine.array", "engine.accumulators", ((54, 22), (54, 16))),
    ("engine.vector", "engine.accumulators", ((65.25, 22), (65.25, 16))),
    ("engine", "finisher", ((68.5, 12), (77.5, 12))),
    ("engine", "finisher", ((75.5, 12), (75.5, 22), (77.5, 22))),
    ("finisher.transform", "finisher.requantise", ((82, 15), (82, 19))),
    ("channels", "finisher", ((31, 8), (31, 3), (91, 3), (91, 22), (86.5, 22))),
    ("finisher", "results", ((82, 25), (82, 34))),
    ("results", "storer", ((82, 40), (82, 44))),
    ("storer", "port.write", ((89, 47.5), (92.5, 47.5))),
)


def inside(top: Module, path: str) -> Module:
    """The module of an instance, by its path; fails where there is none."""
    for name in path.split("."):
        assert isinstance(top, Design), path
        top = top.instances[name].module
    return top


def is_wired(top: Design, source: str, target: str) -> bool:
    """Whether the one leads to the other within one design, directly or by instances that are not drawn."""
    scope, _, source = source.rpartition(".")
    target = target.rpartition(".")[2]
    design = inside(top, scope) if scope and scope != "port" else top
    assert isinstance(design, Design)
    if target in PORTS:  # out of the overlay
        drivers = [wire for name, wire in design.results.items() if name.startswith(target + "_")]
    else:
        drivers = list(design.instances[target].connections.values())
    drawn = {box.path for box in BOXES}
    for wire in drivers:
        if not isinstance(wire, Signal):
            continue
        if wire.instance is None:
            if scope == "port" and wire.name.startswith(source + "_"):
                return True
        elif wire.instance.name == source:
            return True
        elif f"{scope}.{wire.instance.name}".removeprefix(".") not in drawn:
            between = [other for other in wire.instance.connections.values() if isinstance(other, Signal)]
            if any(other.instance is design.instances.get(source) and other.instance is not None for other in between):
                return True
    return False


def overlay_blocks() -> Figure:
    """The overlay with Winograd; every box is an instance of it and every arrow a wire."""
    top = overlay_circuit(CircuitParameters(rows=4, columns=4, winograd=(2, 4), sum_width=48))
    for box in BOXES:
        inside(top, box.path)
    wrong = [(source, target) for source, target, _ in ARROWS if not is_wired(top, source, target)]
    assert not wrong, wrong

    figure = Figure(figsize=(11, 7))
    axes: Axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.set_xlim(-0.5, 100.5)
    axes.set_ylim(0.5, 62)
    axes.axis("off")
    for _, _, way in ARROWS:
        axes.plot(*zip(*way, strict=True), color=INK, linewidth=1.2, zorder=3, solid_joinstyle="miter")
        axes.annotate(
            "", way[-1], way[-2], arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0}, zorder=4
        )
    for name, (left, bottom, width, height) in PORTS.items():
        axes.add_patch(
            Rectangle((left, bottom), width, height, facecolor="white", edgecolor=FAINT, linestyle="--", zorder=2)
        )
        text = f"{name}\nport"
        axes.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", color=INK, zorder=5)
    for box in BOXES:
        draw_box(axes, box)
    axes.annotate(
        "",
        (58, 51),
        (58, 56),
        arrowprops={"arrowstyle": "<|-|>", "color": "#b5651d", "linestyle": "-", "linewidth": 1.4},
    )
    axes.text(
        59,
        53.5,
        "to every unit with a tag: its instructions; back: done, tokens",
        va="center",
        color="#8a4a12",
        fontsize=8.5,
    )
    return figure


def draw_box(axes: Axes, box: Box) -> None:
    """A box with its text, and the instruction it takes as a tag."""
    left, bottom, width, height = box.place
    nested = "." in box.path
    face = "#f4f6f8" if box.outer else "#dbe8f4" if nested else "#e4eee0"
    style = "round,pad=0,rounding_size=0.6"
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom), width, height, boxstyle=style, facecolor=face, edgecolor=INK, linewidth=1, zorder=2.5
        )
    )
    if box.path == "router":
        axes.text(left + width / 2, bottom + height / 2, box.text, rotation=90, ha="center", va="center", zorder=5)
    elif box.outer:
        axes.text(
            left + 1, bottom + height - 1.9, box.text, ha="left", va="center", zorder=5, fontweight="bold", fontsize=8.5
        )
    else:
        drop = 1.2 if box.orders else 0
        size = 8 if nested else 9
        axes.text(
            left + width / 2, bottom + height / 2 - drop, box.text, ha="center", va="center", zorder=5, fontsize=size
        )
    if box.orders:
        axes.text(
            left + width - 0.7,
            bottom + height - 1.9,
            box.orders,
            ha="right",
            va="center",
            fontsize=6.5,
            color="white",
            zorder=6,
            bbox={"facecolor": "#b5651d", "edgecolor": "none", "pad": 1.5},
        )


PICTURES = {
    "overlay-blocks": overlay_blocks,
    "tile-switch-ns": tile_switch_ns,
    "tile-switch-ws": tile_switch_ws,
    "occupancy": occupancy,
    "overlay-at-work": overlay_at_work,
    "reductions": reductions,
}


def main() -> None:
    """Write the pictures asked for, all if none is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="where PNG go as well")
    parser.add_argument("--output", type=Path, default=IMAGES, metavar="FOLDER", help="where SVG go")
    options = parser.parse_args()
    with mpl.rc_context(STYLE):
        for name, draw in ((name, PICTURES[name]) for name in options.names or PICTURES):
            figure = draw()
            path = options.output / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None, "Creator": None})
            text = path.read_text(encoding="utf-8")
            path.write_text("".join(f"{line.rstrip()}\n" for line in text.splitlines()), encoding="utf-8")
            if options.png is not None:
                options.png.mkdir(parents=True, exist_ok=True)
                figure.savefig(options.png / f"{name}.png", dpi=110)
            print(path.name)


if __name__ == "__main__":
    main()
