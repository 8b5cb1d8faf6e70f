"""The compiled simulator computes what PyRTL's computes: random cells, alone and in grids."""

from __future__ import annotations

import random

import pyrtl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiled_agreement import agree
from dynamap_rtl.hardware import Grid, Leaf, multiply

pytestmark = pytest.mark.usefixtures("cache")


def random_leaf(
    seed: int, inputs: dict[str, int], registered: dict[str, int], plain: dict[str, int], name: str
) -> Leaf:
    """Random nets over random widths; ``registered`` outputs are registers."""

    def logic(i):
        rng = random.Random(seed)
        pool = [i[port] for port in sorted(i)]
        registers = [
            pyrtl.Register(width, output + "_r", reset_value=rng.getrandbits(width))
            for output, width in registered.items()
        ]
        registers += [
            pyrtl.Register(rng.choice([1, 3, 8, 9, 32, 47, 70]), f"state{k}") for k in range(rng.randint(0, 3))
        ]
        pool += registers

        def fit(wire, width):
            if len(wire) >= width:
                start = rng.randint(0, len(wire) - width)
                return wire[start : start + width]
            return wire.sign_extended(width) if rng.random() < 0.5 else wire.zero_extended(width)

        memory = None
        if rng.random() < 0.4:
            width = rng.choice([1, 6, 16, 40, 80])
            memory = pyrtl.MemBlock(width, 2, "memory", max_read_ports=None, asynchronous=True)
            memory[fit(rng.choice(pool), 2)] <<= pyrtl.MemBlock.EnabledWrite(
                fit(rng.choice(pool), width), fit(rng.choice(pool), 1)
            )
            pool.append(memory[fit(rng.choice(pool), 2)])
        for _ in range(rng.randint(4, 25)):
            a, b = rng.choice(pool), rng.choice(pool)
            width = rng.choice([len(a), len(b), rng.randint(1, 80)])
            a, b = fit(a, width), fit(b, width)
            op = rng.choice(
                ["any", "all", "&", "|", "^", "n", "~", "+", "-", "*", "<", ">", "=", "x", "c", "s", "r", "sm"]
            )
            pool.append(
                {
                    "&": lambda a=a, b=b: a & b,
                    "|": lambda a=a, b=b: a | b,
                    "^": lambda a=a, b=b: a ^ b,
                    "n": lambda a=a, b=b: a.nand(b),
                    "~": lambda a=a: ~a,
                    "+": lambda a=a, b=b: a + b,
                    "-": lambda a=a, b=b: a - b,
                    "*": lambda a=a, b=b: a * b,
                    "<": lambda a=a, b=b: a < b,
                    ">": lambda a=a, b=b: a > b,
                    "=": lambda a=a, b=b: a == b,
                    "x": lambda a=a, b=b: pyrtl.select(fit(rng.choice(pool), 1), a, b),
                    "c": lambda a=a, b=b: pyrtl.concat(a, b, fit(a, 1)),
                    "s": lambda a=a: a[:: rng.choice([-1, 2])],
                    "any": lambda a=a: pyrtl.or_all_bits(a),
                    "all": lambda a=a, b=b: pyrtl.and_all_bits(a | b),
                    "r": lambda a=a: pyrtl.concat_list([a[len(a) // 2]] * rng.choice([2, 40])),
                    "sm": lambda a=a, b=b, width=width: multiply(a, b)[:width],
                }[op]()
            )
            if len(pool[-1]) > 150:
                pool[-1] = fit(pool[-1], rng.randint(1, 150))
        for register in registers:
            register.next <<= fit(rng.choice(pool), len(register))
        results = dict(zip(registered, registers, strict=False))
        return {**results, **{output: fit(rng.choice(pool), width) for output, width in plain.items()}}

    return Leaf(name, inputs=inputs, outputs={**registered, **plain}, logic=logic)


WIDTH = st.sampled_from([1, 4, 8, 9, 20, 32, 33, 64, 66])
SLOW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))


@SLOW
@given(seed=st.integers(0, 2**32), a=WIDTH, b=WIDTH, o=WIDTH, p=WIDTH)
def test_random_leaves(seed, a, b, o, p):
    agree(random_leaf(seed, {"a": a, "b": b}, {"o": o}, {"p": p}, "leaf"), cycles=15, seed=seed)


@SLOW
@given(
    seed=st.integers(0, 2**32), a=WIDTH, b=WIDTH, c=WIDTH, d=WIDTH, p=WIDTH,
    rows=st.integers(1, 4), columns=st.integers(1, 4), east=st.booleans(), south=st.booleans(), shared=st.booleans(),
)  # fmt: skip
def test_random_grids(seed, a, b, c, d, p, rows, columns, east, south, shared):
    cell = random_leaf(seed, {"a": a, "b": b, "c": c, "d": d}, {"a_out": a, "b_out": b}, {"p": p}, "cell")
    grid = Grid(
        "grid",
        cell,
        rows=rows,
        columns=columns,
        east={"a": "a_out"} if east else {},
        south={"b": "b_out"} if south else {},
        shared=("c",) if shared else (),
    )
    agree(grid, cycles=12, seed=seed)
