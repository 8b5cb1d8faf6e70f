"""Compiling generated C, and finding again what was compiled before."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from dynamap_rtl.hardware.module import HardwareError

__all__ = ["alone", "cache_folder", "compiled"]

_COMMON = ("-std=gnu11", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-march=native", "-w")
#: The loops over cells are few and worth everything, but not a call of memcpy for the copy of a line. The logic around
#: them is long straight lines, over which the optimisations of -O3 take their time for nothing, and short loops over
#: lanes that shall be vectors.
_LEVELS = {
    "grids": ("-O3", "-mprefer-vector-width=512", "-fno-tree-loop-distribute-patterns"),
    "flat": ("-O2", "-fvect-cost-model=dynamic"),
}
_PLAIN = {"grids": ("-O3",), "flat": ("-O2",)}
_KEPT = 200  # libraries in the cache; the ones not used for longest go first


def cache_folder() -> Path:
    """Where compiled simulators are kept: ``DYNAMAP_CACHE``, or the user's cache folder."""
    if named := os.environ.get("DYNAMAP_CACHE"):
        return Path(named) / "simulators"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dynamap-opt" / "simulators"


def compiled(sources: Mapping[str, str]) -> ctypes.CDLL:
    """The shared library of some C files, compiled unless it was before.

    The compiler is that of ``CC``; flags in ``CFLAGS`` come last. The key is the source, the compiler, its flags and
    the processor (a folder may be shared by several machines). A library appears in the cache whole or not at all,
    so that any number of processes may use it at once.

    Raises:
        HardwareError: when there is no compiler, or it fails.
    """
    compiler, version = _compiler()
    parts = [version, repr(_flags(version)), _processor()]
    parts += [part for name in sorted(sources) for part in (name, sources[name])]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
    folder = cache_folder()
    library = folder / f"{key}.so"
    for _ in range(2):  # another process may clear the cache between our look and our load
        if not library.exists():
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with alone(folder / f"{key}.lock"):
                    if not library.exists():  # whoever held the lock may have compiled it
                        _compile(compiler, _flags(version), sources, library)
            except OSError as error:
                raise HardwareError(
                    f"the simulator cannot be built in {folder}: {error}; name a folder for it in DYNAMAP_CACHE"
                ) from error
            _prune(folder)
        with suppress(FileNotFoundError):
            library.touch()
        try:
            return ctypes.CDLL(str(library))
        except OSError as error:
            failure = error
            with suppress(OSError):
                library.unlink()
    raise HardwareError(f"the compiled simulator does not load: {failure}")


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock, so that processes that want the same library at once do not all compile it.

    Where the file system or Python knows no locks they do; each library is whole all the same.
    """
    with lock.open("wb") as file:
        with suppress(ImportError, OSError):
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
        with suppress(FileNotFoundError):
            lock.unlink()


@cache
def _version(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # the user's own compiler, no shell
            [*command.split(), "--version"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise HardwareError(f"the C compiler {command!r} (CC) cannot be run: {error}") from error
    return done.stdout


def _compiler() -> tuple[str, str]:
    wanted = os.environ.get("CC")
    command = wanted or next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if command is None:
        raise HardwareError(
            "compiled simulation needs a C compiler, and neither cc, gcc nor clang is on the path: "
            "install one, or name it in CC"
        )
    return command, command + "\n" + _version(command)


def _flags(version: str) -> Mapping[str, tuple[str, ...]]:
    gnu = "Free Software Foundation" in version and platform.machine() in {"x86_64", "AMD64"}
    own = os.environ.get("CFLAGS", "").split()  # what the user wants besides
    return {name: (*_COMMON, *level, *own) for name, level in (_LEVELS if gnu else _PLAIN).items()}


@cache
def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor() + platform.machine()


def _compile(compiler: str, flags: Mapping[str, tuple[str, ...]], sources: Mapping[str, str], library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="build-") as name:
        folder = Path(name)
        running = []
        for unit, text in sources.items():
            (folder / f"{unit}.c").write_text(text, encoding="utf-8")
            command = [*compiler.split(), *flags[unit], "-c", f"{unit}.c", "-o", f"{unit}.o"]
            running.append(
                subprocess.Popen(  # noqa: S603  # our own arguments, no shell
                    command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
                )
            )
        said = [process.communicate()[1] for process in running]
        for process, complaints in zip(running, said, strict=True):
            if process.returncode:
                raise HardwareError(f"the C compiler {compiler!r} refused the simulator: {complaints.strip()[-2000:]}")
        done = subprocess.run(  # noqa: S603  # our own arguments, no shell
            [*compiler.split(), "-shared", "-o", "library.so", *(f"{unit}.o" for unit in sources)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HardwareError(f"the C compiler {compiler!r} does not link: {done.stderr.strip()[-2000:]}")
        (folder / "library.so").replace(library)


def _prune(folder: Path) -> None:
    ages = []
    for path in folder.glob("*.so"):
        with suppress(OSError):
            ages.append((path.stat().st_mtime, path))
    for _, path in sorted(ages, reverse=True)[_KEPT:]:
        with suppress(OSError):
            path.unlink()
