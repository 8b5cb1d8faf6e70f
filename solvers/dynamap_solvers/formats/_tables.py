"""Between tables and problems, for every format: putting a problem together, and taking it apart for writing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, CostArray, SelectionProblem

__all__ = ["Function", "check_cells", "check_sizes", "forbid_from", "from_functions", "plain", "short", "split"]

_FREE_CELLS = 2**24
_CELLS_PER_BYTE = 256


@dataclass(eq=False)
class Function:
    """One cost function as files hold them.

    Attributes:
        scope: none, one or two variables.
        costs: the cells, flat and row by row, int64 or float64; forbidden cells FORBIDDEN or inf.
    """

    scope: tuple[int, ...]
    costs: CostArray


def check_sizes(sizes: Sequence[int], text_bytes: int) -> None:
    """Refuse declared domain sizes that no text of this length can mean, before anything of that size is made."""
    for i, size in enumerate(sizes):
        if size < 1:
            raise ProblemError(f"variable {i} has {size} choices; give it at least one.")
    check_cells(sum(sizes), text_bytes)


def check_cells(cells: int, text_bytes: int) -> None:
    """Refuse more costs than a text of this length can mean.

    Sparse formats name a size and give few cells, so a short text may stand for many: 2**24 cells are free (128 MiB),
    each byte of text grants 256 more.
    """
    if cells > _FREE_CELLS + _CELLS_PER_BYTE * text_bytes:
        raise ProblemError(f"it declares {cells} costs in {text_bytes} bytes of text, which cannot be meant.")


def from_functions(
    sizes: Sequence[int], functions: Sequence[Function], *, floats: bool, **rest: Any
) -> SelectionProblem:
    """The problem of some cost functions: unary ones add up, binary ones are edges in their order.

    A constant (a function of no variable) is added to the costs of variable 0, since a problem has no constant of its
    own.

    Raises:
        ProblemError: if there is a constant but no variable, or integer costs add up to ``2**60`` or more.
    """
    dtype = np.dtype(np.float64 if floats else np.int64)
    starts = np.concatenate(([0], np.cumsum(np.array(sizes, np.int64)))).astype(np.int64)
    unary: NDArray[Any] = np.zeros(int(starts[-1]), dtype)
    constants: list[int | float] = []
    for function in functions:
        if len(function.scope) == 1:
            (i,) = function.scope
            own = unary[starts[i] : starts[i + 1]]
            own[:] = _add(own, function.costs, f"variable {i}")
        elif not function.scope:
            constants.append(function.costs[0].item())
    limit = math.inf if floats else FINITE_LIMIT
    if any(constant >= limit for constant in constants):
        constant: int | float = math.inf if floats else FORBIDDEN
    else:
        constant = math.fsum(constants) if floats else sum(int(c) for c in constants)
    if constant:
        if not sizes:
            raise ProblemError(f"it has a constant cost of {constant} but no variable to carry it.")
        if (
            constant != (math.inf if floats else FORBIDDEN)
            and not -FINITE_LIMIT < constant < FINITE_LIMIT
            and not floats
        ):
            raise ProblemError(f"its constant costs add up to {constant}, 2**60 or more in size; scale the costs down.")
        own = unary[: starts[1]]
        own[:] = _add(own, np.array([constant], dtype), "variable 0")
    binary = [function for function in functions if len(function.scope) == 2]
    pair = np.concatenate([function.costs for function in binary]) if binary else np.zeros(0, dtype)
    return SelectionProblem.from_flat(
        domain_sizes=np.array(sizes, np.int64),
        unary=unary,
        edges=np.array([function.scope for function in binary], np.int64).reshape(-1, 2),
        pair=pair.astype(dtype, copy=False),
        **rest,
    )


def _add(left: NDArray[Any], right: NDArray[Any], label: str) -> NDArray[Any]:
    """The sum, forbidden where either is; both finite integers are below 2**60, so nothing wraps."""
    if left.dtype == np.float64:
        return np.asarray(left + right)
    forbidden = (left >= FINITE_LIMIT) | (right >= FINITE_LIMIT)
    total = np.where(forbidden, FORBIDDEN, np.where(forbidden, 0, left) + np.where(forbidden, 0, right))
    if (np.abs(total[~forbidden]) >= FINITE_LIMIT).any():
        raise ProblemError(f"the costs of {label} add up to 2**60 or more; scale them down.")
    return np.asarray(total)


def forbid_from(functions: Sequence[Function], top: float) -> None:
    """Forbid, in place, every cell that cannot be part of a total below ``top``.

    That is what a global upper bound says: a cell is out if it and the least of every other function add up to ``top``
    or more. The bound's other half, that a permitted total of ``top`` or more is no solution either, has no place in a
    problem and is not kept.
    """
    floats = bool(functions) and functions[0].costs.dtype == np.float64
    endless = math.inf if floats else FORBIDDEN

    def above(costs: CostArray, rest: float) -> NDArray[np.bool_]:
        room = top - rest
        return np.asarray(costs >= (room if floats else max(min(room, 2**63 - 1), -(2**63))))

    # First with only what is negative counted of the others, so that the second time a function is counted by the
    # least of the cells that are left of it; by 0 where none is, since then nothing is allowed anyway.
    negative = [min(function.costs.min().item(), 0) for function in functions]
    total = math.fsum(negative) if floats else sum(negative)
    least: list[int | float] = []
    for function, low in zip(functions, negative, strict=True):
        kept = function.costs[~above(function.costs, total - low)]
        least.append(kept.min().item() if kept.size else 0)
    total = math.fsum(least) if floats else sum(least)
    for f, (function, low) in enumerate(zip(functions, least, strict=True)):
        out = above(function.costs, total - low)
        if not floats and ((np.abs(function.costs) >= FINITE_LIMIT) & ~out).any():
            raise ProblemError(f"a cost of function {f} is 2**60 or more in size and not forbidden; scale it down.")
        if out.any():
            function.costs = np.where(out, endless, function.costs)


def plain(problem: SelectionProblem, kind: str, *, usage: bool = False) -> SelectionProblem:
    """The same problem without what a format of plain tables has no word for.

    A fixed choice becomes forbidding the others, a group of ties becomes tables between neighbours in the group, 0 on
    the diagonal and forbidden elsewhere: the same assignments are allowed at the same costs.

    Args:
        problem: what is to be written.
        kind: the format, for messages.
        usage: whether the format holds a usage limit.

    Raises:
        ProblemError: if the problem is a batch, or has a usage limit that the format cannot hold.
    """
    if problem.is_batched:
        raise ProblemError(f"{kind} holds one cost set; write instance(k) of the batch.")
    if problem.usage is not None and not usage:
        raise ProblemError(
            f"{kind} has no usage limit; write json or iopddl, or lp or mps, or give it up by replace(usage=None, "
            "intervals=(), usage_limit=0)."
        )
    if not problem.fixed and not problem.ties:
        return problem
    forbidden = problem.infeasible_value
    unary = list(problem.unary)
    for i, x in problem.fixed.items():
        row = np.full_like(unary[i], forbidden)
        row[x] = unary[i][x]
        unary[i] = row
    edges, pair = list(problem.edges), list(problem.pair)
    for group in problem.ties:
        size = problem.domain_sizes[group[0]]
        equal = np.where(np.eye(size, dtype=np.bool_), 0, forbidden).astype(problem.dtype)
        for left, right in pairwise(group):
            edges.append((left, right))
            pair.append(equal)
    return problem.replace(unary=tuple(unary), edges=tuple(edges), pair=tuple(pair), fixed={}, ties=())


def split(costs: CostArray, ends: NDArray[np.int64]) -> list[CostArray]:
    """The tables that lie one after another, by where each ends."""
    tables: list[Any] = np.split(costs, ends[:-1]) if len(ends) else []
    return tables


def short(token: bytes | str) -> str:
    """A token for a message: decoded, quoted, cut where it is long."""
    text = token.decode("utf-8", "replace") if isinstance(token, bytes) else token
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
