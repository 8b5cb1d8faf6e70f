"""Small quantised networks with every operation the overlay runs, and plans for them that use every algorithm."""

from __future__ import annotations

from functools import cache

import msgspec

from dynamap_models.ir import Network, PoolKind
from dynamap_models.quantisation import quantise, random_inputs
from dynamap_models.quantised import QuantisedNetwork
from dynamap_models.zoo.builder import RELU, RELU6, SIGMOID, NetworkBuilder
from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.board import load_board
from dynamap_opt.lowering import lower
from dynamap_opt.mapping import map_network
from dynamap_opt.plan import Plan

BOARD = "ecp5-85k"


@cache
def every_operation() -> Network:
    """Convolutions of every kind, pooling, addition, concatenation, dense layers, and two layers of the host."""
    net = NetworkBuilder("every-operation", seed=3)
    x = net.input("image", 3, 9, 7)
    stem = net.conv("stem", x, 8, 3, stride=2, pads=1, activation=RELU)
    one = net.conv("one", stem, 6, 1, activation=RELU)
    three = net.conv("three", stem, 5, 3, pads=1, activation=RELU6)
    pooled = net.max_pool("pooled", stem, 3, stride=1, pads=1)
    joined = net.concat("joined", [one, three, pooled])
    depth = net.depthwise("depth", joined, 3, pads=1)
    grouped = net.conv("grouped", net.conv("even", depth, 20, 1), 20, (1, 3), pads=(0, 1), groups=4)
    back = net.conv("back", grouped, 19, 3, pads=2, dilation=2)
    total = net.add("total", back, joined, activation=RELU)
    gate = net.conv("gate", net.global_pool("mean", total), 19, 1)
    gated = net.multiply("gated", total, net.activation("sigmoid", gate, SIGMOID))
    wide = net.conv("wide", gated, 7, (1, 5), pads=(0, 2))
    small = net.average_pool("small", wide, 2, stride=2, ceil=True)
    scores = net.fully_connected("scores", net.flatten("flat", small), 10, activation=RELU)
    return net.build(net.fully_connected("logits", scores, 6))


@cache
def shared_buffers() -> Network:
    """Tensors in two concatenations, twice in one, and a map in a wide buffer that a dense layer reads."""
    net = NetworkBuilder("shared-buffers", seed=5)
    x = net.input("image", 4, 6, 7)
    a, b, c = (net.conv(name, x, channels, 1, activation=RELU) for name, channels in (("a", 3), ("b", 6), ("c", 2)))
    first = net.concat("first", [a, b])
    second = net.concat("second", [b, c, c])
    nested = net.concat("nested", [first, net.conv("d", second, 5, 3, pads=1, activation=RELU)])
    greatest = net.global_pool("greatest", nested, PoolKind.MAX)
    flat = net.fully_connected("from_slice", net.flatten("flat", first), 9)
    return net.build(net.conv("head", greatest, 4, 1), flat)


@cache
def quantised(network: str, *, power_of_two: bool = True) -> QuantisedNetwork:
    """One of the networks above, by the name of its function."""
    made = {"every_operation": every_operation, "shared_buffers": shared_buffers}[network]()
    return quantise(made, random_inputs(made, 2, 0), power_of_two=power_of_two)


def plan_for(found: QuantisedNetwork, array: tuple[int, int] = (4, 4), **options) -> Plan:
    return map_network(found.network, load_board(BOARD), array=array, allow_host=True, **options)


def forced(plan: Plan, network: Network, algorithm: str, dataflow: str) -> Plan:
    """The plan with one algorithm wherever it is legal, im2col elsewhere, and one dataflow; inputs stored plainly."""
    shapes = {stage.name: stage.conv for stage in lower(network, allow_host=True).stages}
    rows = []
    for row in plan.layers:
        conv = shapes[row.name]
        if row.dataflow is not None and conv is not None:
            legal = algorithm if ALGORITHMS[algorithm].is_legal(conv) else "im2col"
            row = msgspec.structs.replace(row, algorithm=legal, dataflow=dataflow, input_layout="nhwc")  # noqa: PLW2901
        rows.append(row)
    return msgspec.structs.replace(plan, layers=tuple(rows))
