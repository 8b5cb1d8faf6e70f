"""A compiled network on the RTL, layer by layer or in one go, every tensor compared with the reference.

Layer by layer, each begins with the reference's tensors, on an overlay as after configuration; since every output is
compared as well, layers are independent and run anywhere in any order. In one go (``chain``) layers follow one another
in one memory: what one wrote is what the next reads, and nothing is reset in between.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

import dynamap_opt
from dynamap_opt.compilation import CompiledLayer, CompiledNetwork
from dynamap_opt.errors import DynamapError
from dynamap_rtl.program.cycles import OverlayState
from dynamap_rtl.simulation import SimulatorName

from .layer_run import (
    LayerJob,
    LayerOutcome,
    cycle_limit,
    elements,
    fill,
    model_cycles,
    overlay_simulation,
    run_layer,
    run_program,
)
from .selection import select_layers
from .tasks import ExecutorLike, run_tasks
from .work import WorkFolder

if TYPE_CHECKING:
    from dynamap_models.quantised import QuantisedNetwork

__all__ = ["LayerSimulation", "Simulation", "simulate_network"]

Bytes = NDArray[np.uint8]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LayerSimulation:
    """One layer, predicted and measured.

    Attributes:
        index: its number in the order of execution.
        name: of the layer, or of a copy into a concatenation.
        operation: for people.
        algorithm: a name of the registry, ``vector`` or ``copy``.
        dataflow: on the array.
        predicted_cycles: of the plan.
        measured_cycles: of the RTL; 0 when it did not finish.
        model_cycles: of the cycle model that knows the program; None where it does not.
        elements: of the output.
        different: those that are not the reference's.
        greatest_difference: among them.
        stray_bytes: of memory beside the output that changed.
        problem: why it did not finish; empty if it did.
        values_match: whether the output is the reference's (see ``Simulation.exact``) and nothing else happened.
        seconds: of wall time.
    """

    index: int
    name: str
    operation: str
    algorithm: str
    dataflow: str | None
    predicted_cycles: int
    measured_cycles: int
    model_cycles: int | None
    elements: int
    different: int
    greatest_difference: int
    stray_bytes: int
    problem: str
    values_match: bool
    seconds: float


@dataclass(frozen=True)
class Simulation:
    """What a simulation of a network showed.

    Attributes:
        model: name of the network.
        array: (P1, P2).
        circuit: parameters of the overlay.
        simulator: of the circuit.
        chained: whether layers ran in one memory, one after another.
        exact: whether the network's scales promise equality of every element; else one unit of difference is allowed.
        layers: those that were run, in order.
        skipped: layers no unit of the overlay computes; their outputs came from the reference.
        resumed: how many layers' results were found in the work folder.
        total_predicted_cycles: of the layers run.
        total_measured_cycles: likewise.
        seconds: of wall time.
    """

    model: str
    array: tuple[int, int]
    circuit: dict[str, int | tuple[int, ...]]
    simulator: str
    chained: bool
    exact: bool
    layers: tuple[LayerSimulation, ...]
    skipped: tuple[str, ...]
    resumed: int
    total_predicted_cycles: int
    total_measured_cycles: int
    seconds: float

    @property
    def values_match(self) -> bool:
        """Whether every layer's do."""
        return all(layer.values_match for layer in self.layers)


