"""The preset ``overlay``: its choices are the hardware's, and its bounds are bounds."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_models.zoo import NetworkBuilder, build_model
from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.board import load_board
from dynamap_opt.costs import OverlayCost, Precision, ShapeBatch
from dynamap_opt.layouts import NHWC
from dynamap_opt.lowering import lower
from dynamap_opt.mapper import Mapper
from dynamap_opt.program import StageKind
from dynamap_rtl import Dataflow, Overlay
from dynamap_solvers import FORBIDDEN

OVERLAY = Overlay(dram_bytes_per_cycle=16, dram_latency_cycles=20, on_chip_bits=4_000_000, winograd=(2, 4))


def cost(program, **options) -> OverlayCost:
    return OverlayCost(program, OVERLAY, tuple(ALGORITHMS.values()), **options)


@pytest.fixture(scope="module")
def small():
    net = NetworkBuilder("small")
    image = net.input("image", 3, 12, 10)
    stem = net.conv("stem", image, 8, 3, stride=2, pads=1)
    left = net.conv("left", stem, 8, 3, pads=1)
    both = net.concat("both", [left, net.conv("right", stem, 4, 1)])
    net.conv("piece", left, 5, 3, pads=1)
    return lower(net.build("piece", net.conv("last", both, 6, 1), net.max_pool("pool", both, 2, stride=2)))


def stage_named(program, name):
    return next(stage for stage in program.stages if stage.name == name)


def test_only_what_the_host_writes_may_be_a_toeplitz_matrix_and_only_im2col_reads_it(small):
    model, shapes = cost(small), ShapeBatch.of(8, 8)
    stem = stage_named(small, "stem")
    plain, toeplitz = model.accepted_layouts(stem, 0)
    assert (plain.label, toeplitz.label) == ("nhwc", "toeplitz-3x3s2")
    for stage in small.stages:
        if stage is not stem:
            assert model.accepted_layouts(stage, 0) == (NHWC,)
    for algorithm in model.algorithms(stem):
        found = model.cycles(stem, algorithm, Dataflow.NS, toeplitz, NHWC, shapes)
        assert (found is not None) == (algorithm.family == "im2col")
    im2col = ALGORITHMS["im2col"]
    assert model.cycles(stem, im2col, Dataflow.NS, NHWC, toeplitz, shapes) is None
    matrix, windows = (model.cycles(stem, im2col, Dataflow.NS, layout, NHWC, shapes) for layout in (toeplitz, NHWC))
    assert matrix.load[0] < windows.load[0]  # 27 bytes in two pieces, not in three
    assert matrix.compute[0] == windows.compute[0]


def test_a_slice_of_a_concatenation_is_read_pixel_by_pixel(small):
    model, shapes = cost(small), ShapeBatch.of(8, 8)
    piece, im2col = stage_named(small, "piece"), ALGORITHMS["im2col"]
    apart = im2col.cycles(
        piece.conv, Dataflow.NS, OVERLAY.sizes(shapes.p1, shapes.p2), OVERLAY, contiguous=False, bound=False
    )
    found = model.cycles(piece, im2col, Dataflow.NS, NHWC, NHWC, shapes)
    assert found.total[0] == apart.total[0]
    assert model.signature(piece) != model.signature(stage_named(small, "left"))


def test_lower_bounds_are_bounds_and_floors_are_below_them():
    rng = np.random.default_rng(3)
    p1, p2 = rng.integers(1, 60, (2, 150))
    kept = OVERLAY.buildable(p1, p2)
    p1, p2 = p1[kept], p2[kept]
    program = lower(build_model("googlenet"))
    model = cost(program)
    seen = set()
    for stage in program.stages:
        if stage.conv is None or model.signature(stage) in seen:
            continue
        seen.add(model.signature(stage))
        if len(seen) % 8:  # an eighth of the shapes of layers will do
            continue
        for algorithm in model.algorithms(stage):
            for dataflow in Dataflow:
                floor, bound, exact = (
                    model.cycles(stage, algorithm, dataflow, NHWC, NHWC, ShapeBatch(p1, p2, precision)).total
                    for precision in Precision
                )
                valid = exact < FORBIDDEN
                assert (floor[valid] <= exact[valid]).all(), (stage.name, algorithm.name, dataflow)
                assert (bound[valid] <= exact[valid]).all(), (stage.name, algorithm.name, dataflow)
                assert ((bound == FORBIDDEN) == ~valid).all()
    assert len(seen) > 20


def test_two_products_a_slice_leave_no_room_for_winograds_operands():
    mapper = Mapper(build_model("squeezenet-1.1"), load_board("zcu104"), macs_per_dsp=2)
    assert mapper.overlay.winograd == ()
    assert not any(
        algorithm.family == "winograd"
        for stage in mapper.program.stages
        for algorithm in mapper.model.algorithms(stage)
    )


def test_a_preferred_family_is_used_where_it_is_legal_and_im2col_elsewhere(small):
    model = cost(small, prefer="kn2row")
    families = {stage.name: {a.family for a in model.algorithms(stage)} for stage in small.stages if stage.conv}
    assert families == {
        "stem": {"kn2row"},
        "left": {"kn2row"},
        "right": {"im2col"},
        "piece": {"kn2row"},
        "last": {"im2col"},
    }


def test_the_overlay_has_the_transforms_of_the_algorithms_it_may_use():
    network, board = build_model("squeezenet-1.1"), load_board("zcu102")
    assert Mapper(network, board).overlay.winograd == (2, 4)
    assert Mapper(network, board, algorithms=["im2col", "winograd-f2-2d"]).overlay.winograd == (2,)
    assert Mapper(network, board, algorithms=["im2col", "kn2row"]).overlay.winograd == ()
    assert Mapper(network, board).overlay.dram_bytes_per_cycle == 64  # 77 bytes a cycle, to a power of two
    assert Mapper(network, load_board("alveo-u200")).overlay.dram_bytes_per_cycle == 128  # the widest of AXI


def test_every_stage_of_the_zoo_that_is_not_the_hosts_costs_something():
    for name in ("squeezenet-1.1", "mobilenet-v2"):
        program = lower(build_model(name), allow_host=True)
        model, shapes = cost(program), ShapeBatch.of(16, 16)
        seen = set()
        for stage in program.stages:
            if stage.kind is StageKind.HOST or model.signature(stage) in seen:
                continue
            seen.add(model.signature(stage))
            options = model.algorithms(stage) if stage.kind is StageKind.ARRAY else (None,)
            totals = [
                model.cycles(stage, algorithm, dataflow, NHWC, NHWC, shapes).total[0]
                for algorithm in options
                for dataflow in Dataflow
            ]
            assert 0 < min(totals) < FORBIDDEN, stage.name
