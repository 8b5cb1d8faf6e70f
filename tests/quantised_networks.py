"""Random networks of all operations that 8-bit integers have, small enough to compute exactly."""

from __future__ import annotations

import numpy as np

from dynamap_models import NetworkBuilder
from dynamap_models.ir import Activation, ActivationKind, PoolKind

RELU = Activation(ActivationKind.RELU)
CLIPS = [Activation(ActivationKind.CLIP, low=0.0, high=6.0), Activation(ActivationKind.CLIP, low=-0.5, high=0.8)]
ACTIVATIONS = [None, RELU, *CLIPS]


def any_network(seed, *, layers=4):
    """A random network; the same for the same seed."""
    rng = np.random.default_rng(seed)
    net = NetworkBuilder(f"random {seed}", seed=seed)

    def pick(*options):
        return options[int(rng.integers(len(options)))]

    def extents():
        return int(rng.integers(1, 4)), int(rng.integers(1, 4))

    channels = pick(2, 4, 6)
    x = net.input("image", channels, int(rng.integers(6, 13)), int(rng.integers(6, 13)))
    if seed % 2:
        x = net.add("inputs", x, net.input("second", channels, net.tensor(x).height, net.tensor(x).width))
    for index in range(layers):
        before = net.tensor(x)
        match pick("conv", "conv", "pool", "residual", "concat", "affine", "activation"):
            case "conv":
                groups = pick(1, 1, 2, before.channels)
                x = net.conv(
                    f"conv{index}",
                    x,
                    groups * pick(2, 4),
                    extents(),
                    stride=extents() if min(before.height, before.width) > 5 else 1,
                    pads="same",
                    dilation=pick(1, 1, 2),
                    groups=groups,
                    activation=pick(*ACTIVATIONS),
                )
            case "pool":
                kind, kernel = pick(PoolKind.MAX, PoolKind.AVERAGE, PoolKind.AVERAGE), pick((2, 2), (3, 3), (3, 2))
                pads = pick((0, 0), (1, 1))
                ceil, count_pads = bool(rng.integers(2)), bool(rng.integers(2))
                if min(before.height, before.width) > 3:
                    stride = pick((1, 1), (2, 2), (2, 1))
                    x = net.pool(
                        f"pool{index}", x, kind, kernel, stride=stride, pads=pads, ceil=ceil, count_pads=count_pads
                    )
            case "residual":
                y = net.conv(f"branch{index}", x, before.channels, 3, pads="same", activation=pick(*ACTIVATIONS))
                z = net.depthwise(f"third{index}", x, 3)
                terms = pick((x, y), (x, y, z))
                x = net.add(f"sum{index}", *terms, activation=pick(None, RELU))
            case "concat":
                y = net.conv(f"wide{index}", x, 4, 3, pads="same", activation=pick(*ACTIVATIONS))
                z = net.max_pool(f"side{index}", x, 3, stride=1, pads=1)
                x = net.concat(f"joined{index}", pick((x, y), (y, z), (x, y, z)))
            case "affine":
                x = net.affine(f"norm{index}", x, activation=pick(None, RELU))
            case _:
                x = net.activation(f"clamp{index}", x, pick(RELU, *CLIPS))
    outputs = [x]
    if seed % 3:
        outputs.append(net.flatten("flat", x))
    pooled = net.global_pool("global", x, pick(PoolKind.AVERAGE, PoolKind.AVERAGE, PoolKind.MAX))
    outputs.append(net.fully_connected("classes", pooled, 7))
    outputs.append(net.fully_connected("features", x, 9, activation=pick(None, RELU)))
    return net.build(*outputs)
