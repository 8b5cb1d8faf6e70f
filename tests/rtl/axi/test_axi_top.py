"""The AXI top level as a product: Verilog, attributes, component description, page and folder say the same."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

from dynamap_rtl.axi.component import COMPONENT_FILE
from dynamap_rtl.axi.overlay import AxiOverlay
from dynamap_rtl.axi.registers import REGISTERS, constants
from dynamap_rtl.axi.shell import axi_shell
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.design_folder import Shell
from dynamap_rtl.parameters import OverlayError
from dynamap_rtl.rotation import rotator_latency
from dynamap_rtl.synthesis import check_verilog

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reference" / "axi.md").read_text(encoding="utf-8")
SIZES = {"left_depth": 64, "top_depth": 64, "accumulator_depth": 32, "result_depth": 64, "channel_words": 4}
EVEN = AxiOverlay(circuit=CircuitParameters(rows=2, columns=2, dram_bytes_per_cycle=8, **SIZES))
ODD = AxiOverlay(circuit=CircuitParameters(rows=2, columns=3, dram_bytes_per_cycle=6, **SIZES), address_width=40)
SPIRIT = "{http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009}"

#: What AXI4 and AXI4-Lite have of signals, by channel; those that drive a master's side of it first.
AXI4 = {
    "aw": "id addr len size burst lock cache prot qos valid / ready",
    "w": "data strb last valid / ready",
    "b": "ready / id resp valid",
    "ar": "id addr len size burst lock cache prot qos valid / ready",
    "r": "ready / id data resp last valid",
}
LITE = {
    "aw": "addr prot valid / ready",
    "w": "data strb valid / ready",
    "b": "ready / resp valid",
    "ar": "addr prot valid / ready",
    "r": "ready / data resp valid",
}


def expected_signals(name: str) -> dict[str, str]:
    """Every signal of an interface -> direction at the top level."""
    table = LITE if name == "s_axi" else {c: AXI4[c] for c in AXI4 if name != "m_axi_program" or c in ("ar", "r")}
    ways = ("in", "out") if name == "s_axi" else ("out", "in")
    return {
        f"{channel}{signal}": way
        for channel, text in table.items()
        for way, part in zip(ways, text.split("/"), strict=True)
        for signal in part.split()
    }


@cache
def shell(top: AxiOverlay) -> Shell:
    return axi_shell(top)


@pytest.fixture(scope="module", params=[EVEN, ODD], ids=["even", "odd"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[AxiOverlay, Path]:
    """What the shell puts into a design's folder."""
    top: AxiOverlay = request.param
    place = tmp_path_factory.mktemp("axi")
    (place / "rtl").mkdir()
    for name, words in {
        **{f"rtl/{name}": words for name, words in shell(top).verilog.items()},
        **shell(top).files,
    }.items():
        (place / name).write_text(words)
    return top, place


def component(place: Path) -> ET.Element:
    return ET.parse(place / COMPONENT_FILE).getroot()  # noqa: S314 - our own file


def text(element: ET.Element, path: str) -> str:
    found = element.find("/".join(SPIRIT + step for step in path.split("/")))
    assert found is not None, path
    assert found.text is not None, path
    return found.text


def every(element: ET.Element, path: str) -> list[ET.Element]:
    return element.findall("/".join(SPIRIT + step for step in path.split("/")))


def verilog_ports(source: str) -> dict[str, tuple[str, int]]:
    """Direction and bits of every port, read from the text."""
    rows = re.findall(r"^    (input|output) wire +(?:\[(\d+):0\] )?(\w+),?$", source, re.MULTILINE)
    return {name: (way.removesuffix("put"), int(high or 0) + 1) for way, high, name in rows}


def test_the_component_has_the_ports_of_the_verilog(folder: tuple[AxiOverlay, Path]) -> None:
    top, place = folder
    described = {
        text(port, "name"): (
            text(port, "wire/direction"),
            int(text(port, "wire/vector/left")) + 1 if every(port, "wire/vector") else 1,
        )
        for port in every(component(place), "model/ports/port")
    }
    assert described == verilog_ports((place / "rtl" / f"{top.name}.v").read_text())
    assert len(described) == 76
    assert text(component(place), "name") == top.name


