"""The mapping problem: unrelated exact methods and enumeration agree on its optimum, whatever the graph."""

from __future__ import annotations

import itertools
import random

import networkx as nx
import numpy as np
import pytest

from dynamap_models.zoo import NetworkBuilder, build_model, model_names
from dynamap_models.zoo.builder import RELU
from dynamap_opt.board import board_names, load_board
from dynamap_opt.costs import ShapeBatch
from dynamap_opt.errors import DynamapError, NoMappingError
from dynamap_opt.exploration import explore_shapes
from dynamap_opt.layouts import NHWC
from dynamap_opt.mapper import Mapper
from dynamap_opt.mapping import make_plan, map_network
from dynamap_opt.program import StageKind
from dynamap_opt.shape_bounds import ShapeBounds
from dynamap_opt.study import truncate
from dynamap_rtl import Dataflow
from dynamap_solvers import FORBIDDEN, NotSeriesParallelError, Status, check_reduction, solve

INDEPENDENT = ("series-parallel", "ilp-highs", "ilp-cbc")


def tiny_board(elements, **changes):
    """The ECP5 with room for few elements, so that every shape can be solved one by one."""
    fields = load_board("ecp5-85k").as_dict() | {"name": "tiny", "array_dsp": elements} | changes
    return type(load_board("ecp5-85k"))(**fields)


def enumerated_optimum(mapper, p1, p2):
    """The least latency by trying every layout of every buffer, asking the cost model alone.

    Stages only meet in the layouts of the buffers between them, so that with all of those fixed each stage takes its
    own cheapest algorithm and dataflow. No table, no selection problem and no solver of the package takes part.
    """
    program, model = mapper.program, mapper.model
    flows = [Dataflow[name] for name in mapper.settings.dataflows]
    group_of = {name: tensor.group for name, tensor in program.tensors.items()}
    layouts = {}
    for group, readers in program.readers.items():
        members = [tensor for tensor in program.tensors.values() if tensor.group == group]
        fixed = any(tensor.fixed for tensor in members)
        fixed |= model.plain_inputs and any(tensor.name in mapper.network.inputs for tensor in members)
        options = [model.accepted_layouts(stage, position) for stage, position in readers]
        layouts[group] = [NHWC] if fixed or not options else [o for o in options[0] if all(o in s for s in options)]

    def stage_cycles(stage, in_layout, out_layout):
        if stage.kind is StageKind.HOST:
            return 0
        costs = []
        for algorithm in model.algorithms(stage) if stage.kind is StageKind.ARRAY else (None,):
            for flow in flows:
                cycles = model.cycles(stage, algorithm, flow, in_layout, out_layout, ShapeBatch.of(p1, p2))
                if cycles is not None and cycles.total[0] < FORBIDDEN:
                    costs.append(int(cycles.total[0]))
        return min(costs, default=None)

    best = None
    known = {}
    names = list(layouts)
    for chosen in itertools.product(*layouts.values()):
        layout_of = dict(zip(names, chosen, strict=True))
        total = 0
        for stage in program.stages:
            key = (stage.name, layout_of[group_of[stage.inputs[0]]], layout_of[group_of[stage.output]])
            if key not in known:
                known[key] = stage_cycles(stage, *key[1:])
            if known[key] is None:
                break
            total += known[key]
        else:
            best = total if best is None else min(best, total)
    return best


def coupled_network(kernel=3):
    """Four buffers a, b, c, d, each pair joined by a convolution: their layouts' graph is K4.

    c and d are concatenations with several writers, and every buffer has readers of one geometry, so that all of them
    accept the same layouts.
    """
    net = NetworkBuilder("coupled")
    pads = kernel // 2

    def conv(name, source):
        return net.conv(name, source, 4, kernel, pads=pads)

    a = net.conv("a", net.input("image", 3, 6, 5), 4, 1, activation=RELU)
    b = conv("b", a)
    c = net.concat("c", [conv("ac", a), conv("bc", b)])
    d = net.concat("d", [conv("ad", a), conv("bd", b), conv("cd", c)])
    return net.build(conv("left", d), conv("right", d))


