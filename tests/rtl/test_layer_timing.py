"""Formulas of whole layers against the cycles of their programs.

``program_cycles`` equals the circuit cycle for cycle (test_program_cycles.py), so that it judges the formulas here, and
the circuit itself judges some.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from dynamap_rtl import Dataflow, Overlay
from dynamap_rtl.geometry import ConvShape, WindowShape
from dynamap_rtl.layer_blocks import WinogradShape, convolution_blocks
from dynamap_rtl.layer_timing import convolution_cycles, winograd_cycles
from dynamap_rtl.program.assembler import assemble
from dynamap_rtl.program.convolution import Convolution, convolution_program
from dynamap_rtl.program.cycles import program_cycles
from dynamap_rtl.program.layer import Scaling, TensorPlace
from dynamap_rtl.program.vector import Addition, AveragePooling, MaxPooling, vector_program
from dynamap_rtl.program.winograd import winograd_program
from dynamap_rtl.simulation import OverlaySimulation
from dynamap_rtl.sizes import sizes_of
from dynamap_rtl.units.vector_path import Windows
from dynamap_rtl.vector_timing import vector_cycles

TARGET, CONSTANTS = 1 << 24, 1 << 25
ARRAYS = [(92, 66), (48, 128), (32, 200), (16, 16), (25, 8), (7, 60)]
PORTS = [(64, 58), (128, 58), (16, 20)]  # bytes a cycle, cycles of latency
LAYERS = [
    ConvShape(56, 56, 64, 56, 56, 192, (3, 3), pads=(1, 1, 1, 1)),
    ConvShape(28, 28, 192, 28, 28, 64),
    ConvShape(28, 28, 96, 28, 28, 128, (3, 3), pads=(1, 1, 1, 1)),
    ConvShape(28, 28, 16, 28, 28, 32, (5, 5), pads=(2, 2, 2, 2)),
    ConvShape(14, 14, 480, 14, 14, 192),
    ConvShape(14, 14, 112, 14, 14, 224, (3, 3), pads=(1, 1, 1, 1)),
    ConvShape(7, 7, 832, 7, 7, 384),
    ConvShape(7, 7, 192, 7, 7, 384, (3, 3), pads=(1, 1, 1, 1)),
    ConvShape(1, 1, 1024, 1, 1, 1000),
    ConvShape(112, 112, 3, 56, 56, 64, (7, 7), (2, 2), (3, 3, 3, 3)),
    ConvShape(17, 17, 192, 17, 17, 224, (1, 7), pads=(0, 3, 0, 3)),
    ConvShape(8, 8, 1536, 8, 8, 256),
    ConvShape(28, 28, 128, 14, 14, 256, (3, 3), (2, 2), (1, 1, 1, 1)),
]


def overlay(port: tuple[int, int], winograd: tuple[int, ...] = ()) -> Overlay:
    return Overlay(
        dram_bytes_per_cycle=port[0], dram_latency_cycles=port[1], on_chip_bits=40_000_000, winograd=winograd
    )


def place(address: int, height: int, width: int, channels: int) -> TensorPlace:
    return TensorPlace(address=address, height=height, width=width, channels=channels, pixel_pitch=channels)


def layer(conv: ConvShape) -> Convolution:
    """With values that do not matter."""
    channels = conv.out_channels
    return Convolution(
        source=place(0, conv.in_height, conv.in_width, conv.in_channels),
        target=place(TARGET, conv.out_height, conv.out_width, channels),
        weights=np.zeros((channels, conv.in_channels // conv.groups, *conv.kernel), np.int64),
        scaling=Scaling(
            bias=np.zeros(channels, np.int64),
            multiplier=np.full(channels, 1 << 23),
            shift=np.full(channels, 30),
            low=-128,
            high=127,
        ),
        stride=conv.stride,
        pads=conv.pads[:2],
        dilation=conv.dilation,
        groups=conv.groups,
    )


class Deviations:
    """How far formulas are from programs."""

    def __init__(self) -> None:
        self.cases: dict[str, float] = {}

    def add(self, name: str, formula: int, measured: int) -> None:
        self.cases[name] = formula / measured - 1

    def within(self, most: float, share: float, farthest: float) -> None:
        """At least this share of the cases is within ``most``, none is beyond ``farthest``."""
        values = np.abs(list(self.cases.values()))
        worst = dict(sorted(self.cases.items(), key=lambda case: -abs(case[1]))[:5])
        assert (values <= most).mean() >= share, worst
        assert values.max() <= farthest, worst
        assert abs(np.mean(list(self.cases.values()))) < most / 2


def test_convolutions_under_every_algorithm_and_dataflow_take_the_formulas_cycles():
    rng, found = random.Random(5), Deviations()
    while len(found.cases) < 60:
        conv, shape, port = rng.choice(LAYERS), rng.choice(ARRAYS), rng.choice(PORTS)
        dataflow, kn2row = rng.choice(list(Dataflow)), rng.random() < 0.4 and conv.kernel != (1, 1)
        if conv.macs > 12_000 * shape[0] * shape[1]:
            continue
        circuit = overlay(port).circuit(*shape)
        name = f"{conv} {shape} {port} {dataflow} kn2row={kn2row}"
        predicted = convolution_cycles(conv, sizes_of(circuit), dataflow, kn2row=kn2row, divides=False)
        program = convolution_program(layer(conv), circuit, dataflow, constants_address=CONSTANTS, kn2row=kn2row)
        found.add(name, int(predicted.total[0]), program_cycles(program.instructions, circuit).total)
    found.within(0.005, share=0.98, farthest=0.006)


def grouped(rng: random.Random, *, depthwise: bool) -> ConvShape:
    """A convolution by groups, with any kernel, stride, dilation and padding."""
    size, kernel = rng.choice([7, 8, 13, 14, 20, 28]), rng.choice([(3, 3), (3, 3), (5, 5), (1, 7), (2, 2), (1, 3)])
    stride, dilation = rng.choice([1, 1, 2, 3]), rng.choice([1, 1, 1, 2])
    groups = rng.choice([8, 24, 40, 96, 256] if depthwise else [2, 3, 8, 16])
    inputs, outputs = (1, rng.choice([1, 1, 2])) if depthwise else (rng.choice([4, 12, 32]), rng.choice([3, 8, 32]))
    padded = rng.random() < 0.7
    pads = tuple((side - 1) * dilation // 2 if padded else 0 for side in kernel)
    out = ((size + 2 * pad - (side - 1) * dilation - 1) // stride + 1 for side, pad in zip(kernel, pads, strict=True))
    return ConvShape(
        *(size, size, groups * inputs, *out, groups * outputs, kernel),
        stride=(stride, stride),
        pads=(*pads, *pads),
        dilation=(dilation, dilation),
        groups=groups,
    )


@pytest.mark.parametrize(("depthwise", "share", "farthest"), [(True, 0.95, 0.045), (False, 0.91, 0.025)])
def test_convolutions_by_groups_take_the_formulas_cycles(depthwise, share, farthest):
    rng, found = random.Random(8), Deviations()
    arrays, ports = [*ARRAYS, (8, 8), (10, 14), (32, 32)], [*PORTS, (16, 4), (32, 57), (256, 57)]
    while len(found.cases) < 60:
        conv, array, port = grouped(rng, depthwise=depthwise), rng.choice(arrays), rng.choice(ports)
        dataflow, kn2row, winograd = rng.choice(list(Dataflow)), rng.random() < 0.5, rng.choice([(), (2, 4)])
        circuit = overlay(port, winograd).circuit(*array, channel_words=8192)
        predicted = convolution_cycles(conv, sizes_of(circuit), dataflow, kn2row=kn2row, divides=bool(winograd))
        if not predicted.valid[0] or predicted.load[0] > 20_000:
            continue
        program = convolution_program(layer(conv), circuit, dataflow, constants_address=CONSTANTS, kn2row=kn2row)
        name = f"{conv} {array} {port} {winograd} {dataflow} kn2row={kn2row}"
        found.add(name, int(predicted.total[0]), program_cycles(program.instructions, circuit).total)
    found.within(0.01, share=share, farthest=farthest)


@pytest.mark.parametrize(
    ("conv", "array", "port", "dataflow", "kn2row"),
    [
        pytest.param(
            ConvShape(13, 13, 256, 13, 13, 48),
            (48, 128),
            (256, 57),
            Dataflow.NS,
            False,
            id="the port is free before a loader has cut its last beats",
        ),
        pytest.param(
            ConvShape(14, 14, 96, 14, 14, 576),
            (64, 200),
            (64, 58),
            Dataflow.NS,
            False,
            id="the first finish waits for channel parameters behind loads asked for before them",
        ),
        pytest.param(
            ConvShape(14, 14, 480, 14, 14, 192),
            (64, 97),
            (64, 30),
            Dataflow.IS,
            False,
            id="a load waits for runs of a later one that are asked for already",
        ),
        pytest.param(
            ConvShape(7, 7, 48, 7, 7, 128, (5, 5), pads=(2, 2, 2, 2)),
            (48, 128),
            (256, 57),
            Dataflow.IS,
            True,
            id="weights are fetched behind the products before them",
        ),
        pytest.param(
            ConvShape(7, 7, 128, 7, 7, 32, (3, 3), pads=(1, 1, 1, 1)),
            (16, 64),
            (8, 20),
            Dataflow.IS,
            True,
            id="padding behind a load is of no use to others if the next of its side follows",
        ),
        pytest.param(
            ConvShape(8, 8, 384, 8, 8, 256, (1, 3), pads=(0, 1, 0, 1)),
            (48, 128),
            (256, 57),
            Dataflow.WS,
            True,
            id="channel parameters delay both sides",
        ),
        pytest.param(
            ConvShape(55, 55, 64, 55, 55, 16),
            (64, 97),
            (64, 30),
            Dataflow.WS,
            False,
            id="an odd number of blocks is left out where every other one is longer",
        ),
        pytest.param(
            ConvShape(14, 14, 40, 14, 14, 40, (3, 3), pads=(1, 1, 1, 1), groups=40),
            (128, 66),
            (64, 30),
            Dataflow.NS,
            False,
            id="the last pack of groups is smaller",
        ),
    ],
)
def test_what_loads_wait_for_is_in_the_formulas(conv, array, port, dataflow, kn2row):
    circuit = overlay(port, (2, 4)).circuit(*array, channel_words=1024)
    predicted = convolution_cycles(conv, sizes_of(circuit), dataflow, kn2row=kn2row, divides=True)
    program = convolution_program(layer(conv), circuit, dataflow, constants_address=CONSTANTS, kn2row=kn2row)
    measured = program_cycles(program.instructions, circuit).total
    assert int(predicted.total[0]) == pytest.approx(measured, rel=0.008)


def test_a_load_takes_the_place_of_what_was_read_last_but_one_where_two_parts_stay():
    little = Overlay(dram_bytes_per_cycle=64, dram_latency_cycles=58, on_chip_bits=10_000_000, winograd=(2, 4))
    circuit, conv = little.circuit(64, 97, channel_words=1024), ConvShape(14, 14, 544, 14, 14, 128)
    blocks = convolution_blocks(conv, sizes_of(circuit), Dataflow.NS, kn2row=False)
    assert (blocks.parts[0], blocks.joined[0], blocks.pixels_outer[0]) == (2, False, False)
    predicted = convolution_cycles(conv, sizes_of(circuit), Dataflow.NS, kn2row=False, divides=True)
    program = convolution_program(layer(conv), circuit, Dataflow.NS, constants_address=CONSTANTS)
    measured = program_cycles(program.instructions, circuit).total
    assert int(predicted.total[0]) == pytest.approx(measured, rel=0.005)


def test_stores_of_a_group_that_do_not_fit_their_queue_hold_the_loads_behind_them():
    circuit, conv = (
        overlay((32, 57), (2, 4)).circuit(16, 16),
        ConvShape(28, 28, 64, 28, 28, 64, (3, 3), pads=(1, 1, 1, 1)),
    )
    predicted = winograd_cycles(WinogradShape(conv, 4), sizes_of(circuit), Dataflow.IS, tiles=(2, 4))
    program = winograd_program(layer(conv), circuit, Dataflow.IS, tile=4, constants_address=CONSTANTS)
    measured = program_cycles(program.instructions, circuit).total
    assert int(predicted.total[0]) == pytest.approx(measured, rel=0.008)


def test_products_and_finishes_behind_many_stores_are_fetched_late():
    circuit, conv = (
        overlay((32, 57), (2, 4)).circuit(16, 16, channel_words=1024),
        ConvShape(27, 55, 16, 27, 55, 64, (3, 3), pads=(1, 1, 1, 1)),
    )
    predicted = winograd_cycles(WinogradShape(conv, 4), sizes_of(circuit), Dataflow.IS, tiles=(2, 4))
    program = winograd_program(layer(conv), circuit, Dataflow.IS, tile=4, constants_address=CONSTANTS)
    measured = program_cycles(program.instructions, circuit).total
    assert int(predicted.total[0]) == pytest.approx(measured, rel=0.008)


def test_many_shapes_at_once_take_the_cycles_of_each_alone():
    sizes = overlay((64, 58)).sizes(*np.array(ARRAYS).T)
    grouped = ConvShape(14, 14, 40, 14, 14, 40, (3, 3), pads=(1, 1, 1, 1), groups=40)
    for conv in (LAYERS[0], LAYERS[7], LAYERS[8], grouped):
        for dataflow in Dataflow:
            for kn2row in (False, True):
                options = {"kn2row": kn2row, "divides": False}
                together = convolution_cycles(conv, sizes, dataflow, **options).total
                for number, cycles in enumerate(together):
                    alone = sizes.at(np.array([number]))
                    assert convolution_cycles(conv, alone, dataflow, **options).total[0] == cycles


POOLS = [
    (56, 192, 3, 2, 0, "max"),
    (28, 192, 3, 1, 1, "max"),
    (14, 480, 3, 1, 1, "max"),
    (7, 1024, 7, 1, 0, "average"),
    (14, 512, 1, 1, 0, "add"),
    (28, 64, 1, 1, 0, "add"),
    (17, 256, 3, 1, 1, "average"),
    (8, 1536, 8, 1, 0, "average"),
]


def test_the_vector_path_takes_the_formulas_cycles():
    found = Deviations()
    for size, channels, kernel, stride, pad, kind in POOLS:
        out = (size + 2 * pad - kernel) // stride + 1
        source, target = place(0, size, size, channels), place(TARGET, out, out, channels)
        windows = Windows(kernel=(kernel, kernel), strides=(stride, stride), pads=(pad,) * 4)
        shape = WindowShape(size, size, channels, out, out, (kernel, kernel), (stride, stride), (pad, pad))
        match kind:
            case "max":
                work = MaxPooling(source=source, target=target, windows=windows)
            case "average":
                shape = replace(shape, divisors=True)
                work = AveragePooling(source=source, target=target, windows=windows, source_scale=1.0, target_scale=1.0)
            case _:
                shape = replace(shape, terms=2)
                second = replace(source, address=1 << 22)
                work = Addition(a=source, b=second, target=target, a_scale=1.0, b_scale=1.0, target_scale=2.0)
        for array, port in zip(ARRAYS, PORTS * 2, strict=True):
            circuit = overlay(port).circuit(*array)
            program = vector_program(work, circuit, constants_address=CONSTANTS)
            predicted = vector_cycles(shape, sizes_of(circuit))
            measured = program_cycles(program.instructions, circuit).total
            found.add(f"{size}x{size}x{channels} {kind} {array} {port}", int(predicted.total[0]), measured)
    assert len(found.cases) == 48
    found.within(0.002, share=0.9, farthest=0.005)


def test_no_overlays_have_no_cycles():
    none = np.zeros(0, np.int64)
    window = WindowShape(14, 14, 64, 7, 7, (2, 2), (2, 2), (0, 0))
    assert vector_cycles(window, overlay((64, 30)).sizes(none, none)).total.size == 0


@pytest.mark.parametrize("array", [(16, 16), (12, 20)])
def test_layers_on_the_circuit_take_the_formulas_cycles(array):
    parameters = overlay((64, 30), (2, 4))
    circuit = parameters.circuit(*array)
    simulation = OverlaySimulation(circuit, memory_bytes=1 << 26)
    found = Deviations()
    small = [conv for conv in LAYERS if conv.macs < 40_000 * array[0] * array[1]]
    small += [
        ConvShape(20, 20, 33, 20, 20, 50, (3, 3), pads=(1, 1, 1, 1)),
        ConvShape(17, 17, 24, 17, 17, 40, (7, 1), pads=(3, 0, 3, 0)),
    ]
    cases = [(conv, dataflow, tile) for conv in small for dataflow in Dataflow for tile in (None, 2, 4)]
    rng = random.Random(array[0])
    for conv, dataflow, tile in rng.sample(cases, 24):
        if tile is None:
            program = convolution_program(layer(conv), circuit, dataflow, constants_address=CONSTANTS)
            predicted = convolution_cycles(conv, sizes_of(circuit), dataflow, kn2row=False, divides=True)
        elif conv.stride == (1, 1) and max(conv.kernel) >= 3:
            program = winograd_program(layer(conv), circuit, dataflow, tile=tile, constants_address=CONSTANTS)
            shape = WinogradShape(conv, tile)
            predicted = winograd_cycles(shape, sizes_of(circuit), dataflow, tiles=circuit.winograd)
        else:
            continue
        code = assemble(program.instructions)
        start = CONSTANTS + -(-len(program.constants) // 4096) * 4096
        for address, data in ((CONSTANTS, program.constants), (start, code)):
            simulation.memory[address : address + len(data)] = np.frombuffer(data, np.uint8)
        found.add(f"{conv} {dataflow} {tile}", int(predicted.total[0]), simulation.run(start))
    assert len(found.cases) > 12
    found.within(0.005, share=1, farthest=0.005)
