"""Winograd on the whole overlay gives the integers of direct convolution, whatever the kernel, tile and dataflow."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import FETCH_AHEAD_BYTES
from dynamap_rtl.program.assembler import ProgramError, assemble
from dynamap_rtl.program.check import check_program
from dynamap_rtl.program.convolution import Convolution
from dynamap_rtl.program.layer import Scaling, TensorPlace
from dynamap_rtl.program.winograd import winograd_program
from dynamap_rtl.simulation import OverlaySimulation
from dynamap_rtl.units.fixed_point import requantise

SOURCE, TARGET, CONSTANTS, PROGRAM = 256, 20_000, 40_000, 300_000
MEMORY = 1 << 19


@cache
def simulation(rows: int, columns: int, port: int) -> OverlaySimulation:
    circuit = CircuitParameters(
        rows=rows,
        columns=columns,
        dram_bytes_per_cycle=port,
        dram_latency_cycles=7,
        left_depth=4096,
        top_depth=4096,
        accumulator_depth=1024,
        result_depth=2048,
        channel_words=32,
        winograd=(2, 4),
        sum_width=48,
    )
    return OverlaySimulation(circuit, memory_bytes=MEMORY)


KERNELS = [(3, 3), (1, 3), (3, 1), (5, 5), (1, 7), (4, 3)]


def random_layer(rng: np.random.Generator, kernel: tuple[int, int]) -> Convolution:
    channels, outputs = (int(size) for size in rng.integers(1, 9, 2))
    pads = tuple(int(rng.integers(0, extent)) for extent in kernel)
    height, width = (int(rng.integers(max(extent, 4), 12)) for extent in kernel)
    signed = bool(rng.integers(2))
    low, high = (-128, 127) if signed else (0, 255)
    zero_points = rng.integers(low, high + 1, 2).tolist()
    source = TensorPlace(
        address=SOURCE,
        height=height,
        width=width,
        channels=channels,
        pixel_pitch=channels + 1,
        zero_point=zero_points[0],
        signed=signed,
    )
    target = TensorPlace(
        address=TARGET,
        height=height + 2 * pads[0] - kernel[0] + 1,
        width=width + 2 * pads[1] - kernel[1] + 1,
        channels=outputs,
        pixel_pitch=outputs + 2,
        zero_point=zero_points[1],
        signed=signed,
    )
    scaling = Scaling(
        bias=rng.integers(-5000, 5000, outputs),
        multiplier=rng.integers(1 << 23, 1 << 24, outputs),
        shift=rng.integers(30, 34, outputs),
        low=low,
        high=high,
    )
    weights = rng.integers(-128, 128, (outputs, channels, *kernel))
    return Convolution(source=source, target=target, weights=weights, scaling=scaling, pads=(pads[0], pads[1]))


def direct(layer: Convolution, pixels: np.ndarray) -> np.ndarray:
    """The sums of the convolution, by definition."""
    (top, left), target = layer.pads, layer.target
    kernel = layer.weights.shape[2:]
    padded = np.pad(pixels - layer.source.zero_point, ((top, top), (left, left), (0, 0)))
    return sum(
        padded[y : y + target.height, x : x + target.width] @ layer.weights[:, :, y, x].T
        for y in range(kernel[0])
        for x in range(kernel[1])
    )


def places(tensor: TensorPlace) -> np.ndarray:
    """Byte addresses of its elements."""
    pixels = np.arange(tensor.pixels).reshape(tensor.height, tensor.width, 1)
    return tensor.address + pixels * tensor.pixel_pitch + np.arange(tensor.channels)


def run(on: OverlaySimulation, layer: Convolution, dataflow: Dataflow, tile: int, rng: np.random.Generator) -> None:
    source, target = layer.source, layer.target
    pixels = rng.integers(*source.limits, (source.height, source.width, source.channels), endpoint=True)
    program = winograd_program(layer, on.circuit, dataflow, tile=tile, constants_address=CONSTANTS)
    check_program(program.instructions, on.circuit, memory_bytes=MEMORY)
    code = assemble(program.instructions)
    assert CONSTANTS + len(program.constants) <= PROGRAM
    assert PROGRAM + len(code) + FETCH_AHEAD_BYTES <= MEMORY
    on.memory[:] = rng.integers(0, 256, MEMORY)
    on.memory[places(source)] = pixels & 255
    on.memory[CONSTANTS : CONSTANTS + len(program.constants)] = np.frombuffer(program.constants, np.uint8)
    on.memory[PROGRAM : PROGRAM + len(code)] = np.frombuffer(code, np.uint8)
    before = on.memory.copy()
    on.run(PROGRAM, limit=200_000)
    scaling = layer.scaling
    expected = requantise(
        direct(layer, pixels),
        bias=scaling.bias,
        multiplier=scaling.multiplier,
        shift=scaling.shift,
        zero_point=target.zero_point,
        low=scaling.low,
        high=scaling.high,
    )
    np.testing.assert_array_equal(on.memory[places(target)], expected.astype(np.int64) & 255)
    before[places(target)] = on.memory[places(target)]
    np.testing.assert_array_equal(on.memory, before, err_msg="something else was written")


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize(("rows", "columns", "port"), [(4, 4, 4), (6, 3, 16), (5, 1, 6)])
def test_every_kernel(rows: int, columns: int, port: int, dataflow: Dataflow, tile: int) -> None:
    on = simulation(rows, columns, port)
    rng = np.random.default_rng([rows, columns, tile, list(Dataflow).index(dataflow)])
    for kernel in KERNELS:
        run(on, random_layer(rng, kernel), dataflow, tile, rng)


def test_what_has_no_winograd_form_is_refused() -> None:
    on = simulation(4, 4, 4)
    rng = np.random.default_rng(1)
    with pytest.raises(ProgramError, match="a 3x2 kernel has no Winograd form"):
        run(on, random_layer(rng, (3, 2)), Dataflow.NS, 2, rng)
    with pytest.raises(ProgramError, match="three taps or more along an axis"):
        run(on, random_layer(rng, (1, 1)), Dataflow.NS, 2, rng)
    plain = CircuitParameters(rows=4, columns=4)
    with pytest.raises(ProgramError, match=r"does not have F\(4, 3\)"):
        winograd_program(random_layer(rng, (3, 3)), plain, Dataflow.WS, tile=4, constants_address=CONSTANTS)
