"""The IOPDDL format (ASPLOS/EuroSys 2025 contest): selection problems with a usage limit over time, as JSON.

``{"problem": {"name", "nodes": {"intervals", "costs", "usages"}, "edges": {"nodes", "costs"}, "usage_limit"}}``: per
node a half-open interval, its costs and its usages, per edge two nodes and its costs row by row. Parallel edges add up,
and a cost of 1e18 or more means forbidden. Files may be gzipped; integers stay integers.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.formats._files import load, located, save
from dynamap_solvers.formats._json import INT64_MAX, decode, flatten, integers, key, lengths, list_of, pairs, shortened
from dynamap_solvers.formats._tables import plain
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, CostArray, SelectionProblem

__all__ = ["FORBIDDEN_IN_FILE", "parse_document", "read_iopddl", "write_iopddl"]

FORBIDDEN_IN_FILE = 10**18
"""What files write for a forbidden cell."""

_BEYOND = 2**1023


def read_iopddl(path: str | os.PathLike[str]) -> SelectionProblem:
    """Read a problem; gzip is recognised by content.

    Costs are int64 where every number below 1e18 is written as an integer, else float64. Usages that are all 0,
    intervals that are all empty or a missing ``usage_limit`` mean that there is no limit.

    Raises:
        ProblemError: in one sentence that names the file and the node or edge: not JSON, a key missing, a wrong type
            or count, a reversed interval, an edge to a node that does not exist, costs too large to add up exactly.
        OSError: if the file cannot be opened.
    """
    with located(path):
        return parse_document(decode(load(path)))


def write_iopddl(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write one cost set; gzipped where the path ends in ``.gz``. The file appears whole or not at all.

    Names of variables and choices have no place in the format. Without a resource, usages are 0, intervals [0, 0] and
    the limit 0. Fixed choices are written by forbidding the others, ties as edges that forbid all that is unequal.

    Raises:
        ProblemError: if the problem is a batch, or a finite cost is 1e18 or more and would read as forbidden.
        OSError: if the file cannot be written.
    """
    problem = plain(problem, "An IOPDDL file", usage=True)
    usage = problem.usage
    count = problem.num_variables
    document = {
        "problem": {
            "name": problem.name,
            "nodes": {
                "intervals": [[0, 0]] * count if usage is None else [list(interval) for interval in problem.intervals],
                "costs": [
                    _cells(array, f"variable {n!r}") for n, array in zip(problem.names, problem.unary, strict=True)
                ],
                "usages": [[0] * size for size in problem.domain_sizes]
                if usage is None
                else [used.tolist() for used in usage],
            },
            "edges": {
                "nodes": [list(edge) for edge in problem.edges],
                "costs": [_cells(table, problem.edge_label(e)) for e, table in enumerate(problem.pair)],
            },
            "usage_limit": problem.usage_limit,
        }
    }
    save(path, json.dumps(document, allow_nan=False).encode())


def _cells(array: CostArray, label: str) -> list[int] | list[float]:
    forbidden = array >= (FINITE_LIMIT if array.dtype == np.int64 else math.inf)
    if (array[~forbidden] >= FORBIDDEN_IN_FILE).any():
        raise ProblemError(
            f"A finite cost of {label} is 1e18 or more, which the format reads as forbidden; scale it down."
        )
    cells: list[Any] = np.where(forbidden, 0, array).ravel().tolist()
    for k in np.flatnonzero(forbidden).tolist():
        cells[k] = FORBIDDEN_IN_FILE  # an integer among floats too: the format's own spelling
    return cells


