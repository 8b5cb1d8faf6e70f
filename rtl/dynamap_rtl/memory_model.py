"""External memory for simulations: the far side of the overlay's read and write ports, cycle by cycle.

In every cycle, :meth:`drive` gives what the memory puts on the wires, the circuit is stepped with it, and
:meth:`clock` is told what the circuit answered::

    sim.step({**inputs, **port.drive()})
    port.clock(request_valid=sim.inspect("request_valid"), ...)

Without stalls a port accepts a request every cycle and moves one beat of ``bytes_per_cycle`` a cycle, in the order of
the requests. ``stall`` makes it refuse, at random, what it could do: never once it has offered a beat, which stays.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

__all__ = ["MemoryPortError", "ReadPort", "WritePort"]

#: Fills the last beat behind its burst; nothing may depend on it.
_FILLER = 0xA5


class MemoryPortError(RuntimeError):
    """A circuit broke the rules of its memory port; the message says which."""


@dataclass
class _Dice:
    """Whether to stall in a cycle."""

    probability: float
    source: random.Random

    def __call__(self) -> bool:
        return self.probability > 0 and self.source.random() < self.probability


def _check(memory: bytearray, address: int, count: int) -> None:
    if count < 1:
        raise MemoryPortError(f"a burst of {count} bytes at {address}; a burst has at least one byte")
    if address + count > len(memory):
        raise MemoryPortError(f"a burst of {count} bytes at {address} leaves the memory of {len(memory)} bytes")


class ReadPort:
    """The memory's side of a read port.

    Args:
        memory: its contents, shared with whoever else writes them.
        bytes_per_cycle: W, bytes of a beat.
        latency: cycles, at least 1, from a request to its first beat when nothing is in its way.
        stall: probability, each cycle, not to accept a request, and not to offer the next beat.
        seed: of the stalls.
    """

    def __init__(
        self, memory: bytearray, *, bytes_per_cycle: int, latency: int, stall: float = 0.0, seed: int = 0
    ) -> None:
        if latency < 1 or bytes_per_cycle < 1:
            raise ValueError(f"latency and bytes_per_cycle must be at least 1, not {latency} and {bytes_per_cycle}")
        self.memory = memory
        self.bytes_per_cycle = bytes_per_cycle
        self.latency = latency
        self.cycle = 0
        self.beats = 0  # handed over so far
        self._dice = _Dice(stall, random.Random(seed))
        self._queue: deque[tuple[int, int, int]] = deque()  # (first cycle, address, bytes in the beat)
        self._last = 0  # no beat can come before this cycle
        self._ready = False
        self._offered = False

    @property
    def idle(self) -> bool:
        """Whether every request has been answered."""
        return not self._queue

    def drive(self) -> dict[str, int]:
        """``request_ready``, ``data_valid`` and ``data`` of this cycle."""
        self._ready = not self._dice()
        due = bool(self._queue) and self._queue[0][0] <= self.cycle
        self._offered = due and (self._offered or not self._dice())
        data = 0
        if self._offered:
            _, address, count = self._queue[0]
            beat = self.memory[address : address + count] + bytes([_FILLER]) * (self.bytes_per_cycle - count)
            data = int.from_bytes(beat, "little")
        return {"request_ready": int(self._ready), "data_valid": int(self._offered), "data": data}

    def clock(self, *, request_valid: int, request_address: int, request_bytes: int, data_ready: int) -> None:
        """End the cycle.

        Raises:
            MemoryPortError: when a request is empty or leaves the memory.
        """
        if self._offered and data_ready:
            self._queue.popleft()
            self._offered = False
            self.beats += 1
        if request_valid and self._ready:
            _check(self.memory, request_address, request_bytes)
            self._last = max(self._last, self.cycle + self.latency)
            for offset in range(0, request_bytes, self.bytes_per_cycle):
                count = min(self.bytes_per_cycle, request_bytes - offset)
                self._queue.append((self._last, request_address + offset, count))
                self._last += 1
        self.cycle += 1


class WritePort:
    """The memory's side of a write port.

    Args:
        memory: its contents.
        bytes_per_cycle: W, bytes of a beat.
        latency: cycles, at least 1, from a burst's last beat to its ``written``.
        stall: probability, each cycle, not to accept a request, and not to accept a beat.
        seed: of the stalls.
    """

    def __init__(
        self, memory: bytearray, *, bytes_per_cycle: int, latency: int, stall: float = 0.0, seed: int = 0
    ) -> None:
        if latency < 1 or bytes_per_cycle < 1:
            raise ValueError(f"latency and bytes_per_cycle must be at least 1, not {latency} and {bytes_per_cycle}")
        self.memory = memory
        self.bytes_per_cycle = bytes_per_cycle
        self.latency = latency
        self.cycle = 0
        self.beats = 0
        self._dice = _Dice(stall, random.Random(seed))
        self._queue: deque[list[int]] = deque()  # [next address, bytes left]
        self._acknowledged: deque[int] = deque()  # cycles in which a burst is in memory
        self._request_ready = False
        self._write_ready = False

    @property
    def idle(self) -> bool:
        """Whether every burst is in memory and acknowledged."""
        return not self._queue and not self._acknowledged

    def drive(self) -> dict[str, int]:
        """``request_ready``, ``write_ready`` and ``written`` of this cycle."""
        self._request_ready = not self._dice()
        self._write_ready = bool(self._queue) and not self._dice()
        written = bool(self._acknowledged) and self._acknowledged[0] <= self.cycle
        if written:
            self._acknowledged.popleft()
        return {
            "request_ready": int(self._request_ready),
            "write_ready": int(self._write_ready),
            "written": int(written),
        }

    def clock(
        self, *, request_valid: int, request_address: int, request_bytes: int, write_valid: int, write_data: int
    ) -> None:
        """End the cycle.

        Raises:
            MemoryPortError: when a request is empty or leaves the memory.
        """
        if write_valid and self._write_ready:
            burst = self._queue[0]
            count = min(self.bytes_per_cycle, burst[1])
            data = write_data.to_bytes(self.bytes_per_cycle, "little")
            self.memory[burst[0] : burst[0] + count] = data[:count]
            burst[0] += count
            burst[1] -= count
            self.beats += 1
            if not burst[1]:
                self._queue.popleft()
                self._acknowledged.append(self.cycle + self.latency)
        if request_valid and self._request_ready:
            _check(self.memory, request_address, request_bytes)
            self._queue.append([request_address, request_bytes])
        self.cycle += 1
