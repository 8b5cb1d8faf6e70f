"""A small convolution with its memory, for test benches and for looking at waves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import FETCH_AHEAD_BYTES
from dynamap_rtl.timing import Dataflow

from .assembler import assemble
from .convolution import Convolution, convolution_program
from .layer import Scaling, TensorPlace
from .winograd import winograd_program

__all__ = ["Sample", "sample_convolution"]

_PAGE = 1 << 12


@dataclass(frozen=True)
class Sample:
    """A layer ready to run.

    Attributes:
        layer: what is computed.
        memory: uint8, tensors, constants and program in place.
        program_address: where the program begins.
    """

    layer: Convolution
    memory: NDArray[np.uint8]
    program_address: int


def sample_convolution(
    circuit: CircuitParameters,
    dataflow: Dataflow = Dataflow.WS,
    *,
    side: int = 6,
    channels: int = 4,
    outputs: int | None = None,
    tile: int | None = None,
    seed: int = 0,
) -> Sample:
    """A 3x3 convolution of a square feature map, random values.

    Args:
        circuit: on what it will run.
        dataflow: how.
        side: height and width of the feature map.
        channels: its channels.
        outputs: output channels; as many as fill two tiles of columns if None.
        tile: m of F(m, 3) by which it is computed; by im2col if None.
        seed: of the values.

    Raises:
        ProgramError: when the buffers are too small for it.
    """
    rng = np.random.default_rng(seed)
    outputs = 2 * circuit.columns if outputs is None else outputs
    source = TensorPlace(address=0, height=side, width=side, channels=channels, pixel_pitch=channels)
    target_address = _pages(source.pixels * channels)
    target = TensorPlace(address=target_address, height=side, width=side, channels=outputs, pixel_pitch=outputs)
    constants_address = target_address + _pages(target.pixels * outputs)
    layer = Convolution(
        source=source,
        target=target,
        weights=rng.integers(-128, 128, (outputs, channels, 3, 3)),
        scaling=Scaling(
            bias=rng.integers(-1000, 1000, outputs),
            multiplier=rng.integers(1 << 23, 1 << 24, outputs),
            shift=np.full(outputs, 32),
            low=-128,
            high=127,
        ),
        pads=(1, 1),
    )
    if tile is None:
        program = convolution_program(layer, circuit, dataflow, constants_address=constants_address)
    else:
        program = winograd_program(layer, circuit, dataflow, tile=tile, constants_address=constants_address)
    code = assemble(program.instructions)
    program_address = constants_address + _pages(len(program.constants))
    memory = np.zeros(program_address + len(code) + FETCH_AHEAD_BYTES, np.uint8)
    memory[: source.pixels * channels] = rng.integers(0, 256, source.pixels * channels)
    memory[constants_address : constants_address + len(program.constants)] = np.frombuffer(program.constants, np.uint8)
    memory[program_address : program_address + len(code)] = np.frombuffer(code, np.uint8)
    return Sample(layer, memory, program_address)


def _pages(size: int) -> int:
    """So many bytes, rounded up to whole pages."""
    return -(-size // _PAGE) * _PAGE
