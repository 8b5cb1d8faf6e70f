"""Selection problems from networkx graphs, and back."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._costs import as_costs
from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import SelectionProblem

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["from_graph", "to_graph"]


def from_graph(
    graph: nx.Graph, *, cost: str = "cost", table: str = "table", usage_limit: int | None = None, name: str = ""
) -> SelectionProblem:
    """A selection problem from a graph whose nodes carry costs and whose edges carry tables.

    Variables are the nodes in the graph's order, called ``str(node)``. Node attributes: ``cost``, one number per
    choice; optionally ``choices``, their names; and, with a ``usage_limit``, ``usage`` and ``interval``. An edge
    ``u -> v`` of a directed graph (parallel edges of a multigraph add up) carries ``table``, whose rows are the
    choices of ``u``. An undirected edge has no first end, so its table must be symmetric, or the edge must say in the
    attribute ``rows`` which node the rows belong to.

    Args:
        graph: any of networkx's four classes.
        cost: the node attribute of the costs.
        table: the edge attribute of the table.
        usage_limit: the resource limit; None where there is none.
        name: what the problem is called.

    Raises:
        ProblemError: if an attribute is missing, an undirected table is ambiguous, or the problem breaks a rule.

    Example:
        >>> import networkx as nx
        >>> graph = nx.DiGraph()
        >>> graph.add_node("conv1", cost=[5, 3], choices=["nchw", "nhwc"])
        >>> graph.add_node("conv2", cost=[1, 4])
        >>> graph.add_edge("conv1", "conv2", table=[[0, 2], [2, 0]])
        >>> from_graph(graph).evaluate((1, 0))
        6
    """
    nodes: dict[Hashable, int] = {node: i for i, node in enumerate(graph.nodes)}
    data = [graph.nodes[node] for node in nodes]
    for node, attributes in zip(nodes, data, strict=True):
        if cost not in attributes:
            raise ProblemError(f"Node {node!r} has no attribute {cost!r}; give it one cost per choice.")
    edges, tables = [], []
    directed = graph.is_directed()
    for u, v, attributes in graph.edges(data=True):
        if table not in attributes:
            raise ProblemError(f"Edge {u!r}-{v!r} has no attribute {table!r}; give it the costs of pairs of choices.")
        cells = as_costs(attributes[table], f"edge {u!r}-{v!r}")
        edges.append(_ends(u, v, cells, attributes.get("rows"), directed=directed, nodes=nodes))
        tables.append(cells)
    named = [attributes.get("choices") for attributes in data]
    options: dict[str, Any] = {}
    if usage_limit is not None:
        for node, attributes in zip(nodes, data, strict=True):
            if "usage" not in attributes or "interval" not in attributes:
                raise ProblemError(f"Node {node!r} has no attribute 'usage' or 'interval', which a usage limit needs.")
        options = {
            "usage": [np.asarray(attributes["usage"]) for attributes in data],
            "intervals": [attributes["interval"] for attributes in data],
            "usage_limit": usage_limit,
        }
    return SelectionProblem(
        unary=[np.asarray(attributes[cost]) for attributes in data],
        edges=edges,
        pair=tables,
        names=[str(node) for node in nodes],
        choice_names=None
        if all(labels is None for labels in named)
        else [
            labels if labels is not None else [str(x) for x in range(len(attributes[cost]))]
            for labels, attributes in zip(named, data, strict=True)
        ],
        name=name or str(graph.name),
        **options,
    )


def _ends(
    u: Hashable, v: Hashable, cells: NDArray[Any], rows: Hashable, *, directed: bool, nodes: dict[Hashable, int]
) -> tuple[int, int]:
    if directed or rows == u:
        return nodes[u], nodes[v]
    if rows == v:
        return nodes[v], nodes[u]
    if rows is not None:
        raise ProblemError(f"The rows of edge {u!r}-{v!r} are said to be those of {rows!r}, which is not an end of it.")
    if cells.ndim != 2 or cells.shape[0] != cells.shape[1] or not np.array_equal(cells, cells.T):
        raise ProblemError(
            f"The table of the undirected edge {u!r}-{v!r} is not symmetric, and nothing says whose choices the rows "
            "are; use a DiGraph or give the edge an attribute 'rows'."
        )
    return nodes[u], nodes[v]


def to_graph(problem: SelectionProblem) -> nx.Graph:
    """The graph of variables as a ``networkx.Graph``: node attributes ``name`` and ``choices``, edges once."""
    import networkx as nx  # noqa: PLC0415  # importing this package shall cost numpy only

    graph = nx.Graph()
    for i, size in enumerate(problem.domain_sizes):
        graph.add_node(i, name=problem.names[i], choices=size)
    graph.add_edges_from(problem.edges)
    return graph
