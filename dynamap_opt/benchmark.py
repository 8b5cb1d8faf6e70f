"""The solver benchmark with this package's own problems in it: the mappings of networks beside random graphs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from dynamap_models.zoo import build_model
from dynamap_solvers.bench import (
    SUITES,
    Instance,
    Report,
    ResultFile,
    Settings,
    draw_growth,
    draw_profile,
    from_folder,
    given,
    picture_ready,
    run_benchmark,
)
from dynamap_solvers.bench import suite as solver_suite
from dynamap_solvers.bench.runner import Progress

from .board import load_board
from .errors import DynamapError
from .mapper import Mapper

__all__ = ["MAPPING_NETWORKS", "bench", "mapping_instances", "suite_names"]

MAPPING_NETWORKS = ("googlenet", "inception-v4", "nasnet-a-mobile")
"""Of the suite ``mapping``: two that are series-parallel and one that is not."""

_BOARD = "alveo-u200"
_MEMORY_SHARE = 0.75


def suite_names() -> tuple[str, ...]:
    """The suites that :func:`bench` knows."""
    return (*SUITES, "mapping", "iopddl", "all")


def mapping_instances(networks: Sequence[str] = MAPPING_NETWORKS, board: str = _BOARD) -> tuple[Instance, ...]:
    """The mapping problem of each network on the array that is best for it, under published costs.

    (Under the overlay's own costs nearly every tensor has one layout, so that stages hardly depend on each other.)
    """
    instances = []
    for name in networks:
        mapper = Mapper(build_model(name), load_board(board), cost="paper")
        p1, p2 = mapper.explore().best_shape
        instances.append(given(mapper.decision(p1, p2).problem, name=f"{name} on {p1}x{p2}", family=name))
    return tuple(instances)


def bench(
    suite: str = "smoke",
    *,
    methods: Iterable[str] | None = None,
    time_limit: float = 60.0,
    repeat: int = 3,
    seed: int = 0,
    threads: int | None = None,
    memory_limit: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    results: str | os.PathLike[str] | None = None,
    plot: str | os.PathLike[str] | None = None,
    give_up: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Run every method on every instance of a suite and check that they agree.

    Args:
        suite: one of :func:`suite_names`; ``all`` is every one but ``smoke``, files only with ``folder``.
        methods: names of methods and peers, ``ours`` or ``peers``; None for ``auto`` and the installed peers.
        time_limit: seconds for one solve.
        repeat: repetitions of quick runs, of which medians are reported.
        seed: for methods that randomise.
        threads: for methods that can use several; None for what they take by themselves, peers one.
        memory_limit: bytes a run may hold; None for three quarters of the machine's memory, where that is known.
        folder: IOPDDL files for the suites ``iopddl`` and ``all``.
        results: a file of JSON lines that keeps every row; what it holds already is not run again.
        plot: a file to draw into: time against size for the suite ``growth``, else the performance profile.
        give_up: see :func:`dynamap_solvers.bench.run_benchmark`.
        progress: called with (rows done, rows in all, row).

    Raises:
        DynamapError, SolverError: on anything unusable, before anything is run.
    """
    settings = Settings(
        time_limit=time_limit,
        repeat=repeat,
        seed=seed,
        threads=threads,
        memory_limit=_memory_limit() if memory_limit is None else memory_limit,
    )
    if plot is not None:
        picture_ready(plot)
    kept = None if results is None else ResultFile(results)
    report = run_benchmark(
        _instances(suite, folder),
        methods,
        settings=settings,
        results=kept,
        give_up=give_up,
        progress=progress,
    )
    if plot is not None:
        draw = draw_growth if suite == "growth" else draw_profile
        draw(report.rows, plot, title=f"Suite {suite}, {time_limit:g} s a solve")
    return report


def _instances(name: str, folder: str | os.PathLike[str] | None) -> tuple[Instance, ...]:
    if name not in suite_names():
        raise DynamapError(f"there is no suite {name!r}; the suites are {', '.join(suite_names())}")
    if folder is not None and name not in {"iopddl", "all"}:
        raise DynamapError(f"the suite {name!r} reads no files; give a folder with the suites iopddl or all")
    if folder is None and name == "iopddl":
        raise DynamapError("the suite 'iopddl' needs the folder that holds its files; give --folder")
    chosen: list[Instance] = []
    for part in SUITES if name == "all" else (name,):
        if part in SUITES and (part != "smoke" or name == "smoke"):
            chosen += solver_suite(part)
    if name in {"mapping", "all"}:
        chosen += mapping_instances()
    if folder is not None:
        chosen += from_folder(folder)
    return tuple({instance.name: instance for instance in chosen}.values())  # suites share a few


def _memory_limit() -> int | None:
    try:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _MEMORY_SHARE)
    except (AttributeError, OSError, ValueError):
        return None
