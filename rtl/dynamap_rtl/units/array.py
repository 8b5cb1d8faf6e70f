"""The systolic array: processing elements, the skew of their operands, and the controls that travel with them.

Operands and controls come in aligned, all rows and columns at once; the array skews them. Contract, with x a cycle in
which a vector is given on ``left`` and ``top`` together with its controls:

- **Output-stationary** (NS). ``feed_even``, ``feed_odd`` and ``load`` stay high, ``north`` low. Step k of a tile is
  column k of the left operand and row k of the top one; ``keep`` is low in the first step, ``last`` high in the last.
  Tiles may follow each other without a gap, but the last steps of two tiles are at least ``rows`` cycles apart. The
  results of a tile whose last step is in cycle x leave column j on ``drain`` in the cycles x + rows + 6 + j to
  x + 2·rows + 5 + j, the bottom row's first; ``draining`` is high in the cycles of column 0.
- **Operand-stationary** (WS, IS). ``north`` stays high. A tile's stationary operand is given on ``top`` in ``rows``
  consecutive cycles, bottom row first, with ``feed_even`` or ``feed_odd`` high, alternating from tile to tile. Vector v
  of the tile is given on ``left`` with ``valid`` high; the first one, with ``load`` high, at the earliest in the cycle
  in which the stationary operand's last row (row 0) is given. The next tile's stationary operand may start one cycle
  after ``load``. The result of a vector given in cycle x leaves column j on ``sum`` in cycle x + rows + 6 + j;
  ``passing`` is ``valid`` delayed to column 0.

Nothing waits: there is no handshake inside the array, and every latency above is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyrtl

from dynamap_rtl.hardware import Constant, Design, Grid, HardwareError, Leaf, Port, delayed
from dynamap_rtl.pipeline import RESULT_LATENCY, TOP_SKEW

from .pe import CONTROLS, ElementParameters, processing_element
from .skew import skew

__all__ = ["RESULT_LATENCY", "TOP_SKEW", "ArrayParameters", "systolic_array"]

# Waves start in row 0 and reach row i after i cycles.
_WAVES = ("feed_even", "feed_odd", "shift_even", "shift_odd", "load", "north", "keep", "last", "valid")
_ALTERNATING = ("feed_even", "feed_odd", "shift_even", "shift_odd")
_INPUTS = ("feed_even", "feed_odd", "load", "north", "keep", "last", "valid")


@dataclass(frozen=True, kw_only=True)
class ArrayParameters:
    """Shape and widths of the array.

    Attributes:
        rows: P1.
        columns: P2.
        element: widths of a processing element.

    Raises:
        HardwareError: when a side is not a whole number from 1 to 1024.
    """

    rows: int
    columns: int
    element: ElementParameters = field(default_factory=ElementParameters)

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1024:
                raise HardwareError(f"{name} of the array must be a whole number from 1 to 1024, not {value!r}")

    @property
    def name(self) -> str:
        """As ``4x4_9x9_32``."""
        element = self.element
        return f"{self.rows}x{self.columns}_{element.left_width}x{element.top_width}_{element.sum_width}"


def systolic_array(parameters: ArrayParameters) -> Design:
    """The circuit; see the module for its contract."""
    rows, columns, element = parameters.rows, parameters.columns, parameters.element
    sums = Port(element.sum_width, columns)
    design = Design(
        f"array_{parameters.name}",
        inputs={
            "left": Port(element.left_width, rows),
            "top": Port(element.top_width, columns),
            **dict.fromkeys(_INPUTS, 1),
        },
        outputs={
            "sum": sums,
            "drain": sums,
            "top_skewed": Port(element.top_width, columns),
            "passing": 1,
            "draining": 1,
        },
    )
    left = design.add("left", skew(width=element.left_width, lanes=rows, delay=TOP_SKEW + 1), data=design["left"])
    top = design.add("top", skew(width=element.top_width, lanes=columns, delay=TOP_SKEW), data=design["top"])
    arrivals = design.add("arrivals", _arrivals(rows))
    ahead = design.add("ahead", _ahead(), **{f"{name}_in": design[name] for name in _INPUTS})
    ahead.connect(shift_even_in=arrivals["even"], shift_odd_in=arrivals["odd"])
    edge = design.add(
        "edge",
        Grid(
            f"edge_{rows}",
            _edge_cell(),
            rows=rows,
            columns=1,
            south={f"{name}_in": name for name in _WAVES},
            shared=[f"{name}_now" for name in _ALTERNATING],
        ),
        **{f"{name}_in": ahead[name] for name in _WAVES},
        **{f"{name}_now": ahead[name] for name in _ALTERNATING},
    )
    arrivals.connect(last=edge["last"], valid=edge["valid"])
    elements = design.add(
        "elements",
        Grid(
            f"elements_{parameters.name}",
            processing_element(element),
            rows=rows,
            columns=columns,
            east={"left_in": "left", **{f"{name}_in": name for name in CONTROLS}},
            south={"top_in": "top", "sum_in": "sum", "drain_in": "drain"},
        ),
        left_in=left["skewed"],
        top_in=top["skewed"],
        sum_in=_zero(sums),
        drain_in=_zero(sums),
        **{f"{name}_in": edge[f"row_{name}"] for name in CONTROLS},
    )
    below = design.add(
        "below",
        Grid(f"below_{element.sum_width}_{columns}", _register(element.sum_width), rows=1, columns=columns),
        value=elements["sum"],
    )
    return design.finish(
        sum=below["held"],
        drain=elements["drain"],
        top_skewed=top["skewed"],
        passing=arrivals["passing"],
        draining=arrivals["draining"],
    )


def _zero(port: Port) -> Constant:
    return Constant(0, port)


def _ahead() -> Leaf:
    """Registers before the edge: the stationary operand and its controls arrive one cycle before the streamed one."""

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        return {name: delayed(inputs[f"{name}_in"], 1 if name.startswith("feed") else 2, name) for name in _WAVES}

    return Leaf(
        "array_ahead", inputs={f"{name}_in": 1 for name in _WAVES}, outputs=dict.fromkeys(_WAVES, 1), logic=logic
    )


def _edge_cell() -> Leaf:
    """One row's controls.

    A stationary operand enters row i in the cycles from the i-th of a feed to its last one, and results shift in row
    i in the first i cycles of a shift: the wave through the rows gives the one end, the undelayed signal the other.
    Two feeds or shifts may follow without a gap, hence the alternation.
    """

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        waves = {name: delayed(inputs[f"{name}_in"], 1, name) for name in _WAVES}
        wave = {name: inputs[f"{name}_in"] for name in _ALTERNATING}
        now = {name: inputs[f"{name}_now"] for name in _ALTERNATING}
        feed = (wave["feed_even"] & now["feed_even"]) | (wave["feed_odd"] & now["feed_odd"])
        shift = (~wave["shift_even"] & now["shift_even"]) | (~wave["shift_odd"] & now["shift_odd"])
        own = {"feed": delayed(feed, 1, "feed"), "shift": delayed(shift, 1, "shift")}
        return {**waves, **{f"row_{name}": own.get(name, waves.get(name)) for name in CONTROLS}}

    return Leaf(
        "array_edge",
        inputs={**{f"{name}_in": 1 for name in _WAVES}, **{f"{name}_now": 1 for name in _ALTERNATING}},
        outputs={**dict.fromkeys(_WAVES, 1), **{f"row_{name}": 1 for name in CONTROLS}},
        logic=logic,
    )


def _register(width: int) -> Leaf:
    return Leaf(
        f"register_{width}",
        inputs={"value": width},
        outputs={"held": width},
        logic=lambda inputs: {"held": delayed(inputs["value"], 1, "held")},
    )


def _arrivals(rows: int) -> Leaf:
    """What leaves the last row: opens the columns for ``rows`` cycles when a tile's last step has arrived there."""
    width = rows.bit_length()

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        left = pyrtl.Register(width, "left")
        odd = pyrtl.Register(1, "odd")
        opened = left != 0
        left.next <<= pyrtl.select(inputs["last"], pyrtl.Const(rows, bitwidth=width), (left - opened)[:width])
        odd.next <<= odd ^ inputs["last"]
        return {
            "even": opened & ~odd,
            "odd": opened & odd,
            "draining": delayed(opened, 3, "draining"),
            "passing": delayed(inputs["valid"], 4, "passing"),
        }

    return Leaf(
        f"array_arrivals_{rows}",
        inputs={"last": 1, "valid": 1},
        outputs=dict.fromkeys(("even", "odd", "draining", "passing"), 1),
        logic=logic,
    )
