"""The storer behind a real result buffer, and its time against the formula."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pyrtl
import pytest

from dynamap_rtl.hardware import Constant, Design, Port, flatten
from dynamap_rtl.memory_model import WritePort
from dynamap_rtl.store_pattern import (
    Store,
    StoreError,
    StorerParameters,
    store_cycles,
    store_reads,
    storer_fields,
)
from dynamap_rtl.units.storer import store_into, storer
from dynamap_rtl.units.turn_buffer import BufferKind, TurnBufferParameters, turn_buffer

MEMORY = 4096
DEPTH_WIDTH = 7


def parameters_of(lanes, transfer, port_bytes, **more):
    return StorerParameters(
        lanes=lanes,
        transfer=transfer,
        port_bytes=port_bytes,
        **{"depth_width": DEPTH_WIDTH, "latency": 6, "address_width": 16, "count_width": 12, **more},
    )


PARAMETERS = [
    parameters_of(1, 1, 1, latency=1),
    parameters_of(3, 2, 4),
    parameters_of(4, 4, 4, latency=20),
    parameters_of(5, 1, 8),
    parameters_of(11, 8, 16),
    parameters_of(8, 8, 8),
]
NAMES = {"ids": lambda p: f"{p.lanes}x{p.transfer}x{p.port_bytes}"}


def buffer_of(parameters):
    return TurnBufferParameters(
        lanes=parameters.lanes,
        width=8,
        depth=2**parameters.depth_width,
        transfer=parameters.transfer,
        kind=BufferKind.RESULT,
    )


def with_buffer(parameters):
    """A storer and the buffer it reads, whose write port stays open."""
    store, memory = storer(parameters), turn_buffer(buffer_of(parameters))
    buffer_inputs = {"write": "write", "w_lane": "lane", "w_depth": "depth", "w_phase": "phase", "w_data": "data"}
    inputs = {name: port for name, port in store.inputs.items() if name not in {"valid", "read_data"}}
    outputs = {name: port for name, port in store.outputs.items() if not name.startswith("read")}
    design = Design(
        "store_bench",
        inputs={**inputs, **{name: memory.inputs[port] for name, port in buffer_inputs.items()}},
        outputs=outputs,
    )
    unit = design.add("unit", store, **{name: design[name] for name in inputs})
    results = design.add("results", memory, **{port: design[name] for name, port in buffer_inputs.items()})
    count = memory.inputs["count"]
    results.connect(along=Constant(1, Port(1)), count=Constant(1, count))
    results.connect(**{name: unit[name] for name in ("read", "read_lane", "read_depth", "read_phase")})
    unit.connect(valid=results["valid"], read_data=results["read_data"])
    return design.finish(**{name: unit[name] for name in outputs})


class Bench:
    def __init__(self, parameters, *, latency=None, stall=0.0, seed=0):
        self.parameters = parameters
        design = with_buffer(parameters)
        self.sim = pyrtl.FastSimulation(tracer=None, block=flatten(design))
        self.memory = bytearray(random.Random(seed).randbytes(MEMORY))
        self.port = WritePort(
            self.memory,
            bytes_per_cycle=parameters.port_bytes,
            latency=latency or parameters.latency,
            stall=stall,
            seed=seed,
        )
        self.idle = {name: 0 for name in design.inputs if name not in self.port.drive()}
        self.cycle = 0
        self.results = np.random.default_rng(seed).integers(0, 256, (parameters.lanes, 2**parameters.depth_width))
        for lane in range(parameters.lanes):
            for depth in range(2**parameters.depth_width):
                place = {"w_lane": lane, "w_depth": depth, "w_phase": depth % parameters.lanes}
                self.step(write=1, **place, w_data=int(self.results[lane, depth]))
        for _ in range(buffer_of(parameters).write_to_read):
            self.step()

    def step(self, **inputs):
        self.sim.step({**self.idle, **self.port.drive(), **inputs})
        names = ("request_valid", "request_address", "request_bytes", "write_valid", "write_data")
        self.port.clock(**{name: self.sim.inspect(name) for name in names})
        self.cycle += 1

    def run(self, stores):
        """Runs stores in order, each offered at once; gives for each the cycle it was taken and that of its done."""
        waiting, taken, results = list(stores), [], []
        for _ in range(20_000):
            offered = {"store_valid": 1, **waiting[0].fields(self.parameters)} if waiting else {}
            self.step(**offered)
            if waiting and self.sim.inspect("store_ready"):
                waiting.pop(0)
                taken.append(self.cycle)
            if self.sim.inspect("done"):
                results.append((taken[len(results)], self.cycle))
            if len(results) == len(stores):
                break
        else:
            raise AssertionError("the storer hangs")
        self.step()
        assert not self.sim.inspect("busy")
        assert self.port.idle
        return results


def random_store(dice, parameters):
    while True:
        channels = dice.choice([1, 2, parameters.transfer, parameters.port_bytes, dice.randint(1, 40)])
        columns = dice.randint(1, 6)
        pixel_pitch = channels + dice.choice([0, 0, 1, 9])
        pixels = dice.randint(1, 12)
        store = Store(
            address=dice.randrange(100),
            row_pitch=columns * pixel_pitch + dice.choice([0, 0, 3]),
            pixel_pitch=pixel_pitch,
            columns=columns,
            first_row=dice.randint(0, 2),
            first_column=dice.randrange(columns),
            pixels=pixels,
            channels=channels,
            depth=dice.randint(0, 30),
            depth_step=dice.randint(0, 50),
        )
        if store.depth + (pixels - 1) // parameters.lanes * store.depth_step + channels <= 2**parameters.depth_width:
            return store


@pytest.mark.parametrize("parameters", PARAMETERS, **NAMES)
def test_every_store_writes_its_pixels_in_exactly_the_cycles_of_the_formula(parameters):
    dice = random.Random(parameters.lanes)
    bench = Bench(parameters)
    expected = bytearray(bench.memory)
    for _ in range(60):
        store = random_store(dice, parameters)
        store_into(expected, store, bench.results, lanes=parameters.lanes)
        [(taken, done)] = bench.run([store])
        assert bench.memory == expected, store
        assert done - taken == store_cycles(store, parameters), store


def test_a_faster_memory_saves_its_latency():
    parameters = PARAMETERS[2]
    dice = random.Random(3)
    bench = Bench(parameters, latency=7)
    for _ in range(20):
        store = random_store(dice, parameters)
        [(taken, done)] = bench.run([store])
        assert done - taken == store_cycles(store, parameters) - (parameters.latency - 7)


@pytest.mark.parametrize(("parameters", "latency"), [(PARAMETERS[1], 3), (PARAMETERS[3], 40), (PARAMETERS[4], 9)])
def test_a_slow_and_stalling_memory_costs_time_only(parameters, latency):
    dice = random.Random(latency)
    bench = Bench(parameters, latency=latency, stall=0.4, seed=latency)
    expected = bytearray(bench.memory)
    stores = [random_store(dice, parameters) for _ in range(25)]
    for store in stores:
        store_into(expected, store, bench.results, lanes=parameters.lanes)
    bench.run(stores)
    assert bench.memory == expected


@pytest.mark.parametrize("parameters", PARAMETERS[1:], **NAMES)
def test_stores_follow_one_another_with_one_cycle_between(parameters):
    dice = random.Random(parameters.lanes)
    bench = Bench(parameters)
    stores = [random_store(dice, parameters) for _ in range(20)]
    results = bench.run(stores)
    assert results[0][1] - results[0][0] == store_cycles(stores[0], parameters)
    for store, (_, done), (_, before) in zip(stores[1:], results[1:], results, strict=False):
        assert done - before == store_reads(store, parameters) + 1


def test_concatenation_by_address_leaves_the_other_channels_alone():
    parameters = parameters_of(3, 2, 4)
    bench = Bench(parameters)
    before = np.frombuffer(bytes(bench.memory), np.uint8)[: 4 * 5 * 10].reshape(4, 5, 10).copy()
    store = Store(address=3, row_pitch=50, pixel_pitch=10, columns=5, pixels=20, channels=4, depth_step=4)
    bench.run([store])
    after = np.frombuffer(bytes(bench.memory), np.uint8)[: 4 * 5 * 10].reshape(4, 5, 10)
    assert np.array_equal(after[..., :3], before[..., :3])
    assert np.array_equal(after[..., 7:], before[..., 7:])
    pixels = np.stack([bench.results[p % 3, p // 3 * 4 :][:4] for p in range(20)])
    assert np.array_equal(after[..., 3:7].reshape(20, 4), pixels)


GOOD = {"address": 0, "row_pitch": 24, "pixel_pitch": 6, "columns": 4, "pixels": 8, "channels": 6}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pixels": 0}, "pixels of a store must be at least 1, not 0"),
        ({"first_column": 4}, "is not among its 4 columns"),
        ({"address": 2**16 - 47}, "a store ends at byte 65537, beyond 16-bit addresses"),
        ({"depth": 2**7 - 5}, "a store reads depth 128 of a buffer 128 deep; split the store"),
        ({"columns": 2**12}, "columns of a store is 4096, which does not fit 12 bits"),
        ({"row_pitch": -1}, "must not be negative"),
    ],
)
def test_a_store_that_cannot_be_is_refused_in_one_sentence(changes, sentence):
    parameters = parameters_of(2, 2, 4)
    store = Store(**GOOD)
    assert set(store.fields(parameters)) == set(storer_fields(parameters))
    with pytest.raises(StoreError, match=sentence):
        dataclasses.replace(store, **changes).fields(parameters)


def test_a_store_at_the_edge_is_taken():
    store = Store(**{**GOOD, "address": 2**16 - 48, "depth": 2**7 - 6})
    assert store.fields(parameters_of(2, 2, 4))["depth"] == 2**7 - 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"latency": 0}, "latency must be at least 1, not 0"),
        ({"transfer": 8}, "a transfer of 8 elements is wider than 4 lanes"),
        ({"transfer": 3}, "a beat of 8 bytes is not a whole number of transfers of 3"),
    ],
)
def test_a_storer_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(StoreError, match=sentence):
        StorerParameters(**{"lanes": 4, "transfer": 4, "port_bytes": 8, "depth_width": 8, "latency": 2, **changes})


def test_the_read_latency_is_the_buffers():
    for parameters in (*PARAMETERS, parameters_of(66, 64, 64)):
        assert parameters.read_latency == buffer_of(parameters).read_latency
