"""Our own JSON format, ``dynamap/problem/1``: everything a selection problem has, exactly.

The keys are the arguments of :class:`~dynamap_solvers.problem.SelectionProblem`; a forbidden cell is ``null``,
``dtype`` says whether costs are exact integers, and a batch has ``unary_sets`` or ``pair_sets``, one entry per cost
set, in place of ``unary`` or ``pair``. Unknown keys are refused. The JSON schema is
``docs/reference/problem.schema.json``.
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
from dynamap_solvers.formats._json import decode, flatten, integers, key, lengths, list_of, pairs, shortened
from dynamap_solvers.formats._tables import short
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, CostArray, SelectionProblem

__all__ = ["SCHEMA", "parse_document", "read_json", "write_json"]

SCHEMA = "dynamap/problem/1"
"""What the key ``schema`` of a file must say."""

_REQUIRED = ("schema", "dtype", "edges")
_KEYS = {
    *_REQUIRED, "name", "names", "choice_names", "unary", "unary_sets", "pair", "pair_sets", "usage", "fixed", "ties",
}  # fmt: skip


def read_json(path: str | os.PathLike[str]) -> SelectionProblem:
    """Read a problem from our own JSON; gzip is recognised by content.

    Raises:
        ProblemError: in one sentence that names the file and the variable or edge: not JSON, another schema, a key
            missing, unknown or of a wrong type, a wrong count, a number that is not what ``dtype`` says.
        OSError: if the file cannot be opened.
    """
    with located(path):
        return parse_document(decode(load(path)))


def write_json(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write a problem, a batch too, so that :func:`read_json` gives an equal one; ``.gz`` at the end packs.

    Raises:
        OSError: if the file cannot be written; it appears whole or not at all.
    """
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "name": problem.name,
        "dtype": "int64" if problem.is_integer else "float64",
    }
    if problem.structure.given_names:
        document["names"] = list(problem.names)
    if problem.choice_names is not None:
        document["choice_names"] = [list(labels) for labels in problem.choice_names]
    document |= _costs("unary", problem.unary, 1, problem.batch_size)
    document["edges"] = [list(edge) for edge in problem.edges]
    document |= _costs("pair", problem.pair, 2, problem.batch_size)
    if problem.usage is not None:
        document["usage"] = {
            "limit": problem.usage_limit,
            "intervals": [list(interval) for interval in problem.intervals],
            "used": [used.tolist() for used in problem.usage],
        }
    if problem.fixed:
        document["fixed"] = [[i, x] for i, x in sorted(problem.fixed.items())]
    if problem.ties:
        document["ties"] = [list(group) for group in problem.ties]
    save(path, json.dumps(document, allow_nan=False).encode())


def _costs(name: str, arrays: tuple[CostArray, ...], rank: int, batch: int) -> dict[str, Any]:
    if all(array.ndim == rank for array in arrays):
        return {name: [_cells(array) for array in arrays]}
    sets = [[_cells(array[k] if array.ndim > rank else array) for array in arrays] for k in range(batch)]
    return {f"{name}_sets": sets}


def _cells(array: NDArray[Any]) -> list[Any]:
    limit = FINITE_LIMIT if array.dtype == np.int64 else math.inf
    forbidden = array >= limit
    if forbidden.any():
        array = array.astype(object)
        array[forbidden] = None
    cells: list[Any] = array.tolist()
    return cells


