"""The processing element: one multiplier, one accumulator, two dataflows.

A product enters the sum either of the element itself (output-stationary) or of its northern neighbour
(operand-stationary). The operand from the north waits in a shadow register until it is taken, and a finished sum
leaves through a drain register, so that neither a stationary operand's arrival nor a result's departure costs a
cycle.

===========  ===================================================  =================================================
register     takes                                                 when
===========  ===================================================  =================================================
``left``     ``left_in``                                           always
``top``      ``top_in``                                            ``feed_in``
``weight``   ``top``                                               ``load_in``
``product``  left * weight                                         always
``sum``      product + (``sum_in`` if north, itself if keep)       always; north, keep: two cycles later
``drain``    ``sum`` if last, else ``drain_in``                    last three cycles after its input; ``shift_in``
===========  ===================================================  =================================================

Output-stationary: ``feed`` and ``load`` are always high, the two operands of a product arrive with ``top_in`` one
cycle ahead of ``left_in``; ``keep`` is low with the first operand of a tile, ``last`` high with its last.
Operand-stationary: ``north`` is always high; ``feed`` shifts the operands in, ``load`` comes with the first streamed
operand of a tile. The control signals travel east with the left operand.

Latency: an operand on ``left_in`` in cycle x is in ``sum`` in cycle x + 3, in ``drain``, if it is the last, in cycle
x + 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware import HardwareError, Leaf, add, delayed, multiply

__all__ = ["CONTROLS", "ElementParameters", "processing_element"]

#: Control signals, one bit each, that travel east through the array.
CONTROLS = ("feed", "load", "north", "keep", "last", "shift")


@dataclass(frozen=True, kw_only=True)
class ElementParameters:
    """Widths in bits, all signed.

    Attributes:
        left_width: streamed operand; 9 for an 8-bit value minus its zero point.
        top_width: the other operand.
        sum_width: accumulator; sums are modulo 2**sum_width.

    Raises:
        HardwareError: when one DSP slice (27 x 18 bits, 48-bit accumulator) cannot hold them, or a product does not
        fit the
            accumulator.
    """

    left_width: int = 9
    top_width: int = 9
    sum_width: int = 32

    def __post_init__(self) -> None:
        wide, narrow = max(self.left_width, self.top_width), min(self.left_width, self.top_width)
        if narrow < 2 or wide > 27 or narrow > 18:
            raise HardwareError(
                f"operands of {self.left_width} and {self.top_width} bits do not fit a 27 x 18 bit multiplier; "
                "choose 2 to 27 and 2 to 18"
            )
        least = self.left_width + self.top_width
        if not least <= self.sum_width <= 48:
            raise HardwareError(
                f"an accumulator of {self.sum_width} bits cannot hold products of {self.left_width} x {self.top_width} "
                f"bits in one slice; choose {least} to 48"
            )


def processing_element(parameters: ElementParameters) -> Leaf:
    """The circuit; every output is a register."""
    left_width, top_width, sum_width = parameters.left_width, parameters.top_width, parameters.sum_width

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        left = pyrtl.Register(left_width, "left")
        top = pyrtl.Register(top_width, "top")
        weight = pyrtl.Register(top_width, "weight")
        product = pyrtl.Register(left_width + top_width, "product")
        total = pyrtl.Register(sum_width, "sum")
        drain = pyrtl.Register(sum_width, "drain")
        control = {name: pyrtl.Register(1, name) for name in CONTROLS}
        for name, register in control.items():
            register.next <<= inputs[f"{name}_in"]
        # What acts on the product waits for it.
        north, keep, last = (delayed(control[name], 1, f"{name}_2") for name in ("north", "keep", "last"))
        done = delayed(last, 1, "last_3")

        left.next <<= inputs["left_in"]
        top.next <<= pyrtl.select(inputs["feed_in"], inputs["top_in"], top)
        weight.next <<= pyrtl.select(inputs["load_in"], top, weight)
        product.next <<= multiply(left, weight)
        held = pyrtl.select(keep, total, pyrtl.Const(0, bitwidth=sum_width))
        total.next <<= add(product, pyrtl.select(north, inputs["sum_in"], held), sum_width)
        moved = pyrtl.select(done, total, inputs["drain_in"])
        drain.next <<= pyrtl.select(done | inputs["shift_in"], moved, drain)
        return {"left": left, "top": top, "sum": total, "drain": drain, **control}

    return Leaf(
        f"pe_{left_width}x{top_width}_{sum_width}",
        inputs={
            "left_in": left_width,
            "top_in": top_width,
            "sum_in": sum_width,
            "drain_in": sum_width,
            **{f"{name}_in": 1 for name in CONTROLS},
        },
        outputs={
            "left": left_width,
            "top": top_width,
            "sum": sum_width,
            "drain": sum_width,
            **dict.fromkeys(CONTROLS, 1),
        },
        logic=logic,
    )
