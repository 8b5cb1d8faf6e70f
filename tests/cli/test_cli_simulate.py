"""``dynamap compile``, ``disassemble`` and ``simulate``: results, resumed runs, a cluster, and what they refuse."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from dask_cluster import cluster
from dynamap_models.onnx_export import write_onnx
from onnxruntime_files import FORMATS, quantised_file, small_network
from small_networks import BOARD, shared_buffers

SMALL = ("--board", BOARD, "--array", "4x4")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The network with concatenations as a float file: no operator that only the host runs."""
    path = tmp_path_factory.mktemp("models") / "shared.onnx"
    write_onnx(shared_buffers(), path)
    return path


@pytest.fixture(scope="module")
def plan(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    command = [sys.executable, "-m", "dynamap_opt", "map", model, *SMALL, "--json", path]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    return path


def test_simulate_says_what_was_predicted_measured_and_compared(run, model):
    outcome = run("simulate", model, *SMALL, "--jobs", 1, "--json", "-")
    assert outcome.code == 0
    document = outcome.document()
    assert document["schema"] == "dynamap/simulation/1"
    assert document["values_match"] is True
    layers = document["layers"]
    for layer in layers:
        assert layer["values_match"] is True
        assert type(layer["predicted_cycles"]) is type(layer["measured_cycles"]) is int
        assert layer["measured_cycles"] == layer["model_cycles"]
    assert document["total_predicted_cycles"] == sum(layer["predicted_cycles"] for layer in layers)
    assert document["total_measured_cycles"] == sum(layer["measured_cycles"] for layer in layers)
    spoken = run("simulate", model, *SMALL, "--jobs", 1)
    assert spoken.code == 0
    assert "all equal to the reference's" in spoken.out
    assert all(layer["name"] in spoken.out for layer in layers)
    ran = [layer for layer in layers if layer["predicted_cycles"]]
    close = sum(abs(layer["measured_cycles"] / layer["predicted_cycles"] - 1) <= 0.01 for layer in ran)
    assert f"cycles of {close} of {len(ran)} layers are within 1 % of the plan" in spoken.out


def test_a_plan_is_simulated_as_it_stands_and_on_another_array(run, plan):
    document = run("simulate", plan, "--jobs", 1, "--layers", "a,1-2", "--json", "-").document()
    assert [layer["name"] for layer in document["layers"]] == ["a", "b", "c"]
    rows = {row["name"]: row for row in json.loads(plan.read_text())["layers"]}
    for layer in document["layers"]:
        assert layer["predicted_cycles"] == rows[layer["name"]]["cycles"]
        assert (layer["algorithm"], layer["dataflow"]) == tuple(
            rows[layer["name"]][key] for key in ("algorithm", "dataflow")
        )
    other = run("simulate", plan, "--jobs", 1, "--layers", "a", "--array", "8x8", "--json", "-").document()
    assert other["array"] == [8, 8]
    assert other["values_match"] is True


def test_a_quantised_file_is_mapped_and_run_and_differences_are_counted(run, tmp_path):
    (layout, *options) = FORMATS[0].values
    quantised_file(small_network(), tmp_path, layout, *options)
    mapped = run("map", tmp_path / "quantised.onnx", *SMALL, "--allow-host", "--json", tmp_path / "plan.json")
    assert mapped.code == 0
    arguments = ("simulate", tmp_path / "plan.json", "--jobs", 1)
    document = run(*arguments, "--json", "-").document()
    assert document["exact"] is False
    assert document["values_match"] is True
    counts = [layer["different"] for layer in document["layers"]]
    assert any(counts)
    spoken = run(*arguments)
    assert spoken.code == 0
    for layer in document["layers"]:
        assert layer["greatest_difference"] == (1 if layer["different"] else 0)
        said = f"{layer['different']} of {layer['elements']} differ, by 1 at most"
        assert (said in spoken.out) == bool(layer["different"])
    assert f" elements, {sum(counts)} not the reference's" in spoken.out


def test_compile_writes_what_disassemble_prints_and_simulate_runs(run, model, tmp_path):
    path = tmp_path / "net.dynamap"
    outcome = run("compile", model, *SMALL, "-o", path, "--json", "-")
    assert outcome.code == 0
    facts = outcome.document()
    assert facts["schema"] == "dynamap/compiled/1"
    # In a process whose sets and dictionaries are in another order.
    command = [sys.executable, "-m", "dynamap_opt", "compile", model, *SMALL, "-o", tmp_path / "again.dynamap"]
    assert subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "7"}, check=False).returncode == 0
    assert path.read_bytes() == (tmp_path / "again.dynamap").read_bytes()
    listed = run("disassemble", path)
    assert listed.code == 0
    assert listed.out.count("END\n") == len(facts["layers"])
    one = run("disassemble", path, "--layers", "head")
    assert one.out.count("END\n") == 1
    simulated = run("simulate", model, *SMALL, "--program", path, "--layers", "head", "--jobs", 1)
    assert simulated.code == 0
    path.write_bytes(path.read_bytes()[:-1])
    for arguments in (("disassemble", path), ("simulate", model, *SMALL, "--program", path)):
        refusal = run(*arguments)
        assert refusal.code == 2
        assert "is damaged: its checksum does not hold" in refusal.sentence()


