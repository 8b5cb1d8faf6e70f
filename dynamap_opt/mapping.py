"""The main job: from a network and a board to a plan that is proved optimal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict

import numpy as np

from dynamap_models.ir import Conv, ConvTranspose, FullyConnected, Layer, Network, Pool
from dynamap_solvers import ReductionCertificate, Solution, Status, solve

from .algorithms import Algorithm
from .board import Board
from .costs import ShapeBatch
from .errors import DisagreementError, NoMappingError
from .exploration import RUNNERS_UP, Exploration
from .mapper import Mapper
from .plan import PLAN_SCHEMA, LayerPlan, ModelReference, Plan, Proof, ReductionStep, Settings, ShapeResult, fingerprint
from .program import StageKind
from .selection import Choice, Decision
from .tables import StageTable

__all__ = ["describe", "make_plan", "map_network", "next_best"]


def make_plan(
    mapper: Mapper,
    exploration: Exploration,
    *,
    array: tuple[int, int] | None = None,
    source: str = "",
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    method: str = "auto",
    time_limit: float | None = None,
) -> Plan:
    """Solve the mapping of the best shape of an exploration by ``method`` and write the plan.

    Args:
        mapper: of the network and the board.
        exploration: from :meth:`Mapper.explore`.
        array: what the caller fixed, for the record.
        source: path or zoo name of the network, for the record.
        input_shapes: what the caller fixed, for the record.
        method: of :func:`dynamap_solvers.solve`.
        time_limit: in seconds, for that solve.

    Raises:
        NoMappingError: when no mapping exists, or none was found in time.
    """
    p1, p2 = exploration.best_shape
    decision = mapper.decision(p1, p2)
    solution = solve(decision.problem, method=method, time_limit=time_limit)
    if solution.assignment is None:
        raise NoMappingError(
            f"no mapping of {mapper.network.name!r} on {p1}x{p2} was found ({solution.status}, "
            f"{solution.stop_reason}); allow more algorithms or more time"
        )
    latency = int(solution.objective_value())
    explored = int(exploration.latency_cycles[exploration.best])
    if solution.status is Status.OPTIMAL and latency != explored:
        raise DisagreementError(
            f"two exact methods disagree on {p1}x{p2}: {solution.method} says {latency} cycles, the exploration "
            f"{explored}; please report this"
        )
    layers = _layers(mapper, decision, solution.assignment, p1, p2)
    return Plan(
        schema=PLAN_SCHEMA,
        model=ModelReference(
            name=mapper.network.name,
            source=source,
            input_shapes=input_shapes or {},
            fingerprint=fingerprint(mapper.network),
            macs=mapper.network.macs,
            parameters=mapper.network.parameter_count,
        ),
        board=mapper.board.as_dict(),
        overlay=asdict(mapper.overlay),
        settings=Settings(
            **{name: getattr(mapper.settings, name) for name in mapper.settings.__struct_fields__}
            | {"method": method, "array": array}
        ),
        status=solution.status.value,
        array=(p1, p2),
        latency_cycles=latency,
        latency_s=latency / mapper.board.clock_hz,
        lower_bound_cycles=explored,
        shapes_explored=len(exploration.shapes),
        method=solution.method,
        proof=_proof(decision, solution, exploration),
        layers=layers,
        host_operators=tuple(s.name for s in mapper.program.stages if s.kind is StageKind.HOST),
        next_best=next_best(exploration),
        pareto=tuple(ShapeResult(array=(a, b), latency_cycles=c) for a, b, c in exploration.pareto()),
    )


def _layers(mapper: Mapper, decision: Decision, assignment: tuple[int, ...], p1: int, p2: int) -> tuple[LayerPlan, ...]:
    choices = decision.choices(assignment)
    layout_of = {
        group: mapper.tables.layouts[group][assignment[len(mapper.tables.stages) + index]]
        for index, group in enumerate(decision.groups)
    }
    for table, choice in zip(mapper.tables.stages, choices, strict=True):
        layout_of.setdefault(mapper.tables.group_of_output(table), choice.output_layout)
    layers = {layer.name: layer for layer in mapper.network.layers}
    rows = []
    for table, choice in zip(mapper.tables.stages, choices, strict=True):
        source = mapper.tables.group_of_input(table) if table.stage.inputs else ""
        in_layout = layout_of.get(source, table.in_layouts[0])
        rows.append(_row(mapper, table, choice, table.in_layouts.index(in_layout), layers[table.stage.name], (p1, p2)))
    return tuple(rows)


def _row(
    mapper: Mapper, table: StageTable, choice: Choice, in_index: int, layer: Layer, array: tuple[int, int]
) -> LayerPlan:
    stage = table.stage
    p1, p2 = array
    found = table.cycles(
        choice.algorithm, choice.dataflow, table.in_layouts[in_index], choice.output_layout, ShapeBatch.of(p1, p2)
    )
    assert found is not None
    cycles, load, compute, store = (int(part[0]) for part in (found.total, found.load, found.compute, found.store))
    worked = table.model.products(stage, choice.algorithm)
    source = mapper.network.tensors[stage.inputs[0] if stage.inputs else stage.output]
    target = mapper.network.tensors[stage.output]
    parts = {"compute": compute, "load": load, "store": store}
    return LayerPlan(
        name=stage.name,
        operation=describe(layer),
        input_shape=(source.height, source.width, source.channels),
        output_shape=(target.height, target.width, target.channels),
        algorithm=stage.kind.value if choice.algorithm is None else choice.algorithm.name,
        dataflow=None if choice.algorithm is None else choice.dataflow.value,
        input_layout=table.in_layouts[in_index].label,
        output_layout=choice.output_layout.label,
        cycles=cycles,
        load_cycles=load,
        compute_cycles=compute,
        store_cycles=store,
        macs=0 if stage.conv is None else stage.conv.macs,
        utilization=worked / (p1 * p2 * cycles) if cycles else 0.0,
        bound_by=max(parts, key=lambda part: parts[part]),
    )


def describe(layer: Layer) -> str:
    """A layer's operation in a few characters."""
    operation = layer.operation
    match operation:
        case Conv() | ConvTranspose() | Pool():
            word = {Conv: "conv", ConvTranspose: "deconv", Pool: "pool"}[type(operation)]
            if isinstance(operation, Pool):
                word = f"{operation.kind.value} pool"
            text = f"{word} {operation.kernel[0]}x{operation.kernel[1]}"
            if operation.stride != (1, 1):
                vertical, horizontal = operation.stride
                text += f"/{vertical}" if vertical == horizontal else f"/{vertical}x{horizontal}"
            if isinstance(operation, Conv) and operation.dilation != (1, 1):
                text += f" dilated {operation.dilation[0]}x{operation.dilation[1]}"
            if isinstance(operation, Conv) and operation.groups > 1:
                text += " depthwise" if operation.is_depthwise else f" in {operation.groups} groups"
            return text
        case FullyConnected():
            return "fully connected"
        case _:
            name = getattr(operation, "op_type", None) or type(operation).__name__
            kind = getattr(operation, "kind", None)
            return f"{kind.value} ({name})".lower() if kind is not None else str(name).lower()


