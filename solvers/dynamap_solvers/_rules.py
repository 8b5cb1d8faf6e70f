"""The vocabulary of reduction plans, apart so that the plan and its pricing can both use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import CertificateError

__all__ = ["RULES", "Reduction", "Rule", "StepArrays"]


class Rule(StrEnum):
    """The five reductions, explained in :mod:`dynamap_solvers.series_parallel`."""

    R0 = "R0"
    RI = "RI"
    RII = "RII"
    PARALLEL = "parallel"
    FIXED = "fixed"


RULES = tuple(Rule)
"""The rules by their code in :class:`StepArrays` and in the kernel."""

_CODES = {rule: code for code, rule in enumerate(RULES)}


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


@dataclass(frozen=True, eq=False)
class StepArrays:
    """The same steps as arrays: a hundred thousand of them cost what six arrays cost.

    Attributes:
        rule: codes, int8 ``(steps,)``.
        vertex: int32 ``(steps,)``.
        produced: int32 ``(steps,)``.
        first: where each step's tables begin in the next two, int64 ``(steps + 1,)``.
        neighbours: int32.
        tables: int32.
    """

    rule: NDArray[np.int8]
    vertex: NDArray[np.int32]
    produced: NDArray[np.int32]
    first: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    tables: NDArray[np.int32]

    @classmethod
    def of(cls, steps: Sequence[Reduction]) -> StepArrays:
        """From steps one by one.

        Raises:
            CertificateError: naming a step with a number beyond 32 bits, which no variable or table can have, or with
                more or fewer neighbours than tables.
        """
        for number, step in enumerate(steps):
            if any(abs(k) >= 2**31 for k in (step.vertex, step.produced, *step.neighbours, *step.tables)):
                raise CertificateError(f"Step {number} names a variable or table beyond 2**31; there are none.")
            if len(step.neighbours) != len(step.tables):
                raise CertificateError(
                    f"Step {number} has {len(step.neighbours)} neighbours for {len(step.tables)} tables."
                )
        first = np.zeros(len(steps) + 1, np.int64)
        np.cumsum([len(step.tables) for step in steps], out=first[1:])
        return cls(
            np.array([_CODES[step.rule] for step in steps], np.int8),
            np.array([step.vertex for step in steps], np.int32),
            np.array([step.produced for step in steps], np.int32),
            first,
            np.array([j for step in steps for j in step.neighbours], np.int32),
            np.array([t for step in steps for t in step.tables], np.int32),
        )

    def steps(self) -> tuple[Reduction, ...]:
        """The steps one by one."""
        first = self.first.tolist()
        neighbours, tables = self.neighbours.tolist(), self.tables.tolist()
        return tuple(
            Reduction(RULES[rule], vertex, tuple(neighbours[a:b]), tuple(tables[a:b]), produced)
            for rule, vertex, produced, a, b in zip(
                self.rule.tolist(), self.vertex.tolist(), self.produced.tolist(), first, first[1:], strict=False
            )
        )
