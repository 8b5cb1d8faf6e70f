"""How one small adder tree computes any row of a few constant matrices, one row a cycle.

A coefficient is a sum of powers of two, so that a row of a matrix is a sum of shifted, signed taps: its *terms*. The
tree has a *slot* for every term of the longest row; a slot chooses among the (tap, shift) pairs that some row puts
there. Slots are added in pairs, and only the second of a pair may subtract: one adder each, no negation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

__all__ = ["Plan", "Slot", "Term", "plan"]


@dataclass(frozen=True)
class Term:
    """``tap`` shifted left by ``shift``, added or (``negative``) subtracted."""

    tap: int
    shift: int
    negative: bool


@dataclass(frozen=True)
class Slot:
    """One operand of the tree.

    Attributes:
        options: what it chooses among; None is zero.
        signs: whether it subtracts: (False,), (True,), or both if that depends on the row.
    """

    options: tuple[tuple[int, int] | None, ...]
    signs: tuple[bool, ...]

    @property
    def index_bits(self) -> int:
        """Bits that choose the option."""
        return (len(self.options) - 1).bit_length()

    @property
    def code_bits(self) -> int:
        """Bits that choose the option and, where there is a choice, above them the sign."""
        return self.index_bits + len(self.signs) - 1


@dataclass(frozen=True)
class Plan:
    """Slots, and for every row the code that makes them compute it: slot 0's bits lowest.

    Attributes:
        slots: operands, added pairwise in order.
        codes: by row.
    """

    slots: tuple[Slot, ...]
    codes: tuple[int, ...]

    @property
    def code_bits(self) -> int:
        """Bits of a code; at least one, so that it can be a port."""
        return max(1, sum(slot.code_bits for slot in self.slots))

    @property
    def levels(self) -> int:
        """Adders from an operand to the sum, at least one."""
        return max(1, (len(self.slots) - 1).bit_length())


def _terms(row: Sequence[int]) -> list[Term]:
    return [
        Term(tap, shift, value < 0)
        for tap, value in enumerate(row)
        for shift in range(abs(value).bit_length())
        if abs(value) >> shift & 1
    ]


def _may_subtract(slot: int) -> bool:
    return slot % 2 == 1


def _assign(rows: Sequence[list[Term]], count: int) -> list[dict[int, Term]] | None:
    """Put every row's terms into slots so that slots have few options: longest row first, each as cheaply as it can."""
    options: list[set[tuple[int, int]]] = [set() for _ in range(count)]
    signs: list[set[bool]] = [set() for _ in range(count)]
    placed: dict[int, dict[int, Term]] = {}
    for row in sorted(range(len(rows)), key=lambda r: -len(rows[r])):
        terms = rows[row]
        best: tuple[int, tuple[int, ...]] | None = None
        for slots in permutations(range(count), len(terms)):
            pairs = list(zip(slots, terms, strict=True))
            if any(term.negative and not _may_subtract(slot) for slot, term in pairs):
                continue
            cost = sum(
                2 * ((term.tap, term.shift) not in options[slot]) + bool(signs[slot] - {term.negative})
                for slot, term in pairs
            )
            if best is None or cost < best[0]:
                best = (cost, slots)
        if best is None:
            return None
        placed[row] = dict(zip(best[1], terms, strict=True))
        for slot, term in placed[row].items():
            options[slot].add((term.tap, term.shift))
            signs[slot].add(term.negative)
    return [placed[row] for row in range(len(rows))]


def plan(matrix: Sequence[Sequence[int]]) -> Plan:
    """Slots and codes for the rows of a matrix; several matrices of one tree are stacked, filled up with zero taps.

    Tries every order of a row's terms: for rows of half a dozen terms.

    >>> halves = plan([[1, 1], [1, -1]])
    >>> [slot.options for slot in halves.slots], halves.codes
    ([((0, 0),), ((1, 0),)], (0, 1))
    """
    rows = [_terms(row) for row in matrix]
    count = max(1, *map(len, rows))
    while (placed := _assign(rows, count)) is None:
        count += 1
    slots: list[Slot] = []
    for place in range(count):
        used = [terms.get(place) for terms in placed]
        options = sorted({(term.tap, term.shift) for term in used if term is not None})
        empty: list[tuple[int, int] | None] = [None] if None in used else []
        signs = sorted({term.negative for term in used if term is not None})
        slots.append(Slot((*empty, *options), tuple(signs) or (False,)))
    codes = []
    for terms in placed:
        code = position = 0
        for number, slot in enumerate(slots):
            term = terms.get(number)
            index = slot.options.index(None if term is None else (term.tap, term.shift))
            if term is not None and len(slot.signs) == 2 and term.negative:
                index |= 1 << slot.index_bits
            code |= index << position
            position += slot.code_bits
        codes.append(code)
    return Plan(tuple(slots), tuple(codes))
