"""The AXI masters: every alignment and length, the rules of the bus, nothing beside a request, the cycles promised."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import pytest

from axi_slave import AxiSlave
from dynamap_rtl.axi.port import AxiPort, axi_bursts_of, bus_bytes
from dynamap_rtl.hardware import HardwareError
from dynamap_rtl.hardware.simulator import CompiledSimulation
from dynamap_rtl.rotation import rotator_latency
from dynamap_rtl.units.axi_reader import axi_reader
from dynamap_rtl.units.axi_writer import axi_writer

Request = tuple[int, int]
QUIET = {"request_valid": 0, "request_address": 0, "request_bytes": 1}
#: W = D, and less than the narrowest bus.
PORTS = [AxiPort(port_bytes=width, outstanding=8) for width in (8, 3)]


@cache
def compiled(kind: str, port: AxiPort, buffer_beats: int = 0) -> CompiledSimulation:
    """A circuit compiled once; used again and again, which shows that nothing is left behind."""
    return CompiledSimulation(axi_writer(port) if kind == "write" else axi_reader(port, buffer_beats=buffer_beats))


def outputs(simulation: CompiledSimulation) -> dict[str, int]:
    return {name: simulation.inspect(name) for name in simulation.top.outputs}


class Requests:
    """Offers requests; one offered stays."""

    def __init__(self, requests: Sequence[Request], stall: float, seed: int) -> None:
        self.requests, self.stall, self.dice = list(requests), stall, random.Random(seed)
        self.taken: list[int] = []  # cycle of each
        self._offers = False

    def drive(self) -> dict[str, int]:
        left = len(self.taken) < len(self.requests)
        self._offers = left and (self._offers or self.dice.random() >= self.stall)
        if not self._offers:
            return QUIET
        address, count = self.requests[len(self.taken)]
        return {"request_valid": 1, "request_address": address, "request_bytes": count}

    def clock(self, ready: int, cycle: int) -> None:
        if self._offers and ready:
            self.taken.append(cycle)
            self._offers = False


def read(
    simulation: CompiledSimulation,
    slave: AxiSlave,
    requests: Sequence[Request],
    port: AxiPort,
    *,
    stall: float = 0.0,
    seed: int = 0,
    base: int = 0,
) -> tuple[list[bytes], list[int], list[int]]:
    """The bytes of every request, the cycle of every request and of every beat."""
    asks, dice = Requests(requests, stall, seed), random.Random(seed + 1)
    beats: list[bytes] = []
    cycles: list[int] = []
    wanted = sum(-(-count // port.port_bytes) for _, count in requests)
    held: int | None = None
    for cycle in range(200_000):
        ready = int(dice.random() >= stall)
        given = {**asks.drive(), "data_ready": ready, "base": base // 4096, "open": 1}
        driven = slave.drive()
        given |= {name: driven[name] for name in ("arready", "rvalid", "rdata", "rresp")}
        simulation.step(given)
        seen = outputs(simulation)
        asks.clock(seen["request_ready"], cycle)
        if held is not None:
            assert (seen["data_valid"], seen["data"]) == (1, held)
        held = seen["data"] if seen["data_valid"] and not ready else None
        if seen["data_valid"] and ready:
            beats.append(seen["data"].to_bytes(port.port_bytes, "little"))
            cycles.append(cycle)
        slave.clock({**{name: seen[name] for name in ("arvalid", "araddr", "arlen", "rready")}, "bready": 0})
        if len(beats) == wanted and slave.idle:
            break
    else:
        raise AssertionError(f"{len(beats)} of {wanted} beats came")
    whole = []
    left = iter(beats)
    for _, count in requests:
        whole.append(b"".join(next(left) for _ in range(-(-count // port.port_bytes)))[:count])
    return whole, asks.taken, cycles


def write(
    simulation: CompiledSimulation,
    slave: AxiSlave,
    requests: Sequence[tuple[int, bytes]],
    port: AxiPort,
    *,
    stall: float = 0.0,
    seed: int = 0,
    base: int = 0,
) -> tuple[list[int], list[int], list[int], list[int]]:
    """The cycle of every request, of every beat, of every ``written`` and of every error."""
    asks = Requests([(address, len(data)) for address, data in requests], stall, seed)
    dice = random.Random(seed + 1)
    beats: list[tuple[int, int]] = []  # request, data
    for number, (_, data) in enumerate(requests):
        for start in range(0, len(data), port.port_bytes):
            part = data[start : start + port.port_bytes]
            noise = dice.randbytes(port.port_bytes - len(part))
            beats.append((number, int.from_bytes(part + noise, "little")))
    taken: list[int] = []
    written: list[int] = []
    errors: list[int] = []
    offers = False
    for cycle in range(200_000):
        may = len(taken) < len(beats) and beats[len(taken)][0] < len(asks.taken)
        offers = may and (offers or dice.random() >= stall)
        given = {**asks.drive(), "base": base // 4096, "open": 1, "write_valid": int(offers)}
        given["write_data"] = beats[len(taken)][1] if offers else dice.getrandbits(8 * port.port_bytes)
        driven = slave.drive()
        given |= {name: driven[name] for name in ("awready", "wready", "bvalid", "bresp")}
        simulation.step(given)
        seen = outputs(simulation)
        asks.clock(seen["request_ready"], cycle)
        if offers and seen["write_ready"]:
            taken.append(cycle)
            offers = False
        if seen["written"]:
            written.append(cycle)
            assert len(written) <= len(asks.taken)
        if seen["error"]:
            errors.append(cycle)
        assert seen["bready"]
        slave.clock({**{name: seen[name] for name in slave_wires("aw", "w")}, "bready": seen["bready"], "rready": 0})
        if len(written) == len(requests) and slave.idle:
            break
    else:
        raise AssertionError(f"{len(written)} of {len(requests)} requests were written")
    return asks.taken, taken, written, errors


def slave_wires(*channels: str) -> list[str]:
    fields = {"aw": ("awvalid", "awaddr", "awlen"), "w": ("wvalid", "wdata", "wstrb", "wlast")}
    return [name for channel in channels for name in fields[channel]]


def cases(port: AxiPort, seed: int, size: int) -> list[Request]:
    """Every place in a beat with every length up to three beats, around 4 KiB, and some long ones, in any order."""
    dice = random.Random(seed)
    width = port.data_bytes
    requests = [(256 + at, count) for at in range(width) for count in range(1, 3 * width + 2)]
    requests += [
        (4096 - before, count) for before in range(1, 2 * width) for count in (1, before, before + 1, 3 * width)
    ]
    longest = min(5000, 300 * width)
    requests += [(dice.randrange(size - longest), dice.randint(1, longest)) for _ in range(6)]
    dice.shuffle(requests)
    return requests


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.name)
@pytest.mark.parametrize(("stall", "latency"), [(0.0, 3), (0.3, 1)])
def test_every_alignment_and_length_is_read(port: AxiPort, stall: float, latency: int) -> None:
    memory = bytearray(random.Random(1).randbytes(1 << 14))
    requests = cases(port, 2, len(memory))
    slave = AxiSlave(memory, data_bytes=port.data_bytes, latency=latency, stall=stall, seed=3)
    whole, _, _ = read(compiled("read", port), slave, requests, port, stall=stall, seed=4)
    for (address, count), data in zip(requests, whole, strict=True):
        assert data == memory[address : address + count], (address, count)
    assert slave.bursts["ar"] == [burst for request in requests for burst in axi_bursts_of(*request, port)]


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.name)
@pytest.mark.parametrize(("stall", "latency"), [(0.0, 3), (0.3, 1)])
def test_every_alignment_and_length_is_written_and_nothing_beside_it(port: AxiPort, stall: float, latency: int) -> None:
    dice = random.Random(5)
    memory = bytearray(dice.randbytes(1 << 14))
    requests = [(address, dice.randbytes(count)) for address, count in cases(port, 6, len(memory))]
    expected = bytearray(memory)
    for address, data in requests:
        expected[address : address + len(data)] = data
    slave = AxiSlave(memory, data_bytes=port.data_bytes, latency=latency, stall=stall, seed=7)
    write(compiled("write", port), slave, requests, port, stall=stall, seed=8)
    assert memory == expected
    split = [burst for address, data in requests for burst in axi_bursts_of(address, len(data), port)]
    assert slave.bursts["aw"] == split
    assert len(slave.words) == sum(beats for _, beats in split)


@pytest.mark.parametrize("width", [1, 4, 16, 128])
def test_a_burst_is_no_longer_than_axi_allows_and_covers_its_request(width: int) -> None:
    port, dice = AxiPort(port_bytes=width), random.Random(width)
    for _ in range(300):
        address, count = dice.randrange(1 << 20), dice.choice([1, width, 65_535, dice.randint(1, 65_535)])
        bursts = axi_bursts_of(address, count, port)
        size = port.data_bytes
        places = [at for start, beats in bursts for at in range(start, start + beats * size, size)]
        assert places == list(range(address // size * size, address + count, size))
        for start, beats in bursts:
            assert 1 <= beats <= 256
            assert start // 4096 == (start + beats * size - 1) // 4096


def test_the_longest_requests_are_read_and_written() -> None:
    port, dice = AxiPort(port_bytes=64), random.Random(10)
    memory = bytearray(dice.randbytes(1 << 17))
    requests = [(4095, 65_535), (4095, 1)]
    slave = AxiSlave(memory, data_bytes=port.data_bytes, latency=4)
    whole, _, _ = read(compiled("read", port), slave, requests, port)
    assert whole == [memory[address : address + number] for address, number in requests]
    writes = [(address, dice.randbytes(number)) for address, number in requests]
    expected = bytearray(memory)
    for address, data in writes:
        expected[address : address + len(data)] = data
    write(compiled("write", port), slave, writes, port)
    assert memory == expected


def cost(address: int, count: int, port: AxiPort) -> int:
    """Cycles of a request in a stream of requests, as the contracts say."""
    beats = -(-count // port.port_bytes)
    last = address + (beats - 1) * port.port_bytes
    return beats + (last // port.data_bytes != (address + count - 1) // port.data_bytes)


@pytest.mark.parametrize("width", [8, 6, 3])
def test_requests_follow_one_another_without_a_lost_cycle(width: int) -> None:
    port, dice = AxiPort(port_bytes=width), random.Random(9)
    size, memory = port.data_bytes, bytearray(1 << 14)
    aligned = [(4 * size, 40 * size), (64 * size, 3 * size), (80 * size, size), (1024, 100 * size)]
    mixed = [(dice.randrange(1 << 12), dice.randint(1, 12 * size)) for _ in range(60)]
    short = [(dice.randrange(1 << 12), dice.randint(1, size)) for _ in range(60)]
    for requests in (aligned, mixed, short):
        costs = [cost(*request, port) for request in requests]
        beats = [-(-count // width) for _, count in requests]
        # From the first beat of all to the last one of all.
        cycles = sum(costs[:-1]) + beats[-1] - 1
        assert requests is not aligned or size != width or costs == beats
        slave = AxiSlave(memory, data_bytes=size, latency=2)
        _, _, came = read(compiled("read", port), slave, requests, port)
        assert came[-1] - came[0] == cycles
        slave = AxiSlave(memory, data_bytes=size, latency=2)
        _, given, _, _ = write(compiled("write", port), slave, [(at, bytes(count)) for at, count in requests], port)
        assert given[-1] - given[0] == cycles


@pytest.mark.parametrize(("port_bytes", "buffer_beats"), [(8, 0), (16, 0), (16, 16), (128, 0)])
def test_a_lone_request_takes_the_cycles_promised(port_bytes: int, buffer_beats: int) -> None:
    port = AxiPort(port_bytes=port_bytes, outstanding=4)
    turn, latency = rotator_latency(port_bytes), 5
    memory = bytearray(4096)
    slave = AxiSlave(memory, data_bytes=port_bytes, latency=latency)
    _, (asked,), (came,) = read(compiled("read", port, buffer_beats), slave, [(128, port_bytes)], port)
    assert came - asked == 2 + latency + 2 + turn + bool(buffer_beats)
    slave = AxiSlave(memory, data_bytes=port_bytes, latency=latency)
    (asked,), (given,), (written,), _ = write(compiled("write", port), slave, [(128, bytes(port_bytes))], port)
    assert given - asked == 2  # its request has to get through first
    assert written - given == 1 + turn + latency + 1


def test_what_was_asked_for_finds_room_whether_or_not_it_is_taken() -> None:
    port = AxiPort(port_bytes=16, burst_beats=8, outstanding=8)
    simulation = compiled("read", port, 128)
    memory = bytearray(random.Random(1).randbytes(4096))
    slave = AxiSlave(memory, data_bytes=16, latency=3)
    requests = [(100 + 128 * number, 128) for number in range(8)]
    asks = Requests(requests, 0.0, 0)
    got: list[int] = []
    for cycle in range(400):
        ready = int(cycle > 200)
        driven = slave.drive()
        given = {name: driven[name] for name in ("arready", "rvalid", "rdata", "rresp")}
        simulation.step({**asks.drive(), **given, "data_ready": ready, "base": 0, "open": 1})
        seen = outputs(simulation)
        asks.clock(seen["request_ready"], cycle)
        assert seen["rready"]
        slave.clock({**{name: seen[name] for name in ("arvalid", "araddr", "arlen", "rready")}, "bready": 0})
        if seen["data_valid"] and ready:
            got.append(seen["data"])
        assert cycle < 120 or slave.idle
    assert b"".join(word.to_bytes(16, "little") for word in got) == memory[100 : 100 + 8 * 128]


def test_a_base_moves_everything_also_above_4_gib() -> None:
    port, base = PORTS[0], 0xFEDC_BA98_7654_3000
    memory = bytearray(random.Random(2).randbytes(1 << 13))
    slave = AxiSlave(memory, data_bytes=8, base=base)
    (data,), _, _ = read(compiled("read", port), slave, [(4000, 200)], port, base=base)
    assert data == memory[4000:4200]
    write(compiled("write", port), slave, [(4090, b"over the border")], port, base=base)
    assert memory[4090:4105] == b"over the border"
    assert slave.bursts["ar"][0][0] == base + 4000


def test_errors_are_told_once_a_beat_and_once_a_burst() -> None:
    port = PORTS[0]
    memory = bytearray(1 << 13)
    simulation = compiled("read", port)
    slave = AxiSlave(memory, data_bytes=8, bad=[1])
    asks = Requests([(4088, 24)], 0.0, 0)
    errors = 0
    for cycle in range(30):
        driven = slave.drive()
        given = {name: driven[name] for name in ("arready", "rvalid", "rdata", "rresp")}
        simulation.step({**asks.drive(), **given, "data_ready": 1, "base": 0, "open": 1})
        seen = outputs(simulation)
        asks.clock(seen["request_ready"], cycle)
        errors += seen["error"]
        slave.clock({**{name: seen[name] for name in ("arvalid", "araddr", "arlen", "rready")}, "bready": 0})
    assert errors == 2
    slave = AxiSlave(memory, data_bytes=8, bad=[1])
    _, _, written, told = write(compiled("write", port), slave, [(4088, bytes(24)), (0, b"x")], port)
    assert (len(written), len(told)) == (2, 1)


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_closed_master_is_silent(kind: str) -> None:
    port = PORTS[0]
    simulation = CompiledSimulation(axi_writer(port) if kind == "write" else axi_reader(port))
    quiet = dict.fromkeys(simulation.top.inputs, 0)
    data = {"write_valid": 1} if kind == "write" else {}
    for _ in range(40):
        simulation.step({**quiet, "request_valid": 1, "request_address": 64, "request_bytes": 8, **data})
        seen = outputs(simulation)
        assert not seen.get("arvalid", 0)
        assert not seen.get("awvalid", 0)
        assert not seen.get("wvalid", 0)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"port_bytes": 0}, "a burst port of 0 bytes fits no AXI4 data bus"),
        ({"port_bytes": 129}, "choose a port of at most 128"),
        ({"port_bytes": 8, "address_width": 31}, "an AXI address has 32 to 64 bits, not 31"),
        ({"port_bytes": 8, "burst_beats": 512}, "burst_beats of an AXI master must be a power of two from 2 to 256"),
        ({"port_bytes": 8, "outstanding": 12}, "outstanding of an AXI master must be a power of two"),
    ],
)
def test_what_is_no_master_is_refused(sizes: dict[str, int], sentence: str) -> None:
    with pytest.raises(HardwareError, match=sentence):
        AxiPort(**sizes)


def test_the_bus_is_the_next_power_of_two() -> None:
    assert [bus_bytes(width) for width in (2, 5, 8, 21, 60, 64, 65, 128)] == [4, 8, 8, 32, 64, 64, 128, 128]
