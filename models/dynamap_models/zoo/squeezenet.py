"""SqueezeNet 1.1."""

from __future__ import annotations

from dynamap_models.ir import Network

from .builder import RELU, NetworkBuilder

__all__ = ["squeezenet"]

_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))  # squeeze, expand
_POOL_BEFORE = {0, 2, 4}


def squeezenet(*, seed: int) -> Network:
    """SqueezeNet 1.1 at 224x224: eight Fire modules; the classifier is a 1x1 convolution before the global pool.

    Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016 (arXiv
    1602.07360); version 1.1 is the authors' later release, with 2.4x less work than 1.0. Dropout and softmax are left
    out.

    Published: 0.349 GMAC and 1,235,496 parameters (torchvision, after the authors' release).
    """
    net = NetworkBuilder("squeezenet-1.1", seed=seed)
    x = net.conv("conv1", net.input("image", 3, 224, 224), 64, 3, stride=2, activation=RELU)
    for index, (squeeze, expand) in enumerate(_FIRES):
        name = f"fire{index + 2}"
        if index in _POOL_BEFORE:
            x = net.max_pool(f"{name}/pool", x, 3, stride=2, ceil=True)
        x = net.conv(f"{name}/squeeze", x, squeeze, 1, activation=RELU)
        narrow = net.conv(f"{name}/expand_1x1", x, expand, 1, activation=RELU)
        wide = net.conv(f"{name}/expand_3x3", x, expand, 3, pads=1, activation=RELU)
        x = net.concat(f"{name}/output", (narrow, wide))
    x = net.conv("conv10", x, 1000, 1, activation=RELU)
    return net.build(net.flatten("logits", net.global_pool("pool10", x)))
