"""When the loads of both operands move through the one read port, for all array shapes at once.

A load that comes first in the program has the port first. A later one of the other side moves in the gaps; what of it
has been asked for then stands before the next load all the same. docs/explanation/cost-model.md has the rules in words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .block_work import Layer, Load, Loop
from .isa import CHANNEL_BYTES
from .numbers_of_shapes import NEVER, Numbers, State
from .pipeline import INSTRUCTION_QUEUE, run_queue
from .sizes import IntArray, Sizes, up

__all__ = ["START", "PortTimes", "latency_of_loads", "loads_end", "reach", "sides"]

# Cycles of the units' contracts.
START = 10  # from a program's start to its first load's, besides the memory's latency
_FETCH = 8  # from an instruction to the next
_FETCHED = 10  # from the start of a product to that of a load just behind the one that takes its place in the queue
_ASK = 4  # from a load's start to its first request
_CUT = 1  # from a beat to its first piece
_WRITE = 2  # from a load's last piece to its end, besides shifter and rotation
_TRANSFORM = 1  # from the end of a transform's work to the next load's start
_CHANNELS = 2  # from the end of the first loads to the request for channel parameters, and from a beat to its end

#: The next load behind a product of a side, and the products between.
NextLoad = Callable[[str], tuple[Any, Any]]

# Of each side, and besides
# - ports: when others could have the port behind its last loads; how long these had had it is in *moved*,
# - held: cycles for which its next load that asks behind the channel parameters finds them at the port.
_SIDE = (
    "used",  # last read of the block in one half
    "used_before",  # of the other
    "cut",  # when the last load's last piece is cut out of its beat
    "asked",  # when the first piece of what others ask for behind its last run could be
    "asked_first",  # the same, if nothing but the loads before it in the program had held it
)
# Of both sides, and besides
# - taken: when the last products could be taken from their queue,
# - behind: whether the next load asks behind the channel parameters.
_BOTH = {
    "asked": 0,  # when the channel parameters are asked for
    "held_until": 0,  # when they leave the port
    "channels": 0,  # when the first results can be finished, for all they do
    "stores_taken": NEVER,  # when the stores of the last group left room for all of them in their queue
    "stores_of_last_but_one": NEVER,  # the same of the group before that
    "stores_before": NEVER,  # the same of the groups before the last product
    "stores_earlier": NEVER,  # of those before the last but one
}


def reach(sizes: Sizes) -> int:
    """Cycles from a load's start to its first piece."""
    return _ASK + sizes.latency + _CUT


def loads_end(sizes: Sizes, layer: Layer) -> dict[str, IntArray]:
    """For either side, the cycles from a load's last piece to its end."""
    rotations = (sizes.left_rotation, sizes.top_rotation)
    write = _WRITE + sizes.shift_latency
    ends = {side: write + rotation for side, rotation in zip(sides(layer), rotations, strict=True)}
    if layer.transforms:
        ends["activations"] = ends["activations"] + layer.transforms[0] + 1
    return ends


def sides(layer: Layer) -> tuple[str, str]:
    """The operands; the left buffer's load comes first."""
    return ("weights", "activations") if layer.weights_first else ("activations", "weights")


def latency_of_loads(sizes: Sizes) -> IntArray:
    """Cycles of a load besides its pieces, a Winograd transform's not included."""
    rotation = np.maximum(sizes.left_rotation, sizes.top_rotation)
    return np.asarray(reach(sizes) + _WRITE + sizes.shift_latency + rotation, dtype=np.int64)