def _proof(decision: Decision, solution: Solution, exploration: Exploration) -> Proof:
    certificate = solution.certificate if isinstance(solution.certificate, ReductionCertificate) else None
    steps = () if certificate is None else certificate.plan.steps
    dropped = () if certificate is None else certificate.dropped
    how = (
        "every shape solved exactly"
        if exploration.exact_everywhere
        else "shapes solved in the order of a lower bound until it exceeded the best"
    )
    return Proof(
        method=solution.method,
        variables=decision.problem.num_variables,
        edges=len(decision.problem.edges),
        dropped=dropped,
        reductions=tuple(
            ReductionStep(str(step.rule), step.vertex, step.neighbours, step.tables, step.produced) for step in steps
        ),
        stop_reason=solution.stop_reason.value,
        exploration=how,
    )


def next_best(exploration: Exploration) -> tuple[ShapeResult, ...]:
    """The best shapes after the chosen one, at most five."""
    order = exploration.latency_cycles.argsort(kind="stable")
    if exploration.exact is not None:  # lower bounds have no place in a ranking of latencies
        order = order[: int(np.argmin(np.append(exploration.exact[order], False)))]
    order = order[: RUNNERS_UP + 1]
    shapes = exploration.shapes
    return tuple(
        ShapeResult(
            array=(int(shapes.p1[k]), int(shapes.p2[k])),
            latency_cycles=int(exploration.latency_cycles[k]),
        )
        for k in order
        if k != exploration.best
    )[:RUNNERS_UP]


def map_network(
    network: Network,
    board: Board,
    *,
    array: tuple[int, int] | None = None,
    algorithms: Iterable[str | Algorithm] | None = None,
    dataflows: Iterable[str] | None = None,
    cost: str = "overlay",
    method: str = "auto",
    allow_host: bool = False,
    macs_per_dsp: int = 1,
    time_limit: float | None = None,
    source: str = "",
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Map a network onto a board: the least latency over all array shapes and all mappings, with its proof.

    Args:
        network: see :func:`dynamap_opt.load_model`.
        board: see :func:`dynamap_opt.load_board`.
        array: (P1, P2) to fix the shape instead of exploring all.
        algorithms: names or families to choose from, and algorithms of one's own; all of ours for None.
        dataflows: names to choose from; all for None.
        cost: preset, ``overlay`` or ``paper``.
        method: that proves the mapping of the chosen shape.
        allow_host: whether operators the overlay lacks may run on the host at zero cycles.
        macs_per_dsp: 8-bit products per DSP slice and cycle.
        time_limit: in seconds, for the proof of the chosen shape.
        source: path or zoo name of the network, kept in the plan.
        input_shapes: shapes the caller fixed, kept in the plan.
        threads: cores the exploration uses.
        progress: called with (shapes done, shapes in all).

    Raises:
        DynamapError: on anything that cannot be mapped; the message says what and how to mend it.
        NoMappingError: when no mapping exists, or none was found in time.

    Time O(shapes x stages x algorithms x layouts²): about a second for GoogLeNet's 55,476 shapes on an Alveo U200.
    """
    mapper = Mapper(
        network,
        board,
        algorithms=algorithms,
        dataflows=dataflows,
        cost=cost,
        allow_host=allow_host,
        macs_per_dsp=macs_per_dsp,
    )
    exploration = mapper.explore(array, threads=threads, progress=progress)
    return make_plan(
        mapper, exploration, array=array, source=source, input_shapes=input_shapes, method=method, time_limit=time_limit
    )
