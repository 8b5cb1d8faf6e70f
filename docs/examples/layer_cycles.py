"""Cycles of layers on the generated overlay: measured on its circuit, predicted, and by the closed formulas.

Every layer runs under both algorithms and all dataflows on an 8 x 8 overlay with 16 bytes a cycle. *measured* is the
compiled circuit, *predicted* the model of ``program.cycles``. *array* and *stage* are what ``timing`` and the
``overlay`` cost model say of the same layer: the array alone, and the longest of load, compute and store. The last
columns are the cycles in which each unit is at work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dynamap_opt.algorithms.im2col import Im2col
from dynamap_opt.algorithms.kn2row import Kn2row
from dynamap_opt.layouts import gather_words, tensor_words
from dynamap_opt.program import ConvShape, StoredTensor
from dynamap_rtl import Dataflow, Overlay, blocked_load_words, grouped_cycles, stage_cycles, stream_words
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import Unit
from dynamap_rtl.program.assembler import Instruction, assemble
from dynamap_rtl.program.convolution import Convolution, convolution_program
from dynamap_rtl.program.cycles import OverlayState, program_cycles
from dynamap_rtl.program.layer import Scaling, TensorPlace
from dynamap_rtl.simulation import OverlaySimulation

CIRCUIT = CircuitParameters(rows=8, columns=8, dram_bytes_per_cycle=16, dram_latency_cycles=20)
TARGET, CONSTANTS, PROGRAM, MEMORY = 1 << 17, 1 << 18, 3 << 18, 1 << 20
OVERLAY = Overlay(
    dram_bytes_per_cycle=CIRCUIT.dram_bytes_per_cycle,
    dram_latency_cycles=CIRCUIT.dram_latency_cycles,
    activation_buffer_bytes=CIRCUIT.left_depth // 2 * CIRCUIT.rows,
    weight_buffer_bytes=CIRCUIT.top_depth // 2 * CIRCUIT.columns,
    accumulator_bytes=6 * CIRCUIT.columns * CIRCUIT.accumulator_depth,
    pipeline_cycles=CIRCUIT.read_latency + 7,
)
LAYERS = {
    "3x3, 28x28x16 to 32": ConvShape(28, 28, 16, 28, 28, 32, (3, 3), pads=(1, 1, 1, 1)),
    "1x1, 14x14x64 to 96": ConvShape(14, 14, 64, 14, 14, 96),
    "7x7/2, 56x56x3 to 24": ConvShape(56, 56, 3, 28, 28, 24, (7, 7), stride=(2, 2), pads=(3, 3, 3, 3)),
    "depthwise 3x3, 28x28x32": ConvShape(28, 28, 32, 28, 28, 32, (3, 3), pads=(1, 1, 1, 1), groups=32),
    "dense, 512 to 100": ConvShape(1, 1, 512, 1, 1, 100),
}


def program(conv: ConvShape, dataflow: Dataflow, *, kn2row: bool) -> Sequence[Instruction]:
    """The layer with values that do not matter."""
    channels = conv.out_channels
    layer = Convolution(
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
    return convolution_program(layer, CIRCUIT, dataflow, constants_address=CONSTANTS, kn2row=kn2row).instructions


def closed(conv: ConvShape, dataflow: Dataflow, *, kn2row: bool) -> tuple[int, int]:
    """Array and stage cycles as the ``overlay`` cost model has them."""
    algorithm = Kn2row() if kn2row else Im2col()
    source = StoredTensor("x", conv.in_height, conv.in_width, conv.in_channels, "x")
    target = StoredTensor("y", conv.out_height, conv.out_width, conv.out_channels, "y")
    windows = algorithm.windows(conv)
    if conv.groups > 1:
        gemms = [
            replace(gemm, count=conv.groups) for gemm in algorithm.gemms(conv) for _ in range(gemm.count // conv.groups)
        ]
        compute = sum(grouped_cycles(dataflow, gemm, CIRCUIT.rows, CIRCUIT.columns, OVERLAY) for gemm in gemms)
    else:
        compute = algorithm.compute_cycles(conv, dataflow, CIRCUIT.rows, CIRCUIT.columns, OVERLAY)
    words = gather_words(*windows, source, OVERLAY) if windows else tensor_words(source, OVERLAY)
    load = blocked_load_words(
        activation_words=words,
        activation_bytes=algorithm.activation_elements(conv),
        weight_words=stream_words(1, algorithm.weight_elements(conv), OVERLAY),
        weight_bytes=algorithm.weight_elements(conv),
        overlay=OVERLAY,
    )
    load += stream_words(1, 8 * conv.out_channels, OVERLAY)
    return int(compute), int(stage_cycles(load, compute, tensor_words(target, OVERLAY), OVERLAY))


def main() -> None:
    """Print the table."""
    simulation = OverlaySimulation(CIRCUIT, memory_bytes=MEMORY)
    state = OverlayState()
    units = (Unit.LOAD_LEFT, Unit.LOAD_TOP, Unit.COMPUTE, Unit.FINISH, Unit.STORE)
    titles = ("measured", "predicted", "array", "stage", "measured", "left", "top", "compute", "finish", "store")
    print(f"{'':35}{'':40}{'/ stage':>10}   cycles in which a unit is at work")
    print(f"{'layer':25}{'':10}" + "".join(f"{title:>{8 + 2 * (n < 5)}}" for n, title in enumerate(titles)))
    for name, conv in LAYERS.items():
        for kn2row in (False, True) if conv.kernel != (1, 1) else (False,):
            for dataflow in Dataflow:
                instructions = program(conv, dataflow, kn2row=kn2row)
                code = assemble(instructions)
                simulation.memory[PROGRAM : PROGRAM + len(code)] = np.frombuffer(code, np.uint8)
                measured = simulation.run(PROGRAM)
                predicted = program_cycles(instructions, CIRCUIT, state=state)
                state = predicted.state
                array, stage = closed(conv, dataflow, kn2row=kn2row)
                algorithm = f"{'kn2row' if kn2row else 'im2col'} {dataflow}"
                cycles = "".join(f"{number:>10,}" for number in (measured, predicted.total, array, stage))
                work = "".join(f"{predicted.busy(unit):>8,}" for unit in units)
                print(f"{name:25}{algorithm:10}{cycles}{measured / stage:>10.2f}{work}")


if __name__ == "__main__":
    main()
