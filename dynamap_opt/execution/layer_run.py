"""One layer on the RTL: inputs of the reference into memory, the program run, the output compared byte by byte."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dynamap_opt.compilation.compiled import check_layer
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.hardware import HardwareError
from dynamap_rtl.program.assembler import ProgramError, disassemble
from dynamap_rtl.program.cycles import OverlayState, program_cycles
from dynamap_rtl.program.layer import TensorPlace
from dynamap_rtl.simulation import OverlaySimulation, SimulatorName

__all__ = [
    "LayerJob",
    "LayerOutcome",
    "cycle_limit",
    "elements",
    "fill",
    "model_cycles",
    "overlay_simulation",
    "run_layer",
    "run_program",
]

Bytes = NDArray[np.uint8]

_LEAST_LIMIT = 10_000_000


@dataclass(frozen=True, kw_only=True)
class LayerJob:
    """What a process anywhere needs to run one layer; nothing else is read.

    Attributes:
        name: of the layer.
        circuit: the overlay.
        memory_bytes: of external memory.
        tensor_bytes: of its part for tensors, from address 0 on.
        constants: what lies at ``constants_address``.
        constants_address: of weights and channel parameters.
        program: what lies at ``program_address``.
        program_address: of the first instruction.
        inputs: where inputs lie, and their bytes, (height, width, channels).
        target: where the output lies.
        expected: its bytes by the reference, (height, width, channels).
        predicted_cycles: of the plan; bounds how long to wait.
        simulator: of the circuit.
    """

    name: str
    circuit: CircuitParameters
    memory_bytes: int
    tensor_bytes: int
    constants: bytes
    constants_address: int
    program: bytes
    program_address: int
    inputs: tuple[tuple[TensorPlace, Bytes], ...]
    target: TensorPlace
    expected: Bytes
    predicted_cycles: int
    simulator: SimulatorName = "dynamap"


@dataclass(frozen=True, kw_only=True)
class LayerOutcome:
    """What the RTL did.

    Attributes:
        measured_cycles: from start to finished; 0 when it did not finish.
        model_cycles: what the cycle model of the program says; None where it does not know the program.
        different: elements of the output that are not the reference's.
        greatest_difference: among them.
        stray_bytes: bytes of memory beside the output that have changed; 0 for a right program.
        problem: why it did not finish; empty if it did.
        seconds: of wall time.
    """

    measured_cycles: int
    model_cycles: int | None
    different: int
    greatest_difference: int
    stray_bytes: int
    problem: str
    seconds: float


_cache = threading.local()


def overlay_simulation(
    circuit: CircuitParameters, memory_bytes: int, simulator: SimulatorName = "dynamap"
) -> OverlaySimulation:
    """A simulation as after configuration; this thread's one for the circuit, if it has one."""
    found: OverlaySimulation | None = getattr(_cache, "simulation", None)
    if found is not None and (found.circuit, found.simulator) == (circuit, simulator):
        found.reset(memory_bytes=memory_bytes)
        return found
    _cache.simulation = made = OverlaySimulation(circuit, memory_bytes=memory_bytes, simulator=simulator)
    return made


def elements(memory: Bytes, place: TensorPlace) -> Bytes:
    """The elements of a tensor in memory, (height, width, channels): a view that can be read and written."""
    last = place.address + (place.pixels - 1) * place.pixel_pitch + place.channels
    return np.lib.stride_tricks.as_strided(
        memory[place.address : last],
        (place.height, place.width, place.channels),
        (place.row_pitch, place.pixel_pitch, 1),
    )


def cycle_limit(predicted_cycles: int) -> int:
    """Cycles after which a program counts as hanging."""
    return max(_LEAST_LIMIT, 100 * predicted_cycles)


def differences(found: Bytes, expected: Bytes, *, signed: bool) -> tuple[int, int]:
    """How many elements differ, and by how much at most."""
    kind = np.int8 if signed else np.uint8
    apart = np.abs(found.astype(kind).astype(np.int16) - expected.astype(kind).astype(np.int16))
    return int(np.count_nonzero(apart)), int(apart.max(initial=0))


def run_layer(job: LayerJob) -> LayerOutcome:
    """Run a layer on an overlay as after configuration.

    Raises:
        CompilationError: when the program is not one for the overlay.
        HardwareError: when there is no C compiler.
    """
    start = time.perf_counter()
    check_layer(job.name, job.program, job.circuit, memory_bytes=job.memory_bytes)
    simulation = overlay_simulation(job.circuit, job.memory_bytes, job.simulator)
    memory = simulation.memory
    fill(memory[: job.tensor_bytes])
    for place, values in job.inputs:
        elements(memory, place)[:] = values
    pieces = ((job.constants_address, job.constants), (job.program_address, job.program))
    for address, data in pieces:
        memory[address : address + len(data)] = np.frombuffer(data, np.uint8)
    outcome = run_program(
        simulation,
        job.program_address,
        job.target,
        job.expected,
        limit=cycle_limit(job.predicted_cycles),
        tensor_bytes=job.tensor_bytes,
        constant=pieces,
    )
    cycles, _ = model_cycles(job.program, job.circuit, OverlayState())
    return replace(outcome, model_cycles=cycles, seconds=time.perf_counter() - start)


def fill(tensors: Bytes) -> None:
    """Put numbers where tensors will be: what a program reads beside its inputs shall not be zeros by luck."""
    tensors[:] = np.random.default_rng(0).integers(0, 256, len(tensors), np.uint8)


def run_program(
    simulation: OverlaySimulation,
    address: int,
    target: TensorPlace,
    expected: Bytes,
    *,
    limit: int,
    tensor_bytes: int,
    constant: Sequence[tuple[int, bytes]],
) -> LayerOutcome:
    """Run a program and look at what it did to memory.

    Args:
        simulation: with everything in its memory.
        address: of the program.
        target: where its output lies.
        expected: what that should be.
        limit: cycles after which it counts as hanging.
        tensor_bytes: memory up to there may change where the output lies only.
        constant: addresses and bytes of what may not change at all.
    """
    start = time.perf_counter()
    memory = simulation.memory
    before = memory[:tensor_bytes].copy()
    cycles, problem = 0, ""
    try:
        cycles = simulation.run(address, limit=limit)
    except HardwareError as error:
        problem = str(error)
    found = elements(memory, target)
    different, greatest = differences(found, expected, signed=target.signed)
    elements(before, target)[:] = found
    stray = int(np.count_nonzero(before != memory[:tensor_bytes]))
    for place, data in constant:
        stray += int(np.count_nonzero(memory[place : place + len(data)] != np.frombuffer(data, np.uint8)))
    return LayerOutcome(
        measured_cycles=cycles,
        model_cycles=None,
        different=different,
        greatest_difference=greatest,
        stray_bytes=stray,
        problem=problem,
        seconds=time.perf_counter() - start,
    )


def model_cycles(
    program: bytes, circuit: CircuitParameters, state: OverlayState | None
) -> tuple[int | None, OverlayState | None]:
    """What the cycle model says of a program, if it knows all of it, and how the program leaves the overlay.

    Args:
        program: END included.
        circuit: the overlay.
        state: how the program finds it; None where that is not known, and then nothing is.
    """
    if state is None:
        return None, None
    try:
        cycles = program_cycles(list(disassemble(program)), circuit, state=state)
    except ProgramError:
        return None, None
    return cycles.total, cycles.state
