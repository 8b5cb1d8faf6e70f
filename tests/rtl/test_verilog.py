"""Exported Verilog: in Icarus and Verilator the same values on every cycle as in PyRTL; Yosys finds nothing to say."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pyrtl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamap_rtl.hardware import Constant, Design, Grid, HardwareError, Leaf, Module, Port, add, multiply, resize
from dynamap_rtl.hardware.verilog import port_names, verilog_of, verilog_text
from dynamap_rtl.synthesis import SynthesisError, check_netlist
from random_leaves import random_leaf
from verilog_judges import JUDGES, Run, icarus_outputs, pyrtl_outputs, random_run

Wires = Mapping[str, pyrtl.WireVector]


def operators(width: int) -> Leaf:
    """One output for every operator of PyRTL, two where a result may be cut or inlined."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        a, b, s = wires["a"], wires["b"], wires["s"]
        below = resize(a + b, width)
        return {
            "and_": a & b,
            "or_": a | b,
            "xor_": a ^ b,
            "nand_": a.nand(b),
            "not_": ~a,
            "sum": a + b,
            "difference": a - b,
            "product": a * b,
            "low_product": (a * b)[:width],
            "signed_product": multiply(a, b),
            "wide_product": multiply(a, b.zero_extended(width + 1)),
            "mixed_product": (a.sign_extended(2 * width) * b.zero_extended(2 * width))[: 2 * width],
            "carry": (a + b)[width],
            "borrow": (a - b)[width],
            "less": a < b,
            "more": a > b,
            "equal": a == b,
            "late_less": (a + b)[:width] < (a - b)[:width],
            "choice": pyrtl.select(s, a, b),
            "joined": pyrtl.concat(a, s, b),
            "reversed": pyrtl.concat_list(list(reversed([a[bit] for bit in range(width)]))),
            "wider": a.sign_extended(2 * width),
            "nested": ~(below ^ ~(a & b)),
            "constant": a + pyrtl.Const(1, bitwidth=width),
        }

    block = pyrtl.Block()
    with pyrtl.set_working_block(block, no_sanity_check=True):
        given = {"a": pyrtl.Input(width, "a"), "b": pyrtl.Input(width, "b"), "s": pyrtl.Input(1, "s")}
        widths = {name: len(value) for name, value in logic(given).items()}
    return Leaf(f"operators_{width}", inputs={"a": width, "b": width, "s": 1}, outputs=widths, logic=logic)


def names() -> Leaf:
    """Registers and wires whose names Verilog forbids, or has twice once they are made identifiers."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        total = pyrtl.WireVector(4, "reg")
        total <<= wires["a"] ^ 5
        dotted = pyrtl.Register(4, "a.b", reset_value=9)
        underscored = pyrtl.Register(4, "a_b", reset_value=-2)
        dotted.next <<= total
        underscored.next <<= dotted
        late = pyrtl.Register(4, "late")  # the port's own name
        late.next <<= underscored
        return {"late": late, "t0": total, "out": resize(dotted + underscored, 4)}

    return Leaf("names", inputs={"a": 4}, outputs={"late": 4, "t0": 4, "out": 4}, logic=logic)


def enables() -> Leaf:
    """Registers that keep their value, in every arrangement of multiplexers."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        a, b, p, q = (wires[name] for name in "abpq")
        registers = {name: pyrtl.Register(6, f"r_{name}", reset_value=number) for number, name in enumerate("uvwxyz")}
        u, v, w, x, y, z = registers.values()
        u.next <<= pyrtl.select(p, a, u)
        v.next <<= pyrtl.select(p, v, a)
        w.next <<= pyrtl.select(p, pyrtl.select(q, a, w), pyrtl.select(q, b, w))
        x.next <<= pyrtl.select(p, x, x)
        y.next <<= y
        with pyrtl.conditional_assignment:
            with p & q:
                z.next |= a
            with p:
                z.next |= z + b
            with a == 3:
                z.next |= 1
        return registers

    return Leaf("enables", inputs={"a": 6, "b": 6, "p": 1, "q": 1}, outputs=dict.fromkeys("uvwxyz", 6), logic=logic)


