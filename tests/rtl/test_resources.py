"""The estimate of resources: rules of the fabric by themselves, and Yosys as the judge of small units."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyrtl
import pytest

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.estimation.comparison import comparison
from dynamap_rtl.estimation.hard_blocks import memory_blocks, product_slices
from dynamap_rtl.hardware import Design, Grid, Leaf, Module, delayed, multiply
from dynamap_rtl.overlay_circuit import overlay_circuit
from dynamap_rtl.resources import ResourceEstimate, estimate, instance_counts
from dynamap_rtl.synthesis import synthesize
from dynamap_rtl.units.pe import ElementParameters, processing_element
from dynamap_rtl.units.queue import queue
from dynamap_rtl.units.turn_buffer import BufferKind, TurnBufferParameters, turn_buffer

Wires = Mapping[str, pyrtl.WireVector]


def leaf(result: Callable[[Wires], pyrtl.WireVector], width: int, **inputs: int) -> Leaf:
    """A leaf with one output."""
    return Leaf("one_output", inputs=inputs, outputs={"out": width}, logic=lambda wires: {"out": result(wires)})


def counted(result: Callable[[Wires], pyrtl.WireVector], width: int, **inputs: int) -> tuple[int, int, int, int]:
    found = estimate(leaf(result, width, **inputs))
    return found.dsp, found.lut, found.ff, found.bram


@pytest.mark.parametrize(
    "module",
    [
        processing_element(ElementParameters()),
        turn_buffer(TurnBufferParameters(lanes=4, width=9, depth=2048, transfer=2, kind=BufferKind.OPERAND)),
        queue(width=40, depth=16),
    ],
    ids=lambda module: module.name,
)
def test_small_units_are_estimated_within_a_fifth_of_what_synthesis_makes(module: Module) -> None:
    guess, made = estimate(module), synthesize(module)
    assert guess.dsp == made.dsp
    assert guess.bram == 2 * made.bram
    assert guess.lut == pytest.approx(made.lut, rel=0.2)
    assert guess.ff == pytest.approx(made.ff, rel=0.02)


def test_the_comparison_is_a_table_with_the_deviation_in_percent() -> None:
    wide = leaf(lambda wires: (wires["a"] + wires["b"])[:16], 16, a=16, b=16)
    assert comparison([wide]).splitlines()[2] == "| `one_output` | 0 / 0 | 16 / 16 | 0 / 0 | 0 / 0 |"


def test_a_multiplexer_before_an_adder_shares_its_tables() -> None:
    def logic(wires: Wires) -> pyrtl.WireVector:
        return (wires["a"] + pyrtl.select(wires["s"], wires["b"], wires["c"]))[:20]

    assert counted(logic, 20, a=20, b=20, c=20, s=1) == (0, 20, 0, 0)


def test_a_tree_of_multiplexers_takes_a_table_for_four_inputs() -> None:
    def logic(wires: Wires) -> pyrtl.WireVector:
        return pyrtl.mux(wires["s"], *(wires["d"][8 * part : 8 * part + 8] for part in range(4)))

    assert counted(logic, 8, s=2, d=32) == (0, 8, 0, 0)


def test_a_register_that_keeps_its_value_has_an_enable_and_no_table() -> None:
    def logic(wires: Wires) -> pyrtl.WireVector:
        register = pyrtl.Register(12, "kept")
        register.next <<= pyrtl.select(wires["take"], wires["data"], register)
        return register

    assert counted(logic, 12, take=1, data=12) == (0, 0, 12, 0)


def test_constant_duplicate_and_unused_bits_of_registers_are_removed() -> None:
    def logic(wires: Wires) -> pyrtl.WireVector:
        extended = delayed(delayed(wires["a"].sign_extended(12), 1, "first"), 1, "second")
        zero = delayed(wires["a"] & 0, 1, "zero")
        unused = pyrtl.Register(30, "unused")
        unused.next <<= unused + 1
        return pyrtl.concat(zero, extended)

    assert counted(logic, 16, a=4) == (0, 0, 8, 0)


def test_three_registers_in_a_row_are_a_shift_register_two_are_not() -> None:
    def of(cycles: int) -> tuple[int, int, int, int]:
        return counted(lambda wires: delayed(wires["a"], cycles, "later"), 5, a=5)

    assert of(2) == (0, 0, 10, 0)
    assert of(3) == (0, 5, 0, 0)
    assert of(40) == (0, 10, 0, 0)


def test_a_word_read_into_a_register_is_block_ram_with_the_register_inside() -> None:
    def logic(wires: Wires) -> pyrtl.WireVector:
        memory = pyrtl.MemBlock(18, 10, "words", asynchronous=True)
        memory[wires["to"]] <<= pyrtl.MemBlock.EnabledWrite(wires["data"], enable=wires["write"])
        word = memory[wires["at"]]
        return delayed(word, 1, "held") if len(wires) == 4 else word

    ports = {"to": 10, "at": 10, "data": 18, "write": 1}
    assert counted(logic, 18, **ports) == (0, 0, 0, 1)
    read_at_once = estimate(leaf(logic, 18, **ports, other=1))
    assert read_at_once.bram == 0
    assert read_at_once.lut > 18 * 1024 // 64


@pytest.mark.parametrize(
    ("width", "words", "bram"),
    [
        (36, 512, 1),
        (18, 1024, 1),
        (9, 2048, 1),
        (9, 4096, 2),
        (36, 1024, 2),
        (48, 1024, 3),
        (72, 512, 2),
        (1, 16384, 1),
    ],
)
def test_block_ram_has_the_widths_and_depths_of_the_device(width: int, words: int, bram: int) -> None:
    found = memory_blocks(width=width, words=words, reads=1, registered=True)
    assert (found.bram, found.lut) == (bram, 0)


def test_small_memories_are_tables_fourteen_bits_wide_or_seven() -> None:
    assert memory_blocks(width=28, words=32, reads=1, registered=True).lut == 16
    assert memory_blocks(width=28, words=64, reads=1, registered=False).lut == 32


@pytest.mark.parametrize(
    ("left", "right", "slices"), [(9, 9, 1), (16, 18, 1), (18, 27, 1), (28, 18, 2), (19, 28, 2), (2, 3, 0)]
)
def test_products_wider_than_a_slice_are_cut(left: int, right: int, slices: int) -> None:
    product = counted(lambda wires: multiply(wires["a"], wires["b"]), left + right, a=left, b=right)
    assert product[0] == slices == product_slices(left, right, left + right)[0]


def test_the_cells_of_grids_in_designs_are_all_counted() -> None:
    cell = leaf(lambda wires: delayed(wires["a"], 1, "out"), 6, a=6)
    grid = Grid("cells", cell, rows=3, columns=5, east={"a": "out"})
    design = Design("both", inputs={"a": 18, "b": 18}, outputs={"c": 18, "d": 18})
    parts = [design.add(name, grid, a=design[name]) for name in "ab"]
    design.finish(c=parts[0]["out"], d=parts[1]["out"])
    assert instance_counts(design) == {"both": 1, "cells": 2, "one_output": 30}
    assert estimate(design) == ResourceEstimate(dsp=0, lut=0, ff=180, bram=0)


def test_every_element_of_a_whole_overlay_has_one_slice() -> None:
    found = [estimate(overlay_circuit(CircuitParameters(rows=rows, columns=4))) for rows in (4, 8)]
    assert found[1].dsp - found[0].dsp == 16
    assert found[1].lut - found[0].lut > 16 * 60
    assert found[1].ff - found[0].ff > 16 * 119
