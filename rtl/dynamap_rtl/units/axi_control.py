"""The AXI4-Lite slave: registers that start programs and say how they went, and the interrupt.

Contract of :func:`axi_control`; the registers are those of :mod:`dynamap_rtl.axi.registers`:

1. Writing: address and data are taken in any order, one of each; with both there the register changes, and ``bvalid``
   rises a cycle later. A write takes three cycles, a read two. Only bytes with their strobe change. Every response is
   OKAY, also where there is no register.
2. ``start`` pulses, with ``program_address``, in the cycle after ``CONTROL.start`` was written: the first cycle of the
   run. The first one after it with ``finished`` is the last.
3. ``aresetn`` low brings the slave to its start, with two exceptions, which follow the overlay: ``busy``, which ends
   with ``finished``, and ``stopped``, which is set when ``aresetn`` is low while a program runs and never cleared.
4. ``open`` says whether the masters may use the bus: ``aresetn``, and not ``stopped``. An overlay that was cut off from
   answers to come would wait for ever, or take the answers to later questions for them; so it gets none any more.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.axi.registers import ADDRESS_BITS, CYCLE_BITS, REGISTERS, Access, Register, register
from dynamap_rtl.hardware import Leaf
from dynamap_rtl.isa import BYTE_ADDRESS_BITS

from .axi_bursts import BASE_SHIFT

__all__ = ["axi_control"]

_ERRORS = ("program_error", "read_error", "write_error")


def axi_control(values: Mapping[str, int], *, name: str, address_width: int) -> Leaf:
    """The circuit; see the module for its contract.

    Args:
        values: of the registers whose fields are constant, by name.
        name: unique for them.
        address_width: bits of an AXI address of the masters, 32 to 64.

    Raises:
        KeyError: when a register has no value.
    """
    constant = {entry.name: values[entry.name] for entry in REGISTERS if _is_constant(entry)}

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        alive = inputs["aresetn"]
        slave = _Slave(inputs)
        busy, stopped = pyrtl.Register(1, "busy"), pyrtl.Register(1, "is_stopped")

        # A run: from the start's pulse to the first cycle with ``finished`` after it.
        pulse = pyrtl.Register(1, "pulse")
        asked = slave.written("CONTROL", "start")
        starts = asked & ~busy & ~pulse & ~stopped & alive
        ends = busy & inputs["finished"]
        pulse.next <<= starts
        runs = pulse | busy
        busy.next <<= pulse | (busy & ~ends)
        stopped.next <<= stopped | (runs & ~alive)
        cycles = pyrtl.Register(CYCLE_BITS, "cycles")
        counted = pyrtl.select(pulse, pyrtl.Const(1, bitwidth=CYCLE_BITS), (cycles + busy)[:CYCLE_BITS])
        cycles.next <<= pyrtl.select(alive, counted, pyrtl.Const(0, bitwidth=CYCLE_BITS))

        def sticky(field: str, event: pyrtl.WireVector, cleared: pyrtl.WireVector) -> pyrtl.WireVector:
            flag = pyrtl.Register(1, f"is_{field}")
            flag.next <<= alive & (event | (flag & ~(slave.written("STATUS", field) | cleared)))
            return flag

        none = pyrtl.Const(0, bitwidth=1)
        status = {
            "busy": runs,
            "stopped": stopped,
            "done": sticky("done", ends, starts),
            **{field: sticky(field, inputs[field], none) for field in _ERRORS},
        }
        held = {
            entry: slave.holding(entry, keep=none if entry == "INTERRUPT" else runs)
            for entry in ("INTERRUPT", "PROGRAM_ADDRESS", "BASE_LOW", "BASE_HIGH")
        }
        readable: dict[str, Mapping[str, pyrtl.WireVector]] = {
            "CONTROL": {"start": none},
            "STATUS": status,
            **held,
            "CYCLES_LOW": {"value": cycles[:32]},
            "CYCLES_HIGH": {"value": cycles[32:]},
        }
        words = [
            pyrtl.Const(constant[entry.name], bitwidth=32)
            if entry.name in constant
            else _word(entry, readable[entry.name])
            for entry in REGISTERS
        ]
        enable, done = held["INTERRUPT"]["enable"], status["done"]
        base = pyrtl.concat(held["BASE_HIGH"]["value"], held["BASE_LOW"]["value"])
        return {
            **slave.outputs(words),
            "interrupt": enable & done,
            "start": pulse,
            "program_address": held["PROGRAM_ADDRESS"]["value"],
            "base": base[: address_width - BASE_SHIFT],
            "open": alive & ~stopped,
        }

    return Leaf(
        f"axi_control_{name}",
        inputs={
            "aresetn": 1,
            "awaddr": ADDRESS_BITS,
            "awvalid": 1,
            "wdata": 32,
            "wstrb": 4,
            "wvalid": 1,
            "bready": 1,
            "araddr": ADDRESS_BITS,
            "arvalid": 1,
            "rready": 1,
            "finished": 1,
            **dict.fromkeys(_ERRORS, 1),
        },
        outputs={
            "awready": 1,
            "wready": 1,
            "bresp": 2,
            "bvalid": 1,
            "arready": 1,
            "rdata": 32,
            "rresp": 2,
            "rvalid": 1,
            "interrupt": 1,
            "start": 1,
            "program_address": BYTE_ADDRESS_BITS,
            "base": address_width - BASE_SHIFT,
            "open": 1,
        },
        logic=logic,
    )


def _is_constant(entry: Register) -> bool:
    return all(field.access is Access.CONSTANT for field in entry.fields)


def _word(entry: Register, values: Mapping[str, pyrtl.WireVector]) -> pyrtl.WireVector:
    """The 32 bits of a register, zero between its fields."""
    parts: list[pyrtl.WireVector] = []
    bit = 0
    for field in sorted(entry.fields, key=lambda field: field.low):
        if field.low > bit:
            parts.append(pyrtl.Const(0, bitwidth=field.low - bit))
        parts.append(values[field.name])
        bit = field.low + field.width
    if bit < 32:
        parts.append(pyrtl.Const(0, bitwidth=32 - bit))
    return pyrtl.concat_list(parts)


class _Slave:
    """The five channels of the bus.

    Args:
        inputs: of the leaf.
    """

    def __init__(self, inputs: Mapping[str, pyrtl.WireVector]) -> None:
        self._inputs = inputs
        alive = inputs["aresetn"]
        self._addressed, self._filled = pyrtl.Register(1, "addressed"), pyrtl.Register(1, "filled")
        self._answered = pyrtl.Register(1, "answered")
        address = pyrtl.Register(ADDRESS_BITS, "write_address")
        data, strobes = pyrtl.Register(32, "write_word"), pyrtl.Register(4, "write_strobes")
        write = self._addressed & self._filled & ~self._answered
        self._addressed.next <<= alive & pyrtl.select(self._addressed, ~write, inputs["awvalid"])
        self._filled.next <<= alive & pyrtl.select(self._filled, ~write, inputs["wvalid"])
        self._answered.next <<= alive & (write | (self._answered & ~inputs["bready"]))
        address.next <<= pyrtl.select(self._addressed, address, inputs["awaddr"])
        data.next <<= pyrtl.select(self._filled, data, inputs["wdata"])
        strobes.next <<= pyrtl.select(self._filled, strobes, inputs["wstrb"])
        self._write, self._index = write, address[2:]
        self._data = data
        self._mask = pyrtl.concat_list([strobes[byte].sign_extended(8) for byte in range(4)])

    def _hit(self, entry: Register) -> pyrtl.WireVector:
        return self._write & (self._index == entry.offset // 4)

    def written(self, name: str, field: str) -> pyrtl.WireVector:
        """Whether 1 is written to a bit."""
        entry = register(name)
        bit = entry.field(field).low
        return self._hit(entry) & self._data[bit] & self._mask[bit]

    def holding(self, name: str, *, keep: pyrtl.WireVector) -> dict[str, pyrtl.WireVector]:
        """Registers of a register's fields, which writing changes unless ``keep``."""
        entry = register(name)
        fields: dict[str, pyrtl.WireVector] = {}
        for field in entry.fields:
            bits = slice(field.low, field.low + field.width)
            value = pyrtl.Register(field.width, f"{name.lower()}_{field.name}")
            mask = self._mask[bits]
            changed = pyrtl.select(self._hit(entry) & ~keep, (value & ~mask) | (self._data[bits] & mask), value)
            value.next <<= pyrtl.select(self._inputs["aresetn"], changed, pyrtl.Const(0, bitwidth=field.width))
            fields[field.name] = value
        return fields

    def outputs(self, words: list[pyrtl.WireVector]) -> dict[str, pyrtl.WireVector]:
        """The slave's side of the bus, given what every register reads as."""
        inputs = self._inputs
        given = pyrtl.Register(1, "given")
        word = pyrtl.Register(32, "read_word")
        take = inputs["arvalid"] & ~given
        given.next <<= inputs["aresetn"] & (take | (given & ~inputs["rready"]))
        none = pyrtl.Const(0, bitwidth=32)
        places = 1 << (ADDRESS_BITS - 2)
        chosen = pyrtl.mux(inputs["araddr"][2:], *words, *([none] * (places - len(words))))
        word.next <<= pyrtl.select(take, chosen, word)
        okay = pyrtl.Const(0, bitwidth=2)
        return {
            "awready": ~self._addressed,
            "wready": ~self._filled,
            "bresp": okay,
            "bvalid": self._answered,
            "arready": ~given,
            "rdata": word,
            "rresp": okay,
            "rvalid": given,
        }
