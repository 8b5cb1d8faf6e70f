"""The matrix engine's Verilog does products in other simulators in the same cycles and to the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_rtl import Dataflow
from dynamap_rtl.hardware import Module
from dynamap_rtl.synthesis import check_netlist
from dynamap_rtl.units.array import ArrayParameters
from dynamap_rtl.units.gemm import GemmParameters, matrix_engine
from dynamap_rtl.units.pe import ElementParameters
from rtl_benches import MatrixBench
from verilog_judges import JUDGES, Run, pyrtl_outputs

#: Square, flat, and with the operands that Winograd wants.
ELEMENTS = {(4, 4): ElementParameters(), (2, 5): ElementParameters(left_width=16, top_width=18, sum_width=48)}


def parameters(shape: tuple[int, int]) -> GemmParameters:
    array = ArrayParameters(rows=shape[0], columns=shape[1], element=ELEMENTS[shape])
    return GemmParameters(array=array, left_depth=256, top_depth=256, accumulator_depth=64)


def recorded(shape: tuple[int, int]) -> Run:
    """What a bench gives the engine in one product after the other, under every dataflow, ragged tiles included."""
    bench = MatrixBench(parameters(shape))
    steps: list[dict[str, int]] = []
    step = bench.simulation.step

    def record(inputs: dict[str, int]) -> None:
        steps.append(inputs)
        step(inputs)

    bench.simulation.step = record
    rng = np.random.default_rng(shape)
    for dataflow in Dataflow:
        for a, b, c in [(3, 2, 4), (7, 9, 6)]:
            left, right = rng.integers(-256, 256, (a, b)), rng.integers(-256, 256, (b, c))
            product, _ = bench.multiply(dataflow, left, right)
            np.testing.assert_array_equal(product, left @ right)
    return Run(matrix_engine(bench.parameters), {name: [step[name] for step in steps] for name in steps[0]})


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [recorded(shape) for shape in ELEMENTS]


@pytest.mark.parametrize("judge", JUDGES)
def test_products_under_every_dataflow(judge: str, runs: list[Run]) -> None:
    for run, outputs in zip(runs, JUDGES[judge](runs), strict=True):
        expected = pyrtl_outputs(run)
        for name, stream in expected.items():
            assert outputs[name] == stream, (run.module.name, name)
        assert sum(expected["retired"]) == 2 * len(Dataflow)


def test_yosys_finds_nothing_to_say() -> None:
    modules: list[Module] = [matrix_engine(parameters(shape)) for shape in ELEMENTS]
    check_netlist(modules)
