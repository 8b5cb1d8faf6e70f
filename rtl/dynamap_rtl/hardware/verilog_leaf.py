"""The Verilog of a leaf: its PyRTL nets as declarations, expressions and one always block.

PyRTL's nets are mostly nameless temporaries. One that is used once becomes part of the expression that uses it, and a
slice, a constant or an extension is written wherever it is used; a wire is declared where a net has a name, several
users, or an expression would grow beyond what one reads at a glance. Logic that no output depends on is left out.

Verilog computes an operator at the width of its surroundings, PyRTL at the width of its operands. So every expression
is asked for at the width its user wants (``len`` or fewer low bits, which are all that low bits of a result depend on),
its operands are written at just that width, and a carry is made by extending the operands in writing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyrtl

from .module import Leaf
from .verilog_text import Literal, Names, Part, Piece, Slice, join, literal, port_names, range_of, statement

__all__ = ["LeafBody", "LeafNets", "leaf_body"]

_TEMPORARY = re.compile(r"tmp\d+\Z")
_SYMBOL = {"&": "&", "|": "|", "^": "^", "+": "+", "-": "-", "<": "<", ">": ">", "=": "=="}
_OPPOSITE = {"<": ">=", ">": "<=", "=": "!="}
_ASSOCIATIVE = frozenset("&|^+")
_MOST_OPERANDS = 8  # in an expression inside another
_MOST_LEVELS = 4


@dataclass(frozen=True)
class LeafBody:
    """What stands between the ports and ``endmodule``.

    Attributes:
        lines: the text.
        clocked: whether it has registers or memories that are written.
    """

    lines: tuple[str, ...]
    clocked: bool


@dataclass(frozen=True)
class _Expression:
    """Text, its outermost binary operator ('' when it needs no parentheses), and the opposite of a comparison."""

    text: str
    operator: str = ""
    opposite: str = ""


def leaf_body(leaf: Leaf) -> LeafBody:
    """Write the logic of a leaf; equal leaves give equal text in every process."""
    return _Writer(leaf).write()


class LeafNets:
    """The nets that the outputs depend on, in an order that depends on nothing but the circuit.

    PyRTL keeps nets and wires in sets; here they are found from the outputs in the order of ports and arguments.
    """

    def __init__(self, leaf: Leaf) -> None:
        block = leaf.block
        self.driver: dict[pyrtl.WireVector, pyrtl.LogicNet] = {net.dests[0]: net for net in block.logic if net.dests}
        self.uses: dict[pyrtl.WireVector, list[tuple[pyrtl.LogicNet, int]]] = {}
        self.nets: list[pyrtl.LogicNet] = []  # combinational, drivers before users
        self.registers: list[pyrtl.LogicNet] = []
        self.memories: list[pyrtl.MemBlock] = []
        self.writes: list[pyrtl.LogicNet] = []
        self._seen: set[pyrtl.WireVector] = set()
        writes: dict[pyrtl.MemBlock, list[pyrtl.LogicNet]] = {}
        for net in block.logic:
            if net.op == "@":
                writes.setdefault(net.op_param[1], []).append(net)
        for name in leaf.outputs:
            self._reach(block.wirevector_by_name[name])
        registers = memories = 0
        while registers < len(self.registers) or memories < len(self.memories):
            if registers < len(self.registers):
                self._use(self.registers[registers])
                registers += 1
            else:
                for net in sorted(writes.get(self.memories[memories], []), key=_creation):
                    self.writes.append(net)
                    self._use(net)
                memories += 1

    def _use(self, net: pyrtl.LogicNet) -> None:
        for position, wire in enumerate(net.args):
            self.uses.setdefault(wire, []).append((net, position))
            self._reach(wire)

    def _reach(self, root: pyrtl.WireVector) -> None:
        stack: list[tuple[pyrtl.WireVector, Iterator[pyrtl.WireVector]]] = []

        def enter(wire: pyrtl.WireVector) -> None:
            if wire in self._seen or wire not in self.driver:
                return
            self._seen.add(wire)
            net = self.driver[wire]
            if net.op == "r":
                self.registers.append(net)
                return
            if net.op == "m" and net.op_param[1] not in self.memories:
                self.memories.append(net.op_param[1])
            stack.append((wire, iter(net.args)))

        enter(root)
        while stack:
            wire, rest = stack[-1]
            argument = next(rest, None)
            if argument is not None:
                enter(argument)
                continue
            stack.pop()
            net = self.driver[wire]
            self.nets.append(net)
            for position, argument in enumerate(net.args):
                self.uses.setdefault(argument, []).append((net, position))


def _creation(net: pyrtl.LogicNet) -> list[tuple[int, int, str]]:
    """Sorts nets by their arguments' names, temporaries (numbered as they were made) first."""
    keys = []
    for wire in net.args:
        temporary = _is_temporary(wire)
        keys.append((0, int(wire.name[3:]), "") if temporary else (1, 0, re.sub(r"\Aconst_\d+", "const", wire.name)))
    return keys