def memories() -> Leaf:
    """Read at once, read into a register with and without enable, two readers, two writers, read-only words."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        a, b, data, write = (wires[name] for name in ("a", "b", "data", "write"))
        single = pyrtl.MemBlock(9, 4, "single", max_read_ports=3, asynchronous=True)
        single[a] <<= pyrtl.MemBlock.EnabledWrite(data, enable=write)
        registered, enabled = pyrtl.Register(9), pyrtl.Register(9)
        registered.next <<= single[b]
        enabled.next <<= pyrtl.select(write, enabled, single[a])
        double = pyrtl.MemBlock(9, 5, max_write_ports=2, asynchronous=True)
        double[pyrtl.concat(a, 0)] <<= pyrtl.MemBlock.EnabledWrite(data, enable=write)
        double[pyrtl.concat(b, 1)] <<= ~data
        address = resize(a + b, 5)
        words = pyrtl.RomBlock(7, 4, [3 * word for word in range(11)], "words", pad_with_zeros=True, asynchronous=True)
        squares = pyrtl.RomBlock(8, 4, lambda address: address * address, asynchronous=True)
        return {
            "now": resize(single[b], 9),
            "registered": registered,
            "enabled": enabled,
            "double": resize(double[address], 9),
            "word": resize(words[a], 7),
            "square": resize(squares[resize(a + b, 4)], 8),
        }

    outputs = {"now": 9, "registered": 9, "enabled": 9, "double": 9, "word": 7, "square": 8}
    return Leaf("memories", inputs={"a": 4, "b": 4, "data": 9, "write": 1}, outputs=outputs, logic=logic)


def element(width: int) -> Leaf:
    """A cell with links both ways, an input of its own and one that all share."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        x, y = pyrtl.Register(width, "x"), pyrtl.Register(width, "y", reset_value=1)
        total = pyrtl.Register(2 * width, "total")
        x.next <<= wires["west"]
        y.next <<= wires["north"] ^ wires["own"]
        total.next <<= pyrtl.select(wires["clear"], 0, add(total, multiply(x, y), 2 * width))
        return {"x": x, "y": y, "total": total, "now": x & wires["own"]}

    return Leaf(
        f"element_{width}",
        inputs={"west": width, "north": width, "own": width, "clear": 1},
        outputs={"x": width, "y": width, "total": 2 * width, "now": width},
        logic=logic,
    )


def grid(width: int, rows: int, columns: int) -> Grid:
    return Grid(
        f"grid_{rows}x{columns}x{width}",
        element(width),
        rows=rows,
        columns=columns,
        east={"west": "x"},
        south={"north": "y"},
        shared=["clear"],
    )


def crossed() -> Grid:
    """One output feeds both neighbours; a register feeds two inputs."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        both = pyrtl.Register(3, "both")
        both.next <<= resize(wires["w"] + wires["n"] + wires["w2"], 3)
        return {"both": both}

    cell = Leaf("crossing", inputs={"w": 3, "n": 3, "w2": 3}, outputs={"both": 3}, logic=logic)
    return Grid("crossed", cell, rows=3, columns=2, east={"w": "both", "w2": "both"}, south={"n": "both"})


def nested() -> Design:
    """A design in a design around a grid, a combinational leaf, a constant, and outputs fed back."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        return {"out": wires["a"] ^ wires["b"]}

    mixer = Leaf("mixer", inputs={"a": 10, "b": 10}, outputs={"out": 10}, logic=logic)
    array = grid(5, 2, 3)
    inner = Design("inner", inputs={"data": Port(5, 2), "clear": 1}, outputs={"totals": Port(10, 6), "x": Port(5, 2)})
    mixed = inner.add("mixed", mixer, a=inner["data"])
    cells = inner.add("cells", array, west=mixed["out"], clear=inner["clear"])
    cells.connect(north=Constant(-3, Port(15)), own=Constant(12345678, Port(30)))
    mixed.connect(b=cells["x"])  # through registers only
    inner.finish(totals=cells["total"], x=cells["x"])
    outer = Design("outer", inputs={"data": 10, "clear": 1}, outputs={"totals": 60, "same": 10, "one": 3})
    part = outer.add("part", inner, data=outer["data"], clear=outer["clear"])
    outer.finish(totals=part["totals"], same=outer["data"], one=Constant(1, Port(3)))
    return outer


def designed_runs() -> list[Run]:
    modules: list[Module] = [operators(width) for width in (1, 2, 7, 33)]
    modules += [names(), enables(), memories(), grid(4, 3, 2), grid(1, 1, 1), grid(1, 1, 3), grid(2, 2, 1)]
    modules += [crossed(), nested(), reserved_ports()]
    return [random_run(module, cycles=200, seed=seed) for seed, module in enumerate(modules)]


def random_runs(number: int, seed: int) -> list[Run]:
    return [
        random_run(random_leaf(f"random_{index}", random.Random(f"{seed}/{index}"), steps=5 + 2 * index), 60, index)
        for index in range(number)
    ]


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("runs", [designed_runs, lambda: random_runs(25, 1)], ids=["designed", "random"])
def test_other_simulators_see_what_pyrtl_sees(judge: str, runs: Callable[[], list[Run]]) -> None:
    drawn = runs()
    judged = JUDGES[judge](drawn)
    for run, outputs in zip(drawn, judged, strict=True):
        assert outputs == pyrtl_outputs(run), run.module.name


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(st.randoms(use_true_random=False), st.integers(3, 30))
def test_any_leaf_reads_the_same_in_icarus(source: random.Random, steps: int) -> None:
    run = random_run(random_leaf("drawn", source, steps=steps), 30, steps)
    assert icarus_outputs([run]) == [pyrtl_outputs(run)]


