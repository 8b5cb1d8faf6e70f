"""How one small adder tree computes any row of a few constant matrices, one row a cycle.

A coefficient is a sum of powers of two, so that a row of a matrix is a sum of shifted, signed taps: its *terms*. The
tree adds them in *pairs*, (first ± second) << shift; only the second may be subtracted: one adder, no negation. Either
operand of a pair chooses among the (tap, shift) that some row puts there, and the pair among the shifts of its sum:
a shift that both terms have is better made once, behind their adder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

__all__ = ["Pair", "Plan", "Slot", "Term", "plan"]

#: What a choice more costs, in the same unit: of an operand, of a sum's shift, and for its own shift (which widens it).
_OPTION_COST, _SHIFT_COST, _OWN_SHIFT_COST = 4, 3, 1


@dataclass(frozen=True)
class Term:
    """``tap`` shifted left by ``shift``, added or (``negative``) subtracted."""

    tap: int
    shift: int
    negative: bool


@dataclass(frozen=True)
class Slot:
    """One operand of a pair.

    Attributes:
        options: (tap, shift) that it chooses among; None is zero.
        signs: whether it is subtracted: (False,), (True,), or both if that depends on the row.
    """

    options: tuple[tuple[int, int] | None, ...]
    signs: tuple[bool, ...]

    @property
    def index_bits(self) -> int:
        """Bits that choose the option."""
        return _bits(self.options)

    @property
    def code_bits(self) -> int:
        """Bits that choose the option and, where there is a choice, above them the sign."""
        return self.index_bits + len(self.signs) - 1


@dataclass(frozen=True)
class Pair:
    """Two operands, or the last one alone, and the shifts their sum chooses among."""

    slots: tuple[Slot, ...]
    shifts: tuple[int, ...]

    @property
    def shift_bits(self) -> int:
        """Bits that choose the shift, above those of the operands."""
        return _bits(self.shifts)

    @property
    def code_bits(self) -> int:
        """Bits of the pair in a code."""
        return sum(slot.code_bits for slot in self.slots) + self.shift_bits


@dataclass(frozen=True)
class Plan:
    """Pairs, and for every row the code that makes them compute it: pair 0's bits lowest.

    Attributes:
        pairs: what is added.
        codes: by row.
    """

    pairs: tuple[Pair, ...]
    codes: tuple[int, ...]

    @property
    def code_bits(self) -> int:
        """Bits of a code; at least one, so that it can be a port."""
        return max(1, sum(pair.code_bits for pair in self.pairs))

    @property
    def levels(self) -> int:
        """Adders from an operand to the sum."""
        return 1 + (len(self.pairs) - 1).bit_length()


def _bits(options: Sequence[object]) -> int:
    return (len(options) - 1).bit_length()


def _terms(row: Sequence[int]) -> list[Term]:
    return [
        Term(tap, shift, value < 0)
        for tap, value in enumerate(row)
        for shift in range(abs(value).bit_length())
        if abs(value) >> shift & 1
    ]


#: A row's terms by slot, relative to the shifts of the pairs, and those.
_Placed = tuple[dict[int, Term], list[int]]


def _placements(terms: list[Term], count: int) -> Iterator[_Placed]:
    """Every way to put terms into ``count`` slots, the shift common to a pair's terms taken out or not."""
    for slots in permutations(range(count), len(terms)):
        if any(term.negative and slot % 2 == 0 for slot, term in zip(slots, terms, strict=True)):
            continue
        own = dict(zip(slots, terms, strict=True))
        yield own, [0] * -(-count // 2)
        shifts = []
        for first in range(0, count, 2):
            pair = [own[slot].shift for slot in (first, first + 1) if slot in own]
            shifts.append(min(pair) if len(pair) == 2 else 0)
        if any(shifts):
            moved = {slot: Term(t.tap, t.shift - shifts[slot // 2], t.negative) for slot, t in own.items()}
            yield moved, shifts


def _assign(rows: Sequence[list[Term]], count: int) -> list[_Placed] | None:
    """Place every row as cheaply as it can, the longest and most negative first, so that there is little to choose."""
    options: list[set[tuple[int, int]]] = [set() for _ in range(count)]
    signs: list[set[bool]] = [set() for _ in range(count)]
    shifts: list[set[int]] = [set() for _ in range(0, count, 2)]

    def cost(placed: _Placed) -> int:
        own, moved = placed
        total = 0
        for slot, term in own.items():
            if (term.tap, term.shift) not in options[slot]:
                total += _OPTION_COST + _OWN_SHIFT_COST * (term.shift > 0)
            total += bool(signs[slot] - {term.negative})
        for pair, shift in enumerate(moved):
            used = any(slot // 2 == pair for slot in own)
            total += _SHIFT_COST * (used and bool(shifts[pair]) and shift not in shifts[pair])
        return total

    placed: dict[int, _Placed] = {}
    for row in sorted(range(len(rows)), key=lambda r: (-len(rows[r]), -sum(t.negative for t in rows[r]))):
        best = min(_placements(rows[row], count), key=cost, default=None)
        if best is None:
            return None
        placed[row] = best
        for slot, term in best[0].items():
            options[slot].add((term.tap, term.shift))
            signs[slot].add(term.negative)
            shifts[slot // 2].add(best[1][slot // 2])
    return [placed[row] for row in range(len(rows))]


def plan(matrix: Sequence[Sequence[int]]) -> Plan:
    """Pairs and codes for the rows of a matrix; several matrices of one tree are stacked, filled up with zero taps.

    Tries every order of a row's terms: for rows of half a dozen terms.

    >>> butterfly = plan([[1, 1], [1, -1]])
    >>> [slot.options for slot in butterfly.pairs[0].slots], butterfly.codes
    ([((0, 0),), ((1, 0),)], (0, 1))
    """
    rows = [_terms(row) for row in matrix]
    count = max(1, *map(len, rows))
    while (placed := _assign(rows, count)) is None:
        count += 1
    slots, shifts = [], []
    for place in range(count):
        used = [terms.get(place) for terms, _ in placed]
        options = sorted({(term.tap, term.shift) for term in used if term is not None})
        empty: list[tuple[int, int] | None] = [None] if None in used else []
        signs = sorted({term.negative for term in used if term is not None})
        slots.append(Slot((*empty, *options), tuple(signs) or (False,)))
    for first in range(0, count, 2):
        chosen = {moved[first // 2] for terms, moved in placed if first in terms or first + 1 in terms}
        shifts.append(tuple(sorted(chosen or {0})))
    pairs = tuple(Pair(tuple(slots[2 * k : 2 * k + 2]), shifts[k]) for k in range(len(shifts)))
    return Plan(pairs, tuple(_code(pairs, *row) for row in placed))


def _code(pairs: Sequence[Pair], terms: dict[int, Term], shifts: list[int]) -> int:
    code = position = 0
    for number, pair in enumerate(pairs):
        for side, slot in enumerate(pair.slots):
            term = terms.get(2 * number + side)
            index = slot.options.index(None if term is None else (term.tap, term.shift))
            if term is not None and len(slot.signs) == 2 and term.negative:
                index |= 1 << slot.index_bits
            code |= index << position
            position += slot.code_bits
        if shifts[number] in pair.shifts:  # a pair that a row does not use may have any
            code |= pair.shifts.index(shifts[number]) << position
        position += pair.shift_bits
    return code
