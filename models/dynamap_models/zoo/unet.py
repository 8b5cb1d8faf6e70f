"""U-Net."""

from __future__ import annotations

from dynamap_models.ir import Network

from .builder import RELU, NetworkBuilder

__all__ = ["unet"]

_WIDTHS = (64, 128, 256, 512)
_BOTTOM = 1024


def unet(*, seed: int) -> Network:
    """U-Net with padded convolutions and transposed convolutions: 256x256x3 to a 256x256 map of logits.

    Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015 (arXiv
    1505.04597), Figure 1, in its widespread variant: convolutions keep the map's size, so that nothing is cropped where
    the paths join (the original pads nothing and crops, 572x572 to 388x388), and the input is a multiple of 16. Every
    kernel has the original's shape, so the parameters are the original's but for the image's channels and the classes.

    The paper states neither figure. Parameters of this variant, as printed by the model summaries of several public
    implementations: 31,031,745. Multiply-accumulates: issue 477 of the repository milesial/Pytorch-UNet publishes
    83.922432 G for the same channels at 420x240 with two classes, counted by the tool thop, which counts a transposed
    convolution once for every output pixel (four times too often here) and a batch normalisation four times for every
    element. Undone, and scaled level by level to 256x256 and one class, that is 48.17 G; a test does the sum and meets
    the published integer exactly.
    """
    net = NetworkBuilder("u-net", seed=seed)
    x = net.input("image", 3, 256, 256)
    skips = []
    for level, width in enumerate(_WIDTHS):
        x = _double(net, f"down{level + 1}", x, width)
        skips.append(x)
        x = net.max_pool(f"down{level + 1}/pool", x, 2, stride=2)
    x = _double(net, "bottom", x, _BOTTOM)
    for level, width in reversed(list(enumerate(_WIDTHS))):
        x = net.conv_transpose(f"up{level + 1}/upsample", x, width, 2, stride=2)
        x = net.concat(f"up{level + 1}/join", (skips[level], x))
        x = _double(net, f"up{level + 1}", x, width)
    return net.build(net.conv("logits", x, 1, 1))


def _double(net: NetworkBuilder, name: str, x: str, width: int) -> str:
    """Two 3x3 convolutions."""
    x = net.conv(f"{name}/conv1", x, width, 3, pads=1, activation=RELU)
    return net.conv(f"{name}/conv2", x, width, 3, pads=1, activation=RELU)
