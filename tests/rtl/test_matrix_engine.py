"""One product takes exactly the cycles ``timing`` says, on the circuit, and is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dynamap_rtl import Dataflow, Gemm, array_cycles
from dynamap_rtl.hardware import HardwareError
from dynamap_rtl.isa import COMPUTE
from dynamap_rtl.matrix_program import matrix_layout
from dynamap_rtl.units.array import ArrayParameters
from dynamap_rtl.units.gemm import GemmParameters
from dynamap_rtl.units.pe import ElementParameters
from rtl_benches import matrix_bench, packed, unpacked


def predicted(dataflow: Dataflow, a: int, b: int, c: int, parameters: GemmParameters) -> int:
    return array_cycles(
        dataflow,
        [Gemm(a, b, c)],
        parameters.array.rows,
        parameters.array.columns,
        pipeline_cycles=parameters.pipeline_cycles,
    )


def check(dataflow: Dataflow, a: int, b: int, c: int, rows: int, columns: int, latency: int = 1) -> None:
    bench = matrix_bench(rows, columns, latency)
    rng = np.random.default_rng(a + 100 * b + 10_000 * c)
    left, right = rng.integers(-256, 256, (a, b)), rng.integers(-256, 256, (b, c))
    product, cycles = bench.multiply(dataflow, left, right)
    np.testing.assert_array_equal(product, left @ right)
    assert cycles == predicted(dataflow, a, b, c, bench.parameters)


# For every array: products that fit it, are ragged, are shorter than a preload or a drain, are vectors.
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 7), (7, 1), (2, 3), (3, 2), (4, 4), (5, 3), (3, 5), (8, 2), (2, 8), (6, 6)]


def products(rows: int, columns: int) -> list[tuple[int, int, int]]:
    return [
        (1, 1, 1),
        (rows, rows, columns),
        (columns, rows, rows),
        (2 * rows, 3 * rows, 2 * columns),
        (rows + 1, rows + 1, columns + 1),
        (2 * rows + 1, 1, columns + 1),
        (1, 2 * rows + 1, 3),
        (max(1, rows - 1), 2 * rows - 1, 1),
        (11, 5, 2 * columns - 1),
    ]


CASES = [(dataflow, *product, *shape) for shape in SHAPES for product in products(*shape) for dataflow in Dataflow]


def test_the_designed_set_has_at_least_300_cases() -> None:
    assert len(set(CASES)) >= 300


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_designed_products_are_right_and_take_the_formulas_cycles(rows: int, columns: int) -> None:
    for case in CASES:
        if case[4:] == (rows, columns):
            check(*case)


SIZE = st.integers(1, 14)


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(Dataflow),
    SIZE,
    SIZE,
    SIZE,
    st.sampled_from([(1, 1), (1, 4), (3, 1), (2, 3), (4, 3), (5, 2), (3, 6)]),
    st.sampled_from([1, 4]),
)
@example(Dataflow.WS, 1, 14, 14, (5, 2), 4)
@example(Dataflow.NS, 14, 1, 14, (5, 2), 4)
def test_random_products_are_right_and_take_the_formulas_cycles(dataflow, a, b, c, shape, latency) -> None:
    check(dataflow, a, b, c, *shape, latency)


@pytest.mark.parametrize("dataflow", Dataflow)
def test_commands_of_one_mode_follow_each_other_without_a_bubble(dataflow: Dataflow) -> None:
    bench = matrix_bench(4, 3)
    sizes = (9, 6, 5)
    layout = matrix_layout(dataflow, *sizes, rows=4, columns=3)
    rng = np.random.default_rng(5)
    left, right = rng.integers(-256, 256, sizes[:2]), rng.integers(-256, 256, sizes[1:])
    operands = layout.left(left, right), layout.top(left, right)
    command = COMPUTE.pack(**layout.command(bench.parameters))
    retired: list[int] = []
    given = 0
    while len(retired) < 5:
        bench.step(*operands, command=command, command_valid=int(given < 5))
        given += given < 5 and bench.simulation.inspect("command_ready")
        if bench.simulation.inspect("retired"):
            retired.append(bench.cycle)
    tiles, steps = {Dataflow.NS: (3 * 2, 6), Dataflow.WS: (2 * 2, 9), Dataflow.IS: (2 * 3, 5)}[dataflow]
    assert set(np.diff(retired)) == {tiles * steps}
    # Five times the product was added up.
    words = []
    for word in range(layout.words + 12):
        bench.step(*operands, read=int(10 <= word < layout.words + 10), read_address=max(0, word - 10))
        words.append(unpacked(bench.simulation.inspect("row"), 32, 3))
    np.testing.assert_array_equal(layout.product(np.array(words[12:]).T), 5 * left @ right)


def test_dataflows_may_change_from_command_to_command() -> None:
    bench = matrix_bench(3, 4)
    rng = np.random.default_rng(6)
    for dataflow in [Dataflow.WS, Dataflow.NS, Dataflow.IS, Dataflow.NS, Dataflow.NS, Dataflow.WS, Dataflow.WS]:
        left, right = rng.integers(-256, 256, (5, 7)), rng.integers(-256, 256, (7, 6))
        np.testing.assert_array_equal(bench.multiply(dataflow, left, right)[0], left @ right)


@pytest.mark.parametrize(
    ("widths", "sentence"),
    [
        ({"left_width": 28}, "do not fit a 27 x 18 bit multiplier"),
        ({"left_width": 19, "top_width": 19}, "do not fit a 27 x 18 bit multiplier"),
        ({"left_width": 1}, "do not fit a 27 x 18 bit multiplier"),
        ({"sum_width": 17}, "cannot hold products of 9 x 9 bits"),
        ({"sum_width": 49}, "choose 18 to 48"),
    ],
)
def test_widths_no_slice_has_are_refused(widths: dict[str, int], sentence: str) -> None:
    with pytest.raises(HardwareError, match=sentence):
        ElementParameters(**widths)


@pytest.mark.parametrize("rows", [0, -1, 1025, True, 2.0])
def test_arrays_of_impossible_shape_are_refused(rows: object) -> None:
    with pytest.raises(HardwareError, match="rows of the array must be a whole number from 1 to 1024"):
        ArrayParameters(rows=rows, columns=1)  # type: ignore[arg-type]


def test_lanes_are_packed_with_the_first_in_the_lowest_bits() -> None:
    assert packed([1, -1, 2], 4) == 0x2F1
    assert unpacked(0x2F1, 4, 3) == [1, -1, 2]
