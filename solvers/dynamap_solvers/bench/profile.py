"""Pictures of a benchmark: performance profiles (Dolan & Moré 2002) and time against size. Needs matplotlib."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dynamap_solvers.bench.results import Row
from dynamap_solvers.errors import ProblemError, SolverError

__all__ = ["draw_growth", "draw_profile", "performance_profile", "picture_ready"]

# Okabe & Ito (2008): eight colours that people with any colour vision tell apart; yellow is too faint for lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = "osD^vPX*<>"
_FLOOR_SECONDS = 1e-6


def performance_profile(rows: Iterable[Row]) -> dict[str, tuple[tuple[float, float], ...]]:
    """Per method the points ``(ratio, share)``: it proved that share of the instances within ratio times the best.

    The time is that of building and solving. The instances are those that any method solved; a method that did not
    prove the optimum of one has an infinite ratio there.

    Returns:
        Per method ascending points, one per instance it proved; methods in order of their first row.
    """
    times: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.status == "reference":
            continue
        solved = times.setdefault(row.method, {})
        seconds = row.seconds_per_cost_set
        if row.proved and seconds is not None:
            solved[row.instance] = max(seconds, _FLOOR_SECONDS)
    instances = {instance for solved in times.values() for instance in solved}
    best = {i: min(solved[i] for solved in times.values() if i in solved) for i in instances}
    profile = {}
    for method, solved in times.items():
        ratios = sorted(seconds / best[instance] for instance, seconds in solved.items())
        profile[method] = tuple((ratio, (k + 1) / len(instances)) for k, ratio in enumerate(ratios))
    return profile


def picture_ready(path: str | os.PathLike[str]) -> None:
    """Find out before hours of work whether a picture could be drawn into a file.

    Raises:
        SolverError: if matplotlib is not installed, the ending names no format, or the folder does not exist.
    """
    figure, _ = _figure(1.0, 1.0)
    _check_path(figure, path)


def draw_profile(rows: Sequence[Row], path: str | os.PathLike[str], *, title: str = "") -> None:
    """Draw the performance profile into a file; its ending says the format (``.svg``, ``.png``, ``.pdf``).

    Raises:
        SolverError: if matplotlib is not installed, the file cannot be written, or no method proved anything.
    """
    profile = {method: points for method, points in performance_profile(rows).items() if points}
    if not profile:
        raise SolverError("No method proved anything, so there is no profile to draw; give more time.")
    figure, axes = _figure(9.0, 5.0)
    longest = max(points[-1][0] for points in profile.values())
    right = max(longest, 1.0) * 2
    instances = max(round(len(points) / points[-1][1]) for points in profile.values())
    for k, (method, points) in enumerate(sorted(profile.items(), key=lambda item: _area(item[1], right), reverse=True)):
        ratios = [1.0, *(ratio for ratio, _ in points), right]
        shares = [sum(ratio <= 1.0 for ratio, _ in points) / instances, *(s for _, s in points), points[-1][1]]
        axes.step(ratios, [100 * s for s in shares], where="post", label=method, **_style(k), linewidth=2)
    axes.set_xscale("log")
    axes.set_xlim(1, right)
    axes.set_ylim(0, 103)
    axes.set_xlabel("time to build and solve, relative to the fastest method on the instance")
    axes.set_ylabel("instances proved (%)")
    axes.set_title(title or f"Performance profile, {instances} instances", loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=3.2)
    _save(figure, path)


def draw_growth(rows: Sequence[Row], path: str | os.PathLike[str], *, title: str = "") -> None:
    """Draw time against the number of variables, both logarithmic: a line per family and method.

    Colour tells the family, marker and dashes tell the method. An open marker stands where a method ended without
    proof, at the time it had spent.

    Raises:
        SolverError: if matplotlib is not installed, the file cannot be written, or there is nothing to draw.
    """
    drawn = [row for row in rows if row.status != "reference" and row.seconds is not None and row.variables]
    if not drawn:
        raise SolverError("No method spent any time, so there is no growth to draw; choose others or give more time.")
    figure, axes = _figure(10.0, 6.0)
    families = list(dict.fromkeys(row.family for row in drawn))
    methods = list(dict.fromkeys(row.method for row in drawn))
    for f, family in enumerate(families):
        for m, method in enumerate(methods):
            line = [row for row in drawn if (row.family, row.method) == (family, method)]
            look = {"color": _COLOURS[f % len(_COLOURS)], "marker": _MARKERS[m % len(_MARKERS)], "markersize": 6}
            points = sorted((row.variables or 0, _shown(row)) for row in line)
            axes.plot(*_axes_of(points), linestyle=_DASHES[m % len(_DASHES)], linewidth=1.6, **look)
            open_points = [(row.variables or 0, _shown(row)) for row in line if not row.proved]
            axes.plot(*_axes_of(open_points), linestyle="", markerfacecolor="white", zorder=3, **look)
    guide = [min(row.variables or 1 for row in drawn), max(row.variables or 1 for row in drawn)]
    lowest = 0.5 * min(map(_shown, drawn))
    guide_look: dict[str, Any] = {"color": "#999999", "linestyle": (0, (1, 1.5)), "linewidth": 1.4}
    axes.plot(guide, [lowest, lowest * guide[1] / guide[0]], zorder=1, **guide_look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("variables")
    axes.set_ylabel("seconds to build and solve")
    axes.set_title(title or "Time against size", loc="left")
    keys = [(name, {"color": _COLOURS[f % len(_COLOURS)], "linewidth": 3}) for f, name in enumerate(families)]
    keys += [
        (
            name,
            {
                "color": "#555555",
                "marker": _MARKERS[m % len(_MARKERS)],
                "linestyle": _DASHES[m % len(_DASHES)],
                "linewidth": 1.6,
            },
        )
        for m, name in enumerate(methods)
    ]
    keys.append(
        ("ended without proof", {"color": "#555555", "marker": "o", "markerfacecolor": "white", "linestyle": ""})
    )
    keys.append(("proportional to size", guide_look))
    handles = [axes.plot([], [], label=name, **look)[0] for name, look in keys]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=3.2)
    _save(figure, path)


def _shown(row: Row) -> float:
    return max(row.seconds or 0.0, _FLOOR_SECONDS)


def _axes_of(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _area(points: Sequence[tuple[float, float]], right: float) -> float:
    """The area under a profile on its logarithmic axis: what orders the legend."""
    return sum(math.log(right / ratio) for ratio, _ in points) * points[-1][1] / len(points)


def _style(k: int) -> dict[str, Any]:
    return {"color": _COLOURS[k % len(_COLOURS)], "linestyle": _DASHES[k % len(_DASHES)]}


def _figure(width: float, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError as error:
        raise SolverError(
            "Pictures need matplotlib, which is not installed: install dynamap-opt[bench], or leave out the picture."
        ) from error
    # Not through pyplot: it keeps figures and a backend for the whole process.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    ending = _check_path(figure, path)
    try:
        figure.savefig(path, dpi=150, metadata={"Date": None} if ending == "svg" else None)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise ProblemError(f"The picture {str(path)!r} cannot be written: {reason}.") from error


def _check_path(figure: Any, path: str | os.PathLike[str]) -> str:
    """The ending, once it names a format and the folder is there."""
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in figure.canvas.get_supported_filetypes():
        raise ProblemError(f"A picture cannot be written as {str(path)!r}; end its name in .svg, .png or .pdf.")
    if not Path(path).parent.is_dir() or Path(path).is_dir():
        raise ProblemError(f"The picture {str(path)!r} cannot be written: its folder does not exist, or it is one.")
    return ending