def simulation(*arguments, **options):
    command = [sys.executable, "-m", "dynamap_opt", "simulate", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_for(process, folder, pattern):
    end = time.monotonic() + 60
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("options", [("--jobs", "1"), ("--chain",)], ids=" ".join)
def test_a_killed_run_goes_on_where_it_was(run, model, tmp_path, options):
    arguments = (model, *SMALL, "--work", tmp_path / "work", *options)
    with simulation(*arguments) as process:
        wait_for(process, tmp_path, "work/*/layer-*.json")
        process.send_signal(signal.SIGKILL)
    stored = len(list(tmp_path.glob("work/*/layer-*.json")))
    document = run("simulate", *arguments, "--json", "-").document()
    assert document["resumed"] == stored > 0
    assert document["values_match"] is True
    assert [layer["index"] for layer in document["layers"]] == sorted({layer["index"] for layer in document["layers"]})
    again = run("simulate", *arguments, "--json", "-").document()
    assert again["resumed"] == len(document["layers"])
    assert again["layers"] == document["layers"]
    # The last result is gone: it alone is made again, and is the same.
    max(tmp_path.glob("work/*/layer-*.json")).unlink()
    less = run("simulate", *arguments, "--json", "-").document()
    assert less["resumed"] == len(document["layers"]) - 1
    assert [layer | {"seconds": 0} for layer in less["layers"]] == [
        layer | {"seconds": 0} for layer in document["layers"]
    ]
    assert less["values_match"] is True
    # A run of other inputs has its own folder.
    other = run("simulate", *arguments, "--seed", 1, "--json", "-").document()
    assert other["resumed"] == 0
    assert len(list(tmp_path.glob("work/*"))) == 2


def test_an_interrupted_run_ends_its_processes_and_goes_on(run, model, tmp_path):
    arguments = (model, *SMALL, "--work", tmp_path / "work", "--jobs", 2)
    with simulation(*arguments) as process:
        wait_for(process, tmp_path, "work/*/run.json")
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)  # to the end of the pipes, which its children hold as well
    assert (process.returncode, out, said) == (130, "", "dynamap: interrupted\n")
    stored = len(list(tmp_path.glob("work/*/layer-*.json")))
    document = run("simulate", *arguments, "--json", "-").document()
    assert document["resumed"] == stored
    assert document["values_match"] is True


@pytest.mark.filterwarnings("default")  # Dask's own, of connections that are lost
def test_a_cluster_loses_a_worker_and_the_result_is_the_same(run, model, tmp_path):
    alone = run("simulate", model, *SMALL, "--jobs", 1, "--json", "-").document()
    with cluster(tmp_path, workers=2) as found:
        arguments = (model, *SMALL, "--executor", found.address, "--work", tmp_path / "work", "--json", "-")
        with simulation(*arguments) as process:
            wait_for(process, tmp_path, "work/*/layer-*.json")
            os.kill(found.workers[0].pid, signal.SIGKILL)
            out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    spread = json.loads(out)
    for document in (alone, spread):
        for layer in document["layers"]:
            layer["seconds"] = 0
    assert spread["layers"] == alone["layers"]


# ---- what is refused ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such-net", "--board", BOARD), ("no-such-net",)),
        (("MODEL",), ("a model needs a board",)),
        (("MODEL", "--board", "mars"), ("mars",)),
        (("MODEL", *SMALL, "--layers", "heat"), ("there is no layer 'heat'; did you mean 'head'?",)),
        (("MODEL", *SMALL, "--layers", "2-99"), ("layers 2-99 are none of this network's, which are numbered 0 to",)),
        (("MODEL", *SMALL, "--chain", "--layers", "0"), ("a chain runs all",)),
        (("MODEL", "--board", BOARD, "--array", "9999x9999"), ("9999x9999",)),
        (("MODEL", *SMALL, "--executor", "dask://nowhere"), ("write it as dask://host:port",)),
    ],
)
def test_unusable_input_is_one_sentence(refused, model, arguments, words):
    refused("simulate", *(model if argument == "MODEL" else argument for argument in arguments), words=words)


def test_a_plan_belongs_to_its_network_and_board(refused, plan, tmp_path):
    refused("simulate", plan, "--board", BOARD, words=("a plan has its own board",))
    refused("simulate", plan, "--model", "squeezenet-1.1", words=("fingerprint", "map the network again"))
    (tmp_path / "broken.json").write_text(plan.read_text()[:-20])
    refused("simulate", tmp_path / "broken.json", words=("is not a plan",))


def test_a_program_of_something_else_is_refused(refused, run, model, tmp_path):
    assert run("compile", model, *SMALL, "--seed", 5, "-o", tmp_path / "p").code == 0
    refused(
        "simulate", model, *SMALL, "--program", tmp_path / "p", words=("the program is not what this version makes",)
    )


def limited(size: int):
    """A process that can write no file larger than this, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_leaves_no_half_file(model, tmp_path):
    command = [sys.executable, "-m", "dynamap_opt", "compile", model, *SMALL, "-o", tmp_path / "net.dynamap"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limited(2000))
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "file too large; choose another place" in done.stderr
    assert list(tmp_path.iterdir()) == []
    with simulation(model, *SMALL, "--work", tmp_path / "work", "--jobs", "1", preexec_fn=limited(100)) as process:
        _, said = process.communicate()
    assert process.returncode == 2
    assert "cannot write" in said
    assert [path.name for path in tmp_path.glob("work/*/*")] == ["lock"]
