"""Colours and marks that mean the same everywhere in a report.

The hues are those of Okabe and Ito (*Color Universal Design*, 2008), told apart with every kind of colour vision; each
comes with a second cue, a letter, a pattern of dashes or a place, so that no meaning hangs on colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAMILIES", "PARTS", "Family", "family_of"]


@dataclass(frozen=True)
class Family:
    """How a family of algorithms looks.

    Attributes:
        key: name of its CSS class.
        label: for people.
        colour: fill.
        letter: written on it.
        ink: of that letter; the contrast between both is at least 4.5.
        shape: of its points in charts, as Vega calls it.
    """

    key: str
    label: str
    colour: str
    letter: str
    ink: str
    shape: str


FAMILIES: tuple[Family, ...] = (
    Family("im2col", "im2col", "#0072b2", "I", "#ffffff", "circle"),
    Family("kn2row", "kn2row", "#e69f00", "K", "#000000", "square"),
    Family("winograd", "Winograd", "#009e73", "W", "#000000", "triangle-up"),
    Family("depthwise", "depthwise", "#cc79a7", "D", "#000000", "diamond"),
    Family("vector", "vector unit", "#56b4e9", "V", "#000000", "cross"),
    Family("host", "host", "#c8c8c8", "H", "#000000", "triangle-down"),
)

#: (key, label, colour) of what a layer's latency is made of.
PARTS = (
    ("load", "load", "#56b4e9"),
    ("compute", "compute", "#e69f00"),
    ("store", "store", "#cc79a7"),
)


def family_of(algorithm: str) -> Family:
    """The family of an algorithm by its name; the host's look for a name no family has.

    >>> family_of("winograd-f4-1d").letter
    'W'
    """
    return next((family for family in FAMILIES if algorithm.partition("-")[0] == family.key), FAMILIES[-1])
