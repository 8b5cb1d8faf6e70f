"""EfficientNet-B0."""

from __future__ import annotations

from dynamap_models.ir import Network

from .builder import SIGMOID, SWISH, NetworkBuilder

__all__ = ["efficientnet_b0"]

# Expansion, kernel, output channels, blocks, stride of the first block.
_STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)


def efficientnet_b0(*, seed: int) -> Network:
    """EfficientNet-B0 at 224x224: inverted residuals with squeeze-and-excitation and swish.

    Tan, Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019 (arXiv 1905.11946), Table
    1. Batch normalisations are folded; stochastic depth, dropout and softmax are left out. Pads are TensorFlow's.

    Published: 0.39 B FLOPs (multiply-adds) and 5.3 M parameters (Table 2); more precisely 0.386 GMAC and 5,288,548
    parameters (torchvision), 21,008 of which folding removes.
    """
    net = NetworkBuilder("efficientnet-b0", seed=seed)
    x = net.conv("conv1", net.input("image", 3, 224, 224), 32, 3, stride=2, pads="same", activation=SWISH)
    index = 0
    for expansion, kernel, channels, blocks, first_stride in _STAGES:
        for block in range(blocks):
            index += 1
            name, stride, before = f"block{index}", first_stride if block == 0 else 1, net.tensor(x).channels
            y = x
            if expansion > 1:
                y = net.conv(f"{name}/expand", x, expansion * before, 1, activation=SWISH)
            y = net.depthwise(f"{name}/depthwise", y, kernel, stride=stride, activation=SWISH)
            y = _excite(net, name, y, before // 4)
            y = net.conv(f"{name}/project", y, channels, 1)
            x = net.add(f"{name}/output", y, x) if stride == 1 and before == channels else y
    x = net.conv("conv2", x, 1280, 1, activation=SWISH)
    return net.build(net.fully_connected("logits", net.global_pool("pool", x), 1000))


def _excite(net: NetworkBuilder, name: str, x: str, narrow: int) -> str:
    """Squeeze-and-excitation: a factor between 0 and 1 per channel, from the channels' means."""
    factor = net.global_pool(f"{name}/squeeze", x)
    factor = net.conv(f"{name}/reduce", factor, narrow, 1, activation=SWISH)
    factor = net.conv(f"{name}/restore", factor, net.tensor(x).channels, 1, activation=SIGMOID)
    return net.multiply(f"{name}/excited", x, factor)
