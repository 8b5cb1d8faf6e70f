"""Reader and writer by themselves, on a memory of cocotbext-axi; run by ``test_axi_bus.py`` inside the simulator."""

from __future__ import annotations

import random
from collections.abc import Sequence

import cocotb
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiRam

from axi_bench import MASTERS
from axi_cocotb_bus import BASE, MEMORY, PERIOD, Watch, hold_back, start_clock
from dynamap_rtl.axi.port import axi_bursts_of

Request = tuple[int, int]
#: Cycles after which a test gives up.
LONGEST = 60_000
masters = cocotb.parametrize(prefix=list(MASTERS))


class Master:
    """Reader and writer of a prefix, their burst ports driven from here, and a memory on their bus."""

    def __init__(self, dut, prefix: str, seed: int, channels: Sequence[str] = ("ar", "aw", "w")) -> None:
        self.dut, self.prefix, self.port = dut, prefix, MASTERS[prefix]
        self.dice = random.Random(seed)
        self.memory = bytearray(self.dice.randbytes(MEMORY))
        self.ram = AxiRam(AxiBus.from_prefix(dut, prefix), dut.aclk, mem=self.memory)
        self.seen = Watch(dut, prefix, channels).seen
        for side in ("read", "write"):
            self.wire(side, "open").value = 1
            self.wire(side, "base").value = BASE >> 12
            self.wire(side, "request_valid").value = 0
        self.wire("write", "write_valid").value = 0
        self.copies = getattr(dut, f"{prefix}_copy")
        self.copies.value = 0

    def wire(self, side: str, name: str):
        return getattr(self.dut, f"{self.prefix}_{side}_{name}")

    async def _ask(self, side: str, requests: Sequence[Request], taken: list[Request]) -> None:
        """Offer requests, one after another; ``taken`` gets them."""
        edge = RisingEdge(self.dut.aclk)
        names = ("valid", "ready", "address", "bytes")
        valid, ready, place, size = (self.wire(side, f"request_{name}") for name in names)
        for address, count in requests:
            valid.value, place.value, size.value = 1, address, count
            await edge
            while not ready.value:
                await RisingEdge(ready)
                await edge
            taken.append((address, count))
        valid.value = 0

    async def read(self, requests: Sequence[Request], *, stall: float = 0.0) -> tuple[list[bytes], list[int]]:
        """The bytes of every request, and the cycle of every beat."""
        edge, width = RisingEdge(self.dut.aclk), self.port.port_bytes
        beats: list[bytes] = []
        cycles: list[int] = []
        cocotb.start_soon(self._ask("read", requests, []))
        ready, valid, data = (self.wire("read", name) for name in ("data_ready", "data_valid", "data"))
        wanted, cycle = sum(-(-count // width) for _, count in requests), 0
        may = None
        while len(beats) < wanted:
            now = self.dice.random() >= stall
            if now is not may:  # driving a signal takes time
                may = now
                ready.value = int(may)
            await edge
            if may and valid.value:
                beats.append(int(data.value).to_bytes(width, "little"))
                cycles.append(cycle)
            cycle += 1
            assert cycle < LONGEST
        ready.value = 0
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
        taken: list[Request] = []
        cocotb.start_soon(self._ask("write", [(address, len(data)) for address, data in requests], taken))
        cycles: list[int] = []
        written, cycle, offers, offered = 0, 0, False, False
        names = ("write_valid", "write_ready", "write_data", "written")
        valid, ready, data, told = (self.wire("write", name) for name in names)
        while written < len(requests):
            may = len(cycles) < len(beats) and beats[len(cycles)][0] < len(taken)
            if may and not offers and self.dice.random() >= stall:
                offers = True
                part = beats[len(cycles)][1]
                data.value = int.from_bytes(part + self.dice.randbytes(width - len(part)), "little")
            if offers is not offered:
                offered = offers
                valid.value = int(offers)
            await edge
            if offers and ready.value:
                cycles.append(cycle)
                offers = False
            if told.value:
                address, whole = requests[written]
                assert self.held(address, len(whole)) == whole, "written was said before it was true"
                written += 1
            cycle += 1
            assert cycle < LONGEST
        return cycles

    async def copy(self, reads: Sequence[Request], writes: Sequence[Request]) -> None:
        """Write what is read, request by request; the writer takes it from the reader as it comes."""
        self.wire("write", "write_valid").value = 0
        self.copies.value = 1
        for side, requests in (("read", reads), ("write", writes)):
            cocotb.start_soon(self._ask(side, requests, []))
        for _ in writes:
            await with_timeout(RisingEdge(self.wire("write", "written")), LONGEST * PERIOD, "ns")
        self.copies.value = 0

    def held(self, address: int, count: int) -> bytes:
        """What memory has at an address of the burst port."""
        start = (BASE + address) % MEMORY
        return bytes(self.memory[start : start + count])

    def check_bursts(self, reads: Sequence[Request], writes: Sequence[Request]) -> None:
        """The bursts on the bus are those of the requests."""
        for channel, requests in (("ar", reads), ("aw", writes)):
            bursts = [burst for request in requests for burst in axi_bursts_of(*request, self.port)]
            assert self.seen[channel] == [(BASE + address, beats - 1) for address, beats in bursts]


def every_place(data_bytes: int, first: int, dice: random.Random) -> list[Request]:
    """From an address on, apart: every place in a beat with every length up to a beat, past two, around 4 KiB."""
    sizes = [(at, count) for at in range(data_bytes) for count in (*range(1, data_bytes + 2), 2 * data_bytes + 1)]
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
async def every_place_and_length_is_read_and_written(dut, prefix: str) -> None:
    start_clock(dut)
    master, stall = Master(dut, prefix, seed=7), 0.4
    hold_back(master.ram, 20, stall)
    expected = bytearray(master.memory)
    reads, writes = (every_place(master.port.data_bytes, first, master.dice) for first in (0, MEMORY // 2))
    given = [(address, master.dice.randbytes(count)) for address, count in writes]
    writing = cocotb.start_soon(master.write(given, stall=stall))
    whole, _ = await master.read(reads, stall=stall)
    for (address, count), data in zip(reads, whole, strict=True):
        assert data == master.held(address, count), (address, count)
    await writing
    for address, data in given:
        start = (BASE + address) % MEMORY
        expected[start : start + len(data)] = data
    assert master.memory == expected
    master.check_bursts(reads, writes)
    strobes = sum(strobe.bit_count() for _, strobe, _ in master.seen["w"])
    assert strobes == sum(count for _, count in writes)


def every_burst(first: int, dice: random.Random) -> list[Request]:
    """Requests of 257 beats of 16 bytes, each over a 4 KiB boundary: cut there, they are bursts of 1 to 256 beats."""
    lengths = list(range(1, 129))  # of the first burst, the second one has the rest, and the other way round
    dice.shuffle(lengths)
    requests = []
    for number, beats in enumerate(lengths):
        border = first + 4096 * (1 + number % 16)
        start = border - 16 * (beats if number % 2 else 257 - beats)
        # Not at the beginning of the first beat, not to the end of the last one.
        requests.append((start + dice.randrange(16), 256 * 16 + 1))
    return requests


@cocotb.test()
async def every_burst_up_to_256_beats_is_read_and_written(dut) -> None:
    start_clock(dut)
    master = Master(dut, "even", seed=9, channels=["ar", "aw"])
    hold_back(master.ram, 30, share=0.1)
    expected = bytearray(master.memory)
    reads, writes = (every_burst(first, master.dice) for first in (0, MEMORY // 2))
    await master.copy(reads, writes)
    for (source, count), (target, _) in zip(reads, writes, strict=True):
        start = (BASE + target) % MEMORY
        expected[start : start + count] = master.held(source, count)
    assert master.memory == expected
    master.check_bursts(reads, writes)
    for seen in master.seen.values():
        assert sorted(length + 1 for _, length in seen) == list(range(1, 257))


@cocotb.test()
@masters
async def a_long_request_moves_a_beat_a_cycle(dut, prefix: str) -> None:
    start_clock(dut)
    master = Master(dut, prefix, seed=8)
    width, beats = master.port.port_bytes, 1000
    count = beats * width
    bursts = axi_bursts_of(4096, count, master.port)
    assert len(bursts) > 2
    (data,), cycles = await master.read([(4096, count)])
    assert data == master.held(4096, count)
    assert cycles == list(range(cycles[0], cycles[0] + beats))
    cycles = await master.write([(4096, master.dice.randbytes(count))])
    assert len(cycles) == beats
    # cocotbext-axi's memory takes a cycle from one burst to the next.
    assert cycles[-1] - cycles[0] < beats + len(bursts)
