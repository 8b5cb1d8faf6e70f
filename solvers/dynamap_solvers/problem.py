"""The selection problem: variables with finitely many choices, costs of choices and of pairs of choices.

Minimise ``sum_i c_i[x_i] + sum_ij T_ij[x_i, x_j]``; forbidden cells may not be taken; optionally choice ``x_i`` uses
``u_i[x_i]`` of one resource over a half-open interval of time, and at no time may the total exceed a limit. Without
the resource this is PBQP (Scholz & Eckstein 2002), with it the problem of the IOPDDL contest (ASPLOS 2025).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["FINITE_LIMIT", "FORBIDDEN", "CostArray", "SelectionProblem"]

FORBIDDEN = 2**61
"""The cost of a forbidden cell in an integer problem (``inf`` in a float one)."""

FINITE_LIMIT = 2**60
"""Every sum of finite integer costs stays strictly below this in magnitude.

A sum with a forbidden cell in it is above ``FORBIDDEN - FINITE_LIMIT = FINITE_LIMIT``, a sum without one is below, so
the two never mix; and three saturated terms add up to less than ``2**63``, so nothing wraps before it is clamped.
"""

CostArray = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class SelectionProblem:
    """One selection problem, or a batch of them on one graph.

    The arrays are kept as read-only views, not copied: do not change them behind the problem's back.

    Attributes:
        unary: per variable the cost of each choice, shape ``(d_i,)`` or ``(batch, d_i)``, ``d_i >= 1``.
        edges: pairs ``(i, j)`` of variables, ``i != j``; parallel edges are allowed and add up.
        pair: per edge ``(i, j)`` the cost of each pair of choices, shape ``(d_i, d_j)`` or ``(batch, d_i, d_j)``.
            All arrays are int64 or all are float64; an array without the batch axis serves every cost set.
        names: one name per variable, all different; ``x0, x1, ...`` if not given.
        choice_names: per variable the name of each choice, or None.
        usage: per variable what each choice uses of the resource, int64 of shape ``(d_i,)``, not negative; or None.
        intervals: per variable the half-open interval ``(start, end)`` in which it uses it; with ``usage`` only.
        usage_limit: what may be in use at any one time; with ``usage`` only.
        name: what the problem is called in files and reports.

    Raises:
        ProblemError: in one sentence that names the variable or edge: a wrong shape, dtype, index or name, a
            self-loop, NaN, negative infinity, an empty domain, a bad interval, or integer costs so large that sums
            of them might not be exact (largest finite magnitudes adding up to ``2**60`` or more).

    Example:
        >>> problem = SelectionProblem(
        ...     unary=(np.array([0, 3]), np.array([2, 0])),
        ...     edges=((0, 1),),
        ...     pair=(np.array([[FORBIDDEN, 9], [0, 1]]),),
        ... )
        >>> problem.evaluate((1, 1)), problem.evaluate((0, 0)) == FORBIDDEN
        (4, True)
    """

    unary: tuple[CostArray, ...]
    edges: tuple[tuple[int, int], ...] = ()
    pair: tuple[CostArray, ...] = ()
    names: tuple[str, ...] = ()
    choice_names: tuple[tuple[str, ...], ...] | None = None
    usage: tuple[NDArray[np.int64], ...] | None = None
    intervals: tuple[tuple[int, int], ...] = ()
    usage_limit: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        store = object.__setattr__  # the one way to normalise a frozen dataclass
        names = tuple(self.names) or tuple(f"x{i}" for i in range(len(self.unary)))
        _check_names(names, len(self.unary))
        store(self, "names", names)
        raw_unary = [_as_costs(array, f"variable {name!r}") for name, array in zip(names, self.unary, strict=True)]
        store(self, "edges", tuple(_as_edge(e, edge, len(names)) for e, edge in enumerate(self.edges)))
        if len(self.pair) != len(self.edges):
            raise ProblemError(
                f"There are {len(self.edges)} edges but {len(self.pair)} pair tables; give one per edge."
            )
        raw_pair = [_as_costs(array, self.edge_label(e)) for e, array in enumerate(self.pair)]
        dtype = _common_dtype([*raw_unary, *raw_pair])
        store(self, "unary", tuple(_read_only(array, dtype) for array in raw_unary))
        store(self, "pair", tuple(_read_only(array, dtype) for array in raw_pair))
        self._check_shapes()
        self._check_values()
        if self.choice_names is not None:
            self._check_choice_names(self.choice_names)
        self._check_usage()

    @property
    def num_variables(self) -> int:
        """How many variables there are."""
        return len(self.unary)

    @property
    def domain_sizes(self) -> tuple[int, ...]:
        """How many choices each variable has."""
        return tuple(array.shape[-1] for array in self.unary)

    @property
    def dtype(self) -> np.dtype[Any]:
        """int64 or float64; int64 for a problem without variables."""
        return self.unary[0].dtype if self.unary else np.dtype(np.int64)

    @property
    def is_integer(self) -> bool:
        """Whether costs are exact integers."""
        return self.dtype == np.int64

    @property
    def is_batched(self) -> bool:
        """Whether any array has a batch axis."""
        return any(a.ndim == 2 for a in self.unary) or any(a.ndim == 3 for a in self.pair)

    @property
    def batch_size(self) -> int:
        """The number of cost sets: the length of the batch axis, 1 where there is none."""
        for array in self.unary:
            if array.ndim == 2:
                return int(array.shape[0])
        for array in self.pair:
            if array.ndim == 3:
                return int(array.shape[0])
        return 1

    @property
    def infeasible_value(self) -> int | float:
        """What :meth:`evaluate` returns for an assignment that is not allowed: ``FORBIDDEN`` or ``inf``."""
        return FORBIDDEN if self.is_integer else math.inf

    @property
    def magnitude(self) -> int | float:
        """The largest finite magnitude among all costs, 0 where there is none."""
        return max((_largest_finite(array) or 0 for array in (*self.unary, *self.pair)), default=0)

    def edge_label(self, edge: int) -> str:
        """How messages name an edge: by its index and the names of its ends."""
        i, j = self.edges[edge]
        return f"edge {edge} ({self.names[i]!r}-{self.names[j]!r})"

    def evaluate(self, assignment: Sequence[int]) -> int | float:
        """The cost of one assignment: this is the judge that prices what every method returns.

        Args:
            assignment: one choice index per variable.

        Returns:
            The exact Python integer, or for a float problem the correctly rounded sum (``math.fsum``); where a cell
            is forbidden or the resource limit is exceeded, :attr:`infeasible_value`.

        Raises:
            ProblemError: if the assignment has a wrong length or an index out of range, or the problem is a batch.
        """
        if self.is_batched:
            raise ProblemError("The problem is a batch of cost sets; price one of them with instance(k).evaluate(...).")
        choice = self._check_assignment(assignment)
        cells = [array[x].item() for array, x in zip(self.unary, choice, strict=True)]
        cells += [table[choice[i], choice[j]].item() for (i, j), table in zip(self.edges, self.pair, strict=True)]
        limit = FINITE_LIMIT if self.is_integer else math.inf
        if any(cell >= limit for cell in cells) or self.peak_usage(choice) > self.usage_limit:
            return self.infeasible_value
        return sum(cells) if self.is_integer else math.fsum(cells)

    def is_feasible(self, assignment: Sequence[int]) -> bool:
        """Whether an assignment takes no forbidden cell and keeps the resource limit."""
        return self.evaluate(assignment) < (FINITE_LIMIT if self.is_integer else math.inf)

    def peak_usage(self, assignment: Sequence[int]) -> int:
        """The most of the resource in use at any one time; 0 where the problem has no resource."""
        if self.usage is None:
            return 0
        change: dict[int, int] = {}
        for (start, end), used, x in zip(self.intervals, self.usage, assignment, strict=True):
            if start < end:
                change[start] = change.get(start, 0) + int(used[x])
                change[end] = change.get(end, 0) - int(used[x])
        total = peak = 0
        for time in sorted(change):
            total += change[time]
            peak = max(peak, total)
        return peak

    def live_sets(self) -> Iterator[tuple[int, ...]]:
        """Yield the inclusion-maximal sets of variables whose intervals share a point, in order of time.

        The limit holds at every time exactly if it holds for each of these sets (the maximal cliques of the interval
        graph, at most one per variable).
        """
        events = sorted(
            [(end, 0, i) for i, (start, end) in enumerate(self.intervals) if start < end]
            + [(start, 1, i) for i, (start, end) in enumerate(self.intervals) if start < end]
        )
        live: set[int] = set()
        grew = False
        for _, is_start, i in events:
            if is_start:
                live.add(i)
            else:
                if grew:  # the set is maximal exactly where an end follows a start
                    yield tuple(sorted(live))
                live.discard(i)
            grew = bool(is_start)

    def instance(self, k: int) -> SelectionProblem:
        """Cost set ``k`` of the batch as a problem of its own (``k`` from 0; without a batch axis only 0)."""
        if not 0 <= k < self.batch_size:
            raise ProblemError(f"Cost set {k} does not exist: the batch holds {self.batch_size}, counted from 0.")
        return SelectionProblem(
            unary=tuple(a[k] if a.ndim == 2 else a for a in self.unary),
            edges=self.edges,
            pair=tuple(a[k] if a.ndim == 3 else a for a in self.pair),
            names=self.names,
            choice_names=self.choice_names,
            usage=self.usage,
            intervals=self.intervals,
            usage_limit=self.usage_limit,
            name=self.name,
        )

    def graph(self) -> nx.Graph:
        """The graph of variables as a ``networkx.Graph``: node attributes ``name`` and ``choices``, edges once."""
        import networkx as nx  # noqa: PLC0415  # importing this package shall cost numpy only

        graph = nx.Graph()
        for i, size in enumerate(self.domain_sizes):
            graph.add_node(i, name=self.names[i], choices=size)
        graph.add_edges_from(self.edges)
        return graph

    def _check_assignment(self, assignment: Sequence[int]) -> list[int]:
        if len(assignment) != self.num_variables:
            raise ProblemError(f"The assignment has {len(assignment)} entries for {self.num_variables} variables.")
        choice = [_index(x, f"choice of variable {name!r}") for name, x in zip(self.names, assignment, strict=True)]
        for name, x, size in zip(self.names, choice, self.domain_sizes, strict=True):
            if not 0 <= x < size:
                raise ProblemError(f"Variable {name!r} has no choice {x}: it has {size}, counted from 0.")
        return choice

    def _check_shapes(self) -> None:
        batch: tuple[int, str] | None = None

        def check_batch(array: CostArray, rank: int, label: str) -> None:
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

        for name, array in zip(self.names, self.unary, strict=True):
            if array.ndim not in {1, 2}:
                raise ProblemError(
                    f"The costs of variable {name!r} have shape {array.shape}; give (choices,) or (batch, choices)."
                )
            if array.shape[-1] == 0:
                raise ProblemError(f"Variable {name!r} has no choices; give it at least one.")
            check_batch(array, 1, f"variable {name!r}")
        sizes = self.domain_sizes
        for e, ((i, j), table) in enumerate(zip(self.edges, self.pair, strict=True)):
            if table.ndim not in {2, 3} or table.shape[-2:] != (sizes[i], sizes[j]):
                raise ProblemError(
                    f"The table of {self.edge_label(e)} has shape {table.shape}; by the choices of its ends "
                    f"give ({sizes[i]}, {sizes[j]}), with or without a leading batch axis."
                )
            check_batch(table, 2, self.edge_label(e))

    def _check_values(self) -> None:
        total: int | float = 0
        for k, array in enumerate((*self.unary, *self.pair)):
            largest = _largest_finite(array)
            if largest is None:
                i = k - self.num_variables
                label = self.edge_label(i) if i >= 0 else f"variable {self.names[k]!r}"
                if self.is_integer:
                    raise ProblemError(
                        f"A cost of {label} is 2**60 or more in size and not FORBIDDEN (2**61); scale it down."
                    )
                raise ProblemError(f"A cost of {label} is NaN or negative infinity; be finite, or inf to forbid.")
            total += largest
        if self.is_integer and total >= FINITE_LIMIT:
            raise ProblemError(
                f"The largest costs of all variables and edges add up to {total}, which is 2**60 or more: sums might "
                "not be exact in 64 bits; scale the costs down."
            )
        if math.isinf(total):
            raise ProblemError("The largest costs of all variables and edges add up to infinity; scale the costs down.")

    def _check_choice_names(self, choice_names: tuple[tuple[str, ...], ...]) -> None:
        if len(choice_names) != self.num_variables:
            raise ProblemError(f"choice_names has {len(choice_names)} entries for {self.num_variables} variables.")
        for name, labels, size in zip(self.names, choice_names, self.domain_sizes, strict=True):
            if len(labels) != size:
                raise ProblemError(f"Variable {name!r} has {size} choices but {len(labels)} choice names.")

    def _check_usage(self) -> None:
        if self.usage is None:
            if self.intervals or self.usage_limit:
                raise ProblemError("Intervals or a usage limit are given without usages; give all three or none.")
            return
        if len(self.usage) != self.num_variables or len(self.intervals) != self.num_variables:
            raise ProblemError(
                f"There are {len(self.usage)} usages and {len(self.intervals)} intervals for {self.num_variables} "
                "variables; give one of each per variable."
            )
        usages = []
        for name, used, size in zip(self.names, self.usage, self.domain_sizes, strict=True):
            array = np.asarray(used)
            if array.shape != (size,) or not np.can_cast(array.dtype, np.int64, "safe"):
                raise ProblemError(f"The usages of variable {name!r} must be {size} integers, one per choice.")
            usages.append(_read_only(array, np.dtype(np.int64)))
            if int(usages[-1].min()) < 0:
                raise ProblemError(f"A usage of variable {name!r} is negative; usages count what is taken.")
        if sum(int(used.max()) for used in usages) >= FINITE_LIMIT:
            raise ProblemError("The largest usages add up to 2**60 or more; scale usages and limit down.")
        intervals = []
        for name, (raw_start, raw_end) in zip(self.names, self.intervals, strict=True):
            start, end = (_index(time, f"interval of variable {name!r}") for time in (raw_start, raw_end))
            intervals.append((start, end))
            if start > end:
                raise ProblemError(f"The interval of variable {name!r} is reversed: ({start}, {end}).")
        object.__setattr__(self, "usage_limit", _index(self.usage_limit, "usage limit"))
        if self.usage_limit < 0:
            raise ProblemError(f"The usage limit is {self.usage_limit}; it must not be negative.")
        object.__setattr__(self, "usage", tuple(usages))
        object.__setattr__(self, "intervals", tuple(intervals))


def _check_names(names: tuple[str, ...], count: int) -> None:
    if len(names) != count:
        raise ProblemError(f"There are {len(names)} names for {count} variables; give one per variable.")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ProblemError(f"Two variables are called {name!r}; names must differ.")
        seen.add(name)


def _as_edge(index: int, edge: Sequence[int], count: int) -> tuple[int, int]:
    if len(edge) != 2:
        raise ProblemError(f"Edge {index} is {tuple(edge)}; give the two variables it joins.")
    i, j = (_index(end, f"end of edge {index}") for end in edge)
    for end in (i, j):
        if not 0 <= end < count:
            raise ProblemError(f"Edge {index} names variable {end}; there are {count}, counted from 0.")
    if i == j:
        raise ProblemError(f"Edge {index} joins variable {i} to itself; add its diagonal to the variable's own costs.")
    return i, j


def _index(value: Any, label: str) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise ProblemError(f"The {label} is {value!r}; give an integer.") from error


def _as_costs(array: Any, label: str) -> NDArray[Any]:
    try:
        costs = np.asarray(array)
    except (ValueError, OverflowError) as error:  # ragged lists, integers beyond 64 bits
        raise ProblemError(f"The costs of {label} are not an array of numbers: {error}.") from error
    if costs.dtype.kind not in "iuf" or not np.can_cast(
        costs.dtype, np.float64 if costs.dtype.kind == "f" else np.int64, "safe"
    ):
        raise ProblemError(f"The costs of {label} have dtype {costs.dtype}; give int64 or float64.")
    return costs


def _common_dtype(arrays: Sequence[NDArray[Any]]) -> np.dtype[Any]:
    kinds = {array.dtype.kind == "f" for array in arrays}
    if len(kinds) > 1:
        raise ProblemError("Some costs are integers and some are floats; give int64 throughout or float64 throughout.")
    return np.dtype(np.float64 if kinds == {True} else np.int64)


def _read_only(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    view = array.astype(dtype, copy=False).view()
    view.setflags(write=False)
    return view


def _largest_finite(array: CostArray) -> int | float | None:
    """The largest finite magnitude; 0 if there is none, None where a value is not allowed at all."""
    low, high = array.min().item(), array.max().item()
    if array.dtype == np.int64:
        if high >= FINITE_LIMIT:
            high = int(np.max(array, initial=-FINITE_LIMIT, where=array != FORBIDDEN))
        if high >= FINITE_LIMIT or low <= -FINITE_LIMIT:
            return None
        return max(-low, high, 0) if low < FINITE_LIMIT else 0
    if math.isnan(low) or low == -math.inf:
        return None
    if math.isinf(high):
        high = float(np.max(array, initial=0.0, where=np.isfinite(array)))
    return float(max(abs(high), abs(low) if math.isfinite(low) else 0.0))
