"""What programs of all layers on the array share: operand buffers' halves, and the order of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import TypeVar

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import LOAD
from dynamap_rtl.layer_blocks import LayerBlocks
from dynamap_rtl.load_pattern import Load, LoadTarget
from dynamap_rtl.overlay_circuit import left_parameters, top_parameters
from dynamap_rtl.record import Value
from dynamap_rtl.timing import Dataflow

from .schedule import Fields

__all__ = ["BlockNumbers", "Operands", "load_fields", "ordered", "row_loads"]

_MOST_ROWS = 65_535  # windows of a load
First = TypeVar("First")
Second = TypeVar("Second")


def load_fields(values: Fields) -> Fields:
    """Fields of a load instruction, zero where none is given."""
    none: dict[str, Value] = {
        name: 0 if field.lanes == 1 else (0,) * field.lanes for name, field in LOAD.fields.items()
    }
    return {**none, **values}


class Operands:
    """The two operand buffers of an overlay under a dataflow.

    Attributes:
        activations: which of ``left`` and ``top`` holds them.
        weights: the other one.
        loaders: parameters of both sides' loaders.
        half: depth of half a buffer.
    """

    def __init__(self, circuit: CircuitParameters, dataflow: Dataflow) -> None:
        self.activations, self.weights = ("top", "left") if dataflow is Dataflow.IS else ("left", "top")
        self.loaders = {"left": left_parameters(circuit).loader, "top": top_parameters(circuit).loader}
        self.half = {"left": circuit.left_depth // 2, "top": circuit.top_depth // 2}

    def loads(self, side: str, loads: Sequence[Load], half: int) -> list[Fields]:
        """Fields of loads whose depths are within a half, into half 0 or 1 of a side."""
        base, loader = half * self.half[side], self.loaders[side]
        return [load_fields(replace(load, depth=load.depth + base).fields(loader)) for load in loads]


def row_loads(
    address: int, shape: tuple[int, int], row_bytes: int, *, element_bytes: int = 1, zero_point: int = 0
) -> list[Load]:
    """Loads of constants into a buffer from depth 0 on, a run a row.

    Rows that are runs of their own begin at a beat and in lane 0, so that they take the fewest pieces, and let other
    requests in between.

    Args:
        address: of the first row.
        shape: (depth, lanes).
        row_bytes: from a row to the next.
        element_bytes: 1 to 3; elements of one byte are signed.
        zero_point: subtracted.
    """
    depth, lanes = shape
    return [
        Load(
            address=address + first * row_bytes,
            row_pitch=row_bytes * min(_MOST_ROWS, depth - first),
            pixel_pitch=row_bytes,
            height=1,
            width=min(_MOST_ROWS, depth - first),
            channels=lanes,
            columns=min(_MOST_ROWS, depth - first),
            windows=min(_MOST_ROWS, depth - first),
            element_bytes=element_bytes,
            zero_point=zero_point,
            signed=element_bytes == 1,
            target=LoadTarget.ACROSS,
            depth=first,
            depth_step=1,
        )
        for first in range(0, depth, _MOST_ROWS)
    ]


@dataclass(frozen=True, kw_only=True)
class BlockNumbers:
    """``LayerBlocks`` of one overlay, as numbers; attributes as there."""

    packs: int
    pack_groups: int
    cut: int
    parts: int
    length: int
    pixels: int
    outputs: int
    pixel_blocks: int
    output_blocks: int
    joined: bool
    pixels_outer: bool

    @classmethod
    def of(cls, blocks: LayerBlocks) -> BlockNumbers:
        """The only element of every array."""
        return cls(**{field.name: getattr(blocks, field.name)[0].item() for field in fields(cls)})


def ordered(first: Sequence[First], second: Sequence[Second], *, first_outer: bool) -> Iterable[tuple[First, Second]]:
    """All pairs; the first one changes slowest, or fastest.

    >>> list(ordered([1, 2], "ab", first_outer=False))
    [(1, 'a'), (2, 'a'), (1, 'b'), (2, 'b')]
    """
    if first_outer:
        return product(first, second)
    return ((one, other) for other, one in product(second, first))
