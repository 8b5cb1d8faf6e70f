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

from .pipeline import INSTRUCTION_QUEUE, run_queue
from .isa import CHANNEL_BYTES
from .sizes import IntArray, Sizes, up

__all__ = ["Group", "Load", "Loop", "Product", "Work", "block_times", "latency_of_loads"]

BoolArray = NDArray[np.bool_]

#: Blocks of one kind that are followed, besides the last one.
_FOLLOWED = 6
_NEVER = -(1 << 40)
# Cycles of the units' contracts.
_START = 10  # from a program's start to its first load's, besides the memory's latency
_FETCH = 8  # from an instruction to the next
_ASK = 4  # from a load's start to its first request
_CUT = 1  # from a beat to its first piece
_WRITE = 2  # from a load's last piece to its end, besides shifter and rotation
_FINISH_READY = 10  # from one finish to the next, besides its rows
_FINISH_DONE = 9  # from a finish's start to its end, besides rows and rotation
_STORE_READ = 5
_END = 2
_TRANSFORM = 2  # from the end of a transform's work to the next load's start
_FETCHED = 10  # from the start of a product to that of a load behind the one that takes its place in the queue
# Steps of the history of products that make up a full queue, two products each, and products whose operands are
# not asked for when a product so far ahead is taken.
_INTERVALS = INSTRUCTION_QUEUE // 2
_LOADS_BETWEEN = INSTRUCTION_QUEUE - 1
_SUMS = ("_met", "_moved", "_held", "behind")
_SIDE = ("used", "used_before", "cut", "port", "met", "moved", "held", "other_port")


@dataclass(frozen=True, kw_only=True)
class Load:
    """One product's need of one operand.

    Attributes:
        pieces: of the load, padding among them.
        before: pieces of padding that are written before it needs the read port.
        behind: pieces not yet written when its last beat has left the port: of beats in the loader, and padding.
        asks: requests it makes of the read port.
        loads: whether it is loaded for this product, and not there already.
        soon: 0 if the product the next load of its side is for is not fetched by then; else in which order it comes.
        next_pieces: of that load.
        next_queued: those of them that it can have asked for and not yet written.
        older: whether it is in the half that was loaded before the last one.
    """

    pieces: IntArray
    before: IntArray | int = 0
    behind: IntArray
    asks: IntArray
    loads: BoolArray
    soon: IntArray
    next_pieces: IntArray
    next_queued: IntArray
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


@dataclass(frozen=True)
class Loop:
    """Where in its loops a product or group is.

    Attributes:
        first: for each loop, whether it is the first iteration.
        last: whether it is the last one.
        then_last: whether the next one is.
        near: whether so few products are left up to the loop's end that what follows them can be fetched.
    """

    first: tuple[BoolArray, ...]
    last: tuple[BoolArray, ...]
    then_last: tuple[BoolArray, ...]
    near: tuple[BoolArray, ...]


def _end(counts: Sequence[IntArray], *, first: bool) -> Loop:
    """The first or the last iteration of all loops."""
    yes = np.ones(counts[0].size, dtype=bool)
    only, every, none = tuple(count == 1 for count in counts), (yes,) * len(counts), (~yes,) * len(counts)
    return Loop(every, only, none, none) if first else Loop(only, every, none, none)


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
        if isinstance(value, Load):
            return self.record(value)
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
        if self.one:
            return loop
        return tuple(flag.tobytes() for flag in (*loop.first, *loop.last, *loop.then_last, *loop.near))

    def place(self, loop: Loop) -> Loop:
        """The same as callers want it."""
        return Loop(*(self.flags(getattr(loop, field.name)) for field in fields(loop)))


