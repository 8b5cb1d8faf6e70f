"""What the AXI tests do inside the simulator; the memory, the processor and the rules of the bus are cocotbext-axi's.

Started by ``test_axi_bus.py``. Signals are sampled at a rising edge, as they were before it; what the bench drives
changes after it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus, AxiResp

from axi_bench import MASTERS, OVERLAY
from dynamap_rtl.axi.port import axi_bursts_of
from dynamap_rtl.axi.registers import constants, register
from dynamap_rtl.program.sample import Sample, sample_convolution
from dynamap_rtl.simulation import OverlaySimulation

Request = tuple[int, int]
MEMORY = 1 << 18
BASE = 0x5_4000_3000  # above 4 GiB; a multiple of MEMORY and three pages
STATUS = register("STATUS")
masters = cocotb.parametrize(prefix=list(MASTERS))


def start_clock(dut) -> None:
    cocotb.start_soon(Clock(dut.aclk, 4, "ns").start())


# Back-pressure, and what every channel must keep to


def channels(ram: AxiRam | AxiRamRead) -> list[object]:
    sides = [ram] if isinstance(ram, AxiRamRead) else [ram.read_if, ram.write_if]
    names = ("ar_channel", "r_channel", "aw_channel", "w_channel", "b_channel")
    return [getattr(side, name) for side in sides for name in names if hasattr(side, name)]


def pauses(seed: int, share: float) -> Iterator[bool]:
    """When a channel holds back: a few cycles at a time, ``share`` of the time."""
    dice = random.Random(seed)
    while True:
        yield from itertools.repeat(dice.random() < share, dice.randint(1, 4))


def hold_back(ram: AxiRam | AxiRamRead, seed: int, share: float = 0.4) -> None:
    for number, channel in enumerate(channels(ram)):
        channel.set_pause_generator(pauses(seed + number, share))


async def watch(
    dut, prefix: str, channel: str, fields: Sequence[str], seen: list[tuple[int, ...]], *, reset=None
) -> None:
    """Note a channel's transfers; what is offered must stay until it is taken, or a reset comes."""
    valid, ready = getattr(dut, f"{prefix}_{channel}valid"), getattr(dut, f"{prefix}_{channel}ready")
    signals = [getattr(dut, f"{prefix}_{channel}{field}") for field in fields]
    held: tuple[int, ...] | None = None
    edge = RisingEdge(dut.aclk)
    while True:
        await edge
        values = tuple(int(signal.value) for signal in signals) if int(valid.value) else None
        if reset is not None and not int(reset.value):
            assert values is None, f"{prefix}_{channel} offers something in a reset"
            held = None
        assert held is None or values == held, f"{prefix}_{channel} did not stay until it was taken"
        taken = values is not None and int(ready.value)
        held = None if taken else values
        if taken:
            seen.append(values)


# Lone masters


