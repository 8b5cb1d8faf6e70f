"""Whether a program is one for an overlay: a check that knows the instruction set and the circuit's parameters only.

Every instruction's walks must stay inside the memories they address, its bursts inside external memory, and its counts
must agree with each other, so that every unit ends what it starts; tokens must let all of them start. What layer the
program computes, or whether it is right, the check does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod

import numpy as np

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import FIELDS, LEVELS, Mode, Unit
from dynamap_rtl.load_pattern import LoadTarget
from dynamap_rtl.overlay_circuit import (
    channel_parameters,
    finisher_parameters,
    gemm_parameters,
    left_parameters,
    result_parameters,
    top_parameters,
)
from dynamap_rtl.record import RecordError, Value
from dynamap_rtl.timing import ceil_div
from dynamap_rtl.units.operand_unit import OperandParameters

from .assembler import Instruction, ProgramError
from .bursts import BurstError, load_bytes, store_bytes
from .tokens import check_tokens

__all__ = ["check_program"]

_BYTES = ((-128, 127), (0, 255))


class _RuleError(ValueError):
    """A field that breaks a rule."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")


def check_program(program: Sequence[Instruction], circuit: CircuitParameters, *, memory_bytes: int) -> None:
    """Refuse a program the overlay cannot run to its end inside its memories.

    Args:
        program: without END.
        circuit: of the overlay.
        memory_bytes: size of external memory.

    Raises:
        ProgramError: naming instruction, unit, field and rule.
    """
    checks: dict[Unit, Callable[[Mapping[str, Value]], None]] = {
        Unit.LOAD_LEFT: lambda fields: _load(fields, left_parameters(circuit), memory_bytes),
        Unit.LOAD_TOP: lambda fields: _load(fields, top_parameters(circuit), memory_bytes),
        Unit.LOAD_CHANNELS: lambda fields: _channels(fields, circuit, memory_bytes),
        Unit.COMPUTE: lambda fields: _compute(fields, circuit),
        Unit.FINISH: lambda fields: _finish(fields, circuit),
        Unit.STORE: lambda fields: _store(fields, circuit, memory_bytes),
    }
    for number, instruction in enumerate(program):
        where = f"instruction {number} ({instruction.unit.name.lower()})"
        if instruction.unit is Unit.END:
            raise ProgramError(f"{where}: the program ends here; END is added by assemble")
        try:
            record = FIELDS[instruction.unit]
            checks[instruction.unit](record.unpack(record.pack(**instruction.fields)))
        except (RecordError, BurstError, _RuleError) as error:
            raise ProgramError(f"{where}: {error}") from error
    check_tokens(program)


# ---- walks ----


def _number(fields: Mapping[str, Value], name: str) -> int:
    value = fields[name]
    assert not isinstance(value, Sequence)
    return int(value)


def _numbers(fields: Mapping[str, Value], name: str) -> tuple[int, ...]:
    value = fields[name]
    assert isinstance(value, Sequence)
    return tuple(int(number) for number in value)


def _counts(fields: Mapping[str, Value], name: str) -> tuple[int, ...]:
    counts = _numbers(fields, name)
    if min(counts) < 1:
        raise _RuleError(name, f"every level has at least one iteration, not {counts}")
    return counts


def _walk(
    fields: Mapping[str, Value],
    prefix: str,
    counts: Sequence[int],
    *,
    depth: int,
    width: int,
    base: str = "base",
    deltas: str = "deltas",
    lanes: int | None = None,
    boxes: Sequence[Sequence[tuple[int, int]]] | None = None,
) -> None:
    """A walk must stay below ``depth``, and its phase be its address modulo ``lanes``.

    Deltas are modulo 2**width; a walk is good if some reading of them, each up or down, stays inside.

    Args:
        fields: of the instruction.
        prefix: of the walk's fields.
        counts: iterations of every level.
        depth: of the memory.
        width: bits of its addresses.
        base: name of the first address, behind the prefix.
        deltas: name of the deltas.
        lanes: of the phase; None if there is none.
        boxes: first and last index of every level, of those iterations that access memory; all if None.
    """
    size = 1 << width
    start, steps = _number(fields, prefix + base), _numbers(fields, prefix + deltas)
    if start >= size or max(steps) >= size:
        raise _RuleError(
            prefix + (base if start >= size else deltas), f"addresses have {width} bits, so all are below {size}"
        )
    strides, inner = [], 0
    for count, step in zip(counts, steps, strict=True):
        strides.append((step + inner) % size if count > 1 else 0)
        inner += (count - 1) * strides[-1]
    if boxes is None:
        boxes = [[(0, count - 1) for count in counts]]
    phases = [0] * LEVELS
    if lanes is not None:
        if _number(fields, f"{prefix}phase_{base}") != start % lanes:
            raise _RuleError(f"{prefix}phase_{base}", f"it must be {prefix}{base} modulo {lanes} lanes")
        phases = list(_numbers(fields, f"{prefix}phase_{deltas}"))
        if max(phases) >= lanes:
            raise _RuleError(f"{prefix}phase_{deltas}", f"they are modulo {lanes} lanes")
    inside = False
    for signed in product(*((stride, stride - size) if stride else (0,) for stride in strides)):
        corners = [
            start + sum(min(stride * first, stride * last) for stride, (first, last) in zip(signed, box, strict=True))
            for box in boxes
        ]
        tops = [
            start + sum(max(stride * first, stride * last) for stride, (first, last) in zip(signed, box, strict=True))
            for box in boxes
        ]
        if min(corners) < 0 or max(tops) >= depth:
            continue
        inside = True
        if lanes is None:
            return
        taken, agree = 0, True
        for count, stride, phase in zip(counts, signed, phases, strict=True):
            agree &= count == 1 or (stride - taken) % lanes == phase
            taken += (count - 1) * stride
        if agree:
            return
    if inside:
        raise _RuleError(f"{prefix}phase_{deltas}", f"they must be {prefix}{deltas} modulo {lanes} lanes")
    raise _RuleError(prefix + deltas, f"the walk from {start} leaves a memory of {depth} words")


