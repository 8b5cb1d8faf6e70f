"""Logic bit by bit: two-input gates and multiplexers, equal ones made once, constants folded.

A *literal* is twice a node's number, plus one for its complement; node 0 is the constant false. A node is a source (an
input, a register, what leaves a carry chain, a DSP slice or a memory) or a gate over literals of earlier nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["FALSE", "TRUE", "Gates", "Literal"]

Literal = int
FALSE: Literal = 0
TRUE: Literal = 1

_AND, _XOR, _MUX = 0, 1, 2


class Gates:
    """Nodes and what they are made of.

    Attributes:
        fanins: the literals of each node; empty for a source.
        choices: select, high and low of literals that were written as multiplexers, also when simplified to less;
            clock enables and synchronous resets are found there.
    """

    def __init__(self) -> None:
        self.fanins: list[tuple[Literal, ...]] = [()]
        self.choices: dict[Literal, tuple[Literal, Literal, Literal]] = {}
        self._made: dict[tuple[int, ...], Literal] = {}

    def source(self) -> Literal:
        """A new source."""
        self.fanins.append(())
        return 2 * len(self.fanins) - 2

    def both(self, left: Literal, right: Literal) -> Literal:
        """And."""
        if left > right:
            left, right = right, left
        if left == FALSE or left ^ 1 == right:
            return FALSE
        return right if left in (TRUE, right) else self._gate(_AND, left, right)

    def either(self, left: Literal, right: Literal) -> Literal:
        """Or."""
        return self.both(left ^ 1, right ^ 1) ^ 1

    def differ(self, left: Literal, right: Literal) -> Literal:
        """Exclusive or."""
        flip = (left ^ right) & 1
        left, right = sorted((left & ~1, right & ~1))
        if left == FALSE:
            return right ^ flip
        return flip if left == right else self._gate(_XOR, left, right) ^ flip

    def choose(self, select: Literal, high: Literal, low: Literal) -> Literal:
        """``high`` where ``select``, else ``low``."""
        if select & 1:
            select, high, low = select ^ 1, low, high
        if high == low or select == FALSE:
            return low
        result = self._chosen(select, high, low)
        if result > max(select, high, low) | 1:  # no operand itself: whoever follows choices comes to an end
            self.choices.setdefault(result, (select, high, low))
        return result

    def _chosen(self, select: Literal, high: Literal, low: Literal) -> Literal:
        if high == low ^ 1:
            return self.differ(select, low)
        if high in (TRUE, select):
            return self.either(select, low)
        if high in (FALSE, select ^ 1):
            return self.both(select ^ 1, low)
        if low in (FALSE, select):
            return self.both(select, high)
        if low in (TRUE, select ^ 1):
            return self.either(select ^ 1, high)
        flip = low & 1
        return self._gate(_MUX, select, high ^ flip, low ^ flip) ^ flip

    def all_of(self, terms: Sequence[Literal], room: int) -> Literal:
        """And of terms, in groups of at most ``room``."""
        while len(terms) > 1:
            groups = [terms[start : start + room] for start in range(0, len(terms), room)]
            terms = [self._and_of(group) for group in groups]
            room = 6
        return terms[0] if terms else TRUE

    def _and_of(self, terms: Sequence[Literal]) -> Literal:
        result = TRUE
        for term in terms:
            result = self.both(result, term)
        return result

    def _gate(self, *key: int) -> Literal:
        made = self._made.get(key)
        if made is None:
            self.fanins.append(key[1:])
            made = self._made[key] = 2 * len(self.fanins) - 2
        return made
