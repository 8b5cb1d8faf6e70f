"""NASNet-A mobile (4 @ 1056)."""

from __future__ import annotations

from typing import NamedTuple

from dynamap_models.ir import Network

from .builder import RELU, NetworkBuilder

__all__ = ["nasnet_a_mobile"]

_FILTERS = 44
_STEM_FILTERS = 32
_REPEATS = 4


class _Half(NamedTuple):
    """One of the two operations of a block, and the hidden state it reads.

    State 0 is the output of the latest cell, 1 that of the cell before, 2 the result of the first block, and so on.
    """

    operation: str
    state: int


class _Cell(NamedTuple):
    """The five blocks of a cell (each adds its halves) and the hidden states that are joined to its output."""

    blocks: tuple[tuple[_Half, _Half], ...]
    outputs: tuple[int, ...]


# Figure 4 of the paper, in the order of the authors' code.
_NORMAL = _Cell(
    blocks=(
        (_Half("separable-5", 0), _Half("separable-3", 1)),
        (_Half("separable-5", 1), _Half("separable-3", 1)),
        (_Half("average", 0), _Half("identity", 1)),
        (_Half("average", 1), _Half("average", 1)),
        (_Half("separable-3", 0), _Half("identity", 0)),
    ),
    outputs=(1, 2, 3, 4, 5, 6),
)
_REDUCTION = _Cell(
    blocks=(
        (_Half("separable-5", 0), _Half("separable-7", 1)),
        (_Half("max", 0), _Half("separable-7", 1)),
        (_Half("average", 0), _Half("separable-5", 1)),
        (_Half("identity", 3), _Half("average", 2)),
        (_Half("separable-3", 2), _Half("max", 0)),
    ),
    outputs=(3, 4, 5, 6),
)


def nasnet_a_mobile(*, seed: int) -> Network:
    """NASNet-A (4 @ 1056) at 224x224: two stem cells, then 3 x 4 normal cells with two reduction cells between.

    Zoph, Vasudevan, Shlens, Le, "Learning transferable architectures for scalable image recognition", 2017 (arXiv
    1707.07012), Figures 2 and 4 and Appendix A.4; what they leave open is as in the authors' code (TensorFlow-Slim):
    separable convolutions are applied twice, a cell's earlier input is brought to its shape by a 1x1 convolution or a
    factorised reduction, pads are TensorFlow's. Every cell reads the two cells before it, so that the graph is not
    series-parallel. Batch normalisations are folded; the auxiliary head, drop path, dropout and softmax are left out.

    Departures: a ReLU that several layers read is computed once. The factorised reduction samples every second pixel in
    both directions, once from the first and once from the second row and column; there is no operation for the latter
    sampling here, so that its place is taken by the mean of the 2x2 window around the same pixel: same maps, same work.

    Published: 564 M multiply-adds, 5.3 M parameters (Table 2); exactly 5,289,978 trained parameters in Keras, 18,369 of
    which folding removes.
    """
    net = NetworkBuilder("nasnet-a-mobile", seed=seed)
    cells = _Cells(net)
    stem = net.conv("stem", net.input("image", 3, 224, 224), _STEM_FILTERS, 3, stride=2, activation=RELU)
    earlier, latest = stem, stem
    for index, filters in enumerate((_FILTERS // 4, _FILTERS // 2)):
        earlier, latest = latest, cells.cell(f"stem_cell{index + 1}", _REDUCTION, latest, earlier, filters)
    for stage in range(3):
        filters = _FILTERS * 2**stage
        if stage > 0:
            earlier, latest = latest, cells.cell(f"reduction{stage}", _REDUCTION, latest, earlier, filters)
        for index in range(_REPEATS):
            name = f"cell{stage * _REPEATS + index + 1}"
            earlier, latest = latest, cells.cell(name, _NORMAL, latest, earlier, filters)
    return net.build(net.fully_connected("logits", net.global_pool("pool", latest), 1000))


class _Cells:
    """Adds cells to a network; they read and write rectified tensors, since all that reads them would rectify."""

    def __init__(self, net: NetworkBuilder) -> None:
        self._net = net
        self._rectified: dict[str, str] = {}

    def cell(self, name: str, cell: _Cell, latest: str, earlier: str, filters: int) -> str:
        """One cell; a reduction cell halves the map of ``latest``."""
        net, stride = self._net, 2 if cell is _REDUCTION else 1
        if earlier != latest:
            earlier = self._adjust(f"{name}/adjust", earlier, net.tensor(latest).height, filters, cell)
        states = [net.conv(f"{name}/begin", latest, filters, 1), earlier]
        for index, halves in enumerate(cell.blocks):
            label = f"{name}/block{index + 1}"
            results = []
            for side, half in zip(("left", "right"), halves, strict=True):
                step = stride if half.state < 2 else 1
                results.append(self._operation(f"{label}/{side}", half.operation, states[half.state], step, filters))
            states.append(net.add(f"{label}/sum", *results))
        joined = net.concat(f"{name}/join", [states[index] for index in cell.outputs])
        output = self._relu(joined)
        self._rectified[output] = output
        return output

    def _relu(self, source: str) -> str:
        """The rectified tensor, made at first need."""
        if source not in self._rectified:
            self._rectified[source] = self._net.activation(f"{source}/relu", source, RELU)
        return self._rectified[source]

    def _operation(self, name: str, operation: str, source: str, stride: int, filters: int) -> str:
        net = self._net
        if operation == "identity":
            return source
        if operation in {"average", "max"}:
            pool = net.average_pool if operation == "average" else net.max_pool
            return pool(name, source, 3, stride=stride, pads="same")
        kernel = int(operation.removeprefix("separable-"))
        x = net.depthwise(f"{name}/depthwise1", self._relu(source), kernel, stride=stride, bias=False)
        x = net.conv(f"{name}/pointwise1", x, filters, 1, activation=RELU)
        x = net.depthwise(f"{name}/depthwise2", x, kernel, bias=False)
        return net.conv(f"{name}/pointwise2", x, filters, 1)

    def _adjust(self, name: str, source: str, height: int, filters: int, cell: _Cell) -> str:
        """The earlier input at the later one's size and the cell's number of channels."""
        net = self._net
        if net.tensor(source).height == height:
            if cell is _NORMAL:
                return net.conv(name, source, filters, 1)
            # All that a reduction cell does with its earlier input begins with a ReLU.
            rectified = net.conv(name, source, filters, 1, activation=RELU)
            self._rectified[rectified] = rectified
            return rectified
        halves = []
        for label, kernel in (("even", 1), ("odd", 2)):
            sampled = net.average_pool(f"{name}/{label}", source, kernel, stride=2, pads="same")
            halves.append(net.conv(f"{name}/{label}_conv", sampled, filters // 2, 1))
        return net.concat(f"{name}/join", halves)
