"""Elimination orders, bucket elimination and dominance: the kernel, numpy and enumeration agree."""

from __future__ import annotations

import os
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest

from dynamap_solvers import FORBIDDEN, ProblemError, SelectionProblem, solve
from dynamap_solvers import elimination as el
from dynamap_solvers._kernel import eliminate as kernel
from dynamap_solvers._kernel import library
from dynamap_solvers._kernel.eliminate import Stop
from dynamap_solvers.methods import tree_decomposition
from dynamap_solvers.passes import dominance

needs_kernel = pytest.mark.skipif(library() is None, reason="the compiled kernel is not there")


def wide_problem(seed: int, *, floats: bool = False, widest: int = 6) -> SelectionProblem:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, widest, 7)
    edges = [(i, j) if rng.random() < 0.5 else (j, i) for i in range(7) for j in range(i) if rng.random() < 0.7]
    edges += edges[:1]

    def table(*shape: int) -> np.ndarray:
        cells, hit = rng.integers(-30, 60, shape), rng.random(shape) < 0.06
        return np.where(hit, np.inf, cells / 7) if floats else np.where(hit, FORBIDDEN, cells)

    return SelectionProblem(
        unary=[table(size) for size in sizes], edges=edges, pair=[table(sizes[i], sizes[j]) for i, j in edges]
    )


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_any_order_gives_the_optimum_in_kernel_and_numpy(seed, floats):
    problem = wide_problem(seed, floats=floats)
    judge = solve(problem, method="brute-force")
    expected = problem.infeasible_value if judge.objective is None else judge.objective
    orders = [
        np.random.default_rng(seed).permutation(7).astype(np.int32),
        el.find_order(problem.edge_ends, problem.sizes).order,
    ]
    for order in orders:
        for value, choices in (
            el.eliminate(problem, order, stop=Stop()),
            el._eliminate_in_numpy(problem, order.tolist(), Stop()),
        ):
            assert value == pytest.approx(expected, abs=1e-9)
            if judge.objective is not None:
                assert problem.evaluate(choices) == pytest.approx(expected, abs=1e-9)


@needs_kernel
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("kind", ["small", "large", "forbidden", "float"])
def test_every_level_of_vector_instructions_and_kind_of_table_agrees_with_numpy(kind, level):
    rng = np.random.default_rng([level, len(kind)])
    kinds = set()
    for _ in range(40):
        sizes = rng.integers(1, int(rng.choice([3, 6, 14, 30])), int(rng.integers(2, 8)))
        edges = [(i, j) if rng.random() < 0.5 else (j, i) for i in range(len(sizes)) for j in range(i)]
        edges = [edge for edge in edges if rng.random() < 0.6]
        high = 10**16 if kind == "large" else 1000

        def table(*shape: int, high: int = high) -> np.ndarray:
            cells, hit = rng.integers(-high, high, shape), rng.random(shape) < 0.1
            if kind == "float":
                return np.where(hit, np.inf, cells / 8)  # eighths: sums are exact
            return np.where(hit & (kind == "forbidden"), FORBIDDEN, cells)

        problem = SelectionProblem(
            unary=[table(size) for size in sizes], edges=edges, pair=[table(sizes[i], sizes[j]) for i, j in edges]
        )
        order = el.find_order(problem.edge_ends, problem.sizes)
        if order.work_cells > 1e6:
            continue
        value, choices = kernel.eliminate(problem, order.order, stop=Stop(), level=level)
        assert value == el._eliminate_in_numpy(problem, order.order.tolist(), Stop())[0]
        assert problem.evaluate(choices) == value or value == problem.infeasible_value
        kinds.add(kernel.room(problem, order.order)[0])
    assert max(kinds) == (8 if kind in {"large", "float"} else 4)


@needs_kernel
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("kind", ["small", "large", "forbidden", "float"])
def test_tables_that_meet_in_one_bag_are_added_up_rightly(kind, level):
    """Many variables hang on parts of one clique: their tables know some axes of its block, or the same axes."""
    rng = np.random.default_rng([level, len(kind), 1])
    for _ in range(6):
        core, leaves = 4, 9
        sizes = np.concatenate([rng.integers(8, 14, core), rng.integers(2, 5, leaves)])
        edges = [(i, j) for i in range(core) for j in range(i)]
        edges += [(core + k, int(c)) for k in range(leaves) for c in rng.permutation(core)[: rng.integers(1, core + 1)]]
        high = 10**16 if kind == "large" else 1000

        def table(*shape: int, high: int = high) -> np.ndarray:
            cells, hit = rng.integers(-high, high, shape), rng.random(shape) < 0.1
            if kind == "float":
                return np.where(hit, np.inf, cells / 8)
            return np.where(hit & (kind == "forbidden"), FORBIDDEN, cells)

        problem = SelectionProblem(
            unary=[table(size) for size in sizes], edges=edges, pair=[table(sizes[i], sizes[j]) for i, j in edges]
        )
        order = np.concatenate([core + rng.permutation(leaves), rng.permutation(core)]).astype(np.int32)
        value, choices = kernel.eliminate(problem, order, stop=Stop(), level=level)
        assert value == el._eliminate_in_numpy(problem, order.tolist(), Stop())[0]
        assert problem.evaluate(choices) == value or value == problem.infeasible_value


