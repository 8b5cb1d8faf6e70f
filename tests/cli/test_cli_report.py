"""``dynamap report``: a plan as one page."""

from __future__ import annotations

import json
import sys

import onnx
import pytest


def test_a_report_is_one_file(run, plan_file, tmp_path):
    page = tmp_path / "page.html"
    outcome = run("report", plan_file, "--no-explore", "-o", page)
    assert outcome.code == 0
    assert outcome.out.startswith(f"squeezenet-1.1 on ecp5-85k: {page}, ")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "dynamap verify plan.json" in text
    assert "The plan is for the array 11×12, as asked for" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "plan.json"]


def test_the_same_plan_gives_the_same_bytes(run, plan_file, tmp_path):
    for name in ("one.html", "two.html"):
        assert run("report", plan_file, "--no-explore", "-o", tmp_path / name).code == 0
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_names_from_a_file_are_text_and_nothing_else(run, good_model, tmp_path):
    evil = '</script><img src=x onerror=alert(1)>"&'
    model = onnx.load(good_model)
    model.graph.node[0].name = evil
    onnx.save(model, good_model)
    plan, page = tmp_path / "plan.json", tmp_path / "page.html"
    assert run("map", good_model, "--board", "ecp5-85k", "--array", "4x4", "--json", plan).code == 0
    assert run("report", plan, "--no-explore", "-o", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "onerror=alert(1)&gt;" in text


@pytest.mark.parametrize("package", ["igraph", "vl_convert"])
def test_a_missing_package_is_one_sentence(refused, plan_file, tmp_path, monkeypatch, package):
    from dynamap_opt.reporting import report  # noqa: PLC0415

    monkeypatch.setattr(report, "chart_library", report.chart_library.__wrapped__)  # without what it remembers
    monkeypatch.setitem(sys.modules, package, None)
    refused("report", plan_file, "-o", tmp_path / "page.html", words=["pip install dynamap-opt[report]"])


def test_plans_of_two_networks_are_refused(run, refused, plan_file, tmp_path):
    other = tmp_path / "other.json"
    assert run("map", "vgg-16", "--board", "ecp5-85k", "--array", "4x4", "--cost", "paper", "--json", other).code == 0
    message = refused("report", plan_file, "--against", other, "-o", tmp_path / "page.html")
    assert "'squeezenet-1.1' and 'vgg-16'" in message


def test_bad_input_is_refused(refused, plan_file, tmp_path):
    page = tmp_path / "page.html"
    refused("report", tmp_path / "missing.json", "-o", page, words=["cannot read plan"])
    refused("report", plan_file, "--against", tmp_path / "missing.json", "-o", page, words=["cannot read plan"])
    refused("report", plan_file, "--model", "googlenet", "-o", page, words=["another structure"])
    refused("report", plan_file, words=["-o"])
    refused("report", plan_file, "--no-explore", "-o", tmp_path / "no" / "page.html", words=["choose another folder"])
    damaged = json.loads(plan_file.read_text())
    damaged["layers"].pop()
    plan_file.write_text(json.dumps(damaged))
    refused("report", plan_file, "-o", page, words=["layers are not the network's stages"])
