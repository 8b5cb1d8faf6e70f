"""When the three readers of the read port do what: requests in turn, beats in order, pieces into the buffers.

A run costs a handful of additions however long it is: in a burst, beats are cut without a gap once the first one is
there, because they come one a cycle and are cut no faster. What is not a matter of one reader alone is the order of
requests: :class:`ReadPort` grants them cycle by cycle, as ``units.read_router`` does, and since memory answers in the
order of requests, all times of a burst are known when it is granted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from dynamap_rtl.isa import CHANNEL_BYTES
from dynamap_rtl.load_pattern import ORDER_BITS, LoaderParameters, LoadTarget
from dynamap_rtl.record import Value
from dynamap_rtl.rotation import rotator_latency
from dynamap_rtl.timing import ceil_div

from .load_walk import LoadWalk, Run

__all__ = ["ChannelReader", "LoadReader", "ReadPort", "Reader"]

#: Calls a function in a cycle.
At = Callable[[int, Callable[[int], None]], None]
#: Told the cycle in which a load is done, before that cycle.
Done = Callable[[int], None]


class Reader(Protocol):
    """A client of the port."""

    def granted(self, cycle: int) -> None:
        """Its request is taken in ``cycle``."""


class ReadPort:
    """Router and memory.

    Args:
        at: of the clock.
        latency: of memory, from a request to its first beat.
        outstanding: requests that may wait for their last beat.

    Attributes:
        beats: moved so far.
    """

    def __init__(self, at: At, *, latency: int, outstanding: int) -> None:
        self._at, self._latency = at, latency
        self._ends: deque[int] = deque(maxlen=outstanding)  # cycles of the last requests' last beats
        self._clients: list[Reader] = []
        self._wanted: dict[int, tuple[int, int | None]] = {}
        # From when on, until when and of which order a client has runs to go on.
        self._pending: dict[int, deque[tuple[int, int | None, int]]] = {}
        self._granted = self._now = -1
        self.beats = 0

    def connect(self, client: Reader) -> int:
        """A number for a client."""
        self._clients.append(client)
        number = len(self._clients) - 1
        self._pending[number] = deque()
        return number

    def request(self, client: int, cycle: int, order: int | None) -> None:
        """A client's request is there from ``cycle`` on; all it does before that cycle has been done.

        Of two, the one whose order comes first is served; one without an order goes before all.
        """
        self._wanted[client] = (cycle, order)
        self._later(cycle)

    def first_beat(self, ready: int) -> int:
        """When the first beat of the burst just granted moves, if its client takes it from ``ready`` on."""
        return max(self._granted + self._latency, ready, self._ends[-1] + 1 if self._ends else 0)

    def ends(self, cycle: int, beats: int) -> None:
        """The burst just granted moves the last of its beats in ``cycle``."""
        self._ends.append(cycle)
        self.beats += beats

    def pends(self, client: int, since: int, until: int | None, order: int) -> None:
        """A client has a run of the load with this order, up to the cycle in which it goes on; None: not known yet."""
        waiting = self._pending[client]
        if waiting and waiting[-1][1] is None:
            waiting.pop()
        waiting.append((since, until, order))
        if until is not None:
            self._later(until + 1)

    def _later(self, cycle: int) -> None:
        self._at(cycle, self._arbitrate)

    def _arbitrate(self, cycle: int) -> None:
        cycle = self._now = max(cycle, self._now)  # what was only learned now cannot have an effect before
        if self._granted == cycle:  # one a cycle; whoever is left has been told to come back
            return
        asking = [client for client, (since, _) in self._wanted.items() if since <= cycle]
        chosen = next((client for client in sorted(asking, key=self._rank) if not self._waits(client, cycle)), None)
        if chosen is None:
            return
        if len(self._ends) == self._ends.maxlen and self._ends[0] >= cycle:
            self._later(self._ends[0] + 1)
            return
        del self._wanted[chosen]
        self._granted = cycle
        if len(asking) > 1:
            self._later(cycle + 1)
        self._clients[chosen].granted(cycle)

    def _rank(self, client: int) -> int:
        """Who has no order goes first; of the others at most one does not wait."""
        return 0 if self._wanted[client][1] is None else 1

    def _waits(self, client: int, cycle: int) -> bool:
        """Whether another client has something pending that goes first; as ``units.read_router``."""
        order = self._wanted[client][1]
        if order is None:
            return False
        for other, waiting in self._pending.items():
            if other == client:
                continue
            while waiting and waiting[0][1] is not None and waiting[0][1] < cycle:
                waiting.popleft()
            if waiting and waiting[0][0] <= cycle:
                low, high = (order, waiting[0][2]) if client < other else (waiting[0][2], order)
                low_first = (high - low) % (1 << ORDER_BITS) < 1 << (ORDER_BITS - 1)
                if low_first == (other < client):
                    return True
        return False


class LoadReader:
    """A loader with its operand buffer and, where there is one, Winograd's input transform before it.

    Args:
        port: it reads through.
        parameters: of the loader.
        changed: called when :attr:`ready` may have become known.
    """

    def __init__(self, port: ReadPort, parameters: LoaderParameters, changed: Callable[[], None]) -> None:
        self._port, self._parameters, self._changed = port, parameters, changed
        self._number = port.connect(self)
        # From the last piece taken out of its beat until it leaves the loader, by shifter and output register, and from
        # there or the transform to ``done``, by the write into the buffer.
        self._leaves, self._settles = parameters.shift_latency + 1, rotator_latency(parameters.lanes) + 1
        # Number of places up to its end; who is told; cycles its last vector spends in the transform.
        self._loads: deque[tuple[int, Done, int]] = deque()
        self._walks: deque[Iterator[tuple[Run, ...]]] = deque()
        self._orders: deque[int] = deque()
        self._first: dict[int, int] = {}  # first place of a load -> cycle of its start
        self._places = 0  # of all loads so far
        # Walk and stages: places that have left each, and when the last one did.
        self._left = [0, 0, 0, 0]
        self._when = [-1, -1, -1, -1]
        self._runs: deque[Run] = deque()
        self._pushed = -1
        self._there = -1  # cycle since which a burst waits
        self._pops: deque[int] = deque(maxlen=parameters.run_queue)
        # Writer: cycles of the last cut of a beat, of the last ones of bursts, and the first cycle the next may be in.
        self._cut, self._free = -1, 0
        self._burst_cuts = (-1, -1)
        # Fields of loads wait until the load before has ended.
        self._started: list[int] = []
        self._ended: list[int] = []
        self._taken: list[int] = []
        self._streams = False  # the last load started goes through the transform
        self._transformed = -1  # cycle in which the last one that did has left it
        self._working = False

    def ready(self, fields: Mapping[str, Value]) -> int | None:
        """First cycle in which a load can be taken; None while that is not known."""
        number = len(self._started)
        if self._left[0] < self._places:
            return None
        ready = max(self._when[0], self._transformed) + 1
        if number >= 2:
            if len(self._taken) < number - 1:
                return None
            ready = max(ready, self._taken[number - 2] + 1)
        # The transform and the loader's own writes share the buffer's port, a load at a time.
        if self._streams or fields["target"] == LoadTarget.STREAM:
            if len(self._ended) < number:
                return None
            if number:
                ready = max(ready, self._ended[-1] + self._leaves + 1)
        return ready

    def take(self, fields: Mapping[str, Value], cycle: int, done: Done, *, transform: int) -> None:
        """A load is taken in ``cycle``, not before :meth:`ready`.

        Args:
            fields: of the instruction.
            cycle: not before :meth:`ready`.
            done: told when it is done.
            transform: cycles from the last vector of its stream to what the input transform makes of it.
        """
        walk = LoadWalk(fields, self._parameters)
        self._first[self._places] = cycle
        self._places += walk.places
        self._streams = fields["target"] == LoadTarget.STREAM
        self._loads.append((self._places, done, transform))
        self._walks.append(iter(walk))
        order = fields["order"]
        assert isinstance(order, int)
        self._orders.append(order)
        self._started.append(cycle)
        self._fields_taken()
        self._go_on()

    def granted(self, cycle: int) -> None:
        """The burst that was asked for is granted."""
        self._port.pends(self._number, self._there, cycle, self._orders[0])
        self._push(cycle)
        self._go_on()

    def _fields_taken(self) -> None:
        while len(self._taken) < len(self._started):
            number = len(self._taken)
            if number > len(self._ended):
                return
            before = self._ended[number - 1] if number else 0
            self._taken.append(max(self._started[number] + 1, before))

    def _go_on(self) -> None:
        """Everything up to the next burst's request."""
        if self._working:
            return
        self._working = True
        while self._stages():
            run = self._runs[0]
            there = cycle = max(self._pushed, self._when[2]) + 1
            if len(self._pops) == self._pops.maxlen:
                cycle = max(cycle, self._pops[0] + 1)
            if run.burst:
                self._port.pends(self._number, there, None, self._orders[0])
                self._there = there
                self._port.request(self._number, cycle, self._orders[0])
                break
            self._port.pends(self._number, there, cycle, self._orders[0])
            self._push(cycle)
        self._working = False
        self._changed()

    def _stages(self) -> bool:
        """Move places through walk and stages as far as is known; whether there is a run to be pushed."""
        left, when = self._left, self._when
        moved = True
        while moved:
            moved = False
            if left[0] < self._places and left[1] >= left[0]:
                when[0] = max(when[0] + 1, when[1], self._first.pop(left[0], -1) + 1)
                left[0] += 1
                moved = True
            for stage in (1, 2):
                if left[stage] < left[stage - 1] and left[stage + 1] >= left[stage]:
                    when[stage] = max(when[stage - 1] + 1, when[stage + 1])
                    left[stage] += 1
                    moved = True
        if not self._runs and left[2] > left[3]:
            runs = next(self._walks[0])
            self._runs.extend(runs)
        return bool(self._runs)

    def _push(self, cycle: int) -> None:
        """The oldest run goes into the queue in ``cycle``; what the writer will do with it."""
        run = self._runs.popleft()
        self._pushed = cycle
        pop = max(cycle + self._parameters.latency, self._cut)
        self._pops.append(pop)
        cut = max(pop + 1, self._free)
        if run.burst:
            older, newer = self._burst_cuts
            beat = self._port.first_beat(older + 1)
            cut = max(cut, beat + 1)
            cuts = [cut + run.pieces]  # of the beat behind the last one, backwards
            for pieces in run.last:
                cuts.append(cuts[-1] - pieces)
            end = beat + run.beats - 1
            if run.beats > 1:
                end = max(end, newer + run.beats - 1)
            if run.beats > 2:
                end = max(end, cuts[3] + 1)
            self._port.ends(end, run.beats)
            self._burst_cuts = (cuts[2] if run.beats > 1 else newer, cuts[1])
        self._free = cut + run.pieces
        self._cut = self._free - run.last[0]
        if not self._runs:
            self._left[3] += 1
            self._when[3] = cycle
            if self._left[3] == self._loads[0][0]:
                _, done, transform = self._loads.popleft()
                self._walks.popleft()
                self._orders.popleft()
                self._ended.append(self._free)
                self._fields_taken()
                written = self._free + self._leaves
                if transform:  # one more cycle in which nothing leaves it any more
                    written = self._transformed = written + transform + 1
                done(written + self._settles)


