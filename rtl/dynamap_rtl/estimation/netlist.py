"""The nets of a leaf as gates, carry chains, products, memories and registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pyrtl

from dynamap_rtl.hardware.module import Leaf
from dynamap_rtl.hardware.verilog_leaf import LeafNets

from .gates import FALSE, TRUE, Gates, Literal
from .hard_blocks import product_slices

__all__ = ["Bit", "Chain", "Netlist", "Product", "Read", "Write"]

#: A bit of a register, by the register's name: PyRTL's wires cannot be compared.
Bit: TypeAlias = tuple[str, int]

# An adder of up to so many bits is gates; a wider one is a carry chain.
_SHORT_CHAIN = 2
_TABLE_INPUTS = 6


@dataclass
class Chain:
    """A carry chain: what goes into each place, and how many places are needed."""

    carry: Literal
    places: list[tuple[Literal, Literal]]  # propagate, generate


@dataclass(frozen=True, eq=False)
class Product:
    """A multiplication: its operands' bits, the slices and tables it takes."""

    operands: tuple[Literal, ...]
    slices: int
    lut: int


@dataclass(frozen=True, eq=False)
class Read:
    """A read port of a memory."""

    memory: pyrtl.MemBlock
    address: tuple[Literal, ...]
    data: tuple[Literal, ...]


@dataclass(frozen=True, eq=False)
class Write:
    """A write port of a memory: address, data and enable."""

    inputs: tuple[Literal, ...]


