"""The main job: from a network and a board to a plan that is proved optimal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

import numpy as np

from dynamap_models.ir import Conv, ConvTranspose, FullyConnected, Layer, Network, Pool
from dynamap_rtl import Dataflow, Overlay
from dynamap_solvers import FORBIDDEN, Solution, Status, solve

from .algorithms import Algorithm, select_algorithms
from .board import Board
from .costs import PRESETS, CostModel, OverlayCost, PaperCost
from .errors import DisagreementError, DynamapError, NoMappingError
from .exploration import ArrayShapes, Exploration, all_shapes, explore_shapes
from .lowering import Program, StageKind, lower
from .overlays import dram_bytes_per_cycle, max_elements, overlay_for
from .plan import PLAN_SCHEMA, LayerPlan, ModelReference, Plan, Proof, ReductionStep, Settings, ShapeResult, fingerprint
from .selection import Choice, Decision, mapping_problem
from .tables import MappingTables, StageTable, build_tables

__all__ = ["Mapper", "cost_model", "describe", "map_network", "next_best", "select_dataflows"]

_NEXT_BEST = 5


def select_dataflows(names: Iterable[str] | None) -> tuple[Dataflow, ...]:
    """The dataflows of the given names, all for None.

    Raises:
        DynamapError: for an unknown name or an empty selection.
    """
    if names is None:
        return tuple(Dataflow)
    wanted = list(names)
    for name in wanted:
        if name not in Dataflow.__members__:
            raise DynamapError(f"unknown dataflow {name!r}; give names among {', '.join(Dataflow)}")
    if not wanted:
        raise DynamapError("no dataflow is left to choose from; name at least one")
    return tuple(dataflow for dataflow in Dataflow if dataflow.name in wanted)


def cost_model(
    name: str,
    program: Program,
    overlay: Overlay,
    board: Board,
    algorithms: Sequence[Algorithm],
    *,
    prefer: str | None = None,
) -> CostModel:
    """The cost model of a preset.

    Raises:
        DynamapError: for an unknown preset.
    """
    if name == "overlay":
        return OverlayCost(program, overlay, algorithms, prefer)
    if name == "paper":
        return PaperCost(program, overlay, algorithms, dram_bytes_per_cycle(board), prefer)
    raise DynamapError(f"unknown cost preset {name!r}; give one of {', '.join(PRESETS)}")


class Mapper:
    """The tables of one network on one board, from which shapes are explored and plans are made.

    Args:
        network: to map.
        board: to map it onto.
        algorithms: names or families to choose from; all for None.
        dataflows: names to choose from; all for None.
        cost: preset, ``overlay`` or ``paper``.
        allow_host: whether operators the overlay lacks may run on the host at zero cycles.
        macs_per_dsp: see :func:`~dynamap_opt.overlays.overlay_for`.
        prefer: a family used wherever it is legal, instead of the best (to see what a fixed strategy costs).

    Raises:
        DynamapError: when the network cannot run this way; the message says why.
    """

    def __init__(
        self,
        network: Network,
        board: Board,
        *,
        algorithms: Iterable[str] | None = None,
        dataflows: Iterable[str] | None = None,
        cost: str = "overlay",
        allow_host: bool = False,
        macs_per_dsp: int = 1,
        prefer: str | None = None,
    ) -> None:
        self.network = network
        self.board = board
        self.overlay = overlay_for(board, macs_per_dsp=macs_per_dsp)
        self.elements = max_elements(board, self.overlay)
        chosen, flows = select_algorithms(algorithms), select_dataflows(dataflows)
        self.settings = Settings(
            cost=cost,
            algorithms=tuple(algorithm.name for algorithm in chosen),
            dataflows=tuple(flow.value for flow in flows),
            method="auto",
            allow_host=allow_host,
            macs_per_dsp=macs_per_dsp,
            array=None,
        )
        self.program = lower(network, allow_host=allow_host)
        self.model = cost_model(cost, self.program, self.overlay, board, chosen, prefer=prefer)
        self._check_legal()
        self.tables: MappingTables = build_tables(self.program, self.model, flows)
        self._check_size()

    def _check_legal(self) -> None:
        for stage in self.program.stages:
            if stage.kind is StageKind.ARRAY and not self.model.algorithms(stage):
                assert stage.conv is not None
                raise DynamapError(
                    f"none of the algorithms {', '.join(self.settings.algorithms)} can compute layer {stage.name!r} "
                    f"(kernel {stage.conv.kernel[0]}x{stage.conv.kernel[1]}, stride {stage.conv.stride}, groups "
                    f"{stage.conv.groups}); allow one that can, im2col always does"
                )

    def _check_size(self) -> None:
        """Refuse a network whose cycles might not fit the 64-bit sums of an exploration.

        Compute on any shape is at most four times that of 1x1 (ragged tiles) plus four times that of one row or one
        column (tiles shorter than their drain or preload).
        """
        total = 0
        extremes = ((1, 1), (self.elements, 1), (1, self.elements))
        for table in self.tables.stages:
            compute = sum(
                int(self.model.compute_cycles(table.stage, algorithm, dataflow, p1, p2))
                for algorithm in table.algorithms
                for dataflow in table.dataflows
                for p1, p2 in extremes
            )
            moved = sum(int(cycles) for cycles in (*table.load.flat, *table.store.flat) if cycles < FORBIDDEN)
            total += 4 * compute + moved + 2 * self.overlay.dram_latency_cycles
        if total >= FORBIDDEN // 2:
            raise DynamapError(
                f"network {self.network.name!r} is too large: its cycles on board {self.board.name!r} may exceed "
                "2**60; map it in parts"
            )

    def shapes(self, array: tuple[int, int] | None = None) -> ArrayShapes:
        """All shapes the board can hold, or the given one.

        Raises:
            DynamapError: when the given one does not fit.
        """
        if array is None:
            return all_shapes(self.elements)
        p1, p2 = array
        if p1 < 1 or p2 < 1 or p1 * p2 > self.elements:
            raise DynamapError(
                f"array {p1}x{p2} does not fit board {self.board.name!r}: P1 and P2 must be at least 1 and P1·P2 at "
                f"most {self.elements}; choose a smaller array or a larger board"
            )
        return ArrayShapes(np.array([p1], dtype=np.int64), np.array([p2], dtype=np.int64))

    def explore(
        self,
        array: tuple[int, int] | None = None,
        *,
        threads: int = 2,
        progress: Callable[[int, int], None] | None = None,
    ) -> Exploration:
        """The exact optimum of every shape (or of one)."""
        return explore_shapes(self.tables, self.shapes(array), threads=threads, progress=progress)

    def decision(self, p1: int, p2: int) -> Decision:
        """The mapping problem of one shape."""
        return mapping_problem(self.tables, p1, p2)

    def plan(
        self,
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
            exploration: from :meth:`explore`.
            array: what the caller fixed, for the record.
            source: path or zoo name of the network, for the record.
            input_shapes: what the caller fixed, for the record.
            method: of :func:`dynamap_solvers.solve`.
            time_limit: in seconds, for that solve.

        Raises:
            NoMappingError: when no mapping exists, or none was found in time.
        """
        p1, p2 = exploration.best_shape
        decision = self.decision(p1, p2)
        solution = solve(decision.problem, method=method, time_limit=time_limit)
        if solution.assignment is None:
            raise NoMappingError(
                f"no mapping of {self.network.name!r} on {p1}x{p2} was found ({solution.status}, "
                f"{solution.stop_reason}); allow more algorithms or more time"
            )
        latency = int(solution.objective_value())
        explored = int(exploration.latency_cycles[exploration.best])
        if solution.status is Status.OPTIMAL and latency != explored:
            raise DisagreementError(
                f"two exact methods disagree on {p1}x{p2}: {solution.method} says {latency} cycles, the exploration "
                f"{explored}; please report this"
            )
        layers = self._layers(decision, solution.assignment, p1, p2)
        return Plan(
            schema=PLAN_SCHEMA,
            model=ModelReference(
                name=self.network.name,
                source=source,
                input_shapes=input_shapes or {},
                fingerprint=fingerprint(self.network),
                macs=self.network.macs,
                parameters=self.network.parameter_count,
            ),
            board=self.board.as_dict(),
            overlay=asdict(self.overlay),
            settings=Settings(
                **{name: getattr(self.settings, name) for name in self.settings.__struct_fields__}
                | {"method": method, "array": array}
            ),
            status=solution.status.value,
            array=(p1, p2),
            latency_cycles=latency,
            latency_s=latency / self.board.clock_hz,
            lower_bound_cycles=explored,
            shapes_explored=len(exploration.shapes),
            method=solution.method,
            proof=_proof(decision, solution, exploration),
            layers=layers,
            host_operators=tuple(s.name for s in self.program.stages if s.kind is StageKind.HOST),
            next_best=next_best(exploration),
            pareto=tuple(ShapeResult(array=(a, b), latency_cycles=c) for a, b, c in exploration.pareto()),
        )

    def _layers(self, decision: Decision, assignment: tuple[int, ...], p1: int, p2: int) -> tuple[LayerPlan, ...]:
        choices = decision.choices(assignment)
        layout_of = {
            group: self.tables.layouts[group][assignment[len(self.tables.stages) + index]]
            for index, group in enumerate(decision.groups)
        }
        for table, choice in zip(self.tables.stages, choices, strict=True):
            layout_of.setdefault(self.tables.group_of_output(table), choice.output_layout)
        layers = {layer.name: layer for layer in self.network.layers}
        rows = []
        for table, choice in zip(self.tables.stages, choices, strict=True):
            source = self.tables.group_of_input(table) if table.stage.inputs else ""
            in_layout = layout_of.get(source, table.in_layouts[0])
            rows.append(self._row(table, choice, table.in_layouts.index(in_layout), layers[table.stage.name], (p1, p2)))
        return tuple(rows)

    def _row(self, table: StageTable, choice: Choice, in_index: int, layer: Layer, array: tuple[int, int]) -> LayerPlan:
        stage = table.stage
        p1, p2 = array
        algorithm = table.algorithms.index(choice.algorithm)
        load = int(table.load[in_index, algorithm])
        store = int(table.store[algorithm, table.out_layouts.index(choice.output_layout)])
        compute = int(self.model.compute_cycles(stage, choice.algorithm, choice.dataflow, p1, p2))
        cycles = 0 if stage.kind is StageKind.HOST else int(self.model.latency(load, compute, store))
        worked = 0
        if stage.conv is not None and choice.algorithm is not None:
            worked = min(stage.conv.macs, sum(gemm.macs for gemm in choice.algorithm.gemms(stage.conv)))
        source = self.network.tensors[stage.inputs[0] if stage.inputs else stage.output]
        target = self.network.tensors[stage.output]
        parts = {"compute": compute, "load": load, "store": store}
        return LayerPlan(
            name=stage.name,
            layers=stage.layers,
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
    certificate = solution.certificate
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
    if not exploration.exact_everywhere:  # lower bounds have no place in a ranking of latencies
        return ()
    order = exploration.latency_cycles.argsort(kind="stable")[: _NEXT_BEST + 1]
    shapes = exploration.shapes
    return tuple(
        ShapeResult(
            array=(int(shapes.p1[k]), int(shapes.p2[k])),
            latency_cycles=int(exploration.latency_cycles[k]),
        )
        for k in order
        if k != exploration.best
    )[:_NEXT_BEST]


def map_network(
    network: Network,
    board: Board,
    *,
    array: tuple[int, int] | None = None,
    algorithms: Iterable[str] | None = None,
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
        algorithms: names or families to choose from; all for None.
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
    return mapper.plan(
        exploration, array=array, source=source, input_shapes=input_shapes, method=method, time_limit=time_limit
    )
