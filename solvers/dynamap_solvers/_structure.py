"""The part of a selection problem that has no costs in it, and the checks it has to pass."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel import Located, function, location
from dynamap_solvers.errors import ProblemError

__all__ = ["FINITE_LIMIT", "FORBIDDEN", "Structure", "as_index", "frozen", "make_structure"]

FORBIDDEN = 2**61
"""The cost of a forbidden cell in an integer problem (``inf`` in a float one)."""

FINITE_LIMIT = 2**60
"""Every sum of finite integer costs stays strictly below this in magnitude.

A sum with a forbidden cell in it is above ``FORBIDDEN - FINITE_LIMIT = FINITE_LIMIT``, a sum without one is below, so
the two never mix; and three saturated terms add up to less than ``2**63``, so nothing wraps before it is clamped.
"""

_MOST_VARIABLES = 2**31 - 2  # indices are kept in 32 bits


@dataclass(frozen=True, eq=False, kw_only=True)
class Structure:
    """Everything but the costs; problems made by ``with_costs`` and ``instance`` share one object.

    Attributes are as in :class:`dynamap_solvers.SelectionProblem`. ``starts`` are both starts in one array. ``memo``
    holds what solvers derive from the graph alone (a reduction plan, an elimination order), so that solving again with
    other costs does not derive it again.
    """

    sizes: NDArray[np.int64]
    edge_ends: NDArray[np.int32]
    starts: NDArray[np.int64]
    given_names: tuple[str, ...] = ()
    choice_names: tuple[tuple[str, ...], ...] | None = None
    usage_costs: NDArray[np.int64] | None = None
    intervals: tuple[tuple[int, int], ...] = ()
    usage_limit: int = 0
    fixed: Mapping[int, int] = field(default_factory=dict)
    ties: tuple[tuple[int, ...], ...] = ()
    name: str = ""
    memo: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def plain(
        cls, sizes: NDArray[np.int64], ends: NDArray[np.int32], starts: NDArray[np.int64], name: str
    ) -> Structure:
        """One with nothing else in it, of arrays that have been checked: quicker to make than field by field."""
        structure = cls.__new__(cls)
        structure.__dict__.update(
            sizes=frozen(sizes), edge_ends=frozen(ends), starts=starts, fixed={}, name=name, memo={}
        )
        return structure

    @cached_property
    def unary_starts(self) -> NDArray[np.int64]:
        """Where each variable's costs begin."""
        return self.starts[: len(self.sizes) + 1]

    @cached_property
    def pair_starts(self) -> NDArray[np.int64]:
        """Where each edge's table begins."""
        return self.starts[len(self.sizes) + 1 :]

    @cached_property
    def located(self) -> Located:
        """What the kernel is told of the graph: the numbers of variables and edges, sizes, ends and starts."""
        return Located((len(self.sizes), len(self.edge_ends)), self.sizes, self.edge_ends, self.starts)

    def label(self, variable: int) -> str:
        """The name of a variable, without making the names of all."""
        return self.given_names[variable] if self.given_names else f"x{variable}"

    def edge_label(self, edge: int) -> str:
        """How messages name an edge: by its index and the names of its ends."""
        i, j = self.edge_ends[edge].tolist()
        return f"edge {edge} ({self.label(i)!r}-{self.label(j)!r})"


def make_structure(
    sizes: NDArray[np.int64],
    edges: Any,
    *,
    names: Sequence[str],
    choice_names: Sequence[Sequence[str]] | None,
    usage: Sequence[Any] | NDArray[np.int64] | None,
    intervals: Sequence[tuple[int, int]],
    usage_limit: int,
    fixed: Mapping[int, int],
    ties: Sequence[Sequence[int]],
    name: str,
) -> Structure:
    """Check everything that is not a cost.

    Raises:
        ProblemError: in one sentence that names the variable, edge or option.
    """
    count = len(sizes)
    if count > _MOST_VARIABLES:
        raise ProblemError(f"There are {count} variables; at most {_MOST_VARIABLES} can be numbered.")
    given = tuple(names)
    _check_names(given, count)
    ends, starts = _graph(sizes, edges, given)
    structure = Structure(
        sizes=frozen(sizes),
        edge_ends=frozen(ends),
        starts=starts,
        given_names=given,
        choice_names=None if choice_names is None else tuple(tuple(labels) for labels in choice_names),
        name=name,
    )
    if choice_names is usage is None and not (len(intervals) or usage_limit or fixed or ties):
        return structure
    _check_choice_names(structure)
    set_ = object.__setattr__  # the one way to fill in a frozen dataclass whose checks need its own labels
    used, times, limit = _usage(structure, usage, intervals, usage_limit)
    set_(structure, "usage_costs", used)
    set_(structure, "intervals", times)
    set_(structure, "usage_limit", limit)
    set_(structure, "fixed", _fixed(structure, fixed))
    set_(structure, "ties", _ties(structure, ties))
    return structure


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array where it cannot be written to, else a view that cannot."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.setflags(write=False)
    return view


