"""The control registers: what the circuit decodes, the component describes and docs/reference/axi.md shows.

Registers have 32 bits. Between and behind their fields is nothing: it reads as zero, and writing it does nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import Enum

from dynamap_rtl.circuit_parameters import CircuitParameters

from .port import bus_bytes

__all__ = [
    "ADDRESS_BITS",
    "CYCLE_BITS",
    "IDENTIFIER",
    "REGISTERS",
    "VERSION",
    "Access",
    "Register",
    "RegisterField",
    "constants",
    "fingerprint",
    "register",
]

#: ``DYNM``.
IDENTIFIER = int.from_bytes(b"DYNM", "big")
#: Of this register map, major and minor; a new major one breaks drivers.
VERSION = (1, 0)
#: Bits of a register's byte address.
ADDRESS_BITS = 6
#: Bits of the cycle counter.
CYCLE_BITS = 48


class Access(Enum):
    """What reading and writing a field do."""

    CONSTANT = "constant"
    READ = "read only"
    WRITE = "read and write"
    CLEAR = "read; writing 1 clears"
    TRIGGER = "writing 1 acts; reads as 0"


@dataclass(frozen=True, kw_only=True)
class RegisterField:
    """``width`` bits from bit ``low`` up."""

    name: str
    low: int = 0
    width: int = 1
    access: Access = Access.CONSTANT
    text: str

    @property
    def mask(self) -> int:
        """Its bits in the register."""
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True, kw_only=True)
class Register:
    """A register at byte ``offset``."""

    name: str
    offset: int
    fields: tuple[RegisterField, ...]

    def field(self, name: str) -> RegisterField:
        """The field of that name.

        Raises:
            KeyError: when there is none.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"register {self.name} has no field {name}; it has {[field.name for field in self.fields]}")

    def pack(self, **values: int) -> int:
        """A word of the register; fields not named are zero.

        Raises:
            KeyError: for a field that is not there.
            ValueError: for a value that does not fit.
        """
        word = 0
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise ValueError(f"{self.name}.{name} has {field.width} bits; {value} does not fit")
            word |= value << field.low
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """The fields of a word."""
        return {field.name: (word & field.mask) >> field.low for field in self.fields}


def _registers(*rows: tuple[str, tuple[RegisterField, ...]]) -> tuple[Register, ...]:
    return tuple(Register(name=name, offset=4 * index, fields=fields) for index, (name, fields) in enumerate(rows))


