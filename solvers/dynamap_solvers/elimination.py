"""Elimination orders (tree decompositions): found by heuristics, priced before anything is allocated, carried out.

An elimination order of a graph is a tree decomposition of it: the bag of a vertex is itself and the neighbours it has
when it leaves, and the largest bag less one is the width (Bodlaender & Koster 2010). Bucket elimination along the order
(Dechter, *Bucket elimination*, Artif. Intell. 113, 1999) takes ``O(sum over bags of the product of domain sizes)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import eliminate as kernel
from dynamap_solvers._kernel.eliminate import Stop
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, SelectionProblem

__all__ = ["EliminationOrder", "Stop", "eliminate", "find_order", "order_of", "treewidth_upper_bound"]

_TRY_WORK = {False: 1e4, True: 1e5}  # cells per variable worked through while an order is found, by fill or not
_TRY_SHARE = 0.1  # of the work that looking for orders may take
_TOUCH = 4  # cells worked through while a byte of fresh memory is touched for the first time
_BETTER = 0.98  # of the best price so far: an order that is cheaper than that makes it worth looking on
_MOST_ALIKE = 8  # orders in a row that were not; on thin graphs all are nearly alike
_MIXED = 4  # orders at first, by cells and by fill in turn
_HOPELESS = 1e11  # cells; what would take longer is not worth a longer look
_SLACK = 32  # cells past each table, as in the kernel


@dataclass(frozen=True, eq=False)
class EliminationOrder:
    """An order in which variables leave, and what that takes.

    Attributes:
        order: the variables, int32 ``(n,)``.
        width: the most neighbours any has when it leaves: an upper bound of the graph's treewidth.
        work_cells: cells looked at: the sum over bags of the product of domain sizes.
        kept_cells: cells of all tables that arise; their best choices are kept for the way back.
        peak_cells: the most cells of tables that arose alive at a time.
        largest_cells: of the largest table.
        original_cells: of the original tables in one bucket, at most.
    """

    order: NDArray[np.int32]
    width: int
    work_cells: float
    kept_cells: float
    peak_cells: float
    largest_cells: float
    original_cells: float

    @property
    def price(self) -> float:
        """By which orders compete: cells looked at, and memory at 4 bytes a cell and 1 a choice as so many cells."""
        return self.work_cells + _TOUCH * (4 * self.peak_cells + self.kept_cells)

    def memory_bytes(self, problem: SelectionProblem) -> float:
        """What elimination allocates at its peak, besides workspaces of a few MiB and 256 MiB for further threads.

        A cost cell takes 4 bytes where the costs prove that 32 bits do, else 8; a kept choice 1 (4 beyond 256 choices).
        The kernel makes large tables slice by slice, and then keeps far fewer cells than there are.
        """
        needs = kernel.room(problem, self.order)
        if needs is not None:
            return needs[1]
        # numpy: sums of a whole bag, one more while they are added up, and where they are least
        choices = int(problem.sizes.max(initial=1))
        kept = (4 if choices > 256 else 1) * self.kept_cells
        return 8 * self.peak_cells + kept + 24 * choices * self.largest_cells


def find_order(
    ends: NDArray[np.int32],
    sizes: NDArray[np.int64],
    *,
    seed: int = 0,
    most_cells: float = math.inf,
    tries: int = 64,
    thorough: bool = False,
) -> EliminationOrder | None:
    """The best of several greedy orders: fewest cells, min-fill, then both again with ties broken at random.

    Orders by cells are found ten times as fast as those by fill: after the first four most are by cells.

    Args:
        ends: edges ``(m, 2)``; parallel ones count once.
        sizes: choices per variable ``(n,)``.
        seed: for the ties.
        most_cells: orders whose tables have more cells altogether are given up on the way.
        tries: how many orders at most; fewer where the best is cheap to follow, where they are all alike, or where the
            first four were given up.
        thorough: make all of them all the same, half of them by fill.

    Returns:
        The order with the least :attr:`~EliminationOrder.price`, or None where all of them were given up.
    """
    best: EliminationOrder | None = None
    spent, alike = 0.0, 0
    ends = np.ascontiguousarray(ends, np.int32)
    sizes = np.ascontiguousarray(sizes, np.int64)
    for attempt in range(max(tries, 1)):
        by_fill = attempt % 2 == 1 if thorough or attempt < _MIXED else attempt % 8 == 7
        limit = most_cells if best is None else min(most_cells, best.price)
        found = kernel.order(ends, sizes, by_fill=by_fill, seed=seed + attempt, most_cells=limit)
        if found is None:
            found = _order_in_python(ends, sizes, by_fill=by_fill, most_cells=limit)
        if len(found) == len(sizes):
            priced = _priced(ends, sizes, found)
            alike = 0 if best is None or priced.price < _BETTER * best.price else alike + 1
            if best is None or priced.price < best.price:
                best = priced
        else:
            alike += 1
        spent += _TRY_WORK[by_fill] * len(sizes)
        if thorough:
            continue
        if best is None:
            enough = attempt + 1 >= _MIXED
        else:
            enough = (
                alike >= _MOST_ALIKE
                or spent > _TRY_SHARE * best.price
                or (best.price > _HOPELESS and attempt + 1 >= 2 * _MIXED)
            )
        if enough:
            break
    return best


def order_of(problem: SelectionProblem, *, seed: int = 0, most_cells: float = math.inf) -> EliminationOrder | None:
    """:func:`find_order` of a problem's graph, kept with its structure."""
    memo = problem.structure.memo
    key = f"elimination order {seed} {most_cells}"
    if key not in memo:
        memo[key] = find_order(problem.edge_ends, problem.sizes, seed=seed, most_cells=most_cells)
    found: EliminationOrder | None = memo[key]
    return found


