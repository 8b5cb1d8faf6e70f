"""The storer: pixels out of the result buffer into a tensor in memory.

What a store is, is in :mod:`dynamap_rtl.store_pattern`, with its exact time. The model is :func:`store_into`.

Contract of :func:`storer`:

1. ``store_valid`` with ``store_ready`` takes a store, its fields as by ``Store.fields``. ``store_ready`` is a register.
   A store is taken as soon as the one before has made its last read, while that one is still being written.
2. Result buffer: ``read, read_lane, read_depth, read_phase`` are its read port; ``valid`` and ``read_data`` come from
   it ``read_latency`` cycles later. One read a cycle, all of a pixel before the next.
3. Memory port: a request a pixel, then its beats in the order of the requests, none before its request is taken.
4. ``done`` pulses when the last burst of a store is in memory, in the order of the stores; in an idle storer that is
   ``store_cycles`` after the cycle in which the store was taken. ``busy`` is high from the cycle after a store is taken
   until all of them are done.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyrtl
from numpy.typing import NDArray

from dynamap_rtl.hardware import Design, Leaf, Port, add
from dynamap_rtl.store_pattern import Store, StorerParameters, storer_fields

from .counting import countdown, held, unsigned
from .queue import queue
from .walker import advance_phase

__all__ = ["store_into", "storer"]


def storer(parameters: StorerParameters) -> Design:
    """The circuit; see the module's contract."""
    p = parameters
    fields = storer_fields(p)
    name = f"{p.lanes}_{p.transfer}_{p.port_bytes}_{p.depth_width}_{p.latency}_{p.address_width}_{p.count_width}"
    requests = {"request_valid": 1, "request_address": p.address_width, "request_bytes": 16}
    reads = {"read": 1, "read_lane": p.lane_width, "read_depth": p.depth_width, "read_phase": p.lane_width}
    design = Design(
        f"storer_{name}",
        inputs={
            "store_valid": 1,
            **fields,
            "request_ready": 1,
            "write_ready": 1,
            "written": 1,
            "valid": 1,
            "read_data": Port(8, p.transfer),
        },
        outputs={
            "store_ready": 1,
            **reads,
            **requests,
            "write_valid": 1,
            "write_data": Port(8, p.port_bytes),
            "busy": 1,
            "done": 1,
        },
    )
    walk = design.add(
        "walk",
        _walk(p, name),
        **{port: design[port] for port in ("store_valid", "request_ready", *fields)},
    )
    join = design.add("join", _join(p), valid=design["valid"], read_data=design["read_data"], ends=walk["read_ends"])
    beats = design.add("beats", queue(width=8 * p.port_bytes, depth=p.beat_queue), push=join["push"], data=join["beat"])
    bursts = design.add("bursts", queue(width=1, depth=p.burst_queue), push=walk["asked"], data=walk["last"])
    end = design.add(
        "end",
        _end(),
        beat=beats["valid"],
        write_ready=design["write_ready"],
        written=design["written"],
        last=bursts["head"],
        walking=walk["walking"],
        waiting=bursts["valid"],
    )
    beats.connect(pop=end["taken"])
    bursts.connect(pop=design["written"])
    walk.connect(bursts_room=bursts["ready"], beat_taken=end["taken"])
    return design.finish(
        store_ready=walk["store_ready"],
        **{port: walk[port] for port in (*reads, *requests)},
        write_valid=beats["valid"],
        write_data=beats["head"],
        busy=end["busy"],
        done=end["done"],
    )


