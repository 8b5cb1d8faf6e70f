"""The memory that simulations run against keeps the rules of the ports."""

from __future__ import annotations

import random

import pytest

from dynamap_rtl.memory_model import MemoryPortError, ReadPort, WritePort

QUIET = {"request_valid": 0, "request_address": 0, "request_bytes": 0}


def test_a_burst_is_realigned_and_comes_latency_cycles_later_a_beat_a_cycle():
    port = ReadPort(bytearray(range(32)), bytes_per_cycle=4, latency=3)
    requests = {0: (5, 9), 1: (20, 1)}
    seen = {}
    for cycle in range(10):
        wires = port.drive()
        if wires["data_valid"]:
            seen[cycle] = wires["data"].to_bytes(4, "little")
        address, count = requests.get(cycle, (0, 0))
        port.clock(request_valid=int(cycle in requests), request_address=address, request_bytes=count, data_ready=1)
    assert sorted(seen) == [3, 4, 5, 6]
    assert seen[3] == bytes([5, 6, 7, 8])
    assert seen[4] == bytes([9, 10, 11, 12])
    assert (seen[5][:1], seen[6][:1]) == (bytes([13]), bytes([20]))
    assert port.idle
    assert port.beats == 4


def test_a_beat_that_is_offered_stays_until_it_is_taken():
    port = ReadPort(bytearray(range(64)), bytes_per_cycle=1, latency=1, stall=0.5, seed=4)
    dice = random.Random(5)
    asked = False
    offered, taken, stalls = None, [], 0
    for _ in range(400):
        wires = port.drive()
        if offered is not None:
            assert (wires["data_valid"], wires["data"]) == (1, offered)
        stalls += not wires["request_ready"]
        ready = dice.randrange(2)
        offered = wires["data"] if wires["data_valid"] and not ready else None
        if wires["data_valid"] and ready:
            taken.append(wires["data"])
        port.clock(request_valid=int(not asked), request_address=0, request_bytes=64, data_ready=ready)
        asked = asked or bool(wires["request_ready"])
    assert taken == list(range(64))
    assert stalls > 100


def test_a_write_is_confirmed_latency_cycles_after_its_last_beat():
    memory = bytearray(16)
    port = WritePort(memory, bytes_per_cycle=4, latency=2)
    confirmed = []
    for cycle in range(9):
        wires = port.drive()
        if wires["written"]:
            confirmed.append(cycle)
        assert wires["write_ready"] == (cycle in {1, 2})
        port.clock(
            **{**QUIET, "request_valid": int(cycle == 0), "request_address": 3, "request_bytes": 6},
            write_valid=1,
            write_data=0x04030201 + 0x04040404 * max(0, cycle - 1),
        )
    assert memory == bytes([0, 0, 0, 1, 2, 3, 4, 5, 6]) + bytes(7)
    assert confirmed == [4]
    assert port.idle


@pytest.mark.parametrize(
    ("address", "count", "sentence"),
    [(13, 4, "a burst of 4 bytes at 13 leaves the memory of 16 bytes"), (3, 0, "a burst has at least one byte")],
)
def test_a_burst_that_cannot_be_is_an_error_of_the_circuit(address, count, sentence):
    request = {"request_valid": 1, "request_address": address, "request_bytes": count}
    reader = ReadPort(bytearray(16), bytes_per_cycle=4, latency=1)
    reader.drive()
    with pytest.raises(MemoryPortError, match=sentence):
        reader.clock(**request, data_ready=1)
    writer = WritePort(bytearray(16), bytes_per_cycle=4, latency=1)
    writer.drive()
    with pytest.raises(MemoryPortError, match=sentence):
        writer.clock(**request, write_valid=0, write_data=0)


@pytest.mark.parametrize("port", [ReadPort, WritePort])
def test_a_memory_without_latency_is_refused(port):
    with pytest.raises(ValueError, match="latency and bytes_per_cycle must be at least 1, not 0 and 4"):
        port(bytearray(4), bytes_per_cycle=4, latency=0)
