"""The IOPDDL format (ASPLOS/EuroSys 2025 contest): selection problems with a usage limit over time, as JSON.

``{"problem": {"name", "nodes": {"intervals", "costs", "usages"}, "edges": {"nodes", "costs"}, "usage_limit"}}``: per
node a half-open interval, its costs and its usages, per edge two nodes and its costs row by row. Parallel edges add up,
and a cost of 1e18 or more means forbidden. Files may be gzipped; integers stay integers.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, CostArray, SelectionProblem

__all__ = ["FORBIDDEN_IN_FILE", "MAX_BYTES", "read_iopddl", "write_iopddl"]

FORBIDDEN_IN_FILE = 10**18
"""What files write for a forbidden cell."""

MAX_BYTES = 2**31
"""Longer texts are refused, before and after unpacking, so that a small file cannot fill the memory."""

_GZIP_MAGIC = b"\x1f\x8b"
_INT64_MAX = 2**63 - 1


def read_iopddl(path: str | os.PathLike[str]) -> SelectionProblem:
    """Read a problem; gzip is recognised by content.

    Costs are int64 where every number below 1e18 is written as an integer, else float64. Usages that are all 0,
    intervals that are all empty or a missing ``usage_limit`` mean that there is no limit.

    Raises:
        ProblemError: in one sentence that names the file and the node or edge: not JSON, a key missing, a wrong type
            or count, a reversed interval, an edge to a node that does not exist, costs too large to add up exactly.
        OSError: if the file cannot be opened.
    """
    reader = _Reader(Path(path))
    try:
        return reader.problem(reader.load())
    except ProblemError as error:
        raise ProblemError(f"{path}: {error}") from error


def write_iopddl(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write one cost set; gzipped where the path ends in ``.gz``. The file appears whole or not at all.

    Names of variables and choices have no place in the format. Without a resource, usages are 0, intervals [0, 0] and
    the limit 0.

    Raises:
        ProblemError: if the problem is a batch, or a finite cost is 1e18 or more and would read as forbidden.
        OSError: if the file cannot be written.
    """
    if problem.is_batched:
        raise ProblemError("An IOPDDL file holds one cost set; write instance(k) of the batch.")
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
    data = json.dumps(document, allow_nan=False).encode()
    target = Path(path)
    if target.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    _write_whole(target, data)


def _cells(array: CostArray, label: str) -> list[int] | list[float]:
    limit = FINITE_LIMIT if array.dtype == np.int64 else math.inf
    cells = array.ravel().tolist()
    if any(FORBIDDEN_IN_FILE <= cell < limit for cell in cells):
        raise ProblemError(
            f"A finite cost of {label} is 1e18 or more, which the format reads as forbidden; scale it down."
        )
    return [FORBIDDEN_IN_FILE if cell >= limit else cell for cell in cells]


