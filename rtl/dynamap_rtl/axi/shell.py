"""The overlay on AXI as the shell of an overlay's folder: its Verilog, its component description, its summary."""

from __future__ import annotations

from dynamap_rtl.design_folder import Shell

from .component import COMPONENT_FILE, component_xml
from .overlay import AxiOverlay, axi_overlay_core
from .registers import constants, fingerprint
from .verilog import axi_verilog_of

__all__ = ["axi_shell"]


def axi_shell(top: AxiOverlay) -> Shell:
    """What ``write_design`` adds to the folder of an overlay."""
    verilog = axi_verilog_of(top)
    words = constants(top.circuit, address_width=top.address_width)
    return Shell(
        key="axi",
        top=top.name,
        module=axi_overlay_core(top),
        verilog=verilog,
        files={COMPONENT_FILE: component_xml(top, [f"rtl/{name}" for name in verilog], constants=words)},
        summary={
            "component": COMPONENT_FILE,
            "address_width": top.address_width,
            "bus_bytes": top.data_port.data_bytes,
            "fingerprint": fingerprint(top.circuit),
        },
    )
