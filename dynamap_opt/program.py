"""A network as the overlay sees it: stages in the order they run, and the tensors stored between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from dynamap_models.ir import Network, Pair
from dynamap_rtl.geometry import ConvShape, WindowShape

__all__ = ["ConvShape", "Program", "Stage", "StageKind", "StoredTensor", "WindowShape"]


class StageKind(StrEnum):
    """Which unit does a stage's arithmetic."""

    ARRAY = "array"
    VECTOR = "vector"
    HOST = "host"


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in memory, one byte an element.

    Attributes:
        name: as in the network.
        height: rows.
        width: columns.
        channels: elements per pixel.
        group: tensors of one group share one layout, because they share buffers.
        pixel_runs: lengths in bytes of the contiguous pieces a pixel is made of, when it does not lie directly after
            the pixel before it (a slice of a concatenation, or a concatenation that is not one piece); empty otherwise.
        fixed: whether the host reads it, so that only the plain layout will do.
    """

    name: str
    height: int
    width: int
    channels: int
    group: str
    pixel_runs: tuple[int, ...] = ()
    fixed: bool = False

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def size(self) -> int:
        """Bytes."""
        return self.pixels * self.channels


@dataclass(frozen=True)
class Stage:
    """One pass of the overlay.

    Attributes:
        name: of the layer.
        kind: the unit that does it.
        inputs: tensors read; the first is the one whose layout the array's loader may choose.
        output: tensor written.
        conv: geometry, on the array.
        window: geometry, on the vector path.
        scatter: a transposed convolution writes this block of output pixels per input pixel.
    """

    name: str
    kind: StageKind
    inputs: tuple[str, ...]
    output: str
    conv: ConvShape | None = None
    window: WindowShape | None = None
    scatter: Pair = (1, 1)


@dataclass(frozen=True)
class Program:
    """A network as the overlay sees it: stages in the order they run, and the tensors between them."""

    network: Network
    stages: tuple[Stage, ...]
    tensors: Mapping[str, StoredTensor]

    @cached_property
    def readers(self) -> Mapping[str, tuple[tuple[Stage, int], ...]]:
        """For every group, the (stage, input position) pairs that read one of its tensors."""
        found: dict[str, list[tuple[Stage, int]]] = {tensor.group: [] for tensor in self.tensors.values()}
        for stage in self.stages:
            for position, name in enumerate(stage.inputs):
                found[self.tensors[name].group].append((stage, position))
        return {group: tuple(pairs) for group, pairs in found.items()}

    @cached_property
    def writers(self) -> Mapping[str, tuple[Stage, ...]]:
        """For every group, the stages that write one of its tensors; none writes a network input."""
        found: dict[str, list[Stage]] = {tensor.group: [] for tensor in self.tensors.values()}
        for stage in self.stages:
            found[self.tensors[stage.output].group].append(stage)
        return {group: tuple(stages) for group, stages in found.items()}

    @cached_property
    def macs(self) -> int:
        """Direct multiply-accumulates of all stages on the array."""
        return sum(stage.conv.macs for stage in self.stages if stage.conv is not None)
