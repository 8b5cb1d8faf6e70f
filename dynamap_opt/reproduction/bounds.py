"""What no mapping can go below on a given array: the products an algorithm leaves, one an element and cycle.

Nothing of a cost preset is in here but the sizes of products: no fill, no drain, no memory. A published latency below
such a bound was not measured on that array with those algorithms at one product an element and cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from dynamap_opt.algorithms import ALGORITHMS, Algorithm
from dynamap_opt.program import ConvShape, Program
from dynamap_rtl import Dataflow, Gemm, TimingConvention, array_cycles, ceil_div

__all__ = ["BOUND_SETS", "ComputeBound", "ComputeBounds", "compute_bounds"]


class ComputeBound(msgspec.Struct, frozen=True, kw_only=True):
    """One set of algorithms on one array.

    Attributes:
        algorithms: the set, in words.
        products: multiplications that are left with the algorithm of fewest for every convolution.
        ideal_cycles: ⌈products / elements⌉: a lower bound whatever the array's sides and dataflows.
        array_cycles: with the published formulas' whole tiles on an array of these sides, the best algorithm and
            dataflow a layer, without initialisation (groups one by one).
    """

    algorithms: str
    products: int
    ideal_cycles: int
    array_cycles: int


class ComputeBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one network on one array, and what its multiply-accumulates are in.

    Attributes:
        network: its name.
        array: (P1, P2).
        macs: direct multiply-accumulates.
        line_share: of them, in 1xn and nx1 kernels.
        strided_share: of them, in convolutions with a stride.
        convolutions: how many there are, fully connected layers left out.
        kn2row_wins: in how many of them kn2row, over the output's pixels alone, computes in fewer cycles than the
            others the paper has.
        bounds: by set of algorithms, the larger the set the lower.
    """

    network: str
    array: tuple[int, int]
    macs: int
    line_share: float
    strided_share: float
    convolutions: int
    kn2row_wins: int
    bounds: tuple[ComputeBound, ...]


def _published(algorithm: Algorithm, conv: ConvShape) -> bool:
    return algorithm.published_gemms(conv) is not None


def _square_f4(algorithm: Algorithm, conv: ConvShape) -> bool:
    return _published(algorithm, conv) or algorithm.name == "winograd-f4-2d"


#: Growing sets of algorithms: a name, and whether an algorithm may be used for a convolution.
BOUND_SETS: dict[str, Callable[[Algorithm, ConvShape], bool]] = {
    "direct": lambda algorithm, _: algorithm.family in {"im2col", "depthwise"},
    "the paper's three, F(2x2,3x3)": _published,
    "and F(4x4,3x3)": _square_f4,
    "and 1-D F(2,3), F(4,3): all": lambda *_: True,
}


def compute_bounds(program: Program, array: tuple[int, int]) -> ComputeBounds:
    """Lower bounds of a network's latency on a P1 x P2 array that does one product an element and cycle.

    Args:
        program: the network's stages.
        array: (P1, P2).
    """
    shapes = [stage.conv for stage in program.stages if stage.conv is not None]
    macs = sum(conv.macs for conv in shapes)
    spatial = [conv for conv in shapes if conv.in_height * conv.in_width > 1]
    return ComputeBounds(
        network=program.network.name,
        array=array,
        macs=macs,
        line_share=sum(conv.macs for conv in shapes if min(conv.kernel) == 1 < max(conv.kernel)) / macs,
        strided_share=sum(conv.macs for conv in shapes if conv.stride != (1, 1)) / macs,
        convolutions=len(spatial),
        kn2row_wins=sum(_kn2row_wins(conv, array) for conv in spatial),
        bounds=tuple(_bound(name, allowed, shapes, array) for name, allowed in BOUND_SETS.items()),
    )


def _bound(
    name: str, allowed: Callable[[Algorithm, ConvShape], bool], shapes: list[ConvShape], array: tuple[int, int]
) -> ComputeBound:
    products = cycles = 0
    for conv in shapes:
        options = [
            algorithm.gemms(conv)
            for algorithm in ALGORITHMS.values()
            if algorithm.is_legal(conv) and allowed(algorithm, conv)
        ]
        products += min(conv.macs, *(sum(gemm.macs for gemm in gemms) for gemms in options))
        cycles += min(_cycles(gemms, array) for gemms in options)
    return ComputeBound(
        algorithms=name,
        products=products,
        ideal_cycles=ceil_div(products, array[0] * array[1]),
        array_cycles=cycles,
    )


def _cycles(gemms: Sequence[Gemm], array: tuple[int, int]) -> int:
    """Whole tiles of the best dataflow."""
    published = (array_cycles(flow, gemms, *array, convention=TimingConvention.PUBLISHED) for flow in Dataflow)
    return int(min(published)) - max(array)


def _kn2row_wins(conv: ConvShape, array: tuple[int, int]) -> bool:
    """Whether a product a kernel element over the output's pixels takes fewer cycles than im2col and F(2x2, 3x3)."""
    if conv.kernel == (1, 1):
        return False
    inputs, outputs = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    kn2row = (Gemm(conv.pixels, inputs, outputs, conv.kernel[0] * conv.kernel[1] * conv.groups),)
    others = [
        algorithm.gemms(conv)
        for algorithm in ALGORITHMS.values()
        if algorithm.family != "kn2row" and algorithm.is_legal(conv) and _published(algorithm, conv)
    ]
    return _cycles(kn2row, array) < min(_cycles(gemms, array) for gemms in others)
