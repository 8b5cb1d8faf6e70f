"""Arithmetic on numbers of many array shapes, or of one."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from .block_work import Load, Loop

__all__ = ["Numbers"]


def _pick(condition: bool, chosen: Any, other: Any) -> Any:  # noqa: FBT001 - as numpy.where
    return chosen if condition else other


class Numbers:
    """How to calculate: with arrays over the shapes or, tens of times as fast for a single one, with plain numbers."""

    def __init__(self, shapes: int) -> None:
        self.shapes = shapes
        self.one = shapes == 1
        self.where: Any = _pick if self.one else np.where
        self.greater: Any = max if self.one else np.maximum
        self.less: Any = min if self.one else np.minimum
        self.any: Any = bool if self.one else np.any

    def of(self, value: Any) -> Any:
        """A value of a caller's."""
        if isinstance(value, Load):
            return self.record(value)
        return value[0].item() if self.one and isinstance(value, np.ndarray) else value

    def record(self, record: Any) -> Any:
        """The same with every attribute converted."""
        if not self.one:
            return record
        return replace(record, **{field.name: self.of(getattr(record, field.name)) for field in fields(record)})

    def all_of(self, value: Any) -> Any:
        """A value for every shape."""
        return value if self.one else np.full(self.shapes, value)

    def key(self, loop: Loop) -> object:
        """Equal for equal places."""
        if self.one:
            return loop
        return tuple(flag.tobytes() for flag in (*loop.first, *loop.last, *loop.then_last, *loop.near))

    def place(self, loop: Loop) -> Loop:
        """A place as callers want it."""
        if not self.one:
            return loop
        return Loop(*(tuple(np.array([flag]) for flag in getattr(loop, field.name)) for field in fields(loop)))
