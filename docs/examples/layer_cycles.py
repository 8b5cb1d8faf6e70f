"""Cycles of layers on the generated overlay: measured on its circuit, predicted, and by the closed formulas.

Every layer runs under all its algorithms and all dataflows on an 8 x 8 overlay with 16 bytes a cycle. *measured* is the
compiled circuit, *predicted* the model of ``program.cycles`` from the same instructions. *formula* is the total of
``layer_timing``, by which the cost model ``overlay`` chooses, *array* the cycles in which it says the array works. The
last columns are the cycles in which each unit is at work.
"""

from __future__ import annotations

import numpy as np

from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.geometry import ConvShape
from dynamap_rtl.isa import Unit
from dynamap_rtl.layer_blocks import WinogradShape
from dynamap_rtl.layer_timing import LayerCycles, convolution_cycles, winograd_cycles
from dynamap_rtl.program.assembler import assemble
from dynamap_rtl.program.convolution import Convolution, convolution_program
from dynamap_rtl.program.cycles import OverlayState, program_cycles
from dynamap_rtl.program.layer import LayerProgram, Scaling, TensorPlace
from dynamap_rtl.program.winograd import winograd_program
from dynamap_rtl.simulation import OverlaySimulation
from dynamap_rtl.sizes import sizes_of

CIRCUIT = CircuitParameters(
    rows=8, columns=8, dram_bytes_per_cycle=16, dram_latency_cycles=20, winograd=(2, 4), sum_width=48
)
TARGET, CONSTANTS, PROGRAM, MEMORY = 1 << 17, 1 << 18, 3 << 18, 1 << 20
LAYERS = {
    "3x3, 28x28x16 to 32": ConvShape(28, 28, 16, 28, 28, 32, (3, 3), pads=(1, 1, 1, 1)),
    "1x7, 17x17x64 to 96": ConvShape(17, 17, 64, 17, 17, 96, (1, 7), pads=(0, 3, 0, 3)),
    "1x1, 14x14x64 to 96": ConvShape(14, 14, 64, 14, 14, 96),
    "7x7/2, 56x56x3 to 24": ConvShape(56, 56, 3, 28, 28, 24, (7, 7), stride=(2, 2), pads=(3, 3, 3, 3)),
    "depthwise 3x3, 28x28x32": ConvShape(28, 28, 32, 28, 28, 32, (3, 3), pads=(1, 1, 1, 1), groups=32),
    "dense, 512 to 100": ConvShape(1, 1, 512, 1, 1, 100),
}

#: m of the Winograd algorithms F(m, 3).
TILES = {"F(2,3)": 2, "F(4,3)": 4}


def algorithms(conv: ConvShape) -> list[str]:
    """Those that compute a layer."""
    names = ["im2col"] if conv.kernel == (1, 1) else ["im2col", "kn2row"]
    taps = sorted(conv.kernel)
    transforms = taps[1] >= 3 and taps[0] != 2 and conv.stride == (1, 1) and conv.groups == 1
    return names + list(TILES) * transforms


def convolution(conv: ConvShape) -> Convolution:
    """The layer, with values that do not matter."""
    channels = conv.out_channels
    return Convolution(
        source=TensorPlace(
            address=0,
            height=conv.in_height,
            width=conv.in_width,
            channels=conv.in_channels,
            pixel_pitch=conv.in_channels,
        ),
        target=TensorPlace(
            address=TARGET, height=conv.out_height, width=conv.out_width, channels=channels, pixel_pitch=channels
        ),
        weights=np.zeros((channels, conv.in_channels // conv.groups, *conv.kernel), np.int64),
        scaling=Scaling(
            bias=np.zeros(channels, np.int64),
            multiplier=np.full(channels, 1 << 23),
            shift=np.full(channels, 30),
            low=-128,
            high=127,
        ),
        stride=conv.stride,
        pads=conv.pads[:2],
        groups=conv.groups,
    )


def program(conv: ConvShape, algorithm: str, dataflow: Dataflow, circuit: CircuitParameters = CIRCUIT) -> LayerProgram:
    """What the overlay runs."""
    layer = convolution(conv)
    if algorithm in TILES:
        return winograd_program(layer, circuit, dataflow, tile=TILES[algorithm], constants_address=CONSTANTS)
    return convolution_program(layer, circuit, dataflow, constants_address=CONSTANTS, kn2row=algorithm == "kn2row")


def formula(conv: ConvShape, algorithm: str, dataflow: Dataflow, circuit: CircuitParameters = CIRCUIT) -> LayerCycles:
    """What ``layer_timing`` says of it."""
    sizes = sizes_of(circuit)
    if algorithm in TILES:
        return winograd_cycles(WinogradShape(conv, TILES[algorithm]), sizes, dataflow, tiles=circuit.winograd)
    return convolution_cycles(conv, sizes, dataflow, kn2row=algorithm == "kn2row", divides=True)


def main() -> None:
    """Print the table."""
    simulation = OverlaySimulation(CIRCUIT, memory_bytes=MEMORY)
    state = OverlayState()
    units = (Unit.LOAD_LEFT, Unit.LOAD_TOP, Unit.COMPUTE, Unit.FINISH, Unit.STORE)
    titles = ("measured", "predicted", "formula", "array", "left", "top", "compute", "finish", "store")
    print(f"{'':75}{'formula':>10}   cycles in which a unit is at work")
    print(
        f"{'layer':25}{'':10}"
        + "".join(f"{title:>10}" for title in titles[:4])
        + f"{'/ measured':>12}"
        + "".join(f"{title:>8}" for title in titles[4:])
    )
    for name, conv in LAYERS.items():
        for algorithm in algorithms(conv):
            for dataflow in Dataflow:
                layer = program(conv, algorithm, dataflow)
                code = assemble(layer.instructions)
                assert CONSTANTS + len(layer.constants) <= PROGRAM
                assert PROGRAM + len(code) <= MEMORY
                simulation.memory[PROGRAM : PROGRAM + len(code)] = np.frombuffer(code, np.uint8)
                measured = simulation.run(PROGRAM)
                predicted = program_cycles(layer.instructions, CIRCUIT, state=state)
                state = predicted.state
                closed = formula(conv, algorithm, dataflow)
                total, array = int(closed.total[0]), int(closed.compute[0])
                cycles = "".join(f"{number:>10,}" for number in (measured, predicted.total, total, array))
                work = "".join(f"{predicted.busy(unit):>8,}" for unit in units)
                print(f"{name:25}{f'{algorithm} {dataflow}':10}{cycles}{total / measured:>12.3f}{work}")


if __name__ == "__main__":
    main()
