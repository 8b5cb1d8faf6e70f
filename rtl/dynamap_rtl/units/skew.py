"""Skew: lane i of a vector leaves i cycles after lane 0, as the rows and columns of a systolic array want it."""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.hardware import Constant, Design, Grid, Leaf, Port

__all__ = ["skew"]


def skew(*, width: int, lanes: int, delay: int = 2) -> Design:
    """Delay lines of ``delay``, ``delay + 1``, ... cycles.

    A line is a small memory read ``i`` places behind where it is written, so that it takes LUT RAM and not the
    lanes²/2 registers of a triangle.

    Args:
        width: bits of a lane.
        lanes: number of lanes.
        delay: cycles from ``data`` to lane 0 of ``skewed``, at least 2; nothing is ever held back.

    Ports: ``data`` in, ``skewed`` out, both ``lanes`` of ``width``. A value every cycle.
    """
    if delay < 2:
        raise ValueError(f"a delay line through a memory takes at least 2 cycles, not {delay}")
    longest = lanes + delay - 2
    address = max(1, longest.bit_length())
    name = f"{width}_{lanes}_{delay}"

    def line(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        memory = pyrtl.MemBlock(width, address, "line", asynchronous=True)
        memory[inputs["now"]] <<= inputs["data"]
        skewed = pyrtl.Register(width, "skewed")
        skewed.next <<= memory[(inputs["now"] - inputs["behind"])[:address]]
        return {"skewed": skewed}

    def clock(_: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        now = pyrtl.Register(address, "now")
        now.next <<= (now + 1)[:address]
        return {"now": now}

    cell = Leaf(
        f"delay_line_{width}_{address}",
        inputs={"now": address, "data": width, "behind": address},
        outputs={"skewed": width},
        logic=line,
    )
    design = Design(f"skew_{name}", inputs={"data": Port(width, lanes)}, outputs={"skewed": Port(width, lanes)})
    now = design.add("clock", Leaf(f"counter_{address}", inputs={}, outputs={"now": address}, logic=clock))["now"]
    behind = sum((lane + delay - 1) << (lane * address) for lane in range(lanes))
    lines = design.add(
        "lines",
        Grid(f"delay_lines_{name}", cell, rows=1, columns=lanes, shared=["now"]),
        now=now,
        data=design["data"],
        behind=Constant(behind, Port(address, lanes)),
    )
    return design.finish(skewed=lines["skewed"])
