"""From MAX-CUT to three algorithms with one uniform conversion cost: the hardness proof, self-contained.

Every edge ``u v`` of a MAX-CUT instance becomes four nodes on a hexagon ``u a b v c d``, and each of the six is tied
with weight 2 to two of three terminals: u and v to 0 and 1, a and c to 0 and 2, b and d to 1 and 2. If u and v are on
the sides of terminals 0 and 1, in either order, the rest can be chosen so that cuts of weight 15 suffice; otherwise 16
are needed, and suffice where u and v are both on side 0 or both on side 1. The proof is in
``docs/explanation/hardness.md``, and a test goes over all 729 cases. So

    least multiway cut = 16 |E| - largest cut.

The theorem is that of Dahlhaus et al. (SIAM J. Comput. 23(4), 1994); the gadget was found by linear programming.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.hardness._graph import Indexed, indexed
from dynamap_solvers.hardness.multiway_cut import Form, MultiwayCutReduction, multiway_cut

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["GADGET_COST", "ThreeAlgorithms", "three_algorithms"]

GADGET_COST = 15
"""What an edge of the MAX-CUT instance costs where its ends are on different sides; one more where they are not."""

_TIE = 2
_ELSEWHERE = 2  # the side that stands for no side of the MAX-CUT instance


@dataclass(frozen=True, eq=False, kw_only=True)
class ThreeAlgorithms:
    """A MAX-CUT instance and the three-terminal cut, and with it the selection problem, that it became.

    Attributes:
        graph: the MAX-CUT instance by numbers.
        multiway: the multiway cut; its first variables are the nodes of ``graph``, its terminals come next, and then
            a, b, c, d for every edge.
    """

    graph: Indexed
    multiway: MultiwayCutReduction

    def side(self, assignment: Sequence[int]) -> frozenset[Hashable]:
        """The nodes that take choice 1: one side of a cut of at least ``16 |E| - objective`` edges.

        Raises:
            ProblemError: if the assignment is not an allowed one of the problem.
        """
        if not self.multiway.problem.is_feasible(assignment):
            raise ProblemError("The assignment lets a terminal take the side of another; it stands for no cut.")
        return frozenset(node for node, x in zip(self.graph.nodes, assignment, strict=False) if x == 1)

    def assignment(self, side: Collection[Hashable]) -> tuple[int, ...]:
        """The assignment of a cut of k edges, given by the nodes of one side; its objective is ``16 |E| - k``.

        Raises:
            ProblemError: naming a node that the graph does not have.
        """
        numbers = {self.graph.node(node) for node in side}
        chosen = [int(i in numbers) for i in range(len(self.graph.nodes))] + [0, 1, 2]
        for i, j in self.graph.edges:
            ends = chosen[i], chosen[j]
            a, b = (0, 1) if ends == (0, 1) else (_ELSEWHERE, _ELSEWHERE)
            d, c = (1, 0) if ends == (1, 0) else (_ELSEWHERE, _ELSEWHERE)
            chosen += [a, b, c, d]
        chosen += [chosen[self.multiway.graph.edges[e][0]] for e in self.multiway.between]
        return tuple(chosen)


def three_algorithms(graph: nx.Graph, *, form: Form = "weighted") -> ThreeAlgorithms:
    """Write a MAX-CUT instance without weights as selection among three algorithms with Potts conversion costs.

    Args:
        graph: undirected, without parallel edges.
        form: of :func:`multiway_cut`; ``simple`` and ``parallel`` use one uniform conversion cost only.

    Raises:
        ProblemError: naming what is wrong with the graph.

    Example:
        >>> import networkx as nx
        >>> from dynamap_solvers import solve
        >>> pentagon = three_algorithms(nx.cycle_graph(5))
        >>> 16 * 5 - solve(pentagon.multiway.problem, method="ilp").objective_value()
        4
    """
    import networkx as nx  # noqa: PLC0415  # importing this package shall cost numpy only

    if graph.is_multigraph():
        raise ProblemError("The graph is a multigraph; give a graph: networkx.Graph(graph).")
    read = indexed(graph)
    gadgets = nx.Graph()
    nodes = [f"v{i}" for i in range(len(read.nodes))]
    terminals = [f"t{t}" for t in range(3)]
    gadgets.add_nodes_from([*nodes, *terminals])
    for e, (i, j) in enumerate(read.edges):
        u, v = nodes[i], nodes[j]
        a, b, c, d = (f"e{e}{letter}" for letter in "abcd")
        for node, first, second in ((u, 0, 1), (a, 0, 2), (b, 1, 2), (v, 0, 1), (c, 0, 2), (d, 1, 2)):
            for t in (first, second):
                before = gadgets.edges[node, terminals[t]]["weight"] if gadgets.has_edge(node, terminals[t]) else 0
                gadgets.add_edge(node, terminals[t], weight=before + _TIE)
        ring = [u, a, b, v, c, d]
        for at, node in enumerate(ring):
            gadgets.add_edge(node, ring[at - 1], weight=1)
    # Nodes in the order that assignment() counts on: an edge met a and b, v, then c and d, all after the terminals.
    return ThreeAlgorithms(graph=read, multiway=multiway_cut(gadgets, terminals, form=form))
