"""Arithmetic on numbers of many array shapes, or of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from .block_work import Load, Loop, Parts

__all__ = ["NEVER", "Numbers", "State"]

#: Long before all else; no value where a history does not reach back so far.
NEVER = -(1 << 40)

#: Of one shape, by whether it is set.
_FLAGS = tuple(np.array([flag]) for flag in (False, True))


def _pick(condition: bool, chosen: Any, other: Any) -> Any:  # noqa: FBT001 - as numpy.where
    return chosen if condition else other


class Numbers:
    """How to calculate: with arrays over the shapes or, tens of times as fast for a single one, with plain numbers.

    A *history* is the last few values of something, the oldest first.
    """

    def __init__(self, shapes: int) -> None:
        self.shapes = shapes
        self.one = shapes == 1
        self.where: Any = _pick if self.one else np.where
        self.greater: Any = max if self.one else np.maximum
        self.less: Any = min if self.one else np.minimum
        self.any: Any = bool if self.one else np.logical_or.reduce
        self.all: Any = bool if self.one else np.logical_and.reduce

    def of(self, value: Any) -> Any:
        """A value of a caller's."""
        if not self.one:
            return value
        if isinstance(value, np.ndarray):
            return value.item()
        return self.record(value) if isinstance(value, Load) else value

    def record(self, record: Any) -> Any:
        """The same with every attribute converted."""
        if not self.one:
            return record
        return type(record)(**{name: self.of(value) for name, value in vars(record).items()})

    def all_of(self, value: Any) -> Any:
        """A value for every shape."""
        return value if self.one else np.full(self.shapes, value)

    def history(self, value: int, length: int) -> Any:
        """The same value all along."""
        return (value,) * length if self.one else np.full((length, self.shapes), value)

    def pushed(self, history: Any, value: Any) -> Any:
        """A history without its oldest value and with a new one."""
        if self.one:
            return (*history[1:], value)
        new = np.empty_like(history)
        new[:-1], new[-1] = history[1:], value
        return new

    def chosen(self, history: Any, index: Any) -> Any:
        """The value with an index, for each shape."""
        if self.one:
            return history[index]
        return history[index, np.arange(self.shapes)]

    def beyond(self, ends: Any, lengths: Any, start: Any) -> Any:
        """Of stretches of time, histories of their ends and lengths, the parts behind a start, in all."""
        if not self.one:
            return np.maximum(0, np.minimum(lengths, ends - start)).sum(axis=0)
        total = 0
        for end, length in zip(ends, lengths, strict=True):
            if end > start:
                total += min(length, end - start)
        return total

    def continued(self, history: Any, where: Any, by: Any) -> Any:
        """A history, for some shapes, as if it had always gone on as its last two values, by so much every two."""
        back = range(len(history) - 1, -1, -1)
        if self.one:
            return tuple(history[-1 - step % 2] - step // 2 * by for step in back) if where else history
        steps = np.array(back)[:, None]
        return np.where(where, np.where(steps % 2, history[-2], history[-1]) - steps // 2 * by, history)

    def key(self, flags: tuple[Any, ...]) -> object:
        """Equal for equal flags."""
        return flags if self.one else tuple(flag.tobytes() for flag in flags)

    def place(self, loop: Loop) -> Loop:
        """A place as callers want it."""
        if not self.one:
            return loop
        return Loop(*(tuple(_FLAGS[flag] for flag in flags) for flags in vars(loop).values()))

    def parts(self, parts: Parts) -> Parts:
        """Parts likewise."""
        every = np.zeros(self.shapes, dtype=np.int64)
        return Parts(every + parts.first, every + parts.beyond)


class State(dict[str, Any]):
    """Times, amounts and their histories, by name.

    Args:
        numbers: of what kind they are.
        times: to begin with.
        amounts: those that are no times.
        histories: names of those that are, and of that of the times its values belong to.
    """

    def __init__(
        self, numbers: Numbers, times: dict[str, Any], *, amounts: dict[str, Any], histories: dict[str, str]
    ) -> None:
        super().__init__(times | amounts)
        self._numbers, self._amounts, self._histories = numbers, amounts.keys(), histories

    def set(self, where: Any, **values: Any) -> None:
        """New values for some shapes, all if ``where`` is None."""
        for name, value in values.items():
            self[name] = value if where is None else self._numbers.where(where, value, self[name])

    def advance(self, more: Any, before: dict[str, Any], between: dict[str, Any], by: Any) -> None:
        """Add what some more iterations would: halves take turns, so that two add what the last two did.

        Times advance as the latest one does, if they do; amounts take turns.

        Args:
            more: how many.
            before: before the last two.
            between: between them.
            by: by how much the latest time has advanced from ``before`` on.
        """
        numbers = self._numbers
        odd = more % 2 != 0
        steps = (more // 2 + odd) * by
        # Histories that have grown by one value an iteration may reach back to before the first one.
        single = {name: (more > 0) & (self[name][-1] - self[name][-3] == by) for name in self._histories.values()}
        for name, value in self.items():
            latest = numbers.where(odd, between[name], value)
            if name in self._amounts:
                if name in self._histories:
                    latest = numbers.continued(latest, single[self._histories[name]], 0)
            elif name in self._histories:
                if numbers.one:
                    moved = (steps if new != old else 0 for new, old in zip(value, before[name], strict=True))
                    latest = tuple(time + step for time, step in zip(latest, moved, strict=True))
                else:
                    latest = latest + np.where(value == before[name], 0, steps)
                latest = numbers.continued(latest, single[name], by)
            else:
                latest = latest + numbers.where(value == before[name], 0, steps)
            self[name] = latest
