"""Port cycles of every walk over a tensor, against walks spelt out address by address."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_opt.layouts import (
    NHWC,
    AxisWindows,
    Layout,
    LayoutKind,
    gather_words,
    packed_words,
    scatter_words,
    tensor_words,
)
from dynamap_opt.program import StoredTensor
from dynamap_rtl import Overlay


def port(width: int) -> Overlay:
    return Overlay(
        dram_bytes_per_cycle=width,
        dram_latency_cycles=0,
        activation_buffer_bytes=1,
        weight_buffer_bytes=1,
        accumulator_bytes=1,
    )


def stored(height: int, width: int, channels: int, runs: tuple[int, ...] = ()) -> StoredTensor:
    return StoredTensor("x", height, width, channels, "x", runs)


# ---- the judge: windows as lists of positions, tensors as lists of addresses, bursts as runs of addresses ----


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


def valid_of(axis: AxisWindows) -> list[list[int]]:
    return [[position for position in window if position is not None] for window in windows_of(axis)]


def address(tensor: StoredTensor, y: int, x: int) -> np.ndarray:
    """Addresses of one pixel's bytes; the pieces of a scattered pixel lie far apart, and far from other pixels'."""
    pixel = y * tensor.width + x
    if not tensor.pixel_runs:
        return np.arange(tensor.channels) + pixel * tensor.channels
    pieces, gap = [], 10**4
    for number, run in enumerate(tensor.pixel_runs):
        pieces.append(np.arange(run) + number * 10**7 + pixel * gap)
    return np.concatenate(pieces)


def burst_words(addresses: np.ndarray, width: int) -> int:
    """Cut into runs of consecutive addresses; each occupies the port for its bytes over the width, rounded up."""
    if addresses.size == 0:
        return 0
    ends = np.flatnonzero(np.diff(addresses) != 1) + 1
    return sum(-(-len(run) // width) for run in np.split(addresses, ends))


def tiles_the_axis(axis: AxisWindows) -> bool:
    """Side by side, in order, nothing missing, nothing padded: the windows read as one run."""
    flat = [position for window in windows_of(axis) for position in window]
    return flat == list(range(axis.size)) and axis.parts == 1


def gathered(rows: AxisWindows, columns: AxisWindows, tensor: StoredTensor, width: int) -> int:
    """Walk window row by window row; full rows of side-by-side windows and full maps of such rows are joined."""
    walks: list[np.ndarray] = []
    for row_window in valid_of(rows):
        for y in row_window:
            in_row = [np.concatenate([address(tensor, y, x) for x in w]) for w in valid_of(columns) if w]
            if tiles_the_axis(columns):
                walks.append(np.concatenate(in_row))
            else:
                walks.extend(in_row)
    if tiles_the_axis(columns) and tiles_the_axis(rows) and rows.taps == 1:
        walks = [np.concatenate(walks)]
    return sum(burst_words(walk, width) for walk in walks)


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


def random_case(seed: int) -> tuple[AxisWindows, AxisWindows, StoredTensor, int]:
    rng = np.random.default_rng(seed)
    kinds = [random_axis, random_axis, random_tiles, random_partition]
    rows, columns = (kinds[rng.integers(4)](rng) for _ in range(2))
    runs = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 4)))) if rng.integers(3) == 0 else ()
    channels = sum(runs) or int(rng.integers(1, 20))
    return rows, columns, stored(rows.size, columns.size, channels, runs), int(rng.choice([1, 2, 3, 7, 16, 64]))


SEEDS = range(400)


@pytest.mark.parametrize("block", range(8))
def test_random_windows_take_the_bursts_of_the_addresses_they_touch(block):
    for seed in SEEDS[block * 50 : (block + 1) * 50]:
        rows, columns, tensor, width = random_case(seed)
        assert gather_words(rows, columns, tensor, port(width)) == gathered(rows, columns, tensor, width), seed


@pytest.mark.parametrize("block", range(8))
def test_random_layouts_take_one_write_per_window_that_holds_a_pixel(block):
    for seed in SEEDS[block * 50 : (block + 1) * 50]:
        rows, columns, tensor, width = random_case(seed)
        # A writer writes a slice of a buffer, or a buffer, never a buffer in pieces.
        tensor = stored(tensor.height, tensor.width, tensor.channels, (tensor.channels,) if tensor.pixel_runs else ())
        for kind in (LayoutKind.TOEPLITZ, LayoutKind.TILES):
            layout = Layout(kind, "expanded", rows, columns)
            # Fill the expanded array window by window, then count, pixel by pixel, where it went.
            held = np.array([-1 if p is None else p for w in windows_of(rows) for p in w])
            across = np.array([-1 if p is None else p for w in windows_of(columns) for p in w])
            expanded = np.where((held[:, None] < 0) | (across < 0), -1, held[:, None] * tensor.width + across)
            words = 0
            for pixel in range(tensor.pixels):
                copies = int((expanded == pixel).sum())
                words += copies * burst_words(np.arange(tensor.channels), width)
            assert scatter_words(layout, tensor, port(width)) == words, seed
            # The reader takes all of it, padding included, as one run, or pixel by pixel.
            if tensor.pixel_runs:
                read = expanded.size * burst_words(np.arange(tensor.channels), width)
            else:
                read = burst_words(np.arange(expanded.size * tensor.channels), width)
            assert packed_words(layout, tensor, port(width)) == read, seed


def test_the_random_geometries_include_every_special_case():
    cases = [random_case(seed) for seed in SEEDS]
    axes = [axis for case in cases for axis in case[:2]]
    assert any(axis.step > axis.taps for axis in axes)
    assert any(axis.spacing > 1 for axis in axes)
    assert any(axis.parts > 1 for axis in axes)
    assert any(not window for axis in axes for window in valid_of(axis))  # wholly in padding
    assert any(len(case[2].pixel_runs) > 1 for case in cases)
    assert any(case[0].taps == 1 and tiles_the_axis(case[0]) and tiles_the_axis(case[1]) for case in cases)
    assert any(tiles_the_axis(case[1]) and not tiles_the_axis(case[0]) for case in cases)
    assert any(case[0].size != case[1].size for case in cases)


@pytest.mark.parametrize("seed", range(60))
def test_axis_counts_are_those_of_the_spelt_out_windows(seed):
    rng = np.random.default_rng(1000 + seed)
    for axis in (random_axis(rng), random_tiles(rng), random_partition(rng)):
        assert axis.slots == sum(len(window) for window in windows_of(axis))
        assert axis.valid_total == sum(len(window) for window in valid_of(axis))
        assert axis.is_partition == tiles_the_axis(axis)


@pytest.mark.parametrize(
    ("rows", "columns", "tensor", "words"),
    [
        # 3x3, stride 1, pad 1 on a 4x5 map of 6 channels, 8 bytes a cycle. Window rows: 2 + 3 + 3 + 2 = 10; in each,
        # windows of 2, 3, 3, 3, 2 pixels: 12, 18, 18, 18, 12 bytes are 2 + 3 + 3 + 3 + 2 = 13 cycles.
        (AxisWindows(4, 4, 1, 1, 3), AxisWindows(5, 5, 1, 1, 3), stored(4, 5, 6), 130),
        # 1x7, pad 3 on 2 rows of 4: every row is one window row; windows of 4, 4, 4, 4 pixels (taps reach beyond both
        # ends): 24 bytes are 3 cycles.
        (AxisWindows(2, 2, 1, 0, 1), AxisWindows(4, 4, 1, 3, 7), stored(2, 4, 6), 2 * 4 * 3),
        # 7x1, pad 3: windows of 4 rows each, and rows of 4 pixels are read whole: 16 runs of 24 bytes.
        (AxisWindows(4, 4, 1, 3, 7), AxisWindows(4, 4, 1, 0, 1), stored(4, 4, 6), 16 * 3),
        # 1x1, stride 2 on 4x5: 2x3 pixels, each 6 bytes.
        (AxisWindows(4, 2, 2, 0, 1), AxisWindows(5, 3, 2, 0, 1), stored(4, 5, 6), 6),
        # 1x1: the whole map is one run of 120 bytes.
        (AxisWindows(4, 4, 1, 0, 1), AxisWindows(5, 5, 1, 0, 1), stored(4, 5, 6), 15),
        # The same as a slice of a concatenation, in pieces of 5 and 1 bytes: 20 pixels, two bursts each.
        (AxisWindows(4, 4, 1, 0, 1), AxisWindows(5, 5, 1, 0, 1), stored(4, 5, 6, (5, 1)), 40),
        # 2x2, stride 2: rows of side-by-side windows are whole rows, 36 bytes each.
        (AxisWindows(4, 2, 2, 0, 2), AxisWindows(6, 3, 2, 0, 2), stored(4, 6, 6), 4 * 5),
        # One window, all padding.
        (AxisWindows(3, 1, 1, 5, 2), AxisWindows(3, 3, 1, 0, 1), stored(3, 3, 6), 0),
    ],
)
def test_small_walks_take_the_cycles_counted_by_hand(rows, columns, tensor, words):
    assert gather_words(rows, columns, tensor, port(8)) == words


@pytest.mark.parametrize("width", [1, 3, 8, 64, 1000])
@pytest.mark.parametrize("runs", [(), (6,), (5, 1), (2, 2, 2), (1,) * 6])
def test_a_whole_tensor_is_one_run_or_its_pixels_pieces(width, runs):
    tensor = stored(4, 5, 6, runs)
    if runs:
        words = sum(burst_words(address(tensor, y, x), width) for y in range(4) for x in range(5))
    else:
        words = burst_words(np.arange(4 * 5 * 6), width)
    assert tensor_words(tensor, port(width)) == words
    assert scatter_words(NHWC, tensor, port(width)) == words


def test_layouts_are_equal_exactly_when_their_windows_are():
    rows, columns = AxisWindows(4, 4, 1, 1, 3), AxisWindows(5, 5, 1, 1, 3)
    layout = Layout(LayoutKind.TOEPLITZ, "toeplitz-3x3", rows, columns)
    assert layout == Layout(LayoutKind.TOEPLITZ, "toeplitz-3x3", rows, columns)
    assert layout != Layout(LayoutKind.TOEPLITZ, "toeplitz-3x3", rows, AxisWindows(5, 5, 1, 0, 3))
    assert str(layout) == "toeplitz-3x3"
    assert str(NHWC) == "nhwc"
