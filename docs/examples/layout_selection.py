"""Layout selection: which data layout for every operator of a network, with transforms where layouts meet.

The graph is what a compiler like TVM has after fusion: convolutions with a kernel for each layout, additions,
concatenations and poolings that take any. The kernel times are made up (seeded); put measured ones in their place.
"""

from __future__ import annotations

import random

import networkx as nx
import numpy as np

from dynamap_solvers import SelectionProblem, check, solve

LAYOUTS = ("NCHW", "NHWC", "NCHW16c")
MACS_PER_NS = {  # by kernel size: what each layout reaches on the machine
    1: {"NCHW": 70, "NHWC": 180, "NCHW16c": 130},
    3: {"NCHW": 60, "NHWC": 90, "NCHW16c": 150},
}
BYTES_PER_NS = 12
LAUNCH_NS = 1_500
RNG = random.Random(7)


class Network:
    """A graph under construction: nodes carry costs in nanoseconds, edges the transforms of the tensor they pass."""

    def __init__(self, channels: int, size: int) -> None:
        self.graph = nx.DiGraph(name="residual and inception blocks")
        self.shape: dict[str, tuple[int, int]] = {}
        self.add("input", (), channels, size, {"NCHW": 0})  # it arrives as it is

    def add(self, name: str, inputs: tuple[str, ...], channels: int, size: int, cost: dict[str, int]) -> str:
        """An operator; ``cost`` holds the layouts it has a kernel for."""
        possible = {layout: ns for layout, ns in cost.items() if layout != "NCHW16c" or channels % 16 == 0}
        self.graph.add_node(name, cost=list(possible.values()), choices=list(possible))
        self.shape[name] = channels, size
        for source in inputs:
            self.graph.add_edge(source, name, table=self.transforms(source, name))
        return name

    def transforms(self, source: str, target: str) -> np.ndarray:
        """What it costs to turn the output of ``source`` into the layout of ``target``: rows, columns."""
        channels, size = self.shape[source]
        once = LAUNCH_NS + 2 * 4 * channels * size**2 // BYTES_PER_NS  # read and write float32
        rows, columns = (self.graph.nodes[node]["choices"] for node in (source, target))
        return np.array([[0 if a == b else once for b in columns] for a in rows])

    def conv(self, name: str, source: str, channels: int, kernel: int, stride: int = 1) -> str:
        """A convolution with its activation."""
        depth, size = self.shape[source]
        macs = (size // stride) ** 2 * channels * depth * kernel**2
        speed = {layout: MACS_PER_NS[kernel][layout] * (0.7 + 0.6 * RNG.random()) for layout in LAYOUTS}
        if depth % 16:
            del speed["NCHW16c"]
        return self.add(name, (source,), channels, size // stride, {x: LAUNCH_NS + int(macs / speed[x]) for x in speed})

    def any_layout(self, name: str, inputs: tuple[str, ...], *, concat: bool = False) -> str:
        """An addition, a concatenation or a pooling: bound by memory, whatever the layout."""
        channels = (sum if concat else max)(self.shape[source][0] for source in inputs)
        size = self.shape[inputs[0]][1]
        once = LAUNCH_NS + 2 * 4 * channels * size**2 // BYTES_PER_NS
        return self.add(name, inputs, channels, size, dict.fromkeys(LAYOUTS, once))


def build() -> Network:
    """A stem, four residual blocks, three inception blocks, and a head that wants NCHW."""
    network = Network(channels=3, size=112)
    last = network.conv("stem", "input", 64, 3, stride=2)
    for k in range(4):
        inner = network.conv(f"res{k}.a", last, 64, 1)
        outer = network.conv(f"res{k}.b", inner, 64, 3)
        last = network.any_layout(f"res{k}.add", (last, outer))
    for k, width in enumerate((24, 40, 64)):  # 24 and 40 are no multiples of 16
        left = network.conv(f"inc{k}.1x1", last, 64, 1)
        narrow = network.conv(f"inc{k}.reduce", last, width, 1)
        middle = network.conv(f"inc{k}.3x3", narrow, 96, 3)
        pooled = network.conv(f"inc{k}.proj", network.any_layout(f"inc{k}.pool", (last,)), 32, 1)
        last = network.any_layout(f"inc{k}.concat", (left, middle, pooled), concat=True)
    network.add("output", (last,), *network.shape[last], {"NCHW": 0})
    return network


def greedy(problem: SelectionProblem) -> tuple[int, ...]:
    """Along the graph, each operator takes what is cheapest for itself and the transforms of its inputs."""
    chosen: list[int] = []
    for i, costs in enumerate(problem.unary):
        tables = [table[chosen[u]] for (u, v), table in zip(problem.edges, problem.pair, strict=True) if v == i]
        chosen.append(int(np.argmin(costs + sum(tables, start=np.zeros_like(costs)))))
    return tuple(chosen)


def main() -> None:
    """Solve, compare, explain and check."""
    problem = SelectionProblem.from_graph(build().graph)
    solution = solve(problem)
    best = solution.objective_value()
    print(f"{problem.num_variables} operators, {problem.num_edges} tensors: {solution}")
    fastest = tuple(int(np.argmin(costs)) for costs in problem.unary)
    for name, other in (("every operator its fastest kernel", fastest), ("greedy along the graph", greedy(problem))):
        print(f"{name}: {problem.evaluate(other):,} ns, {problem.evaluate(other) / best - 1:+.1%}")
    layouts = problem.named(solution.assignment_value())
    print("layouts:", ", ".join(f"{x} {list(layouts.values()).count(x)}" for x in LAYOUTS))
    for u, v in problem.edges:
        a, b = problem.names[u], problem.names[v]
        if layouts[a] != layouts[b]:
            print(f"  transform {a} -> {b}: {layouts[a]} to {layouts[b]}")
    check(problem, solution)  # raises if the assignment, its cost or the proof is wrong
    assert solve(problem, method="highs").objective == best  # and an integer program agrees
    print("checked: the certificate, and the optimum of an integer program")


if __name__ == "__main__":
    main()
