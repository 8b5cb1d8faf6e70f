"""The selection problem: variables with finitely many choices, costs of choices and of pairs of choices.

Minimise ``sum_i c_i[x_i] + sum_ij T_ij[x_i, x_j]``; forbidden cells may not be taken; optionally choice ``x_i`` uses
``u_i[x_i]`` of one resource over a half-open interval of time, and at no time may the total exceed a limit. Without
the resource this is PBQP (Scholz & Eckstein 2002), with it the problem of the IOPDDL contest (ASPLOS 2025).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._costs import (
    CostArray,
    as_costs,
    check_values,
    checked_flat,
    checked_shapes,
    common_dtype,
    join,
    largest_finite,
    scan,
)
from dynamap_solvers._kernel import Located, function, location, make
from dynamap_solvers._structure import FINITE_LIMIT, FORBIDDEN, Structure, as_index, frozen, make_structure
from dynamap_solvers.errors import ProblemError

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["FINITE_LIMIT", "FORBIDDEN", "CostArray", "SelectionProblem"]


class SelectionProblem:
    """One selection problem, or a batch of them on one graph. Immutable.

    Costs are kept flat, one table after another; :attr:`unary` and :attr:`pair` are views made when asked for. Arrays
    given in that form are not copied (see :meth:`from_flat`): do not change them behind the problem's back.

    Args:
        unary: per variable the cost of each choice, shape ``(d_i,)`` or ``(batch, d_i)``, ``d_i >= 1``.
        edges: pairs ``(i, j)`` of variables, ``i != j``; parallel edges are allowed and add up.
        pair: per edge ``(i, j)`` the cost of each pair of choices, shape ``(d_i, d_j)`` or ``(batch, d_i, d_j)``.
            All arrays are int64 or all are float64; an array without the batch axis serves every cost set.
        names: one name per variable, all different; ``x0, x1, ...`` if not given.
        choice_names: per variable the name of each choice, or None.
        usage: per variable what each choice uses of the resource, int64 of shape ``(d_i,)``, not negative; or None.
        intervals: per variable the half-open interval ``(start, end)`` in which it uses it; with ``usage`` only.
        usage_limit: what may be in use at any one time; with ``usage`` only.
        fixed: choices that are given: variable index to choice index.
        ties: groups of variables, equally many choices each, that must take the same choice index (repeated layers).
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

    _structure: Structure
    unary_costs: CostArray
    pair_costs: CostArray
    _has_rules: bool = False  # whether assignments may be forbidden by more than the costs

    def __init__(
        self,
        *,
        unary: Sequence[Any],
        edges: Sequence[tuple[int, int]] | NDArray[Any] = (),
        pair: Sequence[Any] = (),
        names: Sequence[str] = (),
        choice_names: Sequence[Sequence[str]] | None = None,
        usage: Sequence[Any] | None = None,
        intervals: Sequence[tuple[int, int]] = (),
        usage_limit: int = 0,
        fixed: Mapping[int, int] = MappingProxyType({}),
        ties: Sequence[Sequence[int]] = (),
        name: str = "",
    ) -> None:
        def variable(i: int) -> str:
            return f"variable {names[i]!r}" if i < len(names) else f"variable {f'x{i}'!r}"

        raw_unary = [as_costs(array, variable(i)) for i, array in enumerate(unary)]
        for i, array in enumerate(raw_unary):
            if array.ndim not in {1, 2}:
                raise ProblemError(
                    f"The costs of {variable(i)} have shape {array.shape}; give (choices,) or (batch, choices)."
                )
        structure = make_structure(
            np.array([array.shape[-1] for array in raw_unary], np.int64),
            edges,
            names=names,
            choice_names=choice_names,
            usage=usage,
            intervals=intervals,
            usage_limit=usage_limit,
            fixed=fixed,
            ties=ties,
            name=name,
        )
        if len(pair) != len(edges):
            raise ProblemError(f"There are {len(edges)} edges but {len(pair)} pair tables; give one per edge.")
        raw_pair = [as_costs(array, structure.edge_label(e)) for e, array in enumerate(pair)]
        batch = checked_shapes(structure, raw_unary, raw_pair)
        dtype = common_dtype([*raw_unary, *raw_pair])
        self._fill(structure, join(raw_unary, 1, batch, dtype), join(raw_pair, 2, batch, dtype))

    @classmethod
    def from_flat(
        cls,
        *,
        domain_sizes: Sequence[int] | NDArray[Any],
        unary: Any,
        edges: Any = (),
        pair: Any = (),
        names: Sequence[str] = (),
        choice_names: Sequence[Sequence[str]] | None = None,
        usage: NDArray[np.int64] | Sequence[Any] | None = None,
        intervals: Sequence[tuple[int, int]] = (),
        usage_limit: int = 0,
        fixed: Mapping[int, int] = MappingProxyType({}),
        ties: Sequence[Sequence[int]] = (),
        name: str = "",
    ) -> Self:
        """The same from flat arrays, which are not copied: no work in Python per variable or edge.

        Args:
            domain_sizes: choices per variable, shape ``(n,)``.
            unary: costs of all choices, variable after variable, ``(sum d_i,)`` or ``(batch, sum d_i)``.
            edges: ``(m, 2)`` indices.
            pair: all tables row by row, edge after edge, ``(sum d_i d_j,)`` or ``(batch, sum d_i d_j)``.
            names: as in the constructor, like the other arguments; ``usage`` may be flat as well.
            choice_names: see ``names``.
            usage: see ``names``.
            intervals: see ``names``.
            usage_limit: see ``names``.
            fixed: see ``names``.
            ties: see ``names``.
            name: see ``names``.

        Raises:
            ProblemError: as the constructor.

        Example:
            >>> SelectionProblem.from_flat(
            ...     domain_sizes=[2, 2], unary=np.array([0, 3, 2, 0]), edges=[(0, 1)], pair=np.array([9, 9, 0, 1])
            ... ).evaluate((1, 1))
            4
        """
        if names == () and usage is choice_names is None and not (intervals or usage_limit or fixed or ties):
            plain = cls._from_plain(domain_sizes, edges, unary, pair, name)
            if plain is not None:
                return plain
        raw_sizes = np.asarray(domain_sizes)
        if raw_sizes.size == 0:
            raw_sizes = raw_sizes.astype(np.int64)
        if raw_sizes.ndim != 1 or raw_sizes.dtype.kind not in "iu":
            raise ProblemError("The domain sizes must be one integer per variable.")
        structure = make_structure(
            np.ascontiguousarray(raw_sizes, np.int64),
            edges,
            names=names,
            choice_names=choice_names,
            usage=usage,
            intervals=intervals,
            usage_limit=usage_limit,
            fixed=fixed,
            ties=ties,
            name=name,
        )
        problem = cls.__new__(cls)
        problem._fill(structure, *checked_flat(structure, unary, pair))  # noqa: SLF001  # a constructor
        return problem

    @classmethod
    def _from_plain(cls, sizes: Any, edges: Any, unary: Any, pair: Any, name: str) -> Self | None:
        """:meth:`from_flat` of arrays that one call of the kernel can check; None for others, wrong ones among them."""
        if not all(type(array) is np.ndarray for array in (sizes, edges, unary, pair)):
            return None
        made = make(sizes, edges, unary, pair)
        if made is None:
            return None
        problem = cls.__new__(cls)
        problem.__dict__.update(
            _structure=Structure.plain(sizes, edges, made.starts, name),
            located=made.located,
            unary_costs=frozen(unary),
            pair_costs=frozen(pair),
            is_integer=made.is_integer,
            magnitude=made.magnitude,
            has_forbidden=made.has_forbidden,
        )
        return problem

    def with_costs(self, *, unary: Any, pair: Any) -> Self:
        """The same structure with other costs, flat as in :meth:`from_flat`; a batch axis may come or go.

        Nothing but the costs is checked again, and what solvers have derived from the graph is kept.

        Raises:
            ProblemError: if the costs do not fit.
        """
        problem = type(self).__new__(type(self))
        problem._fill(self._structure, *checked_flat(self._structure, unary, pair))  # noqa: SLF001  # a constructor
        return problem

    def replace(self, **changes: Any) -> SelectionProblem:
        """The problem with some of the constructor's arguments changed; ``usage=None`` also takes the limit out."""
        present: dict[str, Any] = {
            "unary": self.unary,
            "edges": self.edge_ends,
            "pair": self.pair,
            "names": self._structure.given_names,
            "choice_names": self.choice_names,
            "usage": self.usage,
            "intervals": self.intervals,
            "usage_limit": self.usage_limit,
            "fixed": self.fixed,
            "ties": self.ties,
            "name": self.name,
        }
        unknown = set(changes) - set(present)
        if unknown:
            raise ProblemError(f"A problem has no {min(unknown)!r}; it has {', '.join(present)}.")
        if changes.get("usage", self.usage) is None:
            present |= {"intervals": (), "usage_limit": 0}
        return SelectionProblem(**{**present, **changes})

    def _fill(self, structure: Structure, unary: CostArray, pair: CostArray) -> None:
        located = Located(structure.located, unary, pair)
        found = scan(located, unary, pair)
        if found is None:
            of_unary, forbids = largest_finite(unary, structure.unary_starts)
            of_pair, forbids_pairs = largest_finite(pair, structure.pair_starts)
            largest = np.concatenate([of_unary, of_pair])
            count = len(structure.sizes)
            check_values(
                largest,
                lambda k: structure.edge_label(k - count) if k >= count else f"variable {structure.label(k)!r}",
            )
            found = (largest.max().item() if largest.size else 0), forbids or forbids_pairs
        for array in (unary, pair):
            array.setflags(write=False)
        batch = unary if unary.ndim == 2 else pair if pair.ndim == 2 else None
        self.__dict__.update(
            _structure=structure,
            located=located,
            unary_costs=unary,
            pair_costs=pair,
            is_integer=unary.dtype == np.int64,
            is_batched=batch is not None,
            batch_size=1 if batch is None else len(batch),
            magnitude=found[0],
            _has_rules=bool(structure.usage_costs is not None or structure.fixed or structure.ties),
            has_forbidden=found[1],
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A SelectionProblem does not change: {name!r} cannot be set; use replace or with_costs.")

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name else ""
        batch = f", batch of {self.batch_size}" if self.is_batched else ""
        return f"<SelectionProblem{named}: {self.num_variables} variables, {self.num_edges} edges, {self.dtype}{batch}>"

    located: Located
    """What the kernel is told of the problem: ``structure.located`` and both cost arrays."""

    is_integer: bool
    """Whether costs are exact integers."""

    is_batched: bool = False
    """Whether the costs have a batch axis."""

    batch_size: int = 1
    """The number of cost sets: the length of the batch axis, 1 where there is none."""

    magnitude: int | float
    """The largest finite magnitude among all costs, 0 where there is none."""

    has_forbidden: bool
    """Whether any cell is forbidden, in any cost set."""

    @property
    def structure(self) -> Structure:
        """Everything but the costs, shared by problems that differ in costs only."""
        return self._structure

    @property
    def num_variables(self) -> int:
        """How many variables there are."""
        return len(self._structure.sizes)

    @property
    def num_edges(self) -> int:
        """How many edges there are, parallel ones counted each."""
        return len(self._structure.edge_ends)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many choices each variable has, ``(n,)``."""
        return self._structure.sizes

    @property
    def edge_ends(self) -> NDArray[np.int32]:
        """The two variables of each edge, ``(m, 2)``."""
        return self._structure.edge_ends

    @property
    def unary_starts(self) -> NDArray[np.int64]:
        """Where each variable's costs begin in :attr:`unary_costs`, ``(n + 1,)``."""
        return self._structure.unary_starts

    @property
    def pair_starts(self) -> NDArray[np.int64]:
        """Where each edge's table begins in :attr:`pair_costs`, ``(m + 1,)``."""
        return self._structure.pair_starts

    @cached_property
    def domain_sizes(self) -> tuple[int, ...]:
        """How many choices each variable has."""
        return tuple(self.sizes.tolist())

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The two variables of each edge."""
        return tuple((i, j) for i, j in self.edge_ends.tolist())

    @cached_property
    def unary(self) -> tuple[CostArray, ...]:
        """Per variable its costs, ``(d_i,)`` or ``(batch, d_i)``; views."""
        starts = self.unary_starts.tolist()
        return tuple(self.unary_costs[..., a:b] for a, b in pairwise(starts))

    @cached_property
    def pair(self) -> tuple[CostArray, ...]:
        """Per edge its table, ``(d_i, d_j)`` or ``(batch, d_i, d_j)``; views."""
        sizes, starts = self.domain_sizes, self.pair_starts.tolist()
        lead = self.pair_costs.shape[:-1]
        return tuple(
            self.pair_costs[..., a:b].reshape((*lead, sizes[i], sizes[j]))
            for a, b, (i, j) in zip(starts, starts[1:], self.edges, strict=False)
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The variables' names."""
        return self._structure.given_names or tuple(f"x{i}" for i in range(self.num_variables))

    @property
    def choice_names(self) -> tuple[tuple[str, ...], ...] | None:
        """Per variable the names of its choices, or None."""
        return self._structure.choice_names

    @property
    def usage_costs(self) -> NDArray[np.int64] | None:
        """What every choice uses of the resource, flat like :attr:`unary_costs`; None where there is no resource."""
        return self._structure.usage_costs

    @cached_property
    def usage(self) -> tuple[NDArray[np.int64], ...] | None:
        """Per variable what each choice uses, or None."""
        flat = self.usage_costs
        if flat is None:
            return None
        starts = self.unary_starts.tolist()
        return tuple(flat[a:b] for a, b in pairwise(starts))

    @property
    def intervals(self) -> tuple[tuple[int, int], ...]:
        """Per variable when it uses the resource; empty where there is none."""
        return self._structure.intervals

    @property
    def usage_limit(self) -> int:
        """What may be in use at one time."""
        return self._structure.usage_limit

    @property
    def fixed(self) -> Mapping[int, int]:
        """Choices that are given."""
        return MappingProxyType(dict(self._structure.fixed))

    @property
    def ties(self) -> tuple[tuple[int, ...], ...]:
        """Groups of variables that choose alike."""
        return self._structure.ties

    @property
    def name(self) -> str:
        """What the problem is called."""
        return self._structure.name

    @property
    def dtype(self) -> np.dtype[Any]:
        """int64 or float64; int64 for a problem without variables."""
        return self.unary_costs.dtype

    @property
    def infeasible_value(self) -> int | float:
        """What :meth:`evaluate` returns for an assignment that is not allowed: ``FORBIDDEN`` or ``inf``."""
        return FORBIDDEN if self.is_integer else math.inf

    def edge_label(self, edge: int) -> str:
        """How messages name an edge: by its index and the names of its ends."""
        return self._structure.edge_label(edge)

    def evaluate(self, assignment: Sequence[int] | NDArray[Any]) -> int | float:
        """The cost of one assignment: this is the judge that prices what every method returns.

        Args:
            assignment: one choice index per variable.

        Returns:
            The exact Python integer, or for a float problem the correctly rounded sum (``math.fsum``); where a cell
            is forbidden, a fixed choice or a tie is not kept or the resource limit is exceeded,
            :attr:`infeasible_value`.

        Raises:
            ProblemError: if the assignment has a wrong length or an index out of range, or the problem is a batch.
        """
        if self.is_batched:
            raise ProblemError("The problem is a batch of cost sets; price one of them with instance(k).evaluate(...).")
        if self.is_integer and not self._has_rules:
            price = self._priced(assignment)
            if price is not None:
                return price
        choice = self._check_assignment(assignment)
        ends = self.edge_ends
        cells = self.unary_costs[self.unary_starts[:-1] + choice]
        pairs = self.pair_costs[
            self.pair_starts[:-1] + choice[ends[:, 0]] * self.sizes[ends[:, 1]] + choice[ends[:, 1]]
        ]
        limit = FINITE_LIMIT if self.is_integer else math.inf
        if (
            (cells >= limit).any()
            or (pairs >= limit).any()
            or any(choice[i] != x for i, x in self._structure.fixed.items())
            or any((choice[list(group)] != choice[group[0]]).any() for group in self.ties)
            or self.peak_usage(choice) > self.usage_limit
        ):
            return self.infeasible_value
        if self.is_integer:  # exact: magnitudes add up to less than 2**60
            return int(cells.sum()) + int(pairs.sum())
        return math.fsum([*cells.tolist(), *pairs.tolist()])

    def _priced(self, assignment: Sequence[int] | NDArray[Any]) -> int | None:
        """By the kernel, where there is one: integers without rules beyond the costs; None where something is wrong."""
        run = function("dm_evaluate", "ii ppp pp pp")
        if run is None or len(assignment) != self.num_variables:
            return None
        given = np.asarray(assignment)
        if given.dtype.kind not in "iu" or given.ndim != 1:
            return None
        choice, cost = np.ascontiguousarray(given, np.int64), ctypes.c_int64()
        allowed = run(*self.located.arguments, location(choice), ctypes.byref(cost))
        return None if allowed < 0 else cost.value if allowed else FORBIDDEN

    def is_feasible(self, assignment: Sequence[int] | NDArray[Any]) -> bool:
        """Whether an assignment takes no forbidden cell and keeps the fixed choices, the ties and the limit."""
        return self.evaluate(assignment) < (FINITE_LIMIT if self.is_integer else math.inf)

    def named(self, assignment: Sequence[int] | NDArray[Any]) -> dict[str, str]:
        """An assignment in words: the name of each variable to the name of its choice (its index without names).

        Raises:
            ProblemError: if it is not one choice per variable.
        """
        choice = self._check_assignment(assignment).tolist()
        if self.choice_names is None:
            return {name: str(x) for name, x in zip(self.names, choice, strict=True)}
        return {name: of[x] for name, of, x in zip(self.names, self.choice_names, choice, strict=True)}

    def usage_over_time(self, assignment: Sequence[int] | NDArray[Any]) -> tuple[tuple[int, int], ...]:
        """What is in use when: ``(time, total from then on)`` wherever an interval starts or ends, in order of time.

        The last total is 0; empty where the problem has no resource.

        Raises:
            ProblemError: if it is not one choice per variable.
        """
        choice = self._check_assignment(assignment)
        if self.usage_costs is None:
            return ()
        used = self.usage_costs[self.unary_starts[:-1] + choice].tolist()
        change: dict[int, int] = {}
        for (start, end), amount in zip(self.intervals, used, strict=True):
            if start < end:
                change[start] = change.get(start, 0) + amount
                change[end] = change.get(end, 0) - amount
        times = sorted(change)
        return tuple(zip(times, accumulate(change[time] for time in times), strict=True))

    def peak_usage(self, assignment: Sequence[int] | NDArray[Any]) -> int:
        """The most of the resource in use at any one time; 0 where the problem has no resource.

        Raises:
            ProblemError: if it is not one choice per variable.
        """
        return max((total for _, total in self.usage_over_time(assignment)), default=0)

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
        unary, pair = (costs[k] if costs.ndim == 2 else costs for costs in (self.unary_costs, self.pair_costs))
        return self.with_costs(unary=unary, pair=pair)

    @classmethod
    def from_graph(cls, graph: nx.Graph, **options: Any) -> SelectionProblem:
        """From a networkx graph whose nodes carry costs and whose edges carry tables.

        See :func:`dynamap_solvers.from_graph` for the attributes and options.
        """
        from dynamap_solvers.graphs import from_graph  # noqa: PLC0415  # it needs this class

        return from_graph(graph, **options)

    def graph(self) -> nx.Graph:
        """The graph of variables as a ``networkx.Graph``: node attributes ``name`` and ``choices``, edges once."""
        from dynamap_solvers.graphs import to_graph  # noqa: PLC0415  # it needs this class

        return to_graph(self)

    def _check_assignment(self, assignment: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
        if len(assignment) != self.num_variables:
            raise ProblemError(f"The assignment has {len(assignment)} entries for {self.num_variables} variables.")
        choice = np.asarray(assignment)
        if choice.dtype.kind not in "iu" or choice.ndim != 1:
            choice = np.array(
                [as_index(x, f"choice of variable {self._structure.label(i)!r}") for i, x in enumerate(assignment)],
                np.int64,
            )
        wrong = np.flatnonzero((choice < 0) | (choice >= self.sizes))
        if wrong.size:
            i = int(wrong[0])
            raise ProblemError(
                f"Variable {self._structure.label(i)!r} has no choice {int(choice[i])}: it has {self.sizes[i]}, "
                "counted from 0."
            )
        return choice.astype(np.int64, copy=False)
