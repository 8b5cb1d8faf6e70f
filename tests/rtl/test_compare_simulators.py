"""The comparison of simulators measures what is there and says what is not."""

from __future__ import annotations

import numpy as np
import pyrtl
import pytest

from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.hardware import Grid, HardwareError, Leaf
from dynamap_rtl.hardware.simulator import SIMULATORS, CompiledSimulation, Stimulus, compare_simulators
from dynamap_rtl.hardware.simulator import compare as comparison
from dynamap_rtl.overlay_circuit import overlay_circuit
from dynamap_rtl.program.sample import sample_convolution
from dynamap_rtl.recording import record_layers


def shift(columns: int) -> Grid:
    def logic(i):
        r = pyrtl.Register(70, "r")
        r.next <<= i["a"]
        return {"b": r}

    cell = Leaf("hold", inputs={"a": 70}, outputs={"b": 70}, logic=logic)
    return Grid(f"shift_{columns}", cell, rows=1, columns=columns, east={"a": "b"})


def test_every_simulator_without_verilog():
    rates = compare_simulators([shift(2)], seconds=0.02, patience=60)
    assert [rate.simulator for rate in rates] == list(SIMULATORS)
    for rate in rates:
        assert rate.top == "shift_2"
        if rate.simulator in {"Icarus", "Verilator"}:
            assert rate.cycles_per_second is None
            assert rate.reason
        else:
            assert rate.build_seconds > 0
            assert rate.cycles_per_second > 0


def test_what_takes_too_long_is_ended_and_not_tried_larger(monkeypatch):
    def endless(*_):
        while True:
            pass

    monkeypatch.setattr(comparison, "SIMULATORS", {"endless": endless, "dynamap": SIMULATORS["dynamap"]})
    rates = compare_simulators([shift(2), shift(3)], simulators=["endless"], seconds=0.01, patience=0.5)
    assert [rate.reason for rate in rates] == ["not done after 0.5 s", "out of patience with something smaller"]


def test_a_simulator_that_is_not_there():
    with pytest.raises(HardwareError, match="there is no simulator 'Icurus'; there are"):
        compare_simulators([shift(2)], simulators=["Icurus"])


NARROW = [3, 2**33 + 1, 4, 1, 5]
WIDE = [2**69 + 7, 1, 2**64, 9, 2**65 - 1]
SEEN = [0, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 2]  # cycles of a stimulus of five that goes on with its third


def pair() -> Leaf:
    def logic(i):
        return {"both": pyrtl.concat(i["narrow"], i["wide"])}

    return Leaf("pair", inputs={"narrow": 34, "wide": 70}, outputs={"both": 104}, logic=logic)


def task(verilog=None) -> comparison.Task:
    words = [[value & (2**64 - 1), value >> 64] for value in WIDE]
    stimulus = Stimulus({"narrow": np.array(NARROW, np.uint64)[:, None], "wide": np.array(words, np.uint64)}, again=2)
    return comparison.Task(pair(), stimulus, verilog)


def writing_what_it_is_given(_: Leaf) -> str:
    return """module pair(clock, narrow, wide, both);
input clock; input [33:0] narrow; input [69:0] wide; output [103:0] both;
assign both = {narrow, wide};
integer file;
initial file = $fopen("seen", "w");
always @(posedge clock) $fdisplay(file, "%h %h", narrow, wide);
endmodule
"""


@pytest.mark.parametrize("name", ["Icarus", "Verilator"])
def test_simulators_of_verilog_get_the_stimulus(name: str, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "VERILATOR_CFLAGS", "-O0")  # compiling takes the time, not running
    try:
        run = SIMULATORS[name](task(writing_what_it_is_given), tmp_path)
    except HardwareError as error:
        if "is not on the path" not in str(error):
            raise
        pytest.skip(str(error))
    run(len(SEEN) + 1)
    lines = [line.split() for line in (tmp_path / "seen").read_text().splitlines() if "x" not in line]
    given = [(int(narrow, 16), int(wide, 16)) for narrow, wide in lines]
    assert given[: len(SEEN)] == [(NARROW[cycle], WIDE[cycle]) for cycle in SEEN]


@pytest.mark.parametrize("kind", ["Simulation", "FastSimulation"])
def test_pyrtls_simulators_get_the_stimulus(kind: str, tmp_path, monkeypatch):
    given = []

    class Recorder:
        def __init__(self, **_):
            pass

        def step(self, inputs):
            given.append((inputs["narrow"], inputs["wide"]))

    monkeypatch.setattr(pyrtl, kind, Recorder)
    run = SIMULATORS[f"PyRTL {kind}"](task(), tmp_path)
    for cycles in (1, 3, 8):  # it goes on where it stopped
        run(cycles)
    assert given == [(NARROW[cycle], WIDE[cycle]) for cycle in SEEN]


def test_ours_gets_the_stimulus(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMAP_CACHE", str(tmp_path))  # the simulator under test sets it
    made = []

    class Kept(CompiledSimulation):
        def __init__(self, top):
            super().__init__(top, trace=["narrow", "wide"])
            made.append(self)

    monkeypatch.setattr(comparison, "CompiledSimulation", Kept)
    run = SIMULATORS["dynamap"](task(), tmp_path)
    for cycles in (1, 3, 8):
        run(cycles)
    assert made[0].trace("narrow").tolist() == [NARROW[cycle] for cycle in SEEN]
    wide = [int(low) | int(high) << 64 for low, high in made[0].trace("wide")]
    assert wide == [WIDE[cycle] for cycle in SEEN]


def test_recorded_layers_can_be_repeated():
    circuit = CircuitParameters(rows=3, columns=2, winograd=(2,), sum_width=34)
    samples = [
        sample_convolution(circuit, Dataflow.IS),
        sample_convolution(circuit, Dataflow.NS, tile=2),
    ]
    stimulus = record_layers(circuit, samples)
    streams = {name: words if words.shape[1] > 1 else words[:, 0] for name, words in stimulus.values.items()}
    simulation = CompiledSimulation(overlay_circuit(circuit))
    first = simulation.run(streams)
    assert np.count_nonzero(np.diff(first["finished"].astype(int)) == 1) == 2 * len(samples)
    again = {name: stream[stimulus.again :] for name, stream in streams.items()}
    second, third = simulation.run(again), simulation.run(again)
    for name, values in second.items():
        np.testing.assert_array_equal(values, third[name])
        np.testing.assert_array_equal(values, first[name][stimulus.again :])
