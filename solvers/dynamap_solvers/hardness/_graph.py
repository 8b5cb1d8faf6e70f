"""What all reductions read of a networkx graph, checked once."""

from __future__ import annotations

import operator
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynamap_solvers.errors import ProblemError

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Indexed", "indexed"]


@dataclass(frozen=True, eq=False)
class Indexed:
    """A graph by numbers.

    Attributes:
        nodes: the nodes in the order of the graph; variable i stands for node i.
        edges: the two node numbers of every edge, in the order of the graph.
        labels: every edge as the graph names it: ``(u, v)``, in a multigraph ``(u, v, key)``.
        weights: a positive integer per edge.
        names: a name per node, all different.
    """

    nodes: tuple[Hashable, ...]
    edges: tuple[tuple[int, int], ...]
    labels: tuple[tuple[Any, ...], ...]
    weights: tuple[int, ...]
    names: tuple[str, ...]

    def node(self, node: Hashable) -> int:
        """The number of a node.

        Raises:
            ProblemError: if the graph has no such node.
        """
        try:
            return self.nodes.index(node)
        except ValueError:
            raise ProblemError(f"The graph has no node {node!r}.") from None

    def index(self) -> dict[Hashable, int]:
        """The number of every node."""
        return {node: i for i, node in enumerate(self.nodes)}


def indexed(graph: nx.Graph, weight: str | None = None) -> Indexed:
    """Number the nodes and edges of an undirected graph.

    Args:
        graph: a graph or multigraph without self-loops.
        weight: the edge attribute that holds a positive integer, 1 where it is missing; None for 1 throughout.

    Raises:
        ProblemError: naming the edge that is directed, a self-loop, or has another weight.
    """
    if graph.is_directed():
        raise ProblemError("The graph is directed; give an undirected one: graph.to_undirected().")
    nodes = tuple(graph.nodes)
    number = {node: i for i, node in enumerate(nodes)}
    labels, edges, weights = [], [], []
    for *label, data in graph.edges(keys=True, data=True) if graph.is_multigraph() else graph.edges(data=True):
        u, v = label[:2]
        if u == v:
            raise ProblemError(f"Edge {tuple(label)} is a self-loop; remove it: its ends never differ.")
        raw = 1 if weight is None else data.get(weight, 1)
        try:
            amount = operator.index(raw)
        except TypeError:
            amount = 0
        if amount < 1:
            raise ProblemError(f"Edge {tuple(label)} has the weight {raw!r}; give a positive integer.")
        labels.append(tuple(label))
        edges.append((number[u], number[v]))
        weights.append(amount)
    names = tuple(str(node) for node in nodes)
    if len(set(names)) < len(names):
        names = tuple(f"{i}: {node!r}" for i, node in enumerate(nodes))
    return Indexed(nodes, tuple(edges), tuple(labels), tuple(weights), names)
