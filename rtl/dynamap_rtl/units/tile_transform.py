"""A stream of tiles through constant matrices along one or both axes: what Winograd's two transform units share.

A tile of n x n vectors X comes in row by row, one vector of ``lanes`` values a cycle, and T X Tᵀ, k x k vectors, leaves
row by row; along one axis n vectors x come in and T x leaves, k vectors. Which of F(2, 3) and F(4, 3), and whether one
axis or both, is chosen at run time among what the parameters include.

A lane is one cell of a grid; all lanes obey one control::

    data -> tile memory: n banks, one a row -> T along columns -> n values -> T along rows -> finish -> queue -> data
                (two tiles)                                     (collected, held)                  (LUT RAM)

The banks give a whole column of the tile in one cycle, so that the first T works on columns though the tile came in
rows; it visits the positions row by row. The n values of a row are then collected and held while the second T emits
its k results. With one axis the data goes to the collector directly. The tile memory holds two tiles and values are
held while the next are collected, so that a vector goes in every cycle. Nothing behind the tile memory ever waits: a
row starts when the queue has room for what comes of it.

Contract:

1. ``four`` (1: F(4, 3), 0: F(2, 3)) and ``planar`` (1: both axes) may change only while ``idle`` is 1 and ``in_valid``
   is 0. A choice that the parameters leave out must not be made; with one choice the input is not looked at.
2. ``in_ready`` and ``out_valid`` come from registers and from the configuration; neither looks at the other side.
3. With a sink that is always ready, a vector is taken in every cycle it is offered, and the result at (i, j) of a tile
   leaves ``latency_cycles`` + n·i + j cycles after the tile's last vector was taken (one axis: + j), whatever gaps the
   source leaves.
4. A sink that waits loses nothing; once the queue is full the unit stops taking vectors within two tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyrtl

from dynamap_rtl.errors import OverlayError
from dynamap_rtl.hardware import Design, Grid, Leaf, Port, add, delayed, resize

from .signed_digits import Plan, plan
from .winograd import TILES, Rows

__all__ = ["Finish", "TileTransform", "check_modes", "transform_module"]

#: Wires of the running configuration: ``four`` and ``planar``.
Mode = tuple[pyrtl.WireVector, pyrtl.WireVector]


@dataclass(frozen=True)
class Finish:
    """What is done to every result before it is queued.

    Attributes:
        cycles: registers in it.
        width: bits of its result.
        logic: its circuit, from the value and the configuration.
    """

    cycles: int
    width: int
    logic: Callable[[pyrtl.WireVector, Mode], pyrtl.WireVector]


def check_modes(unit: str, *, lanes: int, tiles: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """Refuse what no unit can be.

    Raises:
        OverlayError: naming the parameter and what it may be.
    """
    if lanes < 1:
        raise OverlayError(f"{unit}: lanes must be a whole number from 1, not {lanes!r}")
    if not tiles or set(tiles) - set(TILES) or tuple(sorted(set(tiles))) != tiles:
        raise OverlayError(f"{unit}: tiles must be (2,), (4,) or (2, 4), not {tiles!r}")
    if axes not in {(1,), (2,), (1, 2)}:
        raise OverlayError(f"{unit}: axes must be (1,), (2,) or (1, 2), not {axes!r}")


@dataclass(frozen=True, kw_only=True)
class TileTransform:
    """Parameters of a transform unit.

    Attributes:
        name: of the module, which must say all the rest.
        lanes: values of a vector.
        matrices: T, k x n, by m of F(m, 3).
        axes: numbers of axes that can be chosen, of 1 and 2.
        in_width: bits of a value that comes in.
        kept_width: low bits of it that are looked at; all, unless given.
        between_width: bits after the first T; sums wrap.
        sum_width: bits after the second T; sums wrap.
        finish: what is done to a result, if anything.
    """

    name: str
    lanes: int
    matrices: Mapping[int, Rows]
    axes: tuple[int, ...]
    in_width: int
    between_width: int
    sum_width: int
    kept_width: int | None = None
    finish: Finish | None = None

    @property
    def taken_width(self) -> int:
        """Bits of a value that comes in that are kept."""
        return self.in_width if self.kept_width is None else self.kept_width

    @property
    def tiles(self) -> tuple[int, ...]:
        """Every m of F(m, 3) that can be chosen."""
        return tuple(self.matrices)

    @property
    def out_width(self) -> int:
        """Bits of a result."""
        return self.sum_width if self.finish is None else self.finish.width

    def inputs(self, tile: int) -> int:
        """Vectors of a tile along an axis: n."""
        return len(self.matrices[tile][0])

    def outputs(self, tile: int) -> int:
        """Results of a tile along an axis: k."""
        return len(self.matrices[tile])

    @property
    def largest(self) -> int:
        """Banks of the tile memory and values held: the greatest n."""
        return max(self.inputs(tile) for tile in self.tiles)

    @cached_property
    def plan(self) -> Plan:
        """The adder tree of a T. Its taps are numbered from the newest, so that small tiles use the same ones."""
        rows = [[*row[::-1], *[0] * (self.largest - len(row))] for tile in self.tiles for row in self.matrices[tile]]
        return plan(rows)

    def code(self, tile: int, row: int) -> int:
        """What makes the adder tree compute a row of T."""
        return self.plan.codes[sum(self.outputs(other) for other in self.tiles if other < tile) + row]

    @property
    def tail_cycles(self) -> int:
        """Registers from the held values to the queue."""
        return self.plan.levels + (0 if self.finish is None else self.finish.cycles)

    def latency_cycles(self, tile: int, *, planar: bool) -> int:
        """From the cycle that takes the last vector of a tile to the cycle that hands over its first result.

        Three registers, of the data, of the held values and of the queue, and the tail; with both axes also the first
        T's adders and the n values of the first row.
        """
        return 3 + self.tail_cycles + (self.plan.levels + self.inputs(tile) if planar else 0)

    def cycles(self, count: int, tile: int, *, planar: bool) -> int:
        """``count`` tiles without gaps, the first vector's and the last result's cycle included."""
        n, k = self.inputs(tile), self.outputs(tile)
        last = (k - 1) * n + k - 1 if planar else k - 1
        return count * (n**2 if planar else n) + self.latency_cycles(tile, planar=planar) + last

    @cached_property
    def queue_entries(self) -> int:
        """Results that are promised room at one time when rows start every n cycles, as a power of two.

        A row's results take room from its start until ``first`` + 0 … k-1 cycles later.
        """
        worst = 0
        for tile in self.tiles:
            for axes in self.axes:
                n, k = self.inputs(tile), self.outputs(tile)
                # One axis: the first of the n vectors starts the row; both: the row's first read does, and its latency
                # is counted from the last vector of the tile, one cycle earlier.
                first = self.latency_cycles(tile, planar=axes == 2) + (n - 1 if axes == 1 else -1)
                earlier = sum(max(0, min(k, first + k - start)) for start in range(n, first + k, n))
                worst = max(worst, earlier + k)
        return 1 << (worst - 1).bit_length()


def _bits(count: int) -> int:
    return max(1, (count - 1).bit_length())


def _tree(
    taps: Sequence[pyrtl.WireVector], code: pyrtl.WireVector, tree: Plan, width: int, prefix: str
) -> pyrtl.WireVector:
    """T of one row: ``tree.levels`` registers, modulo 2**width."""
    sums, position = [], 0
    for number, pair in enumerate(tree.pairs):
        operands: list[tuple[pyrtl.WireVector, tuple[bool, ...], pyrtl.WireVector]] = []
        for slot in pair.slots:
            options = [
                pyrtl.Const(0, bitwidth=width) if option is None else _shifted(taps[option[0]], option[1], width)
                for option in slot.options
            ]
            chosen = options[0]
            if slot.index_bits:
                chosen = _choose(options, code[position : position + slot.index_bits])
            negative = code[max(0, position + slot.code_bits - 1)]
            operands.append((chosen, slot.signs, negative))
            position += slot.code_bits
        total = operands[0][0]
        if len(operands) == 2:
            total = _combine(total, *operands[1], width)
        total = delayed(total, 1, f"{prefix}_0_{number}")
        if pair.shift_bits:
            # Behind the register: choosing a shift and the next addition are one cycle's work.
            late = delayed(code[position : position + pair.shift_bits], 1, f"{prefix}_shift_{number}")
            total = _choose([_shifted(total, shift, width) for shift in pair.shifts], late)
        else:
            total = _shifted(total, pair.shifts[0], width)
        sums.append(total)
        position += pair.shift_bits
    level = 1
    while len(sums) > 1:
        neighbours = [sums[k : k + 2] for k in range(0, len(sums), 2)]
        sums = [
            delayed(add(two[0], two[1], width) if len(two) == 2 else two[0], 1, f"{prefix}_{level}_{k}")
            for k, two in enumerate(neighbours)
        ]
        level += 1
    return sums[0]


def _choose(options: Sequence[pyrtl.WireVector], index: pyrtl.WireVector) -> pyrtl.WireVector:
    """The option of an index of just as many bits as needed; beyond the last there is nothing to choose."""
    return pyrtl.mux(index, *options, *[options[-1]] * ((1 << len(index)) - len(options)))


def _shifted(tap: pyrtl.WireVector, shift: int, width: int) -> pyrtl.WireVector:
    if shift == 0:
        return resize(tap, width)
    return resize(pyrtl.concat(tap, pyrtl.Const(0, bitwidth=shift)), width)


def _combine(
    left: pyrtl.WireVector, right: pyrtl.WireVector, sign: tuple[bool, ...], negative: pyrtl.WireVector, width: int
) -> pyrtl.WireVector:
    """Left plus or, by what the signs allow and ``negative`` says, minus right."""
    if sign == (False,):
        return (left + right)[:width]
    if sign == (True,):
        return (left - right)[:width]
    # The lowest bit carries the one that completes the two's complement: one carry chain, not two.
    flipped = right ^ negative.sign_extended(width)
    one = pyrtl.Const(1, bitwidth=1)
    return (pyrtl.concat(left, one) + pyrtl.concat(flipped, negative))[1 : width + 1]


def _shared_ports(unit: TileTransform) -> dict[str, int]:
    """What control tells every lane."""
    ports = {"code_rows": unit.plan.code_bits, "collect": 1, "hold": 1}
    queue = _bits(unit.queue_entries)
    ports |= {"queue_write": 1, "queue_write_address": queue, "queue_read_address": queue}
    if 2 in unit.axes:
        address = 1 + _bits(unit.largest)
        ports |= {"bank_write": unit.largest, "bank_write_address": address, "bank_read_address": address}
        ports |= {"code_columns": unit.plan.code_bits}
    return ports | {"mode": 2}


def _lane(unit: TileTransform) -> Leaf:
    n, entries = unit.largest, unit.queue_entries

    def logic(w: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        mode = (w["mode"][0], w["mode"][1])
        data = delayed(w["data"][: unit.taken_width], 1, "taken")
        value = resize(data, unit.between_width)
        if 2 in unit.axes:
            # Bank b holds the row that is b rows from the last: taps are numbered by age.
            column = []
            for b in range(n):
                bank = pyrtl.MemBlock(unit.taken_width, 1 + _bits(n), f"bank_{b}", asynchronous=True)
                bank[w["bank_write_address"]] <<= pyrtl.MemBlock.EnabledWrite(data, w["bank_write"][b])
                read = pyrtl.WireVector(unit.taken_width, f"read_{b}")
                read <<= bank[w["bank_read_address"]]
                column.append(read)
            transformed = _tree(column, w["code_columns"], unit.plan, unit.between_width, "columns")
            value = transformed if 1 not in unit.axes else pyrtl.select(mode[1], transformed, value)
        collected = [pyrtl.Register(unit.between_width, f"collected_{age}") for age in range(1, n)]
        row = [value, *collected]
        held = [pyrtl.Register(unit.between_width, f"held_{age}") for age in range(n)]
        with pyrtl.conditional_assignment, w["collect"]:
            for later, newer in zip(collected, row, strict=False):
                later.next |= newer
        with pyrtl.conditional_assignment, w["hold"]:
            for later, newer in zip(held, row, strict=True):
                later.next |= newer
        result = _tree(held, w["code_rows"], unit.plan, unit.sum_width, "rows")
        if unit.finish is not None:
            result = unit.finish.logic(result, mode)
        queue = pyrtl.MemBlock(unit.out_width, _bits(entries), "queue", asynchronous=True)
        queue[w["queue_write_address"]] <<= pyrtl.MemBlock.EnabledWrite(result, w["queue_write"])
        head = pyrtl.WireVector(unit.out_width, "head")
        head <<= queue[w["queue_read_address"]]
        return {"out_data": head}

    return Leaf(
        f"{unit.name}_lane",
        inputs={"data": unit.in_width, **_shared_ports(unit)},
        outputs={"out_data": unit.out_width},
        logic=logic,
    )


def _control(unit: TileTransform) -> Leaf:
    entries, planar_possible, linear_possible = unit.queue_entries, 2 in unit.axes, 1 in unit.axes
    ports = _shared_ports(unit)
    steps = _bits(unit.largest)

    def logic(w: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        one, zero = pyrtl.Const(1, bitwidth=1), pyrtl.Const(0, bitwidth=1)
        four = w["four"] if len(unit.tiles) == 2 else pyrtl.Const(int(unit.tiles == (4,)), bitwidth=1)
        planar = w["planar"] if len(unit.axes) == 2 else pyrtl.Const(int(planar_possible), bitwidth=1)
        large, small = unit.tiles[-1], unit.tiles[0]

        def by_tile(of: Callable[[int], int], width: int) -> pyrtl.WireVector:
            return pyrtl.select(four, pyrtl.Const(of(large), bitwidth=width), pyrtl.Const(of(small), bitwidth=width))

        last_input = by_tile(lambda tile: unit.inputs(tile) - 1, steps)
        last_output = by_tile(lambda tile: unit.outputs(tile) - 1, steps)
        row_results = by_tile(unit.outputs, steps + 1)

        def code(row: pyrtl.WireVector) -> pyrtl.WireVector:
            def table(tile: int) -> pyrtl.WireVector:
                codes = [unit.code(tile, r) for r in range(unit.outputs(tile))]
                codes += [codes[-1]] * ((1 << steps) - len(codes))
                return pyrtl.mux(row, *[pyrtl.Const(c, bitwidth=unit.plan.code_bits) for c in codes])

            return pyrtl.select(four, table(large), table(small))

        def counter(name: str, step: pyrtl.WireVector, last: pyrtl.WireVector) -> pyrtl.WireVector:
            """Counts 0 … last in ``step`` cycles."""
            value = pyrtl.Register(steps, name)
            with pyrtl.conditional_assignment:
                with step & (value == last):
                    value.next |= 0
                with step:
                    value.next |= value + 1
            return value

        # Room in the queue: results promised and not yet gone.
        promised = pyrtl.Register(_bits(entries) + 1, "promised")
        room = promised <= pyrtl.Const(entries, bitwidth=len(promised)) - row_results
        written = pyrtl.Register(_bits(entries) + 1, "written")
        gone = pyrtl.Register(_bits(entries) + 1, "gone")
        out_valid = written != gone
        pop = out_valid & w["out_ready"]
        gone.next <<= (gone + pop)[: len(gone)]

        # Vectors come in.
        taken = pyrtl.WireVector(1, "taken")
        in_column = counter("in_column", taken, last_input)
        in_row_ends = taken & (in_column == last_input)
        linear_ready = (in_column != 0) | room
        in_row: pyrtl.WireVector = pyrtl.Const(0, bitwidth=steps)
        occupied = [pyrtl.Register(1, f"occupied_{half}") for half in range(2)] if planar_possible else []
        results: dict[str, pyrtl.WireVector] = {}
        column_issue, column_row_starts, column_row_ends = zero, zero, zero
        in_ready = linear_ready
        if planar_possible:
            in_half, out_half = pyrtl.Register(1, "in_half"), pyrtl.Register(1, "out_half")
            in_ready = pyrtl.select(planar, ~pyrtl.select(in_half, occupied[1], occupied[0]), linear_ready)
            in_row = counter("in_row", in_row_ends & planar, last_input)
            in_tile_ends = in_row_ends & planar & (in_row == last_input)
            in_half.next <<= in_half ^ in_tile_ends
            bank = (last_input - in_row)[:steps]
            banks = [taken & planar & (bank == b) for b in range(unit.largest)]
            results["bank_write"] = delayed(pyrtl.concat_list(banks), 1, "bank_write_r")
            results["bank_write_address"] = delayed(pyrtl.concat(in_half, in_column), 1, "bank_write_address_r")
            # Positions of the first T, row by row, a column read at a time.
            full = pyrtl.select(out_half, occupied[1], occupied[0])
            column_issue = pyrtl.WireVector(1, "column_issue")
            out_column = counter("out_column", column_issue, last_input)
            column_issue <<= planar & ((out_column != 0) | (full & room))
            column_row_starts = column_issue & (out_column == 0)
            column_row_ends = column_issue & (out_column == last_input)
            out_row = counter("out_row", column_row_ends, last_output)
            out_tile_ends = column_row_ends & (out_row == last_output)
            out_half.next <<= out_half ^ out_tile_ends
            for half, half_full in enumerate(occupied):
                fills = in_tile_ends & (in_half == half)
                empties = out_tile_ends & (out_half == half)
                half_full.next <<= (half_full | fills) & ~empties
            results["bank_read_address"] = delayed(pyrtl.concat(out_half, out_column), 1, "bank_read_address_r")
            results["code_columns"] = delayed(code(out_row), 1, "code_columns_r")
        taken <<= w["in_valid"] & in_ready

        # Values of a row are collected and, with the last, held.
        linear = ~planar
        direct, direct_ends = (taken & linear, in_row_ends & linear) if linear_possible else (zero, zero)
        levels = unit.plan.levels
        collects = direct | delayed(column_issue, levels, "column_valid")
        holds = direct_ends | delayed(column_row_ends, levels, "column_last")
        results["collect"] = delayed(collects, 1, "collect_r")
        results["hold"] = hold = delayed(holds, 1, "hold_r")

        # The second T emits what is held.
        emitting = pyrtl.Register(1, "emitting")
        emitted = pyrtl.Register(steps, "emitted")
        following = pyrtl.WireVector(steps, "following")
        following <<= pyrtl.select(hold, pyrtl.Const(0, bitwidth=steps), (emitted + emitting)[:steps])
        emitted.next <<= following
        emitting.next <<= hold | (emitting & (emitted != last_output))
        results["code_rows"] = delayed(code(following), 1, "code_rows_r")
        write = delayed(emitting, unit.tail_cycles, "result_valid")
        written.next <<= (written + write)[: len(written)]
        results["queue_write"] = write
        results["queue_write_address"] = written[: _bits(entries)]
        results["queue_read_address"] = gone[: _bits(entries)]

        row_starts = column_row_starts | (taken & linear & (in_column == 0))
        promise = pyrtl.select(row_starts, row_results, pyrtl.Const(0, bitwidth=steps + 1))
        promised.next <<= (promised + promise - pop)[: len(promised)]
        partial = (in_column != 0) | (in_row != 0)
        busy = (promised != 0) | partial
        for half_full in occupied:
            busy = busy | half_full  # not |=: PyRTL would drive the wire
        results["mode"] = pyrtl.concat(planar & one, four & one)
        return {**results, "in_ready": in_ready, "out_valid": out_valid, "idle": ~busy}

    return Leaf(
        f"{unit.name}_control",
        inputs={"in_valid": 1, "out_ready": 1, "four": 1, "planar": 1},
        outputs={"in_ready": 1, "out_valid": 1, "idle": 1, **ports},
        logic=logic,
    )


def transform_module(unit: TileTransform) -> Design:
    """The unit: ``in_valid``/``in_ready``/``in_data``, ``out_valid``/``out_ready``/``out_data``, and configuration."""
    shared = _shared_ports(unit)
    design = Design(
        unit.name,
        inputs={
            "in_valid": 1,
            "in_data": Port(unit.in_width, unit.lanes),
            "out_ready": 1,
            "four": 1,
            "planar": 1,
        },
        outputs={"in_ready": 1, "out_valid": 1, "out_data": Port(unit.out_width, unit.lanes), "idle": 1},
    )
    control = design.add(
        "control",
        _control(unit),
        **{name: design[name] for name in ("in_valid", "out_ready", "four", "planar")},
    )
    lanes = design.add(
        "lanes",
        Grid(f"{unit.name}_lanes", _lane(unit), rows=1, columns=unit.lanes, shared=tuple(shared)),
        data=design["in_data"],
        **{name: control[name] for name in shared},
    )
    return design.finish(
        in_ready=control["in_ready"],
        out_valid=control["out_valid"],
        out_data=lanes["out_data"],
        idle=control["idle"],
    )