_MEASURE = """
import sys
from pathlib import Path
from dynamap_solvers import elimination as el
from dynamap_solvers.bench.instances import grid
side, floats = int(sys.argv[1]), sys.argv[2] == "float"
problem = grid(rows=side, columns=side, choices=4, costs="hard")
if floats:
    problem = problem.with_costs(unary=problem.unary_costs / 8, pair=problem.pair_costs / 8)
order = el.find_order(problem.edge_ends, problem.sizes, tries=int(sys.argv[3]))
def kilobytes(label):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(label)).split()[1])
before = kilobytes("VmRSS:")
el.eliminate(problem, order.order, stop=el.Stop())
print(order.memory_bytes(problem), 1024 * (kilobytes("VmHWM:") - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says it this way")
@pytest.mark.parametrize(
    ("costs", "setting"),
    [pytest.param("int", "on", marks=needs_kernel), pytest.param("float", "on", marks=needs_kernel), ("int", "off")],
)
def test_elimination_takes_no_more_memory_than_it_says(costs, setting):
    environment = os.environ | {"DYNAMAP_KERNEL": setting}
    command = [
        sys.executable,
        "-c",
        _MEASURE,
        "9" if setting == "off" else "10",
        costs,
        "4" if setting == "off" else "64",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    said, taken = map(float, done.stdout.split())
    assert said > 2**24  # or it says little
    assert taken < said + 2**23
    if setting == "on":
        assert taken > 0.8 * said


@needs_kernel
@pytest.mark.parametrize("seed", range(5))
def test_kernel_and_python_price_an_order_alike(seed):
    problem = wide_problem(seed)
    order = np.random.default_rng(seed).permutation(7).astype(np.int32)
    sizes = problem.sizes
    priced = el._priced(problem.edge_ends, sizes, order)
    cost, depth_first = el._cost_in_python(problem.edge_ends, sizes.tolist(), order.tolist())
    assert cost == [
        priced.work_cells,
        priced.kept_cells,
        priced.peak_cells,
        priced.width,
        priced.largest_cells,
        priced.original_cells,
    ]
    assert depth_first.tolist() == priced.order.tolist()


@pytest.mark.parametrize(
    ("graph", "treewidth"),
    [
        (nx.path_graph(9), 1),
        (nx.cycle_graph(9), 2),
        (nx.complete_graph(6), 5),
        (nx.grid_2d_graph(4, 9), 4),
        (nx.petersen_graph(), 4),
        (nx.complete_bipartite_graph(3, 8), 3),
    ],
)
def test_orders_reach_known_treewidths(graph, treewidth):
    graph = nx.convert_node_labels_to_integers(graph)
    problem = SelectionProblem(
        unary=[np.zeros(2, np.int64)] * len(graph),
        edges=list(graph.edges),
        pair=[np.zeros((2, 2), np.int64)] * graph.number_of_edges(),
    )
    assert el.treewidth_upper_bound(problem) == treewidth


def test_what_does_not_fit_is_refused_before_it_starts():
    graph = nx.complete_graph(20)
    problem = SelectionProblem(
        unary=[np.zeros(12, np.int64)] * 20,
        edges=list(graph.edges),
        pair=[np.random.default_rng(0).integers(0, 9, (12, 12)) for _ in graph.edges],
    )
    with pytest.raises(ProblemError, match=r"would take .* and the limit is 4 GiB.*'branch-and-bound' or 'ilp'"):
        solve(problem, method="tree-decomposition")


def test_the_limit_is_met_exactly(monkeypatch):
    problem = wide_problem(1)
    order = el.find_order(problem.edge_ends, problem.sizes)
    for room, fits in ((order.memory_bytes(problem), True), (order.memory_bytes(problem) - 1, False)):
        monkeypatch.setattr(tree_decomposition, "MAX_BYTES", room)
        assert tree_decomposition.fits(problem, order) is fits


@pytest.mark.parametrize("with_usage", [False, True])
@pytest.mark.parametrize("in_numpy", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_an_optimum_survives_dominance(seed, in_numpy, with_usage, monkeypatch):
    if in_numpy:
        monkeypatch.setattr(dominance, "kernel_dominated", lambda *_, **__: None)
    problem = wide_problem(seed, widest=4)
    if with_usage:
        rng = np.random.default_rng(seed)
        problem = problem.replace(
            usage=[rng.integers(0, 9, size) for size in problem.domain_sizes],
            intervals=[(int(a), int(a) + 3) for a in rng.integers(0, 4, 7)],
            usage_limit=22,
        )
    judge = solve(problem, method="brute-force")
    smaller = dominance.drop_dominated(problem)
    if smaller.conflict:
        assert judge.objective is None
        return
    found = solve(smaller.problem, method="brute-force")
    assert (found.objective is None) == (judge.objective is None)
    if found.assignment is not None:
        assert problem.evaluate(smaller.lift(found.assignment)) == judge.objective


@needs_kernel
def test_dominance_strikes_out_what_is_never_cheaper():
    problem = SelectionProblem(
        unary=(np.array([0, 5, 1]), np.array([0, 0])),
        edges=((0, 1),),
        pair=(np.array([[0, 3], [0, 1], [9, 0]]),),
    )
    # Choice 1 costs 5 more than choice 0 and saves at most 2; choice 2 may pay.
    assert (0, 1, 0) in dominance.drop_dominated(problem).dropped