def random_network(seed):
    """A small network of convolutions, pools, sums and concatenations, wired at random."""
    rng = random.Random(seed)
    net = NetworkBuilder(f"random-{seed}")
    size, channels = rng.choice([4, 5, 7]), rng.choice([2, 4])
    maps = [net.conv("stem", net.input("image", 3, size, size), channels, rng.choice([1, 3]), pads="same")]
    for index in range(rng.randint(3, 7)):
        name, recent = f"n{index}", maps[-4:]
        match rng.randrange(6):
            case 0:
                maps.append(net.max_pool(name, rng.choice(recent), 3, stride=1, pads=1))
            case 1:
                first = net.conv(f"{name}c", rng.choice(recent), channels, 3, pads="same")
                maps.append(net.add(name, first, rng.choice(recent)))
            case 2:
                joined = net.concat(f"{name}j", [rng.choice(recent), net.conv(f"{name}c", rng.choice(recent), 4, 1)])
                maps.append(net.conv(name, joined, channels, 3, pads="same"))
            case _:
                kernel = rng.choice([1, 3, 3, (1, 3), (3, 1), 5])
                maps.append(net.conv(name, rng.choice(recent), channels, kernel, pads="same"))
    read = {source for layer in net.build(maps[-1]).layers for source in layer.inputs}
    return net.build(*[name for name in maps if name not in read])


def optimum(problem, method):
    solution = solve(problem, method=method)
    assert solution.status is Status.OPTIMAL
    assert solution.bound == solution.objective == problem.evaluate(solution.assignment)
    return solution.objective


def treewidth_at_most_two(problem):
    """By networkx, with no code of ours: eliminating least degrees first never meets a vertex of degree three."""
    graph = nx.Graph(problem.edges)
    return not graph or nx.algorithms.approximation.treewidth_min_degree(graph)[0] <= 2


@pytest.mark.parametrize(
    ("name", "board"),
    [
        ("resnet-18", "pynq-z2"),
        *(("squeezenet-1.1", board) for board in board_names()[::3]),
        ("googlenet", "alveo-u200"),
    ],
)
def test_three_independent_methods_and_the_exploration_agree(name, board):
    mapper = Mapper(build_model(name), load_board(board), allow_host=True)
    exploration = mapper.explore(threads=1)
    problem = mapper.decision(*exploration.best_shape).problem
    found = {method: optimum(problem, method) for method in INDEPENDENT}
    assert set(found.values()) == {int(exploration.latency_cycles[exploration.best])}


@pytest.mark.parametrize("board", ["zcu102"])
@pytest.mark.parametrize("name", model_names())
def test_three_independent_methods_and_the_exploration_agree_under_published_costs(name, board):
    mapper = Mapper(build_model(name), load_board(board), cost="paper", allow_host=True)
    exploration = mapper.explore(threads=1)
    problem = mapper.decision(*exploration.best_shape).problem
    found = {method: optimum(problem, method) for method in INDEPENDENT}
    assert set(found.values()) == {int(exploration.latency_cycles[exploration.best])}


@pytest.mark.parametrize("cost", ["paper"])
@pytest.mark.parametrize("name", model_names())
def test_zoo_networks_are_mapped_to_proven_optimality_and_their_layouts_couple_series_parallel(name, cost):
    mapper = Mapper(build_model(name), load_board("ecp5-85k"), cost=cost, allow_host=True)
    problem = mapper.decision(12, 11).problem
    assert treewidth_at_most_two(problem)
    solution = solve(problem)
    assert solution.status is Status.OPTIMAL
    check_reduction(problem, solution.certificate, bound=solution.objective)


@pytest.mark.parametrize("cost", ["overlay", "paper"])
@pytest.mark.parametrize(
    ("name", "layers"), [("googlenet", 9), ("vgg-16", 5), ("squeezenet-1.1", 9), ("nasnet-a-mobile", 12), ("u-net", 6)]
)
def test_enumeration_from_the_cost_model_alone_agrees_on_truncated_networks(name, layers, cost):
    mapper = Mapper(truncate(build_model(name), layers), load_board("pynq-z2"), cost=cost, allow_host=True)
    for p1, p2 in [(16, 12), (7, 27)]:
        assert optimum(mapper.decision(p1, p2).problem, "auto") == enumerated_optimum(mapper, p1, p2)


