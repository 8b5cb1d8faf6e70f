"""The mapping problem as a selection problem (design: one variable per decision).

Variables: every stage, whose choices are (algorithm, dataflow, output layout); and every group of tensors with
several readers or writers and more than one possible layout, whose choices are the layouts. Pair costs: a stage's
whole latency, which depends on its own choice and on the layout its first input is stored in; and the agreement of a
writer with its group's layout. A stage whose input can only be ``nhwc`` pays its latency alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl import Dataflow
from dynamap_solvers import FORBIDDEN, ReductionPlan, SelectionProblem, reduce_graph

from .algorithms import Algorithm
from .costs import ShapeBatch
from .layouts import Layout
from .tables import MappingTables, StageTable

__all__ = ["BatchedSelection", "Choice", "Decision", "mapping_problem"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """What was chosen for one stage."""

    algorithm: Algorithm | None
    dataflow: Dataflow
    output_layout: Layout


@dataclass(frozen=True)
class Decision:
    """The mapping problem of one array shape, with what its variables mean.

    The first variables are the stages, in order; the rest are the shared groups, in ``groups``' order.
    """

    problem: SelectionProblem
    tables: MappingTables
    groups: tuple[str, ...]

    def choices(self, assignment: tuple[int, ...]) -> tuple[Choice, ...]:
        """The choice of every stage under an assignment."""
        return tuple(
            Choice(*table.choices[chosen])
            for table, chosen in zip(self.tables.stages, assignment, strict=False)  # groups follow the stages
        )


def mapping_problem(tables: MappingTables, p1: int, p2: int) -> Decision:
    """The mapping problem on a P1 x P2 array, in integer cycles; its optimum is the latency of the network."""
    groups = tuple(sorted(tables.shared))
    variable_of_group = {group: len(tables.stages) + index for index, group in enumerate(groups)}
    writer_of_group = {tables.group_of_output(table): index for index, table in enumerate(tables.stages)}
    unary: list[IntArray] = []
    edges: list[tuple[int, int]] = []
    pair: list[IntArray] = []
    known: dict[object, IntArray] = {}
    for index, table in enumerate(tables.stages):
        if table.kind not in known:
            known[table.kind] = table.latency(p1, p2).reshape(len(table.in_layouts), -1)
        latency = known[table.kind]
        source = tables.group_of_input(table) if table.stage.inputs else ""
        if len(table.in_layouts) == 1:
            unary.append(latency[0])
        else:
            unary.append(np.zeros(latency.shape[1], dtype=np.int64))
            if source in variable_of_group:
                edges.append((variable_of_group[source], index))
                pair.append(latency)
            else:
                writer = writer_of_group[source]
                edges.append((writer, index))
                chosen_layout = [tables.layouts[source].index(choice[2]) for choice in tables.stages[writer].choices]
                pair.append(latency[chosen_layout])
        target = tables.group_of_output(table)
        if target in variable_of_group:
            edges.append((index, variable_of_group[target]))
            agree = [
                [0 if choice[2] == layout else FORBIDDEN for layout in tables.layouts[target]]
                for choice in table.choices
            ]
            pair.append(np.array(agree, dtype=np.int64))
    unary.extend(np.zeros(len(tables.layouts[group]), dtype=np.int64) for group in groups)
    problem = SelectionProblem(
        unary=tuple(unary),
        edges=tuple(edges),
        pair=tuple(pair),
        names=(*(table.stage.name for table in tables.stages), *(f"layout of {group}" for group in groups)),
        choice_names=(
            *(tuple(_label(choice) for choice in table.choices) for table in tables.stages),
            *(tuple(map(str, tables.layouts[group])) for group in groups),
        ),
        name=f"{tables.program.network.name} on {p1}x{p2}",
    )
    return Decision(problem, tables, groups)


def _label(choice: tuple[Algorithm | None, Dataflow, Layout]) -> str:
    algorithm, dataflow, layout = choice
    return str(layout) if algorithm is None else f"{algorithm.name}/{dataflow}/{layout}"


class BatchedSelection:
    """The mapping problems of many array shapes on one graph, each stage's algorithm and dataflow minimised out.

    Variables are the layouts that are left to choose: stages with one between a single writer and a single reader, and
    shared groups. Everything else is a sum of constants.

    Raises:
        NotSeriesParallelError: from the constructor, when that graph is not series-parallel.
    """

    def __init__(self, tables: MappingTables) -> None:
        self._tables = tables
        self._variables = {
            group: index for index, group in enumerate(g for g, l in tables.layouts.items() if len(l) > 1)
        }
        edges = []
        for table in tables.stages:
            if table.stage.inputs and len(table.in_layouts) > 1 and len(table.out_layouts) > 1:
                edge = self._edge(table)
                if edge[0] != edge[1]:
                    edges.append(edge)
        self._plan: ReductionPlan = reduce_graph(len(self._variables), edges)

    def _edge(self, table: StageTable) -> tuple[int, int]:
        return (
            self._variables[self._tables.group_of_input(table)],
            self._variables[self._tables.group_of_output(table)],
        )

    def evaluate(self, p1: IntArray, p2: IntArray) -> IntArray:
        """The least latency in cycles on every shape, shape (shapes,); exact, ``FORBIDDEN`` where there is none.

        Time O(stages x layouts² x algorithms) vector operations; memory a few dozen vectors of the shapes' length.
        """
        shapes = ShapeBatch(p1, p2)
        return self.combine(lambda table: table.best_latency(shapes), p1.size)

    def combine(self, best_latency: Callable[[StageTable], IntArray], shapes: int) -> IntArray:
        """The least latency on so many shapes from :meth:`StageTable.best_latency` on them."""
        tables, never = self._tables, self._tables.impossible_cycles
        constant = np.zeros(shapes, dtype=np.int64)
        unary: list[IntArray] = [np.zeros(len(tables.layouts[group]), dtype=np.int64) for group in self._variables]
        pair: list[IntArray] = []
        for table in tables.stages:
            best = np.minimum(best_latency(table), never)
            source = tables.group_of_input(table) if table.stage.inputs else ""
            target = tables.group_of_output(table)
            n_in, n_out, _ = best.shape
            if n_in > 1 and n_out > 1 and source == target:  # reads one piece of a buffer and writes another
                unary[self._variables[source]] = unary[self._variables[source]] + np.diagonal(best)
            elif n_in > 1 and n_out > 1:
                pair.append(np.moveaxis(best, 2, 0))
            elif n_in > 1:
                unary[self._variables[source]] = unary[self._variables[source]] + best[:, 0].T
            elif n_out > 1:
                unary[self._variables[target]] = unary[self._variables[target]] + best[0].T
            else:
                constant += best[0, 0]
        if self._variables:
            constant += np.asarray(self._plan.evaluate(unary, pair), dtype=np.int64)
        constant[constant >= never] = FORBIDDEN
        return constant
