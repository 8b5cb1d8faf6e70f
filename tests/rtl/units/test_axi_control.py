"""The control registers: every field does what its row of the register map says, and a run is told as it was."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import pytest

from dynamap_rtl.axi.registers import REGISTERS, VERSION, Access, constants, fingerprint, register
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.hardware.simulator import CompiledSimulation
from dynamap_rtl.units.axi_control import axi_control

CIRCUIT = CircuitParameters(rows=5, columns=300, dram_bytes_per_cycle=21, winograd=(2, 4), sum_width=48)
CONSTANTS = constants(CIRCUIT, address_width=64)
LEAF = axi_control(CONSTANTS, name="test", address_width=64)


class Host:
    """Drives the bus like a processor, with pauses at random."""

    def __init__(self, seed: int = 0, stall: float = 0.0) -> None:
        self.simulation = CompiledSimulation(LEAF)
        self.dice, self.stall = random.Random(seed), stall
        self.inputs = {**dict.fromkeys(LEAF.inputs, 0), "aresetn": 1}
        self.starts: list[int] = []  # cycles of the pulse
        self.cycle = 0

    def step(self, **inputs: int) -> None:
        self.simulation.step({**self.inputs, **inputs})
        if self["start"]:
            self.starts.append(self.cycle)
        self.cycle += 1

    def __getitem__(self, name: str) -> int:
        return self.simulation.inspect(name)

    def _may(self) -> bool:
        return self.dice.random() >= self.stall

    def write(self, name: str, value: int, strobes: int = 15, **events: int) -> None:
        """Write; ``events`` are inputs in the cycle in which the register changes."""
        address, data, answered = False, False, False
        offset = register(name).offset
        for _ in range(200):
            offers = {"awvalid": int(not address and self._may()), "wvalid": int(not data and self._may())}
            ready = int(self._may())
            both = address and data
            self.step(**offers, awaddr=offset, wdata=value, wstrb=strobes, bready=ready, **(events if both else {}))
            address |= bool(offers["awvalid"] and self["awready"])
            data |= bool(offers["wvalid"] and self["wready"])
            answered = bool(self["bvalid"])
            if answered:
                assert both
                assert self["bresp"] == 0
                if ready:
                    return
        raise AssertionError("no answer to a write")

    def read(self, offset: int) -> int:
        asked = False
        for _ in range(200):
            offers = int(not asked and self._may())
            ready = int(self._may())
            self.step(arvalid=offers, araddr=offset, rready=ready)
            asked |= bool(offers and self["arready"])
            if self["rvalid"] and ready:
                assert self["rresp"] == 0
                return self["rdata"]
        raise AssertionError("no answer to a read")

    def fields(self, name: str) -> dict[str, int]:
        return register(name).unpack(self.read(register(name).offset))

    def run(self, cycles: int) -> None:
        """Start, and finish after so many cycles, first and last one included."""
        self.write("CONTROL", 1)
        while not self.starts or self.cycle < self.starts[-1] + cycles - 1:
            self.step()
        self.step(finished=1)


@pytest.fixture
def host() -> Host:
    return Host()


def test_the_overlay_says_what_it_is(host: Host) -> None:
    assert host.read(register("IDENTIFIER").offset).to_bytes(4, "big") == b"DYNM"
    assert host.fields("VERSION") == dict(zip(("major", "minor"), VERSION, strict=True))
    assert host.fields("SHAPE") == {"rows": 5, "columns": 300}
    assert host.fields("PORTS") == {"port_bytes": 21, "bus_bytes": 32, "address_bits": 64}
    assert host.fields("ARITHMETIC") == {"sum_bits": 48, "operand_bits": 18, "winograd_2": 1, "winograd_4": 1}
    assert host.fields("FINGERPRINT") == {"value": fingerprint(CIRCUIT)}


def test_every_parameter_changes_the_fingerprint() -> None:
    others = {"winograd": (2,), "sum_width": 47, "dram_bytes_per_cycle": 22, "rows": 6, "columns": 301}
    changed = [
        replace(CIRCUIT, **{field.name: others.get(field.name, 2 * getattr(CIRCUIT, field.name))})
        for field in fields(CIRCUIT)
    ]
    assert len({fingerprint(circuit) for circuit in (CIRCUIT, *changed)}) == 1 + len(changed)


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_every_field_can_be_read_and_written_as_its_access_says(stall: float) -> None:
    host, dice = Host(seed=1, stall=stall), random.Random(2)
    kept = {entry.name: CONSTANTS.get(entry.name, 0) for entry in REGISTERS}
    for _ in range(60):
        entry = dice.choice([entry for entry in REGISTERS if entry.name != "CONTROL"])
        value, strobes = dice.getrandbits(32), dice.getrandbits(4)
        host.write(entry.name, value, strobes)
        lanes = sum(0xFF << 8 * byte for byte in range(4) if strobes >> byte & 1)
        for field in entry.fields:
            if field.access is Access.WRITE:
                mask = field.mask & lanes
                kept[entry.name] = kept[entry.name] & ~mask | value & mask
        assert host.read(entry.offset) == kept[entry.name]
    assert {entry.name: host.read(entry.offset) for entry in REGISTERS} == kept
    assert not host.starts
    assert host["program_address"] == kept["PROGRAM_ADDRESS"]
    assert host["base"] == kept["BASE_HIGH"] << 20 | kept["BASE_LOW"] >> 12


def test_where_no_register_is_nothing_is_read_or_written(host: Host) -> None:
    for offset in range(4 * len(REGISTERS), 64, 4):
        assert host.read(offset) == 0
    assert sorted(entry.offset for entry in REGISTERS) == list(range(0, 4 * len(REGISTERS), 4))
    for entry in REGISTERS:
        used = [bit for field in entry.fields for bit in range(field.low, field.low + field.width)]
        assert len(used) == len(set(used))
        assert max(used) < 32


@pytest.mark.parametrize("cycles", [2, 3, 77])
def test_a_run_is_told_as_it_was(host: Host, cycles: int) -> None:
    host.write("PROGRAM_ADDRESS", 0x1234_5678)
    host.write("INTERRUPT", 1)
    assert not host["interrupt"]
    for number in (1, 2):
        host.run(cycles)
        assert len(host.starts) == number
        assert host["program_address"] == 0x1234_5678
        host.step()
        assert host["interrupt"]
        status = host.fields("STATUS")
        assert (status["busy"], status["done"]) == (0, 1)
        assert host.fields("CYCLES_LOW")["value"] == cycles
        host.write("STATUS", register("STATUS").pack(done=1))
        host.step()
        assert not host["interrupt"]
        assert host.fields("STATUS")["done"] == 0
        assert host.fields("CYCLES_LOW")["value"] == cycles


def test_a_finish_before_the_start_is_not_that_of_the_run(host: Host) -> None:
    host.inputs["finished"] = 1  # the program before; high until the next start is seen
    host.write("CONTROL", 1)
    while not host["start"]:
        host.step()
    host.inputs["finished"] = 0
    assert host.fields("STATUS")["busy"] == 1


def test_while_a_program_runs_it_is_left_alone(host: Host) -> None:
    host.write("BASE_LOW", 0xABCD_E123)
    host.write("CONTROL", 1)
    for name in ("PROGRAM_ADDRESS", "BASE_LOW", "BASE_HIGH"):
        host.write(name, 0xFFFF_FFFF)
    host.write("CONTROL", 1)
    assert len(host.starts) == 1
    assert (host["program_address"], host["base"]) == (0, 0xABCDE)
    assert host.fields("STATUS")["busy"] == 1
    assert host.fields("CYCLES_LOW")["value"] > 10  # it counts meanwhile
    host.write("INTERRUPT", 1)
    host.step(finished=1)
    host.step()
    assert host["interrupt"]
    host.write("PROGRAM_ADDRESS", 128)
    host.run(5)
    assert (len(host.starts), host["program_address"]) == (2, 128)


def test_a_start_clears_done_and_no_error(host: Host) -> None:
    host.run(4)
    host.step(read_error=1)
    host.write("CONTROL", 1)
    assert host.fields("STATUS") == {**dict.fromkeys(host.fields("STATUS"), 0), "busy": 1, "read_error": 1}


@pytest.mark.parametrize("name", ["program_error", "read_error", "write_error"])
def test_errors_stay_until_they_are_cleared(host: Host, name: str) -> None:
    host.step(**{name: 1})
    others = register("STATUS").pack(**{other: 1 for other in host.fields("STATUS") if other != name})
    host.write("STATUS", others)
    host.write("STATUS", register("STATUS").pack(**{name: 1}), strobes=0b1110)
    assert host.fields("STATUS")[name] == 1
    host.write("STATUS", register("STATUS").pack(**{name: 1}), **{name: 1})
    assert host.fields("STATUS")[name] == 1  # one that comes while the last one is cleared is not lost
    host.write("STATUS", register("STATUS").pack(**{name: 1}))
    assert host.fields("STATUS")[name] == 0


def test_a_reset_between_programs_brings_everything_to_its_start(host: Host) -> None:
    host.run(9)
    for name in ("INTERRUPT", "PROGRAM_ADDRESS", "BASE_LOW", "BASE_HIGH"):
        host.write(name, 0xFFFF_FFFF)
    host.step(write_error=1, arvalid=1)
    host.step(aresetn=0)
    assert not host["open"]
    host.step()
    assert (host["open"], host["rvalid"], host["interrupt"]) == (1, 0, 0)
    assert {entry.name: host.read(entry.offset) for entry in REGISTERS} == {
        entry.name: CONSTANTS.get(entry.name, 0) for entry in REGISTERS
    }
    host.run(6)
    assert host.fields("CYCLES_LOW")["value"] == 6


def test_a_reset_while_a_program_runs_closes_the_bus_for_good(host: Host) -> None:
    host.write("CONTROL", 1)
    host.step(aresetn=0)
    for _ in range(2):
        host.step()
        assert not host["open"]
        status = host.fields("STATUS")
        assert (status["stopped"], status["busy"]) == (1, 1)
        host.write("CONTROL", 1)
        host.step(aresetn=0)
    assert len(host.starts) == 1


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"SHAPE\.rows has 16 bits; 65536 does not fit"):
        register("SHAPE").pack(rows=65_536)
    with pytest.raises(KeyError, match="register SHAPE has no field depth"):
        register("SHAPE").pack(depth=1)
    with pytest.raises(KeyError, match="there is no register SPEED"):
        register("SPEED")
