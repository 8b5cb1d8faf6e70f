"""The compiled overlay beside the cycle model, and programs to compare them by. Not a test itself."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np

from dynamap_rtl import Dataflow
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import LOAD, Mode, Unit
from dynamap_rtl.load_pattern import Load, LoadTarget
from dynamap_rtl.matrix_program import matrix_layout, walk_values
from dynamap_rtl.overlay_circuit import gemm_parameters, left_parameters, top_parameters
from dynamap_rtl.program.assembler import Instruction, assemble
from dynamap_rtl.program.convolution import Convolution, finish_fields, store_fields
from dynamap_rtl.program.cycles import OverlayState, program_cycles
from dynamap_rtl.program.layer import Scaling, TensorPlace
from dynamap_rtl.simulation import OverlaySimulation

MEMORY = 1 << 20
TARGET, CONSTANTS, PROGRAM = 1 << 17, 1 << 18, 3 << 18
# Where the sequencer learns that a unit is done.
DONE = {
    Unit.LOAD_LEFT: "left.done",
    Unit.LOAD_TOP: "top.done",
    Unit.LOAD_CHANNELS: "channels.done",
    Unit.COMPUTE: "retired.later",
    Unit.FINISH: "settled.later",
    Unit.STORE: "storer.done",
}
START = {unit: f"sequencer.{unit.name.lower()}_issue.start" for unit in DONE}


def circuit(
    rows: int, columns: int, port: int, latency: int, depth: int, winograd: tuple[int, ...] = ()
) -> CircuitParameters:
    return CircuitParameters(
        rows=rows,
        columns=columns,
        dram_bytes_per_cycle=port,
        dram_latency_cycles=latency,
        left_depth=depth,
        top_depth=depth,
        accumulator_depth=depth // 4,
        result_depth=depth,
        channel_words=64,
        winograd=winograd,
        sum_width=48 if winograd else 32,
    )


class Bench:
    """An overlay that runs programs, measured and predicted."""

    def __init__(self, parameters: CircuitParameters) -> None:
        self.circuit = parameters
        wires = ["engine.pacer.released", "engine.retired", *START.values(), *DONE.values()]
        self.simulation = OverlaySimulation(parameters, memory_bytes=MEMORY, trace=wires)
        self.state = OverlayState()

    def check(self, instructions) -> int:
        """Compare all events of a program; the total."""
        code = assemble(instructions)
        assert PROGRAM + len(code) <= MEMORY
        self.simulation.memory[PROGRAM : PROGRAM + len(code)] = np.frombuffer(code, np.uint8)
        self.simulation.simulation.clear_trace()
        measured = self.simulation.run(PROGRAM, limit=500_000)
        predicted = program_cycles(instructions, self.circuit, state=self.state)
        self.state = predicted.state
        for unit, done in DONE.items():
            mine = [cycles for cycles in predicted.instructions if cycles.unit is unit]
            assert self.cycles(START[unit]) == [cycles.start for cycles in mine], unit
            assert self.cycles(done) == [cycles.done for cycles in mine], unit
        commands = [cycles.command for cycles in predicted.instructions if cycles.command]
        assert self.cycles("engine.pacer.released") == [command.released for command in commands]
        assert self.cycles("engine.retired") == [command.retired for command in commands]
        assert predicted.total == measured
        return measured

    def cycles(self, wire: str) -> list[int]:
        return np.flatnonzero(self.simulation.trace(wire)).tolist()


@cache
def bench(parameters: CircuitParameters) -> Bench:
    return Bench(parameters)


def convolution(size, channels, outputs, kernel, stride=(1, 1), dilation=(1, 1), pads=(0, 0), groups=1, gaps=(0, 0)):
    """A layer whose values do not matter."""
    out = [
        (s + 2 * p - (k - 1) * d - 1) // t + 1
        for s, p, k, d, t in zip(size, pads, kernel, dilation, stride, strict=True)
    ]
    source = TensorPlace(address=256, height=size[0], width=size[1], channels=channels, pixel_pitch=channels + gaps[0])
    target = TensorPlace(address=TARGET, height=out[0], width=out[1], channels=outputs, pixel_pitch=outputs + gaps[1])
    scaling = Scaling(
        bias=np.zeros(outputs, np.int64),
        multiplier=np.full(outputs, 1 << 23),
        shift=np.full(outputs, 30),
        low=-128,
        high=127,
    )
    weights = np.zeros((outputs, channels // groups, *kernel), np.int64)
    return Convolution(
        source=source,
        target=target,
        weights=weights,
        scaling=scaling,
        stride=stride,
        pads=pads,
        dilation=dilation,
        groups=groups,
    )


def random_convolution(rng: np.random.Generator) -> Convolution:
    def pair(low: int, high: int) -> tuple[int, int]:
        first, second = rng.integers(low, high, 2).tolist()
        return first, second

    groups = int(rng.choice([1, 1, 1, 2, 3]))
    kernel = pair(1, 4)
    return convolution(
        pair(6, 15),
        groups * int(rng.integers(1, 12)),
        groups * int(rng.integers(1, 12)),
        kernel,
        stride=pair(1, 3),
        dilation=pair(1, 3),
        pads=(int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1]))),
        groups=groups,
        gaps=pair(0, 3),
    )


# ---- programs no layer makes ----


def random_transform(rng: np.random.Generator, parameters: CircuitParameters) -> tuple[int, int, int]:
    """The field of an instruction, positions of a tile and results of it."""
    tile, axes = int(rng.choice(parameters.winograd)), int(rng.integers(1, 3))
    return 1 + 2 * (axes - 1) + (tile == 4), (tile + 2) ** axes, tile**axes


def random_stream(rng: np.random.Generator, parameters: CircuitParameters, unit: Unit) -> Instruction:
    """A load through the input transform: whole tiles, whatever its windows are."""
    loader = (left_parameters if unit is Unit.LOAD_LEFT else top_parameters)(parameters).loader
    transform, positions, _ = random_transform(rng, parameters)
    vectors = positions * int(rng.choice([1, 1, 2, 5]))
    taps_y = int(rng.choice([taps for taps in range(1, 7) if vectors % taps == 0]))
    taps_x = int(rng.choice([taps for taps in range(1, 7) if vectors // taps_y % taps == 0]))
    windows = vectors // (taps_y * taps_x)
    chunks = int(rng.choice([count for count in range(1, 5) if windows % count == 0]))
    channels = loader.transfer * (chunks - 1) + int(rng.integers(1, loader.transfer + 1))
    load = Load(
        address=int(rng.integers(0, 1 << 16)),
        row_pitch=300,
        pixel_pitch=channels + int(rng.choice([0, 0, 3])),
        height=int(rng.integers(1, 12)),
        width=int(rng.integers(1, 12)),
        channels=channels,
        taps_y=taps_y,
        taps_x=taps_x,
        dilation_x=int(rng.integers(1, 3)),
        step_y=int(rng.integers(1, 5)),
        step_x=int(rng.integers(1, 5)),
        origin_y=int(rng.integers(-3, 2)),
        origin_x=int(rng.integers(-3, 2)),
        columns=3,
        first_column=int(rng.integers(0, 3)),
        windows=windows // chunks,
        target=LoadTarget.STREAM,
    )
    none = {name: 0 if field.lanes == 1 else (0,) * field.lanes for name, field in LOAD.fields.items()}
    walk = {"transform": transform, "tile_along": int(rng.integers(2)), "counts": (vectors, 1, 1, 1, 1)}
    return Instruction(unit=unit, fields={**none, **load.fields(loader), **walk})


def random_load(rng: np.random.Generator, parameters: CircuitParameters, unit: Unit) -> Instruction:
    loader = (left_parameters if unit is Unit.LOAD_LEFT else top_parameters)(parameters).loader
    if parameters.winograd and rng.integers(2):
        return random_stream(rng, parameters, unit)
    channels = int(rng.integers(1, 24))
    taps = rng.integers(1, 4, 2).tolist()
    size = int(rng.integers(1, loader.element_bytes + 1))
    load = Load(
        address=int(rng.integers(0, 1 << 16)),
        row_pitch=300,
        pixel_pitch=size * channels + int(rng.choice([0, 0, 3])),
        height=int(rng.integers(1, 8)),
        width=int(rng.integers(1, 8)),
        channels=channels,
        taps_y=taps[0],
        taps_x=taps[1],
        dilation_x=int(rng.integers(1, 3)),
        step_x=int(rng.integers(1, 3)),
        origin_y=int(rng.integers(-3, 2)),
        origin_x=int(rng.integers(-3, 2)),
        columns=3,
        first_column=int(rng.integers(0, 3)),
        windows=int(rng.choice([1, 1, 2, 5])),
        tail=int(rng.choice([0, 0, 1, 30])),
        element_bytes=size,
        target=LoadTarget(int(rng.integers(0, 2))),
        depth_step=int(rng.integers(0, 2)),
    )
    none = {name: 0 if field.lanes == 1 else (0,) * field.lanes for name, field in LOAD.fields.items()}
    return Instruction(unit=unit, fields={**none, **load.fields(loader)})


def random_compute(rng: np.random.Generator, parameters: CircuitParameters) -> Instruction:
    gemm = gemm_parameters(parameters)
    a, b, c = rng.integers(1, 14, 3).tolist()
    layout = matrix_layout(
        list(Dataflow)[int(rng.integers(3))], a, b, c, rows=parameters.rows, columns=parameters.columns
    )
    fields = layout.command(gemm)
    if rng.random() < 0.3:
        count = int(rng.choice([1, 2, 20]))
        for engine in ("feed", "stream", "collect"):
            fields[f"{engine}_mode"] = Mode.VECTOR
        fields |= walk_values("feed", gemm.feeder, [count], [1], 0)
        fields |= walk_values("collect", gemm.collector, [count], [1], 0, phases=False)
    return Instruction(unit=Unit.COMPUTE, fields=fields)


def random_instruction(rng: np.random.Generator, parameters: CircuitParameters, unit: Unit) -> Instruction:
    pixels, outputs = (int(number) for number in rng.integers(1, 12, 2))
    if unit in {Unit.LOAD_LEFT, Unit.LOAD_TOP}:
        return random_load(rng, parameters, unit)
    if unit is Unit.COMPUTE:
        return random_compute(rng, parameters)
    if unit is Unit.LOAD_CHANNELS:
        port = parameters.dram_bytes_per_cycle
        size = -(-outputs // max(1, port // 8)) * -(-8 // port) * port
        fields = {"address": 64, "bytes": size, "channels": outputs, "word": 0, "single": 0}
        return Instruction(unit=unit, fields=fields)
    if unit is Unit.FINISH:
        fields = finish_fields(
            parameters,
            pixels=pixels,
            outputs=outputs,
            entry=0,
            half=0,
            across=bool(rng.integers(2)),
            zero_point=0,
            low=-128,
            high=127,
        )
        if parameters.winograd and rng.integers(2):
            transform, positions, results = random_transform(rng, parameters)
            fields |= {"transform": transform, "counts": (positions, pixels, 1, 1, 1)}
            fields |= {"place_counts": (results, pixels, 1, 1, 1)}
        return Instruction(unit=unit, fields=fields)
    target = TensorPlace(address=TARGET, height=12, width=5, channels=outputs, pixel_pitch=outputs)
    return Instruction(unit=unit, fields=store_fields(parameters, target, 0, pixels, range(outputs), 0))


def random_program(rng: np.random.Generator, parameters: CircuitParameters) -> list[Instruction]:
    """Instructions in bursts of one unit, with tokens from a few of them to later ones of other units."""
    units = [unit for unit in DONE for _ in range(int(rng.choice([0, 1, 3])))] or [Unit.COMPUTE]
    program = []
    while len(program) < 40:
        unit = units[int(rng.integers(len(units)))]
        program += [random_instruction(rng, parameters, unit) for _ in range(int(rng.choice([1, 1, 2, 12])))]
    for semaphore, (giver, taker) in enumerate(pairwise(sorted(rng.choice(len(program), 12, replace=False).tolist()))):
        kind = "release" if program[giver].unit is Unit.COMPUTE and rng.integers(2) else "signal"
        program[giver] = replace(program[giver], **{kind: getattr(program[giver], kind) | {semaphore}})
        program[taker] = replace(program[taker], wait=program[taker].wait | {semaphore})
    return program
