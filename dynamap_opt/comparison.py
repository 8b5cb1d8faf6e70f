"""What the joint optimum is worth: the same network under fixed strategies and the paper's two-step search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dynamap_models.ir import Network

from .algorithms import Algorithm
from .board import Board
from .costs import Precision, ShapeBatch
from .errors import DisagreementError, DynamapError
from .exploration import ArrayShapes, Exploration, explore_shapes, square_shapes
from .layouts import NHWC
from .mapper import Mapper
from .mapping import make_plan
from .plan import Plan
from .tables import StageTable

__all__ = ["StrategyResult", "compare_strategies", "two_step"]

# Vectors of this many shapes keep what is computed for a layer in a core's level-2 cache.
_CHUNK = 4096


@dataclass(frozen=True)
class StrategyResult:
    """The best array and mapping under one strategy.

    Attributes:
        strategy: its name.
        array: (P1, P2).
        latency_cycles: of the plan.
        latency_s: likewise.
        loss: its latency over the joint optimum's, less one.
        seconds: the search took.
        measured_cycles: on the RTL; None where that was not asked for.
        values_match: whether every tensor measured was right; likewise.
    """

    strategy: str
    array: tuple[int, int]
    latency_cycles: int
    latency_s: float
    loss: float
    seconds: float
    measured_cycles: int | None = None
    values_match: bool | None = None


def two_step(mapper: Mapper) -> Exploration:
    """The paper's search: the shape with the least compute summed over layers *and algorithms*, then its best mapping.

    (DYNAMAP, FPGA 2021, as the released code does it: the algorithms are not chosen yet when the shape is.)
    """
    shapes, model = mapper.shapes(), mapper.model
    elements = shapes.p1 * shapes.p2
    alike: dict[object, list[tuple[StageTable, Algorithm]]] = {}
    for table in mapper.tables.stages:
        for algorithm in table.algorithms:
            if algorithm is not None:
                alike.setdefault((table.stage.conv, algorithm.name), []).append((table, algorithm))
    products = sum(model.products(table.stage, algorithm) for pairs in alike.values() for table, algorithm in pairs)
    total = np.full(len(shapes), np.iinfo(np.int64).max)
    # The most elements first: others cannot be better once as many products as elements, every cycle, would not do.
    for part in np.array_split(np.argsort(-elements, kind="stable"), -(-len(shapes) // _CHUNK)):
        if products > int(total.min()) * int(elements[part].max()):
            break
        batch = ShapeBatch(shapes.p1[part], shapes.p2[part], Precision.BOUND)
        total[part] = 0
        for pairs in alike.values():
            table, algorithm = pairs[0]
            options = [
                table.cycles(algorithm, flow, NHWC, layout, batch)
                for flow in table.dataflows
                for layout in table.out_layouts
            ]
            total[part] += len(pairs) * np.min([option.compute for option in options if option is not None], axis=0)
    index = int(np.lexsort((-shapes.p1, elements, total))[0])
    only = ArrayShapes(shapes.p1[index : index + 1], shapes.p2[index : index + 1])
    return explore_shapes(mapper.tables, only, threads=1)


def compare_strategies(
    network: Network,
    board: Board,
    *,
    cost: str = "overlay",
    allow_host: bool = False,
    threads: int = 2,
    measure: Callable[[Plan], tuple[int, bool]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[StrategyResult, ...]:
    """The joint optimum and every restricted strategy, each with its own best array shape; the optimum first.

    Restricted are: the search (two steps instead of one), the algorithm (one family wherever it is legal, im2col or
    depthwise elsewhere), the dataflow (one for all layers) and the array (square).

    Args:
        network: to map.
        board: onto which.
        cost: preset.
        allow_host: whether operators the overlay lacks may run on the host at zero cycles.
        threads: of an exploration.
        measure: cycles of a plan on the RTL, and whether its values are right; None for predictions alone.
        progress: called with (strategies done, in all).

    Raises:
        DynamapError: when the network cannot be mapped onto the board at all.
    """

    def mapper(prefer: str | None = None, dataflow: str | None = None) -> Mapper:
        flows = None if dataflow is None else [dataflow]
        return Mapper(network, board, cost=cost, allow_host=allow_host, prefer=prefer, dataflows=flows)

    def every(found: Mapper) -> Exploration:
        return found.explore(threads=threads)

    strategies: list[tuple[str, Mapper, Callable[[Mapper], Exploration]]] = [
        ("joint optimum", mapper(), every),
        ("two-step search", mapper(), two_step),
        ("im2col only", mapper(prefer="im2col"), every),
        ("kn2row where legal", mapper(prefer="kn2row"), every),
        ("Winograd where legal", mapper(prefer="winograd"), every),
        ("NS only", mapper(dataflow="NS"), every),
        ("WS only", mapper(dataflow="WS"), every),
        ("IS only", mapper(dataflow="IS"), every),
        ("square array", mapper(), lambda found: _square(found, threads)),
    ]
    results: list[StrategyResult] = []
    for index, (name, tables, search) in enumerate(strategies):
        start = time.perf_counter()
        exploration = search(tables)
        seconds = time.perf_counter() - start
        cycles = int(exploration.latency_cycles[exploration.best])
        optimum = results[0].latency_cycles if results else cycles
        if cycles < optimum:
            raise DisagreementError(f"{name} takes {cycles} cycles, fewer than the joint optimum's {optimum}")
        measured, right = (None, None) if measure is None else measure(make_plan(tables, exploration))
        results.append(
            StrategyResult(
                strategy=name,
                array=exploration.best_shape,
                latency_cycles=cycles,
                latency_s=cycles / board.clock_hz,
                loss=cycles / optimum - 1,
                seconds=seconds,
                measured_cycles=measured,
                values_match=right,
            )
        )
        if progress is not None:
            progress(index + 1, len(strategies))
    return tuple(results)


def _square(mapper: Mapper, threads: int) -> Exploration:
    shapes = square_shapes(mapper.elements)
    if mapper.settings.cost != "paper":
        kept = mapper.overlay.buildable(shapes.p1, shapes.p2)
        shapes = ArrayShapes(shapes.p1[kept], shapes.p2[kept])
    if len(shapes) == 0:
        raise DynamapError("the board is too small for a 1x1 array; array_dsp must be at least 1")
    return explore_shapes(mapper.tables, shapes, threads=threads)
