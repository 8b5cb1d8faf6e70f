"""From a product (a x b) by (b x c) to a command of the matrix engine, and where its operands must lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .isa import Mode
from .record import Value
from .timing import Dataflow, ceil_div

if TYPE_CHECKING:
    from .units.gemm import GemmParameters
    from .units.walker import WalkerParameters

__all__ = ["MatrixLayout", "matrix_layout", "walk_values"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MatrixLayout:
    """One product under one dataflow on a P1 x P2 array.

    The array multiplies a *left* operand, of which each of P1 lanes holds a stream, by a *top* operand of P2 lanes:

    | dataflow | left lane, depth | top lane, depth | accumulator column, word |
    |---|---|---|---|
    | NS | i mod P1, ⌊i/P1⌋·b + k | j mod P2, ⌊j/P2⌋·b + k | j mod P2, ⌊j/P2⌋·a + i |
    | WS | k mod P1, ⌊k/P1⌋·a + i | j mod P2, (⌊j/P2⌋·⌈b/P1⌉ + ⌊k/P1⌋)·P1 + k mod P1 | as NS |
    | IS | k mod P1, ⌊k/P1⌋·c + j | i mod P2, (⌊i/P2⌋·⌈b/P1⌉ + ⌊k/P1⌋)·P1 + k mod P1 | i mod P2, ⌊i/P2⌋·c + j |

    with i < a, j < c and k < b. IS is WS of the transposed product. Places of the top operand with no element of the
    product must hold zero under WS and IS (the stationary operand of the last tile).
    """

    dataflow: Dataflow
    a: int
    b: int
    c: int
    rows: int
    columns: int

    @property
    def stationary(self) -> bool:
        """Whether an operand stays in the array."""
        return self.dataflow is not Dataflow.NS

    @property
    def streamed(self) -> int:
        """a, or c under IS: how many vectors pass the stationary operand, or rows of results."""
        return self.c if self.dataflow is Dataflow.IS else self.a

    @property
    def across(self) -> int:
        """c, or a under IS: what the columns share."""
        return self.a if self.dataflow is Dataflow.IS else self.c

    @property
    def left_depth(self) -> int:
        """Places a lane of the left operand takes."""
        if self.stationary:
            return ceil_div(self.b, self.rows) * self.streamed
        return ceil_div(self.a, self.rows) * self.b

    @property
    def top_depth(self) -> int:
        """Places a lane of the top operand takes."""
        inner = ceil_div(self.b, self.rows) * self.rows if self.stationary else self.b
        return ceil_div(self.across, self.columns) * inner

    @property
    def words(self) -> int:
        """Words the result takes in a column's accumulators."""
        return ceil_div(self.across, self.columns) * self.streamed

    def left(self, left: Integers, right: Integers) -> Integers:
        """The left operand's buffer, (P1, left_depth), zero where nothing is.

        Args:
            left: (a, b).
            right: (b, c).
        """
        if not self.stationary:
            return _folded(left, self.rows)
        stream = right.T if self.dataflow is Dataflow.IS else left  # (streamed, b)
        return _folded(stream.T, self.rows)

    def top(self, left: Integers, right: Integers) -> Integers:
        """The top operand's buffer, (P2, top_depth), zero where nothing is; arguments as of ``left``."""
        across = left if self.dataflow is Dataflow.IS else right.T  # (across, b)
        if self.stationary:
            across = np.pad(across, ((0, 0), (0, -self.b % self.rows)))
        return _folded(across, self.columns)

    def product(self, accumulators: Integers) -> Integers:
        """The (a, c) result out of the accumulators, (P2, words)."""
        tiles = ceil_div(self.across, self.columns)
        parts = accumulators.reshape(self.columns, tiles, self.streamed)
        across = parts.transpose(1, 0, 2).reshape(tiles * self.columns, self.streamed)[: self.across]
        return across if self.dataflow is Dataflow.IS else across.T

    def command(
        self, parameters: GemmParameters, *, half: int = 0, left: int = 0, top: int = 0, word: int = 0, count: int = 1
    ) -> dict[str, Value]:
        """The fields of the compute instruction (``isa.COMPUTE``) for the whole product.

        Args:
            parameters: of the engine.
            half: of the accumulators.
            left: depth at which the left operand begins.
            top: depth at which the top operand begins.
            word: of the accumulators at which the result begins.
            count: so many products whose operands and results lie one behind the other in every buffer.
        """
        if self.stationary:
            inner = ceil_div(self.b, self.rows)
            outer = ceil_div(self.across, self.columns)
            feed = ((self.rows, inner, outer), (-1, self.rows, inner * self.rows), top + self.rows - 1)
            stream = ((self.streamed, inner, outer), (1, self.streamed, 0), left)
            collect = ((self.streamed, inner, outer), (1, 0, self.streamed), word)
            steps = self.streamed
        else:
            inner, outer = ceil_div(self.a, self.rows), ceil_div(self.c, self.columns)
            feed = ((self.b, inner, outer), (1, 0, self.b), top)
            stream = ((self.b, inner, outer), (1, self.b, 0), left)
            collect = ((self.rows, inner, outer), (-1, self.rows, self.a), word + self.rows - 1)
            steps = self.b

        def all_products(
            walk: tuple[tuple[int, int, int], tuple[int, int, int], int], size: int
        ) -> tuple[tuple[int, ...], tuple[int, ...], int]:
            counts, strides, base = walk
            return (*counts, count), (*strides, size), base

        mode = Mode.OPERAND_STATIONARY if self.stationary else Mode.OUTPUT_STATIONARY
        return {
            "feed_mode": mode,
            "feed_maximum": 0,
            "feed_coefficient": 0,
            "stream_mode": mode,
            "stream_steps": steps,
            "collect_mode": mode,
            "collect_half": half,
            "collect_maximum": 0,
            "collect_last_rows": self.a - (inner - 1) * self.rows if not self.stationary else self.rows,
            **walk_values("feed", parameters.feeder, *all_products(feed, self.top_depth)),
            **walk_values("stream", parameters.streamer, *all_products(stream, self.left_depth)),
            **walk_values("collect", parameters.collector, *all_products(collect, self.words), phases=False),
        }


