"""What the tests of the command line share: running a command in this process, and small ONNX files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import dynamap_opt
from dynamap_opt.board import load_board
from dynamap_opt.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code, what it said, and where."""

    code: int
    out: str
    err: str

    def document(self):
        """Standard output as one JSON document and nothing else."""
        return json.loads(self.out)

    def sentence(self):
        """The one line of an error."""
        assert self.out == ""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err.rstrip("\n")


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys) -> Run:
    """Run ``dynamap`` in this process."""

    def call(*arguments) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return call


@pytest.fixture
def refused(run, tmp_path):
    """Run a command that must fail as unusable input: exit code 2, one line, no file written or left behind."""

    def call(*arguments, words=()):
        before = sorted(tmp_path.rglob("*"))
        outcome = run(*arguments)
        assert outcome.code == 2, outcome
        message = outcome.sentence()
        for word in words:
            assert word in message
        assert sorted(tmp_path.rglob("*")) == before
        return message

    return call


@pytest.fixture
def in_terminal():
    """Run ``dynamap`` in a process on a terminal so many columns wide; the lines it shows, without colours."""
    if os.name != "posix":
        pytest.skip("needs a pseudo-terminal")
    import pty  # noqa: PLC0415 - not on every system

    def call(width: int, *arguments) -> list[str]:
        command = [sys.executable, "-m", "dynamap_opt", *map(str, arguments)]
        environment = os.environ | {"COLUMNS": str(width), "TERM": "xterm"}
        ours, theirs = pty.openpty()
        with (
            os.fdopen(ours, "rb", buffering=0) as screen,
            subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process,
        ):
            os.close(theirs)
            shown = b""
            try:
                while part := screen.read(1 << 16):
                    shown += part
            except OSError:  # Linux says so at the end
                pass
        assert process.returncode == 0
        return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()

    return call


def node(op_type, inputs, outputs, name="n", **attributes):
    return helper.make_node(op_type, inputs.split(), outputs.split(), name=name, **attributes)


def onnx_model(nodes, constants=None, *, shape=(1, 4, 9, 7), elem_type=TensorProto.FLOAT):
    """A model with input x, output y and the given nodes."""
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("x", elem_type, shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def kernel(*shape):
    return np.full(shape, 0.5, np.float32)


@pytest.fixture
def write_model(tmp_path):
    """Write an ONNX file of these nodes; its path."""

    def write(nodes, constants=None, *, name="model.onnx", **options):
        path = tmp_path / name
        path.write_bytes(onnx_model(nodes, constants, **options).SerializeToString())
        return path

    return write


@pytest.fixture(scope="session")
def _plan_of_a_zoo_network():
    return dynamap_opt.map("squeezenet-1.1", "ecp5-85k", array=(11, 12)).to_json()


@pytest.fixture
def plan_file(_plan_of_a_zoo_network, tmp_path):
    """A plan of a zoo network on a fixed array."""
    path = tmp_path / "plan.json"
    path.write_text(_plan_of_a_zoo_network)
    return path


@pytest.fixture
def good_model(write_model):
    """A valid file with two convolutions and a head."""
    return write_model(
        [
            node("Conv", "x w", "c", "first", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r", "relu"),
            node("Conv", "r v", "d", "second"),
            node("GlobalAveragePool", "d", "g", "pool"),
            node("Flatten", "g", "f", "flat"),
            node("Gemm", "f h", "y", "head"),
        ],
        {"w": kernel(6, 4, 3, 3), "v": kernel(8, 6, 1, 3), "h": kernel(8, 5)},
        name="good.onnx",
    )


@pytest.fixture
def board_file():
    """The text of a valid board file, with fields replaced or, for None, left out."""

    def text(**changes):
        fields = load_board("ecp5-85k").as_dict() | {"name": "mine"} | changes
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items() if value is not None)

    return text
