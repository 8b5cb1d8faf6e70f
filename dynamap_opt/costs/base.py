"""What a cost model answers; the mapping problem is built from these answers alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dynamap_opt.algorithms import Algorithm
from dynamap_opt.layouts import Layout
from dynamap_opt.program import Stage
from dynamap_rtl import Dataflow

__all__ = ["CostModel", "Precision", "ShapeBatch", "StageCycles", "prefer_family"]

IntArray = NDArray[np.int64]

# What computes a convolution when the preferred family cannot.
_FALLBACK_FAMILIES = frozenset({"im2col", "depthwise"})


def prefer_family(algorithms: Iterable[Algorithm], family: str | None) -> tuple[Algorithm, ...]:
    """Only the preferred family's algorithms where there are any, otherwise im2col's; all when none is preferred."""
    every = tuple(algorithms)
    if family is None:
        return every
    preferred = tuple(algorithm for algorithm in every if algorithm.family == family)
    return preferred or tuple(algorithm for algorithm in every if algorithm.family in _FALLBACK_FAMILIES)


class Precision(IntEnum):
    """How closely cycles are wanted; what is less than exact is a lower bound."""

    FLOOR = 0
    BOUND = 1
    EXACT = 2


@dataclass(frozen=True)
class ShapeBatch:
    """Array shapes priced together, with room for what equal stages share.

    Attributes:
        p1: rows, shape (shapes,).
        p2: columns, likewise.
        precision: what is wanted.
        memo: results by whatever the model likes.
    """

    p1: IntArray
    p2: IntArray
    precision: Precision = Precision.EXACT
    memo: dict[Hashable, object] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, p1: int, p2: int) -> ShapeBatch:
        """One shape."""
        return cls(np.array([p1], dtype=np.int64), np.array([p2], dtype=np.int64))


@dataclass(frozen=True)
class StageCycles:
    """One stage under one choice; arrays of shape (shapes,), ``FORBIDDEN`` in ``total`` where it cannot be done.

    Attributes:
        total: latency of the stage.
        load: cycles in which operands are loaded.
        compute: in which the array or the vector unit works.
        store: in which results are stored.
    """

    total: IntArray
    load: IntArray
    compute: IntArray
    store: IntArray


class CostModel(Protocol):
    """Cycles of one stage under each of its choices."""

    @property
    def name(self) -> str:
        """The preset's name."""

    @property
    def plain_inputs(self) -> bool:
        """Whether the host stores the network's inputs as ``nhwc`` only, or in any layout, uncounted."""

    @property
    def bounded(self) -> bool:
        """Whether lower bounds are to be had much sooner than cycles."""

    def algorithms(self, stage: Stage) -> tuple[Algorithm, ...]:
        """What can compute a stage on the array."""

    def accepted_layouts(self, stage: Stage, position: int) -> tuple[Layout, ...]:
        """The layouts input ``position`` may have, the plain one first."""

    def signature(self, stage: Stage) -> Hashable:
        """Equal for stages that always cost the same."""

    def products(self, stage: Stage, algorithm: Algorithm | None) -> int:
        """Multiply-accumulates the array is counted to do for a stage, no more than the direct convolution's."""

    def cycles(
        self,
        stage: Stage,
        algorithm: Algorithm | None,
        dataflow: Dataflow,
        in_layout: Layout,
        out_layout: Layout,
        shapes: ShapeBatch,
    ) -> StageCycles | None:
        """Of a stage that is not the host's, on every shape; None for what can be done on none."""
