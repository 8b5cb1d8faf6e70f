"""Method ``series-parallel``: R0, RI and RII reductions to a point and back-substitution."""

from __future__ import annotations

from dynamap_solvers.batch import solve_by_reductions
from dynamap_solvers.methods._conflict import with_reason
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution

__all__ = ["solve_series_parallel"]


def solve_series_parallel(problem: SelectionProblem, options: Options) -> Solution:
    """Solve a problem whose graph is series-parallel, in ``O((n + m) d^3)``; the time limit is not looked at.

    Raises:
        NotSeriesParallelError: with a witness, if it is not (variables with one choice are cut out first).
    """
    return with_reason(problem, solve_by_reductions(problem, seed=options.seed, seconds={}), options)
