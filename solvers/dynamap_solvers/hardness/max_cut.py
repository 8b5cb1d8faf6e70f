"""MAX-CUT as algorithm selection: two algorithms are hard as soon as choosing alike costs something.

NP-hard (R. M. Karp, *Reducibility among combinatorial problems*, 1972), with all weights 1 too (M. R. Garey, D. S.
Johnson & L. Stockmeyer, *Some simplified NP-complete graph problems*, Theoret. Comput. Sci. 1, 1976).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynamap_solvers.hardness._graph import Indexed, indexed
from dynamap_solvers.problem import SelectionProblem

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["MaxCutReduction", "max_cut"]


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxCutReduction:
    """A MAX-CUT instance and the selection problem it became: ``cut value = total - objective``.

    Attributes:
        graph: the graph by numbers; variable i is node i.
        problem: two choices, the sides; an edge costs its weight where its ends are on the same side.
        total: the weight of all edges.
    """

    graph: Indexed
    problem: SelectionProblem
    total: int

    def side(self, assignment: Sequence[int]) -> frozenset[Hashable]:
        """The nodes on side 1.

        Raises:
            ProblemError: if the assignment is not one of the problem.
        """
        self.problem.evaluate(assignment)
        return frozenset(node for node, x in zip(self.graph.nodes, assignment, strict=True) if x)

    def assignment(self, side: Collection[Hashable]) -> tuple[int, ...]:
        """The assignment of a cut, given by the nodes of one side.

        Raises:
            ProblemError: naming one that the graph does not have.
        """
        numbers = {self.graph.node(node) for node in side}
        return tuple(int(i in numbers) for i in range(len(self.graph.nodes)))

    def value(self, side: Collection[Hashable]) -> int:
        """The weight of the edges with one end among ``side``, counted on the graph."""
        inside = self.assignment(side)
        return sum(w for (i, j), w in zip(self.graph.edges, self.graph.weights, strict=True) if inside[i] != inside[j])


def max_cut(graph: nx.Graph, *, weight: str | None = "weight") -> MaxCutReduction:
    """Write a MAX-CUT instance as selection with two choices per node.

    Args:
        graph: undirected.
        weight: edge attribute of positive integers, 1 where missing; None for 1 throughout.

    Raises:
        ProblemError: naming what is wrong with the graph.

    Example:
        >>> import networkx as nx
        >>> from dynamap_solvers import solve
        >>> pentagon = max_cut(nx.cycle_graph(5))
        >>> pentagon.total - solve(pentagon.problem).objective_value()
        4
    """
    read = indexed(graph, weight)
    problem = SelectionProblem(
        unary=[np.zeros(2, np.int64)] * len(read.nodes),
        edges=read.edges,
        pair=[w * np.eye(2, dtype=np.int64) for w in read.weights],
        names=read.names,
        name="max-cut",
    )
    return MaxCutReduction(graph=read, problem=problem, total=sum(read.weights))
