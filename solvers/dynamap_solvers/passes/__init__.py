"""Simplifications: each gives a smaller problem with the same optimum and the way back (a file each)."""

from __future__ import annotations

from dynamap_solvers.passes.base import Drop, Simplification
from dynamap_solvers.passes.dominance import drop_dominated
from dynamap_solvers.passes.fixed import drop_fixed, simplify
from dynamap_solvers.passes.forbidden import drop_forbidden
from dynamap_solvers.passes.parallel import merge_parallel
from dynamap_solvers.passes.ties import canonical

__all__ = [
    "Drop",
    "Simplification",
    "canonical",
    "drop_dominated",
    "drop_fixed",
    "drop_forbidden",
    "merge_parallel",
    "simplify",
]
