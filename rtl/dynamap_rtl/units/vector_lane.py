"""The lane of the vector path: what pooling and element-wise addition do to a value before it is accumulated.

sum = x · coefficient, or with ``maximum`` x · coefficient + 256. Behind it an accumulator adds the values of an output
or, for max pooling, keeps the greatest; 256 lifts every 9-bit x to 0 or more, so that the zero of a cleared
accumulator is below all of them, and is taken off again by the requantiser's bias. ``vector_path`` says which
coefficients, biases and scales make which operation.

Contract: no handshake. A value goes in and one comes out every cycle; ``sum`` belongs to the value that was at the
inputs ``LATENCY_CYCLES`` cycles before, the coefficient and ``maximum`` with it. Lanes share both. One DSP slice a
lane, 18 x 9 bits signed, its three registers all in use: operands, product, sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyrtl
from numpy.typing import NDArray

from dynamap_rtl.hardware import Grid, Leaf, add, multiply
from dynamap_rtl.parameters import OverlayError

from .registers import register
from .vector_path import COEFFICIENT_BITS

__all__ = ["LATENCY_CYCLES", "VectorLane"]

IntArray = NDArray[np.int64]

#: Operands, product, sum.
LATENCY_CYCLES = 3


@dataclass(frozen=True, kw_only=True)
class VectorLane:
    """Parameters of the lane.

    Attributes:
        in_width: bits of a signed x, a stored value less its zero point.

    Raises:
        OverlayError: when x would not fit a DSP slice beside the coefficient.
    """

    in_width: int = 9

    def __post_init__(self) -> None:
        if not 2 <= self.in_width <= 27:
            raise OverlayError(f"a vector lane's in_width must be from 2 to 27, not {self.in_width!r}")

    @property
    def out_width(self) -> int:
        """Bits of a sum: those of the product, whose greatest value, -2**n · -2**17, leaves room for the lift."""
        return self.in_width + COEFFICIENT_BITS

    @property
    def latency_cycles(self) -> int:
        """From a value at the inputs to its sum."""
        return LATENCY_CYCLES

    @property
    def lift(self) -> int:
        """What is added for max pooling."""
        return int(2 ** (self.in_width - 1))

    def create(self) -> Leaf:
        """One lane: ``x``, ``coefficient``, ``maximum`` to ``sum``."""
        return Leaf(
            f"vector_lane_{self.in_width}",
            inputs={"x": self.in_width, "coefficient": COEFFICIENT_BITS, "maximum": 1},
            outputs={"sum": self.out_width},
            logic=self._logic,
        )

    def create_lanes(self, lanes: int) -> Grid:
        """Lanes with an x each, coefficient and ``maximum`` in common."""
        return Grid(
            f"vector_lane_{self.in_width}x{lanes}",
            self.create(),
            rows=1,
            columns=lanes,
            shared=("coefficient", "maximum"),
        )

    def compute(self, x: IntArray, coefficient: IntArray | int, *, maximum: bool) -> IntArray:
        """What the circuit answers."""
        return x * np.asarray(coefficient, dtype=np.int64) + (self.lift if maximum else 0)

    def _logic(self, w: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        x = register(w["x"], "x_1")
        coefficient = register(w["coefficient"], "coefficient_1")
        maximum = register(register(w["maximum"], "maximum_1"), "maximum_2")
        product = register(multiply(x, coefficient), "product")
        lift = pyrtl.concat(pyrtl.Const(0, bitwidth=1), maximum, pyrtl.Const(0, bitwidth=self.in_width - 1))
        return {"sum": register(add(product, lift, self.out_width), "total")}
