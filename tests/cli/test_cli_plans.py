"""``dynamap explain`` and ``dynamap verify``: questions about a plan file."""

from __future__ import annotations

import json

import pytest

from dynamap_opt import load_plan


def edited(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_explain_prices_every_alternative_of_every_layer(run, plan_file):
    plan = load_plan(plan_file)
    outcome = run("explain", plan_file, "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    assert document["schema"] == "dynamap/explanation/1"
    assert [layer["name"] for layer in document["layers"]] == [layer.name for layer in plan.layers]
    for layer in document["layers"]:
        assert layer["chosen"] in layer["choices"]
        assert layer["chosen"]["total_cycles"] == plan.latency_cycles
        for choice in layer["choices"]:
            assert set(choice) >= {"algorithm", "dataflow", "output_layout", "total_cycles"}
            assert choice["total_cycles"] is None or choice["total_cycles"] >= plan.latency_cycles


def test_explain_prints_the_choices(run, plan_file):
    outcome = run("explain", plan_file)
    assert outcome.code == 0
    assert outcome.out.count("chosen") > 5
    assert f"{load_plan(plan_file).latency_cycles:,}" in outcome.out


def test_explain_takes_one_layer(run, plan_file):
    document = run("explain", plan_file, "conv1", "--json", "-").document()
    assert [layer["name"] for layer in document["layers"]] == ["conv1"]
    assert "im2col" in run("explain", plan_file, "conv1").out


def test_an_unknown_layer_is_one_sentence(refused, plan_file):
    refused("explain", plan_file, "conv99", words=["'conv99'", "conv1"])


@pytest.mark.parametrize("options", [(), ("--explore",)])
def test_verify_confirms_a_fresh_plan(run, plan_file, options):
    outcome = run("verify", plan_file, *options, "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    assert document["schema"] == "dynamap/verification/1"
    assert document["holds"] is True
    assert document["problems"] == []
    assert document["latency_cycles"] == load_plan(plan_file).latency_cycles
    assert "the plan holds" in run("verify", plan_file).out


def test_verify_says_what_is_wrong_with_exit_code_one(run, plan_file):
    edited(plan_file, lambda p: p.update(latency_cycles=1))
    outcome = run("verify", plan_file)
    assert outcome.code == 1
    assert "wrong: " in outcome.out
    document = run("verify", plan_file, "--json", "-").document()
    assert document["holds"] is False
    assert document["problems"]


def test_a_plan_finds_its_onnx_file_from_any_folder(run, good_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("map", good_model.name, "--board", "ecp5-85k", "--json", "plan.json").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("verify", tmp_path / "plan.json").code == 0
    assert run("explain", tmp_path / "plan.json", "first").code == 0


def test_a_network_that_moved_can_be_given_again(run, refused, good_model, tmp_path):
    plan = tmp_path / "plan.json"
    assert run("map", good_model, "--board", "ecp5-85k", "--json", plan).code == 0
    moved = good_model.rename(tmp_path / "moved.onnx")
    refused("verify", plan, words=["good.onnx", "does not exist"])
    assert run("verify", plan, "--model", moved).code == 0
    assert run("explain", plan, "--model", moved).code == 0


@pytest.mark.parametrize("command", ["explain", "verify"])
def test_the_plan_of_another_network_is_refused(refused, plan_file, command):
    refused(command, plan_file, "--model", "googlenet", words=["another structure", "map the network again"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.pop("layers"), ["`layers`"]),
        (lambda p: p.update(schema="dynamap/plan/9"), ["schema"]),
        (lambda p: p["settings"].update(cost="magic"), ["unknown cost preset 'magic'"]),
        (lambda p: p["settings"].update(algorithms=["fft"]), ["unknown algorithm 'fft'"]),
        (lambda p: p["settings"].update(macs_per_dsp=10**25), ["per DSP"]),
        (lambda p: p["board"].update(clock_hz=0), ["clock_hz"]),
        (lambda p: p["board"].update(array_dsp="many"), ["array_dsp"]),
        (lambda p: p["model"].update(source="a\nb"), ["there is no model"]),
        (lambda p: p["model"].update(source="x" * 5000), ["there is no model"]),
        (lambda p: p["model"].update(source=""), ["give the model"]),
    ],
)
def test_a_damaged_plan_is_refused(refused, plan_file, change, words):
    refused("explain", edited(plan_file, change), words=words)


@pytest.mark.parametrize("command", ["explain", "verify"])
def test_a_plan_that_is_none_is_refused(refused, tmp_path, command):
    refused(command, tmp_path / "missing.json", words=["cannot read plan", "missing.json"])
    refused(command, tmp_path, words=["cannot read plan"])
    (tmp_path / "text.json").write_text("hello")
    refused(command, tmp_path / "text.json", words=["is not a plan"])


def test_an_explanation_of_impossible_arrays_is_refused(refused, plan_file):
    refused("explain", edited(plan_file, lambda p: p.update(array=[10**30, 2])), words=["does not fit"])
