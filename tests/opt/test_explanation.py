"""Explanations: the total of every alternative is the optimum with that choice fixed, by an unrelated method."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from dynamap_models.zoo import NetworkBuilder, build_model
from dynamap_opt.board import Board, load_board
from dynamap_opt.errors import DynamapError
from dynamap_opt.explanation import explain_plan, mapper_of
from dynamap_opt.mapping import map_network
from dynamap_opt.plan import PlanError
from dynamap_opt.study import truncate
from dynamap_solvers import FORBIDDEN, Status, solve


def coupled_network():
    """Layouts whose graph is K4, which no reduction takes apart."""
    net = NetworkBuilder("coupled")
    maps = [net.conv("m0", net.input("image", 3, 6, 6), 4, 1)]
    for index in range(1, 4):
        pieces = [net.conv(f"m{index}p{k}", source, 4, 3, pads=1) for k, source in enumerate(maps)]
        maps.append(net.concat(f"m{index}", pieces))
    return net.build(net.conv("left", maps[-1], 4, 3, pads=1), net.conv("right", maps[-1], 4, 3, pads=1))


def forced(decision, stage, choice, method):
    """The optimum with one choice fixed: everything else of that stage forbidden, solved by ``method``."""
    unary = list(decision.problem.unary)
    only = np.full_like(unary[stage], FORBIDDEN)
    only[choice] = unary[stage][choice]
    unary[stage] = only
    solution = solve(decision.problem.replace(unary=tuple(unary)), method=method)
    if solution.status is Status.INFEASIBLE:
        return None
    assert solution.status is Status.OPTIMAL
    return solution.objective


@pytest.mark.parametrize(
    ("network", "cost", "stages"),
    [
        (build_model("squeezenet-1.1"), "overlay", [0, 3, 7]),
        (truncate(build_model("googlenet"), 12), "overlay", [0, 2, 5]),
        (truncate(build_model("googlenet"), 12), "paper", [0, 1, 2, 3, 5]),
        (truncate(build_model("resnet-18"), 8), "paper", [0, 2, 4]),
    ],
    ids=["squeezenet", "googlenet", "googlenet-paper", "resnet-paper"],
)
def test_each_alternative_is_the_optimum_with_that_choice_fixed(network, cost, stages):
    plan = map_network(network, load_board("pynq-z2"), cost=cost, array=(13, 15))
    mapper = mapper_of(plan, network)
    decision = mapper.decision(*plan.array)
    explained = explain_plan(plan, mapper)
    assert [layer.name for layer in explained] == [layer.name for layer in plan.layers]
    for stage in stages:
        layer, table = explained[stage], decision.tables.stages[stage]
        found = {(a.algorithm, a.dataflow, a.output_layout): a.total_cycles for a in layer.choices}
        assert len(found) == len(table.choices)
        for index, (algorithm, dataflow, layout) in enumerate(table.choices):
            key = (
                (table.stage.kind.value, None, layout.label)
                if algorithm is None
                else (algorithm.name, dataflow.value, layout.label)
            )
            assert found[key] == forced(decision, stage, index, "ilp-cbc" if index % 8 else "ilp-highs")


@pytest.mark.parametrize("cost", ["overlay", "paper"])
@pytest.mark.parametrize("name", ["googlenet", "mobilenet-v2"])
def test_what_was_chosen_costs_the_plan_and_nothing_is_better(name, cost):
    network = truncate(build_model(name), 40)
    plan = map_network(network, load_board("ecp5-85k"), cost=cost, array=(11, 12), allow_host=True)
    for layer, row in zip(explain_plan(plan, mapper_of(plan, network)), plan.layers, strict=True):
        assert layer.chosen.total_cycles == plan.latency_cycles
        chosen = (layer.chosen.algorithm, layer.chosen.dataflow, layer.chosen.output_layout)
        assert chosen == (row.algorithm, row.dataflow, row.output_layout)
        assert layer.choices[0] is layer.chosen
        totals = [choice.total_cycles for choice in layer.choices]
        known = [total for total in totals if total is not None]
        assert known == sorted(known)
        assert totals[len(known) :] == [None] * (len(totals) - len(known))


def test_layouts_that_are_not_series_parallel_are_explained_by_integer_programming():
    network = coupled_network()
    board = Board(**(load_board("ecp5-85k").as_dict() | {"array_dsp": 4}))
    plan = map_network(network, board, algorithms=["im2col", "winograd-f2-2d"], dataflows=["NS"])
    mapper = mapper_of(plan, network)
    decision = mapper.decision(*plan.array)
    (layer,) = explain_plan(plan, mapper, layer="m2p0")
    stage = [row.name for row in plan.layers].index("m2p0")
    expected = [forced(decision, stage, k, "ilp-cbc") for k in range(len(layer.choices))]
    assert sorted(a.total_cycles for a in layer.choices) == sorted(expected)
    assert layer.chosen.total_cycles == plan.latency_cycles == min(expected)


@pytest.fixture(scope="module")
def squeezed():
    network = build_model("squeezenet-1.1")
    plan = map_network(network, load_board("ecp5-85k"), array=(11, 12))
    return plan, mapper_of(plan, network)


def test_an_unknown_layer_is_a_sentence_with_the_layers_there_are(squeezed):
    plan, mapper = squeezed
    with pytest.raises(DynamapError, match=r"no layer 'conv99'; its layers are conv1, ") as caught:
        explain_plan(plan, mapper, layer="conv99")
    assert "\n" not in str(caught.value)


def test_one_layer_may_be_asked_for_by_name(squeezed):
    plan, mapper = squeezed
    for row in plan.layers[::7]:
        (layer,) = explain_plan(plan, mapper, layer=row.name)
        assert layer.name == row.name
        assert layer.chosen in layer.choices


def test_progress_counts_the_stages(squeezed):
    plan, mapper = squeezed
    seen = []
    explain_plan(plan, mapper, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k + 1, len(plan.layers)) for k in range(len(plan.layers))]


def test_plans_that_do_not_fit_their_network_are_refused(squeezed):
    plan, mapper = squeezed
    replaced = msgspec.structs.replace
    cases = [
        (replaced(plan, layers=plan.layers[:3]), "not the network's stages"),
        (replaced(plan, layers=plan.layers[::-1]), "not the network's stages"),
        (replaced(plan, array=(10**30, 1)), "does not fit"),
        (replaced(plan, layers=(replaced(plan.layers[0], algorithm="fft"), *plan.layers[1:])), "does not exist"),
    ]
    for broken, sentence in cases:
        with pytest.raises(DynamapError, match=sentence):
            explain_plan(broken, mapper)
    assert issubclass(PlanError, DynamapError)
