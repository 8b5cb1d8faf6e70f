"""When the blocks of a layer are loaded, computed, finished and stored, for all array shapes at once.

The recursion follows the units' contracts (docs/reference/overlay.md) block by block: a load waits until the half it
fills is free, a product for its loads, a group for the half of the accumulators before the last, and so on. Blocks that
are alike are not followed one by one: after a few of them all times advance alike, and the rest is added in one step.
So the cost does not grow with a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pipeline import run_queue
from .sizes import IntArray, Sizes

__all__ = ["Group", "Loop", "Product", "Work", "block_times", "latency_of_loads"]

BoolArray = NDArray[np.bool_]

#: Blocks of one kind that are followed, besides the last one.
_FOLLOWED = 6
_NEVER = -(1 << 40)
# Cycles of the units' contracts.
_START = 18  # from a program's start to its first load's, besides the memory's latency
_LOAD = 7  # from a load's start to its first request, and from the first beat to its first piece
_FINISH_READY = 10  # from one finish to the next, besides its rows
_FINISH_DONE = 9  # from a finish's start to its end, besides rows and rotation
_STORE_READ = 5
_END = 2


@dataclass(frozen=True, kw_only=True)
class Product:
    """One product of a group.

    Attributes:
        activations: pieces of its activations' load.
        weights: likewise.
        port_activations: pieces of it for which the read port is taken; the others are written while it serves others.
        loads_activations: whether they are loaded for it, and not there already.
        loads_weights: likewise.
        asks_activations: requests its activations' load makes of the read port.
        asks_weights: likewise.
        tiles: of the array.
        period: cycles from tile to tile.
        steps: cycles of a tile in which operands are read.
    """

    activations: IntArray
    weights: IntArray
    port_activations: IntArray
    loads_activations: BoolArray
    loads_weights: BoolArray
    asks_activations: IntArray
    asks_weights: IntArray
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


@dataclass(frozen=True)
class Loop:
    """Where in its loops a product or group is: for each, whether it is the first and whether the last iteration."""

    first: tuple[BoolArray, ...]
    last: tuple[BoolArray, ...]


def _ends(counts: Sequence[IntArray], *, first: bool) -> tuple[tuple[BoolArray, ...], tuple[BoolArray, ...]]:
    """Flags of the first or the last iteration of all loops."""
    yes = np.ones(counts[0].size, dtype=bool)
    only = tuple(count == 1 for count in counts)
    every = tuple(yes for _ in counts)
    return (every, only) if first else (only, every)


def _pick(condition: bool, chosen: Any, other: Any) -> Any:  # noqa: FBT001 - as numpy.where
    return chosen if condition else other


@dataclass(frozen=True)
class _Numbers:
    """How to calculate: with arrays over the shapes or, tens of times as fast for a single one, with plain numbers."""

    shapes: int

    @property
    def one(self) -> bool:
        """Whether numbers are plain."""
        return self.shapes == 1

    def of(self, value: Any) -> Any:
        """A value of a caller's."""
        return value[0].item() if self.one and isinstance(value, np.ndarray) else value

    def record(self, record: Any) -> Any:
        """The same with every attribute converted."""
        return replace(record, **{field.name: self.of(getattr(record, field.name)) for field in fields(record)})

    def flags(self, flags: tuple[Any, ...]) -> tuple[BoolArray, ...]:
        """Flags as callers want them."""
        return tuple(np.array([flag]) for flag in flags) if self.one else flags

    def all_of(self, value: Any) -> Any:
        """A value for every shape."""
        return value if self.one else np.full(self.shapes, value)

    def key(self, loop: Loop) -> object:
        """Equal for equal places."""
        return loop if self.one else tuple(flag.tobytes() for flag in (*loop.first, *loop.last))


class _Times:
    """Cycles in which things happen, for each shape."""

    def __init__(self, numbers: _Numbers, loaded: Any) -> None:
        sides = {
            "used": _NEVER,  # last read of the block in one half
            "used_before": _NEVER,  # of the other
            "next": 0,  # when the next load of this side can start
            "met": 0,  # pieces that loads of the other side, taken since this one last loaded, move after that
            "other_loaded": 0,  # when this side last loaded: the end of the other's last load then
        }
        start = {
            "held": 0,  # cycles for which a load finds the port taken by channel parameters
            "behind": 0,  # whether the next load asks behind them
            "held_until": 0,  # when they are there
            "engine": 0,  # first step of the next product at the soonest
            "released": _NEVER,  # last read of the last product
            **{f"{side}_{name}": value for side in ("activations", "weights") for name, value in sides.items()},
            "finish_ready": 0,
            "finished": _NEVER,
            "finished_before": _NEVER,
            "store_ready": 0,
            "stored": _NEVER,
            "stored_before": _NEVER,
        }
        self._where = _pick if numbers.one else np.where
        self.now: dict[str, Any] = {name: numbers.all_of(value) for name, value in start.items()}
        self.now |= {"activations_loaded": loaded, "weights_loaded": loaded}

    def update(self, where: Any, **values: Any) -> None:
        for name, value in values.items():
            self.now[name] = value if where is None else self._where(where, value, self.now[name])


