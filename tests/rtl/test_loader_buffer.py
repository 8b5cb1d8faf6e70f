"""Loader and operand buffer together: operands lie where the matrix engine wants them."""

from __future__ import annotations

import random

import numpy as np
import pyrtl
import pytest

from dynamap_rtl import Dataflow
from dynamap_rtl.hardware import Design, flatten
from dynamap_rtl.load_pattern import Load, LoaderParameters, LoadTarget
from dynamap_rtl.load_timing import load_cycles
from dynamap_rtl.matrix_program import matrix_layout
from dynamap_rtl.memory_model import ReadPort
from dynamap_rtl.timing import ceil_div
from dynamap_rtl.units.loader import loader
from dynamap_rtl.units.turn_buffer import BufferKind, TurnBufferParameters, turn_buffer
from rtl_benches import unpacked

ROWS, COLUMNS = 5, 3  # of the array
DEPTH_WIDTH = 9


class Bench:
    """A loader that fills an operand buffer of so many lanes."""

    def __init__(self, lanes):
        self.parameters = LoaderParameters(
            lanes=lanes, transfer=min(lanes, 4), port_bytes=8, depth_width=DEPTH_WIDTH, latency=4
        )
        self.buffer = TurnBufferParameters(
            lanes=lanes, width=9, depth=2**DEPTH_WIDTH, transfer=min(lanes, 4), kind=BufferKind.OPERAND
        )
        unit, memory = loader(self.parameters), turn_buffer(self.buffer)
        reads = ("read", "read_depth", "read_phase")
        requests = ("request_valid", "request_address", "request_bytes", "data_ready")
        design = Design(
            "load_bench",
            inputs={**unit.inputs, **{name: memory.inputs[name] for name in reads}},
            outputs={
                "read_data": memory.outputs["read_data"],
                **{name: unit.outputs[name] for name in (*requests, "load_ready", "done")},
            },
        )
        source = design.add("unit", unit, **{name: design[name] for name in unit.inputs})
        target = design.add("operands", memory, **{name: design[name] for name in reads})
        target.connect(
            depth=source["write_depth"],
            data=source["elements"],
            **{name: source[name] for name in ("write", "lane", "phase", "along", "count")},
        )
        self.requests = requests
        design.finish(
            read_data=target["read_data"],
            **{name: source[name] for name in design.outputs if name != "read_data"},
        )
        self.sim = pyrtl.FastSimulation(tracer=None, block=flatten(design))
        self.idle = dict.fromkeys(design.inputs, 0)

    def load(self, memory, load):
        """The cycles it takes."""
        port = ReadPort(memory, bytes_per_cycle=8, latency=4)
        inputs = {"load_valid": 1, **load.fields(self.parameters)}
        for cycle in range(10_000):
            self.sim.step({**self.idle, **inputs, **port.drive()})
            port.clock(**{name: self.sim.inspect(name) for name in self.requests})
            inputs = {}
            if self.sim.inspect("done"):
                return cycle
        raise AssertionError("the loader hangs")

    def contents(self, depths):
        """(lanes, depths), read as soon as the contract allows after ``done``."""
        for _ in range(self.buffer.write_to_read - 1):
            self.sim.step(self.idle)
        columns = []
        for cycle in range(depths + self.buffer.read_latency):
            reads = {"read": 1, "read_depth": cycle, "read_phase": cycle % self.buffer.lanes} if cycle < depths else {}
            self.sim.step({**self.idle, **reads})
            if cycle >= self.buffer.read_latency:
                columns.append(unpacked(self.sim.inspect("read_data"), 9, self.buffer.lanes))
        return np.array(columns).T


@pytest.fixture(scope="module")
def benches():
    return {lanes: Bench(lanes) for lanes in (ROWS, COLUMNS)}


@pytest.mark.parametrize("dataflow", list(Dataflow))
def test_a_convolutions_operands_are_loaded_for_every_dataflow(benches, dataflow):
    """im2col of 3x2 windows with stride, padding and zero points, against products laid out by numpy."""
    dice = random.Random(1)
    height, width, channels, filters = 5, 4, 3, 4
    memory = bytearray(dice.randbytes(2048))
    image = np.frombuffer(memory, np.uint8)[64 : 64 + height * width * channels].reshape(height, width, channels)
    padded = np.pad(image.astype(int) - 7, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), axis=(0, 1))[::2]  # step 2 down, 1 across
    left = windows.transpose(0, 1, 3, 4, 2).reshape(-1, 3 * 2 * channels)
    columns = windows.shape[1]
    b = left.shape[1]
    right = np.frombuffer(memory, np.int8)[1024 : 1024 + filters * b].reshape(filters, b).T.astype(int)
    layout = matrix_layout(dataflow, *left.shape, filters, rows=ROWS, columns=COLUMNS)

    tall = ceil_div(b, ROWS) * ROWS  # of the stationary operand, zeros included
    placed = {  # target, depth_step, tail of the two operands
        Dataflow.NS: ((LoadTarget.ALONG, b, 0), (LoadTarget.ALONG, b, 0)),
        Dataflow.WS: ((LoadTarget.ACROSS, len(left), 0), (LoadTarget.ALONG, tall, tall - b)),
        Dataflow.IS: ((LoadTarget.ALONG, tall, tall - b), (LoadTarget.ACROSS, filters, 0)),
    }[dataflow]
    (image_target, image_step, image_tail), (weight_target, weight_step, weight_tail) = placed
    of_image = Load(
        address=64,
        row_pitch=width * channels,
        pixel_pitch=channels,
        height=height,
        width=width,
        channels=channels,
        taps_y=3,
        taps_x=2,
        step_y=2,
        origin_y=-1,
        origin_x=-1,
        columns=columns,
        windows=len(left),
        tail=image_tail,
        zero_point=7,
        target=image_target,
        depth_step=image_step,
    )
    of_weights = Load(  # filters as pixels, each with all its taps as channels
        address=1024,
        row_pitch=0,
        pixel_pitch=b,
        height=1,
        width=filters,
        channels=b,
        columns=filters,
        windows=filters,
        tail=weight_tail,
        signed=True,
        target=weight_target,
        depth_step=weight_step,
    )
    of_left, of_top = (of_weights, of_image) if dataflow is Dataflow.IS else (of_image, of_weights)
    for load, lanes, expected in (
        (of_left, ROWS, layout.left(left, right)),
        (of_top, COLUMNS, layout.top(left, right)),
    ):
        bench = benches[lanes]
        assert bench.load(memory, load) == load_cycles(load, bench.parameters)
        given = bench.contents(expected.shape[1])
        # Lanes of no row or column of the product may hold anything.
        used = np.ones(expected.shape, bool)
        items = load.windows if load.target is LoadTarget.ALONG else b
        last = ceil_div(items, lanes) - 1
        for lane in range(items - last * lanes, lanes):
            used[lane, last * load.depth_step :] = False
        assert np.array_equal(given[used], expected[used])
