"""DenseNet-121."""

from __future__ import annotations

from dynamap_models.ir import Network

from .builder import RELU, NetworkBuilder

__all__ = ["densenet_121"]

_GROWTH = 32
_BLOCKS = (6, 12, 24, 16)


def densenet_121(*, seed: int) -> Network:
    """DenseNet-121 (bottlenecks, compression 0.5) at 224x224: every layer reads all earlier ones of its block.

    Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks", 2016 (arXiv 1608.06993), Table
    1. A normalisation before a convolution (BN, ReLU, Conv) reads a concatenation and stays, as a scale and shift per
    channel; those after the first convolution and inside each bottleneck are folded. The softmax is left out.

    Published (torchvision): 2.834 GMAC and 7,978,856 parameters; folding removes 7,488 (58 bottlenecks of 128 channels
    and the first convolution's 64, which keep one number each instead of two).
    """
    net = NetworkBuilder("densenet-121", seed=seed)
    x = net.conv("conv1", net.input("image", 3, 224, 224), 2 * _GROWTH, 7, stride=2, pads=3, activation=RELU)
    x = net.max_pool("pool1", x, 3, stride=2, pads=1)
    for block, layers in enumerate(_BLOCKS):
        if block > 0:
            name = f"transition{block}"
            y = net.affine(f"{name}/norm", x, activation=RELU)
            y = net.conv(f"{name}/conv", y, net.tensor(x).channels // 2, 1, bias=False)
            x = net.average_pool(f"{name}/pool", y, 2, stride=2)
        for layer in range(layers):
            name = f"block{block + 1}/layer{layer + 1}"
            y = net.affine(f"{name}/norm", x, activation=RELU)
            y = net.conv(f"{name}/bottleneck", y, 4 * _GROWTH, 1, activation=RELU)
            y = net.conv(f"{name}/conv", y, _GROWTH, 3, pads=1, bias=False)
            x = net.concat(f"{name}/output", (x, y))
    x = net.affine("norm", x, activation=RELU)
    return net.build(net.fully_connected("logits", net.global_pool("pool", x), 1000))
