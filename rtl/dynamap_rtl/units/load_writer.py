"""Second half of the loader: cuts runs into pieces, a piece a cycle, and sends each where it belongs.

Runs wait until the memory has had time to answer, padding like bursts, so that a load takes the same time wherever its
padding is. Then every run is cut into beats, every beat into pieces; a pipeline brings each piece to the front of its
beat, takes off the zero point and gives it to the operand buffer or the stream.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from dynamap_rtl.hardware import Leaf, Port, resize
from dynamap_rtl.load_pattern import LoaderParameters, loader_fields

from .counting import held, unsigned
from .load_runs import run_bits
from .load_target import TARGET_FIELDS, Target
from .pair_queue import pair_queue

__all__ = ["load_writer"]


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
            **{name: bits[name] for name in TARGET_FIELDS},
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
    beat_elements = _beat_elements(run["run_element_bytes"], parameters, count_width)
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
    target = Target(parameters, inputs, ends_load)
    count, ends_beat = target.cut(left)
    beat_ends <<= ends_beat
    left.next <<= pyrtl.select(
        cut_beat, unsigned(fresh, size_width), pyrtl.select(piece_taken, (left - count)[:size_width], left)
    )
    count_bytes = _times(count, size, parameters, size_width)
    offset.next <<= pyrtl.select(
        cut_beat,
        pyrtl.Const(0, bitwidth=size_width),
        pyrtl.select(piece_taken, (offset + count_bytes)[:size_width], offset),
    )
    target.advance(piece_taken, window_ends)

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
    under_way = target.armed | target.waiting
    for group in range(parameters.shift_latency):
        stages = range(3 * group, min(3 * group + 3, (parameters.port_bytes - 1).bit_length()))
        for stage in stages:
            shifted = pyrtl.select(control["offset"][stage], _dropped(shifted, 8 << stage), shifted)
        shifted = held(move, shifted, f"shifted_{group}")
        control = {name: held(move, wire, f"{name}_{group}") for name, wire in control.items()}
        under_way = under_way | control["valid"]
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
        "busy": under_way | out["valid"],
        "done": out["valid"] & out["last"] & move,
    }


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


def _beat_elements(size: pyrtl.WireVector, parameters: LoaderParameters, width: int) -> pyrtl.WireVector:
    """Elements of a full beat."""
    value: pyrtl.WireVector = _const(parameters.port_bytes, width)
    for choice in range(2, parameters.element_bytes + 1):
        value = pyrtl.select(size == choice, _const(parameters.port_bytes // choice, width), value)
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
    return unsigned(value, width)


def _dropped(data: pyrtl.WireVector, bits: int) -> pyrtl.WireVector:
    """``data`` without its lowest bits."""
    return data[bits:].zero_extended(len(data)) if bits < len(data) else pyrtl.Const(0, bitwidth=len(data))


def _const(value: int, width: int) -> pyrtl.WireVector:
    return pyrtl.Const(value, bitwidth=width)
