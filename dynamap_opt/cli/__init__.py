"""The command line; thin: every command is one public call of the library and a way to print its result."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
