"""Lower bounds of compute: by hand on one layer, and the figures derived for the paper's networks."""

from __future__ import annotations

import pytest

from dynamap_models.zoo import build_model
from dynamap_models.zoo.builder import NetworkBuilder
from dynamap_opt.board import load_board
from dynamap_opt.lowering import lower
from dynamap_opt.mapper import Mapper
from dynamap_opt.reproduction.bounds import BOUND_SETS, compute_bounds

CLOCK = 286e6


def one_layer(kernel, *, stride=1, pads: object = "same", size=(8, 8)):
    net = NetworkBuilder("one")
    x = net.input("x", 6, *size)
    return lower(net.build(net.conv("c", x, 10, kernel, stride=stride, pads=pads)))


def test_a_square_kernel_by_hand():
    found = compute_bounds(one_layer(3, pads=0, size=(10, 10)), (4, 5))  # 8 x 8 outputs, no padding
    # Direct 64·54·10; F(2,3) 16 tiles of 16 products a channel pair; F(4,3) 4 tiles of 36.
    assert [bound.products for bound in found.bounds] == [34560, 16 * 16 * 60, 4 * 36 * 60, 4 * 36 * 60]
    assert [bound.ideal_cycles for bound in found.bounds] == [1728, 768, 432, 432]
    # Whole tiles: NS takes 16·2·54 (im2col), 16·(4·2·6) or WS 16·(2·2·16) (F(2,3)), 36·(1·2·6) (F(4,3)).
    assert [bound.array_cycles for bound in found.bounds] == [1728, 768, 432, 432]
    assert found.macs == 34560
    assert (found.line_share, found.strided_share, found.kn2row_wins, found.convolutions) == (0, 0, 0, 1)


def test_a_line_kernel_is_left_to_one_dimension():
    found = compute_bounds(one_layer((1, 7), pads=0, size=(8, 14)), (4, 5))  # 8 x 8 outputs, no padding
    direct = 64 * 42 * 10
    # ⌈7/3⌉ = 3 parts: F(4,3) 8·2 tiles of 6·3 products.
    assert [bound.products for bound in found.bounds] == [direct, direct, direct, 16 * 18 * 60]
    assert found.line_share == 1


def test_a_stride_leaves_no_winograd():
    found = compute_bounds(one_layer(3, stride=2, pads=0, size=(9, 9)), (4, 5))
    assert len({bound.products for bound in found.bounds}) == 1
    assert found.strided_share == 1


@pytest.mark.parametrize(
    ("name", "array", "direct_ms", "three_ms", "lines", "strided", "convolutions"),
    [
        ("googlenet", (92, 66), 0.91, 0.72, 0.0, 0.07, 57),
        ("inception-v4", (95, 64), 7.05, 6.92, 0.42, 0.11, 149),
    ],
)
def test_the_papers_networks(name, array, direct_ms, three_ms, lines, strided, convolutions):
    found = compute_bounds(lower(build_model(name), allow_host=True), array)
    bounds = dict(zip(BOUND_SETS, found.bounds, strict=True))
    assert found.bounds[0].ideal_cycles / CLOCK * 1e3 == pytest.approx(direct_ms, abs=0.005)
    assert bounds["the paper's three, F(2x2,3x3)"].array_cycles / CLOCK * 1e3 == pytest.approx(three_ms, abs=0.005)
    assert found.line_share == pytest.approx(lines, abs=0.005)
    assert found.strided_share == pytest.approx(strided, abs=0.005)
    # Over output pixels kn2row multiplies as often as im2col and has more tiles.
    assert (found.kn2row_wins, found.convolutions) == (0, convolutions)


@pytest.mark.parametrize("name", ["googlenet", "squeezenet-1.1", "mobilenet-v2"])
def test_no_mapping_is_below_the_bound_of_its_algorithms(name):
    network, board = build_model(name), load_board("zcu102")
    ideal = [bound.ideal_cycles for bound in compute_bounds(lower(network, allow_host=True), (32, 40)).bounds]
    assert ideal == sorted(ideal, reverse=True)
    assert Mapper(network, board, allow_host=True).explore((32, 40)).latency_cycles[0] >= ideal[-1]
