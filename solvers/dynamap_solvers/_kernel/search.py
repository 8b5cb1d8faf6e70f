"""The search of the compiled kernel, called through ctypes: one handle per solve, freed with the object."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import address, library
from dynamap_solvers.errors import SolverError

__all__ = ["FORBIDS", "LAMBDA_PLACES", "KernelSearch", "Pause", "Rows", "SearchState", "Settings"]

FORBIDS = 2**58
"""Work units at which a cost forbids (``BIG`` in ``net.hpp``)."""

LAMBDA_PLACES = 16
"""Binary places of the multipliers of the rows (``kPrice`` in ``net.hpp``)."""

PHASES = ("ascent", "ascent", "polish", "tighten", "search", "done")

_Ints = NDArray[np.int64]


class Pause(IntEnum):
    """Why :meth:`KernelSearch.run` came back."""

    FINISHED = 0
    TIME = 1
    WORK = 2


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The usage limit: variable i uses ``usage[choice]`` of each row ``low[i] <= r < high[i]``.

    Attributes:
        capacity: per row what may be used, int64.
        low: first row of each variable, int32.
        high: one past the last row, int32.
        usage: per choice, flat, int64.
    """

    capacity: _Ints
    low: NDArray[np.int32]
    high: NDArray[np.int32]
    usage: _Ints


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the kernel searches.

    Attributes:
        quantum: work units by which an assignment must be better to count.
        seed: of the neighbourhoods.
        max_cycle: the longest cycle to cover with triplets, below 3 for none.
        max_triplet_cells: cells of all triplets together.
        sweeps_at_node: message passing at a node of the tree, at most.
        stall: an ascent ends when five iterations each close less than this share of the gap.
        only_root: bound, round and improve, but do not branch.
    """

    quantum: int = 1
    seed: int = 0
    max_cycle: int = 6
    max_triplet_cells: int = 10_000_000
    sweeps_at_node: int = 8
    stall: float = 1e-3
    only_root: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchState:
    """Where a search stands, in work units.

    Attributes:
        objective: of the best assignment, None without one.
        bound: no assignment costs less; ``FORBIDS`` where it is proved that there is none.
        nodes: of the tree so far.
        phase: one of ``PHASES``.
        variables: left after the root was pruned.
        cells: of the tables left.
        triplets: added.
        root_bound: the bound before branching.
        certified: what :meth:`KernelSearch.messages` prove; very low before there are any.
    """

    objective: int | None
    bound: int
    nodes: int
    phase: str
    variables: int
    cells: int
    triplets: int
    root_bound: int
    certified: int


class KernelSearch:
    """One search: costs in, bounds and assignments out, in slices of time so that the caller can watch and stop it.

    Args:
        starts: int64 ``(n + 1,)``: where the choices of each variable begin.
        unary: int64 costs in work units, adding up (with the tables) to at most 2**56; ``FORBIDS`` forbids.
        ends: int32 ``(m, 2)``.
        pair_starts: int64 ``(m + 1,)``.
        pair: int64 tables, row by row, edge after edge.
        rows: the usage limit, or None.
        settings: see :class:`Settings`.

    Raises:
        SolverError: if the kernel is not there.
        MemoryError: if the problem does not fit into memory.
    """

    def __init__(
        self,
        *,
        starts: _Ints,
        unary: _Ints,
        ends: NDArray[np.int32],
        pair_starts: _Ints,
        pair: _Ints,
        rows: Rows | None,
        settings: Settings,
    ) -> None:
        self._handle: ctypes.c_void_p | None = None
        lib = library()
        if lib is None:
            raise SolverError(
                "Method 'branch-and-bound' needs the compiled kernel, which is not here or switched off; install the "
                "package where a C++ compiler is found, or use 'ilp'."
            )
        self._lib = lib
        self._count = len(starts) - 1
        self._choices = int(starts[-1])
        lib.dm_search_new.restype = ctypes.c_void_p
        lib.dm_search_messages.restype = ctypes.c_int64
        number = ctypes.c_int64
        handle = lib.dm_search_new(
            number(self._count),
            address(starts),
            address(unary),
            number(len(ends)),
            address(ends),
            address(pair_starts),
            address(pair),
            number(0 if rows is None else len(rows.capacity)),
            address(None if rows is None else rows.capacity),
            address(None if rows is None else rows.low),
            address(None if rows is None else rows.high),
            address(None if rows is None else rows.usage),
            number(settings.quantum),
            number(settings.seed),
            number(settings.max_cycle),
            number(settings.max_triplet_cells),
            number(settings.sweeps_at_node),
            ctypes.c_double(settings.stall),
            number(settings.only_root),
        )
        if not handle:
            raise MemoryError("The search does not fit into memory.")
        self._handle = ctypes.c_void_p(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back; the object is of no use afterwards."""
        if self._handle is not None:
            self._lib.dm_search_free(self._handle)
            self._handle = None

    def run(self, seconds: float, remaining: float, work: float = math.inf) -> Pause:
        """Go on for about ``seconds``, ``remaining`` being left in all, and until ``work`` cells are swept in all.

        Raises:
            MemoryError: if memory ran out; state and assignment are as before.
        """
        code = self._lib.dm_search_run(
            self._handle, ctypes.c_double(seconds), ctypes.c_double(remaining), ctypes.c_double(work)
        )
        if code < 0:
            raise MemoryError("The search ran out of memory.")
        return Pause(code)

    def offer(self, assignment: NDArray[np.int32]) -> bool:
        """Give it an assignment from elsewhere; whether it is allowed and better than what it has."""
        assert assignment.shape == (self._count,)
        return bool(self._lib.dm_search_offer(self._handle, address(assignment)) == 1)

    def state(self) -> SearchState:
        """Where it stands."""
        out = np.zeros(11, np.int64)
        self._lib.dm_search_state(self._handle, address(out))
        found, objective, bound, nodes, phase, _, variables, cells, triplets, root_bound, certified = out.tolist()
        return SearchState(
            objective=objective if found else None,
            bound=bound,
            nodes=nodes,
            phase=PHASES[phase],
            variables=variables,
            cells=cells,
            triplets=triplets,
            root_bound=root_bound,
            certified=certified,
        )

    def best(self) -> tuple[int, ...] | None:
        """The best assignment so far."""
        if self.state().objective is None:
            return None
        out = np.zeros(self._count, np.int32)
        self._lib.dm_search_best(self._handle, address(out))
        return tuple(out.tolist())

    def alive(self) -> NDArray[np.bool_]:
        """Per choice, flat: whether it may be in an assignment better than the best."""
        out = np.zeros(self._choices, np.int8)
        self._lib.dm_search_alive(self._handle, address(out))
        return out.astype(np.bool_)

    def messages(self, rows: int) -> tuple[_Ints, _Ints] | None:
        """What the root ascent moved, by merged edge in ascending order of its ends, and the multipliers; or None."""
        if self.state().certified <= -FORBIDS:
            return None
        count = self._lib.dm_search_messages(self._handle, address(None), address(None))
        moved, multipliers = np.zeros(count, np.int64), np.zeros(rows, np.int64)
        self._lib.dm_search_messages(self._handle, address(moved), address(multipliers))
        return moved, multipliers