def _is_temporary(wire: pyrtl.WireVector) -> bool:
    return bool(_TEMPORARY.match(wire.name))


def _is_low(net: pyrtl.LogicNet) -> bool:
    """A selection of the lowest bits, or a plain wire."""
    return bool(net.op == "w" or (net.op == "s" and net.op_param == tuple(range(len(net.op_param)))))


class _Writer:
    def __init__(self, leaf: Leaf) -> None:
        self.leaf = leaf
        self.netlist = LeafNets(leaf)
        self.ports = port_names(leaf)
        self.names = Names([leaf.name, *self.ports.values()])
        self.declared: dict[pyrtl.WireVector, str] = {
            leaf.block.wirevector_by_name[name]: self.ports[name] for name in leaf.inputs
        }
        self.memory: dict[pyrtl.MemBlock, str] = {}
        self.size: dict[pyrtl.WireVector, tuple[int, int]] = {}  # operands and levels of what is not declared

    # What is declared

    def write(self) -> LeafBody:
        """All lines of the body."""
        netlist = self.netlist
        dests = (net.dests[0] for net in (*netlist.registers, *netlist.nets))
        kept = [wire for wire in dests if not _is_temporary(wire) and not isinstance(wire, pyrtl.Output)]
        given = {wire: self.names.give(wire.name) for wire in sorted(kept, key=lambda wire: wire.name)}
        head = self._registers(given) + self._memories()
        wires: list[str] = []
        temporaries = 0
        for net in netlist.nets:
            dest = net.dests[0]
            if isinstance(dest, pyrtl.Output) or (dest not in given and self._inlined(net)):
                continue
            text = self._expression(net, len(dest)).text
            if dest in given:
                self.declared[dest] = given[dest]
            else:
                self.declared[dest] = self.names.give(f"t{temporaries}")
                temporaries += 1
            wires += statement(f"wire {range_of(len(dest))}{self.declared[dest]} = {text};", 4)
        block = self._always()
        results = []
        for name in self.leaf.outputs:
            wire = self.leaf.block.wirevector_by_name[name]
            text = self._expression(netlist.driver[wire], len(wire)).text
            results += statement(f"assign {self.ports[name]} = {text};", 4)
        lines = [line for section in (head, wires, block, results) if section for line in (*section, "")][:-1]
        return LeafBody(tuple(lines), clocked=bool(block))

    def _registers(self, given: Mapping[pyrtl.WireVector, str]) -> list[str]:
        lines = []
        for number, net in enumerate(self.netlist.registers):
            wire = net.dests[0]
            name = self.declared[wire] = given[wire] if wire in given else self.names.give(f"r{number}")
            lines.append(f"    reg {range_of(len(wire))}{name} = {literal(wire.reset_value or 0, len(wire))};")
        return lines

    def _memories(self) -> list[str]:
        lines: list[str] = []
        for number, memory in enumerate(self.netlist.memories):
            wanted = f"memory{number}" if _TEMPORARY.match(memory.name) else memory.name
            name = self.memory[memory] = self.names.give(wanted)
            words = 1 << memory.addrwidth
            lines.append(f"    reg {range_of(memory.bitwidth)}{name} [0:{words - 1}];")
            if isinstance(memory, pyrtl.RomBlock):
                contents = [
                    f"        {name}[{address}] = {literal(_rom_word(memory, address), memory.bitwidth)};"
                    for address in range(words)
                ]
                lines += ["    initial begin", *contents, "    end"]
            else:
                index = self.names.give("i")
                loop = f"for ({index} = 0; {index} < {words}; {index} = {index} + 1)"
                lines += [
                    "`ifndef SYNTHESIS  // configuration clears memories; a simulator has to be told",
                    f"    integer {index};",
                    f"    initial {loop} {name}[{index}] = {literal(0, memory.bitwidth)};",
                    "`endif",
                ]
        return lines

    def _inlined(self, net: pyrtl.LogicNet) -> bool:
        """Whether a temporary is written where it is used; then its size is noted."""
        dest, uses = net.dests[0], self.netlist.uses[net.dests[0]]
        if any(user.op == "s" and not _is_low(user) for user, _ in uses) and self._declared_bits(dest) is None:
            return False  # Verilog selects bits of names only
        if self._is_slice(net) or self._is_plain_extension(net):
            self.size[dest] = (1, 0)
            return True
        if len(uses) > 1:
            return False
        ((user, position),) = uses
        if self._is_product(dest) and not (user.op == "r" or _is_low(user)):
            return False  # its operands are signed only where nothing unsigned stands beside it
        into_register = user.op == "x" and position > 0 and self._becomes_register(user)
        if net.op == "m" and not (user.op in "rw" or into_register):
            return False  # a word read has a name, unless a register takes it, which makes a block RAM
        sizes = [self.size.get(wire, (1, 0)) for wire in net.args]
        operands = sum(size[0] for size in sizes)
        levels = max(size[1] for size in sizes) + (not _is_low(net))
        self.size[dest] = (operands, levels)
        if user.op in "r@" or (user.op == "w" and not _is_temporary(user.dests[0])):
            return True
        if net.op in "xm" and into_register:
            return True
        return operands <= _MOST_OPERANDS and levels <= _MOST_LEVELS

    def _becomes_register(self, net: pyrtl.LogicNet) -> bool:
        """Whether a multiplexer ends, perhaps through more of them, as the next value of a register."""
        while True:
            uses = self.netlist.uses.get(net.dests[0], [])
            if len(uses) != 1 or not _is_temporary(net.dests[0]):
                return False
            ((user, position),) = uses
            if user.op == "r":
                return True
            if not (_is_low(user) or (user.op == "x" and position)):
                return False
            net = user

    def _is_product(self, wire: pyrtl.WireVector) -> bool:
        """A multiplication that is not declared, or its low bits."""
        while wire not in self.declared and wire in self.netlist.driver:
            net = self.netlist.driver[wire]
            if not _is_low(net):
                return bool(net.op == "*")
            wire = net.args[0]
        return False

    def _is_slice(self, net: pyrtl.LogicNet) -> bool:
        """A selection from what is declared, in at most two pieces."""
        if net.op not in "sw" or self._declared_bits(net.args[0]) is None:
            return False
        return len(self._selected(net, len(net.dests[0]))) <= 2

    def _is_plain_extension(self, net: pyrtl.LogicNet) -> bool:
        """A sign or zero extension of what is declared."""
        found = self._extension(net.dests[0])
        return found is not None and self._declared_bits(found[0]) is not None

    def _extension(self, wire: pyrtl.WireVector) -> tuple[pyrtl.WireVector, bool] | None:
        """The wire that a wire extends and whether by its sign; None for anything else."""
        driver = self.netlist.driver
        net = driver.get(wire)
        while net is not None and net.op == "w" and len(net.args[0]) == len(wire):
            net = driver.get(net.args[0])
        if net is None or net.op != "c" or len(net.args) < 2 or sum(map(len, net.args)) != len(wire):
            return None
        *above, value = net.args
        if all(isinstance(other, pyrtl.Const) and other.val == 0 for other in above):
            return value, False
        for other in above:
            sign = driver.get(other)
            if sign is None or sign.op != "s" or sign.args[0] is not value or sign.op_param != (len(value) - 1,):
                return None
        return value, True

    def _declared_bits(self, wire: pyrtl.WireVector) -> tuple[pyrtl.WireVector, int] | None:
        """The declared wire or constant that a wire is a slice of, and its lowest bit there."""
        low, width = 0, len(wire)
        while wire not in self.declared and not isinstance(wire, pyrtl.Const):
            net = self.netlist.driver.get(wire)
            if net is None or net.op not in "sw":
                return None
            if net.op == "s":
                first = net.op_param[0]
                if net.op_param[: low + width] != tuple(range(first, first + low + width)):
                    return None
                low += first
            wire = net.args[0]
        return wire, low

    # Statements

    def _always(self) -> list[str]:
        lines: list[str] = []
        enabled: dict[tuple[str, ...], list[str]] = {}
        for net in self.netlist.registers:
            name = self.declared[net.dests[0]]
            update = self._update(net.dests[0], net.args[0], 8) or [f"        {name} <= {name};"]
            head = _enable(update)
            if head:  # registers with one enable stand together, after the others
                enabled.setdefault(head, []).extend(update[len(head) :])
            else:
                lines += update
        for head, body in enabled.items():
            if len(body) == 1:
                lines += [*head, *body]
            else:
                lines += [*head[:-1], head[-1] + " begin", *body, "        end"]
        for net in self.netlist.writes:
            _, data, enable = net.args
            text = f"{self._word(net)} <= {self._value(data, len(data)).text};"
            if not (isinstance(enable, pyrtl.Const) and enable.val):
                text = f"if ({self._value(enable, 1).text}) {text}"
            lines += statement(text, 8)
        return ["    always @(posedge clock) begin", *lines, "    end"] if lines else []

    def _update(self, register: pyrtl.Register, value: pyrtl.WireVector, indent: int) -> list[str]:
        """Assign to a register. Where a multiplexer keeps the register's value nothing is written: a clock enable."""
        driver, declared = self.netlist.driver, self.declared
        while value not in declared and value in driver and _is_low(driver[value]):
            value = driver[value].args[0]
        if value is register:
            return []
        net = None if value in declared else driver.get(value)
        if net is None or net.op != "x":
            return statement(f"{declared[register]} <= {self._value(value, len(register)).text};", indent)
        space = " " * indent
        select = self._value(net.args[0], 1)
        low = self._update(register, net.args[1], indent + 4)
        high = self._update(register, net.args[2], indent + 4)
        if not high:
            select, low, high = _inverted(select), [], low
        if not high:
            return []
        if low and not any(line.lstrip().startswith("if (") for line in (*low, *high)):
            return statement(f"{declared[register]} <= {self._value(value, len(register)).text};", indent)
        lines = [*statement(f"if ({select.text})", indent), *high]
        if high[0].lstrip().startswith("if ("):
            lines[-len(high) - 1] += " begin"
            lines.append(space + "end")
        if low:
            otherwise = "end else" if lines[-1] == space + "end" else "else"
            if lines[-1] == space + "end":
                lines.pop()
            if low[0].lstrip().startswith("if ("):
                low = [line[4:] for line in low]
                return [*lines, f"{space}{otherwise} {low[0].lstrip()}", *low[1:]]
            return [*lines, f"{space}{otherwise}", *low]
        return lines

    # Expressions

    def _value(self, wire: pyrtl.WireVector, width: int) -> _Expression:
        """The low ``width`` bits of a wire, in surroundings of that width."""
        if isinstance(wire, pyrtl.Const) or wire in self.declared:
            return _joined(self._parts(wire, width))
        return self._expression(self.netlist.driver[wire], width)

    def _expression(self, net: pyrtl.LogicNet, width: int) -> _Expression:
        op, args = net.op, net.args
        if _is_low(net):
            return self._value(args[0], width)
        if op == "s":
            return _joined(self._selected(net, width))
        if op == "c":
            return _joined(self._concatenated(net, width))
        if op == "m":
            word = self._word(net)
            return _Expression(word if width == net.op_param[1].bitwidth else f"{word}[{width - 1}:0]")
        if op == "x":
            select, low, high = self._value(args[0], 1), self._value(args[1], width), self._value(args[2], width)
            then = _enclosed(high) if high.operator == "?" else high.text
            return _Expression(f"{_enclosed(select)} ? {then} : {low.text}", "?")
        if op == "~":
            return _inverted(self._value(args[0], width))
        if op == "n":
            return _Expression(f"~({self._infix('&', self._value(args[0], width), self._value(args[1], width)).text})")
        if op == "*":
            return self._product(args[0], args[1], width)
        if op in "<>=":
            width = len(args[0])
        elif op in "+-" and width > len(args[0]):
            zero = Literal(0, width - len(args[0]))
            left, right = (_joined([zero, *self._parts(arg, len(arg))]) for arg in args)
            return self._infix(op, left, right)
        return self._infix(op, self._value(args[0], width), self._value(args[1], width))

    def _infix(self, op: str, left: _Expression, right: _Expression) -> _Expression:
        texts = [
            operand.text if operand.operator == op and op in _ASSOCIATIVE else _enclosed(operand)
            for operand in (left, right)
        ]
        opposite = f"{texts[0]} {_OPPOSITE[op]} {texts[1]}" if op in _OPPOSITE else ""
        return _Expression(f"{texts[0]} {_SYMBOL[op]} {texts[1]}", op, opposite)

    def _product(self, left: pyrtl.WireVector, right: pyrtl.WireVector, width: int) -> _Expression:
        """A multiplication, assigned as it stands to ``width`` bits.

        Low bits of a product do not depend on the operands' signs beyond them, so where an operand is the sign
        extension of a narrower wire, and no more bits are wanted than it has, the narrow signed product is the same.
        """
        found = [(arg, self._extension(arg)) for arg in (left, right)]
        signed = width <= len(left) and any(extension is not None and extension[1] for _, extension in found)
        texts = []
        for arg, extension in found:
            value, by_sign = extension if extension is not None else (arg, False)
            if not signed:
                value, by_sign = (arg, False) if by_sign else (value, False)
                texts.append(_in_braces(self._value(value, min(width, len(value)))))
            elif extension is None or by_sign:
                texts.append(f"$signed({self._value(value, len(value)).text})")
            else:
                texts.append(f"$signed({join([Literal(0, 1), *self._parts(value, len(value))])})")
        return _Expression(" * ".join(texts), "*")

    def _word(self, net: pyrtl.LogicNet) -> str:
        """The word of a memory that a net reads or writes."""
        return f"{self.memory[net.op_param[1]]}[{_in_braces(self._value(net.args[0], len(net.args[0])))}]"

    # Concatenations and slices

    def _parts(self, wire: pyrtl.WireVector, width: int) -> list[Part]:
        """The low bits of a wire as items of a concatenation, the highest first."""
        if isinstance(wire, pyrtl.Const):
            return [Literal(wire.val & ((1 << width) - 1), width)]
        if wire in self.declared:
            return [Slice(self.declared[wire], 0, width, len(wire))]
        net = self.netlist.driver[wire]
        if _is_low(net):
            return self._parts(net.args[0], width)
        if net.op == "s":
            return self._selected(net, width)
        if net.op == "c":
            return self._concatenated(net, width)
        expression = self._expression(net, width)
        return [Piece(expression.text, width, expression.operator)]

    def _concatenated(self, net: pyrtl.LogicNet, width: int) -> list[Part]:
        parts: list[Part] = []
        for wire in reversed(net.args):
            taken = min(len(wire), width)
            if taken:
                parts = self._parts(wire, taken) + parts
            width -= taken
        return parts

    def _selected(self, net: pyrtl.LogicNet, width: int) -> list[Part]:
        """Any bits of a declared wire, in runs."""
        found = self._declared_bits(net.args[0])
        assert found is not None, "a wire that bits are selected from is declared"
        wire, offset = found
        chosen = (net.op_param if net.op == "s" else range(width))[:width]
        parts: list[Part] = []
        start = 0
        for end in range(1, width + 1):
            if end < width and chosen[end] == chosen[end - 1] + 1:
                continue
            low, bits = offset + chosen[start], end - start
            if isinstance(wire, pyrtl.Const):
                parts.insert(0, Literal((wire.val >> low) & ((1 << bits) - 1), bits))
            else:
                parts.insert(0, Slice(self.declared[wire], low, bits, len(wire)))
            start = end
        return parts


