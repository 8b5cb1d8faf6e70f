"""A program as a layered drawing: who feeds whom, and where on the plane everything lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from types import ModuleType

from dynamap_models.ir import Concat
from dynamap_opt.errors import DynamapError
from dynamap_opt.plan import LayerPlan
from dynamap_opt.program import Program

__all__ = ["Drawing", "Edge", "Node", "draw", "edges_and_nodes", "layout_library"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Node:
    """A vertex: a stage by its index, a network input, or a concatenation (which costs nothing, but joins many)."""

    name: str
    stage: int | None
    kind: str


@dataclass(frozen=True)
class Edge:
    """A tensor on its way from one node to another, with the layout it is stored in."""

    source: int
    target: int
    layout: str
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Drawing:
    """Nodes with their centres, edges with the points they pass, all in units of one column and one row."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    centres: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]


def layout_library() -> ModuleType:
    """The igraph package.

    Raises:
        DynamapError: when it is not installed.
    """
    try:
        import igraph  # noqa: PLC0415 - an extra, and only the report needs it
    except ImportError:
        raise DynamapError(
            "the report needs igraph to lay out the network; install it with 'pip install dynamap-opt[report]'"
        ) from None
    return igraph  # type: ignore[no-any-return,unused-ignore]  # it has no types


def edges_and_nodes(program: Program, rows: Sequence[LayerPlan]) -> tuple[list[Node], list[Edge]]:
    """The graph of a program under a plan's rows, one for each stage; reshapes are passed through."""
    network, tensors = program.network, program.tensors
    layouts: dict[str, str] = {}
    for stage, row in zip(program.stages, rows, strict=True):
        layouts[tensors[stage.output].group] = row.output_layout
    for stage, row in zip(program.stages, rows, strict=True):
        if stage.inputs:
            layouts.setdefault(tensors[stage.inputs[0]].group, row.input_layout)
    nodes = [Node(stage.name, index, "stage") for index, stage in enumerate(program.stages)]
    producer = {stage.output: index for index, stage in enumerate(program.stages)}
    edges: list[Edge] = []

    def connect(tensor: str, target: int) -> None:
        placed = tensors[tensor]
        shape = (placed.height, placed.width, placed.channels)
        edges.append(Edge(source_of(tensor), target, layouts.get(placed.group, "nhwc"), shape))

    def source_of(tensor: str) -> int:
        """The node a tensor comes from; nodes that are no stage are made when first met, in the network's order."""
        if tensor not in producer:
            layer = network.writers.get(tensor)
            if layer is None:
                producer[tensor] = len(nodes)
                nodes.append(Node(tensor, None, "input"))
            elif isinstance(layer.operation, Concat):
                producer[tensor] = len(nodes)
                nodes.append(Node(layer.name, None, "concat"))
                for name in layer.inputs:
                    connect(name, producer[tensor])
            else:
                producer[tensor] = source_of(layer.inputs[0])
        return producer[tensor]

    for layer in network.layers:  # in order, so that a long network nests no deeper than a few calls
        source_of(layer.output)
    for index, stage in enumerate(program.stages):
        for name in stage.inputs:
            connect(name, index)
    used = {edge.source for edge in edges} | {edge.target for edge in edges} | set(range(len(program.stages)))
    place = {old: new for new, old in enumerate(sorted(used))}
    return [nodes[old] for old in sorted(used)], [
        Edge(place[edge.source], place[edge.target], edge.layout, edge.shape) for edge in edges
    ]


def draw(nodes: Sequence[Node], edges: Sequence[Edge]) -> Drawing:
    """Place a graph in rows, each edge going down (Sugiyama's method, by igraph).

    An edge that spans several rows gets a point of its own in each row between, so that it does not cross nodes.

    Raises:
        DynamapError: when igraph is not installed.
    """
    igraph = layout_library()
    rows = _rows(len(nodes), edges)
    layers = list(rows)
    chains: list[list[int]] = []
    pairs: list[tuple[int, int]] = []
    for edge in edges:
        chain = [edge.source]
        for row in range(rows[edge.source] + 1, rows[edge.target]):
            chain.append(len(layers))
            layers.append(row)
        chain.append(edge.target)
        chains.append(chain)
        pairs.extend(pairwise(chain))
    graph = igraph.Graph(n=len(layers), edges=pairs, directed=True)
    placed = graph.layout_sugiyama(layers=layers, maxiter=200)
    across = _apart([float(placed[index][0]) for index in range(len(layers))], layers, len(nodes))
    left = min(across, default=0.0)
    points = [(x - left, float(y)) for x, y in zip(across, layers, strict=True)]
    return Drawing(
        tuple(nodes),
        tuple(edges),
        tuple(points[: len(nodes)]),
        tuple(tuple(points[index] for index in chain) for chain in chains),
    )


def _apart(across: Sequence[float], rows: Sequence[int], nodes: int) -> list[float]:
    """Positions moved as little as possible so that no two in a row are too close: the method does not see to that.

    Args:
        across: position of every node and, behind them, of every bend of an edge.
        rows: row of each.
        nodes: how many are nodes, which are a column apart; a bend keeps half a column.
    """
    from scipy.optimize import isotonic_regression  # noqa: PLC0415 - loads for half a second, and only this needs it

    moved = list(across)
    order = sorted(range(len(across)), key=lambda index: (rows[index], across[index], index))
    for _, row in groupby(order, key=lambda index: rows[index]):
        members = list(row)
        gaps = [1.0 if max(pair) < nodes else 0.5 for pair in pairwise(members)]
        least = list(accumulate(gaps, initial=0.0))
        # What remains without the gaps may not fall; the closest such positions are a regression.
        rest = isotonic_regression([across[index] - at for index, at in zip(members, least, strict=True)]).x
        for index, place, at in zip(members, rest, least, strict=True):
            moved[index] = float(place) + at
    return moved


def _rows(count: int, edges: Sequence[Edge]) -> list[int]:
    """The row of every node: one below the lowest that feeds it; what is fed by none stands right above its reader."""
    following: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for edge in edges:
        following[edge.source].append(edge.target)
        waiting[edge.target] += 1
    rows = [0] * count
    sources = [index for index in range(count) if not waiting[index]]
    ready = list(sources)
    for index in ready:  # grows while it is walked
        for target in following[index]:
            rows[target] = max(rows[target], rows[index] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for index in sources:
        if following[index]:
            rows[index] = min(rows[target] for target in following[index]) - 1
    return rows
