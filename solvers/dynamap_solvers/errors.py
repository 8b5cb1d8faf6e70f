"""The exceptions of ``dynamap_solvers``; every one is a :class:`SolverError`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

__all__ = ["CertificateError", "NotSeriesParallelError", "ProblemError", "SolverError", "UnknownMethodError"]


class SolverError(ValueError):
    """Root of everything this package raises on purpose: the message names the thing, the rule and the fix."""


class ProblemError(SolverError):
    """A selection problem, file or option that breaks a rule, or that the method asked for cannot take."""


class NotSeriesParallelError(SolverError):
    """The graph has no reduction to a point, because a core is left in which every vertex has degree 3 or more.

    A graph whose vertices all have degree at least 3 contains K4 as a minor (Dirac 1952), and K4 has treewidth 3; the
    core is itself a minor of the graph, so the witness is a proof and not just the place where the algorithm gave up.

    Attributes:
        witness: the variables of the core, ascending. The set does not depend on the order of the reductions.
    """

    def __init__(
        self, message: str, *, witness: Sequence[int], core_edges: Callable[[], Sequence[tuple[int, int]]]
    ) -> None:
        super().__init__(message)
        self.witness: tuple[int, ...] = tuple(witness)
        self._core_edges = core_edges  # seldom asked for, and long to make

    @cached_property
    def core_edges(self) -> tuple[tuple[int, int], ...]:
        """The edges of the core, each ``(i, j)`` with ``i < j``, once."""
        return tuple(self._core_edges())


class CertificateError(SolverError):
    """A certificate that does not prove what it is said to prove: the message names the first step that fails."""


class UnknownMethodError(SolverError):
    """A method name that is not registered: the message lists those that are."""
