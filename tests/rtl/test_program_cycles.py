"""The cycle model gives the circuit's cycles: every start, every end, every total, with no tolerance."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cycle_benches import CONSTANTS, bench, circuit, convolution, random_compute, random_convolution, random_program
from dynamap_rtl import Dataflow
from dynamap_rtl.isa import Mode, Unit
from dynamap_rtl.matrix_program import matrix_layout, walk_values
from dynamap_rtl.overlay_circuit import gemm_parameters
from dynamap_rtl.program.assembler import Instruction, ProgramError
from dynamap_rtl.program.convolution import convolution_program
from dynamap_rtl.program.cycles import program_cycles

SMALL = [
    circuit(4, 4, 4, 7, 512),
    circuit(3, 5, 8, 20, 512),
    circuit(6, 2, 16, 1, 512),
    circuit(1, 3, 2, 5, 512),
    circuit(5, 1, 3, 40, 512),
]
LARGE = circuit(8, 8, 16, 20, 4096)


@pytest.mark.parametrize("kn2row", [False, True], ids=["im2col", "kn2row"])
@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize("parameters", SMALL, ids=lambda parameters: parameters.name)
def test_random_layers(parameters, dataflow, kn2row):
    rng = np.random.default_rng([*map(ord, parameters.name + dataflow), kn2row])
    checked = 0
    while checked < 5:
        program = convolution_program(
            random_convolution(rng), parameters, dataflow, constants_address=CONSTANTS, kn2row=kn2row
        )
        bench(parameters).check(program.instructions)
        checked += 1


LAYERS = {
    "3x3": convolution((28, 28), 16, 32, (3, 3), pads=(1, 1)),
    "1x1": convolution((14, 14), 64, 96, (1, 1)),
    "7x7 of stride 2": convolution((40, 40), 3, 24, (7, 7), stride=(2, 2), pads=(3, 3)),
    "depthwise": convolution((14, 14), 32, 32, (3, 3), pads=(1, 1), groups=32),
    "dense": convolution((1, 1), 512, 100, (1, 1)),
}


@pytest.mark.parametrize("kn2row", [False, True], ids=["im2col", "kn2row"])
@pytest.mark.parametrize("dataflow", Dataflow)
@pytest.mark.parametrize("layer", LAYERS)
def test_realistic_layers(layer, dataflow, kn2row):
    program = convolution_program(LAYERS[layer], LARGE, dataflow, constants_address=CONSTANTS, kn2row=kn2row)
    assert bench(LARGE).check(program.instructions) > 1000


# ---- programs no layer makes ----


@pytest.mark.parametrize("parameters", [*SMALL, LARGE], ids=lambda parameters: parameters.name)
def test_random_programs(parameters):
    rng = np.random.default_rng(3)
    seen = Counter()
    for _ in range(25):
        program = random_program(rng, parameters)
        bench(parameters).check(program)
        seen.update(int(instruction.fields["feed_mode"]) for instruction in program if instruction.unit is Unit.COMPUTE)
    assert len(seen) == 3  # all modes, and so changes of mode


@pytest.mark.parametrize("dataflow", Dataflow)
def test_a_product_behind_vectors_waits_for_them(dataflow):
    # It must not begin in the mode of the product before them, which then would never end.
    gemm = gemm_parameters(LARGE)
    layout = matrix_layout(dataflow, 20, 20, 20, rows=LARGE.rows, columns=LARGE.columns)
    product = Instruction(unit=Unit.COMPUTE, fields=layout.command(gemm))
    modes = {f"{engine}_mode": Mode.VECTOR for engine in ("feed", "stream", "collect")}
    walks = walk_values("feed", gemm.feeder, [5], [1], 0) | walk_values(
        "collect", gemm.collector, [5], [1], 0, phases=False
    )
    vectors = Instruction(unit=Unit.COMPUTE, fields={**product.fields, **modes, **walks})
    bench(LARGE).check([product, vectors, product, vectors, vectors, product])


def test_a_program_of_nothing_ends_when_nothing_is_fetched_any_more():
    bench(SMALL[0]).check([])


def test_a_program_that_stops_is_refused():
    compute = random_compute(np.random.default_rng(1), LARGE)
    with pytest.raises(ProgramError) as caught:
        program_cycles([compute, replace(compute, wait=frozenset({3}))], LARGE)
    assert str(caught.value) == "instruction 1 (compute) never ends; check_tokens says why"


def test_no_pyrtl():
    code = "import sys, dynamap_rtl.program.cycles; sys.exit('pyrtl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
