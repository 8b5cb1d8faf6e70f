"""Certificates of a problem with fewer choices as certificates of the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._drops import Drop
from dynamap_solvers.certificates import (
    Certificate,
    CutCertificate,
    DualCertificate,
    EliminationCertificate,
    ReductionCertificate,
)
from dynamap_solvers.passes.base import Simplification
from dynamap_solvers.problem import SelectionProblem

__all__ = ["lifted_certificate"]


def lifted_certificate(
    problem: SelectionProblem, smaller: Simplification, certificate: Certificate | None
) -> Certificate | None:
    """The certificate with the choices struck out before in front; ``smaller`` keeps the variables and edges.

    None where there is none, or where a kind of certificate has no room for what was struck out.
    """
    if certificate is None or not smaller.modified:
        return certificate
    dropped = (*smaller.dropped, *(_original(smaller, drop) for drop in _drops(certificate)))
    if isinstance(certificate, ReductionCertificate):
        if any(by >= 0 for _, _, by in dropped):
            return None
        return replace(certificate, dropped=tuple((i, x) for i, x, _ in dropped))
    if isinstance(certificate, DualCertificate):
        at_first, at_second = (
            _widened(problem, smaller, numbers, problem.edge_ends[:, end].astype(np.int64))
            for end, numbers in enumerate((certificate.at_first, certificate.at_second))
        )
        return replace(certificate, at_first=at_first, at_second=at_second, dropped=dropped)
    return replace(certificate, dropped=dropped)


def _drops(certificate: Certificate) -> Sequence[Drop]:
    if isinstance(certificate, ReductionCertificate):
        return tuple((i, x, -1) for i, x in certificate.dropped)
    assert isinstance(certificate, EliminationCertificate | DualCertificate | CutCertificate)
    return certificate.dropped


def _original(smaller: Simplification, drop: Drop) -> Drop:
    i, x, by = drop
    kept = smaller.kept[smaller.kept_starts[i] :]
    return i, int(kept[x]), by if by < 0 else int(kept[by])


def _widened(
    problem: SelectionProblem,
    smaller: Simplification,
    numbers: NDArray[np.int64] | NDArray[np.float64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64] | NDArray[np.float64]:
    """Numbers per edge and choice left to one end as numbers per edge and original choice, 0 where struck out."""
    narrow, wide = smaller.problem.sizes[ends], problem.sizes[ends]
    result: NDArray[Any] = np.zeros(int(wide.sum()), numbers.dtype)
    within = np.arange(int(narrow.sum())) - np.repeat(np.cumsum(narrow) - narrow, narrow)
    chosen = smaller.kept[np.repeat(smaller.kept_starts[ends], narrow) + within]
    result[np.repeat(np.cumsum(wide) - wide, narrow) + chosen] = numbers
    return result
