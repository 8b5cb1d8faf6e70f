"""Which bytes of external memory loads and stores touch, from their fields alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.isa import BYTE_ADDRESS_BITS
from dynamap_rtl.load_pattern import LoaderParameters

__all__ = ["BurstError", "load_bytes", "store_bytes"]

Integers = NDArray[np.int64]
_ADDRESSES = 1 << BYTE_ADDRESS_BITS


class BurstError(ValueError):
    """A burst that leaves memory; the message names the field it comes from."""


def store_bytes(fields: Mapping[str, int], memory_bytes: int) -> None:
    """Check that a store stays inside memory.

    Raises:
        BurstError: when it does not.
    """
    pitch, row_pitch = _signed(fields["pixel_pitch"]), _signed(fields["row_pitch"])
    for rows, columns, first in _rectangles(fields["pixels"], fields["columns"], fields["columns_left"]):
        # The first row begins at its own address, the others at their lines'.
        origin = fields["address"] if first else fields["line_address"]
        low = origin + sum(_ends(rows, row_pitch)[:1] + _ends(columns, pitch)[:1])
        high = origin + sum(_ends(rows, row_pitch)[1:] + _ends(columns, pitch)[1:])
        _check(low, high + fields["channels"], memory_bytes)


def load_bytes(fields: Mapping[str, int], parameters: LoaderParameters, memory_bytes: int) -> None:
    """Check that what a load reads stays inside memory, and its positions inside their bits.

    Padding is not read: only what of windows lies in the image counts.

    Raises:
        BurstError: when it does not.
    """
    half = 1 << parameters.position_width - 1
    whole = bool(fields["whole"])
    span = 0 if whole else fields["span"]
    chunk = (fields["chunks"] - 1) * parameters.transfer * fields["element_bytes"]
    size = chunk + max(fields["span_bytes"], fields["last_span_bytes"])
    line_x, y = _position(fields["line_x"], half), _position(fields["y"], half)
    column_pitch, tap_pitch = _signed(fields["column_pitch"]), _signed(fields["tap_x_pitch"])
    if not whole and (
        fields["taps_x"] > 1
        or (fields["columns"] > 1 and column_pitch != fields["column_step"])
        or (fields["address"] - fields["line_address"] - fields["x"] + line_x) % (1 << parameters.position_width)
    ):
        raise BurstError("whole: where runs lie partly in the image, positions must count bytes and rows be one run")
    for rows, columns, first in _rectangles(fields["windows"], fields["columns"], fields["columns_left"]):
        x = _position(fields["x"], half) if first else line_x
        origin = fields["address"] if first else fields["line_address"]
        furthest = max(
            y + rows[1] * fields["row_step"] + fields["taps_y"] * fields["tap_y_step"],
            x + columns[1] * fields["column_step"] + fields["taps_x"] * fields["tap_x_step"] + span,
        )
        if furthest >= half:
            raise BurstError(f"windows: the load passes position {furthest}, which does not fit its signed bits")
        down = _inside(
            y,
            rows,
            (fields["row_step"], _signed(fields["row_pitch"])),
            np.arange(fields["taps_y"]),
            (fields["tap_y_step"], _signed(fields["tap_y_pitch"])),
            fields["height"],
        )
        if whole:
            across = _inside(
                x,
                columns,
                (fields["column_step"], column_pitch),
                np.arange(fields["taps_x"]),
                (fields["tap_x_step"], tap_pitch),
                fields["width"],
            )
        else:
            begin, end = max(0, x), min(fields["width"], x + columns[1] * fields["column_step"] + span)
            across = (begin - x, end - x) if begin < end else None
        if across is not None and down is not None:  # else padding only
            _check(origin + across[0] + down[0], origin + across[1] + down[1] + (size if whole else 0), memory_bytes)


def _inside(
    start: int,
    indices: tuple[int, int],
    step: tuple[int, int],
    taps: Integers,
    tap_step: tuple[int, int],
    size: int,
) -> tuple[int, int] | None:
    """Least and greatest offset in bytes of those taps of windows that lie in the image; None if none does.

    Args:
        start: position of tap 0 of window 0.
        indices: first and last window.
        step: positions and bytes from a window to the next.
        taps: their numbers.
        tap_step: positions and bytes from a tap to the next.
        size: of the image.
    """
    first = np.full(len(taps), indices[0], dtype=np.int64)
    last = np.full(len(taps), indices[1], dtype=np.int64)
    at = start + taps * tap_step[0]
    if step[0]:
        first = np.maximum(first, -(at // step[0]))
        last = np.minimum(last, (size - 1 - at) // step[0])
    else:
        last = np.where((at >= 0) & (at < size), last, first - 1)
    some = first <= last
    if not some.any():
        return None
    base = taps[some] * tap_step[1]
    offsets = np.concatenate((base + first[some] * step[1], base + last[some] * step[1]))
    return int(offsets.min()), int(offsets.max())


def _rectangles(total: int, columns: int, columns_left: int) -> Iterator[tuple[tuple[int, int], tuple[int, int], bool]]:
    """Rows and columns, first and last each, of items in raster order; whether they are in the first row."""
    begun = min(total, columns_left)
    yield (0, 0), (0, begun - 1), True
    full, rest = divmod(total - begun, columns)
    if full:
        yield (1, full), (0, columns - 1), False
    if rest:
        yield (full + 1, full + 1), (0, rest - 1), False


def _ends(indices: tuple[int, int], pitch: int) -> tuple[int, int]:
    ends = indices[0] * pitch, indices[1] * pitch
    return min(ends), max(ends)


def _signed(pitch: int) -> int:
    """Pitches count modulo 2**32: the upper half goes back."""
    return pitch - _ADDRESSES if pitch >= _ADDRESSES // 2 else pitch


def _position(value: int, half: int) -> int:
    value %= 2 * half  # the fields of the instruction may be wider
    return value - 2 * half if value >= half else value


def _check(low: int, end: int, memory_bytes: int) -> None:
    turns = low // _ADDRESSES * _ADDRESSES  # addresses, too
    if end - turns > memory_bytes:
        raise BurstError(f"address: bursts from byte {low - turns} to {end - turns} leave a memory of {memory_bytes}")
