"""Damaged files through the command line: one sentence or a result, never a traceback, a hang or half a file.

The mutations are drawn from a seed that hypothesis chooses, derandomised: the same examples on every run.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, numpy_helper

from dynamap_opt import load_board, load_plan
from dynamap_opt.cli import main
from onnx_damage import NUMBERS, damaged, model, node, weights

SETTINGS = settings(
    max_examples=60,
    deadline=timedelta(seconds=10),  # a hang, not slowness: an example takes some milliseconds
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
SEEDS = st.integers(0, 2**32 - 1)
OPERATORS = ["Conv", "ConvTranspose", "MaxPool", "Add", "Concat", "Relu", "LRN", "Flatten", "Gemm", "NonZero", "Odd"]


MODELS = [
    model(
        [
            node("Conv", "x w b", "c", strides=[2, 1], pads=[0, 1, 2, 1], dilations=[1, 1], group=1),
            node("BatchNormalization", "c g g g g", "n", epsilon=1e-3),
            node("Relu", "n", "r"),
            node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
            node("LRN", "m", "l", size=3),
            node("Conv", "l v", "t", pads=[1, 1, 1, 1]),
            node("Add", "t l", "a"),
            node("Concat", "a l", "k", axis=1),
            node("GlobalAveragePool", "k", "h"),
            node("Flatten", "h", "f", axis=1),
            node("Gemm", "f d", "y"),
        ],
        {"w": weights(6, 4, 3, 3), "b": weights(6), "g": weights(6) + 2, "v": weights(6, 6, 3, 3), "d": weights(12, 5)},
        (1, 4, 12, 7),
    ),
    model(
        [
            node("Conv", "x w", "c", group=4, pads=[1, 1, 1, 1]),
            node("Clip", "c low high", "r"),
            node("Conv", "r v", "p", kernel_shape=[1, 5], auto_pad="SAME_UPPER"),
            node("ConvTranspose", "p u", "t", strides=[2, 2]),
            node("AveragePool", "t", "a", kernel_shape=[3, 3], strides=[2, 2], count_include_pad=1),
            node("Sigmoid", "a", "s"),
            node("Mul", "a s", "y"),
        ],
        {
            "w": weights(4, 1, 3, 3),
            "v": weights(6, 4, 1, 5),
            "u": weights(6, 3, 2, 2),
            "low": np.array(0, np.float32),
            "high": np.array(6, np.float32),
        },
        (1, 4, 8, 6),
    ),
]


def run(*arguments):
    """The exit code and both streams."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def check(folder, given_files, code, err):
    """What holds however the command ended; whether it ended well."""
    assert code in {0, 1, 2}
    assert "Traceback" not in err
    assert "disagree" not in err
    written = {path.name for path in folder.iterdir()} - given_files
    if code == 2:
        assert err.startswith("dynamap: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        assert len(err) < 2000
        assert written == set()
    else:
        assert err == ""
        assert written == {"out.json"}
    return code == 0


def map_it(data):
    """Map a file of these bytes; whether that went well."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fuzz.onnx").write_bytes(data)
        code, _, err = run(
            "map", folder / "fuzz.onnx", "--board", "ecp5-85k", "--allow-host", "--array", "4x4",
            "--json", folder / "out.json",
        )  # fmt: skip
        if not check(folder, {"fuzz.onnx"}, code, err):
            return False
        plan = load_plan(folder / "out.json")
        assert plan.status == "optimal"
        assert 0 < plan.latency_cycles == sum(layer.cycles for layer in plan.layers)
        return True


def mutated(source, rng):
    """The model with a few fields changed to something that still parses."""
    changed = onnx.ModelProto()
    changed.CopyFrom(source)
    for _ in range(rng.randint(1, 3)):
        rng.choice([change_wiring, change_attribute, change_attribute, change_weight, change_input])(changed, rng)
    return changed


def change_wiring(source, rng):
    chosen = rng.choice(list(source.graph.node))
    names = [name for item in source.graph.node for name in (*item.input, *item.output)] + ["", "nobody"]
    match rng.randrange(5):
        case 0:
            chosen.op_type = rng.choice(OPERATORS)
        case 1 if chosen.input:
            chosen.input[rng.randrange(len(chosen.input))] = rng.choice(names)
        case 2:
            chosen.input.append(rng.choice(names))
        case 3:
            chosen.name = rng.choice(["", "two\nlines", "\x1b[31m", "é" * 300, source.graph.node[0].name])
        case _ if len(source.graph.node) > 1:
            source.graph.node.remove(chosen)


def change_attribute(source, rng):
    chosen = [item for item in source.graph.node if item.attribute]
    if not chosen:
        return
    attribute = rng.choice(list(rng.choice(chosen).attribute))
    match rng.randrange(4):
        case 0:
            attribute.i = rng.choice(NUMBERS)
        case 1 | 2 if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
        case 3:
            attribute.type = rng.choice([AttributeProto.INT, AttributeProto.INTS, AttributeProto.GRAPH])


def change_weight(source, rng):
    if not source.graph.initializer:
        return
    tensor = rng.choice(list(source.graph.initializer))
    match rng.randrange(3):
        case 0 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        case 1:
            shape = [rng.choice([0, 1, 2, 3, 4, 6, 300]) for _ in range(rng.choice([1, 2, 4]))]
            if math.prod(shape) < 2**20:
                tensor.CopyFrom(numpy_helper.from_array(np.zeros(shape, np.float32), tensor.name))
        case _:
            tensor.data_location = TensorProto.EXTERNAL


def change_input(source, rng):
    extents = source.graph.input[0].type.tensor_type.shape.dim
    match rng.randrange(3):
        case 0 | 1 if extents:
            extents[rng.randrange(len(extents))].dim_value = rng.choice([*NUMBERS, 4, 4, 5000, 65535])
        case _ if extents:
            extents[rng.randrange(len(extents))].dim_param = "N"


def test_the_files_are_good_before_anything_is_done_to_them():
    for source in MODELS:
        assert map_it(source.SerializeToString())
    assert verify_and_explain(plan_text().encode()) == (0, 0)
    assert map_on(board_text().encode())


@SETTINGS
@given(seed=SEEDS, index=st.integers(0, len(MODELS) - 1))
def test_damaged_onnx_files_are_mapped_or_refused(seed, index):
    map_it(damaged(MODELS[index].SerializeToString(), random.Random(seed)))


@SETTINGS
@given(seed=SEEDS, index=st.integers(0, len(MODELS) - 1))
def test_mutated_onnx_models_are_mapped_or_refused(seed, index):
    map_it(mutated(MODELS[index], random.Random(seed)).SerializeToString())


@cache
def board_text():
    fields = load_board("ecp5-85k").as_dict() | {"name": "mine"}
    return "# a board\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


def map_on(data):
    """Map a small network onto the board these bytes describe; whether that went well."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fuzz.toml").write_bytes(data)
        (folder / "model.onnx").write_bytes(MODELS[0].SerializeToString())
        code, _, err = run(
            "map", folder / "model.onnx", "--board", folder / "fuzz.toml", "--allow-host", "--array", "2x3",
            "--json", folder / "out.json",
        )  # fmt: skip
        return check(folder, {"fuzz.toml", "model.onnx"}, code, err)


