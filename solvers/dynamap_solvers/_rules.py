"""The vocabulary of reduction plans, apart so that the plan and its pricing can both use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import CertificateError

__all__ = ["COUNTS", "RULES", "Reduction", "Rule", "StepArrays"]


class Rule(StrEnum):
    """The five reductions, explained in :mod:`dynamap_solvers.series_parallel`."""

    R0 = "R0"
    RI = "RI"
    RII = "RII"
    PARALLEL = "parallel"
    FIXED = "fixed"


RULES = tuple(Rule)
"""The rules by their code in :class:`StepArrays` and in the kernel."""

COUNTS = 4
"""How many numbers come before the arrays in :attr:`StepArrays.packed`."""

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
    """The same steps as arrays: a hundred thousand of them cost what one array costs.

    Attributes:
        packed: read-only int32, as the kernel writes and reads it: four counts (steps, tables that are touched, and two
            that are 0 in a complete plan), then one after another the arrays that the properties show.
    """

    packed: NDArray[np.int32]

    @property
    def rule(self) -> NDArray[np.int32]:
        """Codes, ``(steps,)``."""
        return self._part(0)

    @property
    def vertex(self) -> NDArray[np.int32]:
        """As in :class:`Reduction`, ``(steps,)``."""
        return self._part(1)

    @property
    def produced(self) -> NDArray[np.int32]:
        """As in :class:`Reduction`, ``(steps,)``."""
        return self._part(2)

    @property
    def first(self) -> NDArray[np.int32]:
        """Where each step's tables begin in the next two, ``(steps + 1,)``."""
        return self._part(3)

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """Of all steps, one after another."""
        return self._part(4)

    @property
    def tables(self) -> NDArray[np.int32]:
        """Of all steps, one after another."""
        return self._part(5)

    def _part(self, which: int) -> NDArray[np.int32]:
        steps, touched = self.packed[:2].tolist()
        ends = list(accumulate((steps, steps, steps, steps + 1, touched, touched), initial=COUNTS))
        return self.packed[ends[which] : ends[which + 1]]

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
        first = list(accumulate((len(step.tables) for step in steps), initial=0))
        packed = np.array(
            [
                *(len(steps), first[-1], 0, 0),
                *(_CODES[step.rule] for step in steps),
                *(step.vertex for step in steps),
                *(step.produced for step in steps),
                *first,
                *(j for step in steps for j in step.neighbours),
                *(t for step in steps for t in step.tables),
            ],
            np.int32,
        )
        packed.setflags(write=False)
        return cls(packed)

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