def _channel_cycles(entries: IntArray, port_bytes: int) -> tuple[IntArray, IntArray]:
    """Cycles for which channel parameters hold the port, and those from then on: an entry a cycle."""
    if port_bytes < CHANNEL_BYTES:
        return entries * (CHANNEL_BYTES // port_bytes), np.ones_like(entries)
    in_a_beat = port_bytes // CHANNEL_BYTES
    before = (up(entries, in_a_beat) - 1) * in_a_beat
    return before + 1, entries - before


class PortTimes:
    """Loads of both sides, and the channel parameters.

    Args:
        sizes: of the overlays.
        layer: whose loads they are.
        numbers: of what kind times are.

    Attributes:
        sides: in the order of a product's loads in the program.
        now: what the next load of either side depends on.
        both: what those of both do.
    """

    def __init__(self, sizes: Sizes, layer: Layer, numbers: Numbers) -> None:
        self._numbers, self._latency, self._reach = numbers, sizes.latency, reach(sizes)
        self._ahead = run_queue(sizes.latency)
        self.sides = sides(layer)
        self._ends = {side: numbers.of(end) for side, end in loads_end(sizes, layer).items()}
        # A transform's load is not taken before the one before is through it.
        self._settles = {"activations": 0, "weights": 0}
        if layer.transforms:
            self._settles["activations"] = self._reach + _WRITE + sizes.shift_latency + _TRANSFORM + layer.transforms[0]
        self._entries, self._rest = (numbers.of(cycles) for cycles in _channel_cycles(layer.entries, sizes.port_bytes))
        length = INSTRUCTION_QUEUE + 1
        self.now: dict[str, State] = {}
        # As if what was in the buffers before had been read just before the first instructions are there.
        there = START + sizes.latency - 1
        every = layer.counts[0].astype(bool)
        first = layer.product_at(Loop((every,) * 4, tuple(count == 1 for count in layer.counts)))
        for side in self.sides:
            times = {name: numbers.all_of(NEVER) for name in _SIDE} | {"ports": numbers.history(NEVER, length)}
            times |= {"used": there + numbers.all_of(0), "used_before": there + numbers.all_of(0)}
            amounts = {"moved": numbers.history(0, length), "held": numbers.all_of(0)}
            self.now[side] = State(numbers, times, amounts=amounts, histories={"ports": "ports", "moved": "ports"})
            there = there + _FETCH * numbers.of(getattr(first, side).loads)
        times = {name: numbers.all_of(value) for name, value in _BOTH.items()}
        times |= {"taken": numbers.history(NEVER, length)}
        self.both = State(numbers, times, amounts={"behind": numbers.all_of(0)}, histories={"taken": "taken"})

    def load(self, side: str, load: Load, before: Any, behind: Any, where: Any, following: NextLoad) -> None:
        """A side's load.

        Args:
            side: which.
            load: its work.
            before: pieces that are written before it needs the port.
            behind: pieces that are not yet written when others can have it.
            where: for which shapes there is one; None for all.
            following: asked seldom.
        """
        numbers, both = self._numbers, self.both
        where_, greater, less = numbers.where, numbers.greater, numbers.less
        other_side = self.sides[side == self.sides[0]]
        mine, other = self.now[side], self.now[other_side]
        opens = self._opens(side, both["taken"][0])
        start = greater(opens, mine["cut"])
        # Loads that come first in the program have the port first: what the other side moves meanwhile is waited for.
        met = numbers.beyond(other["ports"], other["moved"], start)
        # So have the channel parameters, if they are asked for before all of the load is: a run a cycle, behind those
        # of the other side, and no more than its queue holds and what has been written.
        written = greater(0, both["asked"] - start - met) * load.asks // greater(1, load.pieces)
        asking = greater(greater(opens, other["asked_first"]), mine["asked_first"]) + load.asks
        late = (asking > both["asked"] + self._latency + _CUT + 1) | (load.asks > self._ahead + written)
        last = where_(late, 1, both["behind"])
        held = where_(last > 0, less(mine["held"], greater(0, both["held_until"] - start)), 0)
        # What comes behind it in the program but was asked for before it stands before it all the same.
        queued: Any = 0
        wanted = greater(self._opens(other_side, NEVER), other["cut"])
        asked = greater(wanted, mine["asked"]) < opens
        if numbers.any(asked if where is None else asked & where):
            queued = self._queued(side, other_side, opens, held, following)
            queued = where_(asked, greater(0, queued - start), 0)
        waits = where_(before < load.pieces, met + held + queued, 0)
        end = start + greater(load.pieces, waits + load.pieces - before)
        # What a load leaves of the port at its end is of no use to others if one of its own side follows at once.
        more = where_((start > mine["cut"]) | (queued > 0), 0, mine["cut"] - mine["ports"][-1])
        # The last runs are asked for when the first of as many have been written as the loader asks for ahead.
        last_runs = end - load.pieces * self._ahead // greater(1, load.asks) + self._latency
        last_runs = where_(load.asks > self._ahead, last_runs, NEVER)
        mine.set(
            where,
            cut=end,
            asked=greater(last_runs, end - load.pieces + greater(0, load.asks - queued)),
            asked_first=greater(last_runs, asking),
            ports=numbers.pushed(mine["ports"], end - behind),
            moved=numbers.pushed(mine["moved"], load.pieces - behind - less(before, queued) + more),
            held=where_(last > 0, 0, mine["held"]),
            used_before=mine["used"],
        )
        both.set(where, behind=last)

    def _queued(self, side: str, other_side: str, opens: Any, held: Any, following: NextLoad) -> Any:
        """When the port has moved what the other side's next load can have asked for before this side's."""
        numbers, mine, other = self._numbers, self.now[side], self.now[other_side]
        where_, greater, less = numbers.where, numbers.greater, numbers.less
        later, after = following(other_side)
        taken = numbers.chosen(self.both["taken"], less(INSTRUCTION_QUEUE, 1 + greater(0, after)))
        wanted = greater(self._opens(other_side, taken), other["cut"])
        free = greater(mine["ports"][-1], wanted)
        moved = free - wanted - numbers.beyond(mine["ports"], mine["moved"], wanted)
        gap = greater(0, opens - greater(wanted, mine["asked"]))  # a run a cycle, as many as its queue holds
        held_up = where_(held > 0, 0, self._latency)
        pieces = less(gap * later.pieces // greater(1, later.runs), later.queued + greater(0, opens - free - held_up))
        return where_((later.soon > 0) & (gap > 0), free + less(pieces, later.pieces - moved), NEVER)

    def _opens(self, side: str, taken: Any) -> Any:
        """When a side's next load can move its first piece, if the port and its loader are free.

        Args:
            side: which.
            taken: when the product was taken that made room in the queue for the one before the load.
        """
        state, greater = self.now[side], self._numbers.greater
        opens = state["used_before"] + 1 + self._reach
        if self._settles[side]:
            opens = greater(opens, state["cut"] + self._settles[side])
        # A load stands behind the product before the last, and that behind the stores of the groups before it.
        opens = greater(opens, self.both["stores_earlier"] + _FETCHED + _FETCH + self._reach)
        return greater(opens, taken + _FETCHED + self._reach)

    def fetched(self) -> Any:
        """When a product is there, for the stores of the last group but one, behind which it stands."""
        return self.both["stores_of_last_but_one"] + _FETCHED

    def finish_fetched(self) -> Any:
        """When a finish is there, for the stores of the last group; a product and a load stand between."""
        return self.both["stores_taken"] + _FETCHED + 2 * _FETCH

    def loaded(self) -> Any:
        """When the last loads of both sides are done."""
        one, other = (self.now[side]["cut"] + self._ends[side] for side in self.sides)
        return self._numbers.greater(one, other)

    def used(self, side: str, older: Any, released: Any, where: Any) -> None:
        """A block, the older one or the other, has been read."""
        state, where_ = self.now[side], self._numbers.where
        state.set(
            where,
            used_before=where_(older, released, state["used_before"]),
            used=where_(older, state["used"], released),
        )

    def taken(self, cycle: Any, where: Any) -> None:
        """A product could be taken from its queue."""
        both = self.both
        both.set(
            where,
            taken=self._numbers.pushed(both["taken"], cycle),
            stores_before=both["stores_taken"],
            stores_earlier=both["stores_before"],
        )

    def ask_for_channels(self, loaded: Any, where: Any, following: NextLoad) -> None:
        """Channel parameters: what both sides can have asked for before them has the port first."""
        where_, greater = self._numbers.where, self._numbers.greater
        one, two = (following(side)[0] for side in self.sides)
        queues = tuple(where_(each.soon > 0, each.queued, 0) for each in (one, two))
        queued = where_(
            (two.soon > 0) & ((one.soon == 0) | (two.soon < one.soon)),
            queues[1] + where_(two.queued == two.pieces, queues[0], 0),
            queues[0] + where_(one.queued == one.pieces, queues[1], 0),
        )
        free = greater(*(self.now[side]["ports"][-1] for side in self.sides))
        asked = loaded + _CHANNELS
        until = greater(asked + self._latency + _CHANNELS, free + queued) + self._entries
        self.both.set(where, asked=asked, held_until=until, channels=until - 1 + self._rest, behind=0)
        for state in self.now.values():
            state.set(where, held=self._entries)