class _Times:
    """Cycles in which things happen, for each shape."""

    def __init__(self, numbers: _Numbers) -> None:
        sides = {
            "used": _NEVER,  # last read of the block in one half
            "used_before": _NEVER,  # of the other
            "cut": _NEVER,  # when the last load's last piece is cut
            "port": _NEVER,  # when the first piece of another could be, for all that load does
            "met": 0,  # cycles for which loads of the other side, since this one last loaded, have the port it wants
            "moved": 0,  # for which the last load had it
            "held": 0,  # for which its next load that asks behind the channel parameters finds them at the port
            "other_port": 0,  # the other's port when this side last loaded
        }
        start = {
            "behind": 0,  # whether the next load asks behind them
            "asked": 0,  # when they are asked for
            "held_until": 0,  # when they leave the port
            "channels": 0,  # when they are there
            "taken": _NEVER,  # when the last product's operands are there
            "taken_before": _NEVER,  # of the one before
            "pace": -_NEVER,  # cycles of the last two products
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

    def update(self, where: Any, **values: Any) -> None:
        for name, value in values.items():
            self.now[name] = value if where is None else self._where(where, value, self.now[name])


def channel_cycles(entries: IntArray, port_bytes: int) -> tuple[IntArray, IntArray]:
    """Cycles for which channel parameters hold the port, and those after that: an entry a cycle."""
    if port_bytes < CHANNEL_BYTES:
        return entries * (CHANNEL_BYTES // port_bytes), np.ones_like(entries)
    in_a_beat = port_bytes // CHANNEL_BYTES
    port = (up(entries, in_a_beat) - 1) * in_a_beat
    return port + 1, entries - port


def latency_of_loads(sizes: Sizes) -> IntArray:
    """Cycles of a load besides its pieces, a Winograd transform's not included."""
    rotation = np.maximum(sizes.left_rotation, sizes.top_rotation)
    return np.asarray(_ASK + sizes.latency + _CUT + _WRITE + sizes.shift_latency + rotation, dtype=np.int64)


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
    input_extra, finish_extra = transforms or (0, 0)
    sides = ("weights", "activations") if weights_first else ("activations", "weights")
    reach = _ASK + sizes.latency + _CUT  # from a load's start to its first piece
    write = _WRITE + sizes.shift_latency  # from its last one to its end, besides the rotation
    rotations = dict(zip(sides, (sizes.left_rotation, sizes.top_rotation), strict=True))
    if work is not None:
        first, last = _end(counts, first=True), _end(counts, first=False)
        early, late = product_at(first), product_at(last)
        group, final = group_at(first), group_at(last)
        start = _START + sizes.latency + reach + write
        own = {side: start + rotation for side, rotation in rotations.items()}
        one, other = (getattr(early, side) for side in sides)
        loaded = (
            own[sides[0]] + one.pieces,
            own[sides[1]] + np.maximum(other.pieces, one.pieces - one.behind + other.pieces - other.before),
        )
        computing = np.maximum(*loaded) + fill
        moved = np.maximum(own["activations"] + work.activations, own["weights"] + work.weights)
        tail = final.reads + final.stores + 2 * sizes.top_rotation + _STORE_READ + sizes.latency + _END + _FINISH_DONE
        finishing = computing + (early.tiles - 1) * early.period + early.steps + drain - 1
        behind = drain + final.rows + tail - 1 - (late.period - late.steps)  # nothing waits for the last period's end
        paths = (
            computing + work.compute + behind,
            moved + fill + late.tiles * late.period + behind,
            finishing + work.rows + tail,
            finishing + group.rows + work.reads + sizes.top_rotation,
        )
        return np.asarray(np.max(np.broadcast_arrays(*paths), axis=0), dtype=np.int64)
    numbers = _Numbers(shapes)
    ahead = run_queue(sizes.latency)
    where_: Any = _pick if numbers.one else np.where
    greater: Any = max if numbers.one else np.maximum
    less: Any = min if numbers.one else np.minimum
    rotation, fill_, drain_ = (numbers.of(value) for value in (sizes.top_rotation, fill, drain))
    entries_, rest = (numbers.of(cycles) for cycles in channel_cycles(entries, sizes.port_bytes))
    ends = {side: write + numbers.of(rotation) for side, rotation in rotations.items()}
    # A transform's load is not taken before the one before is through it.
    settles = {side: reach + write + _TRANSFORM + input_extra if transforms and side == "activations" else 0 for side in sides}
    if transforms:
        ends["activations"] += input_extra + 1
    times = _Times(numbers)
    for number, side in enumerate(sides):
        times.now[f"{side}_used"] = times.now[f"{side}_used_before"] = numbers.all_of(_START + number * _FETCH + sizes.latency - 1)
    products: dict[object, Any] = {}
    groups: dict[object, Any] = {}

    def one_product(loop: Loop, where: Any) -> None:
        now, key = times.now, numbers.key(loop)
        if key not in products:
            products[key] = numbers.record(product_at(numbers.place(loop)))
        work = products[key]
        state = {name: {side: now[f"{side}_{name}"] for side in sides} for name in _SIDE}
        cut, port, met, before = state["cut"], state["port"], state["met"], state["used_before"]
        behind, until = now["behind"], now["held_until"]
        # The fetch waits for the queue of products.
        fetched = now["taken"] - _INTERVALS * now["pace"] + _FETCHED + reach

        def soonest_of(side: str, other: str) -> tuple[Any, Any]:
            """When a side's next load can begin, and for how long the other has the port after that."""
            start = greater(cut[side] + settles[side], before[side] + 1 + reach)
            since = greater(0, state["other_port"][side] - start) + met[side]
            # If it begins when it is fetched, the other's loads until now have come at an even pace.
            until = greater(0, port[other] - fetched)
            loads = 2 * until // greater(1, now["pace"])
            moved = state["moved"][other]
            recent = loads * moved + less(moved, until - loads * now["pace"] // 2)
            since = where_(fetched > start, less(since, recent), since)
            return greater(start, fetched), since

        for side, other in (sides, sides[::-1]):
            load, later = getattr(work, side), getattr(work, other)
            # Loads that come first in the program have the port first: what the other side moves meanwhile is waited
            # for, and the channel parameters.
            start, since = soonest_of(side, other)
            asked = before[side] + 1 + _ASK <= now["asked"]
            behind = where_(load.loads & (~asked | (load.asks > ahead)), 1, behind) if not numbers.one else _pick(load.loads and (not asked or load.asks > ahead), 1, behind)
            taken = where_(behind > 0, less(state["held"][side], greater(0, until - start)), 0)
            # What comes behind it in the program and was asked for before it stands before it all the same.
            wanted, meanwhile = soonest_of(other, side)
            left = wanted + meanwhile + later.next_pieces - start
            blocked = less(later.next_queued - where_(taken > 0, 0, sizes.latency), left)
            blocked = where_((later.soon > 0) & (wanted < start) & (start > cut[side]), greater(0, blocked), 0)
            start = start + blocked
            waits = where_(load.before < load.pieces, less(since, greater(0, port[other] - start)) + taken, 0)
            end = start + greater(load.pieces, waits + load.pieces - load.before)
            moved = load.pieces - load.behind + where_(start > cut[side], 0, cut[side] - port[side])
            seen = less(moved, greater(0, end - load.behind - wanted))
            met[other] = met[other] + where_(load.loads, seen, 0)
            loaded = {
                "cut": end,
                "port": end - load.behind,
                "met": 0,
                "moved": moved,
                "held": where_(behind > 0, 0, state["held"][side]),
                "other_port": port[other],
                "used_before": state["used"][side],
            }
            for name, value in loaded.items():
                state[name][side] = where_(load.loads, value, state[name][side])
        loaded = greater(cut["activations"] + ends["activations"], cut["weights"] + ends["weights"])
        soonest = where_(loop.first[3], greater(loaded, now["finished_before"]), loaded)
        first = greater(now["engine"], soonest + fill_)
        released = first + (work.tiles - 1) * work.period + work.steps - 1
        for side in sides:
            older = getattr(work, side).older
            state["used_before"][side] = where_(older, released, before[side])
            state["used"][side] = where_(older, state["used"][side], released)
        begins = now["engine"] == 0
        asked = loaded + 2
        one, two = (getattr(work, side) for side in sides)
        queues = tuple(where_(next_.soon > 0, next_.next_queued, 0) for next_ in (one, two))
        whole = tuple(next_.next_queued == next_.next_pieces for next_ in (one, two))
        queued = where_(
            (two.soon > 0) & ((one.soon == 0) | (two.soon < one.soon)),
            queues[1] + where_(whole[1], queues[0], 0),
            queues[0] + where_(whole[0], queues[1], 0),
        )
        there = greater(asked + sizes.latency + 2, greater(port["activations"], port["weights"]) + queued) + entries_
        state["held"] = {side: where_(begins, entries_, held) for side, held in state["held"].items()}
        times.update(
            where,
            **{f"{side}_{name}": value for name, values in state.items() for side, value in values.items()},
            # Channel parameters are asked for when the first product's operands are there. What the next load could ask
            # for by then stands before them.
            behind=where_(begins, 0, behind),
            asked=where_(begins, asked, now["asked"]),
            channels=where_(begins, there - 1 + rest, now["channels"]),
            taken=soonest,
            taken_before=now["taken"],
            pace=soonest - now["taken_before"],
            held_until=where_(begins, there, until),
            engine=first + work.tiles * work.period,
            released=released,
        )

    def one_group(loop: Loop, where: Any) -> None:
        now, key = times.now, numbers.key(loop)
        if key not in groups:
            groups[key] = numbers.record(group_at(numbers.place(loop)))
        work = groups[key]
        start = greater(now["released"] + drain_, greater(now["finish_ready"], now["stored_before"] + 1))
        start = greater(start, now["channels"])
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

    def follow(level: int, first: tuple[Any, ...], last: tuple[Any, ...], then_last: tuple[Any, ...], left: tuple[Any, ...], where: Any) -> None:
        if level == len(iterations):
            near, remaining, each = [], 0, 1
            for more, count in zip(left[::-1], iterations[::-1], strict=True):
                remaining = remaining + more * each
                each = each * count
                near.append(remaining < INSTRUCTION_QUEUE)
            one_product(Loop(first, last, then_last, tuple(near[::-1])), where)
            return
        count = iterations[level]

        def body(is_first: Any, is_last: Any, more: Any, mask: Any) -> None:
            follow(level + 1, (*first, is_first), (*last, is_last), (*then_last, more == 1), (*left, more), mask)
            if level == len(iterations) - 2:  # its parts are done
                one_group(Loop((*first, is_first), (*last, is_last), (), ()), mask)

        for index in range(_FOLLOWED):
            mask = count > index + 1
            if where is not None:
                mask = mask & where
            if not np.any(mask):
                break
            if index == _FOLLOWED - 2:  # halves take turns: what two blocks add is added to all times
                before = dict(times.now)
            elif index == _FOLLOWED - 1:
                between = dict(times.now)
            body(yes if index == 0 else no, no, count - 1 - index, None if np.all(mask) else mask)
        more = greater(0, count - 1 - _FOLLOWED)
        if where is not None:
            more = where_(where, more, 0)
        if np.any(more):
            # Those that advance do so like what comes last; sums grow by themselves.
            latest = "released" if level == len(iterations) - 1 else "stored"
            advance = times.now[latest] - before[latest]
            for name in times.now.keys() - {"pace"}:
                value = times.now[name]
                grown = value - before[name]
                if not name.endswith(_SUMS):
                    grown = where_(grown == 0, 0, advance)
                times.now[name] = where_(more % 2 == 0, value, between[name] + grown) + more // 2 * grown
        body(count == 1, yes, 0 * count, where)

    follow(0, (), (), (), (), None)
    return np.asarray(times.now["stored"] + _END, dtype=np.int64).reshape(shapes)
