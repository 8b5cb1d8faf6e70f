"""The check of programs: it takes every program a layer makes, and what it takes runs to its end, however damaged."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dynamap_rtl import Dataflow
from dynamap_rtl.isa import FIELDS, SEMAPHORES, Unit
from dynamap_rtl.program.assembler import Instruction, ProgramError, assemble, disassemble
from dynamap_rtl.program.check import check_program
from dynamap_rtl.program.convolution import Convolution, convolution_program
from dynamap_rtl.program.layer import LayerProgram, Scaling, TensorPlace
from dynamap_rtl.program.vector import Addition, AveragePooling, MaxPooling, vector_program
from dynamap_rtl.simulation import OverlaySimulation
from dynamap_rtl.units.vector_path import Windows
from overlay_runs import CONSTANTS, MEMORY_BYTES, PROGRAM, SECOND, SOURCE, TARGET, overlay

SHAPES = [(4, 4, 4), (3, 5, 8)]
REFUSAL = re.compile(
    r"(instruction \d+ \((load_left|load_top|load_channels|compute|finish|store)\)(: [a-z_]+: | waits for | : only)"
    r"|instruction \d+ .*(semaphore|release)|semaphores \[|instruction \d+ is for unit \d+, which there is not$"
    r"|instruction \d+ \([a-z_]+\): bits that must be zero are not$|the program of \d+ bytes has no END)"
)


def feature_map(address: int, height: int, width: int, channels: int) -> TensorPlace:
    return TensorPlace(address=address, height=height, width=width, channels=channels, pixel_pitch=channels)


@cache
def programs(shape: tuple[int, int, int]) -> tuple[LayerProgram, ...]:
    circuit = overlay(*shape).circuit
    source, second = feature_map(SOURCE, 7, 6, 7), feature_map(SECOND, 7, 6, 7)
    outputs = 6
    convolution = Convolution(
        source=source,
        target=feature_map(TARGET, 7, 6, outputs),
        weights=np.arange(outputs * 7 * 9).reshape(outputs, 7, 3, 3) % 100,
        scaling=Scaling(
            bias=np.zeros(outputs, np.int64),
            multiplier=np.full(outputs, 1 << 23),
            shift=np.full(outputs, 33),
            low=-128,
            high=127,
        ),
        pads=(1, 1),
    )
    same = feature_map(TARGET, 7, 6, 7)
    windows = Windows(kernel=(3, 2), pads=(1, 0, 1, 1))
    vectors = (
        MaxPooling(source=source, target=same, windows=windows),
        AveragePooling(source=source, target=same, windows=windows, source_scale=1, target_scale=1),
        Addition(a=source, b=second, target=same, a_scale=0.5, b_scale=0.3, target_scale=1),
    )
    return (
        *(
            convolution_program(convolution, circuit, dataflow, constants_address=CONSTANTS, kn2row=kn2row)
            for dataflow in Dataflow
            for kn2row in (False, True)
        ),
        *(vector_program(layer, circuit, constants_address=CONSTANTS) for layer in vectors),
    )


def run(simulation: OverlaySimulation, program: LayerProgram, code: bytes) -> None:
    memory = simulation.memory
    memory[:] = 0
    for address, data in ((program.constants_address, program.constants), (PROGRAM, code)):
        memory[address : address + len(data)] = np.frombuffer(data, np.uint8)
    simulation.run(PROGRAM, limit=3_000_000)


def changed(rng: np.random.Generator, instruction: Instruction) -> Instruction:
    """One field with another value: near the old one, at an end of its range, or anything."""
    record = FIELDS[instruction.unit]
    name = str(rng.choice(list(record.fields)))
    field, value = record.fields[name], instruction.fields[name]
    lanes = [value] if isinstance(value, int) else list(value)
    lane = int(rng.integers(len(lanes)))
    low = -(1 << field.width - 1) if field.signed else 0
    high = (1 << field.width - field.signed) - 1
    choices = [lanes[lane] + 1, lanes[lane] - 1, 2 * lanes[lane], lanes[lane] // 2, 0, 1, low, high]
    wanted = int(rng.choice(choices)) if rng.random() < 0.8 else int(rng.integers(low, high + 1))
    lanes[lane] = min(max(wanted, low), high)
    return replace(instruction, fields={**instruction.fields, name: lanes[0] if field.lanes == 1 else tuple(lanes)})


def damaged(rng: np.random.Generator, program: LayerProgram) -> bytes:
    """The program with something wrong, most likely."""
    instructions = list(program.instructions)
    at = int(rng.integers(len(instructions)))
    kind = rng.choice(["field", "field", "field", "bit", "tokens", "drop", "double", "swap"])
    if kind == "field":
        instructions[at] = changed(rng, instructions[at])
    elif kind == "tokens":
        which = str(rng.choice(["wait", "signal", "release"]))
        tokens = getattr(instructions[at], which) ^ {int(rng.integers(SEMAPHORES))}
        instructions[at] = replace(instructions[at], **{which: tokens})
    elif kind == "drop":
        del instructions[at]
    elif kind == "double":
        instructions.insert(at, instructions[at])
    elif kind == "swap":
        other = int(rng.integers(len(instructions)))
        instructions[at], instructions[other] = instructions[other], instructions[at]
    code = bytearray(assemble(instructions))
    if kind == "bit":
        code[int(rng.integers(len(code)))] ^= 1 << int(rng.integers(8))
    return bytes(code)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_layers_make_is_taken(shape):
    for program in programs(shape):
        check_program(program.instructions, overlay(*shape).circuit, memory_bytes=MEMORY_BYTES)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_damaged_programs_are_refused_or_run_to_their_end(shape):
    simulation = overlay(*shape)
    rng = np.random.default_rng(shape[0])
    taken, refusals = 0, []
    for _ in range(250):
        every = programs(shape)
        program = every[int(rng.integers(len(every)))]
        code = damaged(rng, program)
        try:
            check_program(list(disassemble(code)), simulation.circuit, memory_bytes=MEMORY_BYTES)
        except ProgramError as error:
            refusals.append(str(error))
            continue
        run(simulation, program, code)
        taken += 1
    assert taken > 25
    assert len(refusals) > 75
    assert [sentence for sentence in refusals if not REFUSAL.match(sentence)] == []


def first(shape: tuple[int, int, int], unit: Unit, which: int = 0) -> tuple[list[Instruction], int]:
    """A program and where its first instruction of a unit is."""
    instructions = list(programs(shape)[which].instructions)
    return instructions, next(number for number, each in enumerate(instructions) if each.unit is unit)


MAX_POOLING = -3


@pytest.mark.parametrize(
    ("unit", "which", "fields", "rule"),
    [
        (
            Unit.STORE,
            0,
            {"address": MEMORY_BYTES},
            "address: bursts from byte 524288 to 524324 leave a memory of 524288",
        ),
        (
            Unit.STORE,
            0,
            {"depth": 511, "depth_phase": 3},
            "depth: the store reads depth 524 of a result buffer of 512",
        ),
        (Unit.LOAD_TOP, MAX_POOLING, {"span_bytes": 5}, "span_bytes: 7 elements take 7 bytes, not 5"),
        (Unit.LOAD_TOP, MAX_POOLING, {"windows": 0}, "windows: it must be from 1 to 65535, not 0"),
        (
            Unit.LOAD_TOP,
            MAX_POOLING,
            {"depth": 508},
            "depth: the load reaches depth 591 of a buffer of 512",
        ),
        (
            Unit.COMPUTE,
            MAX_POOLING,
            {"collect_counts": (1, 1, 1, 1, 1)},
            "collect_counts: 40 vectors are fed, 1 collected; they must be as many",
        ),
        (Unit.COMPUTE, MAX_POOLING, {"feed_mode": 3}, "feed_mode: it must be from 0 to 2, not 3"),
        (
            Unit.COMPUTE,
            MAX_POOLING,
            {"collect_base": 99},
            "collect_deltas: the walk from 99 leaves a memory of 100 words",
        ),
        (Unit.FINISH, 0, {"low": -1, "high": 255}, "low: results from -1 to 255 are neither int8 nor uint8"),
        (Unit.FINISH, 0, {"phase": 1}, "phase: it must be the depth modulo 4 lanes"),
        (
            Unit.LOAD_CHANNELS,
            0,
            {"channels": 9},
            "bytes: 9 entries lie in 18 beats of 4 bytes, not 64 bytes",
        ),
    ],
)
def test_a_refusal_names_instruction_unit_field_and_rule(unit, which, fields, rule):
    instructions, number = first(SHAPES[0], unit, which)
    instructions[number] = replace(instructions[number], fields={**instructions[number].fields, **fields})
    with pytest.raises(ProgramError) as caught:
        check_program(instructions, overlay(*SHAPES[0]).circuit, memory_bytes=MEMORY_BYTES)
    assert str(caught.value) == f"instruction {number} ({unit.name.lower()}): {rule}"


@pytest.mark.parametrize("which", range(9))
def test_memory_may_end_with_the_last_byte_a_program_touches(which):
    program, circuit = programs(SHAPES[0])[which], overlay(*SHAPES[0]).circuit
    end = program.constants_address + len(program.constants)  # behind the tensors
    check_program(program.instructions, circuit, memory_bytes=end)
    with pytest.raises(ProgramError, match=r": address: "):
        check_program(program.instructions, circuit, memory_bytes=end - 1)


@pytest.mark.parametrize("which", range(9))
def test_tensors_may_lie_at_the_end_of_memory(which):
    """The same with the constants in front: padding beyond the image is not read, nor anything else."""
    circuit = overlay(*SHAPES[0]).circuit
    stores = [each for each in programs(SHAPES[0])[which].instructions if each.unit is Unit.STORE]
    channels = 6 if which < 6 else 7
    end = TARGET + 7 * 6 * channels
    alone = [replace(each, wait=frozenset(), signal=frozenset()) for each in stores]
    check_program(alone, circuit, memory_bytes=end)
    with pytest.raises(ProgramError, match=r"leave a memory of"):
        check_program(alone, circuit, memory_bytes=end - 1)


@pytest.mark.parametrize("which", range(9))
def test_loads_of_feature_maps_end_with_the_feature_map(which):
    circuit = overlay(*SHAPES[0]).circuit
    end = (SECOND if which == 8 else SOURCE) + 7 * 6 * 7
    loads = [
        replace(each, wait=frozenset(), signal=frozenset())
        for each in programs(SHAPES[0])[which].instructions
        if each.unit in {Unit.LOAD_LEFT, Unit.LOAD_TOP} and int(each.fields["height"]) == 7
    ]
    check_program(loads, circuit, memory_bytes=end)
    with pytest.raises(ProgramError, match=r"leave a memory of"):
        check_program(loads, circuit, memory_bytes=end - 1)
