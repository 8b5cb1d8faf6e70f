"""The compiled simulator computes what PyRTL's computes: every operator, width, memory, grid and design."""

from __future__ import annotations

import pyrtl
import pytest

from compiled_agreement import agree
from dynamap_rtl.hardware import Constant, Design, Grid, Leaf, Port, multiply

WIDTHS = [1, 8, 9, 31, 32, 33, 63, 64, 65, 128, 129]


pytestmark = pytest.mark.usefixtures("cache")


def everything(width: int) -> Leaf:
    """All operators on two inputs and two registers of a width."""

    def logic(i):
        a, b, s = i["a"], i["b"], i["s"]
        r = pyrtl.Register(width, "r", reset_value=2**width - 2 if width > 1 else 1)
        q = pyrtl.Register(width, "q")
        r.next <<= pyrtl.select(s, a, (r + b)[:width])
        q.next <<= (a ^ r)[:width]
        total, difference, product = a + r, a - r, q * b
        halves = pyrtl.concat(a, b, s, r)
        low = halves[: max(1, width // 2)]
        odd = halves[1::2]
        back = a[::-1]
        return {
            "o_and": a & r,
            "o_or": a | q,
            "o_xor": a ^ b,
            "o_nand": a.nand(r),
            "o_not": ~q,
            "o_add": total,
            "o_sub": difference,
            "o_add_registers": r + q,
            "o_mul_registers": r * q,
            "o_not_wide": ~r.zero_extended(width + 9),
            "o_mul": product,
            "o_low": product[:width],
            "o_sum_low": (a + b - r)[:width],
            "o_lt": r < a,
            "o_gt": r > b,
            "o_eq": a == b,
            "o_same": (a ^ a) == 0,
            "o_any": pyrtl.or_all_bits(pyrtl.concat(a, s)),
            "o_all": pyrtl.and_all_bits(a | r),
            "o_odd_ones": pyrtl.xor_all_bits(b),
            "o_mux": pyrtl.select(s, q, r),
            "o_cat": halves,
            "o_part": low,
            "o_odd": odd,
            "o_back": back,
            "o_sext": a.sign_extended(width + 70),
            "o_sext_product": multiply(a, r),
            "o_const": pyrtl.concat(pyrtl.Const(5, 67), a, pyrtl.Const(1, 2)),
        }

    product = 2 * width
    return Leaf(
        f"everything_{width}",
        inputs={"a": width, "b": width, "s": 1},
        outputs={
            **dict.fromkeys(("o_and", "o_or", "o_xor", "o_nand", "o_not", "o_low", "o_mux", "o_back"), width),
            **dict.fromkeys(("o_add", "o_sub", "o_add_registers"), width + 1),
            **dict.fromkeys(("o_lt", "o_gt", "o_eq", "o_same", "o_any", "o_all", "o_odd_ones"), 1),
            **dict.fromkeys(("o_mul", "o_mul_registers", "o_sext_product"), product),
            "o_not_wide": width + 9,
            "o_sum_low": width,
            "o_cat": 3 * width + 1,
            "o_part": max(1, width // 2),
            "o_odd": (3 * width + 1) // 2,
            "o_sext": width + 70,
            "o_const": width + 69,
        },
        logic=logic,
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_every_operator_at_a_width(width):
    assert agree(everything(width), cycles=12, seed=width) > 40


@pytest.mark.parametrize("width", [1, 32, 33, 70])
def test_every_operator_in_the_cells_of_a_grid(width):
    cell = everything(width)
    grid = Grid(f"grid_{width}", cell, rows=2, columns=3, shared=("s",))
    agree(grid, cycles=12, seed=width)


def memory_leaf(width: int, address: int) -> Leaf:
    def logic(i):
        memory = pyrtl.MemBlock(width, address, "memory", max_read_ports=None, asynchronous=True)
        rom = pyrtl.RomBlock(
            width,
            address,
            [(k * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**width for k in range(2**address)],
            "rom",
            max_read_ports=None,
            asynchronous=True,
        )
        where = pyrtl.Register(address, "where")
        where.next <<= i["read"]
        memory[i["write"]] <<= pyrtl.MemBlock.EnabledWrite(i["data"], i["enable"])
        read = pyrtl.Register(width, "read_data")
        read.next <<= memory[i["read"]]
        return {"now": memory[where], "before": read, "rom": rom[where] ^ rom[i["read"]]}

    return Leaf(
        f"memory_{width}_{address}",
        inputs={"read": address, "write": address, "data": width, "enable": 1},
        outputs={"now": width, "before": width, "rom": width},
        logic=logic,
    )


@pytest.mark.parametrize("width", [1, 8, 9, 17, 33, 64, 65, 200])
def test_memories_and_roms(width):
    agree(memory_leaf(width, 3), cycles=80, seed=width)


@pytest.mark.parametrize("width", [5, 32, 48, 90])
def test_memories_in_cells(width):
    cell = memory_leaf(width, 2)
    grid = Grid(f"memories_{width}", cell, rows=2, columns=2, shared=("enable", "write"))
    agree(grid, cycles=40, seed=width)


def processing_element(width: int, total: int) -> Leaf:
    def logic(i):
        a, b, acc, drain = (
            pyrtl.Register(n, x) for x, n in (("a", width), ("b", width), ("acc", total), ("drain", total))
        )
        first = pyrtl.Register(1, "first", reset_value=1)
        a.next <<= i["a_in"]
        b.next <<= i["b_in"]
        first.next <<= i["first_in"]
        product = multiply(a, b).sign_extended(total) if 2 * width < total else multiply(a, b)[:total]
        acc.next <<= (pyrtl.select(first, pyrtl.Const(0, total), acc) + product)[:total]
        drain.next <<= pyrtl.select(first, acc, i["drain_in"])
        return {
            "a_out": a,
            "b_out": b,
            "first_out": first,
            "drain_out": drain,
            "busy": first | i["enable"],
            "zero": acc == 0,
        }

    return Leaf(
        f"pe_{width}_{total}",
        inputs={"a_in": width, "b_in": width, "first_in": 1, "drain_in": total, "enable": 1},
        outputs={"a_out": width, "b_out": width, "first_out": 1, "drain_out": total, "busy": 1, "zero": 1},
        logic=logic,
    )


def array(rows: int, columns: int, width: int = 9, total: int = 32) -> Grid:
    return Grid(
        f"array_{rows}x{columns}_{width}_{total}",
        processing_element(width, total),
        rows=rows,
        columns=columns,
        east={"a_in": "a_out", "first_in": "first_out"},
        south={"b_in": "b_out", "drain_in": "drain_out"},
    )


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 7), (7, 1), (3, 4), (2, 17)])
def test_arrays_of_every_shape(rows, columns):
    agree(array(rows, columns), cycles=40, seed=rows * 100 + columns)


@pytest.mark.parametrize(("width", "total"), [(4, 8), (8, 32), (18, 48), (33, 70), (40, 33)])
def test_arrays_of_every_width(width, total):
    agree(array(2, 3, width, total), cycles=30, seed=width)


def test_one_register_linked_in_two_directions_and_twice_in_one():
    def logic(i):
        r = pyrtl.Register(6, "r", reset_value=5)
        r.next <<= (i["west"] + i["other"] + i["north"] + i["second"])[:6]
        return {"out": r, "again": r}

    cell = Leaf(
        "both",
        inputs=dict.fromkeys(("west", "other", "north", "second"), 6),
        outputs={"out": 6, "again": 6},
        logic=logic,
    )
    grid = Grid(
        "linked",
        cell,
        rows=3,
        columns=3,
        east={"west": "out", "other": "out"},
        south={"north": "again", "second": "again"},
    )
    agree(grid, cycles=30)


def feedback() -> Design:
    """Two grids in a circle through logic that is outside, with a combinational output of one in between."""
    design = Design("feedback", inputs={"seed": 27, "go": 1}, outputs={"sum": 96, "busy": 12})
    pes = array(3, 4)
    mixer = Leaf(
        "mixer",
        inputs={"drained": 128, "seed": 27},
        outputs={"left": 27, "top": 36, "flags": 3, "drain": 128},
        logic=lambda i: {
            "left": i["drained"][5:32] ^ i["seed"],
            "top": (i["drained"][64:100] + i["drained"][28:64])[:36],
            "flags": pyrtl.concat(i["seed"][0], i["drained"][3], i["drained"][127]),
            "drain": ~i["drained"],
        },
    )
    first = design.add("pes", pes)
    mix = design.add("mix", mixer, drained=first["drain_out"], seed=design["seed"])
    second = design.add("more", pes, a_in=mix["left"], b_in=mix["top"], first_in=mix["flags"], drain_in=mix["drain"])
    gate = Leaf(
        "gate",
        inputs={"busy": 12, "go": 1},
        outputs={"enables": 12},
        logic=lambda i: {"enables": pyrtl.concat_list([i["busy"][k] & i["go"] for k in range(12)])},
    )
    gates = design.add("gates", gate, go=design["go"], busy=second["zero"])
    second.connect(enable=gates["enables"])
    again = design.add("again", gate, go=design["go"], busy=second["busy"])  # logic of second's input, back into a grid
    first.connect(
        a_in=mix["left"],
        b_in=second["b_out"],
        first_in=second["first_out"],
        drain_in=second["drain_out"],
        enable=again["enables"],
    )
    tail = Leaf(
        "tail", inputs={"x": 128}, outputs={"sum": 96}, logic=lambda i: {"sum": (i["x"][:95] + i["x"][33:])[:96]}
    )
    end = design.add("end", tail, x=second["drain_out"])
    return design.finish(sum=end["sum"], busy=first["busy"])


def test_designs_with_feedback_through_grids():
    assert agree(feedback(), cycles=60) > 600


def test_cells_that_are_designs_with_grids_inside():
    inner = array(2, 2, 4, 12)
    cell = Design("tile", inputs={"x": 8, "y": 8, "z": 24, "f": 2}, outputs={"x_out": 8, "sum": 24, "flags": 4})
    shift = Leaf(
        "hold",
        inputs={"x": 8},
        outputs={"y": 8},
        logic=lambda i: {"y": held(i["x"])},
    )

    def held(value):
        register = pyrtl.Register(len(value), "held")
        register.next <<= value
        return register

    one = Constant(0b1010, Port(4))
    pes = cell.add("pes", inner, a_in=cell["x"], b_in=cell["y"], first_in=cell["f"], drain_in=cell["z"], enable=one)
    hold = cell.add("hold", shift, x=cell["x"])
    cell.finish(x_out=hold["y"], sum=pes["drain_out"], flags=pes["busy"])
    grid = Grid("tiles", cell, rows=2, columns=3, east={"x": "x_out"}, shared=("f",))
    top = Design("top", inputs={"x": 16, "y": 48, "z": 144, "f": 2}, outputs={"sum": 144})
    tiles = top.add("tiles", grid, x=top["x"], y=top["y"], z=top["z"], f=top["f"])
    agree(top.finish(sum=tiles["sum"]), cycles=25)
