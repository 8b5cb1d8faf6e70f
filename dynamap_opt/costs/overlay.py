"""The ``overlay`` preset: what the generated hardware does, with the formulas of ``dynamap_rtl.timing``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynamap_opt.algorithms import Algorithm
from dynamap_opt.layouts import NHWC, Layout, gather_words, packed_words, scatter_words, tensor_words
from dynamap_opt.program import Program, Stage, StageKind
from dynamap_rtl import Cycles, Dataflow, Overlay, blocked_load_words, stage_cycles, stream_words, vector_cycles

from .base import prefer_family

__all__ = ["OverlayCost"]

# Bias and requantisation of one output channel: 32 bits each.
_CHANNEL_PARAMETER_BYTES = 8
# Operands of processing elements that share a DSP slice must be this narrow.
_SHARED_OPERAND_BYTES = 1


@dataclass(frozen=True)
class OverlayCost:
    """Load, compute and store overlap block by block, so that a stage takes the longest of the three.

    Args:
        program: whose tensors are loaded and stored.
        overlay: memories and pipeline.
        choices: algorithms to choose from.
        prefer: a family that is used wherever it is legal; None leaves the choice open.
    """

    program: Program
    overlay: Overlay
    choices: Sequence[Algorithm]
    prefer: str | None = None
    name: str = "overlay"
    plain_inputs: bool = False

    def algorithms(self, stage: Stage) -> tuple[Algorithm, ...]:
        """The legal ones whose operands fit the multipliers."""
        if stage.conv is None:
            return ()
        shared = self.overlay.macs_per_dsp > 1
        legal = (
            algorithm
            for algorithm in self.choices
            if algorithm.is_legal(stage.conv)
            and not (shared and max(algorithm.activation_bytes, algorithm.weight_bytes) > _SHARED_OPERAND_BYTES)
        )
        return prefer_family(legal, self.prefer)

    def accepted_layouts(self, stage: Stage, position: int) -> tuple[Layout, ...]:
        """``nhwc``, and for the operand of the array whatever its algorithms can read."""
        layouts = [NHWC]
        if position == 0 and stage.conv is not None and stage.kind is StageKind.ARRAY:
            for algorithm in self.algorithms(stage):
                layout = algorithm.layout(stage.conv)
                if layout is not None and layout not in layouts:
                    layouts.append(layout)
        return tuple(layouts)

    def load_cycles(self, stage: Stage, algorithm: Algorithm | None, layout: Layout) -> int | None:
        """Operands in the better block order, other inputs and channel parameters once."""
        tensors = [self.program.tensors[name] for name in stage.inputs]
        if stage.kind is StageKind.HOST:
            return 0
        if stage.conv is None or algorithm is None:
            return sum(tensor_words(tensor, self.overlay) for tensor in tensors) if layout == NHWC else None
        source, conv = tensors[0], stage.conv
        if layout == NHWC:
            windows = algorithm.windows(conv)
            if windows is None:
                words = tensor_words(source, self.overlay) + self._halo_words(stage, algorithm)
            elif conv.in_height == conv.in_width == 1:
                words = tensor_words(source, self.overlay)  # a vector, possibly a flattened map
            else:
                words = gather_words(*windows, source, self.overlay)
        elif layout == algorithm.layout(conv):
            words = packed_words(layout, source, self.overlay)
        else:
            return None
        weight_bytes = algorithm.weight_elements(conv) * algorithm.weight_bytes
        operands = blocked_load_words(
            activation_words=words,
            activation_bytes=algorithm.activation_elements(conv) * algorithm.activation_bytes,
            weight_words=stream_words(1, weight_bytes, self.overlay),
            weight_bytes=weight_bytes,
            overlay=self.overlay,
        )
        parameters = stream_words(1, _CHANNEL_PARAMETER_BYTES * conv.out_channels, self.overlay)
        return operands + parameters + sum(tensor_words(tensor, self.overlay) for tensor in tensors[1:])

    def store_cycles(self, stage: Stage, algorithm: Algorithm | None, layout: Layout) -> int | None:  # noqa: ARG002
        """Once per place the layout gives an element; the algorithm does not matter."""
        if stage.kind is StageKind.HOST:
            return 0 if layout == NHWC else None
        target = self.program.tensors[stage.output]
        if stage.scatter != (1, 1) and layout == NHWC and not target.pixel_runs:
            # A block's rows are runs; in a slice of a concatenation every pixel is a run of its own.
            runs = target.pixels // stage.scatter[1]
            return stream_words(runs, stage.scatter[1] * target.channels, self.overlay)
        return scatter_words(layout, target, self.overlay)

    def compute_cycles(
        self, stage: Stage, algorithm: Algorithm | None, dataflow: Dataflow, p1: Cycles, p2: Cycles
    ) -> Cycles:
        """Of the array, stall-free, or of the vector unit."""
        if stage.kind is StageKind.HOST:
            return 0 * p1
        if stage.conv is not None and algorithm is not None:
            return algorithm.compute_cycles(stage.conv, dataflow, p1, p2, self.overlay)
        channels = max(self.program.tensors[name].channels for name in (*stage.inputs, stage.output))
        return vector_cycles(stage.vector_pixels, channels, p2, self.overlay) + 0 * p1

    def latency(self, load: Cycles, compute: Cycles, store: Cycles) -> Cycles:
        """The longest of the three, plus the DRAM latency at both ends."""
        return stage_cycles(load, compute, store, self.overlay)

    def _halo_words(self, stage: Stage, algorithm: Algorithm) -> int:
        """kn2row by blocks of rows re-reads the rows neighbouring blocks share."""
        conv = stage.conv
        assert conv is not None
        source = self.program.tensors[stage.inputs[0]]
        blocks = -(-algorithm.activation_elements(conv) // self.overlay.activation_buffer_bytes)
        shared_rows = min(conv.in_height, (conv.kernel[0] - 1) * conv.dilation[0])
        if blocks <= 1:
            return 0
        row_words = -(-tensor_words(source, self.overlay) // conv.in_height)
        return (min(blocks, conv.in_height) - 1) * shared_rows * row_words
