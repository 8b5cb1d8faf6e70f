"""An AXI4 memory in Python for PyRTL's simulations, cycle by cycle; it holds the master to the rules of the bus.

Knows nothing of the circuits: bursts are checked against the rules of AXI4 as the masters here use it (INCR, the whole
data bus, aligned addresses, at most 256 beats, inside 4 KiB), and every channel against "stays until taken".
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Mapping

#: What each channel must hold while it waits.
_HELD = {"ar": ("araddr", "arlen"), "aw": ("awaddr", "awlen"), "w": ("wdata", "wstrb", "wlast")}


class AxiSlave:
    """The memory's side of a bus.

    Args:
        memory: its contents, from AXI address ``base`` on.
        data_bytes: of a beat.
        latency: cycles from an address to its first beat of data, and from the last beat written to the response.
        stall: probability, each cycle and channel, of not being ready or not answering.
        bad: pages (address // 4096) that answer with SLVERR.
    """

    def __init__(
        self,
        memory: bytearray,
        *,
        data_bytes: int,
        latency: int = 1,
        stall: float = 0.0,
        seed: int = 0,
        base: int = 0,
        bad: Collection[int] = (),
    ) -> None:
        self.memory, self.data_bytes, self.latency, self.stall, self.base = memory, data_bytes, latency, stall, base
        self.bad = frozenset(bad)
        self.cycle = 0
        self.bursts: dict[str, list[tuple[int, int]]] = {"ar": [], "aw": []}
        self.words: list[tuple[int, bool]] = []  # strobes and last of every beat written
        self._dice = random.Random(seed)
        self._reads: deque[tuple[int, int]] = deque()  # first cycle, address
        self._data: deque[tuple[int, int, bool]] = deque()  # write data
        self._writes: deque[list[int]] = deque()  # address, beats left
        self._answers: deque[tuple[int, int]] = deque()  # first cycle, response
        self._last = 0
        self._given: dict[str, int] = {}
        self._offered: dict[str, bool] = {"r": False, "b": False}
        self._waits: dict[str, tuple[int, ...]] = {}

    @property
    def idle(self) -> bool:
        return not (self._reads or self._data or self._writes or self._answers)

    def _may(self) -> bool:
        return not (self.stall and self._dice.random() < self.stall)

    def drive(self) -> dict[str, int]:
        """What the memory puts on its wires in this cycle."""
        given = {name: int(self._may()) for name in ("arready", "awready", "wready")}
        due = bool(self._reads) and self._reads[0][0] <= self.cycle
        self._offered["r"] = due and (self._offered["r"] or self._may())
        given |= {"rvalid": 0, "rdata": self._dice.getrandbits(8 * self.data_bytes), "rresp": 0}
        if self._offered["r"]:
            address = self._reads[0][1]
            word = self.memory[address - self.base : address - self.base + self.data_bytes]
            given |= {"rvalid": 1, "rdata": int.from_bytes(word, "little"), "rresp": self._response(address)}
        due = bool(self._answers) and self._answers[0][0] <= self.cycle
        self._offered["b"] = due and (self._offered["b"] or self._may())
        given |= {"bvalid": int(self._offered["b"]), "bresp": self._answers[0][1] if self._offered["b"] else 0}
        self._given = given
        return given

    def _response(self, address: int) -> int:
        return 2 if address // 4096 in self.bad else 0

    def clock(self, wires: Mapping[str, int]) -> None:
        """End the cycle; ``wires`` has the outputs of the master's channels, of those it has."""
        for channel, held in _HELD.items():
            if f"{channel}valid" not in wires:
                continue
            values = tuple(wires[name] for name in held)
            if channel in self._waits:
                assert wires[f"{channel}valid"], f"{channel}valid was taken back in cycle {self.cycle}"
                assert values == self._waits[channel], f"{channel} changed while it waited in cycle {self.cycle}"
            self._waits.pop(channel, None)
            if wires[f"{channel}valid"] and not self._given[f"{channel}ready"]:
                self._waits[channel] = values
        for channel in ("ar", "aw"):
            if wires.get(f"{channel}valid") and self._given[f"{channel}ready"]:
                self._burst(channel, wires[f"{channel}addr"], wires[f"{channel}len"] + 1)
        if wires.get("wvalid") and self._given["wready"]:
            self._data.append((wires["wdata"], wires["wstrb"], bool(wires["wlast"])))
            self.words.append((wires["wstrb"], bool(wires["wlast"])))
        while self._writes and self._data:
            self._write(*self._data.popleft())
        if self._offered["r"] and wires["rready"]:
            self._reads.popleft()
            self._offered["r"] = False
        if self._offered["b"] and wires["bready"]:
            self._answers.popleft()
            self._offered["b"] = False
        self.cycle += 1

    def _burst(self, channel: str, address: int, beats: int) -> None:
        size = beats * self.data_bytes
        assert address % self.data_bytes == 0
        assert beats <= 256
        assert address // 4096 == (address + size - 1) // 4096, f"a burst of {size} bytes at {address} crosses 4 KiB"
        self.bursts[channel].append((address, beats))
        if channel == "aw":
            self._writes.append([address, beats])
            return
        self._last = max(self._last, self.cycle + self.latency)
        for beat in range(beats):
            self._reads.append((self._last, address + beat * self.data_bytes))
            self._last += 1

    def _write(self, data: int, strobes: int, last: bool) -> None:  # noqa: FBT001
        burst = self._writes[0]
        assert last == (burst[1] == 1), "wlast is not where the burst ends"
        for lane in range(self.data_bytes):
            if strobes >> lane & 1:
                self.memory[burst[0] - self.base + lane] = data >> 8 * lane & 255
        response = self._response(burst[0])
        burst[0] += self.data_bytes
        burst[1] -= 1
        if not burst[1]:
            self._writes.popleft()
            self._answers.append((self.cycle + self.latency, response))
