"""How long a load takes, exactly.

The loader handles *runs*, one a burst or a stretch of padding, and writes one *piece* of a run a cycle;
:func:`load_pieces` counts the pieces and :func:`load_cycles` is the time of a load.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import gcd

from .load_pattern import Load, LoaderParameters, LoadTarget
from .timing import ceil_div

__all__ = ["load_cycles", "load_pieces", "run_pieces"]


def load_pieces(load: Load, parameters: LoaderParameters) -> int:
    """Writes of a load: every run is cut at the beats of its burst, at N elements and where lanes wrap."""
    if load.target is LoadTarget.STREAM:  # every pixel of a chunk is one vector
        return load.windows * load.taps_y * load.taps_x * len(load.chunks(parameters))
    taps_y = range(load.taps_y)
    inside = [
        _sums(_window_row(load, parameters, tap, column, valid=True) for column in range(load.columns))
        for tap in taps_y
    ]
    outside = [_window_row(load, parameters, tap, 0, valid=False) for tap in taps_y]
    beat = parameters.port_bytes // load.element_bytes
    lanes = parameters.lanes if load.target is LoadTarget.ACROSS else 0
    size = load.taps_y * load.taps_x * load.channels
    total = load.windows * run_pieces(load.tail, size % lanes if lanes else 0, beat, parameters.transfer, lanes)
    first, left, row = load.first_column, load.windows, load.first_row
    while left:
        end = min(load.columns, first + left)
        for tap in taps_y:
            y = load.origin_y + row * load.step_y + tap * load.dilation_y
            if 0 <= y < load.height:
                total += inside[tap][end] - inside[tap][first]
            else:
                total += outside[tap] * (end - first)
        left -= end - first
        first, row = 0, row + 1
    return total


def load_cycles(load: Load, parameters: LoaderParameters) -> int:
    """Cycles from the one in which an idle loader takes a load to the one of its last write, the first not counted.

    Holds for a memory port that takes a request a cycle and answers ``latency`` or fewer cycles later with a beat a
    cycle. A load that is there when its predecessor's last request is made follows that one at no or one cycle's
    distance, and so takes only its pieces, and perhaps one cycle, if there are at least ``set_up`` of them: no more
    than three loads are under way.
    """
    return load_pieces(load, parameters) + parameters.set_up - 1


def _sums(values: Iterator[int]) -> list[int]:
    sums = [0]
    for value in values:
        sums.append(sums[-1] + value)
    return sums


def _window_row(load: Load, parameters: LoaderParameters, tap_y: int, column: int, *, valid: bool) -> int:
    """Pieces of one row of taps of a window in ``column``, inside the image's rows (``valid``) or not."""
    beat = parameters.port_bytes // load.element_bytes
    lanes = parameters.lanes if load.target is LoadTarget.ACROSS else 0
    k = tap_y * load.taps_x * load.channels
    x = load.origin_x + column * load.step_x
    if load.contiguous:
        left = min(max(-x, 0), load.taps_x) if valid else load.taps_x
        right = min(max(x + load.taps_x - load.width, 0), load.taps_x) if valid else 0
        runs = [left, load.taps_x - left - right, right]
    else:
        runs = [1] * load.taps_x
    pieces = 0
    for run in runs:
        elements = run * load.channels
        pieces += run_pieces(elements, k % lanes if lanes else 0, beat, parameters.transfer, lanes)
        k += elements
    return pieces


@lru_cache(maxsize=1 << 16)
def run_pieces(elements: int, lane: int, beat: int, transfer: int, lanes: int) -> int:
    """Pieces of a run.

    Args:
        elements: of the run.
        lane: of its first element.
        beat: elements of a full beat.
        transfer: N.
        lanes: P, or 0 when lanes do not wrap (along).
    """
    if not lanes:
        full, rest = divmod(elements, beat)
        return full * ceil_div(beat, transfer) + ceil_div(rest, transfer)
    # After so many beats the lanes repeat.
    period = lanes // gcd(lanes, beat)
    full, rest = divmod(elements, beat)
    rounds, beats = divmod(full, period)
    one_round = (
        sum(_cut(beat, (lane + index * beat) % lanes, transfer, lanes) for index in range(period)) if rounds else 0
    )
    pieces = rounds * one_round
    for _ in range(beats):
        pieces += _cut(beat, lane, transfer, lanes)
        lane = (lane + beat) % lanes
    return pieces + _cut(rest, lane, transfer, lanes)


def _cut(elements: int, lane: int, transfer: int, lanes: int) -> int:
    """Pieces of consecutive lanes, from ``lane`` on, that wrap."""
    head = min(elements, lanes - lane)
    full, rest = divmod(elements - head, lanes)
    return ceil_div(head, transfer) + full * ceil_div(lanes, transfer) + ceil_div(rest, transfer)
