"""Problems for the tests of file formats: hypothesis strategies and how to compare what comes back."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from dynamap_solvers import FORBIDDEN, SelectionProblem

WORDS = st.text(st.characters(exclude_categories=()), max_size=6)
ODD_WORDS = st.sampled_from(
    ["", "%", "%41", "1", "-x", ".", "a b", "a\nb", "//", "#", '"', "\\", "<3", "é", "\ud800", "\0"]
)
SMALL = st.integers(-20, 50)


def cells(values: st.SearchStrategy[Any], *, floats: bool, forbidden: bool) -> st.SearchStrategy[Any]:
    """One cost: a value or, now and then, a forbidden cell."""
    return st.one_of(values, values, values, st.just(math.inf if floats else FORBIDDEN)) if forbidden else values


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    floats: bool | None = None,
    values: st.SearchStrategy[Any] | None = None,
    forbidden: bool = True,
    least: int = 0,
    named: bool = True,
    usage: bool = False,
    structure: bool = False,
    batch: bool = False,
) -> SelectionProblem:
    """A problem of up to 4 variables and 5 edges, with what is asked for drawn or not drawn."""
    is_float = draw(st.booleans()) if floats is None else floats
    usual = st.floats(-1e9, 1e9) if is_float else st.integers(-(2**50), 2**50)
    numbers = usual if values is None else values
    cell = cells(numbers, floats=is_float, forbidden=forbidden)
    sizes = draw(st.lists(st.integers(1, 3), min_size=least, max_size=4))
    count = len(sizes)
    ends = [(i, j) for i in range(count) for j in range(count) if i != j]
    edges = draw(st.lists(st.sampled_from(ends), max_size=5)) if ends else []
    sets = draw(st.sampled_from([None, 1, 3])) if batch else None

    def table(*shape: int) -> np.ndarray:
        full = shape if sets is None else (sets, *shape)
        flat = draw(st.lists(cell, min_size=math.prod(full), max_size=math.prod(full)))
        return np.array(flat, np.float64 if is_float else np.int64).reshape(full)

    rest: dict[str, Any] = {}
    if named:
        word = st.one_of(WORDS, ODD_WORDS)
        rest["name"] = draw(word)
        rest["names"] = draw(st.one_of(st.just(()), st.lists(word, min_size=count, max_size=count, unique=True)))
        if draw(st.booleans()):
            rest["choice_names"] = [draw(st.lists(word, min_size=d, max_size=d, unique=True)) for d in sizes]
    if usage and count and draw(st.booleans()):
        rest["usage"] = [draw(st.lists(st.integers(0, 2**40), min_size=d, max_size=d)) for d in sizes]
        rest["intervals"] = [
            tuple(sorted(pair))
            for pair in draw(st.lists(st.tuples(*[st.integers(-5, 9)] * 2), min_size=count, max_size=count))
        ]
        rest["usage_limit"] = draw(st.integers(0, 2**41))
    if structure:
        rest["fixed"] = {i: draw(st.integers(0, d - 1)) for i, d in enumerate(sizes) if draw(st.integers(0, 3)) == 0}
        alike = [i for i, d in enumerate(sizes) if d == 2]
        rest["ties"] = [tuple(alike)] if len(alike) > 1 and draw(st.booleans()) else []
    return SelectionProblem(
        unary=[table(d) for d in sizes],
        edges=edges,
        pair=[table(sizes[i], sizes[j]) for i, j in edges],
        **{key: value for key, value in rest.items() if key != "usage"},
        usage=[np.array(used, np.int64) for used in rest["usage"]] if "usage" in rest else None,
    )


def assert_same_tables(one: SelectionProblem, other: SelectionProblem) -> None:
    """The same variables, edges in the same order, and costs to the bit."""
    assert one.domain_sizes == other.domain_sizes
    assert one.edges == other.edges
    assert one.dtype == other.dtype or all_forbidden(one)
    limit = math.inf if one.dtype == np.float64 else 2**60
    for a, b in zip((*one.unary, *one.pair), (*other.unary, *other.pair), strict=True):
        assert a.shape == b.shape
        if all_forbidden(one):
            assert (b >= 2**60).all()
            assert (a >= limit).all()
        else:
            assert np.array_equal(a, b)


def all_forbidden(problem: SelectionProblem) -> bool:
    """No cell is allowed, so that a text shows neither integers nor floats."""
    limit = math.inf if problem.dtype == np.float64 else 2**60
    return all((array >= limit).all() for array in (*problem.unary, *problem.pair))


def assignments(problem: SelectionProblem) -> list[tuple[int, ...]]:
    """Every assignment."""
    return list(itertools.product(*map(range, problem.domain_sizes)))
