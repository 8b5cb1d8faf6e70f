"""Maximum independent set as algorithm selection: two choices and tables that forbid one pair.

NP-hard (R. M. Karp, *Reducibility among combinatorial problems*, 1972, as clique in the complement).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.hardness._graph import Indexed, indexed
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["IndependentSetReduction", "independent_set"]


@dataclass(frozen=True, eq=False, kw_only=True)
class IndependentSetReduction:
    """A maximum-independent-set instance and the selection problem it became: ``size = -objective``.

    Attributes:
        graph: the graph by numbers; variable i is node i.
        problem: choice 1 takes the node and costs -1; joined nodes may not both be taken.
    """

    graph: Indexed
    problem: SelectionProblem

    def members(self, assignment: Sequence[int]) -> frozenset[Hashable]:
        """The nodes taken.

        Raises:
            ProblemError: if the assignment is not one of the problem, or takes two joined nodes.
        """
        if not self.problem.is_feasible(assignment):
            raise ProblemError("The assignment takes both ends of an edge.")
        return frozenset(node for node, x in zip(self.graph.nodes, assignment, strict=True) if x)

    def assignment(self, members: Collection[Hashable]) -> tuple[int, ...]:
        """The assignment of an independent set.

        Raises:
            ProblemError: naming a node that the graph does not have, or two that are joined.
        """
        numbers = {self.graph.node(node) for node in members}
        for i, j in self.graph.edges:
            if i in numbers and j in numbers:
                raise ProblemError(f"Nodes {self.graph.nodes[i]!r} and {self.graph.nodes[j]!r} are joined.")
        return tuple(int(i in numbers) for i in range(len(self.graph.nodes)))


def independent_set(graph: nx.Graph) -> IndependentSetReduction:
    """Write a maximum-independent-set instance as selection with two choices per node.

    Raises:
        ProblemError: naming what is wrong with the graph.

    Example:
        >>> import networkx as nx
        >>> from dynamap_solvers import solve
        >>> -solve(independent_set(nx.petersen_graph()).problem).objective_value()
        4
    """
    read = indexed(graph)
    problem = SelectionProblem(
        unary=[np.array([0, -1])] * len(read.nodes),
        edges=read.edges,
        pair=[np.array([[0, 0], [0, FORBIDDEN]])] * len(read.edges),
        names=read.names,
        choice_names=[["out", "in"]] * len(read.nodes),
        name="independent set",
    )
    return IndependentSetReduction(graph=read, problem=problem)
