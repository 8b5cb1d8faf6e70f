"""A small graph, taken apart by the reductions that the solver finds."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynamap_solvers import Rule, reduce_graph

#: Two branches and a shortcut between a head and a tail; places by vertex.
EDGES = ((0, 1), (1, 2), (2, 4), (1, 3), (3, 4), (1, 4), (4, 5))
PLACES = ((0.0, 0.0), (1.0, 0.0), (2.0, 0.75), (2.0, -0.75), (3.0, 0.0), (4.0, 0.0))
INK, NEW, GOES = "#1a1a1a", "#b5651d", "#f0b860"


def _draw(
    axes: Axes, edges: list[tuple[int, int]], alive: set[int], goes: int | None, new: list[tuple[int, int]]
) -> None:
    """The graph before a step: the vertex that goes is coloured, tables made by the step before are too."""
    seen: dict[tuple[int, int], int] = {}
    for i, j in edges:
        bend = seen.get((min(i, j), max(i, j)), 0)
        seen[min(i, j), max(i, j)] = bend + 1
        axes.annotate(
            "",
            PLACES[i],
            PLACES[j],
            arrowprops={
                "arrowstyle": "-",
                "color": NEW if (i, j) in new else INK,
                "linewidth": 1.6 if (i, j) in new else 1.1,
                "connectionstyle": f"arc3,rad={0.28 * bend}",
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
    for vertex in sorted(alive):
        x, y = PLACES[vertex]
        face = GOES if vertex == goes else "white"
        axes.plot([x], [y], "o", markersize=15, markerfacecolor=face, markeredgecolor=INK, zorder=3)
        axes.text(x, y - 0.02, str(vertex), ha="center", va="center", fontsize=8.5, zorder=4)


def reductions() -> Figure:
    """One picture a step: the graph before it, and what the step does."""
    steps = reduce_graph(len(PLACES), list(EDGES)).steps
    figure = Figure(figsize=(10, 3.6))
    edges, alive, new = [*EDGES], set(range(len(PLACES))), list[tuple[int, int]]()
    columns = 4
    rows = -(-len(steps) // columns)
    for number, step in enumerate(steps):
        axes: Axes = figure.add_axes(
            ((number % columns) / columns + 0.01, 1 - (number // columns + 1) / rows + 0.02, 0.23, 0.8 / rows)
        )
        axes.set_xlim(-0.4, 4.4)
        axes.set_ylim(-1.1, 1.1)
        axes.axis("off")
        parallel = step.rule is Rule.PARALLEL
        _draw(axes, edges, alive, None if parallel else step.vertex, new)
        if parallel:
            pair = (min(step.neighbours), max(step.neighbours))
            edges = [edge for edge in edges if (min(edge), max(edge)) != pair]
            edges.append(pair)
            new, text = [pair], f"add up the tables of {pair[0]} and {pair[1]}"
        else:
            edges = [edge for edge in edges if step.vertex not in edge]
            alive.discard(step.vertex)
            new = []
            if step.rule is Rule.RII:
                new = [(step.neighbours[0], step.neighbours[1])]
                edges += new
            text = f"{step.rule}: take {step.vertex} out"
        axes.set_title(f"{number + 1}. {text}", fontsize=9.5, color=INK, pad=2)
    assert not alive
    assert not edges
    return figure
