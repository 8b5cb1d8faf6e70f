"""Compiles the solver kernel when the package is built or installed.

Where no C++ compiler is found, the package is built without the kernel and works without it (slower). Set
``DYNAMAP_BUILD_KERNEL=off`` to leave it out on purpose, ``=required`` to fail instead of leaving it out, and ``CXX`` to
choose the compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNEL = Path("solvers", "dynamap_solvers", "_kernel")
LIBRARY = "_dynamap_kernel.so"  # as in _kernel/__init__.py; loaded by ctypes, so the same name serves everywhere
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-pthread")


class KernelHook(BuildHookInterface[Any]):
    """One shared library from all sources of the kernel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before files are collected, for wheels and editable installs alike."""
        del version
        if self.target_name != "wheel":
            return
        library = Path(self.root) / KERNEL / LIBRARY
        wish = os.environ.get("DYNAMAP_BUILD_KERNEL", "")
        if wish.lower() in {"off", "0", "no"}:
            library.unlink(missing_ok=True)
            return
        # A library that is there is replaced, never missing in between: processes of this tree may be loading it.
        reason = compile_kernel(Path(self.root) / KERNEL, library)
        if reason:
            library.unlink(missing_ok=True)
            if wish == "required":
                raise RuntimeError(f"The solver kernel could not be built: {reason}")
            self.app.display_warning(f"dynamap-opt is built without its compiled kernel: {reason}")
            return
        build_data["pure_python"] = False
        # Loaded by ctypes: it depends on the platform, on no version of Python.
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        build_data["force_include"][str(library)] = str(Path("dynamap_solvers", "_kernel", LIBRARY))


def compile_kernel(sources: Path, library: Path) -> str:
    """Compile and link; a sentence on what went wrong, empty when all is well.

    The file appears whole or not at all; one newer than its sources stays, unless CXX chooses the compiler.
    """
    wanted = os.environ.get("CXX")
    compiler = wanted or next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if compiler is None:
        return "no C++ compiler (c++, g++, clang++) is on the path."
    files = sorted(sources.glob("*.cpp"))
    newest = max(path.stat().st_mtime for path in (Path(__file__), *sources.glob("*.?pp"), *sources.glob("*.inc")))
    if library.exists() and library.stat().st_mtime > newest and not wanted:
        return ""
    try:
        with tempfile.TemporaryDirectory(dir=library.parent, prefix="build-") as name:
            folder = Path(name)
            objects = [folder / f"{path.stem}.o" for path in files]
            steps = [["-c", "-o", str(out), str(path)] for path, out in zip(files, objects, strict=True)]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                said = list(pool.map(lambda step: _run([*compiler.split(), *FLAGS, *step]), steps))
            said.append(_run([*compiler.split(), *FLAGS, "-shared", "-o", str(folder / LIBRARY), *map(str, objects)]))
            if any(said):
                return f"{compiler} failed: {next(filter(None, said))[-2000:]}"
            (folder / LIBRARY).replace(library)
    except OSError as error:
        return f"{compiler} could not be run: {error}."
    return ""


def _run(command: list[str]) -> str:
    """Run a compiler; what it complains of where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our arguments, no shell
    return (done.stderr.strip() or "no reason given") if done.returncode else ""


if __name__ == "__main__":  # compile in place, for work on the kernel
    failure = compile_kernel(Path(__file__).parent / KERNEL, Path(__file__).parent / KERNEL / LIBRARY)
    sys.exit(failure or 0)
