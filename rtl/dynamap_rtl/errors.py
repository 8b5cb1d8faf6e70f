"""What the overlay's code raises."""

from __future__ import annotations

__all__ = ["OverlayError"]


class OverlayError(ValueError):
    """Overlay parameters that no hardware can have; the message names the parameter, the rule and the fix."""
