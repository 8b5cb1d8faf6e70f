"""The board as a value: the numbers of a device that the overlay is fitted to, each held to its range."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from dynamap_opt.errors import BoardError

__all__ = ["RULES", "Board", "Rule", "show"]

_SHOWN_CHARACTERS = 40
_SHOWN_BITS = 64


def show(value: object) -> str:
    """Return a value as an error message quotes it: in TOML's spelling, short, and printable whatever it holds.

    >>> show(True), show("DDR4"), show([1, 2]), show(float("nan"))
    ('true', "'DDR4'", 'an array', 'nan')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to write out an integer of more than 4300 digits, and nobody would read one.
        return str(value) if value.bit_length() <= _SHOWN_BITS else f"an integer of {value.bit_length()} bits"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, str):
        text = ascii(value) if not value.isprintable() else repr(value)
        return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}...{text[0]}"
    names = {"list": "an array", "dict": "a table", "datetime": "a date and time", "date": "a date", "time": "a time"}
    return names.get(type(value).__name__, f"a value of type {type(value).__name__}")


@dataclass(frozen=True)
class Rule:
    """What one field of a board may hold.

    Attributes:
        kind: ``str`` (text), ``int`` or ``float``; a float field takes an integer too, no number takes a boolean.
        low: Least allowed value; for a text, its least length in characters.
        high: Greatest allowed value; for a text, its greatest length in characters.
        meaning: What the number counts, with its unit, as error messages print it.
        example: A value as it would stand in a board file.
    """

    kind: type[str | int | float]
    low: float
    high: float
    meaning: str
    example: str

    def complaint(self, field: str, value: object) -> str | None:
        """Return why ``value`` cannot be the field's, as the rest of a sentence; None if it can."""
        if self.kind is str:
            wanted = f"a text of {self.low} to {self.high} printable characters without spaces around it"
            good = (
                isinstance(value, str)
                and self.low <= len(value) <= self.high
                and value.isprintable()
                and value == value.strip()
            )
        else:
            number = "an integer" if self.kind is int else "a number"
            wanted = f"{number} from {self.low:g} to {self.high:g}"
            types = int if self.kind is int else (int, float)
            # The comparison is false for nan, and exact (no overflow) for an integer too large to be a float.
            good = isinstance(value, types) and not isinstance(value, bool) and self.low <= value <= self.high
        return None if good else f"{field} ({self.meaning}) must be {wanted}, not {show(value)}"


# The upper limits are far above any device: they catch a slipped unit (megahertz in a field of hertz, bytes in a field
# of bits) or exponent, and keep every product the cost model forms well inside 64 bits.
RULES: dict[str, Rule] = {
    "name": Rule(str, 1, 64, "what the board is called", '"my-board"'),
    "device": Rule(str, 1, 64, "part number of the FPGA", '"XCZU9EG-2FFVB1156E"'),
    "family": Rule(str, 1, 64, "device family", '"ultrascale+"'),
    "dsp": Rule(int, 1, 1_000_000, "DSP slices of the device", "2520"),
    "array_dsp": Rule(int, 1, 1_000_000, "DSP slices the systolic array may take", "2293"),
    "int8_macs_per_dsp": Rule(int, 1, 64, "INT8 multiply-accumulates one DSP slice can do per cycle", "2"),
    "lut": Rule(int, 1, 1_000_000_000, "look-up tables", "274080"),
    "ff": Rule(int, 1, 1_000_000_000, "flip-flops", "548160"),
    "bram_bits": Rule(int, 1, 1_000_000_000_000, "block RAM in bits", "33619968"),
    "uram_bits": Rule(int, 0, 1_000_000_000_000, "UltraRAM in bits", "0"),
    "dram_bytes_per_second": Rule(float, 1e6, 1e14, "DRAM bandwidth of all channels in bytes per second", "19.2e9"),
    "dram_latency_s": Rule(float, 0.0, 1e-3, "round trip of a DRAM read in seconds", "200e-9"),
    "clock_hz": Rule(float, 1e6, 5e9, "clock of the overlay in hertz", "200e6"),
}


@dataclass(frozen=True, kw_only=True)
class Board:
    """What a board offers to the overlay. The TOML keys of a board file are these field names.

    Whole boards are compared and hashed by value. Numbers describe the device and its memory; what an overlay uses of
    them is decided elsewhere.

    Attributes:
        name: What the board is called; the preset's name for a preset.
        device: Part number of the FPGA.
        family: Device family, for example ``"ultrascale+"``, ``"ultrascale"``, ``"7-series"``, ``"ecp5"``.
        dsp: DSP slices of the whole device (count).
        array_dsp: DSP slices the systolic array may take (count), at most ``dsp``; the rest is left to the shell, the
            Winograd transform units and requantisation.
        int8_macs_per_dsp: INT8 multiply-accumulates one DSP slice can do per cycle (count): what the device is capable
            of, whether an overlay makes use of it or not.
        lut: Look-up tables (count; six inputs on AMD devices, four on ECP5).
        ff: Flip-flops (count).
        bram_bits: Block RAM (bits, parity bits included: they hold data as well).
        uram_bits: UltraRAM (bits); 0 on a device without.
        dram_bytes_per_second: Peak DRAM bandwidth of all channels together (bytes per second).
        dram_latency_s: Assumed round trip of a DRAM read, from request to first data (seconds).
        clock_hz: Clock of the overlay (hertz).

    Raises:
        BoardError: If a field is of the wrong type or out of its range, or ``array_dsp`` exceeds ``dsp``.

    >>> from dynamap_opt.board import load_board
    >>> board = load_board("pynq-z2")
    >>> board.dsp, board.on_chip_bytes, board.dram_bytes_per_cycle
    (220, 645120, 21)
    """

    name: str
    device: str
    family: str
    dsp: int
    array_dsp: int
    int8_macs_per_dsp: int
    lut: int
    ff: int
    bram_bits: int
    uram_bits: int
    dram_bytes_per_second: float
    dram_latency_s: float
    clock_hz: float

    def __post_init__(self) -> None:
        fault = first_fault({field: getattr(self, field) for field in RULES})
        if fault is not None:
            raise BoardError(f"board {show(self.name)}: {fault[1]}")
        for field, rule in RULES.items():
            if rule.kind is float:
                # An integer is welcome here, but equal boards should print equally.
                object.__setattr__(self, field, float(getattr(self, field)))

    @property
    def on_chip_bytes(self) -> int:
        """Block RAM and UltraRAM together, in whole bytes."""
        return (self.bram_bits + self.uram_bits) // 8

    @property
    def dram_bytes_per_cycle(self) -> int:
        """Whole bytes the DRAM moves per overlay clock cycle, rounded down but at least 1."""
        return max(1, int(self.dram_bytes_per_second // self.clock_hz))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields in order, in types JSON knows; ``Board(**board.as_dict()) == board``."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def first_fault(values: dict[str, object]) -> tuple[str, str] | None:
    """Return the first field whose value breaks its rule, with the complaint; None if all values make a board.

    Args:
        values: A value for every field of :data:`RULES`.
    """
    for field, rule in RULES.items():
        complaint = rule.complaint(field, values[field])
        if complaint is not None:
            return field, complaint
    dsp, array_dsp = values["dsp"], values["array_dsp"]
    assert isinstance(dsp, int)
    assert isinstance(array_dsp, int)
    if array_dsp > dsp:
        return "array_dsp", f"array_dsp ({array_dsp}) must not exceed dsp ({dsp}), the DSP slices of the whole device"
    return None
