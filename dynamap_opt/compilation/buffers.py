"""Which tensors share a buffer: concatenations by address, reshapes as views, and what has to be copied after all.

A buffer is as wide as its widest tensor; a tensor in it begins at a channel offset, and its pixels are as far apart as
the buffer is wide. The inputs of a concatenation lie side by side in one buffer. Where that cannot be (an input already
lies in another concatenation's buffer, or occurs twice, or is quantised otherwise) the input is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dynamap_models.ir import Concat, Network
from dynamap_opt.placement import is_view

__all__ = ["Buffers", "Copy", "Home", "share_buffers"]


@dataclass(frozen=True)
class Home:
    """Where a tensor lies.

    Attributes:
        buffer: name of the tensor whose buffer it is.
        offset: of its first channel there.
    """

    buffer: str
    offset: int


@dataclass(frozen=True)
class Copy:
    """A piece of a concatenation that lies elsewhere.

    Attributes:
        piece: tensor that is copied.
        offset: of its channels in the concatenation.
    """

    piece: str
    offset: int


@dataclass(frozen=True)
class Buffers:
    """The homes of all tensors of a network.

    Attributes:
        homes: by tensor; a view has its source's.
        sources: for every view the tensor whose bytes it shows.
        copies: by concatenation, the pieces that are copied into it, in order.
    """

    homes: Mapping[str, Home]
    sources: Mapping[str, str]
    copies: Mapping[str, tuple[Copy, ...]]


def share_buffers(network: Network, alike: Callable[[str, str], bool]) -> Buffers:
    """Give every tensor a home.

    Later concatenations claim their pieces first, so that a growing one (DenseNet) shares a single buffer.

    Args:
        network: whose tensors these are.
        alike: whether the numbers of two tensors mean the same; only then are their bytes shared.

    Time O(layers + pieces of all concatenations).
    """
    sources: dict[str, str] = {}
    pieces: dict[str, tuple[str, ...]] = {}
    for layer in network.layers:
        target = layer.output
        if isinstance(layer.operation, Concat):
            flat: list[str] = []
            for name in layer.inputs:
                piece = sources.get(name, name)
                whole = pieces.get(piece) if alike(piece, target) else None
                flat.extend(whole if whole is not None else (piece,))
            pieces[target] = tuple(flat)
        elif is_view(network, layer) and alike(layer.inputs[0], target):
            sources[target] = sources.get(layer.inputs[0], layer.inputs[0])

    claimed: dict[str, Home] = {}
    for target in reversed(pieces):
        offset = 0
        for piece in pieces[target]:
            if alike(piece, target):
                claimed.setdefault(piece, Home(target, offset))
            offset += network.tensors[piece].channels

    homes = {name: claimed.get(name, Home(name, 0)) for name in network.tensors}
    copies: dict[str, tuple[Copy, ...]] = {}
    for target, parts in pieces.items():
        home = _one_piece(network, parts, claimed)
        if home is None:
            home, missing, offset = Home(target, 0), [], 0
            for piece in parts:
                if claimed.get(piece) != Home(target, offset):
                    missing.append(Copy(piece, offset))
                offset += network.tensors[piece].channels
            copies[target] = tuple(missing)
        homes[target] = home
    for view, source in sources.items():
        homes[view] = homes[source]
    return Buffers(homes, sources, copies)


def _one_piece(network: Network, parts: tuple[str, ...], claimed: Mapping[str, Home]) -> Home | None:
    """Where parts lie side by side, if they do."""
    first = claimed.get(parts[0])
    if first is None:
        return None
    offset = first.offset
    for part in parts:
        if claimed.get(part) != Home(first.buffer, offset):
            return None
        offset += network.tensors[part].channels
    return first
