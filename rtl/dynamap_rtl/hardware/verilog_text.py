"""Words and pieces of Verilog: names, literals, slices, wrapped statements."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .module import HardwareError, Module

__all__ = [
    "CLOCK",
    "Literal",
    "Names",
    "Part",
    "Piece",
    "Slice",
    "check_name",
    "join",
    "literal",
    "port_names",
    "range_of",
    "statement",
]

#: The one clock's port.
CLOCK = "clock"

#: Reserved words of IEEE 1364-2001, Annex B, and those that SystemVerilog adds and tools reserve for any input.
_RESERVED = frozenset(
    # As prose, so that it can be compared with the standard's list.
    """always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default defparam
    design disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable
    endtask event for force forever fork function generate genvar highz0 highz1 if ifnone incdir include initial inout
    input instance integer join large liblist library localparam macromodule medium module nand negedge nmos nor
    noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown pullup
    pulsestyle_onevent pulsestyle_ondetect rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1
    scalared showcancelled signed small specify specparam strong0 strong1 supply0 supply1 table task time tran tranif0
    tranif1 tri tri0 tri1 triand trior trireg unsigned use vectored wait wand weak0 weak1 while wire wor xnor xor
    accept_on alias always_comb always_ff always_latch assert assume before bind bins binsof bit break byte chandle
    checker class clocking const constraint context continue cover covergroup coverpoint cross dist do endchecker
    endclass endclocking endgroup endinterface endpackage endprogram endproperty endsequence enum eventually expect
    export extends extern final first_match foreach forkjoin global iff ignore_bins illegal_bins implements implies
    import inside int interconnect interface intersect join_any join_none let local logic longint matches modport
    nettype new nexttime null package packed priority program property protected pure rand randc randcase randsequence
    ref reject_on restrict return s_always s_eventually s_nexttime s_until s_until_with sequence shortint shortreal
    soft solve static string strong struct super sync_accept_on sync_reject_on tagged this throughout timeprecision
    timeunit type typedef union unique unique0 until until_with untyped uwire var virtual void wait_order weak
    wildcard with within""".split()  # noqa: SIM905
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LINE = 110


def check_name(module: Module) -> None:
    """Refuse a module's name that Verilog has no room for.

    Raises:
        HardwareError: naming the module.
    """
    if not _IDENTIFIER.match(module.name) or module.name in _RESERVED:
        raise HardwareError(f"module name {module.name!r} is no Verilog identifier; rename it")


def port_names(module: Module) -> dict[str, str]:
    """The names that a module's ports have in Verilog: their own, with ``_`` behind reserved ones.

    ``clock`` is reserved too, for the port that Verilog adds.

    Raises:
        HardwareError: for a name with letters that Verilog does not know.
    """
    ports = [*module.inputs, *module.outputs]
    names = {}
    for port in ports:
        if not _IDENTIFIER.match(port):
            raise HardwareError(f"module {module.name!r}: port {port!r} is no Verilog identifier; rename it")
        name = port
        while name in _RESERVED or name == CLOCK or (name != port and name in ports):
            name += "_"
        names[port] = name
    return names


class Names:
    """Gives every object of a module a name of its own.

    Args:
        taken: names that are already in use.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {CLOCK, *taken}

    def give(self, wanted: str) -> str:
        """The wanted name made an identifier, with a number behind it if it is taken."""
        name = re.sub(r"[^A-Za-z0-9_]", "_", wanted)
        if not _IDENTIFIER.match(name) or name in _RESERVED:
            name = f"{name}_" if name[:1].isalpha() else f"_{name}"
        unique, number = name, 1
        while unique in self._taken:
            number += 1
            unique = f"{name}_{number}"
        self._taken.add(unique)
        return unique


def range_of(bits: int) -> str:
    """``[7:0] `` for eight bits, nothing for one: what stands before a declared name."""
    return "" if bits == 1 else f"[{bits - 1}:0] "


def literal(value: int, bits: int) -> str:
    """A sized literal; small ones in decimal, others in hexadecimal."""
    value &= (1 << bits) - 1
    if bits == 1:
        return f"1'b{value}"
    return f"{bits}'d{value}" if value < 1000 else f"{bits}'h{value:x}"


@dataclass(frozen=True)
class Slice:
    """``bits`` bits of a declared name from bit ``low`` up; ``total`` bits are declared."""

    name: str
    low: int
    bits: int
    total: int

    def __str__(self) -> str:
        if self.bits == self.total:
            return self.name
        if self.bits == 1:
            return f"{self.name}[{self.low}]"
        return f"{self.name}[{self.low + self.bits - 1}:{self.low}]"


@dataclass(frozen=True)
class Literal:
    """A constant."""

    value: int
    bits: int

    def __str__(self) -> str:
        return literal(self.value, self.bits)


@dataclass(frozen=True)
class Piece:
    """Any expression whose own width is ``bits``, and its outermost operator."""

    text: str
    bits: int
    operator: str

    def __str__(self) -> str:
        return self.text


Part: TypeAlias = Slice | Literal | Piece


def join(parts: Sequence[Part]) -> str:
    """Parts side by side, the first in the highest bits: neighbours merged, repetitions counted."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(last, Literal) and isinstance(part, Literal):
            merged[-1] = Literal(last.value << part.bits | part.value, last.bits + part.bits)
        elif (
            isinstance(last, Slice)
            and isinstance(part, Slice)
            and last.name == part.name
            and (part.low + part.bits == last.low)
        ):
            merged[-1] = Slice(part.name, part.low, part.bits + last.bits, part.total)
        else:
            merged.append(part)
    groups: list[tuple[Part, int]] = []
    for part in merged:
        if groups and groups[-1][0] == part:
            groups[-1] = (part, groups[-1][1] + 1)
        else:
            groups.append((part, 1))
    items = [str(part) if count == 1 else f"{{{count}{{{part}}}}}" for part, count in groups]
    if len(items) == 1:
        return items[0]
    return "{" + ", ".join(items) + "}"


def statement(text: str, indent: int) -> list[str]:
    """A statement in lines of moderate length."""
    return textwrap.wrap(
        text,
        width=_LINE,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 4),
        break_long_words=False,
        break_on_hyphens=False,
    )
