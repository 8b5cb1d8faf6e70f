"""From groups of products to instructions: buffers' halves, and the tokens that keep the units in step.

A layer is a sequence of *groups*. A group fills one half of the accumulators by one or more *products*, is finished
into one half of the result buffer, and stored. A product needs a *block* in each operand buffer; a block that is
still there from an earlier product is not loaded again. Both halves of every buffer take turns, so that load,
compute, finish and store run at the same time, each in its own block.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from dynamap_rtl.isa import Unit
from dynamap_rtl.load_pattern import ORDER_BITS
from dynamap_rtl.pipeline import INSTRUCTION_QUEUE
from dynamap_rtl.record import Value

from .assembler import Instruction

__all__ = ["Block", "Fields", "Group", "Product", "Token", "schedule"]

Fields = Mapping[str, Value]


class Token(IntEnum):
    """Which semaphore says what."""

    LEFT_FULL = 0
    LEFT_FREE = 1
    TOP_FULL = 2
    TOP_FREE = 3
    SUMS_FULL = 4
    SUMS_FREE = 5
    RESULTS_FULL = 6
    RESULTS_FREE = 7
    CHANNELS_FULL = 8
    LEFT_FIRST = 9
    TOP_FIRST = 10


@dataclass(frozen=True)
class Block:
    """Contents of half an operand buffer.

    Attributes:
        key: equal for blocks with equal contents.
        loads: fields of the load instructions, from the half (0, 1).
    """

    key: Hashable
    loads: Callable[[int], Sequence[Fields]]


@dataclass(frozen=True)
class Product:
    """One compute instruction.

    Attributes:
        left: what it needs in the left buffer; None if nothing.
        top: likewise in the top one.
        command: its fields, from the halves of left buffer, top buffer and accumulators.
    """

    left: Block | None
    top: Block | None
    command: Callable[[int, int, int], Fields]


@dataclass(frozen=True)
class Group:
    """Products that share half the accumulators, and what becomes of their sums.

    Attributes:
        products: at least one.
        finishes: fields of the finish instructions, from the half of accumulators and results (0, 1).
        stores: fields of the store instructions, from the half of the results.
    """

    products: Sequence[Product]
    finishes: Callable[[int], Sequence[Fields]]
    stores: Callable[[int], Sequence[Fields]]


@dataclass
class _Side:
    """One operand buffer while instructions are made."""

    unit: Unit
    full: Token
    free: Token
    first: Token
    keys: list[Hashable] = field(default_factory=lambda: [None, None])
    loads: int = 0
    last_use: dict[int, int] = field(default_factory=dict)  # load -> product
    at: dict[Hashable, int] = field(default_factory=dict)  # key -> load
    drafts: list[list[_Draft]] = field(default_factory=list)  # instructions of every load

    def place(self, block: Block, product: int) -> tuple[int, bool]:
        """The half a block is in, and whether it has to be loaded first; the older block makes room."""
        missing = block.key not in self.keys
        if missing:
            self.keys[self.loads % 2] = block.key
            self.at[block.key] = self.loads
            self.loads += 1
        load = self.at[block.key]
        self.last_use[load] = product
        return load % 2, missing

    def releases(self) -> dict[int, int]:
        """Product -> how many blocks nobody needs any more after it, of those whose half is wanted again."""
        given: dict[int, int] = {}
        latest = -1
        for load in range(max(0, self.loads - 2)):
            latest = max(latest + 1, self.last_use[load])
            given[latest] = load
        return given


def schedule(groups: Sequence[Group], channels: Sequence[Fields] = ()) -> list[Instruction]:
    """The instructions of a layer, in an order in which the fetch never holds a unit up.

    Args:
        groups: in the order in which they are computed.
        channels: fields of the instructions that load channel parameters first.
    """
    sides = {
        "left": _Side(Unit.LOAD_LEFT, Token.LEFT_FULL, Token.LEFT_FREE, Token.LEFT_FIRST),
        "top": _Side(Unit.LOAD_TOP, Token.TOP_FULL, Token.TOP_FREE, Token.TOP_FIRST),
    }
    drafts: list[_Draft] = []
    parameters = [_Draft(Unit.LOAD_CHANNELS, fields) for fields in channels]
    if parameters:
        parameters[-1].signal.add(Token.CHANNELS_FULL)
    computes: list[_Draft] = []
    results: list[_Draft] = []  # what becomes of the group before
    before_results = 0  # where what becomes of the group before that one begins
    for number, group in enumerate(groups):
        half, again = number % 2, number + 2 < len(groups)
        for index, product in enumerate(group.products):
            halves, loads = [], []
            compute = _Draft(Unit.COMPUTE, {})
            for name, side in sides.items():
                block = product.left if name == "left" else product.top
                if block is None:
                    halves.append(0)
                    continue
                place, missing = side.place(block, len(computes))
                halves.append(place)
                if missing:
                    loads.append(_load(side, block, place))
                    compute.wait.add(side.full)
            # A group's first operands stand before the results of the last group but one, whose many stores could keep
            # the fetch from them, if they fit the loaders' queues.
            early = index == 0 and number >= 2 and all(len(load) < INSTRUCTION_QUEUE for load in loads)
            place = before_results if early else len(drafts)
            drafts[place:place] = [draft for load in loads for draft in load]
            compute.fields = product.command(halves[0], halves[1], half)
            if index == 0 and number >= 2:
                compute.wait.add(Token.SUMS_FREE)
            if index == len(group.products) - 1:
                compute.signal.add(Token.SUMS_FULL)
            drafts.append(compute)
            computes.append(compute)
            if len(computes) == 1:  # they are not needed before the first finish
                drafts.extend(parameters)
        finishes = [_Draft(Unit.FINISH, fields) for fields in group.finishes(half)]
        stores = [_Draft(Unit.STORE, fields) for fields in group.stores(half)]
        finishes[0].wait.add(Token.SUMS_FULL)
        if number == 0 and channels:
            finishes[0].wait.add(Token.CHANNELS_FULL)
        if number >= 2:
            finishes[0].wait.add(Token.RESULTS_FREE)
        finishes[-1].signal.add(Token.RESULTS_FULL)
        stores[0].wait.add(Token.RESULTS_FULL)
        if again:
            finishes[-1].signal.add(Token.SUMS_FREE)
            stores[-1].signal.add(Token.RESULTS_FREE)
        # Behind the next group's loads and products: stores that wait must not keep the fetch from them.
        before_results = len(drafts)
        drafts += results
        results = [*finishes, *stores]
    drafts += results
    for side in sides.values():
        for product_number in side.releases():
            computes[product_number].release.add(side.free)
    _first_things_first(sides.values(), parameters)
    _order(drafts)
    return [draft.instruction() for draft in drafts]


@dataclass
class _Draft:
    unit: Unit
    fields: Fields
    wait: set[int] = field(default_factory=set)
    signal: set[int] = field(default_factory=set)
    release: set[int] = field(default_factory=set)

    def instruction(self) -> Instruction:
        return Instruction(
            unit=self.unit,
            fields=self.fields,
            wait=frozenset(map(int, self.wait)),
            signal=frozenset(map(int, self.signal)),
            release=frozenset(map(int, self.release)),
        )


def _order(drafts: Sequence[_Draft]) -> None:
    """Loads take the port in the order in which they are needed."""
    loads = [draft for draft in drafts if draft.unit in {Unit.LOAD_LEFT, Unit.LOAD_TOP}]
    for number, draft in enumerate(loads):
        draft.fields = {**draft.fields, "order": number % (1 << ORDER_BITS)}


def _first_things_first(sides: Iterable[_Side], parameters: Sequence[_Draft]) -> None:
    """What the first product waits for is loaded before the channel parameters, which would go before all else."""
    for side in sides:
        if side.drafts and parameters:
            side.drafts[0][-1].signal.add(side.first)
            parameters[0].wait.add(side.first)


def _load(side: _Side, block: Block, half: int) -> list[_Draft]:
    drafts = [_Draft(side.unit, fields) for fields in block.loads(half)]
    if side.loads > 2:  # this load is counted already
        drafts[0].wait.add(side.free)
    drafts[-1].signal.add(side.full)
    side.drafts.append(drafts)
    return drafts
