"""The compiled simulator's interface: runs, memories, traces, the build cache, and what it refuses."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyrtl
import pytest

from dynamap_rtl.hardware import Design, Grid, HardwareError, Leaf, Port
from dynamap_rtl.hardware.simulator import CompiledSimulation, PeerFunction
from dynamap_rtl.hardware.simulator.program import Program

pytestmark = pytest.mark.usefixtures("cache")


def counter(width: int = 8) -> Leaf:
    """Adds up its input; says when the sum is over 100."""

    def logic(i):
        total = pyrtl.Register(width, "total")
        total.next <<= (total + i["a"])[:width]
        return {"sum": total, "over": total > 100}

    return Leaf(f"counter_{width}", inputs={"a": width}, outputs={"sum": width, "over": 1}, logic=logic)


def table() -> Leaf:
    def logic(i):
        memory = pyrtl.MemBlock(12, 4, "memory", asynchronous=True)
        memory[i["at"]] <<= pyrtl.MemBlock.EnabledWrite(i["value"], i["write"])
        return {"value_out": memory[i["at"]]}

    return Leaf("table", inputs={"at": 4, "value": 12, "write": 1}, outputs={"value_out": 12}, logic=logic)


def tables() -> Grid:
    return Grid("tables", table(), rows=2, columns=3, shared=("write",))


def test_a_run_is_its_steps():
    values = np.random.default_rng(0).integers(0, 256, 300)
    by_run, by_step = CompiledSimulation(counter()), CompiledSimulation(counter())
    got = by_run.run({"a": values})
    for cycle, value in enumerate(values):
        by_step.step({"a": int(value)})
        assert by_step.inspect("sum") == got["sum"][cycle]
        assert by_step.inspect("over") == got["over"][cycle]
    assert by_run.cycles == by_step.cycles == 300
    assert by_run.next_value("total") == values.sum() % 256


def test_wide_inputs_and_outputs_are_rows_of_words():
    wide = Leaf("wide", inputs={"a": 100}, outputs={"b": 100}, logic=lambda i: {"b": ~i["a"]})
    values = [0, 1, 2**99, 2**100 - 1, 3 << 63, -1]
    simulation = CompiledSimulation(wide)
    by_number = simulation.run({"a": values})["b"]
    rows = np.array([[v % 2**64, v % 2**100 >> 64] for v in values], np.uint64)
    by_row = simulation.run({"a": rows})["b"]
    assert by_row.tolist() == by_number.tolist()
    assert [int(low) | int(high) << 64 for low, high in by_row] == [~v % 2**100 for v in values]
    negative = simulation.run({"a": np.array([-5, 5])})["b"]
    assert [int(low) | int(high) << 64 for low, high in negative] == [4, ~5 % 2**100]


def test_an_input_left_out_of_a_run_keeps_its_value():
    adder = Leaf("adder", inputs={"a": 8, "b": 8}, outputs={"s": 9}, logic=lambda i: {"s": i["a"] + i["b"]})
    simulation = CompiledSimulation(adder)
    simulation.set_inputs({"b": 7})
    assert simulation.run({"a": [1, 2]})["s"].tolist() == [8, 9]
    assert simulation.run(cycles=1)["s"].tolist() == [9]
    assert simulation.run({"a": [1]}, outputs=[]) == {}


def test_negative_inputs_are_in_twos_complement():
    simulation = CompiledSimulation(counter())
    simulation.step({"a": -3})
    assert simulation.next_value("total") == 253
    simulation.run({"a": np.array([-1, -1], np.int8)})
    assert simulation.next_value("total") == 251


def test_running_until_an_output_is_set():
    simulation = CompiledSimulation(counter())
    assert simulation.run_until("over", limit=1000, inputs={"a": 10}) == 12  # 0, 10, ..., 110
    assert simulation.inspect("sum") == 110
    assert CompiledSimulation(counter()).run_until("over", limit=11, inputs={"a": 10}) is None


PEER = """
#include <stdint.h>
void memory(void *context, const uint64_t *outputs, uint64_t *inputs)
{
    inputs[0] = ((uint64_t *)context)[outputs[0] % 4];
}
"""


def test_a_peer_in_c_answers_every_cycle(tmp_path):
    (tmp_path / "peer.c").write_text(PEER)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "peer.so", "peer.c"], cwd=tmp_path, check=True)
    data = (ctypes.c_uint64 * 4)(1, 2, 3, 4)
    simulation = CompiledSimulation(counter(), trace=["a", "sum"])
    peer = ctypes.CDLL(str(tmp_path / "peer.so")).memory
    assert simulation.run_until("over", limit=20, peer=peer, context=ctypes.addressof(data)) is None
    total, given = 0, 0
    for seen, sent in zip(simulation.trace("sum"), simulation.trace("a"), strict=True):
        assert (seen, sent) == (total, given)
        total, given = total + given, data[total % 4]


def test_a_peer_in_python():
    def answer(_, outputs, inputs):
        inputs[0] = 5 - outputs[1]

    simulation = CompiledSimulation(counter())
    assert simulation.run_until("over", limit=100, peer=PeerFunction(answer)) == 23


def test_memories_are_written_and_read_as_arrays():
    simulation = CompiledSimulation(table(), memories={"memory": range(16)})
    simulation.write_mem("memory", np.array([100, -1]), start=3)
    assert simulation.inspect_mem("memory").tolist() == [0, 1, 2, 100, 4095, *range(5, 16)]
    simulation.step({"at": 3, "value": 9, "write": 1})
    assert simulation.inspect("value_out") == 100
    assert simulation.inspect_mem("memory")[3] == 9


def test_memories_of_cells_have_names():
    simulation = CompiledSimulation(tables())
    for cell in range(6):
        simulation.write_mem(f"{cell // 3}_{cell % 3}.memory", [cell * 100 + word for word in range(16)])
    simulation.step({"at": 0x654321, "value": 0, "write": 0})
    assert [simulation.inspect(f"{cell // 3}_{cell % 3}.value_out") for cell in range(6)] == [
        1,
        102,
        203,
        304,
        405,
        506,
    ]
    lanes = simulation.inspect("value_out")
    assert [lanes >> (12 * cell) & 4095 for cell in range(6)] == [1, 102, 203, 304, 405, 506]
    assert simulation.inspect_mem("1_2.memory")[15] == 515


def test_traces_hold_every_cycle_and_forget_on_demand():
    simulation = CompiledSimulation(counter(), trace=["over", "total", "a"])
    simulation.run({"a": [60, 60, 60]})
    assert simulation.trace("total").tolist() == [0, 60, 120]
    assert simulation.trace("over").tolist() == [0, 0, 1]
    assert simulation.trace("a").tolist() == [60, 60, 60]
    simulation.clear_trace()
    simulation.step({"a": 1})
    assert simulation.trace("total").tolist() == [180]


def test_a_vcd_says_what_the_traces_say(tmp_path):
    simulation = CompiledSimulation(tables(), trace=["1_2.value_out", "0_0.value_out", "0_0.write", "value_out"])
    simulation.write_mem("1_2.memory", range(1000, 1016))
    rng = np.random.default_rng(1)
    for _ in range(20):
        simulation.step(
            {"at": int(rng.integers(2**24)), "value": int(rng.integers(2**60)), "write": int(rng.integers(2))}
        )
    simulation.write_vcd(tmp_path / "waves.vcd", cycle_ns=4)
    for name, wave in read_vcd((tmp_path / "waves.vcd").read_text(), 20, 4).items():
        trace = simulation.trace(name).reshape(20, -1)
        assert wave == [sum(int(word) << (64 * place) for place, word in enumerate(row)) for row in trace], name


def read_vcd(text: str, cycles: int, cycle_ns: int) -> dict[str, list[int]]:
    scopes, names, waves = [], {}, {}
    header, body = text.split("$enddefinitions $end\n")
    for line in header.splitlines():
        if found := re.fullmatch(r"\$scope module (\w+) \$end", line):
            scopes.append(found[1])
        elif line == "$upscope $end":
            scopes.pop()
        elif found := re.fullmatch(r"\$var wire \d+ (\S+) (\w+) \$end", line):
            names[found[1]] = ".".join([*scopes, found[2]])
    assert not scopes
    now, values = 0, dict.fromkeys(names, 0)
    waves = {name: [] for name in names.values()}
    for line in body.splitlines():
        if line.startswith("#"):
            later = int(line[1:]) // cycle_ns
            for _ in range(now, later):
                for code, name in names.items():
                    waves[name].append(values[code])
            now = later
        elif line.startswith("b"):
            value, code = line[1:].split()
            values[code] = int(value, 2)
        else:
            values[line[1:]] = int(line[0])
    assert now == cycles
    return waves


def test_simulations_do_not_disturb_each_other():
    results = {}

    def work(step: int) -> None:
        results[step] = CompiledSimulation(counter(32)).run({"a": np.full(20_000, step)})["sum"][-1]

    threads = [threading.Thread(target=work, args=(step,)) for step in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {step: 19_999 * step for step in range(1, 5)}


def compiler_that_counts(folder: Path, monkeypatch) -> Path:
    script = folder / "counting-cc"
    script.write_text(f'#!/bin/sh\n[ "$1" = --version ] || echo >> {folder}/calls\nexec {shutil.which("cc")} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    return folder / "calls"


def test_the_same_hardware_is_compiled_once(tmp_path, monkeypatch):
    calls = compiler_that_counts(tmp_path, monkeypatch)
    CompiledSimulation(counter(9))
    once = calls.read_text()
    assert once
    with pyrtl.temp_working_block():
        pyrtl.WireVector(3)  # names of unnamed wires are others now
        CompiledSimulation(counter(9))
    assert calls.read_text() == once
    CompiledSimulation(counter(10))
    assert calls.read_text() != once


BUILD = """
import hashlib
from test_compiled_simulation import counter, feedback_free
from dynamap_rtl.hardware.simulator import CompiledSimulation
simulation = CompiledSimulation(feedback_free())
simulation.run(cycles=10)
print(hashlib.sha256(repr(sorted(simulation._program.sources.items())).encode()).hexdigest())
"""


def feedback_free() -> Design:
    design = Design("pair", inputs={"x": Port(12, 6), "at": 24, "write": 1}, outputs={"y": 72})
    first = design.add("first", tables(), at=design["at"], value=design["x"], write=design["write"])
    second = design.add("second", tables(), at=design["at"], value=first["value_out"], write=design["write"])
    return design.finish(y=second["value_out"])


def test_processes_build_at_the_same_time_the_same_source(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMAP_CACHE", str(tmp_path))
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    said = [process.communicate()[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    here = hashlib.sha256(repr(sorted(Program(feedback_free(), ()).sources.items())).encode()).hexdigest()
    assert said == [here] * 3
    assert [path.suffix for path in (tmp_path / "simulators").iterdir()] == [".so"]


def test_a_damaged_library_is_built_again(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMAP_CACHE", str(tmp_path))
    CompiledSimulation(counter(11))
    (library,) = (tmp_path / "simulators").iterdir()
    library.unlink()  # loaded as it is: the damage must not reach the mapping
    library.write_bytes(b"no library")
    simulation = CompiledSimulation(counter(11))
    simulation.step({"a": 5})
    assert simulation.next_value("total") == 5


def test_a_library_exports_only_names_of_its_own(cache):
    CompiledSimulation(counter(12))
    for library in cache.glob("*.so"):
        listed = subprocess.run(
            ["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True
        )
        names = {line.split()[-1] for line in listed.stdout.splitlines()}
        assert {name for name in names if not name.startswith("_")} == {"dm_run"}


def test_without_a_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        HardwareError, match="needs a C compiler, and neither cc, gcc nor clang is on the path: install"
    ):
        CompiledSimulation(counter())


def test_with_a_compiler_that_is_none(monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    with pytest.raises(HardwareError, match=r"the C compiler '/nowhere/cc' \(CC\) cannot be run"):
        CompiledSimulation(counter())
    monkeypatch.setenv("CC", shutil.which("false"))
    with pytest.raises(HardwareError, match="refused the simulator"):
        CompiledSimulation(counter())


def test_flags_of_the_users_own_make_another_library(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMAP_CACHE", str(tmp_path))
    for flags in ("", "-O0 -g"):
        monkeypatch.setenv("CFLAGS", flags)
        assert CompiledSimulation(counter()).run({"a": np.array([1, 2, 3])})["sum"].tolist() == [0, 1, 3]
    assert len(list((tmp_path / "simulators").glob("*.so"))) == 2
    monkeypatch.setenv("CFLAGS", "-fno-such-thing")
    with pytest.raises(HardwareError, match="refused the simulator"):
        CompiledSimulation(counter())


def refusals(simulation):
    return [
        (lambda: simulation.step({}), "input 'a' of 'counter_8' has no value"),
        (lambda: simulation.step({"a": 256}), "input 'a' has 8 bits: 256 does not fit"),
        (lambda: simulation.step({"a": -129}), "input 'a' has 8 bits: -129 does not fit"),
        (lambda: simulation.step({"a": 1, "b": 1}), "'counter_8' has no input 'b'; it has ['a']"),
        (lambda: simulation.run({"b": [1]}), "'counter_8' has no input 'b'; it has ['a']"),
        (lambda: simulation.run({"a": [1, 300]}), "input 'a' has 8 bits: 300 does not fit"),
        (lambda: simulation.run({"a": [1, 2]}, cycles=3), "input 'a' has 2 values for 3 cycles"),
        (simulation.run, "run needs inputs or a number of cycles"),
        (lambda: simulation.run(cycles=1, outputs=["s"]), "'counter_8' has no output 's'; it has ['over', 'sum']"),
        (lambda: simulation.inspect("totl"), "'counter_8' has no wire 'totl'; did you mean 'total'?"),
        (lambda: simulation.next_value("sum"), "'sum' is not a register"),
        (lambda: simulation.trace("sum"), "'sum' was not traced: name it in trace= of CompiledSimulation"),
        (lambda: simulation.inspect_mem("total"), "'counter_8' has no memory 'total'"),
        (lambda: CompiledSimulation(counter(), trace=["x"]), "'counter_8' has no wire 'x'"),
        (lambda: CompiledSimulation(counter(), trace="sum"), "trace must be names or 'all', not the string 'sum'"),
    ]


@pytest.mark.parametrize("case", range(15))
def test_what_cannot_be_is_refused_by_name(case):
    call, sentence = refusals(CompiledSimulation(counter()))[case]
    with pytest.raises(HardwareError) as error:
        call()
    assert str(error.value).startswith(sentence)


def test_memory_contents_must_fit():
    simulation = CompiledSimulation(table())
    with pytest.raises(HardwareError, match="memory 'memory' has 16 words: 3 from 14 on do not fit"):
        simulation.write_mem("memory", [1, 2, 3], start=14)
    with pytest.raises(HardwareError, match="memory 'memory' has 12 bits: 4096 does not fit"):
        simulation.write_mem("memory", [4096])


def test_links_through_logic_of_designs_are_refused():
    cell = Design("cell", inputs={"a": 4}, outputs={"b": 4})
    add = cell.add("add", Leaf("plus", inputs={"a": 4}, outputs={"b": 4}, logic=lambda i: {"b": ~i["a"]}), a=cell["a"])
    grid = Grid("through", cell.finish(b=add["b"]), rows=1, columns=2, east={"a": "b"})
    with pytest.raises(HardwareError, match="grid 'through': output 'b' of its cell must be a register to be linked"):
        CompiledSimulation(grid)


def test_a_circle_of_logic_through_a_grid_is_named():
    cell = Leaf("invert", inputs={"a": 1}, outputs={"b": 1}, logic=lambda i: {"b": ~i["a"]})
    grid = Grid("inverters", cell, rows=1, columns=2)
    top = Design("ring", inputs={}, outputs={"y": 2})
    made = top.add("made", grid)
    made.connect(a=made["b"])
    with pytest.raises(HardwareError, match=r"wire 'made\.b' depends on itself within a cycle: break it by a register"):
        CompiledSimulation(top.finish(y=made["b"]))
