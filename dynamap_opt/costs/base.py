"""What a cost model answers; the mapping problem is built from these answers alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dynamap_opt.algorithms import Algorithm
from dynamap_opt.layouts import Layout
from dynamap_opt.program import Stage
from dynamap_rtl import Cycles, Dataflow

__all__ = ["CostModel", "prefer_family"]

# What computes a convolution when the preferred family cannot.
_FALLBACK_FAMILIES = frozenset({"im2col", "depthwise"})


def prefer_family(algorithms: Iterable[Algorithm], family: str | None) -> tuple[Algorithm, ...]:
    """Only the preferred family's algorithms where there are any, otherwise im2col's; all when none is preferred."""
    every = tuple(algorithms)
    if family is None:
        return every
    preferred = tuple(algorithm for algorithm in every if algorithm.family == family)
    return preferred or tuple(algorithm for algorithm in every if algorithm.family in _FALLBACK_FAMILIES)


class CostModel(Protocol):
    """Cycles of one stage's load, compute and store, and how they combine.

    ``load_cycles`` and ``store_cycles`` return None for what cannot be done. None of the methods but
    ``compute_cycles`` depends on the array's shape, so that whole explorations share their results.
    """

    @property
    def name(self) -> str:
        """The preset's name."""

    @property
    def plain_inputs(self) -> bool:
        """Whether the host stores the network's inputs as ``nhwc`` only, or in any layout, uncounted."""

    def algorithms(self, stage: Stage) -> tuple[Algorithm, ...]:
        """What can compute a stage on the array."""

    def accepted_layouts(self, stage: Stage, position: int) -> tuple[Layout, ...]:
        """The layouts input ``position`` may have, the plain one first."""

    def load_cycles(self, stage: Stage, algorithm: Algorithm | None, layout: Layout) -> int | None:
        """To bring in all inputs and weights, the first input stored in ``layout``."""

    def store_cycles(self, stage: Stage, algorithm: Algorithm | None, layout: Layout) -> int | None:
        """To write the output in ``layout``."""

    def compute_cycles(
        self, stage: Stage, algorithm: Algorithm | None, dataflow: Dataflow, p1: Cycles, p2: Cycles
    ) -> Cycles:
        """Of the array or the vector unit."""

    def latency(self, load: Cycles, compute: Cycles, store: Cycles) -> Cycles:
        """Of the whole stage."""