def test_random_leaves_use_every_operator() -> None:
    used = {net.op for run in random_runs(25, 1) for net in run.module.block.logic}  # type: ignore[attr-defined]
    assert used == set("w~&|^n+-*<>=xcsrm@")


def test_yosys_finds_nothing_to_say() -> None:
    check_netlist([run.module for run in designed_runs() + random_runs(25, 1)])


def test_a_combinational_loop_through_two_modules_is_found() -> None:
    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        return {"y": wires["x"] ^ 1, "z": wires["x"]}

    half = Leaf("half", inputs={"x": 2}, outputs={"y": 2, "z": 2}, logic=logic)
    loop = Design("loop", inputs={}, outputs={"out": 2})
    first = loop.add("first", half)
    second = loop.add("second", half, x=first["y"])
    first.connect(x=second["z"])
    loop.finish(out=first["y"])
    with pytest.raises(SynthesisError, match="found logic loop"):
        check_netlist([loop])


PROGRAM = """
import random
from random_leaves import random_leaf
from dynamap_rtl.hardware.verilog import verilog_text
print(*(verilog_text(random_leaf("leaf", random.Random(seed), steps=60)) for seed in range(5)))
"""


def test_every_process_writes_the_same_text() -> None:
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    noises = ["", "import pyrtl; pyrtl.Const(1) + pyrtl.Const(2)", "kept = [object()] * 9"]
    texts = {
        subprocess.run(
            [sys.executable, "-c", noise + PROGRAM],
            check=True, capture_output=True, env={"PYTHONPATH": path, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed, noise in enumerate(noises)
    }  # fmt: skip
    assert len(texts) == 1


def test_one_file_for_each_module_and_the_top_last() -> None:
    files = verilog_of(nested())
    assert list(files) == ["mixer.v", "element_5.v", "grid_2x3x5.v", "inner.v", "outer.v"]
    for name, text in files.items():
        assert text.count("endmodule") == 1
        assert f"module {name.removesuffix('.v')} (" in text
    assert verilog_text(nested()) == "\n".join(files.values())


def test_registers_keep_names_and_initial_values_and_get_clock_enables() -> None:
    text = verilog_text(enables())
    assert "reg [5:0] r_v = 6'd1;" in text
    assert "if (p)\n            r_u <= a;" in text
    assert "if (~p)\n            r_v <= a;" in text
    assert text.count("always @(posedge clock)") == 1


def test_signed_products_are_written_signed_at_their_own_width() -> None:
    text = verilog_text(operators(7))
    assert "$signed(a) * $signed(b)" in text
    assert "$signed(a) * $signed({1'b0, b})" in text
    assert "a * b" in text


def test_a_module_without_state_has_no_clock() -> None:
    files = verilog_of(nested())
    assert "clock" not in files["mixer.v"]
    assert all("input wire  clock" in text for name, text in files.items() if name != "mixer.v")


def reserved_ports() -> Design:
    """Ports whose names Verilog reserves, or that would be taken by those with a dash behind; at every level."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        held = pyrtl.Register(3, "held")
        held.next <<= wires["signed"] ^ wires["signed_"]
        return {"always": held, "end": held ^ wires["event"]}

    cell = Leaf(
        "reserved_cell", inputs={"signed": 3, "signed_": 3, "event": 3}, outputs={"always": 3, "end": 3}, logic=logic
    )
    cells = Grid("reserved_cells", cell, rows=2, columns=2, east={"signed": "always"}, shared=["event"])
    inputs = {"signed": Port(3, 2), "signed_": Port(3, 4), "event": 3}
    top = Design("reserved_ports", inputs=inputs, outputs={"always": Port(3, 2), "end": Port(3, 4), "wire": 3})
    part = top.add("case", cells, **{name: top[name] for name in inputs})
    return top.finish(always=part["always"], end=part["end"], wire=top["event"])


def test_reserved_port_names_get_a_dash_that_no_other_port_has() -> None:
    assert port_names(reserved_ports()) == {
        "signed": "signed__",
        "signed_": "signed_",
        "event": "event_",
        "always": "always_",
        "end": "end_",
        "wire": "wire_",
    }


@pytest.mark.parametrize(("module", "port"), [("wire", "a"), ("schön", "a"), ("fine", "größe")])
def test_names_that_verilog_has_no_letters_for_are_refused(module: str, port: str) -> None:
    leaf = Leaf(module, inputs={port: 1}, outputs={"out": 1}, logic=lambda wires: {"out": wires[port]})
    with pytest.raises(HardwareError, match="rename"):
        verilog_of(leaf)
