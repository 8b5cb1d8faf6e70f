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
    nodes without predecessors read the stage's input with stride 2, those without successors are averaged to its
    output.

    Departures, none of which changes the published figures: inputs are added without the learned sigmoid weight per
    edge (192 numbers), and outputs are summed, which differs from their mean by a factor that the next
    convolution's weights absorb (a ReLU passes it on). Dropout and softmax are left out.

    ``wiring_seed`` draws the graphs (stage k uses 3·wiring_seed + k) and ``seed`` the weights. Published, mean and
    deviation over wirings: 583 ± 6.2 M multiply-adds and 5.6 ± 0.1 M parameters (Table 2). The default wiring is
    the first whose network lies within 1 % of both means: 578.7 M and 5.63 M. Over 60 wirings this builder has 580.5 ±
    5.4 M and 5.61 ± 0.08 M.
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
    ends = [node for node in range(len(predecessors)) if node not in used]
    sums = [inputs for inputs in (*predecessors, ends) if len(inputs) > 1]
    # A result that no sum reads is rectified at once, others where a single reader asks for it.
    summed = {node for inputs in sums for node in inputs}
    results: list[str] = []
    rectified: dict[int, str] = {}

    def joined(label: str, inputs: list[int]) -> str:
        if len(inputs) > 1:
            return net.add(label, *(results[node] for node in inputs), activation=RELU)
        (node,) = inputs
        if node not in rectified:
            rectified[node] = net.activation(f"{results[node]}/relu", results[node], RELU)
        return rectified[node]

    for node, inputs in enumerate(predecessors):
        label = f"{name}/node{node}"
        x = joined(f"{label}/sum", inputs) if inputs else source
        x = net.depthwise(f"{label}/depthwise", x, 3, stride=1 if inputs else 2, pads=1, bias=False)
        x = net.conv(f"{label}/pointwise", x, channels, 1, activation=None if node in summed else RELU)
        results.append(x)
        if node not in summed:
            rectified[node] = x
    return joined(f"{name}/output", ends)
