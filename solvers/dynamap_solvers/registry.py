"""What a method is: a name, a function, and what it declares about itself."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Protocol

from dynamap_solvers import _kernel
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution

__all__ = ["Method", "Run"]


class Run(Protocol):
    """The function of a method: one cost set, without fixed choices and ties, to a solution."""

    def __call__(self, problem: SelectionProblem, options: Options) -> Solution:
        """Solve one problem."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of the registry.

    Attributes:
        name: what ``solve`` calls it.
        run: see :class:`Run`.
        summary: what it is, in a line.
        takes_usage: whether it takes problems with a resource limit.
        any_graph: whether it takes every graph.
        any_costs: whether it takes any number of choices and any tables; the others refuse with a ProblemError.
        heeds_time_limit: whether it stops at a time limit; the others take polynomial time, known beforehand.
        needs_kernel: whether it runs in the compiled kernel only.
        requires: modules that must be installed.
        extra: what to install to have them, for messages: ``pip install dynamap-opt[...]``.
    """

    name: str
    run: Run
    summary: str
    takes_usage: bool
    any_graph: bool
    heeds_time_limit: bool
    any_costs: bool = True
    needs_kernel: bool = False
    requires: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """What it needs that is not installed; modules are found out without importing them."""
        if not self.needs_kernel and not self.requires:
            return ()
        kernel = ("the compiled kernel",) if self.needs_kernel and _kernel.library() is None else ()
        return (*kernel, *(module for module in self.requires if importlib.util.find_spec(module) is None))

    @property
    def is_available(self) -> bool:
        """Whether it can run here."""
        return not self.missing

    @property
    def remedy(self) -> str:
        """What to do about what is missing, as the end of a sentence."""
        if self.needs_kernel and _kernel.library() is None:
            return "install dynamap-opt where a C++ compiler is on the path"
        return f"install {f'dynamap-opt[{self.extra}]' if self.extra else ' '.join(self.missing)}"
