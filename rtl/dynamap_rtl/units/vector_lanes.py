"""The vector path: the top operand times a coefficient, to the accumulators without passing the array.

Pooling and element-wise addition are sums or maxima of vectors of channels over positions that the feeder's walk
gives: the accumulators add them up like kn2row's products. Accumulators start at zero, so a maximum is taken of
values shifted to be positive: 2**(width - 1) is added, and whoever reads the result subtracts it. ``vector_path`` says
which coefficients, biases and scales make which operation.

Contract of lane j: ``value`` in cycle x + j with ``coefficient`` and ``maximum`` in cycle x gives value * coefficient
(+ 2**(width - 1) if maximum) on ``vector`` in cycle x + j + 2. A value every cycle.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.hardware import Design, Grid, Leaf, Port, add, delayed, multiply
from dynamap_rtl.pipeline import LANE_LATENCY

from .vector_path import COEFFICIENT_BITS

__all__ = ["COEFFICIENT_BITS", "LANE_LATENCY", "vector_lanes"]


def vector_lanes(*, lanes: int, width: int, sum_width: int) -> Design:
    """The circuit.

    Args:
        lanes: P2.
        width: bits of an operand.
        sum_width: bits of an accumulator.
    """
    sizes = f"{width}_{sum_width}"

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        coefficient = delayed(inputs["coefficient_in"], 1, "coefficient")
        maximum = delayed(inputs["maximum_in"], 1, "maximum")
        product = delayed(multiply(inputs["value"], inputs["coefficient_in"]), 1, "product")
        shift = pyrtl.select(
            maximum, pyrtl.Const(1 << width - 1, bitwidth=width + 1), pyrtl.Const(0, bitwidth=width + 1)
        )
        vector = delayed(add(product, shift, sum_width), 1, "vector")
        return {"vector": vector, "coefficient": coefficient, "maximum": maximum}

    cell = Leaf(
        f"vector_lane_{sizes}",
        inputs={"value": width, "coefficient_in": COEFFICIENT_BITS, "maximum_in": 1},
        outputs={"vector": sum_width, "coefficient": COEFFICIENT_BITS, "maximum": 1},
        logic=logic,
    )
    design = Design(
        f"vector_lanes_{lanes}_{sizes}",
        inputs={"value": Port(width, lanes), "coefficient": COEFFICIENT_BITS, "maximum": 1},
        outputs={"vector": Port(sum_width, lanes)},
    )
    grid = design.add(
        "lanes",
        Grid(
            f"vector_lane_grid_{lanes}_{sizes}",
            cell,
            rows=1,
            columns=lanes,
            east={"coefficient_in": "coefficient", "maximum_in": "maximum"},
        ),
        value=design["value"],
        coefficient_in=design["coefficient"],
        maximum_in=design["maximum"],
    )
    return design.finish(vector=grid["vector"])
