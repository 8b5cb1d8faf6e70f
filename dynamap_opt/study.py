"""Measurements over many explorations: networks by boards, and how the time grows."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dynamap_models.ir import Layer, Network

from .api import lasting_source, load_model
from .board import Board
from .errors import DynamapError
from .execution.tasks import ExecutorLike, run_tasks
from .exploration import ArrayShapes, explore_shapes
from .layouts import NHWC
from .lowering import lower
from .mapper import Mapper
from .mapping import map_network
from .program import StageKind

__all__ = ["ProcessRun", "SurveyRow", "TimingRow", "run_processes", "survey", "time_explorations", "truncate"]


_REPEATS = 3


@dataclass(frozen=True)
class SurveyRow:
    """The optimum of one network on one board.

    ``compute_bound`` and ``bandwidth_bound`` are lower bounds in cycles: the direct multiply-accumulates over the
    array's elements (which Winograd may beat), and the DRAM port cycles of the cheapest load or store of every stage.
    ``shares`` are the parts of the array's direct multiply-accumulates that each algorithm computes, ``layers`` how
    many layers, ``bound_by`` how many of these are bound by load, compute or store (as ``kn2row: load``).
    ``expanded_layouts`` counts the stages that store their output other than plainly.
    """

    model: str
    board: str
    array: tuple[int, int]
    latency_cycles: int
    latency_s: float
    compute_bound: float
    bandwidth_bound: int
    shares: dict[str, float]
    layers: dict[str, int]
    bound_by: dict[str, int]
    expanded_layouts: int
    seconds: float


def bandwidth_bound(mapper: Mapper) -> int:
    """Cycles no mapping can go below, whatever the array: inputs and weights read once, outputs written once.

    Reading and writing take turns on ports of their own, so that the longer of both counts.
    """
    width = mapper.overlay.dram_bytes_per_cycle
    tensors = mapper.program.tensors
    total = 0
    for stage in mapper.program.stages:
        if stage.kind is not StageKind.HOST:
            weights = 0 if stage.conv is None else stage.conv.weight_count
            read = weights + sum(tensors[name].size for name in stage.inputs)
            total += -(-max(read, tensors[stage.output].size) // width)
    return total


@dataclass(frozen=True)
class _SurveyTask:
    """One network on one board; networks by name or path can be sent to other processes."""

    model: str | Network
    board: Board
    cost: str


def survey(
    models: Sequence[str | os.PathLike[str] | Network],
    boards: Sequence[Board],
    *,
    cost: str = "overlay",
    jobs: int = 1,
    executor: ExecutorLike = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[SurveyRow, ...]:
    """Every network on every board; operators the overlay lacks are left to the host.

    Args:
        models: zoo names, ONNX files, or, where everything runs in this process, networks.
        boards: presets or others.
        cost: preset.
        jobs: processes, where ``executor`` is None.
        executor: ``dask://host:port`` or an executor; its workers must find the files.
        progress: called with (explorations done, explorations in all).

    Raises:
        DynamapError, ModelError: when a model cannot be read or mapped, or there is no such executor.
    """
    tasks = [
        _SurveyTask(model if isinstance(model, Network) else lasting_source(os.fspath(model)), board, cost)
        for model in models
        for board in boards
    ]
    rows: dict[int, SurveyRow] = {}
    for number, row in run_tasks(_survey_row, tasks, jobs=min(jobs, max(1, len(tasks))), executor=executor):
        rows[number] = row
        if progress is not None:
            progress(len(rows), len(tasks))
    return tuple(rows[number] for number in range(len(tasks)))


@lru_cache(maxsize=4)
def _loaded(model: str) -> Network:
    return load_model(model)


def _survey_row(task: _SurveyTask) -> SurveyRow:
    network = task.model if isinstance(task.model, Network) else _loaded(task.model)
    board, cost = task.board, task.cost
    start = time.perf_counter()
    plan = map_network(network, board, cost=cost, allow_host=True)
    elapsed = time.perf_counter() - start
    macs: dict[str, int] = defaultdict(int)
    layers: dict[str, int] = defaultdict(int)
    bound_by: dict[str, int] = defaultdict(int)
    for layer in plan.layers:
        if layer.dataflow is not None:
            macs[layer.algorithm] += layer.macs
            layers[layer.algorithm] += 1
            bound_by[f"{layer.algorithm}: {layer.bound_by}"] += 1
    return SurveyRow(
        model=network.name,
        board=board.name,
        array=plan.array,
        latency_cycles=plan.latency_cycles,
        latency_s=plan.latency_s,
        compute_bound=sum(macs.values()) / (plan.array[0] * plan.array[1]),
        bandwidth_bound=bandwidth_bound(Mapper(network, board, cost=cost, allow_host=True)),
        shares={name: count / max(1, sum(macs.values())) for name, count in sorted(macs.items())},
        layers=dict(sorted(layers.items())),
        bound_by=dict(sorted(bound_by.items())),
        expanded_layouts=sum(layer.output_layout != NHWC.label for layer in plan.layers),
        seconds=elapsed,
    )


@dataclass(frozen=True)
class TimingRow:
    """Seconds to build the tables and explore, for the first ``stages`` stages and ``shapes`` array shapes."""

    stages: int
    convolutions: int
    shapes: int
    table_seconds: float
    explore_seconds: float


def truncate(network: Network, layers: int) -> Network:
    """The first layers of a network, at least up to its first convolution; what nobody reads becomes an output."""
    kept: list[Layer] = list(network.layers[: max(1, layers)])
    written = {layer.output for layer in kept}
    read = {name for layer in kept for name in layer.inputs}
    outputs = tuple(layer.output for layer in kept if layer.output not in read)
    names = {*network.inputs, *written}
    parameters = {
        name: parameter
        for name, parameter in network.parameters.items()
        if any(name in vars(layer.operation).values() for layer in kept)
    }
    return Network(
        f"{network.name}[:{layers}]",
        tuple(name for name in network.inputs if name in read),
        outputs,
        tuple(kept),
        {name: tensor for name, tensor in network.tensors.items() if name in names},
        parameters,
    )


def time_explorations(
    network: Network,
    board: Board,
    *,
    cost: str = "overlay",
    threads: int = 2,
    steps: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[TimingRow, ...]:
    """How the exploration's time grows: with the layers over all shapes, then with the shapes over all layers.

    Each time is the median of three.
    """
    program = lower(network, allow_host=True)
    on_array = {stage.name for stage in program.stages if stage.kind is StageKind.ARRAY}
    first = next(i for i, layer in enumerate(network.layers) if layer.name in on_array)
    cases: list[tuple[Network, float]] = []
    for step in range(1, steps + 1):
        count = max(first + 1, len(network.layers) * step // steps)
        cases.append((network if step == steps else truncate(network, count), 1.0))
    cases += [(network, step / steps) for step in range(1, steps)]
    rows = []
    for index, (part, share) in enumerate(cases):
        building, exploring = [], []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            mapper = Mapper(part, board, cost=cost, allow_host=True)
            built = time.perf_counter()
            every = mapper.shapes()
            # An even sample keeps the mixture of tall and wide shapes.
            chosen = np.linspace(0, len(every) - 1, max(1, round(len(every) * share))).astype(np.int64)
            explore_shapes(mapper.tables, ArrayShapes(every.p1[chosen], every.p2[chosen]), threads=threads)
            building.append(built - start)
            exploring.append(time.perf_counter() - built)
        rows.append(
            TimingRow(
                stages=len(mapper.tables.stages),
                convolutions=sum(1 for _ in part.convolutions()),
                shapes=len(chosen),
                table_seconds=statistics.median(building),
                explore_seconds=statistics.median(exploring),
            )
        )
        if progress is not None:
            progress(index + 1, len(cases))
    return tuple(rows)


@dataclass(frozen=True)
class ProcessRun:
    """One whole process, interpreter start and imports included."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def run_processes(
    command: Sequence[str], runs: int = 5, progress: Callable[[int, int], None] | None = None
) -> tuple[ProcessRun, ...]:
    """Run a command several times, its output thrown away, and take the operating system's account of each.

    Raises:
        DynamapError: when the command fails.
    """
    results = []
    for index in range(runs):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603 - ours
        assert process.stderr is not None
        complaint = process.stderr.read().decode(errors="replace").strip()
        process.stderr.close()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise DynamapError(f"the timed command failed: {complaint or process.returncode}")
        unit = 1 if sys.platform == "darwin" else 1024
        results.append(ProcessRun(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit))
        if progress is not None:
            progress(index + 1, runs)
    return tuple(results)
