"""The requantiser: from a sum to the 8 bits that are stored.

y = clamp(round_half_even((value + bias) · multiplier / 2**shift) + zero_point, low, high), the exact product rounded
once. Bias, multiplier and shift come with every value, as channels have their own; zero point and clamps are a
layer's. Saturation, ReLU and ReLU6 are all clamps: low and high are the ends of int8 or uint8, or the quantised 0 and
6 where these are nearer. ``result`` is int8 or uint8 as low and high are; both are within the nine bits of the ports.

Contract: no handshake. A value goes in and one comes out every cycle; the result of a value is at ``result``
``LATENCY_CYCLES`` cycles after the cycle in which the value was at the inputs (the register of ``result`` included).
``zero_point``, ``low`` and ``high`` must not change while there is a value of the layer inside. Who needs back-pressure
counts what is inside and keeps as many places in a queue behind.

Multiplication takes one DSP slice per 17 bits of the 33-bit sum (two): 18 x 25 bits signed each, within
18 x 27. The shifter is cut to the bits that can still matter: a rounded value of more than ten bits
saturates whatever its low bits and the zero point are.

How it compares with ONNX Runtime's QLinearConv and QLinearMatMul, which convert the sum to float32, multiply by the
float32 scale x · w / y (``fixed_point.float32_scale``) and round half to even:

- the scale a power of two and ``|value + bias|`` up to 2**24: equal, since then both products are exact;
- else the float32 product is wrong by less than 2**-23 of itself, below 2**-14 for results that do not saturate. The
  two differ only if the exact product is so near to a tie, and then by one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.errors import OverlayError
from dynamap_rtl.hardware import Grid, Leaf, add, delayed, multiply, resize
from dynamap_rtl.pipeline import REQUANTISE_LATENCY

from .fixed_point import MULTIPLIER_BITS, SHIFT_BITS

__all__ = ["BIAS_BITS", "CLAMP_BITS", "LATENCY_CYCLES", "Requantiser"]

BIAS_BITS = 32
#: Zero point and clamps: int8 and uint8 alike.
CLAMP_BITS = 9
#: Sum, product, product put together, shifted by 16s, shifted by ones, rounded and moved by the zero point, clamped.
LATENCY_CYCLES = REQUANTISE_LATENCY

#: What one DSP slice multiplies, beside the multiplier: 17 bits and a sign.
_CHUNK_BITS = 17
#: Signed bits of a rounded value beyond which every zero point and clamp saturates.
_WINDOW_BITS = 10
#: Products stay below 2**61: numpy's 64 bits are enough for the model.
_WIDEST = 37


@dataclass(frozen=True, kw_only=True)
class Requantiser:
    """Parameters of the unit; its model is ``fixed_point.requantise``.

    Attributes:
        in_width: bits of a signed sum.

    Raises:
        OverlayError: when the width is out of its range.
    """

    in_width: int = 32

    def __post_init__(self) -> None:
        if not 2 <= self.in_width <= _WIDEST:
            raise OverlayError(f"a requantiser's in_width must be from 2 to {_WIDEST}, not {self.in_width!r}")

    @property
    def latency_cycles(self) -> int:
        """From a value at the inputs to its result."""
        return LATENCY_CYCLES

    @property
    def dsps(self) -> int:
        """DSP slices of a lane."""
        return -(-(self._sum_width - 1) // _CHUNK_BITS)

    @property
    def _sum_width(self) -> int:
        return max(self.in_width, BIAS_BITS) + 1

    def create(self) -> Leaf:
        """One lane: ``value``, ``bias``, ``multiplier``, ``shift``, ``zero_point``, ``low``, ``high`` to ``result``."""
        return Leaf(
            f"requantise_{self.in_width}",
            inputs={
                "value": self.in_width,
                "bias": BIAS_BITS,
                "multiplier": MULTIPLIER_BITS,
                "shift": SHIFT_BITS,
                "zero_point": CLAMP_BITS,
                "low": CLAMP_BITS,
                "high": CLAMP_BITS,
            },
            outputs={"result": 8},
            logic=self._logic,
        )

    def create_lanes(self, lanes: int) -> Grid:
        """Lanes with a value, bias, multiplier and shift each, zero point and clamps in common."""
        return Grid(
            f"requantise_{self.in_width}x{lanes}",
            self.create(),
            rows=1,
            columns=lanes,
            shared=("zero_point", "low", "high"),
        )

    def _logic(self, w: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        # 1: the sum.
        total = delayed(add(w["value"], w["bias"], self._sum_width), 1, "total")
        multiplier = delayed(w["multiplier"], 1, "multiplier_1")
        shift = delayed(w["shift"], 1, "shift_1")
        # 2, 3: the product, 17 bits of the sum a DSP slice, and put together.
        factor = multiplier.zero_extended(MULTIPLIER_BITS + 1)
        width = self._sum_width + MULTIPLIER_BITS
        products = []
        for low in range(0, self._sum_width - 1, _CHUNK_BITS):
            last = low + _CHUNK_BITS >= self._sum_width - 1
            chunk = total[low:] if last else total[low : low + _CHUNK_BITS].zero_extended(_CHUNK_BITS + 1)
            product = delayed(multiply(chunk, factor), 1, f"product_{low}")
            products.append(product if low == 0 else pyrtl.concat(product, pyrtl.Const(0, bitwidth=low)))
        shift = delayed(shift, 1, "shift_2")
        together = resize(products[0], width)
        for product in products[1:]:
            together = add(together, product, width)
        together = delayed(together, 1, "together")
        shift = delayed(shift, 1, "shift_3")
        # 4, 5: shifted, with one bit more at the low end: whether a half is left.
        negative = together[-1]
        coarse = _Shifter(pyrtl.concat(together, pyrtl.Const(0, bitwidth=1)))
        coarse.shift(shift, (5, 4))
        coarse = coarse.register("coarse")
        fine_shift = delayed(shift[:4], 1, "shift_4")
        negative = delayed(negative, 1, "negative_4")
        coarse.shift(fine_shift, (3, 2, 1, 0))
        fine = coarse.register("fine")
        negative = delayed(negative, 1, "negative_5")
        # 6: rounded half to even, and moved by the zero point; the carry comes in below the lowest bit.
        floor, half = fine.value[1:], fine.value[0]
        up = half & (fine.rest | floor[0])
        sum_bits = _WINDOW_BITS + 1
        one = pyrtl.Const(1, bitwidth=1)
        moved = (pyrtl.concat(resize(floor, sum_bits), one) + pyrtl.concat(resize(w["zero_point"], sum_bits), up))[
            1 : sum_bits + 1
        ]
        moved = delayed(moved, 1, "moved")
        beyond = delayed(fine.beyond, 1, "beyond_6")
        negative = delayed(negative, 1, "negative_6")
        # 7: clamped.
        below = (beyond & negative) | (~beyond & pyrtl.signed_lt(moved, w["low"]))
        above = (beyond & ~negative) | (~beyond & pyrtl.signed_gt(moved, w["high"]))
        result = pyrtl.select(below, w["low"][:8], pyrtl.select(above, w["high"][:8], moved[:8]))
        return {"result": delayed(result, 1, "clamped")}


class _Shifter:
    """An arithmetic right shift, longest distance first, cut to the bits that can still matter.

    Attributes:
        value: what is left of the number.
        rest: a bit was shifted out.
        beyond: the number had more than the bits kept.
    """

    def __init__(self, value: pyrtl.WireVector) -> None:
        self.value = value
        self.rest: pyrtl.WireVector = pyrtl.Const(0, bitwidth=1)
        self.beyond: pyrtl.WireVector = pyrtl.Const(0, bitwidth=1)

    def shift(self, amount: pyrtl.WireVector, bits: tuple[int, ...]) -> None:
        """Shift by the given bits of an amount, from high to low, of which all lower ones are still to come."""
        for bit in bits:
            distance = 1 << bit
            moves = amount[bit]
            self.rest = self.rest | (moves & pyrtl.or_all_bits(self.value[:distance]))
            moved = resize(self.value[distance:], len(self.value))
            shifted = pyrtl.select(moves, moved, self.value)
            # The window, its half, and what the lower bits of the amount may still shift out.
            keep = _WINDOW_BITS + 1 + distance - 1
            if keep < len(shifted):
                ends = shifted[keep - 1 :]
                self.beyond = self.beyond | (pyrtl.or_all_bits(ends) & ~pyrtl.and_all_bits(ends))
                shifted = shifted[:keep]
            self.value = shifted

    def register(self, name: str) -> _Shifter:
        """The same a cycle later."""
        later = _Shifter(delayed(self.value, 1, name))
        later.rest = delayed(self.rest, 1, f"{name}_rest")
        later.beyond = delayed(self.beyond, 1, f"{name}_beyond")
        return later
