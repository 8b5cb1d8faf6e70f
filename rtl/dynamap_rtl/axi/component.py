"""The description of the overlay on AXI as an IP-XACT component (IEEE 1685-2009, the version that Vivado reads).

It names the interfaces with their signals and parameters, the address spaces of the masters, the control registers
field by field, the ports, and the Verilog files. A folder with ``component.xml`` and the files is an IP repository.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET  # writes only
from collections.abc import Mapping, Sequence

from .interfaces import Interface
from .overlay import AxiOverlay
from .registers import REGISTERS, Access, Register, RegisterField
from .verilog import CLOCK_PORT, INTERRUPT_PORT, RESET_PORT, clock_parameters, top_ports

__all__ = ["COMPONENT_FILE", "LIBRARY", "VENDOR", "VERSION", "component_xml"]

#: Vivado looks for this name.
COMPONENT_FILE = "component.xml"
VENDOR, LIBRARY, VERSION = "dynamap", "overlay", "1.0"

_SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
_XILINX = "http://www.xilinx.com"
#: Vivado's name of the set of files of a view -> the view's name, title and tool.
_VIEWS = {
    "xilinx_anylanguagesynthesis": ("Synthesis", ":vivado.xilinx.com:synthesis"),
    "xilinx_anylanguagebehavioralsimulation": ("Simulation", ":vivado.xilinx.com:simulation"),
}
#: Families of devices with AXI, multipliers and block RAM that Vivado offers the component for.
_FAMILIES = (
    "artix7", "kintex7", "spartan7", "virtex7", "zynq", "kintexu", "virtexu", "artixuplus", "kintexuplus",
    "virtexuplus", "virtexuplusHBM", "zynquplus",
)  # fmt: skip
#: What a field's access is in IP-XACT, and what writing does beyond changing it.
_ACCESS = {
    Access.CONSTANT: ("read-only", None),
    Access.READ: ("read-only", None),
    Access.WRITE: ("read-write", None),
    Access.CLEAR: ("read-write", "oneToClear"),
    Access.TRIGGER: ("write-only", None),
}


def component_xml(top: AxiOverlay, files: Sequence[str], *, constants: Mapping[str, int]) -> str:
    """The text of ``component.xml``.

    Args:
        top: what is described.
        files: Verilog files relative to the folder of the description, the top level last.
        constants: what the constant registers read as, by name.
    """
    ET.register_namespace("spirit", _SPIRIT)
    ET.register_namespace("xilinx", _XILINX)
    root = ET.Element(_tag("component"))
    for name, value in (("vendor", VENDOR), ("library", LIBRARY), ("name", top.name), ("version", VERSION)):
        _add(root, name, value)
    buses = _add(root, "busInterfaces")
    for bus in top.interfaces:
        _bus(buses, bus)
    _signal(buses, CLOCK_PORT, "clock", "CLK", clock_parameters(top))
    _signal(buses, RESET_PORT, "reset", "RST", {"POLARITY": "ACTIVE_LOW"})
    _signal(buses, INTERRUPT_PORT, "interrupt", "INTERRUPT", {"SENSITIVITY": "LEVEL_HIGH"}, master=True)
    spaces = _add(root, "addressSpaces")
    for bus in top.interfaces:
        if bus.master:
            space = _add(spaces, "addressSpace")
            _add(space, "name", bus.name)
            _add(space, "range", str(1 << top.address_width), format="long")
            _add(space, "width", bus.parameters["DATA_WIDTH"], format="long")
    _memory_map(_add(root, "memoryMaps"), top.control_bus, constants)
    _model(_add(root, "model"), top)
    sets = _add(root, "fileSets")
    for view in _VIEWS:
        group = _add(sets, "fileSet")
        _add(group, "name", f"{view}_view_fileset")
        for path in files:
            entry = _add(group, "file")
            _add(entry, "name", path)
            _add(entry, "fileType", "verilogSource")
    circuit = top.circuit
    shape = f"{circuit.rows}x{circuit.columns}"
    _add(root, "description", f"Systolic-array overlay for convolutional networks, {shape} elements, with AXI4 ports")
    parameter = _add(_add(root, "parameters"), "parameter")
    _add(parameter, "name", "Component_Name")
    _add(parameter, "value", top.name, resolve="user", id="PARAM_VALUE.Component_Name", order="1")
    _extensions(_add(root, "vendorExtensions"), shape)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _tag(name: str) -> str:
    return f"{{{_SPIRIT}}}{name}"


def _add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    """A new last child in the standard's name space."""
    element = ET.SubElement(parent, _tag(tag), {_tag(key): value for key, value in attributes.items()})
    element.text = text
    return element


def _type(parent: ET.Element, library: str, name: str) -> None:
    """What kind of interface it is."""
    for element, kind in (("busType", name), ("abstractionType", f"{name}_rtl")):
        _add(parent, element, vendor="xilinx.com", library=library, name=kind, version="1.0")


