"""When the blocks of a layer are loaded, computed, finished and stored, for all array shapes at once.

The recursion follows the units' contracts (docs/reference/overlay.md) block by block: a load waits until the half it
fills is free and for the read port, a product for its loads, a group for the half of the accumulators before the last,
and so on. Blocks that are alike are not followed one by one: after a few of them all times advance alike, and the rest
is added in one step. So the cost does not grow with a layer.

Times of loads are those of their pieces; docs/explanation/cost-model.md says in words what is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .block_work import Following, Group, Loop, Product, Work
from .isa import CHANNEL_BYTES
from .numbers_of_shapes import Numbers
from .pipeline import INSTRUCTION_QUEUE, run_queue
from .sizes import IntArray, Sizes, down, up

__all__ = ["block_times", "latency_of_loads"]

#: Blocks of one kind that are followed, besides the last one.
_FOLLOWED = 6
_NEVER = -(1 << 40)
# Cycles of the units' contracts.
_START = 10  # from a program's start to its first load's, besides the memory's latency
_FETCH = 8  # from an instruction to the next
_FETCHED = 10  # from the start of a product to that of a load just behind the one that takes its place in the queue
_ASK = 4  # from a load's start to its first request
_CUT = 1  # from a beat to its first piece
_WRITE = 2  # from a load's last piece to its end, besides shifter and rotation
_TRANSFORM = 1  # from the end of a transform's work to the next load's start
_CHANNELS = 2  # from the end of the first loads to the request for channel parameters, and from a beat to its end
_FINISH_READY = 10  # from one finish to the next, besides its rows
_FINISH_DONE = 9  # from a finish's start to its end, besides rows and rotation
_STORE_READ = 5
_END = 2


def _end(counts: Sequence[IntArray], *, first: bool) -> Loop:
    """The first or the last iteration of all loops."""
    every, only = (np.ones(counts[0].size, dtype=bool),) * len(counts), tuple(count == 1 for count in counts)
    return Loop(every, only) if first else Loop(only, every)


# Of each side, activations and weights.
_SIDE = {
    "used": _NEVER,  # last read of the block in one half
    "used_before": _NEVER,  # of the other
    "cut": _NEVER,  # when the last load's last piece is cut out of its beat
    "port": _NEVER,  # when the first piece of another could be, for all that load does
    "met": 0,  # cycles for which loads of the other side, since this one last loaded, have the port it wants
    "moved": 0,  # for which the last load had it
    "held": 0,  # for which its next load that asks behind the channel parameters finds them at the port
    "other_port": 0,  # the other's port when this side last loaded
}
_ALL = {
    "behind": 0,  # whether the next load asks behind the channel parameters
    "asked": 0,  # when these are asked for
    "held_until": 0,  # when they leave the port
    "channels": 0,  # when the first results can be finished, for all they do
    "taken": _NEVER,  # when the last product could be taken from its queue
    "taken_before": _NEVER,  # the one before
    "pace": -_NEVER,  # cycles of the last two products
    "engine": 0,  # first step of the next product at the soonest
    "released": _NEVER,  # last read of the last product
    "finish_ready": 0,
    "finished": _NEVER,
    "finished_before": _NEVER,
    "store_ready": 0,
    "stored": _NEVER,
    "stored_before": _NEVER,
    "stores_taken": _NEVER,  # when the stores of the last group left room for all of them in their queue
    "stores_before": _NEVER,  # the same of the groups before the last product
    "stores_earlier": _NEVER,  # of those before the last but one
}
# Those that are sums and no times.
_SUMS = ("_met", "_moved", "_held", "behind")


def latency_of_loads(sizes: Sizes) -> IntArray:
    """Cycles of a load besides its pieces, a Winograd transform's not included."""
    rotation = np.maximum(sizes.left_rotation, sizes.top_rotation)
    return np.asarray(_ASK + sizes.latency + _CUT + _WRITE + sizes.shift_latency + rotation, dtype=np.int64)


