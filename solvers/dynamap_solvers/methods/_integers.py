"""Reduced costs as integers for backends that know nothing else.

Integer problems are divided by their common divisor, exactly. Float problems are rounded down to multiples of a power
of two, which keeps every bound a bound; where all costs are such multiples already nothing is lost, and elsewhere
what is lost, ``2**-42`` of the largest cost per term, is far below the tolerance of float problems.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.methods._reduced import ReducedCosts

__all__ = ["IntegerCosts", "integer_costs"]

_FLOAT_BITS = 42


@dataclass(frozen=True, eq=False)
class IntegerCosts:
    """``offset + unit * objective(integers)`` is the objective of the problem, or up to rounding below it.

    Attributes:
        reduced: what they were made from.
        unary: int64, per reduced choice.
        cells: int64, per allowed cell.
        unit: what 1 is worth.
        top: more than any assignment costs.
    """

    reduced: ReducedCosts
    unary: NDArray[np.int64]
    cells: NDArray[np.int64]
    unit: int | float
    top: int

    def bound(self, value: int) -> int | float:
        """A proved bound of the integers as a bound of the problem."""
        return self.reduced.offset + value * self.unit

    def value(self, picked: Sequence[int]) -> int:
        """What reduced choices cost; they must be allowed together."""
        reduced = self.reduced
        at = reduced.starts[:-1] + np.asarray(picked, np.int64)
        taken = np.zeros(len(self.unary), np.bool_)
        taken[at] = True
        cells = taken[reduced.row_choice][reduced.cell_row] & taken[reduced.column_choice][reduced.cell_column]
        return int(self.unary[at].sum()) + int(self.cells[cells].sum())

    def slack(self, value: int) -> float:
        """By how much the price of a proved assignment may differ from its bound: rounding of float costs."""
        if self.reduced.is_integer:
            return 0.0
        terms = self.reduced.num_variables + len(self.reduced.ends)
        return terms * float(self.unit) + 2.0**-40 * (abs(value) * float(self.unit) + abs(float(self.reduced.offset)))


def integer_costs(reduced: ReducedCosts, *, top_below: int, backend: str) -> IntegerCosts:
    """Make integers of reduced costs.

    Raises:
        ProblemError: if the costs of one assignment may add up to ``top_below`` or more.
    """
    unit: int | float
    unary: Any
    cells: Any
    if reduced.is_integer:
        unit, _ = reduced.scale(math.inf)
        unary, cells = reduced.unary // unit, reduced.cells // unit
    else:
        largest = max((float(a.max()) for a in (reduced.unary, reduced.cells) if a.size), default=0.0)
        unit = 2.0 ** (math.frexp(largest)[1] - _FLOAT_BITS) if largest > 0 else 1.0
        unary, cells = (np.floor(a / unit).astype(np.int64) for a in (reduced.unary, reduced.cells))
    top = 1
    if reduced.num_variables:
        top += sum(np.maximum.reduceat(unary, reduced.starts[:-1]).tolist())
    if len(cells):
        dearest: NDArray[Any] = np.zeros(len(reduced.ends), np.int64)
        np.maximum.at(dearest, reduced.row_table[reduced.cell_row], cells)
        top += sum(dearest.tolist())
    if top >= top_below:
        raise ProblemError(
            f"The largest costs of all tables add up to {top} (times their common divisor, {unit}); {backend} counts "
            f"exactly only below {top_below}; scale the costs down."
        )
    return IntegerCosts(reduced=reduced, unary=unary, cells=cells, unit=unit, top=top)
