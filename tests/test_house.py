"""The house rules that a tool can check: what a wheel installs, who imports whom, what loads when."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "dynamap_opt": ROOT / "dynamap_opt",
    "dynamap_models": ROOT / "models" / "dynamap_models",
    "dynamap_rtl": ROOT / "rtl" / "dynamap_rtl",
    "dynamap_solvers": ROOT / "solvers" / "dynamap_solvers",
}
LOWER = [name for name in PACKAGES if name != "dynamap_opt"]


def imports_of(path: Path, package: str) -> set[str]:
    """Top-level packages a file imports, wherever in it and however."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(package if node.level else (node.module or "").partition(".")[0])
    return found


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_installs_four_packages_and_nothing_else(wheel_names: list[str]) -> None:
    top = {name.partition("/")[0] for name in wheel_names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler is at hand")
def test_the_wheel_brings_the_compiled_kernel_where_there_is_a_compiler(wheel_names: list[str]) -> None:
    assert "dynamap_solvers/_kernel/_dynamap_kernel.so" in wheel_names


def test_the_sdist_gives_a_wheel_that_works_without_a_compiler(tmp_path: Path) -> None:
    hatch = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path), "--target"]
    subprocess.run([*hatch, "sdist"], cwd=ROOT, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
        archive.extractall(tmp_path)  # noqa: S202 - what we have just built
    finished = subprocess.run(
        [*hatch, "wheel"],
        cwd=tmp_path / sdist.name.removesuffix(".tar.gz"),
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "CXX": str(tmp_path / "no-such-compiler")},
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "built without its compiled kernel" in finished.stderr + finished.stdout
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]
        archive.extractall(tmp_path / "site")  # noqa: S202 - what we have just built
    code = (
        "import dynamap_opt, dynamap_solvers._kernel as kernel; "
        "plan = dynamap_opt.map('squeezenet-1.1', 'ecp5-85k', array=(10, 14)); "
        "print(dynamap_opt.__file__, kernel.library(), plan.status)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    ).stdout
    assert said.split() == [str(tmp_path / "site" / "dynamap_opt" / "__init__.py"), "None", "optimal"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_ships_its_types(wheel_names: list[str], package: str) -> None:
    assert f"{package}/py.typed" in wheel_names


def test_the_wheel_brings_the_board_presets(wheel_names: list[str]) -> None:
    presets = {Path(name).stem for name in wheel_names if name.endswith(".toml")}
    assert {"alveo-u200", "ecp5-85k"} <= presets


def test_the_wheel_brings_the_published_figures(wheel_names: list[str]) -> None:
    assert "dynamap_opt/reproduction/published.toml" in wheel_names


@pytest.mark.parametrize("package", LOWER)
def test_lower_packages_import_no_other_of_ours(package: str) -> None:
    files = sorted(PACKAGES[package].rglob("*.py"))
    assert files
    others = set(PACKAGES) - {package}
    guilty = {str(path.relative_to(ROOT)): sorted(imports_of(path, package) & others) for path in files}
    assert {path: names for path, names in guilty.items() if names} == {}


def test_solvers_know_no_onnx_and_models_no_solver() -> None:
    forbidden = {
        "dynamap_solvers": {"onnx", "onnxruntime", "pyrtl"},
        "dynamap_models": {"pulp", "highspy", "pyrtl"},
        "dynamap_rtl": {"onnx", "pulp"},
    }
    for package, names in forbidden.items():
        for path in PACKAGES[package].rglob("*.py"):
            assert not imports_of(path, package) & names, path


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_is_documented(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value) and not name.startswith("__"):
            assert value.__doc__, f"{package}.{name}"


def test_importing_the_library_loads_no_heavy_package() -> None:
    code = (
        "import sys, dynamap_opt; dynamap_opt.map; "
        "heavy = {'onnx', 'pulp', 'highspy', 'cvxpy', 'pyrtl', 'rich', 'matplotlib', 'networkx', 'igraph'}; "
        "heavy = (heavy | {'vl_convert'}) & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) if heavy else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_only_the_command_line_prints() -> None:
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            if "cli" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = node.func if isinstance(node, ast.Call) else None
                assert not (isinstance(called, ast.Name) and called.id == "print"), (package, path)
