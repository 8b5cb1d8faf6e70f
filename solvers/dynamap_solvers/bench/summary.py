"""A benchmark in a line per method."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from dynamap_solvers.bench.results import Row

__all__ = ["MethodSummary", "summarise"]


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """How a method did over all instances.

    Attributes:
        method: its name.
        instances: on how many it was asked, those it does not take included.
        proved: on how many it proved its answer.
        fastest: on how many it was the first to, of those that more than one method proved.
        build_seconds: median over the instances it proved.
        solve_seconds: likewise.
        mean_ratio: geometric mean of its time over the fastest method's, building included, where it proved.
        worst_ratio: the largest of these.
        peak_bytes: the most it ever held.
        import_seconds: median, of loading its packages.
        first_call_seconds: median, of the first small solve in a process.
    """

    method: str
    instances: int
    proved: int
    fastest: int
    build_seconds: float | None
    solve_seconds: float | None
    mean_ratio: float | None
    worst_ratio: float | None
    peak_bytes: int | None
    import_seconds: float | None
    first_call_seconds: float | None


def summarise(rows: Iterable[Row]) -> tuple[MethodSummary, ...]:
    """One summary per method, in order of their first rows; the reference is left out."""
    by_method: dict[str, list[Row]] = {}
    times: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.status == "reference":
            continue
        by_method.setdefault(row.method, []).append(row)
        if row.proved and row.seconds_per_cost_set is not None:
            times.setdefault(row.instance, {})[row.method] = row.seconds_per_cost_set
    summaries = []
    for method, group in by_method.items():
        proved = [row for row in group if row.proved]
        best = {i: min(times[i].values()) for i in times}
        ratios = [times[row.instance][method] / best[row.instance] for row in proved if best.get(row.instance)]
        summaries.append(
            MethodSummary(
                method=method,
                instances=len(group),
                proved=len(proved),
                fastest=sum(
                    len(times[row.instance]) > 1 and times[row.instance][method] == best[row.instance]
                    for row in proved
                    if row.instance in times
                ),
                build_seconds=_median(row.build_seconds for row in proved),
                solve_seconds=_median(row.solve_seconds for row in proved),
                mean_ratio=math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None,
                worst_ratio=max(ratios, default=None),
                peak_bytes=max((row.peak_bytes for row in group if row.peak_bytes is not None), default=None),
                import_seconds=_median(row.import_seconds for row in group),
                first_call_seconds=_median(row.first_call_seconds for row in group),
            )
        )
    return tuple(summaries)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
