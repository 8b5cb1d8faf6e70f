"""toulbar2's WCSP format: integer costs of 0 or more, and one upper bound from which on a cost forbids.

A name, the numbers of variables, of choices at most and of functions, and the upper bound; the domain sizes; then each
function: its arity and variables, a default cost, the number of tuples that differ from it, and these with their costs.
An arity with a minus sign shares its table: the n-th shared one is meant by -n in place of the number of tuples.

Names of variables and choices and a usage limit have no place in it. Costs cannot be negative, so a table with
negative costs is written less its least cost, and :func:`write_wcsp` returns what this leaves out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.formats._files import load, located, save
from dynamap_solvers.formats._tables import (
    Function,
    check_cells,
    check_sizes,
    forbid_from,
    from_functions,
    plain,
    short,
)
from dynamap_solvers.formats._words import Words, as_integer, as_integers, escape, unescape
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["COST_LIMIT", "parse_wcsp", "read_wcsp", "write_wcsp"]

COST_LIMIT = (2**63 - 1) // 18
"""toulbar2 takes upper bounds and costs below this (its option ``-ub``)."""

_BIG = 2**62


def read_wcsp(path: str | os.PathLike[str]) -> SelectionProblem:
    """Read a problem, int64; gzip is recognised by content.

    Functions of one variable add up, functions of two are edges in their order, constants go to variable 0. A cell is
    forbidden where every total with it reaches the upper bound; that an allowed assignment of a total at or above the
    bound is no solution for toulbar2 is not kept.

    Raises:
        ProblemError: in one sentence that names the file and the function: counts that do not fit the text, a variable
            or choice that does not exist, a function of three or more variables or one that is no table, a negative
            cost, sums of 2**60 or more.
        OSError: if the file cannot be opened.
    """
    with located(path):
        return parse_wcsp(load(path))


def parse_wcsp(data: bytes) -> SelectionProblem:
    """The problem of a text; messages do not name the file yet."""
    words = Words(data)
    (name,) = words.take(1, "a WCSP file")
    count = words.integer("the number of variables")
    words.integer("the largest number of choices")
    total = words.integer("the number of functions")
    top = words.integer("the upper bound", low=-(2**63))
    if count + 3 * total > words.left:
        raise ProblemError(f"it declares {count} variables and {total} functions but has only {words.left} more words.")
    sizes = [words.integer(f"the number of choices of variable {i}", low=-(2**63)) for i in range(count)]
    check_sizes(sizes, len(data))
    functions = _Functions(words, sizes, len(data)).read(total)
    words.end()
    forbid_from(functions, top)
    return from_functions(sizes, functions, floats=False, name=unescape(name))


class _Functions:
    """Reads the list of functions."""

    def __init__(self, words: Words, sizes: Sequence[int], text_bytes: int) -> None:
        self.words = words
        self.sizes = sizes
        self.text_bytes = text_bytes
        self.cells = sum(sizes)
        self.shared: list[Function] = []

    def read(self, total: int) -> list[Function]:
        return [self.function(f) for f in range(total)]

    def function(self, f: int) -> Function:
        arity = self.words.integer(f"the arity of function {f}", low=-(2**31))
        if abs(arity) > 2:
            raise ProblemError(f"function {f} has {abs(arity)} variables; only functions of at most two can be read.")
        scope = tuple(self.words.integer(f"a variable of function {f}") for _ in range(abs(arity)))
        for i in scope:
            if i >= len(self.sizes):
                raise ProblemError(f"function {f} names variable {i}; there are {len(self.sizes)}, counted from 0.")
        if len(scope) == 2 and scope[0] == scope[1]:
            raise ProblemError(f"function {f} joins variable {scope[0]} to itself; give it one variable.")
        default = self.words.integer(f"the default cost of function {f}", low=-1)
        if default == -1:
            keyword = self.words.take(1, f"function {f}")[0]
            raise ProblemError(f"function {f} is given by the keyword {short(keyword)}; only tables can be read.")
        tuples = self.words.integer(f"the number of tuples of function {f}", low=-(2**31))
        shape = [self.sizes[i] for i in scope]
        cells = math.prod(shape)
        self.cells += cells
        check_cells(self.cells, self.text_bytes)
        costs = self.reused(f, -tuples, scope) if tuples < 0 else self.table(f, shape, cells, default, tuples)
        function = Function(scope, costs)
        if arity < 0:
            self.shared.append(function)
        return function

    def reused(self, f: int, number: int, scope: tuple[int, ...]) -> NDArray[np.int64]:
        if number > len(self.shared):
            raise ProblemError(f"function {f} takes shared table {number}; {len(self.shared)} come before it.")
        source = self.shared[number - 1]
        if [self.sizes[i] for i in source.scope] != [self.sizes[i] for i in scope]:
            raise ProblemError(f"function {f} takes shared table {number}, which has another shape.")
        return source.costs.copy()  # type: ignore[return-value]  # this format makes int64 only

    def table(self, f: int, shape: list[int], cells: int, default: int, tuples: int) -> NDArray[np.int64]:
        width = len(shape) + 1
        words = self.words.take(tuples * width, f"the list of {tuples} tuples of function {f}")
        costs = np.full(cells, default, np.int64)
        if not tuples:
            return costs
        values = as_integers(words)
        if values is None or min(values) < 0 or max(values) >= 2**63:
            raise ProblemError(f"a tuple of function {f} has {short(_first_bad(words))}; give integers of 0 or more.")
        rows = np.array(values, np.int64).reshape(tuples, width)
        at = np.zeros(tuples, np.int64)
        for k, size in enumerate(shape):
            if (rows[:, k] >= size).any():
                raise ProblemError(f"a tuple of function {f} names choice {rows[:, k].max()}; there are {size}.")
            at = at * size + rows[:, k]
        costs[at] = rows[:, -1]
        return costs


def _first_bad(words: Sequence[bytes]) -> bytes:
    return next((word for word in words if (as_integer(word) or 0) < 0 or not word.isdigit() or len(word) > 18), b"")


def write_wcsp(problem: SelectionProblem, path: str | os.PathLike[str]) -> int:
    """Write one cost set of an integer problem.

    Fixed choices are written by forbidding the others, ties as functions that forbid all that is unequal. The upper
    bound is above every total, so it forbids only what is forbidden. Each variable whose costs are not all 0 has a
    function, then each edge.

    Returns:
        What to add to a total of the file to get the objective of the problem: the sum of the least costs of tables
        with negative costs, 0 where there are none.

    Raises:
        ProblemError: if the problem is a batch, has a usage limit or float costs, or costs so large that toulbar2
            could not hold them.
        OSError: if the file cannot be written.
    """
    problem = plain(problem, "A WCSP file")
    if not problem.is_integer:
        raise ProblemError("A WCSP file holds integers; write cfn, or scale the costs to integers.")
    offset = 0
    tables: list[tuple[tuple[int, ...], NDArray[np.int64]]] = []
    largest = 0
    scopes = [*((i,) for i in range(problem.num_variables)), *problem.edges]
    for scope, array in zip(scopes, (*problem.unary, *problem.pair), strict=True):
        forbidden = array >= FINITE_LIMIT
        costs = np.where(forbidden, 0, array).astype(np.int64)
        low = min(int(costs.min()), 0)
        offset += low
        costs -= low
        largest += int(costs.max(where=~forbidden, initial=0))
        costs[forbidden] = _BIG
        if len(scope) == 2 or costs.any():
            tables.append((scope, costs))
    top = largest + 1
    if top >= COST_LIMIT:
        raise ProblemError(f"The largest costs add up to {largest}; toulbar2 holds less than {COST_LIMIT}: scale down.")
    sizes = problem.domain_sizes
    lines = [f"{escape(problem.name)} {len(sizes)} {max(sizes, default=0)} {len(tables)} {top}"]
    lines.append(" ".join(map(str, sizes)))
    for scope, costs in tables:
        costs[costs == _BIG] = top
        values, counts = np.unique(costs, return_counts=True)
        default = int(values[counts.argmax()])
        cells = np.argwhere(costs != default)
        lines.append(f"{len(scope)} {' '.join(map(str, scope))} {default} {len(cells)}")
        picked = costs[costs != default]
        lines += [
            f"{' '.join(map(str, cell))} {cost}" for cell, cost in zip(cells.tolist(), picked.tolist(), strict=True)
        ]
    save(path, ("\n".join(lines) + "\n").encode())
    return offset
