"""The compiled kernel, where there is one: C++ sources beside this file, built by ``hatch_build.py`` on installation.

Everything it does is done in numpy as well, or by another method, so that the package works without a compiler; set
the environment variable ``DYNAMAP_KERNEL=off`` to do without. Calls release the GIL and share no state.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIBRARY", "address", "largest_finite", "library"]

LIBRARY = "_dynamap_kernel.so"
"""The file name of the shared library, next to this file."""


@cache
def library() -> ctypes.CDLL | None:
    """The loaded library, or None where it was not built, does not load, or is switched off."""
    if os.environ.get("DYNAMAP_KERNEL", "").lower() in {"off", "0", "no"}:
        return None
    try:
        return ctypes.CDLL(str(Path(__file__).with_name(LIBRARY)))
    except OSError:
        return None


def address(array: NDArray[Any] | None) -> ctypes.c_void_p:
    """Where a C-contiguous array lives; null for None. The caller keeps the array alive."""
    if array is None:
        return ctypes.c_void_p(None)
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.__array_interface__["data"][0])


def largest_finite(costs: NDArray[Any], starts: NDArray[np.int64]) -> tuple[NDArray[Any], bool] | None:
    """See :func:`dynamap_solvers._costs.largest_finite`; None without the library."""
    lib = library()
    if lib is None:
        return None
    largest = np.empty(len(starts) - 1, costs.dtype)
    scan = lib.dm_scan_i64 if costs.dtype == np.int64 else lib.dm_scan_f64
    costs = np.ascontiguousarray(costs)
    batch = costs.shape[0] if costs.ndim == 2 else 1
    forbids = scan(
        address(costs), address(starts), ctypes.c_int64(len(largest)), ctypes.c_int64(batch), address(largest)
    )
    return largest, bool(forbids)
