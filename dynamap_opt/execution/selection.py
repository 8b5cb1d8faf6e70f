"""Layers chosen by name or number, as ``0-5,12`` or ``conv1,logits``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from dynamap_opt.errors import DynamapError

__all__ = ["select_layers"]

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def select_layers(spec: str | Sequence[str | int] | None, names: Sequence[str]) -> tuple[int, ...]:
    """The numbers of the chosen layers, ascending.

    Args:
        spec: names and ranges of numbers, separated by commas or as a sequence; a name goes before a number. All for
            None.
        names: of all layers.

    Raises:
        DynamapError: for what is neither a name nor a range of numbers among them.

    >>> select_layers("0-1,head", ["stem", "body", "neck", "head"])
    (0, 1, 3)
    """
    if spec is None:
        return tuple(range(len(names)))
    parts = [part.strip() for part in spec.split(",")] if isinstance(spec, str) else list(spec)
    numbers = {name: number for number, name in enumerate(names)}
    chosen: set[int] = set()
    for part in parts:
        if isinstance(part, str) and part in numbers:
            chosen.add(numbers[part])
            continue
        match = _RANGE.fullmatch(str(part))
        if match is None:
            near = difflib.get_close_matches(str(part), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"give names, or numbers from 0 to {len(names) - 1}"
            raise DynamapError(f"there is no layer {part!r}; {hint}")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last or last >= len(names):
            raise DynamapError(f"layers {part} are none of this network's, which are numbered 0 to {len(names) - 1}")
        chosen.update(range(first, last + 1))
    if not chosen:
        raise DynamapError("no layer is chosen; name at least one, or leave the choice out for all")
    return tuple(sorted(chosen))
