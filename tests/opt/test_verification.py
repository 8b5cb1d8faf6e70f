"""Verification: fresh plans hold, and whatever is changed in one is noticed."""

from __future__ import annotations

import json

import msgspec
import pytest

from dynamap_models.zoo import NetworkBuilder, build_model
from dynamap_opt.board import Board, load_board
from dynamap_opt.explanation import mapper_of
from dynamap_opt.mapper import Mapper
from dynamap_opt.mapping import make_plan, map_network
from dynamap_opt.plan import PlanError, parse_plan
from dynamap_opt.study import truncate
from dynamap_opt.verification import verify_plan


@pytest.fixture(scope="module")
def network():
    return build_model("squeezenet-1.1")


@pytest.fixture(scope="module")
def plan(network):
    return map_network(network, load_board("pynq-z2"))


@pytest.fixture(scope="module")
def mapper(plan, network):
    return mapper_of(plan, network)


def changed(plan, change):
    """The plan after ``change`` has been done to its JSON document."""
    document = json.loads(plan.to_json())
    change(document)
    return parse_plan(json.dumps(document).encode())


def first(document, **wanted):
    """The first layer with these values."""
    return next(row for row in document["layers"] if all(row[key] == value for key, value in wanted.items()))


@pytest.mark.parametrize(
    ("name", "layers", "cost"),
    [
        ("resnet-18", 20, "overlay"),
        *((name, None, "paper") for name in ("googlenet", "vgg-16", "nasnet-a-mobile")),
    ],
)
def test_fresh_plans_hold_in_both_presets(name, layers, cost):
    network = build_model(name)
    if layers is not None:
        network = truncate(network, layers)
    plan = map_network(network, load_board("ecp5-85k"), cost=cost, allow_host=True)
    result = verify_plan(plan, mapper_of(plan, network), explore=True)
    assert result.problems == ()
    assert result.holds
    assert result.proof_checked
    assert result.latency_cycles == plan.latency_cycles


@pytest.mark.parametrize("method", ["ilp-highs", "ilp-cbc", "series-parallel"])
def test_plans_of_every_method_hold(mapper, method):
    plan = make_plan(mapper, mapper.explore((10, 14)), method=method, array=(10, 14))
    assert verify_plan(plan, mapper, explore=True).holds


def test_a_plan_over_layouts_that_are_not_series_parallel_holds():
    net = NetworkBuilder("coupled")
    maps = [net.conv("m0", net.input("image", 3, 6, 6), 4, 1)]
    for index in range(1, 4):
        pieces = [net.conv(f"m{index}p{k}", source, 4, 3, pads=1) for k, source in enumerate(maps)]
        maps.append(net.concat(f"m{index}", pieces))
    network = net.build(net.conv("left", maps[-1], 4, 3, pads=1), net.conv("right", maps[-1], 4, 3, pads=1))
    board = Board(**(load_board("ecp5-85k").as_dict() | {"array_dsp": 6}))
    plan = map_network(network, board, algorithms=["im2col", "winograd"], cost="paper")
    assert plan.proof.reductions == ()
    assert verify_plan(plan, mapper_of(plan, network), explore=True).problems == ()
    slower = changed(plan, lambda p: p.update(latency_cycles=p["latency_cycles"] + 1))
    assert not verify_plan(slower, mapper_of(plan, network)).holds


def test_an_input_first_read_as_a_second_operand_keeps_the_layout_its_convolution_chose():
    net = NetworkBuilder("two-inputs")
    x, y = net.input("x", 8, 8, 8), net.input("y", 8, 8, 8)
    product = net.multiply("product", x, y)
    joined = net.concat("joined", [net.conv("d", y, 8, 3, pads=1), net.conv("e", product, 8, 3, pads=1)])
    network = net.build(net.conv("out", joined, 4, 3, pads=1))
    for cost in ("overlay", "paper"):
        plan = map_network(network, load_board("ecp5-85k"), cost=cost)
        assert verify_plan(plan, mapper_of(plan, network)).problems == ()


