"""Leaves drawn at random: every operator of PyRTL at many widths, registers with feedback, memories."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pyrtl

from dynamap_rtl.hardware import Leaf, multiply, resize

OPERATORS = ("&", "|", "^", "nand", "~", "+", "-", "*", "<", ">", "==", "mux", "concat", "slice", "bits",
             "sign", "zero", "signed *", "const", "ram", "rom", "name", "part")  # fmt: skip
#: Names that a netlist may have and Verilog may not.
AWKWARD = ("reg", "wire", "a.b", "a_b", "x[3]", "always", "t0", "begin", "sum", "i", "in", "0k", "memory0", "logic")


def random_leaf(name: str, source: random.Random, *, steps: int = 25, widest: int = 24) -> Leaf:
    """A leaf of up to ``steps`` operations; the same source makes the same leaf."""
    # Drawn first, so that the circuit can be built whenever it is wanted.
    inputs = {f"in{number}": source.choice([1, 2, 5, 8, 9, widest]) for number in range(source.randint(1, 4))}
    outputs = {f"out{number}": source.choice([1, 3, 8, 18, widest]) for number in range(source.randint(1, 3))}
    registers = [(source.choice([1, 4, 9, widest]), source.getrandbits(30)) for _ in range(source.randint(0, 3))]
    plan = [(source.choice(OPERATORS), [source.getrandbits(30) for _ in range(6)]) for _ in range(steps)]
    ends = [[source.getrandbits(30) for _ in range(3)] for _ in range(len(outputs) + len(registers))]
    awkward = [*source.sample(AWKWARD, len(AWKWARD)), *(f"named.{number}" for number in range(steps))]

    def logic(ports: Mapping[str, pyrtl.WireVector]) -> dict[str, pyrtl.WireVector]:
        pool = list(ports.values())
        state = [pyrtl.Register(width, reset_value=value % (1 << width)) for width, value in registers]
        pool += state
        names = iter(awkward)
        for operator, numbers in plan:
            made = _step(operator, pool, numbers, names)
            pool.append(made if len(made) <= widest else made[:widest])

        def pick(numbers: list[int], width: int) -> pyrtl.WireVector:
            # Late wires, so that most of what was built matters.
            late = pool[-1 - numbers[0] % min(len(pool), 8)]
            return resize(late, width)

        for register, numbers in zip(state, ends[len(outputs) :], strict=True):
            value = pick(numbers, len(register))
            if numbers[1] % 3:  # with an enable, one way round or the other
                enable = pool[numbers[2] % len(pool)][0]
                value = (
                    pyrtl.select(enable, value, register)
                    if numbers[1] % 3 == 1
                    else (pyrtl.select(enable, register, value))
                )
            register.next <<= value
        return {port: pick(ends[number], width) for number, (port, width) in enumerate(outputs.items())}

    return Leaf(name, inputs=inputs, outputs=outputs, logic=logic)


def _step(operator: str, pool: list[pyrtl.WireVector], numbers: list[int], names: object) -> pyrtl.WireVector:
    left, right, third = (pool[number % len(pool)] for number in numbers[:3])
    width = len(left)
    match operator:
        case "&":
            return left & right
        case "|":
            return left | right
        case "^":
            return left ^ right
        case "nand":
            return left.nand(right)
        case "~":
            return ~left
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "<":
            return left < right
        case ">":
            return left > right
        case "==":
            return left == right
        case "mux":
            return pyrtl.select(third[0], left, right)
        case "concat":
            return pyrtl.concat(left, right, left) if numbers[3] % 2 else pyrtl.concat(left, third)
        case "slice":
            low = numbers[3] % width
            return left[low : low + 1 + numbers[4] % (width - low)]
        case "bits":  # any bits in any order, one of PyRTL's nets
            chosen = tuple(number % width for number in numbers[2:])
            made = pyrtl.WireVector(len(chosen))
            block = pyrtl.working_block()
            block.add_net(pyrtl.LogicNet("s", chosen, (left,), (made,)))
            return made
        case "sign":
            return left.sign_extended(width + numbers[3] % 6)
        case "zero":
            return left.zero_extended(width + numbers[3] % 6)
        case "signed *":
            return multiply(left[:9], right[:12])
        case "const":
            return left + pyrtl.Const(numbers[3] % 1000, bitwidth=10)
        case "rom":
            address = resize(left, 3)
            words = [number % 64 for number in numbers] + [5, 9]
            return pyrtl.as_wires(pyrtl.RomBlock(6, 3, words, max_read_ports=None, asynchronous=True)[address])
        case "ram":
            memory = pyrtl.MemBlock(len(right), 3, max_read_ports=None, asynchronous=True)
            memory[resize(left, 3)] <<= pyrtl.MemBlock.EnabledWrite(right, enable=third[0])
            read = pyrtl.as_wires(memory[resize(third, 3)])
            if numbers[3] % 2:
                return read
            register = pyrtl.Register(len(right))
            register.next <<= read
            return register
        case "name":
            named = pyrtl.WireVector(width, next(names))  # type: ignore[call-overload]
            named <<= left
            return named
        case "part":  # a net may give fewer bits than it computes
            made = pyrtl.WireVector(1 + numbers[3] % width)
            other = right.zero_extended(max(width, len(right)))[:width]
            kind = "&|^n+-*"[numbers[4] % 7]
            pyrtl.working_block().add_net(pyrtl.LogicNet(kind, None, (left, other), (made,)))
            return made
    raise AssertionError(operator)
