"""The page on the overlay: its files exist, its parameters are those there are, its formulas those of the code."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pictures
import pytest

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.load_pattern import LoaderParameters
from dynamap_rtl.overlay_circuit import (
    channel_parameters,
    finisher_parameters,
    gemm_parameters,
    left_parameters,
    overlay_circuit,
    result_parameters,
    storer_parameters,
    top_parameters,
)
from dynamap_rtl.parameters import OverlayError
from dynamap_rtl.pipeline import LANE_LATENCY, TOP_SKEW
from dynamap_rtl.store_pattern import Store, store_cycles
from dynamap_rtl.units.channel_memory import channel_load_cycles
from dynamap_rtl.units.finisher import finish_cycles

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "overlay.md").read_text(encoding="utf-8")
PARAMETERS = re.findall(r"^\| `(\w+)` \|(?: (\w+))? \| (\d+)(?: to |, )(\d+) \| [^|]+ \|$", PAGE, re.MULTILINE)


def circuit(**sizes: int) -> CircuitParameters:
    return CircuitParameters(**{"rows": 4, "columns": 4, **sizes})


def test_the_parameters_are_those_there_are() -> None:
    assert [name for name, *_ in PARAMETERS] == [field.name for field in fields(CircuitParameters)]
    defaults = {field.name: field.default for field in fields(CircuitParameters)}
    for name, default, _, _ in PARAMETERS:
        written = {"": MISSING, "none": ()}.get(default.strip()) if not default.strip().isdigit() else int(default)
        assert written == defaults[name]


@pytest.mark.parametrize(("name", "low", "high"), [row[:1] + row[2:] for row in PARAMETERS if row[0] != "winograd"])
def test_a_parameter_has_its_range_and_no_more(name: str, low: str, high: str) -> None:
    circuit(**{name: int(low)})
    circuit(**{name: int(high)})
    for beyond in (int(low) - 1, 2 * int(high)):
        with pytest.raises(OverlayError, match=name):
            circuit(**{name: beyond})


def test_every_file_named_is_there() -> None:
    named = set(re.findall(r"`((?:units|program)/\w+\.py)`", PAGE))
    assert len(named) >= 4
    units = re.findall(r"^\| `(\w+\.py)` \|", PAGE, re.MULTILINE)
    assert len(units) == 10
    paths = [*named, *(f"units/{name}" for name in units)]
    assert [path for path in paths if not (ROOT / "rtl" / "dynamap_rtl" / path).exists()] == []
    tests = re.findall(r"`(rtl/(?:test_\w+\.py)?)`", PAGE)
    assert [path for path in tests if not (ROOT / "tests" / path).exists()] == []


def rotation(lanes: int) -> int:
    return max(1, -(-(lanes - 1).bit_length() // 3))


@pytest.mark.parametrize(("rows", "columns", "port"), [(1, 1, 1), (4, 9, 6), (92, 66, 64), (16, 128, 16)])
def test_latencies_are_those_of_the_code(rows: int, columns: int, port: int) -> None:
    sizes = circuit(rows=rows, columns=columns, dram_bytes_per_cycle=port, dram_latency_cycles=11)
    read = max(rotation(rows), rotation(columns)) + 3
    assert sizes.read_latency == read
    assert gemm_parameters(sizes).pipeline_cycles == read + 7
    assert TOP_SKEW + LANE_LATENCY == 4
    for operand, lanes in ((left_parameters(sizes), rows), (top_parameters(sizes), columns)):
        loader: LoaderParameters = operand.loader
        assert loader.set_up - 1 == 6 + 11 + -(-(port - 1).bit_length() // 3)
        assert operand.buffer.read_latency == rotation(lanes) + 3
        assert operand.buffer.write_to_read == rotation(lanes) + 1
    results = result_parameters(sizes)
    assert (results.read_latency, results.write_to_read) == (rotation(columns) + 4, rotation(columns))
    one = Store(address=0, row_pitch=1, pixel_pitch=1, columns=1, pixels=1, channels=1)
    assert store_cycles(one, storer_parameters(sizes)) == 1 + rotation(columns) + 5 + 11
    assert finish_cycles(5, finisher_parameters(sizes)) == 5 + 2 + 7
    assert channel_load_cycles(5, channel_parameters(sizes), 11) == 1 + 11 + 1 + 5 * -(-8 // port)


@pytest.mark.parametrize("name", ["overlay-blocks", "tile-switch-ns", "tile-switch-ws", "occupancy"])
def test_a_picture_can_still_be_drawn_from_the_circuit(name: str) -> None:
    # Drawing checks boxes against instances, arrows against wires, and waves against the product.
    assert pictures.PICTURES[name]().axes


def test_a_box_or_an_arrow_that_is_not_in_the_circuit_is_found() -> None:
    top = overlay_circuit(circuit(winograd=(2,), sum_width=48))
    with pytest.raises(KeyError):
        pictures.inside(top, "engine.nobody")
    assert pictures.is_wired(top, "left.transform", "left.buffer")
    assert not pictures.is_wired(top, "storer", "router")
    assert not pictures.is_wired(top, "left", "channels")
