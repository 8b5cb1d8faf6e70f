"""``dynamap models``, ``boards``, ``--version`` and the help."""

from __future__ import annotations

import json

import onnx
import pytest

from dynamap_models.zoo import model_names
from dynamap_opt.board import Board, board_names


def test_models_lists_the_zoo_with_its_figures(run):
    outcome = run("models", "--json", "-")
    assert outcome.code == 0
    assert outcome.err == ""
    document = outcome.document()
    assert document["schema"] == "dynamap/models/1"
    assert [model["name"] for model in document["models"]] == list(model_names())
    for model in document["models"]:
        assert type(model["macs"]) is int
        assert type(model["parameters"]) is int
        assert len(model["input_shape"]) == 4
        assert model["input_shape"][0] == 1


def test_models_prints_a_table(run):
    outcome = run("models")
    assert outcome.code == 0
    for name in model_names():
        assert name in outcome.out


def test_boards_lists_the_presets(run):
    document = run("boards", "--json", "-").document()
    assert document["schema"] == "dynamap/boards/1"
    assert [board["name"] for board in document["boards"]] == list(board_names())
    for board in document["boards"]:
        assert type(board["dsp"]) is int
        assert Board(**board).as_dict() == board


def test_boards_prints_a_table(run):
    outcome = run("boards")
    assert outcome.code == 0
    for name in board_names():
        assert name in outcome.out


def test_json_goes_to_a_file_beside_the_table(run, tmp_path):
    outcome = run("boards", "--json", tmp_path / "boards.json")
    assert outcome.code == 0
    assert "alveo-u200" in outcome.out
    assert json.loads((tmp_path / "boards.json").read_text())["schema"] == "dynamap/boards/1"


def test_an_exported_model_is_valid_onnx_that_maps_like_the_zoo_network(run, tmp_path):
    path = tmp_path / "squeezenet.onnx"
    assert run("models", "export", "squeezenet-1.1", "-o", path).code == 0
    onnx.checker.check_model(str(path), full_check=True)
    settings = ("--board", "ecp5-85k", "--array", "8x8", "--json", "-")
    exported = run("map", path, *settings).document()
    zoo = run("map", "squeezenet-1.1", *settings).document()
    assert exported["latency_cycles"] == zoo["latency_cycles"]
    assert exported["model"]["source"] == str(path.resolve())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["map", "--help"], ["verify", "--help"]])
def test_help_and_version_are_no_errors(run, arguments):
    outcome = run(*arguments)
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out


@pytest.mark.parametrize("arguments", [[], ["fly"], ["models", "import"], ["boards", "--fast"], ["map"], ["explain"]])
def test_a_wrong_command_line_is_one_sentence_that_points_to_the_help(refused, arguments):
    refused(*arguments, words=["--help"])


def test_names_that_would_break_the_line_are_escaped(refused):
    refused("fly\nhigh", words=["\\n"])
    refused("boards", "one\ntwo", words=["\\n"])


def test_unknown_models_are_not_exported(refused, tmp_path):
    refused("models", "export", "resnet18", "-o", tmp_path / "a.onnx", words=["did you mean 'resnet-18'"])


def test_exports_need_a_folder_that_can_be_written(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    refused("models", "export", "squeezenet-1.1", "-o", tmp_path / "none" / "a.onnx")
    refused("models", "export", "squeezenet-1.1", "-o", tmp_path / "folder")
