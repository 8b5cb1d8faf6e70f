"""Drives a unit with a valid/ready stream on either side, cycle by cycle, in one of PyRTL's simulators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyrtl


def pack(values: Sequence[int], width: int) -> int:
    """Signed lanes, lane 0 in the lowest bits."""
    packed = 0
    for lane, value in enumerate(values):
        packed |= (int(value) & ((1 << width) - 1)) << (lane * width)
    return packed


def unpack(packed: int, width: int, lanes: int) -> list[int]:
    """The signed lanes of a packed word."""
    values = [packed >> (lane * width) & ((1 << width) - 1) for lane in range(lanes)]
    return [value - (1 << width) if value >> (width - 1) else value for value in values]


@dataclass(frozen=True)
class Exchange:
    """What a simulation saw.

    Attributes:
        outputs: packed words in order.
        taken: cycle of every input transfer.
        given: cycle of every output transfer.
    """

    outputs: list[int]
    taken: list[int]
    given: list[int]


def exchange(
    simulation: pyrtl.Simulation,
    words: Sequence[int],
    results: int,
    *,
    offers: Callable[[int], bool] = lambda _: True,
    accepts: Callable[[int], bool] = lambda _: True,
    constants: dict[str, int] | None = None,
    limit: int = 20_000,
) -> Exchange:
    """Offer ``words``, take ``results``, and hold the unit to the rules of a stream.

    ``offers`` says whether the source brings its next word in a cycle; brought, it stays until it is taken.
    """
    outputs: list[int] = []
    taken: list[int] = []
    given: list[int] = []
    waiting = False
    held: int | None = None
    for cycle in range(limit):
        if len(outputs) == results and len(taken) == len(words):
            break
        waiting = len(taken) < len(words) and (waiting or offers(cycle))
        ready = accepts(cycle)
        simulation.step(
            {
                "in_valid": int(waiting),
                "in_data": words[len(taken)] if waiting else 0x5A5A5A5A & 0x1FF,
                "out_ready": int(ready),
                **(constants or {}),
            }
        )
        valid = simulation.inspect("out_valid")
        data = simulation.inspect("out_data")
        if held is not None:
            assert valid, f"cycle {cycle}: valid was taken back"
            assert data == held, f"cycle {cycle}: data changed before it was taken"
        held = data if valid and not ready else None
        if waiting and simulation.inspect("in_ready"):
            taken.append(cycle)
            waiting = False
        if valid and ready:
            outputs.append(data)
            given.append(cycle)
    else:
        raise AssertionError(f"after {limit} cycles {len(taken)} words were taken and {len(outputs)} given")
    return Exchange(outputs, taken, given)


def gaps(seed: int, percent: int) -> Callable[[int], bool]:
    """Yes in about ``100 - percent`` of a hundred cycles, in runs."""
    draws = np.random.default_rng(seed).integers(0, 100, 40_000)
    return lambda cycle: bool(draws[cycle] >= percent)
