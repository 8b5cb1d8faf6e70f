"""Judges the compiled simulator by PyRTL's own, wire by wire and cycle by cycle."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pyrtl

from dynamap_rtl.hardware import Module, flatten
from dynamap_rtl.hardware.simulator import CompiledSimulation

_BLOCK = 64  # cycles that are compared at once


def random_value(rng: random.Random, bits: int) -> int:
    """Any value, extreme ones often."""
    return rng.choice([0, 2**bits - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, *[rng.getrandbits(bits)] * 6])


def agree(
    top: Module,
    *,
    cycles: int,
    seed: int = 0,
    inspect_in: int = 2,
    stimulus: Mapping[str, Sequence[int]] | None = None,
) -> int:
    """Run both and compare every wire of the written-out circuit in every cycle, and all memories.

    A second compiled simulation stores no more than it must: its outputs are compared in every cycle, and what it
    computes when looked at in ``inspect_in`` cycles, for a sample of wires.

    Args:
        top: the hardware.
        cycles: how many are run.
        seed: of random inputs and samples.
        inspect_in: in how many cycles the second simulation is looked into.
        stimulus: values of every input, one a cycle; random ones if None.

    Returns:
        How many wires were compared.
    """
    rng = random.Random(seed)
    block = flatten(top)
    reference = pyrtl.Simulation(tracer=None, block=block)
    stored = CompiledSimulation(top, trace="all")
    sparse = CompiledSimulation(top)
    names = set(stored.traced)
    constants = {wire.name for wire in block.wirevector_subset(pyrtl.Const)}
    wires = [wire for wire in block.wirevector_set if wire.name in names]
    # What placing modules adds has no path, and lanes of a grid's boundary are not cut out one by one here.
    unknown = {wire.name for wire in block.wirevector_set} - names - constants
    assert all(name.startswith("tmp") for name in unknown), unknown
    looked_at = set(rng.sample(range(cycles), min(inspect_in, cycles)))
    values: dict[str, list[int]] = {wire.name: [] for wire in wires}
    for cycle in range(cycles):
        if stimulus is None:
            inputs = {name: random_value(rng, port.bits) for name, port in top.inputs.items()}
        else:
            inputs = {name: stream[cycle] for name, stream in stimulus.items()}
        reference.step(dict(inputs))
        stored.step(inputs)
        sparse.step(inputs)
        for wire in wires:
            values[wire.name].append(reference.value[wire])
        for name in top.outputs:
            assert sparse.inspect(name) == values[name][-1], (cycle, name)
        if cycle in looked_at:
            for wire in rng.sample(wires, min(150, len(wires))):
                assert sparse.inspect(wire.name) == reference.value[wire], (cycle, wire)
        if cycle % _BLOCK == _BLOCK - 1 or cycle == cycles - 1:
            for name, expected in values.items():
                assert to_integers(stored.trace(name)) == expected, (cycle, name)
                expected.clear()
            stored.clear_trace()
    memories = {net.op_param[1] for net in block.logic_subset("@")}
    for memory in memories:
        contents = [reference.memvalue[memory.id].get(address, 0) for address in range(2**memory.addrwidth)]
        assert to_integers(stored.inspect_mem(memory.name)) == contents
        assert to_integers(sparse.inspect_mem(memory.name)) == contents
    return len(wires)


def to_integers(values: np.ndarray) -> list[int]:
    """Words of a trace or a memory as Python integers."""
    if values.ndim == 1:
        return list(values.tolist())
    return [sum(int(word) << (64 * place) for place, word in enumerate(row)) for row in values]
