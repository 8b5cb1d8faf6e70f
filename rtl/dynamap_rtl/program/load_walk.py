"""The runs of a load instruction, in order: bursts and stretches of padding, and how they are cut into pieces.

As ``units.load_runs`` makes them of the instruction's fields; a *place* of its walk is a row of taps, or one tap, and
has up to four runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from dynamap_rtl.isa import LOAD
from dynamap_rtl.load_pattern import LoaderParameters, LoadTarget
from dynamap_rtl.load_timing import run_pieces
from dynamap_rtl.record import Value

__all__ = ["LoadWalk", "Run"]


@dataclass(frozen=True)
class Run:
    """One burst or stretch of padding.

    Attributes:
        burst: whether it comes from memory.
        beats: it is cut into, whether it does or not.
        pieces: all its beats are cut into.
        last: pieces of its last beats, the last one first; three, or as many as there are.
    """

    burst: bool
    beats: int
    pieces: int
    last: tuple[int, ...]


class LoadWalk:
    """The places of one load.

    Args:
        fields: of the instruction.
        parameters: of its loader.

    Attributes:
        places: how many there are.
    """

    def __init__(self, fields: Mapping[str, Value], parameters: LoaderParameters) -> None:
        self._fields = {
            name: _signed(_number(fields[name]), LOAD.fields[name].width if name in _SIGNED else 0) for name in _NAMES
        }
        f = self._fields
        self.places = f["windows"] * f["chunks"] * f["taps_y"] * f["taps_x"]
        self._beat = parameters.port_bytes // f["element_bytes"]
        self._transfer = parameters.transfer
        self._lanes = parameters.lanes if f["target"] == LoadTarget.ACROSS else 0

    def __iter__(self) -> Iterator[tuple[Run, ...]]:
        f = self._fields
        lanes, whole, width, height = self._lanes, f["whole"], f["width"], f["height"]
        line_x, x, y, left = f["line_x"], f["x"], f["y"], f["columns_left"]
        taps_x, taps_y = range(f["taps_x"]), range(f["taps_y"])
        for _ in range(f["windows"]):
            for chunk in range(f["chunks"]):
                k = 0
                for tap_y in taps_y:
                    row_inside = 0 <= y + tap_y * f["tap_y_step"] < height
                    for tap_x in taps_x:
                        at = x + tap_x * f["tap_x_step"]
                        span = f["last_span"] if chunk == f["chunks"] - 1 else f["span"]
                        before, beyond = 0, 0
                        if not row_inside or (whole and not 0 <= at < width):
                            before = span
                        elif not whole:
                            before = min(max(-at, 0), span)
                            beyond = min(max(at + span - width, 0), span)
                        ends = chunk == f["chunks"] - 1 and tap_y == taps_y[-1] and tap_x == taps_x[-1]
                        tail = f["tail"] if ends else 0
                        yield _runs(
                            before, span, beyond, tail, k % lanes if lanes else 0, self._beat, self._transfer, lanes
                        )
                        k += span
            left -= 1
            x += f["column_step"]
            if left == 0:
                left, x, y = f["columns"], line_x, y + f["row_step"]


@lru_cache(maxsize=1 << 16)
def _runs(
    before: int, span: int, beyond: int, tail: int, lane: int, beat: int, transfer: int, lanes: int
) -> tuple[Run, ...]:
    runs = []
    for burst, elements in ((False, before), (True, span - before - beyond), (False, beyond), (False, tail)):
        if not elements:
            continue
        beats = -(-elements // beat)
        sums = [
            run_pieces(max(0, min(elements, (beats - back) * beat)), lane, beat, transfer, lanes)
            for back in range(min(beats, 3) + 1)
        ]
        last = tuple(sums[back] - sums[back + 1] for back in range(len(sums) - 1))
        runs.append(Run(burst, beats, sums[0], last))
        if lanes:
            lane = (lane + elements) % lanes
    return tuple(runs)


_SIGNED = {"x", "line_x", "y", "tap_x_step", "column_step", "tap_y_step", "row_step"}
_NAMES = (
    *_SIGNED,
    *("width", "height", "taps_x", "taps_y", "chunks", "columns", "columns_left", "windows", "span", "last_span"),
    *("tail", "whole", "element_bytes", "target"),
)


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if width and value >> (width - 1) else value


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value
