"""What the blocks of a layer ask of the units: loads, products and groups, at a place in the layer's loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .sizes import IntArray

__all__ = ["BoolArray", "Following", "Group", "Load", "Loop", "Product", "Work"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Loop:
    """Where in its loops (packs, outer and inner blocks, parts) a product or group is.

    Attributes:
        first: for each loop, whether it is the first iteration.
        last: whether it is the last one.
        then_last: whether the next one is; empty where nobody asks.
        near: whether so few products are left up to the loop's end that what follows them can be fetched; likewise.
    """

    first: tuple[BoolArray, ...]
    last: tuple[BoolArray, ...]
    then_last: tuple[BoolArray, ...] = ()
    near: tuple[BoolArray, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Following:
    """The next load of one side, for a later product.

    Attributes:
        soon: 0 if its instruction cannot be fetched yet, or there is none; else less for those that come first.
        pieces: of it.
        queued: those of them that it can have asked for and not yet written.
    """

    soon: IntArray
    pieces: IntArray
    queued: IntArray


@dataclass(frozen=True, kw_only=True)
class Load:
    """One product's need of one operand.

    Attributes:
        pieces: of the load, padding among them.
        before: pieces of padding that are written before it needs the read port.
        behind: pieces not yet written when others can have the port after it: of beats in the loader, and padding.
        asks: runs it asks for, or writes as padding.
        loads: whether it is loaded for this product, and not there already.
        older: whether it is in the half that was loaded before the last one.
    """

    pieces: IntArray
    before: IntArray
    behind: IntArray
    asks: IntArray
    loads: BoolArray
    older: BoolArray


@dataclass(frozen=True, kw_only=True)
class Product:
    """One product of a group.

    Attributes:
        activations: what it needs of them.
        weights: likewise.
        tiles: of the array.
        period: cycles from tile to tile.
        steps: cycles of a tile in which operands are read.
    """

    activations: Load
    weights: Load
    tiles: IntArray
    period: IntArray
    steps: IntArray


@dataclass(frozen=True, kw_only=True)
class Group:
    """What becomes of a group's sums.

    Attributes:
        rows: of the accumulators.
        reads: of the result buffer.
        stores: instructions it is stored by.
        finishes: instructions it is finished by.
    """

    rows: IntArray
    reads: IntArray
    stores: IntArray | int
    finishes: IntArray | int = 1


@dataclass(frozen=True, kw_only=True)
class Work:
    """All of a layer's work, cycles of each unit.

    Attributes:
        activations: pieces loaded.
        weights: likewise.
        compute: of the array.
        rows: finished.
        reads: stored.
    """

    activations: IntArray
    weights: IntArray
    compute: IntArray
    rows: IntArray
    reads: IntArray
