"""The compiled simulator on the overlay's own units: agreement on every wire, loops that are vectorised."""

from __future__ import annotations

import random
import subprocess

import pytest

from compiled_agreement import agree, random_value
from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.hardware.simulator.program import Program
from dynamap_rtl.overlay_circuit import overlay_circuit
from dynamap_rtl.program.sample import sample_convolution
from dynamap_rtl.recording import record_run
from dynamap_rtl.units.array import ArrayParameters, systolic_array
from dynamap_rtl.units.gemm import GemmParameters, matrix_engine

pytestmark = pytest.mark.usefixtures("cache")


def test_the_matrix_engine():
    engine = matrix_engine(
        GemmParameters(
            array=ArrayParameters(rows=3, columns=4),
            left_depth=64,
            top_depth=64,
            accumulator_depth=16,
            read_latency=1,
        )
    )
    assert agree(engine, cycles=60) > 1000


def test_the_whole_overlay():
    """On a layer's run, for random inputs leave most units idle, and then on random inputs, for a run is tame."""
    circuit = CircuitParameters(
        rows=2,
        columns=2,
        dram_bytes_per_cycle=6,
        dram_latency_cycles=4,
        left_depth=512,
        top_depth=512,
        accumulator_depth=256,
        result_depth=256,
        channel_words=4,
        winograd=(2, 4),
        sum_width=48,
    )
    sample = sample_convolution(circuit, Dataflow.WS, side=4, channels=2, outputs=2, tile=4)
    inputs = {
        name: list(values) for name, values in record_run(circuit, sample.memory, sample.program_address).inputs.items()
    }
    overlay, rng = overlay_circuit(circuit), random.Random(1)
    for name, port in overlay.inputs.items():
        inputs[name] += [random_value(rng, port.bits) for _ in range(20)]
    assert agree(overlay, cycles=len(inputs["start"]), inspect_in=5, stimulus=inputs) > 3000


def test_the_loop_over_processing_elements_is_vectorised(tmp_path):
    said = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout
    if "Free Software Foundation" not in said:
        pytest.skip("cc is not gcc, which alone says what it vectorised")
    array = systolic_array(ArrayParameters(rows=20, columns=20))
    elements = Program(array.instances["elements"].module, ()).sources["grids"]
    (tmp_path / "elements.c").write_text(elements)
    done = subprocess.run(
        ["cc", "-O3", "-fno-strict-aliasing", "-fopt-info-vec", "-c", "elements.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "loop vectorized" in done.stderr
    assert "versioned" not in done.stderr  # the compiler believes that arrays do not overlap
