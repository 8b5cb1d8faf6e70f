"""Unusable input: exit code 2, one sentence on standard error, no traceback, no file."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

MAP = ("--board", "ecp5-85k", "--array", "4x4")


def node(op_type, inputs, outputs, name="n", **attributes):
    return helper.make_node(op_type, inputs.split(), outputs.split(), name=name, **attributes)


def kernel(*shape):
    return np.full(shape, 0.5, np.float32)


CONV = node("Conv", "x w", "y", "only")
WEIGHT = {"w": kernel(6, 4, 3, 3)}


@pytest.fixture
def out(tmp_path):
    """Where results would be written; nothing may appear there."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def map_refused(refused, out):
    """``map`` of a model must fail, writing none of its files."""

    def call(model, *options, words=(), mapping=MAP):
        files = ("--json", out / "p.json", "--csv", out / "p.csv", "--export-problem", out / "q.json")
        message = refused("map", model, *mapping, *options, *files, words=words)
        assert list(out.iterdir()) == []
        return message

    return call


# Options.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--algorithms", "fft"), ["unknown algorithm 'fft'", "im2col"]),
        (("--algorithms", ","), ["no algorithm is left"]),
        (("--algorithms", "winograd"), ["none of the algorithms winograd-", "im2col always does"]),
        (("--dataflows", "OS"), ["unknown dataflow 'OS'", "NS, WS, IS"]),
        (("--dataflows", ""), ["no dataflow is left"]),
        (("--method", "magic"), ["'magic'", "series-parallel"]),
        (("--cost", "magic"), ["--cost", "'magic'", "overlay"]),
        (("--array", "4"), ["'4' is not an array shape; write it as 92x66"]),
        (("--array", "4x"), ["is not an array shape"]),
        (("--array", "-4x4"), ["--array"]),
        (("--array", "4x4x4"), ["is not an array shape"]),
        (("--array", "0x4"), ["array 0x4 does not fit"]),
        (("--array", "12x12"), ["array 12x12 does not fit board 'ecp5-85k'", "at most 141"]),
        (("--array", "9999999x9999999"), ["does not fit"]),
        (("--macs-per-dsp", "3"), ["8-bit MACs per DSP slice"]),
        (("--macs-per-dsp", "0"), ["'0' is not a whole number"]),
        (("--threads", "none"), ["'none' is not a whole number"]),
        (("--time-limit", "-1"), ["--time-limit"]),
        (("--time-limit", "nan"), ["'nan' is not a time in seconds"]),
        (("--time-limit", "inf"), ["'inf' is not a time in seconds"]),
        (("--input-shape", "x"), ["'x' is not an input shape; write it as NAME=1,3,224,224"]),
        (("--input-shape", "x=1,,3"), ["is not an input shape"]),
        (("--input-shape", "data=1,3,224,224"), ["has its own input shape"]),
    ],
)
def test_options_that_cannot_be_are_refused(map_refused, options, words):
    map_refused("squeezenet-1.1", *options, words=words)


def test_an_unknown_model_lists_the_zoo(map_refused):
    map_refused("squeezenet", words=["there is no model 'squeezenet'", "did you mean 'squeezenet-1.1'"])
    map_refused("x" * 5000, words=["there is no model"])
    map_refused("", words=["there is no model"])
    map_refused("a\0b", words=["there is no model"])
    map_refused("two\nlines", words=["two\\nlines"])


def test_an_unknown_board_lists_the_boards(map_refused):
    map_refused("squeezenet-1.1", mapping=("--board", "ecp5"), words=["there is no board", "ecp5-85k"])
    map_refused("squeezenet-1.1", mapping=("--board", "none.toml"), words=["no board file none.toml"])


def test_operators_for_the_host_need_leave(map_refused, run, write_model):
    path = write_model([node("LRN", "x", "l", "norm", size=5), node("Conv", "l w", "y", "only")], WEIGHT)
    map_refused(path, words=["LRN (norm)", "--allow-host"])
    assert run("map", path, *MAP, "--allow-host", "--json", "-").document()["host_operators"] == ["norm"]


# Where results go.


@pytest.mark.parametrize("option", ["--json", "--csv", "--export-problem"])
def test_results_need_a_folder_that_exists(run, tmp_path, option):
    outcome = run("map", "squeezenet-1.1", *MAP, option, tmp_path / "none" / "file")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "cannot write" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--json", "--csv", "--export-problem"])
