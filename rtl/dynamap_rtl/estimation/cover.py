"""Gates covered by look-up tables of six inputs: a small technology mapper.

Each gate keeps a few *cuts*, sets of at most six nodes that it is a function of, ranked by *area flow*: the table that
computes it from them, and each of theirs divided by the number of its users (Manohararajah, Brown and Vranesic,
"Heuristics for Area Minimization in LUT-Based FPGA Technology Mapping", 2006). The tables then follow from what is
needed, and a second round ranks by the users that the first one left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

__all__ = ["tables"]

Cut: TypeAlias = tuple[float, frozenset[int]]

#: Inputs of a look-up table.
INPUTS = 6
#: What a table of so many inputs costs the mapper of Yosys: small ones may share a slice's table.
_COST = (0.0, 2.0, 2.0, 3.0, 5.0, 5.0, 5.0)
_KEPT = 5


def tables(fanins: Sequence[tuple[int, ...]], roots: Iterable[int]) -> int:
    """The number of look-up tables that compute the roots.

    Args:
        fanins: literals of each node (see ``Gates``), earlier nodes first.
        roots: literals that are needed; a complement costs a table of its own.
    """
    wanted = set(roots)
    nodes = {root >> 1 for root in wanted}
    inverters = sum(1 for root in wanted if root & 1 and root > 1 and (root ^ 1 in wanted or not fanins[root >> 1]))
    users = _users(fanins, nodes)
    gates = sorted(node for node in users if fanins[node])
    used: dict[int, int] = {}
    for _ in range(2):
        best = _best_cuts(fanins, gates, users)
        used = _cover(best, nodes)
        users = {node: max(1, used.get(node, 0)) for node in gates}
    return len(used) + inverters


def _users(fanins: Sequence[tuple[int, ...]], roots: Iterable[int]) -> dict[int, int]:
    users: dict[int, int] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        users[node] = users.get(node, 0) + 1
        if users[node] == 1:
            stack.extend(literal >> 1 for literal in fanins[node])
    return users


def _best_cuts(
    fanins: Sequence[tuple[int, ...]], gates: Sequence[int], users: dict[int, int]
) -> dict[int, frozenset[int]]:
    flow: dict[int, float] = {}
    cuts: dict[int, list[frozenset[int]]] = {}
    best: dict[int, frozenset[int]] = {}
    for node in gates:
        merged: set[frozenset[int]] | None = None
        for literal in fanins[node]:
            child = literal >> 1
            theirs = cuts.get(child)
            if theirs is None:
                theirs = cuts[child] = [frozenset((child,))]
            if merged is None:
                merged = set(theirs)
            elif len(theirs) == 1:
                (only,) = theirs
                merged = {union for cut in merged if len(union := cut | only) <= INPUTS}
            else:
                merged = {union for cut in merged for other in theirs if len(union := cut | other) <= INPUTS}
        assert merged
        ranked: list[tuple[float, int, frozenset[int]]] = []
        for cut in merged:
            area = _COST[len(cut)]
            for leaf in cut:
                area += flow.get(leaf, 0.0)
            ranked.append((area, len(cut), cut))
        ranked.sort(key=_rank)
        best[node] = ranked[0][2]
        flow[node] = ranked[0][0] / users[node]
        cuts[node] = [cut for _, _, cut in ranked[:_KEPT]] + [frozenset((node,))]
    return best


def _rank(cut: tuple[float, int, frozenset[int]]) -> tuple[float, int]:
    return cut[0], -cut[1]


def _cover(best: dict[int, frozenset[int]], roots: Iterable[int]) -> dict[int, int]:
    """The tables in use, and how many users each has."""
    used: dict[int, int] = {}
    stack = [root for root in roots if root in best]
    while stack:
        node = stack.pop()
        used[node] = used.get(node, 0) + 1
        if used[node] == 1:
            stack.extend(leaf for leaf in best[node] if leaf in best)
    return used