TAMPERING = {
    "a layer's cycles": lambda p: p["layers"][3].update(cycles=p["layers"][3]["cycles"] - 1),
    "a layer's load": lambda p: p["layers"][3].update(load_cycles=1),
    "a layer's compute": lambda p: p["layers"][3].update(compute_cycles=1),
    "a layer's store": lambda p: p["layers"][3].update(store_cycles=1),
    "cycles moved between layers": lambda p: (
        p["layers"][0].update(cycles=p["layers"][0]["cycles"] - 5),
        p["layers"][1].update(cycles=p["layers"][1]["cycles"] + 5),
    ),
    "an algorithm": lambda p: first(p, algorithm="winograd-f4-2d").update(algorithm="im2col"),
    "an illegal algorithm": lambda p: first(p, algorithm="im2col").update(algorithm="winograd-f2-2d"),
    "an unknown algorithm": lambda p: p["layers"][0].update(algorithm="fft"),
    "a dataflow": lambda p: p["layers"][0].update(dataflow={"NS": "WS"}.get(p["layers"][0]["dataflow"], "NS")),
    "an unknown dataflow": lambda p: p["layers"][0].update(dataflow="OS"),
    "no dataflow": lambda p: p["layers"][0].update(dataflow=None),
    "a pool's dataflow": lambda p: first(p, algorithm="vector").update(dataflow="NS"),
    "a pool's unknown dataflow": lambda p: first(p, algorithm="vector").update(dataflow="OS"),
    "a pool's algorithm": lambda p: first(p, algorithm="vector").update(algorithm="host"),
    "an output layout": lambda p: first(p, output_layout="nhwc", algorithm="im2col").update(output_layout="tiles"),
    "an input layout": lambda p: p["layers"][2].update(input_layout="toeplitz-9x9"),
    "an operation": lambda p: p["layers"][0].update(operation="conv 1x1"),
    "an input shape": lambda p: p["layers"][0].update(input_shape=[1, 2, 3]),
    "an output shape": lambda p: p["layers"][0].update(output_shape=[1, 2, 3]),
    "multiply-accumulates": lambda p: p["layers"][0].update(macs=1),
    "a utilization": lambda p: p["layers"][0].update(utilization=1.0),
    "what bounds a layer": lambda p: first(p, bound_by="compute").update(bound_by="store"),
    "a bound that is no part": lambda p: p["layers"][0].update(bound_by="magic"),
    "a layer's name": lambda p: p["layers"][0].update(name="other"),
    "a layer too few": lambda p: p["layers"].pop(),
    "a layer too many": lambda p: p["layers"].append(p["layers"][-1]),
    "layers in another order": lambda p: p["layers"].reverse(),
    "the array": lambda p: p.update(array=[p["array"][1] + 1, p["array"][0] - 1]),
    "an array that does not fit": lambda p: p.update(array=[1000, 1000]),
    "an enormous array": lambda p: p.update(array=[10**30, 10**30]),
    "the total": lambda p: p.update(latency_cycles=p["latency_cycles"] - 1),
    "the total and the bound": lambda p: p.update(
        latency_cycles=p["latency_cycles"] - 1, lower_bound_cycles=p["latency_cycles"] - 1
    ),
    "the seconds": lambda p: p.update(latency_s=p["latency_s"] * 0.99),
    "a bound too high": lambda p: p.update(lower_bound_cycles=p["lower_bound_cycles"] + 1),
    "a bound too low": lambda p: p.update(lower_bound_cycles=p["lower_bound_cycles"] - 1),
    "a status that does not exist": lambda p: p.update(status="splendid"),
    "a status that claims less than the proof": lambda p: p.update(status="feasible"),
    "a stop reason": lambda p: p["proof"].update(stop_reason="time-limit"),
    "a method": lambda p: p.update(method="magic"),
    "the number of shapes": lambda p: p.update(shapes_explored=p["shapes_explored"] + 1),
    "the array asked for": lambda p: p["settings"].update(array=[1, 1]),
    "shapes left out": lambda p: p["settings"].update(array=p["array"]),
    "algorithms left out": lambda p: p["settings"].update(algorithms=["im2col"]),
    "dataflows left out": lambda p: p["settings"].update(dataflows=["IS"]),
    "the cost preset": lambda p: p["settings"].update(cost="paper"),
    "the overlay": lambda p: p["overlay"].update(dram_bytes_per_cycle=1),
    "the board's bandwidth": lambda p: p["board"].update(dram_bytes_per_second=1e9),
    "the board's clock": lambda p: p["board"].update(clock_hz=3e8),
    "the model's name": lambda p: p["model"].update(name="other"),
    "the model's work": lambda p: p["model"].update(macs=1),
    "the model's parameters": lambda p: p["model"].update(parameters=1),
    "host operators": lambda p: p.update(host_operators=["conv1"]),
    "a reduction's rule": lambda p: p["proof"]["reductions"][0].__setitem__(0, "RII"),
    "a reduction's unknown rule": lambda p: p["proof"]["reductions"][0].__setitem__(0, "RX"),
    "a reduction's vertex": lambda p: p["proof"]["reductions"][0].__setitem__(1, 10**6),
    "a reduction's neighbours": lambda p: p["proof"]["reductions"][0].__setitem__(2, [0, 1, 2]),
    "a reduction's tables": lambda p: p["proof"]["reductions"][0].__setitem__(3, [10**9]),
    "a reduction too few": lambda p: p["proof"]["reductions"].pop(),
    "a reduction twice": lambda p: p["proof"]["reductions"].append(p["proof"]["reductions"][0]),
    "a choice struck out for nothing": lambda p: p["proof"]["dropped"].append([0, 0]),
    "a choice that does not exist": lambda p: p["proof"]["dropped"].append([0, 10**6]),
    "the number of variables": lambda p: p["proof"].update(variables=1),
    "the number of edges": lambda p: p["proof"].update(edges=0),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_noticed(plan, network, what):
    tampered = changed(plan, TAMPERING[what])
    assert tampered != plan
    result = verify_plan(tampered, mapper_of(tampered, network))
    assert result.problems
    assert not result.holds
    assert all("\n" not in problem for problem in result.problems)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["pareto"].pop(),
        lambda p: p["pareto"][0].update(latency_cycles=1),
        lambda p: p["next_best"].pop(0),
        lambda p: p["next_best"][0].update(array=[1, 1]),
    ],
)
def test_tampering_with_the_other_shapes_is_noticed_by_exploring_again(network, change):
    plan = map_network(network, load_board("ecp5-85k"), cost="paper")
    tampered, mapper = changed(plan, change), mapper_of(plan, network)
    assert verify_plan(tampered, mapper).holds
    assert not verify_plan(tampered, mapper, explore=True).holds


