"""Clock enables and synchronous resets found in the multiplexers before a register, as synthesis finds them."""

from __future__ import annotations

from dataclasses import dataclass

from .gates import FALSE, TRUE, Gates, Literal

__all__ = ["Controlled", "controlled"]

_DEEPEST = 12  # multiplexers from a register back to itself


@dataclass(frozen=True)
class Controlled:
    """What a flip-flop is connected to.

    Attributes:
        data: its next value where nothing else is said.
        enable: whether it changes.
        reset: whether it takes ``to`` instead.
        to: a constant.
    """

    data: Literal
    enable: Literal = TRUE
    reset: Literal = FALSE
    to: Literal = FALSE


def controlled(gates: Gates, value: Literal, own: Literal) -> Controlled:
    """A flip-flop whose next value is ``value``, with its controls taken out.

    Args:
        gates: where the value is; gates of the enable are added.
        value: the next value, as written.
        own: the flip-flop's output.
    """
    data, reset, to = _reset(gates, value, FALSE, FALSE)
    hold, found = _held(gates, data, own, _DEEPEST)
    enable = hold ^ 1
    if found is None:
        return Controlled(own, FALSE if reset == FALSE else reset, reset, to)
    if hold != FALSE:
        data, inner, inner_to = _reset(gates, found, FALSE, to)
        if inner != FALSE and (reset == FALSE or inner_to == to):
            reset, to = gates.either(reset, gates.both(enable, inner)), inner_to
        else:
            data = found
    return Controlled(data, enable, reset, to)


def _reset(gates: Gates, value: Literal, reset: Literal, to: Literal) -> tuple[Literal, Literal, Literal]:
    """Take multiplexers with a constant off the front, while it is the same constant."""
    for _ in range(_DEEPEST):  # a choice can come down to itself
        choice = _choice(gates, value)
        if choice is None:
            break
        select, high, low = choice
        if high < 2 <= low:
            constant, other, taken = high, low, select
        elif low < 2 <= high:
            constant, other, taken = low, high, select ^ 1
        else:
            break
        if reset != FALSE and constant != to:
            break
        reset, to, value = gates.either(reset, taken), constant, other
    return value, reset, to


def _held(gates: Gates, value: Literal, own: Literal, deep: int) -> tuple[Literal, Literal | None]:
    """When the value is the register's own, and what it is otherwise."""
    if value == own:
        return TRUE, None
    choice = _choice(gates, value) if deep else None
    if choice is None:
        return FALSE, value
    select, high, low = choice
    hold_high, rest_high = _held(gates, high, own, deep - 1)
    hold_low, rest_low = _held(gates, low, own, deep - 1)
    if hold_high == FALSE == hold_low:
        return FALSE, value
    hold = gates.choose(select, hold_high, hold_low)
    if rest_high is None or rest_low is None:
        return hold, rest_low if rest_high is None else rest_high
    return hold, gates.choose(select, rest_high, rest_low)


def _choice(gates: Gates, value: Literal) -> tuple[Literal, Literal, Literal] | None:
    choice = gates.choices.get(value)
    if choice is None and value ^ 1 in gates.choices:
        select, high, low = gates.choices[value ^ 1]
        choice = select, high ^ 1, low ^ 1
    return choice