@pytest.mark.parametrize(
    ("name", "layers", "algorithms", "dataflows"),
    [
        ("vgg-16", 4, ["im2col", "winograd-f4-2d"], ["NS", "WS"]),
        ("googlenet", 5, ["im2col", "kn2row", "winograd-f2-2d"], ["NS", "IS"]),
        ("googlenet", 9, ["im2col", "winograd-f2-2d"], ["WS"]),
        ("mobilenet-v1", 7, ["im2col", "depthwise"], ["NS", "WS"]),
        ("resnet-18", 6, ["im2col", "kn2row"], ["NS", "WS"]),
    ],
)
def test_brute_force_over_the_selection_problem_agrees_on_truncated_networks(name, layers, algorithms, dataflows):
    network = truncate(build_model(name), layers)
    mapper = Mapper(network, load_board("ecp5-85k"), algorithms=algorithms, dataflows=dataflows)
    problem = mapper.decision(9, 13).problem
    assert len({optimum(problem, method) for method in ("brute-force", "auto", "ilp-highs")}) == 1
    assert optimum(problem, "brute-force") == enumerated_optimum(mapper, 9, 13)


@pytest.mark.parametrize(
    ("cost", "algorithms"),
    [("paper", ["im2col", "kn2row", "winograd-f2-2d"]), ("paper", ["im2col", "winograd-f2-2d"])],
)
def test_layouts_that_are_not_series_parallel_are_still_solved_exactly(cost, algorithms):
    mapper = Mapper(coupled_network(), tiny_board(24), cost=cost, algorithms=algorithms, dataflows=["NS"])
    problem = mapper.decision(4, 5).problem
    assert not treewidth_at_most_two(problem)
    with pytest.raises(NotSeriesParallelError):
        solve(problem, method="series-parallel")
    found = {method: optimum(problem, method) for method in ("auto", "ilp-highs", "ilp-cbc")}
    assert set(found.values()) == {enumerated_optimum(mapper, 4, 5)}


def test_exploration_by_bounds_finds_what_solving_every_shape_finds():
    mapper = Mapper(coupled_network(), tiny_board(9), cost="paper", algorithms=["im2col", "winograd"])
    exploration = mapper.explore()
    assert not exploration.exact_everywhere
    shapes = list(zip(exploration.shapes.p1.tolist(), exploration.shapes.p2.tolist(), strict=True))
    exact = [enumerated_optimum(mapper, *shape) for shape in shapes]
    best = min(range(len(shapes)), key=lambda k: (exact[k], shapes[k][0] * shapes[k][1], -shapes[k][0]))
    assert exploration.best == best
    assert exploration.latency_cycles[best] == exact[best]
    assert all(exploration.latency_cycles <= exact)
    plan = make_plan(mapper, exploration)
    assert (plan.status, plan.latency_cycles, plan.lower_bound_cycles) == ("optimal", exact[best], exact[best])
    assert plan.pareto == ()  # lower bounds are no latencies
    for row in plan.next_best:
        assert row.latency_cycles == exact[shapes.index(row.array)]
    assert "lower bound" in plan.proof.exploration


def test_exploration_by_bounds_is_exact_however_weak_or_misleading_the_bound(monkeypatch):
    mapper = Mapper(coupled_network(), tiny_board(6), cost="paper", algorithms=["im2col", "winograd"])
    shapes = mapper.shapes()
    exact = [enumerated_optimum(mapper, *shape) for shape in zip(shapes.p1.tolist(), shapes.p2.tolist(), strict=True)]
    best = mapper.explore().best
    misleading = np.full(len(shapes), min(exact) - len(shapes)) - np.argsort(np.argsort(exact))  # the worst come first
    for given in (np.zeros(len(shapes), dtype=np.int64), misleading):

        class Given(ShapeBounds):
            sums = given

            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                self.total = self.sums.copy()

        monkeypatch.setattr("dynamap_opt.exploration.ShapeBounds", Given)
        found = mapper.explore()
        assert found.best == best
        assert found.latency_cycles.tolist() == exact


def test_exploration_by_bounds_solves_only_the_shapes_it_must(monkeypatch):
    solved = []

    def counting(problem, **options):
        solved.append(problem.name)
        return solve(problem, **options)

    monkeypatch.setattr("dynamap_opt.exploration.solve", counting)
    mapper = Mapper(coupled_network(), tiny_board(24), cost="paper", algorithms=["im2col", "winograd"])
    exploration = mapper.explore()
    assert 0 < len(solved) < len(exploration.shapes) / 2
    assert len(set(solved)) == len(solved)


