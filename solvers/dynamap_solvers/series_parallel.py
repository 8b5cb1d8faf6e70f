"""Reduction of a series-parallel graph to a point: the plan, made once per graph and priced for any number of costs.

The rules, each of which keeps the optimum (Scholz & Eckstein, *Register allocation for irregular architectures*, LCTES
2002; on graphs they are the recognition of Valdes, Tarjan & Lawler, *The recognition of series parallel digraphs*,
SIAM J. Comput. 11, 1982, so the sequence read as a tree is the SP-tree of the graph):

- R0, a vertex without edges: add its cheapest choice to the objective.
- RI, a vertex ``i`` of degree 1: ``c_j[y] += min_x (c_i[x] + T_ij[x, y])``.
- RII, a vertex ``i`` of degree 2: a new table ``T_jk[y, z] = min_x (c_i[x] + T_ij[x, y] + T_ik[x, z])`` (series).
- parallel: two tables between the same vertices become their sum.
- fixed, only on request: a vertex with one choice leaves, whatever its degree: ``c_j[y] += T_ij[0, y]``.

They reduce a graph to nothing exactly if its treewidth is at most 2 (after the fixed vertices are cut out).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._costs import CostArray
from dynamap_solvers._evaluate import assign, minimise
from dynamap_solvers._kernel import Located
from dynamap_solvers._kernel import reduce as kernel_reduce
from dynamap_solvers._rules import Reduction, Rule, StepArrays
from dynamap_solvers.errors import NotSeriesParallelError, ProblemError
from dynamap_solvers.problem import SelectionProblem

__all__ = ["Reduction", "ReductionPlan", "Rule", "core_left", "plan_of", "reduce_graph"]


class ReductionPlan:
    """The sequence of reductions of one graph; the certificate of its being series-parallel. Immutable.

    Args:
        num_variables: vertices of the graph.
        edges: its edges, as given.
        steps: the reductions in order, each vertex leaving once. Read backwards it is the order of back-substitution.
    """

    def __init__(
        self,
        num_variables: int,
        edges: Sequence[tuple[int, int]] | NDArray[np.int32],
        steps: Sequence[Reduction] | StepArrays,
    ) -> None:
        self.num_variables = num_variables
        self.edge_ends: NDArray[np.int32] = (
            edges if isinstance(edges, np.ndarray) else np.asarray(edges, np.int32).reshape(-1, 2)
        )
        self.arrays = steps if isinstance(steps, StepArrays) else StepArrays.of(steps)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The edges of the graph, as given."""
        return tuple((i, j) for i, j in self.edge_ends.tolist())

    @cached_property
    def steps(self) -> tuple[Reduction, ...]:
        """The reductions one by one; made when asked for."""
        return self.arrays.steps()

    def evaluate(self, unary: Sequence[CostArray], pair: Sequence[CostArray], *, threads: int = 1) -> CostArray:
        """The optimal objective of every cost set; nothing is kept for assignments.

        Takes ``O((n + m) d^3)`` per cost set for ``d`` choices. The work goes chunk by chunk of the batch, so that
        intermediate tables stay in cache and need memory for one chunk per thread only. Fastest where the batch axis
        is the one with stride 1: let the memory be ``(d_i, d_j, batch)`` and pass the view
        ``np.moveaxis(table, -1, 0)``.

        Args:
            unary: per variable ``(d_i,)`` or ``(batch, d_i)``, int64 or float64 throughout.
            pair: per edge ``(d_i, d_j)`` or ``(batch, d_i, d_j)``; arrays without the batch axis serve every cost set.
            threads: chunks worked on at a time.

        Returns:
            Shape ``(batch,)``, 1 where no array has the axis; FORBIDDEN or inf where every assignment is forbidden.
            Integers are exact provided the costs keep the rule of :class:`SelectionProblem` (largest finite
            magnitudes adding up to less than ``2**60``, forbidden cells ``2**61``), which is not checked here.

        Raises:
            ProblemError: if the shapes do not fit the graph or each other.
        """
        return minimise(self.num_variables, self.edges, self.steps, unary, pair, threads=threads)

    def assign(
        self, unary: Sequence[CostArray], pair: Sequence[CostArray], *, threads: int = 1
    ) -> tuple[CostArray, NDArray[np.intp]]:
        """As :meth:`evaluate`, with an optimal assignment of every cost set by back-substitution.

        Ties go to the lowest choice index, given the order of the plan.

        Returns:
            Objectives ``(batch,)`` and choices ``(batch, n)``. The choices mean nothing where the objective is
            FORBIDDEN or inf.
        """
        return assign(self.num_variables, self.edges, self.steps, unary, pair, threads=threads)

    def solve(
        self, problem: SelectionProblem, *, assignments: bool = True, threads: int = 1
    ) -> tuple[CostArray, NDArray[Any] | None]:
        """Price the plan for a problem or batch on this graph, in the compiled kernel where there is one.

        Takes ``O((n + m) d^3)`` per cost set.

        Args:
            problem: its edges are the plan's.
            assignments: whether to back-substitute.
            threads: parts of the batch worked on at a time.

        Returns:
            As :meth:`evaluate` and, if asked for, as :meth:`assign`, else None.

        Raises:
            ProblemError: if a variable the plan cuts out as fixed has several choices.
        """
        priced = kernel_reduce.price(problem, self.arrays, assignments=assignments, threads=threads)
        if priced is not None:
            return priced
        if assignments:
            return self.assign(problem.unary, problem.pair, threads=threads)
        return self.evaluate(problem.unary, problem.pair, threads=threads), None


