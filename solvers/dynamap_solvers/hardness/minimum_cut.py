"""Two algorithms are easy: with two choices and conversion costs, selection is a minimum cut, and conversely."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.methods._cut_network import NEVER, CutNetwork, consistent, cut_network
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["SOURCE", "TARGET", "CutProblem", "TwoChoices", "as_minimum_cut", "cut_problem"]

SOURCE, TARGET = "source", "target"
"""The two terminals in graphs made by :meth:`TwoChoices.graph`; the other nodes are the variables' numbers."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoChoices:
    """A selection problem with two choices per variable and the network it became.

    ``objective(x) = capacity of the cut + network.constant`` for every allowed assignment, so the optima are equal.

    Attributes:
        problem: the selection problem, with integer costs.
        network: which choice of each variable is on the source's side, and the capacities.
    """

    problem: SelectionProblem
    network: CutNetwork

    def graph(self) -> nx.DiGraph:
        """The network with edge attribute ``capacity``; none where the capacity is infinite, as networkx has it."""
        import networkx as nx  # noqa: PLC0415  # importing this package shall cost numpy only

        graph = nx.DiGraph()
        graph.add_nodes_from([SOURCE, TARGET, *range(self.problem.num_variables)])
        for i, capacity in enumerate(self.network.terminal.tolist()):
            if capacity:
                graph.add_edge(*((SOURCE, i) if capacity > 0 else (i, TARGET)), capacity=abs(capacity))
        for (i, j), there, back in zip(
            self.network.ends.tolist(), self.network.forward.tolist(), self.network.backward.tolist(), strict=True
        ):
            for a, b, capacity in ((i, j, there), (j, i, back)):
                if capacity == NEVER:
                    graph.add_edge(a, b)
                elif capacity:
                    graph.add_edge(a, b, capacity=capacity)
        return graph

    def assignment(self, source_side: Collection[Hashable]) -> tuple[int, ...]:
        """The choices that a cut of :meth:`graph` stands for, given by the nodes on the source's side."""
        return self.network.assignment(
            np.array([i not in source_side for i in range(self.problem.num_variables)], bool)
        )

    def source_side(self, assignment: Sequence[int]) -> frozenset[Hashable]:
        """The nodes on the source's side, the source among them.

        Raises:
            ProblemError: if the assignment is not an allowed one of the problem.
        """
        if not self.problem.is_feasible(assignment):
            raise ProblemError("The assignment takes a forbidden cell; its cut has infinite capacity.")
        zero = self.network.choices[:, 0].tolist()
        return frozenset([SOURCE, *(i for i, x in enumerate(assignment) if x == zero[i])])


def as_minimum_cut(problem: SelectionProblem) -> TwoChoices:
    """Write a selection problem with two choices per variable as a minimum cut.

    Args:
        problem: integer costs, no resource, no fixed choices or ties, at most two choices of each variable allowed,
            tables ``A B / C D`` with ``A + D <= B + C`` once the choices of some variables are swapped. Uniform or
            any other non-negative conversion costs, 0 for equal choices, are such tables.

    Raises:
        ProblemError: if it is not such a problem, as method ``min-cut``, or nothing is allowed.

    Example:
        >>> import networkx as nx
        >>> conversion = np.array([[0, 5], [5, 0]])
        >>> problem = SelectionProblem(
        ...     unary=[np.array([1, 9]), np.array([4, 2]), np.array([8, 0])],
        ...     edges=[(0, 1), (1, 2)],
        ...     pair=[conversion, conversion],
        ... )
        >>> two = as_minimum_cut(problem)
        >>> value, (side, _) = nx.minimum_cut(two.graph(), SOURCE, TARGET)
        >>> value + two.network.constant, problem.evaluate(two.assignment(side))
        (8, 8)
    """
    if not problem.is_integer or problem.is_batched or problem.usage is not None or problem.fixed or problem.ties:
        raise ProblemError(
            "Only one set of integer costs without a resource, fixed choices and ties becomes a minimum cut; use "
            "canonical to take out what is fixed and tied."
        )
    smaller = consistent(problem)
    if smaller.conflict:
        raise ProblemError(f"Nothing is allowed, so there is nothing to cut. {smaller.conflict}")
    return TwoChoices(problem=problem, network=cut_network(problem, smaller.dropped))


@dataclass(frozen=True, eq=False, kw_only=True)
class CutProblem:
    """A minimum-cut instance and the selection problem it became: objective and capacity are equal.

    Attributes:
        nodes: the nodes of the graph; variable i is node i.
        problem: choice 0 is the source's side, choice 1 the target's; an arc costs its capacity from 0 to 1.
    """

    nodes: tuple[Hashable, ...]
    problem: SelectionProblem

    def source_side(self, assignment: Sequence[int]) -> frozenset[Hashable]:
        """The nodes on the source's side.

        Raises:
            ProblemError: if the assignment is not an allowed one of the problem.
        """
        if not self.problem.is_feasible(assignment):
            raise ProblemError(
                "The assignment puts the source or the target on the wrong side, or cuts what has no capacity."
            )
        return frozenset(node for node, x in zip(self.nodes, assignment, strict=True) if x == 0)

    def assignment(self, source_side: Collection[Hashable]) -> tuple[int, ...]:
        """The assignment of a cut, given by the nodes on the source's side."""
        return tuple(int(node not in source_side) for node in self.nodes)


def cut_problem(graph: nx.DiGraph, source: Hashable, target: Hashable, *, capacity: str = "capacity") -> CutProblem:
    """Write a minimum-cut instance as selection with two choices per node.

    Args:
        graph: directed, or undirected for arcs both ways.
        source: a node.
        target: another node.
        capacity: the edge attribute of non-negative integers; an arc without it may not be cut.

    Raises:
        ProblemError: if a terminal is not in the graph or they are the same, or an edge's capacity is negative.
    """
    nodes = tuple(graph.nodes)
    number = {node: i for i, node in enumerate(nodes)}
    if source not in number or target not in number or source == target:
        raise ProblemError(f"The terminals are {source!r} and {target!r}; give two different nodes of the graph.")
    edges, pair = [], []
    for u, v, data in graph.edges(data=True):
        amount = data.get(capacity, FORBIDDEN)
        if amount < 0:
            raise ProblemError(f"Edge {(u, v)} has the capacity {amount}; give a non-negative integer.")
        if u != v:
            edges.append((number[u], number[v]))
            pair.append(np.array([[0, amount], [0 if graph.is_directed() else amount, 0]], np.int64))
    unary = [np.zeros(2, np.int64) for _ in nodes]
    unary[number[source]][1] = unary[number[target]][0] = FORBIDDEN
    return CutProblem(nodes=nodes, problem=SelectionProblem(unary=unary, edges=edges, pair=pair, name="minimum cut"))
