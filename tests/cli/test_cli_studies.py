"""``dynamap compare``, ``survey`` and ``timing``."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from dynamap_models.zoo import NetworkBuilder
from dynamap_opt import export_model
from dynamap_opt.board import load_board
from dynamap_opt.study import time_explorations


@pytest.fixture
def small_board(tmp_path, board_file):
    path = tmp_path / "small.toml"
    path.write_text(board_file(array_dsp=12))
    return path


def test_compare_puts_the_joint_optimum_first(run, good_model, small_board, tmp_path):
    path = tmp_path / "compared.json"
    printed = run("compare", good_model, "--board", small_board, "--json", path)
    assert printed.code == 0
    document = json.loads(path.read_text())
    assert document["schema"] == "dynamap/comparison/1"
    best, *others = document["strategies"]
    assert best["strategy"] == "joint optimum"
    assert best["loss"] == 0
    for result in (best, *others):
        assert type(result["latency_cycles"]) is int
        assert result["latency_cycles"] >= best["latency_cycles"]
        assert result["array"][0] * result["array"][1] <= 12
    assert all(result["strategy"] in printed.out for result in others)


def test_survey_maps_each_network_onto_each_board(run, small_board, good_model, tmp_path):
    path, cost = tmp_path / "survey.json", ("--cost", "paper")
    arguments = ("survey", "--models", f"squeezenet-1.1,{good_model}", "--boards", f"ecp5-85k,{small_board}", *cost)
    spoken = run(*arguments, "--json", path)
    assert spoken.code == 0
    assert "over all plans" in spoken.out
    document = json.loads(path.read_text())
    assert document["schema"] == "dynamap/survey/1"
    assert len(document["rows"]) == 4
    for row in document["rows"]:
        assert row["latency_cycles"] >= row["bandwidth_bound"] > 0
        assert sum(row["shares"].values()) == pytest.approx(1)
        alone = run(
            "map", "squeezenet-1.1" if row["model"].startswith("squeeze") else good_model,
            "--board", small_board if row["board"] == "mine" else "ecp5-85k", *cost, "--json", "-",
        )  # fmt: skip
        plan = alone.document()
        assert plan["latency_cycles"] == row["latency_cycles"]
        on_array = [layer for layer in plan["layers"] if layer["dataflow"]]
        assert row["bound_by"] == Counter(f"{layer['algorithm']}: {layer['bound_by']}" for layer in on_array)
        assert row["layers"] == Counter(layer["algorithm"] for layer in on_array)
        assert row["expanded_layouts"] == sum(layer["output_layout"] != "nhwc" for layer in plan["layers"])
    spread = run(*arguments, "--jobs", "2", "--json", "-")
    assert [{**row, "seconds": 0} for row in spread.document()["rows"]] == [
        {**row, "seconds": 0} for row in document["rows"]
    ]


def test_timing_measures_growth_with_stages_and_shapes(run, small_board, good_model):
    arguments = ("timing", good_model, "--board", small_board)
    outcome = run(*arguments, "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    assert document["schema"] == "dynamap/timing/1"
    assert document["rows"]
    for row in document["rows"]:
        assert row["stages"] > 0
        assert 0 < row["shapes"] <= sum(12 // rows for rows in range(1, 13))
        assert row["explore_seconds"] > 0


def test_a_network_whose_only_convolutions_are_transposed_is_timed_and_compared(run, small_board, tmp_path):
    net = NetworkBuilder("up")
    x = net.conv_transpose("a", net.input("x", 4, 8, 8), 4, 2, stride=2)
    network = net.build(net.conv_transpose("b", x, 4, 2, stride=2))
    assert [row.convolutions for row in time_explorations(network, load_board(small_board))][-1] == 0
    export_model(network, tmp_path / "up.onnx")
    assert run("compare", tmp_path / "up.onnx", "--board", small_board, "--json", "-").code == 0


@pytest.mark.parametrize("command", ["compare", "timing"])
def test_unknown_models_and_boards_are_refused(refused, command):
    refused(command, "resnet18", "--board", "ecp5-85k", words=["did you mean 'resnet-18'"])
    refused(command, "resnet-18", "--board", "ecp5", words=["there is no board"])


def test_a_survey_of_unknown_models_or_boards_is_refused(refused):
    refused("survey", "--models", "resnet18", "--boards", "ecp5-85k", words=["resnet18"])
    refused("survey", "--models", "resnet-18", "--boards", "ecp5", words=["ecp5"])


def test_compare_measures_every_strategy_on_the_rtl(run, good_model, small_board):
    arguments = ("compare", good_model, "--board", small_board, "--measure")
    outcome = run(*arguments, "--json", "-")
    assert outcome.code == 0
    rows = outcome.document()["strategies"]
    assert [row["strategy"] for row in rows[:2]] == ["joint optimum", "two-step search"]
    for row in rows:
        assert row["values_match"]
        assert row["measured_cycles"] >= rows[0]["measured_cycles"]
        assert row["measured_cycles"] == pytest.approx(row["latency_cycles"], rel=0.05)  # small layers
