"""A plan and a quantised network become one memory image: tensors by lifetime, constants and programs behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from dynamap_models.ir import Concat, Conv, Layer, Tensor
from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.circuits import ArrayLayer, circuit_for
from dynamap_opt.layouts import LayoutKind
from dynamap_opt.mapping import describe
from dynamap_opt.plan import LayerPlan, Plan, PlanError, fingerprint
from dynamap_rtl import Dataflow, OverlayError
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import BYTE_ADDRESS_BITS
from dynamap_rtl.load_pattern import LoadError
from dynamap_rtl.program.assembler import ProgramError, assemble
from dynamap_rtl.program.convolution import Convolution
from dynamap_rtl.program.layer import TensorPlace
from dynamap_rtl.store_pattern import StoreError

from .allocation import ALIGNMENT, Lifetime, allocate
from .buffers import Buffers, share_buffers
from .compiled import CompilationError, CompiledLayer, CompiledNetwork
from .expansion import StoredWindows
from .layers import Operation, copy_operation, layer_program, overlay_operation, runs_on_overlay

if TYPE_CHECKING:
    from dynamap_models.quantised import QuantisedNetwork

__all__ = ["compile_network"]

_MEMORY_LIMIT = 1 << BYTE_ADDRESS_BITS


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """What will be a compiled layer: a layer and what it reads and writes, or the copy of one of its inputs."""

    layer: Layer
    name: str
    inputs: tuple[str, ...]
    first_channel: int = 0
    runs: bool = True

    @property
    def is_copy(self) -> bool:
        return isinstance(self.layer.operation, Concat)


def compile_network(
    plan: Plan,
    quantised: QuantisedNetwork,
    *,
    circuit: CircuitParameters | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompiledNetwork:
    """Compile a network for the overlay of a plan.

    Args:
        plan: of the same network.
        quantised: the network, quantised.
        circuit: the overlay; ``circuits.circuit_for`` chooses if None.
        progress: called with (layers done, layers in all).

    Returns:
        The same bytes for the same plan, network and circuit.

    Raises:
        PlanError: when the plan is for another network.
        CompilationError: when a layer does not fit the overlay, or the network does not fit its memory.
        OverlayError: when the plan's overlay cannot be built.
    """
    found = fingerprint(quantised.network)
    rows = {row.name: row for row in plan.layers}
    buffers = share_buffers(quantised.network, lambda a, b: quantised.tensors[a] == quantised.tensors[b])
    drafts = tuple(_drafts(quantised, buffers))
    expanded = _expanded(quantised, drafts, rows)
    tensors, tensor_bytes = _placed_tensors(quantised, buffers, drafts, expanded)
    operations = [_operation(quantised, buffers, draft, tensors, expanded) for draft in drafts]
    hows = [_how(draft, operation, rows, plan, found) for draft, operation in zip(drafts, operations, strict=True)]
    if circuit is None:
        circuit = circuit_for(
            plan.array,
            plan=plan,
            layers=[
                ArrayLayer(shape=operation.shape, algorithm=algorithm, dataflow=dataflow)
                for operation, (algorithm, dataflow) in zip(operations, hows, strict=True)
                if isinstance(operation, Convolution) and dataflow is not None
            ],
        )
    start = _aligned(tensor_bytes)
    constants, programs = bytearray(), bytearray()
    layers: list[CompiledLayer] = []
    for draft, operation, (algorithm, dataflow) in zip(drafts, operations, hows, strict=True):
        row = rows.get(draft.name)
        layer = CompiledLayer(
            name=draft.name,
            operation=f"copy of {draft.inputs[0]}" if draft.is_copy else describe(draft.layer),
            algorithm=algorithm,
            dataflow=None if dataflow is None else dataflow.value,
            inputs=draft.inputs,
            output=draft.layer.output,
            first_channel=draft.first_channel,
            predicted_cycles=row.cycles if row is not None and row.name == draft.name else 0,
        )
        if operation is not None:
            address = start + len(constants)
            try:
                program = layer_program(
                    operation, circuit, algorithm=algorithm, dataflow=dataflow, constants_address=address
                )
                code = assemble(program.instructions)
            except (ProgramError, OverlayError, LoadError, StoreError) as error:
                how = algorithm if dataflow is None else f"{algorithm} under {dataflow}"
                raise CompilationError(
                    f"layer {draft.name!r} ({how}) has no program for the {circuit.rows}x{circuit.columns} overlay: "
                    f"{error}"
                ) from error
            layer = replace(
                layer,
                target=operation.target,
                constants_address=address,
                constants_bytes=len(program.constants),
                program_address=len(programs),  # within the programs, until their place is known
                program_bytes=len(code),
            )
            constants += program.constants + bytes(-len(program.constants) % ALIGNMENT)
            programs += code
            _check_memory(layer, start + len(constants) + len(programs), layers)
        layers.append(layer)
        if progress is not None:
            progress(len(layers), len(drafts))
    behind = start + len(constants)
    return CompiledNetwork(
        model=quantised.network.name,
        fingerprint=found,
        circuit=circuit,
        tensors=tensors,
        inputs=tuple(name for name in quantised.network.inputs if name in tensors),
        expanded=expanded,
        layers=tuple(
            replace(layer, program_address=behind + layer.program_address) if layer.program_bytes else layer
            for layer in layers
        ),
        tensor_bytes=tensor_bytes,
        image=bytes(start - tensor_bytes) + bytes(constants) + bytes(programs),
    )


def _drafts(quantised: QuantisedNetwork, buffers: Buffers) -> Iterator[_Draft]:
    for layer in quantised.network.layers:
        if isinstance(layer.operation, Concat):
            for copy in buffers.copies.get(layer.output, ()):
                name = f"{layer.name}[{copy.piece}]"
                yield _Draft(layer=layer, name=name, inputs=(copy.piece,), first_channel=copy.offset)
        elif layer.output not in buffers.sources:
            inputs = tuple(buffers.sources.get(name, name) for name in layer.inputs)
            yield _Draft(layer=layer, name=layer.name, inputs=inputs, runs=runs_on_overlay(quantised, layer))


def _expanded(
    quantised: QuantisedNetwork, drafts: Sequence[_Draft], rows: Mapping[str, LayerPlan]
) -> dict[str, StoredWindows]:
    """Network inputs that the plan stores as windows, which the host does.

    Programs store everything else plainly, whatever a plan says.
    """
    network = quantised.network
    wanted: dict[str, set[StoredWindows | None]] = {}
    for draft in drafts:
        row, operation = rows.get(draft.name), draft.layer.operation
        if not draft.runs:
            continue
        for name in draft.inputs:
            wanted.setdefault(name, set()).add(None)
        if row is None or not row.input_layout.startswith(LayoutKind.TOEPLITZ):
            continue
        name = draft.inputs[0]
        if name not in network.inputs or not isinstance(operation, Conv) or operation.groups > 1:
            continue
        output = network.tensors[draft.layer.output]
        windows = StoredWindows(
            rows=output.height,
            columns=output.width,
            kernel=operation.kernel,
            stride=operation.stride,
            pads=operation.pads[:2],
            dilation=operation.dilation,
        )
        wanted[name].discard(None)
        wanted[name].add(windows)
    for name, ways in wanted.items():
        if len(ways) > 1:
            raise PlanError(
                f"the plan stores network input {name!r} in {len(ways)} ways at once; map the network again with this "
                "version"
            )
    return {name: windows for name, (windows,) in wanted.items() if windows is not None}


def _placed_tensors(
    quantised: QuantisedNetwork,
    buffers: Buffers,
    drafts: Sequence[_Draft],
    expanded: Mapping[str, StoredWindows],
) -> tuple[dict[str, TensorPlace], int]:
    """Where every tensor lies that a program reads or writes or the network returns, and the bytes of all of them."""
    network = quantised.network
    used = {name for draft in drafts if draft.runs for name in (*draft.inputs, draft.layer.output)}
    used |= {buffers.sources.get(name, name) for name in network.outputs}
    spans: dict[str, tuple[int, int]] = {}

    def touch(name: str, step: int) -> None:
        source = buffers.sources.get(name, name)
        if source in used:
            buffer = buffers.homes[source].buffer
            first, last = spans.get(buffer, (step, step))
            spans[buffer] = min(first, step), max(last, step)

    for name in network.inputs:
        touch(name, -1)
    for step, draft in enumerate(drafts):
        for name in (*(draft.inputs if draft.runs else ()), draft.layer.output):
            touch(name, step)
    for name in network.outputs:
        touch(name, len(drafts))
    shapes = {name: _stored_shape(network.tensors[name], expanded.get(name)) for name in network.tensors}
    lifetimes = {buffer: Lifetime(prod(shapes[buffer]), first, last) for buffer, (first, last) in spans.items()}
    allocation = allocate(lifetimes)
    if allocation.size > _MEMORY_LIMIT:
        largest = max(lifetimes, key=lambda name: (lifetimes[name].size, name))
        raise CompilationError(
            f"the tensors of network {network.name!r} take {allocation.size} bytes, the overlay addresses "
            f"{_MEMORY_LIMIT}; the largest is {largest!r} of {lifetimes[largest].size} bytes, so use a smaller input"
        )
    places = {}
    for name in sorted(used):
        home, quantisation = buffers.homes[name], quantised.tensors[name]
        height, width, channels = shapes[name]
        places[name] = TensorPlace(
            address=allocation.addresses[home.buffer] + home.offset,
            height=height,
            width=width,
            channels=channels,
            pixel_pitch=shapes[home.buffer][2],
            zero_point=quantisation.zero_point,
            signed=quantisation.signed,
        )
    return places, allocation.size


def _stored_shape(tensor: Tensor, windows: StoredWindows | None) -> tuple[int, int, int]:
    if windows is None:
        return tensor.height, tensor.width, tensor.channels
    return windows.rows, windows.columns, windows.elements(tensor.channels)


def _operation(
    quantised: QuantisedNetwork,
    buffers: Buffers,
    draft: _Draft,
    tensors: Mapping[str, TensorPlace],
    expanded: Mapping[str, StoredWindows],
) -> Operation | None:
    if not draft.runs:
        return None
    if not draft.is_copy:
        try:
            return overlay_operation(
                quantised,
                draft.layer,
                lambda name: tensors[buffers.sources.get(name, name)],
                expanded=draft.inputs[0] in expanded,
            )
        except OverlayError as error:
            raise CompilationError(f"layer {draft.name!r} is not one the overlay can compute: {error}") from error
    (piece,), whole = draft.inputs, tensors[draft.layer.output]
    source = tensors[piece]
    target = replace(whole, address=whole.address + draft.first_channel, channels=source.channels)
    scales = (quantised.tensors[name].scale for name in (piece, draft.layer.output))
    return copy_operation(source, target, *scales)


def _how(
    draft: _Draft, operation: Operation | None, rows: Mapping[str, LayerPlan], plan: Plan, found: str
) -> tuple[str, Dataflow | None]:
    """Algorithm and dataflow."""
    if operation is None:
        return "host", None
    if not isinstance(operation, Convolution):
        return ("copy" if draft.is_copy else "vector"), None
    row = rows.get(draft.name)
    if row is None or row.dataflow is None:
        if plan.model.fingerprint == found:
            raise PlanError(
                f"the plan of {plan.model.name!r} does not say how layer {draft.name!r} is computed on the array; map "
                "this network again"
            )
        return ALGORITHMS["im2col"].name, Dataflow.NS  # quantising has made it; im2col is always legal
    if row.algorithm not in ALGORITHMS or row.dataflow not in Dataflow.__members__:
        raise PlanError(
            f"the plan computes layer {draft.name!r} by {row.algorithm!r} under {row.dataflow!r}, of which there is no "
            "program; map the network again"
        )
    return row.algorithm, Dataflow[row.dataflow]


def _check_memory(layer: CompiledLayer, size: int, before: Sequence[CompiledLayer]) -> None:
    if size > _MEMORY_LIMIT:
        largest = max((*before, layer), key=lambda each: each.constants_bytes)
        raise CompilationError(
            f"with the weights of layer {layer.name!r} the network takes {size} bytes, the overlay addresses "
            f"{_MEMORY_LIMIT}; those of {largest.name!r} ({largest.algorithm}) are the largest with "
            f"{largest.constants_bytes} bytes, and Winograd's are larger than im2col's: split the network, or map it "
            "with --algorithms im2col"
        )


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
