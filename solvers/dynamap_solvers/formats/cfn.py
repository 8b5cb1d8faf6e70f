"""toulbar2's CFN format: cost function networks in a dialect of JSON, with names and decimal costs of either sign.

``{"problem": {"name", "mustbe"}, "variables": {name: [choices] or a number}, "functions": {name: {"scope", "costs"}}}``
in this order. Quotes, commas and colons are optional, either bracket may stand for the other, ``#`` begins a comment
line. ``mustbe`` is ``<`` and an upper bound from which on a total is no solution (or ``>`` and a lower one, of a file
that maximises); its decimals are the precision toulbar2 computes with. Costs are decimals, without exponents.

It holds names of variables and, where they differ within a variable, of choices; not the usage limit. Integers are
exact. Floats are written with as many decimals as they need or as toulbar2's 64 bits allow, whichever is less: decimals
like 0.25 come back exactly, others within half a unit of the last decimal. What does not fit in a word (a name that
begins with a digit, white space, brackets) is written ``%XX`` and read back.
"""

from __future__ import annotations

import bisect
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.formats._files import load, located, save
from dynamap_solvers.formats._tables import (
    Function,
    check_cells,
    check_sizes,
    forbid_from,
    from_functions,
    plain,
    short,
    split,
)
from dynamap_solvers.formats._words import as_integer, as_integers, escape, numbers, unescape
from dynamap_solvers.formats.wcsp import COST_LIMIT
from dynamap_solvers.problem import FINITE_LIMIT, CostArray, SelectionProblem

__all__ = ["parse_cfn", "read_cfn", "write_cfn"]

_COMMENT = re.compile(rb"(?m)^#.*$|//.*$")
_TOKEN = re.compile(rb"[{}\[\]]|[^{}\[\]\s\":,]+")
_DECIMAL = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)")
_OPEN, _CLOSE = (b"{", b"["), (b"}", b"]")
_MOST_DECIMALS = 17


def read_cfn(path: str | os.PathLike[str]) -> SelectionProblem:
    """Read a problem; gzip is recognised by content.

    Costs are int64 where none, nor the bound, has a decimal point, else float64, as written. A file that maximises is
    read with its signs turned. Functions of one variable add up, functions of two are edges in their order, constants
    go to variable 0. A cell is forbidden where every total with it reaches the bound; that an allowed assignment of a
    total at or above the bound is no solution for toulbar2 is not kept.

    Raises:
        ProblemError: in one sentence that names the file and the function or variable: brackets that do not match, a
            name that does not exist or comes twice, a wrong count, a function of three or more variables or one that
            is no table.
        OSError: if the file cannot be opened.
    """
    with located(path):
        return parse_cfn(load(path))


@dataclass
class _Table:
    """A function as read: its cells are converted when all are known, since they decide on integers or floats.

    ``at`` is None for a table given in full; else ``words`` are the costs of the cells ``at``, and the default last.
    """

    name: bytes
    scope: tuple[int, ...]
    words: list[bytes]
    at: NDArray[np.int64] | None = None
    like: bytes | None = None


def parse_cfn(data: bytes) -> SelectionProblem:
    """The problem of a text; messages do not name the file yet."""
    reader = _Reader(data)
    reader.header()
    reader.variables()
    reader.functions()
    return reader.problem()