def plan_of(problem: SelectionProblem) -> ReductionPlan:
    """The plan of a problem's graph, kept with its structure; variables with one choice are cut out first.

    Raises:
        NotSeriesParallelError: if a core remains; kept as well, so that asking again costs nothing.
    """
    memo = problem.structure.memo
    plan = memo.get("reduction plan")
    if plan is None:
        try:
            plan = _reduced(problem.edge_ends, problem.sizes, problem.structure.located, None)
        except NotSeriesParallelError as error:
            plan = error
        memo["reduction plan"] = plan
    if isinstance(plan, NotSeriesParallelError):
        raise plan.with_traceback(None)
    assert isinstance(plan, ReductionPlan)
    return plan


def reduce_graph(
    num_variables: int,
    edges: Iterable[tuple[int, int]] | NDArray[Any],
    *,
    domain_sizes: Sequence[int] | NDArray[np.int64] | None = None,
    fixed: Collection[int] = (),
) -> ReductionPlan:
    """Find the reductions of a graph, or prove that there are none.

    Linear time, ``O(n + m)``. Vertices of degree 0 and 1 go first; among those of degree 2 the one whose elimination
    touches the fewest cells, by power of two, and among these one touched lately, whose tables are still in cache.
    The compiled kernel and the fallback in Python may find different sequences; each is the same every time.

    Args:
        num_variables: vertices, numbered from 0.
        edges: pairs of different vertices; parallel edges are allowed.
        domain_sizes: choices per vertex, which only steer the order; all alike if not given.
        fixed: vertices to cut out first whatever their degree; each must have one choice where the plan is evaluated.

    Raises:
        NotSeriesParallelError: if a core remains; it carries the core as a witness.
        ProblemError: if an edge is a self-loop or out of range.

    Example:
        >>> plan = reduce_graph(3, [(0, 1), (1, 2)])
        >>> [step.rule.value for step in plan.steps]
        ['RI', 'RI', 'R0']
        >>> reduce_graph(4, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
        Traceback (most recent call last):
        ...
        dynamap_solvers.errors.NotSeriesParallelError: The graph is not series-parallel: reductions leave a core of 4 \
variables in which every degree is at least 3: 0, 1, 2, 3.
    """
    given = edges if isinstance(edges, np.ndarray) else np.array(list(edges), np.int64)
    given = given.reshape(-1, 2)
    wrong = np.flatnonzero(
        (given[:, 0] == given[:, 1]) | (given < 0).any(axis=1) | (given >= num_variables).any(axis=1)
    )
    if wrong.size:
        i, j = given[wrong[0]].tolist()
        raise ProblemError(f"Edge {wrong[0]} is ({i}, {j}); give two different vertices below {num_variables}.")
    ends = np.ascontiguousarray(given, np.int32)
    sizes = np.ascontiguousarray(np.full(num_variables, 2) if domain_sizes is None else domain_sizes, np.int64)
    return _reduced(ends, sizes, Located((num_variables, len(ends)), sizes, ends, sizes), sorted(fixed))


