"""Small random selection problems and their optimum by plain enumeration, for several tests of solvers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from hypothesis import strategies as st

from dynamap_solvers import FORBIDDEN, METHODS, SelectionProblem

BACKENDS = ("highs", "ilp-highs", "ilp-cbc", "ilp-scip", "cvxpy", "toulbar2", "ortools")
"""The methods that call somebody else's solver; some need packages that are optional."""


def methods(*names: str) -> list[ParameterSet]:
    """Methods to test; those whose packages are missing are skipped, saying which."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not METHODS[name].is_available, reason=f"needs {' and '.join(METHODS[name].missing)}, which is optional"
            ),
        )
        for name in names
    ]


@st.composite
def cyclic_problems(draw: st.DrawFn, *, floats: bool = False) -> SelectionProblem:
    """Cycles with chords, so that something is left for the backend; some cells forbidden, sometimes a limit."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(3, 6))
    sizes = rng.integers(1, 5, count)
    edges = [(i, (i + 1) % count) for i in range(count)]
    edges += [tuple(rng.choice(count, 2, replace=False).tolist()) for _ in range(draw(st.integers(0, 4)))]
    share = draw(st.sampled_from([0.0, 0.1, 0.4]))

    def table(*shape: int) -> np.ndarray:
        cells = rng.integers(-300, 700, shape)
        hit = rng.random(shape) < share
        return np.where(hit, np.inf, cells / 7) if floats else np.where(hit, FORBIDDEN, cells)

    limited = draw(st.booleans())
    starts = rng.integers(0, 5, count)
    usage = {
        "usage": tuple(rng.integers(0, 10, size) for size in sizes),
        "intervals": tuple((int(s), int(s + rng.integers(0, 5))) for s in starts),
        "usage_limit": draw(st.integers(6, 24)),
    }
    return SelectionProblem(
        unary=tuple(table(size) for size in sizes),
        edges=tuple(edges),
        pair=tuple(table(sizes[i], sizes[j]) for i, j in edges),
        **(usage if limited else {}),
    )


def enumerated(problem: SelectionProblem) -> int | float | None:
    """The third voice, in plain Python; limits are checked at every moment."""
    unary, pair = [a.tolist() for a in problem.unary], [t.tolist() for t in problem.pair]
    best = None
    for x in itertools.product(*map(range, problem.domain_sizes)):
        cells = [costs[a] for costs, a in zip(unary, x, strict=True)]
        cells += [table[x[i]][x[j]] for (i, j), table in zip(problem.edges, pair, strict=True)]
        if any(cell in {FORBIDDEN, float("inf")} for cell in cells):
            continue
        over = problem.usage is not None and any(
            sum(
                int(used[a])
                for (start, end), used, a in zip(problem.intervals, problem.usage, x, strict=True)
                if start <= moment < end
            )
            > problem.usage_limit
            for moment in range(12)
        )
        if not over and (best is None or sum(cells) < best):
            best = sum(cells)
    return best