def treewidth_upper_bound(problem: SelectionProblem) -> int:
    """The width of the best order found, all variables counted alike: an upper bound of the graph's treewidth."""
    sizes = np.full(problem.num_variables, 2, np.int64)
    found = find_order(problem.edge_ends, sizes, tries=16, thorough=True)
    assert found is not None  # nothing was to be given up
    return found.width


def eliminate(
    problem: SelectionProblem, order: NDArray[np.int32], *, stop: Stop, threads: int = 1
) -> tuple[int | float, NDArray[np.int32]] | None:
    """Eliminate the variables of one cost set in an order; the outcome is the same for any number of threads.

    Returns:
        The optimum (FORBIDDEN or inf where nothing is allowed) and an assignment that attains it; None when stopped.

    Raises:
        MemoryError: when the tables do not fit.
    """
    done = kernel.eliminate(problem, order, stop=stop, threads=threads)
    if isinstance(done, str):
        return None
    if done is not None:
        return done
    return _eliminate_in_numpy(problem, order.tolist(), stop)


def _priced(ends: NDArray[np.int32], sizes: NDArray[np.int64], order: NDArray[np.int32]) -> EliminationOrder:
    """An order made depth first, and what it takes."""
    cost, order = kernel.order_cost(ends, sizes, order) or _cost_in_python(ends, sizes.tolist(), order.tolist())
    work, kept, peak, width, largest, original = cost
    return EliminationOrder(order, int(width), work, kept, peak, largest, original)


def _order_in_python(
    ends: NDArray[np.int32], sizes: NDArray[np.int64], *, by_fill: bool, most_cells: float
) -> NDArray[np.int32]:
    """The same greedy rules without the kernel, and without random ties."""
    bits = np.log2(sizes).tolist()
    adjacent: list[set[int]] = [set() for _ in bits]
    for i, j in _between_several(ends, sizes.tolist()):
        adjacent[i].add(j)
        adjacent[j].add(i)

    def score(v: int) -> tuple[float, float]:
        cells = bits[v] + sum(bits[u] for u in adjacent[v])
        missing = sum(1 for u in adjacent[v] for w in adjacent[v] if u < w and w not in adjacent[u])
        return (missing, cells) if by_fill else (cells, missing)

    scores = {v: score(v) for v in range(len(bits))}
    order: list[int] = []
    total = 0.0
    while scores:
        v = min(scores, key=lambda u: (scores[u], u))
        total += 2.0 ** (bits[v] + sum(bits[u] for u in adjacent[v]))
        if total > most_cells:
            return np.zeros(0, np.int32)
        order.append(v)
        del scores[v]
        around = adjacent[v]
        for u in around:
            adjacent[u] |= around
            adjacent[u] -= {u, v}
        for near in around | {w for u in around for w in adjacent[u]}:
            scores[near] = score(near)
    return np.array(order, np.int32)


def _between_several(ends: NDArray[np.int32], sizes: list[int]) -> list[tuple[int, int]]:
    """The edges whose ends both have several choices; other tables are a cost of one end."""
    return [(i, j) for i, j in ends.tolist() if sizes[i] > 1 and sizes[j] > 1]


