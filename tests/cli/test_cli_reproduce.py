"""``dynamap reproduce``: what it prints and writes, going on after a stop, and exit codes."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def small_board(tmp_path, board_file):
    path = tmp_path / "small.toml"
    path.write_text(board_file(array_dsp=12))
    return path


@pytest.fixture
def arguments(good_model, small_board):
    return ("reproduce", "--networks", good_model, "--board", small_board)


def test_the_document_has_everything_and_nothing_else_is_printed(run, arguments):
    outcome = run(*arguments, "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    assert document["schema"] == "dynamap/reproduction/1"
    assert document["holds"] is True
    assert {(one["network"], one["preset"]) for one in document["networks"]} == {
        ("model", "overlay"),
        ("model", "paper"),
    }
    for one in document["networks"]:
        best, *others = one["strategies"]
        assert best["strategy"] == "joint optimum"
        assert all(other["latency_cycles"] >= best["latency_cycles"] for other in others)
        assert [layer["name"] for layer in one["layers"]] == ["first", "second", "head"]
        assert all(check["holds"] for check in one["checks"])
    assert {one["variant"] for one in document["variants"]} >= {"two products a DSP", "the paper's three"}
    assert document["residency"][0]["budgets"][-1]["limit_bytes"] == document["residency"][0]["needed_bytes"]
    assert {verdict["claim"] for verdict in document["verdicts"]} == {
        "optimum-beats-strategies",
        "series-parallel",
        "optimisation-time",
    }
    assert all(one["solve_s"] > 0 for one in document["times"])
    assert f"[{document['parts']}/{document['parts']}] time for model" in outcome.err


def test_people_read_tables_verdicts_and_checks(run, arguments):
    outcome = run(*arguments, "--cost", "paper", "--parts", "strategies,beyond,time", "--layers")
    assert outcome.code == 0
    for words in (
        "model: latency under the cost preset paper",
        "two-step search",
        "utilisation of the array while it computes",
        "kn2row is in",
        "model: beyond the paper",
        "were tensors kept on chip",
        "time to optimise",
        'claim: "optimisation takes less than 2 s on a desktop CPU" (remembered, not checked against the text)',
        "all 6 checks hold",
    ):
        assert words in outcome.out


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_cut(in_terminal, arguments, width):
    lines = in_terminal(width, *arguments, "--cost", "paper", "--parts", "strategies,beyond", "--layers")
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for words in ("two-step search", "all on the array", "tensors on chip", "two products a DSP", "all 6 checks hold"):
        assert words in text


def test_figures_are_printed_with_how_far_they_are_trusted(run, tmp_path):
    work = tmp_path / "work"
    outcome = run(
        "reproduce", "--networks", "googlenet", "--parts", "published,bounds", "--cost", "paper", "--work", work
    )
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    (theirs,) = [line for line in lines if line.lstrip().startswith("DYNAMAP ") and "1.34 ms" in line]
    assert theirs.split()[-1] == "remembered"
    assert "figure: published, or remembered, not checked against the text" in " ".join(outcome.out.split())
    assert any("Vitis AI 1.3, 3 B4096" in line and line.rstrip().endswith("published") for line in lines)
    assert "possible. at least 0.47 ms on 92x66" in outcome.out


def test_files_and_pictures_go_into_the_folder(run, arguments, tmp_path):
    folder = tmp_path / "deep" / "report"
    outcome = run(*arguments, "--cost", "paper", "--parts", "strategies", "-o", folder)
    assert outcome.code == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"layers-model.csv", "strategies-model.svg", "utilisation-model.svg"}
    assert (folder / "strategies-model.svg").read_text().count("<svg") == 1
    assert len((folder / "layers-model.csv").read_text().splitlines()) == 4


def test_without_matplotlib_the_rest_is_written_and_said(run, arguments, tmp_path, monkeypatch):
    monkeypatch.setattr("dynamap_opt.cli.reproducing.can_draw", lambda: False)
    outcome = run(*arguments, "--cost", "paper", "--parts", "strategies", "-o", tmp_path / "report")
    assert outcome.code == 0
    assert "no pictures: matplotlib is not installed (dynamap-opt[bench])" in outcome.out
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"layers-model.csv"}


def test_what_is_kept_is_printed_again_without_computing(run, arguments, tmp_path):
    arguments = (*arguments, "--cost", "paper", "--parts", "strategies", "--work", tmp_path / "work")
    first, second = run(*arguments), run(*arguments)
    assert first.err.count("[") == 1
    assert second.err == ""
    assert second.out == first.out


def test_processes_beside_each_other_find_the_same(run, arguments):
    arguments = (*arguments, "--cost", "paper", "--parts", "strategies,beyond", "--json", "-")
    alone, spread = run(*arguments).document(), run(*arguments, "--jobs", "2").document()
    for document in (alone, spread):
        for strategy in document["networks"][0]["strategies"]:
            strategy["seconds"] = 0
    assert spread == alone


def test_something_that_does_not_hold_is_exit_code_one(run, arguments, tmp_path):
    work = tmp_path / "work"
    arguments = (*arguments, "--cost", "paper", "--parts", "strategies", "--work", work)
    assert run(*arguments).code == 0
    (path,) = work.glob("*/strategies-*.json")
    kept = json.loads(path.read_text())
    kept["checks"][0] |= {"holds": False, "detail": "kn2row where legal"}
    path.write_text(json.dumps(kept))
    outcome = run(*arguments)
    assert outcome.code == 1
    assert "does NOT hold for model under paper: no fixed strategy beats the joint optimum" in outcome.out
    assert outcome.err == (
        "dynamap: model under paper: it does not hold that no fixed strategy beats the joint optimum: "
        "kn2row where legal\n"
    )


def test_bad_input_is_refused(refused, good_model, small_board, tmp_path):
    refused("reproduce", "--networks", "lenet", "-o", tmp_path / "new", words=["there is no model 'lenet'"])
    refused("reproduce", "--board", "vcu118", words=["there is no board"])
    refused("reproduce", "--parts", "all", words=["unknown part 'all'; give names among strategies, bounds"])
    refused("reproduce", "--cost", "papers", words=["unknown preset 'papers'"])
    refused("reproduce", "--networks", "", words=["no network is left"])
    there = ("reproduce", "--networks", good_model, "--board", small_board, "--parts", "strategies")
    refused(
        *there,
        "-o",
        small_board / "below",
        words=["cannot write into", "is no folder to write into; name another with -o"],
    )
    refused(*there, "--work", small_board / "below", words=["cannot keep results", "name another folder with --work"])
    refused(*there, "--executor", "spark://x", words=["executor 'spark://x' is not known"])