class _Reader:
    """Follows the text token by token, as toulbar2 does."""

    def __init__(self, data: bytes) -> None:
        self.text_bytes = len(data)
        self.tokens = _TOKEN.findall(_COMMENT.sub(b"", data))
        self.closing = [k for k, token in enumerate(self.tokens) if token in _CLOSE]
        self.at = 0
        self.tagged = False
        self.name = b""
        self.bound = b""
        self.index: dict[bytes, int] = {}
        self.names: list[bytes] = []
        self.sizes: list[int] = []
        self.choices: list[dict[bytes, int] | None] = []
        self.tables: list[_Table] = []
        self.cells = 0

    def next(self, what: str) -> bytes:
        if self.at >= len(self.tokens):
            raise ProblemError(f"the text ends where {what} should be.")
        self.at += 1
        token: bytes = self.tokens[self.at - 1]
        return token

    def peek(self) -> bytes:
        return self.tokens[self.at] if self.at < len(self.tokens) else b""

    def open(self, what: str) -> None:
        token = self.next(what)
        if token not in _OPEN:
            raise ProblemError(f"{what} begins with {short(token)}; it needs an opening bracket.")

    def close(self, what: str) -> None:
        token = self.next(f"the end of {what}")
        if token not in _CLOSE:
            raise ProblemError(f"{what} goes on with {short(token)}; it needs a closing bracket there.")

    def tag(self, name: bytes) -> None:
        if self.tagged:
            token = self.next(f'the key "{name.decode()}"')
            if token != name:
                raise ProblemError(f'the key "{name.decode()}" should come where {short(token)} is.')

    def words_until_closed(self, what: str) -> list[bytes]:
        """The words up to the closing bracket, which is taken too; the opening one has been."""
        k = bisect.bisect_left(self.closing, self.at)
        if k == len(self.closing):
            raise ProblemError(f"the text ends within {what}.")
        words = self.tokens[self.at : self.closing[k]]
        if any(word in _OPEN for word in words):
            raise ProblemError(f"{what} holds a bracket; it must be a plain list.")
        self.at = self.closing[k] + 1
        return words

    def header(self) -> None:
        self.open("the file")
        if self.peek() == b"problem":
            self.tagged = True
            self.at += 1
        self.open("the problem's header")
        self.tag(b"name")
        self.name = self.next("the problem's name")
        self.tag(b"mustbe")
        self.bound = self.next("the bound")
        if self.bound[:1] not in (b"<", b">") or not _DECIMAL.fullmatch(self.bound[1:]):
            raise ProblemError(f"the bound is {short(self.bound)}; give < or > and a decimal number.")
        self.close("the problem's header")

    def variables(self) -> None:
        self.tag(b"variables")
        self.open("the list of variables")
        while (token := self.next("a variable")) not in _CLOSE:
            i = len(self.sizes)
            name = str(i).encode()
            named = token not in _OPEN and not token[:1].isdigit()
            if named:
                name = token
                token = self.next(f"the domain of variable {short(name)}")
            labels = None
            if token in _OPEN:
                words = self.words_until_closed(f"the domain of variable {short(name)}")
                labels = {word: k for k, word in enumerate(words)}
                size = len(words)
                if len(labels) < size:
                    raise ProblemError(f"two choices of variable {short(name)} have the same name.")
            else:
                size_or_none = as_integer(token)
                if size_or_none is None:
                    raise ProblemError(
                        f"the domain of variable {short(name)} is {short(token)}; give names or a count."
                    )
                size = size_or_none
            if name in self.index:
                raise ProblemError(f"two variables are called {short(name)}; names must differ.")
            self.index[name] = i
            self.names.append(name if named else b"")
            self.sizes.append(size)
            self.choices.append(labels)
        check_sizes(self.sizes, self.text_bytes)
        self.cells = sum(self.sizes)

    def functions(self) -> None:
        self.tag(b"functions")
        self.open("the list of functions")
        while (token := self.next("a function")) not in _CLOSE:
            name = b""
            if token not in _OPEN:
                name = token
                self.open(f"function {short(name)}")
            self.function(name, f"function {short(name) if name else len(self.tables)}")
        self.close("the file")
        if self.at < len(self.tokens):
            raise ProblemError(f"the text goes on after its end, with {short(self.tokens[self.at])}.")

    def function(self, name: bytes, label: str) -> None:
        self.tag(b"scope")
        self.open(f"the scope of {label}")
        scope = tuple(self.variable(word, label) for word in self.words_until_closed(f"the scope of {label}"))
        if len(scope) > 2:
            raise ProblemError(f"{label} has {len(scope)} variables; only functions of at most two can be read.")
        if len(scope) == 2 and scope[0] == scope[1]:
            raise ProblemError(f"{label} joins a variable to itself; give it one variable.")
        default: list[bytes] = []
        if self.peek() == b"defaultcost" if self.tagged else self.peek()[:1] in b"0123456789+-." and self.peek():
            self.at += self.tagged
            default = [self.next(f"the default cost of {label}")]
        if self.tagged:
            if self.peek() == b"type":
                raise ProblemError(f"{label} is given by a type; only tables can be read.")
            self.tag(b"costs")
        token = self.next(f"the costs of {label}")
        table = _Table(name, scope, [])
        cells = math.prod(self.sizes[i] for i in scope)
        self.cells += cells
        check_cells(self.cells, self.text_bytes)
        if token not in _OPEN:
            if default or self.peek() not in _CLOSE:
                raise ProblemError(f"{label} is given by {short(token)}; only tables can be read.")
            table.like = token
        else:
            words = self.words_until_closed(f"the costs of {label}")
            if default and scope:
                table.at, table.words = self.tuples(words, scope, label)
                table.words = table.words + default
            else:
                table.words = words or default
                if len(table.words) != cells:
                    raise ProblemError(f"{label} has {len(words)} costs; its scope needs {cells}.")
        self.tables.append(table)
        self.close(label)

    def variable(self, word: bytes, label: str) -> int:
        i = as_integer(word) if word[:1].isdigit() else self.index.get(word)
        if i is None or i >= len(self.sizes):
            raise ProblemError(f"{label} names variable {short(word)}, which does not exist.")
        return i

    def tuples(self, words: list[bytes], scope: tuple[int, ...], label: str) -> tuple[NDArray[np.int64], list[bytes]]:
        width = len(scope) + 1
        if len(words) % width:
            raise ProblemError(f"the tuples of {label} have {len(words)} words, not a multiple of {width}.")
        at = np.zeros(len(words) // width, np.int64)
        for k, i in enumerate(scope):
            labels, size = self.choices[i], self.sizes[i]
            for t, word in enumerate(words[k::width]):
                choice = as_integer(word) if word[:1].isdigit() else (labels or {}).get(word)
                if choice is None or choice >= size:
                    raise ProblemError(f"a tuple of {label} names choice {short(word)}, which does not exist.")
                at[t] = at[t] * size + choice
        if len(np.unique(at)) < len(at):
            raise ProblemError(f"{label} gives the cost of one tuple twice.")
        return at, words[width - 1 :: width]

    def problem(self) -> SelectionProblem:
        words = [word for table in self.tables for word in table.words]
        stops = np.cumsum([len(table.words) for table in self.tables]) if self.tables else np.zeros(0, np.int64)
        labels = [f"function {short(table.name) if table.name else f}" for f, table in enumerate(self.tables)]

        count = len(words)

        def where(k: int) -> str:
            return labels[int(np.searchsorted(stops, k, side="right"))] if k < count else "the bound"

        words.append(self.bound[1:])
        values = _exact(words, where)
        if self.bound.startswith(b">"):
            values = np.negative(values)
        functions = self.filled(split(values[:-1], stops), labels)
        forbid_from(functions, values[-1].item())
        anonymous = not any(self.names)
        named = not self.sizes or any(labels is not None for labels in self.choices)
        return from_functions(
            self.sizes,
            functions,
            floats=values.dtype == np.float64,
            name=unescape(self.name),
            names=() if anonymous else tuple(unescape(name or str(i).encode()) for i, name in enumerate(self.names)),
            choice_names=tuple(
                tuple(map(unescape, labels)) if labels is not None else tuple(map(str, range(size)))
                for labels, size in zip(self.choices, self.sizes, strict=True)
            )
            if named and self.sizes
            else None,
        )

    def filled(self, parts: list[CostArray], labels: list[str]) -> list[Function]:
        """The tables in full; one that is shared takes the costs of the function of that name further on."""
        functions: list[Function] = []
        latest: dict[bytes, tuple[list[int], CostArray]] = {}
        for f in reversed(range(len(self.tables))):
            table = self.tables[f]
            shape = [self.sizes[i] for i in table.scope]
            costs = parts[f]
            if table.like is not None:
                source = latest.get(table.like)
                if source is None or source[0] != shape:
                    raise ProblemError(f"{labels[f]} shares {short(table.like)}, no later function of its shape.")
                costs = source[1].copy()
            elif table.at is not None:
                full = np.full(math.prod(shape), costs[-1])
                full[table.at] = costs[:-1]
                costs = full
            if table.name:
                latest[table.name] = shape, costs
            functions.append(Function(table.scope, costs))
        return functions[::-1]


def _exact(words: list[bytes], where: Callable[[int], str]) -> CostArray:
    """int64 where no word has a point, else float64. Integers of 2**60 or more pass here: the bound may forbid them."""
    integers = as_integers(words)
    if integers is not None:
        try:
            return np.maximum(np.array(integers, np.int64), 1 - 2**63)  # so that every sign can be turned
        except OverflowError:
            k = next(k for k, value in enumerate(integers) if abs(value) >= 2**63)
            raise ProblemError(f"a cost of {where(k)} is {short(words[k])}, beyond 64 bits; scale it down.") from None
    for k, word in enumerate(words):
        if not _DECIMAL.fullmatch(word):
            raise ProblemError(f"a cost of {where(k)} is {short(word)}; give a decimal number without exponent.")
    return np.asarray(numbers(words, where), np.float64)


def write_cfn(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write one cost set; see the module for what is kept.

    The bound lies above every total, so it forbids only what is forbidden. Fixed choices are written by forbidding the
    others, ties as functions that forbid all that is unequal.

    Raises:
        ProblemError: if the problem is a batch, has a usage limit, or costs so large that toulbar2 could not hold them.
        OSError: if the file cannot be written.
    """
    problem = plain(problem, "A CFN file")
    arrays = (*problem.unary, *problem.pair)
    limit = FINITE_LIMIT if problem.is_integer else math.inf
    largest = 0
    for array in arrays:
        finite = np.abs(array[array < limit])
        largest += math.ceil(finite.max().item()) if finite.size else 0
    largest += 0 if problem.is_integer else len(arrays)  # what rounding may add
    top, forbidden = largest + 1, 2 * largest + 2
    decimals = 0 if problem.is_integer else _decimals(arrays, (3 * largest + 2))
    room = (COST_LIMIT // 10**decimals - 2) // 3  # a forbidden cell beside the most negative total
    if largest >= room:
        raise ProblemError(f"The largest costs add up to about {largest}; toulbar2 holds less than {room}: scale down.")
    zeros = "." + "0" * decimals if decimals else ""

    def cells(array: CostArray) -> str:
        out = f"{forbidden}{zeros}"
        if problem.is_integer:
            return ", ".join(out if c >= limit else str(c) for c in array.ravel().tolist())
        return ", ".join(out if c >= limit else f"{c:.{decimals}f}" for c in array.ravel().tolist())

    labels = problem.choice_names or tuple(() for _ in range(problem.num_variables))
    variables = [
        f"{_word(name)}: [{', '.join(map(_word, own))}]" if own and len(set(own)) == size else f"{_word(name)}: {size}"
        for name, own, size in zip(problem.names, labels, problem.domain_sizes, strict=True)
    ]
    functions = [f'"u{i}": {{"scope": [{i}], "costs": [{cells(a)}]}}' for i, a in enumerate(problem.unary)]
    functions += [
        f'"e{e}": {{"scope": [{i}, {j}], "costs": [{cells(table)}]}}'
        for e, ((i, j), table) in enumerate(zip(problem.edges, problem.pair, strict=True))
    ]
    separator = ",\n    "
    text = (
        f'{{\n  "problem": {{"name": {_word(problem.name)}, "mustbe": "<{top}{zeros}"}},\n'
        f'  "variables": {{\n    {separator.join(variables)}\n  }},\n'
        f'  "functions": {{\n    {separator.join(functions)}\n  }}\n}}\n'
    )
    save(path, text.encode())


def _word(name: str) -> str:
    return json.dumps(escape(name), ensure_ascii=False)


def _decimals(arrays: tuple[CostArray, ...], span: int) -> int:
    """As many decimals as the costs need, at least one and at most what 64 bits allow beside a span of this size."""
    most = 1
    while most < _MOST_DECIMALS and span * 10 ** (most + 1) < COST_LIMIT:
        most += 1
    needed = 1
    for array in arrays:
        for cost in array[np.isfinite(array)].tolist():
            exponent = Decimal(repr(cost)).as_tuple().exponent
            needed = max(needed, -exponent if isinstance(exponent, int) else 1)
            if needed >= most:
                return most
    return needed
