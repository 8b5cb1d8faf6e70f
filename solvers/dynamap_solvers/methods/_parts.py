"""Solves a problem part by part where it falls apart: components, then blocks that hang on one variable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.options import Options
from dynamap_solvers.passes.base import saturated
from dynamap_solvers.passes.parts import Block, components, induced, leaf_block
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.registry import Run
from dynamap_solvers.result import Solution, Status, StopReason, infeasible, price

__all__ = ["solve_in_parts"]


def solve_in_parts(problem: SelectionProblem, options: Options, solve_part: Run) -> Solution | None:
    """Solve the parts by a method and put them together; None where the problem is in one piece.

    A leaf block is solved once for each choice of its hinge, which pays where the blocks are the hard part. The bound
    is the sum of what was proved of the parts.

    Args:
        problem: one cost set, without a resource.
        options: the clock is shared by all parts.
        solve_part: solves a part, whole or in parts again.
    """
    parts = components(problem)
    if len(parts) > 1:
        return _sum(problem, [(part, induced(problem, part)) for part in parts], options, solve_part)
    block = leaf_block(problem)
    return None if block is None else _hinged(problem, block, options, solve_part)


def _sum(
    problem: SelectionProblem,
    parts: list[tuple[NDArray[np.int64], SelectionProblem]],
    options: Options,
    solve_part: Run,
) -> Solution:
    assignment = np.full(problem.num_variables, -1)
    bounds: list[int | float | None] = []
    stopped = StopReason.PROVED
    nodes = 0
    for variables, part in parts:
        start = options.warm_start
        warm = None if start is None else tuple(start[i] for i in variables.tolist())
        found = solve_part(part, replace(options, warm_start=warm))
        if found.status is Status.INFEASIBLE:
            return infeasible(method=found.method, reason=found.reason, seconds={}, seed=options.seed)
        if found.assignment is not None:
            assignment[variables] = found.assignment
        bounds.append(found.bound)
        nodes += found.nodes or 0
        if found.stop_reason is not StopReason.PROVED:
            stopped = found.stop_reason
    known = [bound for bound in bounds if bound is not None]
    return price(
        problem,
        assignment=None if (assignment < 0).any() else tuple(assignment.tolist()),
        bound=sum(known) if len(known) == len(bounds) else None,
        method="auto",
        stopped=stopped,
        seconds={},
        nodes=nodes,
        seed=options.seed,
        reason="" if stopped is StopReason.PROVED else "A part of the problem was not solved to the end.",
    )


def _hinged(problem: SelectionProblem, block: Block, options: Options, solve_part: Run) -> Solution | None:
    """Solve a leaf block for every choice of its hinge, then the rest; None where one of them was not solved."""
    size = problem.domain_sizes[block.hinge]
    prices = np.full(size, problem.infeasible_value, problem.dtype)
    inner: list[tuple[int, ...] | None] = [None] * size
    nodes = 0
    for choice in range(size):
        part = induced(problem, block.inner, given=(block.hinge, choice))
        found = solve_part(part, replace(options, warm_start=None))
        if found.stop_reason is not StopReason.PROVED:
            return None
        nodes += found.nodes or 0
        if found.objective is not None:
            prices[choice], inner[choice] = found.objective, found.assignment
    rest = np.setdiff1d(np.arange(problem.num_variables), block.inner)
    smaller = induced(problem, rest)
    costs = smaller.unary_costs.copy()
    at = int(np.searchsorted(rest, block.hinge))
    own = slice(int(smaller.unary_starts[at]), int(smaller.unary_starts[at + 1]))
    costs[own] = saturated(costs[own], prices)
    found = solve_part(smaller.with_costs(unary=costs, pair=smaller.pair_costs), replace(options, warm_start=None))
    if found.status is Status.INFEASIBLE:
        return infeasible(method=found.method, reason=found.reason, seconds={}, seed=options.seed)
    assignment = None
    if found.assignment is not None:
        chosen = np.zeros(problem.num_variables, np.int64)
        chosen[rest] = found.assignment
        chosen[block.inner] = inner[found.assignment[at]] or ()
        assignment = tuple(chosen.tolist())
    return price(
        problem,
        assignment=assignment,
        bound=found.bound,
        method=found.method,
        stopped=found.stop_reason,
        seconds={},
        nodes=nodes + (found.nodes or 0),
        seed=options.seed,
        reason=found.reason,
    )
