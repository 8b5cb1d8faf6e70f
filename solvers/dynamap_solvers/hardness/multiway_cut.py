"""Multiway cut as algorithm selection: why choosing among three algorithms is hard.

Given a graph and k terminals, cut edges of least total weight so that no two terminals stay connected. NP-hard for
every k >= 3, with all weights 1 (E. Dahlhaus, D. S. Johnson, C. H. Papadimitriou, P. D. Seymour & M. Yannakakis, *The
complexity of multiterminal cuts*, SIAM J. Comput. 23(4), 1994). Node -> layer, terminal -> layer that only one
algorithm can run, edge -> data passed on, side of the cut -> algorithm, cut edge -> layout conversion.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.hardness._graph import Indexed, indexed
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Form", "MultiwayCutReduction", "multiway_cut"]

Form = Literal["weighted", "parallel", "simple"]
"""How an edge of weight w is written; see :func:`multiway_cut`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MultiwayCutReduction:
    """A multiway-cut instance and the selection problem it became.

    Assignments and cuts go both ways without loss: ``weight(cut(x)) <= objective(x)``, with equality but in form
    ``simple`` where a layer between takes neither end's choice, and ``objective(assignment(c)) <= weight(c)``; so the
    optima are equal.

    Attributes:
        graph: the graph by numbers; variable i is node i.
        terminals: the numbers of the terminals; choice t is the side of the t-th one.
        problem: the selection problem; in form ``simple`` further variables follow those of the nodes.
        between: for every further variable the edge it belongs to.
    """

    graph: Indexed
    terminals: tuple[int, ...]
    problem: SelectionProblem
    between: tuple[int, ...] = ()

    def cut(self, assignment: Sequence[int]) -> frozenset[tuple[Any, ...]]:
        """The edges whose ends choose differently, as the graph names them.

        Raises:
            ProblemError: if the assignment is not one of the problem, or takes a forbidden choice. That the cut
                separates the terminals is checked on the graph, not concluded.
        """
        if not self.problem.is_feasible(assignment):
            raise ProblemError("The assignment lets a terminal take the side of another; it stands for no cut.")
        cut = [e for e, (i, j) in enumerate(self.graph.edges) if assignment[i] != assignment[j]]
        self._sides(set(cut))
        return frozenset(self.graph.labels[e] for e in cut)

    def assignment(self, cut: Iterable[Sequence[Any]]) -> tuple[int, ...]:
        """Every node takes the side of the terminal it is still connected to, or the first if to none.

        Args:
            cut: edges as the graph names them, ends in either order.

        Raises:
            ProblemError: if the graph has no such edge, or the cut leaves two terminals connected.
        """
        sides = self._sides(self._edges(cut))
        return tuple(sides + [sides[self.graph.edges[e][0]] for e in self.between])

    def weight(self, cut: Iterable[Sequence[Any]]) -> int:
        """The weight of a set of edges."""
        return sum(self.graph.weights[e] for e in self._edges(cut))

    def _edges(self, cut: Iterable[Sequence[Any]]) -> set[int]:
        number = {label: e for e, label in enumerate(self.graph.labels)}
        number |= {(v, u, *key): e for e, (u, v, *key) in enumerate(self.graph.labels)}
        edges = set()
        for label in cut:
            if tuple(label) not in number:
                raise ProblemError(f"The graph has no edge {tuple(label)}.")
            edges.add(number[tuple(label)])
        return edges

    def _sides(self, cut: set[int]) -> list[int]:
        around: list[list[int]] = [[] for _ in self.graph.nodes]
        for e, (i, j) in enumerate(self.graph.edges):
            if e not in cut:
                around[i].append(j)
                around[j].append(i)
        side = [-1] * len(around)
        for t, terminal in enumerate(self.terminals):
            if side[terminal] >= 0:
                ends = [self.graph.nodes[self.terminals[s]] for s in (side[terminal], t)]
                raise ProblemError(f"The cut leaves terminals {ends[0]!r} and {ends[1]!r} connected.")
            side[terminal] = t
            stack = [terminal]
            while stack:
                for j in around[stack.pop()]:
                    if side[j] < 0:
                        side[j] = t
                        stack.append(j)
        return [max(t, 0) for t in side]


def multiway_cut(
    graph: nx.Graph, terminals: Sequence[Hashable], *, weight: str | None = "weight", form: Form = "weighted"
) -> MultiwayCutReduction:
    """Write a multiway-cut instance as algorithm selection with as many algorithms as terminals.

    Unary costs are 0, and every terminal may take its own choice only. An edge of weight w costs w where its ends
    choose differently, in one of three forms with the same optimum:

    - ``weighted``: one table ``w [x != y]``.
    - ``parallel``: w tables ``[x != y]``: one uniform conversion cost, the very same table everywhere.
    - ``simple``: the same table everywhere and no two tables between the same variables: w - 1 of the w tables lead
      through a variable of their own, free in its choice, as ``min_z ([x != z] + [z != y]) = [x != y]``.

    The last two are polynomial in the weights, which suffices: with all weights 1 the problem is hard already.

    Args:
        graph: undirected.
        terminals: two or more different nodes.
        weight: edge attribute of positive integers, 1 where missing; None for 1 throughout.
        form: see above.

    Raises:
        ProblemError: naming what is wrong with the graph, the terminals or the form.

    Example:
        >>> import networkx as nx
        >>> from dynamap_solvers import solve
        >>> star = multiway_cut(nx.star_graph(3), [1, 2, 3])
        >>> solution = solve(star.problem)
        >>> solution.objective, sorted(star.cut(solution.assignment))
        (2, [(0, 2), (0, 3)])
    """
    read = indexed(graph, weight)
    places = tuple(read.node(terminal) for terminal in terminals)
    k = len(places)
    if k < 2 or len(set(places)) < k:
        raise ProblemError(f"The terminals are {list(terminals)}; give two or more different nodes.")
    if form not in {"weighted", "parallel", "simple"}:
        raise ProblemError(f"There is no form {form!r}; the forms are weighted, parallel, simple.")
    unary = [np.zeros(k, np.int64) for _ in read.nodes]
    for t, terminal in enumerate(places):
        unary[terminal] = np.full(k, FORBIDDEN)
        unary[terminal][t] = 0
    differ = 1 - np.eye(k, dtype=np.int64)
    edges: list[tuple[int, int]] = []
    pair = []
    between: list[int] = []
    for e, ((i, j), w) in enumerate(zip(read.edges, read.weights, strict=True)):
        if form == "weighted":
            edges.append((i, j))
            pair.append(w * differ)
            continue
        for copy in range(w):
            if form == "simple" and (copy or (i, j) in edges or (j, i) in edges):
                middle = len(read.nodes) + len(between)
                between.append(e)
                edges += [(i, middle), (middle, j)]
                pair += [differ, differ]
            else:
                edges.append((i, j))
                pair.append(differ)
    count = len(read.nodes) + len(between)
    problem = SelectionProblem(
        unary=[*unary, *(np.zeros(k, np.int64) for _ in between)],
        edges=edges,
        pair=pair,
        names=(*read.names, *(f"between {at}" for at in range(len(between)))),
        choice_names=[[read.names[t] for t in places]] * count,
        name="multiway cut",
    )
    return MultiwayCutReduction(graph=read, terminals=places, problem=problem, between=tuple(between))