def simulate_network(
    compiled: CompiledNetwork,
    quantised: QuantisedNetwork,
    inputs: Mapping[str, NDArray[np.generic]],
    *,
    layers: str | Sequence[str | int] | None = None,
    chain: bool = False,
    simulator: SimulatorName = "dynamap",
    jobs: int = 1,
    executor: ExecutorLike = None,
    work: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Run a compiled network and compare every tensor it writes with the reference.

    Args:
        compiled: of the same network.
        quantised: gives the reference.
        inputs: of the network, as ``QuantisedNetwork.reference`` takes them.
        layers: names and numbers, as ``0-5,12``; all for None.
        chain: run all layers one after another in one memory.
        simulator: ``dynamap``, or ``verilator`` for the exported Verilog.
        jobs: processes of this machine, where ``executor`` is None.
        executor: ``dask://host:port`` or an executor; runs layers one by one.
        work: folder that keeps results, so that an interrupted run goes on.
        progress: called with (predicted cycles of finished layers, of all).

    Raises:
        DynamapError: when layers do not exist, chained layers are chosen or spread, or results cannot be kept.
        CompilationError: when a program is not one for the overlay.
    """
    start = time.perf_counter()
    if chain and (layers is not None or executor is not None):
        raise DynamapError("a chain runs all layers, one after another in this process; leave out --layers, --executor")
    chosen = select_layers(layers, [layer.name for layer in compiled.layers])
    chosen = tuple(index for index in chosen if compiled.layers[index].program_bytes)
    reference = {name: _as_bytes(values) for name, values in quantised.reference(inputs).items()}
    outcomes: dict[int, LayerOutcome] = {}
    with _folder(work, compiled, quantised, reference, chain=chain, simulator=simulator) as folder:
        if chain:
            compiled.check()
            steps, resumed = _chained(compiled, reference, folder, simulator)
        else:
            kept = {} if folder is None else {i: found for i in chosen if (found := folder.outcome(i)) is not None}
            outcomes.update(kept)
            resumed = len(kept)
            missing = sorted(
                (index for index in chosen if index not in kept),
                # The longest first, so that none is left over alone at the end.
                key=lambda index: (-compiled.layers[index].predicted_cycles, index),
            )
            tasks = (_job(compiled, compiled.layers[index], reference, simulator) for index in missing)
            steps = _spread(missing, run_tasks(run_layer, tasks, jobs=jobs, executor=executor), folder)
        total = sum(compiled.layers[index].predicted_cycles + 1 for index in chosen)
        done = sum(compiled.layers[index].predicted_cycles + 1 for index in outcomes)
        for index, outcome in steps:
            outcomes[index] = outcome
            done += compiled.layers[index].predicted_cycles + 1
            if progress is not None:
                progress(done, total)
    rows = tuple(_row(compiled, index, outcomes[index], exact=quantised.exact) for index in sorted(outcomes))
    return Simulation(
        model=compiled.model,
        array=(compiled.circuit.rows, compiled.circuit.columns),
        circuit=asdict(compiled.circuit),
        simulator=simulator,
        chained=chain,
        exact=quantised.exact,
        layers=rows,
        skipped=tuple(layer.name for layer in compiled.layers if not layer.program_bytes),
        resumed=resumed,
        total_predicted_cycles=sum(row.predicted_cycles for row in rows),
        total_measured_cycles=sum(row.measured_cycles for row in rows),
        seconds=time.perf_counter() - start,
    )


def _as_bytes(values: NDArray[np.integer]) -> Bytes:
    return np.ascontiguousarray(values & 255).astype(np.uint8)


def _expected(layer: CompiledLayer, reference: Mapping[str, Bytes]) -> Bytes:
    assert layer.target is not None
    first = layer.first_channel
    return np.ascontiguousarray(reference[layer.output][:, :, first : first + layer.target.channels])


def _folder(
    work: str | os.PathLike[str] | None,
    compiled: CompiledNetwork,
    quantised: QuantisedNetwork,
    reference: Mapping[str, Bytes],
    *,
    chain: bool,
    simulator: SimulatorName,
) -> AbstractContextManager[WorkFolder | None]:
    if work is None:
        return nullcontext()
    facts = {
        "version": dynamap_opt.__version__,
        "model": compiled.model,
        "circuit": asdict(compiled.circuit),
        "chained": chain,
        "simulator": simulator,
        "exact": quantised.exact,
        "image": compiled.checksum,
    }
    digest = hashlib.sha256(msgspec.json.encode([facts, compiled.fingerprint, compiled.layers]))
    for name, values in sorted(reference.items()):
        digest.update(name.encode() + repr(values.shape).encode() + values.tobytes())
    return WorkFolder(work, digest.hexdigest(), facts)


def _row(compiled: CompiledNetwork, index: int, outcome: LayerOutcome, *, exact: bool) -> LayerSimulation:
    layer = compiled.layers[index]
    assert layer.target is not None
    equal = outcome.different == 0 or (not exact and outcome.greatest_difference <= 1)
    return LayerSimulation(
        index=index,
        name=layer.name,
        operation=layer.operation,
        algorithm=layer.algorithm,
        dataflow=layer.dataflow,
        predicted_cycles=layer.predicted_cycles,
        measured_cycles=outcome.measured_cycles,
        model_cycles=outcome.model_cycles,
        elements=layer.target.pixels * layer.target.channels,
        different=outcome.different,
        greatest_difference=outcome.greatest_difference,
        stray_bytes=outcome.stray_bytes,
        problem=outcome.problem,
        values_match=equal and not outcome.problem and not outcome.stray_bytes,
        seconds=outcome.seconds,
    )


def _spread(
    order: Sequence[int], results: Iterator[tuple[int, LayerOutcome]], folder: WorkFolder | None
) -> Iterator[tuple[int, LayerOutcome]]:
    """Results by the layers' numbers, each stored before anyone hears of it."""
    for number, outcome in results:
        if folder is not None:
            folder.store(order[number], outcome)
        yield order[number], outcome


def _job(
    compiled: CompiledNetwork, layer: CompiledLayer, reference: Mapping[str, Bytes], simulator: SimulatorName
) -> LayerJob:
    assert layer.target is not None
    return LayerJob(
        name=layer.name,
        circuit=compiled.circuit,
        memory_bytes=compiled.memory_bytes,
        tensor_bytes=compiled.tensor_bytes,
        constants=compiled.bytes_at(layer.constants_address, layer.constants_bytes),
        constants_address=layer.constants_address,
        program=compiled.code(layer),
        program_address=layer.program_address,
        inputs=tuple(
            (compiled.tensors[name], compiled.stored(name, reference[name])) for name in dict.fromkeys(layer.inputs)
        ),
        target=layer.target,
        expected=_expected(layer, reference),
        predicted_cycles=layer.predicted_cycles,
        simulator=simulator,
    )


def _chained(
    compiled: CompiledNetwork,
    reference: Mapping[str, Bytes],
    folder: WorkFolder | None,
    simulator: SimulatorName,
) -> tuple[Iterator[tuple[int, LayerOutcome]], int]:
    """All layers in one memory, and how many of them need not be run because their results were kept."""
    kept: list[tuple[LayerOutcome, Bytes] | None] = []
    for index, layer in enumerate(compiled.layers):
        if layer.target is None:
            kept.append(None)
            continue
        shape = (layer.target.height, layer.target.width, layer.target.channels)
        outcome = None if folder is None else folder.outcome(index)
        values = None if folder is None else folder.values(index, shape)
        if outcome is None or values is None:
            break  # what comes later was not run, or reads what is not there
        kept.append((outcome, values))
    return _chain_steps(compiled, reference, folder, kept, simulator), sum(found is not None for found in kept)


def _chain_steps(
    compiled: CompiledNetwork,
    reference: Mapping[str, Bytes],
    folder: WorkFolder | None,
    kept: Sequence[tuple[LayerOutcome, Bytes] | None],
    simulator: SimulatorName,
) -> Iterator[tuple[int, LayerOutcome]]:
    simulation = overlay_simulation(compiled.circuit, compiled.memory_bytes, simulator)
    memory = simulation.memory
    fill(memory[: compiled.tensor_bytes])
    memory[compiled.tensor_bytes :][: len(compiled.image)] = np.frombuffer(compiled.image, np.uint8)
    for name in compiled.inputs:
        elements(memory, compiled.tensors[name])[:] = compiled.stored(name, reference[name])
    last = max((index for index, found in enumerate(kept) if found is not None), default=-1)
    state: OverlayState | None = OverlayState()
    for index, layer in enumerate(compiled.layers):
        if layer.target is None:
            if layer.output in compiled.tensors:
                elements(memory, compiled.tensors[layer.output])[:] = reference[layer.output]
            continue
        target = elements(memory, layer.target)
        found = kept[index] if index < len(kept) else None
        if found is not None:
            if index == last and index + 1 < len(compiled.layers):
                # The next layer's cycles depend on how the one before it has left the overlay.
                simulation.run(layer.program_address, limit=cycle_limit(layer.predicted_cycles))
                _, state = model_cycles(compiled.code(layer), compiled.circuit, OverlayState())
            target[:] = found[1]
            yield index, found[0]
            continue
        outcome = run_program(
            simulation,
            layer.program_address,
            layer.target,
            _expected(layer, reference),
            limit=cycle_limit(layer.predicted_cycles),
            tensor_bytes=compiled.tensor_bytes,
            constant=(),
        )
        expected, state = model_cycles(compiled.code(layer), compiled.circuit, state)
        outcome = replace(outcome, model_cycles=expected)
        if folder is not None:
            folder.store(index, outcome, np.ascontiguousarray(target))
        yield index, outcome
        if outcome.problem:
            return  # the overlay hangs; nothing after this means anything