def _write_whole(target: Path, data: bytes) -> None:
    """Write beside the target, then rename: a reader sees the old file or the new one."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp makes it private; the file shall be as any other
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class _Reader:
    """Checks while it reads; every message is completed with the file's name by the caller."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Any:
        with self.path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if data.startswith(_GZIP_MAGIC):
            try:
                with gzip.open(self.path) as unpacked:
                    data = unpacked.read(MAX_BYTES + 1)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ProblemError(f"the gzip data is damaged or cut off ({error}).") from error
        if len(data) > MAX_BYTES:
            raise ProblemError(f"the text is longer than {MAX_BYTES} bytes.")
        try:
            return json.loads(data, parse_constant=_refuse_constant)
        except RecursionError as error:
            raise ProblemError("the JSON is nested too deeply.") from error
        except ValueError as error:  # not UTF-8, not JSON, integers of thousands of digits
            raise error if isinstance(error, ProblemError) else ProblemError(f"not valid JSON: {error}.") from error

    def problem(self, document: Any) -> SelectionProblem:
        problem = _key(document, "problem", "the file")
        nodes = _key(problem, "nodes", '"problem"')
        edges = _key(problem, "edges", '"problem"')
        name = problem.get("name", "")
        if not isinstance(name, str):
            raise ProblemError('"name" must be a string.')
        node_costs = _numbers_of(_list(_key(nodes, "costs", '"nodes"'), '"nodes"."costs"'), "costs of node")
        count = len(node_costs)
        ends = [
            self.edge(e, pair, count)
            for e, pair in enumerate(_list(_key(edges, "nodes", '"edges"'), '"edges"."nodes"'))
        ]
        edge_costs = _numbers_of(_list(_key(edges, "costs", '"edges"'), '"edges"."costs"'), "costs of edge")
        if len(ends) != len(edge_costs):
            raise ProblemError(f"{len(ends)} edges have nodes but {len(edge_costs)} have costs.")
        for e, ((i, j), costs) in enumerate(zip(ends, edge_costs, strict=True)):
            rows, columns = len(node_costs[i]), len(node_costs[j])
            if len(costs) != rows * columns:
                raise ProblemError(f"edge {e} has {len(costs)} costs; nodes {i} and {j} need {rows} x {columns}.")
        usage, intervals, limit = self.usage(problem, nodes, [len(costs) for costs in node_costs])
        integer = all(isinstance(cell, int) for costs in (*node_costs, *edge_costs) for cell in costs)
        return SelectionProblem(
            unary=tuple(_array(costs, integer=integer) for costs in node_costs),
            edges=tuple(ends),
            pair=tuple(
                _array(costs, integer=integer).reshape(len(node_costs[i]), len(node_costs[j]))
                for (i, j), costs in zip(ends, edge_costs, strict=True)
            ),
            usage=usage,
            intervals=intervals,
            usage_limit=limit,
            name=name,
        )

    def edge(self, e: int, pair: Any, count: int) -> tuple[int, int]:
        values = _integers(pair, f"nodes of edge {e}")
        if len(values) != 2:
            raise ProblemError(f"edge {e} has {len(values)} nodes; give two.")
        i, j = values
        for end in values:
            if not 0 <= end < count:
                raise ProblemError(f"edge {e} names node {end}; there are {count}, counted from 0.")
        return i, j

    def usage(
        self, problem: dict[str, Any], nodes: dict[str, Any], sizes: list[int]
    ) -> tuple[tuple[NDArray[np.int64], ...] | None, tuple[tuple[int, int], ...], int]:
        """Usages, intervals and limit, or ``(None, (), 0)`` where there is no limit."""
        if "usage_limit" not in problem:
            return None, (), 0
        (limit,) = _integers([problem["usage_limit"]], "usage_limit")
        intervals = []
        for i, value in enumerate(_list(_key(nodes, "intervals", '"nodes"'), '"nodes"."intervals"')):
            interval = _integers(value, f"interval of node {i}")
            if len(interval) != 2:
                raise ProblemError(f"the interval of node {i} has {len(interval)} entries; give start and end.")
            intervals.append((interval[0], interval[1]))
        usages = [
            _integers(value, f"usages of node {i}")
            for i, value in enumerate(_list(_key(nodes, "usages", '"nodes"'), '"nodes"."usages"'))
        ]
        if len(intervals) != len(sizes) or len(usages) != len(sizes):
            raise ProblemError(f"{len(sizes)} nodes have costs, {len(intervals)} intervals and {len(usages)} usages.")
        for i, (used, size) in enumerate(zip(usages, sizes, strict=True)):
            if len(used) != size:
                raise ProblemError(f"node {i} has {size} costs but {len(used)} usages.")
        for i, (start, end) in enumerate(intervals):
            if start > end:
                raise ProblemError(f"the interval of node {i} is reversed: [{start}, {end}].")
        if not any(any(used) for used in usages) or all(start == end for start, end in intervals):
            return None, (), 0
        return tuple(np.array(used, np.int64) for used in usages), tuple(intervals), limit


def _refuse_constant(constant: str) -> NoReturn:
    raise ProblemError(f"{constant} is not a number; write 1e18 to forbid.")


def _key(mapping: Any, key: str, where: str) -> Any:
    if not isinstance(mapping, dict):
        raise ProblemError(f"{where} must be a JSON object, not {type(mapping).__name__}.")
    if key not in mapping:
        raise ProblemError(f'{where} has no "{key}".')
    return mapping[key]


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ProblemError(f"{where} must be a list, not {type(value).__name__}.")
    return value


def _numbers_of(lists: list[Any], label: str) -> list[list[int | float]]:
    return [_numbers(values, f"{label} {k}") for k, values in enumerate(lists)]


def _numbers(values: Any, label: str) -> list[int | float]:
    """Costs, with every spelling of forbidden (``1e18``, as a float, is common) made the one integer."""
    numbers: list[int | float] = []
    for value in _list(values, f"the {label}"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ProblemError(f"the {label} contain {value!r}, which is not a number.")
        numbers.append(min(value, FORBIDDEN_IN_FILE))
    return numbers


def _integers(values: Any, label: str) -> list[int]:
    for value in _list(values, f"the {label}"):
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _INT64_MAX:
            raise ProblemError(f"the {label} contain {value!r}, which is not a 64-bit integer.")
    return list(values)


def _array(costs: list[int | float], *, integer: bool) -> CostArray:
    if integer:
        return np.array([FORBIDDEN if c >= FORBIDDEN_IN_FILE else max(int(c), -_INT64_MAX) for c in costs], np.int64)
    return np.array([math.inf if c >= FORBIDDEN_IN_FILE else float(c) for c in costs], np.float64)