def _reduced(
    ends: NDArray[np.int32], sizes: NDArray[np.int64], graph: Located, fixed: Sequence[int] | None
) -> ReductionPlan:
    """:func:`reduce_graph` of what is known to be a graph; ``fixed`` may be None for all with one choice."""
    found = kernel_reduce.plan(graph, fixed)
    if found is None:
        reducer = _Reducer(len(sizes), tuple((i, j) for i, j in ends.tolist()), sizes.tolist())
        for vertex in np.flatnonzero(sizes == 1).tolist() if fixed is None else fixed:
            reducer.cut(vertex)
        reducer.run()
        core, core_edges = reducer.core()
        found = StepArrays.of(reducer.steps), core, lambda: core_edges
    steps, left, left_edges = found
    if left:
        raise core_left(left, left_edges)
    return ReductionPlan(len(sizes), ends, steps)


def core_left(core: list[int], core_edges: kernel_reduce.CoreEdges) -> NotSeriesParallelError:
    """The error that says so."""
    shown = ", ".join(map(str, core[:10])) + (", ..." if len(core) > 10 else "")
    return NotSeriesParallelError(
        f"The graph is not series-parallel: reductions leave a core of {len(core)} variables in which every "
        f"degree is at least 3: {shown}.",
        witness=core,
        core_edges=core_edges,
    )


class _Reducer:
    """The fallback in Python. The graph as it shrinks: ``adjacent[i][j]`` is the one table between i and j."""

    def __init__(self, num_variables: int, edges: tuple[tuple[int, int], ...], domain_sizes: Sequence[int]) -> None:
        self.edges = edges
        self.steps: list[Reduction] = []
        self.adjacent: list[dict[int, int]] = [{} for _ in range(num_variables)]
        self.gone = [False] * num_variables
        self.next_table = len(edges)
        self.bits = [size.bit_length() for size in domain_sizes]
        # Bucket 0 holds degrees 0 and 1, bucket b tables of about 2**b cells; entries may be out of date. A graph of
        # bounded domain sizes has a bounded number of buckets, which is what keeps the whole linear.
        self.buckets: list[list[int]] = [[] for _ in range(3 * max(self.bits, default=0) + 1)]
        self.lowest = 0
        for table, (i, j) in enumerate(edges):
            self.join(i, j, table)

    def join(self, i: int, j: int, table: int) -> None:
        """Put a table with axes (i, j) into the graph, merging it with the one already there."""
        present = self.adjacent[i].get(j)
        if present is not None:
            merged = self.next_table
            self.next_table += 1
            self.steps.append(Reduction(Rule.PARALLEL, -1, (i, j), (present, table), merged))
            table = merged
        self.adjacent[i][j] = self.adjacent[j][i] = table

    def leave(self, vertex: int, rule: Rule, produced: int = -1) -> tuple[int, ...]:
        """Take a vertex out with its tables, writing down the step."""
        links = self.adjacent[vertex]
        neighbours = tuple(links)
        self.steps.append(Reduction(rule, vertex, neighbours, tuple(links.values()), produced))
        for j in neighbours:
            del self.adjacent[j][vertex]
        self.adjacent[vertex] = {}
        self.gone[vertex] = True
        return neighbours

    def cut(self, vertex: int) -> None:
        if not self.gone[vertex]:
            self.leave(vertex, Rule.FIXED)

    def offer(self, vertex: int) -> None:
        """Queue a vertex if a rule applies to it."""
        links = self.adjacent[vertex]
        if len(links) > 2:
            return
        bucket = 0 if len(links) < 2 else self.bits[vertex] + sum(self.bits[j] for j in links)
        self.buckets[bucket].append(vertex)
        self.lowest = min(self.lowest, bucket)

    def run(self) -> None:
        for vertex in range(len(self.adjacent) - 1, -1, -1):  # backwards: the buckets are stacks, so 0 comes out first
            if not self.gone[vertex]:
                self.offer(vertex)
        while self.lowest < len(self.buckets):
            bucket = self.buckets[self.lowest]
            if not bucket:
                self.lowest += 1
                continue
            vertex = bucket.pop()
            if not self.gone[vertex]:
                self.eliminate(vertex)

    def core(self) -> tuple[list[int], list[tuple[int, int]]]:
        """What is left: vertices ascending and edges once."""
        core = [vertex for vertex, gone in enumerate(self.gone) if not gone]
        return core, [(i, j) for i in core for j in sorted(self.adjacent[i]) if i < j]

    def eliminate(self, vertex: int) -> None:
        degree = len(self.adjacent[vertex])
        if degree == 2:
            produced = self.next_table
            self.next_table += 1
            j, k = self.leave(vertex, Rule.RII, produced)
            self.join(j, k, produced)
            self.offer(j)
            self.offer(k)
        else:
            for j in self.leave(vertex, Rule.RI if degree else Rule.R0):
                self.offer(j)