def _walk(parameters: StorerParameters, name: str) -> Leaf:
    """Makes reads and requests, as far as there is room for what they bring.

    ``asked`` says that a request is taken, ``last`` that it is the last of its store. ``read_ends``, in time with the
    data read, says that a beat is full or a pixel at its end.
    """

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        walking = pyrtl.Register(1, "is_walking")
        start = inputs["store_valid"] & ~walking
        go = pyrtl.WireVector(1, "go")

        # Transfers of a pixel, beats among them.
        width, transfer = parameters.count_width, parameters.transfer
        channels = held(start, inputs["channels"], "channels")
        first_of_pixel = pyrtl.Register(1, "first_of_pixel")
        rest = pyrtl.Register(width, "channels_rest")
        pixel_ends = rest <= transfer
        lower = (rest - transfer)[:width]
        rest.next <<= pyrtl.select(
            start, inputs["channels"], pyrtl.select(go, pyrtl.select(pixel_ends, channels, lower), rest)
        )
        first_of_pixel.next <<= pyrtl.select(go, pixel_ends, start | first_of_pixel)
        slots = parameters.port_bytes // transfer
        slot_bits = max(1, (slots - 1).bit_length())
        slot = pyrtl.Register(slot_bits, "slot")
        beat_ends = pixel_ends | (slot == slots - 1)
        slot.next <<= pyrtl.select(
            go, pyrtl.select(beat_ends, pyrtl.Const(0, bitwidth=slot_bits), (slot + 1)[:slot_bits]), slot
        )

        # Pixels of a row, rows.
        next_pixel = go & pixel_ends
        row_ends = countdown(start, next_pixel, inputs["columns"], inputs["columns_left"], "columns")
        last = countdown(start, next_pixel, inputs["pixels"], inputs["pixels"], "pixels")
        walking.next <<= start | (walking & ~(next_pixel & last))
        address = pyrtl.Register(parameters.address_width, "pixel_address")
        line = pyrtl.Register(parameters.address_width, "line_address_now")
        base = pyrtl.select(row_ends, line, address)
        pitch = pyrtl.select(
            row_ends, held(start, inputs["row_pitch"], "row_pitch"), held(start, inputs["pixel_pitch"], "pixel_pitch")
        )
        following = add(base, pitch, parameters.address_width)
        address.next <<= pyrtl.select(start, inputs["address"], pyrtl.select(next_pixel, following, address))
        line.next <<= pyrtl.select(start, inputs["line_address"], pyrtl.select(next_pixel & row_ends, following, line))

        place = _place(parameters, inputs, start, go, pixel_ends)

        # A beat's place in the queue is kept from its last read on, a burst's from its request on.
        reserved = pyrtl.Register(parameters.beat_queue.bit_length(), "reserved")
        reserved.next <<= (reserved + (go & beat_ends) - inputs["beat_taken"])[: len(reserved)]
        room = reserved != parameters.beat_queue
        request_valid = walking & first_of_pixel & room & inputs["bursts_room"]
        asked = request_valid & inputs["request_ready"]
        go <<= asked | (walking & room & ~first_of_pixel)

        ends = beat_ends
        for cycle in range(parameters.read_latency):
            later = pyrtl.Register(1, f"ends_{cycle}")
            later.next <<= ends
            ends = later
        return {
            "store_ready": ~walking,
            "walking": walking,
            "read": go,
            **place,
            "request_valid": request_valid,
            "request_address": address,
            "request_bytes": unsigned(channels, 16),
            "asked": asked,
            "last": last,
            "read_ends": ends,
        }

    return Leaf(
        f"store_walk_{name}",
        inputs={"store_valid": 1, "request_ready": 1, "bursts_room": 1, "beat_taken": 1, **storer_fields(parameters)},
        outputs={
            "store_ready": 1,
            "walking": 1,
            "read": 1,
            "read_lane": parameters.lane_width,
            "read_depth": parameters.depth_width,
            "read_phase": parameters.lane_width,
            "request_valid": 1,
            "request_address": parameters.address_width,
            "request_bytes": 16,
            "asked": 1,
            "last": 1,
            "read_ends": 1,
        },
        logic=logic,
    )


