"""What is benchmarked: named instances, each made from its description in the process that solves it, in suites."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dynamap_solvers.bench import instances
from dynamap_solvers.errors import ProblemError
from dynamap_solvers.formats import read_problem
from dynamap_solvers.problem import SelectionProblem

__all__ = ["SUITES", "Instance", "from_folder", "given", "suite"]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One problem of a benchmark, by how it is made.

    Attributes:
        name: what tables call it; all different within a run.
        family: instances of one family differ in size only and come in ascending order: a method that cannot solve
            one is not tried on the larger ones.
        make: makes the problem from ``options``; importable by name, for it runs in another process.
        options: its keyword arguments.
        treewidth_upper_bound: where the construction gives one; otherwise an elimination order does.
        content: what identifies the problem besides ``make`` and ``options``, such as the hash of a file.
    """

    name: str
    family: str
    make: Callable[..., SelectionProblem]
    options: Mapping[str, Any] = field(default_factory=dict)
    treewidth_upper_bound: int | None = None
    content: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes with the problem."""
        said = f"{self.make.__module__}.{self.make.__qualname__}"
        plain = "" if self.content else repr(sorted(self.options.items()))
        return hashlib.sha256(f"{said} {plain} {self.content}".encode()).hexdigest()[:16]


def given(problem: SelectionProblem, *, name: str = "", family: str = "given") -> Instance:
    """A problem the caller has made, as an instance; names of variables and choices are left behind."""
    arrays: dict[str, Any] = {
        "domain_sizes": problem.sizes,
        "unary": problem.unary_costs,
        "edges": problem.edge_ends,
        "pair": problem.pair_costs,
        "usage": problem.usage_costs,
        "intervals": tuple(problem.intervals),
        "usage_limit": problem.usage_limit,
        "fixed": dict(problem.fixed),
        "ties": tuple(problem.ties),
        "name": name or problem.name,
    }
    digest = hashlib.sha256()
    for key, value in arrays.items():
        array = isinstance(value, np.ndarray)
        digest.update(f"{key} {value.dtype} {value.shape}".encode() if array else f"{key} {value!r}".encode())
        digest.update(np.ascontiguousarray(value).tobytes() if array else b"")
    return Instance(
        name=name or problem.name, family=family, make=from_arrays, options=arrays, content=digest.hexdigest()
    )


def from_arrays(**arrays: Any) -> SelectionProblem:
    """What :func:`given` takes apart, put together again."""
    return SelectionProblem.from_flat(**arrays)


def from_folder(folder: str | os.PathLike[str]) -> tuple[Instance, ...]:
    """Every IOPDDL file (``.json``, ``.json.gz``) of a folder, small files first.

    Raises:
        ProblemError: if the folder does not exist or holds none.
    """
    root = Path(folder)
    try:
        paths = [path for path in root.iterdir() if path.name.endswith((".json", ".json.gz")) and path.is_file()]
    except OSError as error:
        raise ProblemError(f"The folder {str(folder)!r} cannot be read: {(error.strerror or '').lower()}.") from error
    if not paths:
        raise ProblemError(f"The folder {str(folder)!r} holds no IOPDDL files (.json or .json.gz); give another.")
    return tuple(
        Instance(
            name=path.name.removesuffix(".gz").removesuffix(".json"),
            family=path.name,
            make=read_problem,
            options={"path": str(path.resolve())},
            content=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(paths, key=lambda path: (path.stat().st_size, path.name))
    )


def _made(name: str, make: Callable[..., SelectionProblem], width: int | None, family: str, **options: Any) -> Instance:
    return Instance(name=name, family=family, make=make, options=options, treewidth_upper_bound=width)


def _series_parallel(sizes: Sequence[int], choices: Sequence[int], kinds: Sequence[str]) -> Iterator[Instance]:
    for d in choices:
        for costs in kinds:
            family = f"series-parallel x{d} {costs}"
            for n in sizes:
                name = f"series-parallel {n}x{d} {costs}"
                yield _made(name, instances.series_parallel, 2, family, variables=n, choices=d, costs=costs)


def _k_trees(
    widths: Sequence[int], sizes: Sequence[int], choices: Sequence[int], kinds: Sequence[str]
) -> Iterator[Instance]:
    for k in widths:
        for d in choices:
            for costs in kinds:
                family = f"{k}-tree x{d} {costs}"
                for n in sizes:
                    name = f"{k}-tree {n}x{d} {costs}"
                    yield _made(name, instances.k_tree, k, family, variables=n, k=k, choices=d, costs=costs)


def _grids(sides: Sequence[int], choices: Sequence[int], kinds: Sequence[str]) -> Iterator[Instance]:
    for d in choices:
        for costs in kinds:
            family = f"grid x{d} {costs}"
            for side in sides:
                name = f"grid {side}x{side}, {d} {costs}"
                yield _made(name, instances.grid, side, family, rows=side, columns=side, choices=d, costs=costs)


def _regular(
    degree: int, sizes: Sequence[int], choices: Sequence[int], kinds: Sequence[str], word: str
) -> Iterator[Instance]:
    for d in choices:
        for costs in kinds:
            family = f"{word} x{d} {costs}"
            for n in sizes:
                name = f"{word} {n}x{d} {costs}"
                options = {"variables": n, "degree": degree, "choices": d, "costs": costs}
                yield _made(name, instances.regular, None, family, **options)


def _batch(cost_sets: int) -> Iterator[Instance]:
    for shared in (False, True):
        family = f"batch of {cost_sets}, {'pairs shared' if shared else 'all costs differ'}"
        options = {"variables": 100, "choices": 4, "cost_sets": cost_sets, "shared_pairs": shared}
        yield _made(f"{family} 100x4", instances.batch, 2, family, **options)


def _smoke() -> Iterator[Instance]:
    yield from _series_parallel((20, 200), (3,), ("real", "hard"))
    yield from _k_trees((3,), (20,), (3,), ("hard",))
    yield from _grids((3, 4), (3,), ("real", "potts"))
    yield from _regular(3, (12,), (3,), ("hard", "colouring"), "cubic")
    options = {"variables": 10, "choices": 3, "cost_sets": 50}
    yield _made("batch of 50 10x3", instances.batch, 2, "batch", **options)


def _growth() -> Iterator[Instance]:
    """Where time is polynomial in the size and where it is not, with hard costs throughout."""
    yield from _series_parallel((30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000), (4,), ("hard",))
    yield from _k_trees((3, 4, 5, 6), (30, 100, 300, 1_000, 3_000, 10_000), (4,), ("hard",))
    yield from _regular(6, (10, 14, 20, 24, 28, 34, 40, 48, 56, 68, 80), (4,), ("hard",), "6-regular")


SUITES: Mapping[str, Callable[[], Iterator[Instance]]] = {
    "smoke": _smoke,
    "series-parallel": lambda: _series_parallel((100, 1_000, 10_000, 100_000), (4, 12), ("real", "hard")),
    "k-trees": lambda: _k_trees((3, 4, 6), (100, 1_000, 10_000), (4, 12), ("real", "hard")),
    "grids": lambda: _and(
        _grids((10, 20), (4, 12), ("real", "hard", "potts", "colouring")),
        _regular(3, (50, 100, 200), (4, 12), ("real", "hard", "potts"), "cubic"),
    ),
    "batch": lambda: _batch(50_000),
    "growth": _growth,
}
"""The suites that need nothing from the caller; problems of networks and of files come in by :func:`given` and
:func:`from_folder`."""


def _and(*parts: Iterator[Instance]) -> Iterator[Instance]:
    for part in parts:
        yield from part


def suite(name: str) -> tuple[Instance, ...]:
    """The instances of a suite.

    Raises:
        ProblemError: for an unknown name; the message lists those that are.
    """
    if name not in SUITES:
        raise ProblemError(f"There is no suite {name!r}; the suites are {', '.join(SUITES)}.")
    return tuple(SUITES[name]())
