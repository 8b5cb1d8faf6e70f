"""What both halves of the AXI tests use inside the simulator: clock, back-pressure, a look at every channel.

The memory, the processor and the rules of the bus are cocotbext-axi's. Signals are sampled at a rising edge, as they
were before it; what a test drives changes after it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer
from cocotbext.axi import AxiLiteMaster, AxiRam, AxiRamRead

PERIOD = 4  # of the clock, in ns
MEMORY = 1 << 18
BASE = 0x5_4000_3000  # above 4 GiB; a multiple of MEMORY and three pages


def start_clock(dut) -> None:
    cocotb.start_soon(Clock(dut.aclk, PERIOD, "ns").start())


def channels(end: AxiRam | AxiRamRead | AxiLiteMaster) -> list[object]:
    sides = [end] if isinstance(end, AxiRamRead) else [end.read_if, end.write_if]
    names = ("ar_channel", "r_channel", "aw_channel", "w_channel", "b_channel")
    return [getattr(side, name) for side in sides for name in names if hasattr(side, name)]


def hold_back(end: AxiRam | AxiRamRead | AxiLiteMaster, seed: int, share: float = 0.4) -> None:
    """Every channel holds back ``share`` of the time, drawn anew for each of them every few cycles."""
    cocotb.start_soon(_hold_back(channels(end), random.Random(seed), share))


async def _hold_back(held: Sequence, dice: random.Random, share: float) -> None:
    # A task for all of them: cocotbext-axi's own generators are tasks by the channel that wake in every cycle.
    while True:
        for channel in held:
            channel.pause = dice.random() < share
        await Timer(PERIOD * dice.randint(1, 4), "ns")


class Watch:
    """Notes the transfers of a bus's address and write channels; what is offered stays until it is taken, or a reset.

    Where bursts end and that none crosses 4 KiB is what cocotbext-axi's memory looks at.

    Args:
        dut: the bench.
        prefix: of the bus.
        channels: which of ``ar``, ``aw`` and ``w``.
        reset: low in a reset, when nothing may be offered.
    """

    FIELDS: ClassVar = {"ar": ("addr", "len"), "aw": ("addr", "len"), "w": ("data", "strb", "last")}

    def __init__(self, dut, prefix: str, channels: Sequence[str], *, reset=None) -> None:
        self.seen: dict[str, list[tuple[int, ...]]] = {channel: [] for channel in channels}
        self._edge, self._reset = RisingEdge(dut.aclk), reset
        self._wires = {
            channel: [getattr(dut, f"{prefix}_{channel}{name}") for name in ("valid", "ready", *self.FIELDS[channel])]
            for channel in channels
        }
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        held: dict[str, tuple[int, ...] | None] = dict.fromkeys(self._wires)
        while True:
            await self._edge
            in_reset = self._reset is not None and not self._reset.value
            for channel, (valid, ready, *fields) in self._wires.items():
                values = tuple(int(field.value) for field in fields) if valid.value else None
                if in_reset:
                    assert values is None, f"{channel} offers something in a reset"
                    held[channel] = None
                assert held[channel] in (None, values), f"{channel} did not stay until it was taken"
                taken = values is not None and ready.value
                held[channel] = None if taken else values
                if taken:
                    self.seen[channel].append(values)
