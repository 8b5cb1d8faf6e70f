"""The messages of the search kernel as a certificate that the verifier understands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel.search import LAMBDA_PLACES, KernelSearch
from dynamap_solvers.certificates import DualCertificate
from dynamap_solvers.methods._work_units import WorkUnits
from dynamap_solvers.problem import SelectionProblem

__all__ = ["dual_certificate"]

_MOST = 2**61


def dual_certificate(problem: SelectionProblem, units: WorkUnits, search: KernelSearch) -> DualCertificate | None:
    """What the root ascent moved, edge by edge as posed, and the multipliers of the live sets.

    None before the ascent has ended; where a choice fell to forbidden pairs alone; where edges are parallel, because
    the kernel moves costs of their sum; and where numbers do not fit into 64 bits.
    """
    count = 0 if problem.usage_costs is None else sum(1 for _ in problem.live_sets())
    found = search.messages(count)
    if found is None:
        return None
    moved, multipliers = found
    ends = problem.edge_ends.astype(np.int64)
    low, high = ends.min(axis=1, initial=2**62), ends.max(axis=1, initial=-1)
    order = np.lexsort((high, low))
    if np.any((np.diff(low[order]) == 0) & (np.diff(high[order]) == 0)):
        return None
    sizes = problem.sizes
    widths = sizes[low] + sizes[high]
    begin = np.zeros(len(ends), np.int64)
    begin[order] = np.concatenate(([0], np.cumsum(widths[order])[:-1])) if len(ends) else begin
    first_is_low = ends[:, 0] == low
    at_first = moved[_ranges(np.where(first_is_low, begin, begin + sizes[low]), sizes[ends[:, 0]])]
    at_second = moved[_ranges(np.where(first_is_low, begin + sizes[low], begin), sizes[ends[:, 1]])]
    places = units.places + (LAMBDA_PLACES if count else 0)
    shift = (LAMBDA_PLACES if count else 0) - min(places, 0)  # the denominator is 2**max(places, 0)
    if places < 0 and count:
        return None
    if max((int(np.abs(moved).max(initial=0))) << shift, int(multipliers.max(initial=0))) >= _MOST:
        return None
    first, second = at_first << shift, at_second << shift
    return DualCertificate(
        # Powers of two times what fits into 53 bits: exact in float64 too.
        at_first=first if units.is_integer else first.astype(np.float64),
        at_second=second if units.is_integer else second.astype(np.float64),
        rows=multipliers,
        denominator=2 ** max(places, 0),
    )


def _ranges(begin: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """``begin[k], begin[k] + 1, ...``, ``lengths[k]`` of them, for all k in a row."""
    total = int(lengths.sum())
    ahead = np.concatenate(([0], np.cumsum(lengths)[:-1])) if len(lengths) else np.zeros(0, np.int64)
    within = np.arange(total, dtype=np.int64) - np.repeat(ahead, lengths)
    return np.asarray(within + np.repeat(begin, lengths), np.int64)