REGISTERS: tuple[Register, ...] = _registers(
    ("IDENTIFIER", (RegisterField(name="value", width=32, text="0x44594E4D, `DYNM` in ASCII"),)),
    (
        "VERSION",
        (
            RegisterField(name="minor", width=16, text="of the register map"),
            RegisterField(name="major", low=16, width=16, text="another one is another map"),
        ),
    ),
    (
        "SHAPE",
        (
            RegisterField(name="rows", width=16, text="P1 of the array"),
            RegisterField(name="columns", low=16, width=16, text="P2"),
        ),
    ),
    (
        "PORTS",
        (
            RegisterField(name="port_bytes", width=8, text="W, bytes of a beat of the overlay's memory ports"),
            RegisterField(name="bus_bytes", low=8, width=8, text="D, bytes of a beat of `m_axi_data`"),
            RegisterField(name="address_bits", low=16, width=8, text="of an AXI address"),
        ),
    ),
    (
        "ARITHMETIC",
        (
            RegisterField(name="sum_bits", width=8, text="of an accumulator"),
            RegisterField(name="operand_bits", low=8, width=8, text="of an operand"),
            RegisterField(name="winograd_2", low=16, text="whether it can do F(2, 3)"),
            RegisterField(name="winograd_4", low=17, text="whether it can do F(4, 3)"),
        ),
    ),
    (
        "FINGERPRINT",
        (RegisterField(name="value", width=32, text="CRC-32 of all parameters, `axi.fingerprint` of `design.json`"),),
    ),
    (
        "CONTROL",
        (
            RegisterField(
                name="start",
                access=Access.TRIGGER,
                text="run the program at PROGRAM_ADDRESS; clears `done`; nothing while `busy` or `stopped`",
            ),
        ),
    ),
    (
        "STATUS",
        (
            RegisterField(name="busy", access=Access.READ, text="a program runs"),
            RegisterField(name="done", low=1, access=Access.CLEAR, text="a program has finished"),
            RegisterField(name="program_error", low=2, access=Access.CLEAR, text="SLVERR or DECERR on `m_axi_program`"),
            RegisterField(name="read_error", low=3, access=Access.CLEAR, text="likewise on `m_axi_data`, reading"),
            RegisterField(name="write_error", low=4, access=Access.CLEAR, text="likewise, writing"),
            RegisterField(
                name="stopped",
                low=5,
                access=Access.READ,
                text="`aresetn` came while a program ran; only configuring the device again helps",
            ),
        ),
    ),
    (
        "INTERRUPT",
        (RegisterField(name="enable", access=Access.WRITE, text="`interrupt` is high while `done` is"),),
    ),
    (
        "PROGRAM_ADDRESS",
        (
            RegisterField(
                name="value",
                width=32,
                access=Access.WRITE,
                text="byte address of the first instruction, counted from BASE; fixed while `busy`",
            ),
        ),
    ),
    (
        "BASE_LOW",
        (
            RegisterField(
                name="value",
                low=12,
                width=20,
                access=Access.WRITE,
                text="AXI address of the overlay's byte 0, a multiple of 4096, bits 31 to 12; fixed while `busy`",
            ),
        ),
    ),
    (
        "BASE_HIGH",
        (RegisterField(name="value", width=32, access=Access.WRITE, text="bits 63 to 32; fixed while `busy`"),),
    ),
    (
        "CYCLES_LOW",
        (
            RegisterField(
                name="value",
                width=32,
                access=Access.READ,
                text="cycles from start to finish, both included, of the last program; it counts while `busy`",
            ),
        ),
    ),
    (
        "CYCLES_HIGH",
        (RegisterField(name="value", width=CYCLE_BITS - 32, access=Access.READ, text="bits 47 to 32"),),
    ),
)

_BY_NAME = {entry.name: entry for entry in REGISTERS}


def register(name: str) -> Register:
    """The register of that name.

    Raises:
        KeyError: when there is none.
    """
    if name not in _BY_NAME:
        raise KeyError(f"there is no register {name}; there are {sorted(_BY_NAME)}")
    return _BY_NAME[name]


def fingerprint(circuit: CircuitParameters) -> int:
    """CRC-32 of everything the overlay was made from; programs that run on one run on all of the same value.

    >>> a, b = (CircuitParameters(rows=4, columns=4, dram_latency_cycles=cycles) for cycles in (20, 21))
    >>> fingerprint(a) == fingerprint(b)
    False
    """
    return zlib.crc32(circuit.name.encode())


def constants(circuit: CircuitParameters, *, address_width: int) -> dict[str, int]:
    """What the constant registers read as, by name."""
    words = {
        "IDENTIFIER": {"value": IDENTIFIER},
        "VERSION": {"major": VERSION[0], "minor": VERSION[1]},
        "SHAPE": {"rows": circuit.rows, "columns": circuit.columns},
        "PORTS": {
            "port_bytes": circuit.dram_bytes_per_cycle,
            "bus_bytes": bus_bytes(circuit.dram_bytes_per_cycle),
            "address_bits": address_width,
        },
        "ARITHMETIC": {
            "sum_bits": circuit.sum_width,
            "operand_bits": circuit.operand_width,
            "winograd_2": int(2 in circuit.winograd),
            "winograd_4": int(4 in circuit.winograd),
        },
        "FINGERPRINT": {"value": fingerprint(circuit)},
    }
    return {name: register(name).pack(**fields) for name, fields in words.items()}