def _place(
    parameters: StorerParameters,
    inputs: Mapping[str, pyrtl.WireVector],
    start: pyrtl.WireVector,
    go: pyrtl.WireVector,
    pixel_ends: pyrtl.WireVector,
) -> dict[str, pyrtl.WireVector]:
    """Lane, depth and phase of the next read."""
    lanes, lane_width, depth_width = parameters.lanes, parameters.lane_width, parameters.depth_width
    transfer = parameters.transfer
    step = held(start, inputs["depth_step"], "depth_step")
    step_phase = held(start, inputs["depth_step_phase"], "depth_step_phase")
    lane = pyrtl.Register(lane_width, "lane")
    depth, phase = pyrtl.Register(depth_width, "depth_now"), pyrtl.Register(lane_width, "phase_now")
    # Of channel 0 of the pixel.
    home, home_phase = pyrtl.Register(depth_width, "home"), pyrtl.Register(lane_width, "home_phase")
    none = pyrtl.Const(0, bitwidth=lane_width)
    wraps = lane == lanes - 1
    next_home = pyrtl.select(wraps, (home + step)[:depth_width], home)
    next_home_phase = pyrtl.select(wraps, advance_phase(home_phase, step_phase, lanes), home_phase)
    along = (depth + transfer)[:depth_width]
    along_phase = advance_phase(phase, pyrtl.Const(transfer % lanes, bitwidth=lane_width), lanes)
    next_pixel = go & pixel_ends
    for register, first, pixel, moved in (
        (lane, none, pyrtl.select(wraps, none, (lane + 1)[:lane_width]), lane),
        (depth, inputs["depth"], next_home, along),
        (phase, inputs["depth_phase"], next_home_phase, along_phase),
        (home, inputs["depth"], next_home, home),
        (home_phase, inputs["depth_phase"], next_home_phase, home_phase),
    ):
        register.next <<= pyrtl.select(start, first, pyrtl.select(next_pixel, pixel, pyrtl.select(go, moved, register)))
    return {"read_lane": lane, "read_depth": depth, "read_phase": phase}


def _join(parameters: StorerParameters) -> Leaf:
    """Puts transfers side by side until a beat is full or ``ends`` says so."""
    slots = parameters.port_bytes // parameters.transfer

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        valid, data = inputs["valid"], inputs["read_data"]
        push = valid & inputs["ends"]
        if slots == 1:
            return {"push": push, "beat": data}
        bits = (slots - 1).bit_length()
        slot = pyrtl.Register(bits, "slot")
        slot.next <<= pyrtl.select(
            valid, pyrtl.select(inputs["ends"], pyrtl.Const(0, bitwidth=bits), (slot + 1)[:bits]), slot
        )
        parts: list[pyrtl.WireVector] = []
        for index in range(slots):
            here = valid & (slot == index)
            part = held(here, data, f"part_{index}")
            parts.append(pyrtl.select(slot == index, data, part))
        return {"push": push, "beat": pyrtl.concat_list(parts)}

    return Leaf(
        f"store_join_{parameters.transfer}_{parameters.port_bytes}",
        inputs={"valid": 1, "read_data": Port(8, parameters.transfer), "ends": 1},
        outputs={"push": 1, "beat": 8 * parameters.port_bytes},
        logic=logic,
    )


def _end() -> Leaf:
    """Beats handed over, and stores that are in memory."""
    return Leaf(
        "store_end",
        inputs={"beat": 1, "write_ready": 1, "written": 1, "last": 1, "walking": 1, "waiting": 1},
        outputs={"taken": 1, "busy": 1, "done": 1},
        logic=lambda inputs: {
            "taken": inputs["beat"] & inputs["write_ready"],
            "busy": inputs["walking"] | inputs["waiting"],
            "done": inputs["written"] & inputs["last"],
        },
    )


def store_into(memory: bytearray, store: Store, results: NDArray[np.int64], *, lanes: int) -> None:
    """Write what a store writes.

    Args:
        memory: changed in place.
        store: the store.
        results: the result buffer, (lanes, depth), bytes from 0 to 255.
        lanes: P.
    """
    for pixel in range(store.pixels):
        row, column = divmod(store.first_row * store.columns + store.first_column + pixel, store.columns)
        at = store.address + row * store.row_pitch + column * store.pixel_pitch
        depth = store.depth + pixel // lanes * store.depth_step
        memory[at : at + store.channels] = bytes(results[pixel % lanes, depth : depth + store.channels].tolist())
