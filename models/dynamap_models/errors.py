"""The exceptions of ``dynamap_models``; every one is a :class:`ModelError`."""

from __future__ import annotations

__all__ = ["ModelError", "UnsupportedOperatorError"]


class ModelError(ValueError):
    """A network that cannot be read, built or exported: the message names the thing, the rule and the fix."""


class UnsupportedOperatorError(ModelError):
    """An operator this package cannot even give a shape to."""