def _channel_cycles(entries: IntArray, port_bytes: int) -> tuple[IntArray, IntArray]:
    """Cycles for which channel parameters hold the port, and those from then on: an entry a cycle."""
    if port_bytes < CHANNEL_BYTES:
        return entries * (CHANNEL_BYTES // port_bytes), np.ones_like(entries)
    in_a_beat = port_bytes // CHANNEL_BYTES
    before = (up(entries, in_a_beat) - 1) * in_a_beat
    return before + 1, entries - before


class _Layer:
    """The recursion of one layer.

    Args:
        sizes: of the overlays.
        counts: as :func:`block_times` has them, and so on.
    """

    def __init__(
        self,
        sizes: Sizes,
        counts: Sequence[IntArray],
        product_at: Callable[[Loop], Product],
        following_at: Callable[[str, Loop], Following],
        group_at: Callable[[Loop], Group],
        *,
        fill: IntArray | int,
        drain: IntArray,
        weights_first: bool,
        transforms: tuple[int, int] | None,
    ) -> None:
        self.sizes, self.counts, self.latency = sizes, counts, sizes.latency
        self.product_at, self.following_at, self.group_at = product_at, following_at, group_at
        self.fill, self.drain = fill, drain
        # The left buffer's load comes first.
        self.sides = ("weights", "activations") if weights_first else ("activations", "weights")
        self.transforms, (self.input_extra, self.finish_extra) = transforms, transforms or (0, 0)
        self.reach = _ASK + sizes.latency + _CUT  # from a load's start to its first piece
        rotations = (sizes.left_rotation, sizes.top_rotation)
        write = _WRITE + sizes.shift_latency
        self.ends: dict[str, Any] = {side: write + rot for side, rot in zip(self.sides, rotations, strict=True)}
        # A transform's load is not taken before the one before is through it.
        self.settles = {"activations": 0, "weights": 0}
        if transforms:
            self.ends["activations"] = self.ends["activations"] + self.input_extra + 1
            self.settles["activations"] = self.reach + write + _TRANSFORM + self.input_extra

    def least(self, work: Work) -> IntArray:
        """A lower bound: the way through one unit, always busy, and through the others before and behind that."""
        sizes = self.sizes
        first, last = _end(self.counts, first=True), _end(self.counts, first=False)
        early, late = self.product_at(first), self.product_at(last)
        group, final = self.group_at(first), self.group_at(last)
        start = _START + sizes.latency + self.reach
        one, other = (getattr(early, side) for side in self.sides)
        meanwhile = one.pieces - one.behind + other.pieces - other.before
        loaded = np.maximum(
            one.pieces + self.ends[self.sides[0]], np.maximum(other.pieces, meanwhile) + self.ends[self.sides[1]]
        )
        moved = np.maximum(work.activations + self.ends["activations"], work.weights + self.ends["weights"])
        computing = start + loaded + self.fill
        tail = final.reads + final.stores + 2 * sizes.top_rotation + _STORE_READ + sizes.latency + _END + _FINISH_DONE
        finishing = computing + (early.tiles - 1) * early.period + early.steps + self.drain - 1
        # Nothing waits for the last period's end.
        behind = self.drain + final.rows + tail - 1 - (late.period - late.steps)
        paths = (
            computing + work.compute + behind,
            start + moved + self.fill + late.tiles * late.period + behind,
            finishing + work.rows + tail,
            finishing + group.rows + work.reads + sizes.top_rotation,
        )
        return np.asarray(np.max(np.broadcast_arrays(*paths), axis=0), dtype=np.int64)

    def total(self, entries: IntArray) -> IntArray:
        """Cycles from start to finished.

        Args:
            entries: channel parameters.
        """
        sizes = self.sizes
        self.numbers = numbers = Numbers(sizes.rows.size)
        self.ahead = run_queue(sizes.latency)
        self.rotation, self.fill, self.drain = (
            numbers.of(value) for value in (sizes.top_rotation, self.fill, self.drain)
        )
        self.entries, self.rest = (numbers.of(cycles) for cycles in _channel_cycles(entries, sizes.port_bytes))
        self.ends = {side: numbers.of(end) for side, end in self.ends.items()}
        start = {f"{side}_{name}": value for name, value in _SIDE.items() for side in self.sides} | _ALL
        self.now: dict[str, Any] = {name: numbers.all_of(value) for name, value in start.items()}
        self.yes, self.no = numbers.all_of(value=True), numbers.all_of(value=False)
        self.known: dict[object, Any] = {}
        self.iterations = [numbers.of(count) for count in self.counts]
        # As if what was in the buffers before had been read just before the first instructions are there.
        there = _START + sizes.latency - 1
        first = self.product_at(_end(self.counts, first=True))
        for side in self.sides:
            self.now[f"{side}_used"] = self.now[f"{side}_used_before"] = there + numbers.all_of(0)
            there = there + _FETCH * numbers.of(getattr(first, side).loads)
        self._follow(0, (), (), (), None)
        return np.asarray(self.now["stored"] + _END, dtype=np.int64).reshape(numbers.shapes)

    def _update(self, where: Any, **values: Any) -> None:
        for name, value in values.items():
            self.now[name] = value if where is None else self.numbers.where(where, value, self.now[name])

    def _work(self, kind: str, loop: Loop, work_at: Callable[[Loop], Any]) -> Any:
        key = kind, self.numbers.key(loop)
        if key not in self.known:
            self.known[key] = self.numbers.record(work_at(self.numbers.place(loop)))
        return self.known[key]

    # ---- one product: its loads, and the array ----

    def _product(self, loop: Loop, left: tuple[Any, ...], where: Any) -> None:
        now, where_, greater = self.now, self.numbers.where, self.numbers.greater
        work: Any = self._work("product", loop, self.product_at)
        state = {name: {side: now[f"{side}_{name}"] for side in self.sides} for name in _SIDE}
        behind = now["behind"]

        def following(side: str) -> Any:
            then_last = tuple(more == 1 for more in left)
            place = Loop(loop.first, loop.last, then_last, self._near(left))
            return self._work(side, place, lambda there: self.following_at(side, there))

        for side in self.sides:
            load = getattr(work, side)
            if self.numbers.any(load.loads if where is None else load.loads & where):
                behind = self._load(state, side, load, following, behind)
        cut = state["cut"]
        loaded = greater(cut["activations"] + self.ends["activations"], cut["weights"] + self.ends["weights"])
        soonest = where_(loop.first[3], greater(loaded, now["finished_before"]), loaded)
        first = greater(now["engine"], soonest + self.fill)
        released = first + (work.tiles - 1) * work.period + work.steps - 1
        for side in self.sides:
            older = getattr(work, side).older
            state["used_before"][side] = where_(older, released, state["used_before"][side])
            state["used"][side] = where_(older, state["used"][side], released)
        begins = now["engine"] == 0
        asking = begins if where is None else begins & where
        if self.numbers.any(asking):
            self._ask_for_channels(state, following, loaded + _CHANNELS, asking)
            behind = where_(begins, 0, behind)
        self._update(
            where,
            **{f"{side}_{name}": value for name, values in state.items() for side, value in values.items()},
            behind=behind,
            taken=soonest,
            taken_before=now["taken"],
            pace=soonest - now["taken_before"],
            engine=first + work.tiles * work.period,
            released=released,
            stores_before=now["stores_taken"],
            stores_earlier=now["stores_before"],
        )

    def _load(
        self,
        state: dict[str, dict[str, Any]],
        side: str,
        load: Any,
        following: Callable[[str], Any],
        behind: Any,
    ) -> Any:
        """One side's load, for those that have one; whether the next one asks behind the channel parameters."""
        now, where_, greater, less = self.now, self.numbers.where, self.numbers.greater, self.numbers.less
        other = self.sides[side == self.sides[0]]
        cut, port = state["cut"], state["port"]
        # Loads that come first in the program have the port first: what the other side moves meanwhile is waited for.
        start, since = self._soonest(state, side, other)
        # So are the channel parameters, if they are asked for before all of the load is.
        late = state["used_before"][side] + 1 + _ASK > now["asked"]
        behind = where_(load.loads & (late | (load.asks > self.ahead)), 1, behind)
        held = where_(behind > 0, less(state["held"][side], greater(0, now["held_until"] - start)), 0)
        # What comes behind it in the program but was asked for before it stands before it all the same.
        wanted, meanwhile = self._soonest(state, other, side)
        before = load.loads & (wanted < start) & (start > cut[side])
        if self.numbers.any(before):
            later = following(other)
            left = wanted + meanwhile + later.pieces - start
            queued = less(later.queued - where_(held > 0, 0, self.latency), left)
            start = start + where_(before & (later.soon > 0), greater(0, queued), 0)
        waits = where_(load.before < load.pieces, less(since, greater(0, port[other] - start)) + held, 0)
        end = start + greater(load.pieces, waits + load.pieces - load.before)
        # What a load leaves of the port at its end is of no use to others if one of its own side follows at once.
        moved = load.pieces - load.behind
        more = where_(start > cut[side], 0, cut[side] - port[side])
        seen = less(moved + more, greater(0, end - load.behind - wanted))
        state["met"][other] = state["met"][other] + where_(load.loads, seen, 0)
        loaded = {
            "cut": end,
            "port": end - load.behind,
            "met": 0,
            "moved": where_(start > cut[side], moved, load.pieces),
            "held": where_(behind > 0, 0, state["held"][side]),
            "other_port": port[other],
            "used_before": state["used"][side],
        }
        for name, value in loaded.items():
            state[name][side] = where_(load.loads, value, state[name][side])
        return behind

    def _soonest(self, state: dict[str, dict[str, Any]], side: str, other: str) -> tuple[Any, Any]:
        """When a side's next load can move its first piece, and for how long the other has the port after that."""
        now, greater, less = self.now, self.numbers.greater, self.numbers.less
        start = greater(state["cut"][side] + self.settles[side], state["used_before"][side] + 1 + self.reach)
        # A load stands behind the product before the last, and that behind the stores of the groups before it.
        start = greater(start, now["stores_earlier"] + _FETCHED + _FETCH + self.reach)
        since = greater(0, state["other_port"][side] - start) + state["met"][side]
        # The fetch comes to it when there is room for the product before it in their queue: when the one as far ahead
        # as the queue is long is taken. The other's loads since then are taken to have come at an even pace.
        pace = now["pace"]
        fetched = now["taken"] - INSTRUCTION_QUEUE // 2 * pace + _FETCHED + self.reach
        if not self.numbers.any(fetched > start):
            return start, since
        until = greater(0, state["port"][other] - fetched)
        loads = down(2 * until, greater(1, pace))
        moved = state["moved"][other]
        recent = loads * moved + less(moved, until - loads * pace // 2)
        since = self.numbers.where(fetched > start, less(since, recent), since)
        return greater(start, fetched), since

    def _ask_for_channels(
        self, state: dict[str, dict[str, Any]], following: Callable[[str], Any], asked: Any, where: Any
    ) -> None:
        """Channel parameters: what both sides can have asked for before them has the port first."""
        where_, greater = self.numbers.where, self.numbers.greater
        one, two = (following(side) for side in self.sides)
        queues = tuple(where_(each.soon > 0, each.queued, 0) for each in (one, two))
        queued = where_(
            (two.soon > 0) & ((one.soon == 0) | (two.soon < one.soon)),
            queues[1] + where_(two.queued == two.pieces, queues[0], 0),
            queues[0] + where_(one.queued == one.pieces, queues[1], 0),
        )
        free = greater(state["port"]["activations"], state["port"]["weights"])
        until = greater(asked + self.latency + _CHANNELS, free + queued) + self.entries
        self._update(where, asked=asked, held_until=until, channels=until - 1 + self.rest)
        for side, held in state["held"].items():
            state["held"][side] = where_(where, self.entries, held)

    # ---- one group: finished and stored ----

    def _group(self, loop: Loop, where: Any) -> None:
        now, greater = self.now, self.numbers.greater
        work: Any = self._work("group", loop, self.group_at)
        start = greater(now["released"] + self.drain, greater(now["finish_ready"], now["stored_before"] + 1))
        start = greater(start, now["channels"])
        rows = work.rows + (work.finishes - 1) * _FINISH_READY
        finished = start + rows + _FINISH_DONE + self.rotation + self.finish_extra
        stored_from = greater(finished + 1, now["store_ready"])
        reads = work.reads + work.stores
        waiting = work.stores - INSTRUCTION_QUEUE  # for room in the queue, and the fetch with them
        self._update(
            where,
            stores_taken=self.numbers.where(
                waiting > 0, stored_from + (waiting - 1) * reads // greater(1, work.stores), now["stores_taken"]
            ),
            finish_ready=start + rows + _FINISH_READY + self.finish_extra,
            finished=finished,
            finished_before=now["finished"],
            store_ready=stored_from + reads,
            stored=stored_from + reads - 1 + self.rotation + _STORE_READ + self.latency,
            stored_before=now["stored"],
        )

    # ---- all of them ----

    def _follow(
        self,
        level: int,
        first: tuple[Any, ...],
        last: tuple[Any, ...],
        left: tuple[Any, ...],
        where: Any,
    ) -> None:
        """The loops from a level on, at a place in those around it; ``left`` counts their iterations to come."""
        numbers = self.numbers
        if level == len(self.iterations):
            self._product(Loop(first, last), left, where)
            return
        count = self.iterations[level]
        yes, no = self.yes, self.no

        def body(is_first: Any, is_last: Any, more: Any, mask: Any) -> None:
            here = (*first, is_first), (*last, is_last)
            self._follow(level + 1, *here, (*left, more), mask)
            if level == len(self.iterations) - 2:  # its parts are done
                self._group(Loop(*here), mask)

        before: list[dict[str, Any]] = []
        for index in range(_FOLLOWED):
            mask = count > index + 1
            if where is not None:
                mask = mask & where
            if not np.any(mask):
                break
            if index >= _FOLLOWED - 2:
                before.append(dict(self.now))
            body(yes if index == 0 else no, no, count - 1 - index, None if np.all(mask) else mask)
        more = numbers.greater(0, count - 1 - _FOLLOWED)
        if where is not None:
            more = numbers.where(where, more, 0)
        if np.any(more):
            self._advance(more, *before, latest="released" if level == len(self.iterations) - 1 else "stored")
        body(count == 1, yes, 0 * count, where)

    def _near(self, left: tuple[Any, ...]) -> tuple[Any, ...]:
        """``Loop.near``, from the iterations to come of each loop."""
        near, remaining, each = [], 0, 1
        for more, count in zip(left[::-1], self.iterations[::-1], strict=True):
            remaining = remaining + more * each
            each = each * count
            near.append(remaining < INSTRUCTION_QUEUE)
        return tuple(near[::-1])

    def _advance(self, more: Any, before: dict[str, Any], between: dict[str, Any], *, latest: str) -> None:
        """Add what some more iterations would: halves take turns, so that two add what the last two did.

        Args:
            more: how many.
            before: times before the last two.
            between: between them.
            latest: of the times, the one that comes last. Others advance as it does, if they do, sums by themselves.
        """
        where_ = self.numbers.where
        advance = self.now[latest] - before[latest]
        for name in self.now.keys() - {"pace"}:
            value = self.now[name]
            grown = value - before[name]
            if not name.endswith(_SUMS):
                grown = where_(grown == 0, 0, advance)
            self.now[name] = where_(more % 2 == 0, value, between[name] + grown) + more // 2 * grown


def block_times(
    sizes: Sizes,
    counts: tuple[IntArray, IntArray, IntArray, IntArray],
    product_at: Callable[[Loop], Product],
    following_at: Callable[[str, Loop], Following],
    group_at: Callable[[Loop], Group],
    *,
    fill: IntArray | int,
    drain: IntArray,
    weights_first: bool,
    entries: IntArray,
    transforms: tuple[int, int] | None = None,
    work: Work | None = None,
    bound: bool = False,
) -> IntArray:
    """Cycles of a program, from start to finished.

    Args:
        sizes: of the overlays.
        counts: iterations of the loops, outermost first: packs, outer blocks, inner blocks, parts.
        product_at: the product at a place in all four loops.
        following_at: likewise the next load behind it of a side, ``activations`` or ``weights``; asked seldom.
        group_at: the group at a place in the first three.
        fill: from the end of a product's loads to its first step.
        drain: from a group's last step to its first finish.
        weights_first: whether weights are in the left buffer, whose loads come first.
        entries: channel parameters, loaded behind the first product's operands.
        transforms: latencies of Winograd's input and output transform, if they are at work. Then a load of activations
            is not taken before the one before is done.
        work: all of the layer's, if it is known. No program is shorter than the way through one unit, which is always
            busy, and the others before its first and behind its last block.
        bound: for that alone, a lower bound found much sooner.

    Raises:
        ValueError: when a bound is asked for without the work.
    """
    layer = _Layer(
        sizes,
        counts,
        product_at,
        following_at,
        group_at,
        fill=fill,
        drain=drain,
        weights_first=weights_first,
        transforms=transforms,
    )
    if work is None:
        if bound:
            raise ValueError("a bound follows from the work; give work")
        return layer.total(entries)
    least = layer.least(work)
    return least if bound else np.maximum(least, layer.total(entries))
