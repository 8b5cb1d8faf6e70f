"""The overlay's cost model: stages computed by hand, and bounds that no stage of any network may break."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dynamap_models import build_model, model_names
from dynamap_models.ir import HostOperator, Layer, Tensor
from dynamap_models.zoo.builder import RELU, NetworkBuilder
from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.costs import OverlayCost
from dynamap_opt.layouts import NHWC
from dynamap_opt.lowering import lower
from dynamap_opt.program import Program, StageKind
from dynamap_opt.tables import build_tables
from dynamap_rtl import Dataflow, Overlay
from dynamap_solvers import FORBIDDEN

OVERLAY = Overlay(
    dram_bytes_per_cycle=8,
    dram_latency_cycles=10,
    activation_buffer_bytes=1000,
    weight_buffer_bytes=200,
    accumulator_bytes=144,
)


def cost(program: Program, overlay: Overlay = OVERLAY, **options) -> OverlayCost:
    return OverlayCost(program, overlay, tuple(ALGORITHMS.values()), **options)


def stage_named(program: Program, name: str):
    return next(stage for stage in program.stages if stage.name == name)


@pytest.fixture(scope="module")
def small() -> Program:
    """Every kind of stage on a map of 5 rows, 6 columns and 6 channels."""
    net = NetworkBuilder("small")
    x = net.input("image", 6, 5, 6)
    a = net.conv("conv3", x, 10, 3, pads=1, activation=RELU)
    residual = net.add("sum", a, net.conv("conv1", a, 10, 1))
    wide = net.conv("wide", residual, 4, (1, 7), pads=(0, 3), activation=RELU)
    joined = net.concat("joined", [wide, net.max_pool("pool", residual, 3, stride=1, pads=1)])
    up = net.conv_transpose("up", joined, 3, 2, stride=2)
    slice_up = net.conv_transpose("slice", joined, 3, 2, stride=2)
    both = net.concat("both", [slice_up, net.conv("other", up, 5, 1)])
    last = net.conv("last", both, 2, 1)
    return lower(net.build(net.fully_connected("head", net.flatten("flat", last), 7)))


# Ports of 8 bytes. Weights and the 8 bytes a channel of bias and requantisation take the port once each.
LOADS = [
    # im2col gathers: 13 window rows; windows of 2, 3, 3, 3, 3, 2 pixels of 6 bytes are 12 and 18 bytes, 2 and 3
    # cycles: 13·(2·2 + 4·3) = 208. Toeplitz matrix 30·54 = 1620 bytes: 2 blocks of 1000. Weights 3·3·6·10 = 540 bytes,
    # 68 cycles, 3 blocks of 200. Better: 208 + 2·68 = 344, not 3·208 + 68. Parameters 80 bytes: 10.
    ("conv3", "im2col", "nhwc", 344 + 10),
    # Toeplitz as stored: 1620 bytes are 203 cycles, 203 + 2·68 = 339.
    ("conv3", "im2col", "toeplitz-3x3", 339 + 10),
    # kn2row reads 180 bytes once, 23 cycles, and they fit: 23 + 68.
    ("conv3", "kn2row", "nhwc", 91 + 10),
    # F(2x2): 3x3 tiles of 4x4. Window rows: 3 + 4 + 3 (rows -1 to 2, 1 to 4, 3 to 6) less padding: 3 + 4 + 2 = 9;
    # columns: 3, 4, 3 (3 to 6 less padding: 3, 4, 5) pixels, 18, 24, 18 bytes: 3 + 3 + 3 = 9: 81 cycles. On chip
    # 9·16·6·2 bytes = 1728: 2 blocks. Weights 16·6·10·2 = 1920 bytes, 240 cycles, 10 blocks: 81 + 480, not 810 + 240.
    ("conv3", "winograd-f2-2d", "nhwc", 561 + 10),
    # Tiles as stored: 9·16·6 = 864 bytes, 108 cycles: 108 + 480.
    ("conv3", "winograd-f2-2d", "tiles-f2x2-3x3", 588 + 10),
    # F(4x4): 2x2 tiles of 6x6. Rows -1 to 4 and 3 to 8: 5 + 2 = 7; columns -1 to 4 and 3 to 8: 5 + 3 pixels, 30 + 18
    # bytes: 4 + 3 = 7: 49 cycles. On chip 4·36·6·2 = 1728: 2 blocks. Weights 36·6·10·3 = 6480 bytes, 810 cycles, 33
    # blocks: 49 + 1620, not 33·49 + 810 = 2427.
    ("conv3", "winograd-f4-2d", "nhwc", 1669 + 10),
    # 1x1 reads its 300 bytes as they are, 38; weights 100 bytes, 13; parameters 10; the addend 300 bytes, 38.
    ("conv1", "im2col", "nhwc", 38 + 13 + 10 + 38),
    # 1x7: 5 window rows; windows of 4, 5, 6, 6, 5, 4 pixels of 10 bytes: 5 + 7 + 8 + 8 + 7 + 5 = 40: 200 cycles. On
    # chip 30·70 = 2100 bytes: 3 blocks. Weights 280 bytes, 35 cycles, 2 blocks: 200 + 3·35 = 305, not 435.
    ("wide", "im2col", "nhwc", 305 + 4),
    # F(4, 3): 2 tiles of 6 columns in 3 parts, starting at -3, 0, 3 and 1, 4, 7: 3, 6, 3 and 5, 2, 0 pixels of 10
    # bytes: 4 + 8 + 4 + 7 + 3 = 26 in each of 5 rows: 130. On chip 5·36·10·2 = 3600 bytes: 4 blocks. Weights
    # 10·4·6·3·2 = 1440 bytes, 180 cycles, 8 blocks: 130 + 720, not 1040 + 180.
    ("wide", "winograd-f4-1d", "nhwc", 850 + 4),
    # A whole concatenation: 30·14 = 420 bytes, 53; weights 14·12 = 168, 21; parameters of 12 channels: 12.
    ("up", "im2col", "nhwc", 53 + 21 + 12),
    # A whole concatenation of 120 pixels of 3 and 5 bytes: 960 bytes, 120; weights 16 bytes, 2.
    ("last", "im2col", "nhwc", 120 + 2 + 2),
    # A flattened map of 240 bytes, 30; 1680 weights, 210; both pass once as the vector fits; parameters 7.
    ("head", "im2col", "nhwc", 30 + 210 + 7),
    # Pooling reads its 300 bytes.
    ("pool", None, "nhwc", 38),
]


@pytest.mark.parametrize(("name", "algorithm", "layout", "cycles"), LOADS)
def test_loads_take_the_cycles_computed_by_hand(small, name, algorithm, layout, cycles):
    model, stage = cost(small), stage_named(small, name)
    (found,) = [accepted for accepted in model.accepted_layouts(stage, 0) if accepted.label == layout]
    assert model.load_cycles(stage, None if algorithm is None else ALGORITHMS[algorithm], found) == cycles


def test_kn2row_by_blocks_reads_the_rows_between_blocks_again(small):
    # 180 bytes of map, half of 80: 3 blocks, 2 seams of 2 rows of ⌈23/5⌉ = 5 cycles: 20 more. Weights are 3 blocks of
    # 200: 43 + 3·68 = 247, or 3·43 + 68 = 197.
    model = cost(small, dataclasses.replace(OVERLAY, activation_buffer_bytes=80))
    assert model.load_cycles(stage_named(small, "conv3"), ALGORITHMS["kn2row"], NHWC) == 197 + 10


STORES = [
    ("conv1", "nhwc", 38),  # 300 bytes
    # For the 1x7 consumer: 5 rows of 4 + 5 + 6 + 6 + 5 + 4 = 30 pixels, 10 bytes each: 2 cycles.
    ("conv1", "toeplitz-1x7", 5 * 30 * 2),
    ("wide", "nhwc", 30),  # a slice: 30 pixels of 4 bytes
    ("pool", "nhwc", 60),  # a slice: 30 pixels of 10 bytes
    ("up", "nhwc", 30 * 2),  # 30 blocks of 2 rows of 2·3 bytes
    ("slice", "nhwc", 120),  # the same in a slice: 120 pixels of 3 bytes
    ("head", "nhwc", 1),
]


@pytest.mark.parametrize(("name", "layout", "cycles"), STORES)
def test_stores_take_the_cycles_computed_by_hand(small, name, layout, cycles):
    model, stage = cost(small), stage_named(small, name)
    layouts = {NHWC}
    for reader, position in small.readers[small.tensors[stage.output].group]:
        layouts |= set(model.accepted_layouts(reader, position))
    (found,) = [candidate for candidate in layouts if candidate.label == layout]
    for algorithm in model.algorithms(stage) or (None,):
        assert model.store_cycles(stage, algorithm, found) == cycles


@pytest.mark.parametrize(
    ("name", "algorithm", "dataflow", "cycles"),
    [
        # (30, 54, 10) on 4 x 3: ⌈30/4⌉·⌈10/3⌉ = 32 tiles of 54; once 5 + 4 + 4.
        ("conv3", "im2col", Dataflow.NS, 32 * 54 + 13),
        # WS: ⌈54/4⌉·4 = 56 tiles; 30 vectors in blocks of 8, 8, 8, 6.
        ("conv3", "im2col", Dataflow.WS, 56 * 30 + 13),
        # 36 products (4, 6, 10): 1·4·36 tiles of 6.
        ("conv3", "winograd-f4-2d", Dataflow.NS, 144 * 6 + 13),
        # 30 pixels, ⌈10/3⌉ = 4 vectors each, pipeline 4.
        ("pool", None, Dataflow.NS, 124),
    ],
)
def test_computation_takes_the_cycles_computed_by_hand(small, name, algorithm, dataflow, cycles):
    stage, chosen = stage_named(small, name), None if algorithm is None else ALGORITHMS[algorithm]
    assert cost(small).compute_cycles(stage, chosen, dataflow, 4, 3) == cycles
    shapes = cost(small).compute_cycles(stage, chosen, dataflow, np.array([4, 8]), np.array([3, 3]))
    assert shapes[0] == cycles
    assert shapes.shape == (2,)


def test_a_stage_lasts_as_long_as_its_longest_part_and_the_latency_at_both_ends(small):
    model = cost(small)
    assert [model.latency(*parts) for parts in ((5, 9, 3), (9, 5, 3), (3, 5, 9))] == [29, 29, 29]
    tables = build_tables(small, model)
    (table,) = [t for t in tables.stages if t.stage.name == "conv3"]
    latency = table.latency(4, 3)
    for i, layout in enumerate(table.in_layouts):
        for j, algorithm in enumerate(table.algorithms):
            for k, dataflow in enumerate(table.dataflows):
                for m, out in enumerate(table.out_layouts):
                    load = model.load_cycles(table.stage, algorithm, layout)
                    store = model.store_cycles(table.stage, algorithm, out)
                    compute = model.compute_cycles(table.stage, algorithm, dataflow, 4, 3)
                    expected = FORBIDDEN if load is None or store is None else max(load, compute, store) + 20
                    assert latency[i, j, k, m] == expected


def test_an_algorithm_reads_the_plain_layout_and_its_own_only(small):
    model, stage = cost(small), stage_named(small, "conv3")
    layouts = {layout.label: layout for layout in model.accepted_layouts(stage, 0)}
    assert list(layouts) == ["nhwc", "toeplitz-3x3", "tiles-f2x2-3x3", "tiles-f4x4-3x3"]
    readable = {
        algorithm.name: [
            label for label, layout in layouts.items() if model.load_cycles(stage, algorithm, layout) is not None
        ]
        for algorithm in model.algorithms(stage)
    }
    assert readable == {
        "im2col": ["nhwc", "toeplitz-3x3"],
        "kn2row": ["nhwc"],
        "winograd-f2-2d": ["nhwc", "tiles-f2x2-3x3"],
        "winograd-f4-2d": ["nhwc", "tiles-f4x4-3x3"],
    }
    assert model.accepted_layouts(stage_named(small, "conv1"), 1) == (NHWC,)  # the residual
    pool = stage_named(small, "pool")
    assert model.accepted_layouts(pool, 0) == (NHWC,)
    assert model.load_cycles(pool, None, layouts["toeplitz-3x3"]) is None


def test_two_products_a_slice_leave_no_room_for_winograds_operands(small):
    single, double = cost(small), cost(small, dataclasses.replace(OVERLAY, macs_per_dsp=2))
    for stage in small.stages:
        names = {algorithm.name for algorithm in single.algorithms(stage)}
        left = {algorithm.name for algorithm in double.algorithms(stage)}
        assert left == {name for name in names if not name.startswith("winograd")}
        assert bool(left) == (stage.kind is StageKind.ARRAY)
    labels = {layout.label for layout in double.accepted_layouts(stage_named(small, "conv3"), 0)}
    assert labels == {"nhwc", "toeplitz-3x3"}


def test_a_preferred_family_is_used_where_it_is_legal_and_im2col_elsewhere(small):
    model = cost(small, prefer="winograd")
    assert {a.name for a in model.algorithms(stage_named(small, "conv3"))} == {"winograd-f2-2d", "winograd-f4-2d"}
    assert {a.name for a in model.algorithms(stage_named(small, "wide"))} == {"winograd-f2-1d", "winograd-f4-1d"}
    assert {a.name for a in model.algorithms(stage_named(small, "conv1"))} == {"im2col"}


def test_the_host_takes_no_time_and_the_plain_layout_only():
    net = NetworkBuilder("net")
    conv = net.conv("conv", net.input("image", 6, 5, 6), 4, 3)
    network = net.build(conv)
    network = dataclasses.replace(
        network,
        layers=(*network.layers, Layer("erf", HostOperator("Erf"), (conv,), "y")),
        outputs=("y",),
        tensors={**network.tensors, "y": Tensor("y", 3, 4, 4, (1, 4, 3, 4))},
    )
    program = lower(network, allow_host=True)
    model, stage = cost(program), stage_named(program, "erf")
    assert stage.kind is StageKind.HOST
    assert model.accepted_layouts(stage, 0) == (NHWC,)
    assert (model.load_cycles(stage, None, NHWC), model.store_cycles(stage, None, NHWC)) == (0, 0)
    assert model.compute_cycles(stage, None, Dataflow.NS, 4, 3) == 0
    (table,) = [t for t in build_tables(program, model).stages if t.stage is stage]
    assert table.latency(4, 3).tolist() == [[[[0]]]]


# ---- the whole zoo ----


@pytest.fixture(scope="module", params=model_names())
def program(request) -> Program:
    return lower(build_model(request.param))


def touched(size: int, count: int, stride: int, pad: int, taps: int, dilation: int) -> int:
    """Positions along an axis that some window of the convolution holds."""
    held = {i * stride - pad + k * dilation for i in range(count) for k in range(taps)}
    return len(held & set(range(size)))


def unavoidable_bytes(program: Program, stage) -> int:
    """What any machine has to read: elements the result depends on, untransformed weights, other operands."""
    first, *others = (program.tensors[name] for name in stage.inputs)
    total = sum(tensor.size for tensor in others)
    if stage.conv is None:
        return total + first.size
    conv = stage.conv
    total += conv.weight_count + 8 * conv.out_channels
    if conv.in_height == conv.in_width == 1:
        return total + first.size
    extents = [
        touched(size, count, conv.stride[axis], conv.pads[axis], conv.kernel[axis], conv.dilation[axis])
        for axis, (size, count) in enumerate(
            ((conv.in_height, conv.out_height), (conv.in_width, conv.out_width)),
        )
    ]
    return total + extents[0] * extents[1] * conv.in_channels


WIDTHS = (5, 21, 64, 256)


def test_no_stage_of_the_zoo_loads_or_stores_less_than_it_must_and_wider_ports_never_cost(program):
    before = None
    for width in WIDTHS:
        model = cost(program, dataclasses.replace(OVERLAY, dram_bytes_per_cycle=width, weight_buffer_bytes=2**20))
        tables = build_tables(program, model)
        now = []
        for table in tables.stages:
            assert np.all(table.load >= -(-unavoidable_bytes(program, table.stage) // width)), table.stage.name
            assert np.all(table.store >= -(-program.tensors[table.stage.output].size // width)), table.stage.name
            # Only the layouts of other algorithms are out of reach, and the plain one never is.
            assert np.all(table.load[0] < FORBIDDEN)
            now += [table.load, table.store]
        if before is not None:
            assert all(np.all(later <= earlier) for earlier, later in zip(before, now, strict=True))
        before = now


def test_larger_buffers_never_cost(program):
    before = None
    for size in (2**12, 2**16, 2**20, 2**30):
        overlay = dataclasses.replace(OVERLAY, activation_buffer_bytes=size, weight_buffer_bytes=size)
        now = [table.load for table in build_tables(program, cost(program, overlay)).stages]
        if before is not None:
            assert all(np.all(later <= earlier) for earlier, later in zip(before, now, strict=True))
        before = now


def test_every_stage_of_the_zoo_on_the_array_has_im2col_and_every_cost_is_positive(program):
    model = cost(program)
    for stage in program.stages:
        names = {algorithm.name for algorithm in model.algorithms(stage)}
        assert ("im2col" in names) == (stage.kind is StageKind.ARRAY)
        for algorithm in model.algorithms(stage) or (None,):
            assert all(model.compute_cycles(stage, algorithm, dataflow, 16, 16) > 0 for dataflow in Dataflow)
