"""Exact solvers for selection problems: variables with choices, costs of choices and of pairs of choices.

Given a graph whose nodes have choices and whose edges have cost matrices, and perhaps a memory limit over time, find
the cheapest assignment together with a proof. Knows nothing of networks or hardware; importing it costs numpy only.

    >>> import numpy as np
    >>> from dynamap_solvers import SelectionProblem, solve
    >>> problem = SelectionProblem(
    ...     unary=(np.array([0, 3]), np.array([2, 0])), edges=((0, 1),), pair=(np.array([[9, 9], [0, 1]]),)
    ... )
    >>> solve(problem).objective_value()
    4
"""

from __future__ import annotations

from dynamap_solvers.batch import BatchSolution
from dynamap_solvers.brute_force import MAX_ASSIGNMENTS
from dynamap_solvers.certificate import ReductionCertificate, check_reduction
from dynamap_solvers.errors import (
    CertificateError,
    NotSeriesParallelError,
    ProblemError,
    SolverError,
    UnknownMethodError,
)
from dynamap_solvers.formats import read_iopddl, write_iopddl
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem
from dynamap_solvers.result import FLOAT_GAP, Solution, Status, StopReason
from dynamap_solvers.series_parallel import Reduction, ReductionPlan, Rule, reduce_graph
from dynamap_solvers.simplify import Simplification, drop_fixed, drop_forbidden, simplify
from dynamap_solvers.solve import METHODS, Method, method_names, solve, solve_batch

__all__ = [
    "FLOAT_GAP",
    "FORBIDDEN",
    "MAX_ASSIGNMENTS",
    "METHODS",
    "BatchSolution",
    "CertificateError",
    "Method",
    "NotSeriesParallelError",
    "ProblemError",
    "Reduction",
    "ReductionCertificate",
    "ReductionPlan",
    "Rule",
    "SelectionProblem",
    "Simplification",
    "Solution",
    "SolverError",
    "Status",
    "StopReason",
    "UnknownMethodError",
    "check_reduction",
    "drop_fixed",
    "drop_forbidden",
    "method_names",
    "read_iopddl",
    "reduce_graph",
    "simplify",
    "solve",
    "solve_batch",
    "write_iopddl",
]
