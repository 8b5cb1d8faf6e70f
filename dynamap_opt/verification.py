"""A second look at a plan: priced again from the network alone, in plain integers, one stage after another.

Nothing of the tables or the solver that made the plan is used: each stage asks the cost model for the one choice the
plan names, and layouts are followed from writer to reader by name.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from dynamap_rtl import Dataflow
from dynamap_solvers import (
    FORBIDDEN,
    Reduction,
    ReductionCertificate,
    ReductionPlan,
    Rule,
    SelectionProblem,
    SolverError,
    check_reduction,
    solve,
)

from .algorithms import Algorithm
from .costs import ShapeBatch
from .errors import DynamapError
from .layouts import NHWC, Layout
from .mapper import Mapper
from .mapping import describe, next_best
from .plan import LayerPlan, Plan
from .program import Stage, StageKind

__all__ = ["Verification", "verify_plan"]


@dataclass(frozen=True)
class Verification:
    """What was found; a plan holds when ``problems`` is empty."""

    latency_cycles: int
    problems: tuple[str, ...]
    proof_checked: bool

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_plan(plan: Plan, mapper: Mapper, *, explore: bool = False) -> Verification:
    """Price a plan again and check its proof.

    Args:
        plan: to verify.
        mapper: of the plan's network, board and settings (:func:`~dynamap_opt.explanation.mapper_of`).
        explore: also solve every other shape again and check that none is faster and that the list of next-best
            shapes and the Pareto front are right; without it those two stay unchecked.
    """
    total = 0
    layouts: dict[str, Layout] = {}
    stages = mapper.program.stages
    if [row.name for row in plan.layers] != [stage.name for stage in stages]:
        return Verification(0, ("the plan's layers are not the network's stages",), proof_checked=False)
    try:
        mapper.shapes(plan.array)
    except DynamapError as error:
        return Verification(0, (str(error),), proof_checked=False)
    problems = _check_frame(plan, mapper)
    inputs = _input_layouts(plan, mapper)
    for row, stage in zip(plan.layers, stages, strict=True):
        cycles, found = _price(plan, mapper, stage, row, layouts, inputs)
        total += cycles
        problems.extend(found)
        problems.extend(_check_facts(plan, mapper, stage, row))
    if total != plan.latency_cycles:
        problems.append(f"the stages take {total} cycles, the plan says {plan.latency_cycles}")
    proved = False
    if plan.status == "optimal" and not problems:
        proved = _check_proof(plan, mapper, problems, explore=explore)
    return Verification(total, tuple(problems), proof_checked=proved)


def _check_frame(plan: Plan, mapper: Mapper) -> list[str]:
    """What a plan says besides its layers, its proof and the other shapes."""
    found: list[str] = []
    array = f"array {plan.array[0]}x{plan.array[1]}"
    if plan.settings.array not in {None, plan.array}:
        found.append(f"{array} is not the one that was asked for, {plan.settings.array}")
    claims = (
        ("status", plan.status, {"optimal", "feasible"}),
        ("stop reason", plan.proof.stop_reason == "proved", plan.status == "optimal"),
        ("method", plan.proof.method, plan.method),
        ("overlay", plan.overlay, asdict(mapper.overlay)),
        ("name", plan.model.name, mapper.network.name),
        ("multiply-accumulates", plan.model.macs, mapper.network.macs),
        ("parameters", plan.model.parameters, mapper.network.parameter_count),
        ("number of shapes", plan.shapes_explored, len(mapper.shapes()) if plan.settings.array is None else 1),
        ("host operators", plan.host_operators, tuple(s.name for s in mapper.program.stages if s.kind == "host")),
    )
    for what, said, true in claims:
        if said not in true if isinstance(true, set) else said != true:
            found.append(f"the {what} should be {true}, the plan says {said}")
    if not math.isclose(plan.latency_s, plan.latency_cycles / mapper.board.clock_hz, rel_tol=1e-12):
        found.append(f"{plan.latency_cycles} cycles of the board's clock are not {plan.latency_s} s")
    if plan.lower_bound_cycles > plan.latency_cycles:
        found.append(f"the bound {plan.lower_bound_cycles} is above the latency {plan.latency_cycles}")
    if plan.status == "optimal" and plan.lower_bound_cycles < plan.latency_cycles:
        found.append(f"the bound {plan.lower_bound_cycles} is below the latency, so that the optimum is not proved")
    return found


def _input_layouts(plan: Plan, mapper: Mapper) -> dict[str, str]:
    """How the host stores each network input: as the first stage says that reads it as its main operand."""
    program = mapper.program
    found: dict[str, str] = {}
    for row, stage in zip(plan.layers, program.stages, strict=True):
        if stage.inputs and stage.inputs[0] in mapper.network.inputs:
            found.setdefault(program.tensors[stage.inputs[0]].group, row.input_layout)
    return found


def _check_facts(plan: Plan, mapper: Mapper, stage: Stage, row: LayerPlan) -> list[str]:
    """What a row says for people: shapes, work and what bounds it."""
    tensors = mapper.network.tensors
    source, target = tensors[stage.inputs[0] if stage.inputs else stage.output], tensors[stage.output]
    macs = 0 if stage.conv is None else stage.conv.macs
    worked = macs
    if stage.conv is not None and row.algorithm in mapper.algorithms:
        worked = mapper.model.products(stage, mapper.algorithms[row.algorithm])
    parts = {"load": row.load_cycles, "compute": row.compute_cycles, "store": row.store_cycles}
    facts = (
        ("input shape", row.input_shape, (source.height, source.width, source.channels)),
        ("output shape", row.output_shape, (target.height, target.width, target.channels)),
        ("operation", row.operation, describe(next(l for l in mapper.network.layers if l.name == stage.name))),
        ("multiply-accumulates", row.macs, macs),
        ("longest part", parts.get(row.bound_by), max(parts.values())),
    )
    found = [
        f"layer {row.name!r}: the {what} should be {true}, not {said}" for what, said, true in facts if said != true
    ]
    done = row.utilization * plan.array[0] * plan.array[1] * row.cycles
    if not math.isclose(done, worked if row.cycles else 0, rel_tol=1e-9):
        found.append(f"layer {row.name!r}: a utilization of {row.utilization} is not {worked} multiply-accumulates")
    return found


def _price(
    plan: Plan, mapper: Mapper, stage: Stage, row: LayerPlan, layouts: dict[str, Layout], inputs: dict[str, str]
) -> tuple[int, list[str]]:
    """Cycles of one stage under the plan's choice; ``layouts`` follows the groups of tensors."""
    model, program = mapper.model, mapper.program
    where = f"layer {row.name!r}"
    algorithm: Algorithm | None = None
    if stage.kind is StageKind.ARRAY:
        algorithm = mapper.algorithms.get(row.algorithm)
        if algorithm is None or algorithm not in model.algorithms(stage):
            return 0, [f"{where}: algorithm {row.algorithm!r} cannot compute it"]
        if row.dataflow not in Dataflow.__members__:
            return 0, [f"{where}: dataflow {row.dataflow!r} does not exist"]
        if algorithm.name not in plan.settings.algorithms or row.dataflow not in plan.settings.dataflows:
            return 0, [f"{where}: {row.algorithm} with {row.dataflow} is not among what was asked for"]
    elif (row.algorithm, row.dataflow) != (stage.kind.value, None):
        return 0, [f"{where}: runs on the {stage.kind.value} unit, not by {row.algorithm} with {row.dataflow}"]
    dataflow = Dataflow[row.dataflow] if row.dataflow else Dataflow.NS
    problems: list[str] = []
    in_layout = NHWC
    for position, name in enumerate(stage.inputs):
        group = program.tensors[name].group
        accepted = {layout.label: layout for layout in model.accepted_layouts(stage, position)}
        stored = layouts.get(group)
        if stored is None:  # a network input, or a buffer one is a piece of
            label = NHWC.label if model.plain_inputs else inputs.get(group, NHWC.label)
            stored = layouts[group] = _layout(mapper, group, label) or NHWC
        if stored not in accepted.values():
            problems.append(f"{where}: reads {name!r} as {stored}, which it cannot")
        if position == 0:
            in_layout = stored
            if stored.label != row.input_layout:
                problems.append(f"{where}: reads {name!r} as {row.input_layout}, but it is stored as {stored}")
    target = program.tensors[stage.output]
    out_layout = _layout(mapper, target.group, row.output_layout)
    if out_layout is None or layouts.setdefault(target.group, out_layout) != out_layout:
        return 0, [*problems, f"{where}: {stage.output!r} cannot be stored as {row.output_layout}"]
    if stage.kind is StageKind.HOST:
        if any((row.cycles, row.load_cycles, row.compute_cycles, row.store_cycles)):
            problems.append(f"{where}: what the host runs takes no cycles, the plan says {row.cycles}")
        return 0, problems
    found = model.cycles(stage, algorithm, dataflow, in_layout, out_layout, ShapeBatch.of(*plan.array))
    if found is None or found.total[0] >= FORBIDDEN:
        return 0, [*problems, f"{where}: {row.algorithm} cannot read {in_layout} or write {out_layout}"]
    cycles, load, compute, store = (int(part[0]) for part in (found.total, found.load, found.compute, found.store))
    if (cycles, load, compute, store) != (row.cycles, row.load_cycles, row.compute_cycles, row.store_cycles):
        problems.append(
            f"{where}: takes {cycles} cycles (load {load}, compute {compute}, store {store}), the plan says "
            f"{row.cycles} ({row.load_cycles}, {row.compute_cycles}, {row.store_cycles})"
        )
    return cycles, problems