def rewritten(text, rng):
    """The lines with values and keys replaced, repeated or left out."""
    lines = text.splitlines()
    values = [*map(str, NUMBERS), "1e300", "-1e-300", "nan", "inf", "true", '""', '"x"', "[1]", "{a = 1}", "1e", "'"]
    values += ['"""', "0x10", "1_000", "2000-01-01", '"\\u0000"', "9" * 400]
    for _ in range(rng.randint(1, 3)):
        index = rng.randrange(len(lines))
        key, _, value = lines[index].partition(" = ")
        match rng.randrange(6):
            case 0 | 1 | 2:
                lines[index] = f"{key} = {rng.choice(values)}"
            case 3:
                lines[index] = f"{rng.choice([key.upper(), key + 'x', '', '[t]', 'a.b'])} = {value}"
            case 4:
                lines.insert(index, lines[index])
            case _:
                lines[index] = ""
    return "\n".join(lines)


@SETTINGS
@given(seed=SEEDS)
def test_damaged_board_files_are_used_or_refused(seed):
    map_on(damaged(board_text().encode(), random.Random(seed)))


@SETTINGS
@given(seed=SEEDS)
def test_rewritten_board_files_are_used_or_refused(seed):
    map_on(rewritten(board_text(), random.Random(seed)).encode())


@cache
def plan_text():
    with TemporaryDirectory() as name:
        path = Path(name) / "plan.json"
        (Path(name) / "model.onnx").write_bytes(MODELS[0].SerializeToString())
        code, _, _ = run(
            "map", Path(name) / "model.onnx", "--board", "ecp5-85k", "--allow-host", "--array", "4x4", "--json", path
        )
        assert code == 0
        return path.read_text()


def verify_and_explain(data):
    """The exit codes of both commands on a plan of these bytes."""
    codes = []
    for command in ("verify", "explain"):
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "plan.json").write_bytes(data)
            (folder / "model.onnx").write_bytes(MODELS[0].SerializeToString())
            arguments = ("--model", folder / "model.onnx", "--json", folder / "out.json")
            code, _, err = run(command, folder / "plan.json", *arguments)
            check(folder, {"plan.json", "model.onnx"}, code, err)
            codes.append(code)
    return tuple(codes)


def mutated_document(rng):
    """The plan with a few values anywhere in it replaced, left out or repeated."""
    document = json.loads(plan_text())
    for _ in range(rng.randint(1, 3)):
        inner, parent, key = document, None, None
        while isinstance(inner, dict | list) and inner and (parent is None or rng.random() < 0.8):
            parent, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            inner = parent[key]
        match rng.randrange(5):
            case 0 | 1 if isinstance(inner, int):
                parent[key] = rng.choice([*NUMBERS, 10**30, inner + 1, inner - 1])
            case 0 | 1 if isinstance(inner, str):
                parent[key] = rng.choice(["", "x", "NS", "im2col", "nhwc", "host", "a\nb", "\ud800", inner + "x"])
            case 2 if isinstance(parent, list):
                parent.append(inner)
            case 3:
                del parent[key]
            case _:
                parent[key] = rng.choice([None, True, 0.5, [], {}, [1], "text", -1, 10**30])
    return document


@SETTINGS
@given(seed=SEEDS)
@example(seed=0)
def test_damaged_plan_files_are_answered_or_refused(seed):
    verify_and_explain(damaged(plan_text().encode(), random.Random(seed)))


@SETTINGS
@given(seed=SEEDS)
def test_mutated_plans_are_answered_or_refused(seed):
    verify_and_explain(json.dumps(mutated_document(random.Random(seed))).encode())
