"""One public call for each command of the command line, under the same names; ``dynamap_opt`` re-exports them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from dynamap_models.errors import ModelError
from dynamap_models.ir import Network
from dynamap_models.zoo import build_model, model_names

from .algorithms import Algorithm
from .benchmark import bench
from .board import Board, board_names, load_board
from .comparison import StrategyResult, compare_strategies
from .errors import DynamapError
from .explanation import LayerExplanation, explain_plan, mapper_of
from .generation import GeneratedDesign, generate_design
from .mapping import map_network
from .plan import Plan, load_plan
from .simulator_rates import SimulatorRate, measure_simulators
from .verification import Verification, verify_plan

if TYPE_CHECKING:  # what runs on the overlay loads only when it is wanted
    from dynamap_models.quantised import QuantisedNetwork
    from dynamap_rtl.simulation import SimulatorName

    from .compilation import CompiledNetwork
    from .execution.simulate import Simulation
    from .execution.sources import Inputs, SourceOptions
    from .execution.tasks import ExecutorLike
    from .reporting import Report

__all__ = [
    "ModelSummary",
    "bench",
    "boards",
    "compare",
    "compile",
    "explain",
    "export_model",
    "generate",
    "load_model",
    "map",
    "models",
    "report",
    "simulate",
    "simulators",
    "verify",
]

ModelLike = str | os.PathLike[str] | Network
BoardLike = str | os.PathLike[str] | Board
PlanLike = str | os.PathLike[str] | Plan


@dataclass(frozen=True)
class ModelSummary:
    """A zoo network in four facts; ``input_shape`` is in ONNX order, batch included."""

    name: str
    macs: int
    parameters: int
    input_shape: tuple[int, ...]


def models() -> tuple[ModelSummary, ...]:
    """The zoo."""
    summaries = []
    for name in model_names():
        network = build_model(name)
        shape = network.tensors[network.inputs[0]].onnx_shape
        summaries.append(ModelSummary(name, network.macs, network.parameter_count, shape))
    return tuple(summaries)


def boards() -> tuple[Board, ...]:
    """The board presets."""
    return tuple(load_board(name) for name in board_names())


def _is_path(source: str) -> bool:
    if source.endswith(".onnx") or os.sep in source:
        return True
    return source not in model_names() and os.path.exists(source)  # noqa: PTH110 - Path.exists raises on odd names in 3.11


def lasting_source(source: str) -> str:
    """A source as a plan remembers it: valid from any folder."""
    return str(Path(source).resolve()) if _is_path(source) else source


def load_model(source: str | os.PathLike[str], *, input_shapes: Mapping[str, Sequence[int]] | None = None) -> Network:
    """A network by zoo name or by the path of an ONNX file; of a quantised file its layers, with real weights.

    Args:
        source: a name that :func:`models` lists, or a path.
        input_shapes: shapes of inputs that the file leaves open, in ONNX order, batch included.

    Raises:
        ModelError: when there is no such network or it cannot be read; the message says what to do.
        DynamapError: when ``input_shapes`` is given for a zoo network.
    """
    if isinstance(source, str) and not _is_path(source):
        network = build_model(source)
        if input_shapes:
            raise DynamapError(f"zoo network {source!r} has its own input shape; leave out --input-shape")
        return network
    from dynamap_models.onnx_import import import_onnx  # noqa: PLC0415 - zoo networks do without onnx

    try:
        return import_onnx(source, input_shapes=input_shapes)
    except ModelError:
        from .execution.sources import is_quantised_file  # noqa: PLC0415 - loads what runs on the overlay

        if not is_quantised_file(source):
            raise
    from dynamap_models.quantisation import import_quantised_onnx  # noqa: PLC0415 - loads onnx

    return import_quantised_onnx(source, input_shapes=input_shapes).network


def export_model(model: ModelLike, path: str | os.PathLike[str]) -> None:
    """Write a network as an ONNX file, whole or not at all.

    Raises:
        ModelError: when it cannot be written.
    """
    from dynamap_models.onnx_export import write_onnx  # noqa: PLC0415 - needs onnx

    write_onnx(model if isinstance(model, Network) else load_model(model), path)


def map(  # noqa: A001 - the command's name; users write dynamap_opt.map
    model: ModelLike,
    board: BoardLike,
    *,
    array: tuple[int, int] | None = None,
    algorithms: Iterable[str | Algorithm] | None = None,
    dataflows: Iterable[str] | None = None,
    cost: str = "overlay",
    method: str = "auto",
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    allow_host: bool = False,
    macs_per_dsp: int = 1,
    time_limit: float | None = None,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Map a network onto a board; see :func:`dynamap_opt.mapping.map_network` for the options.

    Args:
        model: zoo name, ONNX path or network.
        board: preset name, TOML path or board.
        array: (P1, P2) to fix the shape.
        algorithms: names or families to choose from, and algorithms of one's own, which need no registration.
        dataflows: names to choose from.
        cost: ``overlay`` or ``paper``.
        method: of :func:`dynamap_solvers.solve`.
        input_shapes: shapes an ONNX file leaves open.
        allow_host: run what the overlay lacks on the host.
        macs_per_dsp: 8-bit products per DSP slice and cycle.
        time_limit: in seconds.
        threads: cores to use.
        progress: called with (shapes done, shapes in all).

    Raises:
        DynamapError, ModelError: on anything unusable.

    >>> plan = map("squeezenet-1.1", "pynq-z2", array=(14, 14))
    >>> plan.status, plan.latency_cycles == sum(layer.cycles for layer in plan.layers)
    ('optimal', True)
    """
    shapes = {name: tuple(shape) for name, shape in (input_shapes or {}).items()}
    network = model if isinstance(model, Network) else load_model(model, input_shapes=shapes)
    return map_network(
        network,
        board if isinstance(board, Board) else load_board(board),
        array=array,
        algorithms=algorithms,
        dataflows=dataflows,
        cost=cost,
        method=method,
        allow_host=allow_host,
        macs_per_dsp=macs_per_dsp,
        time_limit=time_limit,
        source="" if isinstance(model, Network) else lasting_source(str(model)),
        input_shapes=shapes,
        threads=threads,
        progress=progress,
    )


