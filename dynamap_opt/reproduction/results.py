"""What the parts of a reproduction find: values that JSON holds."""

from __future__ import annotations

import msgspec

from dynamap_opt.comparison import StrategyResult
from dynamap_opt.residency import Residency

__all__ = [
    "ArrayResult",
    "Check",
    "LayerUse",
    "NetworkResult",
    "ResidencyResult",
    "TimeResult",
    "VariantResult",
]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must hold, whatever was published."""

    name: str
    holds: bool
    detail: str


class LayerUse(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of the optimum that the array computes.

    Attributes:
        name: of the layer.
        operation: for people.
        kernel: (vertical, horizontal), like the next.
        stride: likewise.
        macs: direct multiply-accumulates.
        algorithm: chosen.
        dataflow: chosen.
        cycles: of the whole layer.
        load_cycles: as in a plan, like the next two.
        compute_cycles: likewise.
        store_cycles: likewise.
        array_utilization: products over elements and cycles of computing (the paper's "effective PE utilisation").
        utilization: products over elements and all cycles of the layer.
        ns_utilization: array utilisation with dataflow NS for all layers, on the same array.
        ns_compute_cycles: of the layer then.
        without_kn2row_cycles: where kn2row is chosen, the network's latency if it were not in this layer, everything
            else re-optimised; None elsewhere.
    """

    name: str
    operation: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    macs: int
    algorithm: str
    dataflow: str
    cycles: int
    load_cycles: int
    compute_cycles: int
    store_cycles: int
    array_utilization: float
    utilization: float
    ns_utilization: float
    ns_compute_cycles: int
    without_kn2row_cycles: int | None = None


class NetworkResult(msgspec.Struct, frozen=True, kw_only=True):
    """One network under one cost preset: every strategy, and the optimum layer by layer.

    Attributes:
        network: its name.
        preset: cost preset.
        macs: direct multiply-accumulates.
        strategies: the joint optimum first.
        layers: of the optimum, those on the array.
        off_array_cycles: of pooling and other stages.
        method: that proved the mapping of the chosen shape.
        variables: of that mapping problem.
        edges: likewise.
        host_operators: layers left to the host at zero cycles.
        checks: what must hold.
    """

    network: str
    preset: str
    macs: int
    strategies: tuple[StrategyResult, ...]
    layers: tuple[LayerUse, ...]
    off_array_cycles: int
    method: str
    variables: int
    edges: int
    host_operators: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def best(self) -> StrategyResult:
        """The joint optimum."""
        return self.strategies[0]


class ArrayResult(msgspec.Struct, frozen=True, kw_only=True):
    """One network on an array that somebody else chose.

    Attributes:
        network: its name.
        preset: cost preset.
        array: (P1, P2), not ours.
        latency_cycles: of the best mapping on it; None where board or overlay cannot have it.
        load_cycles: sums over its stages, like the next two.
        compute_cycles: likewise.
        store_cycles: likewise.
        overlaps: whether load, compute and store overlap under this preset, so that the sums do not add up.
        faster_shapes: how many of all shapes are faster; None where not all were made exact.
        small_array: the best shape with at most as many elements; None likewise.
        small_cycles: its latency; None likewise.
    """

    network: str
    preset: str
    array: tuple[int, int]
    latency_cycles: int | None
    load_cycles: int
    compute_cycles: int
    store_cycles: int
    overlaps: bool
    faster_shapes: int | None
    small_array: tuple[int, int] | None
    small_cycles: int | None


class VariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """The optimum with other algorithms or more products a slice, with its own best array."""

    network: str
    preset: str
    variant: str
    array: tuple[int, int]
    latency_cycles: int
    latency_s: float


class TimeResult(msgspec.Struct, frozen=True, kw_only=True):
    """How long it takes to find the optimum, in wall time on one core; medians.

    Attributes:
        network: its name.
        preset: cost preset.
        shapes: array shapes explored.
        variables: of the mapping problem of the chosen shape.
        edges: likewise.
        explorations: how often the search was timed.
        search_s: tables, exploration of every shape and plan together.
        solves: how often the mapping problem was solved.
        solve_s: the mapping of one shape by ``solve``, its costs made already.
    """

    network: str
    preset: str
    shapes: int
    variables: int
    edges: int
    explorations: int
    search_s: float
    solves: int
    solve_s: float


class ResidencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What keeping tensors on chip would be worth under published costs, on the array that is best without.

    Attributes:
        network: its name.
        array: (P1, P2).
        latency_cycles: with everything in DRAM.
        needed_bytes: on chip when everything that may stays there.
        device_bytes: UltraRAM of the board, which the overlay leaves free; its buffers take the block RAM.
        budgets: the optimum of each, growing.
        checks: what must hold.
    """

    network: str
    array: tuple[int, int]
    latency_cycles: int
    needed_bytes: int
    device_bytes: int
    budgets: tuple[Residency, ...]
    checks: tuple[Check, ...]