def _within(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise _RuleError(field, f"it must be from {low} to {high}, not {value}")


# ---- units ----


def _compute(fields: Mapping[str, Value], circuit: CircuitParameters) -> None:
    gemm = gemm_parameters(circuit)
    rows = circuit.rows
    mode = _number(fields, "feed_mode")
    _within("feed_mode", mode, 0, max(Mode))
    for name in ("stream_mode", "collect_mode"):
        if _number(fields, name) != mode:
            raise _RuleError(name, f"the three engines have one mode, {mode} as feed_mode")
    counts = {engine: _counts(fields, f"{engine}_counts") for engine in ("feed", "stream", "collect")}
    feed, stream, collect = (prod(counts[engine]) for engine in ("feed", "stream", "collect"))
    boxes = None
    if mode != Mode.VECTOR:
        steps = _number(fields, "stream_steps")
        if steps < 1 or stream % steps:
            raise _RuleError("stream_steps", f"{stream} steps are no whole number of tiles of {steps}")
        tiles = stream // steps
        wanted = {
            "feed": stream if mode == Mode.OUTPUT_STATIONARY else tiles * rows,
            "collect": tiles * rows if mode == Mode.OUTPUT_STATIONARY else stream,
        }
        for engine, total in wanted.items():
            if prod(counts[engine]) != total:
                raise _RuleError(
                    f"{engine}_counts", f"{tiles} tiles of {steps} steps need {total} iterations, not {counts[engine]}"
                )
    elif feed != collect:
        raise _RuleError("collect_counts", f"{feed} vectors are fed, {collect} collected; they must be as many")
    if mode == Mode.OUTPUT_STATIONARY:
        last = _number(fields, "collect_last_rows")
        _within("collect_last_rows", last, 1, rows)
        levels = counts["collect"]
        if levels[0] != rows:
            raise _RuleError("collect_counts", f"level 0 walks the {rows} rows of a tile, not {levels[0]}")
        # Of the last tile of level 1, the rows first met are not written.
        rest = [(0, count - 1) for count in levels[2:]]
        boxes = [[(rows - last, rows - 1), (levels[1] - 1, levels[1] - 1), *rest]]
        if levels[1] > 1:
            boxes.append([(0, rows - 1), (0, levels[1] - 2), *rest])
    _walk(
        fields,
        "feed_",
        counts["feed"],
        depth=circuit.top_depth,
        width=gemm.feeder.address_width,
        lanes=circuit.columns,
    )
    if mode != Mode.VECTOR:
        _walk(
            fields,
            "stream_",
            counts["stream"],
            depth=circuit.left_depth,
            width=gemm.streamer.address_width,
            lanes=rows,
        )
    _walk(
        fields,
        "collect_",
        counts["collect"],
        depth=circuit.accumulator_depth,
        width=gemm.collector.address_width,
        boxes=boxes,
    )


def _channels(fields: Mapping[str, Value], circuit: CircuitParameters, memory_bytes: int) -> None:
    memory = channel_parameters(circuit)
    channels, size = _number(fields, "channels"), _number(fields, "bytes")
    _within("channels", channels, 1, memory.singles)
    beats = ceil_div(channels, memory.entries_per_beat) * memory.beats_per_entry
    if ceil_div(size, memory.port_bytes) != beats:
        raise _RuleError(
            "bytes", f"{channels} entries lie in {beats} beats of {memory.port_bytes} bytes, not {size} bytes"
        )
    _within("address", _number(fields, "address"), 0, memory_bytes - size)
    _within("word", _number(fields, "word"), 0, memory.words - ceil_div(channels, memory.lanes))
    _within("single", _number(fields, "single"), 0, memory.singles - channels)


def _finish(fields: Mapping[str, Value], circuit: CircuitParameters) -> None:
    finisher, memory, results = finisher_parameters(circuit), channel_parameters(circuit), result_parameters(circuit)
    lanes, depth = results.lanes, results.depth
    counts, places = _counts(fields, "counts"), _counts(fields, "place_counts")
    read, written = prod(counts), prod(places)
    transform = _number(fields, "transform")
    if transform:
        tile = 4 if (transform - 1) & 1 else 2
        axes = 2 if (transform - 1) & 2 else 1
        if transform > 4 or finisher.winograd is None or tile not in circuit.winograd:
            raise _RuleError("transform", f"this overlay has no output transform {transform}")
        rows = finisher.winograd.transform.inputs(tile) ** axes
        if read % rows:
            raise _RuleError("counts", f"{read} rows are no whole number of tiles of {rows}")
        read = read // rows * tile**axes
    if read != written:
        raise _RuleError("place_counts", f"{read} rows of results come, {written} places are given")
    if written > depth:
        raise _RuleError("place_counts", f"{written} rows of results do not fit a result buffer of {depth}")
    _walk(fields, "", counts, depth=circuit.accumulator_depth, width=finisher.walker.address_width)
    along, count = _number(fields, "along"), _number(fields, "count")
    _within("count", count, 1, lanes)
    low, high = _number(fields, "low"), _number(fields, "high")
    if low > high or not any(least <= low and high <= greatest for least, greatest in _BYTES):
        raise _RuleError("low", f"results from {low} to {high} are neither int8 nor uint8")
    _walk(
        fields,
        "",
        places,
        depth=memory.words if along else memory.singles,
        width=memory.word_width,
        base="channel",
        deltas="channel_deltas",
    )

    # Place by place, as the circuit counts: a lane that wraps goes deeper.
    lane_deltas, depth_deltas, phases = (
        np.array(_numbers(fields, name)) for name in ("lane_deltas", "depth_deltas", "phase_deltas")
    )
    step = _number(fields, "step")
    for name, limit in (("lane", lanes), ("phase", lanes), ("depth", depth), ("step", depth)):
        _within(name, _number(fields, name), 0, limit - 1)
    for name, values, limit in (
        ("lane_deltas", lane_deltas, lanes),
        ("phase_deltas", phases, lanes),
        ("depth_deltas", depth_deltas, depth),
    ):
        _within(name, int(values.max()), 0, limit - 1)
    if step % lanes:
        raise _RuleError("step", f"it must be a multiple of the {lanes} lanes, not {step}")
    # The level that goes on after every result but the last.
    after = np.arange(1, written)
    level = np.zeros(written - 1, dtype=np.int64)
    for inner in np.cumprod(places[:-1]):
        level += after % inner == 0
    signed = np.where(depth_deltas >= depth // 2, depth_deltas - depth, depth_deltas)
    ways = _number(fields, "lane") + np.concatenate(([0], np.cumsum(lane_deltas[level])))
    at_lane, wraps = ways % lanes, ways // lanes
    at_depth = _number(fields, "depth") + np.concatenate(([0], np.cumsum(signed[level]))) + step * wraps
    at_phase = (_number(fields, "phase") + np.concatenate(([0], np.cumsum(phases[level])))) % lanes
    if at_depth.min() < 0 or at_depth.max() + (count if along else 1) > depth:
        raise _RuleError("depth_deltas", f"results leave a result buffer of {depth} elements a lane")
    if not along and at_lane.max() + count > lanes:
        raise _RuleError("lane", f"{count} elements from lane {at_lane.max()} on leave {lanes} lanes")
    if (at_phase != at_depth % lanes).any():
        raise _RuleError("phase", f"it must be the depth modulo {lanes} lanes")


def _store(fields: Mapping[str, Value], circuit: CircuitParameters, memory_bytes: int) -> None:
    results = result_parameters(circuit)
    lanes, depth = results.lanes, results.depth
    for name in ("pixels", "channels", "columns", "columns_left"):
        _within(name, _number(fields, name), 1, (1 << 16) - 1)
    _within("columns_left", _number(fields, "columns_left"), 1, _number(fields, "columns"))
    start, step = _number(fields, "depth"), _number(fields, "depth_step")
    for name, value in (("depth", start), ("depth_step", step)):
        _within(name, value, 0, depth - 1)
        if _number(fields, f"{name}_phase") != value % lanes:
            raise _RuleError(f"{name}_phase", f"it must be {name} modulo {lanes} lanes")
    deepest = start + (_number(fields, "pixels") - 1) // lanes * step + _number(fields, "channels") - 1
    if deepest >= depth:
        raise _RuleError("depth", f"the store reads depth {deepest} of a result buffer of {depth}")
    store_bytes({name: _number(fields, name) for name in fields}, memory_bytes)


def _load(fields: Mapping[str, Value], parameters: OperandParameters, memory_bytes: int) -> None:
    lanes, depth = parameters.lanes, parameters.depth
    own = {name: value for name, value in fields.items() if not isinstance(value, Sequence)}
    load = {name: int(value) for name, value in own.items()}
    for name in ("taps_x", "taps_y", "chunks", "columns", "columns_left", "windows", "span", "last_span"):
        _within(name, load[name], 1, (1 << 16) - 1)
    _within("columns_left", load["columns_left"], 1, load["columns"])
    _within("target", load["target"], 0, max(LoadTarget))
    _within("element_bytes", load["element_bytes"], 1, parameters.loader.element_bytes)
    for name in ("width", "height", "tap_x_step", "tap_y_step", "column_step", "row_step"):
        _within(name, load[name], 0, (1 << parameters.loader.position_width - 1) - 1)
    streamed = load["target"] == LoadTarget.STREAM
    if streamed and parameters.winograd is None:
        raise _RuleError("target", "this overlay has no input transform")
    if not streamed and load["chunks"] != 1:
        raise _RuleError("chunks", f"only a stream has channel chunks, not {load['chunks']}")
    per_beat = parameters.port_bytes // load["element_bytes"]
    for name in ("span", "last_span"):
        full, rest = divmod(load[name], per_beat)
        wanted = full * parameters.port_bytes + rest * load["element_bytes"]
        if load[f"{name}_bytes"] != wanted:
            raise _RuleError(f"{name}_bytes", f"{load[name]} elements take {wanted} bytes, not {load[f'{name}_bytes']}")
    if not load["whole"] and (load["element_bytes"] > 1 or streamed):
        raise _RuleError("whole", "only runs of bytes into the buffer can lie partly in the image")
    if load["zero_point"] and load["element_bytes"] > 1:
        raise _RuleError("zero_point", "elements of several bytes have none")
    if streamed:
        _stream(fields, load, parameters)
    else:
        for name in ("depth", "depth_step"):
            _within(name, load[name], 0, depth - 1)
            if load[f"{name}_phase"] != load[name] % lanes:
                raise _RuleError(f"{name}_phase", f"it must be {name} modulo {lanes} lanes")
        if load["span"] != load["last_span"]:
            raise _RuleError("last_span", "only a stream's last chunk differs from the others")
        size = load["taps_y"] * load["taps_x"] * load["span"] + load["tail"]
        if load["target"] == LoadTarget.ALONG:
            deepest = load["depth"] + (load["windows"] - 1) // lanes * load["depth_step"] + size - 1
        else:
            deepest = load["depth"] + (size - 1) // lanes * load["depth_step"] + load["windows"] - 1
        if deepest >= depth:
            raise _RuleError("depth", f"the load reaches depth {deepest} of a buffer of {depth}")
    load_bytes(load, parameters.loader, memory_bytes)


def _stream(fields: Mapping[str, Value], load: Mapping[str, int], parameters: OperandParameters) -> None:
    """A load through the input transform: as many vectors must leave it as places are given."""
    assert parameters.winograd is not None
    transform = load["transform"]
    tile = 4 if (transform - 1) & 1 else 2
    axes = 2 if (transform - 1) & 2 else 1
    if not 1 <= transform <= 4 or tile not in parameters.winograd.tiles:
        raise _RuleError("transform", f"this overlay has no input transform {transform}")
    if max(load["span"], load["last_span"]) > parameters.transfer:
        raise _RuleError("span", f"a stream's vectors have at most {parameters.transfer} elements")
    if load["tail"]:
        raise _RuleError("tail", "a stream has no zeros behind its windows")
    side = tile + 2
    taken = load["windows"] * load["chunks"] * load["taps_y"] * load["taps_x"]
    if taken % side**axes:
        raise _RuleError("windows", f"{taken} pixels are no whole number of tiles of {side**axes}")
    counts = _counts(fields, "counts")
    if prod(counts) != taken:
        raise _RuleError("counts", f"{taken} vectors come out of the transform, {prod(counts)} places are given")
    depth, lanes = parameters.depth, parameters.lanes
    # Along, a vector reaches further into its lane.
    reach = parameters.transfer if load["tile_along"] else 1
    _walk(fields, "", counts, depth=depth - reach + 1, width=parameters.buffer.depth_width, lanes=lanes)
    lane_fields = {"base": 0, "deltas": fields["lane_deltas"]}
    reach = 1 if load["tile_along"] else parameters.transfer
    _walk(lane_fields, "", counts, depth=lanes - reach + 1, width=parameters.buffer.lane_width)
