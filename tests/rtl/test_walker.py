"""The address generator against nested loops."""

from __future__ import annotations

import random

import pyrtl
import pytest

from dynamap_rtl.hardware import HardwareError, flatten
from dynamap_rtl.units.walker import WalkerParameters, deltas, walk, walker


def packed(values, width):
    return sum((value % 2**width) << (index * width) for index, value in enumerate(values))


def program(parameters, *, base, counts, strides):
    steps = deltas(counts, strides)
    return {
        "base": base % 2**parameters.address_width,
        "phase_base": base % parameters.modulus,
        "counts": packed(counts, parameters.count_width),
        "deltas": packed(steps, parameters.address_width),
        "phase_deltas": packed([step % parameters.modulus for step in steps], parameters.phase_width),
    }


def simulation(parameters):
    return pyrtl.Simulation(tracer=None, block=flatten(walker(parameters)))


def random_walk(dice, parameters):
    counts = [dice.choice((1, 1, 2, 3, dice.randint(1, 5))) for _ in range(parameters.levels)]
    strides = [dice.randint(-20, 40) for _ in range(parameters.levels)]
    # Keeps every address non-negative, where the phase is the address modulo the modulus.
    lowest = sum(min(0, (count - 1) * stride) for count, stride in zip(counts, strides, strict=True))
    return {"base": -lowest + dice.randint(0, 30), "counts": counts, "strides": strides}


@pytest.mark.parametrize("modulus", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("levels", [1, 3, 5])
def test_walks_follow_one_another_and_nothing_moves_without_advance(levels, modulus):
    parameters = WalkerParameters(levels=levels, address_width=12, count_width=3, modulus=modulus)
    dice = random.Random(levels * 100 + modulus)
    sim = simulation(parameters)
    idle = program(parameters, base=0, counts=[1] * levels, strides=[0] * levels)
    chained = False  # the previous walk's last step has started this one
    request = random_walk(dice, parameters)
    for _ in range(12):
        if not chained:
            sim.step({"start": 1, "advance": dice.randint(0, 1), **program(parameters, **request)})
        steps = list(walk(parameters, **request))
        chained = dice.random() < 0.5
        following = random_walk(dice, parameters)
        for index, step in enumerate(steps):
            while True:
                advance = dice.random() < 0.7
                final = advance and index == len(steps) - 1
                inputs = program(parameters, **following) if final and chained else idle
                sim.step({"start": int(final and chained), "advance": int(advance), **inputs})
                assert sim.inspect("busy") == 1
                assert sim.inspect("address") == step.address
                assert sim.inspect("phase") == step.phase == step.address % modulus
                assert [bool(sim.inspect("at_end") >> level & 1) for level in range(levels)] == list(step.at_end)
                if advance:
                    break
        request = following
        if not chained:
            sim.step({"start": 0, "advance": 1, **idle})
            assert (sim.inspect("busy"), sim.inspect("done")) == (0, 1)
            sim.step({"start": 0, "advance": 0, **idle})
            assert (sim.inspect("busy"), sim.inspect("done")) == (0, 0)


def test_a_count_may_use_all_its_bits():
    parameters = WalkerParameters(levels=2, address_width=10, count_width=3, modulus=5)
    sim = simulation(parameters)
    idle = program(parameters, base=0, counts=[1, 1], strides=[0, 0])
    sim.step({"start": 1, "advance": 0, **program(parameters, base=3, counts=[7, 7], strides=[9, 2])})
    seen = []
    for _ in range(49):
        sim.step({"start": 0, "advance": 1, **idle})
        seen.append((sim.inspect("address"), sim.inspect("phase")))
    assert seen == [((3 + 9 * i + 2 * j), (3 + 9 * i + 2 * j) % 5) for j in range(7) for i in range(7)]


def test_impossible_walkers_are_refused():
    with pytest.raises(HardwareError, match="levels must be at least 1, not 0"):
        WalkerParameters(levels=0, address_width=4, count_width=4)
    parameters = WalkerParameters(levels=2, address_width=4, count_width=4)
    with pytest.raises(HardwareError, match="2 levels needs as many counts"):
        list(walk(parameters, base=0, counts=[1], strides=[1]))
