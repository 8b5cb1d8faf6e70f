"""Recording what an overlay is given while it runs a program: the stimulus of its test bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .circuit_parameters import CircuitParameters
from .hardware import HardwareError
from .hardware.simulator import CompiledSimulation, Stimulus
from .memory_model import ReadPort, WritePort
from .overlay_circuit import overlay_circuit
from .program.sample import Sample
from .simulation import OverlaySimulation
from .units.sequencer import FETCH_BYTES

__all__ = ["Recording", "record_layers", "record_run"]


@dataclass(frozen=True)
class Recording:
    """A run.

    Attributes:
        inputs: of every port, a value a cycle.
        memory: uint8, as the program left it.
    """

    inputs: dict[str, list[int]]
    memory: NDArray[np.uint8]


def record_run(
    circuit: CircuitParameters,
    memory: NDArray[np.uint8],
    program_address: int,
    *,
    limit: int = 100_000,
    stall: float = 0.0,
    seed: int = 0,
) -> Recording:
    """Run a program, and keep the values of every input in every cycle up to ``finished``.

    Args:
        circuit: the overlay.
        memory: uint8; not changed.
        program_address: of the program.
        limit: cycles after which the program is taken to hang.
        stall: probability, each cycle and on each of the ports' channels, that memory is not ready.
        seed: of the stalls.

    Raises:
        HardwareError: when it does not finish.
    """
    simulation = CompiledSimulation(overlay_circuit(circuit))
    contents = bytearray(memory.tobytes())
    latency = circuit.dram_latency_cycles
    program = ReadPort(contents, bytes_per_cycle=FETCH_BYTES, latency=latency, stall=stall, seed=seed)
    width = circuit.dram_bytes_per_cycle
    reads = ReadPort(contents, bytes_per_cycle=width, latency=latency, stall=stall, seed=seed + 1)
    writes = WritePort(contents, bytes_per_cycle=width, latency=latency, stall=stall, seed=seed + 2)
    recorded: dict[str, list[int]] = {name: [] for name in simulation.top.inputs}
    for cycle in range(limit):
        given = {"start": int(cycle == 0), "program_address": program_address}
        given |= {f"program_{name}": value for name, value in program.drive().items()}
        given |= {f"read_{name}": value for name, value in reads.drive().items()}
        given |= {name if name == "write_ready" else f"write_{name}": value for name, value in writes.drive().items()}
        for name, stream in recorded.items():
            stream.append(given[name])
        simulation.step(given)
        request = ("request_valid", "request_address", "request_bytes")
        for port, name in ((program, "program"), (reads, "read")):
            port.clock(**{wire: simulation.inspect(f"{name}_{wire}") for wire in (*request, "data_ready")})
        writes.clock(
            **{wire: simulation.inspect(f"write_{wire}") for wire in request},
            write_valid=simulation.inspect("write_valid"),
            write_data=simulation.inspect("write_data"),
        )
        if cycle and simulation.inspect("finished"):
            return Recording(recorded, np.frombuffer(bytes(contents), np.uint8))
    raise HardwareError(f"the program did not finish within {limit} cycles")


def record_layers(circuit: CircuitParameters, samples: Sequence[Sample]) -> Stimulus:
    """What an overlay is given that runs layers one after the other, on memory that never stalls, again and again.

    They are run twice: the second time every counter starts from where a run left it, not from its reset, and that
    second time can be repeated.
    """
    memory_bytes = max(len(sample.memory) for sample in samples)
    names = tuple(overlay_circuit(circuit).inputs)
    simulation = OverlaySimulation(circuit, memory_bytes=memory_bytes, trace=names)
    cycles = []
    for sample in (*samples, *samples):
        simulation.memory[: len(sample.memory)] = sample.memory
        cycles.append(simulation.run(sample.program_address))
    values = {name: simulation.trace(name) for name in names}
    return Stimulus(
        {name: stream.reshape(len(stream), -1) for name, stream in values.items()}, sum(cycles[: len(samples)])
    )
