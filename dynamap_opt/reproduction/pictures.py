"""Pictures of a reproduction. Needs matplotlib, which is loaded when something is drawn."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dynamap_opt.errors import DynamapError
from dynamap_opt.files import reason_of

from .results import NetworkResult
from .run import Reproduction

__all__ = ["can_draw", "draw_pictures"]

# Okabe & Ito (2008): colours that people with any colour vision tell apart.
_COLOURS = {"paper": "#0072B2", "overlay": "#D55E00"}
# Bars longer than so many times the median are cut.
_MOST_ROOM = 4


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_pictures(result: Reproduction, folder: Path) -> tuple[Path, ...]:
    """Draw for every network the latency of each strategy, and the utilisation of each layer, as SVG.

    Args:
        result: what to draw.
        folder: there already.

    Returns:
        The files written.

    Raises:
        DynamapError: when one cannot be written.
    """
    written = []
    for network in dict.fromkeys(one.network for one in result.networks):
        runs = [one for one in result.networks if one.network == network]
        for name, figure in (("strategies", _strategies(runs)), ("utilisation", _utilisation(runs))):
            path = folder / f"{name}-{network}.svg"
            try:
                figure.savefig(path, metadata={"Date": None})
            except OSError as error:
                raise DynamapError(
                    f"cannot write {str(path)!r}: {reason_of(error)}; name another folder with -o"
                ) from None
            written.append(path)
    return tuple(written)


def _figure(width: float, height: float, rows: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional

    # Not through pyplot: it keeps figures and a backend for the whole process.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for one in axes:
        one.set_axisbelow(True)
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    return figure, axes


def _strategies(runs: list[NetworkResult]) -> Any:
    """Latency by strategy, a bar for every preset."""
    figure, (axes,) = _figure(8.0, 4.2)
    names = [s.strategy for s in runs[0].strategies]
    height = 0.8 / len(runs)
    # Bars that would leave no room for the others are cut, and keep their number.
    every = sorted(s.latency_s * 1e3 for run in runs for s in run.strategies)
    right = 1.15 * max(value for value in every if value <= _MOST_ROOM * every[len(every) // 2])
    for k, run in enumerate(runs):
        places = [row + (k - (len(runs) - 1) / 2) * height for row in range(len(names))]
        values = [s.latency_s * 1e3 for s in run.strategies]
        axes.barh(places, values, height=height, color=_COLOURS[run.preset], label=f"cost preset {run.preset}")
        for place, value in zip(places, values, strict=True):
            cut = value > right
            axes.text(
                min(value, right) + (-1 if cut else 1) * 0.008 * right,
                place,
                f"{value:.2f} \N{RIGHTWARDS ARROW}" if cut else f"{value:.2f}",
                va="center",
                ha="right" if cut else "left",
                color="white" if cut else "black",
                fontsize=8,
            )
    axes.set_xlim(0, right)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("latency in milliseconds")
    axes.grid(visible=True, axis="x", color="#DDDDDD", linewidth=0.8)
    axes.set_title(f"{runs[0].network}: each strategy with its own best array")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return figure


def _utilisation(runs: list[NetworkResult]) -> Any:
    """Products over elements and cycles of computing, layer by layer."""
    figure, axes = _figure(10.0, 2.6 * len(runs), len(runs))
    for one, run in zip(axes, runs, strict=True):
        places = range(len(run.layers))
        values = [100 * layer.array_utilization for layer in run.layers]
        one.bar(places, values, width=1.0, color=_COLOURS[run.preset], label="best dataflow a layer")
        one.step(
            places,
            [100 * layer.ns_utilization for layer in run.layers],
            where="mid",
            color="#000000",
            linewidth=0.9,
            label="NS for all layers",
        )
        one.set_ylim(0, 125)
        one.set_yticks(range(0, 101, 20))
        one.set_xlim(-0.5, len(run.layers) - 0.5)
        one.set_ylabel("percent")
        one.set_title(
            f"{run.network} under {run.preset}, {run.best.array[0]}x{run.best.array[1]}: utilisation while computing",
            fontsize=10,
        )
        one.legend(frameon=False, loc="upper right", fontsize=8, ncols=2)
    axes[-1].set_xlabel("convolutions and fully connected layers, in order")
    return figure
