"""Where tensors lie: buffers that are shared, and addresses by lifetime, judged by going over every byte and step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dynamap_models import build_model
from dynamap_models.ir import Concat
from dynamap_models.zoo.builder import NetworkBuilder
from dynamap_opt.compilation.allocation import ALIGNMENT, Allocation, Lifetime, allocate
from dynamap_opt.compilation.buffers import Copy, Home, share_buffers
from dynamap_opt.compilation.expansion import StoredWindows


def random_lifetimes(rng, count):
    first = rng.integers(-1, 10, count)
    last = first + rng.integers(0, 5, count)
    sizes = rng.integers(1, 1000, count)
    return {f"t{i}": Lifetime(int(sizes[i]), int(first[i]), int(last[i])) for i in range(count)}


@pytest.mark.parametrize("seed", range(20))
def test_no_two_buffers_share_a_byte_in_a_step(seed):
    lifetimes = random_lifetimes(np.random.default_rng(seed), 30)
    allocation = allocate(lifetimes)
    for (a, one), (b, other) in itertools.combinations(lifetimes.items(), 2):
        steps = set(range(one.first, one.last + 1)) & set(range(other.first, other.last + 1))
        start, behind = allocation.addresses[a], allocation.addresses[b]
        assert not steps or start + one.size <= behind or behind + other.size <= start, (a, b)
    ends = [allocation.addresses[name] + lifetime.size for name, lifetime in lifetimes.items()]
    assert allocation.size == max(ends)
    assert all(address % ALIGNMENT == 0 for address in allocation.addresses.values())
    assert allocation.size <= sum(lifetime.size + ALIGNMENT for lifetime in lifetimes.values())


def test_the_order_of_buffers_does_not_matter():
    lifetimes = random_lifetimes(np.random.default_rng(3), 25)
    assert allocate(lifetimes) == allocate(dict(reversed(lifetimes.items())))


def test_bytes_are_used_again_after_the_last_reader():
    chain = {f"t{i}": Lifetime(640, i - 1, i) for i in range(10)}
    assert allocate(chain).size == 2 * 640
    assert allocate({}) == Allocation({}, 0)


# ---- buffers that are shared ----


def places_of(network, buffers):
    """Every element of every tensor as (buffer, byte), pixel by pixel."""
    result = {}
    for name, tensor in network.tensors.items():
        home = buffers.homes[name]
        wide = network.tensors[home.buffer]
        pixels, channels = np.ogrid[: tensor.height * tensor.width, : tensor.channels]
        assert home.offset + tensor.channels <= wide.channels or name in buffers.sources
        result[name] = (home.buffer, pixels * wide.channels + home.offset + channels)
    return result


@pytest.mark.parametrize("model", ["googlenet", "densenet-121", "nasnet-a-mobile", "squeezenet-1.1"])
def test_a_concatenation_is_its_inputs_side_by_side_or_copied(model):
    network = build_model(model)
    buffers = share_buffers(network, lambda _a, _b: True)
    places = places_of(network, buffers)
    for layer in network.layers:
        if not isinstance(layer.operation, Concat):
            assert layer.output not in buffers.copies
            continue
        buffer, bytes_ = places[layer.output]
        pieces = {copy.offset: copy.piece for copy in buffers.copies.get(layer.output, ())}
        offset = 0
        for name in layer.inputs:
            width = network.tensors[name].channels
            inside = [at for at in pieces if offset <= at < offset + width]
            if not inside:
                assert places[name][0] == buffer
                np.testing.assert_array_equal(places[name][1], bytes_[:, offset : offset + width])
            offset += width
        for at, piece in pieces.items():
            assert at + network.tensors[piece].channels <= offset
    if model != "nasnet-a-mobile":
        assert not any(buffers.copies.values())


def test_one_growing_buffer_serves_a_dense_block():
    net = NetworkBuilder("dense")
    x = net.input("x", 3, 4, 4)
    a = net.conv("a", x, 5, 1)
    first = net.concat("first", [a, net.conv("b", a, 2, 1)])
    net.concat("second", [first, net.conv("c", first, 4, 1)])
    network = net.build("second")
    buffers = share_buffers(network, lambda _a, _b: True)
    assert buffers.homes["first"] == Home("second", 0)
    assert [buffers.homes[name] for name in "abc"] == [Home("second", 0), Home("second", 5), Home("second", 7)]
    assert not any(buffers.copies.values())


def test_a_tensor_in_two_concatenations_is_copied_into_the_first():
    net = NetworkBuilder("twice")
    x = net.input("x", 3, 4, 4)
    a, b, c = (net.conv(name, x, 2, 1) for name in "abc")
    net.concat("first", [a, b])
    net.concat("second", [b, c])
    buffers = share_buffers(net.build("first", "second"), lambda _a, _b: True)
    assert buffers.copies == {"first": (Copy("b", 2),)}
    assert (buffers.homes["a"], buffers.homes["b"]) == (Home("first", 0), Home("second", 0))


def test_the_same_tensor_twice_is_copied_once():
    net = NetworkBuilder("repeat")
    a = net.conv("a", net.input("x", 3, 4, 4), 2, 1)
    net.concat("both", [a, a])
    buffers = share_buffers(net.build("both"), lambda _a, _b: True)
    assert buffers.copies == {"both": (Copy("a", 2),)}


def test_what_is_quantised_otherwise_is_copied():
    net = NetworkBuilder("scales")
    x = net.input("x", 3, 4, 4)
    a, b = (net.conv(name, x, 2, 1) for name in "ab")
    net.concat("both", [a, b])
    buffers = share_buffers(net.build("both"), lambda one, other: "b" not in {one, other})
    assert buffers.copies == {"both": (Copy("b", 2),)}
    assert buffers.homes["b"] == Home("b", 0)


def test_a_flattened_map_is_a_view():
    net = NetworkBuilder("flat")
    a = net.conv("a", net.input("x", 3, 4, 4), 2, 1)
    net.fully_connected("y", net.flatten("f", a), 5)
    buffers = share_buffers(net.build("y"), lambda _a, _b: True)
    assert buffers.sources == {"f": "a"}
    assert buffers.homes["f"] == buffers.homes["a"]


# ---- inputs stored as windows ----


@pytest.mark.parametrize("seed", range(8))
def test_windows_are_those_of_numpy(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation, pads = (tuple(int(n) for n in rng.integers(1, 4, 2)) for _ in range(4))
    values = rng.integers(0, 256, (11, 9, 3)).astype(np.uint8)
    padded = np.pad(values, ((pads[0], 3), (pads[1], 2), (0, 0)), constant_values=77)
    reach = tuple((taps - 1) * step + 1 for taps, step in zip(kernel, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(0, 1))
    view = view[:: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    wanted = np.moveaxis(view, 2, -1)  # rows, columns, taps, channels
    windows = StoredWindows(
        rows=len(view), columns=view.shape[1], kernel=kernel, stride=stride, pads=pads, dilation=dilation
    )
    np.testing.assert_array_equal(windows.expand(values, 77), wanted.reshape(*view.shape[:2], windows.elements(3)))
