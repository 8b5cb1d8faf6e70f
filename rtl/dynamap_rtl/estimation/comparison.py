"""Estimates beside what Yosys makes of the same circuits, as a table.

A large circuit takes Yosys minutes; the tests compare small ones.
"""

from __future__ import annotations

from collections.abc import Iterable

from dynamap_rtl.hardware.module import Module
from dynamap_rtl.resources import estimate
from dynamap_rtl.synthesis import synthesize

__all__ = ["comparison"]


def comparison(modules: Iterable[Module]) -> str:
    """A Markdown table with ``estimated / synthesised`` of every module, block RAM in units of RAMB18E2.

    Raises:
        SynthesisError: when Yosys fails or is not installed.
    """
    lines = ["| circuit | DSP | LUT | FF | RAMB18 |", "|---|---|---|---|---|"]
    for module in modules:
        guess, made = estimate(module), synthesize(module)
        pairs = (guess.dsp, made.dsp), (guess.lut, made.lut), (guess.ff, made.ff), (guess.bram, round(2 * made.bram))
        lines.append(f"| `{module.name}` | " + " | ".join(_pair(*pair) for pair in pairs) + " |")
    return "\n".join(lines) + "\n"


def _pair(guess: int, made: int) -> str:
    off = f" ({100 * (guess / made - 1):+.1f} %)" if made and guess != made else ""
    return f"{guess} / {made}{off}"