def test_a_worse_array_presented_as_the_optimum_is_noticed_by_exploring_again(plan, network):
    worse = map_network(network, load_board("pynq-z2"), array=(1, 7))
    assert worse.latency_cycles > plan.latency_cycles
    lie = msgspec.structs.replace(
        worse,
        settings=msgspec.structs.replace(worse.settings, array=None),
        shapes_explored=plan.shapes_explored,
    )
    mapper = mapper_of(lie, network)
    assert verify_plan(lie, mapper).holds  # the mapping of that array is optimal
    result = verify_plan(lie, mapper, explore=True)
    best = f"array {plan.array[0]}x{plan.array[1]} takes only {plan.latency_cycles} cycles"
    assert best in result.problems
    assert not result.proof_checked


def test_a_worse_mapping_presented_as_the_optimum_is_noticed(plan, network):
    """Every row is priced right, but another choice of dataflows is faster."""
    slow = map_network(network, load_board("pynq-z2"), array=plan.array, dataflows=["IS"])
    lie = msgspec.structs.replace(slow, settings=msgspec.structs.replace(plan.settings, array=plan.array))
    result = verify_plan(lie, mapper_of(lie, network))
    assert any("certificate" in problem or "optimum" in problem for problem in result.problems)
    bare = msgspec.structs.replace(lie, proof=msgspec.structs.replace(lie.proof, reductions=(), dropped=()))
    assert any("optimum is" in problem for problem in verify_plan(bare, mapper_of(bare, network)).problems)


def test_a_feasible_plan_holds_without_a_proof(plan, network):
    slow = map_network(network, load_board("pynq-z2"), array=plan.array, algorithms=["im2col"])
    honest = msgspec.structs.replace(
        slow, status="feasible", proof=msgspec.structs.replace(slow.proof, stop_reason="time-limit")
    )
    result = verify_plan(honest, mapper_of(honest, network))
    assert result.holds
    assert not result.proof_checked


def test_the_plan_of_another_network_is_refused(plan):
    for other in (build_model("googlenet"), build_model("resnet-18")):
        with pytest.raises(PlanError, match="another structure of 'squeezenet"):
            mapper_of(plan, other)


@pytest.mark.parametrize("change", [lambda b: b.pop("clock_hz"), lambda b: b.update(extra=1)])
def test_a_plan_whose_board_is_none_is_refused(plan, network, change):
    with pytest.raises(PlanError, match="board lacks a field or has an unknown one"):
        mapper_of(changed(plan, lambda p: change(p["board"])), network)


def test_verification_uses_neither_tables_nor_solver_to_price(plan, network, monkeypatch):
    mapper = Mapper(network, load_board("pynq-z2"))
    honest = msgspec.structs.replace(
        plan, status="feasible", proof=msgspec.structs.replace(plan.proof, stop_reason="time-limit")
    )

    def forbidden(*_):
        raise AssertionError("not to be used")

    monkeypatch.setattr("dynamap_opt.tables.StageTable.latency", forbidden)
    monkeypatch.setattr("dynamap_opt.tables.StageTable.best_latency", forbidden)
    monkeypatch.setattr("dynamap_opt.verification.solve", forbidden)
    assert verify_plan(honest, mapper).latency_cycles == plan.latency_cycles
