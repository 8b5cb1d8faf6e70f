"""The drawing of a network as SVG that a page's script makes interactive; without the script it is still a picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from .graph import Drawing, Node
from .style import family_of

__all__ = ["network_svg", "place"]

# Pixels at scale 1: a node, and the distance of columns and rows.
_WIDTH, _HEIGHT = 186, 46
_COLUMN, _ROW = 204, 86
_MARGIN = 24
_NAME_LENGTH = 20
_LETTER, _LINE = 6.2, 11  # a letter's width and a line's height in the labels of edges


def network_svg(drawing: Drawing, rows: Sequence[Mapping[str, Any]], *, changed: Collection[int] = ()) -> str:
    """The network, one group a node and one path an edge.

    Args:
        drawing: where everything lies.
        rows: of the stages, from :func:`~dynamap_opt.reporting.facts.layer_rows`.
        changed: stages to mark as computed or stored differently in another plan.

    Nodes are ``<g class="node FAMILY" id="nK" data-n="K">`` with K counted over ``drawing.nodes``; of a stage it is
    the stage's index. Each has a label that reads it aloud.
    """
    centres = [place(*point) for point in drawing.centres]
    routes = [[place(*point) for point in route] for route in drawing.routes]
    every = [*centres, *(point for route in routes for point in route)]
    width = max(x for x, _ in every) + _WIDTH / 2 + _MARGIN
    height = max(y for _, y in every) + _HEIGHT / 2 + _MARGIN
    most = max((row["share"] for row in rows), default=0) or 1
    paths, labels = [], []
    taken: list[tuple[float, float, float]] = []
    for edge, route in zip(drawing.edges, routes, strict=True):
        kind = edge.layout.partition("-")[0].partition(" ")[0]
        points = _shortened(route, [drawing.nodes[edge.source], drawing.nodes[edge.target]])
        paths.append(f'<path class="{_layout_class(kind)}" d="{_curve(points)}"/>')
        x, y = _beside(points[-2:], len(edge.layout) * _LETTER, taken)
        labels.append(f'<text x="{x:.0f}" y="{y:.0f}">{escape(edge.layout)}</text>')
    nodes = [
        _node(
            index,
            node,
            centres[index],
            None if node.stage is None else rows[node.stage],
            most,
            changed=node.stage in changed,
        )
        for index, node in enumerate(drawing.nodes)
    ]
    return (
        f'<svg id="network" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'data-width="{width:.0f}" data-height="{height:.0f}" data-node="{_WIDTH} {_HEIGHT}" '
        'role="group" aria-label="The network as a graph">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5 L8 4 L0 7.5 z" class="tip"/></marker></defs>'
        f'<g id="scene"><g class="edges">{"".join(paths)}</g>'
        f'<g class="layouts" aria-hidden="true">{"".join(labels)}</g>'
        f'<g class="nodes">{"".join(nodes)}</g></g></svg>'
    )


def place(x: float, y: float) -> tuple[float, float]:
    """From columns and rows to pixels."""
    return x * _COLUMN + _WIDTH / 2 + _MARGIN, y * _ROW + _HEIGHT / 2 + _MARGIN


def _beside(
    ends: Sequence[tuple[float, float]], width: float, taken: list[tuple[float, float, float]]
) -> tuple[float, float]:
    """Where a label stands by the last part of an edge, noted in ``taken`` (x, y, width): clear of those there.

    Close to the reader, where edges that leave one node have parted, if it is free there.
    """
    (x0, y0), (x1, y1) = ends
    places = [(x0 + part * (x1 - x0) + 4, y0 + part * (y1 - y0)) for part in (0.72, 0.4, 0.88, 0.56, 0.24)]
    free = (
        (x, y)
        for x, y in places
        if not any(x < left + wide and left < x + width and abs(y - line) < _LINE for left, line, wide in taken)
    )
    x, y = next(free, places[0])
    taken.append((x, y, width))
    return x, y


def _layout_class(kind: str) -> str:
    return kind if kind in {"nhwc", "toeplitz", "tiles"} else "nhwc"


def _half(node: Node) -> float:
    return {"stage": _HEIGHT / 2, "input": 16, "concat": 9}[node.kind]


def _shortened(route: Sequence[tuple[float, float]], ends: Sequence[Node]) -> list[tuple[float, float]]:
    """From the bottom of the one node to the top of the other."""
    (x0, y0), (x1, y1) = route[0], route[-1]
    return [(x0, y0 + _half(ends[0])), *route[1:-1], (x1, y1 - _half(ends[1]) - 1)]


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A path that goes through all points, vertical at each."""
    parts = [f"M{points[0][0]:.0f} {points[0][1]:.0f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 == x1:
            parts.append(f"V{y1:.0f}")
        else:
            middle = (y0 + y1) / 2
            parts.append(f"C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} {x1:.0f} {y1:.0f}")
    return "".join(parts)


def _node(
    index: int, node: Node, centre: tuple[float, float], row: Mapping[str, Any] | None, most: float, *, changed: bool
) -> str:
    x, y = centre
    if row is None:
        label = f"network input {node.name}" if node.kind == "input" else f"concatenation {node.name}, by address, free"
        head = f'<g class="node {node.kind}" id="n{index}" data-n="{index}" role="img" aria-label="{escape(label)}"'
        if node.kind == "concat":
            return f'{head} transform="translate({x:.0f} {y:.0f})"><circle r="9"/><path d="M-4 0H4M0 -4V4"/></g>'
        return (
            f'{head} transform="translate({x:.0f} {y:.0f})"><rect x="-64" y="-16" width="128" height="32" rx="16"/>'
            f'<text y="4" text-anchor="middle">{escape(_short(node.name, 17))}</text></g>'
        )
    family = family_of(row["algorithm"])
    how = f"{row['algorithm']} {row['flow']}".strip()
    label = f"{row['n']}: {row['name']}, {row['operation']}, {how}, {row['cycles']:,} cycles" + (
        ", differs" if changed else ""
    )
    bar = max(1.0, (_WIDTH - 30) * row["share"] / most) if row["cycles"] else 0.0
    return (
        f'<g class="node stage {family.key}{" changed" if changed else ""}" id="n{index}" data-n="{index}" role="img" '
        f'aria-label="{escape(label)}" transform="translate({x - _WIDTH / 2:.0f} {y - _HEIGHT / 2:.0f})">'
        f'<rect class="card" width="{_WIDTH}" height="{_HEIGHT}" rx="5"/>'
        f'<path class="band" d="M22 0H5a5 5 0 0 0 -5 5V{_HEIGHT - 5}a5 5 0 0 0 5 5H22z"/>'
        f'<text class="letter" x="11" y="27" text-anchor="middle">{family.letter}</text>'
        f'<text class="name" x="28" y="16">{escape(_short(row["name"], _NAME_LENGTH))}</text>'
        f'<text class="detail" x="28" y="31">{escape(how)}</text>'
        f'<text class="detail" x="{_WIDTH - 5}" y="31" text-anchor="end">{row["cycles"]:,}</text>'
        f'<rect class="bar" x="26" y="{_HEIGHT - 8}" width="{bar:.1f}" height="4"/></g>'
    )


def _short(text: str, length: int) -> str:
    """The end of a long name, which tells layers apart better than its beginning."""
    return text if len(text) <= length else f"…{text[1 - length :]}"
