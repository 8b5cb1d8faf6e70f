"""A compiled network as a value: where tensors, constants and programs lie, and the bytes of the last two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dynamap_opt.errors import DynamapError
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import FETCH_AHEAD_BYTES
from dynamap_rtl.program.assembler import Instruction, ProgramError, disassemble
from dynamap_rtl.program.check import check_program
from dynamap_rtl.program.layer import TensorPlace

from .expansion import StoredWindows

__all__ = ["CompilationError", "CompiledLayer", "CompiledNetwork", "check_layer"]


class CompilationError(DynamapError):
    """A network that the overlay has no program for, or a program that is not one for it; the message says why."""


@dataclass(frozen=True, kw_only=True)
class CompiledLayer:
    """A layer, or a copy into a concatenation, and its program.

    Attributes:
        name: of the layer; of a copy ``CONCATENATION[PIECE]``.
        operation: for people.
        algorithm: a name of the registry, ``vector``, ``copy``, or ``host`` for what no unit of the overlay does.
        dataflow: on the array.
        inputs: tensors read, views followed to the tensor they show.
        output: tensor written.
        first_channel: of the output, that is written; 0 but for copies.
        target: what of the output is written; None for ``host``.
        predicted_cycles: of the plan; 0 for copies, which no plan knows.
        constants_address: of weights and channel parameters.
        constants_bytes: their size.
        program_address: of the first instruction.
        program_bytes: of the program, END included; 0 for ``host``.
    """

    name: str
    operation: str
    algorithm: str
    dataflow: str | None = None
    inputs: tuple[str, ...]
    output: str
    first_channel: int = 0
    target: TensorPlace | None = None
    predicted_cycles: int = 0
    constants_address: int = 0
    constants_bytes: int = 0
    program_address: int = 0
    program_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class CompiledNetwork:
    """What the overlay needs to run a network: what to put into memory, and which programs to start in which order.

    Attributes:
        model: name of the network.
        fingerprint: of the network's structure (``plan.fingerprint``).
        circuit: the overlay the programs are for.
        tensors: where tensors lie that programs read or write, or that the network returns (views as their source).
        inputs: of the network, as far as programs read them.
        expanded: those of them that are stored as windows; their place is that of the windows, each a pixel.
        layers: in the order they run.
        tensor_bytes: size of the tensors' part of memory, which begins at address 0.
        image: constants and programs, from address ``tensor_bytes`` on.
    """

    model: str
    fingerprint: str
    circuit: CircuitParameters
    tensors: Mapping[str, TensorPlace]
    inputs: tuple[str, ...]
    expanded: Mapping[str, StoredWindows]
    layers: tuple[CompiledLayer, ...]
    tensor_bytes: int
    image: bytes

    @property
    def memory_bytes(self) -> int:
        """Memory that must be there: the overlay asks for a little more than the last program's end."""
        return self.tensor_bytes + len(self.image) + FETCH_AHEAD_BYTES

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the image, in hexadecimal."""
        return hashlib.sha256(self.image).hexdigest()

    def stored(self, name: str, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bytes of a tensor as they lie in memory, pixel by pixel.

        Args:
            name: of the tensor.
            values: (height, width, channels).
        """
        windows = self.expanded.get(name)
        return values if windows is None else windows.expand(values, self.tensors[name].zero_point & 255)

    def bytes_at(self, address: int, size: int) -> bytes:
        """A part of the image."""
        first = address - self.tensor_bytes
        return self.image[first : first + size]

    def code(self, layer: CompiledLayer) -> bytes:
        """The bytes of a layer's program."""
        return self.bytes_at(layer.program_address, layer.program_bytes)

    def instructions(self, layer: CompiledLayer) -> Iterator[Instruction]:
        """A layer's program, read from its bytes.

        Raises:
            ProgramError: when they are no program.
        """
        return disassemble(self.code(layer))

    def check(self, layers: Sequence[CompiledLayer] | None = None) -> None:
        """Refuse programs that the overlay could not run to their end inside its memories.

        Args:
            layers: whose; all if None.

        Raises:
            CompilationError: naming layer, instruction and rule.
        """
        for layer in self.layers if layers is None else layers:
            if layer.program_bytes:
                check_layer(layer.name, self.code(layer), self.circuit, memory_bytes=self.memory_bytes)


def check_layer(name: str, program: bytes, circuit: CircuitParameters, *, memory_bytes: int) -> None:
    """Refuse a program that the overlay could not run to its end inside its memories.

    Args:
        name: of its layer, for the message.
        program: END included.
        circuit: the overlay.
        memory_bytes: size of external memory.

    Raises:
        CompilationError: naming layer, instruction and rule.
    """
    try:
        check_program(list(disassemble(program)), circuit, memory_bytes=memory_bytes)
    except ProgramError as error:
        raise CompilationError(
            f"the program of layer {name!r} is not one for this overlay: {error}; compile it again"
        ) from error
