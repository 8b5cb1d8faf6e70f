"""Instructions as values, to bytes and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dynamap_rtl.isa import FIELDS, HEADER, INSTRUCTION_BYTES, SEMAPHORES, Unit
from dynamap_rtl.record import RecordError, Value

__all__ = ["Instruction", "ProgramError", "assemble", "disassemble"]


class ProgramError(ValueError):
    """A program that no overlay, or not this one, can run; the message names the instruction and the rule."""


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction.

    Attributes:
        unit: which unit it is for.
        fields: by name, as the unit's record in ``isa.FIELDS``; none for END.
        wait: semaphores it takes a token from.
        signal: semaphores it gives a token to when done.
        release: likewise when its operands are read; compute only.
    """

    unit: Unit
    fields: Mapping[str, Value] = field(default_factory=dict)
    wait: frozenset[int] = frozenset()
    signal: frozenset[int] = frozenset()
    release: frozenset[int] = frozenset()

    def __str__(self) -> str:
        tokens = "".join(
            f" {name} {','.join(map(str, sorted(numbers)))}"
            for name, numbers in (("wait", self.wait), ("signal", self.signal), ("release", self.release))
            if numbers
        )
        fields = "".join(
            f" {name}={','.join(map(str, value)) if not isinstance(value, int) else value}"
            for name, value in self.fields.items()
        )
        return f"{self.unit.name.lower()}{tokens}{fields}"


def assemble(instructions: Iterable[Instruction]) -> bytes:
    """The program as it lies in memory; END is added.

    Raises:
        ProgramError: when a field is missing, unknown or out of range; the message names the instruction.
    """
    program = bytearray()
    for number, instruction in enumerate([*instructions, Instruction(unit=Unit.END)]):
        try:
            packed = HEADER.pack(
                unit=instruction.unit,
                wait=_mask(instruction.wait),
                signal=_mask(instruction.signal),
                release=_mask(instruction.release),
                zero=0,
            )
            if instruction.unit is not Unit.END:
                packed |= FIELDS[instruction.unit].pack(**instruction.fields) << HEADER.width
        except RecordError as error:
            raise ProgramError(f"instruction {number} ({instruction.unit.name.lower()}): {error}") from error
        program += packed.to_bytes(INSTRUCTION_BYTES, "little")
    return bytes(program)


def disassemble(program: bytes) -> Iterator[Instruction]:
    """The instructions of a program, up to its END, which is not among them.

    Raises:
        ProgramError: when it has no END, a unit is unknown, or bits that must be zero are not.
    """
    for number in range(len(program) // INSTRUCTION_BYTES):
        packed = int.from_bytes(program[number * INSTRUCTION_BYTES : (number + 1) * INSTRUCTION_BYTES], "little")
        header = HEADER.unpack(packed & ((1 << HEADER.width) - 1))
        number_of_unit = header["unit"]
        assert isinstance(number_of_unit, int)
        try:
            unit = Unit(number_of_unit)
        except ValueError as error:
            raise ProgramError(f"instruction {number} is for unit {number_of_unit}, which there is not") from error
        body = packed >> HEADER.width
        width = 0 if unit is Unit.END else FIELDS[unit].width
        if header["zero"] or body >> width:
            raise ProgramError(f"instruction {number} ({unit.name.lower()}): bits that must be zero are not")
        if unit is Unit.END:
            return
        yield Instruction(
            unit=unit,
            fields=FIELDS[unit].unpack(body),
            wait=_numbers(header["wait"]),
            signal=_numbers(header["signal"]),
            release=_numbers(header["release"]),
        )
    raise ProgramError(f"the program of {len(program)} bytes has no END; append one")


def _mask(numbers: frozenset[int]) -> int:
    if any(not 0 <= number < SEMAPHORES for number in numbers):
        raise RecordError(f"semaphores are numbered from 0 to {SEMAPHORES - 1}, not {sorted(numbers)}")
    return sum(1 << number for number in numbers)


def _numbers(mask: Value) -> frozenset[int]:
    assert isinstance(mask, int)
    return frozenset(number for number in range(SEMAPHORES) if mask >> number & 1)
