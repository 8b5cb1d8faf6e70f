"""The vocabulary of reduction plans, apart so that the plan and its pricing can both use it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Reduction", "Rule"]


class Rule(StrEnum):
    """The five reductions, explained in :mod:`dynamap_solvers.series_parallel`."""

    R0 = "R0"
    RI = "RI"
    RII = "RII"
    PARALLEL = "parallel"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Reduction:
    """One step of a plan.

    Attributes:
        rule: which reduction.
        vertex: the variable that leaves, -1 for ``parallel``.
        neighbours: the variables at the other end of ``tables``, in the same order; for ``parallel`` the two ends, in
            the order of the axes of the produced table.
        tables: the tables that leave. Tables 0..m-1 are the edges as given, table ``m + k`` is the k-th one produced.
        produced: the table that arises (RII and parallel), -1 otherwise. Its axes are ``neighbours``.
    """

    rule: Rule
    vertex: int
    neighbours: tuple[int, ...]
    tables: tuple[int, ...]
    produced: int
