"""The UAI format of the probabilistic inference evaluations, and its logarithmic sibling LG that toulbar2 reads.

``MARKOV``, the number of variables, their sizes, the number of functions, a scope each (its length, then variables),
then a table each (its length, then entries; the last variable of the scope runs fastest). In UAI an entry is a
potential ``p >= 0`` and stands for the cost ``-log(p)``; 0 forbids. In LG it is ``log(p)``, so the cost with its sign
turned; -1e300 or less forbids. ``BAYES`` files have the same grammar and are read likewise. (UAI 2008/2010/2014
competitions; LG: toulbar2's reader.)

What UAI holds: float costs. A cost comes back within ``2**-51 * (1 + |cost|)`` of itself where the table's costs lie
in [-700, 700]; otherwise the table is written less its least cost, and the sum of those constants stands in functions
of no variable, which the reader adds to the costs of variable 0: objectives agree within the same bound per cost,
single costs only up to these constants. Tables that spread over more than 700 are refused, since ``exp(-700)`` is near
the end of float64. Integers come back as floats.

What LG holds: costs exactly, integers as integers. Neither holds names or a usage limit.
"""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.formats._files import load, located, save
from dynamap_solvers.formats._tables import Function, check_sizes, from_functions, plain, split
from dynamap_solvers.formats._words import Words, numbers
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN, CostArray, SelectionProblem

__all__ = ["parse_uai", "read_uai", "write_lg", "write_uai"]

_SPREAD = 700.0
"""Potentials from exp(-700) to exp(700) are normal float64 numbers, with all their digits."""

_LG_FORBIDDEN = -1e300
_MAX_CONSTANTS = 1000


def read_uai(path: str | os.PathLike[str]) -> SelectionProblem:
    """Read a UAI or LG file, gzipped or not; it is LG where any entry has a minus sign, which no potential has.

    A UAI file gives float costs; an LG file gives integers where every entry that does not forbid is one. Functions of
    one variable add up, functions of two are edges in their order, constants go to variable 0.

    Raises:
        ProblemError: in one sentence that names the file and the function: counts that do not fit the text, a function
            of three or more variables or of one variable twice, NaN, a potential that is infinite.
        OSError: if the file cannot be opened.
    """
    with located(path):
        return parse_uai(load(path))


def parse_uai(data: bytes) -> SelectionProblem:
    """The problem of a text; messages do not name the file yet."""
    words = Words(data)
    (kind,) = words.take(1, "a UAI file")
    if kind not in (b"MARKOV", b"BAYES"):
        raise ProblemError("the text does not begin with MARKOV or BAYES.")
    count = words.integer("the number of variables")
    if count > words.left:
        raise ProblemError(f"it declares {count} variables but has only {words.left} more words.")
    sizes = [words.integer(f"the number of choices of variable {i}", low=1) for i in range(count)]
    check_sizes(sizes, len(data))
    scopes = _scopes(words, count)
    entries: list[bytes] = []
    stops = []
    for f, scope in enumerate(scopes):
        cells = math.prod(sizes[i] for i in scope)
        given = words.integer(f"the table length of function {f}")
        if given != cells:
            raise ProblemError(f"the table of function {f} has {given} entries; its scope {list(scope)} needs {cells}.")
        entries += words.take(given, f"the table of function {f}")
        stops.append(len(entries))
    words.end()
    ends = np.array(stops, np.int64)
    costs = _costs(entries, ends)
    functions = [Function(scope, table) for scope, table in zip(scopes, split(costs, ends), strict=True)]
    return from_functions(sizes, functions, floats=costs.dtype == np.float64)


def _scopes(words: Words, count: int) -> list[tuple[int, ...]]:
    total = words.integer("the number of functions")
    if total > words.left:
        raise ProblemError(f"it declares {total} functions but has only {words.left} more words.")
    scopes = []
    for f in range(total):
        arity = words.integer(f"the number of variables of function {f}")
        if arity > 2:
            raise ProblemError(f"function {f} has {arity} variables; only functions of at most two can be read.")
        scope = tuple(words.integer(f"a variable of function {f}", high=max(count - 1, 0)) for _ in range(arity))
        if scope and not count:
            raise ProblemError(f"function {f} names variable {scope[0]}; there are none.")
        if arity == 2 and scope[0] == scope[1]:
            raise ProblemError(f"function {f} joins variable {scope[0]} to itself; give it one variable.")
        scopes.append(scope)
    return scopes


