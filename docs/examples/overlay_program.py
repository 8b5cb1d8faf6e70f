"""A convolution as a program of the overlay: its instructions, a run on the netlist, and the result beside numpy's."""

from __future__ import annotations

import numpy as np

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.program.assembler import disassemble
from dynamap_rtl.program.sample import sample_convolution
from dynamap_rtl.program.schedule import Token
from dynamap_rtl.simulation import OverlaySimulation

circuit = CircuitParameters(
    rows=4,
    columns=4,
    dram_bytes_per_cycle=8,
    dram_latency_cycles=10,
    left_depth=1024,
    top_depth=1024,
    accumulator_depth=256,
    result_depth=512,
    channel_words=8,
)
sample = sample_convolution(circuit)
layer = sample.layer

program = list(disassemble(sample.memory[sample.program_address :].tobytes()))
for number, instruction in enumerate(program):
    tokens = [
        f"{name} {', '.join(Token(semaphore).name for semaphore in sorted(semaphores))}"
        for name in ("wait", "signal", "release")
        if (semaphores := getattr(instruction, name))
    ]
    print(f"{number:3}  {instruction.unit.name:14}{'; '.join(tokens)}".rstrip())

simulation = OverlaySimulation(circuit, memory_bytes=len(sample.memory))
simulation.memory[:] = sample.memory
cycles = simulation.run(sample.program_address)
print(f"\n{len(program)} instructions, {cycles} cycles, beats moved: {simulation.beats}")

# The same convolution in numpy. int64 is exact: a product of sum and multiplier stays below 2**63.
source, target = layer.source, layer.target
image = sample.memory[: source.pixels * source.channels].astype(np.int8).astype(np.int64)
padded = np.pad(image.reshape(source.height, source.width, source.channels), ((1, 1), (1, 1), (0, 0)))
windows = np.lib.stride_tricks.sliding_window_view(padded, layer.weights.shape[2:], axis=(0, 1))
sums = np.einsum("yxcij,ocij->yxo", windows, layer.weights) + layer.scaling.bias
product, unit = sums * layer.scaling.multiplier, 1 << layer.scaling.shift
whole, rest = product // unit, product % unit
rounded = whole + ((2 * rest > unit) | ((2 * rest == unit) & (whole % 2 == 1)))
expected = np.clip(rounded, layer.scaling.low, layer.scaling.high)

stored = simulation.memory[target.address :][: target.pixels * target.channels].astype(np.int8)
assert np.array_equal(stored.reshape(expected.shape), expected)
print(f"{expected.size} results, all equal to numpy's")
