"""Queue, read router and channel memory: nothing lost, nothing mixed up, and the cycles of their contracts."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pyrtl
import pytest

from dynamap_rtl.hardware import HardwareError, flatten
from dynamap_rtl.hardware.simulator import CompiledSimulation
from dynamap_rtl.isa import CHANNEL, CHANNELS
from dynamap_rtl.memory_model import ReadPort
from dynamap_rtl.program.layer import Scaling, channel_image
from dynamap_rtl.units.channel_memory import (
    ENTRY_LATENCY,
    ChannelMemoryParameters,
    channel_load_cycles,
    channel_memory,
)
from dynamap_rtl.units.queue import queue
from dynamap_rtl.units.read_router import read_router


def test_a_queue_is_first_in_first_out() -> None:
    simulation = pyrtl.FastSimulation(tracer=None, block=flatten(queue(width=7, depth=4)))
    entries: deque[int] = deque()
    dice = random.Random(1)
    for _ in range(500):
        push, pop, data = dice.getrandbits(1), dice.random() < 0.45, dice.getrandbits(7)
        simulation.step({"push": push, "pop": int(pop), "data": data})
        assert simulation.inspect("valid") == bool(entries)
        assert simulation.inspect("ready") == (len(entries) < 4)
        if entries:
            assert simulation.inspect("head") == entries[0]
        room = len(entries) < 4
        if pop and entries:
            entries.popleft()
        if push and room:
            entries.append(data)


@pytest.mark.parametrize("depth", [0, 1, 3, 6])
def test_a_queues_depth_is_a_power_of_two(depth: int) -> None:
    with pytest.raises(HardwareError, match="must be a power of two from 2"):
        queue(width=1, depth=depth)


class Reader:
    """A client: makes random requests and collects what comes back."""

    def __init__(self, seed: int, size: int) -> None:
        self.dice = random.Random(seed)
        self.size = size
        self.wanted: deque[tuple[int, int]] = deque()
        self.asked: list[tuple[int, int]] = []
        self.got: list[bytes] = []
        self.request: tuple[int, int] | None = None

    def drive(self, *, more: bool) -> dict[str, int]:
        if self.request is None and more and self.dice.random() < 0.5:
            count = self.dice.randint(1, 40)
            self.request = self.dice.randrange(self.size - count), count
        address, count = self.request or (0, 1)
        self.ready = self.dice.random() < 0.8
        valid = int(self.request is not None)
        return {
            "request_valid": valid,
            "request_address": address,
            "request_bytes": count,
            "data_ready": int(self.ready),
        }


@pytest.mark.parametrize(("ordered", "port_bytes"), [(0, 4), (2, 4), (2, 7), (3, 16)])
def test_every_reader_gets_what_it_asked_for_in_the_order_of_loads(ordered: int, port_bytes: int) -> None:
    memory = bytearray(random.Random(3).randbytes(1000))
    port = ReadPort(memory, bytes_per_cycle=port_bytes, latency=5, stall=0.2)
    router = read_router(ordered=ordered, port_bytes=port_bytes, address_width=12, outstanding=8)
    simulation = CompiledSimulation(router)
    readers = [Reader(seed, len(memory)) for seed in range(ordered + 1)]
    dice = random.Random(port_bytes)
    for cycle in range(1500):
        given = {}
        for k, reader in enumerate(readers):
            more = cycle < 1200 and (k < ordered or ordered == 0 or dice.random() < 0.1)  # the last goes before all
            given |= {f"{name}_{k}": value for name, value in reader.drive(more=more).items()}
        # Any order of those that ask, around the end of the numbers; one that has nothing may hold others up, too.
        orders = [(250 + order) % 256 for order in dice.sample(range(20), ordered)]
        pending = [given[f"request_valid_{k}"] or (cycle < 1200 and dice.random() < 0.1) for k in range(ordered)]
        given |= {f"request_order_{k}": orders[k] for k in range(ordered)}
        given |= {f"request_pending_{k}": int(pending[k]) for k in range(ordered)}
        driven = port.drive()
        simulation.step({**given, "request_ready": driven["request_ready"], "data_valid": driven["data_valid"]})
        for k, reader in enumerate(readers):
            if reader.request and simulation.inspect(f"request_ready_{k}"):
                mine = orders[k] if k < ordered else -1
                assert not given[f"request_valid_{ordered}"] or k == ordered
                assert k == ordered or not any(
                    pending[other] and (orders[other] - mine) % 256 > 128 for other in range(ordered)
                ), "one that comes first has something pending"
                reader.asked.append(reader.request)
                reader.request = None
            if simulation.inspect(f"data_valid_{k}") and reader.ready:
                reader.got.append(driven["data"].to_bytes(port_bytes, "little"))
        names = ("request_valid", "request_address", "request_bytes", "data_ready")
        port.clock(**{name: simulation.inspect(name) for name in names})
    for reader in readers:
        assert len(reader.asked) > 20
        beats = iter(reader.got)
        for address, count in reader.asked:
            data = b"".join(next(beats) for _ in range(-(-count // port_bytes)))
            assert data[:count] == memory[address : address + count]
        assert next(beats, None) is None


@pytest.mark.parametrize("port_bytes", [1, 2, 3, 4, 8, 11, 16, 20, 64])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_channel_parameters_arrive_in_both_memories_in_time(port_bytes: int, count: int) -> None:
    lanes, latency = 3, 6
    parameters = ChannelMemoryParameters(lanes=lanes, words=8, singles=32, port_bytes=port_bytes, address_width=12)
    rng = np.random.default_rng(count)
    scaling = Scaling(
        bias=rng.integers(-(2**31), 2**31, count),
        multiplier=rng.integers(0, 2**24, count),
        shift=rng.integers(0, 64, count),
        low=0,
        high=255,
    )

    class Port:
        dram_bytes_per_cycle = port_bytes

    image = channel_image(scaling, np.arange(count), Port)  # type: ignore[arg-type]
    port = ReadPort(bytearray(64) + image + bytes(64), bytes_per_cycle=port_bytes, latency=latency)
    simulation = CompiledSimulation(channel_memory(parameters))
    fields = CHANNELS.pack(address=64, bytes=len(image), channels=count, word=2, single=5)
    cycle, done = 0, None
    while done is None:
        driven = port.drive()
        simulation.step({"load_valid": int(cycle == 0), "fields": fields, "word": 0, "single": 0, **driven})
        names = ("request_valid", "request_address", "request_bytes", "data_ready")
        port.clock(**{name: simulation.inspect(name) for name in names})
        done = cycle if simulation.inspect("done") else None
        cycle += 1
    assert done == channel_load_cycles(count, parameters, latency) - 1

    def read(word: int, single: int) -> list[int]:
        for _ in range(ENTRY_LATENCY + 1):
            simulation.step({"load_valid": 0, "fields": 0, "word": word, "single": single, **port.drive()})
        bus = simulation.inspect("entries")
        return [bus >> (lane * CHANNEL.width) & (1 << CHANNEL.width) - 1 for lane in range(lanes)]

    entries = [
        CHANNEL.pack(bias=int(b), multiplier=int(m), shift=int(s), zero=0)
        for b, m, s in zip(scaling.bias, scaling.multiplier, scaling.shift, strict=True)
    ]
    for channel, entry in enumerate(entries):
        assert read(2 + channel // lanes, 0)[channel % lanes] == entry
        assert read(5 + channel, 1) == [entry] * lanes