def _costs(entries: list[bytes], ends: NDArray[np.int64]) -> CostArray:
    def where(k: int) -> str:
        return f"function {int(np.searchsorted(ends, k, side='right'))}"

    if not any(entry.startswith(b"-") for entry in entries):
        potentials = np.asarray(numbers(entries, where), np.float64)
        endless = np.flatnonzero((potentials >= FINITE_LIMIT) & np.array([e[-1:].isalpha() for e in entries], np.bool_))
        if endless.size:
            raise ProblemError(f"a potential of {where(int(endless[0]))} is infinite; be finite, or 0 to forbid.")
        with np.errstate(divide="ignore"):
            return np.asarray(0.0 - np.log(potentials))
    # What forbids is taken out first, so that it does not make floats of integers.
    out = np.array([_forbids(entry) for entry in entries], np.bool_)
    kept = [b"0" if gone else entry for entry, gone in zip(entries, out.tolist(), strict=True)]
    logs = numbers(kept, where)
    if (logs >= (FINITE_LIMIT if logs.dtype == np.int64 else math.inf)).any():
        k = int(np.argmax(logs))
        raise ProblemError(f"an entry of {where(k)} is infinite; be finite, or -inf to forbid.")
    costs = 0 - logs if logs.dtype == np.int64 else -logs
    costs[out] = FORBIDDEN if logs.dtype == np.int64 else math.inf
    return costs


def _forbids(entry: bytes) -> bool:
    if len(entry) > 30 or b"_" in entry or not entry.startswith(b"-"):
        return False
    try:
        return float(entry) <= _LG_FORBIDDEN
    except ValueError:
        return False


def write_uai(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write one cost set as potentials ``exp(-cost)``; see the module for what comes back.

    Each variable has a function of its own, then each edge. Fixed choices are written by forbidding the others, ties
    as functions that forbid all that is unequal. toulbar2 states its optimum less the least cost of each table.

    Raises:
        ProblemError: if the problem is a batch or has a usage limit, if the costs of one table spread over more than
            700, or if the constants that this leaves add up to more than 700,000.
        OSError: if the file cannot be written.
    """
    problem = plain(problem, "A UAI file")
    constants: list[float] = []
    tables: list[NDArray[np.float64]] = []
    labels = [f"variable {name!r}" for name in problem.names]
    labels += [problem.edge_label(e) for e in range(problem.num_edges)]
    limit = FINITE_LIMIT if problem.is_integer else math.inf
    for array, label in zip((*problem.unary, *problem.pair), labels, strict=True):
        allowed = array < limit
        finite = array[allowed]
        shift = 0
        if finite.size and (finite.min() < -_SPREAD or finite.max() > _SPREAD):
            shift = finite.min().item()
            if finite.max().item() - shift > _SPREAD:
                raise ProblemError(
                    f"The costs of {label} spread over more than 700, which potentials cannot hold; scale them down or "
                    "write lg."
                )
            constants.append(float(shift))
        costs = np.where(allowed, np.where(allowed, array, 0) - shift, 0).astype(np.float64)
        tables.append(np.where(allowed, np.exp(-costs), 0.0))
    total = math.fsum(constants)
    parts = math.ceil(abs(total) / _SPREAD)
    if parts > _MAX_CONSTANTS:
        raise ProblemError(f"The least costs of wide tables add up to {total}; more than 700,000 needs lg.")
    for k in range(parts):
        part = total - (parts - 1) * (total / parts) if k == 0 else total / parts
        tables.append(np.array([math.exp(-part)]))
    _write(problem, parts, [[repr(p) for p in table.ravel().tolist()] for table in tables], path)


def write_lg(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write one cost set as logarithms of potentials, exactly; the ending must be ``.LG`` for toulbar2 to know.

    A last function of no variable holds ``-0`` (a cost of 0), so that some entry has the minus sign that tells LG.
    toulbar2 computes in float64 here, integers of 2**53 or more it rounds, and states its optimum less the negative
    least costs of tables.

    Raises:
        ProblemError: if the problem is a batch or has a usage limit, or a float cost is 1e300 or more in size.
        OSError: if the file cannot be written.
    """
    problem = plain(problem, "An LG file")
    limit = FINITE_LIMIT if problem.is_integer else math.inf
    if not problem.is_integer and problem.magnitude >= -_LG_FORBIDDEN:
        raise ProblemError("A cost is 1e300 or more in size, which LG reads as forbidden; scale it down.")
    forbidden = repr(_LG_FORBIDDEN)
    tables = [
        [forbidden if c >= limit else str(-c) for c in array.ravel().tolist()]
        for array in (*problem.unary, *problem.pair)
    ]
    tables.append(["-0" if problem.is_integer else "-0.0"])
    _write(problem, 1, tables, path)


def _write(problem: SelectionProblem, constants: int, tables: list[list[str]], path: str | os.PathLike[str]) -> None:
    lines = [
        "MARKOV",
        str(problem.num_variables),
        " ".join(map(str, problem.domain_sizes)),
        str(len(tables)),
        *(f"1 {i}" for i in range(problem.num_variables)),
        *(f"2 {i} {j}" for i, j in problem.edges),
        *["0"] * constants,
    ]
    for table in tables:
        lines += [f"{len(table)}", " ".join(table)]
    save(path, ("\n".join(lines) + "\n").encode())
