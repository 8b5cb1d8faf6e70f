"""The benchmark: every method on every instance, one after another, resumable, and checked for contradictions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from dynamap_solvers.bench._child import Job
from dynamap_solvers.bench.contestants import MEMORY_PASS, Contestant, Settings, choose_contestants
from dynamap_solvers.bench.peers import CONTESTANTS
from dynamap_solvers.bench.process import run_job
from dynamap_solvers.bench.results import GAVE_UP, ResultFile, Row, disagreements
from dynamap_solvers.bench.suites import Instance
from dynamap_solvers.errors import ProblemError

__all__ = ["Progress", "Report", "run_benchmark"]

Progress = Callable[[int, int, Row], None]
"""Called with (rows done, rows in all, the row just done)."""

_MOST = sys.maxsize
_FACTS = ("variables", "edges", "max_choices", "treewidth_upper_bound")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a benchmark found.

    Attributes:
        rows: one per instance and method, instance after instance; the reference first.
        disagreements: sentences on rows that contradict one another; none where all is well.
        reused: how many rows came from the results of an earlier run.
    """

    rows: tuple[Row, ...]
    disagreements: tuple[str, ...]
    reused: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"rows": [row.as_dict() for row in self.rows], "disagreements": list(self.disagreements)}


def run_benchmark(
    instances: Sequence[Instance],
    methods: Iterable[str] | None = None,
    *,
    settings: Settings | None = None,
    registry: Mapping[str, Contestant] = CONTESTANTS,
    results: ResultFile | None = None,
    give_up: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Run every method on every instance, each pair in a process of its own.

    Args:
        instances: what to solve; best with those of a family in ascending order of size, see ``give_up``.
        methods: names in ``registry``, ``ours`` or ``peers``; None for ``auto`` and the installed peers.
        settings: the limits and repetitions, alike for all.
        registry: the contestants by name.
        results: rows of earlier runs, which are not run again, and where new ones are kept as they come. A row counts
            as the same only for the same problem, settings, and version (code included) of method and peer.
        give_up: whether a method that ran out of time or memory, or crashed, is left out on the larger instances of
            the same family.
        progress: called after every row.

    Raises:
        SolverError: if a method is unknown or not installed, or two instances have one name.
    """
    settings = settings or Settings()
    chosen = choose_contestants(methods, registry)
    _check_names(instances)
    lost: dict[tuple[str, str], int] = {}  # the least size that was too much
    rows: list[Row] = []
    reused = 0
    total = len(instances) * (len(chosen) + 1)
    for instance in instances:
        facts: dict[str, Any] = {}
        for contestant in (MEMORY_PASS, *chosen):
            key = _key(instance, contestant, settings)
            row = results.get(key) if results is not None else None
            # A skipped row is cheap to make again and depends on the others; it is never kept.
            if row is not None:
                reused += 1
            elif give_up and lost.get((instance.family, contestant.name), _MOST) <= (facts.get("variables") or 0):
                row = _skipped(instance, contestant)
            else:
                row = run_job(Job(instance=instance, contestant=contestant, settings=settings))
                if results is not None:
                    results.add(key, row)
            row = replace(row, **{name: facts[name] for name in _FACTS if facts.get(name) is not None})
            if contestant.reference:
                facts = {name: getattr(row, name) for name in _FACTS}
            if row.stop_reason in GAVE_UP and not row.proved:
                family = instance.family, contestant.name
                lost[family] = min(lost.get(family, _MOST), row.variables or 0)
            rows.append(row)
            if progress is not None:
                progress(len(rows), total, row)
    return Report(rows=tuple(rows), disagreements=disagreements(rows), reused=reused)


def _check_names(instances: Sequence[Instance]) -> None:
    seen: set[str] = set()
    for instance in instances:
        if instance.name in seen:
            raise ProblemError(f"Two instances are called {instance.name!r}; names must differ.")
        seen.add(instance.name)


def _skipped(instance: Instance, contestant: Contestant) -> Row:
    return Row(
        instance=instance.name,
        family=instance.family,
        method=contestant.name,
        status="skipped",
        stop_reason="skipped",
        reason="A smaller instance of the family was too much for the method.",
    )


def _key(instance: Instance, contestant: Contestant, settings: Settings) -> str:
    """Names what a row depends on; a change in any of it makes another key."""
    said = {
        "instance": [instance.name, instance.fingerprint],
        "method": contestant.name,
        "settings": asdict(settings),
        "version": _version(contestant),
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]
    return f"{contestant.name}@{instance.name}#{digest}"


def _version(contestant: Contestant) -> str:
    if contestant.distribution:
        return f"{contestant.distribution} {importlib.metadata.version(contestant.distribution)} {_code('peers')}"
    packages = [f"{module} {_module_version(module)}" for module in contestant.requires]
    return " ".join([_code(""), *packages])


def _module_version(module: str) -> str:
    for distribution in importlib.metadata.packages_distributions().get(module, []):
        return importlib.metadata.version(distribution)
    return ""


@cache
def _code(part: str) -> str:
    """A hash of the code a row depends on: of the peers' adapters, or of the whole package but this benchmark."""
    here = Path(__file__).resolve().parent
    root = here / part if part else here.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.suffix not in {".py", ".so", ".dylib", ".dll", ".pyd"} or (not part and inside.parts[0] == here.name):
            continue
        digest.update(inside.as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
