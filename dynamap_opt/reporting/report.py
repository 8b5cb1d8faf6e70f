"""From a plan, its tables and its alternatives to the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from dynamap_opt.explanation import explain_plan
from dynamap_opt.files import write_text
from dynamap_opt.front import explore_front
from dynamap_opt.mapper import Mapper
from dynamap_opt.overlays import dram_bytes_per_cycle
from dynamap_opt.plan import Plan

from . import charts, sections
from .difference import check_comparable, layer_differences
from .facts import alternative_rows, board_sweep, layer_rows, shape_facts
from .graph import draw, edges_and_nodes, layout_library
from .page import chart_library, html_page
from .picture import place
from .style import FAMILIES

__all__ = ["Report", "make_report"]

Rows = Sequence[dict[str, Any]]

# Pixels a layer takes in the chart of latencies: as wide as its name is high, or so that hundreds stay surveyable.
_WIDE, _NARROW, _MANY = 15, 9, 250


@dataclass(frozen=True)
class Report:
    """A report as the text of an HTML file."""

    title: str
    html: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all.

        Raises:
            DynamapError: when it cannot be written.
        """
        write_text(path, self.html)


def make_report(
    plan: Plan,
    mapper: Mapper,
    *,
    against: Plan | None = None,
    explore: bool = True,
    plan_name: str = "plan.json",
    threads: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Explain the plan, explore the shapes again, and write the page.

    Args:
        plan: to report on.
        mapper: of the plan's network, board and settings (:func:`~dynamap_opt.explanation.mapper_of`).
        against: another plan for the same network, to show what differs.
        explore: whether all shapes are explored again for the map and the Pareto front, and the array is mapped for
            other memories. A plan for an array that was asked for has no map.
        plan_name: how the page calls the plan's file.
        threads: for exploring.
        progress: called with (what is done, steps done, steps in all).

    Raises:
        DynamapError: when plan and network do not belong together, the two plans are for different networks, or
            igraph or vl-convert is not installed.
    """

    def stage(what: str) -> Callable[[int, int], None]:
        return lambda done, total: None if progress is None else progress(what, done, total)

    if against is not None:
        check_comparable(plan, against)
    layout_library()  # before anything that takes long
    chart_library()
    explained = explain_plan(plan, mapper, progress=stage("explaining layers"))
    drawing = draw(*edges_and_nodes(mapper.program, plan.layers))
    rows = layer_rows(plan, mapper.program.stages)
    sweep = board_sweep(plan, mapper, progress=stage("mapping for other memories")) if explore else []
    shapes = None
    if explore and plan.settings.array is None:
        shapes = shape_facts(plan, explore_front(mapper, threads=threads, progress=stage("exploring array shapes")))
    changes = None if against is None else layer_differences(plan, against)
    port = (
        float(dram_bytes_per_cycle(mapper.board))
        if plan.settings.cost == "paper"
        else float(mapper.overlay.dram_bytes_per_cycle)
    )
    facts = {
        "nodes": [
            {"name": node.name, "stage": node.stage, "kind": node.kind, "x": x, "y": y}
            for node, (x, y) in zip(drawing.nodes, (place(*point) for point in drawing.centres), strict=True)
        ],
        "edges": [[edge.source, edge.target] for edge in drawing.edges],
        "layers": rows,
        "alternatives": alternative_rows(explained),
        "latency_cycles": plan.latency_cycles,
        "clock_hz": float(plan.board["clock_hz"]),
        "macs_per_dsp": plan.settings.macs_per_dsp,
        "array": plan.array,
        "colours": {family.label: family.colour for family in FAMILIES},
        "shapes": shapes,
        "sweep": sweep,
        "changes": changes,
        "charts": _charts(plan, rows, shapes, sweep, changes, port),
    }
    node_of = {node.stage: index for index, node in enumerate(drawing.nodes) if node.stage is not None}
    parts = [
        sections.network(drawing, rows, changes),
        *([] if against is None else [sections.difference(plan, against, changes or [], node_of)]),
        sections.latency(plan, rows),
        sections.occupancy(plan),
        sections.roofline(plan),
        sections.exploration(plan, shapes, sweep),
        sections.proof(plan, plan_name),
        sections.layers(rows, node_of),
    ]
    title = f"{plan.model.name} on {plan.board['name']}"
    footer = (
        f"Made by dynamap-opt {version('dynamap-opt')} from a plan with schema {plan.schema}. This file holds all it "
        "shows and asks nothing of any network."
    )
    return Report(title, html_page(title, sections.head(plan), parts, facts, footer))


def _charts(
    plan: Plan, rows: Rows, shapes: dict[str, Any] | None, sweep: Rows, changes: Rows | None, port: float
) -> dict[str, charts.Spec]:
    """The specifications of the charts this report has, by name."""
    used = {row["family"] for row in rows}
    families = [family for family in FAMILIES if family.label in used]
    specs = {
        "latency": charts.latency_chart(len(rows), _WIDE if len(rows) <= _MANY else _NARROW),
        "occupancy": charts.occupancy_chart(families),
        "roofline": charts.roofline_chart(families, plan.array[0] * plan.array[1], port),
        **{
            what: charts.sweep_chart(what, title, [row["amount"] for row in sweep if row["what"] == what])
            for what, title in (("bandwidth", "memory bytes per cycle"), ("memory", "MiB of block RAM"))
            if sweep
        },
    }
    if shapes is not None:
        specs["map"] = charts.map_chart(max(shapes["p2"]), max(shapes["p1"]))
        specs["front"] = charts.front_chart()
    if changes:
        specs["changes"] = charts.changes_chart(len(changes))
    return specs
