"""Latencies and queue depths of the units: what their circuits and the cycle model have in common."""

from __future__ import annotations

__all__ = [
    "CHANNEL_LATENCY",
    "COMMAND_QUEUE",
    "FETCH_BYTES",
    "INSTRUCTION_QUEUE",
    "LANE_LATENCY",
    "OUTSTANDING_MARGIN",
    "PENDING_QUEUE",
    "REQUANTISE_LATENCY",
    "REQUESTS_AHEAD",
    "RESULT_LATENCY",
    "ROW_LATENCY",
    "TOP_SKEW",
    "WRITE_LATENCY",
    "run_queue",
    "transform_latency",
]

#: Array: cycles from the last step of a tile to its first result on ``drain`` of column 0, less the number of rows, and
#: from a streamed vector to its result on ``sum``. The sums take a register more than they need, so that both are the
#: same.
RESULT_LATENCY = 6
#: Array: cycles from ``top`` to lane 0 of ``top_skewed``, for units beside the array; lane j is j cycles behind.
TOP_SKEW = 2
#: Vector lanes: cycles from a value to what it becomes.
LANE_LATENCY = 2
#: Accumulators: cycles from a result at column 0 to the first cycle in which its word may be read.
WRITE_LATENCY = 2
#: Accumulators: cycles from ``read`` to ``row``.
ROW_LATENCY = 2
#: Channel memory: cycles from ``word`` to ``entries``.
CHANNEL_LATENCY = 2
#: Requantiser: cycles from a value to its byte.
REQUANTISE_LATENCY = 7

#: Matrix engine: commands that may wait.
COMMAND_QUEUE = 4
#: Sequencer: bytes of a beat of the program port.
FETCH_BYTES = 16
#: Sequencer: instructions a unit's queue holds.
INSTRUCTION_QUEUE = 8
#: Sequencer: instructions of one unit that may be started and not done.
PENDING_QUEUE = 16
#: Sequencer: instructions asked for and not yet taken.
REQUESTS_AHEAD = 8
#: Read router: requests that wait for their beats cover the memory's latency in short bursts, and so many more.
OUTSTANDING_MARGIN = 8

# Winograd's transforms, from a tile's last vector to its last result: (input, output), by the tiles an overlay has, the
# tile, and whether it is along both axes.
_TRANSFORMS = {
    ((2,), 2, False): (7, 7),
    ((2,), 2, True): (24, 17),
    ((4,), 4, False): (10, 12),
    ((4,), 4, True): (48, 39),
    ((2, 4), 2, False): (8, 10),
    ((2, 4), 2, True): (26, 21),
    ((2, 4), 4, False): (10, 12),
    ((2, 4), 4, True): (48, 39),
}


def run_queue(latency: int) -> int:
    """Loader: runs asked for and not yet being written, enough to hide the memory's latency in runs of a beat."""
    return 1 << max(1, (latency + 1).bit_length())


def transform_latency(tiles: tuple[int, ...], tile: int, *, planar: bool) -> tuple[int, int]:
    """Cycles of the input and of the output transform from the last vector of a tile to its last result.

    Args:
        tiles: m of every F(m, 3) the overlay has.
        tile: m of the one in use.
        planar: whether it is along both axes.
    """
    return _TRANSFORMS[tiles, tile, planar]
