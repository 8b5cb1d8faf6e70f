"""Windows along an axis, against windows spelt out position by position; when layouts are equal."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_opt.layouts import NHWC, AxisWindows, Layout, LayoutKind


def windows_of(axis: AxisWindows) -> list[list[int | None]]:
    """Every window's positions, None for padding."""
    found = []
    for part in range(axis.parts):
        for index in range(axis.count):
            window: list[int | None] = []
            position = index * axis.step - axis.pad + part * axis.part_step
            for _ in range(axis.taps):
                window.append(position if 0 <= position < axis.size else None)
                position += axis.spacing
            found.append(window)
    return found


def random_axis(rng: np.random.Generator) -> AxisWindows:
    size, taps, spacing = int(rng.integers(1, 12)), int(rng.integers(1, 6)), int(rng.integers(1, 4))
    reach = (taps - 1) * spacing + 1
    step = int(rng.integers(1, taps + 3))  # strides beyond the kernel included
    before, after = (int(n) for n in rng.integers(0, reach + 2, 2))  # so much that whole windows are padding
    if rng.integers(4) == 0:
        before = after = 0
    count = max(1, (size + before + after - reach) // step + 1)
    return AxisWindows(size, count, step, before, taps, spacing)


def random_tiles(rng: np.random.Generator) -> AxisWindows:
    """Winograd's: overlapping tiles, in parts for longer kernels."""
    tile, parts = int(rng.choice([2, 4])), int(rng.integers(1, 4))
    size, pad = int(rng.integers(1, 14)), int(rng.integers(0, 4))
    return AxisWindows(size, int(rng.integers(1, 5)), tile, pad, tile + 2, parts=parts, part_step=3)


def random_partition(rng: np.random.Generator) -> AxisWindows:
    taps, count = (int(n) for n in rng.integers(1, 5, 2))
    return AxisWindows(taps * count, count, taps, 0, taps)


def tiles_the_axis(axis: AxisWindows) -> bool:
    """Side by side, in order, nothing missing, nothing padded: the windows read as one run."""
    flat = [position for window in windows_of(axis) for position in window]
    return flat == list(range(axis.size)) and axis.parts == 1


@pytest.mark.parametrize("seed", range(60))
def test_axis_counts_are_those_of_the_spelt_out_windows(seed):
    rng = np.random.default_rng(1000 + seed)
    for axis in (random_axis(rng), random_tiles(rng), random_partition(rng)):
        assert axis.slots == sum(len(window) for window in windows_of(axis))
        assert axis.is_partition == tiles_the_axis(axis)


def test_layouts_are_equal_exactly_when_their_windows_are():
    rows, columns = AxisWindows(4, 4, 1, 1, 3), AxisWindows(5, 5, 1, 1, 3)
    layout = Layout(LayoutKind.TOEPLITZ, "toeplitz-3x3", rows, columns)
    assert layout == Layout(LayoutKind.TOEPLITZ, "toeplitz-3x3", rows, columns)
    assert layout != Layout(LayoutKind.TOEPLITZ, "toeplitz-3x3", rows, AxisWindows(5, 5, 1, 0, 3))
    assert str(layout) == "toeplitz-3x3"
    assert str(NHWC) == "nhwc"
