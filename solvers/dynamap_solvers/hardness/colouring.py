"""Graph colouring as algorithm selection: layers that must not choose alike.

NP-hard from three colours on (R. M. Karp, *Reducibility among combinatorial problems*, 1972; for three colours
L. Stockmeyer, SIGACT News 5(3), 1973).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.hardness._graph import Indexed, indexed
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["ColouringReduction", "colouring"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ColouringReduction:
    """A colouring instance and the selection problem it became.

    Attributes:
        graph: the graph by numbers; variable i is node i.
        colours: how many there are; choice c is colour c.
        problem: allowed assignments are proper colourings, or, with a penalty, the objective counts edges whose ends
            have the same colour.
        penalty: what such an edge costs; None where it is forbidden.
    """

    graph: Indexed
    colours: int
    problem: SelectionProblem
    penalty: int | None

    def colouring(self, assignment: Sequence[int]) -> dict[Hashable, int]:
        """The colour of every node.

        Raises:
            ProblemError: if the assignment is not one of the problem, or gives the ends of a forbidden edge one colour.
        """
        if not self.problem.is_feasible(assignment):
            raise ProblemError("The assignment gives both ends of an edge the same colour.")
        return dict(zip(self.graph.nodes, map(int, assignment), strict=True))

    def assignment(self, colouring: Mapping[Hashable, int]) -> tuple[int, ...]:
        """The assignment of a colouring.

        Raises:
            ProblemError: naming a node without a colour, or with one there is not, or an edge that may not have one
                colour and has.
        """
        for node in self.graph.nodes:
            if not 0 <= colouring.get(node, -1) < self.colours:
                raise ProblemError(f"Node {node!r} has the colour {colouring.get(node)}; give 0 to {self.colours - 1}.")
        if self.penalty is None:
            for i, j in self.graph.edges:
                u, v = self.graph.nodes[i], self.graph.nodes[j]
                if colouring[u] == colouring[v]:
                    raise ProblemError(f"Nodes {u!r} and {v!r} are joined and have the same colour {colouring[u]}.")
        return tuple(colouring[node] for node in self.graph.nodes)


def colouring(graph: nx.Graph, colours: int, *, penalty: int | None = None) -> ColouringReduction:
    """Write a colouring instance as selection with a choice per colour.

    Args:
        graph: undirected.
        colours: 1 or more.
        penalty: None forbids one colour at both ends of an edge: the problem is infeasible exactly if there is no
            colouring. A positive integer makes each such edge cost as much: the optimum is 0 exactly if there is one.

    Raises:
        ProblemError: naming what is wrong with the graph or the numbers.

    Example:
        >>> import networkx as nx
        >>> from dynamap_solvers import solve
        >>> [solve(colouring(nx.cycle_graph(5), k).problem).status.value for k in (2, 3)]
        ['infeasible', 'optimal']
    """
    read = indexed(graph)
    if colours < 1 or (penalty is not None and penalty < 1):
        raise ProblemError(
            f"There are {colours} colours and the penalty {penalty}; give 1 or more, and 1 or more or None."
        )
    same = np.eye(colours, dtype=np.int64) * (FORBIDDEN if penalty is None else penalty)
    problem = SelectionProblem(
        unary=[np.zeros(colours, np.int64)] * len(read.nodes),
        edges=read.edges,
        pair=[same] * len(read.edges),
        names=read.names,
        name=f"colouring with {colours} colours",
    )
    return ColouringReduction(graph=read, colours=colours, problem=problem, penalty=penalty)
