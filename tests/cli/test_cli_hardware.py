"""``dynamap generate`` and ``dynamap simulators``."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dynamap_rtl.synthesis import check_verilog

SPIRIT = "{http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009}"


def test_generate_writes_verilog_a_list_a_summary_and_a_test_bench(run, tmp_path) -> None:
    folder = tmp_path / "overlay"
    document = run("generate", "--array", "2x3", "-o", str(folder), "--json", "-").document()
    assert set(document["resources"]) == {"dsp", "lut", "ff", "bram"}
    assert document["resources"]["dsp"] >= 6
    assert document["parameters"]["rows"] == 2
    assert document["parameters"]["columns"] == 3
    assert sorted(document["files"]) == sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )
    listed = (folder / "files.f").read_text().split()
    assert all((folder / name).exists() for name in listed)
    assert sorted(listed) == sorted(name for name in document["files"] if name.startswith("rtl/"))
    summary = json.loads((folder / "design.json").read_text())
    assert summary["parameters"]["columns"] == 3
    axi = summary["axi"]
    assert listed[-1] == f"rtl/{axi['top']}.v"
    assert axi == {
        **axi,
        "top": document["axi_top"],
        "component": "component.xml",
        "bus_bytes": 16,
        "address_width": 64,
    }
    assert set(document["axi_resources"]) == set(document["resources"])
    assert 0 < document["axi_resources"]["lut"] < document["resources"]["lut"]
    assert summary["instances"][axi["top"]] == summary["instances"][summary["top"]] == 1
    assert "axi" not in (folder / "simulation" / "simulation.f").read_text()
    component = ET.parse(folder / axi["component"]).getroot()  # noqa: S314 - our own file
    for files in component.iter(f"{SPIRIT}fileSet"):
        assert [entry.findtext(f"{SPIRIT}name") for entry in files.iter(f"{SPIRIT}file")] == listed
    check_verilog({Path(name).name: (folder / name).read_text() for name in listed}, [axi["top"]])


def test_generate_leaves_axi_out_where_it_is_not_wanted(run, tmp_path) -> None:
    arguments = ["--array", "1x2", "--bytes-per-cycle", "4", "--no-axi", "-o", str(tmp_path / "overlay")]
    document = run("generate", *arguments, "--json", "-").document()
    assert (document["axi_top"], document["axi_resources"]) == (None, None)
    assert not [name for name in document["files"] if "axi" in name or "component" in name]


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_the_test_bench_passes_under_icarus(run, tmp_path) -> None:
    folder = tmp_path / "overlay"
    run("generate", "--array", "3x2", "--winograd", "2", "--bytes-per-cycle", "6", "-o", str(folder))
    simulation = folder / "simulation"
    subprocess.run(["iverilog", "-g2001", "-o", "bench", "-f", "simulation.f"], cwd=simulation, check=True)
    finished = subprocess.run(["vvp", "bench"], cwd=simulation, check=True, capture_output=True, text=True)
    assert "PASS" in finished.stdout


def test_generate_takes_array_port_and_tiles_from_a_plan(run, tmp_path) -> None:
    plan = tmp_path / "plan.json"
    assert run("map", "squeezenet-1.1", "--board", "ecp5-85k", "--array", "3x4", "--json", str(plan)).code == 0
    document = run("generate", "--plan", str(plan), "-o", str(tmp_path / "overlay"), "--json", "-").document()
    parameters = document["parameters"]
    assert (parameters["rows"], parameters["columns"]) == (3, 4)
    overlay = json.loads(plan.read_text())["overlay"]
    assert parameters["dram_bytes_per_cycle"] == min(64, overlay["dram_bytes_per_cycle"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--array", "0x4"], "rows of an overlay must be a whole number from 1 to 1024, not 0"),
        (["--array", "4x1025"], "columns of an overlay must be a whole number from 1 to 1024, not 1025"),
        (["--array", "big"], "'big' is not an array shape; write it as 92x66"),
        ([], "generate needs an array, as --array 16x16, or a plan"),
        (["--array", "2x2", "--winograd", "3"], "'3' is not a list of Winograd tiles"),
        (["--array", "2x2", "--bytes-per-cycle", "5000"], "dram_bytes_per_cycle of an overlay must be"),
        (["--array", "2x2", "--winograd", "4", "--bytes-per-cycle", "1"], "widen"),
        (["--array", "2x2", "--bytes-per-cycle", "129"], "128 or less, or leave AXI out"),
    ],
)
def test_what_cannot_be_generated_is_said_in_a_sentence(run, tmp_path, arguments, sentence: str) -> None:
    outcome = run("generate", *arguments, "-o", str(tmp_path / "overlay"))
    assert outcome.code == 2
    assert sentence in outcome.sentence()
    assert not (tmp_path / "overlay").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(run, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    outcome = run("generate", "--array", "2x2", "-o", str(tmp_path))
    assert outcome.code == 2
    outcome.sentence()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_simulators_are_measured_in_one_run(run) -> None:
    arguments = ["--arrays", "2x2,3x2", "--simulators", "PyRTL FastSimulation,dynamap", "--seconds", "0.05"]
    rates = run("simulators", *arguments, "--json", "-").document()["rates"]
    assert [(rate["simulator"], rate["array"]) for rate in rates] == [
        ("PyRTL FastSimulation", "2x2"),
        ("dynamap", "2x2"),
        ("PyRTL FastSimulation", "3x2"),
        ("dynamap", "3x2"),
    ]
    assert all(rate["cycles_per_second"] > 0 for rate in rates)
    table = run("simulators", *arguments).out
    assert "cycles/s" in table


def test_a_simulator_that_is_not_there_is_named(run) -> None:
    outcome = run("simulators", "--simulators", "spice")
    assert outcome.code == 2
    assert "there is no simulator 'spice'" in outcome.sentence()


def test_the_whole_overlay_is_measured_with_its_winograd_units(run, tmp_path) -> None:
    arguments = ["--whole", "--winograd", "2,4", "--arrays", "2x1", "--simulators", "dynamap", "--seconds", "0.05"]
    outcome = run("simulators", *arguments, "--json", str(tmp_path / "rates.json"))
    assert "the whole overlay with F(2, 3) and F(4, 3)" in outcome.out
    (rate,) = json.loads((tmp_path / "rates.json").read_text())["rates"]
    assert (rate["array"], rate["reason"]) == ("2x1", "")
    assert rate["cycles_per_second"] > 0


def test_winograd_tiles_of_an_array_alone_are_refused(run) -> None:
    outcome = run("simulators", "--arrays", "2x2", "--winograd", "2")
    assert outcome.code == 2
    assert "add --whole" in outcome.sentence()
