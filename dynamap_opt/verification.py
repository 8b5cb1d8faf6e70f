"""A second look at a plan: priced again from the network alone, in plain integers, one stage after another.

Nothing of the tables or the solver that made the plan is used: each stage asks the cost model for the one choice the
plan names, and layouts are followed from writer to reader by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from dynamap_rtl import Dataflow
from dynamap_solvers import (
    Reduction,
    ReductionCertificate,
    ReductionPlan,
    Rule,
    SelectionProblem,
    SolverError,
    check_reduction,
    solve,
)

from .algorithms import ALGORITHMS, Algorithm
from .layouts import NHWC, Layout
from .lowering import Stage, StageKind
from .mapping import Mapper
from .plan import LayerPlan, Plan

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
        explore: also solve every other shape again and check that none is faster.
    """
    problems: list[str] = []
    total = 0
    layouts: dict[str, Layout] = {}
    stages = mapper.program.stages
    if [row.name for row in plan.layers] != [stage.name for stage in stages]:
        return Verification(0, ("the plan's layers are not the network's stages",), proof_checked=False)
    if plan.array[0] * plan.array[1] > mapper.elements:
        problems.append(f"array {plan.array[0]}x{plan.array[1]} does not fit the board's {mapper.elements} elements")
    for row, stage in zip(plan.layers, stages, strict=True):
        cycles, found = _price(plan, mapper, stage, row, layouts)
        total += cycles
        problems.extend(found)
    if total != plan.latency_cycles:
        problems.append(f"the stages take {total} cycles, the plan says {plan.latency_cycles}")
    if plan.lower_bound_cycles > plan.latency_cycles:
        problems.append(f"the bound {plan.lower_bound_cycles} is above the latency {plan.latency_cycles}")
    proved = False
    if plan.status == "optimal" and not problems:
        proved = _check_proof(plan, mapper, problems, explore=explore)
    return Verification(total, tuple(problems), proof_checked=proved)


def _price(
    plan: Plan, mapper: Mapper, stage: Stage, row: LayerPlan, layouts: dict[str, Layout]
) -> tuple[int, list[str]]:
    """Cycles of one stage under the plan's choice; ``layouts`` follows the groups of tensors."""
    model, program = mapper.model, mapper.program
    where = f"layer {row.name!r}"
    algorithm: Algorithm | None = None
    if stage.kind is StageKind.ARRAY:
        algorithm = ALGORITHMS.get(row.algorithm)
        if algorithm is None or algorithm not in model.algorithms(stage):
            return 0, [f"{where}: algorithm {row.algorithm!r} cannot compute it"]
        if row.dataflow not in Dataflow.__members__:
            return 0, [f"{where}: dataflow {row.dataflow!r} does not exist"]
    dataflow = Dataflow[row.dataflow] if row.dataflow else Dataflow.NS
    problems: list[str] = []
    in_layout = NHWC
    for position, name in enumerate(stage.inputs):
        group = program.tensors[name].group
        accepted = {layout.label: layout for layout in model.accepted_layouts(stage, position)}
        stored = layouts.get(group)
        if stored is None:  # a network input: the host stored it as the first reader's row says
            stored = layouts[group] = accepted.get(row.input_layout, NHWC) if position == 0 else NHWC
        if stored not in accepted.values():
            problems.append(f"{where}: reads {name!r} as {stored}, which it cannot")
        if position == 0:
            in_layout = stored
            if stored.label != row.input_layout:
                problems.append(f"{where}: reads {name!r} as {row.input_layout}, but it is stored as {stored}")
    target = program.tensors[stage.output]
    out_layout = _out_layout(mapper, target.group, row.output_layout)
    if out_layout is None or layouts.setdefault(target.group, out_layout) != out_layout:
        return 0, [*problems, f"{where}: {stage.output!r} cannot be stored as {row.output_layout}"]
    load = model.load_cycles(stage, algorithm, in_layout)
    store = model.store_cycles(stage, algorithm, out_layout)
    if load is None or store is None:
        return 0, [*problems, f"{where}: {row.algorithm} cannot read {in_layout} or write {out_layout}"]
    if stage.kind is StageKind.HOST:
        return 0, problems
    compute = int(model.compute_cycles(stage, algorithm, dataflow, *plan.array))
    cycles = int(model.latency(load, compute, store))
    if (cycles, load, compute, store) != (row.cycles, row.load_cycles, row.compute_cycles, row.store_cycles):
        problems.append(
            f"{where}: takes {cycles} cycles (load {load}, compute {compute}, store {store}), the plan says "
            f"{row.cycles} ({row.load_cycles}, {row.compute_cycles}, {row.store_cycles})"
        )
    return cycles, problems


def _out_layout(mapper: Mapper, group: str, label: str) -> Layout | None:
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
    return True
