"""The charts of a report as Vega-Lite specifications; their data are named and come with the page.

https://vega.github.io/vega-lite/ describes the language. Data sets are ``layers``, ``shapes``, ``front``, ``marked``,
``sweep`` and ``changes``; the page's script fills them in from its facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .style import PARTS, Family

__all__ = [
    "changes_chart",
    "front_chart",
    "latency_chart",
    "map_chart",
    "occupancy_chart",
    "roofline_chart",
    "sweep_chart",
]

Spec = dict[str, Any]

_DECADES = [10.0**n for n in range(-3, 10)]
_FINER = [digit * decade for decade in _DECADES for digit in (1, 2, 5)]
_LAYER_TOOLTIP = [
    {"field": "name", "type": "nominal", "title": "layer"},
    {"field": "operation", "type": "nominal"},
    {"field": "algorithm", "type": "nominal"},
    {"field": "flow", "type": "nominal", "title": "dataflow"},
    {"field": "cycles", "type": "quantitative", "format": ","},
]
_CHOSEN = "#d55e00"


def _colour(families: Sequence[Family]) -> Spec:
    return {
        "field": "family",
        "type": "nominal",
        "title": "computed by",
        "scale": {"domain": [family.label for family in families], "range": [family.colour for family in families]},
    }


def _spec(data: str, description: str, **rest: Any) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": description,
        "data": {"name": data},
        "width": "container",
        **rest,
    }


def latency_chart(layers: int, step: int) -> Spec:
    """Each layer's load, compute and store stacked, the longest outlined, and its latency as a mark.

    Args:
        layers: number of them.
        step: width of a layer in pixels.
    """
    order = {key: place for place, (key, _, _) in enumerate(PARTS)}
    place = {"field": "n", "type": "ordinal", "axis": None}
    return _spec(
        "layers",
        "Cycles of every layer, stacked into load, compute and store; the table of layers has the numbers",
        width=max(280, layers * step),
        height=280,
        layer=[
            {
                "transform": [
                    {"fold": [key for key, _, _ in PARTS], "as": ["part", "part cycles"]},
                    {
                        "calculate": " : ".join(f"datum.part == '{k}' ? {n}" for k, n in order.items()) + " : 9",
                        "as": "order",
                    },
                    {"calculate": "datum.part == datum.bound", "as": "limits"},
                ],
                "mark": {"type": "bar", "stroke": {"expr": "ink"}},
                "encoding": {
                    "x": place,
                    "y": {"field": "part cycles", "type": "quantitative", "title": "cycles", "axis": {"format": "~s"}},
                    "color": {
                        "field": "part",
                        "type": "nominal",
                        "title": "part",
                        "scale": {"domain": [key for key, _, _ in PARTS], "range": [colour for _, _, colour in PARTS]},
                    },
                    "order": {"field": "order", "type": "ordinal"},
                    "strokeWidth": {
                        "condition": {"test": "datum.limits", "value": 1.5 if step > 6 else 0.8},
                        "value": 0,
                    },
                    "tooltip": [
                        *_LAYER_TOOLTIP,
                        *({"field": key, "type": "quantitative", "format": ","} for key, _, _ in PARTS),
                        {"field": "bound", "type": "nominal", "title": "bound by"},
                    ],
                },
            },
            {
                "mark": {"type": "tick", "thickness": 2.5, "bandSize": step - 1, "color": {"expr": "ink"}},
                "encoding": {"x": place, "y": {"field": "cycles", "type": "quantitative"}, "tooltip": _LAYER_TOOLTIP},
            },
            *(
                [
                    {
                        "mark": {
                            "type": "text",
                            "angle": 270,
                            "align": "right",
                            "baseline": "middle",
                            "dy": 0,
                            "dx": -4,
                            "fontSize": 10,
                            "limit": 150,
                        },
                        "encoding": {
                            "x": place,
                            "y": {"value": 280},
                            "text": {"field": "name", "type": "nominal"},
                        },
                    }
                ]
                if step >= 12
                else []
            ),
        ],
        params=[{"name": "ink", "value": "#000000"}],
    )


def occupancy_chart(families: Sequence[Family]) -> Spec:
    """How much of the array does useful work, over the run of the network."""
    return _spec(
        "layers",
        "Over the cycles of the whole run, the share of the array's elements that do useful multiply-accumulates",
        height=200,
        mark={"type": "rect"},
        encoding={
            "x": {
                "field": "start",
                "type": "quantitative",
                "title": "cycle",
                "axis": {"format": "~s", "labelFlush": 20},  # not beyond the chart
                "scale": {"nice": False},
            },
            "x2": {"field": "end"},
            "y": {
                "field": "use",
                "type": "quantitative",
                "title": "elements at work",
                "axis": {"format": "%"},
                "scale": {"domain": [0, 1]},
            },
            "y2": {"datum": 0},
            "color": _colour(families),
            "tooltip": [*_LAYER_TOOLTIP, {"field": "use", "type": "quantitative", "title": "at work", "format": ".1%"}],
        },
    )


def roofline_chart(families: Sequence[Family], elements: int, bytes_per_cycle: float) -> Spec:
    """Every convolution under the two roofs: the array's elements, and the memory port's width times the intensity."""
    ridge = elements / bytes_per_cycle
    low, high = min(0.5, ridge / 10), max(1e4, ridge * 10)
    roof = [
        {"x": low, "y": low * bytes_per_cycle},
        {"x": ridge, "y": elements},
        {"x": high, "y": elements},
    ]
    scale = {"type": "log", "nice": False, "domain": [low, high]}
    return _spec(
        "layers",
        "Multiply-accumulates per cycle over those per byte, under the limits of the array and the memory",
        height=320,
        layer=[
            {
                "data": {"values": roof},
                "mark": {"type": "line", "strokeWidth": 2, "color": {"expr": "ink"}},
                "encoding": {
                    "x": {
                        "field": "x",
                        "type": "quantitative",
                        "scale": scale,
                        "title": "multiply-accumulates per byte",
                        "axis": {"values": _DECADES, "format": "~s"},
                    },
                    "y": {
                        "field": "y",
                        "type": "quantitative",
                        "scale": {"type": "log"},
                        "title": "multiply-accumulates per cycle",
                        "axis": {"values": _DECADES, "format": "~s"},
                    },
                },
            },
            {
                "data": {"values": [{"x": high, "y": elements, "text": f"array: {elements:,} per cycle"}]},
                "mark": {"type": "text", "align": "right", "dy": -8, "fontSize": 12},
                "encoding": {
                    "x": {"field": "x", "type": "quantitative"},
                    "y": {"field": "y", "type": "quantitative"},
                    "text": {"field": "text", "type": "nominal"},
                },
            },
            {
                "data": {
                    "values": [
                        {"x": low, "y": low * bytes_per_cycle, "text": f"memory: {bytes_per_cycle:g} bytes per cycle"}
                    ]
                },
                "mark": {"type": "text", "align": "left", "dy": 14, "dx": 14, "fontSize": 12},
                "encoding": {
                    "x": {"field": "x", "type": "quantitative"},
                    "y": {"field": "y", "type": "quantitative"},
                    "text": {"field": "text", "type": "nominal"},
                },
            },
            {
                "transform": [{"filter": "datum.intensity > 0"}],
                "mark": {
                    "type": "point",
                    "filled": True,
                    "size": 70,
                    "opacity": 0.85,
                    "stroke": {"expr": "ink"},
                    "strokeWidth": 0.6,
                },
                "encoding": {
                    "x": {"field": "intensity", "type": "quantitative"},
                    "y": {"field": "rate", "type": "quantitative"},
                    "color": _colour(families),
                    "shape": {
                        "field": "family",
                        "type": "nominal",
                        "title": "computed by",
                        "scale": {
                            "domain": [family.label for family in families],
                            "range": [family.shape for family in families],
                        },
                    },
                    "tooltip": [
                        *_LAYER_TOOLTIP,
                        {"field": "bound", "type": "nominal", "title": "bound by"},
                        {"field": "intensity", "type": "quantitative", "title": "per byte", "format": ",.1f"},
                        {"field": "rate", "type": "quantitative", "title": "per cycle", "format": ",.1f"},
                    ],
                },
            },
        ],
        params=[{"name": "ink", "value": "#000000"}],
    )


def _marks(x: str, y: str) -> Spec:
    """The chosen array and its runners-up, with their names."""
    return {
        "data": {"name": "marked"},
        "encoding": {"x": {"field": x, "type": "quantitative"}, "y": {"field": y, "type": "quantitative"}},
        "layer": [
            {
                "mark": {
                    "type": "point",
                    "filled": True,
                    "opacity": 1,
                    "stroke": "#ffffff",
                    "strokeWidth": 1.5,
                    "size": 150,
                },
                "encoding": {
                    "shape": {
                        "field": "what",
                        "type": "nominal",
                        "title": None,
                        "scale": {"domain": ["chosen", "next best"], "range": ["diamond", "triangle-up"]},
                    },
                    "fill": {"value": _CHOSEN},
                    "tooltip": [
                        {"field": "what", "type": "nominal", "title": "array"},
                        {"field": "array", "type": "nominal", "title": "P1×P2"},
                        {"field": "cycles", "type": "quantitative", "format": ","},
                        {"field": "times", "type": "nominal", "title": "against chosen"},
                    ],
                },
            },
        ],
    }


def map_chart(widest: int, tallest: int) -> Spec:
    """Latency of every array shape over its columns and rows, the Pareto front and the chosen array on top."""
    tooltip = [
        {"field": "array", "type": "nominal", "title": "P1×P2"},
        {"field": "said", "type": "nominal", "title": "cycles"},
        {"field": "times", "type": "nominal", "title": "against chosen"},
    ]
    return _spec(
        "shapes",
        "The latency of every array shape over columns and rows; a table has the Pareto front",
        height=420,
        layer=[
            {
                "mark": {"type": "rect", "strokeWidth": 0},
                "encoding": {
                    "x": {
                        "field": "x",
                        "type": "quantitative",
                        "title": "columns P2",
                        "scale": {"type": "log", "base": 2, "domain": [0.5, widest * 1.3], "nice": False},
                        "axis": {"format": "d", "grid": False, "values": [2**n for n in range(21)]},
                    },
                    "x2": {"field": "x2"},
                    "y": {
                        "field": "y",
                        "type": "quantitative",
                        "title": "rows P1",
                        "scale": {"type": "log", "base": 2, "domain": [0.5, tallest * 1.3], "nice": False},
                        "axis": {"format": "d", "grid": False, "values": [2**n for n in range(21)]},
                    },
                    "y2": {"field": "y2"},
                    "color": {
                        "field": "ratio",
                        "type": "quantitative",
                        "title": "times the best",
                        "scale": {
                            "type": "log",
                            "scheme": "viridis",
                            "reverse": True,
                            "domain": [1, 64],
                            "clamp": True,
                        },
                        "legend": {"format": ".3~g", "values": [1, 4, 16, 64], "gradientLength": 120},
                    },
                    "tooltip": tooltip,
                },
            },
            {
                "data": {"name": "front"},
                "mark": {
                    "type": "circle",
                    "size": 16,
                    "color": "#ffffff",
                    "stroke": "#000000",
                    "strokeWidth": 0.7,
                    "opacity": 1,
                },
                "encoding": {
                    "x": {"field": "p2", "type": "quantitative"},
                    "y": {"field": "p1", "type": "quantitative"},
                    "tooltip": tooltip,
                },
            },
            _marks("p2", "p1"),
        ],
        resolve={"scale": {"shape": "independent"}},
    )


def front_chart() -> Spec:
    """The Pareto front of latency against DSP slices."""
    return _spec(
        "front",
        "The least latency that any array with so many DSP slices reaches; the table below has the numbers",
        height=320,
        layer=[
            {
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2, "color": "#0072b2"},
                "encoding": {
                    "x": {
                        "field": "dsp",
                        "type": "quantitative",
                        "title": "DSP slices of the array",
                        "scale": {"type": "log", "nice": False, "padding": 12},
                        "axis": {"format": ",d", "values": _FINER},
                    },
                    "y": {
                        "field": "ms",
                        "type": "quantitative",
                        "title": "latency in ms",
                        "scale": {"type": "log", "nice": False, "padding": 12},
                        "axis": {"format": ",.3~r", "values": _FINER},
                    },
                },
            },
            {
                "mark": {"type": "circle", "size": 26, "color": "#0072b2", "opacity": 1},
                "encoding": {
                    "x": {"field": "dsp", "type": "quantitative"},
                    "y": {"field": "ms", "type": "quantitative"},
                    "tooltip": [
                        {"field": "array", "type": "nominal", "title": "P1×P2"},
                        {"field": "dsp", "type": "quantitative", "title": "DSP slices", "format": ","},
                        {"field": "cycles", "type": "quantitative", "format": ","},
                        {"field": "ms", "type": "quantitative", "format": ".4f"},
                        {"field": "times", "type": "nominal", "title": "against chosen"},
                    ],
                },
            },
            _marks("dsp", "ms"),
        ],
    )


def sweep_chart(what: str, title: str, amounts: list[float]) -> Spec:
    """The latency on the chosen array over another amount of one resource.

    Args:
        what: ``bandwidth`` or ``memory``.
        title: of the axis.
        amounts: where the axis has its marks.
    """
    return _spec(
        "sweep",
        f"The optimal latency of the chosen array over {title}",
        height=220,
        transform=[{"filter": f"datum.what == '{what}'"}],
        layer=[
            {"mark": {"type": "line", "color": "#0072b2", "strokeWidth": 2}},
            {
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {
                    "color": {"condition": {"test": "datum.factor == 1", "value": _CHOSEN}, "value": "#0072b2"},
                    "shape": {"condition": {"test": "datum.factor == 1", "value": "diamond"}, "value": "circle"},
                    "size": {"condition": {"test": "datum.factor == 1", "value": 170}, "value": 60},
                },
            },
        ],
        encoding={
            "x": {
                "field": "amount",
                "type": "quantitative",
                "title": title,
                "scale": {"type": "log", "base": 2},
                "axis": {"format": ".3~g", "values": amounts},
            },
            "y": {"field": "ms", "type": "quantitative", "title": "latency in ms", "scale": {"zero": True}},
            "tooltip": [
                {"field": "amount", "type": "quantitative", "title": title, "format": ",.4~g"},
                {"field": "cycles", "type": "quantitative", "format": ","},
                {"field": "ms", "type": "quantitative", "format": ".4f"},
            ],
        },
    )


def changes_chart(rows: int) -> Spec:
    """What each of so many layers that differ gained or lost, most first."""
    return _spec(
        "changes",
        "Bars of the change in microseconds of every layer that differs between the two plans",
        height=max(40, 18 * rows),
        mark={"type": "bar"},
        encoding={
            "y": {
                "field": "name",
                "type": "nominal",
                "title": None,
                "sort": {"field": "change_us", "order": "ascending"},
                "axis": {"labelLimit": 150},
            },
            "x": {"field": "change_us", "type": "quantitative", "title": "change in µs (left: this plan is faster)"},
            "color": {
                "condition": {"test": "datum.change_us < 0", "value": "#0072b2"},
                "value": "#e69f00",
            },
            "tooltip": [
                {"field": "name", "type": "nominal", "title": "layer"},
                {"field": "before", "type": "nominal", "title": "other plan"},
                {"field": "after", "type": "nominal", "title": "this plan"},
                {"field": "cycles_before", "type": "quantitative", "title": "cycles, other", "format": ","},
                {"field": "cycles_after", "type": "quantitative", "title": "cycles, this", "format": ","},
                {"field": "change_us", "type": "quantitative", "title": "change in µs", "format": "+,.2f"},
            ],
        },
    )
