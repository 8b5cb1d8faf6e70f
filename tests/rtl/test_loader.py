"""The loader against windows taken in numpy, and its time against the formula."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pyrtl
import pytest

from dynamap_rtl.hardware import flatten
from dynamap_rtl.load_pattern import (
    Load,
    LoaderParameters,
    LoadError,
    LoadTarget,
    loader_fields,
)
from dynamap_rtl.load_timing import load_cycles, load_pieces
from dynamap_rtl.memory_model import ReadPort
from dynamap_rtl.units.loader import load_places, load_stream, load_windows, loader

MEMORY = 4096


def parameters_of(lanes, transfer, port_bytes, **more):
    return LoaderParameters(
        lanes=lanes,
        transfer=transfer,
        port_bytes=port_bytes,
        **{"depth_width": 10, "latency": 5, "address_width": 32, **more},
    )


PARAMETERS = [
    parameters_of(1, 1, 1, latency=1),
    parameters_of(3, 2, 4),
    parameters_of(4, 4, 4, latency=9),
    parameters_of(5, 3, 8, stream=True),
    parameters_of(8, 8, 8, element_width=18, element_bytes=3),
    parameters_of(13, 8, 16, latency=12, stream=True, element_bytes=2, element_width=17),
]


class Bench:
    """A loader, its memory and what it wrote."""

    def __init__(self, parameters, memory, *, latency=None, stall=0.0, seed=0):
        self.parameters = parameters
        self.module = loader(parameters)
        self.sim = pyrtl.FastSimulation(tracer=None, block=flatten(self.module))
        self.memory = memory
        self.dice = random.Random(seed)
        self.stall = stall
        self.port = ReadPort(
            memory, bytes_per_cycle=parameters.port_bytes, latency=latency or parameters.latency, stall=stall, seed=seed
        )
        self.cycle = 0

    def run(self, loads):
        """Runs loads in order, each offered at once; gives per load the cycle it was taken, of done, and its writes."""
        parameters, sim = self.parameters, self.sim
        width = parameters.element_width
        idle = {name: 0 for name in self.module.inputs if name not in self.port.drive()}
        waiting = list(loads)
        taken, results, writes = [], [], []
        for _ in range(20_000):
            inputs = {**idle, **self.port.drive()}
            if waiting:
                inputs |= {"load_valid": 1, **waiting[0].fields(parameters)}
            if parameters.stream:
                inputs["stream_ready"] = int(self.dice.random() >= self.stall)
            sim.step(inputs)
            self.port.clock(
                **{
                    name: sim.inspect(name)
                    for name in ("request_valid", "request_address", "request_bytes", "data_ready")
                }
            )
            assert sim.inspect("busy") == (len(taken) > len(results))
            if waiting and sim.inspect("load_ready"):
                waiting.pop(0)
                taken.append(self.cycle)
            streams = parameters.stream and sim.inspect("stream_valid") and inputs["stream_ready"]
            if sim.inspect("write") or streams:
                word = sim.inspect("elements")
                values = [(word >> (width * index)) % 2**width for index in range(parameters.transfer)]
                values = [value - 2**width if value >> (width - 1) else value for value in values]
                names = ("lane", "write_depth", "phase", "along", "count")
                writes.append(({name: sim.inspect(name) for name in names}, values))
            if sim.inspect("done"):
                results.append((taken[len(results)], self.cycle, writes))
                writes = []
            self.cycle += 1
            if len(results) == len(loads):
                break
        else:
            raise AssertionError("the loader hangs")
        sim.step({**idle, **self.port.drive()})
        self.cycle += 1
        assert not writes
        assert not sim.inspect("busy")
        assert self.port.idle
        return results


def check_values(parameters, memory, load, writes):
    if load.target is LoadTarget.STREAM:
        expected = list(load_stream(memory, load, parameters))
        assert len(expected) == len(writes)
        for vector, (control, values) in zip(expected, writes, strict=True):
            assert control["count"] == len(vector)
            assert values == list(vector) + [0] * (parameters.transfer - len(vector))
        return
    written = {}
    for control, values in writes:
        assert control["phase"] == control["write_depth"] % parameters.lanes
        assert control["along"] == (load.target is LoadTarget.ALONG)
        assert 1 <= control["count"] <= parameters.transfer
        for index in range(control["count"]):
            along = control["along"]
            place = (control["lane"] + index * (1 - along), control["write_depth"] + index * along)
            assert place[0] < parameters.lanes
            assert place not in written
            written[place] = values[index]
    assert written == {(lane, depth): value for lane, depth, value in load_places(memory, load, parameters)}


def random_load(dice, parameters, target=None):
    target = target or dice.choice([t for t in LoadTarget if t is not LoadTarget.STREAM or parameters.stream])
    while True:
        element_bytes = dice.randint(1, parameters.element_bytes) if dice.random() < 0.3 else 1
        channels = dice.choice([1, 2, 3, 5, parameters.transfer, dice.randint(1, 20)])
        padded = element_bytes == 1
        height, width = dice.randint(1, 7), dice.randint(1, 7)
        taps_y, taps_x = dice.choice([1, 1, 2, 3, dice.randint(1, 5)]), dice.choice([1, 2, 3, dice.randint(1, 5)])
        beat = parameters.port_bytes // element_bytes
        pixel_bytes = -(-channels // beat) * parameters.port_bytes if element_bytes > 1 else channels
        pixel_pitch = pixel_bytes + dice.choice([0, 0, 0, 1, 7])
        row_pitch = width * pixel_pitch + dice.choice([0, 0, 5])
        columns = dice.randint(1, 4)
        signed = dice.random() < 0.5
        load = Load(
            address=dice.randrange(64),
            row_pitch=row_pitch,
            pixel_pitch=pixel_pitch,
            height=height,
            width=width,
            channels=channels,
            taps_y=taps_y,
            taps_x=taps_x,
            dilation_y=dice.choice([1, 1, 2]),
            dilation_x=dice.choice([1, 1, 2]),
            step_y=dice.choice([1, 2, 3]),
            step_x=dice.choice([1, 2, 3]),
            origin_y=dice.randint(-4, 2),
            origin_x=dice.randint(-6, 2),
            columns=columns,
            first_row=dice.randint(0, 2),
            first_column=dice.randrange(columns),
            windows=dice.randint(1, 7),
            tail=0 if target is LoadTarget.STREAM else dice.choice([0, 0, dice.randint(1, 20)]),
            element_bytes=element_bytes,
            zero_point=(dice.randint(-128, 127) if signed else dice.randint(0, 255)) if padded else 0,
            signed=signed,
            target=target,
            depth=dice.randint(0, 40),
            depth_step=0,
        )
        size = channels * taps_y * taps_x + load.tail
        # Apart, so that no two elements meet.
        along = target is LoadTarget.ALONG
        load = dataclasses.replace(load, depth_step=(size if along else load.windows) + dice.randint(0, 3))
        last = load.windows // parameters.lanes if along else size // parameters.lanes
        if load.depth + (last + 1) * load.depth_step < 2**10 and load_pieces(load, parameters) < 250:
            return load


@pytest.mark.parametrize("parameters", PARAMETERS, ids=lambda p: f"{p.lanes}x{p.transfer}x{p.port_bytes}")
def test_every_load_writes_its_windows_in_exactly_the_cycles_of_the_formula(parameters):
    dice = random.Random(parameters.lanes)
    memory = bytearray(dice.randbytes(MEMORY))
    bench = Bench(parameters, memory)
    for _ in range(100):
        load = random_load(dice, parameters)
        [(taken, done, writes)] = bench.run([load])
        check_values(parameters, memory, load, writes)
        assert len(writes) == load_pieces(load, parameters), load
        assert done - taken == load_cycles(load, parameters), load


def test_windows_are_those_of_a_padded_image():
    dice = random.Random(7)
    parameters = parameters_of(5, 3, 8)
    for _ in range(30):
        load = dataclasses.replace(random_load(dice, parameters, LoadTarget.ALONG), signed=True, zero_point=-3)
        memory = bytearray(dice.randbytes(MEMORY))
        rows, columns, channels = np.ogrid[: load.height, : load.width, : load.channels]
        places = load.address + rows * load.row_pitch + columns * load.pixel_pitch + channels
        image = np.frombuffer(bytes(memory), dtype=np.int8)[places].astype(int) + 3
        margin = 64  # wider than any window here reaches
        padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
        spans = [
            (taps - 1) * dilation + 1
            for taps, dilation in ((load.taps_y, load.dilation_y), (load.taps_x, load.dilation_x))
        ]
        windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(0, 1))
        windows = windows[..., :: load.dilation_y, :: load.dilation_x]
        windows = windows[margin + load.origin_y :: load.step_y, margin + load.origin_x :: load.step_x][
            :, : load.columns
        ]
        flat = windows.reshape(-1, *windows.shape[2:]).transpose(0, 2, 3, 1)
        first = load.first_row * load.columns + load.first_column
        expected = flat[first : first + load.windows]
        assert np.array_equal(load_windows(memory, load, parameters), expected)


@pytest.mark.parametrize("latency", [1, 3])
def test_a_faster_memory_changes_nothing(latency):
    parameters = PARAMETERS[3]
    dice = random.Random(latency)
    memory = bytearray(dice.randbytes(MEMORY))
    bench = Bench(parameters, memory, latency=latency)
    for _ in range(20):
        load = random_load(dice, parameters)
        [(taken, done, writes)] = bench.run([load])
        check_values(parameters, memory, load, writes)
        assert done - taken == load_cycles(load, parameters), load


@pytest.mark.parametrize(("parameters", "latency"), [(PARAMETERS[1], 5), (PARAMETERS[3], 30), (PARAMETERS[5], 2)])
def test_a_slow_and_stalling_memory_costs_time_only(parameters, latency):
    dice = random.Random(latency)
    memory = bytearray(dice.randbytes(MEMORY))
    bench = Bench(parameters, memory, latency=latency, stall=0.4, seed=latency)
    loads = [random_load(dice, parameters) for _ in range(25)]
    for load, (_, _, writes) in zip(loads, bench.run(loads), strict=True):
        check_values(parameters, memory, load, writes)
        assert len(writes) == load_pieces(load, parameters)


@pytest.mark.parametrize("parameters", PARAMETERS[1:], ids=lambda p: f"{p.lanes}x{p.transfer}x{p.port_bytes}")
def test_loads_follow_one_another_with_at_most_one_cycle_between(parameters):
    dice = random.Random(parameters.lanes)
    memory = bytearray(dice.randbytes(MEMORY))
    bench = Bench(parameters, memory)
    loads = []
    while len(loads) < 20:
        load = random_load(dice, parameters)
        if load_pieces(load, parameters) >= parameters.set_up:
            loads.append(load)
    results = bench.run(loads)
    assert results[0][1] - results[0][0] == load_cycles(loads[0], parameters)
    gaps = []
    for load, (_, done, writes), (_, before, _) in zip(loads[1:], results[1:], results, strict=False):
        check_values(parameters, memory, load, writes)
        gaps.append(done - before - load_pieces(load, parameters))
    assert min(gaps) == 0
    assert max(gaps) <= 1


GOOD = {"address": 0, "row_pitch": 24, "pixel_pitch": 6, "height": 3, "width": 4, "channels": 6, "columns": 2}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"channels": 0}, "channels of a load must be at least 1, not 0"),
        ({"first_column": 2}, "is not among its 2 columns of windows"),
        ({"element_bytes": 2}, "needs a loader with element_bytes at least that, not 1"),
        ({"zero_point": -1}, "zero_point -1 of a load is not a value of its elements' type"),
        ({"zero_point": 128, "signed": True}, "zero_point 128 of a load is not a value"),
        ({"target": LoadTarget.STREAM}, "needs a loader with stream=True"),
        ({"address": 2**32 - 71}, "the tensor of a load ends at byte 4294967297, beyond 32-bit addresses"),
        ({"depth": 2**10 - 11}, "a load reaches depth 1024 of a buffer 1024 deep; split the load"),
        ({"windows": 2, "depth_step": 2**10}, "depth_step of a load is 1024, which does not fit its 10 bits"),
        ({"origin_x": 2**19}, "does not fit 20 signed bits"),
        ({"pixel_pitch": -1}, "must not be negative"),
        ({"tail": -1}, "tail of a load must be 0 into a stream and not negative, not -1"),
    ],
)
def test_a_load_that_cannot_be_is_refused_in_one_sentence(changes, sentence):
    parameters = parameters_of(2, 2, 4)
    load = Load(**GOOD, windows=4, depth_step=6)
    assert set(load.fields(parameters)) == set(loader_fields(parameters))
    with pytest.raises(LoadError, match=sentence):
        dataclasses.replace(load, **changes).fields(parameters)


def test_a_load_at_the_edge_is_taken():
    parameters = parameters_of(2, 2, 4)
    load = Load(**{**GOOD, "address": 2**32 - 72}, windows=4, depth_step=6, depth=2**10 - 12)
    assert load.fields(parameters)["depth"] == 2**10 - 12


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"transfer": 5}, "a transfer of 5 elements is wider than 4 lanes"),
        ({"element_bytes": 4}, "elements of 4 bytes: choose 1 to 3"),
        ({"element_width": 8}, "an element of 8 bits cannot hold a byte minus a zero point"),
        ({"position_width": 16}, "a position must have more bits than a count"),
    ],
)
def test_a_loader_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(LoadError, match=sentence):
        LoaderParameters(**{"lanes": 4, "transfer": 4, "port_bytes": 8, "depth_width": 8, "latency": 2, **changes})