def test_interfaces_are_whole_and_every_port_is_in_one(folder: tuple[AxiOverlay, Path]) -> None:
    top, place = folder
    ports = verilog_ports((place / "rtl" / f"{top.name}.v").read_text())
    left = set(ports)
    buses = {text(bus, "name"): bus for bus in every(component(place), "busInterfaces/busInterface")}
    assert set(buses) == {"s_axi", "m_axi_program", "m_axi_data", "aclk", "aresetn", "interrupt"}
    for name, bus in buses.items():
        maps = {
            text(entry, "logicalPort/name"): text(entry, "physicalPort/name")
            for entry in every(bus, "portMaps/portMap")
        }
        left -= set(maps.values())
        assert bool(every(bus, "slave")) == (name in ("s_axi", "aclk", "aresetn"))
        if "axi" in name:
            assert maps == {signal.upper(): f"{name}_{signal}" for signal in expected_signals(name)}
            assert {logical: ports[port][0] for logical, port in maps.items()} == {
                signal.upper(): way for signal, way in expected_signals(name).items()
            }
    assert left == set()
    clock = {text(entry, "name"): text(entry, "value") for entry in every(buses["aclk"], "parameters/parameter")}
    assert clock == {"ASSOCIATED_BUSIF": "s_axi:m_axi_program:m_axi_data", "ASSOCIATED_RESET": "aresetn"}


def test_widths_are_those_of_the_parameters(folder: tuple[AxiOverlay, Path]) -> None:
    top, place = folder
    ports = verilog_ports((place / "rtl" / f"{top.name}.v").read_text())
    for bus, data in (("m_axi_program", 16), ("m_axi_data", 8)):
        assert ports[f"{bus}_rdata"][1] == 8 * data
        assert ports[f"{bus}_araddr"][1] == top.address_width
    assert (ports["m_axi_data_wdata"][1], ports["m_axi_data_wstrb"][1]) == (64, 8)
    assert (ports["s_axi_rdata"][1], ports["s_axi_wstrb"][1]) == (32, 4)
    for bus in every(component(place), "busInterfaces/busInterface"):
        values = {text(entry, "name"): text(entry, "value") for entry in every(bus, "parameters/parameter")}
        if "DATA_WIDTH" in values:
            name = text(bus, "name")
            assert int(values["DATA_WIDTH"]) == ports[f"{name}_rdata"][1]
            assert int(values["ADDR_WIDTH"]) == ports[f"{name}_araddr"][1]


def test_attributes_say_what_the_component_says(folder: tuple[AxiOverlay, Path]) -> None:
    top, place = folder
    source = (place / "rtl" / f"{top.name}.v").read_text()
    infos = re.findall(
        r'X_INTERFACE_INFO = "xilinx\.com:(\w+:\w+):1\.0 (\w+) (\w+)" \*\)\n'
        r'(?:    \(\* X_INTERFACE_PARAMETER = "([^"]+)" \*\)\n)?'
        r"    (?:input|output) wire +(?:\[\d+:0\] )?(\w+)",
        source,
    )
    assert len(infos) == len(verilog_ports(source))
    for bus in every(component(place), "busInterfaces/busInterface"):
        name, kind = text(bus, "name"), every(bus, "busType")[0].attrib
        mine = [info for info in infos if info[1] == name]
        assert {info[0] for info in mine} == {f"{kind[SPIRIT + 'library']}:{kind[SPIRIT + 'name']}"}
        assert {info[2]: info[4] for info in mine} == {
            text(entry, "logicalPort/name"): text(entry, "physicalPort/name")
            for entry in every(bus, "portMaps/portMap")
        }
        (given,) = (info[3] for info in mine if info[3])
        parameters = dict(part.split(" ", 1) for part in given.split(", "))
        assert parameters.pop("XIL_INTERFACENAME", name) == name
        assert parameters == {text(entry, "name"): text(entry, "value") for entry in every(bus, "parameters/parameter")}


