"""The kernel's part in eliminating: orders, bucket elimination, dominance; None everywhere without the library."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import address, library
from dynamap_solvers.problem import SelectionProblem

__all__ = ["Stop", "dominated", "eliminate", "order", "order_cost", "room"]

_INT = ctypes.c_int64
_SLICE_BYTES = 2.0**20  # a few slices shall fit in cache


class Stop:
    """A flag that running kernel code looks at; set it from another thread to end that code early."""

    def __init__(self) -> None:
        self.flag = np.zeros(1, np.int32)

    def set(self) -> None:
        """End it."""
        self.flag[0] = 1


def order(
    ends: NDArray[np.int32], sizes: NDArray[np.int64], *, by_fill: bool, seed: int, most_cells: float
) -> NDArray[np.int32] | None:
    """An elimination order, empty where its tables would exceed ``most_cells`` cells altogether."""
    lib = library()
    if lib is None:
        return None
    found = np.empty(len(sizes), np.int32)
    failed = lib.dm_order(
        _INT(len(sizes)),
        _INT(len(ends)),
        address(ends),
        address(sizes),
        ctypes.c_int(by_fill),
        ctypes.c_uint64(seed),
        ctypes.c_double(most_cells),
        address(found),
    )
    if failed == 2:
        raise MemoryError
    return found if not failed else np.zeros(0, np.int32)


def eliminate(
    problem: SelectionProblem,
    order: NDArray[np.int32],
    *,
    stop: Stop,
    threads: int = 1,
    level: int = 2,
    slice_bytes: float = _SLICE_BYTES,
) -> tuple[int | float, NDArray[np.int32]] | str | None:
    """The optimum and an assignment; ``"stopped"`` where the flag was set; raises MemoryError.

    The outcome is the same for any number of threads; small tables are left to the calling one. Tables of more than
    ``slice_bytes`` are made slice by slice. Vector instructions are used up to a level: 0 plain, 1 AVX2, 2 AVX-512.
    """
    lib = library()
    if lib is None:
        return None
    objective = np.empty(1, problem.dtype)
    choices = np.zeros(problem.num_variables, np.int32)
    graph = (
        _INT(problem.num_variables),
        _INT(problem.num_edges),
        address(problem.edge_ends),
        address(problem.sizes),
        address(problem.unary_starts),
        address(problem.pair_starts),
        address(order),
    )
    rest = (
        address(problem.unary_costs),
        address(problem.pair_costs),
        ctypes.c_int(level),
        _INT(threads),
        ctypes.c_double(slice_bytes),
        address(stop.flag),
        address(objective),
        address(choices),
    )
    if problem.is_integer:
        failed = lib.dm_eliminate_i64(*graph, ctypes.c_int(problem.has_forbidden), *rest)
    else:
        failed = lib.dm_eliminate_f64(*graph, *rest)
    if failed == 2:
        raise MemoryError
    return "stopped" if failed else (objective[0].item(), choices)


def room(
    problem: SelectionProblem, order: NDArray[np.int32], *, slice_bytes: float = _SLICE_BYTES
) -> tuple[int, float] | None:
    """The bytes :func:`eliminate` has for a cost, 4 where 32 bits are proved to do, else 8; and those of all it keeps.

    The tables of one thread are counted; those of the others take up to 256 MiB more.
    """
    lib = library()
    if lib is None:
        return None
    found = np.empty(2, np.float64)
    failed = lib.dm_eliminate_room(
        _INT(problem.num_variables),
        _INT(problem.num_edges),
        address(problem.edge_ends),
        address(problem.sizes),
        address(problem.unary_starts),
        address(problem.pair_starts),
        address(order),
        ctypes.c_int(problem.has_forbidden),
        address(problem.unary_costs if problem.is_integer else None),
        address(problem.pair_costs if problem.is_integer else None),
        ctypes.c_double(slice_bytes),
        address(found),
    )
    if failed:
        raise MemoryError
    return int(found[0]), float(found[1])


def dominated(
    problem: SelectionProblem, usage: NDArray[np.int64] | None, *, stop: Stop
) -> tuple[NDArray[np.bool_], NDArray[np.int64]] | None:
    """Which choices are left, flat, and the drops ``(count, 3)`` in order."""
    lib = library()
    if lib is None:
        return None
    alive = np.ones(len(problem.unary_costs), np.bool_)
    drops = np.empty((len(alive), 3), np.int64)
    count = np.zeros(1, np.int64)
    run: Any = lib.dm_dominance_i64 if problem.is_integer else lib.dm_dominance_f64
    failed = run(
        _INT(problem.num_variables),
        _INT(problem.num_edges),
        address(problem.edge_ends),
        address(problem.sizes),
        address(problem.unary_starts),
        address(problem.pair_starts),
        address(problem.unary_costs),
        address(problem.pair_costs),
        address(usage),
        address(stop.flag),
        address(alive),
        address(drops),
        address(count),
    )
    if failed:
        raise MemoryError
    return alive, drops[: count[0]]


def order_cost(
    ends: NDArray[np.int32], sizes: NDArray[np.int64], order: NDArray[np.int32]
) -> tuple[list[float], NDArray[np.int32]] | None:
    """Work, cells made, most cells alive, width, largest table, and the order depth first; see ``order.cpp``."""
    lib = library()
    if lib is None:
        return None
    cost = np.empty(6, np.float64)
    order = order.copy()
    failed = lib.dm_order_cost(
        _INT(len(sizes)), _INT(len(ends)), address(ends), address(sizes), address(order), address(cost)
    )
    if failed:
        raise MemoryError
    return cost.tolist(), order
