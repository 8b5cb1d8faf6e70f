"""VGG-16 and VGG-19."""

from __future__ import annotations

from dynamap_models.ir import Network

from .builder import RELU, NetworkBuilder

__all__ = ["vgg_16", "vgg_19"]

_WIDTHS = (64, 128, 256, 512, 512)


def vgg_16(*, seed: int) -> Network:
    """VGG-16 (configuration D) at 224x224: 13 convolutions of 3x3 and three fully connected layers.

    Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014 (arXiv 1409.1556),
    Table 1. Dropout (training only) and the softmax are left out.

    Published: 138 M parameters (Table 2; exactly 138,357,544 in torchvision), 15.47 GMAC (torchvision).
    """
    return _vgg("vgg-16", (2, 2, 3, 3, 3), seed)


def vgg_19(*, seed: int) -> Network:
    """VGG-19 (configuration E) at 224x224: 16 convolutions of 3x3 and three fully connected layers.

    Sources and omissions as for :func:`vgg_16`. Published: 144 M parameters (Table 2; exactly 143,667,240 in
    torchvision), 19.63 GMAC (torchvision).
    """
    return _vgg("vgg-19", (2, 2, 4, 4, 4), seed)


def _vgg(name: str, depths: tuple[int, ...], seed: int) -> Network:
    net = NetworkBuilder(name, seed=seed)
    x = net.input("image", 3, 224, 224)
    for stage, (depth, width) in enumerate(zip(depths, _WIDTHS, strict=True)):
        for index in range(depth):
            x = net.conv(f"conv{stage + 1}_{index + 1}", x, width, 3, pads=1, activation=RELU)
        x = net.max_pool(f"pool{stage + 1}", x, 2, stride=2)
    x = net.fully_connected("fc6", x, 4096, activation=RELU)
    x = net.fully_connected("fc7", x, 4096, activation=RELU)
    return net.build(net.fully_connected("logits", x, 1000))
