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
from dynamap_solvers.certificates import (
    Certificate,
    CutCertificate,
    DualCertificate,
    EliminationCertificate,
    ReductionCertificate,
    check,
    check_certificate,
    check_reduction,
)
from dynamap_solvers.errors import (
    CertificateError,
    NotSeriesParallelError,
    ProblemError,
    SolverError,
    UnknownMethodError,
)
from dynamap_solvers.formats import read_iopddl, read_problem, write_iopddl, write_problem
from dynamap_solvers.graphs import from_graph
from dynamap_solvers.methods import METHODS
from dynamap_solvers.methods.brute_force import MAX_ASSIGNMENTS
from dynamap_solvers.options import Options, Progress
from dynamap_solvers.passes import Simplification, canonical, drop_fixed, drop_forbidden, simplify
from dynamap_solvers.problem import FORBIDDEN, SelectionProblem
from dynamap_solvers.registry import Method
from dynamap_solvers.result import FLOAT_GAP, Solution, Status, StopReason, infeasible, price
from dynamap_solvers.series_parallel import Reduction, ReductionPlan, Rule, reduce_graph
from dynamap_solvers.solve import method_names, solve, solve_batch

__all__ = [
    # the problem and its solution
    "FLOAT_GAP",
    "FORBIDDEN",
    "BatchSolution",
    "Progress",
    "SelectionProblem",
    "Solution",
    "Status",
    "StopReason",
    "from_graph",
    "solve",
    "solve_batch",
    # methods, for those who write one
    "MAX_ASSIGNMENTS",
    "METHODS",
    "Method",
    "Options",
    "infeasible",
    "method_names",
    "price",
    # simplifications and reductions
    "Reduction",
    "ReductionPlan",
    "Rule",
    "Simplification",
    "canonical",
    "drop_fixed",
    "drop_forbidden",
    "reduce_graph",
    "simplify",
    # certificates
    "Certificate",
    "CutCertificate",
    "DualCertificate",
    "EliminationCertificate",
    "ReductionCertificate",
    "check",
    "check_certificate",
    "check_reduction",
    # files
    "read_iopddl",
    "read_problem",
    "write_iopddl",
    "write_problem",
    # errors
    "CertificateError",
    "NotSeriesParallelError",
    "ProblemError",
    "SolverError",
    "UnknownMethodError",
]