def parse_document(document: Any) -> SelectionProblem:
    """The problem of a decoded JSON document; messages do not name the file yet."""
    problem = key(document, "problem", "the file")
    nodes = key(problem, "nodes", '"problem"')
    edges = key(problem, "edges", '"problem"')
    name = problem.get("name", "")
    if not isinstance(name, str):
        raise ProblemError('"name" must be a string.')
    node_costs = list_of(key(nodes, "costs", '"nodes"'), '"nodes"."costs"')
    sizes = lengths(node_costs, lambda i: f"the costs of node {i}")
    count = len(sizes)
    ends = pairs(
        list_of(key(edges, "nodes", '"edges"'), '"edges"."nodes"'),
        lambda e: f"nodes of edge {e}",
        lambda e, length: f"edge {e} has {length} nodes; give two.",
    )
    outside = np.argwhere((ends < 0) | (ends >= count))
    if outside.size:
        e, side = outside[0].tolist()
        raise ProblemError(f"edge {e} names node {ends[e, side]}; there are {count}, counted from 0.")
    edge_costs = list_of(key(edges, "costs", '"edges"'), '"edges"."costs"')
    given = lengths(edge_costs, lambda e: f"the costs of edge {e}")
    if len(ends) != len(given):
        raise ProblemError(f"{len(ends)} edges have nodes but {len(given)} have costs.")
    wrong = np.flatnonzero(given != sizes[ends[:, 0]] * sizes[ends[:, 1]])
    if wrong.size:
        e = int(wrong[0])
        i, j = ends[e].tolist()
        raise ProblemError(f"edge {e} has {given[e]} costs; nodes {i} and {j} need {sizes[i]} x {sizes[j]}.")
    unary, unary_exact = _numbers(node_costs, np.cumsum(sizes), "costs of node")
    pair, pair_exact = _numbers(edge_costs, np.cumsum(given), "costs of edge")
    integer = unary_exact and pair_exact
    return SelectionProblem.from_flat(
        domain_sizes=sizes,
        unary=_array(unary, integer=integer),
        edges=ends,
        pair=_array(pair, integer=integer),
        name=name,
        **_usage(problem, nodes, sizes),
    )


def _usage(problem: dict[str, Any], nodes: dict[str, Any], sizes: NDArray[np.int64]) -> dict[str, Any]:
    """Usages, intervals and limit as arguments of the problem; none where there is no limit."""
    if "usage_limit" not in problem:
        return {}
    limit = int(integers([problem["usage_limit"]], lambda _: "usage_limit")[0])
    intervals = pairs(
        list_of(key(nodes, "intervals", '"nodes"'), '"nodes"."intervals"'),
        lambda i: f"interval of node {i}",
        lambda i, length: f"the interval of node {i} has {length} entries; give start and end.",
    )
    rows = list_of(key(nodes, "usages", '"nodes"'), '"nodes"."usages"')
    given = lengths(rows, lambda i: f"the usages of node {i}")
    if len(intervals) != len(sizes) or len(given) != len(sizes):
        raise ProblemError(f"{len(sizes)} nodes have costs, {len(intervals)} intervals and {len(given)} usages.")
    wrong = np.flatnonzero(given != sizes)
    if wrong.size:
        i = int(wrong[0])
        raise ProblemError(f"node {i} has {sizes[i]} costs but {given[i]} usages.")
    stops = np.cumsum(sizes)
    used = integers(flatten(rows), lambda k: f"usages of node {_owner(stops, k)}")
    reversed_ = np.flatnonzero(intervals[:, 0] > intervals[:, 1])
    if reversed_.size:
        i = int(reversed_[0])
        raise ProblemError(f"the interval of node {i} is reversed: {intervals[i].tolist()}.")
    if not used.any() or (intervals[:, 0] == intervals[:, 1]).all():
        return {}
    return {
        "usage": tuple(np.split(used, stops[:-1])),
        "intervals": tuple((start, end) for start, end in intervals.tolist()),
        "usage_limit": limit,
    }


def _owner(ends: NDArray[np.int64], k: int) -> int:
    return int(np.searchsorted(ends, k, side="right"))


def _numbers(lists: list[list[Any]], ends: NDArray[np.int64], label: str) -> tuple[list[Any], bool]:
    """All costs in one list, and whether every one below 1e18 is an integer."""
    values = flatten(lists)
    kinds = set(map(type, values))
    if kinds - {int, float}:
        k = next(k for k, value in enumerate(values) if type(value) not in (int, float))
        raise ProblemError(f"the {label} {_owner(ends, k)} contain {shortened(values[k])}, which is not a number.")
    if float not in kinds:
        return values, True
    return values, all(type(value) is int or value >= FORBIDDEN_IN_FILE for value in values)


def _array(values: list[Any], *, integer: bool) -> CostArray:
    if not integer:
        cells = [math.inf if v >= FORBIDDEN_IN_FILE else float(v) if v > -_BEYOND else -math.inf for v in values]
        return np.array(cells, np.float64)  # the problem refuses negative infinity, by the name of the node
    if not set(map(type, values)) - {int}:
        try:
            array = np.array(values, np.int64)
            return np.where(array >= FORBIDDEN_IN_FILE, FORBIDDEN, array)
        except OverflowError:
            pass
    return np.array([FORBIDDEN if v >= FORBIDDEN_IN_FILE else max(int(v), -INT64_MAX) for v in values], np.int64)
