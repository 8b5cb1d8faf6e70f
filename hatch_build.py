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
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNEL = Path("solvers", "dynamap_solvers", "_kernel")
LIBRARY = "_dynamap_kernel.so"  # as in _kernel/__init__.py; loaded by ctypes, so the same name serves everywhere
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden")


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
    """Compile and link; a sentence on what went wrong, empty when all is well. The file appears whole or not at all."""
    wanted = os.environ.get("CXX")
    compiler = wanted or next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if compiler is None:
        return "no C++ compiler (c++, g++, clang++) is on the path."
    files = sorted(str(path) for path in sources.glob("*.cpp"))
    fresh = library.with_suffix(f".{os.getpid()}.tmp")
    try:
        done = subprocess.run(  # noqa: S603  # our own arguments, no shell
            [*compiler.split(), *FLAGS, "-o", str(fresh), *files], capture_output=True, text=True, check=False
        )
        if done.returncode:
            return f"{compiler} failed: {done.stderr.strip()[-2000:]}"
        fresh.replace(library)
    except OSError as error:
        return f"{compiler} could not be run: {error}."
    finally:
        fresh.unlink(missing_ok=True)
    return ""


if __name__ == "__main__":  # compile in place, for work on the kernel
    failure = compile_kernel(Path(__file__).parent / KERNEL, Path(__file__).parent / KERNEL / LIBRARY)
    sys.exit(failure or 0)
