"""Merge parallel edges."""

from __future__ import annotations

from dynamap_solvers.passes.base import saturated
from dynamap_solvers.problem import CostArray, SelectionProblem

__all__ = ["merge_parallel"]


def merge_parallel(problem: SelectionProblem) -> dict[tuple[int, int], CostArray]:
    """One table per pair ``(i, j)``, ``i < j``, of variables that share edges: the sum of their tables.

    Forbidden stays forbidden; otherwise integer sums are exact, by the rule of :class:`SelectionProblem`.
    """
    merged: dict[tuple[int, int], CostArray] = {}
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        key, cells = ((i, j), table) if i < j else ((j, i), table.swapaxes(-1, -2))
        merged[key] = saturated(merged[key], cells) if key in merged else cells
    return merged