def _plan_and_network(plan: PlanLike, model: ModelLike | None) -> tuple[Plan, Network]:
    loaded = plan if isinstance(plan, Plan) else load_plan(plan)
    if isinstance(model, Network):
        return loaded, model
    source = model or loaded.model.source
    if not source:
        raise DynamapError("the plan does not say where its network is; give the model as well")
    return loaded, load_model(source, input_shapes=loaded.model.input_shapes or None)


def explain(
    plan: PlanLike,
    layer: str | None = None,
    *,
    model: ModelLike | None = None,
    algorithms: Iterable[Algorithm] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[LayerExplanation, ...]:
    """Why this choice: every alternative of every stage (or one), with the rest re-optimised.

    Args:
        plan: a plan or its file.
        layer: name of a layer; all for None.
        model: the network, where it is no longer at the place the plan names.
        algorithms: of one's own that the plan was made with.
        progress: called with (stages done, stages in all).

    Raises:
        DynamapError, ModelError: when plan or network cannot be read or do not belong together.
    """
    loaded, network = _plan_and_network(plan, model)
    return explain_plan(loaded, mapper_of(loaded, network, algorithms=algorithms), layer=layer, progress=progress)


def verify(
    plan: PlanLike, *, model: ModelLike | None = None, algorithms: Iterable[Algorithm] = (), explore: bool = False
) -> Verification:
    """Price a plan again from the network alone and check its certificate.

    Args:
        plan: a plan or its file.
        model: the network, where it is no longer at the place the plan names.
        algorithms: of one's own that the plan was made with.
        explore: also solve every other array shape again.

    Raises:
        DynamapError, ModelError: when plan or network cannot be read or do not belong together.
    """
    loaded, network = _plan_and_network(plan, model)
    return verify_plan(loaded, mapper_of(loaded, network, algorithms=algorithms), explore=explore)


def report(
    plan: PlanLike,
    *,
    against: PlanLike | None = None,
    model: ModelLike | None = None,
    explore: bool = True,
    threads: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """One self-contained HTML page about a plan; see :func:`dynamap_opt.reporting.make_report`.

    Args:
        plan: a plan or its file.
        against: another plan for the same network; the page shows what differs.
        model: the network, where it is no longer at the place the plan names.
        explore: whether all shapes are explored again for the map and the Pareto front.
        threads: cores to use for that.
        progress: called with (what is done, steps done, steps in all).

    Raises:
        DynamapError, ModelError: when plan or network cannot be read or do not belong together, or a package of the
            extra ``report`` is not installed.
    """
    from .reporting import make_report  # noqa: PLC0415 - only this call needs it

    loaded, network = _plan_and_network(plan, model)
    other = against if against is None or isinstance(against, Plan) else load_plan(against)
    return make_report(
        loaded,
        mapper_of(loaded, network),
        against=other,
        explore=explore,
        plan_name=f"{loaded.model.name}.json" if isinstance(plan, Plan) else Path(plan).name,
        threads=threads,
        progress=progress,
    )


def compare(
    model: ModelLike,
    board: BoardLike,
    *,
    cost: str = "overlay",
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    allow_host: bool = False,
    threads: int = 2,
    measure: bool = False,
    jobs: int = 1,
    executor: ExecutorLike = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[StrategyResult, ...]:
    """The joint optimum against fixed strategies; see :func:`dynamap_opt.comparison.compare_strategies`.

    With ``measure`` the network, quantised if it is float (calibrated with random maps), runs on the RTL under each,
    its layers in ``jobs`` processes or by ``executor``, as :func:`simulate` has them.
    """
    found, measured = board if isinstance(board, Board) else load_board(board), None
    if measure:
        from .execution.measure import measurement  # noqa: PLC0415 - loads PyRTL

        network, measured = measurement(model, input_shapes=input_shapes, jobs=jobs, executor=executor)
    else:
        network = model if isinstance(model, Network) else load_model(model, input_shapes=input_shapes)
    return compare_strategies(
        network, found, cost=cost, allow_host=allow_host, threads=threads, measure=measured, progress=progress
    )


def generate(
    folder: str | os.PathLike[str],
    *,
    array: tuple[int, int] | None = None,
    plan: PlanLike | None = None,
    bytes_per_cycle: int | None = None,
    winograd: Sequence[int] | None = None,
    axi: bool = True,
) -> GeneratedDesign:
    """Write the overlay as a folder of hierarchical Verilog with a file list, a summary and a test bench.

    Args:
        folder: new, empty, or written by an earlier call; it appears complete or stays as it was.
        array: (P1, P2); the plan's if None.
        plan: gives the array, the memory port's width and the Winograd tiles used, where these are not given.
        bytes_per_cycle: of the memory ports; 16 without a plan.
        winograd: tiles m of F(m, 3) the overlay is able to do; none without a plan.
        axi: also a top level with AXI interfaces and its description for Vivado.

    Raises:
        DynamapError: when there is neither array nor plan, or the folder holds something else.
        OverlayError: when there is no such overlay, or none on AXI, whose ports have at most 128 bytes.
        OSError: from the file system.
    """
    loaded = plan if plan is None or isinstance(plan, Plan) else load_plan(plan)
    return generate_design(
        Path(folder), array=array, plan=loaded, bytes_per_cycle=bytes_per_cycle, winograd=winograd, axi=axi
    )


def simulators(
    arrays: Sequence[tuple[int, int]],
    *,
    names: Sequence[str] = (),
    whole: bool = False,
    winograd: Sequence[int] = (),
    seconds: float = 1.0,
    patience: float = 60.0,
) -> tuple[SimulatorRate, ...]:
    """Measure every simulator of the hardware on growing arrays, one after the other, each in a process of its own.

    Args:
        arrays: (P1, P2), small to large: a simulator that ran out of patience is not tried on what follows.
        names: simulators; all that are installed if empty.
        whole: the whole overlay with its buffers and units, running layers, not the systolic array alone on random
            inputs.
        winograd: tiles m of F(m, 3) of the whole overlay.
        seconds: of processor time; how long a rate is measured at least.
        patience: seconds for building and measuring together.

    Raises:
        DynamapError: for a simulator that is not there, or tiles of an array alone.
        OverlayError: when there is no such overlay.
    """
    return measure_simulators(arrays, names=names, whole=whole, winograd=winograd, seconds=seconds, patience=patience)


def compile(  # noqa: A001 - the command's name; users write dynamap_opt.compile
    source: PlanLike | ModelLike | QuantisedNetwork,
    board: BoardLike | None = None,
    **options: Unpack[SourceOptions],
) -> CompiledNetwork:
    """A whole network as programs and memory image of the generated overlay.

    Args:
        source: a plan or its file, or a model: zoo name, network, or ONNX file, float or quantised already. Float ones
            are quantised with random maps; for trained weights call ``dynamap_models.quantise`` with maps of yours.
        board: for a model; a plan has its own.
        options: how the source becomes a plan and a quantised network, :class:`SourceOptions`.

    Raises:
        DynamapError, ModelError, OverlayError: when something cannot be read, or does not fit overlay or memory.
    """
    from .compilation import compile_network  # noqa: PLC0415 - loads PyRTL
    from .execution.sources import prepare  # noqa: PLC0415

    prepared = prepare(source, board, **options)
    return compile_network(prepared.plan, prepared.quantised)


def simulate(
    source: PlanLike | ModelLike | QuantisedNetwork,
    board: BoardLike | None = None,
    *,
    inputs: Inputs | None = None,
    program: CompiledNetwork | str | os.PathLike[str] | None = None,
    layers: str | Sequence[str | int] | None = None,
    chain: bool = False,
    simulator: SimulatorName = "dynamap",
    jobs: int = 1,
    executor: ExecutorLike = None,
    work: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[SourceOptions],
) -> Simulation:
    """Run the layers of a network on the simulated RTL as its plan says, and compare every tensor with ONNX Runtime.

    Args:
        source: as :func:`compile` takes it.
        board: for a model.
        inputs: of the network, float or quantised maps (height, width, channels).
        program: what :func:`compile` made of the same source, or its file; made anew if None.
        layers: names and numbers, as ``0-5,12``; all for None.
        chain: run all layers one after another in one memory, each on what the ones before have written.
        simulator: ``dynamap``, or ``verilator`` for the exported Verilog (small arrays).
        jobs: processes; with more than one, a script needs the usual ``if __name__ == "__main__"``.
        executor: ``dask://host:port``, or a ``concurrent.futures`` executor, instead of processes.
        work: folder that keeps results, so that an interrupted run goes on where it was.
        progress: called with (predicted cycles of finished layers, of all chosen).
        options: as :func:`compile` takes them; their seed is also that of the input where none is given.

    Raises:
        DynamapError, ModelError, OverlayError: when something cannot be read, or does not fit overlay or memory.
    """
    from .compilation import CompiledNetwork, compile_network, load_compiled  # noqa: PLC0415 - loads PyRTL
    from .execution.simulate import simulate_network  # noqa: PLC0415
    from .execution.sources import network_inputs, prepare  # noqa: PLC0415

    prepared = prepare(source, board, **options)
    quantised = prepared.quantised
    compiled = compile_network(prepared.plan, quantised)
    if program is not None:
        given = program if isinstance(program, CompiledNetwork) else load_compiled(program)
        if given != compiled:
            raise DynamapError(
                f"the program is not what this version makes of {compiled.model!r} with this plan and seed; compile it "
                "again, or leave it out"
            )
    return simulate_network(
        compiled,
        quantised,
        network_inputs(quantised, seed=options.get("seed", 0)) if inputs is None else inputs,
        layers=layers,
        chain=chain,
        simulator=simulator,
        jobs=jobs,
        executor=executor,
        work=work,
        progress=progress,
    )
