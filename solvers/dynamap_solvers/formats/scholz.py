"""The ``.in`` format of Scholz & Eckstein's PBQP solver (2003): plain matrices of costs.

The numbers of nodes and edges; per node the length of its cost vector and the costs; per edge its two nodes, the rows
and columns of its matrix and the costs row by row; ``inf`` forbids. An edge from a node to itself adds its diagonal to
the node, as that solver does. Names, a usage limit and choice names have no place in it.
"""

from __future__ import annotations

import math
import os

import numpy as np

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.formats._files import load, located, save
from dynamap_solvers.formats._tables import Function, from_functions, plain, split
from dynamap_solvers.formats._words import Words, as_integer, numbers
from dynamap_solvers.problem import FINITE_LIMIT, SelectionProblem

__all__ = ["fits_scholz", "parse_scholz", "read_scholz", "write_scholz"]


def read_scholz(path: str | os.PathLike[str]) -> SelectionProblem:
    """Read a problem; gzip is recognised by content.

    Costs are int64 where every one is written as an integer or ``inf``, else float64.

    Raises:
        ProblemError: in one sentence that names the file and the node or edge: counts that do not fit the text, a node
            that does not exist, a matrix that does not fit its nodes, a word that is no number, NaN.
        OSError: if the file cannot be opened.
    """
    with located(path):
        return parse_scholz(load(path))


def parse_scholz(data: bytes) -> SelectionProblem:
    """The problem of a text; messages do not name the file yet."""
    words = Words(data)
    nodes = words.integer("the number of nodes")
    edges = words.integer("the number of edges")
    if 2 * nodes + 5 * edges > words.left:
        raise ProblemError(f"it declares {nodes} nodes and {edges} edges but has only {words.left} more words.")
    costs: list[bytes] = []
    stops: list[int] = []
    sizes: list[int] = []
    scopes: list[tuple[int, ...]] = []
    for i in range(nodes):
        size = words.integer(f"the number of costs of node {i}", low=1)
        sizes.append(size)
        scopes.append((i,))
        costs += words.take(size, f"node {i}")
        stops.append(len(costs))
    for e in range(edges):
        i, j = (words.integer(f"a node of edge {e}") for _ in range(2))
        for node in (i, j):
            if node >= nodes:
                raise ProblemError(f"edge {e} names node {node}; there are {nodes}, counted from 0.")
        rows, columns = (words.integer(f"the {side} of edge {e}") for side in ("rows", "columns"))
        if (rows, columns) != (sizes[i], sizes[j]):
            raise ProblemError(f"edge {e} is {rows} x {columns}; nodes {i} and {j} need {sizes[i]} x {sizes[j]}.")
        costs += words.take(rows * columns, f"edge {e}")
        scopes.append((i, j))
        stops.append(len(costs))
    words.end()
    ends = np.array(stops, np.int64)

    def where(k: int) -> str:
        f = int(np.searchsorted(ends, k, side="right"))
        return f"node {f}" if f < nodes else f"edge {f - nodes}"

    flat = numbers(costs, where)
    functions = []
    for scope, table in zip(scopes, split(flat, ends), strict=True):
        if len(scope) == 2 and scope[0] == scope[1]:
            functions.append(Function(scope[:1], table[:: sizes[scope[0]] + 1]))
        else:
            functions.append(Function(scope, table))
    return from_functions(sizes, functions, floats=flat.dtype == np.float64)


def fits_scholz(words: list[bytes]) -> bool:
    """Whether the counts of a text add up exactly as this format wants; tells it from WCSP files of numbers only."""
    at = 0

    def count() -> int:
        nonlocal at
        value = as_integer(words[at]) if at < len(words) else None
        at += 1
        return -1 if value is None else value

    nodes, edges = count(), count()
    for _ in range(nodes):
        size = count()
        if size < 1 or at > len(words):
            return False
        at += size
    for _ in range(edges):
        count(), count()
        cells = count() * count()
        if cells < 1 or at > len(words):
            return False
        at += cells
    return min(nodes, edges) >= 0 and at == len(words)


def write_scholz(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write one cost set, all digits kept; integers as integers, floats with a dot or an exponent.

    Fixed choices are written by forbidding the others, ties as edges that forbid all that is unequal.

    Raises:
        ProblemError: if the problem is a batch or has a usage limit.
        OSError: if the file cannot be written.
    """
    problem = plain(problem, "A Scholz file")
    limit = FINITE_LIMIT if problem.is_integer else math.inf
    lines = [f"{problem.num_variables} {problem.num_edges}"]
    for array in problem.unary:
        lines += [str(len(array)), " ".join("inf" if c >= limit else repr(c) for c in array.tolist())]
    for (i, j), table in zip(problem.edges, problem.pair, strict=True):
        lines += [f"{i} {j}", f"{table.shape[0]} {table.shape[1]}"]
        lines += [" ".join("inf" if c >= limit else repr(c) for c in row) for row in table.tolist()]
    save(path, ("\n".join(lines) + "\n").encode())
