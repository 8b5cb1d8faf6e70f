"""The compiled kernel, where there is one: C++ sources beside this file, built by ``hatch_build.py`` on installation.

Everything it does is done in numpy as well, or by another method, so that the package works without a compiler; set
the environment variable ``DYNAMAP_KERNEL=off`` to do without. Calls release the GIL and share no state.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIBRARY", "Located", "Made", "address", "function", "library", "location", "make"]

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
        addresses: of the arrays, where they are known already.
    """

    __slots__ = ("_arrays", "_before", "arguments")

    def __init__(
        self, before: Located | tuple[int, ...], *arrays: NDArray[Any], addresses: Iterable[int] | None = None
    ) -> None:
        self._before = before
        self._arrays = arrays
        first = before.arguments if isinstance(before, Located) else before
        self.arguments: tuple[int, ...] = (*first, *(map(location, arrays) if addresses is None else addresses))

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


class Made(NamedTuple):
    """What :func:`make` found out."""

    starts: NDArray[np.int64]
    """Where costs of variables begin ``(n + 1,)`` and then tables of edges ``(m + 1,)``."""
    located: Located
    """The numbers of variables and edges and the addresses of sizes, edges, starts and both cost arrays."""
    is_integer: bool
    magnitude: int | float
    """The largest finite magnitude of all costs."""
    has_forbidden: bool


_Found = ctypes.c_int64 * 7


@cache
def _maker() -> tuple[Callable[..., int], int, int] | None:
    """``dm_make``, called with the interpreter's lock, and the functions of CPython by which it reads arrays."""
    lib = library()
    if lib is None:
        return None
    try:
        python = ctypes.pythonapi
        get, release = (
            ctypes.cast(access, ctypes.c_void_p).value
            for access in (python.PyObject_GetBuffer, python.PyBuffer_Release)
        )
        run = ctypes.PyDLL(str(Path(__file__).with_name(LIBRARY))).dm_make
    except (AttributeError, OSError):
        return None
    if get is None or release is None:
        return None
    run.argtypes = [ctypes.c_void_p] * 2 + [ctypes.py_object] * 5 + [ctypes.c_void_p]
    run.restype = ctypes.c_int
    return run, get, release


def make(sizes: NDArray[np.int64], edges: NDArray[np.int32], unary: NDArray[Any], pair: NDArray[Any]) -> Made | None:
    """All that is to be found out about a problem of plain arrays, in one call; ``O(cells)``.

    Args:
        sizes: int64 ``(n,)``, with n at least 1.
        edges: int32 ``(m, 2)``.
        unary: int64 or float64, flat.
        pair: of the same type, flat.

    Returns:
        None where there is no kernel, where the arrays are other than that or do not fit, where anything in them is
        wrong, and where they are large: the longer way does it as well, and says what is wrong.
    """
    maker = _maker()
    if maker is None:
        return None
    run, get, release = maker
    before = len(sizes), len(edges)
    starts = np.empty(before[0] + before[1] + 2, np.int64)
    out = _Found()
    try:
        kind = run(get, release, sizes, edges, starts, unary, pair, out)
    except (TypeError, ValueError, BufferError):  # of types that have no buffer
        return None
    if kind == 0:
        return None
    magnitude, forbids, *addresses = out
    starts.setflags(write=False)
    located = Located(before, sizes, edges, starts, unary, pair, addresses=addresses)
    if kind == 1:
        return Made(starts, located, True, magnitude, bool(forbids))
    return Made(starts, located, False, ctypes.c_double.from_buffer(out).value, bool(forbids))
