"""Verilator's simulation of the exported Verilog, as a stand-in for ``CompiledSimulation`` where a peer drives it.

Verilator reads the Verilog and writes C++; a C++ compiler makes a library of it, which is kept with our own simulators.
Nothing of ours takes part but the Verilog and the loop around it, so that it judges both.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.hardware.module import HardwareError, Module
from dynamap_rtl.hardware.verilog import port_names, verilog_of

from .build import alone, cache_folder
from .compare import find_tool
from .layout import limbs_of

__all__ = ["VerilatedSimulation"]

_BLOCK_CYCLES = 1 << 12  # cycles of one call: in between Python sees an interrupt

_MAIN = r"""
#include "Vbench.h"
#include "Vbench__SOURCES.h"
#include <cstdint>
#include <cstring>
struct Simulation { VerilatedContext context; Vbench top{&context}; };
typedef void (*Peer)(void *, const uint64_t *, uint64_t *);
extern "C" void *dm_new() { return new Simulation; }
extern "C" void dm_delete(void *s) { delete (Simulation *)s; }
// Runs up to `cycles` cycles, and ends with the first in which a word of the outputs is not 0.
extern "C" uint64_t dm_run(
    void *s, uint64_t cycles, uint64_t *inputs, uint64_t *outputs, int64_t stop, Peer peer, void *context)
{
    Vbench &top = ((Simulation *)s)->top;
    uint64_t done = 0;
    while (done < cycles) {
        std::memcpy(&top.in[0], inputs, INPUT_BYTES);
        top.clock = 0;
        top.eval();
        std::memcpy(outputs, &top.out[0], OUTPUT_BYTES);
        if (peer) peer(context, outputs, inputs);
        top.clock = 1;
        top.eval();
        done++;
        if (outputs[stop]) break;
    }
    return done;
}
"""


class VerilatedSimulation:
    """The exported Verilog of some hardware, cycle by cycle; see ``CompiledSimulation`` for what the methods do.

    Args:
        top: the hardware.

    Raises:
        HardwareError: without Verilator or a C++ compiler.
    """

    def __init__(self, top: Module) -> None:
        self.top = top
        self._inputs: NDArray[np.uint64] = np.zeros(_places(top.inputs)[1], np.uint64)
        self._outputs: NDArray[np.uint64] = np.zeros(_places(top.outputs)[1], np.uint64)
        self._library = ctypes.CDLL(str(_library(top)))
        self._library.dm_new.restype = ctypes.c_void_p
        self._library.dm_run.restype = ctypes.c_uint64
        self._model = ctypes.c_void_p(self._library.dm_new())

    def __del__(self) -> None:
        if hasattr(self, "_model"):
            self._library.dm_delete(self._model)

    def reset(self) -> None:
        """Everything as at the start."""
        self._library.dm_delete(self._model)
        self._model = ctypes.c_void_p(self._library.dm_new())
        self._inputs[:] = 0

    def run_until(self, output: str, *, limit: int, inputs: Mapping[str, int], peer: Any, context: int) -> int | None:
        """Run until an output is not 0; inputs are constant, but for what the peer changes."""
        places = _places(self.top.inputs)[0]
        for name, value in inputs.items():
            assert self.top.inputs[name].bits <= 64
            self._inputs[places[name]] = value
        stop = _places(self.top.outputs)[0][output]
        done = 0
        while done < limit:
            ran: int = self._library.dm_run(
                self._model,
                ctypes.c_uint64(min(_BLOCK_CYCLES, limit - done)),
                ctypes.c_void_p(self._inputs.ctypes.data),
                ctypes.c_void_p(self._outputs.ctypes.data),
                ctypes.c_int64(stop),
                ctypes.cast(peer, ctypes.c_void_p),
                ctypes.c_void_p(context),
            )
            done += ran
            if self._outputs[stop]:
                return done
        return None


def _places(ports: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    """The first 64-bit word of every port, and how many words there are."""
    places, words = {}, 0
    for name, port in ports.items():
        places[name] = words
        words += limbs_of(port.bits)
    return places, words


def _bench(top: Module) -> dict[str, str]:
    """The Verilog, and above it a module with one wide input and one wide output, ports at words of 64 bits."""
    files = dict(verilog_of(top))
    names = port_names(top)
    places = {"in": _places(top.inputs), "out": _places(top.outputs)}
    sizes = {side: 64 * words for side, (_, words) in places.items()}
    connections = [".clock(clock)"]
    rest = []
    for side, ports in (("in", top.inputs), ("out", top.outputs)):
        for name, port in ports.items():
            low = 64 * places[side][0][name]
            connections.append(f".{names[name]}({side}[{low} +: {port.bits}])")
            spare = -port.bits % 64
            if side == "out" and spare:
                rest.append(f"    assign out[{low + port.bits} +: {spare}] = {spare}'d0;")
    head = f"module bench(input clock, input [{sizes['in'] - 1}:0] in, output [{sizes['out'] - 1}:0] out);"
    files["bench.v"] = "\n".join([head, f"    {top.name} top ({', '.join(connections)});", *rest, "endmodule", ""])
    return files


def _library(top: Module) -> Path:
    """The compiled library, made unless it was before."""
    files = _bench(top)
    verilator = find_tool("verilator", "verilator-cli")
    compiler = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    if compiler is None:
        raise HardwareError("Verilator's output needs a C++ compiler, and neither g++, c++ nor clang++ is on the path")
    version = _call([verilator, "--version"], Path.cwd())
    key = hashlib.sha256(
        "\0".join([version, compiler, _MAIN, *(part for item in files.items() for part in item)]).encode()
    )
    folder = cache_folder()
    library = folder / f"{key.hexdigest()[:40]}.so"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(library.with_suffix(".lock")):
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as name:
                _build(top, files, verilator, compiler, Path(name)).replace(library)
    return library


def _build(top: Module, files: Mapping[str, str], verilator: str, compiler: str, folder: Path) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    quiet = ["-Wno-fatal", "-Wno-lint"]
    command = [verilator, "--cc", "-O3", "-Mdir", ".", "--top-module", "bench", "--prefix", "Vbench", *quiet]
    _call([*command, *files], folder)
    root = Path(_call([verilator, "--getenv", "VERILATOR_ROOT"], folder).strip())
    sources = sorted(path.name for path in folder.glob("Vbench*.cpp"))
    (folder / "Vbench__SOURCES.h").write_text("".join(f'#include "{source}"\n' for source in sources), encoding="utf-8")
    inputs, outputs = (8 * _places(ports)[1] for ports in (top.inputs, top.outputs))
    main = _MAIN.replace("INPUT_BYTES", str(inputs)).replace("OUTPUT_BYTES", str(outputs))
    (folder / "main.cpp").write_text(main, encoding="utf-8")
    includes = [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
    defines = ["-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0", "-DVL_TIME_CONTEXT"]
    runtime = [str(root / "include" / f"{name}.cpp") for name in ("verilated", "verilated_threads")]
    flags = ["-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-pthread", *_own_flags()]
    _call([compiler, *flags, *defines, *includes, "main.cpp", *runtime, "-o", "library.so"], folder)
    return folder / "library.so"


def _own_flags() -> list[str]:
    """What the user wants of the C++ compiler besides."""
    return os.environ.get("CXXFLAGS", "").split()


def _call(command: list[str], folder: Path) -> str:
    done = subprocess.run(  # noqa: S603  # our own arguments, no shell
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HardwareError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
