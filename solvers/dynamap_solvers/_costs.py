"""Flat cost arrays: one after another in memory, checked in one pass."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import Located, function
from dynamap_solvers._structure import FINITE_LIMIT, FORBIDDEN, Structure
from dynamap_solvers.errors import ProblemError

__all__ = [
    "CostArray",
    "Label",
    "as_costs",
    "check_values",
    "checked_flat",
    "checked_shapes",
    "common_dtype",
    "join",
    "largest_finite",
    "scan",
]

_PLAIN = np.dtype(np.int64), np.dtype(np.float64)

CostArray = NDArray[np.int64] | NDArray[np.float64]
Label = Callable[[int], str]


def as_costs(array: Any, label: str) -> NDArray[Any]:
    """An array of signed integers or floats, of whatever width.

    Raises:
        ProblemError: for anything else.
    """
    try:
        costs = np.asarray(array)
    except (ValueError, OverflowError) as error:  # ragged lists, integers beyond 64 bits
        raise ProblemError(f"The costs of {label} are not an array of numbers: {error}.") from error
    if costs.dtype in _PLAIN:
        return costs
    if costs.dtype.kind not in "iuf" or not np.can_cast(
        costs.dtype, np.float64 if costs.dtype.kind == "f" else np.int64, "safe"
    ):
        raise ProblemError(f"The costs of {label} have dtype {costs.dtype}; give int64 or float64.")
    return costs


def join(arrays: Sequence[NDArray[Any]], rank: int, batch: int | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """One array after another, flattened: ``(total,)``, or ``(batch, total)`` where any of them has a batch axis."""
    if batch is None or all(array.ndim == rank for array in arrays):
        parts = [array.reshape(-1) for array in arrays]
        return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype)
    total = sum(math.prod(array.shape[array.ndim - rank :]) for array in arrays)
    joined = np.empty((batch, total), dtype)
    at = 0
    for array in arrays:
        width = math.prod(array.shape[array.ndim - rank :])
        joined[:, at : at + width] = array.reshape((-1, width))
        at += width
    return joined


def largest_finite(costs: NDArray[Any], starts: NDArray[np.int64]) -> tuple[NDArray[Any], bool]:
    """Per segment the largest finite magnitude over all cost sets, and whether any cell is forbidden.

    The magnitude is 0 where there is none and -1 where a value is bad.

    Bad are NaN and negative infinity, and integers of magnitude 2**60 or more other than FORBIDDEN.
    """
    count = len(starts) - 1
    if count == 0:
        return np.zeros(0, costs.dtype), False
    if costs.dtype == np.int64:
        bad = ((costs >= FINITE_LIMIT) & (costs != FORBIDDEN)) | (costs <= -FINITE_LIMIT)
        forbidden = costs == FORBIDDEN
        size = np.where(forbidden | bad, 0, np.abs(np.where(bad, 0, costs)))
    else:
        bad = np.isnan(costs) | (costs == -np.inf)
        forbidden = costs == np.inf
        size = np.where(np.isfinite(costs), np.abs(costs), 0.0)
    if costs.ndim == 2:
        bad, size = bad.any(axis=0), size.max(axis=0)
    largest: NDArray[Any] = np.maximum.reduceat(size, starts[:-1])
    largest[np.logical_or.reduceat(bad, starts[:-1])] = -1
    return largest, bool(forbidden.any())


def scan(located: Located, unary: CostArray, pair: CostArray) -> tuple[int | float, bool] | None:
    """The largest finite magnitude and whether any cell is forbidden, in one pass by the kernel.

    None without the kernel, or where something is wrong that :func:`check_values` can name.

    Args:
        located: what the kernel is told of the graph and of both arrays.
        unary: flat costs, with a batch axis or without.
        pair: the same.
    """
    integers = unary.dtype == _PLAIN[0]
    run = function("dm_scan_i64" if integers else "dm_scan_f64", "ii ppp pp ii p")
    if run is None:
        return None
    magnitude = ctypes.c_int64() if integers else ctypes.c_double()
    batches = (len(costs) if costs.ndim == 2 else 1 for costs in (unary, pair))
    forbids = run(*located.arguments, *batches, ctypes.byref(magnitude))
    return None if forbids < 0 else (magnitude.value, bool(forbids))


def check_values(largest: NDArray[Any], label: Label) -> None:
    """Check the costs of all variables and edges at once.

    Args:
        largest: what :func:`largest_finite` gave, of all variables and then of all edges.
        label: how to name the k-th of them.

    Raises:
        ProblemError: if a value is bad, or integers are so large that sums of them might not be exact.
    """
    bad = np.flatnonzero(largest < 0)
    if bad.size:
        if largest.dtype == np.int64:
            raise ProblemError(
                f"A cost of {label(int(bad[0]))} is 2**60 or more in size and not FORBIDDEN (2**61); scale it down."
            )
        raise ProblemError(f"A cost of {label(int(bad[0]))} is NaN or negative infinity; be finite, or inf to forbid.")
    if largest.dtype == np.int64:
        # Halves of 30 bits, so that the sum itself cannot wrap.
        total = (int((largest >> 30).sum()) << 30) + int((largest & (2**30 - 1)).sum())
        if total >= FINITE_LIMIT:
            raise ProblemError(
                f"The largest costs of all variables and edges add up to {total}, which is 2**60 or more: sums might "
                "not be exact in 64 bits; scale the costs down."
            )
    else:
        with np.errstate(over="ignore"):
            if not np.isfinite(largest.sum()):
                raise ProblemError(
                    "The largest costs of all variables and edges add up to infinity; scale the costs down."
                )


def checked_shapes(structure: Structure, unary: list[NDArray[Any]], pair: list[NDArray[Any]]) -> int | None:
    """The length of the batch axis, None where no array has it."""
    batch: tuple[int, str] | None = None

    def check_batch(array: NDArray[Any], rank: int, label: str) -> None:
        nonlocal batch
        if array.ndim == rank:
            return
        if batch is None:
            batch = array.shape[0], label
        if array.shape[0] != batch[0]:
            raise ProblemError(
                f"The batch axis of {label} has length {array.shape[0]}, not {batch[0]}, that of {batch[1]}."
            )
        if array.shape[0] == 0:
            raise ProblemError(f"The batch axis of {label} is empty; give at least one cost set.")

    for i, array in enumerate(unary):
        if array.ndim == 2:
            check_batch(array, 1, f"variable {structure.label(i)!r}")
    sizes = structure.sizes.tolist()
    for e, ((i, j), table) in enumerate(zip(structure.edge_ends.tolist(), pair, strict=True)):
        if table.ndim not in {2, 3} or table.shape[-2:] != (sizes[i], sizes[j]):
            raise ProblemError(
                f"The table of {structure.edge_label(e)} has shape {table.shape}; by the choices of its ends "
                f"give ({sizes[i]}, {sizes[j]}), with or without a leading batch axis."
            )
        if table.ndim == 3:
            check_batch(table, 2, structure.edge_label(e))
    return None if batch is None else batch[0]


def checked_flat(structure: Structure, unary: Any, pair: Any) -> tuple[CostArray, CostArray]:
    """Flat costs of the right length, type and batch size, as views that can be made read-only."""
    arrays: list[NDArray[Any]] = []
    for raw, starts, what in (
        (unary, structure.unary_starts, "choices"),
        (pair, structure.pair_starts, "pairs of choices"),
    ):
        total = int(starts[-1])
        array = np.asarray(raw)
        if array.size == 0 and total == 0 and array.ndim == 1:
            array = np.zeros(0, np.int64 if not arrays else arrays[0].dtype)
        array = as_costs(array, f"all {what}")
        if array.ndim not in {1, 2} or array.shape[-1] != total:
            raise ProblemError(
                f"The costs of all {what} have shape {array.shape}; there are {total}: give ({total},) or "
                f"(batch, {total})."
            )
        arrays.append(array)
    batches = {array.shape[0] for array in arrays if array.ndim == 2}
    if 0 in batches or len(batches) > 1:
        raise ProblemError(f"The batch axes have the lengths {sorted(batches)}; give both the same, at least 1.")
    if arrays[0].size == 0 and arrays[1].size == 0:
        arrays = [array.astype(np.int64) for array in arrays]
    dtype = common_dtype([array for array in arrays if array.size])
    first, second = (np.ascontiguousarray(array, dtype).view() for array in arrays)
    return first, second


def common_dtype(arrays: Sequence[NDArray[Any]]) -> np.dtype[Any]:
    """int64 or float64, whichever all arrays are of a kind with."""
    kinds = {array.dtype.kind == "f" for array in arrays}
    if len(kinds) > 1:
        raise ProblemError("Some costs are integers and some are floats; give int64 throughout or float64 throughout.")
    return np.dtype(np.float64 if kinds == {True} else np.int64)
