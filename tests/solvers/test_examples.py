"""The programs in docs/examples and the page that walks through them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "how-to" / "compilers.md").read_text(encoding="utf-8")
PROGRAMS = ("layout_selection.py", "sharding.py", "primitive_selection.py")
SHOWN = dict(re.findall(r"<!-- checked: python docs/examples/(\S+) -->\n```text\n(.*?)```\n", PAGE, re.DOTALL))
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(*arguments: str | Path, **environment: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def test_the_page_shows_the_whole_output_of_every_program():
    assert set(SHOWN) == set(PROGRAMS)  # tests/test_docs.py compares it
    assert {path.name for path in FOLDER.glob("*.py")} == {
        *PROGRAMS,
        "make_profile.py",
        "overlay_program.py",
        "layer_cycles.py",
        "digits.py",
        "formula_deviations.py",
        "published_and_measured.py",
    }


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kernel", ["on", "off"])
def test_a_program_prints_the_same_with_and_without_the_kernel_and_warns_of_nothing(program, kernel):
    assert run(FOLDER / program, DYNAMAP_KERNEL=kernel) == SHOWN[program]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_short_and_checks_its_result(program):
    text = (FOLDER / program).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    assert "assert " in text


def test_code_on_the_page_is_code_of_the_programs():
    programs = [(FOLDER / program).read_text(encoding="utf-8") for program in PROGRAMS]
    assert len(SNIPPETS) >= 6
    assert [snippet for snippet in SNIPPETS if not any(snippet in text for text in programs)] == []


def test_the_profile_is_what_its_program_makes_and_what_the_page_shows(tmp_path):
    spec = importlib.util.spec_from_file_location("make_profile", FOLDER / "make_profile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate(tmp_path / "profile.csv")
    made = (tmp_path / "profile.csv").read_bytes()
    assert made == (FOLDER / "profile.csv").read_bytes()
    for line in made.decode().splitlines()[:2]:
        assert f"    {line}\n" in PAGE


def test_primitive_selection_takes_a_file(tmp_path):
    lines = (FOLDER / "profile.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "mine.csv"
    path.write_text("".join(line for line in lines if not line.startswith("laptop")), encoding="utf-8")
    output = run(FOLDER / "primitive_selection.py", path)
    assert output.startswith("board: optimal")
    board = SHOWN["primitive_selection.py"].partition("board:")[2]
    assert output.splitlines()[1:-1] == ("board:" + board).splitlines()[1:-1]


def test_sharding_takes_an_iopddl_file(tmp_path):
    nodes = {"intervals": [[0, 2], [1, 3]], "costs": [[15, 55], [30, 60]], "usages": [[10, 20], [15, 5]]}
    edges = {"nodes": [[0, 1]], "costs": [[10, 0, 0, 10**18]]}
    document = {"problem": {"name": "x", "nodes": nodes, "edges": edges, "usage_limit": 20}}
    (tmp_path / "file.json").write_text(json.dumps(document), encoding="utf-8")
    # (0, 0) and (1, 0) use 25 and 35 between times 1 and 2, (1, 1) is forbidden: only 15 + 60 + 0 is left.
    assert run(FOLDER / "sharding.py", tmp_path / "file.json").splitlines()[0].endswith("objective 75")


def _pyright() -> str | None:
    beside = Path(sys.executable).with_name("basedpyright")
    return str(beside) if beside.exists() else None


@pytest.mark.skipif(_pyright() is None, reason="needs basedpyright, which is in the test group")
def test_the_programs_pass_pyright_and_a_wrong_call_does_not(tmp_path):
    def errors(*include: Path) -> list[str]:
        settings = {
            "include": [str(path) for path in include],
            "typeCheckingMode": "standard",
            "extraPaths": [str(ROOT / "solvers"), str(FOLDER)],  # programs find their neighbours
        }
        (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
        finished = subprocess.run(
            [_pyright() or "", "--outputjson", "-p", str(tmp_path), "--pythonpath", sys.executable],
            capture_output=True,
            text=True,
            check=False,
        )
        report = json.loads(finished.stdout)
        assert report["summary"]["filesAnalyzed"] >= 1
        return [
            f"{Path(found['file']).name}:{found['range']['start']['line'] + 1}: {found['message']}"
            for found in report["generalDiagnostics"]
            if found["severity"] == "error"
        ]

    assert errors(FOLDER) == []
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from dynamap_solvers import SelectionProblem, solve\nsolve(SelectionProblem(unary=[]), gap='1')\n"
    )
    (found,) = errors(wrong)
    assert "gap" in found
