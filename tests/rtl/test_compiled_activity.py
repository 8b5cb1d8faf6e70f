"""What the compiled simulator leaves out because it cannot change anything: values are PyRTL's all the same."""

from __future__ import annotations

import random

import pyrtl
import pytest

from compiled_agreement import agree, random_value
from dynamap_rtl.hardware import Leaf, Module
from dynamap_rtl.hardware.simulator.program import Program
from dynamap_rtl.units.array import ArrayParameters, systolic_array

CYCLES = 150


pytestmark = pytest.mark.usefixtures("cache")


def in_spans(top: Module, controls: set[str], longest: int) -> dict[str, list[int]]:
    """Random inputs; controls all 0 or all 1 over spans of cycles, and now and then a cycle of anything."""
    rng = random.Random(longest)
    stimulus: dict[str, list[int]] = {}
    for name, port in top.inputs.items():
        stream: list[int] = []
        while len(stream) < CYCLES:
            if name in controls:
                level = rng.choice([0, 2**port.bits - 1])
                stream += [level] * rng.randint(1, longest) + [random_value(rng, port.bits)]
            else:
                stream.append(random_value(rng, port.bits))
        stimulus[name] = stream[:CYCLES]
    return stimulus


def holding() -> Leaf:
    """Registers that hold under conditions: plain, inverted, one within another, through logic that others use too."""

    def logic(i):
        data, enable, other, clear = i["data"], i["enable"], i["other"], i["clear"]
        plain, inverted, nested, narrow = (
            pyrtl.Register(n, x) for n, x in ((70, "plain"), (40, "inverted"), (33, "nested"), (3, "narrow"))
        )
        shared = (data * inverted)[:40]
        mixed = ((data ^ plain[:40]) * (data + 3)[:40])[:70]
        plain.next <<= pyrtl.select(enable, (plain + mixed)[:70], plain)
        inverted.next <<= pyrtl.select(~enable, inverted, (shared - data)[:40])
        moved = pyrtl.select(other, (nested + shared[:33])[:33], nested)
        nested.next <<= pyrtl.select(clear, pyrtl.Const(5, 33), moved)
        narrow.next <<= pyrtl.select(other, pyrtl.select(enable, narrow, (narrow + 1)[:3]), narrow)
        return {"a": plain, "b": inverted, "c": nested, "d": narrow, "e": shared}

    return Leaf(
        "holding",
        inputs={"data": 40, "enable": 1, "other": 1, "clear": 1},
        outputs={"a": 70, "b": 40, "c": 33, "d": 3, "e": 40},
        logic=logic,
    )


@pytest.mark.parametrize("longest", [2, 12])
def test_registers_that_hold(longest):
    leaf = holding()
    agree(leaf, cycles=CYCLES, inspect_in=40, stimulus=in_spans(leaf, {"enable", "other", "clear"}, longest))


def test_logic_of_registers_that_hold_is_under_a_test():
    enable = "I[1]"  # the second input
    lines = Program(holding(), ()).sources["flat"].splitlines()
    (guarded,) = (line for line in lines if line.strip().startswith(f"if ({enable}) {{"))
    assert guarded.count(" * ") >= 1  # a product that nothing else uses
    assert sum(" * " in line for line in lines if not line.strip().startswith("if")) >= 1  # one that others do


@pytest.mark.parametrize(("rows", "columns", "longest"), [(3, 18, 30), (5, 4, 9), (18, 2, 25)])
def test_waves_of_controls_through_an_array(rows, columns, longest):
    array = systolic_array(ArrayParameters(rows=rows, columns=columns))
    controls = {name for name, port in array.inputs.items() if port.bits == 1}
    assert controls
    agree(array, cycles=CYCLES, inspect_in=10, stimulus=in_spans(array, controls, longest))
