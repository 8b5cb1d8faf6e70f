"""Accumulator memories: one a column, twice, so that one half takes results while the other is read out.

A result is added to the word it is addressed to (or the larger of the two is kept), and reading a word for output
clears it. So sums over tiles, kernel elements and pooling windows need no first-time case: memory is zero until
something is added.

Contract of column j, with x the cycle in which a result is at column 0 together with its controls (they reach column j,
as the array's results do, j cycles later):

- ``write``: the value on ``drain``, ``sum`` or ``vector`` (``source`` 0, 1, 2) is added to (``maximum``: compared
  with) word ``address`` of half ``half``. A value every cycle, also to the same word. It is in the memory when a
  ``read`` is given in cycle x + j + 2 or later.
- ``read`` (all columns in the same cycle x): word ``read_address`` of half ``read_half`` is on ``row`` in cycle x +
  2, and zero in the memory. A row every cycle. Reading a half while results are added to it is a mistake of the
  program: the result in the same cycle and column wins the port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware import Design, Grid, HardwareError, Leaf, Port, add, delayed
from dynamap_rtl.pipeline import ROW_LATENCY, WRITE_LATENCY

__all__ = ["READ_LATENCY", "SOURCES", "WRITE_LATENCY", "AccumulatorParameters", "accumulators"]

#: Cycles from ``read`` to ``row``.
READ_LATENCY = ROW_LATENCY

#: Where a result may come from, in the order of ``source``.
SOURCES = ("drain", "sum", "vector")
_CHAIN = ("write", "address", "half", "source", "maximum")


@dataclass(frozen=True, kw_only=True)
class AccumulatorParameters:
    """Size of the accumulator memories.

    Attributes:
        columns: P2.
        width: bits of a sum.
        depth: words of one half of one column.

    Raises:
        HardwareError: when a number is below 1.
    """

    columns: int
    width: int
    depth: int

    def __post_init__(self) -> None:
        for name in ("columns", "width", "depth"):
            if getattr(self, name) < 1:
                raise HardwareError(f"{name} of the accumulators must be at least 1, not {getattr(self, name)}")

    @property
    def address_width(self) -> int:
        """Bits of a word's address."""
        return max(1, (self.depth - 1).bit_length())

    @property
    def name(self) -> str:
        """As ``4_32_256``."""
        return f"{self.columns}_{self.width}_{self.depth}"


def accumulators(parameters: AccumulatorParameters) -> Design:
    """The circuit; see the module for its contract."""
    width, address = parameters.width, parameters.address_width
    values = Port(width, parameters.columns)
    controls = {"write": 1, "address": address, "half": 1, "source": 2, "maximum": 1}
    reads = {"read": 1, "read_address": address, "read_half": 1}
    design = Design(
        f"accumulators_{parameters.name}",
        inputs={**dict.fromkeys(SOURCES, values), **controls, **reads},
        outputs={"row": values},
    )
    columns = design.add(
        "columns",
        Grid(
            f"accumulator_columns_{parameters.name}",
            _column(parameters),
            rows=1,
            columns=parameters.columns,
            east={f"{name}_in": name for name in _CHAIN},
            shared=list(reads),
        ),
        **{name: design[name] for name in SOURCES},
        **{f"{name}_in": design[name] for name in _CHAIN},
        **{name: design[name] for name in reads},
    )
    return design.finish(row=columns["row"])


def _column(parameters: AccumulatorParameters) -> Leaf:
    width, address = parameters.width, parameters.address_width

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        write, word, half, source = (inputs[f"{name}_in"] for name in ("write", "address", "half", "source"))
        array = pyrtl.select(source[0], inputs["sum"], inputs["drain"])
        value = delayed(pyrtl.select(source[1], inputs["vector"], array), 1, "value")
        chain = {name: delayed(inputs[f"{name}_in"], 1, name) for name in _CHAIN}
        read_half = delayed(inputs["read_half"], 1, "reading_half")
        held = []
        ports = []
        for which in (0, 1):
            memory = pyrtl.MemBlock(width, address, f"half_{which}", asynchronous=True)
            mine = write & (half == which)
            port = pyrtl.select(mine, word, inputs["read_address"])
            ports.append(
                (
                    memory,
                    delayed(port, 1, f"port_{which}"),
                    delayed(inputs["read"] & (inputs["read_half"] == which), 1, f"clear_{which}"),
                )
            )
            held.append(delayed(memory[port], 1, f"held_{which}"))
        # A word written in this cycle is read as it was before: the sum is passed on instead.
        again = write & chain["write"] & (word == chain["address"]) & (half == chain["half"])
        again = delayed(again, 1, "again")
        recent = pyrtl.Register(width, "recent")
        before = pyrtl.select(again, recent, pyrtl.select(chain["half"], held[1], held[0]))
        larger = pyrtl.select(pyrtl.signed_gt(value, before), value, before)
        result = pyrtl.select(chain["maximum"], larger, add(before, value, width))
        recent.next <<= result
        for which, (memory, port, clear) in enumerate(ports):
            mine = chain["write"] & (chain["half"] == which)
            cleared = pyrtl.Const(0, bitwidth=width)
            memory[port] <<= pyrtl.MemBlock.EnabledWrite(pyrtl.select(mine, result, cleared), enable=mine | clear)
        row = delayed(pyrtl.select(read_half, held[1], held[0]), 1, "row")
        return {"row": row, **chain}

    return Leaf(
        f"accumulator_{width}_{parameters.depth}",
        inputs={
            **dict.fromkeys(SOURCES, width),
            "write_in": 1,
            "address_in": address,
            "half_in": 1,
            "source_in": 2,
            "maximum_in": 1,
            "read": 1,
            "read_address": address,
            "read_half": 1,
        },
        outputs={"row": width, "write": 1, "address": address, "half": 1, "source": 2, "maximum": 1},
        logic=logic,
    )
