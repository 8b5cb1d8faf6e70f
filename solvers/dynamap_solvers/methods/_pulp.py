"""The local polytope as a PuLP problem, and the frame of the methods that go through it.

What a backend says is read with suspicion, because PuLP files a time limit under ``Optimal`` and old CBC says
``Optimal`` after one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.methods._backend import Claim, Clock, Watch, conclude, ready
from dynamap_solvers.methods._conflict import explain
from dynamap_solvers.methods._local_polytope import LocalPolytope, local_polytope
from dynamap_solvers.methods._reduced import ReducedCosts
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason

__all__ = ["PulpBackend", "PulpModel", "solve_with_pulp"]

PulpBackend = Callable[["PulpModel", Options, Watch], Claim]


class PulpModel:
    """The program as a PuLP problem; ``columns[k]`` is the variable of column k."""

    def __init__(self, program: LocalPolytope) -> None:
        import pulp  # noqa: PLC0415  # importing this package shall cost numpy only

        self.program = program
        self.problem = pulp.LpProblem("selection", pulp.LpMinimize)
        add = self.problem.add_variable
        # PuLP sorts columns by name, so names of one length in order keep the order of the program.
        digits = len(str(program.num_columns))
        bounds = [None if bound == np.inf else bound for bound in program.bounds.tolist()]
        self.columns: list[Any] = [
            add(f"x{k:0{digits}}", 0, bound, pulp.LpInteger) for k, bound in enumerate(bounds[: program.choices])
        ]
        self.columns += [
            add(f"y{k:0{digits}}", 0, bound, pulp.LpContinuous) for k, bound in enumerate(bounds[program.choices :])
        ]
        self.problem.setObjective(pulp.LpAffineExpression(list(zip(self.columns, program.costs.tolist(), strict=True))))
        # By rows: PuLP takes a row at a time.
        order = np.argsort(program.row_index, kind="stable")
        column = np.repeat(np.arange(program.num_columns), np.diff(program.column_starts))[order].tolist()
        value = program.values[order].tolist()
        ends = np.cumsum(np.bincount(program.row_index, minlength=program.num_rows)).tolist()
        begin = 0
        for r, (end, lower, upper) in enumerate(zip(ends, program.lower.tolist(), program.upper.tolist(), strict=True)):
            terms = [(self.columns[c], v) for c, v in zip(column[begin:end], value[begin:end], strict=True)]
            sense = pulp.LpConstraintEQ if lower == upper else pulp.LpConstraintLE
            self.problem.addConstraint(pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, f"r{r}", upper))
            begin = end

    def pick(self, value: Callable[[Any], float]) -> tuple[int, ...]:
        """Per variable of the problem the reduced choice whose number is nearest to 1."""
        numbers: NDArray[np.float64] = np.array([value(column) for column in self.columns[: self.program.choices]])
        return self.program.pick(numbers)


def solve_with_pulp(
    problem: SelectionProblem, options: Options, *, method: str, backend: PulpBackend, exact_below: float
) -> Solution:
    """Make the costs ready, build the model, ask the backend, conclude.

    Raises:
        ProblemError: if the problem's integers spread over more than the backend can tell apart.
    """
    clock = Clock()
    reduced = ready(problem, options, method, clock)
    if not isinstance(reduced, ReducedCosts):
        return reduced
    program = local_polytope(reduced, exact_below=exact_below)
    if options.remaining() == 0:  # PuLP would take much longer than the arrays did
        claim = Claim(stopped=StopReason.TIME_LIMIT, reason="The time limit came while building the program.")
        clock.lap("build")
        return conclude(problem, options, method, reduced, claim, clock)
    model = PulpModel(program)
    clock.lap("build")
    claim = backend(model, options, Watch(options, method))
    clock.lap("search")
    return conclude(problem, options, method, reduced, explain(problem, reduced, claim, options), clock)
