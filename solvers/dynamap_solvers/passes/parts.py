"""Parts of a problem that can be solved one by one: connected components, and blocks that hang on one variable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.passes.base import saturated
from dynamap_solvers.problem import SelectionProblem

__all__ = ["Block", "components", "induced", "leaf_block"]


def components(problem: SelectionProblem) -> tuple[NDArray[np.int64], ...]:
    """The variables of each connected component, ascending; the components by their first variable. ``O(n + m)``.

    Without a resource the optimum is the sum of the components' optima, and their assignments together attain it.

    Raises:
        ProblemError: if the problem has a resource, which ties components together.
    """
    if problem.usage_costs is not None:
        raise ProblemError("A usage limit ties the components of a problem together; solve it as a whole.")
    import networkx as nx  # noqa: PLC0415  # importing this package shall cost numpy only

    graph = nx.empty_graph(problem.num_variables)
    graph.add_edges_from(problem.edge_ends.tolist())
    found = [np.array(sorted(part), np.int64) for part in nx.connected_components(graph)]
    return tuple(sorted(found, key=lambda part: int(part[0])))


@dataclass(frozen=True, eq=False)
class Block:
    """A block of the graph that is joined to the rest by one variable.

    Attributes:
        hinge: that variable.
        inner: the block's other variables, ascending.
    """

    hinge: int
    inner: NDArray[np.int64]


def leaf_block(problem: SelectionProblem) -> Block | None:
    """The smallest biconnected block with one cut vertex (Hopcroft & Tarjan 1973), None where the graph has none.

    Whatever the hinge chooses, the inner variables can be solved for by themselves; what they cost is a cost of that
    choice, so that the block can leave. ``O(n + m)``; the graph is taken to be connected.
    """
    import networkx as nx  # noqa: PLC0415  # as above

    graph = nx.empty_graph(problem.num_variables)
    graph.add_edges_from(problem.edge_ends.tolist())
    cuts = set(nx.articulation_points(graph))
    leaves = [(block, block & cuts) for block in nx.biconnected_components(graph) if len(block & cuts) == 1]
    if not leaves:
        return None
    block, hinge = min(leaves, key=lambda leaf: (len(leaf[0]), min(leaf[0])))
    return Block(min(hinge), np.array(sorted(block - hinge), np.int64))


def induced(
    problem: SelectionProblem, variables: NDArray[np.int64], *, given: tuple[int, int] | None = None
) -> SelectionProblem:
    """The problem of some variables and the edges between them.

    Args:
        problem: one cost set, without a resource.
        variables: which, ascending.
        given: a variable not among them and its choice: tables between it and them become costs of theirs.
    """
    inside = np.zeros(problem.num_variables, np.bool_)
    inside[variables] = True
    place = np.cumsum(inside) - 1
    ends = problem.edge_ends
    kept = np.flatnonzero(inside[ends[:, 0]] & inside[ends[:, 1]])
    mine = np.repeat(inside, problem.sizes)
    unary = problem.unary_costs[mine]
    if given is not None:
        hinge, choice = given
        starts = np.concatenate([[0], np.cumsum(problem.sizes[variables])])
        for e in np.flatnonzero((ends == hinge).any(axis=1)).tolist():
            i, j = problem.edges[e]
            other = j if i == hinge else i
            if inside[other]:
                row = problem.pair[e][choice] if i == hinge else problem.pair[e][:, choice]
                at = slice(int(starts[place[other]]), int(starts[place[other] + 1]))
                unary[at] = saturated(unary[at], row)
    chosen = np.zeros(problem.num_edges, np.bool_)
    chosen[kept] = True
    cells = np.repeat(chosen, np.diff(problem.pair_starts))
    return SelectionProblem.from_flat(
        domain_sizes=problem.sizes[variables],
        unary=unary,
        edges=place[ends[kept]],
        pair=problem.pair_costs[cells],
        name=problem.name,
    )
