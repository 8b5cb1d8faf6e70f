"""The AXI interfaces of the top level: which signals, which way, how wide; and what is fixed on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .port import AxiPort
from .registers import ADDRESS_BITS

__all__ = ["FIXED", "BusSignal", "Interface", "control_interface", "master_interface"]

#: Bits of an identifier; one is used, so that answers come in order.
_ID_BITS = 1
#: Signals of a master that never change: one identifier; INCR; Normal Non-cacheable Non-bufferable memory, so that a
#: write is answered when it is in memory; unprivileged, secure data; no lock, no priority.
FIXED: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        f"{channel}{name}": (value, width)
        for channel in ("ar", "aw")
        for name, value, width in (
            ("id", 0, _ID_BITS),
            ("burst", 0b01, 2),
            ("lock", 0, 1),
            ("cache", 0b0010, 4),
            ("prot", 0b000, 3),
            ("qos", 0, 4),
        )
    }
)


@dataclass(frozen=True, kw_only=True)
class BusSignal:
    """One signal of an interface.

    Attributes:
        name: as AXI calls it, in lower case.
        width: bits.
        output: whether the top level drives it.
    """

    name: str
    width: int
    output: bool


@dataclass(frozen=True, kw_only=True)
class Interface:
    """An interface of the top level; signal s is port ``<name>_<s>``.

    Attributes:
        name: of the interface.
        master: whether the top level is the bus's master.
        lite: whether it is AXI4-Lite.
        signals: in the order of the channels.
        parameters: what Vivado is told about it, by Vivado's names.
    """

    name: str
    master: bool
    lite: bool
    signals: tuple[BusSignal, ...]
    parameters: Mapping[str, str]

    def port(self, signal: BusSignal) -> str:
        """The port of a signal."""
        return f"{self.name}_{signal.name}"

    def ports(self, *, output: bool) -> dict[str, int]:
        """Widths of the ports that are outputs, or inputs, by name."""
        return {self.port(signal): signal.width for signal in self.signals if signal.output == output}


def _address_channel(letter: str, width: int) -> list[tuple[str, int, bool]]:
    fixed = {name: bits for name, (_, bits) in FIXED.items() if name.startswith(f"a{letter}")}
    order = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos")
    own = {f"a{letter}addr": width, f"a{letter}len": 8, f"a{letter}size": 3}
    signals = [(f"a{letter}{name}", {**fixed, **own}[f"a{letter}{name}"], True) for name in order]
    return [*signals, (f"a{letter}valid", 1, True), (f"a{letter}ready", 1, False)]


def master_interface(name: str, port: AxiPort, *, write: bool) -> Interface:
    """An AXI4 master that reads, and with ``write`` writes as well."""
    data = 8 * port.data_bytes
    signals = [
        *_address_channel("r", port.address_width),
        ("rid", _ID_BITS, False),
        ("rdata", data, False),
        ("rresp", 2, False),
        ("rlast", 1, False),
        ("rvalid", 1, False),
        ("rready", 1, True),
    ]
    if write:
        signals += [
            *_address_channel("w", port.address_width),
            ("wdata", data, True),
            ("wstrb", port.data_bytes, True),
            ("wlast", 1, True),
            ("wvalid", 1, True),
            ("wready", 1, False),
            ("bid", _ID_BITS, False),
            ("bresp", 2, False),
            ("bvalid", 1, False),
            ("bready", 1, True),
        ]
    parameters = {
        "PROTOCOL": "AXI4",
        "READ_WRITE_MODE": "READ_WRITE" if write else "READ_ONLY",
        "DATA_WIDTH": str(data),
        "ADDR_WIDTH": str(port.address_width),
        "ID_WIDTH": str(_ID_BITS),
        "MAX_BURST_LENGTH": str(port.chunk_beats),
        "NUM_READ_OUTSTANDING": str(port.outstanding),
        "NUM_WRITE_OUTSTANDING": str(port.outstanding if write else 0),
        "SUPPORTS_NARROW_BURST": "0",
        "HAS_BURST": "1",
        "HAS_CACHE": "1",
        "HAS_LOCK": "1",
        "HAS_PROT": "1",
        "HAS_QOS": "1",
        "HAS_REGION": "0",
        "HAS_WSTRB": str(int(write)),
        "HAS_BRESP": str(int(write)),
        "HAS_RRESP": "1",
    }
    return Interface(name=name, master=True, lite=False, signals=_signals(signals), parameters=parameters)


def control_interface(name: str) -> Interface:
    """The AXI4-Lite slave of the control registers."""
    signals = [
        ("awaddr", ADDRESS_BITS, False),
        ("awprot", 3, False),
        ("awvalid", 1, False),
        ("awready", 1, True),
        ("wdata", 32, False),
        ("wstrb", 4, False),
        ("wvalid", 1, False),
        ("wready", 1, True),
        ("bresp", 2, True),
        ("bvalid", 1, True),
        ("bready", 1, False),
        ("araddr", ADDRESS_BITS, False),
        ("arprot", 3, False),
        ("arvalid", 1, False),
        ("arready", 1, True),
        ("rdata", 32, True),
        ("rresp", 2, True),
        ("rvalid", 1, True),
        ("rready", 1, False),
    ]
    parameters = {
        "PROTOCOL": "AXI4LITE",
        "READ_WRITE_MODE": "READ_WRITE",
        "DATA_WIDTH": "32",
        "ADDR_WIDTH": str(ADDRESS_BITS),
    }
    return Interface(name=name, master=False, lite=True, signals=_signals(signals), parameters=parameters)


def _signals(rows: list[tuple[str, int, bool]]) -> tuple[BusSignal, ...]:
    return tuple(BusSignal(name=name, width=width, output=output) for name, width, output in rows)
