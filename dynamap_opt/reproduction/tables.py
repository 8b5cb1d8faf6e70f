"""A reproduction's layers and figures as tables for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from .results import LayerUse
from .run import Reproduction

__all__ = ["figures_csv", "layers_csv"]


def layers_csv(result: Reproduction, network: str) -> str:
    """Every layer of a network on the array, a row for each preset."""
    fields = LayerUse.__struct_fields__
    rows = [
        (one.preset, f"{one.best.array[0]}x{one.best.array[1]}", *(_cell(getattr(layer, field)) for field in fields))
        for one in result.networks
        if one.network == network
        for layer in one.layers
    ]
    return _csv(("preset", "array", *fields), rows)


def figures_csv(result: Reproduction) -> str:
    """Published figures with ours beside them; times in seconds."""
    presets = sorted({preset for row in result.beside for preset in row.ours_s})
    head = ("design", "network", "board", "precision", "clock_mhz", "dsp", "dsp_of_device", "published_s")
    tail = ("macs_per_dsp_cycle", "scaled_s", "trust", "source")
    rows = [
        (
            *(_cell(getattr(row.figure, name)) for name in head[:5]),
            row.dsp,
            row.dsp_of_device,
            row.published_s,
            *(_cell(row.ours_s.get(preset)) for preset in presets),
            _cell(row.macs_per_dsp_cycle),
            _cell(row.scaled_s),
            row.figure.trust,
            row.figure.source,
        )
        for row in result.beside
    ]
    return _csv((*head, *(f"{preset}_s" for preset in presets), *tail), rows)


def _cell(value: object) -> object:
    return "" if value is None else value


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