def _layout(mapper: Mapper, group: str, label: str) -> Layout | None:
    """The layout of that name among those the group's readers know."""
    readers = mapper.program.readers[group]
    candidates = [layout for stage, position in readers for layout in mapper.model.accepted_layouts(stage, position)]
    return next((layout for layout in (NHWC, *candidates) if layout.label == label), None)


def _certificate(plan: Plan, problem: SelectionProblem) -> ReductionCertificate:
    """The certificate in a plan; ValueError for an unknown rule."""
    steps = tuple(
        Reduction(Rule(step.rule), step.vertex, step.neighbours, step.tables, step.produced)
        for step in plan.proof.reductions
    )
    return ReductionCertificate(ReductionPlan(problem.num_variables, problem.edges, steps), plan.proof.dropped)


def _check_proof(plan: Plan, mapper: Mapper, problems: list[str], *, explore: bool) -> bool:
    decision = mapper.decision(*plan.array)
    size = (decision.problem.num_variables, len(decision.problem.edges))
    if (plan.proof.variables, plan.proof.edges) != size:
        problems.append(f"the mapping problem has {size[0]} variables and {size[1]} edges, not as the plan says")
    if plan.proof.reductions:
        try:
            check_reduction(decision.problem, _certificate(plan, decision.problem), bound=plan.latency_cycles)
        except (SolverError, ValueError) as error:
            problems.append(f"the certificate does not check: {error}")
            return False
    else:  # no certificate: solve once more
        again = solve(decision.problem)
        if again.objective != plan.latency_cycles:
            problems.append(f"the mapping problem's optimum is {again.objective}, the plan says {plan.latency_cycles}")
    if explore:
        best = mapper.explore(plan.settings.array)
        least = int(best.latency_cycles[best.best])
        if least < plan.latency_cycles:
            problems.append(f"array {best.best_shape[0]}x{best.best_shape[1]} takes only {least} cycles")
        if [(*row.array, row.latency_cycles) for row in plan.pareto] != best.pareto():
            problems.append("the Pareto front is another")
        if plan.next_best != next_best(best):
            problems.append("the next-best arrays are others")
    return not problems
