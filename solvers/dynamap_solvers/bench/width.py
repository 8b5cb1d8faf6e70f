"""An upper bound of the treewidth, by elimination in order of least degree."""

from __future__ import annotations

import heapq

from dynamap_solvers.bench.graphs import Edges

__all__ = ["min_degree_width"]


def min_degree_width(num_variables: int, edges: Edges, *, most_fill: int = 5_000_000) -> int | None:
    """The width of the elimination order that takes a vertex of least degree each time; parallel edges count once.

    Args:
        num_variables: of the graph.
        edges: of the graph.
        most_fill: give up, with None, once so many pairs of neighbours have been joined.
    """
    neighbours: list[set[int]] = [set() for _ in range(num_variables)]
    for i, j in edges.tolist():
        neighbours[i].add(j)
        neighbours[j].add(i)
    queue = [(len(around), vertex) for vertex, around in enumerate(neighbours)]
    heapq.heapify(queue)
    gone = [False] * num_variables
    width = work = 0
    while queue:
        degree, vertex = heapq.heappop(queue)
        if gone[vertex] or degree != len(neighbours[vertex]):
            continue  # an entry from before the degree changed
        gone[vertex] = True
        width = max(width, degree)
        around = neighbours[vertex]
        work += degree * degree
        if work > 2 * most_fill:
            return None
        for other in around:
            neighbours[other] |= around
            neighbours[other] -= {other, vertex}
            heapq.heappush(queue, (len(neighbours[other]), other))
    return width
