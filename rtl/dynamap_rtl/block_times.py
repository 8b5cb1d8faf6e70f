"""When the blocks of a layer are loaded, computed, finished and stored, for all array shapes at once.

The recursion follows the units' contracts (docs/reference/overlay.md) block by block: a load waits until the half it
fills is free and for the read port (:mod:`dynamap_rtl.port_times`), a product for its loads, a group for the half of
the accumulators before the last, and so on. Blocks that are alike are not followed one by one: after a few of them all
times advance alike, and the rest is added in one step. So the cost does not grow with a layer.

Times of loads are those of their pieces; docs/explanation/cost-model.md says in words what is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .block_work import Layer, Loop, Parts, Work
from .numbers_of_shapes import NEVER, Numbers, State
from .pipeline import INSTRUCTION_QUEUE
from .port_times import START, PortTimes, loads_end, reach, sides
from .sizes import IntArray, Sizes

__all__ = ["block_times"]

#: Iterations of a loop that are followed: the first ones, and of each loop the last ones.
_FOLLOWED, _ENDS = 6, (1, 1, 1, 3)
# Cycles of the units' contracts.
_FINISH_READY = 10  # from one finish to the next, besides its rows
_FINISH_DONE = 9  # from a finish's start to its end, besides rows and rotation
_STORE_READ = 5
_END = 2

_TIMES = {
    "engine": 0,  # first step of the next product at the soonest
    "released": NEVER,  # last read of the last product
    "finish_ready": 0,
    "finished": NEVER,
    "finished_before": NEVER,
    "store_ready": 0,
    "stored": NEVER,
    "stored_before": NEVER,
}


def block_times(sizes: Sizes, layer: Layer, *, bound: bool = False) -> IntArray:
    """Cycles of a program, from start to finished.

    No program is shorter than the way through one unit, which is always busy, and the others before its first and
    behind its last block.

    Args:
        sizes: of the overlays.
        layer: its loops.
        bound: for that alone, a lower bound found much sooner.

    Raises:
        ValueError: when a bound is asked for without the layer's work.
    """
    if layer.work is None:
        if bound:
            raise ValueError("a bound follows from the work; give work")
        return _Run(sizes, layer).total()
    least = _least(sizes, layer, layer.work)
    return least if bound else np.maximum(least, _Run(sizes, layer).total())


def _least(sizes: Sizes, layer: Layer, work: Work) -> IntArray:
    """The lower bound."""
    every, only = (np.ones(sizes.rows.size, dtype=bool),) * 4, tuple(count == 1 for count in layer.counts)
    first, last = Loop(every, only), Loop(only, every)
    early, late = layer.product_at(first), layer.product_at(last)
    group, final = layer.group_at(first), layer.group_at(last)
    ends, order = loads_end(sizes, layer), sides(layer)
    padding = {side: (0 * sizes.rows, getattr(early, side).behind) for side in order}
    if layer.padding_at:
        padding["activations"] = layer.padding_at(first, Parts(0 * sizes.rows, 0 * sizes.rows + 1))
    one, other = (getattr(early, side).pieces for side in order)
    meanwhile = one - padding[order[0]][1] + other - padding[order[1]][0]
    loaded = np.maximum(one + ends[order[0]], np.maximum(other, meanwhile) + ends[order[1]])
    moved = np.maximum(work.activations + ends["activations"], work.weights + ends["weights"])
    start = START + sizes.latency + reach(sizes)
    computing = start + loaded + layer.fill
    tail = final.reads + final.stores + 2 * sizes.top_rotation + _STORE_READ + sizes.latency + _END + _FINISH_DONE
    finishing = computing + (early.tiles - 1) * early.period + early.steps + layer.drain - 1
    # Nothing waits for the last period's end.
    behind = layer.drain + final.rows + tail - 1 - (late.period - late.steps)
    paths = (
        computing + work.compute + behind,
        start + moved + layer.fill + late.tiles * late.period + behind,
        finishing + work.rows + tail,
        finishing + group.rows + work.reads + sizes.top_rotation,
    )
    return np.asarray(np.max(np.broadcast_arrays(*paths), axis=0), dtype=np.int64)


@dataclass(frozen=True)
class _Place:
    """A place in the loops.

    Attributes:
        loop: as callers want it.
        codes: equal for iterations that are alike: 0 for a loop's first one, 1 for others, negative for the last ones.
        left: iterations of each loop to come.
        parts: the product stands for; none before it is known.
        part: equal for equal ones.
    """

    loop: Loop
    codes: tuple[int, ...] = ()
    left: tuple[Any, ...] = ()
    parts: Parts | None = None
    part: int = 0


class _Run:
    """The recursion of one layer.

    Args:
        sizes: of the overlays.
        layer: its loops.
    """

    def __init__(self, sizes: Sizes, layer: Layer) -> None:
        self.numbers = numbers = Numbers(sizes.rows.size)
        self.layer, self.latency = layer, sizes.latency
        self.rotation, self.fill, self.drain = (
            numbers.of(value) for value in (sizes.top_rotation, layer.fill, layer.drain)
        )
        self.finish_extra = layer.transforms[1] if layer.transforms else 0
        self.port = PortTimes(sizes, layer, numbers)
        self.now = State(
            numbers, {name: numbers.all_of(value) for name, value in _TIMES.items()}, amounts={}, histories={}
        )
        self.states = (self.now, self.port.both, *self.port.now.values())
        self.iterations, self.last_iterations = (
            [numbers.of(count) for count in counts] for counts in (layer.counts, layer.last_counts)
        )
        self.yes, self.no = numbers.all_of(value=True), numbers.all_of(value=False)
        self.known: dict[object, Any] = {}

    def total(self) -> IntArray:
        """Cycles from start to finished."""
        self._follow(0, _Place(Loop((), ())), None)
        return np.asarray(self.now["stored"] + _END, dtype=np.int64).reshape(self.numbers.shapes)

    def _known(self, key: object, work: Callable[[], Any]) -> Any:
        if key not in self.known:
            self.known[key] = self.numbers.record(work())
        return self.known[key]

    # ---- one product: its loads, and the array ----

    def _product(self, place: _Place, where: Any) -> None:
        now, numbers, layer, port = self.now, self.numbers, self.layer, self.port
        where_, greater = numbers.where, numbers.greater
        work: Any = self._known(place.codes, lambda: layer.product_at(numbers.place(place.loop)))

        def following(side: str) -> Any:
            return self._following(side, place)

        for side in port.sides:
            load = getattr(work, side)
            loads = load.loads if where is None else load.loads & where
            if numbers.any(loads):
                before, behind = 0, load.behind
                if layer.padding_at and side == "activations":
                    before, behind = self._padding(place)
                port.load(side, load, before, behind, None if numbers.all(loads) else loads, following)
        loaded = port.loaded()
        soonest = greater(loaded, port.fetched())
        soonest = where_(place.loop.first[3], greater(soonest, now["finished_before"]), soonest)
        first = greater(now["engine"], soonest + self.fill)
        released = first + (work.tiles - 1) * work.period + work.steps - 1
        for side in port.sides:
            port.used(side, getattr(work, side).older, released, where)
        port.taken(soonest, where)
        begins = now["engine"] == 0
        asking = begins if where is None else begins & where
        if numbers.any(asking):
            port.ask_for_channels(loaded, asking, following)
        now.set(where, engine=first + work.tiles * work.period, released=released)

    def _padding(self, place: _Place) -> Any:
        """Of a product's activations."""
        key = "padding", place.codes[:3], place.part
        if key not in self.known:
            numbers, padding_at = self.numbers, self.layer.padding_at
            assert padding_at is not None
            assert place.parts is not None
            found = padding_at(numbers.place(place.loop), numbers.parts(place.parts))
            self.known[key] = tuple(map(numbers.of, found))
        return self.known[key]

    def _following(self, side: str, place: _Place) -> tuple[Any, Any]:
        """A side's next load behind a product, and the number of products between."""
        # Products to come up to the end of each loop.
        remaining: list[Any] = []
        each = 1
        for more, count in zip(place.left[::-1], self.iterations[::-1], strict=True):
            remaining.append((remaining[-1] if remaining else 0) + more * each)
            each = each * count
        near = tuple(products < INSTRUCTION_QUEUE for products in remaining[::-1])
        then_last = tuple(more == 1 for more in place.left)
        key = side, place.codes, self.numbers.key(then_last), self.numbers.key(near)
        loop = Loop(place.loop.first, place.loop.last, then_last, near)
        found = self._known(key, lambda: self.layer.following_at(side, self.numbers.place(loop)))
        after = 0
        for loops, products in enumerate(remaining[:3], start=2):
            after = self.numbers.where(found.soon == loops, products, after)
        return found, after

    # ---- one group: finished and stored ----

    def _group(self, place: _Place, where: Any) -> None:
        now, both, greater = self.now, self.port.both, self.numbers.greater
        work: Any = self._known(place.codes, lambda: self.layer.group_at(self.numbers.place(place.loop)))
        start = greater(now["released"] + self.drain, greater(now["finish_ready"], now["stored_before"] + 1))
        start = greater(start, greater(both["channels"], self.port.finish_fetched()))
        rows = work.rows + (work.finishes - 1) * _FINISH_READY
        finished = start + rows + _FINISH_DONE + self.rotation + self.finish_extra
        stored_from = greater(finished + 1, now["store_ready"])
        reads = work.reads + work.stores
        waiting = work.stores - INSTRUCTION_QUEUE  # for room in the queue, and the fetch with them
        taken = stored_from + (waiting - 1) * reads // greater(1, work.stores)
        both.set(
            where,
            stores_taken=self.numbers.where(waiting > 0, taken, both["stores_taken"]),
            stores_of_last_but_one=both["stores_taken"],
        )
        now.set(
            where,
            finish_ready=start + rows + _FINISH_READY + self.finish_extra,
            finished=finished,
            finished_before=now["finished"],
            store_ready=stored_from + reads,
            stored=stored_from + reads - 1 + self.rotation + _STORE_READ + self.latency,
            stored_before=now["stored"],
        )

    # ---- all of them ----

    def _follow(self, level: int, place: _Place, where: Any) -> None:
        """The loops from a level on, at a place in those around it."""
        numbers, count = self.numbers, self.iterations[level]
        ends = _ENDS[level]
        more = numbers.greater(0, count - ends - _FOLLOWED)

        def body(code: int, left: Any, number: Any, beyond: Any, mask: Any) -> None:
            first = self.yes if code == 0 else self.no if code > 0 else number == 0
            last = self.yes if code == -1 else self.no
            alike = min(code, 1)
            if code < -1 and (numbers.all(first) or not numbers.any(first)):  # as one of those before
                alike = 0 if numbers.all(first) else 1
            loop = Loop((*place.loop.first, first), (*place.loop.last, last))
            parts_level = level == len(self.iterations) - 1
            codes = (*place.codes, alike)
            inner = _Place(loop, codes, (*place.left, left), Parts(number, beyond) if parts_level else None, code)
            every = None if numbers.all(mask) else mask
            if parts_level:
                self._product(inner, every)
                return
            self._follow(level + 1, inner, every)
            if level == len(self.iterations) - 2:  # its parts are done
                self._group(inner, every)

        before: list[Sequence[dict[str, Any]]] = []
        for index in range(_FOLLOWED):
            mask = count > index + ends if where is None else (count > index + ends) & where
            if not numbers.any(mask):
                break
            number, beyond = index, index + 1
            if index >= _FOLLOWED - 2:
                before.append([dict(state) for state in self.states])
                # The last ones stand for those that are not followed.
                number = numbers.where(more > 0, _FOLLOWED - 2, number)
                beyond = numbers.where(more > 0, count - ends, beyond)
            body(index, count - 1 - index, number, beyond, mask)
        if where is not None:
            more = numbers.where(where, more, 0)
        if numbers.any(more > 0):
            latest = "released" if level == len(self.iterations) - 1 else "stored"
            by = self.now[latest] - before[0][0][latest]
            for state, then, between in zip(self.states, *before, strict=True):
                state.advance(more, then, between, by)
        for left in range(ends - 1, -1, -1):
            mask = count > left if where is None else (count > left) & where
            if not numbers.any(mask):
                continue
            if level == 0:
                self.iterations = self.last_iterations
            body(-1 - left, left + 0 * count, count - 1 - left, count - left, mask)
