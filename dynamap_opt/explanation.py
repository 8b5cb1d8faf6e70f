"""Why a plan chose what it chose: the total of every alternative, with everything else re-optimised around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from dynamap_models.ir import Network
from dynamap_solvers import FORBIDDEN, NotSeriesParallelError, Status, solve, solve_batch

from .algorithms import ALGORITHMS, Algorithm
from .board import Board
from .errors import DynamapError
from .mapper import Mapper
from .plan import Plan, PlanError, fingerprint
from .selection import Decision

__all__ = ["Alternative", "LayerExplanation", "explain_plan", "mapper_of"]


@dataclass(frozen=True)
class Alternative:
    """One choice of a stage; ``total_cycles`` is the network's least latency with it, None when it cannot be."""

    algorithm: str
    dataflow: str | None
    output_layout: str
    total_cycles: int | None


@dataclass(frozen=True)
class LayerExplanation:
    """A stage's choices, best first; ``chosen`` is the plan's."""

    name: str
    chosen: Alternative
    choices: tuple[Alternative, ...]


def mapper_of(plan: Plan, network: Network, *, algorithms: Iterable[Algorithm] = ()) -> Mapper:
    """The tables a plan was made from.

    Args:
        plan: says of which board and with which settings.
        network: the one the plan is for.
        algorithms: of one's own that the plan was made with.

    Raises:
        PlanError: when ``network`` is not the one the plan is for, or the plan's board or settings are not valid.
    """
    found = fingerprint(network)
    if found != plan.model.fingerprint:
        raise PlanError(
            f"the plan is for another structure of {plan.model.name!r} (fingerprint {plan.model.fingerprint[:12]}, "
            f"this network has {found[:12]}); map the network again"
        )
    try:
        board = Board(**plan.board)  # type: ignore[arg-type]  # the constructor checks every field
    except TypeError:
        raise PlanError("the plan's board lacks a field or has an unknown one; map the network again") from None
    own = {algorithm.name: algorithm for algorithm in algorithms}
    foreign = [name for name in plan.settings.algorithms if name not in ALGORITHMS and name not in own]
    if foreign:
        raise PlanError(
            f"the plan was made with unknown algorithm {foreign[0]!r}; if it is yours, give it to explain or verify by "
            "algorithms=, and map again without it to compile or simulate, as only ours have programs"
        )
    return Mapper(
        network,
        board,
        algorithms=[own.get(name, name) for name in plan.settings.algorithms],
        dataflows=plan.settings.dataflows,
        cost=plan.settings.cost,
        allow_host=plan.settings.allow_host,
        macs_per_dsp=plan.settings.macs_per_dsp,
    )


def explain_plan(
    plan: Plan,
    mapper: Mapper,
    *,
    layer: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[LayerExplanation, ...]:
    """For every stage (or the one named ``layer``), the network's latency under each of its choices.

    The array's shape stays the plan's. A stage with k choices costs one batched solve of k problems.

    Raises:
        DynamapError: when no stage has that name, or the plan's array or layers cannot be this mapper's.
    """
    mapper.shapes(plan.array)  # refuses what the board cannot hold
    if [row.name for row in plan.layers] != [stage.name for stage in mapper.program.stages]:
        raise PlanError("the plan's layers are not the network's stages; map the network again")
    decision = mapper.decision(*plan.array)
    stages = [index for index, table in enumerate(decision.tables.stages) if layer is None or layer == table.stage.name]
    if not stages:
        names = ", ".join(table.stage.name for table in decision.tables.stages[:8])
        raise DynamapError(f"the plan has no layer {layer!r}; its layers are {names}, ...")
    explained = []
    for count, index in enumerate(stages):
        totals = _totals(decision, index)
        table = decision.tables.stages[index]
        row = plan.layers[index]
        alternatives = [
            Alternative(
                algorithm=table.stage.kind.value if algorithm is None else algorithm.name,
                dataflow=None if algorithm is None else dataflow.value,
                output_layout=layout.label,
                total_cycles=total,
            )
            for (algorithm, dataflow, layout), total in zip(table.choices, totals, strict=True)
        ]
        chosen = next(
            (
                a
                for a in alternatives
                if (a.algorithm, a.dataflow, a.output_layout) == (row.algorithm, row.dataflow, row.output_layout)
            ),
            None,
        )
        if chosen is None:
            raise PlanError(f"layer {row.name!r} of the plan has a choice that does not exist; map the network again")
        alternatives.sort(key=lambda a: (a.total_cycles is None, a.total_cycles or 0, a is not chosen))
        explained.append(LayerExplanation(row.name, chosen, tuple(alternatives)))
        if progress is not None:
            progress(count + 1, len(stages))
    return tuple(explained)


def _totals(decision: Decision, variable: int) -> list[int | None]:
    """The optimum with ``variable`` fixed to each of its choices in turn."""
    problem = decision.problem
    own = problem.unary[variable]
    fixed = np.full((own.size, own.size), FORBIDDEN, dtype=np.int64)
    np.fill_diagonal(fixed, own)
    unary = list(problem.unary)
    unary[variable] = fixed
    batch = problem.replace(unary=tuple(unary))
    try:
        objectives = [int(value) for value in solve_batch(batch).objectives]
    except NotSeriesParallelError:
        objectives = []
        for choice in range(own.size):
            solution = solve(batch.instance(choice), method="ilp")
            proved = solution.status is Status.OPTIMAL and solution.objective is not None
            objectives.append(int(solution.objective_value()) if proved else FORBIDDEN)
    return [None if value >= FORBIDDEN else value for value in objectives]
