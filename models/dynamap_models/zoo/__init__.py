"""The model zoo: well-known networks at their published shapes, with seeded random weights.

>>> build_model("resnet-18").parameter_count
11684712
>>> build_model("resnet18")
Traceback (most recent call last):
    ...
dynamap_models.errors.ModelError: there is no model 'resnet18'; did you mean 'resnet-18'? The zoo has googlenet, \
inception-v4, resnet-18, resnet-50, vgg-16, vgg-19, squeezenet-1.1, mobilenet-v1, mobilenet-v2, densenet-121, \
efficientnet-b0, nasnet-a-mobile, u-net, random-wired
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from dynamap_models.errors import ModelError
from dynamap_models.ir import Network

from .builder import NetworkBuilder
from .densenet import densenet_121
from .efficientnet import efficientnet_b0
from .googlenet import googlenet
from .inception_v4 import inception_v4
from .mobilenet import mobilenet_v1, mobilenet_v2
from .nasnet import nasnet_a_mobile
from .random_wired import random_wired
from .resnet import resnet_18, resnet_50
from .squeezenet import squeezenet
from .unet import unet
from .vgg import vgg_16, vgg_19

__all__ = ["ZOO", "NetworkBuilder", "ZooModel", "build_model", "model_names"]


class _Builder(Protocol):
    """A function that builds one network; its docstring says where the network and the published figures come from."""

    def __call__(self, *, seed: int) -> Network: ...


@dataclass(frozen=True)
class ZooModel:
    """One network of the zoo.

    Attributes:
        build: makes the network; the source of the figures is in its docstring.
        published_macs: multiply-accumulates of one inference as published, to the published precision.
        published_parameters: trained numbers as published. Where the published network has batch normalisations, two
            for every normalised channel are among them; :attr:`Network.parameter_count` has one, a folded bias.
    """

    build: _Builder
    published_macs: float
    published_parameters: int


ZOO: Mapping[str, ZooModel] = MappingProxyType(
    {
        "googlenet": ZooModel(googlenet, 1.58e9, 6_998_552),
        "inception-v4": ZooModel(inception_v4, 12.26e9, 42_679_816),
        "resnet-18": ZooModel(resnet_18, 1.814e9, 11_689_512),
        "resnet-50": ZooModel(resnet_50, 4.089e9, 25_557_032),
        "vgg-16": ZooModel(vgg_16, 15.47e9, 138_357_544),
        "vgg-19": ZooModel(vgg_19, 19.63e9, 143_667_240),
        "squeezenet-1.1": ZooModel(squeezenet, 0.349e9, 1_235_496),
        "mobilenet-v1": ZooModel(mobilenet_v1, 0.569e9, 4_231_976),
        "mobilenet-v2": ZooModel(mobilenet_v2, 0.300e9, 3_504_872),
        "densenet-121": ZooModel(densenet_121, 2.834e9, 7_978_856),
        "efficientnet-b0": ZooModel(efficientnet_b0, 0.386e9, 5_288_548),
        "nasnet-a-mobile": ZooModel(nasnet_a_mobile, 0.564e9, 5_289_978),
        "u-net": ZooModel(unet, 48.17e9, 31_031_745),
        "random-wired": ZooModel(random_wired, 0.583e9, 5_600_000),
    }
)
"""Every network of the zoo by name."""


def model_names() -> tuple[str, ...]:
    """The names :func:`build_model` takes."""
    return tuple(ZOO)


def build_model(name: str, *, seed: int = 0) -> Network:
    """A network of the zoo; its weights depend on ``seed`` alone and are drawn only when loaded.

    Raises:
        ModelError: for a name the zoo does not have, or a negative seed.
    """
    model = ZOO.get(name)
    if model is None:
        close = difflib.get_close_matches(name.lower(), ZOO, n=1)
        hint = f"did you mean {close[0]!r}? The" if close else "the"
        raise ModelError(f"there is no model {name!r}; {hint} zoo has {', '.join(ZOO)}")
    return model.build(seed=seed)
