"""The tables of one network on one board, from which array shapes are explored and plans are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dynamap_models.ir import Network
from dynamap_rtl import Dataflow, Overlay
from dynamap_rtl.sizes import MOST_LANES

from .algorithms import Algorithm, select_algorithms
from .board import Board
from .costs import PRESETS, CostModel, OverlayCost, PaperCost
from .errors import DynamapError
from .exploration import ArrayShapes, Exploration, all_shapes, explore_shapes
from .lowering import lower
from .overlays import dram_bytes_per_cycle, max_elements, overlay_for, winograd_tiles
from .plan import Settings
from .program import Program, StageKind
from .selection import Decision, mapping_problem
from .tables import MappingTables, build_tables

__all__ = ["Mapper", "cost_model", "select_dataflows"]


def select_dataflows(names: Iterable[str] | None) -> tuple[Dataflow, ...]:
    """The dataflows of the given names, all for None.

    Raises:
        DynamapError: for an unknown name or an empty selection.
    """
    if names is None:
        return tuple(Dataflow)
    wanted = list(names)
    for name in wanted:
        if name not in Dataflow.__members__:
            raise DynamapError(f"unknown dataflow {name!r}; give names among {', '.join(Dataflow)}")
    if not wanted:
        raise DynamapError("no dataflow is left to choose from; name at least one")
    return tuple(dataflow for dataflow in Dataflow if dataflow.name in wanted)


def cost_model(
    name: str,
    program: Program,
    overlay: Overlay,
    board: Board,
    algorithms: Sequence[Algorithm],
    *,
    prefer: str | None = None,
) -> CostModel:
    """The cost model of a preset.

    Raises:
        DynamapError: for an unknown preset.
    """
    if name == "overlay":
        return OverlayCost(program, overlay, algorithms, prefer)
    if name == "paper":
        return PaperCost(program, algorithms, dram_bytes_per_cycle(board), prefer)
    raise DynamapError(f"unknown cost preset {name!r}; give one of {', '.join(PRESETS)}")


class Mapper:
    """The tables of one network on one board, from which shapes are explored and plans are made.

    Args:
        network: to map.
        board: to map it onto.
        algorithms: names or families to choose from, and algorithms of one's own; all of ours for None.
        dataflows: names to choose from; all for None.
        cost: preset, ``overlay`` or ``paper``.
        allow_host: whether operators the overlay lacks may run on the host at zero cycles.
        macs_per_dsp: see :func:`~dynamap_opt.overlays.overlay_for`.
        prefer: a family used wherever it is legal, instead of the best (to see what a fixed strategy costs).

    Raises:
        DynamapError: when the network cannot run this way; the message says why.
    """

    def __init__(
        self,
        network: Network,
        board: Board,
        *,
        algorithms: Iterable[str | Algorithm] | None = None,
        dataflows: Iterable[str] | None = None,
        cost: str = "overlay",
        allow_host: bool = False,
        macs_per_dsp: int = 1,
        prefer: str | None = None,
    ) -> None:
        self.network = network
        self.board = board
        chosen, flows = select_algorithms(algorithms), select_dataflows(dataflows)
        self.algorithms = {algorithm.name: algorithm for algorithm in chosen}
        self.overlay = overlay_for(board, winograd_tiles(chosen), macs_per_dsp=macs_per_dsp)
        self.elements = max_elements(board, self.overlay)
        self.settings = Settings(
            cost=cost,
            algorithms=tuple(algorithm.name for algorithm in chosen),
            dataflows=tuple(flow.value for flow in flows),
            method="auto",
            allow_host=allow_host,
            macs_per_dsp=macs_per_dsp,
            array=None,
        )
        self.program = lower(network, allow_host=allow_host)
        self.model = cost_model(cost, self.program, self.overlay, board, chosen, prefer=prefer)
        self._check_legal()
        self.tables: MappingTables = build_tables(self.program, self.model, flows)

    def _check_legal(self) -> None:
        for stage in self.program.stages:
            if stage.kind is StageKind.ARRAY and not self.model.algorithms(stage):
                assert stage.conv is not None
                raise DynamapError(
                    f"none of the algorithms {', '.join(self.settings.algorithms)} can compute layer {stage.name!r} "
                    f"(kernel {stage.conv.kernel[0]}x{stage.conv.kernel[1]}, stride {stage.conv.stride}, groups "
                    f"{stage.conv.groups}); allow one that can, im2col always does"
                )

    def shapes(self, array: tuple[int, int] | None = None) -> ArrayShapes:
        """All shapes the board can hold and the overlay can have, or the given one.

        Raises:
            DynamapError: when the given one does not fit, or none does.
        """
        paper = self.settings.cost == "paper"
        if array is None:
            every = all_shapes(self.elements)
            if paper:
                return every
            chosen = self.overlay.buildable(every.p1, every.p2)
            if not chosen.any():
                raise DynamapError(
                    f"board {self.board.name!r} has too little block RAM for any array; choose a larger board"
                )
            return ArrayShapes(every.p1[chosen], every.p2[chosen])
        p1, p2 = array
        if p1 < 1 or p2 < 1 or p1 * p2 > self.elements:
            raise DynamapError(
                f"array {p1}x{p2} does not fit board {self.board.name!r}: P1 and P2 must be at least 1 and P1·P2 at "
                f"most {self.elements}; choose a smaller array or a larger board"
            )
        shape = ArrayShapes(np.array([p1], dtype=np.int64), np.array([p2], dtype=np.int64))
        if not paper and not self.overlay.buildable(shape.p1, shape.p2)[0]:
            raise DynamapError(
                f"array {p1}x{p2} cannot be built on board {self.board.name!r}: an overlay has at most {MOST_LANES} "
                "rows and columns, and block RAM that holds its tiles; choose a squarer array or a larger board"
            )
        return shape

    def explore(
        self,
        array: tuple[int, int] | None = None,
        *,
        threads: int = 2,
        progress: Callable[[int, int], None] | None = None,
    ) -> Exploration:
        """The exact optimum of every shape (or of one)."""
        return explore_shapes(self.tables, self.shapes(array), threads=threads, progress=progress)

    def decision(self, p1: int, p2: int) -> Decision:
        """The mapping problem of one shape."""
        return mapping_problem(self.tables, p1, p2)
