"""What a leaf occupies: what its outputs depend on, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware.module import Leaf

from .controls import Controlled, controlled
from .cover import tables
from .gates import FALSE, TRUE, Literal
from .hard_blocks import memory_blocks
from .netlist import Bit, Chain, Netlist, Product, Read

__all__ = ["LeafCount", "count_leaf"]

_ROUNDS = 4  # of removing register bits
# A shift register's shortest chain, and the bits of one look-up table used as such.
_SHIFT, _SHIFT_BITS = 3, 32


@dataclass(frozen=True, kw_only=True)
class LeafCount:
    """Slices, look-up tables, flip-flops, block RAMs in units of RAMB18E2."""

    dsp: int
    lut: int
    ff: int
    bram: int


def count_leaf(leaf: Leaf) -> LeafCount:
    """Count one leaf by itself."""
    known: dict[Bit, Literal | Bit] = {}
    netlist, flip_flops = _with_controls(leaf, known)
    for _ in range(_ROUNDS):
        found = _removable(netlist, flip_flops)
        if not found:
            break
        known.update(found)
        netlist, flip_flops = _with_controls(leaf, known)
    return _Count(netlist, flip_flops).result()


def _with_controls(leaf: Leaf, known: dict[Bit, Literal | Bit]) -> tuple[Netlist, dict[Bit, Controlled]]:
    netlist = Netlist(leaf, known)
    flip_flops = {bit: controlled(netlist.gates, netlist.registers[bit], own) for bit, own in netlist.own.items()}
    enables = Counter(flip_flop.enable for flip_flop in flip_flops.values())
    resets = Counter(flip_flop.reset for flip_flop in flip_flops.values())
    for bit, flip_flop in flip_flops.items():
        # A control of one flip-flop is rather part of the table before it.
        alone = flip_flop.enable > TRUE and enables[flip_flop.enable] == 1
        if alone or (flip_flop.reset > TRUE and resets[flip_flop.reset] == 1):
            flip_flops[bit] = Controlled(netlist.registers[bit])
    return netlist, flip_flops


def _removable(netlist: Netlist, flip_flops: dict[Bit, Controlled]) -> dict[Bit, Literal | Bit]:
    """Register bits that never change, or are the same as another."""
    found: dict[Bit, Literal | Bit] = {}
    renamed: dict[Literal, Literal] = {}
    while True:
        first: dict[object, Bit] = {}
        before = len(found)
        for bit, flip_flop in flip_flops.items():
            if bit in found:
                continue
            own = netlist.own[bit]
            start = netlist.starts[bit]
            data = renamed.get(flip_flop.data & ~1, flip_flop.data & ~1) ^ (flip_flop.data & 1)
            if data in (own, start) and (flip_flop.reset == FALSE or flip_flop.to == start):
                found[bit], renamed[own] = start, start
                continue
            key = (data, flip_flop.enable, flip_flop.reset, flip_flop.to, start)
            other = first.setdefault(key, bit)
            if other != bit:
                found[bit], renamed[own] = other, netlist.own[other]
        if len(found) == before:
            return found


class _Count:
    """Walks back from the outputs."""

    def __init__(self, netlist: Netlist, flip_flops: dict[Bit, Controlled]) -> None:
        self.netlist = netlist
        self.flip_flops = flip_flops
        self.roots: list[Literal] = []
        self.registers: list[Bit] = []
        self.products: dict[Product, None] = {}
        self.reads: dict[pyrtl.MemBlock, list[Read]] = {}
        self.places: dict[int, int] = {}  # of a chain, by its identity
        self.users: Counter[int] = Counter()
        self._stack: list[int] = []

    def result(self) -> LeafCount:
        """Everything."""
        self._need(*self.netlist.outputs)
        while self._stack:
            self._visit(self._stack.pop())
        absorbed, bram, memory_tables = self._memories()
        shifted, shift_tables = self._shift_registers(absorbed)
        gone = absorbed | shifted
        roots = {root for root in self.roots if root >> 1}
        lut = tables(self.netlist.gates.fanins, roots)
        return LeafCount(
            dsp=sum(product.slices for product in self.products),
            lut=lut + memory_tables + shift_tables + sum(product.lut for product in self.products),
            ff=len(self.registers) - len(gone),
            bram=bram,
        )

    def _need(self, *literals: Literal) -> None:
        self.roots += literals
        self._use(*literals)

    def _use(self, *literals: Literal) -> None:
        for literal in literals:
            node = literal >> 1
            self.users[node] += 1
            if node and self.users[node] == 1:
                self._stack.append(node)

    def _visit(self, node: int) -> None:
        fanins = self.netlist.gates.fanins[node]
        if fanins:
            self._use(*fanins)
            return
        origin = self.netlist.source.get(node)
        if isinstance(origin, Product):
            if origin not in self.products:
                self.products[origin] = None
                self._need(*origin.operands)
        elif isinstance(origin, Read):
            reads = self.reads.setdefault(origin.memory, [])
            if not reads:
                for write in self.netlist.writes.get(origin.memory, []):
                    self._need(*write.inputs)
            if origin not in reads:
                reads.append(origin)
                self._need(*origin.address)
        elif origin is not None and isinstance(origin[0], Chain):
            self._chain(origin[0], origin[1])
        elif origin is not None:
            bit = origin[0], origin[1]
            self.registers.append(bit)
            flip_flop = self.flip_flops[bit]
            self._need(flip_flop.data, flip_flop.enable, flip_flop.reset)

    def _chain(self, chain: Chain, place: int) -> None:
        made = self.places.get(id(chain), -1)
        if made < 0:
            self._need(chain.carry)
        for propagate, generate in chain.places[made + 1 : place + 1]:
            self._need(propagate, generate)
        self.places[id(chain)] = max(made, place)

    def _memories(self) -> tuple[set[Bit], int, int]:
        """Register bits inside block RAMs, block RAMs, look-up tables of the other memories."""
        absorbed: set[Bit] = set()
        bram = lut = 0
        behind = {self.flip_flops[bit].data: bit for bit in self.registers}
        for memory, reads in self.reads.items():
            data = [literal for read in reads for literal in read.data if self.users[literal >> 1]]
            registered = all(literal in behind and self.users[literal >> 1] == 1 for literal in data)
            width = max(sum(1 for literal in read.data if self.users[literal >> 1]) for read in reads)
            blocks = memory_blocks(width=width, words=1 << memory.addrwidth, reads=len(reads), registered=registered)
            bram += blocks.bram
            lut += blocks.lut
            if blocks.bram:
                absorbed.update(behind[literal] for literal in data)
        return absorbed, bram, lut

    def _shift_registers(self, absorbed: set[Bit]) -> tuple[set[Bit], int]:
        """Register bits inside look-up tables used as shift registers, and these."""
        before: dict[Bit, Bit] = {}
        for bit in self.registers:
            flip_flop = self.flip_flops[bit]
            origin = self.netlist.source.get(flip_flop.data >> 1)
            if bit in absorbed or flip_flop.data & 1 or flip_flop.reset != FALSE or not isinstance(origin, tuple):
                continue
            if isinstance(origin[0], Chain) or (origin[0], origin[1]) in absorbed:
                continue
            other = self.flip_flops[origin[0], origin[1]]
            alone = self.users[flip_flop.data >> 1] == 1
            if alone and other.reset == FALSE and other.enable == flip_flop.enable:
                before[bit] = origin[0], origin[1]
        inner = set(before.values())
        inside: set[Bit] = set()
        lut = 0
        for last in (bit for bit in before if bit not in inner):
            chain = [last]
            while chain[-1] in before:
                chain.append(before[chain[-1]])
            if len(chain) >= _SHIFT:
                inside.update(chain)
                lut += -(-len(chain) // _SHIFT_BITS)
        return inside, lut
