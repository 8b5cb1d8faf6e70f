"""Tensors that share one quantisation, so that the layers between them move integers and never rescale them."""

from __future__ import annotations

from collections.abc import Mapping

from dynamap_models.ir import Activation, ChannelShuffle, Concat, GlobalPool, Network, Pool, PoolKind, Reshape
from dynamap_models.quantised import is_clamp

__all__ = ["shared_quantisations"]


def shared_quantisations(network: Network) -> Mapping[str, str]:
    """For every tensor, the first tensor of its group.

    Maxima, concatenations, reshapes, shuffles and clamps that are layers of their own keep the quantisation of what
    they read; so all tensors that are joined along a chain of them have one. O(tensors), nearly.
    """
    parent = {name: name for name in network.tensors}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for layer in network.layers:
        match layer.operation:
            case Concat() | Reshape() | ChannelShuffle():
                keeps = True
            case Pool(kind=kind) | GlobalPool(kind=kind):
                keeps = kind is PoolKind.MAX
            case Activation() as activation:
                keeps = is_clamp(activation)
            case _:
                keeps = False
        if keeps:
            for name in layer.inputs:
                parent[root(layer.output)] = root(name)
    first: dict[str, str] = {}
    for name in network.tensors:
        first.setdefault(root(name), name)
    return {name: first[root(name)] for name in network.tensors}
