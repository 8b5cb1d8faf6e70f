"""``dynamap map``: every option, and what scripts may rely on."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from onnx import helper

from dynamap_models.zoo import build_model
from dynamap_opt import ALGORITHMS, Dataflow, load_plan
from dynamap_opt.board import load_board
from dynamap_opt.mapper import Mapper
from dynamap_solvers import read_iopddl, solve

NAME = "squeezenet-1.1"
SMALL = ("--board", "ecp5-85k", "--array", "9x13")

INTEGERS = ("latency_cycles", "lower_bound_cycles", "shapes_explored")
LAYER_INTEGERS = ("cycles", "load_cycles", "compute_cycles", "store_cycles")


def check_keys(document):
    """The keys of the interface, with their types."""
    assert document["schema"] == "dynamap/plan/1"
    assert document["status"] == "optimal"
    assert type(document["method"]) is str
    assert type(document["latency_s"]) is float
    for key in INTEGERS:
        assert type(document[key]) is int, key
    assert [type(extent) for extent in document["array"]] == [int, int]
    assert document["layers"]
    for layer in document["layers"]:
        for key in LAYER_INTEGERS:
            assert type(layer[key]) is int, key
        assert type(layer["name"]) is str
        assert type(layer["output_layout"]) is str
        assert layer["algorithm"] in {*ALGORITHMS, "vector", "host"}
        assert layer["dataflow"] in {*Dataflow.__members__, None}
        assert 0 <= layer["utilization"] <= 1
    assert sum(layer["cycles"] for layer in document["layers"]) == document["latency_cycles"]


@pytest.mark.parametrize("cost", ["overlay", "paper"])
def test_a_zoo_network_is_explored_over_all_arrays(run, cost):
    outcome = run("map", NAME, "--board", "ecp5-85k", "--cost", cost, "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    check_keys(document)
    every = sum(141 // rows for rows in range(1, 142))
    mapper = Mapper(build_model(NAME), load_board("ecp5-85k"), cost=cost)
    assert document["shapes_explored"] == len(mapper.shapes()) <= every
    assert cost == "overlay" or document["shapes_explored"] == every
    assert document["settings"]["cost"] == cost
    assert document["lower_bound_cycles"] == document["latency_cycles"]


def test_an_onnx_file_is_mapped(run, good_model):
    outcome = run("map", good_model, "--board", "ecp5-85k", "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    check_keys(document)
    assert [layer["name"] for layer in document["layers"]] == ["first", "second", "pool", "head"]


def test_an_array_may_be_fixed(run):
    document = run("map", NAME, *SMALL, "--json", "-").document()
    check_keys(document)
    assert document["array"] == [9, 13]
    assert document["shapes_explored"] == 1


def test_a_fixed_array_is_never_better_than_the_explored_one(run):
    best = run("map", NAME, "--board", "ecp5-85k", "--json", "-").document()
    fixed = run("map", NAME, *SMALL, "--json", "-").document()
    assert best["latency_cycles"] <= fixed["latency_cycles"]


def test_algorithms_and_dataflows_may_be_restricted(run):
    document = run(
        "map", NAME, *SMALL, "--algorithms", "im2col, winograd", "--dataflows", "WS,IS", "--json", "-"
    ).document()
    check_keys(document)
    used = {layer["algorithm"] for layer in document["layers"] if layer["dataflow"]}
    assert used <= {name for name in ALGORITHMS if name.startswith(("im2col", "winograd"))}
    assert {layer["dataflow"] for layer in document["layers"]} <= {"WS", "IS", None}


@pytest.mark.parametrize("method", ["auto", "series-parallel", "ilp", "ilp-highs", "ilp-cbc"])
def test_every_exact_method_gives_the_same_latency(run, method):
    document = run("map", NAME, *SMALL, "--method", method, "--json", "-").document()
    check_keys(document)
    assert document["settings"]["method"] == method
    assert document["latency_cycles"] == run("map", NAME, *SMALL, "--json", "-").document()["latency_cycles"]


def test_two_products_per_slice_allow_larger_arrays(run, refused):
    common = ("map", NAME, "--board", "zcu104", "--array", "50x50", "--json", "-")
    refused(*common, words=["50x50 does not fit"])
    document = run(*common, "--macs-per-dsp", "2").document()
    assert document["array"] == [50, 50]


@pytest.mark.parametrize("cost", ["overlay", "paper"])
@pytest.mark.parametrize("name", ["googlenet", "mobilenet-v2"])
def test_the_exported_problem_has_the_latency_as_its_optimum(run, tmp_path, name, cost):
    path = tmp_path / "problem.json"
    document = run("map", name, *SMALL, "--cost", cost, "--export-problem", path, "--json", "-").document()
    problem = read_iopddl(path)
    assert problem.is_integer
    for method in ("auto", "ilp-cbc"):
        assert solve(problem, method=method).objective_value() == document["latency_cycles"]


def test_the_csv_file_holds_the_layers(run, tmp_path):
    path = tmp_path / "layers.csv"
    document = run("map", NAME, *SMALL, "--csv", path, "--json", "-").document()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [layer["name"] for layer in document["layers"]]
    assert sum(int(row["cycles"]) for row in rows) == document["latency_cycles"]


def test_the_json_file_is_the_plan_and_the_table_is_printed_as_well(run, tmp_path):
    path = tmp_path / "plan.json"
    outcome = run("map", NAME, *SMALL, "--json", path)
    assert outcome.code == 0
    plan = load_plan(path)
    assert json.loads(path.read_text()) == json.loads(json.dumps(plan.as_dict()))
    for row in plan.layers:
        assert row.name in outcome.out
    assert f"{plan.latency_cycles:,}" in outcome.out
    assert "9x13" in outcome.out
    assert "proved optimal" in outcome.out


def test_what_is_left_to_the_host_is_said(run, write_model, tmp_path):
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("LRN", ["c"], ["y"], "norm", size=3)]
    model = write_model(nodes, {"w": np.ones((5, 3, 3, 3), np.float32)}, shape=(1, 3, 8, 8))
    outcome = run("map", model, *SMALL, "--allow-host", "--json", tmp_path / "plan.json")
    assert outcome.code == 0
    assert load_plan(tmp_path / "plan.json").host_operators == ("norm",)
    assert "left to the host at zero cycles: norm" in outcome.out


def test_an_open_shape_is_settled_on_the_command_line(run, write_model):
    path = write_model(
        [helper.make_node("Conv", ["x", "w"], ["y"])], {"w": np.ones((5, 3, 3, 3), np.float32)}, shape=(1, 3, "H", "W")
    )
    outcome = run("map", path, *SMALL, "--input-shape", "x=1,3,20,12", "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    assert document["layers"][0]["input_shape"] == [20, 12, 3]
    assert document["model"]["input_shapes"] == {"x": [1, 3, 20, 12]}


def test_a_users_own_board_serves_like_a_preset(run, tmp_path, board_file):
    path = tmp_path / "mine.toml"
    path.write_text(board_file(array_dsp=20))
    document = run("map", NAME, "--board", path, "--json", "-").document()
    assert document["shapes_explored"] == sum(20 // rows for rows in range(1, 21))
    assert document["board"]["name"] == "mine"


@pytest.mark.parametrize(
    ("method", "limit"), [("ilp", "1e-9"), ("ilp-cbc", "0.02"), ("ilp", "0.1"), ("ilp-cbc", "1000")]
)
def test_a_time_limit_never_makes_a_false_claim(run, tmp_path, method, limit):
    path = tmp_path / "plan.json"
    outcome = run("map", NAME, *SMALL, "--method", method, "--time-limit", limit, "--json", path)
    optimum = run("map", NAME, *SMALL, "--json", "-").document()["latency_cycles"]
    assert outcome.code in {0, 1}
    if not path.exists():
        assert outcome.code == 1
        assert "more time" in outcome.sentence()
        return
    plan = load_plan(path)
    assert plan.latency_cycles >= optimum >= plan.lower_bound_cycles
    assert (outcome.code == 0) == (plan.status == "optimal")
    if plan.status == "optimal":
        assert plan.latency_cycles == optimum
    else:
        assert "NOT proved optimal" in outcome.out
    assert limit != "1000" or outcome.code == 0


def test_brute_force_says_when_there_is_too_much_to_enumerate(refused, tmp_path):
    refused(
        "map",
        NAME,
        *SMALL,
        "--method",
        "brute-force",
        "--json",
        tmp_path / "p.json",
        words=["enumeration takes at most"],
    )
