"""A design on disk: complete, reproducible, careful with what it finds, and its bench tells right from wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dynamap_rtl.design_folder import SUMMARY, write_design
from dynamap_rtl.hardware import Constant, Design, Grid, HardwareError, Leaf, Port, delayed, resize


def design() -> Design:
    cell = Leaf(
        "stage",
        inputs={"value": 9},
        outputs={"held": 9},
        logic=lambda wires: {"held": delayed(resize(wires["value"] + 3, 9), 1, "held")},
    )
    grid = Grid("stages", cell, rows=2, columns=3, east={"value": "held"})
    top = Design("pipe", inputs={"data": Port(9, 2)}, outputs={"out": Port(9, 2), "four": 3})
    stages = top.add("stages", grid, value=top["data"])
    top.add("more", grid, value=stages["held"])
    return top.finish(out=stages["held"], four=Constant(4, Port(3)))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def simulate(folder: Path, tmp_path: Path) -> str:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    place = folder / "simulation"
    subprocess.run(
        ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", "pipe_tb", "-f", "simulation.f", "-o", tmp_path / "tb"],
        cwd=place,
        check=True,
    )
    finished = subprocess.run(["vvp", "-n", tmp_path / "tb"], cwd=place, check=True, text=True, stdout=subprocess.PIPE)
    return finished.stdout


def test_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pipe"
    write_design(design(), folder, parameters={"rows": 2, "columns": 3})
    summary = json.loads((folder / SUMMARY).read_text())
    assert summary["top"] == "pipe"
    assert summary["parameters"] == {"rows": 2, "columns": 3}
    assert summary["ports"]["data"] == {"direction": "input", "width": 9, "lanes": 2}
    assert summary["instances"] == {"stage": 12, "stages": 2, "pipe": 1}
    assert (folder / "files.f").read_text().split() == ["rtl/stage.v", "rtl/stages.v", "rtl/pipe.v"]
    assert set(summary["files"]) == set(contents(folder)) - {SUMMARY}
    assert [path.name for path in folder.parent.iterdir()] == ["pipe"]


def test_the_bench_passes_and_finds_a_wrong_bit(tmp_path: Path) -> None:
    write_design(design(), tmp_path / "pipe", parameters={}, stimulus={"data": [n * 977 % 2**18 for n in range(20)]})
    assert simulate(tmp_path / "pipe", tmp_path).strip() == "PASS: pipe, 20 cycles"
    expected = tmp_path / "pipe" / "simulation" / "expected.hex"
    lines = expected.read_text().split()
    lines[7] = f"{int(lines[7], 16) ^ 1 << 10:x}"  # in the second lane of out
    expected.write_text("\n".join(lines))
    said = simulate(tmp_path / "pipe", tmp_path)
    assert "FAIL: pipe, 1 of 20 cycles differ" in said
    assert "cycle 7:\n    out is " in said
    assert "four" not in said


def test_the_same_design_gives_the_same_bytes_and_replaces_itself(tmp_path: Path) -> None:
    write_design(design(), tmp_path / "a", parameters={"x": 1})
    write_design(design(), tmp_path / "b", parameters={"x": 2})
    write_design(design(), tmp_path / "b", parameters={"x": 1})
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_design(design(), tmp_path / "empty", parameters={})
    assert (tmp_path / "empty" / SUMMARY).exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(HardwareError, match="no design of ours"):
        write_design(design(), tmp_path, parameters={})
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(HardwareError, match="is not a folder"):
        write_design(design(), tmp_path / "file", parameters={})


@pytest.mark.parametrize(
    ("name", "message"), [("rtl/notes.txt", "is not part of the design"), ("rtl/pipe.v", "was changed")]
)
def test_a_design_with_foreign_or_changed_files_is_left_alone(tmp_path: Path, name: str, message: str) -> None:
    folder = tmp_path / "pipe"
    write_design(design(), folder, parameters={})
    (folder / name).write_text("mine")
    before = contents(folder)
    with pytest.raises(HardwareError, match=message):
        write_design(design(), folder, parameters={"other": True})
    assert contents(folder) == before


@pytest.mark.parametrize("stimulus", [{}, {"data": []}, {"data": [1], "other": [2]}])
def test_a_stimulus_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, stimulus: dict[str, list[int]]) -> None:
    with pytest.raises(HardwareError, match="the stimulus of 'pipe'"):
        write_design(design(), tmp_path / "pipe", parameters={}, stimulus=stimulus)
    assert list(tmp_path.iterdir()) == []


def test_when_the_new_folder_cannot_be_put_in_place_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pipe"
    write_design(design(), folder, parameters={})
    before = contents(folder)
    replace = os.replace

    def fail_for_new(source: Path, target: Path) -> None:
        if source.name == "new":
            raise OSError("disk on fire")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_new)
    with pytest.raises(OSError, match="disk on fire"):
        write_design(design(), folder, parameters={"other": True})
    assert contents(folder) == before
    assert list(tmp_path.iterdir()) == [folder]
