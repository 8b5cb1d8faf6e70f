"""A randomly wired network: RandWire-WS(4, 0.75), small regime."""

from __future__ import annotations

from dynamap_models.ir import Network

from .builder import RELU, NetworkBuilder

__all__ = ["random_wired"]

_NODES = 32
_NEIGHBOURS = 4
_REWIRED = 0.75
_CHANNELS = 78
_WIRING_SEED = 0


def random_wired(*, seed: int, wiring_seed: int = _WIRING_SEED) -> Network:
    """RandWire-WS(4, 0.75) with C = 78 at 224x224: three stages of 32 nodes on Watts-Strogatz graphs.

    Xie, Kirillov, Girshick, He, "Exploring randomly wired neural networks for image recognition", 2019 (arXiv
    1904.01569), Table 1 (small regime) and Section 3: an undirected graph, its edges directed from the smaller to the
    larger node; a node adds its inputs, then ReLU, a 3x3 separable convolution and a batch normalisation (folded);
    nodes without predecessors read the stage's input with stride 2, those without successors are averaged to its output.

    Departures, none of which changes the published figures: inputs are added without the learned sigmoid weight per
    edge (a few hundred numbers), and outputs are summed, which differs from their mean by a factor that the next
    convolution's weights absorb (a ReLU passes it on). Dropout and softmax are left out.

    ``wiring_seed`` draws the graphs (stage k uses 3·wiring_seed + k) and ``seed`` the weights. Published, mean and
    deviation over wirings: 583 ± 6.2 M multiply-adds and 5.6 ± 0.1 M parameters (Table 2). The default wiring is
    the first whose network lies within 1 % of both means: 578.7 M and 5.63 M.
    """
    net = NetworkBuilder("random-wired", seed=seed)
    x = net.conv("conv1", net.input("image", 3, 224, 224), _CHANNELS // 2, 3, stride=2, pads=1, activation=RELU)
    x = net.conv("conv2", x, _CHANNELS, 3, stride=2, pads=1, activation=RELU)
    for stage in range(3):
        predecessors = _wiring(3 * wiring_seed + stage)
        x = _stage(net, f"stage{stage + 3}", x, _CHANNELS * 2**stage, predecessors)
    x = net.conv("conv6", x, 1280, 1)
    return net.build(net.fully_connected("logits", net.global_pool("pool", x), 1000))


def _wiring(seed: int) -> list[list[int]]:
    """The predecessors of every node of one random graph, each list in increasing order."""
    import networkx as nx  # noqa: PLC0415 (the only network of the zoo that needs it)

    graph = nx.connected_watts_strogatz_graph(_NODES, _NEIGHBOURS, _REWIRED, seed=seed)
    return [sorted(other for other in graph[node] if other < node) for node in range(_NODES)]


def _stage(net: NetworkBuilder, name: str, source: str, channels: int, predecessors: list[list[int]]) -> str:
    """One random graph; the source is already rectified, and so is the result."""
    used = {node for inputs in predecessors for node in inputs}
    results: list[str] = []
    rectified: dict[str, str] = {}
    for node, inputs in enumerate(predecessors):
        label = f"{name}/node{node}"
        if not inputs:
            x, stride = source, 2
        elif len(inputs) == 1:
            only = results[inputs[0]]
            if only not in rectified:
                rectified[only] = net.activation(f"{name}/node{inputs[0]}/relu", only, RELU)
            x, stride = rectified[only], 1
        else:
            x, stride = net.add(f"{label}/sum", *(results[other] for other in inputs), activation=RELU), 1
        x = net.depthwise(f"{label}/depthwise", x, 3, stride=stride, pads=1, bias=False)
        results.append(net.conv(f"{label}/pointwise", x, channels, 1))
    ends = [result for node, result in enumerate(results) if node not in used]
    if len(ends) == 1:
        return net.activation(f"{name}/output", ends[0], RELU)
    return net.add(f"{name}/output", *ends, activation=RELU)
