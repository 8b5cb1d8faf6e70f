"""Reader and writer by themselves, on a memory of cocotbext-axi; run by ``test_axi_bus.py`` inside the simulator."""

from __future__ import annotations

import random
from collections.abc import Sequence

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from axi_bench import MASTERS
from axi_cocotb_bus import BASE, MEMORY, hold_back, start_clock, watch
from dynamap_rtl.axi.port import axi_bursts_of

Request = tuple[int, int]
masters = cocotb.parametrize(prefix=list(MASTERS))


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