def matrix_layout(dataflow: Dataflow, a: int, b: int, c: int, *, rows: int, columns: int) -> MatrixLayout:
    """Where a product's operands lie and what computes it; see :class:`MatrixLayout`."""
    return MatrixLayout(dataflow=dataflow, a=a, b=b, c=c, rows=rows, columns=columns)


def _folded(matrix: Integers, lanes: int) -> Integers:
    """Row r to lane r mod lanes, behind the rows that are there already: (lanes, ⌈rows/lanes⌉·length)."""
    rows, length = matrix.shape
    padded = np.pad(matrix, ((0, -rows % lanes), (0, 0)))
    return padded.reshape(-1, lanes, length).transpose(1, 0, 2).reshape(lanes, -1)


def walk_values(
    engine: str,
    parameters: WalkerParameters,
    counts: Sequence[int],
    strides: Sequence[int],
    base: int,
    *,
    phases: bool = True,
) -> dict[str, Value]:
    """A walk as the fields ``<engine>_base`` and so on.

    Args:
        engine: prefix of the fields.
        parameters: of the walker.
        counts: of the levels used, the innermost first.
        strides: likewise.
        base: first address.
        phases: whether the fields have phases.
    """
    from .units.walker import deltas  # noqa: PLC0415 - PyRTL loads only where hardware is wanted

    rest = parameters.levels - len(counts)
    counts, strides = (*counts, *[1] * rest), (*strides, *[0] * rest)
    steps = deltas(counts, strides)
    size = 2**parameters.address_width
    walk: dict[str, Value] = {
        f"{engine}_base": base % size,
        f"{engine}_counts": tuple(counts),
        f"{engine}_deltas": tuple(step % size for step in steps),
    }
    if phases:
        walk[f"{engine}_phase_base"] = base % parameters.modulus
        walk[f"{engine}_phase_deltas"] = tuple(step % parameters.modulus for step in steps)
    return walk
