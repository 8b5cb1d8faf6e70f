"""A compiled network for people: a heading for every layer, a line for every instruction.

A line names the unit, what the instruction waits for and gives, and what it moves or computes; walks are given by their
loops. Numbers are decimal, addresses hexadecimal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import Mode, Unit
from dynamap_rtl.load_pattern import LoadTarget
from dynamap_rtl.program.assembler import Instruction
from dynamap_rtl.program.layer import TensorPlace
from dynamap_rtl.program.schedule import Token
from dynamap_rtl.record import Value

from .compiled import CompiledLayer, CompiledNetwork

__all__ = ["instruction_line", "listing"]

_MODES = {Mode.OUTPUT_STATIONARY: "NS", Mode.OPERAND_STATIONARY: "WS/IS", Mode.VECTOR: "vector"}
_UNIT_COLUMN = 13


def listing(compiled: CompiledNetwork, layers: Sequence[CompiledLayer] | None = None) -> Iterator[str]:
    """The lines of a disassembly.

    Args:
        compiled: network.
        layers: those wanted; all if None.

    Raises:
        ProgramError: when bytes that should be a program are none.
    """
    circuit = compiled.circuit
    ports = f"{circuit.dram_bytes_per_cycle} bytes a cycle"
    yield f"; {compiled.model} for the {circuit.rows}x{circuit.columns} overlay, {ports}"
    yield f"; tensors      {_range(0, compiled.tensor_bytes)}"
    yield f"; program data {_range(compiled.tensor_bytes, len(compiled.image))}"
    for layer in compiled.layers if layers is None else layers:
        yield ""
        how = layer.algorithm if layer.dataflow is None else f"{layer.algorithm} {layer.dataflow}"
        yield f"{layer.name}: {layer.operation}, {how}"
        for name in layer.inputs:
            if name in compiled.tensors:
                yield f"; reads      {_tensor(name, compiled.tensors[name])}"
        if layer.target is None:
            yield "; not run by the overlay"
            continue
        yield f"; writes     {_tensor(layer.output, layer.target)}"
        yield f"; constants  {_range(layer.constants_address, layer.constants_bytes)}"
        yield f"; program    {_range(layer.program_address, layer.program_bytes)}"
        number = 0
        for number, instruction in enumerate(compiled.instructions(layer), start=1):
            yield f"{number - 1:5}  {instruction_line(instruction, circuit)}"
        yield f"{number:5}  END"


def instruction_line(instruction: Instruction, circuit: CircuitParameters) -> str:
    """One instruction on one line; loops of walks are given as iterations:stride, innermost first."""
    tokens = "; ".join(
        f"{word} {', '.join(_token(number) for number in sorted(numbers))}"
        for word, numbers in (
            ("wait", instruction.wait),
            ("signal", instruction.signal),
            ("release", instruction.release),
        )
        if numbers
    )
    text = _FIELDS[instruction.unit](instruction.fields, circuit)
    return f"{instruction.unit.name:{_UNIT_COLUMN}} {text}{f'  [{tokens}]' if tokens else ''}"


def _token(number: int) -> str:
    return Token(number).name if number in set(Token) else str(number)


def _range(address: int, size: int) -> str:
    return f"{address:#010x} + {size}"


def _tensor(name: str, place: TensorPlace) -> str:
    kind = "int8" if place.signed else "uint8"
    text = f"{name} {place.height}x{place.width}x{place.channels} {kind} at {place.address:#010x}"
    return text if place.pixel_pitch == place.channels else f"{text}, a pixel every {place.pixel_pitch} bytes"


def _number(fields: Mapping[str, Value], name: str) -> int:
    value = fields[name]
    assert isinstance(value, int)
    return value


def _loops(
    fields: Mapping[str, Value], prefix: str, size: int, *, counts: str = "counts", deltas: str = "deltas"
) -> str:
    """Levels of a walk that go on, innermost first, as iterations:stride.

    Args:
        fields: of the instruction.
        prefix: of the walk's fields.
        size: of the memory, a power of two; deltas are modulo it.
        counts: name of the iterations, behind the prefix.
        deltas: of what is added when a level goes on and those below begin again.
    """
    many, steps = fields[prefix + counts], fields[prefix + deltas]
    assert isinstance(many, Sequence)
    assert isinstance(steps, Sequence)
    used, inner = [], 0
    for count, step in zip(many, steps, strict=True):
        if count > 1:
            stride = (step + inner) % size
            inner += (count - 1) * stride
            used.append(f"{count}:{stride - size if stride >= size // 2 else stride}")
    return " ".join(used) or "1"


def _words(circuit: CircuitParameters) -> int:
    """The accumulators' words, rounded up to what their addresses count to."""
    return 1 << (circuit.accumulator_depth - 1).bit_length()


