"""Test benches: drive a circuit from Python, one step a cycle. Not a test itself."""

from __future__ import annotations

from collections import deque
from functools import cache

import numpy as np
import pyrtl

from dynamap_rtl import Dataflow
from dynamap_rtl.hardware import flatten
from dynamap_rtl.isa import COMPUTE
from dynamap_rtl.matrix_program import matrix_layout
from dynamap_rtl.units.accumulators import READ_LATENCY, WRITE_LATENCY
from dynamap_rtl.units.array import ArrayParameters
from dynamap_rtl.units.gemm import GemmParameters, matrix_engine


def packed(values, width: int) -> int:
    """Lane 0 in the lowest bits."""
    return sum((int(value) & (1 << width) - 1) << (lane * width) for lane, value in enumerate(values))


def unpacked(bus: int, width: int, lanes: int) -> list[int]:
    """Signed lanes."""
    values = [bus >> (lane * width) & (1 << width) - 1 for lane in range(lanes)]
    return [value - (value >> width - 1 << width) for value in values]


class MatrixBench:
    """A matrix engine whose operand buffers are arrays; what a buffer gives without being read is noise."""

    def __init__(self, parameters: GemmParameters) -> None:
        self.parameters = parameters
        self.simulation = pyrtl.FastSimulation(tracer=None, block=flatten(matrix_engine(parameters)))
        self.coming = deque([(0, 0)] * parameters.read_latency)
        self.noise = np.random.default_rng(1)
        self.cycle = 0

    def step(self, left, top, **inputs: int) -> None:
        element = self.parameters.array.element
        given = {"command": 0, "command_valid": 0, "read": 0, "read_address": 0, "read_half": 0, **inputs}
        left_data, top_data = self.coming.popleft()
        self.simulation.step({"left_data": left_data, "top_data": top_data, **given})
        self.cycle += 1
        self.coming.append(
            (
                self._read("left", left, element.left_width, self.parameters.array.rows),
                self._read("top", top, element.top_width, self.parameters.array.columns),
            )
        )

    def _read(self, side: str, buffer, width: int, lanes: int) -> int:
        if not self.simulation.inspect(f"{side}_read"):
            return packed(self.noise.integers(0, 1 << width, lanes), width)
        depth = self.simulation.inspect(f"{side}_depth")
        assert self.simulation.inspect(f"{side}_phase") == depth % lanes
        return packed(buffer[:, depth], width)

    def multiply(self, dataflow: Dataflow, left, right):
        """The product, and the cycles from the first operand read to when its last result may be read."""
        (a, b), c = left.shape, right.shape[1]
        array = self.parameters.array
        layout = matrix_layout(dataflow, a, b, c, rows=array.rows, columns=array.columns)
        operands = layout.left(left, right), layout.top(left, right)
        self.step(*operands, command=COMPUTE.pack(**layout.command(self.parameters)), command_valid=1)
        assert self.simulation.inspect("command_ready")
        first = last = None
        while last is None:
            self.step(*operands)
            if first is None and (self.simulation.inspect("top_read") or self.simulation.inspect("left_read")):
                first = self.cycle
            if self.simulation.inspect("retired"):
                last = self.cycle
        # The last column is P2 - 1 cycles behind; a word may be read so long after its result.
        ready = last + array.columns - 1 + WRITE_LATENCY
        while self.cycle < ready - 1:
            self.step(*operands)
        words = []
        for word in range(layout.words + READ_LATENCY):
            reads = {"read": 1, "read_address": word} if word < layout.words else {}
            self.step(*operands, **reads)
            if word >= READ_LATENCY:
                words.append(unpacked(self.simulation.inspect("row"), array.element.sum_width, array.columns))
        return layout.product(np.array(words).T), ready - first


@cache
def matrix_bench(rows: int, columns: int, read_latency: int = 1) -> MatrixBench:
    """One bench a shape: it is used again, which shows that nothing is left behind."""
    return MatrixBench(
        GemmParameters(
            array=ArrayParameters(rows=rows, columns=columns),
            left_depth=2048,
            top_depth=2048,
            accumulator_depth=1024,
            read_latency=read_latency,
        )
    )