def test_the_component_has_the_register_map(folder: tuple[AxiOverlay, Path]) -> None:
    top, place = folder
    words = constants(top.circuit, address_width=top.address_width)
    assert shell(top).summary["fingerprint"] == words["FINGERPRINT"]
    described = every(component(place), "memoryMaps/memoryMap/addressBlock/register")
    assert [text(entry, "name") for entry in described] == [entry.name for entry in REGISTERS]
    for entry, register in zip(described, REGISTERS, strict=True):
        assert int(text(entry, "addressOffset"), 16) == register.offset
        assert int(text(entry, "reset/value"), 16) == words.get(register.name, 0)
        fields = [(text(f, "name"), int(text(f, "bitOffset")), int(text(f, "bitWidth"))) for f in every(entry, "field")]
        assert fields == [(field.name, field.low, field.width) for field in register.fields]


def test_the_component_names_every_file_and_only_files_that_are_there(folder: tuple[AxiOverlay, Path]) -> None:
    top, place = folder
    there = sorted(path.relative_to(place).as_posix() for path in (place / "rtl").iterdir())
    for group in every(component(place), "fileSets/fileSet"):
        listed = [text(entry, "name") for entry in every(group, "file")]
        assert sorted(listed) == there
        assert listed[-1] == f"rtl/{top.name}.v"
    sets = {text(group, "name") for group in every(component(place), "fileSets/fileSet")}
    views = every(component(place), "model/views/view")
    assert {text(view, "fileSetRef/localName") for view in views} == sets
    assert {text(view, "modelName") for view in views} == {top.name}


def test_the_same_overlay_gives_the_same_bytes_and_another_one_another_name() -> None:
    again = axi_shell(AxiOverlay(circuit=EVEN.circuit))
    assert (again.verilog, again.files) == (shell(EVEN).verilog, shell(EVEN).files)
    assert shell(ODD).top != again.top


def test_yosys_finds_no_latch_no_loop_and_nothing_to_warn_of() -> None:
    # One with W = D is read in test_cli_hardware.py, as ``dynamap generate`` writes it.
    check_verilog(shell(ODD).verilog, [ODD.name])


def test_what_has_no_axi_is_refused() -> None:
    with pytest.raises(
        OverlayError, match="an AXI4 data bus has at most 128 bytes, the overlay's memory ports have 130"
    ):
        AxiOverlay(circuit=CircuitParameters(rows=2, columns=2, dram_bytes_per_cycle=130))
    for width in (31, 65):
        with pytest.raises(OverlayError, match=f"an AXI address has 32 to 64 bits, not {width}"):
            AxiOverlay(circuit=EVEN.circuit, address_width=width)


# The page


def test_the_page_has_the_register_map() -> None:
    rows = re.findall(r"^\| 0x(\w\w) \| (\w+) \| ([\d-]+) \| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    bits = {
        (register.name, field.name): str(field.low)
        if field.width == 1
        else f"{field.low + field.width - 1}-{field.low}"
        for register in REGISTERS
        for field in register.fields
    }
    assert rows == [
        (
            f"{register.offset:02X}",
            register.name,
            bits[register.name, field.name],
            field.name,
            field.access.value,
            field.text,
        )
        for register in REGISTERS
        for field in register.fields
    ]


def test_the_page_has_the_interfaces() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|([^|]*)\|", PAGE, re.MULTILINE)
    kinds = {name: (kind, data.strip()) for name, kind, data in rows}
    assert set(kinds) >= {"aclk", "aresetn", "interrupt"}
    for bus in EVEN.interfaces:
        kind, data = kinds[bus.name]
        assert kind.startswith("AXI4-Lite slave" if bus.lite else "AXI4 master")
        assert data == ("D" if bus.name == "m_axi_data" else str(int(bus.parameters["DATA_WIDTH"]) // 8))


@pytest.mark.parametrize("latency", [1, 7, 20, 200])
def test_the_page_says_how_much_is_under_way(latency: int) -> None:
    assert "2^⌈log2(L + 9)⌉ of them" in PAGE
    assert "the program's end after 8 beats" in PAGE.lower()
    circuit = CircuitParameters(rows=2, columns=2, dram_latency_cycles=latency)
    top = AxiOverlay(circuit=circuit)
    assert top.data_port.outstanding == 1 << (latency + 9 - 1).bit_length()
    assert top.program_port.burst_beats == 8
    assert top.program_buffer_beats >= top.program_port.outstanding * 9
    # 2 to the address channel and 2 + rot back; 1 + rot to the data channel and 1 back.
    assert "4 + rot(D) are used up when it reads, 2 + rot(D) when it writes" in PAGE
    assert rotator_latency(16) == 2
