"""Maximum flow: the kernel's, or that of networkx where there is no kernel."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import library

__all__ = ["max_flow"]


def max_flow(
    *,
    ends: NDArray[np.int32],
    forward: NDArray[np.int64],
    backward: NDArray[np.int64],
    terminal: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """A maximum flow between two terminals that are not among the nodes.

    Args:
        ends: the two nodes of each arc, ``(m, 2)``.
        forward: capacities from the first to the second, ``(m,)``, not negative.
        backward: capacities the other way.
        terminal: per node ``(n,)`` the capacity of its arc from the source, or minus that of its arc to the sink.

    Returns:
        The net flow of each arc from its first node to its second ``(m,)``, and per node whether it is on the sink's
        side of a minimum cut ``(n,)``. What flows through a node's terminal arc follows from the rest.

    Raises:
        MemoryError: when the kernel runs out of it.
    """
    lib = library()
    if lib is None:
        return _by_networkx(ends, forward, backward, terminal)
    count, arcs = len(terminal), len(ends)
    tail, head = (np.ascontiguousarray(ends[:, k], np.int32) for k in (0, 1))
    capacities = [np.ascontiguousarray(array, np.int64) for array in (forward, backward, terminal)]
    flow, side = np.empty(arcs, np.int64), np.empty(count, np.uint8)
    arrays: list[NDArray[Any]] = [tail, head, *capacities, flow, side]
    failed = lib.dm_max_flow(
        ctypes.c_int64(count), ctypes.c_int64(arcs), *(ctypes.c_void_p(array.ctypes.data) for array in arrays)
    )
    if failed:
        raise MemoryError
    return flow, side.astype(np.bool_)


def _by_networkx(
    ends: NDArray[np.int32], forward: NDArray[np.int64], backward: NDArray[np.int64], terminal: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    import networkx as nx  # noqa: PLC0415  # importing this package shall cost numpy only

    graph = nx.DiGraph()
    graph.add_nodes_from([*range(len(terminal)), "source", "sink"])
    for i, capacity in enumerate(terminal.tolist()):
        if capacity > 0:
            graph.add_edge("source", i, capacity=capacity)
        elif capacity < 0:
            graph.add_edge(i, "sink", capacity=-capacity)
    pairs = ends.tolist()
    for (i, j), there, back in zip(pairs, forward.tolist(), backward.tolist(), strict=True):
        for a, b, capacity in ((i, j, there), (j, i, back)):  # arcs with the same ends become one
            before = graph[a][b]["capacity"] if graph.has_edge(a, b) else 0
            graph.add_edge(a, b, capacity=before + capacity)
    residual = nx.algorithms.flow.preflow_push(graph, "source", "sink")
    reach: set[int | str] = {"sink"}
    stack: list[int | str] = ["sink"]
    while stack:
        v = stack.pop()
        for u in residual.pred[v]:
            if u not in reach and residual[u][v]["flow"] < residual[u][v]["capacity"]:
                reach.add(u)
                stack.append(u)
    side = np.array([i in reach for i in range(len(terminal))], np.bool_)
    left = {(i, j): cell["flow"] for i, j, cell in residual.edges(data=True)}  # net, and without empty arcs
    flow = np.zeros(len(pairs), np.int64)
    for e, (i, j) in enumerate(pairs):  # share out what several arcs between the same ends carry together
        if (i, j) not in left:
            continue
        flow[e] = max(min(left[i, j], int(forward[e])), -int(backward[e]))
        left[i, j] -= int(flow[e])
        left[j, i] += int(flow[e])
    return flow, side