@pytest.mark.parametrize("seed", range(8))
def test_batched_exploration_equals_solving_and_enumerating_each_shape(seed):
    cost = ("overlay", "paper")[seed % 2]
    mapper = Mapper(random_network(seed), tiny_board(6), cost=cost, algorithms=["im2col", "kn2row", "winograd-f2-2d"])
    exploration = mapper.explore(threads=1)
    for index, shape in enumerate(zip(exploration.shapes.p1.tolist(), exploration.shapes.p2.tolist(), strict=True)):
        if exploration.exact is None or exploration.exact[index]:
            exact = optimum(mapper.decision(*shape).problem, "auto")
            assert exploration.latency_cycles[index] == exact, shape
            if index % 5 == 0:
                assert enumerated_optimum(mapper, *shape) == exact
                assert optimum(mapper.decision(*shape).problem, "ilp-cbc") == exact


def test_a_restricted_choice_is_never_better_and_every_single_choice_is_possible():
    network, board = truncate(build_model("googlenet"), 40), load_board("zcu102")
    least = solve(Mapper(network, board).decision(40, 40).problem).objective
    for algorithms, dataflows in [(["im2col"], None), (["im2col", "kn2row"], ["WS"]), (None, ["IS"]), (None, ["NS"])]:
        mapper = Mapper(network, board, algorithms=algorithms, dataflows=dataflows)
        plan = make_plan(mapper, mapper.explore((40, 40)))
        assert plan.latency_cycles >= least
        used = {layer.algorithm for layer in plan.layers if layer.dataflow}
        assert algorithms is None or used <= set(algorithms)
        assert dataflows is None or {layer.dataflow for layer in plan.layers} - {None} <= set(dataflows)


def test_the_plan_of_every_exact_method_has_the_same_latency():
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("pynq-z2"))
    exploration = mapper.explore((10, 10))
    plans = [make_plan(mapper, exploration, method=method) for method in ("auto", *INDEPENDENT, "ilp")]
    assert len({plan.latency_cycles for plan in plans}) == 1
    assert all(plan.latency_cycles == sum(layer.cycles for layer in plan.layers) for plan in plans)
    assert {plan.status for plan in plans} == {"optimal"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"algorithms": ["fft"]}, "unknown algorithm 'fft'"),
        ({"algorithms": []}, "no algorithm is left"),
        ({"algorithms": ["winograd"]}, "none of the algorithms winograd-"),
        ({"dataflows": ["OS"]}, "unknown dataflow 'OS'"),
        ({"dataflows": []}, "no dataflow is left"),
        ({"cost": "magic"}, "unknown cost preset 'magic'"),
        ({"macs_per_dsp": 99}, "8-bit MACs per DSP slice"),
        ({"array": (12, 12)}, "array 12x12 does not fit board 'ecp5-85k'"),
        ({"array": (0, 12)}, "does not fit"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(options, sentence):
    with pytest.raises(DynamapError, match=sentence) as caught:
        map_network(build_model("googlenet"), load_board("ecp5-85k"), **options)
    assert "\n" not in str(caught.value)


def test_a_method_that_finds_nothing_in_time_is_told_apart_from_bad_input():
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("ecp5-85k"))
    exploration = mapper.explore((4, 4))
    with pytest.raises(NoMappingError, match="more time"):
        make_plan(mapper, exploration, method="ilp", time_limit=1e-9)


def test_a_network_whose_only_convolutions_run_on_the_host_is_refused():
    net = NetworkBuilder("hosted")
    network = net.build(net.conv_transpose("up", net.input("image", 3, 8, 8), 4, 3, stride=1))
    with pytest.raises(DynamapError, match="all are left to the host"):
        map_network(network, load_board("ecp5-85k"), allow_host=True)


def test_shapes_may_be_explored_in_any_order():
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("ecp5-85k"))
    shapes = mapper.shapes()
    order = np.random.default_rng(0).permutation(len(shapes))
    shuffled = explore_shapes(mapper.tables, type(shapes)(shapes.p1[order], shapes.p2[order]))
    straight = explore_shapes(mapper.tables, shapes)
    assert shuffled.latency_cycles[shuffled.best] == straight.latency_cycles[straight.best]
    assert shuffled.best_shape == straight.best_shape
