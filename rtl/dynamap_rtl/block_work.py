"""What the blocks of a layer ask of the units: loads, products and groups, at a place in the layer's loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .sizes import IntArray

__all__ = ["BoolArray", "Following", "Group", "Layer", "Load", "Loop", "Parts", "Product", "Work"]

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


@dataclass(frozen=True)
class Parts:
    """Parts of a group, by their numbers; more than one where one product stands for all of them.

    Attributes:
        first: number of the first one.
        beyond: that of the one behind the last.
    """

    first: IntArray
    beyond: IntArray


@dataclass(frozen=True, kw_only=True)
class Following:
    """The next load of one side, for a later product.

    Attributes:
        soon: 0 if its instruction cannot be fetched or its half is not free yet, or there is none; else 1 more than
            the number of loops that end before its product.
        pieces: of it.
        runs: of it.
        queued: those of them that it can have asked for and not yet written.
    """

    soon: IntArray
    pieces: IntArray
    runs: IntArray
    queued: IntArray


@dataclass(frozen=True, kw_only=True)
class Load:
    """One product's need of one operand.

    Attributes:
        pieces: of the load, padding among them.
        behind: pieces not yet written when others can have the port after it: of beats in the loader.
        asks: runs it asks for, or writes as padding.
        loads: whether it is loaded for this product, and not there already.
        older: whether it is in the half that was loaded before the last one.
    """

    pieces: IntArray
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


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer as four loops around its products: packs, outer blocks, inner blocks, parts.

    Attributes:
        counts: iterations of the loops, outermost first.
        last_counts: those within the last pack.
        product_at: the product at a place in all four loops.
        padding_at: at such a place, and for the parts its product stands for: pieces of the activations that are
            written before these need the read port, and those that are not yet written when others can have it,
            ``Load.behind`` among them; None where there is no padding.
        following_at: the next load behind a product of a side, ``activations`` or ``weights``; asked seldom.
        group_at: the group at a place in the first three loops.
        fill: from the end of a product's loads to its first step.
        drain: from a group's last step to its first finish.
        weights_first: whether weights are in the left buffer, whose loads come first.
        entries: channel parameters, loaded behind the first product's operands.
        transforms: latencies of Winograd's input and output transform, if they are at work. Then a load of activations
            is not taken before the one before is done.
        work: all of the layer's, if it is known.
    """

    counts: tuple[IntArray, IntArray, IntArray, IntArray]
    last_counts: tuple[IntArray, IntArray, IntArray, IntArray]
    product_at: Callable[[Loop], Product]
    padding_at: Callable[[Loop, Parts], tuple[IntArray, IntArray]] | None = None
    following_at: Callable[[str, Loop], Following]
    group_at: Callable[[Loop], Group]
    fill: IntArray | int
    drain: IntArray
    weights_first: bool
    entries: IntArray
    transforms: tuple[int, int] | None = None
    work: Work | None = None