class Master:
    """Reader and writer of a prefix, their burst ports driven from here, and a memory on their bus."""

    def __init__(self, dut, prefix: str, seed: int) -> None:
        self.dut, self.prefix, self.port = dut, prefix, MASTERS[prefix]
        self.dice = random.Random(seed)
        self.memory = bytearray(self.dice.randbytes(MEMORY))
        self.ram = AxiRam(AxiBus.from_prefix(dut, prefix), dut.aclk, mem=self.memory)
        self.seen: dict[str, list[tuple[int, ...]]] = {"ar": [], "aw": [], "w": []}
        for channel, fields in (("ar", ["addr", "len"]), ("aw", ["addr", "len"]), ("w", ["data", "strb", "last"])):
            cocotb.start_soon(watch(dut, prefix, channel, fields, self.seen[channel]))
        for side in ("read", "write"):
            self.wire(side, "open").value = 1
            self.wire(side, "base").value = BASE >> 12
            self.wire(side, "request_valid").value = 0
        self.wire("write", "write_valid").value = 0

    def wire(self, side: str, name: str):
        return getattr(self.dut, f"{self.prefix}_{side}_{name}")

    def _ask(self, side: str, requests: Sequence[Request], number: int) -> None:
        """Offer a request, if there is one left."""
        self.wire(side, "request_valid").value = int(number < len(requests))
        if number < len(requests):
            address, count = requests[number]
            self.wire(side, "request_address").value = address
            self.wire(side, "request_bytes").value = count

    async def read(self, requests: Sequence[Request], *, stall: float = 0.0) -> tuple[list[bytes], list[int]]:
        """The bytes of every request, and the cycle of every beat."""
        edge, width = RisingEdge(self.dut.aclk), self.port.port_bytes
        beats: list[bytes] = []
        cycles: list[int] = []
        asked, cycle = 0, 0
        request_ready, valid, data = (self.wire("read", name) for name in ("request_ready", "data_valid", "data"))
        wanted = sum(-(-count // width) for _, count in requests)
        while len(beats) < wanted:
            self._ask("read", requests, asked)
            ready = self.dice.random() >= stall
            self.wire("read", "data_ready").value = int(ready)
            await edge
            asked += asked < len(requests) and int(request_ready.value)
            if ready and int(valid.value):
                beats.append(int(data.value).to_bytes(width, "little"))
                cycles.append(cycle)
            cycle += 1
            assert cycle < 60_000
        self.wire("read", "request_valid").value = 0
        left = iter(beats)
        parts = [[next(left) for _ in range(-(-count // width))] for _, count in requests]
        return [b"".join(part)[:count] for part, (_, count) in zip(parts, requests, strict=True)], cycles

    async def write(self, requests: Sequence[tuple[int, bytes]], *, stall: float = 0.0) -> list[int]:
        """Write, and wait until all is said to be written; the cycle of every beat."""
        edge, width = RisingEdge(self.dut.aclk), self.port.port_bytes
        beats = [
            (number, data[start : start + width])
            for number, (_, data) in enumerate(requests)
            for start in range(0, len(data), width)
        ]
        asks = [(address, len(data)) for address, data in requests]
        cycles: list[int] = []
        asked, written, cycle, offers = 0, 0, 0, False
        request_ready, ready, told = (self.wire("write", name) for name in ("request_ready", "write_ready", "written"))
        while written < len(requests):
            self._ask("write", asks, asked)
            may = len(cycles) < len(beats) and beats[len(cycles)][0] < asked
            offers = may and (offers or self.dice.random() >= stall)
            self.wire("write", "write_valid").value = int(offers)
            if offers:
                part = beats[len(cycles)][1]
                noise = self.dice.randbytes(width - len(part))
                self.wire("write", "write_data").value = int.from_bytes(part + noise, "little")
            await edge
            asked += asked < len(asks) and int(request_ready.value)
            if offers and int(ready.value):
                cycles.append(cycle)
                offers = False
            if int(told.value):
                address, data = requests[written]
                assert self.held(address, len(data)) == data, "written was said before it was true"
                written += 1
            cycle += 1
            assert cycle < 60_000
        self.wire("write", "request_valid").value = 0
        return cycles

    def held(self, address: int, count: int) -> bytes:
        """What memory has at an address of the burst port."""
        start = (BASE + address) % MEMORY
        return bytes(self.memory[start : start + count])


def every_burst(data_bytes: int, first: int, dice: random.Random) -> list[Request]:
    """From an address on, apart: every place in a beat with every length up to two beats, and around 4 KiB."""
    sizes = [(at, count) for at in range(data_bytes) for count in range(1, 2 * data_bytes + 2)]
    dice.shuffle(sizes)
    stride = 4 * data_bytes
    requests = [(first + stride * number + at, count) for number, (at, count) in enumerate(sizes)]
    page = -(-(requests[-1][0] + stride) // 4096) * 4096
    for before in (1, 2, data_bytes - 1, data_bytes, data_bytes + 1, 100):
        for count in (before, before + 1, before + 300 * dice.randint(1, 9)):
            page += 4096
            requests.append((page - before, count))
    dice.shuffle(requests)
    return requests


@cocotb.test()
@masters
async def every_burst_is_read_and_written(dut, prefix: str) -> None:
    start_clock(dut)
    master, stall = Master(dut, prefix, seed=7), 0.4
    hold_back(master.ram, 20, stall)
    before = bytes(master.memory)
    reads = every_burst(master.port.data_bytes, 0, master.dice)
    half = MEMORY // 2
    writes = [
        (address, master.dice.randbytes(count))
        for address, count in every_burst(master.port.data_bytes, half, master.dice)
    ]
    writing = cocotb.start_soon(master.write(writes, stall=stall))
    whole, _ = await master.read(reads, stall=stall)
    for (address, count), data in zip(reads, whole, strict=True):
        start = (BASE + address) % MEMORY
        assert data == before[start : start + count], (address, count)
    await writing
    expected = bytearray(before)
    for address, data in writes:
        start = (BASE + address) % MEMORY
        expected[start : start + len(data)] = data
    assert master.memory == expected
    asked = [(address, len(data)) for address, data in writes]
    for channel, requests in (("ar", reads), ("aw", asked)):
        bursts = [burst for request in requests for burst in axi_bursts_of(*request, master.port)]
        assert master.seen[channel] == [(BASE + address, beats - 1) for address, beats in bursts]
    strobes = sum(strobe.bit_count() for _, strobe, _ in master.seen["w"])
    assert strobes == sum(count for _, count in asked)


@cocotb.test()
@masters
async def the_longest_bursts_move_a_beat_a_cycle(dut, prefix: str) -> None:
    start_clock(dut)
    master = Master(dut, prefix, seed=8)
    width = master.port.port_bytes
    beats = 65_535 // width if width == master.port.data_bytes else 1000
    count = beats * width
    bursts = axi_bursts_of(4096, count, master.port)
    (data,), cycles = await master.read([(4096, count)])
    assert data == master.held(4096, count)
    assert cycles == list(range(cycles[0], cycles[0] + beats))
    cycles = await master.write([(4096, master.dice.randbytes(count))])
    assert len(cycles) == beats
    # cocotbext-axi's memory takes a cycle from one burst to the next.
    assert cycles[-1] - cycles[0] < beats + len(bursts)


# The whole overlay


class System:
    """The overlay, a memory on both of its buses, and a processor."""

    def __init__(self, dut, *, base: int = 0) -> None:
        self.dut, self.base = dut, base
        self.memory = bytearray(MEMORY)
        reset = {"reset": dut.overlay_aresetn, "reset_active_level": False}
        program = AxiReadBus.from_prefix(dut, "overlay_m_axi_program")
        self.program = AxiRamRead(program, dut.aclk, mem=self.memory, **reset)
        self.data = AxiRam(AxiBus.from_prefix(dut, "overlay_m_axi_data"), dut.aclk, mem=self.memory, **reset)
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "overlay_s_axi"), dut.aclk, **reset)
        self.seen: dict[str, list[tuple[int, ...]]] = {"program_ar": [], "data_ar": [], "data_aw": []}
        self.counted: list[int] = []  # cycles of every run, by the signals of the overlay

    async def begin(self) -> None:
        start_clock(self.dut)
        self.dut.overlay_aresetn.value = 0
        await ClockCycles(self.dut.aclk, 3)
        self.dut.overlay_aresetn.value = 1
        await ClockCycles(self.dut.aclk, 2)
        for channel, seen in self.seen.items():
            bus, letters, reset = f"overlay_m_axi_{channel[:-3]}", channel[-2:], self.dut.overlay_aresetn
            cocotb.start_soon(watch(self.dut, bus, letters, ["addr", "len"], seen, reset=reset))
        cocotb.start_soon(self._count())

    async def _count(self) -> None:
        core, edge = self.dut.overlay.core, RisingEdge(self.dut.aclk)
        while True:
            await edge
            if int(core.control_start.value):
                cycles = 1
                while True:
                    await edge
                    cycles += 1
                    if int(core.overlay_finished.value):
                        break
                self.counted.append(cycles)

    async def get(self, name: str) -> dict[str, int]:
        entry = register(name)
        answer = await self.host.read(entry.offset, 4)
        assert answer.resp == AxiResp.OKAY
        return entry.unpack(int.from_bytes(answer.data, "little"))

    async def put(self, name: str, **fields: int) -> None:
        entry = register(name)
        await self.host.write(entry.offset, entry.pack(**fields).to_bytes(4, "little"))

    def load(self, sample: Sample) -> None:
        start = self.base % MEMORY
        self.memory[start : start + len(sample.memory)] = sample.memory.tobytes()

    async def start(self, sample: Sample) -> None:
        self.load(sample)
        await self.put("PROGRAM_ADDRESS", value=sample.program_address)
        await self.put("BASE_LOW", value=self.base >> 12 & 0xFFFFF)
        await self.put("BASE_HIGH", value=self.base >> 32)
        await self.put("INTERRUPT", enable=1)
        await self.put("CONTROL", start=1)

    async def run(self, sample: Sample) -> int:
        """Run, and give the cycle counter."""
        await self.start(sample)
        assert not int(self.dut.overlay_interrupt.value)
        await with_timeout(RisingEdge(self.dut.overlay_interrupt), 100, "us")
        status = await self.get("STATUS")
        assert (status["busy"], status["done"]) == (0, 1)
        await self.put("STATUS", done=1)
        assert not int(self.dut.overlay_interrupt.value)
        low, high = await self.get("CYCLES_LOW"), await self.get("CYCLES_HIGH")
        return high["value"] << 32 | low["value"]

    def result(self, sample: Sample) -> np.ndarray:
        place, start = sample.layer.target, self.base % MEMORY + sample.layer.target.address
        data = np.frombuffer(bytes(self.memory[start : start + place.pixels * place.channels]), np.uint8)
        return data.reshape(place.height, place.width, place.channels)


def convolved(sample: Sample) -> np.ndarray:
    """The layer in numpy: exact sums, one rounding to the nearest, halves to even."""
    layer, side = sample.layer, sample.layer.source.height
    source = (
        sample.memory[: side * side * layer.source.channels].reshape(side, side, -1).astype(np.int8).astype(np.int64)
    )
    padded = np.pad(source, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    sums = np.einsum("yxcij,ocij->yxo", windows, layer.weights) + layer.scaling.bias
    scaled = np.rint(sums * layer.scaling.multiplier / 2.0**layer.scaling.shift)
    return np.clip(scaled, layer.scaling.low, layer.scaling.high).astype(np.int64) & 255


def ideal_cycles(sample: Sample) -> int:
    """On memory that answers after ``dram_latency_cycles``."""
    simulation = OverlaySimulation(OVERLAY.circuit, memory_bytes=len(sample.memory))
    simulation.memory[:] = sample.memory
    return simulation.run(sample.program_address)


@cocotb.test()
async def the_registers_say_what_the_overlay_is(dut) -> None:
    system = System(dut)
    await system.begin()
    for name, word in constants(OVERLAY.circuit, address_width=OVERLAY.address_width).items():
        assert await system.get(name) == register(name).unpack(word)
    assert set((await system.get("STATUS")).values()) == {0}


@cocotb.test()
async def a_layer_runs_and_its_cycles_are_counted(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=1)
    cycles = await system.run(sample)
    np.testing.assert_array_equal(system.result(sample), convolved(sample))
    assert [cycles] == system.counted
    assert await system.get("STATUS") == dict.fromkeys(await system.get("STATUS"), 0)
    # cocotbext-axi's memory answers sooner than the latency that the overlay hides.
    assert ideal_cycles(sample) * 0.8 < cycles < ideal_cycles(sample) * 1.2


@cocotb.test()
async def a_slow_memory_above_4_gib_changes_the_cycles_only(dut) -> None:
    system = System(dut, base=BASE)
    await system.begin()
    quick = sample_convolution(OVERLAY.circuit, seed=2)
    first = await system.run(quick)
    hold_back(system.program, 50)
    hold_back(system.data, 60)
    for seed in (3, 4):
        sample = sample_convolution(OVERLAY.circuit, seed=seed)
        cycles = await system.run(sample)
        np.testing.assert_array_equal(system.result(sample), convolved(sample))
        assert cycles == system.counted[-1]
        assert cycles > first
    size = len(quick.memory)
    for seen in system.seen.values():
        assert seen
        for address, length in seen:
            assert BASE <= address < BASE + size
            assert length < 256


@cocotb.test()
async def an_error_is_told_and_stays_until_it_is_cleared(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=5)
    reader, writer = system.data.read_if, system.data.write_if

    async def refused(address: int, *_: object) -> None:
        raise OSError(f"there is nothing at {address}")

    for side, method, flag in ((reader, "_read", "read_error"), (writer, "_write", "write_error")):
        kept = getattr(side, method)
        setattr(side, method, refused)
        await system.run(sample)
        setattr(side, method, kept)
        status = await system.get("STATUS")
        assert {name for name, value in status.items() if value} == {flag}
        await system.run(sample)
        assert (await system.get("STATUS"))[flag] == 1
        await system.put("STATUS", **{flag: 1})
        assert set((await system.get("STATUS")).values()) == {0}
        np.testing.assert_array_equal(system.result(sample), convolved(sample))


@cocotb.test()
async def a_reset_between_programs_is_no_loss(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=6)
    for _ in range(2):
        await system.run(sample)
        dut.overlay_aresetn.value = 0
        await ClockCycles(dut.aclk, 5)
        dut.overlay_aresetn.value = 1
        await ClockCycles(dut.aclk, 2)
        assert await system.get("PROGRAM_ADDRESS") == {"value": 0}
    np.testing.assert_array_equal(system.result(sample), convolved(sample))


@cocotb.test()
async def the_last_of_all_a_reset_in_a_program_silences_the_overlay(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=7)
    await system.start(sample)
    await ClockCycles(dut.aclk, 300)
    assert (await system.get("STATUS"))["busy"]
    dut.overlay_aresetn.value = 0
    await ClockCycles(dut.aclk, 5)
    dut.overlay_aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    for seen in system.seen.values():
        seen.clear()
    status = await system.get("STATUS")
    assert (status["busy"], status["stopped"]) == (1, 1)
    await system.put("CONTROL", start=1)
    for _ in range(500):
        await RisingEdge(dut.aclk)
        for channel in ("program_ar", "data_ar", "data_aw", "data_w"):
            assert not int(getattr(dut, f"overlay_m_axi_{channel}valid").value)
    assert not any(system.seen.values())
