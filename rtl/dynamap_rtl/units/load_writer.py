"""Second half of the loader: cuts runs into pieces, a piece a cycle, and sends each where it belongs.

Runs wait until the memory has had time to answer, padding like bursts, so that a load takes the same time wherever its
padding is. Then every run is cut into beats, every beat into pieces; a pipeline brings each piece to the front of its
beat, takes off the zero point and gives it to the operand buffer or the stream.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.hardware import Leaf, Port, add, resize
from dynamap_rtl.load_pattern import LoaderParameters, LoadTarget, loader_fields

from .counting import held
from .load_runs import resize_unsigned, run_bits
from .pair_queue import pair_queue
from .walker import advance_phase

__all__ = ["WRITER_FIELDS", "load_writer"]

#: What the writer needs of a load.
WRITER_FIELDS = ("zero_point", "signed", "target", "depth", "depth_phase", "depth_step", "depth_step_phase")


def load_writer(parameters: LoaderParameters) -> Leaf:
    """The circuit.

    ``start`` takes the fields, only with ``start_room``. ``push`` says that a run goes into the queue before it, whose
    oldest run is at the inputs and is removed by ``pop``. The ports of the stream exist only with one.
    """
    bits = loader_fields(parameters)
    stream_in: dict[str, int] = {"stream_ready": 1} if parameters.stream else {}
    stream_out: dict[str, int] = {"stream_valid": 1} if parameters.stream else {}
    return Leaf(
        f"load_writer_{_suffix(parameters)}",
        inputs={
            "start": 1,
            **{name: bits[name] for name in WRITER_FIELDS},
            "push": 1,
            **run_bits(parameters),
            "data_valid": 1,
            "data": Port(8, parameters.port_bytes),
            **stream_in,
        },
        outputs={
            "start_room": 1,
            "pop": 1,
            "data_ready": 1,
            "write": 1,
            "lane": parameters.lane_width,
            "write_depth": parameters.depth_width,
            "phase": parameters.lane_width,
            "along": 1,
            "count": parameters.transfer.bit_length(),
            "elements": Port(parameters.element_width, parameters.transfer),
            **stream_out,
            "busy": 1,
            "done": 1,
        },
        logic=lambda inputs: _logic(parameters, inputs),
    )


def _suffix(parameters: LoaderParameters) -> str:
    p = parameters
    stream = "_stream" if p.stream else ""
    return (
        f"{p.lanes}_{p.transfer}_{p.port_bytes}_{p.depth_width}_{p.latency}_{p.element_width}_{p.element_bytes}"
        f"_{p.count_width}{stream}"
    )


def _logic(parameters: LoaderParameters, inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
    one_bit = pyrtl.Const(0, bitwidth=1)
    # Whether the last stage is free: a stream may refuse, the buffer never does.
    move = pyrtl.WireVector(1, "move")

    # Beats, from a pair of registers, so that the memory port sees no path through the cutting.
    beat_taken = pyrtl.WireVector(1, "beat_taken")
    data_room = pyrtl.WireVector(1, "data_room")
    beats = pair_queue("beats", inputs["data"], push=inputs["data_valid"] & data_room, pop=beat_taken)
    data_room <<= beats.room

    # Runs, each not before its request can have been answered.
    pop_run = pyrtl.WireVector(1, "pop_run")
    ripe = pyrtl.Register(parameters.run_queue.bit_length(), "ripe")
    ripens: pyrtl.WireVector = inputs["push"]
    for cycle in range(parameters.latency - 1):
        later = pyrtl.Register(1, f"ripens_{cycle}")
        later.next <<= ripens
        ripens = later
    ripe.next <<= (ripe + ripens - pop_run)[: len(ripe)]
    head = {name: inputs[name] for name in run_bits(parameters)}

    # The run being cut into beats.
    count_width = parameters.count_width
    cutting = pyrtl.Register(1, "cutting")
    rest = pyrtl.Register(count_width, "run_rest")
    run = {name: held(pop_run, head[name], name) for name in ("run_zero", "run_end", "run_last", "run_element_bytes")}
    beat_elements = _by_bytes(
        run["run_element_bytes"], parameters, lambda size: parameters.port_bytes // size, count_width
    )
    run_ends = rest <= beat_elements
    beat_free = pyrtl.WireVector(1, "beat_free")
    cut_beat = cutting & beat_free & (run["run_zero"] | beats.valid)
    beat_taken <<= cut_beat & ~run["run_zero"]
    pop_run <<= (ripe != 0) & (~cutting | (cut_beat & run_ends))
    cutting.next <<= pop_run | (cutting & ~(cut_beat & run_ends))
    lower = (rest - beat_elements)[:count_width]
    rest.next <<= pyrtl.select(pop_run, head["run_elements"], pyrtl.select(cut_beat, lower, rest))

    # The beat being cut into pieces.
    size_width = parameters.port_bytes.bit_length()
    piece_taken = pyrtl.WireVector(1, "piece_taken")
    beat_ends = pyrtl.WireVector(1, "beat_ends")
    holding = pyrtl.Register(1, "holding")
    beat_free <<= ~holding | (piece_taken & beat_ends)
    holding.next <<= cut_beat | (holding & ~(piece_taken & beat_ends))
    left = pyrtl.Register(size_width, "beat_left")
    offset = pyrtl.Register(size_width, "beat_offset")
    fresh = pyrtl.select(run_ends, rest, beat_elements)
    beat = held(cut_beat, beats.head, "beat")
    zero = held(cut_beat, run["run_zero"], "beat_zero")
    size = held(cut_beat, run["run_element_bytes"], "beat_element_bytes")
    window_ends = held(cut_beat, run["run_end"] & run_ends, "beat_window_ends")
    load_ends = held(cut_beat, run["run_last"] & run_ends, "beat_load_ends")

    piece_taken <<= holding & move
    ends_load = piece_taken & beat_ends & load_ends
    target = _Target(parameters, inputs, ends_load)
    limit = target.limit(size_width)
    beat_ends <<= left <= limit
    count = pyrtl.select(beat_ends, left, limit)
    left.next <<= pyrtl.select(
        cut_beat, resize_unsigned(fresh, size_width), pyrtl.select(piece_taken, (left - count)[:size_width], left)
    )
    count_bytes = _times(count, size, parameters, size_width)
    offset.next <<= pyrtl.select(
        cut_beat,
        pyrtl.Const(0, bitwidth=size_width),
        pyrtl.select(piece_taken, (offset + count_bytes)[:size_width], offset),
    )
    target.advance(piece_taken, count, window_done=beat_ends & window_ends)

    # To the front of the beat, and on to the elements.
    shifted = beat
    control: dict[str, pyrtl.WireVector] = {
        "valid": holding,
        "offset": offset,
        "zero": zero,
        "size": size,
        "count": count[: parameters.transfer.bit_length()],
        "last": beat_ends & load_ends,
        "lane": target.lane,
        "depth": target.depth,
        "phase": target.phase,
        "along": target.along,
        "streamed": target.streamed,
        "zero_point": target.zero_point,
        "signed": target.signed,
    }
    for group in range(parameters.shift_latency):
        stages = range(3 * group, min(3 * group + 3, (parameters.port_bytes - 1).bit_length()))
        for stage in stages:
            shifted = pyrtl.select(control["offset"][stage], _dropped(shifted, 8 << stage), shifted)
        shifted = held(move, shifted, f"shifted_{group}")
        control = {name: held(move, wire, f"{name}_{group}") for name, wire in control.items()}
    elements = _elements(parameters, shifted, control)

    out = {name: held(move, wire, f"{name}_out") for name, wire in control.items()}
    given = held(move, elements, "elements_out")
    streamed = out["streamed"] if parameters.stream else one_bit
    outputs: dict[str, pyrtl.WireVector] = {}
    if parameters.stream:
        outputs["stream_valid"] = out["valid"] & streamed
        move <<= ~(out["valid"] & streamed) | inputs["stream_ready"]
    else:
        move <<= 1
    return {
        **outputs,
        "start_room": target.room,
        "pop": pop_run,
        "data_ready": beats.room,
        "write": out["valid"] & ~streamed,
        "lane": out["lane"],
        "write_depth": out["depth"],
        "phase": out["phase"],
        "along": out["along"],
        "count": out["count"],
        "elements": given,
        "busy": target.armed | target.waiting | out["valid"],
        "done": out["valid"] & out["last"] & move,
    }


class _Target:
    """Where the next piece goes: the fields of the load being written, and its lane, depth and phase.

    The next load's fields wait in a queue until the last piece of this one is taken.
    """

    def __init__(
        self, parameters: LoaderParameters, inputs: Mapping[str, pyrtl.WireVector], ends: pyrtl.WireVector
    ) -> None:
        self._parameters = parameters
        packed = pyrtl.concat_list([inputs[name] for name in WRITER_FIELDS])
        take = pyrtl.WireVector(1, "take_fields")
        waiting = pair_queue("fields", packed, push=inputs["start"], pop=take)
        self.room, self.waiting = waiting.room, waiting.valid
        self.armed = pyrtl.Register(1, "armed")
        take <<= waiting.valid & (~self.armed | ends)
        self.armed.next <<= take | (self.armed & ~ends)
        self._take = take
        fields = dict(
            zip(WRITER_FIELDS, _split(waiting.head, [len(inputs[name]) for name in WRITER_FIELDS]), strict=True)
        )
        self.zero_point = held(take, fields["zero_point"], "zero_point")
        self.signed = held(take, fields["signed"], "signed")
        self.along = held(take, fields["target"] == LoadTarget.ALONG, "along")
        self.streamed = held(take, fields["target"] == LoadTarget.STREAM, "streamed")
        self._across = held(take, fields["target"] == LoadTarget.ACROSS, "across")
        self._step = held(take, fields["depth_step"], "depth_step")
        self._step_phase = held(take, fields["depth_step_phase"], "depth_step_phase")
        self._fields = fields
        self.lane = pyrtl.Register(parameters.lane_width, "lane_now")
        self.depth = pyrtl.Register(parameters.depth_width, "depth_now")
        self.phase = pyrtl.Register(parameters.lane_width, "phase_now")
        # Of element 0 of the window.
        self._home = pyrtl.Register(parameters.depth_width, "home")
        self._home_phase = pyrtl.Register(parameters.lane_width, "home_phase")

    def limit(self, width: int) -> pyrtl.WireVector:
        """The most elements of the next piece."""
        parameters = self._parameters
        transfer = pyrtl.Const(parameters.transfer, bitwidth=width) if parameters.transfer < 1 << width else None
        lanes_left = pyrtl.Const(parameters.lanes, bitwidth=parameters.lanes.bit_length()) - self.lane
        most = (1 << width) - 1  # a beat never has more
        if transfer is None:
            transfer = pyrtl.Const(most, bitwidth=width)
        wraps = self._across & (lanes_left < transfer)
        return pyrtl.select(wraps, resize_unsigned(lanes_left, width), transfer)

    def advance(self, taken: pyrtl.WireVector, count: pyrtl.WireVector, *, window_done: pyrtl.WireVector) -> None:
        """Go on behind a piece of ``count`` elements."""
        parameters = self._parameters
        lanes, lane_width = parameters.lanes, parameters.lane_width
        count = resize_unsigned(count, lanes.bit_length())  # at most all lanes
        none, one = pyrtl.Const(0, bitwidth=lane_width), pyrtl.Const(1, bitwidth=lane_width)

        # Across, lanes go on with the elements; along, with the windows.
        across_lane = self.lane + count
        across_wraps = across_lane == lanes
        along_wraps = self.lane == lanes - 1
        next_window_lane = pyrtl.select(self._across | along_wraps, none, (self.lane + 1)[:lane_width])
        next_piece_lane = pyrtl.select(
            self._across, pyrtl.select(across_wraps, none, across_lane[:lane_width]), self.lane
        )
        home_goes = pyrtl.select(
            self._across,
            _const(1, parameters.depth_width),
            pyrtl.select(along_wraps, self._step, _const(0, parameters.depth_width)),
        )
        home_phase_goes = pyrtl.select(
            self._across, one if lanes > 1 else none, pyrtl.select(along_wraps, self._step_phase, none)
        )
        home = add(self._home, home_goes, parameters.depth_width)
        home_phase = advance_phase(self._home_phase, home_phase_goes, lanes)
        goes = pyrtl.select(
            self._across,
            pyrtl.select(across_wraps, self._step, _const(0, parameters.depth_width)),
            resize_unsigned(count, parameters.depth_width),
        )
        count_phase = pyrtl.select(count == lanes, none, count[:lane_width])
        phase_goes = pyrtl.select(self._across, pyrtl.select(across_wraps, self._step_phase, none), count_phase)
        depth = (self.depth + goes)[: parameters.depth_width]
        phase = advance_phase(self.phase, phase_goes, lanes)

        window_done = taken & window_done
        for register, first, window, piece in (
            (self.lane, none, next_window_lane, next_piece_lane),
            (self.depth, self._fields["depth"], home, depth),
            (self.phase, self._fields["depth_phase"], home_phase, phase),
            (self._home, self._fields["depth"], home, self._home),
            (self._home_phase, self._fields["depth_phase"], home_phase, self._home_phase),
        ):
            moved = pyrtl.select(window_done, window, pyrtl.select(taken, piece, register))
            register.next <<= pyrtl.select(self._take, first, moved)


def _elements(
    parameters: LoaderParameters, beat: pyrtl.WireVector, control: Mapping[str, pyrtl.WireVector]
) -> pyrtl.WireVector:
    """The first N elements of a beat, less their zero point; 0 in padding and beyond the piece."""
    width = parameters.element_width
    zero_point = pyrtl.concat(control["signed"] & control["zero_point"][7], control["zero_point"])
    nothing = pyrtl.Const(0, bitwidth=width)
    result = []
    for index in range(parameters.transfer):

        def bytes_at(size: int, index: int = index) -> pyrtl.WireVector:
            end = (index + 1) * size
            if end > parameters.port_bytes:
                return nothing  # a beat has no such element
            raw = beat[8 * size * index : 8 * end]
            if size > 1:
                return resize(raw, width)
            value = pyrtl.concat(control["signed"] & raw[7], raw)
            return resize((value - zero_point)[:9], width)

        value = bytes_at(1)
        for size in range(2, parameters.element_bytes + 1):
            value = pyrtl.select(control["size"] == size, bytes_at(size), value)
        inside = ~control["zero"] & (_const(index, parameters.transfer.bit_length()) < control["count"])
        result.append(pyrtl.select(inside, value, nothing))
    return pyrtl.concat_list(result)


def _by_bytes(size: pyrtl.WireVector, parameters: LoaderParameters, value_of: object, width: int) -> pyrtl.WireVector:
    value: pyrtl.WireVector = _const(value_of(1), width)  # type: ignore[operator]
    for choice in range(2, parameters.element_bytes + 1):
        value = pyrtl.select(size == choice, _const(value_of(choice), width), value)  # type: ignore[operator]
    return value


def _times(
    count: pyrtl.WireVector, size: pyrtl.WireVector, parameters: LoaderParameters, width: int
) -> pyrtl.WireVector:
    """Bytes of ``count`` elements."""
    value: pyrtl.WireVector = count
    if parameters.element_bytes > 1:
        double = pyrtl.concat(count, pyrtl.Const(0, bitwidth=1))
        value = pyrtl.select(size == 2, double, count)
        if parameters.element_bytes > 2:
            value = pyrtl.select(size == 3, double + count, value)
    return resize_unsigned(value, width)


def _dropped(data: pyrtl.WireVector, bits: int) -> pyrtl.WireVector:
    """``data`` without its lowest bits."""
    return data[bits:].zero_extended(len(data)) if bits < len(data) else pyrtl.Const(0, bitwidth=len(data))


def _split(packed: pyrtl.WireVector, widths: list[int]) -> list[pyrtl.WireVector]:
    parts, first = [], 0
    for width in widths:
        parts.append(packed[first : first + width])
        first += width
    return parts


def _const(value: int, width: int) -> pyrtl.WireVector:
    return pyrtl.Const(value, bitwidth=width)
