"""Strategies: none beats the joint optimum, each is what its name says, the two-step search follows its criterion."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_models.zoo import build_model
from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.board import Board, load_board
from dynamap_opt.comparison import compare_strategies, two_step
from dynamap_opt.costs import Precision, ShapeBatch
from dynamap_opt.costs.paper import WINOGRAD_FORMAT
from dynamap_opt.layouts import NHWC
from dynamap_opt.mapper import Mapper
from dynamap_opt.mapping import make_plan, map_network
from dynamap_opt.program import StageKind
from dynamap_opt.study import truncate
from dynamap_rtl import Dataflow
from dynamap_solvers import solve

STRATEGIES = (
    "joint optimum",
    "two-step search",
    "im2col only",
    "kn2row where legal",
    "Winograd where legal",
    "NS only",
    "WS only",
    "IS only",
    "square array",
)


def tiny_board(elements):
    return Board(**(load_board("ecp5-85k").as_dict() | {"name": "tiny", "array_dsp": elements}))


@pytest.mark.parametrize(
    ("network", "board", "cost"),
    [
        (truncate(build_model("squeezenet-1.1"), 20), "ecp5-85k", "overlay"),
        (build_model("googlenet"), "zcu104", "paper"),
        (build_model("nasnet-a-mobile"), "ecp5-85k", "paper"),
    ],
    ids=["squeezenet-overlay", "googlenet-paper", "nasnet-paper"],
)
def test_no_strategy_beats_the_joint_optimum(network, board, cost):
    device = load_board(board)
    results = compare_strategies(network, device, cost=cost, allow_host=True)
    assert tuple(result.strategy for result in results) == STRATEGIES
    best = results[0]
    assert best.latency_cycles == map_network(network, device, cost=cost, allow_host=True).latency_cycles
    for result in results:
        assert result.latency_cycles >= best.latency_cycles
        assert result.loss == result.latency_cycles / best.latency_cycles - 1
        assert result.latency_s == result.latency_cycles / device.clock_hz
        assert result.array[0] * result.array[1] <= device.array_dsp
    assert results[-1].array[0] == results[-1].array[1]


@pytest.mark.parametrize("cost", ["overlay", "paper"])
@pytest.mark.parametrize("family", ["im2col", "kn2row", "winograd"])
@pytest.mark.parametrize("name", ["googlenet", "mobilenet-v2"])
def test_a_forced_family_is_used_wherever_it_is_legal(name, family, cost):
    board = load_board("zcu104")
    free = Mapper(build_model(name), board, cost=cost, allow_host=True)
    mapper = Mapper(build_model(name), board, cost=cost, allow_host=True, prefer=family)
    plan = make_plan(mapper, mapper.explore((11, 12)))
    met = 0
    for row, stage in zip(plan.layers, mapper.program.stages, strict=True):
        if stage.kind is StageKind.ARRAY:
            legal = {algorithm.family for algorithm in free.model.algorithms(stage)}
            used = ALGORITHMS[row.algorithm].family
            assert used == family or (family not in legal and used in {"im2col", "depthwise"})
            met += family in legal
    # MobileNet-v2 has no convolution Winograd can do: its 3x3 ones are depthwise or strided.
    assert (met > 0) == ((name, family) != ("mobilenet-v2", "winograd"))


@pytest.mark.parametrize("flow", Dataflow.__members__)
def test_a_single_dataflow_is_the_only_one_used(flow):
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("ecp5-85k"), dataflows=[flow])
    plan = make_plan(mapper, mapper.explore())
    assert {row.dataflow for row in plan.layers} == {flow, None}


@pytest.mark.parametrize(
    ("name", "cost"),
    [("resnet-18", "overlay"), *((name, "paper") for name in ("googlenet", "resnet-18", "mobilenet-v1"))],
)
def test_the_two_step_search_takes_the_shape_of_least_summed_compute(name, cost):
    """The criterion again in plain integers, one shape, layer and algorithm at a time."""
    mapper = Mapper(build_model(name), tiny_board(40), cost=cost)
    shapes = [(a, b) for a in range(1, 41) for b in range(1, 41) if a * b <= 40]
    if cost == "overlay":
        shapes = [shape for shape in shapes if mapper.overlay.buildable(*map(np.atleast_1d, shape))[0]]
    p1, p2 = (np.array(side) for side in zip(*shapes, strict=True))
    batch = ShapeBatch(p1, p2, Precision.BOUND)  # of the total; what is computed is exact

    def computed(stage, algorithm):
        """Cycles of the best dataflow on every shape, as lists."""
        layouts = [NHWC] if cost == "overlay" else [NHWC, WINOGRAD_FORMAT]
        options = [
            mapper.model.cycles(stage, algorithm, flow, NHWC, layout, batch) for flow in Dataflow for layout in layouts
        ]
        found = [option.compute.tolist() for option in options if option is not None]
        return [min(cycles) for cycles in zip(*found, strict=True)]

    terms = [
        computed(stage, algorithm)
        for stage in mapper.program.stages
        if stage.kind is StageKind.ARRAY
        for algorithm in mapper.model.algorithms(stage)
    ]
    criterion = dict(zip(shapes, map(sum, zip(*terms, strict=True)), strict=True))
    expected = min(shapes, key=lambda shape: (criterion[shape], shape[0] * shape[1], -shape[0]))
    found = two_step(mapper)
    assert found.best_shape == expected
    assert found.latency_cycles.tolist() == [solve(mapper.decision(*expected).problem).objective]


def test_the_best_square_is_the_best_of_all_squares_and_progress_counts_strategies():
    network, board, seen = truncate(build_model("squeezenet-1.1"), 16), tiny_board(10), []
    found = compare_strategies(network, board, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, len(STRATEGIES)) for k in range(1, len(STRATEGIES) + 1)]
    results = {result.strategy: result for result in found}
    mapper = Mapper(network, board)
    squares = {(p, p): solve(mapper.decision(p, p).problem).objective for p in range(1, 4)}
    assert results["square array"].latency_cycles == min(squares.values())
    assert squares[results["square array"].array] == min(squares.values())
