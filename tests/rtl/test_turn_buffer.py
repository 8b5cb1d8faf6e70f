"""The diagonal memory against an array of lanes and depths."""

from __future__ import annotations

import random

import numpy as np
import pyrtl
import pytest

from dynamap_rtl.hardware import HardwareError, flatten
from dynamap_rtl.rotation import rotator_latency
from dynamap_rtl.units.rotator import rotator
from dynamap_rtl.units.turn_buffer import BufferKind, TurnBufferModel, TurnBufferParameters, turn_buffer

SHAPES = [(1, 1), (2, 1), (2, 2), (3, 2), (4, 4), (5, 5), (5, 3), (8, 2), (9, 4), (12, 12), (12, 1), (17, 2)]


def pack(values, width):
    return sum(int(value) << (index * width) for index, value in enumerate(values))


def unpack(word, count, width):
    return [(word >> (index * width)) % 2**width for index in range(count)]


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("lanes", [1, 2, 3, 6, 8, 11])
def test_rotators_turn_by_every_distance(lanes, up):
    sim = pyrtl.Simulation(tracer=None, block=flatten(rotator(lanes=lanes, width=5, up=up)))
    dice = random.Random(lanes)
    latency = rotator_latency(lanes)
    words = [[dice.randrange(32) for _ in range(lanes)] for _ in range(lanes)]
    for cycle in range(lanes + latency):
        sim.step({"data": pack(words[cycle % lanes], 5), "distance": cycle % lanes})
        if cycle >= latency:
            distance = cycle - latency
            expected = np.roll(words[distance], distance if up else -distance)
            assert unpack(sim.inspect("rotated"), lanes, 5) == list(expected)


def random_write(dice, parameters):
    lanes, depth = parameters.lanes, parameters.depth
    along = dice.random() < 0.5
    lane, place = dice.randrange(lanes), dice.randrange(depth)
    room = depth - place if along else lanes - lane
    count = dice.randint(1, min(parameters.write_elements, room))
    data = np.array([dice.randrange(2**parameters.width) for _ in range(count)])
    return {"lane": lane, "depth": place, "along": along, "data": data}


@pytest.mark.parametrize("kind", list(BufferKind))
@pytest.mark.parametrize(("lanes", "transfer"), SHAPES)
def test_what_is_written_one_way_is_read_the_other(lanes, transfer, kind):
    parameters = TurnBufferParameters(lanes=lanes, width=6, depth=3 * lanes + 2, transfer=transfer, kind=kind)
    module = turn_buffer(parameters)
    sim = pyrtl.Simulation(tracer=None, block=flatten(module))
    model = TurnBufferModel(parameters)
    dice = random.Random(lanes * 10 + transfer)
    pending = []  # (cycle a write is seen from, its arguments)
    expected = {}  # cycle -> what is read
    for cycle in range(250):
        while pending and pending[0][0] <= cycle:
            model.write(**pending.pop(0)[1])
        inputs = dict.fromkeys(module.inputs, 0)
        read_depth, read_lane = dice.randrange(parameters.depth), dice.randrange(lanes)
        if kind is BufferKind.OPERAND:
            read = model.read_across(read_depth)
        else:
            read = model.read_along(read_lane, read_depth)[: parameters.depth - read_depth]
        if dice.random() < 0.8:
            inputs |= {"read": 1, "read_depth": read_depth, "read_phase": read_depth % lanes}
            if kind is BufferKind.RESULT:
                inputs["read_lane"] = read_lane
            expected[cycle + parameters.read_latency] = list(read)
        if dice.random() < 0.8:
            write = random_write(dice, parameters)
            count = len(write["data"])
            pending.append((cycle + parameters.write_to_read, write))
            inputs |= {
                "write": 1,
                "lane": write["lane"],
                "depth": write["depth"],
                "phase": write["depth"] % lanes,
                "along": int(write["along"]),
                "count": count,
                "data": pack(write["data"], 6),
            }
        sim.step(inputs)
        assert sim.inspect("valid") == (cycle in expected)
        if cycle in expected:
            given = unpack(sim.inspect("read_data"), parameters.read_elements, 6)
            assert given[: len(expected[cycle])] == expected[cycle]
    assert len(expected) > 100


def test_a_transfer_wider_than_the_banks_is_refused():
    with pytest.raises(HardwareError, match="a transfer of 5 elements does not fit the 4 banks"):
        TurnBufferParameters(lanes=4, width=9, depth=8, transfer=5, kind=BufferKind.OPERAND)
    with pytest.raises(HardwareError, match="depth must be at least 1, not 0"):
        TurnBufferParameters(lanes=4, width=9, depth=0, transfer=4, kind=BufferKind.RESULT)
