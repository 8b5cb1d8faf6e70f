"""Layers on the compiled overlay: tensors into memory, the program run, tensors out; nothing else may have changed."""

from __future__ import annotations

from functools import cache

import numpy as np

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import FETCH_AHEAD_BYTES
from dynamap_rtl.program.assembler import assemble, disassemble
from dynamap_rtl.program.check import check_program
from dynamap_rtl.program.layer import LayerProgram, TensorPlace
from dynamap_rtl.simulation import OverlaySimulation

MEMORY_BYTES = 1 << 19
SOURCE, SECOND, TARGET, CONSTANTS, PROGRAM = 256, 70_000, 130_000, 190_000, 300_000


@cache
def overlay(rows: int, columns: int, port_bytes: int) -> OverlaySimulation:
    """A small overlay, compiled once a run."""
    circuit = CircuitParameters(
        rows=rows,
        columns=columns,
        dram_bytes_per_cycle=port_bytes,
        dram_latency_cycles=7,
        left_depth=512,
        top_depth=512,
        accumulator_depth=100,
        result_depth=512,
        channel_words=32,
    )
    return OverlaySimulation(circuit, memory_bytes=MEMORY_BYTES)


def indices(place: TensorPlace) -> np.ndarray:
    """Byte addresses of a tensor's elements, (height, width, channels)."""
    rows, columns, channels = np.ogrid[: place.height, : place.width, : place.channels]
    return place.address + rows * place.row_pitch + columns * place.pixel_pitch + channels


def run(
    simulation: OverlaySimulation,
    program: LayerProgram,
    target: TensorPlace,
    *sources: tuple[TensorPlace, np.ndarray],
    seed: int = 0,
) -> np.ndarray:
    """The target (height, width, channels) after the program has run with the sources (channels, height, width)."""
    memory = simulation.memory
    memory[:] = np.random.default_rng(seed).integers(0, 256, len(memory))
    for place, values in sources:
        memory[indices(place)] = np.moveaxis(values, 0, -1).astype(np.int64) & 255
    code = assemble(program.instructions)
    assert assemble(disassemble(code)) == code
    check_program(program.instructions, simulation.circuit, memory_bytes=len(memory))
    for address, data in ((program.constants_address, program.constants), (PROGRAM, code)):
        memory[address : address + len(data)] = np.frombuffer(data, np.uint8)
    assert len(program.constants) <= PROGRAM - program.constants_address
    assert PROGRAM + len(code) + FETCH_AHEAD_BYTES <= len(memory)
    before = memory.copy()
    simulation.run(PROGRAM, limit=400_000)
    places = indices(target)
    before[places] = memory[places]
    np.testing.assert_array_equal(before, memory, err_msg="memory beside the target has changed")
    values = memory[places].astype(np.int8 if target.signed else np.uint8).astype(np.int64)
    return np.moveaxis(values, -1, 0)
