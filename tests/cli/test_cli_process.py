"""The command as a process: streams, signals and exit codes as a shell sees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "dynamap_opt")


def run(*arguments, **options):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


def test_a_plan_is_the_only_thing_on_standard_output():
    done = run("map", "squeezenet-1.1", "--board", "ecp5-85k", "--json", "-")
    assert done.returncode == 0
    assert all(line.startswith("exploring array shapes: ") for line in done.stderr.splitlines())  # where it takes long
    assert json.loads(done.stdout)["status"] == "optimal"


def test_bad_input_is_exit_code_two_and_one_line():
    done = run("map", "resnet-19", "--board", "ecp5-85k")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dynamap: there is no model 'resnet-19'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [("boards",), ("boards", "--json", "-")])
def test_a_reader_that_has_gone_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run([*COMMAND, *arguments], stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")  # noqa: PTH110 - a device
def test_a_full_disk_is_one_sentence():
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run([*COMMAND, "boards"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"dynamap: cannot write the result")
    assert done.stderr.count(b"\n") == 1


def test_an_interrupt_ends_the_command_with_one_line_and_no_file(tmp_path):
    """Minutes of work, interrupted as soon as it reports progress, which is after two seconds."""
    models = ",".join(["inception-v4"] * 200)
    arguments = ("survey", "--models", models, "--boards", "ecp5-85k", "--cost", "paper")
    arguments += ("--json", str(tmp_path / "out.json"))
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr.readline().startswith(b"mapping networks onto boards: ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert err.decode().splitlines()[-1] == "dynamap: interrupted"
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not say what a process has loaded")
def test_an_interrupt_while_packages_load_is_one_line_too():
    command = [*COMMAND, "map", "inception-v4", "--board", "alveo-u250"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while "numpy" not in Path(f"/proc/{process.pid}/maps").read_text():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"dynamap: interrupted\n")
