"""Recorded wires as a value change dump (IEEE 1364-2005, clause 18)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["write_vcd"]

_FIRST, _LAST = 33, 126  # the printable characters of identifier codes


def write_vcd(file: TextIO, waves: Mapping[str, tuple[int, NDArray[np.uint64]]], *, cycle_ns: int) -> None:
    """Write waves.

    Args:
        file: where to.
        waves: bits and values, (cycles,) or (cycles, words), by name; parts before a dot are scopes.
        cycle_ns: nanoseconds of a cycle; a value holds from the beginning of its cycle.
    """
    file.write("$timescale 1ns $end\n")
    codes = {name: _code(index) for index, name in enumerate(waves)}
    open_: list[str] = []
    for name in sorted(waves, key=lambda name: name.split(".")):
        *scopes, own = name.split(".")
        common = next((k for k, (a, b) in enumerate(zip(open_, scopes, strict=False)) if a != b), None)
        common = min(len(open_), len(scopes)) if common is None else common
        file.write("$upscope $end\n" * (len(open_) - common))
        file.writelines(f"$scope module {_word(scope)} $end\n" for scope in scopes[common:])
        open_ = scopes
        file.write(f"$var wire {waves[name][0]} {codes[name]} {_word(own)} $end\n")
    file.write("$upscope $end\n" * len(open_) + "$enddefinitions $end\n")
    changes: dict[int, list[str]] = {}
    cycles = 0
    for name, (width, values) in waves.items():
        cycles = max(cycles, len(values))
        rows = values.reshape(len(values), -1)
        changed = np.ones(len(rows), np.bool_)
        changed[1:] = (rows[1:] != rows[:-1]).any(axis=1)
        for cycle in np.flatnonzero(changed).tolist():
            value = sum(int(word) << (64 * place) for place, word in enumerate(rows[cycle]))
            text = f"{value}{codes[name]}" if width == 1 else f"b{value:b} {codes[name]}"
            changes.setdefault(cycle, []).append(text)
    for cycle in sorted(changes):
        file.write(f"#{cycle * cycle_ns}\n" + "\n".join(changes[cycle]) + "\n")
    file.write(f"#{cycles * cycle_ns}\n")


def _code(index: int) -> str:
    base = _LAST - _FIRST + 1
    code = chr(_FIRST + index % base)
    while index := index // base:
        code += chr(_FIRST + index % base)
    return code


def _word(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name) or "_"
