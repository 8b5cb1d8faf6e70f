"""The loader: windows of a tensor in memory, element by element into an operand buffer or out as a stream.

What a load is, is in :mod:`dynamap_rtl.load_pattern`, its exact time in :mod:`dynamap_rtl.load_timing`; ``load_runs``
makes requests of it, ``load_writer`` writes what comes back. The model of both is :func:`load_places` and
:func:`load_stream`.

Contract of :func:`loader`:

1. ``load_valid`` with ``load_ready`` takes a load, its fields as by ``Load.fields``. ``load_ready`` does not depend on
   ``load_valid``. A load is taken while the one before is still being written, as soon as that one's last taps are
   on their way; ``busy`` is high from the cycle after a load is taken until the last one's last write.
2. Memory port: a request a cycle, at most the power of two from ``latency`` + 2 on outstanding; no request begins or
   ends outside the image's bytes; the address of a run is that of its first byte. Beats are taken whenever
   ``data_ready``: two are held, and one a piece leaves, or one for several pieces where these are shorter.
3. Buffer: ``write, lane, write_depth, phase, along, count, elements`` are the write port of a turn buffer and never
   wait. One piece a cycle, in the order of windows and of elements in them: a piece is what of a run (a burst, or a
   stretch of padding) lies in one beat, in one target run and in N elements.
4. Stream (with ``stream``): ``stream_valid, stream_ready, elements, count``, a vector a pixel, zero beyond ``count``.
5. ``done`` is high in the cycle of a load's last write, or of its last vector's transfer. In an idle loader and with a
   memory no slower than ``latency``, that is ``load_cycles`` after the cycle in which the load was taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyrtl
from numpy.typing import NDArray

from dynamap_rtl.hardware import Design, Leaf, Port
from dynamap_rtl.load_pattern import ORDER_BITS, Load, LoaderParameters, LoadTarget, loader_fields

from .load_runs import RUN_FIELDS, load_runs, run_bits
from .load_target import TARGET_FIELDS
from .load_writer import load_writer
from .queue import queue

__all__ = ["load_places", "load_stream", "load_windows", "loader"]

IntArray = NDArray[np.int64]


def loader(parameters: LoaderParameters) -> Design:
    """The circuit; see the module's contract."""
    fields = loader_fields(parameters)
    runs, writer, gate = load_runs(parameters), load_writer(parameters), _gate()
    stream_in: dict[str, int] = {"stream_ready": 1} if parameters.stream else {}
    stream_out: dict[str, int] = {"stream_valid": 1} if parameters.stream else {}
    design = Design(
        f"loader_{writer.name.removeprefix('load_writer_')}_{parameters.address_width}_{parameters.position_width}",
        inputs={
            "load_valid": 1,
            **fields,
            "request_ready": 1,
            "data_valid": 1,
            "data": Port(8, parameters.port_bytes),
            **stream_in,
        },
        outputs={
            "load_ready": 1,
            "request_valid": 1,
            "request_address": parameters.address_width,
            "request_bytes": 16,
            "request_order": ORDER_BITS,
            "request_pending": 1,
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
    )
    start = design.add("gate", gate, valid=design["load_valid"])
    first = design.add("runs", runs, start=start["start"], **{name: design[name] for name in RUN_FIELDS})
    run = run_bits(parameters)
    # What runs out of the first half is packed in the order of its fields.
    pack = design.add("pack", _pack(run), **{name: first[name] for name in run})
    waiting = design.add(
        "waiting",
        queue(width=sum(run.values()), depth=parameters.run_queue),
        push=first["push"],
        data=pack["packed"],
    )
    unpack = design.add("unpack", _unpack(run), packed=waiting["head"])
    second = design.add("writer", writer, start=start["start"], **{name: design[name] for name in TARGET_FIELDS})
    start.connect(idle=first["idle"], room=second["start_room"])
    waiting.connect(pop=second["pop"])
    first.connect(room=waiting["ready"], request_ready=design["request_ready"])
    second.connect(
        push=first["push"],
        data_valid=design["data_valid"],
        data=design["data"],
        **{name: unpack[name] for name in run},
        **{name: design[name] for name in stream_in},
    )
    requests = ("request_valid", "request_address", "request_bytes", "request_order", "request_pending")
    return design.finish(
        load_ready=start["ready"],
        **{name: first[name] for name in requests},
        **{name: second[name] for name in design.outputs if name not in {"load_ready", *requests}},
    )


def _gate() -> Leaf:
    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        ready = inputs["idle"] & inputs["room"]
        return {"ready": ready, "start": ready & inputs["valid"]}

    return Leaf("load_gate", inputs={"valid": 1, "idle": 1, "room": 1}, outputs={"ready": 1, "start": 1}, logic=logic)


def _pack(fields: Mapping[str, int]) -> Leaf:
    return Leaf(
        f"pack_{'_'.join(str(bits) for bits in fields.values())}",
        inputs=fields,
        outputs={"packed": sum(fields.values())},
        logic=lambda inputs: {"packed": pyrtl.concat_list([inputs[name] for name in fields])},
    )


def _unpack(fields: Mapping[str, int]) -> Leaf:
    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        parts, first = {}, 0
        for name, bits in fields.items():
            parts[name] = inputs["packed"][first : first + bits]
            first += bits
        return parts

    return Leaf(
        f"unpack_{'_'.join(str(bits) for bits in fields.values())}",
        inputs={"packed": sum(fields.values())},
        outputs=fields,
        logic=logic,
    )


def load_windows(memory: bytes | bytearray, load: Load, parameters: LoaderParameters) -> IntArray:
    """The elements of a load's windows, zero points taken off: (windows, taps_y, taps_x, channels).

    An element with more bits than the loader's keeps its low ones.
    """
    result = np.zeros((load.windows, load.taps_y, load.taps_x, load.channels), dtype=np.int64)
    beat = parameters.port_bytes // load.element_bytes
    index = np.arange(load.channels)
    places = index // beat * parameters.port_bytes + index % beat * load.element_bytes
    data = np.frombuffer(bytes(memory), dtype=np.uint8).astype(np.int64)
    for window in range(load.windows):
        row, column = divmod(load.first_row * load.columns + load.first_column + window, load.columns)
        for tap_y in range(load.taps_y):
            y = load.origin_y + row * load.step_y + tap_y * load.dilation_y
            for tap_x in range(load.taps_x):
                x = load.origin_x + column * load.step_x + tap_x * load.dilation_x
                if 0 <= y < load.height and 0 <= x < load.width:
                    at = load.address + y * load.row_pitch + x * load.pixel_pitch + places
                    value = sum(data[at + part] << (8 * part) for part in range(load.element_bytes))
                    if load.signed or load.element_bytes > 1:
                        half = 1 << (8 * load.element_bytes - 1)
                        value = (value + half) % (2 * half) - half
                    result[window, tap_y, tap_x] = value - load.zero_point
    half = 1 << (parameters.element_width - 1)
    return (result + half) % (2 * half) - half


def load_places(memory: bytes | bytearray, load: Load, parameters: LoaderParameters) -> Iterator[tuple[int, int, int]]:
    """(lane, depth, value) of every element a load writes into the buffer."""
    windows = load_windows(memory, load, parameters).reshape(load.windows, -1)
    windows = np.pad(windows, ((0, 0), (0, load.tail)))
    for window, elements in enumerate(windows.tolist()):
        for k, value in enumerate(elements):
            lane = window if load.target is LoadTarget.ALONG else k
            rest = k if load.target is LoadTarget.ALONG else window
            block, lane = divmod(lane, parameters.lanes)
            yield lane, load.depth + block * load.depth_step + rest, value


def load_stream(memory: bytes | bytearray, load: Load, parameters: LoaderParameters) -> Iterator[IntArray]:
    """The vectors of a load into the stream."""
    windows = load_windows(memory, load, parameters)
    for window in windows:
        for first in range(0, load.channels, parameters.transfer):
            yield from window[:, :, first : first + parameters.transfer].reshape(load.taps_y * load.taps_x, -1)
