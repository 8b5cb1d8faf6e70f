"""The overlay with its AXI interfaces, as one module.

    s_axi (AXI4-Lite) -> control registers -> start, program address, base -> overlay; finished -> interrupt
    overlay's program port -> reader -> m_axi_program (AXI4, read only)
    overlay's read port -> reader, write port -> writer -> m_axi_data (AXI4)

Two masters and no arbiter: AXI's read and write channels are independent, so that the read and the write port share a
bus without sharing a wire; the program port has a bus of its own, because it is 16 bytes wide whatever the others are
and whoever builds the system has an interconnect that arbitrates anyway.

An instruction that was fetched waits in the program port until its unit has room, which may take until other units
have read and written. Were it left on the bus meanwhile, it could stand in the way of just these reads and writes, in
an interconnect or a memory controller that both masters go through, for ever. So the program's reader has a buffer
that takes all that the sequencer can have asked for. The other readers ask when they have room for the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.hardware import Constant, Design, HardwareError, Instance, Port, Signal
from dynamap_rtl.isa import INSTRUCTION_BYTES
from dynamap_rtl.overlay_circuit import overlay_circuit
from dynamap_rtl.parameters import OverlayError
from dynamap_rtl.pipeline import FETCH_BYTES, OUTSTANDING_MARGIN, REQUESTS_AHEAD
from dynamap_rtl.units.axi_control import axi_control
from dynamap_rtl.units.axi_reader import axi_reader
from dynamap_rtl.units.axi_writer import axi_writer

from .interfaces import FIXED, Interface, control_interface, master_interface
from .port import WIDEST_BUS_BYTES, AxiPort
from .registers import constants

__all__ = ["AxiOverlay", "axi_overlay_core"]


@dataclass(frozen=True, kw_only=True)
class AxiOverlay:
    """An overlay on AXI.

    Attributes:
        circuit: the overlay; its memory ports have at most 128 bytes. Where W is no power of two the data bus has the
            next one, and is busy for the less of a long burst.
        address_width: bits of an AXI address, 32 to 64.

    Raises:
        OverlayError: when there is no such overlay on AXI.
    """

    circuit: CircuitParameters
    address_width: int = 64

    def __post_init__(self) -> None:
        width = self.circuit.dram_bytes_per_cycle
        if width > WIDEST_BUS_BYTES:
            raise OverlayError(
                f"an AXI4 data bus has at most {WIDEST_BUS_BYTES} bytes, the overlay's memory ports have {width}; "
                f"set dram_bytes_per_cycle to {WIDEST_BUS_BYTES} or less, or leave AXI out"
            )
        try:
            self.data_port.data_bytes  # noqa: B018 - says what is wrong with a width
        except HardwareError as error:
            raise OverlayError(str(error)) from error

    @property
    def name(self) -> str:
        """Of the top level, unique for the parameters."""
        return f"axi_overlay_{self._suffix}"

    @property
    def core_name(self) -> str:
        """Of the module inside it that has all instances."""
        return f"axi_core_{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f"{self.circuit.name}_a{self.address_width}"

    @property
    def program_port(self) -> AxiPort:
        """Of the program's master: short bursts, each of which the buffer has room for."""
        return AxiPort(
            port_bytes=FETCH_BYTES,
            address_width=self.address_width,
            burst_beats=INSTRUCTION_BYTES // FETCH_BYTES,
            outstanding=REQUESTS_AHEAD,
        )

    @property
    def program_buffer_beats(self) -> int:
        """AXI beats of all instructions that can have been asked for: one more each than its bytes fill."""
        most = REQUESTS_AHEAD * (INSTRUCTION_BYTES // FETCH_BYTES + 1)
        return 1 << (most - 1).bit_length()

    @property
    def data_port(self) -> AxiPort:
        """Of the data's master: as many requests under way as the overlay itself counts on."""
        return AxiPort(
            port_bytes=self.circuit.dram_bytes_per_cycle,
            address_width=self.address_width,
            outstanding=1 << (self.circuit.dram_latency_cycles + OUTSTANDING_MARGIN).bit_length(),
        )

    @property
    def program_bus(self) -> Interface:
        """``m_axi_program``."""
        return master_interface("m_axi_program", self.program_port, write=False)

    @property
    def data_bus(self) -> Interface:
        """``m_axi_data``."""
        return master_interface("m_axi_data", self.data_port, write=True)

    @property
    def control_bus(self) -> Interface:
        """``s_axi``."""
        return control_interface("s_axi")

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """All of them."""
        return self.control_bus, self.program_bus, self.data_bus


def axi_overlay_core(top: AxiOverlay) -> Design:
    """The circuit: ports of the AXI interfaces, ``aresetn``, ``interrupt``."""
    interfaces = top.interfaces
    inputs = {name: width for bus in interfaces for name, width in bus.ports(output=False).items()}
    outputs = {name: width for bus in interfaces for name, width in bus.ports(output=True).items()}
    design = Design(top.core_name, inputs={"aresetn": 1, **inputs}, outputs={"interrupt": 1, **outputs})
    control = design.add(
        "control",
        axi_control(
            constants(top.circuit, address_width=top.address_width), name=top.core_name, address_width=top.address_width
        ),
        aresetn=design["aresetn"],
    )
    overlay = design.add(
        "overlay",
        overlay_circuit(top.circuit),
        start=control["start"],
        program_address=control["program_address"],
    )
    program = design.add("program", axi_reader(top.program_port, buffer_beats=top.program_buffer_beats))
    read = design.add("read", axi_reader(top.data_port))
    write = design.add("write", axi_writer(top.data_port))
    for unit in (program, read, write):
        unit.connect(base=control["base"], open=control["open"])
    for name, unit in (("program", program), ("read", read)):
        unit.connect(data_ready=overlay[f"{name}_data_ready"])
        overlay.connect(**{f"{name}_data_valid": unit["data_valid"], f"{name}_data": unit["data"]})
    write.connect(write_valid=overlay["write_valid"], write_data=overlay["write_data"])
    overlay.connect(write_ready=write["write_ready"], write_written=write["written"])
    for name, unit in (("program", program), ("read", read), ("write", write)):
        requests = ("request_valid", "request_address", "request_bytes")
        unit.connect(**{wire: overlay[f"{name}_{wire}"] for wire in requests})
        overlay.connect(**{f"{name}_request_ready": unit["request_ready"]})
    control.connect(
        finished=overlay["finished"],
        program_error=program["error"],
        read_error=read["error"],
        write_error=write["error"],
    )
    driven = {
        **_connect(design, top.control_bus, [control], top.data_port),
        **_connect(design, top.program_bus, [program], top.program_port),
        **_connect(design, top.data_bus, [read, write], top.data_port),
    }
    return design.finish(interrupt=control["interrupt"], **driven)


def _connect(design: Design, bus: Interface, units: list[Instance], port: AxiPort) -> dict[str, Signal | Constant]:
    """Connects the inputs of an interface to the units that look at them, and says what drives its outputs."""
    driven: dict[str, Signal | Constant] = {}
    for signal in bus.signals:
        name = signal.name
        if not signal.output:
            for unit in units:
                if name in unit.module.inputs:
                    unit.connect(**{name: design[bus.port(signal)]})
            continue
        if name in ("arsize", "awsize"):
            driven[bus.port(signal)] = Constant(port.offset_width, Port(signal.width))
        elif bus.master and name in FIXED:
            driven[bus.port(signal)] = Constant(FIXED[name][0], Port(signal.width))
        else:
            (driver,) = (unit for unit in units if name in unit.module.outputs)
            driven[bus.port(signal)] = driver[name]
    return driven
