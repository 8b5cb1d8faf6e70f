"""The stall-free cycle formulas against two simulators that know none of them.

The first moves every operand, partial sum and weight of a small array from register to register, checks the products,
and finds by trial the earliest moment each tile may start. The second only keeps two engines busy, cycle by cycle: the
stream, and the shift of results or weights beside it; it is fast enough for hundreds of larger cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dynamap_rtl import Dataflow, Gemm, array_cycles, groups_per_tile

NS, WS, IS = Dataflow.NS, Dataflow.WS, Dataflow.IS


# ---- register by register ----


class Collision(Exception):  # noqa: N818 - it is an answer, not a failure
    """Two values want one register."""


@dataclass
class Tile:
    """A tile with its operands: NS left (rows, s), top (s, columns); WS left (s, rows), top (rows, columns)."""

    left: np.ndarray
    top: np.ndarray

    def length(self, dataflow: Dataflow) -> int:
        return self.left.shape[1] if dataflow is NS else self.left.shape[0]


def run_ns(tiles: list[Tile], starts: list[int], p1: int, p2: int) -> tuple[int, list[np.ndarray]]:
    """Outputs accumulate in place, move to a shadow register, and leave down the column; returns (cycles, tiles)."""
    left = [[None] * p2 for _ in range(p1)]  # (tile, k, value) travelling right
    top = [[None] * p2 for _ in range(p1)]  # (tile, k, value) travelling down
    sums = np.zeros((p1, p2), dtype=np.int64)
    shadow: list[list[tuple[int, int, int] | None]] = [[None] * p2 for _ in range(p1)]  # (tile, row, value)
    draining: list[int | None] = [None] * p2
    out = [np.zeros((p1, p2), dtype=np.int64) for _ in tiles]
    expected, arrived, clock = len(tiles) * p1 * p2, 0, 0
    owner = {start + k: (t, k) for t, start in enumerate(starts) for k in range(tiles[t].length(NS))}
    while arrived < expected:
        # Results leave: the bottom row's, and those above move down, once the column's last row has its own.
        for j in range(p2):
            bottom = shadow[p1 - 1][j]
            if draining[j] is None and bottom is not None:
                draining[j] = bottom[0]
            if draining[j] is None:
                continue
            for i in reversed(range(p1)):
                cell = shadow[i][j]
                if cell is None or cell[0] != draining[j]:
                    continue
                shadow[i][j] = None
                if i == p1 - 1:
                    out[cell[0]][cell[1], j] = cell[2]
                    arrived += 1
                    if cell[1] == 0:
                        draining[j] = None
                elif shadow[i + 1][j] is not None:
                    raise Collision
                else:
                    shadow[i + 1][j] = cell
        # Operands advance one element; row i and column j are fed i and j cycles late.
        for i in range(p1):
            fed = owner.get(clock - i)
            value = None if fed is None else (*fed, int(tiles[fed[0]].left[i, fed[1]]))
            left[i] = [value, *left[i][:-1]]
        row = []
        for j in range(p2):
            fed = owner.get(clock - j)
            row.append(None if fed is None else (*fed, int(tiles[fed[0]].top[fed[1], j])))
        top = [row, *top[:-1]]
        for i in range(p1):
            for j in range(p2):
                a, b = left[i][j], top[i][j]
                if a is None:
                    assert b is None
                    continue
                assert a[:2] == b[:2]  # the two streams meet
                tile, k = a[:2]
                sums[i, j] = a[2] * b[2] + (sums[i, j] if k else 0)
                if k == tiles[tile].length(NS) - 1:
                    if shadow[i][j] is not None:
                        raise Collision
                    shadow[i][j] = (tile, i, int(sums[i, j]))
        clock += 1
    return clock, out


def run_ws(tiles: list[Tile], starts: list[int], p1: int, p2: int) -> tuple[int, list[np.ndarray]]:
    """Weights come down a shadow chain, sums run down the columns past them; returns (cycles, tiles)."""
    left = [[None] * p2 for _ in range(p1)]  # (tile, vector, value) travelling right
    sums: list[list[tuple[int, int, int] | None]] = [[None] * p2 for _ in range(p1)]  # travelling down
    weights = np.zeros((p1, p2), dtype=np.int64)
    shadow: list[list[tuple[int, int, int] | None]] = [[None] * p2 for _ in range(p1)]  # (tile, row, value)
    out = [np.zeros((tile.length(WS), p2), dtype=np.int64) for tile in tiles]
    expected, arrived, clock = sum(block.size for block in out), 0, 0
    owner = {start + r: (t, r) for t, start in enumerate(starts) for r in range(tiles[t].length(WS))}
    if starts[0] < p1 or any(
        later - earlier < tiles[t].length(WS) for t, (earlier, later) in enumerate(pairwise(starts))
    ):
        raise Collision
    while arrived < expected:
        for i in range(p1):
            fed = owner.get(clock - i)
            value = None if fed is None else (*fed, int(tiles[fed[0]].left[fed[1], i]))
            left[i] = [value, *left[i][:-1]]
        before = [[None] * p2, *sums[:-1]]
        sums = [[None] * p2 for _ in range(p1)]
        for i in range(p1):
            for j in range(p2):
                a = left[i][j]
                if a is None:
                    continue
                tile, vector, value = a
                if vector == 0:  # the tile's first operand brings the new weight in from the shadow
                    held = shadow[i][j]
                    if held is None or held[:2] != (tile, i):
                        raise Collision
                    weights[i, j], shadow[i][j] = held[2], None
                above = before[i][j]
                assert i == 0 or above[:2] == (tile, vector)
                total = value * int(weights[i, j]) + (above[2] if i else 0)
                sums[i][j] = (tile, vector, total)
                if i == p1 - 1:
                    out[tile][vector, j] = total
                    arrived += 1
        # Weights of tile t enter column j in the P1 cycles that end when its first operand is due there.
        for j in range(p2):
            for t, start in enumerate(starts):
                step = clock - (start - p1 + j)
                if not 0 <= step < p1:
                    continue
                for i in reversed(range(p1)):
                    coming = (t, p1 - 1 - step, int(tiles[t].top[p1 - 1 - step, j])) if i == 0 else shadow[i - 1][j]
                    if coming is None or coming[0] != t:
                        continue
                    if shadow[i][j] is not None and shadow[i][j][0] != t:
                        raise Collision
                    shadow[i][j] = coming
        clock += 1
    return clock, out


def earliest(run, tiles: list[Tile], dataflow: Dataflow, p1: int, p2: int) -> tuple[int, list[np.ndarray]]:
    """Let every tile start as early as no two values collide."""
    starts: list[int] = []
    result = (0, [])
    for index, tile in enumerate(tiles):
        start = starts[-1] + tiles[index - 1].length(dataflow) if starts else 0
        for _ in range(4 * p1 + tile.length(dataflow) + 1):
            try:
                result = run(tiles[: index + 1], [*starts, start], p1, p2)
            except Collision:
                start += 1
            else:
                break
        else:
            pytest.fail("no start is free of collisions")
        starts.append(start)
    return result


def padded(block: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.pad(block, ((0, rows - block.shape[0]), (0, columns - block.shape[1])))


def simulate(dataflow: Dataflow, operands: list[tuple[np.ndarray, np.ndarray]], p1: int, p2: int, depth: int) -> int:
    """Cut products into tiles, run them register by register, check the products, return the cycles."""
    tiles: list[Tile] = []
    places: list[tuple[int, slice, slice]] = []
    for which, (left, right) in enumerate(operands):
        if dataflow is IS:  # the same array with the operands exchanged
            left, right = right.T, left.T  # noqa: PLW2901
        a, b = left.shape
        c = right.shape[1]
        if dataflow is NS:
            for i in range(0, a, p1):
                for j in range(0, c, p2):
                    tiles.append(Tile(padded(left[i : i + p1], p1, b), padded(right[:, j : j + p2], b, p2)))
                    places.append((which, slice(i, min(a, i + p1)), slice(j, min(c, j + p2))))
        else:
            for j in range(0, c, p2):
                for i in range(0, a, depth):
                    for k in range(0, b, p1):
                        block = left[i : i + depth, k : k + p1]
                        tiles.append(Tile(padded(block, len(block), p1), padded(right[k : k + p1, j : j + p2], p1, p2)))
                        places.append((which, slice(i, min(a, i + depth)), slice(j, min(c, j + p2))))
    cycles, out = earliest(run_ns if dataflow is NS else run_ws, tiles, dataflow, p1, p2)
    results = [np.zeros((left.shape[0], right.shape[1]), dtype=np.int64) for left, right in operands]
    if dataflow is IS:
        results = [result.T for result in results]
    for block, (which, rows, columns) in zip(out, places, strict=True):
        results[which][rows, columns] += block[: rows.stop - rows.start, : columns.stop - columns.start]
    for result, (left, right) in zip(results, operands, strict=True):
        np.testing.assert_array_equal(result.T if dataflow is IS else result, left @ right)
    return cycles


REGISTER_CASES = [
    # (P1, P2, accumulators per column, (a, b, c) products)
    (1, 1, [(1, 1, 1)]),
    (1, 1, [(2, 3, 2)]),
    (3, 2, [(7, 5, 3)]),
    (4, 3, [(5, 2, 4)]),  # tiles shorter than P1
    (4, 3, [(7, 6, 2)]),
    (3, 3, [(6, 1, 3)]),
    (1, 4, [(5, 3, 5)]),  # one row
    (5, 1, [(4, 6, 2)]),  # one column
    (4, 2, [(4, 7, 2), (4, 1, 2)]),  # long before short
    (4, 2, [(4, 1, 2), (4, 7, 2)]),  # short before long
    (4, 2, [(9, 3, 2), (1, 8, 1), (2, 2, 3)]),
    (3, 4, [(3, 4, 1), (8, 2, 5)]),
]


@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize(("p1", "p2", "sizes"), REGISTER_CASES, ids=str)
def test_an_array_simulated_register_by_register_takes_exactly_the_formulas_cycles(dataflow, p1, p2, sizes):
    rng = np.random.default_rng(7)
    operands = [(rng.integers(-9, 10, (a, b)), rng.integers(-9, 10, (b, c))) for a, b, c in sizes]
    cycles = simulate(dataflow, operands, p1, p2, 99)  # accumulators for every stream
    formula = array_cycles(dataflow, [Gemm(*size) for size in sizes], p1, p2)
    assert formula == cycles


# ---- engine by engine ----


def stepped_ns(lengths: list[int], p1: int) -> int:
    """Cycles until the last result has left: streams wait for the accumulators, results for the shadow registers."""
    waiting = list(lengths)
    clock = stream = drain = 0
    finished = False
    while waiting or stream or finished or drain:
        if finished and not drain:
            drain, finished = p1, False
        if waiting and not stream and not finished:
            stream = waiting.pop(0)
        clock += 1
        drain = max(0, drain - 1)
        if stream:
            stream -= 1
            finished = stream == 0
    return clock


def stepped_stationary(lengths: list[int], p1: int) -> int:
    """Cycles until the last operand has passed: streams wait for weights, weights for the shadow registers."""
    waiting, to_load = list(lengths), len(lengths)
    clock = stream = load = 0
    ready = False
    while waiting or stream:
        if ready and not stream:
            stream, ready = waiting.pop(0), False
        if to_load and not load and not ready:
            load, to_load = p1, to_load - 1
        clock += 1
        stream = max(0, stream - 1)
        if load:
            load -= 1
            ready = load == 0
    return clock


def stepped(dataflow: Dataflow, gemms: list[Gemm], p1: int, p2: int, pipeline: int) -> int:
    lengths: list[int] = []
    for gemm in gemms:
        for _ in range(gemm.count):
            if dataflow is NS:
                lengths += [gemm.b for _ in range(0, gemm.a, p1) for _ in range(0, gemm.c, p2)]
                continue
            stream, columns = (gemm.a, gemm.c) if dataflow is WS else (gemm.c, gemm.a)
            lengths += [stream for _ in range(0, columns, p2) for _ in range(0, gemm.b, p1)]
    engines = stepped_ns(lengths, p1) if dataflow is NS else stepped_stationary(lengths, p1)
    return engines + (p1 - 1) + (p2 - 1) + pipeline


SIZE = st.integers(1, 18)
GEMMS = st.lists(st.builds(Gemm, SIZE, SIZE, SIZE, st.integers(1, 3)), min_size=1, max_size=3)


@settings(deadline=None, max_examples=250)
@given(GEMMS, st.integers(1, 9), st.integers(1, 9), st.integers(0, 7))
@example([Gemm(18, 1, 18)], 9, 1, 0)
@example([Gemm(1, 18, 1), Gemm(9, 2, 9), Gemm(1, 1, 1)], 9, 9, 4)
@example([Gemm(1, 1, 1), Gemm(9, 2, 9), Gemm(1, 18, 1)], 9, 9, 4)
@example([Gemm(18, 18, 18, 3)], 1, 9, 4)
@example([Gemm(18, 18, 18)], 9, 1, 4)
def test_engines_stepped_cycle_by_cycle_take_exactly_the_formulas_cycles(gemms, p1, p2, pipeline):
    for dataflow in Dataflow:
        assert array_cycles(dataflow, gemms, p1, p2, pipeline_cycles=pipeline) == stepped(
            dataflow, gemms, p1, p2, pipeline
        )


def packed_groups(dataflow: Dataflow, group: Gemm, p1: int, p2: int) -> int:
    """Add groups to a product while the docstring's rule asks for more."""
    q = 1
    while q < group.count:
        room = (q + 1) * group.c <= p2
        rows = (q + 1) * group.b <= p1
        wanted = {NS: q * group.b < p1 and room, WS: rows and room, IS: rows}[dataflow]
        if not wanted:
            break
        q += 1
    return q


@settings(deadline=None, max_examples=250)
@given(st.builds(Gemm, SIZE, SIZE, st.integers(1, 4), st.integers(1, 12)), SIZE, SIZE)
@example(Gemm(16, 2, 1, 12), 9, 1)
@example(Gemm(16, 2, 1, 12), 1, 9)
@example(Gemm(5, 9, 1, 7), 18, 18)
def test_groups_are_packed_while_the_rule_asks_for_more(group, p1, p2):
    for dataflow in Dataflow:
        assert groups_per_tile(dataflow, group, p1, p2) == packed_groups(dataflow, group, p1, p2)
