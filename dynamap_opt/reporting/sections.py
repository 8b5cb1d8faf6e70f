"""The sections of a report, each a few sentences around a chart or a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from dynamap_opt.plan import Plan

from .difference import plan_facts
from .facts import proof_rows, shares
from .graph import Drawing
from .page import Section, chart, definitions, network_section, table
from .picture import network_svg
from .style import FAMILIES

__all__ = ["difference", "exploration", "head", "latency", "layers", "network", "occupancy", "proof", "roofline"]

Rows = Sequence[dict[str, Any]]


def head(plan: Plan) -> list[tuple[str, str, str]]:
    """The facts at the top as (what, figure, detail)."""
    elements = plan.array[0] * plan.array[1]
    available = int(plan.board["array_dsp"]) * plan.settings.macs_per_dsp
    worked = sum(row.utilization * row.cycles for row in plan.layers)
    proved = plan.status == "optimal"
    return [
        (
            "latency",
            f"{plan.latency_s * 1e3:.3f} ms",
            f"{plan.latency_cycles:,} cycles at {float(plan.board['clock_hz']) / 1e6:.0f} MHz",
        ),
        ("array", f"{plan.array[0]}×{plan.array[1]}", f"{elements:,} of {available:,} elements"),
        (
            "array in use",
            f"{100 * worked / plan.latency_cycles:.1f} %" if plan.latency_cycles else "–",
            "of all elements, over all cycles",
        ),
        (
            "status",
            "proved optimal" if proved else "not proved",
            f"over {plan.shapes_explored:,} arrays" if plan.settings.array is None else "on the array asked for",
        ),
        ("work", f"{plan.model.macs / 1e9:.3f} G", "multiply-accumulates, done directly"),
        ("costs", plan.settings.cost, "preset of the cost model"),
    ]


def network(drawing: Drawing, rows: Rows, changes: Rows | None) -> Section:
    """The graph."""
    changed = {row["n"] - 1 for row in changes or () if row["choice"]}
    used = {row["family"] for row in rows}
    layouts = sorted({edge.layout.partition("-")[0].partition(" ")[0] for edge in drawing.edges})
    body = network_section(
        network_svg(drawing, rows, changed=changed),
        [family for family in FAMILIES if family.label in used],
        layouts,
        [row["name"] for row in rows],
        differs=changes is not None,
    )
    return Section("network-graph", "The network", body)


def latency(plan: Plan, rows: Rows) -> Section:
    """Load, compute and store of every layer."""
    bounds = {part: sum(row["cycles"] for row in rows if row["bound"] == part) for part in ("load", "compute", "store")}
    said = ", ".join(f"{part} {100 * cycles / plan.latency_cycles:.0f} %" for part, cycles in bounds.items() if cycles)
    parts = ", ".join(
        f"{name} {100 * cycles / plan.latency_cycles:.1f} % ({count:,} layers)"
        for name, count, cycles in shares(rows)
        if cycles
    )
    body = (
        "<p>Load, compute and store of a layer overlap, so that it takes little longer than the longest of them: the "
        "bar stacks the three, the outlined one is the longest and bounds the layer, and the thick line is the layer's "
        f"latency. Cycles by what bounds them: {said}. Cycles by algorithm: {escape(parts)}.</p>"
        + chart("latency", "Cycles of every layer, in the order they run", wide=True)
    )
    return Section("latency", "Latency per layer", body)


def occupancy(plan: Plan) -> Section:
    """The array over time."""
    return Section(
        "occupancy",
        "Array occupancy",
        f"<p>Each bar is a layer, as wide as it takes and as high as the share of the {plan.array[0]}×{plan.array[1]} "
        "elements that do useful work; the area is the work done. Where there is none, the vector unit runs.</p>"
        + chart("occupancy", "Share of the array at work over the run"),
    )


def roofline(plan: Plan) -> Section:
    """The roofline."""
    paper = (
        " The published cost formulas leave out the weights' traffic, so that points may lie above the sloping roof."
        if plan.settings.cost == "paper"
        else ""
    )
    return Section(
        "roofline",
        "Roofline",
        "<p>Convolutions by the work they do per byte and per cycle. Work is that of the direct convolution, so that "
        "Winograd may rise above the flat roof; bytes are those of the busier memory port if every element passes it "
        f"once, so that a layer below the sloping roof moves some more than once or waits.{paper}</p>"
        + chart("roofline", "Work per cycle over work per byte"),
    )


def exploration(plan: Plan, shapes: dict[str, Any] | None, sweep: Rows) -> Section:
    """The map of shapes, the Pareto front, and other memories."""
    parts: list[str] = []
    if shapes is None:
        why = (
            f"The plan is for the array {plan.array[0]}×{plan.array[1]}, as asked for; no other was explored."
            if plan.settings.array is not None
            else "The map of all arrays was left out."
        )
        parts.append(f"<p>{why}</p>")
    else:
        count, exact = len(shapes["p1"]), shapes["exact"]
        if exact is None:
            known = f"All {count:,} latencies are exact."
        else:
            known = (
                f"{len(exact):,} of {count:,} latencies are exact; the others are lower bounds and say “at least”: "
                "none of them can be the best" + (" or on the Pareto front." if shapes["front"] is not None else ".")
            )
        parts.append(
            "<p>Every array the board can hold, by its columns and rows (both scales logarithmic), coloured by its "
            f"best latency in multiples of the optimum. {known}</p>"
        )
        marks = '<p class="note">◆ chosen, ▲ next best' + (
            ", ○ on the Pareto front</p>" if shapes["front"] else "; bounds leave the Pareto front open</p>"
        )
        maps = f"<div><h3>Latency of every array</h3>{chart('map', 'Latency of every array shape')}{marks}</div>"
        if shapes["front"]:
            maps += (
                "<div><h3>Latency against DSP slices</h3>"
                + chart("front", "Pareto front")
                + _front(plan, shapes)
                + "</div>"
            )
        parts.append(f'<div class="columns">{maps}</div>')
    charts = []
    for what, title in (("bandwidth", "memory bandwidth"), ("memory", "block RAM")):
        if sum(row["what"] == what for row in sweep) > 1:
            charts.append(f"<div>{chart(what, f'Latency over {title}')}</div>")
    if charts:
        parts.append(
            "<h3>The same array with other memories</h3><p>The best mapping of the chosen array, found anew with an "
            "eighth to twice the board's memory bandwidth or block RAM, where that makes another overlay; ◆ is the "
            "board.</p>"
            f'<div class="columns">{"".join(charts)}</div>'
        )
    return Section("exploration", "Exploration", "".join(parts))


def _front(plan: Plan, shapes: dict[str, Any]) -> str:
    rows = [
        (
            f"{p1}×{p2}",
            f"{-(-p1 * p2 // plan.settings.macs_per_dsp):,}",
            f"{cycles:,}",
            f"{cycles / float(plan.board['clock_hz']) * 1e3:.4f}",
            f"{cycles / plan.latency_cycles:.3f}",
        )
        for p1, p2, cycles in reversed(shapes["front"])
    ]
    columns = [("array", False), ("DSP slices", True), ("cycles", True), ("ms", True), ("times the best", True)]
    caption = f"The {len(rows):,} arrays that no other beats in both DSP slices and latency"
    return f"<details><summary>{caption}</summary>{table(caption, columns, rows)}</details>"


def proof(plan: Plan, plan_name: str) -> Section:
    """What was proved, and how anyone checks it."""
    body = (
        definitions(proof_rows(plan))
        + "<h3>Check it again</h3><p>The first command prices every layer from the network alone and checks the "
        "certificate step by step with code that solves nothing; the second also explores all arrays again.</p>"
        f"<pre>dynamap verify {escape(plan_name)}\ndynamap verify {escape(plan_name)} --explore</pre>"
    )
    return Section("proof", "Proof", body)


def difference(plan: Plan, other: Plan, changes: Rows, node_of: dict[int, int]) -> Section:
    """Two plans beside each other, and the layers that differ."""
    both = zip(plan_facts(plan), plan_facts(other), strict=True)
    facts = table(
        "The two plans",
        [("", False), ("this plan", False), ("other plan", False)],
        [(what, this, that) for (what, this), (_, that) in both],
    ).replace("scroll tall", "scroll")
    if not changes:
        return Section("difference", "Difference", f"{facts}<p>No layer differs.</p>")
    differ = sum(row["choice"] for row in changes)
    speed = other.latency_s / plan.latency_s if plan.latency_s else 1.0
    said = (
        f"<p>This plan takes {plan.latency_s * 1e3:.3f} ms, the other one {other.latency_s * 1e3:.3f} ms ({speed:.3f} "
        f"times as long). {differ:,} of {len(plan.layers):,} layers are computed or stored differently, and "
        f"outlined with dashes in the graph; {len(changes):,} take another time or differ in that.</p>"
    )
    rows = [
        (
            (row["name"], node_of[row["n"] - 1]),
            row["before"],
            row["after"] if row["choice"] else "the same",
            f"{row['cycles_before']:,}",
            f"{row['cycles_after']:,}",
            f"{row['change_us']:+,.2f}",
        )
        for row in changes
    ]
    columns = [
        ("layer", False),
        ("other plan", False),
        ("this plan", False),
        ("cycles, other", True),
        ("cycles, this", True),
        ("change in µs", True),
    ]
    body = (
        facts
        + said
        + chart("changes", "Change of every layer", scroll=True)
        + table("Layers that differ", columns, rows)
    )
    return Section("difference", "Difference", body)


def layers(rows: Rows, node_of: dict[int, int]) -> Section:
    """Everything about every layer as a table."""
    columns = [
        ("layer", False),
        ("operation", False),
        ("in", False),
        ("out", False),
        ("algorithm", False),
        ("flow", False),
        ("reads", False),
        ("stores", False),
        ("cycles", True),
        ("load", True),
        ("compute", True),
        ("store", True),
        ("bound by", False),
        ("at work", True),
    ]
    cells = [
        (
            (row["name"], node_of[index]),
            row["operation"],
            row["in"],
            row["out"],
            row["algorithm"],
            row["flow"],
            row["reads"],
            row["stores"],
            f"{row['cycles']:,}",
            f"{row['load']:,}",
            f"{row['compute']:,}",
            f"{row['store']:,}",
            row["bound"],
            f"{100 * row['use']:.1f} %" if row["flow"] else "",
        )
        for index, row in enumerate(rows)
    ]
    return Section("layers", "Layers", table(f"All {len(rows):,} layers in the order they run", columns, cells))
