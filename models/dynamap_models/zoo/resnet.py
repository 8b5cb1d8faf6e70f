"""ResNet-18 and ResNet-50."""

from __future__ import annotations

from dynamap_models.ir import Network

from .builder import RELU, NetworkBuilder

__all__ = ["resnet_18", "resnet_50"]

_WIDTHS = (64, 128, 256, 512)


def resnet_18(*, seed: int) -> Network:
    """ResNet-18 at 224x224: two 3x3 convolutions a block, projections (option B) where the shape changes.

    He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015 (arXiv 1512.03385), Table 1. Batch
    normalisations are folded, the softmax is left out.

    Published: 1.8 GFLOPs (multiply-adds) in the paper's Table 1; 1.814 GMAC and 11,689,512 parameters in torchvision,
    4,800 of which folding removes (every normalised channel keeps one number instead of two).
    """
    net = NetworkBuilder("resnet-18", seed=seed)
    x = _stem(net)
    for stage, blocks in enumerate((2, 2, 2, 2)):
        for block in range(blocks):
            name = f"stage{stage + 1}/block{block + 1}"
            stride = 2 if stage > 0 and block == 0 else 1
            y = net.conv(f"{name}/conv1", x, _WIDTHS[stage], 3, stride=stride, pads=1, activation=RELU)
            y = net.conv(f"{name}/conv2", y, _WIDTHS[stage], 3, pads=1)
            x = _join(net, name, x, y, stride)
    return net.build(net.fully_connected("logits", net.global_pool("pool", x), 1000))


def resnet_50(*, seed: int) -> Network:
    """ResNet-50 v1.5 at 224x224: 1x1, 3x3, 1x1 bottlenecks with the stride in the 3x3 convolution.

    He, Zhang, Ren, Sun, 2015 (arXiv 1512.03385), Table 1, which puts the stride into the first 1x1 convolution (v1,
    3.86 GMAC, "3.8" in the table). This is the variant in general use since Facebook's 2016 re-implementation, called
    v1.5: same parameters, better accuracy, more work. Batch normalisations are folded, the softmax is left out.

    Published (torchvision): 4.089 GMAC and 25,557,032 parameters, 26,560 of which folding removes.
    """
    net = NetworkBuilder("resnet-50", seed=seed)
    x = _stem(net)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = _WIDTHS[stage]
        for block in range(blocks):
            name = f"stage{stage + 1}/block{block + 1}"
            stride = 2 if stage > 0 and block == 0 else 1
            y = net.conv(f"{name}/conv1", x, width, 1, activation=RELU)
            y = net.conv(f"{name}/conv2", y, width, 3, stride=stride, pads=1, activation=RELU)
            y = net.conv(f"{name}/conv3", y, 4 * width, 1)
            x = _join(net, name, x, y, stride)
    return net.build(net.fully_connected("logits", net.global_pool("pool", x), 1000))


def _stem(net: NetworkBuilder) -> str:
    """From the image to 56x56x64."""
    x = net.conv("conv1", net.input("image", 3, 224, 224), 64, 7, stride=2, pads=3, activation=RELU)
    return net.max_pool("pool1", x, 3, stride=2, pads=1)


def _join(net: NetworkBuilder, name: str, x: str, y: str, stride: int) -> str:
    """The residual sum; the input is projected where its shape is another than the result's."""
    channels = net.tensor(y).channels
    if stride > 1 or net.tensor(x).channels != channels:
        x = net.conv(f"{name}/projection", x, channels, 1, stride=stride)
    return net.add(f"{name}/output", y, x, activation=RELU)