def _scopes(edges: list[tuple[int, int]], order: list[int]) -> list[tuple[int, list[int]]]:
    """Per variable, in order, the neighbours it has when it leaves, by when they leave."""
    position = {v: k for k, v in enumerate(order)}
    later: list[set[int]] = [set() for _ in order]
    for i, j in edges:
        first, second = (i, j) if position[i] < position[j] else (j, i)
        later[first].add(second)
    scopes = []
    for v in order:
        around = sorted(later[v], key=position.__getitem__)
        if around:
            later[around[0]].update(around[1:])
        scopes.append((v, around))
    return scopes


def _cost_in_python(
    ends: NDArray[np.int32], sizes: list[int], order: list[int]
) -> tuple[list[float], NDArray[np.int32]]:
    """What ``dm_order_cost`` does."""
    position = {v: k for k, v in enumerate(order)}
    rows = [0.0] * len(sizes)
    edges = _between_several(ends, sizes)
    for i, j in edges:
        rows[min(i, j, key=position.__getitem__)] += sizes[i] * sizes[j] + _SLACK
    work = kept = peak = largest = 0.0
    width = 0
    cells: dict[int, float] = {}
    need: dict[int, float] = {}
    children: list[list[int]] = [[] for _ in sizes]
    roots: list[int] = []
    for v, around in _scopes(edges, order):
        cells[v] = math.prod(float(sizes[u]) for u in around)
        work, kept = work + cells[v] * sizes[v], kept + cells[v]
        width, largest = max(width, len(around)), max(largest, cells[v])
        children[v].sort(key=lambda c: cells[c] - need[c])
        held = need[v] = 0.0
        for c in children[v]:
            need[v] = max(need[v], held + need[c])
            held += cells[c] + _SLACK
        need[v] = max(need[v], held + cells[v] + _SLACK)
        if around:
            children[around[0]].append(v)
        else:
            roots.append(v)
            peak = max(peak, need[v])
    reverse: list[int] = []
    while roots:
        v = roots.pop()
        reverse.append(v)
        roots += children[v]
    return [work, kept, peak, float(width), largest, max(rows, default=0.0)], np.array(reverse[::-1], np.int32)


def _eliminate_in_numpy(
    problem: SelectionProblem, order: list[int], stop: Stop
) -> tuple[int | float, NDArray[np.int32]] | None:
    """Bucket elimination with numpy broadcasting; axes of every table by elimination position."""
    position = {v: k for k, v in enumerate(order)}
    buckets: dict[int, list[tuple[list[int], NDArray[Any]]]] = {v: [] for v in order}
    own: list[NDArray[Any]] = list(problem.unary)
    sizes = problem.domain_sizes
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        if sizes[i] == 1 or sizes[j] == 1:
            end = j if sizes[i] == 1 else i
            own[end] = _clamped(own[end] + table.ravel())
            continue
        scope, cells = ([i, j], table) if position[i] < position[j] else ([j, i], table.T)
        buckets[scope[0]].append((scope, cells))
    total: Any = problem.unary_costs.dtype.type(0)
    back: list[tuple[int, list[int], NDArray[Any]]] = []
    kind = np.uint8 if max(sizes, default=1) <= 256 else np.int32
    for v, around in _scopes(_between_several(problem.edge_ends, list(sizes)), order):
        if stop.flag[0]:
            return None
        axes = [v, *around]
        joined: NDArray[Any] = own[v].reshape([-1] + [1] * len(around))
        for scope, cells in buckets.pop(v):
            shape = [cells.shape[scope.index(u)] if u in scope else 1 for u in axes]
            joined = _clamped(joined + cells.reshape(shape))  # axes keep their order, so that a reshape is enough
        joined = np.broadcast_to(joined, [sizes[u] for u in axes])
        back.append((v, around, joined.argmin(axis=0).astype(kind)))
        if around:
            buckets[around[0]].append((around, joined.min(axis=0)))
        else:
            total = _clamped(np.asarray(total + joined.min()))[()]
    choices = np.zeros(problem.num_variables, np.int32)
    for v, around, best in reversed(back):
        choices[v] = best[tuple(choices[u] for u in around)]
    value = total.item()
    return (FORBIDDEN if problem.is_integer and value >= FINITE_LIMIT else value), choices


def _clamped(costs: NDArray[Any]) -> NDArray[Any]:
    return np.minimum(costs, FORBIDDEN) if costs.dtype == np.int64 else costs