class ChannelReader:
    """The channel memory's load side.

    Args:
        port: it reads through.
        port_bytes: W.
        changed: called when :attr:`ready` has become known.
    """

    def __init__(self, port: ReadPort, port_bytes: int, changed: Callable[[], None]) -> None:
        self._port, self._changed = port, changed
        self._number = port.connect(self)
        self._port_bytes = port_bytes
        self._entries = max(1, port_bytes // CHANNEL_BYTES)  # of a beat
        self._under_way: tuple[int, int, Done] | None = None
        self.ready: int | None = 0

    def take(self, fields: Mapping[str, Value], cycle: int, done: Done) -> None:
        """A load is taken in ``cycle``, not before ``ready``."""
        size, channels = fields["bytes"], fields["channels"]
        assert isinstance(size, int)
        assert isinstance(channels, int)
        self._under_way = (ceil_div(size, self._port_bytes), channels, done)
        self.ready = None
        self._port.request(self._number, cycle + 1, None)

    def granted(self, cycle: int) -> None:  # noqa: ARG002 - the port knows it
        """The load's only request is granted: an entry a cycle, beats as they are wanted."""
        assert self._under_way is not None
        beats, channels, done = self._under_way
        beat = self._port.first_beat(0) + (beats - 1) * self._entries
        self._port.ends(beat, beats)
        last = beat + channels - (beats - 1) * self._entries
        if self._port_bytes < CHANNEL_BYTES:
            last = beat + 1
        self.ready = last + 1
        done(last)
        self._changed()
