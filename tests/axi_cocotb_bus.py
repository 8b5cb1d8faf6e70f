"""What both halves of the AXI tests use inside the simulator: clock, back-pressure, a look at every channel.

The memory, the processor and the rules of the bus are cocotbext-axi's. Signals are sampled at a rising edge, as they
were before it; what a test drives changes after it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRam, AxiRamRead

MEMORY = 1 << 18
BASE = 0x5_4000_3000  # above 4 GiB; a multiple of MEMORY and three pages


def start_clock(dut) -> None:
    cocotb.start_soon(Clock(dut.aclk, 4, "ns").start())


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