def _load(fields: Mapping[str, Value], circuit: CircuitParameters) -> str:
    number = {name: _number(fields, name) for name in fields if isinstance(fields[name], int)}
    target = LoadTarget(number["target"])
    size = number["span"]
    taps = f"{number['taps_y']}x{number['taps_x']} runs of {size}"
    chunks = f" in {number['chunks']} chunks" if number["chunks"] > 1 else ""
    depth = max(circuit.left_depth, circuit.top_depth)
    where = f"to depth {number['depth']} step {number['depth_step']}"
    if target is LoadTarget.STREAM:
        where = (
            f"through transform {number['transform']} to depth {_number(fields, 'base')} {_loops(fields, '', depth)}"
        )
    kind = "int" if number["signed"] or number["element_bytes"] > 1 else "uint"
    zero = f" less {number['zero_point']}" if number["zero_point"] else ""
    return (
        f"{number['windows']} windows of {taps}{chunks}, {kind}{8 * number['element_bytes']}{zero}, from "
        f"{number['address']:#010x} {target.name.lower()} {where}"
    )


def _channels(fields: Mapping[str, Value], circuit: CircuitParameters) -> str:  # noqa: ARG001 - one signature
    return (
        f"{fields['channels']} entries, {fields['bytes']} bytes from {_number(fields, 'address'):#010x} to word "
        f"{fields['word']}, entry {fields['single']}"
    )


def _compute(fields: Mapping[str, Value], circuit: CircuitParameters) -> str:
    mode, words = Mode(_number(fields, "feed_mode")), _words(circuit)
    top = f"top {fields['feed_base']} {_loops(fields, 'feed_', circuit.top_depth)}"
    sums = f"sums {fields['collect_half']}:{fields['collect_base']} {_loops(fields, 'collect_', words)}"
    if mode is Mode.VECTOR:
        what = "greatest of" if fields["collect_maximum"] else "sum of"
        return f"{_MODES[mode]} {what} {fields['feed_coefficient']} times {top}; {sums}"
    counts = fields["stream_counts"]
    assert isinstance(counts, Sequence)
    steps = _number(fields, "stream_steps")
    left = f"left {fields['stream_base']} {_loops(fields, 'stream_', circuit.left_depth)}"
    return f"{_MODES[mode]} {prod(counts) // steps} tiles of {steps} steps, {left}; {top}; {sums}"


def _finish(fields: Mapping[str, Value], circuit: CircuitParameters) -> str:
    transform = f"through transform {fields['transform']} " if fields["transform"] else ""
    side = "along" if fields["along"] else "across"
    sums = _loops(fields, "", _words(circuit))
    places = _loops(fields, "", circuit.result_depth, counts="place_counts", deltas="depth_deltas")
    return (
        f"sums {fields['half']}:{fields['base']} {sums} {transform}to {fields['count']} bytes {side} lane "
        f"{fields['lane']} depth {fields['depth']} {places}, "
        f"zero {fields['zero_point']}, {fields['low']} to {fields['high']}, channels from {fields['channel']}"
    )


def _store(fields: Mapping[str, Value], circuit: CircuitParameters) -> str:  # noqa: ARG001 - one signature
    return (
        f"{fields['pixels']} pixels of {fields['channels']} bytes from depth {fields['depth']} step "
        f"{fields['depth_step']} to {_number(fields, 'address'):#010x}, a pixel every {fields['pixel_pitch']}, a row "
        f"of {fields['columns']} every {fields['row_pitch']}"
    )


_FIELDS: Mapping[Unit, Callable[[Mapping[str, Value], CircuitParameters], str]] = {
    Unit.LOAD_LEFT: _load,
    Unit.LOAD_TOP: _load,
    Unit.LOAD_CHANNELS: _channels,
    Unit.COMPUTE: _compute,
    Unit.FINISH: _finish,
    Unit.STORE: _store,
}
