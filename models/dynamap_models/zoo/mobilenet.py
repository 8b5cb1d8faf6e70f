"""MobileNet-v1 and MobileNet-v2."""

from __future__ import annotations

from dynamap_models.ir import Network

from .builder import RELU, RELU6, NetworkBuilder

__all__ = ["mobilenet_v1", "mobilenet_v2"]

# Output channels and stride of each separable convolution.
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))

# Expansion, output channels, blocks, stride of the first block.
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v1(*, seed: int) -> Network:
    """MobileNet-v1, width 1.0, at 224x224: thirteen depthwise separable convolutions.

    Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017 (arXiv
    1704.04861), Table 1 (whose stride 2 in the last depthwise row is a misprint: the map stays 7x7). Batch
    normalisations are folded, the softmax is left out.

    Published: 569 M multiply-adds, 4.2 M parameters (Table 8); exactly 4,231,976 trained parameters in Keras, 10,944 of
    which folding removes.
    """
    net = NetworkBuilder("mobilenet-v1", seed=seed)
    x = net.conv("conv1", net.input("image", 3, 224, 224), 32, 3, stride=2, pads="same", activation=RELU)
    for index, (channels, stride) in enumerate(_V1):
        name = f"block{index + 1}"
        x = net.depthwise(f"{name}/depthwise", x, 3, stride=stride, activation=RELU)
        x = net.conv(f"{name}/pointwise", x, channels, 1, activation=RELU)
    return net.build(net.fully_connected("logits", net.global_pool("pool", x), 1000))


def mobilenet_v2(*, seed: int) -> Network:
    """MobileNet-v2, width 1.0, at 224x224: seventeen inverted residuals with linear bottlenecks.

    Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018 (arXiv 1801.04381), Table 2. Batch
    normalisations are folded, dropout and softmax are left out. Pads are TensorFlow's, as in the authors' code.

    Published: 300 M multiply-adds (Table 4), exactly 300,774,272 as others count them; 3,504,872 parameters
    (torchvision), 17,056 of which folding removes. The paper's own table says 3.4 M, 2.5 % less than this network has,
    and does not say what it leaves out.
    """
    net = NetworkBuilder("mobilenet-v2", seed=seed)
    x = net.conv("conv1", net.input("image", 3, 224, 224), 32, 3, stride=2, pads="same", activation=RELU6)
    index = 0
    for expansion, channels, blocks, first_stride in _V2:
        for block in range(blocks):
            index += 1
            x = _inverted_residual(net, f"block{index}", x, expansion, channels, first_stride if block == 0 else 1)
    x = net.conv("conv2", x, 1280, 1, activation=RELU6)
    return net.build(net.fully_connected("logits", net.global_pool("pool", x), 1000))


def _inverted_residual(net: NetworkBuilder, name: str, x: str, expansion: int, channels: int, stride: int) -> str:
    """Widen, filter each channel, narrow without an activation; add the input where shapes agree."""
    before = net.tensor(x).channels
    y = x if expansion == 1 else net.conv(f"{name}/expand", x, expansion * before, 1, activation=RELU6)
    y = net.depthwise(f"{name}/depthwise", y, 3, stride=stride, activation=RELU6)
    y = net.conv(f"{name}/project", y, channels, 1)
    return net.add(f"{name}/output", y, x) if stride == 1 and before == channels else y
