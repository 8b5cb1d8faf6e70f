"""Packed records: named fields side by side, the first in the lowest bits. Commands and instructions are such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from types import MappingProxyType
from typing import Protocol, TypeAlias, TypeVar

__all__ = ["Field", "Record", "RecordError"]


class RecordError(ValueError):
    """A value that does not fit its field; the message names record, field and range."""


@dataclass(frozen=True)
class Field:
    """``lanes`` numbers of ``width`` bits; negative ones are allowed where ``signed``."""

    width: int
    lanes: int = 1
    signed: bool = False

    @property
    def bits(self) -> int:
        """Bits of all lanes."""
        return self.width * self.lanes


Value: TypeAlias = int | Sequence[int]  # numpy integers as well


class _Sliced(Protocol):
    def __getitem__(self, bits: slice, /) -> object: ...


Bus = TypeVar("Bus", bound=_Sliced)


def _numbers(value: Value) -> list[int]:
    """The lanes of a field; numpy's integers are not Python's."""
    try:
        return [index(value)]  # type: ignore[arg-type]
    except TypeError:
        return [index(number) for number in value]  # type: ignore[union-attr]


class Record:
    """Fields side by side.

    >>> record = Record("step", count=Field(4), delta=Field(3, 2, signed=True))
    >>> record.width, hex(record.pack(count=5, delta=(1, -1)))
    (10, '0x395')
    >>> record.unpack(0x395)
    {'count': 5, 'delta': (1, -1)}
    """

    def __init__(self, name: str, **fields: Field) -> None:
        self.name = name
        self.fields: Mapping[str, Field] = MappingProxyType(fields)
        self.width = sum(field.bits for field in fields.values())

    def pack(self, **values: Value) -> int:
        """All fields in one number.

        Raises:
            RecordError: when a field is missing, unknown, of the wrong number of lanes, or out of range.
        """
        if set(values) != set(self.fields):
            wrong = sorted(set(values) ^ set(self.fields))
            raise RecordError(f"{self.name}: fields {wrong} are missing or unknown")
        packed = position = 0
        for name, field in self.fields.items():
            value = values[name]
            lanes = [value] if isinstance(value, int) else _numbers(value)
            if len(lanes) != field.lanes:
                raise RecordError(f"{self.name}: {name} has {field.lanes} lanes, not {len(lanes)}")
            low = -(1 << field.width - 1) if field.signed else 0
            high = (1 << field.width - field.signed) - 1
            for number in lanes:
                if not low <= number <= high:
                    raise RecordError(f"{self.name}: {name} must be from {low} to {high}, not {number}")
                packed |= (number & (1 << field.width) - 1) << position
                position += field.width
        return packed

    def unpack(self, packed: int) -> dict[str, Value]:
        """The fields of a packed number."""
        values: dict[str, Value] = {}
        position = 0
        for name, field in self.fields.items():
            lanes = []
            for _ in range(field.lanes):
                number = packed >> position & (1 << field.width) - 1
                lanes.append(number - (number >> field.width - 1 << field.width) if field.signed else number)
                position += field.width
            values[name] = lanes[0] if field.lanes == 1 else tuple(lanes)
        return values

    def slices(self, bus: Bus) -> dict[str, Bus]:
        """The fields of a bus, anything that can be sliced by bits with bit 0 first, as a PyRTL wire."""
        parts: dict[str, Bus] = {}
        position = 0
        for name, field in self.fields.items():
            parts[name] = bus[position : position + field.bits]  # type: ignore[assignment]
            position += field.bits
        return parts
