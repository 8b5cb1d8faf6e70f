"""The integer program that LP and MPS files hold: the local polytope of one cost set, exact and unscaled.

Columns ``x_i_a`` in {0, 1} say that variable i takes choice a, columns ``y_e_a_b >= 0`` that edge e sees the pair
(a, b). Rows: ``pick_i`` (one choice each), ``left_e_a`` and ``right_e_b`` (a pair is seen as its ends are picked), and
``use_k`` (the usage limit, once per maximal set of variables that live together). Forbidden choices and pairs get no
column. With integral x the y are forced, so they stay continuous (Koster, van Hoesel & Kolen 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dynamap_solvers.formats._tables import plain
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["Column", "Program", "Row", "program"]


@dataclass(frozen=True)
class Column:
    """A variable of the program, 0 or more.

    Attributes:
        name: as in the file.
        cost: its coefficient in the objective, which is minimised.
        upper: 1 for a binary one, 0 for one that must be 0, None without limit.
    """

    name: str
    cost: int | float
    upper: int | None


@dataclass(frozen=True)
class Row:
    """``sum(coefficient * column) = right``, or ``<=`` where ``at_most``."""

    name: str
    terms: tuple[tuple[int, int], ...]
    right: int
    at_most: bool = False


@dataclass(frozen=True)
class Program:
    """The whole program; ``terms`` of rows are pairs (coefficient, index of the column)."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def program(problem: SelectionProblem, kind: str) -> Program:
    """The program whose optimum is the problem's; its size is that of the allowed cells.

    A variable without an allowed choice gets a column ``none_i`` that must be 0 and 1 at once, so that the program is
    infeasible as the problem is.

    Raises:
        ProblemError: if the problem is a batch.
    """
    problem = plain(problem, kind, usage=True)
    limit = FINITE_LIMIT if problem.is_integer else math.inf
    columns: list[Column] = []
    rows: list[Row] = []
    picked: list[dict[int, int]] = []
    for i, array in enumerate(problem.unary):
        own = {}
        for a in np.flatnonzero(array < limit).tolist():
            own[a] = len(columns)
            columns.append(Column(f"x_{i}_{a}", array[a].item(), 1))
        if not own:
            columns.append(Column(f"none_{i}", 0, 0))
        terms = tuple((1, column) for column in own.values()) or ((1, len(columns) - 1),)
        rows.append(Row(f"pick_{i}", terms, 1))
        picked.append(own)
    for e, ((i, j), table) in enumerate(zip(problem.edges, problem.pair, strict=True)):
        left: dict[int, list[tuple[int, int]]] = {a: [] for a in picked[i]}
        right: dict[int, list[tuple[int, int]]] = {b: [] for b in picked[j]}
        for a, b in np.argwhere(table < limit).tolist():
            if a in left and b in right:
                left[a].append((1, len(columns)))
                right[b].append((1, len(columns)))
                columns.append(Column(f"y_{e}_{a}_{b}", table[a, b].item(), None))
        rows += [Row(f"left_{e}_{a}", (*terms, (-1, picked[i][a])), 0) for a, terms in left.items()]
        rows += [Row(f"right_{e}_{b}", (*terms, (-1, picked[j][b])), 0) for b, terms in right.items()]
    usage: Any = problem.usage
    if usage is not None:
        for k, live in enumerate(problem.live_sets()):
            terms = tuple((int(usage[i][a]), c) for i in live for a, c in picked[i].items() if usage[i][a])
            if terms:
                rows.append(Row(f"use_{k}", terms, problem.usage_limit, at_most=True))
    return Program(tuple(columns), tuple(rows))
