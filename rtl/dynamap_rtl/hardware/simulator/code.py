"""Straight-line C for combinational nets.

A wire is a list of *limbs*, unsigned C values of ``bits`` bits (64, or 32 in cells whose wires all fit), lowest
first. A limb may be *dirty*: right in the low bits that are its own, anything above; ``known`` says below which bit
it is zero for sure, ``sign`` from which bit on all bits are the same. Sums, products and logic take dirty operands and
so need no masks in between; comparisons, addresses and stores ask for clean ones.

Wide connections, concatenations and selections make no code: such a wire is an *alias*, a list of pieces of others,
and whoever uses some of its bits gets them from where they come from. That makes the boundary of a grid, tens of
thousands of bits that are only bundled and taken apart again, cost nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import pyrtl

from .netlist import Memory, Net, Netlist, Wire

__all__ = ["Alias", "Code", "Key", "Limb", "Piece", "Segment"]

Key: TypeAlias = Any  # a wire, or a lane of a grid's output


class Limb(NamedTuple):
    """A C expression, zero from bit ``known`` up.

    Attributes:
        text: the expression.
        known: which bits may be 1.
        value: of a constant.
        sign: bits of the signed number that the whole expression is; None where nobody knows.
    """

    text: str
    known: int
    value: int | None = None
    sign: int | None = None


class Segment(NamedTuple):
    """``width`` bits of something from bit ``low``."""

    key: Key
    low: int
    width: int


#: Bits ``shift`` up to ``shift + count`` of a limb.
Piece: TypeAlias = tuple[Limb, int, int]


class Alias:
    """Pieces of other wires side by side, contiguous ones put together."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self.segments: list[Segment] = []
        for segment in segments:
            last = self.segments[-1] if self.segments else None
            if last is not None and last.key is segment.key and last.low + last.width == segment.low:
                self.segments[-1] = Segment(last.key, last.low, last.width + segment.width)
            else:
                self.segments.append(segment)
        self.starts: list[int] = []
        self.width = 0
        for segment in self.segments:
            self.starts.append(self.width)
            self.width += segment.width

    def cut(self, low: int, count: int) -> Iterator[Segment]:
        """The pieces of some of the bits."""
        index = bisect_right(self.starts, low) - 1
        while count > 0:
            segment, skipped = self.segments[index], low - self.starts[index]
            taken = min(count, segment.width - skipped)
            yield Segment(segment.key, segment.low + skipped, taken)
            low, count, index = low + taken, count - taken, index + 1


