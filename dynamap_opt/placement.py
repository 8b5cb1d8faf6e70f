"""Where tensors live: which share a buffer, and what of a pixel is contiguous there.

A concatenation's inputs are stored side by side in one buffer, and a reshape is a view of the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from dynamap_models.ir import Concat, FullyConnected, Layer, Network, Reshape

from .program import StoredTensor

__all__ = ["is_view", "place_tensors"]


def is_view(network: Network, layer: Layer) -> bool:
    """Whether a reshape needs no data to move.

    The overlay stores channels innermost, files usually do not; a flattened map may stay as it is only where whoever
    reads it can have its weights permuted instead, or where both orders agree.
    """
    if not isinstance(layer.operation, Reshape):
        return False
    source, target = network.input_tensors(layer)[0], network.output_tensor(layer)
    same = (source.height, source.width, source.channels) == (target.height, target.width, target.channels)
    if same or source.height * source.width == 1:
        return target.height * target.width == 1 or same
    if target.height * target.width > 1 or target.name in network.outputs:
        return False
    return all(
        isinstance(reader.operation, FullyConnected)
        or (isinstance(reader.operation, Reshape) and is_view(network, reader))
        for reader in network.readers[target.name]
    )


def place_tensors(network: Network) -> dict[str, StoredTensor]:
    """Where every tensor lives: its layout group, and whether its pixels are contiguous.

    Later concatenations claim their pieces first, so that a growing one (DenseNet) shares a single buffer.
    """
    pieces: dict[str, tuple[str, ...]] = {}
    base: dict[str, str] = {}
    for layer in network.layers:
        if isinstance(layer.operation, Concat):
            flat: list[str] = []
            for name in layer.inputs:
                source = base.get(name, name)
                flat.extend(pieces.get(source, (source,)))
            pieces[layer.output] = tuple(flat)
        elif is_view(network, layer):
            source = layer.inputs[0]
            base[layer.output] = base.get(source, source)

    group = {name: name for name in network.tensors}

    def find(name: str) -> str:
        while group[name] != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    owner: dict[str, tuple[str, int]] = {}  # piece -> (concatenation whose buffer holds it, channel offset)
    for target in reversed(pieces):
        offset = 0
        for piece in pieces[target]:
            owner.setdefault(piece, (target, offset))
            offset += network.tensors[piece].channels
            group[find(piece)] = find(target)
    for view, source in base.items():
        group[find(view)] = find(source)

    placed: dict[str, StoredTensor] = {}
    fixed_groups = {find(name) for name in network.outputs}
    for name, tensor in network.tensors.items():
        source = base.get(name, name)
        runs = _runs(network, source, pieces, owner)
        repeats = network.tensors[source].height * network.tensors[source].width // (tensor.height * tensor.width)
        if repeats > 1:  # a flattened map is one pixel made of all the map's runs
            runs = runs * repeats
        placed[name] = StoredTensor(
            name, tensor.height, tensor.width, tensor.channels, find(name), runs, find(name) in fixed_groups
        )
    return placed


def _runs(
    network: Network, name: str, pieces: Mapping[str, tuple[str, ...]], owner: Mapping[str, tuple[str, int]]
) -> tuple[int, ...]:
    """Contiguous pieces of one pixel of a tensor; empty when the tensor fills its buffer."""
    parts = pieces.get(name, (name,))
    runs: list[int] = []
    previous: tuple[str, int] | None = None
    for part in parts:
        channels = network.tensors[part].channels
        place = owner.get(part, (part, 0))
        if runs and place == previous:
            runs[-1] += channels
        else:
            runs.append(channels)
        previous = (place[0], place[1] + channels)
    first = owner.get(parts[0], (parts[0], 0))[0]
    return () if len(runs) == 1 and network.tensors[first].channels == runs[0] else tuple(runs)
