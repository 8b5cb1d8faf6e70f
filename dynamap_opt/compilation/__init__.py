"""Whole networks for the generated overlay: from a plan and a quantised network to one memory image of programs."""

from __future__ import annotations

from .compiled import CompilationError, CompiledLayer, CompiledNetwork
from .compiler import compile_network
from .listing import listing
from .program_file import load_compiled, save_compiled

__all__ = [
    "CompilationError",
    "CompiledLayer",
    "CompiledNetwork",
    "compile_network",
    "listing",
    "load_compiled",
    "save_compiled",
]