class Code:
    """Collects C statements for nets given in an order in which they can be computed.

    Subclasses say where values come from that no net computes, by filling ``limbs`` or ``aliases``, and how a memory
    is read.

    Args:
        netlist: whose nets they are.
        live: bits of each wire that must be right.
        bits: of a limb, 32 or 64.
    """

    def __init__(self, netlist: Netlist, live: dict[Wire, int], bits: int) -> None:
        self.netlist = netlist
        self.live = live
        self.bits = bits
        self.ctype = f"uint{bits}_t"
        self.lines: list[str] = []
        self.limbs: dict[Key, Sequence[Limb]] = {}
        self.aliases: dict[Key, Alias] = {}
        self._locals = 0
        #: Of wires that are a tree of one operator over bits: which bits of what.
        self._trees: dict[Wire, tuple[str, dict[Wire, int]]] = {}

    # What subclasses give.

    def read(self, memory: Memory, address: str, limb: int) -> str:
        """An expression for one limb of a memory's word."""
        raise NotImplementedError

    def fetch(self, limb: Limb) -> Limb:
        """The limb as it can be named at this place."""
        return limb

    def result(self, net: Net, limb: Limb) -> Limb:
        """A limb of what a net computes, in a variable."""
        del net
        return self.local(limb)

    def materialise(self, wire: Wire) -> Limb:
        """Compute a tree of gates, the first time it is asked for."""
        return self.local(self._tree(*self._trees[wire]))

    # Values.

    def literal(self, value: int) -> Limb:
        """A constant."""
        return Limb(f"{value:#x}{'ull' if self.bits == 64 else 'u'}", value.bit_length(), value)

    def local(self, limb: Limb) -> Limb:
        """The same value in a variable of its own."""
        name = f"v{self._locals}"
        self._locals += 1
        self.lines.append(f"const {self.ctype} {name} = {limb.text};")
        return Limb(name, limb.known, None, limb.sign)

    def words(self, width: int) -> range:
        """Indices of the limbs of so many bits."""
        return range(-(-width // self.bits))

    def alias(self, key: Key, segments: Iterable[Segment]) -> None:
        """Let a wire be pieces of others."""
        self.aliases[key] = Alias(segments)

    def segments(self, key: Key, low: int, count: int) -> list[Segment]:
        """Where bits of a wire come from: pieces of what is not itself an alias."""
        if key in self.aliases:
            return list(self.aliases[key].cut(low, count))
        return [Segment(key, low, count)]

    def slice(self, key: Key, low: int, count: int, *, clean: bool) -> Limb:
        """Some bits of a wire, at most a limb of them, in the low bits of a limb."""
        pieces = [piece for segment in self.segments(key, low, count) for piece in self._pieces(segment)]
        return self.join(pieces, clean=clean)

    def word(self, wire: Wire, index: int, width: int, *, clean: bool) -> Limb:
        """Limb ``index`` of the low ``width`` bits of a wire; zero beyond them."""
        low = index * self.bits
        count = min(self.bits, width - low)
        return self.slice(wire, low, count, clean=clean) if count > 0 else self.literal(0)

    def _pieces(self, segment: Segment) -> Iterator[Piece]:
        key, low, count = segment
        if isinstance(key, pyrtl.Const):
            yield self.literal((int(key.val) >> low) & (2**count - 1)), 0, count
            return
        if key not in self.limbs and key in self._trees:
            self.limbs[key] = [self.materialise(key)]
        limbs = self.limbs[key]
        while count > 0:
            index, shift = divmod(low, self.bits)
            taken = min(count, self.bits - shift)
            yield self.fetch(limbs[index]), shift, taken
            low, count = low + taken, count - taken

    def join(self, pieces: Sequence[Piece], *, clean: bool) -> Limb:
        """Pieces side by side in one limb, the first in the low bits."""
        if len(pieces) == 1 and pieces[0][0].value is None and pieces[0][1] == 0:
            limb, _, count = pieces[0]
            if not clean or limb.known <= count or count >= self.bits:
                return limb
        terms: list[str] = []
        known = position = constant = 0
        for index, (limb, shift, count) in enumerate(pieces):
            text, bound, value, _ = limb
            if value is not None:
                constant |= ((value >> shift) & (2**count - 1)) << position
                position += count
                continue
            if shift:
                text, bound = f"({text} >> {shift})", max(0, bound - shift)
            if bound > count and (clean or index < len(pieces) - 1) and count < self.bits:
                text, bound = f"({text} & {self.literal(2**count - 1).text})", count
            if position:
                text = f"({text} << {position})"
            terms.append(text)
            known = max(known, min(self.bits, bound + position))
            position += count
        if constant or not terms:
            if not terms:
                return self.literal(constant)
            terms.append(self.literal(constant).text)
            known = max(known, constant.bit_length())
        return Limb(terms[0] if len(terms) == 1 else f"({' | '.join(terms)})", known)

    # Nets.

    def emit(self, net: Net) -> None:
        """Add what computes the net's wire."""
        dest = net.dests[0]
        width = self.live[dest]
        if width == 0:
            return
        if net.op in "&|" and len(dest) == 1 and self._is_tree(net):
            return  # what only leads to a larger tree is never asked for
        if net.op == "w" and net.args[0] in self.aliases:
            self.alias(dest, self.segments(net.args[0], 0, width))
            return
        if width > self.bits and net.op in "wcs" and self._bundle(net, width):
            return
        limbs = self._compute(net, width)
        self.limbs[dest] = [limb if _simple(limb) else self.result(net, limb) for limb in limbs]

    def _bundle(self, net: Net, width: int) -> bool:
        """Make the wire an alias, if it is contiguous pieces of others."""
        dest = net.dests[0]
        if net.op == "w":
            self.alias(dest, self.segments(net.args[0], 0, width))
        elif net.op == "c":
            if any(copies > 3 for _, copies in self._runs(net)):
                return False
            parts: list[Segment] = []
            low = 0
            for wire in reversed(net.args):
                if low < width:
                    parts += self.segments(wire, 0, min(len(wire), width - low))
                low += len(wire)
            self.alias(dest, parts)
        else:
            first = net.op_param[0]
            if list(net.op_param[:width]) != list(range(first, first + width)):
                return False
            self.alias(dest, self.segments(net.args[0], first, width))
        return True

    def _compute(self, net: Net, width: int) -> list[Limb]:
        op, args = net.op, net.args
        if op == "w":
            return [self.word(args[0], k, width, clean=False) for k in self.words(width)]
        if op in "~&|^n":
            return [self._logic(op, [self.word(arg, k, width, clean=False) for arg in args]) for k in self.words(width)]
        if op == "x":
            chosen = self.slice(args[0], 0, 1, clean=True).text
            sides = [[self.word(arg, k, width, clean=False) for arg in args[1:]] for k in self.words(width)]
            return [
                Limb(f"({chosen} ? {b.text} : {a.text})", max(a.known, b.known), None, self._wider(a, b))
                for a, b in sides
            ]
        if op in "+-*":
            return self._arithmetic(op, args, width)
        if op in "<>=":
            return [self._comparison(op, *args)]
        if op == "c":
            return self._concatenation(net, width)
        if op == "s":
            return self._selection(net, width)
        if op == "m":
            memory = net.op_param[1]
            address = self.local(self.slice(args[0], 0, len(args[0]), clean=True)).text
            return [Limb(self.read(memory, address, k), self._own(memory.bitwidth, k)) for k in self.words(width)]
        raise AssertionError(op)

    def _is_tree(self, net: Net) -> bool:
        """Note which bits of what a gate is all or any of, through gates before it; whether that pays.

        PyRTL makes trees of gates on single bits; C compares under a mask.
        """
        masks: dict[Wire, int] = {}
        for wire in net.args:
            op, own = self._trees.get(wire, ("", None))
            if own is None or op != net.op:
                source, bit = self.netlist.origin(wire, 0)
                own = {source: 1 << bit}
            for source, mask in own.items():
                masks[source] = masks.get(source, 0) | mask
        self._trees[net.dests[0]] = (net.op, masks)
        return max(mask.bit_count() for mask in masks.values()) >= 3

    def _tree(self, op: str, masks: Mapping[Wire, int]) -> Limb:
        terms = []
        for source, mask in masks.items():
            width = mask.bit_length()
            for limb in self.words(width):
                own_mask = (mask >> (limb * self.bits)) & (2**self.bits - 1)
                if own_mask:
                    bits = self.literal(own_mask).text
                    value = f"({self.word(source, limb, width, clean=False).text} & {bits})"
                    terms.append(f"({value} == {bits})" if op == "&" else f"({value} != 0)")
        return Limb(f"({self.ctype})({f' {op} '.join(terms)})", 1)

    def _sign(self, limb: Limb) -> int | None:
        """Bits of the signed number that a limb is."""
        if limb.sign is not None:
            return limb.sign
        return limb.known + 1 if limb.known < self.bits else None

    def _wider(self, left: Limb, right: Limb, more: int = 0) -> int | None:
        """Bits of a signed number that is as wide as the wider of two and ``more``."""
        a, b = self._sign(left), self._sign(right)
        return None if a is None or b is None or max(a, b) + more > self.bits else max(a, b) + more

    def _own(self, width: int, limb: int) -> int:
        return min(self.bits, width - limb * self.bits)

    def _logic(self, op: str, limbs: Sequence[Limb]) -> Limb:
        a, b = limbs[0], limbs[-1]
        sign = self._wider(a, b)
        if op == "~":
            return Limb(f"(~{a.text})", self.bits, None, sign)
        if op == "&":
            return Limb(f"({a.text} & {b.text})", min(a.known, b.known), None, sign)
        if op == "n":
            return Limb(f"(~({a.text} & {b.text}))", self.bits, None, sign)
        return Limb(f"({a.text} {op} {b.text})", max(a.known, b.known), None, sign)

    def _arithmetic(self, op: str, args: Sequence[Wire], width: int) -> list[Limb]:
        own = min(width, len(args[0]))
        # Bits above those of the operands are carries, which only clean operands give.
        left, right = ([self.word(arg, k, own, clean=width > own) for k in self.words(width)] for arg in args)
        if len(left) == 1:
            a, b = left[0], right[0]
            known = {"+": max(a.known, b.known) + 1, "-": self.bits, "*": a.known + b.known}[op]
            one, two = self._sign(a), self._sign(b)
            sign = self._wider(a, b, 1)
            if op == "*":
                sign = None if one is None or two is None or one + two > self.bits else one + two
            return [Limb(f"({a.text} {op} {b.text})", min(known, self.bits), None, sign)]
        return self._long_product(left, right, width) if op == "*" else self._long_sum(op, left, right)

    def _long_sum(self, op: str, left: Sequence[Limb], right: Sequence[Limb]) -> list[Limb]:
        result = []
        carry = self.literal(0)
        for a, b in zip(left, right, strict=True):
            first = self.local(Limb(f"{a.text} {op} {b.text}", self.bits))
            over = f"{first.text} < {a.text}" if op == "+" else f"{a.text} < {b.text}"
            total = self.local(Limb(f"{first.text} {op} {carry.text}", self.bits))
            again = f"{total.text} < {first.text}" if op == "+" else f"{first.text} < {carry.text}"
            carry = self.local(Limb(f"({self.ctype})({over}) | ({self.ctype})({again})", 1))
            result.append(total)
        return result

    def _long_product(self, left: Sequence[Limb], right: Sequence[Limb], width: int) -> list[Limb]:
        count = len(self.words(width))
        result = [self.literal(0)] * count
        for i, a in enumerate(left):
            carry = self.literal(0)
            for j, b in enumerate(right[: count - i]):
                name = f"p{self._locals}"
                self.lines.append(
                    f"const unsigned __int128 {name} = "
                    f"(unsigned __int128){a.text} * {b.text} + {result[i + j].text} + {carry.text};"
                )
                result[i + j] = self.local(Limb(f"(uint64_t){name}", self.bits))
                carry = self.local(Limb(f"(uint64_t)({name} >> 64)", self.bits))
        return result

    def _comparison(self, op: str, left: Wire, right: Wire) -> Limb:
        width = len(left)
        pairs = [
            (self.word(left, k, width, clean=True).text, self.word(right, k, width, clean=True).text)
            for k in self.words(width)
        ]
        if op == "=":
            return Limb(f"({self.ctype})({' & '.join(f'({a} == {b})' for a, b in pairs)})", 1)
        text = f"({pairs[0][0]} {op} {pairs[0][1]})"
        for a, b in pairs[1:]:  # the highest difference decides
            text = f"(({a} {op} {b}) | (({a} == {b}) & {text}))"
        return Limb(f"({self.ctype}){text}", 1)

    def _concatenation(self, net: Net, width: int) -> list[Limb]:
        value = net.args[-1]
        own = len(value)
        if own < width <= self.bits and self.netlist.extends(net):
            return [self._sign_extended(value, own)]
        pieces: list[Piece] = []
        low = 0
        for wire, copies in self._runs(net):
            if low >= width:
                break
            if copies > 1:
                pieces += self._repeated(wire, 0, min(copies, width - low))
            else:
                for segment in self.segments(wire, 0, min(len(wire), width - low)):
                    pieces += self._pieces(segment)
            low += copies * len(wire)
        return self._packed(pieces, width)

    def _sign_extended(self, wire: Wire, own: int) -> Limb:
        """PyRTL extends by repeating the highest bit wire by wire; here it is one shift, or two sums."""
        value = self.slice(wire, 0, own, clean=False)
        return self.extended(value, own)

    def extended(self, value: Limb, own: int) -> Limb:
        """The signed number in the low ``own`` bits of a limb."""
        if value.sign is not None and value.sign <= own:
            return value
        if value.value is not None:
            negative = value.value >> (own - 1) & 1
            return self.literal(value.value - (negative << own) & (2**self.bits - 1))
        if value.known < own:
            return value
        if value.known > own:
            up = self.bits - own
            text = f"({self.ctype})((int{self.bits}_t)({value.text} << {up}) >> {up})"
            return Limb(text, self.bits, None, own)
        sign = self.literal(2 ** (own - 1)).text
        return Limb(f"(({value.text} ^ {sign}) - {sign})", self.bits, None, own)

    def _runs(self, net: Net) -> Iterator[tuple[Wire, int]]:
        """The parts of a concatenation from the lowest, and how often each single bit stands side by side."""
        parts = net.args[::-1]
        index = 0
        while index < len(parts):
            copies = 1
            while len(parts[index]) == 1 and index + copies < len(parts) and parts[index + copies] is parts[index]:
                copies += 1
            yield parts[index], copies
            index += copies

    def _repeated(self, wire: Wire, bit: int, copies: int) -> list[Piece]:
        """A bit so many times."""
        value = self.local(Limb(f"(-{self.slice(wire, bit, 1, clean=True).text})", self.bits))
        whole, rest = divmod(copies, self.bits)
        return [(value, 0, self.bits)] * whole + ([(value, 0, rest)] if rest else [])

    def _selection(self, net: Net, width: int) -> list[Limb]:
        source, chosen = net.args[0], net.op_param[:width]
        pieces: list[Piece] = []
        at = 0
        while at < width:
            run = copies = 1
            while at + run < width and chosen[at + run] == chosen[at] + run:
                run += 1
            while at + copies < width and chosen[at + copies] == chosen[at]:
                copies += 1
            if copies > 1:
                pieces += self._repeated(source, chosen[at], copies)
                at += copies
            else:
                for segment in self.segments(source, chosen[at], run):
                    pieces += self._pieces(segment)
                at += run
        return self._packed(pieces, width)

    def _packed(self, pieces: Iterable[Piece], width: int) -> list[Limb]:
        """Pieces in as many limbs as it takes; those that cross a border are cut."""
        bins: list[list[Piece]] = [[] for _ in self.words(width)]
        position = 0
        for limb, shift, count in pieces:
            done = 0
            while done < count:
                index, offset = divmod(position, self.bits)
                taken = min(count - done, self.bits - offset)
                bins[index].append((limb, shift + done, taken))
                done, position = done + taken, position + taken
        return [self.join(own, clean=False) for own in bins]


def _simple(limb: Limb) -> bool:
    """Whether repeating the expression costs nothing."""
    return limb.value is not None or limb.text.isidentifier()
