"""GoogLeNet (Inception-v1)."""

from __future__ import annotations

from typing import NamedTuple

from dynamap_models.ir import Network

from .builder import RELU, NetworkBuilder

__all__ = ["googlenet"]


class _Inception(NamedTuple):
    """Output channels of the convolutions of one module, in the columns of the paper's Table 1."""

    direct: int
    reduce_3x3: int
    conv_3x3: int
    reduce_5x5: int
    conv_5x5: int
    projection: int


_MODULES = {
    "3a": _Inception(64, 96, 128, 16, 32, 32),
    "3b": _Inception(128, 128, 192, 32, 96, 64),
    "4a": _Inception(192, 96, 208, 16, 48, 64),
    "4b": _Inception(160, 112, 224, 24, 64, 64),
    "4c": _Inception(128, 128, 256, 24, 64, 64),
    "4d": _Inception(112, 144, 288, 32, 64, 64),
    "4e": _Inception(256, 160, 320, 32, 128, 128),
    "5a": _Inception(256, 160, 320, 32, 128, 128),
    "5b": _Inception(384, 192, 384, 48, 128, 128),
}


def googlenet(*, seed: int) -> Network:
    """GoogLeNet at 224x224: 57 convolutions on maps of 112, 56, 28, 14 and 7 pixels.

    Szegedy et al., "Going deeper with convolutions", 2014 (arXiv 1409.4842), Table 1, with 5x5 convolutions where the
    paper has them (torchvision's version has 3x3 ones instead: 1.50 GMAC, 6.62 M parameters). Pools round up, as the
    paper's map sizes need and Caffe does. Left out, as they are no part of the convolution work of an inference: the
    two auxiliary classifiers and the dropout (training only), the two local response normalisations (no multiply-
    accumulates, no parameters), and the softmax (the network ends in logits).

    Published: about 1.5 billion multiply-adds and 6.8 M parameters in the paper's text and table, both rounded row by
    row. The exact figures of that table are those of its reference Caffe implementation, BVLC GoogLeNet: 1.58 GMAC and
    6,998,552 parameters with biases.
    """
    net = NetworkBuilder("googlenet", seed=seed)
    x = net.input("image", 3, 224, 224)
    x = net.conv("conv1", x, 64, 7, stride=2, pads=3, activation=RELU)
    x = net.max_pool("pool1", x, 3, stride=2, ceil=True)
    x = net.conv("conv2_reduce", x, 64, 1, activation=RELU)
    x = net.conv("conv2", x, 192, 3, pads=1, activation=RELU)
    x = net.max_pool("pool2", x, 3, stride=2, ceil=True)
    for name, module in _MODULES.items():
        if name in {"4a", "5a"}:
            x = net.max_pool(f"pool{int(name[0]) - 1}", x, 3, stride=2, ceil=True)
        x = _inception(net, f"inception_{name}", x, module)
    return net.build(net.fully_connected("logits", net.global_pool("pool5", x), 1000))


def _inception(net: NetworkBuilder, name: str, source: str, module: _Inception) -> str:
    """One module: four branches side by side, joined along the channels."""
    direct = net.conv(f"{name}/1x1", source, module.direct, 1, activation=RELU)
    small = net.conv(f"{name}/3x3_reduce", source, module.reduce_3x3, 1, activation=RELU)
    small = net.conv(f"{name}/3x3", small, module.conv_3x3, 3, pads=1, activation=RELU)
    large = net.conv(f"{name}/5x5_reduce", source, module.reduce_5x5, 1, activation=RELU)
    large = net.conv(f"{name}/5x5", large, module.conv_5x5, 5, pads=2, activation=RELU)
    pooled = net.max_pool(f"{name}/pool", source, 3, stride=1, pads=1)
    pooled = net.conv(f"{name}/projection", pooled, module.projection, 1, activation=RELU)
    return net.concat(f"{name}/output", (direct, small, large, pooled))
