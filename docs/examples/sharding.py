"""Auto-sharding: how to split every operator over the devices so that the memory of a device suffices at all times.

The problem of Alpa, of XLA's auto-sharding and of PyTorch's AutoParallel, and its file format, IOPDDL. Without an
argument the program writes such a file, for training a small transformer on 8 devices, and reads it back;
``python docs/examples/sharding.py FILE`` takes a file of yours, such as those of the ASPLOS 2025 contest.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import networkx as nx

from dynamap_solvers import SelectionProblem, read_problem, solve, write_problem

DEVICES, LAYERS, TOKENS, WIDTH = 8, 3, 16_384, 4_096
FLOP_PER_US, BYTES_PER_US, MIB = 200e6, 100e3, 2**20
WHOLE, TOKEN, FEATURE = "whole", "split by tokens", "split by features"  # how a tensor lies on the devices
MATMUL = {"data": (TOKEN, TOKEN), "column": (WHOLE, FEATURE), "row": (FEATURE, WHOLE)}  # its input, its output
OTHER = {layout: (layout, layout) for layout in (WHOLE, TOKEN, FEATURE)}


class Training:
    """The forward operators in order; each output is kept until its backward pass, in reverse order, is done."""

    def __init__(self) -> None:
        self.graph = nx.DiGraph(name="transformer")
        self.features: dict[str, int] = {}
        self.end = 2 * (1 + 7 * LAYERS)

    def operator(self, name: str, inputs: tuple[str, ...], features: int, *, matmul: bool = False) -> str:
        """A matrix product with a weight of its own, or an operator that works on whatever lies where it is."""
        ways = MATMUL if matmul else OTHER
        size = 2 * TOKENS * features  # bytes, in bfloat16
        flop = 6 * TOKENS * features * self.features[inputs[0]] if matmul else 20 * size
        split = round(flop / DEVICES / FLOP_PER_US)
        time = {"row": split + round(4 * size / BYTES_PER_US), WHOLE: split * DEVICES}  # "row" adds up over devices
        self.graph.add_node(
            name,
            choices=list(ways),
            cost=[time.get(way, split) for way in ways],
            usage=[size // (1 if out == WHOLE else DEVICES) // MIB for _, out in ways.values()],
            interval=(len(self.features), self.end - len(self.features)),
        )
        for source in inputs:
            moved = round(4 * TOKENS * self.features[source] / BYTES_PER_US)  # it and its gradient
            have = [out for _, out in (MATMUL if "row" in self.graph.nodes[source]["choices"] else OTHER).values()]
            table = [[reshard(out, want, moved) for want, _ in ways.values()] for out in have]
            self.graph.add_edge(source, name, table=table)
        self.features[name] = features
        return name

    def matmul(self, name: str, source: str, features: int) -> str:
        """The product, and what belongs to its weight, gradient and optimiser: whole on every device, or split."""
        self.operator(name, (source,), features, matmul=True)
        parameters = self.features[source] * features
        usage = [16 * parameters // MIB, 16 * parameters // DEVICES // MIB]
        self.graph.add_node(f"{name}.w", choices=["whole", "split"], cost=[0, 0], usage=usage, interval=(0, self.end))
        once = round(2 * parameters / BYTES_PER_US)  # to gather the weight, or to scatter sums of its gradients
        self.graph.add_edge(name, f"{name}.w", table=[[2 * once, 3 * once], [0, 0], [0, 0]])
        return name


def reshard(have: str, want: str, moved: int) -> int:
    """Microseconds to bring a tensor from one layout into another."""
    if have in {want, WHOLE}:
        return 0  # a device drops what it does not need
    return moved if want == WHOLE else moved // 4


def transformer(limit: int) -> SelectionProblem:
    """Blocks of attention and feed-forward; time in microseconds, memory of one device in MiB."""
    net = Training()
    last = net.operator("embed", (), WIDTH)
    for k in range(LAYERS):
        heads = net.operator(f"{k}.attention", (net.matmul(f"{k}.qkv", last, 3 * WIDTH),), WIDTH)
        added = net.operator(f"{k}.add", (last, net.matmul(f"{k}.proj", heads, WIDTH)), WIDTH)
        wide = net.matmul(f"{k}.up", added, 4 * WIDTH)
        last = net.operator(f"{k}.add2", (added, net.matmul(f"{k}.down", wide, WIDTH)), WIDTH)
    return SelectionProblem.from_graph(net.graph, usage_limit=limit)


def main() -> None:
    """Solve a file, the one given or one of our own."""
    if len(sys.argv) > 1:
        print(solve(read_problem(sys.argv[1]), time_limit=60))
        return
    model = transformer(limit=2_600)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "transformer.iopddl.json")
        write_problem(model, path)
        problem = read_problem(path).replace(names=model.names, choice_names=model.choice_names)

    free = solve(problem.replace(usage=None))
    print(f"without a limit: {free.objective:,} us, {problem.peak_usage(free.assignment_value()):,} MiB at the peak")
    for limit in (8_000, 6_000, 4_000, 2_600, 1_900, 1_800):
        within = solve(problem.replace(usage_limit=limit))
        slower = within.objective_value() / free.objective_value() - 1
        print(f"limit {limit:>5,} MiB: {within.status}, {within.objective:,} us, {slower:+.1%}")

    solution = solve(problem)
    for time, used in problem.usage_over_time(solution.assignment_value())[::4]:
        print(f"  time {time:>2}  {used:>5,} MiB  {'#' * (40 * used // problem.usage_limit):<40}|")
    ways = problem.named(solution.assignment_value())
    for k in range(LAYERS):
        print(f"  layer {k}:", ", ".join(f"{x} {ways[f'{k}.{x}']}" for x in ("qkv", "attention", "proj", "up", "down")))
    tight = solve(problem.replace(usage_limit=1_700))
    print(f"limit 1,700 MiB: {tight.status}. {tight.reason}")

    other = solve(problem, method="ilp-cbc")  # an unrelated solver
    assert (other.status, other.objective) == ("optimal", solution.objective)
    assert max(used for _, used in problem.usage_over_time(solution.assignment_value())) <= problem.usage_limit
    print("checked: two solvers prove the same optimum, and the limit is kept")


if __name__ == "__main__":
    main()