def _graph(sizes: NDArray[np.int64], edges: Any, names: tuple[str, ...]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The ends of the edges, and where costs of variables and then tables of edges begin.

    The kernel does it at once where all is well; else, and without it, numpy does and says what is wrong.
    """
    count = len(sizes)
    build = function("dm_structure", "ii ppp")
    plain = isinstance(edges, np.ndarray) and edges.dtype == np.int32 and edges.flags.c_contiguous
    if build is not None and plain and edges.ndim == 2 and edges.shape[1] == 2:
        starts = np.empty(count + len(edges) + 2, np.int64)
        if build(count, len(edges), location(sizes), location(edges), location(starts)):
            starts.setflags(write=False)
            return edges, starts
    empty = np.flatnonzero(sizes < 1)
    if empty.size:
        label = names[empty[0]] if names else f"x{empty[0]}"
        raise ProblemError(f"Variable {label!r} has no choices; give it at least one.")
    ends = _edge_ends(edges, count)
    starts = np.zeros(count + len(ends) + 2, np.int64)
    np.cumsum(sizes, out=starts[1 : count + 1])
    np.cumsum(sizes[ends[:, 0]] * sizes[ends[:, 1]], out=starts[count + 2 :])
    starts.setflags(write=False)
    return ends, starts


def _check_names(names: tuple[str, ...], count: int) -> None:
    if not names:
        return
    if len(names) != count:
        raise ProblemError(f"There are {len(names)} names for {count} variables; give one per variable.")
    if len(set(names)) < count:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise ProblemError(f"Two variables are called {name!r}; names must differ.")
            seen.add(name)


def _edge_ends(edges: Any, count: int) -> NDArray[np.int32]:
    """The edges as ``(m, 2)``; the slow way only to say what is wrong."""
    try:
        ends = np.asarray(edges)
    except (ValueError, OverflowError):  # ragged
        ends = np.zeros(0)
    if len(edges) == 0:
        return np.zeros((0, 2), np.int32)
    good = ends.ndim == 2 and ends.shape[1] == 2 and ends.dtype.kind in "iu"
    if good and ends.min() >= 0 and ends.max() < count and bool((ends[:, 0] != ends[:, 1]).all()):
        return np.ascontiguousarray(ends, np.int32)
    for e, edge in enumerate(edges):
        _check_edge(e, edge, count)
    raise ProblemError("The edges are not pairs of variable indices; give an (m, 2) array of integers.")


def _check_edge(index: int, edge: Sequence[int], count: int) -> None:
    if len(edge) != 2:
        raise ProblemError(f"Edge {index} is {tuple(edge)}; give the two variables it joins.")
    i, j = (as_index(end, f"end of edge {index}") for end in edge)
    for end in (i, j):
        if not 0 <= end < count:
            raise ProblemError(f"Edge {index} names variable {end}; there are {count}, counted from 0.")
    if i == j:
        raise ProblemError(f"Edge {index} joins variable {i} to itself; add its diagonal to the variable's own costs.")


def as_index(value: Any, label: str) -> int:
    """An integer of whatever type."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise ProblemError(f"The {label} is {value!r}; give an integer.") from error


def _check_choice_names(structure: Structure) -> None:
    names = structure.choice_names
    if names is None:
        return
    if len(names) != len(structure.sizes):
        raise ProblemError(f"choice_names has {len(names)} entries for {len(structure.sizes)} variables.")
    for i, (labels, size) in enumerate(zip(names, structure.sizes.tolist(), strict=True)):
        if len(labels) != size:
            raise ProblemError(f"Variable {structure.label(i)!r} has {size} choices but {len(labels)} choice names.")


def _usage(
    structure: Structure, usage: Any, intervals: Any, usage_limit: Any
) -> tuple[NDArray[np.int64] | None, tuple[tuple[int, int], ...], int]:
    count = len(structure.sizes)
    if usage is None:
        if len(intervals) or usage_limit:
            raise ProblemError("Intervals or a usage limit are given without usages; give all three or none.")
        return None, (), 0
    if isinstance(usage, np.ndarray) and usage.ndim == 1 and usage.dtype != object:
        flat = usage
        if flat.shape != (int(structure.unary_starts[-1]),) or not np.can_cast(flat.dtype, np.int64, "safe"):
            raise ProblemError(f"The usages must be {int(structure.unary_starts[-1])} integers, one per choice.")
    else:
        if len(usage) != count:
            raise ProblemError(_counts(len(usage), len(intervals), count))
        flat = _joined_usage(structure, usage)
    if len(intervals) != count:
        raise ProblemError(_counts(count, len(intervals), count))
    used = frozen(flat.astype(np.int64, copy=False))
    if count and used.min() < 0:
        variable = int(np.searchsorted(structure.unary_starts, np.flatnonzero(used < 0)[0], "right")) - 1
        raise ProblemError(
            f"A usage of variable {structure.label(variable)!r} is negative; usages count what is taken."
        )
    most = np.maximum.reduceat(used, structure.unary_starts[:-1]).tolist() if count else []
    if sum(most) >= FINITE_LIMIT:
        raise ProblemError("The largest usages add up to 2**60 or more; scale usages and limit down.")
    times = []
    for i, (raw_start, raw_end) in enumerate(intervals):
        start, end = (as_index(time, f"interval of variable {structure.label(i)!r}") for time in (raw_start, raw_end))
        if start > end:
            raise ProblemError(f"The interval of variable {structure.label(i)!r} is reversed: ({start}, {end}).")
        times.append((start, end))
    limit = as_index(usage_limit, "usage limit")
    if limit < 0:
        raise ProblemError(f"The usage limit is {limit}; it must not be negative.")
    return used, tuple(times), limit


def _counts(usages: int, intervals: int, count: int) -> str:
    return f"There are {usages} usages and {intervals} intervals for {count} variables; give one of each per variable."


def _joined_usage(structure: Structure, usage: Sequence[Any]) -> NDArray[Any]:
    arrays = []
    for i, (used, size) in enumerate(zip(usage, structure.sizes.tolist(), strict=True)):
        array = np.asarray(used)
        if array.shape != (size,) or not np.can_cast(array.dtype, np.int64, "safe"):
            raise ProblemError(
                f"The usages of variable {structure.label(i)!r} must be {size} integers, one per choice."
            )
        arrays.append(array)
    return np.concatenate(arrays).astype(np.int64) if arrays else np.zeros(0, np.int64)


def _fixed(structure: Structure, fixed: Mapping[int, int]) -> dict[int, int]:
    count = len(structure.sizes)
    result: dict[int, int] = {}
    for raw_variable, raw_choice in fixed.items():
        variable = as_index(raw_variable, "fixed variable")
        if not 0 <= variable < count:
            raise ProblemError(f"Variable {variable} is fixed, but there are {count}, counted from 0.")
        choice = as_index(raw_choice, f"choice that variable {structure.label(variable)!r} is fixed to")
        size = int(structure.sizes[variable])
        if not 0 <= choice < size:
            raise ProblemError(
                f"Variable {structure.label(variable)!r} is fixed to choice {choice}: it has {size}, counted from 0."
            )
        result[variable] = choice
    return result


def _ties(structure: Structure, ties: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    count = len(structure.sizes)
    seen: set[int] = set()
    result = []
    for g, raw in enumerate(ties):
        group = tuple(as_index(variable, f"member of tie {g}") for variable in raw)
        if len(group) < 2:
            raise ProblemError(f"Tie {g} has {len(group)} members; a tie joins at least two variables.")
        for variable in group:
            if not 0 <= variable < count:
                raise ProblemError(f"Tie {g} names variable {variable}; there are {count}, counted from 0.")
            if variable in seen:
                raise ProblemError(
                    f"Variable {structure.label(variable)!r} stands in the ties twice; make one tie of what it joins."
                )
            seen.add(variable)
            if structure.sizes[variable] != structure.sizes[group[0]]:
                raise ProblemError(
                    f"Tie {g} joins {structure.label(group[0])!r} with {int(structure.sizes[group[0]])} choices and "
                    f"{structure.label(variable)!r} with {int(structure.sizes[variable])}; tied variables have equally "
                    "many."
                )
        result.append(group)
    return tuple(result)
