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

__all__ = ["Sample", "sample_convolution"]

_SIDE = 6  # of the feature map
_CHANNELS = 4
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
    circuit: CircuitParameters, dataflow: Dataflow = Dataflow.WS, *, outputs: int | None = None, seed: int = 0
) -> Sample:
    """A 3x3 convolution of a 6x6 feature map of four channels, random values.

    Args:
        circuit: on what it will run.
        dataflow: how.
        outputs: output channels; as many as fill two tiles of columns if None.
        seed: of the values.

    Raises:
        ProgramError: when the buffers are too small for it.
    """
    rng = np.random.default_rng(seed)
    outputs = 2 * circuit.columns if outputs is None else outputs
    source = TensorPlace(address=0, height=_SIDE, width=_SIDE, channels=_CHANNELS, pixel_pitch=_CHANNELS)
    target = TensorPlace(address=_PAGE, height=_SIDE, width=_SIDE, channels=outputs, pixel_pitch=outputs)
    constants_address = _PAGE + -(-target.pixels * outputs // _PAGE) * _PAGE
    layer = Convolution(
        source=source,
        target=target,
        weights=rng.integers(-128, 128, (outputs, _CHANNELS, 3, 3)),
        scaling=Scaling(
            bias=rng.integers(-1000, 1000, outputs),
            multiplier=rng.integers(1 << 23, 1 << 24, outputs),
            shift=np.full(outputs, 32),
            low=-128,
            high=127,
        ),
        pads=(1, 1),
    )
    program = convolution_program(layer, circuit, dataflow, constants_address=constants_address)
    code = assemble(program.instructions)
    program_address = constants_address + -(-len(program.constants) // _PAGE) * _PAGE
    memory = np.zeros(program_address + len(code) + FETCH_AHEAD_BYTES, np.uint8)
    memory[: source.pixels * _CHANNELS] = rng.integers(0, 256, source.pixels * _CHANNELS)
    memory[constants_address : constants_address + len(program.constants)] = np.frombuffer(program.constants, np.uint8)
    memory[program_address : program_address + len(code)] = np.frombuffer(code, np.uint8)
    return Sample(layer, memory, program_address)