def _maps(parent: ET.Element, ports: Mapping[str, str]) -> None:
    """Which port is which signal of the interface."""
    maps = _add(parent, "portMaps")
    for logical, physical in ports.items():
        entry = _add(maps, "portMap")
        _add(_add(entry, "logicalPort"), "name", logical)
        _add(_add(entry, "physicalPort"), "name", physical)


def _parameters(parent: ET.Element, name: str, values: Mapping[str, str]) -> None:
    group = _add(parent, "parameters")
    for key, value in values.items():
        entry = _add(group, "parameter")
        _add(entry, "name", key)
        _add(entry, "value", value, id=f"BUSIFPARAM_VALUE.{name.upper()}.{key}")


def _bus(parent: ET.Element, bus: Interface) -> None:
    entry = _add(parent, "busInterface")
    _add(entry, "name", bus.name)
    _type(entry, "interface", "aximm")
    if bus.master:
        _add(_add(entry, "master"), "addressSpaceRef", addressSpaceRef=bus.name)
    else:
        _add(_add(entry, "slave"), "memoryMapRef", memoryMapRef=bus.name)
    _maps(entry, {signal.name.upper(): bus.port(signal) for signal in bus.signals})
    _parameters(entry, bus.name, bus.parameters)


def _signal(
    parent: ET.Element, port: str, kind: str, logical: str, parameters: Mapping[str, str], *, master: bool = False
) -> None:
    entry = _add(parent, "busInterface")
    _add(entry, "name", port)
    _type(entry, "signal", kind)
    _add(entry, "master" if master else "slave")
    _maps(entry, {logical: port})
    _parameters(entry, port, parameters)


def _memory_map(parent: ET.Element, bus: Interface, constants: Mapping[str, int]) -> None:
    entry = _add(parent, "memoryMap")
    _add(entry, "name", bus.name)
    block = _add(entry, "addressBlock")
    _add(block, "name", "registers")
    _add(block, "baseAddress", "0", format="long")
    _add(block, "range", "4096", format="long")  # the least that Vivado gives a slave
    _add(block, "width", "32", format="long")
    _add(block, "usage", "register")
    for register in REGISTERS:
        _register(block, register, constants.get(register.name, 0))


def _register(parent: ET.Element, register: Register, reset: int) -> None:
    entry = _add(parent, "register")
    _add(entry, "name", register.name)
    _add(entry, "addressOffset", f"0x{register.offset:X}")
    _add(entry, "size", "32", format="long")
    accesses = {_ACCESS[field.access][0] for field in register.fields}
    _add(entry, "access", accesses.pop() if len(accesses) == 1 else "read-write")
    _add(_add(entry, "reset"), "value", f"0x{reset:X}", format="long")
    for field in register.fields:
        _field(entry, field)


def _field(parent: ET.Element, field: RegisterField) -> None:
    access, write = _ACCESS[field.access]
    entry = _add(parent, "field")
    _add(entry, "name", field.name)
    _add(entry, "description", field.text.replace("`", ""))
    _add(entry, "bitOffset", str(field.low))
    _add(entry, "bitWidth", str(field.width), format="long")
    _add(entry, "access", access)
    if write is not None:
        _add(entry, "modifiedWriteValue", write)


def _model(parent: ET.Element, top: AxiOverlay) -> None:
    views = _add(parent, "views")
    for name, (title, tool) in _VIEWS.items():
        view = _add(views, "view")
        _add(view, "name", name)
        _add(view, "displayName", title)
        _add(view, "envIdentifier", tool)
        _add(view, "language", "Verilog")
        _add(view, "modelName", top.name)
        _add(_add(view, "fileSetRef"), "localName", f"{name}_view_fileset")
    ports = _add(parent, "ports")
    for name, (direction, width) in top_ports(top).items():
        port = _add(ports, "port")
        _add(port, "name", name)
        wire = _add(port, "wire")
        _add(wire, "direction", direction.removesuffix("put"))
        if width > 1:
            vector = _add(wire, "vector")
            _add(vector, "left", str(width - 1), format="long")
            _add(vector, "right", "0", format="long")
        kind = _add(_add(wire, "wireTypeDefs"), "wireTypeDef")
        _add(kind, "typeName", "wire")
        for view_name in _VIEWS:
            _add(kind, "viewNameRef", view_name)


def _extensions(parent: ET.Element, shape: str) -> None:
    """What Vivado wants to know beyond the standard: for which devices, under which heading."""

    def add(above: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
        given = {f"{{{_XILINX}}}{key}": value for key, value in attributes.items()}
        element = ET.SubElement(above, f"{{{_XILINX}}}{tag}", given)
        element.text = text
        return element

    core = add(parent, "coreExtensions")
    families = add(core, "supportedFamilies")
    for family in _FAMILIES:
        add(families, "family", family, lifeCycle="Production")
    add(add(core, "taxonomies"), "taxonomy", "/UserIP")
    add(core, "displayName", f"DYNAMAP overlay {shape} on AXI")
    add(core, "coreRevision", "1")