@dataclass
class Netlist:
    """A leaf, bit by bit.

    Args:
        leaf: whose nets are read.
        known: bits of registers that are constant, or the same as another.

    Attributes:
        outputs: bits of the output ports.
        registers: each register bit's next value.
        own: each register bit's node, as a literal.
        starts: what each register bit is at first.
        source: what a node that is no gate comes from: a chain and its place, a product, a read port, a register bit.
    """

    leaf: Leaf
    known: Mapping[Bit, Literal | Bit]
    gates: Gates = field(default_factory=Gates)
    outputs: list[Literal] = field(default_factory=list)
    registers: dict[Bit, Literal] = field(default_factory=dict)
    own: dict[Bit, Literal] = field(default_factory=dict)
    starts: dict[Bit, Literal] = field(default_factory=dict)
    source: dict[int, tuple[Chain, int] | Product | Read | Bit] = field(default_factory=dict)
    writes: dict[pyrtl.MemBlock, list[Write]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._bits: dict[pyrtl.WireVector, Sequence[Literal]] = {}
        self._needed: dict[pyrtl.WireVector, int] = {}
        self._read()

    def _read(self) -> None:
        block, nets = self.leaf.block, LeafNets(self.leaf)
        for wire in block.wirevector_subset(pyrtl.Const):
            self._bits[wire] = [TRUE if wire.val >> bit & 1 else FALSE for bit in range(len(wire))]
        for name in self.leaf.inputs:
            wire = block.wirevector_by_name[name]
            self._bits[wire] = [self.gates.source() for _ in range(len(wire))]
        self._make_registers([net.dests[0] for net in nets.registers])
        for net in (*nets.nets, *nets.registers, *nets.writes):
            for wire in net.args:
                needed = max(net.op_param) + 1 if net.op == "s" else len(wire)
                self._needed[wire] = max(needed, self._needed.get(wire, 0))
        for net in nets.nets:
            self._bits[net.dests[0]] = self._result(net)
        for net in nets.registers:
            for bit, literal in enumerate(self._bits[net.args[0]]):
                self.registers[net.dests[0].name, bit] = literal
        for net in nets.writes:
            inputs = tuple(literal for wire in net.args for literal in self._bits[wire])
            self.writes.setdefault(net.op_param[1], []).append(Write(inputs))
        for name in self.leaf.outputs:
            self.outputs += self._bits[block.wirevector_by_name[name]]

    def _make_registers(self, registers: Sequence[pyrtl.Register]) -> None:
        for register in registers:
            for bit in range(len(register)):
                place = register.name, bit
                self.starts[place] = TRUE if (register.reset_value or 0) >> bit & 1 else FALSE
                if place not in self.known:
                    literal = self.own[place] = self.gates.source()
                    self.source[literal >> 1] = place
        for register in registers:
            self._bits[register] = [self._register_bit((register.name, bit)) for bit in range(len(register))]

    def _register_bit(self, bit: Bit) -> Literal:
        while bit in self.known:
            known = self.known[bit]
            if isinstance(known, int):
                return known
            bit = known
        return self.own[bit]

    def _result(self, net: pyrtl.LogicNet) -> Sequence[Literal]:
        gates, op = self.gates, net.op
        args = [self._bits[wire] for wire in net.args]
        if op == "w":
            return args[0]
        if op == "s":
            return [args[0][bit] for bit in net.op_param]
        if op == "c":
            return [literal for part in reversed(args) for literal in part]
        if op == "~":
            return [literal ^ 1 for literal in args[0]]
        if op == "x":
            select = args[0][0]
            return [gates.choose(select, high, low) for low, high in zip(args[1], args[2], strict=True)]
        if op == "m":
            return self._word(net, args[0])
        if op == "=":
            return [self._equal(*args)]
        if op in "<>":
            return [self._greater(*(args if op == ">" else reversed(args)))]
        if op in "+-":
            return self._sum(net, *args)
        if op == "*":
            return self._product(net, *args)
        gate = {"&": gates.both, "|": gates.either, "^": gates.differ, "n": gates.both}[op]
        flip = op == "n"
        return [gate(left, right) ^ flip for left, right in zip(*args, strict=True)]

    def _word(self, net: pyrtl.LogicNet, address: Sequence[Literal]) -> Sequence[Literal]:
        data = tuple(self.gates.source() for _ in range(len(net.dests[0])))
        read = Read(net.op_param[1], tuple(address), data)
        self.source.update((literal >> 1, read) for literal in data)
        return data

    def _equal(self, left: Sequence[Literal], right: Sequence[Literal]) -> Literal:
        pairs = [self.gates.differ(*pair) ^ 1 for pair in zip(left, right, strict=True)]
        constant = any(literal > 1 for literal in left) != any(literal > 1 for literal in right)
        return self.gates.all_of(pairs, _TABLE_INPUTS if constant else _TABLE_INPUTS // 2)

    def _greater(self, left: Sequence[Literal], right: Sequence[Literal]) -> Literal:
        """Groups of bits that fill a table, each with ``equal`` and ``greater``, then a carry chain."""
        gates = self.gates
        groups: list[tuple[Literal, Literal]] = []
        equal, greater, room = TRUE, FALSE, _TABLE_INPUTS
        for high, low in zip(reversed(left), reversed(right), strict=True):
            cost = (high > 1) + (low > 1)
            if cost > room:
                groups.append((equal, greater))
                equal, greater, room = TRUE, FALSE, _TABLE_INPUTS
            greater = gates.either(greater, gates.both(equal, gates.both(high, low ^ 1)))
            equal = gates.both(equal, gates.differ(high, low) ^ 1)
            room -= cost
        groups.append((equal, greater))
        groups.reverse()  # lowest bits first
        if len(groups) > _SHORT_CHAIN:
            places = [(gates.both(equal, greater ^ 1), greater) for equal, greater in groups]
            return self._chain(FALSE, [*places, (FALSE, FALSE)])[-1]
        carry = FALSE
        for equal, greater in groups:
            carry = gates.either(greater, gates.both(equal, carry))
        return carry

    def _sum(self, net: pyrtl.LogicNet, left: Sequence[Literal], right: Sequence[Literal]) -> Sequence[Literal]:
        gates = self.gates
        subtract = net.op == "-"
        width = min(len(net.dests[0]), self._needed.get(net.dests[0], len(net.dests[0])))
        first, second = ([*side, *[FALSE] * width][:width] for side in (left, right))
        if not subtract and all(literal < 2 for literal in first):
            first, second = second, first
        low = 0  # where nothing is added, the bits stay
        while low < width and second[low] == FALSE:
            low += 1
        carry = TRUE if subtract else FALSE
        pairs = [(a, b ^ subtract) for a, b in zip(first[low:], second[low:], strict=True)]
        if len(pairs) <= _SHORT_CHAIN:
            total = []
            for a, b in pairs:
                half = gates.differ(a, b)
                total.append(gates.differ(half, carry))
                carry = gates.choose(half, carry, a)
        else:
            total = self._chain(carry, [(gates.differ(a, b), a) for a, b in pairs])
        return [*first[:low], *total, *[FALSE] * (len(net.dests[0]) - width)]

    def _chain(self, carry: Literal, places: list[tuple[Literal, Literal]]) -> list[Literal]:
        chain = Chain(carry, places)
        result = [self.gates.source() for _ in places]
        self.source.update((literal >> 1, (chain, place)) for place, literal in enumerate(result))
        return result

    def _product(self, net: pyrtl.LogicNet, left: Sequence[Literal], right: Sequence[Literal]) -> Sequence[Literal]:
        bits = min(len(net.dests[0]), self._needed.get(net.dests[0], len(net.dests[0])))
        operands = [_unextended(side) for side in (left, right)]
        varying = [any(literal > 1 for literal in side) for side in operands]
        slices, lut = product_slices(len(operands[0]), len(operands[1]), bits) if all(varying) else (0, 0)
        if any(varying) and not all(varying):  # additions of the shifted operand
            value = sum(literal << bit for bit, literal in enumerate(operands[varying.index(False)]))
            lut = max(0, value.bit_count() - 1) * bits
        product = Product(tuple(literal for side in operands for literal in side), slices, lut)
        result = [self.gates.source() for _ in range(bits)]
        self.source.update((literal >> 1, product) for literal in result)
        return [*result, *[FALSE] * (len(net.dests[0]) - bits)]


def _unextended(bits: Sequence[Literal]) -> Sequence[Literal]:
    """A signed value without the copies of its sign."""
    end = len(bits)
    while end > 1 and bits[end - 2] == bits[end - 1]:
        end -= 1
    return bits[:end]