def parse_document(document: Any) -> SelectionProblem:
    """The problem of a decoded JSON document; messages do not name the file yet."""
    schema = key(document, "schema", "the file")
    if schema != SCHEMA:
        raise ProblemError(f"its schema is {short(str(schema))}; this version reads {SCHEMA!r}.")
    for name in _REQUIRED:
        key(document, name, "the file")
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        raise ProblemError(f"the key {short(unknown[0])} is not one of {SCHEMA!r}.")
    if document["dtype"] not in ("int64", "float64"):
        raise ProblemError(f'"dtype" is {short(str(document["dtype"]))}; give "int64" or "float64".')
    integer = document["dtype"] == "int64"
    name = document.get("name", "")
    if not isinstance(name, str):
        raise ProblemError('"name" must be a string.')
    names = _strings(document["names"], '"names"') if "names" in document else ()
    sizes, unary = _unary(document, integer=integer)
    count = len(sizes)
    edges = pairs(
        list_of(document["edges"], '"edges"'),
        lambda e: f"ends of edge {e}",
        lambda e, length: f"edge {e} has {length} ends; give two.",
    )
    outside = np.flatnonzero(((edges < 0) | (edges >= count)).any(axis=1))
    if outside.size:
        e = int(outside[0])
        raise ProblemError(f"edge {e} joins {edges[e].tolist()}; there are {count} variables, counted from 0.")
    pair = _pair(document, sizes, edges, integer=integer)
    labels = None
    if "choice_names" in document:
        rows = list_of(document["choice_names"], '"choice_names"')
        labels = tuple(_strings(row, f'"choice_names" of variable {i}') for i, row in enumerate(rows))
    return SelectionProblem.from_flat(
        domain_sizes=sizes,
        unary=unary,
        edges=edges,
        pair=pair,
        names=names,
        choice_names=labels,
        name=name,
        fixed=_fixed(document),
        ties=_ties(document),
        **_usage(document, count),
    )


def _either(document: dict[str, Any], name: str) -> tuple[list[Any], bool]:
    """The cost sets under ``name`` (one) or ``name_sets`` (a batch), and whether it is a batch."""
    single, several = name in document, f"{name}_sets" in document
    if single == several:
        raise ProblemError(f'the file must have one of "{name}" and "{name}_sets", not {"both" if single else "none"}.')
    if single:
        return [list_of(document[name], f'"{name}"')], False
    sets = list_of(document[f"{name}_sets"], f'"{name}_sets"')
    if not sets:
        raise ProblemError(f'"{name}_sets" is empty; give at least one cost set.')
    return [list_of(one, f'"{name}_sets" {k}') for k, one in enumerate(sets)], True


def _unary(document: dict[str, Any], *, integer: bool) -> tuple[NDArray[np.int64], CostArray]:
    sets, batched = _either(document, "unary")
    sizes = None
    rows = []
    for one in sets:
        found = lengths(one, lambda i: f"the costs of variable {i}")
        if sizes is None:
            sizes = found
        if len(found) != len(sizes) or (found != sizes).any():
            raise ProblemError('the cost sets of "unary_sets" differ in their counts of variables or choices.')
        rows.append(_numbers(flatten(one), "variable", np.cumsum(found), integer=integer))
    assert sizes is not None
    return sizes, _joined(rows, batched=batched)


def _pair(document: dict[str, Any], sizes: NDArray[np.int64], edges: NDArray[np.int64], *, integer: bool) -> CostArray:
    sets, batched = _either(document, "pair")
    heights, widths = sizes[edges[:, 0]], sizes[edges[:, 1]]
    starts = np.cumsum(heights * widths)
    rows = []
    for one in sets:
        found = lengths(one, lambda e: f"the table of edge {e}")
        if len(found) != len(edges):
            raise ProblemError(f"{len(edges)} edges have ends but {len(found)} have tables.")
        wrong = np.flatnonzero(found != heights)
        inner = flatten(one)
        edge_of_row = np.repeat(np.arange(len(found)), found)
        columns = lengths(inner, lambda r, edge=edge_of_row: f"each row of the table of edge {edge[r]}")  # type: ignore[misc]
        uneven = edge_of_row[np.flatnonzero(columns != widths[edge_of_row])]
        bad = min([*wrong.tolist(), *uneven.tolist()], default=None)
        if bad is not None:
            i, j = edges[bad].tolist()
            raise ProblemError(
                f"the table of edge {bad} must have {heights[bad]} rows of {widths[bad]} costs, "
                f"by the choices of variables {i} and {j}."
            )
        rows.append(_numbers(flatten(inner), "edge", starts, integer=integer))
    return _joined(rows, batched=batched)


def _joined(rows: list[CostArray], *, batched: bool) -> CostArray:
    joined: CostArray = np.stack(rows) if batched else rows[0]  # type: ignore[assignment]  # all of one dtype
    return joined


