"""First half of the loader: walks the windows of a load and makes bursts and stretches of padding of their taps.

Three registers stand between the walk and the runs: the walk itself (address and position of a row of taps, or of one
tap), its distances to the borders of the image, what of it is padding and what a burst. The last stage gives one run a
cycle, at most three of a row of taps: padding on the left, a burst, padding on the right; and the zeros behind a
window. A run that is empty takes no cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from dynamap_rtl.hardware import Leaf, add, negate
from dynamap_rtl.load_pattern import ORDER_BITS, LoaderParameters, loader_fields

from .counting import countdown, unsigned
from .counting import held as hold

__all__ = ["RUN_FIELDS", "load_runs", "run_bits"]

#: What the walk needs of a load; the other fields go to the second half.
RUN_FIELDS = (
    "line_address",
    "address",
    "tap_x_pitch",
    "tap_y_pitch",
    "column_pitch",
    "row_pitch",
    "line_x",
    "x",
    "tap_x_step",
    "column_step",
    "width",
    "y",
    "tap_y_step",
    "row_step",
    "height",
    "taps_x",
    "taps_y",
    "chunks",
    "columns",
    "columns_left",
    "windows",
    "span",
    "span_bytes",
    "last_span",
    "last_span_bytes",
    "tail",
    "whole",
    "element_bytes",
    "order",
)
# These only start the walk (the counts are held by their counters); the others are held while it runs.
_STARTING = {"line_address", "address", "x", "y", "taps_x", "taps_y", "chunks", "columns", "columns_left", "windows"}
_HELD = tuple(name for name in RUN_FIELDS if name not in _STARTING)


def run_bits(parameters: LoaderParameters) -> dict[str, int]:
    """A run as it goes to the second half."""
    return {"run_zero": 1, "run_elements": parameters.count_width, "run_end": 1, "run_last": 1, "run_element_bytes": 2}


def load_runs(parameters: LoaderParameters) -> Leaf:
    """The circuit.

    ``start`` takes the fields, only with ``idle``. With ``room``, a run is pushed (``push``) whenever there is one and,
    if it is a burst, the memory takes its request. ``run_end`` marks the last run of a window, ``run_last`` that of the
    load. ``request_address``, ``request_bytes`` and ``request_order`` hold while ``request_valid`` waits;
    ``request_pending`` is high while there is a run of the load with that order. The first run comes four cycles after
    ``start``.
    """
    bits = loader_fields(parameters)
    return Leaf(
        f"load_runs_{parameters.address_width}_{parameters.count_width}_{parameters.position_width}"
        f"_{parameters.transfer}",
        inputs={
            "start": 1,
            "room": 1,
            "request_ready": 1,
            **{name: bits[name] for name in RUN_FIELDS},
        },
        outputs={
            "idle": 1,
            "request_valid": 1,
            "request_address": parameters.address_width,
            "request_bytes": 16,
            "request_order": ORDER_BITS,
            "request_pending": 1,
            "push": 1,
            **run_bits(parameters),
        },
        logic=lambda inputs: _logic(parameters, inputs),
    )


@dataclass(frozen=True)
class _Place:
    """One row of taps (or one tap): the outputs of the walk."""

    valid: pyrtl.WireVector
    address: pyrtl.WireVector
    x: pyrtl.WireVector
    y: pyrtl.WireVector
    end: pyrtl.WireVector  # last of its window
    last: pyrtl.WireVector  # last of the load
    last_chunk: pyrtl.WireVector


def _logic(parameters: LoaderParameters, inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
    held = {name: hold(inputs["start"], inputs[name], name) for name in _HELD}
    position = parameters.position_width
    # How far a window at x = 0 reaches over the right border.
    overhang = hold(inputs["start"], (inputs["span"].zero_extended(position) - inputs["width"])[:position], "overhang")

    # Each stage goes on when the next one takes what it has.
    edges_take = pyrtl.WireVector(1, "edges_take")
    parts_take = pyrtl.WireVector(1, "parts_take")
    runs_take = pyrtl.WireVector(1, "runs_take")

    place = _walk(parameters, inputs, held, edges_take)

    # Distances to the borders.
    span = pyrtl.select(place.last_chunk, held["last_span"], held["span"])
    span_bytes = pyrtl.select(place.last_chunk, held["last_span_bytes"], held["span_bytes"])
    beside = held["whole"] & ~_below(place.x, held["width"])
    edges = _Stage(edges_take, place.valid, "edges")
    outside = edges.register(~_below(place.y, held["height"]) | beside, "outside")
    before = edges.register(place.x[-1] & ~held["whole"], "before")
    minus_x = edges.register(negate(place.x, position), "minus_x")
    over = edges.register(add(place.x, overhang, position), "over")
    passed = {
        name: edges.register(wire, name)
        for name, wire in {
            "span": span,
            "span_bytes": span_bytes,
            "address": place.address,
            "end": place.end,
            "last": place.last,
            # The next load may start while this one's last taps are still here.
            **{name: held[name] for name in ("whole", "tail", "element_bytes", "order")},
        }.items()
    }

    # Padding on either side, the burst between.
    parts = _Stage(parts_take, edges.valid, "parts")
    whole_span = passed["span"]
    left_part = _shorter(minus_x, whole_span)
    left = parts.register(
        pyrtl.select(outside, whole_span, pyrtl.select(before, left_part, pyrtl.Const(0, len(whole_span)))), "left"
    )
    beyond = ~outside & ~passed["whole"] & ~over[-1]  # zero elements over are none
    right = parts.register(pyrtl.select(beyond, _shorter(over, whole_span), pyrtl.Const(0, len(whole_span))), "right")
    carried = {name: parts.register(wire, name) for name, wire in passed.items()}

    runs = _Stage(runs_take, parts.valid, "runs")
    inner = (carried["span"] - left - right)[: len(whole_span)]
    run_left, run_right = runs.register(left, "left"), runs.register(right, "right")
    run_inner = runs.register(inner, "inner")
    request_address = runs.register((carried["address"] + left)[: parameters.address_width], "address")
    request_bytes = runs.register(pyrtl.select(carried["whole"], carried["span_bytes"], inner), "bytes")
    tail, element_bytes = (
        runs.register(carried["tail"], "tail"),
        runs.register(carried["element_bytes"], "element_bytes"),
    )
    order = runs.register(carried["order"], "order")
    end, last = runs.register(carried["end"], "end"), runs.register(carried["last"], "last")

    push = pyrtl.WireVector(1, "push_run")
    has_left = pyrtl.Register(1, "has_left")
    has_inner = pyrtl.Register(1, "has_inner")
    has_right = pyrtl.Register(1, "has_right")
    has_left.next <<= pyrtl.select(runs_take, left != 0, has_left & ~push)
    has_inner.next <<= pyrtl.select(runs_take, inner != 0, has_inner & ~(push & ~has_left))
    has_right.next <<= pyrtl.select(runs_take, right != 0, has_right & ~(push & ~has_left & ~has_inner))
    has_tail = runs.register(carried["end"] & (carried["tail"] != 0), "has_tail")
    zero = has_left | ~has_inner
    after_inner = has_right | has_tail
    final = _first(
        (has_left, ~(has_inner | after_inner)),
        (has_inner, ~after_inner),
        (has_right, ~has_tail),
        (has_tail, pyrtl.Const(1, bitwidth=1)),
    )
    request_valid = runs.valid & ~zero & inputs["room"]
    push <<= runs.valid & inputs["room"] & (zero | inputs["request_ready"])
    elements = _first((has_left, run_left), (has_inner, run_inner), (has_right, run_right), (has_tail, tail))

    runs_take <<= ~runs.valid | (push & final)
    parts_take <<= ~parts.valid | runs_take
    edges_take <<= ~edges.valid | parts_take
    return {
        "idle": ~place.valid,
        "request_valid": request_valid,
        "request_address": request_address,
        "request_bytes": unsigned(request_bytes, 16),
        "request_order": order,
        "request_pending": runs.valid,
        "push": push,
        "run_zero": zero,
        "run_elements": elements,
        "run_end": final & end,
        "run_last": final & last,
        "run_element_bytes": element_bytes,
    }


def _walk(
    parameters: LoaderParameters,
    inputs: Mapping[str, pyrtl.WireVector],
    held: Mapping[str, pyrtl.WireVector],
    take: pyrtl.WireVector,
) -> _Place:
    """Nested loops, outermost first: rows of windows, windows in it, channel chunks, rows of taps, taps.

    Every loop remembers where its present iteration began; when it goes on, the loops inside it restart there.
    """
    start = inputs["start"]
    valid = pyrtl.Register(1, "walking")
    go = valid & take
    one = pyrtl.Const(1, bitwidth=1)
    tap_last = countdown(start, go, inputs["taps_x"], inputs["taps_x"], "taps_x")
    row_of_taps_done = tap_last
    tap_row_last = countdown(start, go & row_of_taps_done, inputs["taps_y"], inputs["taps_y"], "taps_y")
    taps_done = row_of_taps_done & tap_row_last
    chunk_last = countdown(start, go & taps_done, inputs["chunks"], inputs["chunks"], "chunks")
    window_done = taps_done & chunk_last
    column_last = countdown(start, go & window_done, inputs["columns"], inputs["columns_left"], "columns")
    windows_last = countdown(start, go & window_done, inputs["windows"], inputs["windows"], "windows")
    row_done = window_done & column_last
    done = window_done & windows_last
    valid.next <<= start | (valid & ~(go & done))

    # Which loop goes on: the innermost that is not at its end.
    by_tap, by_tap_row = ~row_of_taps_done, row_of_taps_done & ~tap_row_last
    by_chunk, by_column, by_row = taps_done & ~chunk_last, window_done & ~column_last, row_done

    width = parameters.address_width
    names = ("tap", "tap_row", "chunk", "window", "line")
    address = {name: pyrtl.Register(width, "at_" + name) for name in names}
    chunk_pitch = pyrtl.select(
        held["element_bytes"][1],
        pyrtl.select(
            held["element_bytes"][0],
            _constant(3 * parameters.transfer, width),
            _constant(2 * parameters.transfer, width),
        ),
        _constant(parameters.transfer, width),
    )
    base = _first(
        (by_tap, address["tap"]),
        (by_tap_row, address["tap_row"]),
        (by_chunk, address["chunk"]),
        (by_column, address["window"]),
        (one, address["line"]),
    )
    pitch = _first(
        (by_tap, held["tap_x_pitch"]),
        (by_tap_row, held["tap_y_pitch"]),
        (by_chunk, chunk_pitch),
        (by_column, held["column_pitch"]),
        (one, held["row_pitch"]),
    )
    following = add(base, pitch, width)
    moves = {
        "tap": one,
        "tap_row": row_of_taps_done,
        "chunk": taps_done,
        "window": window_done,
        "line": by_row,
    }
    for name, register in address.items():
        origin = inputs["line_address" if name == "line" else "address"]
        register.next <<= pyrtl.select(start, origin, pyrtl.select(go & moves[name], following, register))

    position = parameters.position_width
    x, window_x = pyrtl.Register(position, "tap_x"), pyrtl.Register(position, "window_x")
    right_x = add(window_x, held["column_step"], position)
    next_window_x = pyrtl.select(column_last, held["line_x"], right_x)
    restart_x = pyrtl.select(window_done, next_window_x, window_x)
    next_x = pyrtl.select(by_tap, add(x, held["tap_x_step"], position), restart_x)
    x.next <<= pyrtl.select(start, inputs["x"], pyrtl.select(go, next_x, x))
    window_x.next <<= pyrtl.select(start, inputs["x"], pyrtl.select(go & window_done, next_window_x, window_x))

    y, window_y = pyrtl.Register(position, "tap_y"), pyrtl.Register(position, "window_y")
    next_window_y = pyrtl.select(row_done, add(window_y, held["row_step"], position), window_y)
    next_y = pyrtl.select(taps_done, next_window_y, add(y, held["tap_y_step"], position))
    y.next <<= pyrtl.select(start, inputs["y"], pyrtl.select(go & row_of_taps_done, next_y, y))
    window_y.next <<= pyrtl.select(start, inputs["y"], pyrtl.select(go & row_done, next_window_y, window_y))
    return _Place(valid, address["tap"], x, y, window_done, done, chunk_last)


class _Stage:
    """A pipeline stage that takes its inputs when ``take`` is high."""

    def __init__(self, take: pyrtl.WireVector, valid: pyrtl.WireVector, name: str) -> None:
        self._take = take
        self._name = name
        self.valid = pyrtl.Register(1, name + "_valid")
        self.valid.next <<= pyrtl.select(take, valid, self.valid)

    def register(self, wire: pyrtl.WireVector, name: str) -> pyrtl.Register:
        """``wire`` as it was when the stage last took something."""
        return hold(self._take, wire, f"{self._name}_{name}")


def _first(*choices: tuple[pyrtl.WireVector, pyrtl.WireVector]) -> pyrtl.WireVector:
    """The value of the first choice whose condition holds; the last one's is not looked at."""
    value = choices[-1][1]
    for condition, other in reversed(choices[:-1]):
        value = pyrtl.select(condition, other, value)
    return value


def _below(value: pyrtl.WireVector, limit: pyrtl.WireVector) -> pyrtl.WireVector:
    """0 <= value < limit, of a signed value: a negative one is large as an unsigned one."""
    return value < limit


def _shorter(distance: pyrtl.WireVector, span: pyrtl.WireVector) -> pyrtl.WireVector:
    """The smaller of a distance, not negative, and a span; in the bits of the span."""
    return pyrtl.select(distance < span.zero_extended(len(distance)), distance[: len(span)], span)


def _constant(value: int, width: int) -> pyrtl.WireVector:
    return pyrtl.Const(value, bitwidth=width)
