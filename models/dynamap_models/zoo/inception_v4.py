"""Inception-v4."""

from __future__ import annotations

from dynamap_models.ir import Network, Pair

from .builder import RELU, NetworkBuilder

__all__ = ["inception_v4"]

_Step = tuple[int, Pair]  # output channels, kernel

_POINT, _SQUARE = (1, 1), (3, 3)
_ROW7, _COLUMN7, _ROW3, _COLUMN3 = (1, 7), (7, 1), (1, 3), (3, 1)


def inception_v4(*, seed: int) -> Network:
    """Inception-v4 at 299x299: 149 convolutions, 42 % of their work in 1x7, 7x1, 1x3 and 3x1 kernels.

    Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the impact of residual connections on
    learning", 2016 (arXiv 1602.07261), Figures 3 to 9. Kernels 1x7 and 7x1 follow each other as in the authors' code
    (TensorFlow-Slim). Batch normalisations are folded; dropout and softmax are left out.

    The paper states neither figure. Published: 24.52 billion operations, that is 12.26 GMAC, in a public table of the
    TensorFlow-Slim models (TensorFlow's profiler, batch 1, 1000 classes; this network has 12.254, and counts that
    include normalisations and pools read up to 12.31); 42,679,816 parameters in the PyTorch versions (Cadene, timm),
    31,584 of which folding removes.
    """
    net = NetworkBuilder("inception-v4", seed=seed)
    x = _stem(net, net.input("image", 3, 299, 299))
    for index in range(4):
        x = _inception_a(net, f"inception_a{index + 1}", x)
    x = _reduction(net, "reduction_a", x, [(384, _SQUARE)], [(192, _POINT), (224, _SQUARE), (256, _SQUARE)])
    for index in range(7):
        x = _inception_b(net, f"inception_b{index + 1}", x)
    deep = [(256, _POINT), (256, _ROW7), (320, _COLUMN7), (320, _SQUARE)]
    x = _reduction(net, "reduction_b", x, [(192, _POINT), (192, _SQUARE)], deep)
    for index in range(3):
        x = _inception_c(net, f"inception_c{index + 1}", x)
    return net.build(net.fully_connected("logits", net.global_pool("pool", x), 1000))


def _chain(net: NetworkBuilder, name: str, source: str, steps: list[_Step]) -> str:
    """Convolutions one after another that keep the map's size."""
    for index, (channels, kernel) in enumerate(steps):
        label = f"{name}_{index + 1}_{kernel[0]}x{kernel[1]}"
        source = net.conv(label, source, channels, kernel, pads="same", activation=RELU)
    return source


def _stem(net: NetworkBuilder, x: str) -> str:
    """Figure 3: from 299x299x3 to 35x35x384."""
    x = net.conv("stem/conv1", x, 32, 3, stride=2, activation=RELU)
    x = net.conv("stem/conv2", x, 32, 3, activation=RELU)
    x = net.conv("stem/conv3", x, 64, 3, pads=1, activation=RELU)
    pooled = net.max_pool("stem/pool1", x, 3, stride=2)
    strided = net.conv("stem/conv4", x, 96, 3, stride=2, activation=RELU)
    x = net.concat("stem/join1", (pooled, strided))
    short = _chain(net, "stem/short", x, [(64, _POINT)])
    short = net.conv("stem/short_2_3x3", short, 96, 3, activation=RELU)
    long = _chain(net, "stem/long", x, [(64, _POINT), (64, _ROW7), (64, _COLUMN7)])
    long = net.conv("stem/long_4_3x3", long, 96, 3, activation=RELU)
    x = net.concat("stem/join2", (short, long))
    strided = net.conv("stem/conv5", x, 192, 3, stride=2, activation=RELU)
    pooled = net.max_pool("stem/pool2", x, 3, stride=2)
    return net.concat("stem/join3", (strided, pooled))


def _pooled(net: NetworkBuilder, name: str, source: str, channels: int) -> str:
    """The branch every Inception block has: a 3x3 average and a 1x1 convolution."""
    return _chain(
        net, f"{name}/pooled", net.average_pool(f"{name}/pool", source, 3, stride=1, pads=1), [(channels, _POINT)]
    )


def _inception_a(net: NetworkBuilder, name: str, x: str) -> str:
    """Figure 4, on 35x35 maps."""
    branches = [
        _chain(net, f"{name}/direct", x, [(96, _POINT)]),
        _chain(net, f"{name}/short", x, [(64, _POINT), (96, _SQUARE)]),
        _chain(net, f"{name}/long", x, [(64, _POINT), (96, _SQUARE), (96, _SQUARE)]),
        _pooled(net, name, x, 96),
    ]
    return net.concat(f"{name}/output", branches)


def _inception_b(net: NetworkBuilder, name: str, x: str) -> str:
    """Figure 5, on 17x17 maps."""
    long = [(192, _POINT), (192, _COLUMN7), (224, _ROW7), (224, _COLUMN7), (256, _ROW7)]
    branches = [
        _chain(net, f"{name}/direct", x, [(384, _POINT)]),
        _chain(net, f"{name}/short", x, [(192, _POINT), (224, _ROW7), (256, _COLUMN7)]),
        _chain(net, f"{name}/long", x, long),
        _pooled(net, name, x, 128),
    ]
    return net.concat(f"{name}/output", branches)


def _inception_c(net: NetworkBuilder, name: str, x: str) -> str:
    """Figure 6, on 8x8 maps; two branches split once more at their ends."""
    short = _chain(net, f"{name}/short", x, [(384, _POINT)])
    long = _chain(net, f"{name}/long", x, [(384, _POINT), (448, _COLUMN3), (512, _ROW3)])
    branches = [_chain(net, f"{name}/direct", x, [(256, _POINT)])]
    for label, source in (("short", short), ("long", long)):
        branches += [
            _chain(net, f"{name}/{label}_row", source, [(256, _ROW3)]),
            _chain(net, f"{name}/{label}_column", source, [(256, _COLUMN3)]),
        ]
    return net.concat(f"{name}/output", [*branches, _pooled(net, name, x, 256)])


def _reduction(net: NetworkBuilder, name: str, x: str, short: list[_Step], long: list[_Step]) -> str:
    """Figures 7 and 8: a pool and two chains whose last convolution has stride 2 and no pads."""
    branches = []
    for label, steps in (("short", short), ("long", long)):
        branch = _chain(net, f"{name}/{label}", x, steps[:-1])
        channels, kernel = steps[-1]
        branches.append(net.conv(f"{name}/{label}_stride2", branch, channels, kernel, stride=2, activation=RELU))
    return net.concat(f"{name}/output", [*branches, net.max_pool(f"{name}/pool", x, 3, stride=2)])