def latency_of_loads(sizes: Sizes) -> IntArray:
    """Cycles of a load besides its pieces, a Winograd transform's not included."""
    rotation = np.maximum(sizes.left_rotation, sizes.top_rotation)
    return np.asarray(_LOAD + sizes.latency + sizes.shift_latency + rotation, dtype=np.int64)


def block_times(
    sizes: Sizes,
    counts: tuple[IntArray, IntArray, IntArray, IntArray],
    product_at: Callable[[Loop], Product],
    group_at: Callable[[Loop], Group],
    *,
    fill: IntArray | int,
    drain: IntArray,
    weights_first: bool,
    entries: IntArray,
    transforms: tuple[int, int] | None = None,
    work: Work | None = None,
) -> IntArray:
    """Cycles of a program, from start to finished.

    Args:
        sizes: of the overlays.
        counts: iterations of the loops, outermost first: packs, outer blocks, inner blocks, parts.
        product_at: the product at a place in all four loops.
        group_at: the group at a place in the first three.
        fill: from the end of a product's loads to its first step.
        drain: from a group's last step to its first finish.
        weights_first: whether of one product's loads that of the weights comes first.
        entries: channel parameters, loaded behind the first product's operands.
        transforms: latencies of Winograd's input and output transform, if they are at work. Then a load of activations
            is not taken before the one before is done.
        work: all of the layer's, for a lower bound of the cycles instead of the cycles themselves: so long is the way
            through one unit, which is always busy, and the others before its first and behind its last block.
    """
    shapes = sizes.rows.size
    load_latency = latency_of_loads(sizes)
    input_extra, finish_extra = transforms or (0, 0)
    latency_of = {"activations": load_latency + input_extra, "weights": load_latency}
    if work is not None:
        start = _START + sizes.latency + load_latency
        first, last = Loop(*_ends(counts, first=True)), Loop(*_ends(counts, first=False))
        early, late = product_at(first), product_at(last)
        group, final = group_at(first), group_at(last)
        computing = start + np.maximum(early.activations, early.port_activations + early.weights) + fill
        tail = final.reads + final.stores + 2 * sizes.top_rotation + _STORE_READ + sizes.latency + _END + _FINISH_DONE
        finishing = computing + (early.tiles - 1) * early.period + early.steps + drain - 1
        behind = drain + final.rows + tail - 1 - (late.period - late.steps)  # nothing waits for the last period's end
        paths = (
            computing + work.compute + behind,
            start + np.maximum(work.activations, work.weights) + fill + late.tiles * late.period + behind,
            finishing + work.rows + tail,
            finishing + group.rows + work.reads + sizes.top_rotation,
        )
        return np.asarray(np.max(np.broadcast_arrays(*paths), axis=0), dtype=np.int64)
    numbers = _Numbers(shapes)
    ahead = run_queue(sizes.latency)
    where_: Any = _pick if numbers.one else np.where
    greater: Any = max if numbers.one else np.maximum
    less: Any = min if numbers.one else np.minimum
    load_latency = numbers.of(load_latency)
    latency_of = {side: numbers.of(latency) for side, latency in latency_of.items()}
    rotation, entries_, fill_, drain_ = (numbers.of(value) for value in (sizes.top_rotation, entries, fill, drain))
    times = _Times(numbers, _START + sizes.latency + load_latency)
    sides = ("weights", "activations") if weights_first else ("activations", "weights")
    products: dict[object, Any] = {}
    groups: dict[object, Any] = {}

    def one_product(loop: Loop, where: Any) -> None:
        now, key = times.now, numbers.key(loop)
        if key not in products:
            products[key] = numbers.record(product_at(Loop(numbers.flags(loop.first), numbers.flags(loop.last))))
        work = products[key]
        size = {"activations": work.activations, "weights": work.weights}
        port = {"activations": work.port_activations, "weights": work.weights}
        loads = {"activations": work.loads_activations, "weights": work.loads_weights}
        new: dict[str, Any] = {}
        met = {side: now[f"{side}_met"] for side in sides}
        loaded = {side: now[f"{side}_loaded"] for side in sides}
        asks = {"activations": work.asks_activations, "weights": work.asks_weights}
        held, behind, until = now["held"], now["behind"], now["held_until"]
        for side, other in (sides, sides[::-1]):
            settles = latency_of[side] if transforms and side == "activations" else 0
            start = greater(loaded[side] + settles, now[f"{side}_used_before"] + latency_of[side])
            # Loads that come first in the program have the port first: what the other side moved meanwhile is waited
            # for, and the channel parameters.
            since = greater(0, now[f"{side}_other_loaded"] - start) + met[side]
            load = loads[side]
            taken = where_((behind > 0) | (asks[side] > ahead), less(held, greater(0, until - start)), 0)
            spent = where_((behind > 0) | (asks[side] > ahead), held, 0)
            waits = less(since, greater(0, loaded[other] - start)) + taken
            loaded[side] = where_(load, start + greater(size[side], port[side] + waits), loaded[side])
            late = greater(0, loaded[side] - new.get(f"{other}_next", now[f"{other}_next"]))
            met[other] = met[other] + where_(load, less(port[side] + taken, late), 0)
            met[side] = where_(load, 0, met[side])
            until = where_(load & (spent == 0), loaded[side] + held, until)
            held, behind = where_(load, held - spent, held), where_(load, 1, behind)
            new[f"{side}_other_loaded"] = where_(load, loaded[other], now[f"{side}_other_loaded"])
            freed = now[f"{side}_used"]
            new[f"{side}_used_before"] = where_(load, freed, now[f"{side}_used_before"])
            soonest = greater(loaded[side] + settles, freed + latency_of[side])
            new[f"{side}_next"] = where_(load, soonest, now[f"{side}_next"])
            new[f"{side}_loaded"] = loaded[side]
        new |= {f"{side}_met": met[side] for side in sides}
        soonest = greater(loaded["activations"], loaded["weights"])
        soonest = where_(loop.first[3], greater(soonest, now["finished_before"]), soonest)
        first = greater(now["engine"], soonest + fill_)
        released = first + (work.tiles - 1) * work.period + work.steps - 1
        times.update(
            where,
            **new,
            # Channel parameters are asked for when the first product's operands are there. What the next load could ask
            # for by then stands before them.
            held=where_(now["engine"] == 0, entries_, held),
            behind=where_(now["engine"] == 0, 0, behind),
            held_until=where_(now["engine"] == 0, soonest + entries_, until),
            activations_used=released,
            weights_used=released,
            engine=first + work.tiles * work.period,
            released=released,
        )

    def one_group(loop: Loop, where: Any) -> None:
        now, key = times.now, numbers.key(loop)
        if key not in groups:
            groups[key] = numbers.record(group_at(Loop(numbers.flags(loop.first), numbers.flags(loop.last))))
        work = groups[key]
        start = greater(now["released"] + drain_, greater(now["finish_ready"], now["stored_before"] + 1))
        rows = work.rows + (work.finishes - 1) * _FINISH_READY
        finished = start + rows + _FINISH_DONE + rotation + finish_extra
        stored_from = greater(finished + 1, now["store_ready"])
        reads = work.reads + work.stores
        times.update(
            where,
            finish_ready=start + rows + _FINISH_READY + finish_extra,
            finished=finished,
            finished_before=now["finished"],
            store_ready=stored_from + reads,
            stored=stored_from + reads - 1 + rotation + _STORE_READ + sizes.latency,
            stored_before=now["stored"],
        )

    yes, no = numbers.all_of(value=True), numbers.all_of(value=False)
    iterations = [numbers.of(count) for count in counts]

    def follow(level: int, first: tuple[Any, ...], last: tuple[Any, ...], where: Any) -> None:
        if level == len(iterations):
            one_product(Loop(first, last), where)
            return
        count = iterations[level]

        def body(is_first: Any, is_last: Any, mask: Any) -> None:
            follow(level + 1, (*first, is_first), (*last, is_last), mask)
            if level == len(iterations) - 2:  # its parts are done
                one_group(Loop((*first, is_first), (*last, is_last)), mask)

        for index in range(_FOLLOWED):
            mask = count > index + 1
            if where is not None:
                mask = mask & where
            if not np.any(mask):
                break
            if index == _FOLLOWED - 2:  # halves take turns: what two blocks add is added to all times
                before = dict(times.now)
            body(yes if index == 0 else no, no, None if np.all(mask) else mask)
        more = greater(0, count - 1 - _FOLLOWED)
        if where is not None:
            more = where_(where, more, 0)
        if np.any(more):
            for name, value in times.now.items():
                times.now[name] = value + more * (value - before[name]) // 2
        body(count == 1, yes, where)

    follow(0, (), (), None)
    return np.asarray(times.now["stored"] + _END, dtype=np.int64).reshape(shapes)
