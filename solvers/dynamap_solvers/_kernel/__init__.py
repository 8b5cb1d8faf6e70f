"""The compiled kernel, where there is one: C++ sources beside this file, built by ``hatch_build.py`` on installation.

Everything it does is done in numpy as well, or by another method, so that the package works without a compiler; set
the environment variable ``DYNAMAP_KERNEL=off`` to do without. Calls release the GIL and share no state.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

__all__ = ["LIBRARY", "Located", "address", "function", "library", "location"]

LIBRARY = "_dynamap_kernel.so"
"""The file name of the shared library, next to this file."""


@cache
def library() -> ctypes.CDLL | None:
    """The loaded library, or None where it was not built, does not load, or is switched off."""
    if os.environ.get("DYNAMAP_KERNEL", "").lower() in {"off", "0", "no"}:
        return None
    try:
        return ctypes.CDLL(str(Path(__file__).with_name(LIBRARY)))
    except OSError:
        return None


def address(array: NDArray[Any] | None) -> ctypes.c_void_p:
    """Where a C-contiguous array lives; null for None. The caller keeps the array alive."""
    if array is None:
        return ctypes.c_void_p(None)
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.__array_interface__["data"][0])


def location(array: NDArray[Any]) -> int:
    """Where an array lives, as the plain integer that functions of :func:`function` take."""
    if array.flags.writeable and array.size:  # three times as fast, where it can be had
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    where: int = array.__array_interface__["data"][0]
    return where


class Located:
    """Sizes and addresses in the order the kernel takes them, found out once: asking takes longer than a short call.

    Keeps the arrays alive. A copy and a pickle find out anew.

    Args:
        before: sizes and addresses that come first.
        arrays: C-contiguous; their addresses come after those.
    """

    __slots__ = ("_arrays", "_before", "arguments")

    def __init__(self, before: Located | tuple[int, ...], *arrays: NDArray[Any]) -> None:
        self._before = before
        self._arrays = arrays
        first = before.arguments if isinstance(before, Located) else before
        self.arguments: tuple[int, ...] = (*first, *map(location, arrays))

    def __reduce__(self) -> tuple[Any, ...]:
        return Located, (self._before, *self._arrays)


_KINDS: dict[str, Any] = {"i": ctypes.c_int64, "p": ctypes.c_void_p}


@cache
def function(name: str, parameters: str) -> Callable[..., int] | None:
    """A function of the library that takes plain integers: several times faster to call than with ctypes objects.

    Args:
        name: as exported; it returns an int.
        parameters: a letter for each: ``i`` an int64, ``p`` an address (None for null). Blanks mean nothing.
    """
    lib = library()
    if lib is None:
        return None
    found = lib[name]  # a new object each time, so that other users of the same function keep their own types
    found.argtypes = [_KINDS[kind] for kind in parameters.replace(" ", "")]
    found.restype = ctypes.c_int
    called: Callable[..., int] = found
    return called
