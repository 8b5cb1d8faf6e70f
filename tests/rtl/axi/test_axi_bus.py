"""The masters and the whole overlay on buses of cocotbext-axi, simulated by Verilator.

Compiling takes most of the time, so all of it is one simulation; here each of its tests is reported by itself.
"""

from __future__ import annotations

import ast
import contextlib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from axi_bench import build

#: What runs inside the simulation.
MODULES = ["axi_cocotb_masters", "axi_cocotb_overlay"]
TESTS = Path(__file__).resolve().parents[2]
NAMES = [
    node.name
    for module in MODULES
    for node in ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.AsyncFunctionDef)
    and any("cocotb.test" in ast.unparse(mark) for mark in node.decorator_list)
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What went wrong in every test, each parameter by itself; nothing where it passed."""
    folder = tmp_path_factory.mktemp("axi")
    runner = build(folder)
    results, log = folder / "results.xml", folder / "run.log"
    with contextlib.suppress(RuntimeError, SystemExit):  # a test failed, or all of it: the results tell
        runner.test(
            hdl_toplevel="bench",
            test_module=MODULES,
            build_dir=folder / "build",
            test_dir=folder,
            results_xml=str(results),
            log_file=log,
            seed=1,
            extra_env={"COCOTB_LOG_LEVEL": "WARNING"},
        )
    if not results.exists():
        pytest.fail(f"the simulation broke off:\n{log.read_text()[-4000:]}")
    found: dict[str, list[str]] = {}
    for case in ET.parse(results).iter("testcase"):  # noqa: S314 - our own file
        name = case.get("name", "").partition("/")[0]
        problems = [part for part in case if part.tag in ("failure", "error", "skipped")]
        failures = [f"{case.get('name')}: {problem.text}" for problem in problems]
        found.setdefault(name, []).extend(failures)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_on_the_bus(outcomes: dict[str, list[str]], name: str) -> None:
    assert outcomes[name] == []
