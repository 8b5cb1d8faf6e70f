"""The exceptions of ``dynamap_opt``; on bad input every one is a :class:`DynamapError`."""

from __future__ import annotations

__all__ = ["BoardError", "DisagreementError", "DynamapError", "NoMappingError"]


class DynamapError(ValueError):
    """The root of every exception this package raises on bad input.

    The message is one sentence that names the thing, the rule and the fix.
    """


class BoardError(DynamapError):
    """A board that does not exist, cannot be read, or does not describe a possible device."""


class NoMappingError(DynamapError):
    """The input is usable, but no mapping was found: none exists, or the time given was too short."""


class DisagreementError(RuntimeError):
    """Two exact methods gave different answers: a defect of this package, never of the input. No result is returned."""
