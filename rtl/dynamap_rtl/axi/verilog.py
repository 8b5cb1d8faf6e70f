"""The Verilog of the overlay on AXI: its top level has the clock's and the interfaces' usual names.

The hierarchy calls its clock ``clock``; here it becomes ``aclk``, and attributes tell Vivado which ports make an
interface, so that the module can be placed in a block design as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from dynamap_rtl.hardware.verilog import verilog_of
from dynamap_rtl.hardware.verilog_text import CLOCK, range_of

from .interfaces import Interface
from .overlay import AxiOverlay, axi_overlay_core

__all__ = ["CLOCK_PORT", "INTERRUPT_PORT", "RESET_PORT", "axi_verilog_of", "clock_parameters", "top_ports"]

CLOCK_PORT = "aclk"
RESET_PORT = "aresetn"
INTERRUPT_PORT = "interrupt"


def top_ports(top: AxiOverlay) -> dict[str, tuple[str, int]]:
    """Direction (``input`` or ``output``) and bits of every port of the top level, in order."""
    ports = {CLOCK_PORT: ("input", 1), RESET_PORT: ("input", 1)}
    for bus in top.interfaces:
        for signal in bus.signals:
            ports[bus.port(signal)] = ("output" if signal.output else "input", signal.width)
    return {**ports, INTERRUPT_PORT: ("output", 1)}


def clock_parameters(top: AxiOverlay) -> dict[str, str]:
    """What Vivado is told about the clock: the interfaces and the reset that belong to it."""
    return {
        "ASSOCIATED_BUSIF": ":".join(bus.name for bus in top.interfaces),
        "ASSOCIATED_RESET": RESET_PORT,
    }


def axi_verilog_of(top: AxiOverlay) -> dict[str, str]:
    """The files of the overlay on AXI, ``<module>.v`` -> text, what a module is made of before it, the top level last.

    The text depends on the parameters alone.
    """
    return {**verilog_of(axi_overlay_core(top)), f"{top.name}.v": _top_text(top)}


def _top_text(top: AxiOverlay) -> str:
    ports = top_ports(top)
    lines = ["`default_nettype none", "", f"module {top.name} ("]
    for number, (name, attributes) in enumerate(_attributes(top), start=1):
        direction, width = ports[name]
        lines += [f"    {attribute}" for attribute in attributes]
        comma = "," if number < len(ports) else ""
        lines.append(f"    {direction + ' wire':<11} {range_of(width)}{name}{comma}")
    inner = [f".{CLOCK}({CLOCK_PORT})", *(f".{name}({name})" for name in ports if name != CLOCK_PORT)]
    lines += [
        ");",
        "",
        f"    {top.core_name} core (",
        *(f"        {connection}" + ("," if connection != inner[-1] else "") for connection in inner),
        "    );",
        "",
        "endmodule",
        "",
        "`default_nettype wire",
        "",
    ]
    return "\n".join(lines)


def _attributes(top: AxiOverlay) -> Iterator[tuple[str, list[str]]]:
    """Every port with what stands before it."""
    yield CLOCK_PORT, [_info("signal:clock", f"{CLOCK_PORT} CLK"), _parameter(clock_parameters(top))]
    yield RESET_PORT, [_info("signal:reset", f"{RESET_PORT} RST"), _parameter({"POLARITY": "ACTIVE_LOW"})]
    for bus in top.interfaces:
        yield from _interface(bus)
    yield (
        INTERRUPT_PORT,
        [_info("signal:interrupt", f"{INTERRUPT_PORT} INTERRUPT"), _parameter({"SENSITIVITY": "LEVEL_HIGH"})],
    )


def _interface(bus: Interface) -> Iterator[tuple[str, list[str]]]:
    for index, signal in enumerate(bus.signals):
        attributes = [_info("interface:aximm", f"{bus.name} {signal.name.upper()}")]
        if not index:  # Vivado reads them at one port of the interface
            attributes.append(_parameter({"XIL_INTERFACENAME": bus.name, **bus.parameters}))
        yield bus.port(signal), attributes


def _info(kind: str, place: str) -> str:
    return f'(* X_INTERFACE_INFO = "xilinx.com:{kind}:1.0 {place}" *)'


def _parameter(values: dict[str, str]) -> str:
    # Vivado's form for XIL_INTERFACENAME is a name and a space, for all others too.
    text = ", ".join(f"{name} {value}" for name, value in values.items())
    return f'(* X_INTERFACE_PARAMETER = "{text}" *)'