def _enable(update: list[str]) -> tuple[str, ...]:
    """The lines of ``if (...)`` when a plain assignment under it is all there is, else none."""
    deeper = [number for number, line in enumerate(update) if re.match(r" {12}\w+ <= ", line)]
    if update[0].startswith("        if (") and len(deeper) == 1 and "else" not in " ".join(update).split():
        return tuple(update[: deeper[0]])
    return ()


def _enclosed(expression: _Expression) -> str:
    return f"({expression.text})" if expression.operator else expression.text


def _in_braces(expression: _Expression) -> str:
    """An expression that keeps its own width, whatever is around it: in braces if it is more than a name.

    Icarus computes an address with more bits than its operands have, against the standard; the braces stop it.
    """
    return f"{{{expression.text}}}" if expression.operator or expression.text.startswith("~") else expression.text


def _joined(parts: Sequence[Part]) -> _Expression:
    if len(parts) == 1 and isinstance(parts[0], Piece):
        return _Expression(parts[0].text, parts[0].operator)
    return _Expression(join(parts))


def _inverted(expression: _Expression) -> _Expression:
    if expression.opposite:
        return _Expression(expression.opposite, "!", expression.text)
    if expression.text.startswith("~") and not expression.operator:
        return _Expression(expression.text[1:])
    return _Expression(f"~{_enclosed(expression)}")


def _rom_word(memory: pyrtl.RomBlock, address: int) -> int:
    """A word of a read-only memory; one that its data does not reach is zero."""
    if callable(memory.data):
        return int(memory.data(address))
    return int(memory.data[address]) if address < len(memory.data) else 0
