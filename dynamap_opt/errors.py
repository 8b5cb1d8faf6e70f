"""The exceptions of ``dynamap_opt``; every one is a :class:`DynamapError`."""

from __future__ import annotations

__all__ = ["BoardError", "DynamapError", "NoMappingError"]


class DynamapError(ValueError):
    """The root of every exception this package raises on bad input.

    The message is one sentence that names the thing, the rule and the fix.
    """


class BoardError(DynamapError):
    """A board that does not exist, cannot be read, or does not describe a possible device."""


class NoMappingError(DynamapError):
    """The input is usable, but no mapping was found: none exists, or the time given was too short."""