def _owner(ends: NDArray[np.int64], k: int) -> int:
    """Which table the k-th cell belongs to, by where each table ends."""
    return int(np.searchsorted(ends, k, side="right"))


def _numbers(values: list[Any], what: str, ends: NDArray[np.int64], *, integer: bool) -> CostArray:
    def where(k: int) -> str:
        return f"{what} {_owner(ends, k)}"

    allowed = {int, type(None)} if integer else {int, float, type(None)}
    kinds = set(map(type, values))
    if kinds - allowed:
        k = next(k for k, value in enumerate(values) if type(value) not in allowed)
        kind = "an integer" if integer else "a number"
        raise ProblemError(f"a cost of {where(k)} is {shortened(values[k])}; give {kind}, or null to forbid.")
    if integer:
        out = np.fromiter((v is None for v in values), np.bool_, len(values)) if type(None) in kinds else None
        array = integers(
            [0 if v is None else v for v in values] if out is not None else values, lambda k: f"costs of {where(k)}"
        )
        large = np.flatnonzero((array >= FINITE_LIMIT) | (array <= -FINITE_LIMIT))
        if large.size:
            raise ProblemError(f"a cost of {where(int(large[0]))} is 2**60 or more in size; scale it down.")
        if out is not None:
            array[out] = FORBIDDEN
        return array
    try:
        floats = np.array([math.inf if v is None else v for v in values], np.float64)
    except OverflowError:  # an integer beyond float64
        floats = np.array([math.inf if v is None or abs(v) > 2**1023 else v for v in values], np.float64)
    for k in np.flatnonzero(~np.isfinite(floats)).tolist():
        if values[k] is not None:
            raise ProblemError(f"a cost of {where(k)} is beyond float64; scale it down.")
    return floats


def _strings(value: Any, where: str) -> tuple[str, ...]:
    strings = list_of(value, where)
    if set(map(type, strings)) - {str}:
        raise ProblemError(f"{where} must be a list of strings.")
    return tuple(strings)


def _usage(document: dict[str, Any], count: int) -> dict[str, Any]:
    if "usage" not in document:
        return {}
    usage = document["usage"]
    limit, intervals, used = (key(usage, name, '"usage"') for name in ("limit", "intervals", "used"))
    unknown = sorted(set(usage) - {"limit", "intervals", "used"})
    if unknown:
        raise ProblemError(f'the key {short(unknown[0])} is not one of "usage".')
    times = pairs(
        list_of(intervals, '"intervals"'),
        lambda i: f"interval of variable {i}",
        lambda i, length: f"the interval of variable {i} has {length} entries; give start and end.",
    )
    rows = list_of(used, '"used"')
    if len(times) != count or len(rows) != count:
        raise ProblemError(f"{count} variables have costs, {len(times)} intervals and {len(rows)} usages.")
    return {
        "usage_limit": int(integers([limit], lambda _: "usage limit")[0]),
        "intervals": tuple((start, end) for start, end in times.tolist()),
        "usage": tuple(
            integers(list_of(row, f"the usages of variable {i}"), lambda _, i=i: f"usages of variable {i}")  # type: ignore[misc]
            for i, row in enumerate(rows)
        ),
    }


def _fixed(document: dict[str, Any]) -> dict[int, int]:
    if "fixed" not in document:
        return {}
    entries = pairs(
        list_of(document["fixed"], '"fixed"'),
        lambda k: f'entry {k} of "fixed"',
        lambda k, length: f'entry {k} of "fixed" has {length} numbers; give a variable and its choice.',
    )
    fixed: dict[int, int] = {}
    for i, x in entries.tolist():
        if fixed.setdefault(i, x) != x:
            raise ProblemError(f'"fixed" gives variable {i} two choices, {fixed[i]} and {x}.')
    return fixed


def _ties(document: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
    groups = list_of(document.get("ties", []), '"ties"')
    return tuple(
        tuple(integers(list_of(group, f"group {k} of ties"), lambda _, k=k: f"group {k} of ties").tolist())  # type: ignore[misc]
        for k, group in enumerate(groups)
    )
