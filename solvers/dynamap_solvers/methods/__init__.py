"""The methods, one file each, and their registry."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dynamap_solvers.errors import SolverError
from dynamap_solvers.methods.auto import solve_auto
from dynamap_solvers.methods.branch_and_bound import solve_branch_and_bound
from dynamap_solvers.methods.brute_force import solve_brute_force
from dynamap_solvers.methods.cvxpy import solve_cvxpy
from dynamap_solvers.methods.highs import solve_highs
from dynamap_solvers.methods.ilp_cbc import solve_ilp_cbc
from dynamap_solvers.methods.ilp_highs import solve_ilp_highs
from dynamap_solvers.methods.ilp_scip import solve_ilp_scip
from dynamap_solvers.methods.min_cut import solve_min_cut
from dynamap_solvers.methods.ortools import solve_ortools
from dynamap_solvers.methods.series_parallel import solve_series_parallel
from dynamap_solvers.methods.toulbar2 import solve_toulbar2
from dynamap_solvers.methods.tree_decomposition import solve_tree_decomposition
from dynamap_solvers.registry import Method

__all__ = ["METHODS"]

_REGISTERED = (
    Method(
        name="auto",
        run=solve_auto,
        summary="simplifies, splits and gives what is left to the cheapest exact method",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
    ),
    Method(
        name="series-parallel",
        run=solve_series_parallel,
        summary="R0, RI and RII reductions to a point (Scholz & Eckstein 2002), with the sequence as certificate",
        takes_usage=False,
        any_graph=False,
        heeds_time_limit=False,
    ),
    Method(
        name="tree-decomposition",
        run=solve_tree_decomposition,
        summary="bucket elimination along the best order found; refuses where its tables would exceed 4 GiB",
        takes_usage=False,
        any_graph=False,
        heeds_time_limit=True,
    ),
    Method(
        name="min-cut",
        run=solve_min_cut,
        summary="maximum flow for two choices per variable and tables that favour equal labels, with the flow and cut",
        takes_usage=False,
        any_graph=True,
        any_costs=False,
        heeds_time_limit=False,
    ),
    Method(
        name="ilp",
        run=solve_ilp_highs,
        summary="local-polytope integer program through PuLP, solved by HiGHS",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        requires=("pulp", "highspy"),
    ),
    Method(
        name="ilp-highs",
        run=solve_ilp_highs,
        summary="the same as ilp",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        requires=("pulp", "highspy"),
    ),
    Method(
        name="ilp-cbc",
        run=solve_ilp_cbc,
        summary="the same program solved by the CBC that PuLP bundles",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        requires=("pulp",),
    ),
    Method(
        name="ilp-scip",
        run=solve_ilp_scip,
        summary="the same program solved by SCIP",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        requires=("pulp", "pyscipopt"),
    ),
    Method(
        name="highs",
        run=solve_highs,
        summary="the same program given to HiGHS as arrays, without PuLP: for large problems",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        requires=("highspy",),
    ),
    Method(
        name="cvxpy",
        run=solve_cvxpy,
        summary="the relaxation through cvxpy with its dual values as certificate, and the integer program if needed",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        requires=("cvxpy", "highspy"),
    ),
    Method(
        name="toulbar2",
        run=solve_toulbar2,
        summary="cost function networks: toulbar2 in a process of its own",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        requires=("pytoulbar2",),
        extra="toulbar2",
    ),
    Method(
        name="ortools",
        run=solve_ortools,
        summary="the same program in integers solved by OR-tools CP-SAT",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        requires=("ortools",),
        extra="ortools",
    ),
    Method(
        name="branch-and-bound",
        run=solve_branch_and_bound,
        summary="depth first on dual bounds by message passing, with pruning, triplets and neighbourhoods",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
        needs_kernel=True,
    ),
    Method(
        name="brute-force",
        run=solve_brute_force,
        summary="enumeration, up to 2**22 assignments",
        takes_usage=True,
        any_graph=True,
        heeds_time_limit=True,
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _REGISTERED})
"""Every method by name."""

if len(METHODS) != len(_REGISTERED):
    raise SolverError("Two methods are registered under one name.")