def test_a_folder_is_no_file_to_write(run, tmp_path, option):
    folder = tmp_path / "folder"
    folder.mkdir()
    outcome = run("map", "squeezenet-1.1", *MAP, option, folder)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "cannot write" in outcome.err
    assert list(tmp_path.iterdir()) == [folder]
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_protected_folder_is_refused(run, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    outcome = run("map", "squeezenet-1.1", *MAP, "--json", folder / "p.json")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


# ONNX files.


def test_a_file_that_is_no_file(map_refused, tmp_path):
    map_refused(tmp_path / "none.onnx", words=["none.onnx", "does not exist"])
    map_refused(tmp_path, words=["is a directory"])


def test_a_truncated_file(map_refused, good_model):
    data = good_model.read_bytes()
    for length in (1, 10, len(data) // 2, len(data) - 1):
        good_model.write_bytes(data[:length])
        map_refused(good_model, words=["good.onnx"])
    good_model.write_bytes(b"")
    map_refused(good_model, words=["is empty"])


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" + b"\0" * 64, b"PK\x03\x04" * 9, b"<html></html>", b"\xff" * 99]
)
def test_a_file_of_another_kind(map_refused, tmp_path, content):
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    map_refused(path, words=["wrong.onnx", "is not an ONNX model"])


def test_a_cyclic_graph(map_refused, write_model):
    path = write_model(
        [
            node("Add", "x b", "a", "first"),
            node("Relu", "a", "b", "second"),
            node("Conv", "b w", "y", "third"),
        ],
        WEIGHT,
    )
    map_refused(path, words=["cycle", "first"])


def test_an_open_shape_names_the_tensor_and_the_option(map_refused, run, write_model):
    path = write_model([CONV], WEIGHT, shape=("N", 4, "H", "W"))
    map_refused(path, words=["input 'x'", "--input-shape x="])
    map_refused(path, "--input-shape", "z=1,4,8,8", words=["z"])
    map_refused(path, "--input-shape", "x=1,4,0,8", words=["x"])
    map_refused(path, "--input-shape", "x=1,5,8,8", words=["x"])
    assert run("map", path, *MAP, "--input-shape", "x=1,4,8,6", "--json", "-").code == 0


def test_an_unsupported_operator_is_named_with_its_node(map_refused, write_model):
    path = write_model([node("Conv", "x w", "c"), node("NonZero", "c", "y", "counter")], WEIGHT)
    map_refused(path, words=["NonZero", "counter"])
    path = write_model([node("Conv", "x w", "c"), node("Frobnicate", "c", "y", "odd")], WEIGHT)
    map_refused(path, words=["Frobnicate", "odd"])


@pytest.mark.parametrize(
    "shape",
    [(1, 4, 0, 7), (1, 0, 9, 7), (1, 4, 2**31, 2**31), (1, 4, 2**62, 2**62), (1, 4, 2**31 - 1, 3), (1, 4, -5, 7)],
)
def test_extents_of_zero_or_beyond_counting(map_refused, write_model, shape):
    map_refused(write_model([CONV], WEIGHT, shape=shape))


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [0, 1]},
        {"dilations": [2**40, 1]},
        {"pads": [2**62, 0, 2**62, 0]},
        {"kernel_shape": [5, 5]},
        {"group": 3},
    ],
)
def test_windows_that_cannot_be(map_refused, write_model, attributes):
    map_refused(write_model([node("Conv", "x w", "y", "only", **attributes)], WEIGHT), words=["only"])


def test_external_data_that_is_missing(map_refused, tmp_path):
    target = TensorProto(name="s", data_type=TensorProto.INT64, dims=(2,), data_location=TensorProto.EXTERNAL)
    target.external_data.add(key="location", value="weights.bin")
    graph = helper.make_graph(
        [node("Conv", "x w", "c"), node("Reshape", "c s", "y", "shape")],
        "external",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 9, 7))],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(WEIGHT["w"], "w"), target],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "external.onnx"
    path.write_bytes(model.SerializeToString())
    map_refused(path, words=["weights.bin"])


def test_a_network_without_a_convolution(map_refused, write_model):
    map_refused(write_model([node("Relu", "x", "y")]), words=["no convolution", "nothing to choose"])


def test_a_network_whose_convolutions_all_run_on_the_host(map_refused, write_model):
    path = write_model([node("ConvTranspose", "x w", "y", "up")], {"w": kernel(4, 6, 3, 3)})
    map_refused(path, "--allow-host", words=["left to the host"])


# Board files.


@pytest.mark.parametrize(
    ("changes", "extra", "words"),
    [
        ({}, "colour = 1\n", [":14:", "unknown key", "colour"]),
        ({}, "dsp = 5\n", [":14:"]),
        ({"clock_hz": None}, "", ["clock_hz", "missing"]),
        ({"clock_hz": "fast"}, "", [":13:", "clock_hz"]),
        ({"array_dsp": 0}, "", [":5:", "array_dsp", "1"]),
        ({"array_dsp": -4}, "", [":5:", "array_dsp"]),
        ({"array_dsp": 10**9}, "", [":5:", "array_dsp"]),
        ({}, "oops", [":14:", "not valid TOML"]),
    ],
)
def test_a_wrong_board_file_is_refused_with_its_line(map_refused, tmp_path, board_file, changes, extra, words):
    path = tmp_path / "mine.toml"
    path.write_text(board_file(**changes) + extra)
    map_refused("squeezenet-1.1", mapping=("--board", path), words=["mine.toml", *words])


def test_the_smallest_board_holds_one_element_and_no_more(map_refused, run, tmp_path, board_file):
    path = tmp_path / "mine.toml"
    path.write_text(board_file(array_dsp=1))
    document = run("map", "squeezenet-1.1", "--board", path, "--json", "-").document()
    assert document["array"] == [1, 1]
    map_refused("squeezenet-1.1", mapping=("--board", path, "--array", "1x2"), words=["at most 1"])
