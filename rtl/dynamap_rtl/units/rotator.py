"""Rotation of lanes by a variable distance, pipelined.

Stage k rotates by 2**k modulo the number of lanes, so that any number of lanes will do; there is a register behind
every third stage. A rotation enters every cycle.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.hardware import Leaf, Port
from dynamap_rtl.rotation import STAGES_A_REGISTER, phase_width, rotator_latency

__all__ = ["rotator"]


def rotator(*, lanes: int, width: int, up: bool) -> Leaf:
    """Rotate ``data`` (``lanes`` of ``width`` bits) by ``distance``, a number below ``lanes``.

    With ``up``, lane x goes to lane (x + distance) modulo ``lanes``, otherwise to (x - distance). ``rotated`` is a
    register, :func:`dynamap_rtl.rotation.rotator_latency` cycles behind the inputs.
    """

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        data: pyrtl.WireVector = inputs["data"]
        distance: pyrtl.WireVector = inputs["distance"]
        stages = (lanes - 1).bit_length()
        for group in range(rotator_latency(lanes)):
            first = group * STAGES_A_REGISTER
            for stage in range(first, min(first + STAGES_A_REGISTER, stages)):
                data = pyrtl.select(distance[stage - first], _rotated(data, (1 << stage) % lanes), data)
            held = pyrtl.Register(lanes * width, f"data_{group}")
            held.next <<= data
            data = held
            if first + STAGES_A_REGISTER < stages:
                rest = distance[STAGES_A_REGISTER:]
                distance = pyrtl.Register(len(rest), f"distance_{group}")
                distance.next <<= rest
        return {"rotated": data}

    def _rotated(data: pyrtl.WireVector, by: int) -> pyrtl.WireVector:
        cut = ((lanes - by) if up else by) * width
        return pyrtl.concat(data[:cut], data[cut:]) if 0 < cut < lanes * width else data

    return Leaf(
        f"rotator_{'up' if up else 'down'}_{lanes}_{width}",
        inputs={"data": Port(width, lanes), "distance": phase_width(lanes)},
        outputs={"rotated": Port(width, lanes)},
        logic=logic,
    )
