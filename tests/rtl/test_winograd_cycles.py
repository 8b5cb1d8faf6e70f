"""The cycle model gives the circuit's cycles of Winograd programs, too, alone, in sequence and mixed with others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cycle_benches import CONSTANTS, bench, circuit, convolution, random_convolution, random_program
from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import Unit
from dynamap_rtl.load_pattern import LoadTarget
from dynamap_rtl.pipeline import transform_latency
from dynamap_rtl.program.assembler import Instruction, ProgramError
from dynamap_rtl.program.convolution import convolution_program
from dynamap_rtl.program.cycles import program_cycles
from dynamap_rtl.program.vector import MaxPooling, vector_program
from dynamap_rtl.program.winograd import winograd_program
from dynamap_rtl.units.vector_path import Windows
from dynamap_rtl.units.winograd_input import WinogradInput
from dynamap_rtl.units.winograd_output import WinogradOutput

SQUARE = circuit(8, 8, 16, 20, 4096, (2, 4))
CIRCUITS = [
    SQUARE,
    circuit(6, 5, 4, 7, 2048, (4,)),  # the left operand's vectors have 3 channels, the top one's a single one
    circuit(1, 3, 2, 1, 2048, (2,)),
    circuit(5, 1, 7, 40, 2048, (2, 4)),  # a beat has two weights of three bytes, and one byte over
]
# Along both axes, and along one, at even and odd places: where there are two tiles, they take turns.
KERNELS = [(3, 3), (3, 3), (1, 7), (7, 1), (5, 4), (1, 3)]


def name(parameters: CircuitParameters) -> str:
    return parameters.name


def random_winograd(
    rng: np.random.Generator, parameters: CircuitParameters, dataflow: Dataflow, kernel: tuple[int, int], tile: int
) -> tuple[Instruction, ...]:
    layer = convolution(
        tuple(int(rng.integers(max(extent, 4), 11)) for extent in kernel),
        *rng.integers(1, 9, 2).tolist(),
        kernel,
        pads=tuple(int(rng.integers(0, extent)) for extent in kernel),
        gaps=tuple(rng.integers(0, 3, 2).tolist()),
    )
    return winograd_program(layer, parameters, dataflow, tile=tile, constants_address=CONSTANTS).instructions


def any_winograd(rng: np.random.Generator, parameters: CircuitParameters) -> tuple[Instruction, ...]:
    kernel, dataflow = KERNELS[int(rng.integers(len(KERNELS)))], list(Dataflow)[int(rng.integers(3))]
    return random_winograd(rng, parameters, dataflow, kernel, int(rng.choice(parameters.winograd)))


@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize("parameters", CIRCUITS, ids=name)
def test_random_layers(parameters, dataflow):
    rng = np.random.default_rng([*map(ord, parameters.name + dataflow)])
    for number, kernel in enumerate(KERNELS):
        tile = parameters.winograd[number % len(parameters.winograd)]
        bench(parameters).check(random_winograd(rng, parameters, dataflow, kernel, tile))


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("dataflow", Dataflow)
def test_realistic_layers(dataflow, tile):
    for size, channels, outputs, kernel in (((28, 28), 16, 32, (3, 3)), ((17, 17), 24, 40, (1, 7))):
        layer = convolution(size, channels, outputs, kernel, pads=(kernel[0] // 2, kernel[1] // 2))
        program = winograd_program(layer, SQUARE, dataflow, tile=tile, constants_address=CONSTANTS)
        assert bench(SQUARE).check(program.instructions) > 10_000


def random_other(rng: np.random.Generator, parameters: CircuitParameters) -> tuple[Instruction, ...]:
    if rng.integers(3):
        return convolution_program(
            random_convolution(rng),
            parameters,
            list(Dataflow)[int(rng.integers(3))],
            constants_address=CONSTANTS,
            kn2row=bool(rng.integers(2)),
        ).instructions
    layer = convolution((9, 9), int(rng.integers(1, 9)), 1, (2, 3))  # for its places only
    target = replace(layer.target, channels=layer.source.channels, pixel_pitch=layer.source.channels + 2)
    pooling = MaxPooling(source=layer.source, target=target, windows=Windows(kernel=(2, 3)))
    return vector_program(pooling, parameters, constants_address=CONSTANTS).instructions


@pytest.mark.parametrize("parameters", CIRCUITS, ids=name)
def test_mixtures(parameters):
    rng = np.random.default_rng(4)
    for _ in range(3):
        # One after another, with the engine in the mode the last one left; and two in one program, the second's loads
        # under way with the first's stores.
        layers = [any_winograd(rng, parameters), random_other(rng, parameters)]
        for index in rng.permutation(2).tolist():
            bench(parameters).check(layers[index])
        first, second = (layers[index] for index in rng.permutation(2).tolist())
        bench(parameters).check([*first, *second])


@pytest.mark.parametrize("parameters", CIRCUITS, ids=name)
def test_random_programs(parameters):
    rng = np.random.default_rng(5)
    seen = Counter()
    for _ in range(15):
        program = random_program(rng, parameters)
        bench(parameters).check(program)
        for instruction in program:
            if instruction.unit in {Unit.LOAD_LEFT, Unit.LOAD_TOP}:
                seen[instruction.unit, instruction.fields["target"] == LoadTarget.STREAM] += 1
            elif instruction.unit is Unit.FINISH:
                seen[instruction.unit, instruction.fields["transform"] != 0] += 1
    assert len(seen) == 6
    assert min(seen.values()) > 10


@pytest.mark.parametrize("planar", [False, True], ids=["1-D", "2-D"])
@pytest.mark.parametrize(("tiles", "tile"), [((2,), 2), ((4,), 4), ((2, 4), 2), ((2, 4), 4)])
def test_latencies_of_transforms(tiles, tile, planar):
    # The table stands in for the adder trees, which need PyRTL to be built.
    units = [WinogradInput(lanes=1, tiles=tiles).transform, WinogradOutput(lanes=1, tiles=tiles).transform]
    vectors = (tile + 2) ** (1 + planar)
    expected = tuple(unit.cycles(1, tile, planar=planar) - vectors for unit in units)
    assert transform_latency(tiles, tile, planar=planar) == expected


def test_a_transform_the_overlay_does_not_have_is_refused():
    program = any_winograd(np.random.default_rng(1), CIRCUITS[1])
    with pytest.raises(ProgramError) as caught:
        program_cycles(program, replace(CIRCUITS[1], winograd=(2,)))
    assert str(caught.value).endswith("which an overlay with winograd=(2,) does not have")
